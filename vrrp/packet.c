/* SPDX-License-Identifier: BSD-2-Clause */
/* packet.c: see packet.h. */
#include "vrrp/packet.h"

#include <openssl/crypto.h>
#include <string.h>

enum { ADVERT = 1, CHECKSUM_AT = 6 };

const char *vrrp_verdict_text(enum vrrp_verdict verdict)
{
	static const char *const texts[] = {
#define VRRP_VERDICT_TEXT(name, counter, text) text,
		VRRP_VERDICTS(VRRP_VERDICT_TEXT)
#undef VRRP_VERDICT_TEXT
	};

	return verdict < VRRP_VERDICT_COUNT ? texts[verdict] : "?";
}

/* RFC 1071, not yet folded. */
static uint32_t sum_add(uint32_t sum, const uint8_t *bytes, size_t n)
{
	for (; n > 1; bytes += 2, n -= 2)
		sum += (uint32_t)bytes[0] << 8 | bytes[1];
	return n ? sum + ((uint32_t)bytes[0] << 8) : sum;
}

static uint16_t sum_fold(uint32_t sum)
{
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)~sum;
}

/* The pseudo-header: RFC 8200 8.1, or RFC 768's for IPv4. */
static uint32_t sum_pseudo(const struct vrrp_advert *a, size_t len)
{
	const size_t at = a->ipv6 ? 0 : 12, n = a->ipv6 ? 16 : 4;
	uint32_t sum = sum_add(0, a->src.in6.s6_addr + at, n);

	return sum_add(sum, a->dst.in6.s6_addr + at, n) + (uint32_t)len + VRRP_PROTOCOL;
}

static bool checksum_good(const uint8_t *bytes, size_t len, const struct vrrp_advert *a)
{
	uint32_t sum = sum_add(0, bytes, len);

	if (!a->ipv6 && sum_fold(sum) == 0)
		return true;
	return a->version == 3 && sum_fold(sum + sum_pseudo(a, len)) == 0;
}

static void addresses_read(const uint8_t *bytes, struct vrrp_advert *a)
{
	const size_t size = a->ipv6 ? 16 : 4;

	for (size_t i = 0; i < a->n_addresses; i++) {
		struct addr addr = {.in6.s6_addr = {[10] = 0xff, [11] = 0xff}};

		memcpy(addr.in6.s6_addr + 16 - size, bytes + VRRP_HEADER + i * size, size);
		a->addresses[i] = addr;
	}
}

bool vrrp_is_for(const uint8_t *bytes, size_t len_bytes, uint8_t vrid)
{
	return len_bytes < 2 || bytes[1] == vrid;
}

/* Version 2: authentication and seconds where version 3 has centiseconds. */
static void version2_read(const uint8_t *bytes, size_t auth_at, struct vrrp_advert *a)
{
	a->auth_type = bytes[4];
	a->advert_cs = (uint16_t)(bytes[5] * 100);
	memcpy(a->auth, bytes + auth_at, VRRP_AUTH_SIZE);
}

enum vrrp_verdict vrrp_decode(const uint8_t *bytes, size_t len, struct vrrp_advert *a)
{
	const size_t size = a->ipv6 ? 16 : 4, auth = a->version == 2 ? VRRP_AUTH_SIZE : 0;
	size_t whole;

	if (a->ttl != VRRP_TTL)
		return VRRP_BAD_TTL;
	if (len < VRRP_HEADER)
		return VRRP_SHORT;
	if (bytes[0] >> 4 != a->version)
		return VRRP_VERSION;
	if ((bytes[0] & 0xf) != ADVERT)
		return VRRP_TYPE;
	whole = VRRP_HEADER + bytes[3] * size + auth;
	if (len < whole)
		return VRRP_SHORT;
	if (!checksum_good(bytes, len, a))
		return VRRP_CHECKSUM;
	if (bytes[1] == 0)
		return VRRP_VRID;
	if (bytes[3] == 0 || len != whole)
		return VRRP_ADDRESSES;
	a->auth_type = VRRP_AUTH_NONE;
	memset(a->auth, 0, sizeof(a->auth));
	a->advert_cs = (uint16_t)((bytes[4] & 0xf) << 8 | bytes[5]);
	if (a->version == 2)
		version2_read(bytes, whole - auth, a);
	if (a->advert_cs == 0)
		return VRRP_INTERVAL;
	a->vrid = bytes[1];
	a->priority = bytes[2];
	a->n_addresses = bytes[3];
	addresses_read(bytes, a);
	if (a->ipv6 && !IN6_IS_ADDR_LINKLOCAL(&a->addresses[0].in6))
		return VRRP_NOT_LINK_LOCAL;
	return VRRP_GOOD;
}

/* ---- is it for us? ---- */

static bool addr_same(const struct addr *a, const struct addr *b)
{
	return memcmp(a, b, sizeof(*a)) == 0;
}

static bool is_multicast(const struct vrrp_advert *a)
{
	return a->ipv6 ? IN6_IS_ADDR_MULTICAST(&a->dst.in6) : a->dst.in6.s6_addr[12] >> 4 == 0xe;
}

