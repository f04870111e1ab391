/* SPDX-License-Identifier: BSD-2-Clause */
/* packet.h: what the nodes' lb processes tell each other, as bytes. Pure.
 *
 * A packet is a header, records and 16 bytes of HMAC-SHA256 over all before, by a key that comes
 * from the nodes' common secret. All numbers are in network byte order. A packet of another version
 * is refused as a whole; a record of a type that is not known is passed over by its length, so that
 * a later version can add some.
 *
 *   0  magic (4)  version (1)  kind (1)  bytes of records (2)
 *   8  from: node (8)          session (8)
 *  24  to: node (8)            session (8)
 *  40  sequence (8)            acknowledged (8)
 *  56  challenge (8)           answer (8)
 *  72  records: type (2) bytes (2) ...
 */
#ifndef SLUICE_SYNC_PACKET_H
#define SLUICE_SYNC_PACKET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	SYNC_VERSION = 1,
	SYNC_KEY_BYTES = 32,
	SYNC_HEADER = 72,
	SYNC_MAC = 16,
	SYNC_PACKET_MOST = 1232, /* with the headers of UDP and IPv6: IPv6's least MTU */
	SYNC_RECORDS_MOST = SYNC_PACKET_MOST - SYNC_HEADER - SYNC_MAC,
	SYNC_RECORD_HEADER = 4,
	SYNC_RECORD_MOST = SYNC_RECORDS_MOST - SYNC_RECORD_HEADER,
};

enum sync_kind {
	SYNC_HELLO = 1, /* who I am; no records */
	SYNC_DATA = 2,
	SYNC_ACK = 3,	/* no records */
	SYNC_REPLY = 4, /* to a HELLO that answered nothing new; is itself never replied to */
};

struct sync_header {
	enum sync_kind kind;
	uint64_t from_node, from_session; /* a node: sync_node() of its name */
	uint64_t to_node, to_session;
	uint64_t sequence;     /* DATA: 1, 2, ... of this session */
	uint64_t acknowledged; /* the last DATA that came in order */
	uint64_t challenge;    /* HELLO, REPLY: to be answered */
	uint64_t answer;       /* HELLO, REPLY: the other's challenge */
	uint64_t key;	       /* sync_open(): which of the keys opened it; not in the packet */
};

/* Why a packet was refused; counted by kind. */
#define SYNC_VERDICTS(V)                                                                           \
	V(GOOD, "good")                                                                            \
	V(SHORT, "shorter than its header and records")                                            \
	V(MAGIC, "not of this protocol")                                                           \
	V(VERSION, "of another version")                                                           \
	V(KEY, "the keyed hash is wrong: another secret, or forged")                               \
	V(FORM, "header or records that contradict each other")                                    \
	V(STRANGER, "from or for another node")                                                    \
	V(SESSION, "of another session: old, or replayed")                                         \
	V(SEQUENCE, "a packet that came before, or one too early")

enum sync_verdict {
#define SYNC_VERDICT_ENUM(name, text) SYNC_IS_##name,
	SYNC_VERDICTS(SYNC_VERDICT_ENUM)
#undef SYNC_VERDICT_ENUM
		SYNC_VERDICT_COUNT
};

const char *sync_verdict_text(enum sync_verdict verdict);

/* sync_node: a node's name as a number: the same on every machine. */
uint64_t sync_node(const char *name);

/* sync_seal: header and @n_records bytes of records, which stand at bytes + SYNC_HEADER already, as
 * a packet; its length.
 * @bytes: SYNC_PACKET_MOST
 */
size_t sync_seal(const struct sync_header *header, const uint8_t key[static SYNC_KEY_BYTES],
		 size_t n_records, uint8_t *bytes);

/* sync_open: GOOD: *ret_header, and the records at bytes + SYNC_HEADER, *ret_n_records bytes of
 * them, each whole.
 * @keys: @n_keys of SYNC_KEY_BYTES; any of them will do
 */
enum sync_verdict sync_open(const uint8_t *bytes, size_t n_bytes,
			    const uint8_t (*keys)[SYNC_KEY_BYTES], size_t n_keys,
			    struct sync_header *ret_header, size_t *ret_n_records);

/* sync_record_put: add a record at the end of @records, of which *n are used; false: no room.
 * @n_bytes: 1 .. SYNC_RECORD_MOST
 */
bool sync_record_put(uint8_t records[static SYNC_RECORDS_MOST], size_t *n, uint16_t type,
		     const void *bytes, size_t n_bytes);

/* sync_record_next: the record at *at, which moves on; NULL at the end. Of a packet that is GOOD.
 */
const uint8_t *sync_record_next(const uint8_t *records, size_t n_records, size_t *at,
				uint16_t *ret_type, size_t *ret_n_bytes);

/* Numbers in records. */
void sync_put16(uint8_t *at, uint16_t value);
void sync_put32(uint8_t *at, uint32_t value);
void sync_put64(uint8_t *at, uint64_t value);
uint16_t sync_get16(const uint8_t *at);
uint32_t sync_get32(const uint8_t *at);
uint64_t sync_get64(const uint8_t *at);

#endif
