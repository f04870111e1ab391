/* SPDX-License-Identifier: BSD-2-Clause */
/* check.c: see check.h. */
#include "parent/check.h"

#include <string.h>

#include "base/message.h"

#define TIME_MOST_S (1LL << 40)

bool terminated(const char *text, size_t size)
{
	return memchr(text, '\0', size) != NULL;
}

bool printable(const char *text, size_t size)
{
	size_t n = strnlen(text, size);

	for (size_t i = 0; i < n; i++) {
		if (text[i] < ' ' || text[i] > '~')
			return false;
	}
	return n < size;
}

/* time_good: one that others can do sums with. */
static bool time_good(int64_t at_s)
{
	return at_s >= 0 && at_s < TIME_MOST_S;
}

static bool said_good(const struct message_health *m)
{
	for (int i = 0; i < SAYERS; i++) {
		const struct said *said = &m->said[i];

		if (said->health > HEALTH_LEAVING || !time_good(said->since_s) ||
		    !time_good(said->until_s) || !printable(said->text, sizeof(said->text)))
			return false;
	}
	return true;
}

bool health_good(const void *message)
{
	const struct message_health *m = message;

	return terminated(m->pool, sizeof(m->pool)) && terminated(m->backend, sizeof(m->backend)) &&
	       printable(m->verdict, sizeof(m->verdict)) && printable(m->text, sizeof(m->text)) &&
	       m->health <= HEALTH_LEAVING && m->weight >= 1 && m->weight <= 100 && m->slow <= 1 &&
	       time_good(m->since_s) && said_good(m);
}

bool vrrp_good(const void *message)
{
	const struct message_vrrp *m = message;

	return terminated(m->instance, sizeof(m->instance)) &&
	       terminated(m->active, sizeof(m->active)) &&
	       printable(m->reason, sizeof(m->reason)) && m->role <= VRRP_ACTIVE &&
	       m->yielding <= 1 && m->marks <= 1 && m->urgent <= 1 && time_good(m->since_s);
}

bool turn_good(const void *message)
{
	const struct message_turn *m = message;

	return terminated(m->instance, sizeof(m->instance)) &&
	       printable(m->reason, sizeof(m->reason)) && m->from <= VRRP_ACTIVE &&
	       m->to <= VRRP_ACTIVE && time_good(m->at_ms / 1000);
}

bool held_good(const void *message)
{
	const struct message_operator *m = message;

	return terminated(m->pool, sizeof(m->pool)) && terminated(m->backend, sizeof(m->backend));
}

bool track_good(const void *message)
{
	const struct message_track *m = message;

	return terminated(m->track, sizeof(m->track)) && printable(m->text, sizeof(m->text)) &&
	       m->failed <= 1;
}

bool tally_good(const void *message)
{
	const struct message_tally *m = message;

	return terminated(m->pool, sizeof(m->pool)) && m->failing <= 1;
}
