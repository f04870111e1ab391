/* SPDX-License-Identifier: BSD-2-Clause */
/* heart_own.h: the objects of heart.c (sockets and timers) and heart_said.c (who says what), for
 * these alone.
 */
#ifndef SLUICE_VRRP_HEART_OWN_H
#define SLUICE_VRRP_HEART_OWN_H

#include "vrrp/heart.h"

struct partner {
	struct heart_partner heart;
	char name[NAME_SIZE];
	uint64_t node;
	struct addr at[CONFIG_LINKS];
	struct sockaddr_in6 to[CONFIG_LINKS];
	enum partner_life life;
	bool fast;
	uint64_t ask_ns;
	uint32_t n_records;
	struct heart_record records[CONFIG_INSTANCES];
};

struct hearts {
	const struct heart_ops *ops;
	void *owner;
	struct guard *guard;
	int fd;
	struct event *readable, *timer;
	struct heart_key key;
	uint16_t port;
	uint64_t node, session, sequence;
	uint64_t nonce_key[2], nonces;
	struct heart_pace pace;
	uint64_t pace_ns, state_ns;
	bool speaks;
	char interfaces[CONFIG_LINKS][IFNAMSIZ];
	uint32_t ifindex[CONFIG_LINKS];
	struct addr own[CONFIG_LINKS];
	uint32_t n_links, n_partners;
	struct partner *partners; /* CONFIG_NODES */
	uint64_t bad[HEART_VERDICT_COUNT];
	uint32_t bad_logged;
	struct heart_instance ours[CONFIG_INSTANCES];
	uint32_t n_ours;
};

uint64_t heart_now_ns(void);

/* said_look: take our instances as they are now. */
void said_look(struct hearts *h);
const struct heart_instance *said_find(const struct hearts *h, uint64_t of);
/* said_active: does it say that it is active? */
bool said_active(const struct partner *p, uint64_t of);
/* said_link: the link by that interface, where the partner was ever heard and can be; or NULL. */
const struct heart_link *said_link(const struct hearts *h, const struct partner *p,
				   const char *interface);
/* said_lives_until_ns: as heart_lives_until_us(), in nanoseconds. */
uint64_t said_lives_until_ns(const struct hearts *h, uint64_t of, const char *interface,
			     uint64_t overdue_ns, uint64_t now_ns);
/* said_event: tell the instance that it is about, when it is ours. */
void said_event(struct hearts *h, const struct partner *p, enum vrrp_event event,
		const struct heart_record *about);
/* said_record: take what it says of an instance, with what follows for ours (also from the
 * operator's choice: choice.h). True: it asked, and waits for what we say.
 */
bool said_record(struct hearts *h, struct partner *p, const struct heart_record *r);
/* said_fast: must its death be known in milliseconds? */
bool said_fast(const struct hearts *h, const struct partner *p);

#endif
