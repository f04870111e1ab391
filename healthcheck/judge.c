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

struct judgement judge_agent(struct judge *j, enum verdict_word word, uint8_t weight)
{
	if (word != VERDICT_PASS && word != VERDICT_FAIL && word != VERDICT_LEAVING)
		return (struct judgement){0};
	if (word == VERDICT_PASS && weight == 0)
		word = VERDICT_LEAVING;
	return judge_verdict(j, 1, 1, word);
}

bool judge_unsure(const struct judge *j)
{
	if (j->health == HEALTH_UNKNOWN)
		return true;
	if (j->health == HEALTH_UP)
		return j->failed > 0;
	return j->passed > 0 || (j->alike > 0 && j->leaving != (j->health == HEALTH_LEAVING));
}

enum health health_combine(const enum health said[static SAYERS])
{
	enum health health = said[SAYER_PROBE];

	for (int i = 0; i < SAYERS; i++) {
		if (said[i] == HEALTH_DOWN)
			return HEALTH_DOWN;
		if (said[i] == HEALTH_LEAVING)
			health = HEALTH_LEAVING;
	}
	return health;
}
