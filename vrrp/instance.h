/* SPDX-License-Identifier: BSD-2-Clause */
/* instance.h: one virtual router at work: its machine, its socket, its timer, its interface.
 *
 * instance_refresh() looks at the interface and starts or stops the machine by what it finds: at
 * the start, at each netlink event and once a second. Everything else is an event for the machine,
 * whose actions are done at once. Logging and messages wait until no instance has anything to do: a
 * log that is slow must not delay the next one's adverts.
 */
#ifndef SLUICE_VRRP_INSTANCE_H
#define SLUICE_VRRP_INSTANCE_H

#include "base/channel.h"
#include "vrrp/heart.h"
#include "vrrp/link.h"
#include "vrrp/machine.h"
#include "vrrp/rights.h"

struct event;
struct event_base;

/* Of events: timers; everything else (libevent's default), which strangers' packets may keep busy;
 * what can wait. */
enum { PRIORITY_FIRST, PRIORITY_DEFAULT, PRIORITY_LAST, PRIORITY_COUNT };

/* What the instances share: the process's. */
struct vrrp_process {
	struct event_base *loop;
	struct event *late;  /* after all timers: instance_add_late() of all; STATE, if it is due */
	bool says;	     /* it is */
	struct event *after; /* PRIORITY_LAST: instance_flush() of all */
	struct channel *parent;
	struct nl_sock *netlink;
	int packet_socket;
	bool ready;			  /* lb said so: machines may start */
	bool unmarked;			  /* whose an address is cannot be told */
	const struct ifaddrs *interfaces; /* as last read, for all; NULL = not known */
	bool forwards_ipv6;		  /* likewise */
	struct guard *guard;		  /* NULL = none */
	struct hearts *heart;
	uint64_t lease_ns;    /* how long each lease runs */
	uint64_t turned_ns;   /* when they were last renewed */
	bool synced, in_sync; /* are there partners to be in sync with? is it? */
	struct rights *rights;
};

struct instance {
	struct vrrp_process *process;
	struct config_instance config;
	struct vrrp_machine machine;
	struct link link;
	uint32_t lease;	 /* of the guard; 0 = none */
	uint64_t beat;	 /* its name for the partners */
	uint32_t chosen; /* the operator's choice (choice.h), while vrrp_chooses() */
	int fd;		 /* -1 = none */
	struct event *readable, *timer;
	bool adds_late; /* active, and its addresses are not there yet */
	/* Of config.addresses, a bit for each: put there by us; by somebody else, which was said;
	 * on the interface when that was last read, and whether they had to be. */
	uint64_t held, others, there;
	bool had;
	bool unmarked;		      /* a predecessor that knew no marks put them there */
	int marked[CONFIG_ADDRESSES]; /* the interface on which each was seen with our mark */
	int hold_error;		      /* that was logged */
	uint64_t kept_ms;	      /* the last time that what was gone was put back */
	bool untold;		      /* the last change is neither logged nor told */
	bool split_untold;	      /* nor that another node is active, too: this one */
	struct addr split_by;
	uint8_t split_priority;
	struct message_turn turn; /* it */
	struct event *paced;	  /* the next frame of an announcement */
	uint32_t announced;	  /* addresses that were, of n_addresses */
	uint32_t rounds;	  /* of all of them that are to follow */
	/* As the process before us told it: the same role again is no change. INIT = nothing. */
	enum vrrp_role before;
	int64_t before_since_s;
	bool resume;		  /* was active when the process before us ended */
	bool resigned;		  /* told to stop: does not start again */
	bool changed;		  /* between instance_change() and instance_changed() */
	struct message_vrrp told; /* as the parent knows it */
	uint64_t sent, received, bad[VRRP_VERDICT_COUNT];
	int holder_error;    /* that kept it from starting */
	uint32_t bad_logged; /* a bit for each kind that was logged */
	uint8_t partner_priority;
	struct addr partner;
	uint64_t transitions;
	int64_t since_s;
	const char *reason;
	bool yields;	     /* did so when the process before us ended */
	bool looked;	     /* at its interface, once */
	struct right right;  /* what tracks and its group leave it */
	bool urgent;	     /* the last change: in the place of a dead node */
	const char *because; /* of the step that is being made; NULL = the machine's own reason */
};

