/* SPDX-License-Identifier: BSD-2-Clause */
/* test_probe.c: a probe through a VIP: what leaves by the program of tc egress, and what of its
 * answer the XDP program passes up. The two share `probe_returns`, as in service.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <linux/bpf.h>
#include <linux/pkt_cls.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "balancer.skel.h"
#include "bpf/abi_probe.h"
#include "probe.skel.h"
#include "tests/packet/datagram.h"

#define MARK (PROBE_MARK | 77)

enum { SLOTS = 251, PORT = 40000, GUE_PORT = 6080 };

#define NODE4	 "192.0.2.2"
#define NODE6	 "2001:db8::2"
#define VIP4	 "192.0.2.10"
#define VIP6	 "2001:db8::10"
#define BACKEND4 "192.0.2.21"
#define BACKEND6 "2001:db8::21"
#define OTHER4	 "192.0.2.22"

struct site {
	struct plane plane;
	struct probe *skel;
	struct probe_vip vip;
};

static void addr_put(uint8_t addr[static 16], const char *text)
{
	static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};

	if (inet_pton(AF_INET6, text, addr) == 1)
		return;
	memcpy(addr, mapped, sizeof(mapped));
	assert_int_equal(inet_pton(AF_INET, text, addr + 12), 1);
}

static void vip_put(struct site *s)
{
	uint32_t mark = MARK;

	assert_int_equal(
		bpf_map_update_elem(bpf_map__fd(s->skel->maps.probe_vips), &mark, &s->vip, BPF_ANY),
		0);
}

/* vip_set: mode dsr, through @vip. */
static void vip_set(struct site *s, const char *vip)
{
	s->vip = (struct probe_vip){.port = htons(25), .timeout_s = 5, .mode = FORWARD_DSR};
	addr_put(s->vip.vip, vip);
	addr_put(s->vip.own, strchr(vip, ':') ? NODE6 : NODE4);
	vip_put(s);
}

static void site_open(struct site *s, uint32_t features)
{
	const struct plane_sizes sizes = {
		.slots = SLOTS, .flows = 64, .embryos = 1024, .features = features};

	assert_int_equal(plane_open(&sizes, &s->plane), 0);
	s->skel = probe__open();
	assert_non_null(s->skel);
	assert_int_equal(bpf_map__reuse_fd(s->skel->maps.probe_returns,
					   bpf_map__fd(s->plane.skel->maps.probe_returns)),
			 0);
	assert_int_equal(probe__load(s->skel), 0);
}

static int setup(void **state)
{
	*state = calloc(1, sizeof(struct site));
	site_open(*state, FEATURE_PROBES | FEATURE_VIPS);
	return 0;
}

static int teardown(void **state)
{
	struct site *s = *state;

	probe__destroy(s->skel);
	plane_close(&s->plane);
	free(s);
	return 0;
}

/* ---- packets ---- */

static struct datagram probe_of(const char *backend, uint8_t flags)
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

static int egress(struct site *s, uint32_t mark, struct frame *frame)
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

/* send: a probe's packet; what leaves must be all right, or untouched. */
static int send_probe(struct site *s, uint32_t mark, const struct datagram *w,
		      struct datagram *ret_out)
{
	struct frame frame;
	int verdict;

	datagram_build(w, &frame);
	verdict = egress(s, mark, &frame);
	if (verdict != TC_ACT_SHOT)
		datagram_read(&frame, ret_out);
	return verdict;
}

static void assert_as_it_was(struct site *s, uint32_t mark, const struct datagram *w)
{
	struct frame frame, was;

	datagram_build(w, &frame);
	was = frame;
	assert_int_equal(egress(s, mark, &frame), TC_ACT_UNSPEC);
	assert_int_equal(frame.len_bytes, was.len_bytes);
	assert_memory_equal(frame.bytes, was.bytes, was.len_bytes);
}

static void assert_same_talk(const struct datagram *a, const struct datagram *b)
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

/* What the backend answers to what came to it. */
static struct datagram answer_to(const struct datagram *came, uint8_t flags)
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

/* The answer reaches the socket that is connected to @backend. */
static void assert_comes_back(struct site *s, const struct datagram *answer, const char *backend)
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

/* ---- dsr ---- */

static const struct {
	const char *node, *vip, *backend;
} families[] = {
	{NODE4, VIP4, BACKEND4},
	{NODE6, VIP6, BACKEND6},
	{NODE6, VIP6, BACKEND4}, /* the VIP's family is another; only in a tunnel in practice */
	{NODE4, VIP4, BACKEND6},
};

