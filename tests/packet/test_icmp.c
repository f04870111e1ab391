/* SPDX-License-Identifier: BSD-2-Clause */
/* test_icmp.c: ICMP errors about what a backend sent to its client, in mode dsr. How they are
 * translated: test_nat.c.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <cmocka.h>
#include <linux/bpf.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include "balancer.skel.h"
#include "tests/packet/dsr_site.h"

enum { HOPS = 0, ROUTING = 43, FRAGMENT = 44, OPTIONS = 60 };

/* An error about a packet that the flow's backend sent to the client. */
static struct frame icmp_error(const struct frame_spec *spec, uint8_t type, uint32_t inner_options)
{
	uint32_t ip_bytes = spec->ipv6 ? 40 : 20, src_at = spec->ipv6 ? 8 : 12;
	uint32_t addr_bytes = spec->ipv6 ? 16 : 4, inner_bytes = ip_bytes + inner_options * 4;
	uint8_t inner[128], *ip;
	struct frame f, of_flow;

	frame_build(spec, &of_flow);
	ip = of_flow.bytes + IP4_AT;
	memcpy(inner, ip, ip_bytes);
	memset(inner + ip_bytes, 1, inner_options * 4);
	if (!spec->ipv6)
		inner[0] = (uint8_t)(0x45 + inner_options);
	memcpy(inner + src_at, ip + src_at + addr_bytes, addr_bytes);
	memcpy(inner + src_at + addr_bytes, ip + src_at, addr_bytes);
	memcpy(inner + inner_bytes, ip + ip_bytes + 2, 2);
	memcpy(inner + inner_bytes + 2, ip + ip_bytes, 2);
	memset(inner + inner_bytes + 4, 0, 4);

	f = of_flow; /* from a router on the way, here: the client's neighbour */
	f.bytes[IP4_AT + src_at + addr_bytes - 1] = 99;
	f.bytes[IP4_AT + (spec->ipv6 ? 6 : 9)] = spec->ipv6 ? IPPROTO_ICMPV6 : IPPROTO_ICMP;
	memset(f.bytes + IP4_AT + ip_bytes, 0, 8);
	f.bytes[IP4_AT + ip_bytes] = type;
	memcpy(f.bytes + IP4_AT + ip_bytes + 8, inner, inner_bytes + 8);
	f.len_bytes = IP4_AT + ip_bytes + 8 + inner_bytes + 8;
	if (spec->ipv6)
		put16(f.bytes + IP4_AT + 4, 8 + inner_bytes + 8);
	else
		put16(f.bytes + IP4_AT + 2, ip_bytes + 8 + inner_bytes + 8);
	return f;
}

static void flow_put(struct plane *p, const struct frame_spec *spec, uint16_t backend)
{
	struct flow f = {.backend = backend, .seen = 1};
	struct flow_key key;

	frame_flow_key(spec, spec->ipv6 ? DSR_SERVICE6 : DSR_SERVICE4, &key);
	assert_int_equal(bpf_map_update_elem(bpf_map__fd(p->skel->maps.flows), &key, &f, BPF_ANY),
			 0);
}

static void test_icmp_error_reaches_the_backend_that_has_the_flow(void **state)
{
	static const uint8_t types4[] = {3, 11, 12}, types6[] = {1, 2, 3, 4};
	struct plane *p = *state;

	for (int ipv6 = 0; ipv6 < 2; ipv6++) {
		const struct frame_spec *spec = ipv6 ? &dsr_base6 : &dsr_base4;

		for (int i = 0; i < (ipv6 ? 4 : 3); i++) {
			struct frame f = icmp_error(spec, ipv6 ? types6[i] : types4[i], 0);

			dsr_table_fill(p, OWNER, BACKEND_NONE);
			assert_int_equal(dsr_forwarded(p, &f), OWNER);
			dsr_table_fill(p, OWNER | SLOT_TRANSITION, PREVIOUS);
			assert_int_equal(dsr_forwarded(p, &f), PREVIOUS);
		}
		flow_put(p, spec, THIRD);
		struct frame f = icmp_error(spec, ipv6 ? 2 : 3, 0);

		assert_int_equal(dsr_forwarded(p, &f), THIRD);
		p->backends[THIRD].flags = 0;
		assert_int_equal(dsr_forwarded(p, &f), PREVIOUS);
		p->backends[THIRD].flags = BACKEND_ALIVE;
	}
}