/* instance_new: not started yet; NULL when out of memory. */
struct instance *instance_new(struct vrrp_process *process, const struct config_instance *config);
void instance_free(struct instance *i);
/* instance_refresh: see above; by what process->interfaces has. */
void instance_refresh(struct instance *i);
/* instance_event: VRRP_SHUTDOWN, VRRP_FAILOVER. */
void instance_event(struct instance *i, enum vrrp_event event);
/* instance_partner: what heart.h tells of a partner. */
void instance_partner(struct instance *i, enum vrrp_event event, const struct heart_record *about,
		      uint32_t rank_ms);
/* instance_lease: renew it, as long as the instance has the addresses. */
void instance_lease(struct instance *i);
/* instance_change, instance_changed: a reload changed what can change without a new start:
 * priority, interval, addresses, ... First each instance gives up what it no longer has, then each
 * adds what is new, so that an address may move between two.
 */
void instance_change(struct instance *i, const struct config_instance *config);
void instance_changed(struct instance *i);
/* instance_sync: process->in_sync changed. */
void instance_sync(struct instance *i);
/* instance_tell: MESSAGE_VRRP when anything in it changed, or always. */
void instance_tell(struct instance *i, bool always);
/* instance_again: addresses, advert and announcements once more. */
void instance_again(struct instance *i);

/* ---- hold.c: its addresses ---- */

/* instance_has_addresses: is it active, and has added them? */
bool instance_has_addresses(const struct instance *i);
/* instance_hold, instance_release: 0 or -errno, for instance_hold_tell(), which logs it, later. */
int instance_hold(struct instance *i);
int instance_release(struct instance *i);
void instance_hold_tell(struct instance *i, bool added, int error);
/* instance_say: STATE to the partners, once all instances have sent their frames. */
void instance_say(struct vrrp_process *process);
/* instance_add_late: the addresses of a takeover that was urgent (machine.h), after the frames of
 * all instances. */
void instance_add_late(struct instance *i);
/* instance_hold_find: which are ours of those that are there, by what was read last. */
void instance_hold_find(struct instance *i);
/* instance_clear: it does not run: away with what a predecessor left. */
void instance_clear(struct instance *i);
/* instance_hold_change: the configuration is another now: give up what it no longer has. */
void instance_hold_change(struct instance *i, const struct config_instance *before);
/* instance_keep: after the interfaces were read: what somebody took away is put back. */
void instance_keep(struct instance *i);

/* instance_turned: it did; noted for instance_flush(). In microseconds of CLOCK_MONOTONIC, when its
 * event came and when addresses, advert and announcements were done.
 */
void instance_turned(struct instance *i, enum vrrp_role before, uint64_t began_us,
		     uint64_t done_us);
/* instance_split: another node is active, too; likewise. */
void instance_split(struct instance *i, const struct vrrp_advert *advert);
/* instance_flush: log and tell the last change of role, if that is not done yet. */
void instance_flush(struct instance *i);
/* instance_usable: its interface is, or was not looked at yet. */
bool instance_usable(const struct instance *i);
/* instance_permit: what tracks and its group leave it.
 * @out: why it may not be active; "" = it may
 */
void instance_permit(struct instance *i, uint8_t priority, const char out[static VERDICT_TEXT]);
/* instance_follow: VRRP_GROUP_ACTIVE or VRRP_GROUP_BACKUP, as the other one did. */
void instance_follow(struct instance *i, enum vrrp_event event, const struct instance *other);
/* instance_same: may config take the place of the instance's own without a new start? */
bool instance_same(const struct instance *i, const struct config_instance *config);

#endif
