/* SPDX-License-Identifier: BSD-2-Clause */
/* test_mode.c: what a pool's forward mode puts into the data plane, and that the plan sees when it
 * changes.
 */
#include "tests/unit/lb/world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <string.h>

#include "lb/mode.h"

#define POOL(settings, address)                                                                    \
	"pools = ( { name = \"mx\"; port = 25; probe = { type = \"tcp\"; via = \"address\"; }; "   \
	"idle_timeout = \"60s\"; " settings " backends = ( { name = \"mx1\"; address = \"" address \
	"\"; } ); } );"

static struct addr address(const char *text)
{
	struct addr addr;

	assert_int_equal(addr_parse(text, &addr), 0);
	return addr;
}

static const struct backend *backend_of(const struct world *w)
{
	return &w->current->backends[0].plane;
}

static void assert_source(const struct world *w, const char *text, int bits)
{
	struct addr addr = address(text);

	assert_memory_equal(backend_of(w)->tunnel_src, &addr, sizeof(addr));
	assert_int_equal(backend_of(w)->tunnel_bits, bits);
}

static void test_dsr_needs_nothing_more(void **state)
{
	const struct backend none = {0};
	struct world *w = world_new();

	(void)state;
	world_go(w);
	assert_int_equal(w->current->services[0].plane.mode, FORWARD_DSR);
	assert_int_equal(w->current->settings.features, 0);
	assert_memory_equal(backend_of(w)->tunnel_src, none.tunnel_src, sizeof(none.tunnel_src));
	assert_int_equal(backend_of(w)->tunnel_mtu, 0);
	world_free(w);
}

static void test_tunnel_goes_out_from_our_own_address_or_from_a_prefix(void **state)
{
	struct world *w = world_new();

	(void)state;
	world_configure(w, POOL("mode = \"tunnel\";", "198.51.100.21"), smtp_to_mx);
	w->backends[0].neighbour.source = address("192.0.2.2");
	world_go(w);
	assert_int_equal(w->current->services[0].plane.mode, FORWARD_TUNNEL);
	assert_source(w, "192.0.2.2", 0);
	assert_int_equal(backend_of(w)->tunnel_mtu, 1500);
	assert_int_equal(backend_of(w)->tunnel_port, 0);
	assert_int_equal(backend_of(w)->tunnel_clamp, 0);

	world_configure(
		w,
		POOL("mode = \"tunnel\"; tunnel = { type = \"gue\"; port = 7000; mtu = 1400; "
		     "clamp_mss = true; sources = [ \"10.9.0.0/16\" ]; };",
		     "198.51.100.21"),
		smtp_to_mx);
	assert_string_equal(world_go(w), "backend change");
	assert_source(w, "10.9.0.0", 16);
	assert_int_equal(backend_of(w)->tunnel_mtu, 1400);
	assert_int_equal(backend_of(w)->tunnel_port, htons(7000));
	assert_int_equal(backend_of(w)->tunnel_clamp, 1);
	world_free(w);
}

static void test_tunnel_to_an_ipv6_backend_takes_an_ipv6_source(void **state)
{
	struct world *w = world_new();

	(void)state;
	world_configure(w,
			POOL("mode = \"tunnel\"; tunnel = { sources = [ \"10.9.0.0/16\", "
			     "\"fd09::/48\" ]; };",
			     "2001:db8::21"),
			smtp_to_mx);
	world_go(w);
	assert_source(w, "fd09::", 64); /* a hash has no more */
	world_free(w);
}

static void test_change_of_mode_changes_service_and_backend_only(void **state)
{
	struct world *w = world_new();

	(void)state;
	world_configure(w, POOL("", "192.0.2.21"), smtp_to_mx);
	world_go(w);
	world_configure(w, POOL("mode = \"tunnel\";", "192.0.2.21"), smtp_to_mx);
	assert_string_equal(world_go(w), "backend change, service change");
	assert_string_equal(world_go(w), "");
	world_free(w);
}

static void test_on_down_is_a_flag_of_the_service(void **state)
{
	struct world *w = world_new();

	(void)state;
	world_configure(w, POOL("on_down = \"keep\";", "192.0.2.21"), smtp_to_mx);
	world_go(w);
	assert_int_equal(w->current->services[0].plane.flags, 0);
	world_configure(w, POOL("on_down = \"reset\";", "192.0.2.21"), smtp_to_mx);
	assert_string_equal(world_go(w), "service change");
	assert_int_equal(w->current->services[0].plane.flags, SERVICE_RESET);
	world_free(w);
}

