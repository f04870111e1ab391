/* SPDX-License-Identifier: BSD-2-Clause */
/* test_explain.c: the instances of the program that tell of their packets (bpf/explain.h): a dry
 * run writes nothing and says what the program in service then does; a trace sends what its filter
 * wants.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <linux/bpf.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "balancer.skel.h"
#include "bpf/hash.h"
#include "tests/packet/seer.h"

enum {
	SLOTS = 251,
	OWN_IFINDEX = 1,
	BACKENDS = 4,
	DEAD = 5,
	ROUNDS = 1200,
	UNSERVED_PORT = 26,
	LOOK_EVERY = 50
};

/* The plane, and a second instance of its program. */
struct fixture {
	struct plane plane;
	struct seer seer;
	unsigned seed;
};

static const struct frame_spec base4 = {
	.protocol = IPPROTO_TCP, .tcp_flags = TCP_ACK, .client = 7, .sport = 40000, .dport = 25};

/* ---- the fixture ---- */

static void services_set(struct plane *p)
{
	struct frame_spec udp = base4, six = base4;
	struct service vip = {.mode = VIP_DROP};
	struct service_key key;

	udp.protocol = IPPROTO_UDP;
	six.ipv6 = true;
	plane_service_set(p, &base4, 3, 0);
	plane_service_set(p, &udp, 4, 0);
	plane_service_set(p, &six, 5, 0);
	frame_service_key(&six, &key);
	key.port = 0;
	key.protocol = 0;
	plane_record_set(p, &key, &vip);
}

static int setup_seeing(void **state, uint32_t seeing)
{
	const struct plane_sizes sizes = {.slots = SLOTS,
					  .flows = 4096,
					  .embryos = 1024,
					  .features = FEATURE_VIPS | FEATURE_SYNC};
	struct fixture *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	seer_stay_on_one_cpu();
	assert_int_equal(plane_open(&sizes, &f->plane), 0);
	services_set(&f->plane);
	for (uint32_t b = 1; b <= BACKENDS; b++)
		plane_backend_set(&f->plane, b, OWN_IFINDEX);
	plane_clock_set(&f->plane, 1000);
	seer_open(&f->plane, seeing, &f->seer);
	f->seed = 1;
	*state = f;
	return 0;
}

static int setup_explain(void **state)
{
	return setup_seeing(state, SEEING_EXPLAIN);
}

static int setup_trace(void **state)
{
	return setup_seeing(state, SEEING_TRACE);
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	seer_close(&f->seer);
	plane_close(&f->plane);
	free(f);
	return 0;
}

static uint32_t any(struct fixture *f, uint32_t n)
{
	return (uint32_t)rand_r(&f->seed) % n;
}

static void all_slots(struct fixture *f, uint16_t owner, uint16_t previous)
{
	uint16_t owners[SLOTS], before[SLOTS];

	for (int i = 0; i < SLOTS; i++) {
		owners[i] = owner;
		before[i] = previous;
	}
	plane_table_set(&f->plane, 0, owners, before);
}

/* ---- explain ---- */

/* A situation: a table, a state of the flow or none, an embryo or none, who is alive. */
static void situation_make(struct fixture *f, const struct frame_spec *spec, uint16_t service)
{
	uint16_t owner = (uint16_t)(1 + any(f, BACKENDS));
	struct flow flow = {.backend = (uint16_t)(1 + any(f, DEAD)),
			    .seen = (uint16_t)(60 + any(f, 3)),
			    .flags = any(f, 4) == 0 ? FLOW_CLOSING : 0};
	struct embryo embryo = {0};
	struct flow_key key;
	struct tuple tuple;
	uint32_t at;

	if (any(f, 2))
		all_slots(f, owner | SLOT_TRANSITION, (uint16_t)(1 + any(f, DEAD)));
	else
		all_slots(f, any(f, 30) ? owner : BACKEND_NONE, BACKEND_NONE);
	frame_flow_key(spec, service, &key);
	if (any(f, 2))
		bpf_map_update_elem(bpf_map__fd(f->plane.skel->maps.flows), &key, &flow, BPF_ANY);
	else
		bpf_map_delete_elem(bpf_map__fd(f->plane.skel->maps.flows), &key);
	frame_tuple(spec, &tuple);
	at = (uint32_t)flow_hash((const __u64 *)f->plane.key, &tuple) & 1023;
	if (any(f, 2))
		embryo.tag = EMBRYO_TAG(flow_hash((const __u64 *)f->plane.key, &tuple)) |
			     (1 + any(f, DEAD));
	bpf_map_update_elem(bpf_map__fd(f->plane.skel->maps.embryos), &at, &embryo, BPF_ANY);
	if (any(f, 40) == 0)
		plane_clock_set(&f->plane, f->plane.clock->now_s + EPOCH_SECONDS);
	if (any(f, 40) == 0)
		assert_int_equal(plane_stamp_all(&f->plane), 0);
}

