/* SPDX-License-Identifier: BSD-2-Clause */
/* addr.c: addresses of both families in one form (config.h). Pure. */
#include <arpa/inet.h>
#include <errno.h>
#include <string.h>

#include "base/config.h"

bool addr_is_ipv4(const struct addr *addr)
{
	return IN6_IS_ADDR_V4MAPPED(&addr->in6);
}

int addr_parse(const char *text, struct addr *ret_addr)
{
	struct addr addr = {.in6.s6_addr = {[10] = 0xff, [11] = 0xff}};
	struct in6_addr in6;

	if (inet_pton(AF_INET, text, &addr.in6.s6_addr[12]) == 1) {
		*ret_addr = addr;
		return 0;
	}
	if (inet_pton(AF_INET6, text, &in6) == 1 && !IN6_IS_ADDR_V4MAPPED(&in6)) {
		ret_addr->in6 = in6;
		return 0;
	}
	return -EINVAL;
}

const char *addr_format(const struct addr *addr, char buf[static INET6_ADDRSTRLEN])
{
	if (addr_is_ipv4(addr))
		inet_ntop(AF_INET, &addr->in6.s6_addr[12], buf, INET6_ADDRSTRLEN);
	else
		inet_ntop(AF_INET6, &addr->in6, buf, INET6_ADDRSTRLEN);
	return buf;
}

socklen_t addr_sockaddr(const struct addr *addr, uint16_t port, struct sockaddr_storage *ret_sa)
{
	memset(ret_sa, 0, sizeof(*ret_sa));
	if (addr_is_ipv4(addr)) {
		struct sockaddr_in *sin = (struct sockaddr_in *)ret_sa;

		sin->sin_family = AF_INET;
		sin->sin_port = htons(port);
		memcpy(&sin->sin_addr, &addr->in6.s6_addr[12], sizeof(sin->sin_addr));
		return sizeof(*sin);
	}
	struct sockaddr_in6 *sin6 = (struct sockaddr_in6 *)ret_sa;

	sin6->sin6_family = AF_INET6;
	sin6->sin6_port = htons(port);
	sin6->sin6_addr = addr->in6;
	return sizeof(*sin6);
}

void addr_from_sockaddr(const struct sockaddr_storage *sa, struct addr *ret_addr,
			uint16_t *ret_port)
{
	const struct sockaddr_in6 *sin6 = (const struct sockaddr_in6 *)sa;
	const struct sockaddr_in *sin = (const struct sockaddr_in *)sa;

	if (sa->ss_family == AF_INET6) {
		ret_addr->in6 = sin6->sin6_addr;
		*ret_port = ntohs(sin6->sin6_port);
		return;
	}
	memset(ret_addr, 0, sizeof(*ret_addr));
	ret_addr->in6.s6_addr[10] = ret_addr->in6.s6_addr[11] = 0xff;
	memcpy(&ret_addr->in6.s6_addr[12], &sin->sin_addr, sizeof(sin->sin_addr));
	*ret_port = ntohs(sin->sin_port);
}