/* Its flows lie in other slots then: each is to be looked up. */
static void test_change_of_persistence_takes_the_slots_into_transition(void **state)
{
	struct world *w = world_new();

	(void)state;
	world_go(w);
	assert_int_equal(w->current->services[0].plane.source_bits, 0);
	world_configure(w, POOL("persistence = \"source\"; source_prefix = 24;", "192.0.2.21"),
			smtp_to_mx);
	world_go(w);
	assert_int_equal(w->current->services[0].plane.source_bits, 24);
	assert_int_equal(w->current->pools[0].table.n_transition, SLOTS);
	world_free(w);
}

static void test_what_no_service_wants_is_a_setting_of_the_programs(void **state)
{
	static const struct {
		const char *text;
		uint32_t features, policy;
	} rows[] = {{"reject", FEATURE_VIPS, VIP_REJECT},
		    {"drop", FEATURE_VIPS, VIP_DROP},
		    {"pass", 0, VIP_PASS}};
	struct world *w = world_new();

	(void)state;
	world_go(w);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		char services[256];

		snprintf(services, sizeof(services), "%s no_service = \"%s\";", smtp_to_mx,
			 rows[i].text);
		world_configure(w, mx_123, services);
		assert_string_equal(world_go(w), "settings, program");
		assert_int_equal(w->current->settings.features, rows[i].features);
		assert_int_equal(w->current->settings.vip_policy, rows[i].policy);
	}
	world_free(w);
}

static void test_only_routed_modes_go_through_gateways(void **state)
{
	(void)state;
	assert_false(mode_is_routed(MODE_DSR));
	assert_true(mode_is_routed(MODE_TUNNEL));
	assert_true(mode_is_routed(MODE_NAT));
	assert_true(mode_is_routed(MODE_FULLNAT));
}

static void test_nat_remembers_where_a_backend_answers_for_two_services(void **state)
{
	struct world *w = world_new();

	(void)state;
	world_configure(w, POOL("mode = \"nat\";", "198.51.100.21"), smtp_to_mx);
	world_go(w);
	assert_int_equal(w->current->services[0].plane.mode, FORWARD_NAT);
	assert_int_equal(w->current->services[0].plane.flags & SERVICE_STATEFUL, 0);
	assert_int_equal(w->current->settings.features, FEATURE_RETURN);
	world_configure(w, POOL("mode = \"nat\";", "198.51.100.21"),
			"services = ( { name = \"smtp\"; vip = \"192.0.2.10\"; "
			"ports = [ 25, 587 ]; pool = \"mx\"; } );");
	world_go(w);
	assert_int_equal(w->current->services[0].plane.flags & SERVICE_STATEFUL, SERVICE_STATEFUL);
	assert_int_equal(w->current->services[1].plane.flags & SERVICE_STATEFUL, SERVICE_STATEFUL);
	world_free(w);
}

static void test_fullnat_has_its_sources_ports_and_flags(void **state)
{
	const uint8_t source[4] = {192, 0, 2, 77};
	struct world *w = world_new();
	uint8_t flags;

	(void)state;
	world_configure(w,
			POOL("mode = \"fullnat\"; proxy = \"v2\"; syn_cookies = \"always\"; "
			     "nat_sources = [ \"192.0.2.77\" ];",
			     "198.51.100.21"),
			smtp_to_mx);
	world_go(w);
	flags = w->current->services[0].plane.flags;
	assert_int_equal(w->current->services[0].plane.mode, FORWARD_FULLNAT);
	assert_true(flags & SERVICE_PROXY_V2 && flags & SERVICE_SYN_COOKIES &&
		    flags & SERVICE_COOKIES_OUT);
	assert_int_equal(w->current->pools[0].nat.n4, 1);
	assert_memory_equal(w->current->pools[0].nat.source4[0], source, 4);
	assert_true(w->current->settings.nat_port_first >= 1024 &&
		    w->current->settings.nat_port_last <= 32767);
	world_configure(w, POOL("mode = \"fullnat\";", "198.51.100.21"), smtp_to_mx);
	assert_non_null(strstr(world_go(w), "table")); /* the pool's record is another */
	assert_int_equal(w->current->pools[0].nat.n4, 0);
	world_free(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_dsr_needs_nothing_more),
		cmocka_unit_test(test_nat_remembers_where_a_backend_answers_for_two_services),
		cmocka_unit_test(test_fullnat_has_its_sources_ports_and_flags),
		cmocka_unit_test(test_tunnel_goes_out_from_our_own_address_or_from_a_prefix),
		cmocka_unit_test(test_tunnel_to_an_ipv6_backend_takes_an_ipv6_source),
		cmocka_unit_test(test_change_of_mode_changes_service_and_backend_only),
		cmocka_unit_test(test_on_down_is_a_flag_of_the_service),
		cmocka_unit_test(test_change_of_persistence_takes_the_slots_into_transition),
		cmocka_unit_test(test_what_no_service_wants_is_a_setting_of_the_programs),
		cmocka_unit_test(test_only_routed_modes_go_through_gateways),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