static struct frame_spec packet_make(struct fixture *f, uint16_t *ret_service)
{
	static const uint8_t flags[] = {TCP_SYN,	   TCP_ACK,	      TCP_ACK | TCP_PSH,
					TCP_FIN | TCP_ACK, TCP_RST,	      TCP_SYN | TCP_ACK,
					TCP_ACK,	   TCP_SYN | TCP_FIN, TCP_ACK};
	struct frame_spec s = base4;

	s.client = 1 + any(f, 3);
	s.sport = (uint16_t)(40000 + any(f, 4));
	s.tcp_flags = flags[any(f, sizeof(flags))];
	s.ipv6 = any(f, 3) == 0;
	if (!s.ipv6 && any(f, 4) == 0)
		s.protocol = IPPROTO_UDP;
	if (any(f, 12) == 0)
		s.dport = UNSERVED_PORT;
	*ret_service = s.ipv6 ? 5 : s.protocol == IPPROTO_UDP ? 4 : 3;
	return s;
}

static void reasons_read(const struct fixture *f, uint64_t ret[static REASON_COUNT])
{
	for (uint32_t i = 0; i < REASON_COUNT; i++)
		ret[i] = plane_reason(&f->plane, i);
}

/* What the dry run said of a packet, against what the program in service did with it. */
static void must_agree(const struct fixture *f, const struct explanation *e, int said,
		       const struct frame *said_frame, const struct frame_spec *spec)
{
	uint64_t before[REASON_COUNT], after[REASON_COUNT];
	struct backend_stats to_before = {0}, to_after = {0};
	struct frame frame;
	int verdict;

	frame_build(spec, &frame);
	reasons_read(f, before);
	if (e->backend != BACKEND_NONE)
		to_before = plane_backend_stats(&f->plane, e->backend);
	verdict = plane_run(f->plane.fd, &frame, NULL);
	if (e->backend != BACKEND_NONE)
		to_after = plane_backend_stats(&f->plane, e->backend);
	reasons_read(f, after);

	assert_int_equal(said, verdict);
	assert_int_equal(e->verdict, verdict);
	assert_int_equal(said_frame->len_bytes, frame.len_bytes);
	assert_memory_equal(said_frame->bytes, frame.bytes, frame.len_bytes);
	assert_int_equal(to_after.packets - to_before.packets, e->backend != BACKEND_NONE);
	for (int i = 1; i < REASON_COUNT; i++)
		assert_int_equal(after[i] - before[i], e->reasons >> i & 1);
	assert_int_equal(e->reasons & 1, e->reason == REASON_FORWARDED);
}

static void test_explain_says_what_the_program_then_does_and_changes_nothing(void **state)
{
	struct fixture *f = *state;
	unsigned met[6] = {0};

	for (int i = 0; i < ROUNDS; i++) {
		uint16_t service;
		struct frame_spec spec = packet_make(f, &service);
		struct explanation e;
		struct frame frame;
		uint64_t before;
		int verdict;

		situation_make(f, &spec, service);
		frame_build(&spec, &frame);
		before = i % LOOK_EVERY == 0 ? seer_digest(&f->seer) : 0;
		e = seer_explain(&f->seer, &frame, &verdict);
		if (i % LOOK_EVERY == 0)
			assert_int_equal(seer_digest(&f->seer), before);
		must_agree(f, &e, verdict, &frame, &spec);
		met[0] += e.reason == REASON_FORWARDED && !(e.owner & SLOT_TRANSITION);
		met[1] += e.reason == REASON_FORWARDED && (e.owner & SLOT_TRANSITION);
		met[2] += (e.stages & STAGE_FLOW) && e.backend == e.flow_backend;
		met[3] += (e.stages & STAGE_PREVIOUS) && e.backend == e.embryo;
		met[4] += !(e.stages & STAGE_SERVICE);
		met[5] += (e.stages & STAGE_STAMPED) && !(e.stages & STAGE_FLOWS);
	}
	for (size_t i = 0; i < sizeof(met) / sizeof(met[0]); i++)
		assert_true(met[i] >= 10); /* no kind of situation was left out */
}

