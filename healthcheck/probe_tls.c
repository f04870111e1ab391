/* SPDX-License-Identifier: BSD-2-Clause */
/* probe_tls.c: passes when the TLS handshake is done (RFC 8446 2), whatever is spoken under it. */
#include "healthcheck/probe.h"

struct tls_conf {
	struct probe_common common;
};

static const struct config_key tls_keys[] = {
	PROBE_KEY_SNI(struct tls_conf),
	{0},
};

static enum probe_step tls_start(void *talk, const void *conf, enum config_tls tls, struct buf *out,
				 struct verdict *v)
{
	(void)talk;
	(void)conf;
	(void)tls;
	(void)out;
	return probe_end(v, VERDICT_PASS, 0, "TLS handshake done");
}

const struct probe_ops probe_tls = {
	.schema = {.name = "tls",
		   .keys = tls_keys,
		   .conf_size = sizeof(struct tls_conf),
		   .can_tls = true,
		   .must_tls = true},
	.start = tls_start,
};
