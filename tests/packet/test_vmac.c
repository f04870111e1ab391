/* SPDX-License-Identifier: BSD-2-Clause */
/* test_vmac.c: frames for the MAC of a virtual router (RFC 9568 7.3), at the active node as at the
 * backup: the program does not know which it is.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <linux/bpf.h>
#include <stdlib.h>
#include <string.h>

#include "tests/packet/dsr_site.h"

enum { VRID4 = 51, VRID6 = 255 };

static int open_with(uint32_t features, void **state)
{
	struct plane_sizes sizes = {
		.slots = DSR_SLOTS, .flows = 64, .embryos = 1024, .features = features};
	struct plane *p = calloc(1, sizeof(*p));

	sizes.vrids[VRID4 / 32] |= 1U << VRID4 % 32;
	sizes.vrids[(256 + VRID6) / 32] |= 1U << VRID6 % 32;
	assert_int_equal(plane_open(&sizes, p), 0);
	plane_service_set(p, &dsr_base4, DSR_SERVICE4, 0);
	plane_service_set(p, &dsr_base6, DSR_SERVICE6, 0);
	plane_backend_set(p, OWNER, 1);
	dsr_table_fill(p, OWNER, BACKEND_NONE);
	plane_clock_set(p, 1000);
	*state = p;
	return 0;
}

static int setup(void **state)
{
	return open_with(FEATURE_VMAC | FEATURE_VIPS, state);
}

static int setup_without(void **state)
{
	return open_with(FEATURE_VIPS, state);
}

static struct frame frame_to(const struct frame_spec *spec, uint8_t family, uint8_t vrid)
{
	const uint8_t mac[6] = {0x00, 0x00, 0x5e, 0x00, family, vrid};
	struct frame f;

	frame_build(spec, &f);
	memcpy(f.bytes, mac, sizeof(mac));
	return f;
}

static void test_frame_to_a_virtual_mac_is_forwarded(void **state)
{
	struct frame v4 = frame_to(&dsr_base4, 1, VRID4), v6 = frame_to(&dsr_base6, 2, VRID6), own;

	assert_int_equal(dsr_forwarded(*state, &v4), OWNER);
	assert_int_equal(dsr_forwarded(*state, &v6), OWNER);
	frame_build(&dsr_base4, &own);
	assert_int_equal(dsr_forwarded(*state, &own), OWNER);
}

static void test_frame_to_another_virtual_router_is_not_ours(void **state)
{
	static const struct {
		const char *what;
		uint8_t family, vrid;
	} rows[] = {{"another VRID", 1, 52},
		    {"VRID of the other family", 2, VRID4},
		    {"and the other way round", 1, VRID6},
		    {"VRID 0", 1, 0},
		    {"family 0", 0, VRID4},
		    {"family 3", 3, VRID4}};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct frame f = frame_to(&dsr_base4, rows[i].family, rows[i].vrid);

		dsr_stopped(*state, &f, XDP_PASS, REASON_PASS_NOT_OURS, rows[i].what);
	}
	for (int at = 0; at < 4; at++) {
		struct frame f = frame_to(&dsr_base4, 1, VRID4);

		f.bytes[at] ^= 2;
		dsr_stopped(*state, &f, XDP_PASS, REASON_PASS_NOT_OURS, "not the prefix");
	}
}

static void test_without_virtual_routers_none_of_their_macs_is_ours(void **state)
{
	struct frame f = frame_to(&dsr_base4, 1, VRID4);

	dsr_stopped(*state, &f, XDP_PASS, REASON_PASS_NOT_OURS, "no FEATURE_VMAC");
}

/* Or the switch would take the backup for the active node. */
static void test_reply_to_a_virtual_mac_comes_from_our_own(void **state)
{
	const struct service vip = {.mode = VIP_REJECT};
	struct frame_spec spec = dsr_base4;
	struct service_key key;
	struct frame f;

	frame_service_key(&spec, &key);
	key.port = 0;
	key.protocol = 0;
	plane_record_set(*state, &key, &vip);
	spec.dport = 2525;
	f = frame_to(&spec, 1, VRID4);
	assert_int_equal(plane_run(((struct plane *)*state)->fd, &f, NULL), XDP_TX);
	assert_memory_equal(f.bytes, frame_router_mac, 6);
	assert_memory_equal(f.bytes + 6, frame_node_mac, 6);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_frame_to_a_virtual_mac_is_forwarded, setup,
						dsr_teardown),
		cmocka_unit_test_setup_teardown(test_frame_to_another_virtual_router_is_not_ours,
						setup, dsr_teardown),
		cmocka_unit_test_setup_teardown(
			test_without_virtual_routers_none_of_their_macs_is_ours, setup_without,
			dsr_teardown),
		cmocka_unit_test_setup_teardown(test_reply_to_a_virtual_mac_comes_from_our_own,
						setup, dsr_teardown),
	};

	if (!plane_permitted())
		return 77;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
