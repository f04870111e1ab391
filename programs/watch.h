/* SPDX-License-Identifier: BSD-2-Clause */
/* watch.h: what is known of each backend and VRRP instance, and what of a message is news. Pure.
 *
 * Until watch_briefed() messages only say what a process before us knew. After that each difference
 * is a change that hooks are told, but for the first good word about a backend: that a server
 * is up when sluice starts is what everybody expects.
 */
#ifndef SLUICE_PROGRAMS_WATCH_H
#define SLUICE_PROGRAMS_WATCH_H

#include "base/config.h"
#include "base/message.h"
#include "programs/change.h"
#include "programs/heal.h"

struct command;
struct run;

struct watched { /* a backend; stays where it is until it is no longer configured */
	char pool[NAME_SIZE], backend[NAME_SIZE];
	const struct config_pool *pool_conf;
	const struct config_backend *conf;
	enum health health;
	bool sick; /* its probe calls it down, and its agent does not */
	bool held; /* by the operator */
	int64_t sick_since_s;
	char text[VERDICT_TEXT]; /* of the last message */
	struct heal heal;
	struct command *healing; /* under way; both are the healer's */
	struct run *healing_run;
	uint64_t heals_done, heals_failed, heals_again;
	bool heal_failing; /* the last one failed */
	bool kept;	   /* while watch_configure() works */
};

struct watch {
	const struct config *config; /* NULL before the first */
	bool briefed;
	uint32_t n;
	struct watched **all;  /* sorted by pool and backend */
	enum vrrp_role *roles; /* config->n_instances; VRRP_INIT before the first message */
};

/* watch_configure: 0 or -ENOMEM (the old one stays). @gone is called for each backend that is no
 * longer configured, before it is freed.
 */
int watch_configure(struct watch *w, const struct config *config,
		    void (*gone)(void *owner, struct watched *b), void *owner);
void watch_fini(struct watch *w, void (*gone)(void *owner, struct watched *b), void *owner);
void watch_briefed(struct watch *w);
/* watch_active: this node is active in an instance, or there is none to be active in. */
bool watch_active(const struct watch *w);
struct watched *watch_find(const struct watch *w, const char *pool, const char *backend);

/* watch_health, watch_vrrp: true: *ret_change is to be told. */
bool watch_health(struct watch *w, const struct message_health *m, struct change *ret_change);
bool watch_vrrp(struct watch *w, const struct message_vrrp *m, struct change *ret_change);

#endif