static void test_probe_goes_to_the_vip_and_its_answer_comes_from_the_backend(void **state)
{
	static const uint8_t flags[] = {TCP_SYN, TCP_ACK, TCP_ACK | TCP_PSH, TCP_ACK | TCP_FIN};
	struct site *s = *state;

	for (size_t i = 0; i < sizeof(families) / sizeof(families[0]); i++) {
		vip_set(s, families[i].vip);
		for (size_t k = 0; k < sizeof(flags); k++) {
			struct datagram sent = probe_of(families[i].backend, flags[k]), out, answer;

			assert_int_equal(send_probe(s, MARK, &sent, &out), TC_ACT_UNSPEC);
			assert_string_equal(out.src, families[i].node);
			assert_string_equal(out.dst, families[i].vip);
			if (i < 2) /* the others meet these */
				assert_int_equal(out.sport, PORT);
			assert_int_equal(out.dport, 25);
			assert_same_talk(&out, &sent);
			answer = answer_to(&out, flags[k] | TCP_ACK);
			assert_comes_back(s, &answer, families[i].backend);
		}
	}
}

static void test_refusal_comes_back_as_well(void **state)
{
	struct datagram sent = probe_of(BACKEND4, TCP_SYN), out, answer;
	struct site *s = *state;

	vip_set(s, VIP4);
	assert_int_equal(send_probe(s, MARK, &sent, &out), TC_ACT_UNSPEC);
	answer = answer_to(&out, TCP_RST | TCP_ACK);
	assert_comes_back(s, &answer, BACKEND4);
}

static void test_answer_with_tags_keeps_them(void **state)
{
	static const uint8_t tags[] = {0x88, 0xa8, 0, 100, 0x81, 0, 0, 200};
	struct site *s = *state;

	for (size_t i = 0; i < sizeof(families) / sizeof(families[0]); i++) {
		for (uint32_t bytes = 4; bytes <= 8; bytes += 4) {
			struct datagram sent = probe_of(families[i].backend, TCP_SYN), out, up;
			const uint8_t *put = tags + sizeof(tags) - bytes;
			struct datagram answer;
			struct frame frame;

			vip_set(s, families[i].vip);
			assert_int_equal(send_probe(s, MARK, &sent, &out), TC_ACT_UNSPEC);
			answer = answer_to(&out, TCP_SYN | TCP_ACK);
			datagram_build(&answer, &frame);
			memmove(frame.bytes + 12 + bytes, frame.bytes + 12, frame.len_bytes - 12);
			memcpy(frame.bytes + 12, put, bytes);
			frame.len_bytes += bytes;
			assert_int_equal(plane_run(s->plane.fd, &frame, NULL), XDP_PASS);
			assert_memory_equal(frame.bytes, frame_node_mac, 6);
			assert_memory_equal(frame.bytes + 12, put, bytes);
			memmove(frame.bytes + 12, frame.bytes + 12 + bytes,
				frame.len_bytes - 12 - bytes);
			frame.len_bytes -= bytes;
			assert_int_equal(frame.bytes[12] == 0x86,
					 strchr(families[i].backend, ':') != NULL);
			datagram_read(&frame, &up);
			assert_string_equal(up.src, families[i].backend);
			assert_same_talk(&up, &answer);
		}
	}
}

/* ---- what is left alone ---- */

static void test_what_is_no_probe_leaves_as_it_was(void **state)
{
	struct datagram syn = probe_of(BACKEND4, TCP_SYN), d;
	struct site *s = *state;

	vip_set(s, VIP4);
	assert_as_it_was(s, 0, &syn);
	assert_as_it_was(s, 77, &syn);
	assert_as_it_was(s, PROBE_MARK | 78, &syn);
	d = syn;
	d.dport = 26;
	assert_as_it_was(s, MARK, &d);
	d = syn;
	strcpy(d.src, VIP4);
	assert_as_it_was(s, MARK, &d);
	d = syn;
	d.protocol = IPPROTO_UDP;
	assert_as_it_was(s, MARK, &d);
	d = probe_of(BACKEND6,
		     TCP_SYN); /* of the other family, and no address of ours in the VIP's */
	memset(s->vip.own, 0, sizeof(s->vip.own));
	vip_put(s);
	assert_as_it_was(s, MARK, &d);
}

static void test_connection_that_began_without_the_program_ends_without_it(void **state)
{
	struct datagram middle = probe_of(BACKEND4, TCP_ACK | TCP_PSH),
			last = probe_of(BACKEND4, TCP_ACK | TCP_FIN);
	struct site *s = *state;

	vip_set(s, VIP4);
	assert_as_it_was(s, MARK, &middle);
	assert_as_it_was(s, MARK, &last);
}

