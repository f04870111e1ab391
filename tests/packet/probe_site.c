/* SPDX-License-Identifier: BSD-2-Clause */
/* probe_site.c: see probe_site.h. */
#include "tests/packet/probe_site.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <linux/bpf.h>
#include <stdlib.h>
#include <string.h>

#include "balancer.skel.h"
#include "probe.skel.h"
#include "tests/packet/nat_site.h"

const struct probe_way probe_ways[FAMILIES] = {
	{NODE4, VIP4, BACKEND4},
	{NODE6, VIP6, BACKEND6},
	{NODE6, VIP6, BACKEND4}, /* the VIP's family is another; only in a tunnel in practice */
	{NODE4, VIP4, BACKEND6},
};

void probe_vip_put(struct probe_site *s)
{
	uint32_t mark = MARK;

	assert_int_equal(
		bpf_map_update_elem(bpf_map__fd(s->skel->maps.probe_vips), &mark, &s->vip, BPF_ANY),
		0);
}

void probe_vip_set(struct probe_site *s, const char *vip)
{
	s->vip = (struct probe_vip){.port = htons(25), .timeout_s = 5, .mode = FORWARD_DSR};
	site_addr(s->vip.vip, vip);
	site_addr(s->vip.own, strchr(vip, ':') ? NODE6 : NODE4);
	probe_vip_put(s);
}

void probe_site_open(struct probe_site *s, uint32_t features)
{
	const struct plane_sizes sizes = {
		.slots = SITE_SLOTS, .flows = 64, .embryos = 1024, .features = features};

	assert_int_equal(plane_open(&sizes, &s->plane), 0);
	s->skel = probe__open();
	assert_non_null(s->skel);
	assert_int_equal(bpf_map__reuse_fd(s->skel->maps.probe_returns,
					   bpf_map__fd(s->plane.skel->maps.probe_returns)),
			 0);
	assert_int_equal(probe__load(s->skel), 0);
}

void probe_site_close(struct probe_site *s)
{
	probe__destroy(s->skel);
	plane_close(&s->plane);
}

int probe_site_setup(void **state)
{
	*state = calloc(1, sizeof(struct probe_site));
	probe_site_open(*state, FEATURE_PROBES | FEATURE_VIPS);
	return 0;
}

int probe_site_teardown(void **state)
{
	probe_site_close(*state);
	free(*state);
	return 0;
}

/* ---- packets ---- */

struct datagram probe_of(const char *backend, uint8_t flags)
{
	struct datagram d = {.protocol = IPPROTO_TCP,
			     .sport = PORT,
			     .dport = 25,
			     .seq = 1000,
			     .ack = 2000,
			     .window = 500,
			     .flags = flags,
			     .df = true,
			     .options_bytes = 4,
			     .options = {2, 4, 5, 0xb4}};

	strcpy(d.src, strchr(backend, ':') ? NODE6 : NODE4);
	strcpy(d.dst, backend);
	if (!(flags & TCP_SYN)) {
		d.payload_bytes = 21; /* an odd number */
		memcpy(d.payload, "EHLO lb1.example.org\r", d.payload_bytes);
	}
	return d;
}

struct datagram probe_answer(const struct datagram *came, uint8_t flags)
{
	struct datagram d = *came;

	strcpy(d.src, came->dst);
	strcpy(d.dst, came->src);
	d.sport = came->dport;
	d.dport = came->sport;
	d.seq = 7777;
	d.ack = came->seq + 1;
	d.flags = flags;
	d.df = true;
	d.ttl = 61;
	d.payload_bytes = 7;
	memcpy(d.payload, "220 mx\r", d.payload_bytes);
	return d;
}

int probe_egress(struct probe_site *s, uint32_t mark, struct frame *frame)
{
	struct __sk_buff skb = {.mark = mark};
	uint8_t out[FRAME_SIZE];
	LIBBPF_OPTS(bpf_test_run_opts, run, .data_in = frame->bytes,
		    .data_size_in = frame->len_bytes, .data_out = out, .data_size_out = sizeof(out),
		    .ctx_in = &skb, .ctx_size_in = sizeof(skb), .repeat = 1);

	assert_int_equal(bpf_prog_test_run_opts(bpf_program__fd(s->skel->progs.probe), &run), 0);
	memcpy(frame->bytes, out, run.data_size_out);
	frame->len_bytes = run.data_size_out;
	return (int)run.retval;
}

void assert_same_talk(const struct datagram *a, const struct datagram *b)
{
	assert_int_equal(a->seq, b->seq);
	assert_int_equal(a->ack, b->ack);
	assert_int_equal(a->flags, b->flags);
	assert_int_equal(a->window, b->window);
	assert_int_equal(a->options_bytes, b->options_bytes);
	assert_memory_equal(a->options, b->options, a->options_bytes);
	assert_int_equal(a->payload_bytes, b->payload_bytes);
	assert_memory_equal(a->payload, b->payload, a->payload_bytes);
}

void assert_comes_back(struct probe_site *s, const struct datagram *answer, const char *backend)
{
	uint64_t before = plane_reason(&s->plane, REASON_PASS_PROBE);
	struct datagram up;

	assert_int_equal(datagram_run(&s->plane, answer, &up), XDP_PASS);
	assert_int_equal(plane_reason(&s->plane, REASON_PASS_PROBE), before + 1);
	assert_string_equal(up.src, backend);
	assert_string_equal(up.dst, strchr(backend, ':') ? NODE6 : NODE4);
	assert_int_equal(up.sport, 25);
	assert_int_equal(up.dport, PORT);
	assert_same_talk(&up, answer);
}
