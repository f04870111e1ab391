/* SPDX-License-Identifier: BSD-2-Clause */
/* check.h: one question to one backend, asked again and again: its timer (schedule.h), its
 * conversation (runner.h) and its judge (judge.h). A backend has one for its probe and, if the pool
 * has an agent, one for that.
 *
 * A check is idle (its timer runs), or in a conversation: its own, or the operator's. An operator's
 * that comes while the check's own is on waits for its end, and the other way round. What is
 * suspected (check_suspect()) is asked every SCHEDULE_SUSPECT_MS until a pass, or until it is no
 * longer up; and a connection has SUSPECT_CONNECT_MS then: a SYN that was lost is repeated after a
 * second only, so that to wait for anything between a backend's distance and that second gains
 * nothing.
 *
 * What the packets say is hung (message_suspect.hung) has times_patience() for each word, not the
 * whole timeout. Two witnesses that know nothing of each other are needed: its clients get no
 * further, while those of its pool's others do; and it leaves `fall` probes in a row without a
 * word, for ten times as long as a whole conversation takes it, half a second at least. One
 * that is slow speaks, and each word gives it as long again, up to the timeout. A wait that is a
 * server's custom (postscreen's greet wait) is in its times. With fewer than TIMES_LEAST of these
 * the timeout holds.
 */
#ifndef SLUICE_HEALTHCHECK_CHECK_H
#define SLUICE_HEALTHCHECK_CHECK_H

#include "healthcheck/engine.h"
#include "healthcheck/judge.h"
#include "healthcheck/runner.h"
#include "healthcheck/via.h"
#include "healthcheck/wheel.h"

enum { SUSPECT_CONNECT_MS = 250, SUSPECT_AGAIN_MS = 1000 };

/* What all checks of an engine share. */
struct asker {
	struct event_base *loop;
	struct wheel *wheel;
	struct engine_hooks hooks;
	uint32_t most_running, running;
	uint64_t complained_ms;
	const struct vias *vias; /* NULL: nobody is probed through a VIP */
};

/* What is asked, and of whom: borrowed from a configuration. */
struct question {
	const struct config_pool *pool;
	const struct config_backend *backend;
	const struct config_probe *probe;
	SSL_CTX *tls; /* NULL: it speaks no TLS */
};

struct check;

/* check_judge_fn: judges the verdict of the check's own conversation, by check->judge. */
typedef void check_judge_fn(struct check *c, const struct verdict *v, uint32_t took_ms);

struct check {
	struct asker *asker;
	struct question question;    /* with a reference to .tls */
	const struct probe_ops *ops; /* NULL: nothing is asked */
	check_judge_fn *on_verdict;
	void *owner;
	struct judge judge;
	uint32_t phase;
	uint64_t started_ms;
	struct wheel_timer timer;
	struct runner *runner;
	struct via via; /* of the conversation */
	struct via_turn turn;
	struct message_probe *asked; /* by the operator */
	bool asked_running;
	bool begun;
	bool suspected;
	struct patience patience; /* while it is */
	uint64_t suspected_ms;	  /* last */
};

/* check_init: it does nothing before check_begin(). A question without a probe type ("", "none") is
 * none.
 */
void check_init(struct check *c, struct asker *asker, const struct question *q,
		check_judge_fn *on_verdict, void *owner);
void check_fini(struct check *c);

/* check_same: does @q ask the same? Its times, and what its results do, may differ. */
bool check_same(const struct check *c, const struct question *q);

/* check_begin: ask @q, the same as before, from now on; the first time, or when the interval has
 * changed, soon.
 */
void check_begin(struct check *c, const struct question *q, uint32_t phase);

/* check_suspect: something else says that the server is dead. False: heard that just now.
 * @silence_ms: how long it may take to say anything, as patience.silence_ms
 */
bool check_suspect(struct check *c, uint32_t silence_ms);

/* check_ask: one conversation for the operator, told line by line; turns nothing. */
void check_ask(struct check *c, const struct message_probe *m);
/* check_answer: the last line of one. */
void check_answer(const struct asker *asker, uint32_t request, uint32_t passed, uint32_t at_ms,
		  const char *text);

#endif
