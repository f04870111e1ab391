/* SPDX-License-Identifier: BSD-2-Clause */
/* state.h: what the lb process knows: its inputs, and what it has put into the data plane.
 *
 * lb.c and inputs.c write it; the commands (control.c and its table) read it, and change it only by
 * the calls of reconcile.h. Everything runs on one event loop, so nobody needs a lock; a pointer
 * into it is good until the next turn of the loop.
 *
 * The inputs are kept in the order of the configuration: `backends[i]` belongs to
 * config_backend(config, i), `instances[i]` to config_instance(config, i). What the data plane has
 * is in `current` (current.h), by number: it outlives a configuration.
 */
#ifndef SLUICE_LB_STATE_H
#define SLUICE_LB_STATE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/config.h"
#include "base/message.h"
#include "bpf/abi.h"

struct announcer;
struct balance;
struct channel;
struct clock_writer;
struct control;
struct current;
struct event;
struct event_base;
struct flow_sweep;
struct neighbours;
struct partner;
struct partner_flows;
struct partner_handover;
struct partner_pools;
struct partner_live;
struct partner_slots;
struct plane;
struct prod;
struct prod_again;
struct reconciler;
struct suspect_watch;
struct request;
struct trace;
struct tracker;

/* ---- what the operator wants of a backend; survives a reload and a restart ---- */

enum operator_state { OPERATOR_ENABLED, OPERATOR_DRAIN, OPERATOR_DISABLED };
#define OPERATOR_NAMES                                                                             \
	{                                                                                          \
		"enabled", "drain", "disabled"                                                     \
	}

enum { WEIGHT_NONE = -1 }; /* no override: the configuration's weight */

/* One row of operator.json. A backend without a row is enabled, with the configured weight. A row
 * may name a backend that the configuration does not have (any more).
 */
struct operator_entry {
	char pool[NAME_SIZE], backend[NAME_SIZE];
	enum operator_state state;
	int32_t weight;	 /* 0 .. CONFIG_WEIGHT, or WEIGHT_NONE */
	int64_t since_s; /* CLOCK_REALTIME, of the state; 0 = not known */
	/* Who said it, and when: the last word wins on all nodes. CLOCK_REALTIME, but later than
	 * all that was known then; 0 = without partners.
	 */
	int64_t changed_ms;
	uint64_t node; /* sync_node() of its name */
};

/* ---- the way to a backend ---- */

enum neighbour_status {
	NEIGHBOUR_UNKNOWN,   /* on a link of ours, but nobody answers for the address (yet) */
	NEIGHBOUR_KNOWN,     /* `mac` is good */
	NEIGHBOUR_GATEWAY,   /* only behind a gateway, and the mode is dsr */
	NEIGHBOUR_NO_ROUTE,  /* no route, or its interface is down */
	NEIGHBOUR_OUR_OWN,   /* an address of this node */
	NEIGHBOUR_NO_DEVICE, /* its interface has no MAC (tunnel, loopback) */
};
#define NEIGHBOUR_NAMES                                                                            \
	{                                                                                          \
		"unknown", "known", "behind a gateway", "no route", "our own address",             \
			"no ethernet"                                                              \
	}

struct neighbour {
	enum neighbour_status status;
	uint32_t ifindex;   /* where it leaves; 0 = not known */
	uint8_t mac[6];	    /* of the backend, or of the gateway to it: the last known one */
	uint8_t own_mac[6]; /* ours, at that interface */
	struct addr source; /* that the kernel would send to it from; all zeroes = none */
	bool was_known;	    /* mac was good once: established flows may still use it */
};

/* ---- inputs, one for each thing of the configuration ---- */

struct lb_backend {
	struct message_health health; /* health.health is HEALTH_UNKNOWN before the first */
	enum operator_state by_operator;
	int64_t by_operator_since_s; /* CLOCK_REALTIME; 0 = not known, or never */
	int32_t weight;		     /* the operator's, or WEIGHT_NONE */
	struct neighbour neighbour;
	/* What the data plane of a process before us did with it: holds while health is unknown. */
	bool kept_takes_new, kept_alive;
	bool fresh; /* the data plane did not have it: nobody called it down, and a partner may have
		       flows there */
	/* How far it takes part in balancing (balance.h); all zero: wholly. */
	uint64_t usable_ms;	 /* since when; 0 = it is not; 1 = since ever */
	uint64_t start_ms;	 /* its slow start began; 0 = none, or over */
	uint16_t withheld_start; /* of its share, in 65,535ths */
	uint16_t gives, claims;	 /* by feedback, as in struct maglev_use */
	bool full;		 /* has its max_connections */
	/* What the data plane is to do with it, as of the last reconcile. */
	bool takes_new;	 /* new connections come here */
	bool alive;	 /* established ones go on */
	uint32_t number; /* in the data plane; BACKEND_NONE = not there (yet) */
};

