/* SPDX-License-Identifier: BSD-2-Clause */
/* probe_icmp.c: passes when an echo is answered with the random bytes that it was sent (RFC 792,
 * RFC 4443 4.2); the backend's address says of which family.
 */
#include <string.h>

#include "healthcheck/probe.h"

struct icmp_conf {
	struct probe_common common;
};

struct icmp_talk {
	uint8_t payload[56]; /* random */
};

static const struct config_key icmp_keys[] = {{0}};

static enum probe_transport icmp_transport(const void *conf)
{
	(void)conf;
	return TRANSPORT_ICMP;
}

static enum probe_step icmp_start(void *talk, const void *conf, enum config_tls tls,
				  struct buf *out, struct verdict *v)
{
	struct icmp_talk *t = talk;

	(void)conf;
	(void)tls;
	(void)v;
	buf_add(out, t->payload, sizeof(t->payload));
	return PROBE_MORE;
}

/* Another payload is not ours, or was forged: the right one may still come. */
static enum probe_step icmp_feed(void *talk, const void *conf, struct buf *in, struct buf *out,
				 struct verdict *v)
{
	const struct icmp_talk *t = talk;
	bool ours = buf_len(in) == sizeof(t->payload) &&
		    memcmp(buf_head(in), t->payload, sizeof(t->payload)) == 0;

	(void)conf;
	(void)out;
	buf_drop(in, buf_len(in));
	return ours ? probe_end(v, VERDICT_PASS, 0, "echo reply") : PROBE_MORE;
}

static const char *icmp_waiting(const void *talk)
{
	(void)talk;
	return "echo reply";
}

const struct probe_ops probe_icmp = {
	.schema = {.name = "icmp",
		   .keys = icmp_keys,
		   .conf_size = sizeof(struct icmp_conf),
		   .no_port = true,
		   .no_stream = true},
	.talk_size = sizeof(struct icmp_talk),
	.random_bytes = sizeof(struct icmp_talk),
	.transport = icmp_transport,
	.start = icmp_start,
	.feed = icmp_feed,
	.waiting = icmp_waiting,
};
