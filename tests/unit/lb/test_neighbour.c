/* SPDX-License-Identifier: BSD-2-Clause */
/* test_neighbour.c: ways to backends, with the real kernel: a veth whose other end answers (or does
 * not) in a namespace of its own. Skipped (77) where that is not permitted.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <event2/event.h>
#include <netlink/msg.h>
#include <netlink/netlink.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <unistd.h>

#include "base/log.h"
#include "lb/interface.h"
#include "lb/neighbour.h"

enum { SKIP = 77, LIMIT_MS = 5000 };

struct bench {
	struct event_base *loop;
	struct neighbours *neighbours;
	int n_changed; /* times that we were told */
};

static void on_changed(void *owner)
{
	int *n_changed = owner;

	++*n_changed;
}

static void run(const char *command)
{
	if (system(command) != 0)
		fail_msg("failed: %s", command);
}

static struct addr address(const char *text)
{
	struct addr addr;

	assert_int_equal(addr_parse(text, &addr), 0);
	return addr;
}

int __real_nl_send_sync(struct nl_sock *sock, struct nl_msg *msg);
int __wrap_nl_send_sync(struct nl_sock *sock, struct nl_msg *msg);

static bool refuses;
static int n_sent;

int __wrap_nl_send_sync(struct nl_sock *sock, struct nl_msg *msg)
{
	n_sent++;
	if (!refuses)
		return __real_nl_send_sync(sock, msg);
	nlmsg_free(msg);
	return -NLE_NOMEM;
}

static int bench_up(void **state)
{
	static struct bench b;

	run("ip netns add peer");
	run("ip link add sl0 type veth peer name sl1 netns peer");
	run("ip link set sl0 up && ip addr add 192.0.2.1/24 dev sl0 && ip link set lo up");
	run("ip addr add 2001:db8::1/64 dev sl0 nodad");
	run("ip -n peer link set sl1 address 02:00:00:00:00:21 up");
	run("ip -n peer addr add 192.0.2.21/24 dev sl1");
	run("ip -n peer addr add 2001:db8::21/64 dev sl1 nodad");
	run("ip route add 198.51.100.0/24 via 192.0.2.21");
	b.loop = event_base_new();
	b.neighbours = neighbours_new(b.loop, on_changed, &b.n_changed);
	*state = &b;
	return b.loop && b.neighbours ? 0 : -1;
}

static int bench_down(void **state)
{
	struct bench *b = *state;

	neighbours_free(b->neighbours);
	event_base_free(b->loop);
	run("ip link del sl0; ip netns del peer");
	return 0;
}

/* Want these addresses, none of them for NULL. */
static void want(struct bench *b, const char *first, const char *second)
{
	struct addr addrs[2];
	uint32_t n = 0;

	if (first)
		addrs[n++] = address(first);
	if (second)
		addrs[n++] = address(second);
	assert_int_equal(neighbours_want(b->neighbours, addrs, n), 0);
}

static const struct neighbour *find(struct bench *b, const char *text)
{
	struct addr addr = address(text);

	return neighbours_find(b->neighbours, &addr, false);
}

static const struct neighbour *find_routed(struct bench *b, const char *text)
{
	struct addr addr = address(text);

	return neighbours_find(b->neighbours, &addr, true);
}

/* Run the loop until the address has the status and, unless 0, a MAC that ends with @last. */
static void wait_for(struct bench *b, const char *text, enum neighbour_status status, uint8_t last)
{
	uint64_t until = clock_ms() + LIMIT_MS;
	const struct neighbour *n = find(b, text);

	while (n && clock_ms() < until && (n->status != status || (last && n->mac[5] != last))) {
		event_base_loop(b->loop, EVLOOP_NONBLOCK);
		usleep(5000);
		n = find(b, text);
	}
	assert_non_null(n);
	if (n->status != status || (last && n->mac[5] != last))
		fail_msg("%s: status %d mac ..%02x after %d ms", text, n->status, n->mac[5],
			 LIMIT_MS);
}

