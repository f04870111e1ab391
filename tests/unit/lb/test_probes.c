/* SPDX-License-Identifier: BSD-2-Clause */
/* test_probes.c: probes through VIPs: what of it is wanted, in which order it is put in place, and
 * what is in the kernel then. The second half needs namespaces; skipped (77) where they are not
 * permitted.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <cmocka.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lb/apply.h"
#include "lb/mode.h"
#include "tests/unit/lb/world.h"

#define POOL_OF(name, settings, probe, address)                                                    \
	"{ name = \"" name "\"; port = 25; probe = { type = \"tcp\"; timeout = \"1500ms\"; " probe \
	" }; idle_timeout = \"60s\"; " settings                                                    \
	" backends = ( { name = \"mx1\"; address = \"" address "\"; } ); }"
#define POOL(settings, probe, address) "pools = ( " POOL_OF("mx", settings, probe, address) " );"

static const char dsr[] = POOL("", "", "192.0.2.21");
static const char dsr_by_address[] = POOL("", "via = \"address\";", "192.0.2.21");
static const char tunnel[] = POOL("mode = \"tunnel\";", "", "192.0.2.21");

static void assert_addr(const uint8_t is[16], const char *text)
{
	struct addr addr = {0};

	if (text)
		assert_int_equal(addr_parse(text, &addr), 0);
	assert_memory_equal(is, &addr, sizeof(addr));
}

/* ---- what is wanted ---- */

static void test_probes_are_put_in_place_last_and_taken_away_first(void **state)
{
	struct world *w = world_new();

	(void)state;
	world_configure(w, dsr, smtp_to_mx);
	assert_string_equal(world_go(w),
			    "settings, backend add, pool add, service add, probe vips, "
			    "attach, probe attach");
	assert_int_equal(w->current->settings.features, FEATURE_PROBES);
	assert_string_equal(world_go(w), "");
	world_configure(w, dsr_by_address, smtp_to_mx);
	assert_string_equal(world_go(w), "probe detach, settings, program, probe vips");
	assert_false(w->current->interfaces[0].probe_attached);
	assert_int_equal(w->current->settings.features, 0);
	world_configure(w, dsr, smtp_to_mx);
	assert_string_equal(world_go(w), "settings, program, probe vips, probe attach");
	assert_string_equal(world_go(w), "");
	w->interfaces[0].ifindex = 0;
	assert_string_equal(world_go(w), "probe detach, detach");
	world_free(w);
}

static void test_another_mac_leaves_the_program_of_tc_alone(void **state)
{
	struct world *w = world_new();

	(void)state;
	world_configure(w, dsr, smtp_to_mx);
	world_go(w);
	w->interfaces[0].mac[5] = 9;
	assert_string_equal(world_go(w), "program");
	assert_true(w->current->interfaces[0].probe_attached);
	/* another one by that name: the first one may be there, under another */
	w->interfaces[0].ifindex++;
	assert_string_equal(world_go(w), "probe detach, detach, attach, probe attach");
	assert_string_equal(world_go(w), "");
	world_free(w);
}

static void test_change_of_the_tunnel_changes_what_a_probe_is_put_into(void **state)
{
	struct world *w = world_new();
	const struct probe_vip *v;

	(void)state;
	world_configure(w, dsr, smtp_to_mx);
	world_go(w);
	assert_int_equal(w->current->probes.n, 1);
	v = &w->current->probes.entries[0].vip;
	assert_addr(v->vip, "192.0.2.10");
	assert_int_equal(v->port, htons(25));
	assert_int_equal(v->mode, FORWARD_DSR);
	assert_int_equal(v->timeout_s, 2);
	assert_true(w->current->probes.entries[0].mark & PROBE_MARK);

	world_configure(
		w,
		POOL("mode = \"tunnel\"; tunnel = { type = \"gue\"; port = 6081; mtu = 1400; "
		     "sources = [ \"10.9.0.0/16\", \"fd09::/48\" ]; };",
		     "", "2001:db8::21"),
		smtp_to_mx);
	world_go(w);
	v = &w->current->probes.entries[0].vip;
	assert_int_equal(v->mode, FORWARD_TUNNEL);
	assert_int_equal(v->tunnel_port, htons(6081));
	assert_int_equal(v->tunnel_mtu, 1400);
	assert_addr(v->tunnel_src4, "10.9.0.0");
	assert_addr(v->tunnel_src6, "fd09::");
	assert_int_equal(v->tunnel_bits4, 16);
	assert_int_equal(v->tunnel_bits6, 64);

	world_configure(w, tunnel, smtp_to_mx);
	assert_string_equal(world_go(w), "backend change, table, backend retire, probe vips");
	v = &w->current->probes.entries[0].vip;
	assert_addr(v->tunnel_src4, NULL);
	assert_int_equal(v->tunnel_port, 0);
	world_free(w);
}

