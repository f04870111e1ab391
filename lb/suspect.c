/* SPDX-License-Identifier: BSD-2-Clause */
/* suspect.c: see suspect.h. */
#include "lb/suspect.h"

#include <stdio.h>

enum {
	RECENT_SHIFT = 3, /* an eighth is forgotten at each look */
	RATE_SHIFT = 2,	  /* a quarter of the rate is of the last look */
	NORMAL_LEAST = 4, /* connections of the others, to say that they open them */
	USUAL_LEAST = 16, /* packets due from the others' clients, to say that they talk */
	USUAL_FIRST_SHIFT = 1,
	USUAL_DOWN_SHIFT = 3,
	USUAL_TERSE_SHIFT = 5,
	USUAL_UP_SHIFT = 4,
	TENTH = 10,
};

/* ---- differences: the counters of other CPUs go on while they are read ---- */

static uint32_t more(uint64_t now, uint64_t before)
{
	int64_t n = (int64_t)(now - before);

	return n <= 0 ? 0 : n > INT32_MAX / 16 ? INT32_MAX / 16 : (uint32_t)n;
}

static uint32_t new_syns(const struct suspect_counts *now, const struct suspect_counts *before)
{
	return more(now->syns - now->again, before->syns - before->again);
}

/* ---- one backend ---- */

static void runs_begin(struct suspect_state *s, const struct suspect_counts *now, uint64_t now_ms)
{
	s->away = false;
	s->quiet_ms = 0;
	s->last = s->run = s->second = s->talk[0] = s->talk[1] = *now;
	s->last_ms = s->run_ms = s->second_ms = s->talk_ms[0] = s->talk_ms[1] = now_ms;
	s->run_new = 0;
}

static void recent_add(uint32_t *recent, uint32_t n)
{
	uint64_t sum = *recent - (*recent >> RECENT_SHIFT) + 16ULL * n;

	*recent = sum > UINT32_MAX / 2 ? UINT32_MAX / 2 : (uint32_t)sum;
}

static void recent_take(struct suspect_state *s, const struct suspect_counts *now)
{
	recent_add(&s->recent_new, new_syns(now, &s->last));
	recent_add(&s->recent_connected, more(now->connected, s->last.connected));
	recent_add(&s->recent_syns, more(now->syns, s->last.syns));
	recent_add(&s->recent_again, more(now->again, s->last.again));
}

static void rate_take(struct suspect_state *s, uint32_t connected, uint64_t ms)
{
	int64_t now_x16 = ms > 0 ? 16000LL * connected / (int64_t)ms : 0;
	int64_t rate_x16 = s->rate_x16 + (now_x16 - s->rate_x16) / (1 << RATE_SHIFT);

	s->rate_x16 = rate_x16 > INT32_MAX ? INT32_MAX : (uint32_t)rate_x16;
}

/* What a look finds of one backend. */
struct finding {
	bool silent, ripe; /* few connections; for long enough, of enough SYNs */
	uint32_t syns, connected, ms;
};

static struct finding run_look(struct suspect_state *s, const struct suspect_counts *now,
			       uint64_t now_ms)
{
	struct finding f = {.syns = new_syns(now, &s->run),
			    .connected = more(now->connected, s->run.connected),
			    .ms = (uint32_t)(now_ms - s->run_ms)};

	f.silent = (uint64_t)f.connected * TENTH < f.syns;
	/* the SYNs since the last look may become connections yet */
	f.ripe = f.silent && f.ms >= SUSPECT_RUN_MS && f.ms <= SUSPECT_MOST_MS &&
		 f.syns >= SUSPECT_SYNS && s->run_new >= SUSPECT_SYNS / 2;
	s->run_new = f.syns;
	return f;
}

/* It opens connections, or what was gathered against it is too old. */
static void run_end(struct suspect_state *s, const struct suspect_counts *now, uint64_t now_ms,
		    const struct finding *f)
{
	if (f->silent && f->ms < SUSPECT_MOST_MS)
		return;
	if (!f->silent)
		rate_take(s, f->connected, f->ms);
	s->run = *now;
	s->run_ms = now_ms;
	s->run_new = 0;
}

static bool opened_before(const struct suspect_state *s, const struct finding *f)
{
	return f->connected == 0 && (uint64_t)s->rate_x16 * f->ms >= 16000ULL * SUSPECT_EXPECTED;
}

/* ---- a pool ---- */

struct recent {
	uint64_t new, connected, syns, again;
};

static struct recent recent_of_others(const struct recent *all, const struct suspect_state *s)
{
	return (struct recent){.new = all->new - s->recent_new,
			       .connected = all->connected - s->recent_connected,
			       .syns = all->syns - s->recent_syns,
			       .again = all->again - s->recent_again};
}

