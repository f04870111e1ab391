/* SPDX-License-Identifier: BSD-2-Clause */
/* wire_program.c: a program of the operator's, run by another process: this one may not. It is
 * asked for by pool and backend; what comes back, once, is its end and output as ran.h has it.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "healthcheck/ran.h"
#include "healthcheck/wire.h"

struct programs {
	void (*run)(void *owner, const struct message_run *m);
	void *owner;
	uint32_t next_key;
	struct wire *waiting;
};

static int begin(struct wire *w)
{
	struct programs *p = w->shared ? w->shared->programs : NULL;
	struct message_run m = {0};

	if (!p)
		return -ENOBUFS; /* ours: says nothing about the server */
	w->key = m.request = ++p->next_key;
	snprintf(m.pool, sizeof(m.pool), "%s", w->pool);
	snprintf(m.backend, sizeof(m.backend), "%s", w->backend);
	w->next = p->waiting;
	p->waiting = w;
	p->run(p->owner, &m);
	w->hooks->ready(w->owner);
	return 0;
}

/* There is nothing to be told to a program that runs. */
static size_t send_nothing(struct wire *w, const char *bytes, size_t n)
{
	(void)w;
	(void)bytes;
	return n;
}

static struct wire **wire_find(struct programs *p, uint32_t key)
{
	struct wire **at = &p->waiting;

	while (*at && (*at)->key != key)
		at = &(*at)->next;
	return at;
}

static void stop(struct wire *w)
{
	struct programs *p = w->shared ? w->shared->programs : NULL;
	struct wire **at = p ? wire_find(p, w->key) : NULL;

	if (at && *at == w) {
		*at = w->next;
		w->next = NULL;
	}
}

const struct wire_ops wire_program = {
	.name = "program", .begin = begin, .send = send_nothing, .stop = stop};

void programs_ran(struct programs *p, const struct message_ran *m)
{
	struct wire *w = *wire_find(p, m->request);
	char bytes[RAN_OUTPUT + 32];
	struct buf text = {.bytes = bytes, .size = sizeof(bytes)};
	struct ran ran = {.error = m->error < 0 ? -m->error : 0,
			  .status = m->status & 0xff,
			  .output = m->output,
			  .len = strnlen(m->output, sizeof(m->output))};

	if (!w || !ran_write(&text, &ran))
		return;
	w->hooks->received(w->owner, buf_head(&text), buf_len(&text));
}

struct programs *programs_new(void (*run)(void *owner, const struct message_run *m), void *owner)
{
	struct programs *p = calloc(1, sizeof(*p));

	if (p)
		*p = (struct programs){.run = run, .owner = owner};
	return p;
}

void programs_free(struct programs *p)
{
	free(p);
}