static void test_own_address_of_the_vips_family_is_taken_from_an_interface(void **state)
{
	struct world *w = world_new();

	(void)state;
	world_configure(w, tunnel, smtp_to_mx);
	assert_int_equal(addr_parse("192.0.2.2", &w->interfaces[0].own4), 0);
	assert_int_equal(addr_parse("2001:db8::2", &w->interfaces[0].own6), 0);
	world_go(w);
	assert_addr(w->current->probes.entries[0].vip.own, "192.0.2.2");
	world_free(w);
}

static void test_nat_udp_and_probes_by_address_have_no_marks(void **state)
{
	static const char *const rows[][2] = {
		{POOL("mode = \"nat\";", "", "192.0.2.21"), smtp_to_mx},
		{POOL("", "via = \"address\";", "192.0.2.21"), smtp_to_mx},
		{POOL("", "", "192.0.2.21"),
		 "services = ( { name = \"d\"; vip = \"192.0.2.10\"; protocol = \"udp\"; port = 25; "
		 "pool = \"mx\"; } );"},
	};
	struct world *w = world_new();

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		world_configure(w, rows[i][0], rows[i][1]);
		assert_int_equal(config_service(w->config, 0)->mark, 0);
		assert_int_equal(mode_features(w->config) & FEATURE_PROBES, 0);
	}
	world_free(w);
}

