/* SPDX-License-Identifier: BSD-2-Clause */
/* url.h: an URL that something is to be sent to: http or https, a host, a port, a path. */
#ifndef SLUICE_BASE_URL_H
#define SLUICE_BASE_URL_H

#include <stdbool.h>
#include <stdint.h>

#include "base/config.h"

struct url {
	bool tls;
	uint16_t port;			  /* 80 or 443, unless it is given */
	char host[CONFIG_PATH_SIZE];	  /* a name, or an address without brackets */
	char authority[CONFIG_PATH_SIZE]; /* as it was written: the Host header */
	char path[CONFIG_PATH_SIZE];	  /* with the query, from "/" on; no fragment */
};

/* url_parse: 0, or -EINVAL: another scheme, no host, a user in it, a bad port, or a byte that no
 * URL has (so nothing of it can end a header's line).
 */
int url_parse(const char *text, struct url *ret_url);

#endif
