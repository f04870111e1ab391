/* SPDX-License-Identifier: BSD-2-Clause */
/* test_reconcile.c: what becomes of a node whose settings the kernel refuses, and who is told; with
 * the real kernel, as test_plane.c.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <event2/event.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/channel.h"
#include "base/log.h"
#include "lb/balance.h"
#include "lb/flows.h"
#include "lb/plane.h"
#include "lb/reconciler.h"
#include "lb/requests.h"
#include "tests/unit/lb/world.h"

enum { TOO_MANY = 0xffffffffU };

/* A process without a parent. */
struct node {
	struct world *w;
	struct lb lb;
	int parent; /* the other end of the channel */
};

static void on_pass(void *owner)
{
	(void)owner;
}

static void on_lost(void *owner, const struct tuple *flow, const struct current_service *service)
{
	(void)owner;
	(void)flow;
	(void)service;
}

static void on_message(void *owner, enum message_type type, const void *payload, int fd)
{
	(void)owner;
	(void)type;
	(void)payload;
	(void)fd;
}

static struct node node_started(void)
{
	struct node n = {.w = world_with_veth()};
	struct lb *lb = &n.lb;
	int ends[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, ends), 0);
	n.parent = ends[1];
	*lb = (struct lb){.loop = event_base_new(),
			  .config = n.w->config,
			  .generation = 1,
			  .hash_key = {1},
			  .backends = n.w->backends,
			  .current = n.w->current,
			  .served = true};
	lb->interfaces[0] = n.w->interfaces[0];
	assert_int_equal(plane_open(pins, &lb->plane), 0);
	lb->channel = channel_new(lb->loop, ends[0], on_message, on_pass, NULL);
	lb->sweep = flow_sweep_new(lb->loop, lb->plane, lb->current, on_pass, on_lost, NULL);
	return n;
}

/* It keeps pointers to the lb, which is in its place now. */
static void node_run(struct node *n)
{
	n->lb.reconciler = reconciler_new(&n->lb);
	reconciler_key(n->lb.reconciler, 1);
	n->lb.balance = balance_new(&n->lb);
	assert_int_equal(lb_reconcile_now(&n->lb, "test"), 0);
	assert_string_equal(lb_problem(&n->lb), "");
}

static void node_end(struct node *n)
{
	requests_fini(&n->lb);
	balance_free(n->lb.balance);
	reconciler_free(n->lb.reconciler);
	flow_sweep_free(n->lb.sweep);
	channel_free(n->lb.channel);
	event_base_free(n->lb.loop);
	plane_free(n->lb.plane);
	close(n->parent);
	world_free(n->w);
}

static void on_reloaded(void *owner, int error, const char *text, const struct plan_rows *rows)
{
	(void)rows;
	snprintf(owner, 512, "%d %s", error, text);
}

static const char *reload_told(struct node *n)
{
	static char told[512];
	struct message_reloaded m = {0};

	told[0] = '\0';
	assert_int_equal(lb_request_reload(&n->lb, false, NULL, on_reloaded, told), 0);
	m.request = n->lb.last_request;
	requests_reloaded(&n->lb, &m, reconciler_last(n->lb.reconciler));
	return told;
}

static void test_refused_settings_hold_up_nothing_else_and_are_told(void **state)
{
	struct node n = node_started();
	uint32_t good = n.w->config->flow_limit;

	(void)state;
	node_run(&n);
	assert_string_equal(reload_told(&n), "0 ");
	n.w->config->flow_limit = TOO_MANY;
	n.lb.generation++;
	n.lb.backends[1].by_operator = OPERATOR_DRAIN;
	assert_int_equal(lb_reconcile_now(&n.lb, "configuration"), 0);
	assert_false(n.lb.current->backends[1].takes_new);
	assert_int_equal(n.lb.current->settings.flow_limit, good);
	assert_non_null(strstr(lb_problem(&n.lb), "the kernel refuses flow_limit 4294967295"));
	assert_non_null(strstr(reload_told(&n), "the kernel refuses flow_limit"));
	assert_false(reconciler_waits(n.lb.reconciler));

	n.lb.backends[1].by_operator = OPERATOR_ENABLED; /* and later on */
	assert_int_equal(lb_reconcile_now(&n.lb, "operator"), 0);
	assert_true(n.lb.current->backends[1].takes_new);
	assert_true(*lb_problem(&n.lb));

	n.w->config->flow_limit = 2 * good;
	n.lb.generation++;
	assert_int_equal(lb_reconcile_now(&n.lb, "configuration"), 0);
	assert_string_equal(lb_problem(&n.lb), "");
	assert_int_equal(n.lb.current->settings.flow_limit, 2 * good);
	node_end(&n);
}

static void test_refused_settings_of_a_cold_start_are_tried_again_later(void **state)
{
	struct node n = node_started();
	uint32_t good = n.w->config->flow_limit;

	(void)state;
	n.w->config->flow_limit = TOO_MANY;
	n.lb.reconciler = reconciler_new(&n.lb);
	n.lb.balance = balance_new(&n.lb);
	assert_true(lb_reconcile_now(&n.lb, "ready") < 0);
	assert_true(reconciler_waits(n.lb.reconciler));
	assert_true(*lb_problem(&n.lb));
	n.w->config->flow_limit = good;
	assert_int_equal(lb_reconcile_now(&n.lb, "configuration"), 0);
	assert_false(reconciler_waits(n.lb.reconciler));
	node_end(&n);
}

/* Ten thousand backends fail within seconds: each plan takes long, and there are pings to answer.
 */
static void test_costly_plans_leave_half_of_the_time_to_the_messages(void **state)
{
	(void)state;
	assert_int_equal(reconcile_rest_ms(0), RECONCILE_DELAY_MS);
	assert_int_equal(reconcile_rest_ms(RECONCILE_DELAY_MS + 1), RECONCILE_DELAY_MS + 1);
	assert_int_equal(reconcile_rest_ms(300), 300);
	assert_in_range(reconcile_rest_ms(60000), 100, 1000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_costly_plans_leave_half_of_the_time_to_the_messages),
		cmocka_unit_test_teardown(test_refused_settings_hold_up_nothing_else_and_are_told,
					  plane_clean),
		cmocka_unit_test_teardown(
			test_refused_settings_of_a_cold_start_are_tried_again_later, plane_clean),
	};
	int skipped = namespaces_enter();

	log_init("test", false);
	return skipped ? skipped : cmocka_run_group_tests(tests, NULL, NULL);
}
