/* SPDX-License-Identifier: BSD-2-Clause */
/* message.h: everything that sluiced's processes say to each other, each message declared once.
 *
 * The parent stands in the middle; children talk only to it, over a SOCK_SEQPACKET socketpair
 * (base/channel.h). Payloads are the plain structs below, of one build: both ends are the same
 * binary. Names, not indices, say which backend or instance is meant, so that a message that
 * crosses a reload on its way means the right one, or nothing.
 */
#ifndef SLUICE_BASE_MESSAGE_H
#define SLUICE_BASE_MESSAGE_H

#include <stdint.h>

#include "base/config.h"

enum {
	MESSAGE_TEXT = 4096, /* a long text: errors of a file, a plan's refusal */
	MESSAGE_LINE = 512,  /* a line of a probe's dialogue */
	VERDICT_TEXT = 160,  /* a server's own words */
};

/* M(name, payload struct): who sends it to whom is said at the struct. */
#define MESSAGES(M)                                                                                \
	M(CONFIG, struct message_config)                                                           \
	M(READY, struct message_ready)                                                             \
	M(PING, struct message_ping)                                                               \
	M(PONG, struct message_ping)                                                               \
	M(STOP, struct message_stop)                                                               \
	M(HEALTH, struct message_health)                                                           \
	M(SUSPECT, struct message_suspect)                                                         \
	M(RUN, struct message_run)                                                                 \
	M(RAN, struct message_ran)                                                                 \
	M(TALLY, struct message_tally)                                                             \
	M(OPERATOR, struct message_operator)                                                       \
	M(VRRP, struct message_vrrp)                                                               \
	M(TURN, struct message_turn)                                                               \
	M(FAILOVER, struct message_failover)                                                       \
	M(TRACK, struct message_track)                                                             \
	M(SYNC, struct message_sync)                                                               \
	M(HEART, struct message_heart)                                                             \
	M(PARTNER, struct message_partner)                                                         \
	M(GUARD, struct message_guard)                                                             \
	M(RELOAD, struct message_reload)                                                           \
	M(CANDIDATE, struct message_candidate)                                                     \
	M(RELOADED, struct message_reloaded)                                                       \
	M(UPGRADE, struct message_upgrade)                                                         \
	M(PROBE, struct message_probe)                                                             \
	M(DIALOGUE, struct message_dialogue)                                                       \
	M(CHILD, struct message_child)

enum message_type {
#define MESSAGE_ENUM(name, payload) MESSAGE_##name,
	MESSAGES(MESSAGE_ENUM)
#undef MESSAGE_ENUM
		MESSAGE_COUNT
};

/* parent -> each child, first of all and after a reload; carries the fd of the sealed config. */
struct message_config {
	uint32_t generation; /* 1, 2, ...: of this parent */
	uint8_t key[32];     /* lb only, else zero: from the secret file */
};

/* lb -> parent: the data plane is as the configuration and the probes want it; parent -> vrrp: go.
 * parent -> programs: what came until now was known before; what comes next is new.
 */
struct message_ready {
	uint32_t generation;
};

/* parent -> child every second, and back: a child that is stuck is killed and started again. */
struct message_ping {
	uint32_t sequence;
};

/* parent -> child: leave in good order (vrrp: priority 0; lb: on_stop). */
struct message_stop {
	uint32_t detach; /* lb: detach whatever on_stop says */
};

/* ---- health ---- */

enum health { HEALTH_UNKNOWN, HEALTH_UP, HEALTH_DOWN, HEALTH_LEAVING };
#define HEALTH_NAMES                                                                               \
	{                                                                                          \
		"unknown", "up", "down", "leaving"                                                 \
	} /* leaving: it asks for no more work */

/* Who says something about a backend's health: its probe, the agent on it, the damping of flaps
 * (whose word is only ever "down").
 */
enum sayer { SAYER_PROBE, SAYER_AGENT, SAYER_FLAP, SAYERS };
#define SAYER_NAMES                                                                                \
	{                                                                                          \
		"probe", "agent", "flap"                                                           \
	}

struct said {
	uint32_t health;	 /* enum health; UNKNOWN: it has not spoken, or there is none */
	int64_t since_s;	 /* CLOCK_REALTIME */
	int64_t until_s;	 /* flap: when it lets go; else 0 */
	char text[VERDICT_TEXT]; /* of its last change; printable */
};