static void test_mac_on_link_is_resolved(void **state)
{
	struct bench *b = *state;

	want(b, "192.0.2.21", "2001:db8::21");
	wait_for(b, "192.0.2.21", NEIGHBOUR_KNOWN, 0x21);
	wait_for(b, "2001:db8::21", NEIGHBOUR_KNOWN, 0x21);
	assert_true(find(b, "192.0.2.21")->was_known);
	assert_true(find(b, "192.0.2.21")->ifindex > 0);
	run("ip neigh show 192.0.2.21 | grep -q managed");
	run("ip neigh show 2001:db8::21 | grep -q managed");
}

static void test_ways_that_dsr_cannot_use_are_told_apart(void **state)
{
	struct bench *b = *state;

	want(b, "198.51.100.7", "203.0.113.7");
	assert_int_equal(find(b, "198.51.100.7")->status, NEIGHBOUR_GATEWAY);
	assert_int_equal(find(b, "203.0.113.7")->status, NEIGHBOUR_NO_ROUTE);
	want(b, "192.0.2.1", "192.0.2.99");
	assert_int_equal(find(b, "192.0.2.1")->status, NEIGHBOUR_OUR_OWN);
	assert_int_equal(find(b, "192.0.2.99")->status, NEIGHBOUR_UNKNOWN);
	assert_null(find(b, "203.0.113.7"));
}

static void wait_for_routed(struct bench *b, const char *text, uint8_t last)
{
	uint64_t until = clock_ms() + LIMIT_MS;

	while (clock_ms() < until && (find_routed(b, text)->status != NEIGHBOUR_KNOWN ||
				      find_routed(b, text)->mac[5] != last)) {
		event_base_loop(b->loop, EVLOOP_NONBLOCK);
		usleep(5000);
	}
	assert_int_equal(find_routed(b, text)->status, NEIGHBOUR_KNOWN);
	assert_int_equal(find_routed(b, text)->mac[5], last);
}

static void test_backends_behind_a_gateway_have_its_mac_and_our_source(void **state)
{
	struct bench *b = *state;
	struct addr source = address("192.0.2.1"), source6 = address("2001:db8::1");

	run("ip -6 route add 2001:db8:1::/64 via 2001:db8::21");
	want(b, "198.51.100.7", "198.51.100.8");
	wait_for_routed(b, "198.51.100.7", 0x21);
	wait_for_routed(b, "198.51.100.8", 0x21);
	assert_int_equal(find(b, "198.51.100.7")->status, NEIGHBOUR_GATEWAY);
	assert_memory_equal(&find_routed(b, "198.51.100.7")->source, &source, sizeof(source));
	/* one of them is no longer wanted: the gateway stays known for the other */
	want(b, "198.51.100.7", "2001:db8:1::7");
	assert_int_equal(find_routed(b, "198.51.100.7")->status, NEIGHBOUR_KNOWN);
	wait_for_routed(b, "2001:db8:1::7", 0x21);
	assert_memory_equal(&find_routed(b, "2001:db8:1::7")->source, &source6, sizeof(source6));
}

static void test_backend_gets_another_gateway(void **state)
{
	struct bench *b = *state;

	want(b, "198.51.100.7", NULL);
	wait_for_routed(b, "198.51.100.7", 0x21);
	run("ip neigh add 192.0.2.50 lladdr 02:00:00:00:00:50 dev sl0 nud permanent");
	run("ip route replace 198.51.100.0/24 via 192.0.2.50");
	wait_for_routed(b, "198.51.100.7", 0x50);
	assert_true(find_routed(b, "198.51.100.7")->was_known);
}

