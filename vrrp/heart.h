/* SPDX-License-Identifier: BSD-2-Clause */
/* heart.h: heartbeats at work: the socket, the questions, what partners say of their instances, and
 * what follows for ours. What a message means is decided in heartbeat.c.
 *
 * A partner is asked every "heartbeat" by each link while an instance of ours is backup and the
 * partner active in it; else every 100 ms, so that its state is known. STATE goes to each partner
 * by each link every 100 ms and with each change.
 */
#ifndef SLUICE_VRRP_HEART_H
#define SLUICE_VRRP_HEART_H

#include "vrrp/guard.h"
#include "vrrp/heartbeat.h"
#include "vrrp/machine.h"

struct event_base;
struct hearts;

struct heart_instance { /* of ours */
	struct heart_record record;
	const char *interface;
};

struct heart_ops {
	/* instances: what is to be said of ours; how many, at most CONFIG_INSTANCES. */
	uint32_t (*instances)(void *owner, const struct heart_key *key, struct heart_instance *ret);
	/* event: about our instance `of`, as instances() names it; @about: what the partner said of
	 * it last. @rank_ms: better candidates go first.
	 */
	void (*event)(void *owner, uint64_t of, enum vrrp_event event,
		      const struct heart_record *about, uint32_t rank_ms);
	/* turn: every 100 ms at least: leases are renewed. */
	void (*turn)(void *owner);
};

/* heart_new: NULL when out of memory. @guard: may be NULL. */
struct hearts *heart_new(struct event_base *loop, struct guard *guard, const struct heart_ops *ops,
			 void *owner);
void heart_free(struct hearts *h);

/* heart_socket: MESSAGE_HEART; takes ownership of fd, -1 = no heartbeats. */
void heart_socket(struct hearts *h, int fd, const struct message_heart *m);
/* heart_config: nodes and links; after heart_socket(). */
void heart_config(struct hearts *h, const struct config *c);
/* heart_look: interfaces may have become others. */
void heart_look(struct hearts *h);
/* heart_speak: from now on STATE is sent: before, roles are not known yet. */
void heart_speak(struct hearts *h);
/* heart_tell: something of ours changed: STATE now. */
void heart_tell(struct hearts *h);
/* heart_read: what has come, now. */
void heart_read(struct hearts *h);
/* heart_lives_until_us: the active node of our instance `of`, on that interface, is a partner, and
 * lives until then, unless more is heard of it; 0: nothing is known that the RFC does not know.
 * @overdue_us: since when its adverts are missing for too long: a second opinion is asked for
 * (struct heart_pace). 0: they are not. What was heard of it since then speaks against the adverts.
 */
uint64_t heart_lives_until_us(const struct hearts *h, uint64_t of, const char *interface,
			      uint64_t overdue_us);
/* heart_other_active: a partner that lives says that it is active; heart_active: its name. */
bool heart_other_active(const struct hearts *h, uint64_t of);
const char *heart_active(const struct hearts *h, uint64_t of); /* NAME_SIZE bytes; NULL = none */
/* heart_choice: heart_chosen() of this node (*ret_own), or of a partner that lives; 0 = neither. */
uint32_t heart_choice(const struct hearts *h, const char *node, bool *ret_own);
/* heart_show: MESSAGE_PARTNER for each partner and link, by @tell. */
void heart_show(const struct hearts *h, void (*tell)(void *owner, const struct message_partner *m));

#endif
