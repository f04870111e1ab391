/* SPDX-License-Identifier: BSD-2-Clause */
/* proxy.c: see proxy.h. */
#include "healthcheck/proxy.h"

#include <string.h>

static size_t header_v1(const struct addr *from, uint16_t from_port, const struct addr *to,
			uint16_t to_port, char ret[static PROXY_HEADER_SIZE])
{
	char from_text[INET6_ADDRSTRLEN], to_text[INET6_ADDRSTRLEN];
	int n = snprintf(ret, PROXY_HEADER_SIZE, "PROXY TCP%c %s %s %u %u\r\n",
			 addr_is_ipv4(to) ? '4' : '6', addr_format(from, from_text),
			 addr_format(to, to_text), from_port, to_port);

	return n > 0 && n < PROXY_HEADER_SIZE ? (size_t)n : 0;
}

/* Signature, version 2 and PROXY, family and STREAM, length; addresses and ports. */
static size_t header_v2(const struct addr *from, uint16_t from_port, const struct addr *to,
			uint16_t to_port, char ret[static PROXY_HEADER_SIZE])
{
	static const char signature[12] = "\r\n\r\n\0\r\nQUIT\n";
	bool four = addr_is_ipv4(to);
	size_t size = four ? 4 : 16, n = 16;
	__be16 ports[2] = {htons(from_port), htons(to_port)};

	memcpy(ret, signature, sizeof(signature));
	ret[12] = 0x21;
	ret[13] = four ? 0x11 : 0x21;
	ret[14] = 0;
	ret[15] = (char)(2 * size + sizeof(ports));
	memcpy(ret + n, from->in6.s6_addr + 16 - size, size);
	memcpy(ret + n + size, to->in6.s6_addr + 16 - size, size);
	memcpy(ret + n + 2 * size, ports, sizeof(ports));
	return n + 2 * size + sizeof(ports);
}

size_t proxy_header(enum config_proxy version, const struct addr *from, uint16_t from_port,
		    const struct addr *to, uint16_t to_port, char ret[static PROXY_HEADER_SIZE])
{
	switch (version) {
	case PROXY_NONE:
		return 0;
	case PROXY_V1:
		return header_v1(from, from_port, to, to_port, ret);
	case PROXY_V2:
		return header_v2(from, from_port, to, to_port, ret);
	}
	return 0;
}