static void test_backend_that_appears_later_becomes_known(void **state)
{
	struct bench *b = *state;

	want(b, "192.0.2.30", NULL);
	assert_int_equal(find(b, "192.0.2.30")->status, NEIGHBOUR_UNKNOWN);
	run("ip -n peer addr add 192.0.2.30/24 dev sl1");
	wait_for(b, "192.0.2.30", NEIGHBOUR_KNOWN, 0x21);
}

static void test_replaced_nic_is_found_by_a_probe(void **state)
{
	struct bench *b = *state;
	struct addr addr = address("192.0.2.21");

	want(b, "192.0.2.21", NULL);
	wait_for(b, "192.0.2.21", NEIGHBOUR_KNOWN, 0x21);
	/* silently: no gratuitous ARP */
	run("ip netns exec peer sysctl -qw net.ipv4.conf.sl1.arp_notify=0");
	run("ip -n peer link set sl1 address 02:00:00:00:00:77");
	neighbours_probe(b->neighbours, &addr);
	wait_for(b, "192.0.2.21", NEIGHBOUR_KNOWN, 0x77);
}

static void test_interface_that_comes_back_is_resolved_again(void **state)
{
	struct bench *b = *state;

	want(b, "192.0.2.21", NULL);
	wait_for(b, "192.0.2.21", NEIGHBOUR_KNOWN, 0x21);
	run("ip link set sl0 down");
	wait_for(b, "192.0.2.21", NEIGHBOUR_NO_ROUTE, 0);
	run("ip link set sl0 up");
	wait_for(b, "192.0.2.21", NEIGHBOUR_KNOWN, 0x21);
}

static void run_for(struct bench *b, uint64_t ms)
{
	uint64_t until = clock_ms() + ms;

	while (clock_ms() < until) {
		event_base_loop(b->loop, EVLOOP_NONBLOCK);
		usleep(5000);
	}
}

/* Of thousands that the kernel keeps fresh one is stale, or found again, at any time. */
static void test_entry_that_is_refreshed_is_no_news(void **state)
{
	struct bench *b = *state;

	want(b, "192.0.2.21", NULL);
	wait_for(b, "192.0.2.21", NEIGHBOUR_KNOWN, 0x21);
	run_for(b, 500); /* the links' own news */
	b->n_changed = 0;
	run("ip neigh replace 192.0.2.21 dev sl0 lladdr 02:00:00:00:00:21 nud stale");
	run("ip neigh replace 192.0.2.21 dev sl0 lladdr 02:00:00:00:00:21 nud reachable");
	run_for(b, 300);
	assert_int_equal(b->n_changed, 0);
	run("ip neigh replace 192.0.2.21 dev sl0 lladdr 02:00:00:00:00:22 nud reachable");
	run_for(b, 300);
	assert_int_equal(find(b, "192.0.2.21")->mac[5], 0x22);
	assert_true(b->n_changed >= 1); /* links may have news of their own */
}

/* Who is refused has not to be asked for all the others, nor all the time. */
static void test_full_table_is_told_and_asked_again_seldom(void **state)
{
	struct bench *b = *state;

	run_for(b, 300); /* the links' own news */
	refuses = true;
	n_sent = 0;
	want(b, "192.0.2.21", "192.0.2.22");
	assert_int_equal(n_sent, 1);
	assert_true(neighbours_room(b->neighbours, false).refused);
	assert_false(neighbours_room(b->neighbours, true).refused);
	run("ip route add 203.0.113.0/24 via 192.0.2.21");
	run_for(b, 500);
	assert_int_equal(n_sent, 1);
	run_for(b, 2000);
	assert_int_equal(n_sent, 2);
	refuses = false;
	wait_for(b, "192.0.2.21", NEIGHBOUR_KNOWN, 0x21);
	assert_false(neighbours_room(b->neighbours, false).refused);
}

