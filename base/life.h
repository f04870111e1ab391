/* SPDX-License-Identifier: BSD-2-Clause */
/* life.h: the life of a child process (child.h) that does nothing but react: to the parent's
 * messages, and on its own loop. healthcheck and programs live so; lb and vrrp have an end of their
 * own (a data plane to leave, a partner to tell).
 */
#ifndef SLUICE_BASE_LIFE_H
#define SLUICE_BASE_LIFE_H

#include "base/channel.h"

struct life {
	struct event_base *loop; /* made, as the owner wants it, before the channel */
	struct channel *channel;
	const struct config *config; /* in use; NULL = none yet */
	int status;		     /* to exit with */
};

/* life_run: begin(), the loop until life_end(), finish() whatever came of begin(). The exit status.
 * @begin: makes the loop (l->loop) and what else there is; 0 or -errno
 */
int life_run(struct life *l, int (*begin)(void *owner, int channel_fd), void (*finish)(void *owner),
	     void *owner, int channel_fd);
void life_end(struct life *l, int status);
/* life_fini: channel, loop and configuration; for finish(), when nothing uses them any more. */
void life_fini(struct life *l);

/* life_tell: a queue that is full means a parent that hangs: then it is better to be started again.
 */
void life_tell(struct life *l, enum message_type type, const void *payload);
/* life_hear: what every child is told alike: a ping; anything else is logged. */
void life_hear(struct life *l, enum message_type type, const void *payload);
/* life_config: MESSAGE_CONFIG: @use takes the new one, and then the old one is unmapped. With one
 * that cannot be used the life ends.
 * @use: 0, -errno, or 1: not used, it has called life_end()
 */
void life_config(struct life *l, int fd, int (*use)(void *owner, const struct config *config),
		 void *owner);

#endif