enum { TLS_DAYS_UNKNOWN = INT32_MAX };

/* healthcheck -> parent -> lb: the judged health of a backend: when it changes, in full after each
 * MESSAGE_CONFIG, and, for what is only shown, at least every 30 s while it is probed.
 * parent -> healthcheck after a restart: the last known one, to go on from.
 * parent -> programs, likewise: what hooks are told.
 */
struct message_health {
	char pool[NAME_SIZE], backend[NAME_SIZE];
	uint32_t health; /* enum health: what all of them come to */
	uint32_t weight; /* in percent of its weight: 100, or less (slow, probe, agent) */
	uint32_t slow;	 /* 1: its answers take longer than slow_ms */
	struct said said[SAYERS];
	uint32_t p50_ms, p99_ms;       /* of the last hundred that passed */
	int32_t tls_days;	       /* until the certificate expires; TLS_DAYS_UNKNOWN */
	uint64_t passed, failed, left; /* probes, since the process began: left = "leaving" */
	uint64_t turns;		       /* changes of health */
	int32_t code;		       /* the protocol's reply code, 0 = none */
	uint32_t took_ms;	       /* the last conversation */
	uint16_t agreeing, needed;     /* failed=3/3 */
	int64_t since_s;	       /* CLOCK_REALTIME of the change */
	char verdict[16];	       /* "pass", "fail", "timeout", "refused", "leaving", ... */
	char text[VERDICT_TEXT];       /* the server's words, or ours; printable */
};

/* lb -> parent -> healthcheck: what the packets tell of a backend makes it look dead: probe it now,
 * and again at once until that is sure.
 */
struct message_suspect {
	char pool[NAME_SIZE], backend[NAME_SIZE];
	uint32_t hung;		 /* 1: it lets clients connect, and then says nothing */
	char text[VERDICT_TEXT]; /* "32 SYNs in 400 ms, none became a connection" */
};

/* ---- the operator's programs ---- */

/* healthcheck -> parent -> programs: run the program that the pool's probe names. What it is comes
 * from the configuration: a healthcheck that a stranger took over can start nothing else.
 */
struct message_run {
	uint32_t request; /* comes back in MESSAGE_RAN */
	/* By the parent: which life of healthcheck asked. An answer to a former one is dropped. */
	uint32_t asker;
	char pool[NAME_SIZE], backend[NAME_SIZE];
};

enum { RAN_OUTPUT = 1024, RAN_GRACE_MS = 1000 };

/* programs -> parent -> healthcheck. */
struct message_ran {
	uint32_t request, asker;
	/* 0, or -errno: it could not be run (-EAGAIN: too many run already, or there is nobody to
	 * run it); -ETIME: it was killed. Comes up to RAN_GRACE_MS after the probe's timeout; no
	 * answer until then means that the process was restarted: we could not ask.
	 */
	int32_t error;
	int32_t status;		 /* its exit status; 128 + signal */
	char output[RAN_OUTPUT]; /* the beginning of it, NUL-terminated, as it came */
};

/* programs -> parent -> lb: what became of an on_change hook's changes, or of a pool's heal, since
 * programs began (or the hook was configured): after each MESSAGE_CONFIG, and when it changed, with
 * the next PING. parent -> lb after a restart: the last ones.
 */
struct message_tally {
	uint32_t hook;	       /* its number in the file, from 1; 0 = heal */
	uint32_t waiting;      /* changes; backends that are down */
	char pool[NAME_SIZE];  /* of heal; else "" */
	uint64_t done, failed; /* changes that were told, or given up; runs that ended */
	uint64_t again;	       /* tries after the first; runs after a backend's first */
	uint64_t dropped;      /* changes that found the queue full */
	uint32_t failing;      /* 1: the last one failed */
	uint32_t padding;
};

/* lb -> parent -> programs: what the operator wants of a backend, when it changes and, where that
 * is not "enabled", after each MESSAGE_CONFIG. A backend that is held is not healed.
 */
struct message_operator {
	char pool[NAME_SIZE], backend[NAME_SIZE];
	uint32_t held; /* 1: drained or disabled */
};

/* lb -> parent -> healthcheck: probe this backend now, once, and tell the dialogue. */
struct message_probe {
	uint32_t request; /* chosen by lb, comes back in MESSAGE_DIALOGUE */
	char pool[NAME_SIZE], backend[NAME_SIZE];
};