static void test_what_answers_no_probe_is_passed_as_it_was(void **state)
{
	struct datagram sent = probe_of(BACKEND4, TCP_SYN), out, answer, up;
	struct site *s = *state;

	vip_set(s, VIP4);
	assert_int_equal(send_probe(s, MARK, &sent, &out), TC_ACT_UNSPEC);
	for (int i = 0; i < 4; i++) {
		answer = answer_to(&out, i == 3 ? TCP_SYN : TCP_ACK);
		if (i == 0)
			answer.dport++;
		if (i == 1)
			answer.sport++;
		if (i == 2)
			strcpy(answer.src, BACKEND4);
		assert_int_equal(datagram_run(&s->plane, &answer, &up), XDP_PASS);
		assert_string_equal(up.src, answer.src);
		assert_int_equal(up.dport, answer.dport);
	}
	assert_int_equal(plane_reason(&s->plane, REASON_PASS_PROBE), 0);
	assert_int_equal(plane_reason(&s->plane, REASON_PASS_NO_SERVICE), 4);
}

static void test_icmp_error_about_a_probe_is_passed_as_it_was(void **state)
{
	struct datagram sent = probe_of(BACKEND4, TCP_SYN), out, up;
	struct datagram error = {
		.src = "192.0.2.1", .dst = NODE4, .protocol = IPPROTO_ICMP, .type = 3, .code = 1};
	struct site *s = *state;

	vip_set(s, VIP4);
	assert_int_equal(send_probe(s, MARK, &sent, &out), TC_ACT_UNSPEC);
	datagram_quote(&out, 28, &error);
	assert_int_equal(datagram_run(&s->plane, &error, &up), XDP_PASS);
	assert_string_equal(up.src, "192.0.2.1");
	assert_int_equal(plane_reason(&s->plane, REASON_PASS_PROBE), 0);
}

static void test_node_that_probes_by_address_only_does_not_look(void **state)
{
	struct datagram sent = probe_of(BACKEND4, TCP_SYN), out, answer, up;
	struct site s = {0};

	(void)state;
	site_open(&s, 0);
	vip_set(&s, VIP4);
	assert_int_equal(send_probe(&s, MARK, &sent, &out), TC_ACT_UNSPEC);
	answer = answer_to(&out, TCP_ACK);
	assert_int_equal(datagram_run(&s.plane, &answer, &up), XDP_PASS);
	assert_string_equal(up.src, VIP4);
	probe__destroy(s.skel);
	plane_close(&s.plane);
}

/* ---- ports ---- */

static uint32_t now_s(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint32_t)now.tv_sec;
}

static void test_probes_of_two_backends_from_one_port_are_told_apart(void **state)
{
	struct datagram one = probe_of(BACKEND4, TCP_SYN), two = probe_of(OTHER4, TCP_SYN);
	struct datagram first, second, answer;
	struct site *s = *state;

	vip_set(s, VIP4);
	assert_int_equal(send_probe(s, MARK, &one, &first), TC_ACT_UNSPEC);
	assert_int_equal(send_probe(s, MARK, &two, &second), TC_ACT_UNSPEC);
	assert_int_equal(first.sport, PORT);
	assert_int_not_equal(second.sport, PORT);
	assert_true(second.sport >= 32768);
	answer = answer_to(&first, TCP_SYN | TCP_ACK);
	assert_comes_back(s, &answer, BACKEND4);
	answer = answer_to(&second, TCP_SYN | TCP_ACK);
	assert_comes_back(s, &answer, OTHER4);
	two = probe_of(OTHER4, TCP_ACK | TCP_PSH); /* its next packet, and its SYN once more */
	assert_int_equal(send_probe(s, MARK, &two, &answer), TC_ACT_UNSPEC);
	assert_int_equal(answer.sport, second.sport);
	two = probe_of(OTHER4, TCP_SYN);
	assert_int_equal(send_probe(s, MARK, &two, &answer), TC_ACT_UNSPEC);
	assert_int_equal(answer.sport, second.sport);
}

