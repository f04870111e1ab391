/* SPDX-License-Identifier: BSD-2-Clause */
/* test_explain_nat.c: the dry run of what nat and fullnat do: random segments of a few connections,
 * each explained before it is sent. The dry run writes nothing, and the verdict, the backend and
 * the reason are what then come out; for a flow that is known, the frame is, too.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <linux/bpf.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "balancer.skel.h"
#include "tests/packet/nat_site.h"
#include "tests/packet/seer.h"

enum { ROUNDS = 200, CONNECTIONS = 40, LOOK_EVERY = 5, SERVER_ISN = 9000 };

/* The last packet of each connection as the backend saw it, to answer. */
struct talk {
	struct datagram at_backend;
	bool began;
};

static unsigned seed;

static uint32_t any(uint32_t n)
{
	return (uint32_t)rand_r(&seed) % n;
}

static struct datagram from_client(uint32_t i)
{
	static const uint8_t flags[] = {TCP_SYN, TCP_ACK,	    TCP_ACK,
					TCP_ACK, TCP_FIN | TCP_ACK, TCP_RST};
	struct datagram d = {.src = SITE_CLIENT4,
			     .dst = SITE_VIP4,
			     .protocol = IPPROTO_TCP,
			     .sport = (uint16_t)(40000 + i),
			     .dport = 25,
			     .seq = 1001,
			     .ack = SERVER_ISN + 1,
			     .window = 500};

	d.flags = flags[any(sizeof(flags))];
	if (d.flags == TCP_SYN) {
		d.seq = 1000;
		d.ack = 0;
	}
	if (i % 3 == 1)
		d = site_six(d);
	return i % 3 == 2 ? site_udp(d) : d;
}

static void reasons_read(const struct plane *p, uint64_t ret[static REASON_COUNT])
{
	for (uint32_t i = 0; i < REASON_COUNT; i++)
		ret[i] = plane_reason(p, i);
}

/* Explain it, then send it; whether it was forwarded, and as what. */
static bool explained_and_sent(struct plane *p, const struct seer *seer, const struct datagram *d,
			       bool look, struct datagram *ret_out)
{
	uint64_t before[REASON_COUNT], after[REASON_COUNT], digest;
	struct frame said, sent;
	struct explanation e;
	int verdict;

	datagram_build(d, &said);
	sent = said;
	digest = look ? seer_digest(seer) : 0;
	e = seer_explain(seer, &said, &verdict);
	if (look)
		assert_int_equal(seer_digest(seer), digest);
	reasons_read(p, before);
	assert_int_equal(plane_run(p->fd, &sent, NULL), verdict);
	reasons_read(p, after);
	assert_int_equal(e.verdict, verdict);
	assert_int_equal(said.len_bytes, sent.len_bytes);
	for (int i = 1; i < REASON_COUNT; i++)
		assert_int_equal(after[i] - before[i], e.reasons >> i & 1);
	assert_true(e.stages & STAGE_PARSED);
	if (e.verdict == XDP_TX && e.reason == REASON_FORWARDED)
		datagram_read(&sent, ret_out);
	return e.verdict == XDP_TX && e.reason == REASON_FORWARDED;
}

/* @nat_ports: 0 = as many as usual */
static void mode_explained(uint8_t mode, uint8_t flags, uint16_t nat_ports)
{
	struct talk talks[CONNECTIONS] = {0};
	struct seer seer;
	struct plane p;
	unsigned forwarded = 0;

	seed = 1;
	site_open_ports(&p, mode, flags, nat_ports);
	seer_open(&p, SEEING_EXPLAIN, &seer);
	for (int i = 0; i < ROUNDS; i++) {
		uint32_t n = any(CONNECTIONS);
		struct datagram d = from_client(n), out;
		bool look = i % LOOK_EVERY == 0;

		if (talks[n].began && any(2)) { /* the backend's turn */
			bool opens = talks[n].at_backend.flags == TCP_SYN;

			d = site_answer(&talks[n].at_backend, opens ? TCP_SYN | TCP_ACK : TCP_ACK,
					opens ? SERVER_ISN : SERVER_ISN + 1,
					talks[n].at_backend.seq + 1);
			forwarded += explained_and_sent(&p, &seer, &d, look, &out);
			continue;
		}
		if (!explained_and_sent(&p, &seer, &d, look, &out))
			continue;
		forwarded++;
		talks[n].at_backend = out;
		talks[n].began = true;
	}
	assert_true(forwarded > ROUNDS / 10);
	seer_close(&seer);
	plane_close(&p);
}

static void test_nat_is_explained(void **state)
{
	(void)state;
	mode_explained(FORWARD_NAT, 0, 0);
}

static void test_nat_with_state_is_explained(void **state)
{
	(void)state;
	mode_explained(FORWARD_NAT, SERVICE_STATEFUL, 0);
}

static void test_fullnat_is_explained(void **state)
{
	(void)state;
	mode_explained(FORWARD_FULLNAT, 0, 0);
}

static void test_fullnat_with_few_ports_is_explained(void **state)
{
	(void)state;
	mode_explained(FORWARD_FULLNAT, 0, 3);
}

static void test_fullnat_with_proxy_v2_is_explained(void **state)
{
	(void)state;
	mode_explained(FORWARD_FULLNAT, SERVICE_PROXY_V2, 0);
}

static int setup_group(void **state)
{
	(void)state;
	seer_stay_on_one_cpu();
	datagram_network();
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_nat_is_explained),
		cmocka_unit_test(test_nat_with_state_is_explained),
		cmocka_unit_test(test_fullnat_is_explained),
		cmocka_unit_test(test_fullnat_with_few_ports_is_explained),
		cmocka_unit_test(test_fullnat_with_proxy_v2_is_explained),
	};

	if (!plane_permitted())
		return 77;
	return cmocka_run_group_tests(tests, setup_group, NULL);
}