static void test_digest_sees_each_write_of_the_program_in_service(void **state)
{
	struct fixture *f = *state;
	struct frame_spec syn = base4, reset = base4;
	struct frame frame;
	uint64_t before;

	all_slots(f, 1, BACKEND_NONE);
	syn.tcp_flags = TCP_SYN;
	reset.dport = UNSERVED_PORT;
	before = seer_digest(&f->seer);
	for (int i = 0; i < 2; i++) {
		frame_build(i ? &reset : &syn, &frame);
		plane_run(f->plane.fd, &frame, NULL);
		assert_int_not_equal(seer_digest(&f->seer), before);
		before = seer_digest(&f->seer);
	}
}

static void test_explanation_of_a_flow_in_transition_has_every_stage(void **state)
{
	struct fixture *f = *state;
	struct flow flow = {.backend = 3, .seen = 60};
	struct explanation e;
	struct flow_key key;
	struct tuple tuple;
	struct frame frame;
	int verdict;

	all_slots(f, 1 | SLOT_TRANSITION, 2);
	frame_flow_key(&base4, 3, &key);
	bpf_map_update_elem(bpf_map__fd(f->plane.skel->maps.flows), &key, &flow, BPF_ANY);
	frame_build(&base4, &frame);
	e = seer_explain(&f->seer, &frame, &verdict);
	frame_tuple(&base4, &tuple);
	assert_int_equal(verdict, XDP_TX);
	assert_memory_equal(&e.tuple, &tuple, sizeof(tuple));
	assert_int_equal(e.stages, STAGE_PARSED | STAGE_SERVICE | STAGE_SLOT | STAGE_PREVIOUS |
					   STAGE_FLOWS | STAGE_FLOW | STAGE_END);
	assert_int_equal(e.service, 3);
	assert_int_equal(e.hash, flow_hash((const __u64 *)f->plane.key, &tuple));
	assert_int_equal(e.slot, slot_of_hash(e.hash, SLOTS));
	assert_int_equal(e.owner, 1 | SLOT_TRANSITION);
	assert_int_equal(e.previous, 2);
	assert_int_equal(e.embryo, BACKEND_NONE);
	assert_int_equal(e.flow_backend, 3);
	assert_int_equal(e.flow_seen, 60);
	assert_int_equal(e.backend, 3);
	assert_int_equal(frame.bytes[5], 3);
}

static void test_unparsed_packet_is_told_as_far_as_it_could_be_read(void **state)
{
	struct fixture *f = *state;
	struct frame_spec spec = base4;
	struct explanation e;
	struct tuple tuple;
	struct frame frame;
	int verdict;

	spec.tcp_flags = TCP_SYN | TCP_FIN;
	frame_build(&spec, &frame);
	e = seer_explain(&f->seer, &frame, &verdict);
	frame_tuple(&spec, &tuple);
	assert_int_equal(verdict, XDP_DROP);
	assert_int_equal(e.reason, REASON_DROP_BAD_FLAGS);
	assert_int_equal(e.stages, STAGE_PARSED | STAGE_END);
	assert_memory_equal(&e.tuple, &tuple, sizeof(tuple));
}

/* ---- trace ---- */

struct events {
	struct explanation last;
	uint32_t n;
};

static int on_event(void *owner, void *bytes, size_t n)
{
	struct events *events = owner;

	assert_int_equal(n, sizeof(events->last));
	memcpy(&events->last, bytes, n);
	events->n++;
	return 0;
}

static void filter_set(const struct fixture *f, const struct trace_filter *filter)
{
	uint32_t zero = 0;

	assert_int_equal(bpf_map_update_elem(bpf_map__fd(f->seer.skel->maps.trace_filter), &zero,
					     filter, BPF_ANY),
			 0);
}

/* How many events one packet of each of the specs gives. */
static struct events trace(const struct fixture *f, const struct trace_filter *filter,
			   const struct frame_spec *specs, int n)
{
	struct events events = {0};
	struct ring_buffer *ring = ring_buffer__new(bpf_map__fd(f->seer.skel->maps.trace_events),
						    on_event, &events, NULL);

	assert_non_null(ring);
	filter_set(f, filter);
	for (int i = 0; i < n; i++) {
		struct frame traced, served;

		frame_build(&specs[i], &traced);
		served = traced;
		assert_int_equal(plane_run(f->seer.fd, &traced, NULL),
				 plane_run(f->plane.fd, &served, NULL));
		assert_memory_equal(traced.bytes, served.bytes, served.len_bytes);
	}
	assert_true(ring_buffer__consume(ring) >= 0);
	ring_buffer__free(ring);
	return events;
}