static bool is_silent(const struct suspect_state *s, const struct finding *f,
		      const struct recent *others)
{
	bool others_open =
		others->connected * 2 >= others->new && others->connected >= 16 * NORMAL_LEAST;

	return f->ripe && (others_open || opened_before(s, f));
}

static void silent_tell(const struct finding *f, struct suspect *ret)
{
	ret->suspected = true;
	if (f->connected == 0)
		snprintf(ret->text, sizeof(ret->text), "%u SYNs in %u ms, none became a connection",
			 f->syns, f->ms);
	else
		snprintf(ret->text, sizeof(ret->text),
			 "%u SYNs in %u ms, %u of them became connections", f->syns, f->ms,
			 f->connected);
}

/* Each second anew. */
static void again_look(struct suspect_state *s, const struct suspect_counts *now, uint64_t now_ms,
		       const struct recent *others, struct suspect *ret)
{
	uint32_t syns = more(now->syns, s->second.syns), again = more(now->again, s->second.again);
	uint32_t ms = (uint32_t)(now_ms - s->second_ms);

	if (ms < SUSPECT_AGAIN_MS)
		return;
	if (ms < 3 * SUSPECT_AGAIN_MS && syns >= SUSPECT_SYNS && 2ULL * again > syns &&
	    2 * others->again <= others->syns && !ret->suspected) {
		ret->suspected = true;
		snprintf(ret->text, sizeof(ret->text), "%u of %u SYNs in %u ms had come before",
			 again, syns, ms);
	}
	s->second = *now;
	s->second_ms = now_ms;
}

/* ---- what the clients of its connections have to say ---- */

struct talk {
	uint64_t connected, said_x16,
		usual_x16; /* usual: as many as there should be; 0 = unknown */
};

/* @w: of which window, here and below. */
static struct talk talk_of(const struct suspect_state *s, const struct suspect_counts *now,
			   uint32_t w)
{
	struct talk t = {.connected = more(now->connected, s->talk[w].connected),
			 .said_x16 = 16ULL * more(now->said, s->talk[w].said)};

	if (s->usual_of >= SUSPECT_TALK_KNOWN)
		t.usual_x16 = t.connected * s->usual_x16;
	return t;
}

/* Of all: who says more than usual does not make up for who is silent. */
static struct talk talk_sum(struct suspect_state *const *states, const struct suspect_counts *now,
			    uint32_t n, uint32_t w)
{
	struct talk all = {0};

	for (uint32_t i = 0; i < n; i++) {
		struct talk t = talk_of(states[i], &now[i], w);

		all.usual_x16 += t.usual_x16;
		all.said_x16 += t.said_x16 < t.usual_x16 ? t.said_x16 : t.usual_x16;
	}
	return all;
}

static bool others_talk(const struct talk *all, const struct talk *own)
{
	uint64_t own_x16 = own->said_x16 < own->usual_x16 ? own->said_x16 : own->usual_x16;
	uint64_t usual_x16 = all->usual_x16 - own->usual_x16;

	return usual_x16 >= 16 * USUAL_LEAST && (all->said_x16 - own_x16) * 3 >= usual_x16 * 2;
}

static void talk_tell(const struct suspect_state *s, const struct talk *t, uint64_t ms,
		      struct suspect *ret)
{
	uint32_t each_x10 = (uint32_t)(t->said_x16 * 10 / t->connected / 16);
	uint32_t usual_x10 = (uint32_t)(s->usual_x16 * 10ULL / 16);

	ret->suspected = ret->hung = true;
	snprintf(ret->text, sizeof(ret->text),
		 "%u connections in %u ms with %u.%u packets each, where %u.%u are usual",
		 (uint32_t)t->connected, (uint32_t)ms, each_x10 / 10, each_x10 % 10, usual_x10 / 10,
		 usual_x10 % 10);
}

static bool is_terse(const struct talk *t)
{
	return t->said_x16 * 2 < t->usual_x16;
}

/* What may be a fault is believed slowly. */
static int down_shift(const struct suspect_state *s, const struct talk *t)
{
	if (s->usual_of < SUSPECT_TALK_KNOWN)
		return USUAL_FIRST_SHIFT;
	return is_terse(t) ? USUAL_TERSE_SHIFT : USUAL_DOWN_SHIFT;
}

