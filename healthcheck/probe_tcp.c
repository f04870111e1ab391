/* SPDX-License-Identifier: BSD-2-Clause */
/* probe_tcp.c: passes when the connection is made (RFC 9293 3.5) and, with implicit TLS, the
 * handshake is done. Says nothing and hears nothing.
 */
#include "healthcheck/probe.h"

struct tcp_conf {
	struct probe_common common;
};

static const struct config_key tcp_keys[] = {
	PROBE_KEY_SNI(struct tcp_conf),
	{0},
};

static enum probe_step tcp_start(void *talk, const void *conf, enum config_tls tls, struct buf *out,
				 struct verdict *v)
{
	(void)talk;
	(void)conf;
	(void)out;
	return probe_end(v, VERDICT_PASS, 0, "%s",
			 tls == TLS_NONE ? "connected" : "connected, TLS");
}

const struct probe_ops probe_tcp = {
	.schema = {.name = "tcp",
		   .keys = tcp_keys,
		   .conf_size = sizeof(struct tcp_conf),
		   .can_tls = true},
	.opening = OPENING_NOBODYS,
	.start = tcp_start,
};