static int compare(const void *a, const void *b)
{
	const uint32_t *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

static void test_marks_are_all_different_and_stay_over_a_reload(void **state)
{
	static char many[200000];
	struct world *w = world_new();
	uint32_t marks[4096], n = 0, first;
	size_t used = (size_t)snprintf(many, sizeof(many), "services = ( ");

	(void)state;
	for (unsigned port = 1; port <= 1024; port++)
		used += (size_t)snprintf(
			many + used, sizeof(many) - used,
			"%s{ name = \"s\"; vip = \"192.0.2.10\"; port = %u; pool = "
			"\"mx\"; }",
			port > 1 ? "," : "", port);
	snprintf(many + used, sizeof(many) - used, " );");
	world_configure(w, dsr, many);
	for (; n < w->config->n_services; n++)
		marks[n] = config_service(w->config, n)->mark;
	first = marks[24];
	qsort(marks, n, sizeof(marks[0]), compare);
	for (uint32_t i = 0; i < n; i++) {
		assert_true(marks[i] & PROBE_MARK);
		assert_true(i == 0 || marks[i] != marks[i - 1]);
	}
	world_configure(w, dsr, smtp_to_mx);
	assert_int_equal(config_service(w->config, 0)->mark, first);
	world_free(w);
}

/* ---- with the kernel ---- */

static struct world *probe_world(const char *pools)
{
	struct world *w = world_new();
	struct ifreq request = {.ifr_name = "sl-probe"};
	int fd = socket(AF_INET, SOCK_DGRAM, 0);

	if (if_nametoindex("sl-probe") == 0)
		assert_int_equal(system("ip link add sl-probe type veth peer name sl-peer"), 0);
	assert_int_equal(ioctl(fd, SIOCGIFHWADDR, &request), 0);
	close(fd);
	snprintf(w->interfaces[0].name, sizeof(w->interfaces[0].name), "sl-probe");
	w->interfaces[0].ifindex = if_nametoindex("sl-probe");
	memcpy(w->interfaces[0].mac, request.ifr_hwaddr.sa_data, 6);
	world_configure(w, pools, smtp_to_mx);
	return w;
}

static int probe_clean(void **state)
{
	plane_probe_detach(if_nametoindex("sl-probe"));
	return plane_clean(state);
}

/* Of the filter that is there; 0 = none. */
static unsigned filter_program(void)
{
	FILE *f = popen(
		"tc filter show dev sl-probe egress | sed -n 's/.* id \\([0-9]*\\) .*/\\1/p'", "r");
	unsigned id = 0;

	assert_non_null(f);
	if (fscanf(f, "%u", &id) != 1)
		id = 0;
	pclose(f);
	return id;
}

static uint32_t map_count(const struct plane *plane)
{
	struct probe_list list;
	uint32_t n;

	plane_probes_adopt(plane, &list);
	n = list.n;
	probe_list_fini(&list);
	return n;
}

static void test_program_is_at_tc_egress_and_goes_with_the_interface(void **state)
{
	struct world *w = probe_world(dsr);
	struct plane *plane;

	(void)state;
	assert_int_equal(plane_open(pins, &plane), 0);
	world_apply(w, plane);
	assert_true(plane_probe_attached(w->interfaces[0].ifindex));
	assert_int_not_equal(filter_program(), 0);
	assert_int_equal(map_count(plane), 1);
	world_configure(w, dsr_by_address, smtp_to_mx);
	world_apply(w, plane);
	assert_int_equal(filter_program(), 0);
	assert_int_equal(map_count(plane), 0);
	world_configure(w, dsr, smtp_to_mx);
	world_apply(w, plane);
	assert_int_not_equal(filter_program(), 0);
	w->interfaces[0].ifindex = 0;
	world_apply(w, plane);
	assert_int_equal(filter_program(), 0);
	plane_free(plane);
	world_free(w);
}

static void test_process_that_comes_after_a_killed_one_replaces_the_filter(void **state)
{
	struct world *w = probe_world(dsr);
	struct plane *plane;
	unsigned id;

	(void)state;
	assert_int_equal(plane_open(pins, &plane), 0);
	world_apply(w, plane);
	id = filter_program();
	plane_free(plane);
	world_free(w);

	w = probe_world(dsr);
	assert_int_equal(plane_open(pins, &plane), 0);
	assert_int_equal(filter_program(), id);
	assert_int_equal(plane_adopt(plane, w->now_s, w->current), 1);
	assert_true(w->current->interfaces[0].probe_attached);
	assert_false(w->current->interfaces[0].probe_loaded);
	assert_int_equal(w->current->probes.n, 1);
	world_apply(w, plane);
	assert_int_not_equal(filter_program(), 0);
	assert_int_not_equal(filter_program(), id);
	assert_string_equal(world_go(w), "");
	plane_free(plane);
	world_free(w);
}

static void test_filter_that_a_killed_process_left_goes_when_nobody_wants_it(void **state)
{
	struct world *w = probe_world(dsr);
	struct plane *plane;

	(void)state;
	assert_int_equal(plane_open(pins, &plane), 0);
	world_apply(w, plane);
	plane_free(plane);
	world_free(w);
	w = probe_world(dsr_by_address);
	assert_int_equal(plane_open(pins, &plane), 0);
	assert_int_equal(plane_adopt(plane, w->now_s, w->current), 1);
	world_apply(w, plane);
	assert_int_equal(filter_program(), 0);
	plane_free(plane);
	world_free(w);
}

/* Somebody else's filter, of a program that does nothing. */
static struct bpf_tc_opts other_attach(struct bpf_tc_hook *hook)
{
	const struct bpf_insn nothing[] = {
		{.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0, .imm = -1},
		{.code = BPF_JMP | BPF_EXIT},
	};
	int program = bpf_prog_load(BPF_PROG_TYPE_SCHED_CLS, "other", "GPL", nothing, 2, NULL);
	LIBBPF_OPTS(bpf_tc_opts, opts, .handle = 1, .priority = 7, .prog_fd = program);

	bpf_tc_hook_create(hook);
	assert_int_equal(bpf_tc_attach(hook, &opts), 0);
	close(program);
	return opts;
}

static void test_filters_of_others_stay(void **state)
{
	struct world *w = probe_world(dsr);
	struct bpf_tc_hook hook = {.sz = sizeof(hook),
				   .ifindex = (int)w->interfaces[0].ifindex,
				   .attach_point = BPF_TC_EGRESS};
	struct bpf_tc_opts other = other_attach(&hook);
	struct plane *plane;

	(void)state;
	assert_int_equal(plane_open(pins, &plane), 0);
	world_apply(w, plane);
	assert_true(plane_probe_attached((uint32_t)hook.ifindex));
	w->interfaces[0].ifindex = 0;
	world_apply(w, plane);
	assert_false(plane_probe_attached((uint32_t)hook.ifindex));
	other.prog_fd = 0;
	other.prog_id = 0;
	assert_int_equal(bpf_tc_query(&hook, &other), 0);
	other.prog_id = 0;
	assert_int_equal(bpf_tc_detach(&hook, &other), 0);
	plane_free(plane);
	world_free(w);
}

/* Another program's clean-up, or an operator: tc qdisc del dev ... clsact. */
static void test_filter_that_somebody_takes_away_is_put_back(void **state)
{
	struct world *w = probe_world(dsr);
	struct plane *plane;

	(void)state;
	assert_int_equal(plane_open(pins, &plane), 0);
	world_apply(w, plane);
	assert_false(plane_probes_look(w->current));
	assert_int_equal(system("tc qdisc del dev sl-probe clsact"), 0);
	assert_int_equal(filter_program(), 0);
	assert_true(plane_probes_look(w->current));
	assert_false(plane_probes_look(w->current));
	world_apply(w, plane);
	assert_int_not_equal(filter_program(), 0);
	assert_false(plane_probes_look(w->current));
	plane_free(plane);
	world_free(w);
}

static void test_map_of_vips_has_those_that_are_wanted_and_no_others(void **state)
{
	enum { MANY = 1000 };
	static struct probe_entry entries[MANY];
	struct probe_list all = {.entries = entries, .n = MANY}, half = {.entries = entries};
	struct world *w = probe_world(dsr);
	struct probe_list has;
	struct plane *plane;

	(void)state;
	assert_int_equal(plane_open(pins, &plane), 0);
	world_apply(w, plane);
	for (uint32_t i = 0; i < MANY; i++)
		entries[i].mark = PROBE_MARK | i;
	assert_int_equal(plane_probes_set(plane, &all), 0);
	assert_int_equal(map_count(plane), MANY);
	for (uint32_t i = 0; i < MANY; i += 2)
		entries[half.n++] = entries[i];
	assert_int_equal(plane_probes_set(plane, &half), 0);
	plane_probes_adopt(plane, &has);
	assert_true(probe_list_equal(&has, &half));
	probe_list_fini(&has);
	plane_free(plane);
	world_free(w);
}

/* It would take a filter of egress for what comes in. */
static void test_ingress_qdisc_in_the_place_of_clsact_is_told_and_stops_nothing(void **state)
{
	struct world *w = probe_world(dsr);
	char problem[PLANE_PROBLEM] = "";
	struct plane *plane;
	struct plan plan;

	(void)state;
	assert_int_equal(system("tc qdisc del dev sl-probe clsact 2> /dev/null; "
				"tc qdisc add dev sl-probe ingress"),
			 0);
	assert_int_equal(plane_open(pins, &plane), 0);
	plan = world_plan(w);
	assert_int_equal(plan_apply(&plan, plane, w->current, problem_take, problem), 0);
	plan_fini(&plan);
	assert_string_equal(problem, "an ingress qdisc has clsact's place; cure: tc qdisc del dev "
				     "sl-probe ingress");
	assert_true(w->current->interfaces[0].used);
	assert_false(w->current->interfaces[0].probe_attached);
	assert_int_equal(system("tc qdisc del dev sl-probe ingress"), 0);
	world_apply(w, plane);
	assert_true(w->current->interfaces[0].probe_attached);
	plane_free(plane);
	world_free(w);
}

#define KERNEL(name) cmocka_unit_test_teardown(name, probe_clean)

int main(void)
{
	const struct CMUnitTest pure[] = {
		cmocka_unit_test(test_probes_are_put_in_place_last_and_taken_away_first),
		cmocka_unit_test(test_another_mac_leaves_the_program_of_tc_alone),
		cmocka_unit_test(test_change_of_the_tunnel_changes_what_a_probe_is_put_into),
		cmocka_unit_test(test_own_address_of_the_vips_family_is_taken_from_an_interface),
		cmocka_unit_test(test_nat_udp_and_probes_by_address_have_no_marks),
		cmocka_unit_test(test_marks_are_all_different_and_stay_over_a_reload),
	};
	const struct CMUnitTest kernel[] = {
		KERNEL(test_program_is_at_tc_egress_and_goes_with_the_interface),
		KERNEL(test_process_that_comes_after_a_killed_one_replaces_the_filter),
		KERNEL(test_filter_that_a_killed_process_left_goes_when_nobody_wants_it),
		KERNEL(test_filters_of_others_stay),
		KERNEL(test_filter_that_somebody_takes_away_is_put_back),
		KERNEL(test_map_of_vips_has_those_that_are_wanted_and_no_others),
		KERNEL(test_ingress_qdisc_in_the_place_of_clsact_is_told_and_stops_nothing),
	};
	int failed = cmocka_run_group_tests(pure, NULL, NULL);
	int skipped = namespaces_enter();

	if (skipped)
		return failed ? failed : skipped;
	return failed + cmocka_run_group_tests(kernel, NULL, NULL);
}
