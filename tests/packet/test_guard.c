/* SPDX-License-Identifier: BSD-2-Clause */
/* test_guard.c: the guard at tc ingress: who answers for a VIP, and how the kernel answers whether
 * the node lives. In a network namespace of its own, for the socket of heartbeats.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <cmocka.h>
#include <linux/pkt_cls.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "bpf/abi_guard.h"
#include "bpf/siphash.h"
#include "guard.skel.h"
#include "tests/packet/plane.h"
#include "tests/packet/wire.h"

enum { PORT = 5406, LEASE = 3, NODE = 22, PARTNER = 11, NEXT = TC_ACT_UNSPEC, HEADERS = 42 };

#define FOUR(a, b, c, d)                                                                           \
	{                                                                                          \
		0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, a, b, c, d                               \
	}

static const uint8_t own4[16] = FOUR(10, 0, 0, 2), partner4[16] = FOUR(10, 0, 0, 3),
		     vip4[16] = FOUR(192, 0, 2, 10);
static const uint8_t own6[16] = {0xfd, [15] = 2}, partner6[16] = {0xfd, [15] = 3},
		     vip6[16] = {0xfd, [15] = 0x10};
static const uint64_t key[2] = {0x1122334455667788ULL, 0x99aabbccddeeff00ULL};

struct site {
	struct guard_bpf *skel;
	int fd, socket;
};

/* ---- the site ---- */

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000ULL + (uint64_t)ts.tv_nsec;
}

static void set(struct bpf_map *map, const void *k, const void *value)
{
	assert_int_equal(bpf_map_update_elem(bpf_map__fd(map), k, value, BPF_ANY), 0);
}

static void lease_set(const struct site *s, uint32_t lease, uint64_t until_ns)
{
	set(s->skel->maps.leases, &lease, &until_ns);
}

static uint64_t count_of(const struct site *s, uint32_t what)
{
	uint64_t n = 0;

	assert_int_equal(bpf_map_lookup_elem(bpf_map__fd(s->skel->maps.counts), &what, &n), 0);
	return n;
}

static int socket_open(int priority)
{
	struct sockaddr_in6 any = {.sin6_family = AF_INET6, .sin6_port = htons(PORT)};
	int fd = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_PRIORITY, &priority, sizeof(priority)), 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&any, sizeof(any)), 0);
	return fd;
}

static int site_open(void **state)
{
	static struct site s;
	struct guard_settings settings = {
		.key = {key[0], key[1]}, .node = NODE, .port = htons(PORT)};
	struct guard_pair pair;
	uint32_t zero = 0, lease = LEASE;
	uint64_t partner = PARTNER;

	s.skel = guard_bpf__open_and_load();
	assert_non_null(s.skel);
	s.fd = bpf_program__fd(s.skel->progs.guard);
	set(s.skel->maps.settings, &zero, &settings);
	set(s.skel->maps.guarded, vip4, &lease);
	set(s.skel->maps.guarded, vip6, &lease);
	memcpy(pair.partner, partner4, 16);
	memcpy(pair.own, own4, 16);
	set(s.skel->maps.pairs, &pair, &partner);
	memcpy(pair.partner, partner6, 16);
	memcpy(pair.own, own6, 16);
	set(s.skel->maps.pairs, &pair, &partner);
	lease_set(&s, LEASE, now_ns() + 60000000000ULL);
	lease_set(&s, LEASE_LIFE, now_ns() + 60000000000ULL);
	s.socket = socket_open(HEART_PRIORITY);
	*state = &s;
	return 0;
}

static int site_close(void **state)
{
	struct site *s = *state;

	close(s->socket);
	guard_bpf__destroy(s->skel);
	return 0;
}

static int run(const struct site *s, struct wire *w)
{
	struct wire out;
	LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = w->b, .data_size_in = w->len,
		    .data_out = out.b, .data_size_out = sizeof(out.b), .repeat = 1);

	assert_int_equal(bpf_prog_test_run_opts(s->fd, &opts), 0);
	out.len = opts.data_size_out;
	*w = out;
	return (int)opts.retval;
}

/* ---- ARP and ND ---- */

static struct wire arp_of(uint8_t operation, const uint8_t sender[16], const uint8_t target[16])
{
	const uint8_t header[] = {0, 1, 8, 0, 6, 4, 0, operation};
	struct wire w = {0};