/* Somebody else's, at every port that ours could have; in use for @left_s more. */
static void ports_take(struct site *s, int32_t left_s)
{
	struct probe_return r = {.port = htons(PORT), .until_s = now_s() + (uint32_t)left_s};
	struct tuple key = {.protocol = IPPROTO_TCP, .dport = htons(25)};

	addr_put(r.backend, OTHER4);
	addr_put(r.node, NODE4);
	addr_put(key.src, NODE4);
	addr_put(key.dst, VIP4);
	for (int i = 0; i < PROBE_PORTS; i++) {
		key.sport = htons((uint16_t)PROBE_PORT(PORT, i));
		assert_int_equal(bpf_map_update_elem(bpf_map__fd(s->plane.skel->maps.probe_returns),
						     &key, &r, BPF_ANY),
				 0);
	}
}

static void test_probe_waits_while_all_its_ports_are_in_use(void **state)
{
	struct datagram syn = probe_of(BACKEND4, TCP_SYN), out, answer;
	struct site *s = *state;

	vip_set(s, VIP4);
	ports_take(s, 10);
	assert_int_equal(send_probe(s, MARK, &syn, &out), TC_ACT_SHOT);
	ports_take(s, -10);
	assert_int_equal(send_probe(s, MARK, &syn, &out), TC_ACT_UNSPEC);
	assert_int_equal(out.sport, PORT);
	answer = answer_to(&out, TCP_SYN | TCP_ACK);
	assert_comes_back(s, &answer, BACKEND4);
}

static void test_port_is_free_again_soon_after_the_end(void **state)
{
	struct datagram syn = probe_of(BACKEND4, TCP_SYN), rst = probe_of(BACKEND4, TCP_RST);
	struct tuple key = {.protocol = IPPROTO_TCP, .sport = htons(PORT), .dport = htons(25)};
	struct probe_return r;
	struct datagram out;
	struct site *s = *state;
	int map = bpf_map__fd(s->plane.skel->maps.probe_returns);

	vip_set(s, VIP4);
	addr_put(key.src, NODE4);
	addr_put(key.dst, VIP4);
	assert_int_equal(send_probe(s, MARK, &syn, &out), TC_ACT_UNSPEC);
	assert_int_equal(bpf_map_lookup_elem(map, &key, &r), 0);
	assert_in_range(r.until_s - now_s(), 5, 5 + PROBE_LINGER_S);
	assert_int_equal(send_probe(s, MARK, &rst, &out), TC_ACT_UNSPEC);
	assert_int_equal(bpf_map_lookup_elem(map, &key, &r), 0);
	assert_in_range(r.until_s - now_s(), 0, PROBE_LINGER_S);
}

/* The node is a client of the VIP, too, while the partner has it: of a port that a probe had once.
 */
static void test_answer_at_a_port_that_a_probe_had_once_is_not_taken_from_the_node(void **state)
{
	struct datagram sent = probe_of(BACKEND4, TCP_SYN), out, answer, up;
	struct site *s = *state;

	vip_set(s, VIP4);
	assert_int_equal(send_probe(s, MARK, &sent, &out), TC_ACT_UNSPEC);
	answer = answer_to(&out, TCP_SYN | TCP_ACK);
	ports_take(s, 5);
	assert_int_equal(datagram_run(&s->plane, &answer, &up), XDP_PASS);
	assert_string_equal(up.src, OTHER4);
	ports_take(s, -2);
	assert_int_equal(datagram_run(&s->plane, &answer, &up), XDP_PASS);
	assert_string_equal(up.src, VIP4);
	assert_same_talk(&up, &answer);
	assert_int_equal(plane_reason(&s->plane, REASON_PASS_NO_SERVICE), 1);
}

/* ---- tunnel ---- */

struct outer {
	char src[INET6_ADDRSTRLEN], dst[INET6_ADDRSTRLEN];
	uint32_t bytes; /* of its headers */
};

/* Take the outer headers off, and look at them. */
static struct outer uncover(struct frame *frame, bool gue, bool inner6)
{
	uint8_t *ip = frame->bytes + 14;
	bool six = *ip >> 4 == 6;
	uint32_t header = six ? 40 : 20, protocol = six ? ip[6] : ip[9];
	uint32_t total =
		six ? 40U + (uint32_t)(ip[4] << 8 | ip[5]) : (uint32_t)(ip[2] << 8 | ip[3]);
	struct outer o = {.bytes = header + (gue ? 12 : 0)};
	uint8_t *udp = ip + header;

