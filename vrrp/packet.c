/* SPDX-License-Identifier: BSD-2-Clause */
/* packet.c: see packet.h. */
#include "vrrp/packet.h"

#include <arpa/inet.h>
#include <string.h>

enum { VERSION_3_ADVERT = 0x31, CHECKSUM_AT = 6 };

const char *vrrp_verdict_text(enum vrrp_verdict verdict)
{
	static const char *const texts[] = {
#define VRRP_VERDICT_TEXT(name, text) text,
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

	return sum_fold(sum + sum_pseudo(a, len)) == 0 || (!a->ipv6 && sum_fold(sum) == 0);
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

enum vrrp_verdict vrrp_decode(const uint8_t *bytes, size_t len, struct vrrp_advert *a)
{
	const size_t size = a->ipv6 ? 16 : 4;

	if (a->ttl != VRRP_TTL)
		return VRRP_BAD_TTL;
	if (len < VRRP_HEADER)
		return VRRP_SHORT;
	if (bytes[0] >> 4 != 3)
		return VRRP_VERSION;
	if ((bytes[0] & 0xf) != 1)
		return VRRP_TYPE;
	if (len < VRRP_HEADER + bytes[3] * size)
		return VRRP_SHORT;
	if (!checksum_good(bytes, len, a))
		return VRRP_CHECKSUM;
	if (bytes[1] == 0)
		return VRRP_VRID;
	if (bytes[3] == 0 || len != VRRP_HEADER + bytes[3] * size)
		return VRRP_ADDRESSES;
	a->advert_cs = (uint16_t)((bytes[4] & 0xf) << 8 | bytes[5]);
	if (a->advert_cs == 0)
		return VRRP_INTERVAL;
	a->vrid = bytes[1];
	a->priority = bytes[2];
	a->n_addresses = bytes[3];
	addresses_read(bytes, a);
	if (a->ipv6 &&
	    (!IN6_IS_ADDR_LINKLOCAL(&a->src.in6) || !IN6_IS_ADDR_LINKLOCAL(&a->addresses[0].in6)))
		return VRRP_NOT_LINK_LOCAL;
	return VRRP_GOOD;
}

size_t vrrp_encode(const struct vrrp_advert *a, enum config_checksum checksum,
		   uint8_t bytes[static VRRP_PACKET_MOST])
{
	const size_t size = a->ipv6 ? 16 : 4, len = VRRP_HEADER + a->n_addresses * size;
	bool pseudo = a->ipv6 || checksum == CHECKSUM_RFC5798;
	uint16_t sum;

	bytes[0] = VERSION_3_ADVERT;
	bytes[1] = a->vrid;
	bytes[2] = a->priority;
	bytes[3] = a->n_addresses;
	bytes[4] = (uint8_t)(a->advert_cs >> 8 & 0xf);
	bytes[5] = (uint8_t)a->advert_cs;
	bytes[CHECKSUM_AT] = bytes[CHECKSUM_AT + 1] = 0;
	for (size_t i = 0; i < a->n_addresses; i++)
		memcpy(bytes + VRRP_HEADER + i * size, a->addresses[i].in6.s6_addr + 16 - size,
		       size);
	sum = sum_fold(sum_add(pseudo ? sum_pseudo(a, len) : 0, bytes, len));
	bytes[CHECKSUM_AT] = (uint8_t)(sum >> 8);
	bytes[CHECKSUM_AT + 1] = (uint8_t)sum;
	return len;
}
