/* SPDX-License-Identifier: BSD-2-Clause */
/* test_via.c: through which VIP a backend is asked next (via.h). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "healthcheck/via.h"

enum { SERVICES = 8, POOLS = 2 };

struct block {
	struct config config;
	_Alignas(8) struct config_pool pools[POOLS];
	_Alignas(8) struct config_backend backends[POOLS];
	_Alignas(8) struct config_service services[SERVICES];
};

static void service_add(struct block *b, uint32_t pool, const char *vip, uint16_t port,
			uint32_t mark)
{
	struct config_service *s = &b->services[b->config.n_services++];

	s->pool = pool;
	s->port = port;
	s->mark = mark;
	assert_int_equal(addr_parse(vip, &s->vip), 0);
}

static struct block block_make(void)
{
	struct block b = {.config = {.size_bytes = sizeof(b),
				     .n_pools = POOLS,
				     .n_backends = POOLS,
				     .pools_at = offsetof(struct block, pools),
				     .backends_at = offsetof(struct block, backends),
				     .services_at = offsetof(struct block, services)}};

	for (uint32_t i = 0; i < POOLS; i++) {
		b.backends[i].pool = i;
		assert_int_equal(addr_parse("192.0.2.21", &b.backends[i].addr), 0);
	}
	service_add(&b, 1, "192.0.2.12", 25, 6);
	service_add(&b, 0, "192.0.2.10", 25, 1);
	service_add(&b, 0, "192.0.2.10", 587, 2);
	service_add(&b, 0, "192.0.2.11", 25, 3);
	service_add(&b, 0, "192.0.2.13", 25, 0); /* of UDP */
	service_add(&b, 0, "2001:db8::10", 25, 4);
	return b;
}

static void assert_via(const struct via *via, uint32_t mark, const char *vip)
{
	char text[VIA_TEXT];

	assert_int_equal(via->mark, mark);
	assert_string_equal(via_text(via, text), vip);
}

/* The next one, with what came of it. */
static void assert_next(const struct vias *v, const struct config_backend *b, struct via_turn *turn,
			uint32_t mark, const char *vip, enum verdict_word word)
{
	struct via via = via_next(v, b, 25, turn);

	assert_via(&via, mark, vip);
	via_turn_end(turn, word);
}

static void test_vips_of_a_pool_take_turns_after_each_pass(void **state)
{
	struct block b = block_make();
	struct via_turn turn = {0};
	struct vias *v;

	(void)state;
	assert_int_equal(vias_new(&b.config, &v), 0);
	for (int i = 0; i < 3; i++) {
		assert_next(v, &b.backends[0], &turn, 1, " via 192.0.2.10", VERDICT_PASS);
		assert_next(v, &b.backends[0], &turn, 3, " via 192.0.2.11", VERDICT_PASS);
		assert_next(v, &b.backends[0], &turn, 4, " via 2001:db8::10", VERDICT_PASS);
	}
	turn = (struct via_turn){0};
	for (int i = 0; i < 3; i++)
		assert_next(v, &b.backends[1], &turn, 6, " via 192.0.2.12", VERDICT_PASS);
	vias_free(v);
}

static void test_vip_that_fails_is_asked_until_it_passes(void **state)
{
	static const enum verdict_word words[] = {VERDICT_TIMEOUT, VERDICT_REFUSED, VERDICT_UNABLE,
						  VERDICT_LEAVING};
	struct block b = block_make();
	struct via_turn turn = {0};
	struct vias *v;

	(void)state;
	assert_int_equal(vias_new(&b.config, &v), 0);
	assert_next(v, &b.backends[0], &turn, 1, " via 192.0.2.10", VERDICT_PASS);
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		assert_next(v, &b.backends[0], &turn, 3, " via 192.0.2.11", words[i]);
	assert_next(v, &b.backends[0], &turn, 3, " via 192.0.2.11", VERDICT_PASS);
	assert_next(v, &b.backends[0], &turn, 4, " via 2001:db8::10", VERDICT_PASS);
	vias_free(v);
}

static void test_port_that_no_service_has_is_asked_by_address(void **state)
{
	struct block b = block_make();
	struct via_turn turn = {0};
	struct via via;
	struct vias *v;

	(void)state;
	assert_int_equal(vias_new(&b.config, &v), 0);
	via = via_next(v, &b.backends[0], 26, &turn);
	assert_via(&via, 0, "");
	via = via_next(v, &b.backends[0], 587, &turn);
	assert_via(&via, 2, " via 192.0.2.10");
	via = via_next(v, &b.backends[1], 587, &turn);
	assert_via(&via, 0, "");
	via = via_next(NULL, &b.backends[0], 25, &turn);
	assert_via(&via, 0, "");
	vias_free(v);
	b.config.n_services = 0;
	assert_int_equal(vias_new(&b.config, &v), 0);
	via = via_next(v, &b.backends[0], 25, &turn);
	assert_via(&via, 0, "");
	vias_free(v);
}