	wire_add(&w, "\xff\xff\xff\xff\xff\xff\2\0\0\0\0\1\x08\x06", 14);
	wire_add(&w, header, sizeof(header));
	wire_add(&w, "\2\0\0\0\0\1", 6);
	wire_add(&w, sender + 12, 4);
	wire_add(&w, "\0\0\0\0\0\0", 6);
	wire_add(&w, target + 12, 4);
	return w;
}

static struct wire discovery_of(uint8_t type, uint8_t hops, const uint8_t source[16],
				const uint8_t target[16])
{
	const struct wire_ip ip = {
		.ipv6 = true, .ttl = hops, .protocol = IPPROTO_ICMPV6, .src = source, .dst = own6};
	const uint8_t head[8] = {type};
	struct wire w = {0};

	wire_eth(&w, (const uint8_t *)"\2\0\0\0\0\2", (const uint8_t *)"\2\0\0\0\0\1", 0, true);
	wire_ip(&w, &ip, 24);
	wire_add(&w, head, sizeof(head));
	wire_add(&w, target, 16);
	return w;
}

static void test_a_vip_is_answered_for_only_with_a_lease_and_a_live_process(void **state)
{
	struct site *s = *state;
	struct wire w;

	for (int row = 0; row < 8; row++) {
		bool lease = row & 1, held = row & 2, ours = row & 4;
		bool answers = lease && held && ours;
		uint64_t arp = count_of(s, GUARD_ARP), nd = count_of(s, GUARD_ND);

		lease_set(s, LEASE, lease ? now_ns() + 60000000000ULL : now_ns());
		close(s->socket);
		s->socket = held ? socket_open(ours ? HEART_PRIORITY : 0) : -1;
		w = arp_of(1, partner4, vip4);
		assert_int_equal(run(s, &w), answers ? NEXT : TC_ACT_SHOT);
		w = discovery_of(135, 255, partner6, vip6);
		assert_int_equal(run(s, &w), answers ? NEXT : TC_ACT_SHOT);
		assert_int_equal(count_of(s, GUARD_ARP) - arp, !answers);
		assert_int_equal(count_of(s, GUARD_ND) - nd, !answers);
	}
}

static void test_what_is_not_asked_for_a_vip_passes_without_a_lease(void **state)
{
	struct site *s = *state;
	struct wire rows[] = {
		arp_of(1, partner4, own4),		/* for the node's own address */
		arp_of(1, vip4, vip4),			/* gratuitous */
		arp_of(2, partner4, vip4),		/* an answer */
		discovery_of(135, 255, partner6, own6), /* for the node's own address */
		discovery_of(136, 255, partner6, vip6), /* an advertisement */
		discovery_of(135, 254, partner6, vip6), /* from elsewhere: the kernel refuses it */
	};

	lease_set(s, LEASE, 0);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		assert_int_equal(run(s, &rows[i]), NEXT);
	rows[0] = arp_of(1, partner4, vip4);
	rows[0].len -= 1; /* not whole */
	assert_int_equal(run(s, &rows[0]), NEXT);
}

static void test_nobody_is_told_where_a_vip_is_without_a_lease(void **state)
{
	struct site *s = *state;
	const struct {
		struct wire frame;
		int count; /* 0: not about a VIP */
	} rows[] = {
		{arp_of(1, vip4, partner4), GUARD_ARP}, /* a question in the VIP's name */
		{arp_of(1, vip4, vip4), GUARD_ARP},	/* gratuitous: a cable that came back */
		{arp_of(2, vip4, vip4), GUARD_ARP},
		{arp_of(2, vip4, partner4), GUARD_ARP},
		{arp_of(1, own4, partner4), 0},
		{arp_of(1, own4, vip4), 0}, /* where is it? */
		{discovery_of(135, 255, vip6, partner6), GUARD_ND},
		{discovery_of(133, 255, vip6, partner6), GUARD_ND},
		{discovery_of(136, 255, vip6, vip6), GUARD_ND},
		{discovery_of(136, 255, own6, vip6), GUARD_ND},
		{discovery_of(136, 255, vip6, own6), 0}, /* says where own6 is */
		{discovery_of(135, 255, own6, vip6), 0},
		{discovery_of(128, 255, vip6, vip6), 0}, /* an echo: it is forwarded as before */
	};

	s->fd = bpf_program__fd(s->skel->progs.guard_out);
	for (int lease = 1; lease >= 0; lease--) {
		lease_set(s, LEASE, lease ? now_ns() + 60000000000ULL : 0);
		for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
			bool silent = !lease && rows[i].count;
			uint64_t before = count_of(s, (uint32_t)rows[i].count);
			struct wire w = rows[i].frame;

			if (run(s, &w) != (silent ? TC_ACT_SHOT : NEXT))
				fail_msg("row %zu, lease %d", i, lease);
			assert_int_equal(count_of(s, (uint32_t)rows[i].count) - before, silent);
		}
	}
	close(s->socket); /* the lease runs, but the processes are dead */
	s->socket = -1;
	lease_set(s, LEASE, now_ns() + 60000000000ULL);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct wire w = rows[i].frame;

		assert_int_equal(run(s, &w), rows[i].count ? TC_ACT_SHOT : NEXT);
	}
}

