/* SPDX-License-Identifier: BSD-2-Clause */
/* url.c: see url.h. The subset of RFC 3986 that an operator writes: no user, no fragment. */
#include "base/url.h"

#include <errno.h>
#include <string.h>

static bool bytes_good(const char *text)
{
	for (; *text; text++) {
		if (*text <= ' ' || *text >= 127 || strchr("\"<>\\^`{|}", *text))
			return false;
	}
	return true;
}

/* port_parse: the digits at @text, all of them; "" = @ret_port stays. */
static bool port_parse(const char *text, uint16_t *ret_port)
{
	uint32_t port = 0;

	if (!*text)
		return true;
	for (; *text; text++) {
		if (*text < '0' || *text > '9' || port > UINT16_MAX)
			return false;
		port = port * 10 + (uint32_t)(*text - '0');
	}
	if (port == 0 || port > UINT16_MAX)
		return false;
	*ret_port = (uint16_t)port;
	return true;
}

/* authority_split: host, and ":port" where it is given. */
static bool authority_split(const char *authority, struct url *url)
{
	const char *host = authority, *end;
	size_t n;

	if (strchr(authority, '@'))
		return false;
	if (*host == '[') {
		end = strchr(++host, ']');
		if (!end || (end[1] && end[1] != ':'))
			return false;
		n = (size_t)(end - host);
		end++;
	} else {
		n = strcspn(host, ":");
		end = host + n;
	}
	if (n == 0)
		return false;
	memcpy(url->host, host, n);
	url->host[n] = '\0';
	return port_parse(*end ? end + 1 : end, &url->port);
}

int url_parse(const char *text, struct url *ret_url)
{
	struct url url = {0};
	const char *authority;
	size_t n, rest;

	if (strlen(text) >= CONFIG_PATH_SIZE - 1 || !bytes_good(text))
		return -EINVAL;
	if (strncmp(text, "https://", 8) == 0)
		url.tls = true;
	else if (strncmp(text, "http://", 7) != 0)
		return -EINVAL;
	authority = text + (url.tls ? 8 : 7);
	url.port = url.tls ? 443 : 80;
	n = strcspn(authority, "/?#");
	memcpy(url.authority, authority, n);
	rest = strcspn(authority + n, "#");
	if (authority[n] != '/')
		strcpy(url.path, "/");
	strncat(url.path, authority + n, rest);
	if (!authority_split(url.authority, &url))
		return -EINVAL;
	*ret_url = url;
	return 0;
}