static void test_turn_goes_on_in_another_configuration(void **state)
{
	struct block b = block_make();
	struct via_turn turn = {0};
	struct vias *v;

	(void)state;
	assert_int_equal(vias_new(&b.config, &v), 0);
	assert_next(v, &b.backends[0], &turn, 1, " via 192.0.2.10", VERDICT_PASS);
	assert_next(v, &b.backends[0], &turn, 3, " via 192.0.2.11", VERDICT_TIMEOUT);
	vias_free(v);
	b.services[1].mark = 0; /* the first one is gone */
	assert_int_equal(vias_new(&b.config, &v), 0);
	assert_next(v, &b.backends[0], &turn, 3, " via 192.0.2.11", VERDICT_TIMEOUT);
	vias_free(v);
	b.services[3].mark = 0; /* and the one that failed */
	assert_int_equal(vias_new(&b.config, &v), 0);
	assert_next(v, &b.backends[0], &turn, 4, " via 2001:db8::10", VERDICT_PASS);
	assert_next(v, &b.backends[0], &turn, 4, " via 2001:db8::10", VERDICT_PASS);
	vias_free(v);
}

static void test_segments_fit_into_the_tunnel(void **state)
{
	static const struct {
		enum config_mode mode;
		enum config_tunnel_type type;
		const char *backend;
		uint32_t mark;
		uint16_t mtu, mss;
	} rows[] = {
		{MODE_DSR, TUNNEL_IPIP, "192.0.2.21", 1, 1500, 0},
		{MODE_TUNNEL, TUNNEL_IPIP, "192.0.2.21", 1, 1500, 1440},
		{MODE_TUNNEL, TUNNEL_GUE, "192.0.2.21", 1, 1500, 1428},
		{MODE_TUNNEL, TUNNEL_IPIP, "2001:db8::21", 1, 1500, 1420},
		{MODE_TUNNEL, TUNNEL_GUE, "2001:db8::21", 4, 1500, 1388},
		{MODE_TUNNEL, TUNNEL_IPIP, "192.0.2.21", 4, 576, 496},
	};
	struct block b = block_make();
	struct vias *v;

	(void)state;
	assert_int_equal(vias_new(&b.config, &v), 0);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct via_turn turn = {0};
		struct via via;

		b.pools[0].mode = rows[i].mode;
		b.pools[0].tunnel.type = rows[i].type;
		b.pools[0].tunnel.mtu = rows[i].mtu;
		assert_int_equal(addr_parse(rows[i].backend, &b.backends[0].addr), 0);
		do {
			via = via_next(v, &b.backends[0], 25, &turn);
			turn.passed = true;
		} while (via.mark != rows[i].mark);
		assert_int_equal(via.mss, rows[i].mss);
	}
	vias_free(v);
}

static void test_verdict_that_is_no_pass_names_the_vip_however_long_it_is(void **state)
{
	struct via via = {.mark = 1};
	struct verdict v = {.word = VERDICT_TIMEOUT, .text = "no connection in 1000 ms"};

	(void)state;
	assert_int_equal(addr_parse("192.0.2.10", &via.vip), 0);
	via_tell(&via, &v);
	assert_string_equal(v.text, "no connection in 1000 ms via 192.0.2.10");
	memset(v.text, 'x', sizeof(v.text) - 1);
	v.text[sizeof(v.text) - 1] = '\0';
	via_tell(&via, &v);
	assert_int_equal(strlen(v.text), sizeof(v.text) - 1);
	assert_string_equal(v.text + strlen(v.text) - 16, "x via 192.0.2.10");
	v = (struct verdict){.word = VERDICT_PASS, .text = "mx1 ESMTP"};
	via_tell(&via, &v);
	assert_string_equal(v.text, "mx1 ESMTP");
	via.mark = 0;
	v.word = VERDICT_TIMEOUT;
	via_tell(&via, &v);
	assert_string_equal(v.text, "mx1 ESMTP");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_vips_of_a_pool_take_turns_after_each_pass),
		cmocka_unit_test(test_vip_that_fails_is_asked_until_it_passes),
		cmocka_unit_test(test_port_that_no_service_has_is_asked_by_address),
		cmocka_unit_test(test_turn_goes_on_in_another_configuration),
		cmocka_unit_test(test_segments_fit_into_the_tunnel),
		cmocka_unit_test(test_verdict_that_is_no_pass_names_the_vip_however_long_it_is),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