static void test_icmp_error_follows_a_flow_that_just_began(void **state)
{
	struct plane *p = *state;
	struct frame_spec syn = dsr_base4;
	struct frame f = icmp_error(&dsr_base4, 3, 0), s;

	syn.tcp_flags = TCP_SYN;
	frame_build(&syn, &s);
	dsr_table_fill(p, THIRD, BACKEND_NONE);
	dsr_forwarded(p, &s);
	dsr_table_fill(p, OWNER | SLOT_TRANSITION, PREVIOUS);
	assert_int_equal(dsr_forwarded(p, &f), THIRD);
}

static void test_icmp_error_changes_nothing(void **state)
{
	struct plane *p = *state;
	struct frame f = icmp_error(&dsr_base4, 3, 0), data;

	for (int i = 0; i < 5; i++)
		dsr_forwarded(p, &f);
	assert_int_equal(plane_backend_stats(p, OWNER).opened, 0);
	frame_build(&dsr_base4, &data);
	dsr_forwarded(p, &data);
	assert_int_equal(plane_backend_stats(p, OWNER).opened, 0); /* that was its first */
}

static void test_icmp_error_with_inner_options_is_understood(void **state)
{
	for (uint32_t words = 0; words <= 10; words++) {
		struct frame f = icmp_error(&dsr_base4, 11, words);

		assert_int_equal(dsr_forwarded(*state, &f), OWNER);
	}
}

/* Of the packet that @f quotes: put an extension header behind the quoted ones that are there. */
static void quoted_extend(struct frame *f, uint8_t header, uint32_t bytes, uint16_t fragment_bits)
{
	uint8_t *quoted = f->bytes + IP4_AT + L4_IN_IP6 + 8;
	uint8_t x[64] = {quoted[6], header == FRAGMENT ? 0 : (uint8_t)(bytes / 8 - 1)};

	put16(x + 2, fragment_bits);
	bytes_insert(f, IP4_AT + L4_IN_IP6 + 8 + L4_IN_IP6, x, bytes);
	quoted[6] = header;
	put16(f->bytes + 18, get16(f->bytes + 18) + bytes);
	put16(quoted + 4, get16(quoted + 4) + bytes);
}

/* What a backend fragments, in IPv6, it sends with such headers: a "packet too big" about that. */
static void test_icmp_error_about_a_packet_with_extension_headers_reaches_the_backend(void **state)
{
	struct plane *p = *state;
	struct frame f;

	for (uint16_t more = 0; more < 2; more++) { /* 0: an atomic fragment (RFC 6946) */
		f = icmp_error(&dsr_base6, 2, 0);
		quoted_extend(&f, FRAGMENT, 8, more);
		assert_int_equal(dsr_forwarded(p, &f), OWNER);
	}
	for (uint32_t bytes = 8; bytes <= 64; bytes += 8) {
		f = icmp_error(&dsr_base6, 1, 0);
		quoted_extend(&f, OPTIONS, bytes, 0);
		assert_int_equal(dsr_forwarded(p, &f), OWNER);
	}
	f = icmp_error(&dsr_base6, 2, 0);
	quoted_extend(&f, FRAGMENT, 8, 1);
	quoted_extend(&f, OPTIONS, 16, 0);
	quoted_extend(&f, HOPS, 8, 0);
	assert_int_equal(dsr_forwarded(p, &f), OWNER);
	dsr_table_fill(p, OWNER | SLOT_TRANSITION, PREVIOUS);
	flow_put(p, &dsr_base6, THIRD);
	assert_int_equal(dsr_forwarded(p, &f), THIRD);
	for (uint32_t len = 14; len < f.len_bytes; len++) {
		struct frame cut = f;

		cut.len_bytes = len;
		assert_int_not_equal(plane_run(p->fd, &cut, NULL), XDP_TX);
	}
}

static void test_icmp_error_whose_quoted_ports_cannot_be_read_is_passed(void **state)
{
	struct frame f = icmp_error(&dsr_base6, 2, 0);

	quoted_extend(&f, FRAGMENT, 8, 40);
	dsr_stopped(*state, &f, XDP_PASS, REASON_PASS_PROTOCOL, "about a later fragment");
	f = icmp_error(&dsr_base6, 2, 0);
	quoted_extend(&f, 50, 8, 0);
	dsr_stopped(*state, &f, XDP_PASS, REASON_PASS_PROTOCOL, "about ESP");
	f = icmp_error(&dsr_base6, 2, 0);
	for (int i = 0; i < 7; i++)
		quoted_extend(&f, OPTIONS, 8, 0);
	dsr_stopped(*state, &f, XDP_PASS, REASON_PASS_PROTOCOL, "seven headers");
	f = icmp_error(&dsr_base6, 2, 0);
	quoted_extend(&f, ROUTING, 8, 0x0401); /* its destination is not the client yet */
	dsr_stopped(*state, &f, XDP_PASS, REASON_PASS_PROTOCOL, "on a way by routers");
}