static void usual_learn(struct suspect_state *s, const struct talk *t)
{
	uint64_t each_x16 = t->said_x16 / t->connected, usual_x16 = s->usual_x16;
	int shift = down_shift(s, t);

	if (s->usual_of == 0)
		usual_x16 = each_x16;
	else if (each_x16 < usual_x16)
		usual_x16 -= (usual_x16 - each_x16 + (1U << shift) - 1) >> shift;
	else
		usual_x16 += (each_x16 < 2 * usual_x16 ? each_x16 - usual_x16 : usual_x16) >>
			     USUAL_UP_SHIFT;
	s->usual_x16 = usual_x16 < UINT32_MAX ? (uint32_t)usual_x16 : UINT32_MAX;
	s->usual_of += s->usual_of < SUSPECT_TALK_KNOWN;
}

/* Does a window end between these moments? The second one is half a window behind the first. */
static bool window_ends(uint64_t last_ms, uint64_t now_ms, uint32_t w)
{
	uint64_t late_ms = w * SUSPECT_TALK_MS / SUSPECT_WINDOWS;

	return (now_ms + late_ms) / SUSPECT_TALK_MS != (last_ms + late_ms) / SUSPECT_TALK_MS;
}

/* All backends of a pool at the same time, so that what befalls all of them is seen at all. */
static void talk_look(struct suspect_state *s, const struct suspect_counts *now, uint64_t now_ms,
		      uint32_t w, const struct talk *all, struct suspect *ret)
{
	struct talk t = talk_of(s, now, w);
	uint64_t ms = now_ms - s->talk_ms[w];

	if (!window_ends(s->last_ms, now_ms, w) ||
	    (t.connected < SUSPECT_TALKS && ms <= SUSPECT_MOST_MS))
		return;
	if (ms <= SUSPECT_MOST_MS) {
		if (is_terse(&t) && others_talk(all, &t) && !ret->suspected)
			talk_tell(s, &t, ms, ret);
		if (w == 0)
			usual_learn(s, &t);
	}
	s->talk[w] = *now;
	s->talk_ms[w] = now_ms;
}

/* Not again so soon; the longer it goes on, the more seldom. */
static bool is_quiet(struct suspect_state *s, uint64_t now_ms)
{
	uint64_t since_ms = now_ms - s->suspected_ms;

	if (s->quiet_ms > 0 && since_ms < s->quiet_ms)
		return true;
	if (s->quiet_ms == 0 || since_ms > 4ULL * s->quiet_ms)
		s->quiet_ms = SUSPECT_QUIET_MS;
	else
		s->quiet_ms = s->quiet_ms * 2 < SUSPECT_QUIET_MOST_MS ? s->quiet_ms * 2
								      : SUSPECT_QUIET_MOST_MS;
	s->suspected_ms = now_ms;
	return false;
}

static void recent_sum(struct suspect_state *s, const struct suspect_counts *now, uint64_t now_ms,
		       struct recent *all)
{
	/* a number that is another backend's now begins at 0 */
	if (s->last_ms == 0 || now->syns < s->last.syns)
		*s = (struct suspect_state){.away = true};
	if (s->away)
		runs_begin(s, now, now_ms);
	recent_take(s, now);
	all->new += s->recent_new;
	all->connected += s->recent_connected;
	all->syns += s->recent_syns;
	all->again += s->recent_again;
}

uint32_t suspect_pool(struct suspect_state *const *states, const struct suspect_counts *now,
		      uint32_t n, uint64_t now_ms, struct suspect *ret)
{
	struct recent all = {0};
	struct talk talk[SUSPECT_WINDOWS];
	uint32_t suspected = 0;

	for (uint32_t i = 0; i < n; i++)
		recent_sum(states[i], &now[i], now_ms, &all);
	for (uint32_t w = 0; w < SUSPECT_WINDOWS; w++)
		talk[w] = talk_sum(states, now, n, w);
	for (uint32_t i = 0; i < n; i++) {
		struct suspect_state *s = states[i];
		struct recent others = recent_of_others(&all, s);
		struct finding f = run_look(s, &now[i], now_ms);

		ret[i] = (struct suspect){0};
		if (is_silent(s, &f, &others))
			silent_tell(&f, &ret[i]);
		for (uint32_t w = 0; w < SUSPECT_WINDOWS; w++)
			talk_look(s, &now[i], now_ms, w, &talk[w], &ret[i]);
		again_look(s, &now[i], now_ms, &others, &ret[i]);
		run_end(s, &now[i], now_ms, &f);
		s->last = now[i];
		s->last_ms = now_ms;
		ret[i].suspected = ret[i].suspected && !is_quiet(s, now_ms);
		suspected += ret[i].suspected;
	}
	return suspected;
}

uint32_t suspect_most(uint32_t n_backends)
{
	uint32_t tenth = n_backends / 10;

	return tenth < 1 ? 1 : tenth > 20 ? 20 : tenth;
}