/* healthcheck -> parent -> lb: one line of it; `last` with the verdict. */
struct message_dialogue {
	uint32_t request;
	uint32_t last;
	uint32_t passed;	 /* with last */
	uint32_t at_ms;		 /* since the start of the conversation */
	char text[MESSAGE_LINE]; /* "> EHLO lb1", "< 250 ok", "* TLS 1.3"; printable */
};

/* ---- vrrp ---- */

enum vrrp_role { VRRP_INIT, VRRP_BACKUP, VRRP_ACTIVE };
#define VRRP_ROLE_NAMES                                                                            \
	{                                                                                          \
		"init", "backup", "active"                                                         \
	}

/* Why a packet was no advert for an instance; counted by kind. */
#define VRRP_VERDICTS(V)                                                                           \
	V(GOOD, good, "good")                                                                      \
	V(SHORT, short, "shorter than its header and addresses")                                   \
	V(BAD_TTL, ttl, "TTL or hop limit is not 255")                                             \
	V(VERSION, version, "of another version than the instance")                                \
	V(TYPE, type, "not an advertisement")                                                      \
	V(CHECKSUM, checksum, "checksum is wrong")                                                 \
	V(VRID, vrid, "vrid 0")                                                                    \
	V(ADDRESSES, addresses, "no address, or more bytes than addresses")                        \
	V(INTERVAL, interval, "interval 0")                                                        \
	V(NOT_LINK_LOCAL, link_local, "IPv6 sender or first address is not link-local")            \
	V(DESTINATION, destination,                                                                \
	  "multicast to a unicast instance, or unicast to a multicast one")                        \
	V(STRANGER, stranger, "sender is none of the unicast peers")                               \
	V(AUTH_TYPE, auth_type, "another kind of authentication than the instance's")              \
	V(PASSWORD, password, "password is wrong")                                                 \
	V(INTERVAL_DIFFERS, interval_differs, "interval differs from ours (version 2)")            \
	V(OWN, own, "from our own address: a loop, a replay, or another node that has it")         \
	V(ADDRESSES_DIFFER, addresses_differ, "addresses differ from ours (the advert counts)")

enum vrrp_verdict {
#define VRRP_VERDICT_ENUM(name, counter, text) VRRP_##name,
	VRRP_VERDICTS(VRRP_VERDICT_ENUM)
#undef VRRP_VERDICT_ENUM
		VRRP_VERDICT_COUNT
};

/* vrrp -> parent -> lb: an instance's role, when it changes and after MESSAGE_CONFIG; once a second
 * while anything in it changed. parent -> vrrp after a restart: the role to take up again.
 */
struct message_vrrp {
	char instance[NAME_SIZE];
	uint32_t role; /* enum vrrp_role */
	uint32_t vrid;
	int64_t since_s; /* CLOCK_REALTIME */
	uint32_t transitions;
	uint32_t priority;	   /* ours, as sent: what tracks and group leave of it */
	uint32_t partner_priority; /* of the last valid advert; 0 = none heard */
	uint32_t yielding; /* 1: handed over by the operator: a worse partner is let be active */
	uint32_t marks;	   /* 1: its addresses have our mark; builds before there was one say 0 */
	uint32_t urgent;   /* 1: its last change was into the place of a dead node */
	struct addr partner;
	uint64_t adverts_sent, adverts_received;
	uint64_t adverts_bad; /* ignored; the sum of bad[] without what counts all the same */
	uint64_t bad[VRRP_VERDICT_COUNT];
	uint32_t splits;   /* how often another node was active beside this one, and was heard */
	uint32_t split;	   /* 1: one is now */
	uint64_t split_ms; /* for how long, in all */
	uint64_t withheld; /* times that it did not take over, as the partner lives */
	char reason[VERDICT_TEXT]; /* of the last change */
	char active[NAME_SIZE];	   /* the partner that says that it is active; "" = none does */
};

enum { TURNS = 32, SILENCE_UNKNOWN = UINT32_MAX };

/* vrrp -> parent -> lb: a role has changed. The parent remembers the last TURNS of each instance,
 * for an lb that comes back.
 */
