/* SPDX-License-Identifier: BSD-2-Clause */
/* fuzz_sync.c: any bytes as what another node says: as a packet as it came, which nobody without
 * the key can make, as a packet that is sealed by the right key, to a stream, and as records of the
 * operator's words and of slots in transition, a length before each. The first byte chooses.
 */
#include <stdlib.h>
#include <string.h>

#include "lb/partner_operator.h"
#include "lb/words.h"
#include "sync/stream.h"

enum { SLOTS = 251 };

static const uint8_t key[1][SYNC_KEY_BYTES] = {{7}};

static void on_send(void *owner, uint32_t link, const uint8_t *bytes, size_t n)
{
	(void)owner, (void)link, (void)bytes, (void)n;
}

static void on_record(void *owner, uint16_t type, const uint8_t *bytes, size_t n)
{
	struct operator_entry entry;

	(void)owner, (void)type;
	partner_operator_read(bytes, n, &entry);
}

static void on_turn(void *owner)
{
	(void)owner;
}

static uint64_t chance(void *owner)
{
	(void)owner;
	return 42; /* so that the bytes can know the session */
}

static void packet(const uint8_t *bytes, size_t n, bool sealed)
{
	static const struct stream_ops ops = {on_send, on_record, on_turn, on_turn, chance};
	const struct stream_settings settings = {.own_node = 1,
						 .other_node = 2,
						 .n_links = 1,
						 .rate_packets_s = 1000,
						 .keys = {{7}},
						 .n_keys = 1};
	struct stream *s = stream_new(&settings, &ops, NULL, 1000);
	struct sync_header h = {.kind = SYNC_HELLO,
				.from_node = 2,
				.from_session = 9,
				.to_node = 1,
				.to_session = 42,
				.answer = 42};
	uint8_t out[SYNC_PACKET_MOST];

	if (!s)
		return;
	stream_receive(s, 0, out, sync_seal(&h, key[0], 0, out), 1001);
	if (!sealed) {
		stream_receive(s, 0, bytes, n, 1002);
	} else if (n >= 2 && n - 2 <= SYNC_RECORDS_MOST) {
		h.kind = bytes[0];
		h.sequence = bytes[1];
		memcpy(out + SYNC_HEADER, bytes + 2, n - 2);
		stream_receive(s, 0, out, sync_seal(&h, key[0], n - 2, out), 1002);
	}
	stream_tick(s, 1010);
	stream_free(s);
}

static void records(const uint8_t *bytes, size_t n, bool of_slots)
{
	struct words words = {0};
	struct operator_entry entry;

	while (n > 0) {
		size_t len = bytes[0] < n ? bytes[0] : n - 1;
		uint8_t *copy = malloc(len ? len : 1); /* of its very size, for the sanitizer */

		if (!copy)
			break;
		memcpy(copy, bytes + 1, len);
		if (of_slots && words_pool(copy, len))
			words_hear(&words, SLOTS, copy, len);
		else if (!of_slots)
			partner_operator_read(copy, len, &entry);
		free(copy);
		bytes += len + 1;
		n -= len + 1;
	}
	words_fini(&words);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
	if (n < 1)
		return 0;
	if (bytes[0] & 2)
		records(bytes + 1, n - 1, bytes[0] & 1);
	else
		packet(bytes + 1, n - 1, bytes[0] & 1);
	return 0;
}
