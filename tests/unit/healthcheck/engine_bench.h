/* SPDX-License-Identifier: BSD-2-Clause */
/* engine_bench.h: an engine, a server on loopback, and what was told, for the tests. */
#ifndef SLUICE_TESTS_ENGINE_BENCH_H
#define SLUICE_TESTS_ENGINE_BENCH_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/log.h"
#include "healthcheck/engine.h"
#include "healthcheck/tls_cache.h"
#include "tests/unit/healthcheck/config_block.h"
#include "tests/unit/healthcheck/server.h"

enum { LONG_MS = 5000, FAST = 100, HANGING = 1000 };

/* Timings: interval, timeout in ms, rise, fall. */
extern const uint32_t fast[4], rarely[4];

struct bench {
	struct event_base *loop;
	struct tls_cache *tls;
	struct engine *engine;
	struct server server;
	int told; /* messages about health */
	struct message_health last;
	bool wanted; /* a message that the test waits for has come */
	const char *wanted_backend;
	uint32_t wanted_health;
	int lines; /* of a dialogue */
	char dialogue[2048];
	struct message_dialogue last_line;
	bool ended; /* it has */
};

int bench_setup(void **state);
int bench_teardown(void **state);
struct engine_hooks bench_hooks(struct bench *b);

/* comes: is it told of @backend that it has this health, within @most_ms? */
bool comes(struct bench *b, const char *backend, enum health health, uint32_t most_ms);
/* run_ms: let it all run for a while. */
void run_ms(struct bench *b, uint32_t ms);

/* one_backend: "mx1" of a pool "mx", which is the bench's server. */
struct config_block *one_backend(struct bench *b, const char *type,
				 const uint32_t timing[static 4]);
/* agent_add: any probe does for an agent: the pool's own, at another port. */
void agent_add(struct config_block *block, uint16_t port);

/* For the main() of such tests. */
#define BENCH_TEST(name) cmocka_unit_test_setup_teardown(name, bench_setup, bench_teardown)
void bench_prepare(void);

#endif