static void test_trace_sends_what_each_filter_wants_and_forwards_all_the_same(void **state)
{
	struct fixture *f = *state;
	struct frame_spec specs[4] = {base4, base4, base4, base4}; /* ack, syn, unserved, udp */
	struct trace_filter filter = {0};
	struct events events;

	all_slots(f, 1, BACKEND_NONE);
	specs[1].tcp_flags = TCP_SYN;
	specs[1].client = 0x010203;
	specs[2].dport = UNSERVED_PORT;
	specs[3].protocol = IPPROTO_UDP;
	assert_int_equal(trace(f, &filter, specs, 4).n, 4);

	filter = (struct trace_filter){.client[3] = htonl(0x0a010200),
				       .client_mask[3] = htonl(0xffffff00)};
	events = trace(f, &filter, specs, 4);
	assert_int_equal(events.n, 1);
	assert_int_equal(events.last.kind, 1);
	assert_int_equal(events.last.backend, 1);
	assert_int_equal(events.last.verdict, XDP_TX);
	assert_true(events.last.at_ns > 0);

	filter = (struct trace_filter){.port = htons(25)};
	assert_int_equal(trace(f, &filter, specs, 4).n, 3);
	filter = (struct trace_filter){.protocol = IPPROTO_UDP};
	assert_int_equal(trace(f, &filter, specs, 4).n, 1);
	filter = (struct trace_filter){.verdicts = 1U << XDP_PASS};
	events = trace(f, &filter, specs, 4);
	assert_int_equal(events.n, 1);
	assert_int_equal(events.last.reason, REASON_PASS_NO_SERVICE);
	filter = (struct trace_filter){.reasons = 1ULL << REASON_PASS_NO_SERVICE};
	assert_int_equal(trace(f, &filter, specs, 4).n, 1);
	filter = (struct trace_filter){.vip[3] = htonl(0xc000020b), .vip_mask[3] = 0xffffffff};
	assert_int_equal(trace(f, &filter, specs, 4).n, 0);
	filter.vip[3] = htonl(0xc000020a);
	assert_int_equal(trace(f, &filter, specs, 4).n, 4);
}

/* Packets of one call: after the first the frame is no longer for us, which is traced, too. */
static void many_run(const struct fixture *f, int n)
{
	struct frame frame;
	LIBBPF_OPTS(bpf_test_run_opts, run, .repeat = n);

	frame_build(&base4, &frame);
	run.data_in = frame.bytes;
	run.data_size_in = frame.len_bytes;
	assert_int_equal(bpf_prog_test_run_opts(f->seer.fd, &run), 0);
}

static void test_full_ring_counts_what_is_lost(void **state)
{
	struct fixture *f = *state;
	struct trace_filter filter = {0};
	struct events events = {0};
	struct ring_buffer *ring = ring_buffer__new(bpf_map__fd(f->seer.skel->maps.trace_events),
						    on_event, &events, NULL);
	uint32_t zero = 0;

	assert_non_null(ring);
	all_slots(f, 1, BACKEND_NONE);
	filter_set(f, &filter);
	many_run(f, 20000);
	assert_true(ring_buffer__consume(ring) >= 0);
	assert_int_equal(
		bpf_map_lookup_elem(bpf_map__fd(f->seer.skel->maps.trace_filter), &zero, &filter),
		0);
	assert_true(filter.lost > 0);
	assert_int_equal(events.n + filter.lost, 20000);
	ring_buffer__free(ring);
}

static void test_sample_takes_about_its_share(void **state)
{
	struct fixture *f = *state;
	struct trace_filter filter = {.sample = 10};
	struct events events = {0};
	struct ring_buffer *ring = ring_buffer__new(bpf_map__fd(f->seer.skel->maps.trace_events),
						    on_event, &events, NULL);

	assert_non_null(ring);
	all_slots(f, 1, BACKEND_NONE);
	filter_set(f, &filter);
	many_run(f, 20000);
	assert_true(ring_buffer__consume(ring) >= 0);
	assert_true(events.n > 1500 && events.n < 2500); /* 2000 +- 12 sigma */
	ring_buffer__free(ring);
}

int main(void)
{
#define EXPLAIN(test) cmocka_unit_test_setup_teardown(test, setup_explain, teardown)
#define TRACE(test)   cmocka_unit_test_setup_teardown(test, setup_trace, teardown)
	const struct CMUnitTest tests[] = {
		EXPLAIN(test_explain_says_what_the_program_then_does_and_changes_nothing),
		EXPLAIN(test_digest_sees_each_write_of_the_program_in_service),
		EXPLAIN(test_explanation_of_a_flow_in_transition_has_every_stage),
		EXPLAIN(test_unparsed_packet_is_told_as_far_as_it_could_be_read),
		TRACE(test_trace_sends_what_each_filter_wants_and_forwards_all_the_same),
		TRACE(test_full_ring_counts_what_is_lost),
		TRACE(test_sample_takes_about_its_share),
	};

	if (!plane_permitted())
		return 77;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
