/* SPDX-License-Identifier: BSD-2-Clause */
/* test_hash.c: who does not know the secret cannot aim flows at a slot, nor at an embryo.
 *
 * An attacker with all the time in the world collects tuples that collide under one key; under
 * another they must be spread like any others. Measured by chi-square over BINS bins: its mean is
 * BINS - 1, its standard deviation sqrt(2 (BINS - 1)), about 11; the keys are fixed, so the bound
 * of more than six of those either holds always or never.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <stdbool.h>
#include <string.h>

#include "bpf/hash.h"

enum { BINS = 64, BOUND = 63 + 75, TUPLES = 4096, SLOTS = 65537, EMBRYO_BITS = 20 };

struct sample {
	uint32_t bins[BINS];
	uint32_t n;
};

static void key_fill(uint64_t seed, __u64 key[static HASH_KEY_WORDS])
{
	for (uint32_t i = 0; i < HASH_KEY_WORDS; i++)
		key[i] = hash_mix(seed + i * 0x9e3779b97f4a7c15ULL);
}

/* What an attacker may vary: source address and port. */
static struct tuple tuple_of(bool ipv6, uint64_t i)
{
	struct tuple t = {.dport = htons(25), .protocol = IPPROTO_TCP};
	uint32_t low = htonl((uint32_t)(i / 60000) + 0x0a000001);

	t.sport = htons((uint16_t)(1024 + i % 60000));
	if (ipv6) {
		t.src[0] = t.dst[0] = 0x20;
		t.dst[15] = 0x10;
	} else {
		memset(t.src + 10, 0xff, 2);
		memset(t.dst + 10, 0xff, 2);
		t.dst[12] = 192;
	}
	memcpy(t.src + 12, &low, sizeof(low));
	return t;
}

static uint64_t slot(const __u64 *key, const struct tuple *t)
{
	return flow_slot(key, t, 0, SLOTS);
}

static uint64_t slot_of_source(const __u64 *key, const struct tuple *t)
{
	return flow_slot(key, t, 32, SLOTS);
}

static uint64_t embryo(const __u64 *key, const struct tuple *t)
{
	return flow_hash(key, t) & ((1U << EMBRYO_BITS) - 1);
}

struct place {
	uint64_t (*of)(const __u64 *key, const struct tuple *t);
	uint64_t range;
};

static const struct place slots = {slot, SLOTS}, embryos = {embryo, 1U << EMBRYO_BITS};

static uint32_t bin_of(const struct place *place, const __u64 *key, const struct tuple *t)
{
	return (uint32_t)(place->of(key, t) * BINS / place->range);
}

static double chi_square(const struct sample *s)
{
	double expected = (double)s->n / BINS, sum = 0;

	for (uint32_t i = 0; i < BINS; i++) {
		double off = s->bins[i] - expected;

		sum += off * off / expected;
	}
	return sum;
}

/* The first TUPLES tuples that under @mine fall into the first thousandth of the places: where they
 * fall under @other.
 */
static struct sample collide(const struct place *place, bool ipv6, const __u64 *mine,
			     const __u64 *other)
{
	struct sample s = {0};

	for (uint64_t i = 0; s.n < TUPLES; i++) {
		struct tuple t = tuple_of(ipv6, i);

		if (place->of(mine, &t) >= place->range / 1000)
			continue;
		s.bins[bin_of(place, other, &t)]++;
		s.n++;
	}
	return s;
}

static void assert_spread_by_another_key(const struct place *place)
{
	__u64 mine[HASH_KEY_WORDS], other[HASH_KEY_WORDS];

	key_fill(1, mine);
	for (uint64_t seed = 2; seed < 5; seed++) {
		for (int ipv6 = 0; ipv6 < 2; ipv6++) {
			struct sample aimed = collide(place, ipv6, mine, mine);
			struct sample spread;

			key_fill(seed, other);
			spread = collide(place, ipv6, mine, other);
			assert_int_equal(aimed.bins[0], TUPLES); /* they do collide */
			assert_true(chi_square(&aimed) > 100 * BOUND);
			assert_true(chi_square(&spread) < BOUND);
		}
	}
}

static void test_tuples_that_collide_in_slots_are_spread_by_another_key(void **state)
{
	(void)state;
	assert_spread_by_another_key(&slots);
}

static void test_tuples_that_collide_in_embryos_are_spread_by_another_key(void **state)
{
	(void)state;
	assert_spread_by_another_key(&embryos);
}

/* Regular ones, that a key with structure would gather: all ports of a few clients, one port of
 * many, and both in steps of a power of two.
 */
static void assert_regular_is_spread(const struct place *place, uint64_t step, bool ipv6)
{
	__u64 key[HASH_KEY_WORDS];

	for (uint64_t seed = 10; seed < 14; seed++) {
		struct sample s = {.n = 2 * TUPLES};

		key_fill(seed, key);
		for (uint64_t i = 0; i < s.n; i++) {
			struct tuple t = tuple_of(ipv6, i * step);

			s.bins[bin_of(place, key, &t)]++;
		}
		assert_true(chi_square(&s) < BOUND);
	}
}

static void test_regular_tuples_are_spread(void **state)
{
	static const uint64_t steps[] = {1, 256, 60000, 60000 * 256};
	const struct place sources = {slot_of_source, SLOTS};

	(void)state;
	for (int ipv6 = 0; ipv6 < 2; ipv6++) {
		for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
			assert_regular_is_spread(&slots, steps[i], ipv6);
			assert_regular_is_spread(&embryos, steps[i], ipv6);
		}
	}
	assert_regular_is_spread(&sources, 60000, false);
}

/* Slots come from the upper half of the hash, embryos from the lower: who found the one knows
 * nothing of the other.
 */
static void test_slot_tells_nothing_of_the_embryo(void **state)
{
	__u64 key[HASH_KEY_WORDS];
	struct sample s = {0};

	(void)state;
	key_fill(20, key);
	for (uint64_t i = 0; s.n < TUPLES; i++) {
		struct tuple t = tuple_of(false, i);

		if (slot(key, &t) >= SLOTS / 1000)
			continue;
		s.bins[bin_of(&embryos, key, &t)]++;
		s.n++;
	}
	assert_true(chi_square(&s) < BOUND);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_tuples_that_collide_in_slots_are_spread_by_another_key),
		cmocka_unit_test(test_tuples_that_collide_in_embryos_are_spread_by_another_key),
		cmocka_unit_test(test_regular_tuples_are_spread),
		cmocka_unit_test(test_slot_tells_nothing_of_the_embryo),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