static void test_part_of_a_message_says_nothing(void **state)
{
	struct site *s = *state;
	struct wire w = discovery_of(136, 255, own6, vip6);

	lease_set(s, LEASE, 0);
	s->fd = bpf_program__fd(s->skel->progs.guard_out);
	w.len -= 1;
	assert_int_equal(run(s, &w), NEXT);
	w = arp_of(1, vip4, vip4);
	w.len -= 1;
	assert_int_equal(run(s, &w), NEXT);
}

static void test_without_heartbeats_the_lease_alone_counts(void **state)
{
	struct site *s = *state;
	struct guard_settings none = {0};
	uint32_t zero = 0;
	struct wire w = arp_of(1, partner4, vip4);

	close(s->socket);
	s->socket = -1;
	set(s->skel->maps.settings, &zero, &none);
	assert_int_equal(run(s, &w), NEXT);
	lease_set(s, LEASE, 0);
	w = arp_of(1, partner4, vip4);
	assert_int_equal(run(s, &w), TC_ACT_SHOT);
}

/* ---- heartbeats ---- */

static struct heart question(void)
{
	struct heart h = {.magic = HEART_MAGIC,
			  .version = HEART_VERSION,
			  .kind = HEART_REQUEST,
			  .from = PARTNER,
			  .to = NODE,
			  .nonce = 0x0123456789abcdefULL};

	return h;
}

static void sign(struct heart *h)
{
	h->hash = siphash(key[0], key[1], (const __u64 *)h, HEART_HASHED_WORDS);
}

static struct wire frame_of(bool ipv6, const void *payload, uint32_t n)
{
	const struct wire_ip ip = {.ipv6 = ipv6,
				   .ttl = 64,
				   .protocol = IPPROTO_UDP,
				   .src = ipv6 ? partner6 : partner4,
				   .dst = ipv6 ? own6 : own4};
	struct wire w = {0};
	uint32_t at;
	uint16_t sum;

	wire_eth(&w, (const uint8_t *)"\2\0\0\0\0\2", (const uint8_t *)"\2\0\0\0\0\1", 0, ipv6);
	wire_ip(&w, &ip, 8 + n);
	at = w.len;
	wire_add(&w,
		 (const uint8_t[]){0x30, 0x39, PORT >> 8, PORT & 0xff, 0, (uint8_t)(8 + n), 0, 0},
		 8);
	wire_add(&w, payload, n);
	/* addresses, protocol and length as the pseudo-header has them */
	sum = wire_sum((uint32_t)(IPPROTO_UDP + 8 + n), w.b + 14 + (ipv6 ? 8 : 12),
		       w.len - 14 - (ipv6 ? 8 : 12));
	w.b[at + 6] = (uint8_t)(sum >> 8);
	w.b[at + 7] = (uint8_t)sum;
	return w;
}