static bool is_peer(const struct config_instance *config, const struct addr *src)
{
	for (uint32_t i = 0; i < config->n_peers; i++) {
		if (addr_same(&config->peers[i], src))
			return true;
	}
	return false;
}

/* The same addresses, in whatever order. */
static bool addresses_same(const struct vrrp_advert *a, const struct config_instance *config)
{
	if (a->n_addresses != config->n_addresses)
		return false;
	for (uint32_t i = 0; i < config->n_addresses; i++) {
		const struct addr *wanted = &config->addresses[i].addr;
		bool found = addr_same(&a->addresses[i], wanted);

		for (uint32_t k = 0; k < a->n_addresses && !found; k++)
			found = addr_same(&a->addresses[k], wanted);
		if (!found)
			return false;
	}
	return true;
}

static void auth_of(const struct config_instance *config, uint8_t ret_auth[static VRRP_AUTH_SIZE])
{
	memset(ret_auth, 0, VRRP_AUTH_SIZE);
	memcpy(ret_auth, config->password, strnlen(config->password, VRRP_AUTH_SIZE));
}

static enum vrrp_verdict version2_judge(const struct vrrp_advert *a,
					const struct config_instance *config)
{
	bool with_password = config->authentication == AUTHENTICATION_PASSWORD;
	uint8_t auth[VRRP_AUTH_SIZE];

	if (a->auth_type != (with_password ? VRRP_AUTH_PASSWORD : VRRP_AUTH_NONE))
		return VRRP_AUTH_TYPE;
	auth_of(config, auth);
	if (with_password && CRYPTO_memcmp(a->auth, auth, sizeof(auth)) != 0)
		return VRRP_PASSWORD;
	return a->advert_cs == config->advert_cs ? VRRP_GOOD : VRRP_INTERVAL_DIFFERS;
}

enum vrrp_verdict vrrp_judge(const struct vrrp_advert *a, const struct config_instance *config)
{
	enum vrrp_verdict verdict;

	if (is_multicast(a) == config->unicast)
		return VRRP_DESTINATION;
	if (config->unicast && !is_peer(config, &a->src))
		return VRRP_STRANGER;
	if (!config->unicast && a->ipv6 && !IN6_IS_ADDR_LINKLOCAL(&a->src.in6))
		return VRRP_NOT_LINK_LOCAL;
	if (a->version == 2) {
		verdict = version2_judge(a, config);
		if (verdict != VRRP_GOOD)
			return verdict;
	}
	return addresses_same(a, config) ? VRRP_GOOD : VRRP_ADDRESSES_DIFFER;
}

/* ---- out ---- */

void vrrp_advert_fill(const struct config_instance *config, uint8_t priority, struct vrrp_advert *a)
{
	bool with_password = config->authentication == AUTHENTICATION_PASSWORD;

	a->ttl = VRRP_TTL;
	a->ipv6 = config->ipv6;
	a->version = config->version;
	a->vrid = config->vrid;
	a->priority = priority;
	a->advert_cs = config->advert_cs;
	a->auth_type = with_password ? VRRP_AUTH_PASSWORD : VRRP_AUTH_NONE;
	auth_of(config, a->auth);
	a->n_addresses = (uint8_t)config->n_addresses;
	for (uint32_t i = 0; i < config->n_addresses; i++)
		a->addresses[i] = config->addresses[i].addr;
}

size_t vrrp_encode(const struct vrrp_advert *a, enum config_checksum checksum,
		   uint8_t bytes[static VRRP_PACKET_MOST])
{
	const size_t size = a->ipv6 ? 16 : 4;
	bool pseudo = a->version == 3 && (a->ipv6 || checksum == CHECKSUM_RFC5798);
	size_t len = VRRP_HEADER + a->n_addresses * size;
	uint16_t sum;

	bytes[0] = (uint8_t)(a->version << 4 | ADVERT);
	bytes[1] = a->vrid;
	bytes[2] = a->priority;
	bytes[3] = a->n_addresses;
	bytes[4] = a->version == 2 ? a->auth_type : (uint8_t)(a->advert_cs >> 8 & 0xf);
	bytes[5] = (uint8_t)(a->version == 2 ? a->advert_cs / 100 : a->advert_cs);
	bytes[CHECKSUM_AT] = bytes[CHECKSUM_AT + 1] = 0;
	for (size_t i = 0; i < a->n_addresses; i++)
		memcpy(bytes + VRRP_HEADER + i * size, a->addresses[i].in6.s6_addr + 16 - size,
		       size);
	if (a->version == 2) {
		memcpy(bytes + len, a->auth, VRRP_AUTH_SIZE);
		len += VRRP_AUTH_SIZE;
	}
	sum = sum_fold(sum_add(0, bytes, len) + (pseudo ? sum_pseudo(a, len) : 0));
	bytes[CHECKSUM_AT] = (uint8_t)(sum >> 8);
	bytes[CHECKSUM_AT + 1] = (uint8_t)sum;
	return len;
}