struct lb_instance {
	bool heard; /* vrrp has said something about it */
	struct message_vrrp vrrp;
	struct message_turn turns[TURNS]; /* by number; those without a name are not there */
};

struct lb_process {		    /* a process of sluiced, as the parent tells */
	struct message_child child; /* child.role "" = not heard of */
};

enum { LB_PROCESSES = 4 }; /* lb, healthcheck, vrrp, programs */

/* ---- one interface with the program ---- */

enum attach_mode { ATTACH_NONE, ATTACH_NATIVE, ATTACH_GENERIC };
#define ATTACH_NAMES                                                                               \
	{                                                                                          \
		"none", "native", "generic"                                                        \
	}

struct lb_interface {
	char name[IFNAMSIZ];
	uint32_t ifindex; /* 0 = there is no such interface now */
	uint8_t mac[6];
	bool up;
	enum attach_mode attached;
	char problem[160];	 /* why it is not attached; "" = it is, or nobody wants it */
	char probe_problem[160]; /* likewise of the program that sends probes through the VIPs */
	struct addr own4, own6;	 /* an address of this node there, for probes; zero = none */
};

/* ---- counters, read on demand (reconcile.h) ---- */

struct backend_counts {
	uint64_t packets, bytes, opened, closed, expired, live;
	uint64_t syns, again; /* TCP: SYNs, and such as came again */
	uint64_t resets;
	uint64_t half_open; /* connections that never got past the handshake */
};

struct service_counts {
	uint64_t packets, bytes, syns, flows, live;
};

/* ---- everything ---- */

struct lb {
	struct event_base *loop;
	struct channel *channel;
	const struct config *config; /* NULL before the first MESSAGE_CONFIG */
	uint32_t generation;
	uint64_t hash_key[HASH_KEY_WORDS];
	int64_t since_s; /* CLOCK_REALTIME: when this process started */

	struct lb_backend *backends;				   /* config->n_backends */
	struct lb_instance *instances;				   /* config->n_instances */
	struct message_partner hearts[CONFIG_NODES][CONFIG_LINKS]; /* as vrrp told it */
	struct message_guard guard;				   /* likewise */
	struct lb_process processes[LB_PROCESSES];
	struct message_tally hooks[CONFIG_HOOKS];	   /* config->n_hooks, as last told */
	struct message_tally *heals;			   /* config->n_pools; of those that heal */
	struct lb_interface interfaces[CONFIG_INTERFACES]; /* of config->node */
	struct operator_entry *operators;		   /* all rows, in no order */
	uint32_t n_operators;
	bool operators_unkept;	 /* the file does not have all of them yet */
	bool operators_failing;	 /* nor could it be written */
	uint32_t operators_told; /* turns for which all partners have known all of them */

	bool served; /* a data plane was adopted, or READY was sent once: connections may have come
			this way */
	bool ready;  /* MESSAGE_READY was sent for this generation */
	bool detached; /* by the operator, until the next reload or start */
	bool stopping;
	uint64_t configured_ms; /* CLOCK_MONOTONIC: when the configuration came */

	struct current *current; /* what the data plane has */
	struct plane *plane;
	struct neighbours *neighbours;
	char neighbour_problem[2][160]; /* by is_ipv6: there are too many for the kernel */
	struct flow_sweep *sweep;
	struct translation_sweep *translations;
	struct syn_watch *syn_watch;
	struct suspect_watch *suspects;
	struct prod *prod; /* NULL: clients of lost flows are not told */
	struct prod_again *prod_again;
	struct clock_writer *clock;
	struct reconciler *reconciler;
	struct balance *balance;
	struct announcer *announcer;
	struct tracker *tracker;
	struct partner *partner;   /* what the other nodes are told, and tell */
	struct partner_live *live; /* what they say of live connections; NULL: there are none */
	struct partner_slots *partner_slots;	   /* and of slots in transition */
	struct partner_flows *partner_flows;	   /* and of flows */
	struct partner_handover *partner_handover; /* whom the program may ask; NULL: nobody */
	struct partner_pools *partner_pools;	   /* what they see of the pools; likewise */
	struct request *requests; /* questions to the parent that have no answer yet */
	uint32_t last_request;	  /* its number */
	struct control *control;
	struct trace *trace; /* the one that runs, or NULL */
};

#endif