static void test_next_hops_are_counted_once(void **state)
{
	struct bench *b = *state;

	want(b, "192.0.2.21", "198.51.100.7"); /* which is behind it */
	assert_int_equal(neighbours_room(b->neighbours, false).wanted, 1);
	assert_int_equal(neighbours_room(b->neighbours, true).wanted, 0);
	assert_false(neighbours_room(b->neighbours, false).refused);
	want(b, "192.0.2.21", "2001:db8::21");
	assert_int_equal(neighbours_room(b->neighbours, true).wanted, 1);
}

static void test_flushed_entry_is_made_again(void **state)
{
	struct bench *b = *state;

	want(b, "192.0.2.21", NULL);
	wait_for(b, "192.0.2.21", NEIGHBOUR_KNOWN, 0x21);
	run("ip neigh flush dev sl0");
	for (int i = 0; i < 50 && system("ip neigh show 192.0.2.21 | grep -q managed") != 0; i++) {
		event_base_loop(b->loop, EVLOOP_NONBLOCK);
		usleep(20000);
	}
	run("ip neigh show 192.0.2.21 | grep -q managed");
	wait_for(b, "192.0.2.21", NEIGHBOUR_KNOWN, 0x21);
}

static void test_entries_no_longer_wanted_are_removed(void **state)
{
	struct bench *b = *state;

	want(b, "192.0.2.21", "192.0.2.99");
	wait_for(b, "192.0.2.21", NEIGHBOUR_KNOWN, 0x21);
	want(b, NULL, NULL);
	run("! ip neigh show | grep managed");
}

static void test_entry_of_the_operator_is_left_alone(void **state)
{
	struct bench *b = *state;

	run("ip neigh add 192.0.2.50 lladdr 02:00:00:00:00:50 dev sl0 nud permanent");
	want(b, "192.0.2.50", NULL);
	wait_for(b, "192.0.2.50", NEIGHBOUR_KNOWN, 0x50);
	run("ip neigh show 192.0.2.50 | grep -q PERMANENT");
	want(b, NULL, NULL);
	run("ip neigh show 192.0.2.50 | grep -q PERMANENT");
}

static void test_interface_is_read_by_name(void **state)
{
	struct lb_interface i = {.name = "sl0"}, none = {.name = "nowhere", .ifindex = 7};

	(void)state;
	interface_read(&i);
	assert_true(i.ifindex > 0 && i.up && (i.mac[0] | i.mac[5]));
	interface_read(&none);
	assert_int_equal(none.ifindex, 0);
}

static const char *namespaces_enter(void)
{
	if (unshare(CLONE_NEWNET | CLONE_NEWNS) < 0)
		return "namespaces are not permitted (not root?)";
	if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
	    mount("none", "/run", "tmpfs", 0, NULL) < 0)
		return "mounts are not permitted";
	return NULL;
}

#define BENCH_TEST(test) cmocka_unit_test_setup_teardown(test, bench_up, bench_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		BENCH_TEST(test_mac_on_link_is_resolved),
		BENCH_TEST(test_ways_that_dsr_cannot_use_are_told_apart),
		BENCH_TEST(test_backends_behind_a_gateway_have_its_mac_and_our_source),
		BENCH_TEST(test_backend_gets_another_gateway),
		BENCH_TEST(test_backend_that_appears_later_becomes_known),
		BENCH_TEST(test_replaced_nic_is_found_by_a_probe),
		BENCH_TEST(test_interface_that_comes_back_is_resolved_again),
		BENCH_TEST(test_entry_that_is_refreshed_is_no_news),
		BENCH_TEST(test_full_table_is_told_and_asked_again_seldom),
		BENCH_TEST(test_next_hops_are_counted_once),
		BENCH_TEST(test_flushed_entry_is_made_again),
		BENCH_TEST(test_entries_no_longer_wanted_are_removed),
		BENCH_TEST(test_entry_of_the_operator_is_left_alone),
		BENCH_TEST(test_interface_is_read_by_name),
	};
	const char *missing = namespaces_enter();

	if (missing) {
		printf("skipped: %s\n", missing);
		return SKIP;
	}
	log_init("test", false);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
