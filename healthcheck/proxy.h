/* SPDX-License-Identifier: BSD-2-Clause */
/* proxy.h: the PROXY protocol's header that a probe sends before everything else, where the server
 * expects one (proxy-protocol.txt of HAProxy, 2.1 and 2.2). Pure.
 */
#ifndef SLUICE_HEALTHCHECK_PROXY_H
#define SLUICE_HEALTHCHECK_PROXY_H

#include <linux/types.h>

#include "base/config.h"

enum { PROXY_HEADER_SIZE = 108 }; /* v1's longest, with the NUL that is not sent */

/* proxy_header: its bytes into @ret, and how many; 0 = PROXY_NONE. Both addresses are of @to's
 * family, ports in host order.
 */
size_t proxy_header(enum config_proxy version, const struct addr *from, uint16_t from_port,
		    const struct addr *to, uint16_t to_port, char ret[static PROXY_HEADER_SIZE]);

#endif
