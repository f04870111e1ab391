/* SPDX-License-Identifier: BSD-2-Clause */
/* wire.h: what carries the bytes between a runner and a server: a connection of TCP, datagrams of
 * UDP, echoes of ICMP, or a program that the operator wrote.
 *
 * Each kind (wire_NAME.c) is one struct of functions. A wire tells its owner by hooks, which may be
 * called from wire_begin() on and no more after wire_stop(); the owner may call wire_stop(), but
 * not wire_fini(), inside of one. What is not a stream is sent again, the last of it, after each
 * third of the timeout: a lost datagram is no dead server.
 */
#ifndef SLUICE_HEALTHCHECK_WIRE_H
#define SLUICE_HEALTHCHECK_WIRE_H

#include <event2/event.h>

#include "base/message.h"
#include "healthcheck/probe.h"
#include "healthcheck/via.h"

enum {
	WIRE_CHUNK = 16384, /* the most that a hook is given at once */
	WIRE_DATAGRAM = 512 /* the longest that a probe sends */
};

struct wire_hooks {
	void (*ready)(void *owner);    /* bytes can be sent; once */
	void (*writable)(void *owner); /* what wire_send() has left can be sent */
	void (*received)(void *owner, const char *bytes, size_t n); /* n > 0 */
	void (*closed)(void *owner);				    /* no more will come */
	void (*broken)(void *owner, int error);			    /* an errno */
};

struct wire;

struct wire_ops {
	bool stream;
	const char *name;	      /* for people: "TCP" */
	int (*begin)(struct wire *w); /* 0 or -errno, as if by .broken */
	/* send: how many bytes need not be sent again */
	size_t (*send)(struct wire *w, const char *bytes, size_t n);
	void (*stop)(struct wire *w); /* NULL: there are only the events */
	void (*look)(struct wire *w); /* NULL: .ready is never late; else it comes now, if due */
};

struct wire {
	/* by the owner, before wire_begin() */
	const struct wire_ops *ops;
	const struct wire_hooks *hooks;
	void *owner;
	struct event_base *loop;
	const struct wires *shared;
	const char *pool, *backend; /* must last until wire_begin() has returned */
	struct addr addr;
	uint16_t port;
	uint32_t timeout_ms;
	/* of a connection of TCP only */
	struct via via;
	enum probe_opening opening;
	bool prompt; /* what is said may come in several pieces, none of which may wait */
	bool unseen; /* opening is the server's: .ready may come as late as its first bytes */
	bool last;   /* what is sent from now on is followed by the end: they go together */
	/* by the kinds */
	int fd; /* -1: none of its own */
	bool connecting;
	struct event *readable, *writable, *again;
	uint32_t key;	   /* icmp, program: what an answer is known by */
	struct wire *next; /* of those with answers to come */
	size_t said_len;
	char said[WIRE_DATAGRAM]; /* no stream: the last */
};

/* What wires of a kind have in common; NULL = there is none: such probes are "unable". */
struct wires {
	struct icmp *icmp;
	struct programs *programs;
};

extern const struct wire_ops wire_tcp, wire_udp, wire_icmp, wire_program;

const struct wire_ops *wire_kind(enum probe_transport transport);
int wire_begin(struct wire *w);
size_t wire_send(struct wire *w, const char *bytes, size_t n);
void wire_look(struct wire *w);
void wire_stop(struct wire *w);
void wire_fini(struct wire *w); /* also twice, and of zeroes with fd -1 */

/* wire_verdict: what an error that broke a wire says of the server, or of us. */
enum verdict_word wire_verdict(int error);

/* wire_keep: for the kinds: remember a datagram, to be sent again. */
void wire_keep(struct wire *w, const char *bytes, size_t n);
/* wire_events: for the kinds: the events of w->fd; 0 or -ENOMEM. */
int wire_events(struct wire *w, event_callback_fn readable, event_callback_fn writable);

/* ---- icmp ---- */

/* icmp_new: the two raw sockets of the process, which need CAP_NET_RAW now and no more later. What
 * cannot be opened is logged, and missed by the probes. NULL = out of memory.
 * @first_key: at random
 */
struct icmp *icmp_new(struct event_base *loop, uint32_t first_key);
void icmp_free(struct icmp *icmp);

/* ---- programs ---- */

/* programs_new: @run sends the message to the process that runs them. NULL = out of memory. */
struct programs *programs_new(void (*run)(void *owner, const struct message_run *m), void *owner);
void programs_free(struct programs *p);
/* programs_ran: its answer; one that nobody waits for any more is forgotten. */
void programs_ran(struct programs *p, const struct message_ran *m);

#endif
