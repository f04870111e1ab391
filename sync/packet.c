/* SPDX-License-Identifier: BSD-2-Clause */
/* packet.c: see packet.h. */
#include "sync/packet.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <string.h>

enum { MAGIC = 0x534c5359 }; /* "SLSY" */

const char *sync_verdict_text(enum sync_verdict verdict)
{
	static const char *const texts[] = {
#define SYNC_VERDICT_TEXT(name, text) text,
		SYNC_VERDICTS(SYNC_VERDICT_TEXT)
#undef SYNC_VERDICT_TEXT
	};

	return verdict < SYNC_VERDICT_COUNT ? texts[verdict] : "?";
}

/* ---- numbers ---- */

void sync_put16(uint8_t *at, uint16_t value)
{
	at[0] = (uint8_t)(value >> 8);
	at[1] = (uint8_t)value;
}

void sync_put32(uint8_t *at, uint32_t value)
{
	sync_put16(at, (uint16_t)(value >> 16));
	sync_put16(at + 2, (uint16_t)value);
}

void sync_put64(uint8_t *at, uint64_t value)
{
	sync_put32(at, (uint32_t)(value >> 32));
	sync_put32(at + 4, (uint32_t)value);
}

uint16_t sync_get16(const uint8_t *at)
{
	return (uint16_t)(at[0] << 8 | at[1]);
}

uint32_t sync_get32(const uint8_t *at)
{
	return (uint32_t)sync_get16(at) << 16 | sync_get16(at + 2);
}

uint64_t sync_get64(const uint8_t *at)
{
	return (uint64_t)sync_get32(at) << 32 | sync_get32(at + 4);
}

/* FNV-1a, 64 bits. */
uint64_t sync_node(const char *name)
{
	uint64_t h = 0xcbf29ce484222325ULL;

	for (; *name; name++)
		h = (h ^ (uint8_t)*name) * 0x100000001b3ULL;
	return h;
}

/* ---- packets ---- */

static bool mac_make(const uint8_t *key, const uint8_t *bytes, size_t n,
		     uint8_t ret_mac[static EVP_MAX_MD_SIZE])
{
	unsigned len = 0;

	return HMAC(EVP_sha256(), key, SYNC_KEY_BYTES, bytes, n, ret_mac, &len) && len >= SYNC_MAC;
}

size_t sync_seal(const struct sync_header *h, const uint8_t key[static SYNC_KEY_BYTES],
		 size_t n_records, uint8_t *bytes)
{
	uint8_t mac[EVP_MAX_MD_SIZE] = {0};
	size_t n = SYNC_HEADER + n_records;

	sync_put32(bytes, MAGIC);
	bytes[4] = SYNC_VERSION;
	bytes[5] = (uint8_t)h->kind;
	sync_put16(bytes + 6, (uint16_t)n_records);
	sync_put64(bytes + 8, h->from_node);
	sync_put64(bytes + 16, h->from_session);
	sync_put64(bytes + 24, h->to_node);
	sync_put64(bytes + 32, h->to_session);
	sync_put64(bytes + 40, h->sequence);
	sync_put64(bytes + 48, h->acknowledged);
	sync_put64(bytes + 56, h->challenge);
	sync_put64(bytes + 64, h->answer);
	/* Out of memory: what goes out has no hash and is refused, as if it were lost. */
	if (!mac_make(key, bytes, n, mac))
		memset(mac, 0, sizeof(mac));
	memcpy(bytes + n, mac, SYNC_MAC);
	return n + SYNC_MAC;
}

static bool records_good(const uint8_t *records, size_t n)
{
	size_t at = 0;

	while (at < n) {
		size_t len;

		if (n - at < SYNC_RECORD_HEADER)
			return false;
		len = sync_get16(records + at + 2);
		if (len == 0 || len > n - at - SYNC_RECORD_HEADER)
			return false;
		at += SYNC_RECORD_HEADER + len;
	}
	return true;
}

static bool header_good(const struct sync_header *h, const uint8_t *bytes, size_t n_records)
{
	switch (h->kind) {
	case SYNC_HELLO:
	case SYNC_REPLY:
	case SYNC_ACK:
		return n_records == 0 && h->sequence == 0;
	case SYNC_DATA:
		return n_records > 0 && h->sequence > 0 &&
		       records_good(bytes + SYNC_HEADER, n_records);
	}
	return false;
}

enum sync_verdict sync_open(const uint8_t *bytes, size_t n_bytes,
			    const uint8_t (*keys)[SYNC_KEY_BYTES], size_t n_keys,
			    struct sync_header *ret_header, size_t *ret_n_records)
{
	uint8_t mac[EVP_MAX_MD_SIZE];
	struct sync_header h;
	size_t n_records, key = 0;

	if (n_bytes < SYNC_HEADER + SYNC_MAC || n_bytes > SYNC_PACKET_MOST)
		return SYNC_IS_SHORT;
	if (sync_get32(bytes) != MAGIC)
		return SYNC_IS_MAGIC;
	if (bytes[4] != SYNC_VERSION)
		return SYNC_IS_VERSION;
	n_records = sync_get16(bytes + 6);
	if (n_records != n_bytes - SYNC_HEADER - SYNC_MAC)
		return SYNC_IS_SHORT;
	while (key < n_keys && (!mac_make(keys[key], bytes, n_bytes - SYNC_MAC, mac) ||
				CRYPTO_memcmp(mac, bytes + n_bytes - SYNC_MAC, SYNC_MAC) != 0))
		key++;
	if (key == n_keys)
		return SYNC_IS_KEY;
	h = (struct sync_header){.kind = bytes[5],
				 .from_node = sync_get64(bytes + 8),
				 .from_session = sync_get64(bytes + 16),
				 .to_node = sync_get64(bytes + 24),
				 .to_session = sync_get64(bytes + 32),
				 .sequence = sync_get64(bytes + 40),
				 .acknowledged = sync_get64(bytes + 48),
				 .challenge = sync_get64(bytes + 56),
				 .answer = sync_get64(bytes + 64),
				 .key = key};
	if (!header_good(&h, bytes, n_records))
		return SYNC_IS_FORM;
	*ret_header = h;
	*ret_n_records = n_records;
	return SYNC_IS_GOOD;
}

/* ---- records ---- */

bool sync_record_put(uint8_t records[static SYNC_RECORDS_MOST], size_t *n, uint16_t type,
		     const void *bytes, size_t n_bytes)
{
	uint8_t *at = records + *n;

	if (n_bytes == 0 || n_bytes > SYNC_RECORD_MOST ||
	    *n + SYNC_RECORD_HEADER + n_bytes > SYNC_RECORDS_MOST)
		return false;
	sync_put16(at, type);
	sync_put16(at + 2, (uint16_t)n_bytes);
	memcpy(at + SYNC_RECORD_HEADER, bytes, n_bytes);
	*n += SYNC_RECORD_HEADER + n_bytes;
	return true;
}

const uint8_t *sync_record_next(const uint8_t *records, size_t n_records, size_t *at,
				uint16_t *ret_type, size_t *ret_n_bytes)
{
	const uint8_t *record = records + *at;

	if (*at >= n_records)
		return NULL;
	*ret_type = sync_get16(record);
	*ret_n_bytes = sync_get16(record + 2);
	*at += SYNC_RECORD_HEADER + *ret_n_bytes;
	return record + SYNC_RECORD_HEADER;
}
