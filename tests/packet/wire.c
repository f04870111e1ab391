/* SPDX-License-Identifier: BSD-2-Clause */
/* wire.c: see wire.h. */
#include "tests/packet/wire.h"

#include <bpf/bpf.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

static void put8(struct wire *w, uint32_t value)
{
	assert_true(w->len < WIRE_SIZE);
	w->b[w->len++] = (uint8_t)value;
}

static void put16(struct wire *w, uint32_t value)
{
	put8(w, value >> 8);
	put8(w, value);
}

static void put32(struct wire *w, uint32_t value)
{
	put16(w, value >> 16);
	put16(w, value);
}

static void poke16(struct wire *w, uint32_t at, uint16_t value)
{
	w->b[at] = (uint8_t)(value >> 8);
	w->b[at + 1] = (uint8_t)value;
}

void wire_add(struct wire *w, const void *bytes, uint32_t n)
{
	assert_true(w->len + n <= WIRE_SIZE);
	memcpy(w->b + w->len, bytes, n);
	w->len += n;
}

void wire_fill(struct wire *w, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++)
		put8(w, i * 7 + 1);
}

uint16_t wire_sum(uint32_t seed, const uint8_t *bytes, uint32_t n)
{
	uint32_t sum = seed;

	for (uint32_t i = 0; i < n; i++) {
		sum += i % 2 ? bytes[i] : (uint32_t)bytes[i] << 8;
		if (sum > 0xffff)
			sum -= 0xffff;
	}
	return (uint16_t)(0xffff - sum);
}

void wire_eth(struct wire *w, const uint8_t dst[6], const uint8_t src[6], int tags, bool ipv6)
{
	static const uint16_t type[] = {0x88a8, 0x8100};

	wire_add(w, dst, 6);
	wire_add(w, src, 6);
	for (int i = 0; i < tags; i++) {
		put16(w, type[2 - tags + i]);
		put16(w, 0x2000U + 100U * (uint32_t)(i + 1)); /* priority 1, VLAN 100, 200 */
	}
	put16(w, ipv6 ? 0x86dd : 0x0800);
}

void wire_ip(struct wire *w, const struct wire_ip *ip, uint32_t payload)
{
	uint32_t start = w->len, header = 20 + ip->options * 4U;

	if (ip->ipv6) {
		put32(w, 6U << 28 | (uint32_t)ip->tos << 20 | ip->label);
		put16(w, payload);
		put8(w, ip->protocol);
		put8(w, ip->ttl);
		wire_add(w, ip->src, 16);
		wire_add(w, ip->dst, 16);
		return;
	}
	put8(w, 0x40 | header / 4);
	put8(w, ip->tos);
	put16(w, header + payload);
	put16(w, ip->fragment ? 0x4711 : 0);
	put16(w, (ip->df ? 0x4000U : 0) | (ip->more ? 0x2000U : 0) | ip->offset);
	put8(w, ip->ttl);
	put8(w, ip->protocol);
	put16(w, 0);
	wire_add(w, ip->src + 12, 4);
	wire_add(w, ip->dst + 12, 4);
	for (uint32_t i = 0; i < ip->options * 4U; i++)
		put8(w, 1);
	poke16(w, start + 10, wire_sum(0, w->b + start, header));
}

static uint32_t pseudo(const struct wire_ip *ip, uint32_t bytes)
{
	uint8_t head[40] = {0};

	if (ip->ipv6) {
		memcpy(head, ip->src, 16);
		memcpy(head + 16, ip->dst, 16);
	} else {
		memcpy(head, ip->src + 12, 4);
		memcpy(head + 4, ip->dst + 12, 4);
	}
	head[34] = (uint8_t)(bytes >> 8);
	head[35] = (uint8_t)bytes;
	head[39] = ip->protocol;
	return 0xffffU - wire_sum(0, head, sizeof(head));
}

void wire_tcp(struct wire *w, const struct wire_ip *ip, const struct wire_tcp *tcp,
	      uint32_t payload)
{
	uint32_t start = w->len, bytes = 20U + tcp->option_bytes + payload;

	put16(w, tcp->sport);
	put16(w, tcp->dport);
	put32(w, tcp->seq);
	put32(w, tcp->ack);
	put8(w, (20U + tcp->option_bytes) / 4 << 4);
	put8(w, tcp->flags);
	put16(w, tcp->window);
	put32(w, 0);
	wire_add(w, tcp->options, tcp->option_bytes);
	wire_fill(w, payload);
	poke16(w, start + 16, wire_sum(pseudo(ip, bytes), w->b + start, bytes));
}

void wire_udp(struct wire *w, const struct wire_ip *ip, uint16_t sport, uint16_t dport,
	      uint32_t payload)
{
	uint32_t start = w->len;

	put16(w, sport);
	put16(w, dport);
	put16(w, 8 + payload);
	put16(w, 0);
	wire_fill(w, payload);
	poke16(w, start + 6, wire_sum(pseudo(ip, 8 + payload), w->b + start, 8 + payload));
}

void wire_icmp(struct wire *w, const struct wire_ip *ip, uint8_t type, uint8_t code, uint32_t value,
	       const void *quote, uint32_t quoted)
{
	uint32_t start = w->len;

	put8(w, type);
	put8(w, code);
	put16(w, 0);
	put32(w, value);
	wire_add(w, quote, quoted);
	poke16(w, start + 2,
	       wire_sum(ip->ipv6 ? pseudo(ip, 8 + quoted) : 0, w->b + start, 8 + quoted));
}

int wire_run(int program_fd, struct wire *w)
{
	uint8_t out[WIRE_SIZE];
	LIBBPF_OPTS(bpf_test_run_opts, run, .data_in = w->b, .data_size_in = w->len,
		    .data_out = out, .data_size_out = sizeof(out), .repeat = 1);

	assert_int_equal(bpf_prog_test_run_opts(program_fd, &run), 0);
	memcpy(w->b, out, run.data_size_out);
	w->len = run.data_size_out;
	return (int)run.retval;
}

static void dump(const char *title, const struct wire *w)
{
	fprintf(stderr, "%s, %u bytes:", title, w->len);
	for (uint32_t i = 0; i < w->len; i++)
		fprintf(stderr, "%s%02x", i % 16 ? " " : "\n  ", w->b[i]);
	fprintf(stderr, "\n");
}

void wire_assert_equal(const char *what, const struct wire *is, const struct wire *expected)
{
	if (is->len == expected->len && !memcmp(is->b, expected->b, is->len))
		return;
	dump("is", is);
	dump("expected", expected);
	fail_msg("%s: not the packet that was expected", what);
}