struct message_turn {
	char instance[NAME_SIZE];
	uint32_t number;     /* message_vrrp.transitions then */
	uint32_t from, to;   /* enum vrrp_role */
	uint32_t priority;   /* ours */
	int64_t at_ms;	     /* CLOCK_REALTIME */
	uint32_t silence_ms; /* since the last advert of the node that was active; or UNKNOWN */
	uint32_t took_us;    /* until addresses, advert and announcements were done */
	char reason[VERDICT_TEXT];
};

/* lb (pool, plane), programs (script) -> parent -> vrrp, and vrrp (interface, route) -> parent ->
 * lb, which shows it: does what an instance's right to be active depends on fail? When it changes,
 * and after MESSAGE_CONFIG. The parent remembers it for a vrrp or lb that comes back.
 */
struct message_track {
	char track[NAME_SIZE];
	uint32_t failed;	 /* 0 or 1 */
	char text[VERDICT_TEXT]; /* why; printable */
};

/* lb -> parent -> vrrp: does this node know what its partners know, and see no fewer backends up?
 * One that does not lets them be active as long as they live. When it changes, and after
 * MESSAGE_CONFIG.
 */
struct message_sync {
	uint32_t in_sync; /* 0 or 1 */
};

/* parent -> vrrp, before MESSAGE_CONFIG and when it changes: carries the socket of heartbeats,
 * which the parent keeps, so that it is there as long as any of us; without one: there are none.
 */
struct message_heart {
	uint32_t port;
	uint8_t key[16]; /* from the secret, for this alone */
};

enum partner_life { PARTNER_UNKNOWN, PARTNER_ALIVE, PARTNER_GONE, PARTNER_DEAD };
#define PARTNER_LIFE_NAMES                                                                         \
	{                                                                                          \
		"unknown", "alive", "gone", "dead"                                                 \
	} /* gone: its kernel says that its processes are dead or stuck */
enum { HEART_KINDS_BAD = 7, GUARD_KINDS_BAD = 5 };

/* vrrp -> parent -> lb, every second: what is heard of a partner over a link. */
struct message_partner {
	char node[NAME_SIZE];
	char interface[IFNAMSIZ];
	uint32_t life;	/* enum partner_life: of the node, over all links */
	uint32_t fresh; /* 1: it is heard over this link */
	uint32_t rtt_us;
	uint32_t link; /* its number in "links" */
	uint64_t asked, answered;
	uint64_t bad[HEART_KINDS_BAD];	 /* of this process, all links: vrrp/heartbeat.h */
	uint64_t guard[GUARD_KINDS_BAD]; /* of the kernel: answered, and bad; bpf/abi_guard.h */
};

/* vrrp -> parent -> lb, every second: what the kernel's guard has dropped. */
struct message_guard {
	uint64_t arp, nd; /* for or from a VIP, for want of a lease */
	uint64_t closed;  /* packets to addresses that accept none */
	uint64_t unsent;  /* answers to heartbeats that could not be written */
};

/* lb -> parent -> vrrp: hand the VIPs over now; "" = every instance. */
struct message_failover {
	char instance[NAME_SIZE];
	char to[NAME_SIZE]; /* the node that is to be active, this one or a partner; "" = the best
			     */
};

/* ---- reload and plan ---- */

/* lb -> parent: read the file again. plan_only: do not use it, send it as MESSAGE_CANDIDATE. */
struct message_reload {
	uint32_t request;
	uint32_t plan_only;
	char path[CONFIG_PATH_SIZE]; /* "" = the one in use; only with plan_only */
};

/* parent -> lb: the configuration of a plan; carries the fd. */
struct message_candidate {
	uint32_t request;
};

/* lb -> parent: put the binary that is installed now in our place. The answer is MESSAGE_RELOADED,
 * its text the new version's name; then lb is ended.
 */
struct message_upgrade {
	uint32_t request;
};

/* parent -> lb: how it ended. A reload that is good arrives as MESSAGE_CONFIG first. */
struct message_reloaded {
	uint32_t request;	 /* 0: by SIGHUP */
	int32_t error;		 /* 0 or -errno */
	char text[MESSAGE_TEXT]; /* the file's errors, a line each */
};

/* parent -> lb: a child's process, when it changes. */
struct message_child {
	char role[16];
	int32_t pid; /* 0 = not running */
	uint32_t restarts;
	int32_t before; /* the one of the build before, which serves until this one does; 0 = none
			 */
	uint32_t padding;
	int64_t since_s;
};

#endif