	assert_int_equal(frame->bytes[12] << 8 | frame->bytes[13], six ? 0x86dd : 0x0800);
	assert_int_equal(total, frame->len_bytes - 14);
	inet_ntop(six ? AF_INET6 : AF_INET, ip + (six ? 8 : 12), o.src, sizeof(o.src));
	inet_ntop(six ? AF_INET6 : AF_INET, ip + (six ? 24 : 16), o.dst, sizeof(o.dst));
	if (gue) {
		assert_int_equal(protocol, IPPROTO_UDP);
		assert_int_equal(udp[2] << 8 | udp[3], GUE_PORT);
		assert_int_equal(udp[4] << 8 | udp[5], total - header);
		assert_int_equal(udp[6] | udp[7], 0);
		protocol = udp[9];
	}
	assert_int_equal(protocol, inner6 ? IPPROTO_IPV6 : IPPROTO_IPIP);
	memmove(ip, ip + o.bytes, frame->len_bytes - 14 - o.bytes);
	frame->len_bytes -= o.bytes;
	return o;
}

static void test_probe_goes_into_the_tunnel_that_clients_packets_go_into(void **state)
{
	struct site *s = *state;

	for (size_t i = 0; i < 2 * sizeof(families) / sizeof(families[0]); i++) {
		const char *backend = families[i / 2].backend, *vip = families[i / 2].vip;
		struct datagram sent = probe_of(backend, TCP_SYN), out, answer;
		bool gue = i % 2;
		struct frame frame;
		struct outer o;

		vip_set(s, vip);
		s->vip.mode = FORWARD_TUNNEL;
		s->vip.tunnel_mtu = 1500;
		s->vip.tunnel_port = gue ? htons(GUE_PORT) : 0;
		vip_put(s);
		datagram_build(&sent, &frame);
		assert_int_equal(egress(s, MARK, &frame), TC_ACT_UNSPEC);
		o = uncover(&frame, gue, strchr(vip, ':') != NULL);
		assert_string_equal(o.src, sent.src); /* its own */
		assert_string_equal(o.dst, backend);
		datagram_read(&frame, &out);
		assert_string_equal(out.src, families[i / 2].node);
		assert_string_equal(out.dst, vip);
		assert_same_talk(&out, &sent);
		answer = answer_to(&out, TCP_SYN | TCP_ACK);
		assert_comes_back(s, &answer, backend);
	}
}

static void test_outer_source_is_of_the_prefix_that_is_set(void **state)
{
	struct datagram sent = probe_of(BACKEND4, TCP_SYN);
	struct site *s = *state;
	struct frame frame;
	struct outer o;

	vip_set(s, VIP4);
	s->vip.mode = FORWARD_TUNNEL;
	s->vip.tunnel_mtu = 1500;
	addr_put(s->vip.tunnel_src4, "10.9.0.0");
	s->vip.tunnel_bits4 = 16;
	vip_put(s);
	datagram_build(&sent, &frame);
	assert_int_equal(egress(s, MARK, &frame), TC_ACT_UNSPEC);
	o = uncover(&frame, false, false);
	assert_int_equal(strncmp(o.src, "10.9.", 5), 0);
	assert_string_not_equal(o.src, "10.9.0.0");
}

static void test_probe_that_does_not_fit_the_tunnel_is_dropped(void **state)
{
	struct datagram sent = probe_of(BACKEND4, TCP_SYN);
	struct site *s = *state;
	struct frame frame;

	vip_set(s, VIP4);
	s->vip.mode = FORWARD_TUNNEL;
	s->vip.tunnel_mtu = 60;
	vip_put(s);
	datagram_build(&sent, &frame);
	assert_int_equal(egress(s, MARK, &frame), TC_ACT_SHOT);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_probe_goes_to_the_vip_and_its_answer_comes_from_the_backend),
		TEST(test_refusal_comes_back_as_well),
		TEST(test_answer_with_tags_keeps_them),
		TEST(test_what_is_no_probe_leaves_as_it_was),
		TEST(test_connection_that_began_without_the_program_ends_without_it),
		TEST(test_what_answers_no_probe_is_passed_as_it_was),
		TEST(test_icmp_error_about_a_probe_is_passed_as_it_was),
		cmocka_unit_test(test_node_that_probes_by_address_only_does_not_look),
		TEST(test_probes_of_two_backends_from_one_port_are_told_apart),
		TEST(test_probe_waits_while_all_its_ports_are_in_use),
		TEST(test_port_is_free_again_soon_after_the_end),
		TEST(test_answer_at_a_port_that_a_probe_had_once_is_not_taken_from_the_node),
		TEST(test_probe_goes_into_the_tunnel_that_clients_packets_go_into),
		TEST(test_outer_source_is_of_the_prefix_that_is_set),
		TEST(test_probe_that_does_not_fit_the_tunnel_is_dropped),
	};
	const char *why;

	if (plane_permitted(&why) < 0) {
		print_message("skipped: %s\n", why);
		return 77;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
