/* SPDX-License-Identifier: BSD-2-Clause */
/* test_track.c: what tracks leave of a priority, and which routes count. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <linux/rtnetlink.h>
#include <netlink/attr.h>
#include <netlink/msg.h>
#include <string.h>

#include "vrrp/route.h"
#include "vrrp/track.h"

static const uint64_t first[CONFIG_INSTANCES / 64] = {1}, second[CONFIG_INSTANCES / 64] = {2},
					       both[CONFIG_INSTANCES / 64] = {3},
					       last[CONFIG_INSTANCES / 64] = {[7] = 1ULL << 63};

static struct track failed(const char *name, uint8_t weight, const uint64_t *instances)
{
	struct track t = {.failed = true, .text = "it broke"};

	strcpy(t.config.name, name);
	t.config.weight = weight;
	memcpy(t.config.instances, instances, sizeof(t.config.instances));
	return t;
}

static uint8_t weigh(const struct tracks *t, const uint64_t *instances, uint8_t priority)
{
	char why[VERDICT_TEXT];
	bool out;
	uint8_t left = tracks_weigh(t, instances, priority, &out, why);

	return out ? 0 : left;
}

static void test_weights_of_failed_tracks_are_taken_off(void **state)
{
	struct tracks t = {
		.n = 3,
		.all = {failed("a", 50, first), failed("b", 30, both), failed("c", 7, last)}};
	char why[VERDICT_TEXT];
	bool out;

	(void)state;
	assert_int_equal(weigh(&t, first, 200), 120);
	assert_int_equal(weigh(&t, second, 200), 170);
	assert_int_equal(weigh(&t, both, 200), 120); /* each once */
	assert_int_equal(weigh(&t, last, 200), 193);
	tracks_weigh(&t, first, 200, &out, why);
	assert_string_equal(why, "failed: a, b");
	t.all[0].failed = false;
	assert_int_equal(weigh(&t, first, 200), 170);
}

static void test_priority_stays_above_zero(void **state)
{
	struct tracks t = {.n = 2, .all = {failed("a", 253, first), failed("b", 253, first)}};

	(void)state;
	assert_int_equal(weigh(&t, first, 254), 1);
	assert_int_equal(weigh(&t, first, 1), 1);
	t.n = 1;
	assert_int_equal(weigh(&t, first, 254), 1);
}

static void test_owner_is_not_lowered_but_can_be_taken_out(void **state)
{
	struct tracks t = {.n = 1, .all = {failed("a", 253, first)}};

	(void)state;
	assert_int_equal(weigh(&t, first, 255), 255);
	t.all[0].config.weight = 0;
	assert_int_equal(weigh(&t, first, 255), 0);
}

static void test_without_a_weight_it_is_out_and_says_why(void **state)
{
	struct tracks t = {.n = 2, .all = {failed("a", 5, first), failed("xdp", 0, first)}};
	char why[VERDICT_TEXT];
	bool out;

	(void)state;
	tracks_weigh(&t, first, 100, &out, why);
	assert_true(out);
	assert_string_equal(why, "track xdp failed: it broke");
	tracks_weigh(&t, second, 100, &out, why);
	assert_false(out);
	assert_string_equal(why, "");
}

static void test_many_names_do_not_overflow(void **state)
{
	struct tracks t = {.n = CONFIG_TRACKS};
	char why[VERDICT_TEXT];
	bool out;

	(void)state;
	for (int i = 0; i < CONFIG_TRACKS; i++)
		t.all[i] = failed("a-name-that-is-as-long-as-a-name-may-be", 1, first);
	assert_int_equal(tracks_weigh(&t, first, 200, &out, why), 200 - CONFIG_TRACKS);
	assert_int_equal(strlen(why), VERDICT_TEXT - 1);
}

/* ---- a reload ---- */

struct block {
	struct config config;
	_Alignas(8) struct config_track tracks[2];
};

static void test_a_track_that_stays_keeps_its_state(void **state)
{
	struct block b = {.config = {.size_bytes = sizeof(b),
				     .n_tracks = 2,
				     .tracks_at = offsetof(struct block, tracks)}};
	struct tracks t = {0};

	(void)state;
	strcpy(b.tracks[0].name, "a");
	strcpy(b.tracks[1].name, "b");
	b.tracks[1].type = TRACK_POOL;
	tracks_configure(&t, &b.config);
	assert_false(t.all[0].failed || t.all[1].failed); /* nobody has said anything */
	assert_true(track_set(tracks_find(&t, "a"), true, "x"));
	assert_false(track_set(tracks_find(&t, "a"), true, "y"));
	assert_true(track_set(tracks_find(&t, "b"), true, "z"));
	b.tracks[0].weight = 9;
	b.tracks[1].type = TRACK_PLANE;
	tracks_configure(&t, &b.config);
	assert_true(t.all[0].failed && !t.all[1].failed);
	assert_int_equal(t.all[0].config.weight, 9);
	assert_null(tracks_find(&t, "c"));
}

/* ---- routes ---- */

struct made {
	int type;
	struct rtmsg route;
	const char *to;
	uint32_t table;
	int hops[2]; /* flags of a multipath's; -1 = none */
};