static void test_icmp_that_is_no_error_about_a_flow_is_passed(void **state)
{
	struct frame f = icmp_error(&dsr_base4, 8, 0);

	dsr_stopped(*state, &f, XDP_PASS, REASON_PASS_PROTOCOL, "echo request");
	f = icmp_error(&dsr_base6, 135, 0);
	dsr_stopped(*state, &f, XDP_PASS, REASON_PASS_PROTOCOL, "neighbour solicitation");
	f = icmp_error(&dsr_base4, 3, 0);
	f.bytes[IP4_AT + 20 + 8 + 15] ^= 1; /* about a packet that another host sent */
	dsr_stopped(*state, &f, XDP_PASS, REASON_PASS_PROTOCOL, "another's");
	f = icmp_error(&dsr_base4, 3, 0);
	f.bytes[IP4_AT + 20 + 8 + 9] = 47;
	dsr_stopped(*state, &f, XDP_PASS, REASON_PASS_PROTOCOL, "about GRE");
	f = icmp_error(&dsr_base4, 3, 0);
	f.bytes[IP4_AT + 20 + 8 + 7] = 5; /* about a later fragment: no ports in it */
	dsr_stopped(*state, &f, XDP_PASS, REASON_PASS_PROTOCOL, "about a fragment");
}

/* Later fragments of ICMP have no quoted addresses: all of them go where the first one does, up. No
 * ICMP error is so long that it must be fragmented (RFC 1812 4.3.2.3, RFC 4443 2.4 c).
 */
static void test_fragmented_icmp_is_passed_whole(void **state)
{
	for (int ipv6 = 0; ipv6 < 2; ipv6++) {
		for (uint32_t offset = 0; offset <= 64; offset += 64) {
			struct frame f = icmp_error(ipv6 ? &dsr_base6 : &dsr_base4, 3, 0);

			if (ipv6) {
				const uint8_t x[8] = {IPPROTO_ICMPV6, 0, 0,
						      (uint8_t)offset, [7] = 9};

				bytes_insert(&f, IP4_AT + L4_IN_IP6, x, 8);
				f.bytes[20] = FRAGMENT;
				f.bytes[IP4_AT + L4_IN_IP6 + 3] |= !offset;
				put16(f.bytes + 18, get16(f.bytes + 18) + 8);
			} else {
				put16(f.bytes + 16, get16(f.bytes + 16) - 4);
				put16(f.bytes + 20, offset ? offset / 8 : 0x2000);
			}
			dsr_stopped(*state, &f, XDP_PASS, REASON_PASS_PROTOCOL,
				    offset ? "later" : "first");
		}
	}
}

static void test_no_prefix_of_an_icmp_error_is_forwarded(void **state)
{
	struct plane *p = *state;

	for (int ipv6 = 0; ipv6 < 2; ipv6++) {
		struct frame whole = icmp_error(ipv6 ? &dsr_base6 : &dsr_base4, 3, 0);

		for (uint32_t len = 14; len < whole.len_bytes; len++) {
			struct frame f = whole;

			f.len_bytes = len;
			assert_int_not_equal(plane_run(p->fd, &f, NULL), XDP_TX);
		}
	}
}

#define ICMP(test) cmocka_unit_test_setup_teardown(test, dsr_setup, dsr_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		ICMP(test_icmp_error_reaches_the_backend_that_has_the_flow),
		ICMP(test_icmp_error_follows_a_flow_that_just_began),
		ICMP(test_icmp_error_changes_nothing),
		ICMP(test_icmp_error_with_inner_options_is_understood),
		ICMP(test_icmp_error_about_a_packet_with_extension_headers_reaches_the_backend),
		ICMP(test_icmp_error_whose_quoted_ports_cannot_be_read_is_passed),
		ICMP(test_icmp_that_is_no_error_about_a_flow_is_passed),
		ICMP(test_fragmented_icmp_is_passed_whole),
		ICMP(test_no_prefix_of_an_icmp_error_is_forwarded),
	};

	if (!plane_permitted())
		return 77;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
