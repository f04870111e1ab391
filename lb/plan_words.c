/* SPDX-License-Identifier: BSD-2-Clause */
/* plan_words.c: a partner's word about the slots of a pool (words.h), where it is of the owners
 * that are wanted here, too.
 */
#include "lb/plan_diff.h"

#include <errno.h>
#include <stdlib.h>

/* Of those that are there and those that will be. */
static int keys_make(struct diff *d)
{
	const struct config *config = d->desired->config;

	if (d->keys)
		return 0;
	d->keys = calloc(BACKEND_NONE + 1, sizeof(*d->keys));
	if (!d->keys)
		return -ENOMEM;
	current_keys(d->current, d->keys);
	for (uint32_t i = 0; i < config->n_backends; i++) {
		const struct config_backend *b = config_backend(config, i);

		d->keys[d->plan->numbers[i]] =
			word_key(config_pool(config, b->pool)->name, b->name, b->addr.in6.s6_addr);
	}
	return 0;
}

const struct words *pool_words(const struct diff *d, uint32_t number)
{
	const struct words *w = d->facts->words ? &d->facts->words[number] : NULL;

	return w && w->at && w->n == d->desired->settings.slots ? w : NULL;
}

int words_apply(struct diff *d, uint32_t number, const struct table_wish *wish,
		uint16_t **ret_words)
{
	const struct words *w = pool_words(d, number);
	uint16_t *owners;
	int r;

	*ret_words = NULL;
	if (!w)
		return 0;
	r = keys_make(d);
	owners = r == 0 ? calloc(wish->n, sizeof(*owners)) : NULL;
	if (!owners)
		return -ENOMEM;
	for (uint32_t i = 0; i < wish->n; i++)
		owners[i] = wish->owners[i] == BACKEND_NONE ? (uint16_t)BACKEND_NONE
							    : wish->numbers[wish->owners[i]];
	if (words_digest(owners, wish->n, d->keys, d->desired->settings.key_print) == w->digest)
		r = words_previous(w, d->keys, ret_words);
	free(owners);
	return r;
}
