/* SPDX-License-Identifier: BSD-2-Clause */
/* test_packet.c: what must hold of sync's packets as bytes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "sync/packet.h"

static const uint8_t keys[2][SYNC_KEY_BYTES] = {{1}, {2}};

static const struct sync_header data = {.kind = SYNC_DATA,
					.from_node = 11,
					.from_session = 12,
					.to_node = 21,
					.to_session = 22,
					.sequence = 7,
					.acknowledged = 6};

static size_t sealed(const struct sync_header *h, const char *text, uint8_t *bytes)
{
	size_t n = 0;

	if (text)
		assert_true(sync_record_put(bytes + SYNC_HEADER, &n, 5, text, strlen(text)));
	return sync_seal(h, keys[0], n, bytes);
}

static enum sync_verdict open_it(const uint8_t *bytes, size_t n)
{
	struct sync_header h;
	size_t records;

	return sync_open(bytes, n, keys, 2, &h, &records);
}

static void test_what_was_sealed_is_opened_by_either_key(void **state)
{
	uint8_t bytes[SYNC_PACKET_MOST];
	size_t n = sealed(&data, "drain", bytes), records = 0, at = 0, len;
	struct sync_header h;
	const uint8_t *record;
	uint16_t type;

	(void)state;
	assert_int_equal(sync_open(bytes, n, &keys[1], 1, &h, &records), SYNC_IS_KEY);
	assert_int_equal(sync_open(bytes, n, keys, 2, &h, &records), SYNC_IS_GOOD);
	assert_true(h.key < 2);
	h.key = 0;
	assert_memory_equal(&h, &data, sizeof(h));
	record = sync_record_next(bytes + SYNC_HEADER, records, &at, &type, &len);
	assert_true(record && type == 5 && len == 5);
	assert_memory_equal(record, "drain", 5);
	assert_null(sync_record_next(bytes + SYNC_HEADER, records, &at, &type, &len));
}

static void test_each_changed_bit_and_each_cut_is_refused(void **state)
{
	uint8_t bytes[SYNC_PACKET_MOST];
	size_t n = sealed(&data, "drain", bytes);

	(void)state;
	for (size_t bit = 0; bit < 8 * n; bit++) {
		bytes[bit / 8] ^= (uint8_t)(1U << bit % 8);
		assert_int_not_equal(open_it(bytes, n), SYNC_IS_GOOD);
		bytes[bit / 8] ^= (uint8_t)(1U << bit % 8);
	}
	for (size_t cut = 0; cut < n; cut++)
		assert_int_not_equal(open_it(bytes, cut), SYNC_IS_GOOD);
	assert_int_equal(open_it(bytes, n), SYNC_IS_GOOD);
}

static void test_form_that_contradicts_itself_is_refused_with_the_right_key(void **state)
{
	struct sync_header h = data;
	uint8_t bytes[SYNC_PACKET_MOST];
	size_t n;

	(void)state;
	h.kind = 9;
	assert_int_equal(open_it(bytes, sealed(&h, "x", bytes)), SYNC_IS_FORM);
	h.kind = SYNC_ACK; /* has records */
	h.sequence = 0;
	assert_int_equal(open_it(bytes, sealed(&h, "x", bytes)), SYNC_IS_FORM);
	h = data; /* has none */
	assert_int_equal(open_it(bytes, sealed(&h, NULL, bytes)), SYNC_IS_FORM);
	h.sequence = 0;
	assert_int_equal(open_it(bytes, sealed(&h, "x", bytes)), SYNC_IS_FORM);
	for (uint16_t len = 0; len < 4; len++) { /* a record that is longer than what is there */
		memset(bytes, 0, sizeof(bytes));
		sync_put16(bytes + SYNC_HEADER + 2, len == 1 ? 0xffff : len);
		n = sync_seal(&data, keys[0], len == 0 ? 3 : 5, bytes);
		assert_int_equal(open_it(bytes, n), len == 0   ? SYNC_IS_FORM
						    : len == 1 ? SYNC_IS_FORM
						    : len == 2 ? SYNC_IS_FORM
							       : SYNC_IS_FORM);
	}
}

static void test_record_has_its_limits(void **state)
{
	uint8_t records[SYNC_RECORDS_MOST], big[SYNC_RECORD_MOST + 1] = {0};
	size_t n = 0;

	(void)state;
	assert_false(sync_record_put(records, &n, 1, big, 0));
	assert_false(sync_record_put(records, &n, 1, big, SYNC_RECORD_MOST + 1));
	assert_true(sync_record_put(records, &n, 1, big, SYNC_RECORD_MOST));
	assert_int_equal(n, SYNC_RECORDS_MOST);
	assert_false(sync_record_put(records, &n, 1, big, 1));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_what_was_sealed_is_opened_by_either_key),
		cmocka_unit_test(test_each_changed_bit_and_each_cut_is_refused),
		cmocka_unit_test(test_form_that_contradicts_itself_is_refused_with_the_right_key),
		cmocka_unit_test(test_record_has_its_limits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
