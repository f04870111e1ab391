/* SPDX-License-Identifier: BSD-2-Clause */
/* engine_bench.c: see engine_bench.h. */
#include "tests/unit/healthcheck/engine_bench.h"

#include <signal.h>
#include <sys/resource.h>

const uint32_t fast[4] = {FAST, LONG_MS, 2, 3}, rarely[4] = {3600000, LONG_MS, 2, 3};

static void on_health(void *owner, const struct message_health *m)
{
	struct bench *b = owner;

	b->told++;
	b->last = *m;
	if (b->wanted_backend && strcmp(m->backend, b->wanted_backend) == 0 &&
	    m->health == b->wanted_health)
		b->wanted = true;
}

static void on_dialogue(void *owner, const struct message_dialogue *m)
{
	struct bench *b = owner;
	size_t used = strlen(b->dialogue);

	b->lines++;
	b->last_line = *m;
	b->ended = m->last;
	snprintf(b->dialogue + used, sizeof(b->dialogue) - used, "%s\n", m->text);
}

struct engine_hooks bench_hooks(struct bench *b)
{
	return (struct engine_hooks){.health = on_health, .dialogue = on_dialogue, .owner = b};
}

int bench_setup(void **state)
{
	struct bench *b = calloc(1, sizeof(*b));
	struct engine_hooks hooks = bench_hooks(b);

	b->loop = event_base_new();
	b->tls = tls_cache_new();
	b->engine = engine_new(b->loop, b->tls, &hooks, 2 * HANGING, 0);
	assert_non_null(b->engine);
	server_start(&b->server, b->loop, "127.0.0.1", &server_smtp);
	*state = b;
	return 0;
}

int bench_teardown(void **state)
{
	struct bench *b = *state;

	engine_free(b->engine);
	server_stop(&b->server);
	tls_cache_free(b->tls);
	event_base_free(b->loop);
	free(b);
	return 0;
}

bool comes(struct bench *b, const char *backend, enum health health, uint32_t most_ms)
{
	b->wanted = false;
	b->wanted_backend = backend;
	b->wanted_health = health;
	return server_loop_until(b->loop, &b->wanted, most_ms);
}

void run_ms(struct bench *b, uint32_t ms)
{
	const bool never = false;

	server_loop_until(b->loop, &never, ms);
}

struct config_block *one_backend(struct bench *b, const char *type, const uint32_t timing[static 4])
{
	struct config_block *block = block_new();

	block_pool(block, "mx", type, timing);
	block_backend(block, "mx1", "127.0.0.1", b->server.port);
	return block;
}

void agent_add(struct config_block *block, uint16_t port)
{
	struct config_pool *pool = &block->pools[0];

	pool->agent = pool->probe;
	pool->agent.port = port;
}

void bench_prepare(void)
{
	const struct rlimit descriptors = {.rlim_cur = 4096, .rlim_max = 4096};

	signal(SIGPIPE, SIG_IGN);
	setrlimit(RLIMIT_NOFILE, &descriptors);
}
