/* SPDX-License-Identifier: BSD-2-Clause */
/* see_parse.c: the operator's words for packets; see see.h. */
#include <errno.h>
#include <linux/bpf.h>
#include <stdlib.h>
#include <string.h>

#include "lb/see.h"

/* A decimal number and nothing else, up to @most. */
static int number_parse(const char *text, uint32_t most, uint32_t *ret_number)
{
	uint64_t n = 0;
	size_t i;

	for (i = 0; text[i] >= '0' && text[i] <= '9' && i < 10; i++)
		n = n * 10 + (uint64_t)(text[i] - '0');
	if (i == 0 || text[i] || n > most)
		return -EINVAL;
	*ret_number = (uint32_t)n;
	return 0;
}

/* The first @n bytes of @text as an address. */
static int addr_part_parse(const char *text, size_t n, struct addr *ret_addr)
{
	char part[INET6_ADDRSTRLEN];

	if (n >= sizeof(part))
		return -EINVAL;
	memcpy(part, text, n);
	part[n] = '\0';
	return addr_parse(part, ret_addr);
}

int see_endpoint_parse(const char *text, struct addr *ret_addr, uint16_t *ret_port)
{
	bool bracketed = text[0] == '[';
	const char *end = bracketed ? strstr(text, "]:") : strchr(text, ':');
	struct addr addr;
	uint32_t port;

	if (!end || addr_part_parse(text + bracketed, (size_t)(end - text) - bracketed, &addr) < 0)
		return -EINVAL;
	if (addr_is_ipv4(&addr) == bracketed ||
	    number_parse(end + 1 + bracketed, UINT16_MAX, &port) < 0)
		return -EINVAL;
	*ret_addr = addr;
	*ret_port = (uint16_t)port;
	return 0;
}

int see_prefix_parse(const char *text, uint32_t ret_addr[static 4], uint32_t ret_mask[static 4])
{
	const char *slash = strchr(text, '/');
	size_t n = slash ? (size_t)(slash - text) : strlen(text);
	struct addr addr;
	uint32_t bits, most;

	if (addr_part_parse(text, n, &addr) < 0)
		return -EINVAL;
	most = addr_is_ipv4(&addr) ? 32 : 128;
	bits = most;
	if (slash && number_parse(slash + 1, most, &bits) < 0)
		return -EINVAL;
	bits += 128 - most; /* an IPv4 prefix lies within ::ffff:0:0/96 */
	memcpy(ret_addr, &addr, 16);
	for (uint32_t i = 0; i < 4; i++) {
		uint32_t of_word = bits <= 32 * i ? 0 : bits - 32 * i;

		ret_mask[i] =
			of_word >= 32 ? UINT32_MAX : htonl(~(uint32_t)(0xffffffffULL >> of_word));
	}
	return 0;
}

int see_protocol_parse(const char *text, uint8_t *ret_protocol)
{
	if (strcmp(text, "tcp") != 0 && strcmp(text, "udp") != 0)
		return -EINVAL;
	*ret_protocol = text[0] == 't' ? IPPROTO_TCP : IPPROTO_UDP;
	return 0;
}

static const char *const tcp_flags[] = {"fin", "syn", "rst", "psh", "ack", "urg", "ece", "cwr"};

int see_flags_parse(const char *text, uint8_t *ret_flags)
{
	uint8_t flags = 0;

	if (strcmp(text, "none") == 0) {
		*ret_flags = 0;
		return 0;
	}
	for (;; text++) {
		size_t n = strcspn(text, "|,"), i;

		for (i = 0; i < 8 && (n != 3 || memcmp(text, tcp_flags[i], 3) != 0); i++)
			;
		if (i == 8)
			return -EINVAL;
		flags |= (uint8_t)(1U << i);
		text += n;
		if (!*text)
			break;
	}
	*ret_flags = flags;
	return 0;
}

int see_sample_parse(const char *text, uint32_t *ret_sample)
{
	uint32_t n;

	if (strncmp(text, "1/", 2) == 0)
		text += 2;
	if (number_parse(text, 1000000000, &n) < 0 || n == 0)
		return -EINVAL;
	*ret_sample = n;
	return 0;
}

int see_reason_parse(const char *text, __u64 *ret_reasons)
{
	for (uint32_t i = 0; i < REASON_COUNT; i++) {
		if (strcmp(see_reason_name(i), text) != 0)
			continue;
		*ret_reasons = 1ULL << i;
		return 0;
	}
	return -EINVAL;
}

int see_verdict_parse(const char *text, uint8_t *ret_verdicts)
{
	if (strcmp(text, "pass") == 0)
		*ret_verdicts = 1U << XDP_PASS;
	else if (strcmp(text, "drop") == 0)
		*ret_verdicts = 1U << XDP_DROP | 1U << XDP_ABORTED;
	else if (strcmp(text, "tx") == 0)
		*ret_verdicts = 1U << XDP_TX | 1U << XDP_REDIRECT;
	else
		return -EINVAL;
	return 0;
}
