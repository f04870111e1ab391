/* SPDX-License-Identifier: BSD-2-Clause */
/* command_hooks.c: `show hooks`: what became of the operator's programs that the programs process
 * runs: each on_change hook, by its number in the file, and each pool's heal; and what `status` and
 * the counters say of them. MESSAGE_TALLY has the numbers, at most a second old.
 */
#include <stdio.h>

#include "lb/control.h"

#define I(value) json_integer((json_int_t)(value))

static void tally_row(json_t *rows, const char *hook, const char *run,
		      const struct message_tally *m)
{
	json_t *row = json_object();

	json_object_set_new(row, "hook", json_string(hook));
	json_object_set_new(row, "run", json_string(run));
	json_object_set_new(row, "waiting", I(m->waiting));
	json_object_set_new(row, "done", I(m->done));
	json_object_set_new(row, "failed", I(m->failed));
	json_object_set_new(row, "again", I(m->again));
	json_object_set_new(row, "dropped", I(m->dropped));
	json_object_set_new(row, "failing", json_boolean(m->failing));
	json_array_append_new(rows, row);
}

json_t *hook_rows(struct lb *lb)
{
	json_t *rows = json_array();
	char run[CONFIG_PATH_SIZE], hook[NAME_SIZE + 8];

	for (uint32_t i = 0; i < lb->config->n_hooks; i++) {
		snprintf(hook, sizeof(hook), "%u", i + 1);
		config_hook_name(&lb->config->hooks[i], run);
		tally_row(rows, hook, run, &lb->hooks[i]);
	}
	for (uint32_t i = 0; i < lb->config->n_pools; i++) {
		const struct config_pool *pool = config_pool(lb->config, i);

		if (!pool->heal.command.words[0])
			continue;
		snprintf(hook, sizeof(hook), "heal %s", pool->name);
		tally_row(rows, hook, pool->heal.command.words, &lb->heals[i]);
	}
	return rows;
}

void hook_problems(json_t *problems, const struct lb *lb)
{
	char run[CONFIG_PATH_SIZE], text[CONFIG_PATH_SIZE + 160];

	for (uint32_t i = 0; i < lb->config->n_hooks; i++) {
		const struct message_tally *m = &lb->hooks[i];

		if (!m->failing)
			continue;
		config_hook_name(&lb->config->hooks[i], run);
		snprintf(
			text, sizeof(text),
			"hook %u (%s) could not tell its last change (%llu so far); the log says why",
			i + 1, run, (unsigned long long)(m->failed + m->dropped));
		json_array_append_new(problems, json_string(text));
	}
}

static void tally_add(struct message_tally *sum, const struct message_tally *m)
{
	sum->waiting += m->waiting;
	sum->done += m->done;
	sum->failed += m->failed;
	sum->again += m->again;
	sum->dropped += m->dropped;
}

void hook_sums(const struct lb *lb, struct message_tally *ret_hooks,
	       struct message_tally *ret_heals)
{
	*ret_hooks = *ret_heals = (struct message_tally){0};
	for (uint32_t i = 0; i < lb->config->n_hooks; i++)
		tally_add(ret_hooks, &lb->hooks[i]);
	for (uint32_t i = 0; i < lb->config->n_pools; i++)
		tally_add(ret_heals, &lb->heals[i]);
}