static void test_a_question_is_sent_back_as_an_answer(void **state)
{
	struct site *s = *state;

	for (int row = 0; row < 8; row++) {
		bool ipv6 = row & 1, lives = row & 2, held = row & 4;
		uint32_t udp = ipv6 ? 54 : 34;
		uint64_t answered = count_of(s, GUARD_ANSWERED);
		struct heart h = question(), a;
		struct wire w, out;

		sign(&h);
		w = out = frame_of(ipv6, &h, sizeof(h));
		lease_set(s, LEASE_LIFE, lives ? now_ns() + 500000000ULL : 1);
		close(s->socket);
		s->socket = held ? socket_open(HEART_PRIORITY) : -1;
		assert_int_equal(run(s, &out), TC_ACT_REDIRECT);
		assert_int_equal(count_of(s, GUARD_ANSWERED), answered + 1);
		assert_int_equal(out.len, w.len);
		assert_memory_equal(out.b, w.b + 6, 6);
		assert_memory_equal(out.b + 6, w.b, 6);
		assert_memory_equal(out.b + (ipv6 ? 22 : 26), ipv6 ? own6 : own4 + 12,
				    ipv6 ? 16 : 4);
		assert_memory_equal(out.b + (ipv6 ? 38 : 30), ipv6 ? partner6 : partner4 + 12,
				    ipv6 ? 16 : 4);
		assert_memory_equal(out.b + udp, w.b + udp + 2, 2);
		assert_memory_equal(out.b + udp + 2, w.b + udp, 2);
		memcpy(&a, out.b + udp + 8, sizeof(a));
		assert_int_equal(a.kind, HEART_ANSWER);
		assert_int_equal(a.flags, (held ? HEART_SOCKET : 0) | (lives ? HEART_LIVES : 0));
		assert_true(a.from == NODE && a.to == PARTNER && a.nonce == h.nonce);
		assert_true(lives ? a.left_ms > 300 && a.left_ms <= 500 : a.left_ms == 0);
		h = a;
		sign(&h);
		assert_int_equal(a.hash, h.hash);
		/* the checksum is right again */
		assert_int_equal(wire_sum((uint32_t)(IPPROTO_UDP + 8 + sizeof(h)),
					  out.b + 14 + (ipv6 ? 8 : 12),
					  out.len - 14 - (ipv6 ? 8 : 12)),
				 0);
		/* the same again: it is answered again, with the same words; the asker judges */
		out = w;
		assert_int_equal(run(s, &out), TC_ACT_REDIRECT);
	}
}

static void test_what_is_wrong_with_a_question_is_counted_by_kind(void **state)
{
	struct site *s = *state;
	static const struct {
		const char *what;
		int verdict, count;
	} rows[] = {
		{"version", TC_ACT_SHOT, GUARD_FOREIGN},
		{"hash", TC_ACT_SHOT, GUARD_FORGED},
		{"nonce", TC_ACT_SHOT, GUARD_FORGED},
		{"from", TC_ACT_SHOT, GUARD_STRANGER},
		{"to", TC_ACT_SHOT, GUARD_STRANGER},
		{"longer", TC_ACT_SHOT, GUARD_SHORT},
		{"shorter", NEXT, -1},
		{"magic", NEXT, -1},
		{"answer", NEXT, -1},
		{"port", NEXT, -1},
		{"stranger", NEXT, -1},
		{"fragment", NEXT, -1},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct heart h[2] = {question(), {0}};
		uint64_t before[GUARD_COUNTS];
		uint32_t bytes = sizeof(h[0]);
		struct wire w;

		for (uint32_t k = 0; k < GUARD_COUNTS; k++)
			before[k] = count_of(s, k);
		h->version = strcmp(rows[i].what, "version") == 0 ? 9 : HEART_VERSION;
		h->from += strcmp(rows[i].what, "from") == 0;
		h->to += strcmp(rows[i].what, "to") == 0;
		h->magic += strcmp(rows[i].what, "magic") == 0;
		h->kind = strcmp(rows[i].what, "answer") == 0 ? HEART_ANSWER : HEART_REQUEST;
		sign(h);
		h->hash += strcmp(rows[i].what, "hash") == 0;
		h->nonce += strcmp(rows[i].what, "nonce") == 0;
		bytes += strcmp(rows[i].what, "longer") == 0;
		bytes -= strcmp(rows[i].what, "shorter") == 0;
		w = frame_of(false, h, bytes);
		if (strcmp(rows[i].what, "port") == 0)
			w.b[HEADERS - 5]++;
		if (strcmp(rows[i].what, "stranger") == 0)
			w.b[29]++;
		if (strcmp(rows[i].what, "fragment") == 0)
			w.b[21] = 1;
		if (run(s, &w) != rows[i].verdict)
			fail_msg("%s", rows[i].what);
		for (int k = 0; k < GUARD_COUNTS; k++) {
			if (count_of(s, (uint32_t)k) - before[k] != (k == rows[i].count))
				fail_msg("%s: count %d", rows[i].what, k);
		}
	}
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, site_open, site_close)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_a_vip_is_answered_for_only_with_a_lease_and_a_live_process),
		TEST(test_what_is_not_asked_for_a_vip_passes_without_a_lease),
		TEST(test_nobody_is_told_where_a_vip_is_without_a_lease),
		TEST(test_part_of_a_message_says_nothing),
		TEST(test_without_heartbeats_the_lease_alone_counts),
		TEST(test_a_question_is_sent_back_as_an_answer),
		TEST(test_what_is_wrong_with_a_question_is_counted_by_kind),
	};

	if (!plane_permitted())
		return 77;
	if (unshare(CLONE_NEWNET) < 0) {
		puts("a network namespace is not permitted (not root?)");
		return 77;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
