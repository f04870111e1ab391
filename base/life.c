/* SPDX-License-Identifier: BSD-2-Clause */
/* life.c: see life.h. */
#include "base/life.h"

#include <errno.h>
#include <event2/event.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"

int life_run(struct life *l, int (*begin)(void *owner, int channel_fd), void (*finish)(void *owner),
	     void *owner, int channel_fd)
{
	int r;

	signal(SIGPIPE, SIG_IGN);
	l->status = EXIT_SUCCESS;
	r = begin(owner, channel_fd);
	if (r == 0) {
		event_base_dispatch(l->loop);
	} else {
		log_err("not started: error=%s", strerror(-r));
		l->status = EXIT_FAILURE;
	}
	finish(owner);
	return l->status;
}

void life_end(struct life *l, int status)
{
	l->status = status;
	event_base_loopbreak(l->loop);
}

void life_fini(struct life *l)
{
	channel_free(l->channel);
	if (l->loop)
		event_base_free(l->loop);
	config_unmap(l->config);
}

void life_tell(struct life *l, enum message_type type, const void *payload)
{
	if (channel_send(l->channel, type, payload, -1) == -ENOBUFS) {
		log_err("the parent does not take our messages");
		life_end(l, EXIT_FAILURE);
	}
}

void life_hear(struct life *l, enum message_type type, const void *payload)
{
	if (type == MESSAGE_PING)
		life_tell(l, MESSAGE_PONG, payload);
	else
		log_debug("message not for us: type=%s", message_name(type));
}

void life_config(struct life *l, int fd, int (*use)(void *owner, const struct config *config),
		 void *owner)
{
	const struct config *config = NULL;
	int r = config_map(fd, &config);

	if (r == 0)
		r = use(owner, config);
	if (r == 0) {
		config_unmap(l->config);
		l->config = config;
		return;
	}
	config_unmap(config);
	if (r > 0)
		return;
	log_err("configuration not used: error=%s", strerror(-r));
	life_end(l, EXIT_FAILURE);
}
