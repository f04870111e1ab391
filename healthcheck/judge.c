/* SPDX-License-Identifier: BSD-2-Clause */
/* judge.c: see judge.h. */
#include "healthcheck/judge.h"

static uint16_t one_more(uint16_t n)
{
	return n < UINT16_MAX ? (uint16_t)(n + 1) : n;
}

static struct judgement turn(struct judge *j, enum health to, uint16_t agreeing,
			     unsigned int needed)
{
	struct judgement judgement = {.agreeing = agreeing, .needed = (uint16_t)needed};

	if (j->health == HEALTH_UNKNOWN)
		judgement.needed = 1;
	if (agreeing >= judgement.needed && j->health != to) {
		j->health = to;
		judgement.changed = true;
	}
	return judgement;
}

struct judgement judge_verdict(struct judge *j, unsigned int rise, unsigned int fall,
			       enum verdict_word word)
{
	bool leaving = word == VERDICT_LEAVING;
	bool up = j->health == HEALTH_UP;

	if (word == VERDICT_UNABLE)
		return (struct judgement){0};
	if (word == VERDICT_PASS) {
		j->failed = j->alike = 0;
		j->passed = one_more(j->passed);
		return turn(j, HEALTH_UP, j->passed, rise);
	}
	j->alike = j->leaving == leaving ? one_more(j->alike) : 1;
	j->leaving = leaving;
	j->passed = 0;
	j->failed = one_more(j->failed);
	return turn(j, leaving ? HEALTH_LEAVING : HEALTH_DOWN, up ? j->failed : j->alike, fall);
}