static bool is(const struct made *made, const char *prefix, uint8_t prefix_len, bool *ret_usable)
{
	struct nl_msg *m = nlmsg_alloc();
	struct config_vip wanted = {.prefix_len = prefix_len};
	uint8_t address[16];
	bool matched;

	nlmsg_put(m, 0, 0, made->type, 0, 0);
	nlmsg_append(m, (void *)(uintptr_t)&made->route, sizeof(made->route), NLMSG_ALIGNTO);
	if (made->to) {
		inet_pton(made->route.rtm_family, made->to, address);
		nla_put(m, RTA_DST, made->route.rtm_family == AF_INET ? 4 : 16, address);
	}
	if (made->table)
		nla_put_u32(m, RTA_TABLE, made->table);
	if (made->hops[0] >= 0) {
		struct rtnexthop hops[2] = {
			{.rtnh_len = sizeof(hops[0]), .rtnh_flags = (uint8_t)made->hops[0]},
			{.rtnh_len = sizeof(hops[0]), .rtnh_flags = (uint8_t)made->hops[1]}};

		nla_put(m, RTA_MULTIPATH, sizeof(hops), hops);
	}
	assert_int_equal(addr_parse(prefix, &wanted.addr), 0);
	*ret_usable = false;
	matched = route_is(nlmsg_hdr(m), &wanted, ret_usable);
	nlmsg_free(m);
	return matched;
}

#define IPV4(bits, kind, more)                                                                     \
	.route = {.rtm_family = AF_INET,                                                           \
		  .rtm_dst_len = bits,                                                             \
		  .rtm_table = RT_TABLE_MAIN,                                                      \
		  .rtm_type = kind,                                                                \
		  .rtm_flags = more}
#define ALONE .hops = {-1, -1}

static void test_a_route_counts_for_exactly_its_prefix(void **state)
{
	const struct made standard = {RTM_NEWROUTE, IPV4(0, RTN_UNICAST, 0), NULL, 0, ALONE};
	const struct made net = {RTM_NEWROUTE, IPV4(16, RTN_UNICAST, 0), "10.9.0.0", RT_TABLE_MAIN,
				 ALONE};
	struct made other = net;
	bool usable;

	(void)state;
	assert_true(is(&standard, "0.0.0.0", 0, &usable) && usable);
	assert_false(is(&standard, "::", 0, &usable));
	assert_false(is(&standard, "10.9.0.0", 16, &usable));
	assert_true(is(&net, "10.9.0.0", 16, &usable) && usable);
	assert_false(is(&net, "10.9.0.0", 24, &usable));
	assert_false(is(&net, "10.8.0.0", 16, &usable));
	assert_false(is(&net, "0.0.0.0", 0, &usable));
	other.table = 100;
	assert_false(is(&other, "10.9.0.0", 16, &usable));
	other = net;
	other.type = RTM_NEWLINK;
	assert_false(is(&other, "10.9.0.0", 16, &usable));
	other.type = RTM_DELROUTE;
	assert_true(is(&other, "10.9.0.0", 16, &usable));
}

static void test_a_route_without_a_working_next_hop_is_none(void **state)
{
	static const struct {
		struct made made;
		bool usable;
	} rows[] = {
		{{RTM_NEWROUTE, IPV4(16, RTN_BLACKHOLE, 0), "10.9.0.0", 0, ALONE}, false},
		{{RTM_NEWROUTE, IPV4(16, RTN_UNICAST, RTNH_F_LINKDOWN), "10.9.0.0", 0, ALONE},
		 false},
		{{RTM_NEWROUTE, IPV4(16, RTN_UNICAST, RTNH_F_DEAD), "10.9.0.0", 0, ALONE}, false},
		{{RTM_NEWROUTE, IPV4(16, RTN_UNICAST, RTNH_F_ONLINK), "10.9.0.0", 0, ALONE}, true},
		{{RTM_NEWROUTE, IPV4(16, RTN_UNICAST, 0), "10.9.0.0", 0, .hops = {RTNH_F_DEAD, 0}},
		 true},
		{{RTM_NEWROUTE, IPV4(16, RTN_UNICAST, 0), "10.9.0.0", 0,
		  .hops = {RTNH_F_DEAD, RTNH_F_LINKDOWN}},
		 false},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		bool usable;

		assert_true(is(&rows[i].made, "10.9.0.0", 16, &usable));
		assert_int_equal(usable, rows[i].usable);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_weights_of_failed_tracks_are_taken_off),
		cmocka_unit_test(test_priority_stays_above_zero),
		cmocka_unit_test(test_owner_is_not_lowered_but_can_be_taken_out),
		cmocka_unit_test(test_without_a_weight_it_is_out_and_says_why),
		cmocka_unit_test(test_many_names_do_not_overflow),
		cmocka_unit_test(test_a_track_that_stays_keeps_its_state),
		cmocka_unit_test(test_a_route_counts_for_exactly_its_prefix),
		cmocka_unit_test(test_a_route_without_a_working_next_hop_is_none),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
