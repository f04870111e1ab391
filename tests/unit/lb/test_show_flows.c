/* SPDX-License-Identifier: BSD-2-Clause */
/* test_show_flows.c: `show flows` over a real flow table, through a real control socket: what is
 * told is what is there, and the event loop goes on turning meanwhile.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <bpf/bpf.h>
#include <cmocka.h>
#include <errno.h>
#include <event2/event.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/log.h"
#include "lb/control.h"
#include "lb/flows.h"
#include "lb/plane.h"

enum { FLOWS = 400000, BATCH = 4096, ANSWER = 1 << 20, TICK_MS = 5 };

struct node {
	struct lb lb;
	struct plane plane;
	char path[64];
	int fd; /* a client's end */
	struct event *tick, *readable;
	uint64_t ticked_ms, longest_ms;
	char *answer;
	size_t n;
};

static void on_tick(evutil_socket_t fd, short what, void *arg)
{
	struct node *node = arg;
	uint64_t now_ms = clock_ms();

	(void)fd;
	(void)what;
	if (now_ms - node->ticked_ms > node->longest_ms)
		node->longest_ms = now_ms - node->ticked_ms;
	node->ticked_ms = now_ms;
}

/* The last line of an answer has no "more". */
static void on_readable(evutil_socket_t fd, short what, void *arg)
{
	struct node *node = arg;
	ssize_t n = read(fd, node->answer + node->n, ANSWER - node->n - 1);
	const char *line;

	(void)what;
	assert_true(n > 0);
	node->n += (size_t)n;
	node->answer[node->n] = '\0';
	if (node->answer[node->n - 1] != '\n')
		return;
	node->answer[node->n - 1] = '\0';
	line = strrchr(node->answer, '\n');
	if (!strstr(line ? line : node->answer, "\"more\""))
		event_base_loopbreak(node->lb.loop);
	node->answer[node->n - 1] = '\n';
}

/* Flow i: of client 10.x.y.z, port 1024 + i % 60000, at backend 1 or 2, every tenth is closing. */
static void flow_make(uint32_t i, struct flow_key *ret_key, struct flow *ret_flow)
{
	*ret_key = (struct flow_key){.src = {[10] = 0xff, [11] = 0xff, [12] = 10},
				     .sport = htons((uint16_t)(1024 + i % 60000)),
				     .service = (uint16_t)(3 + i % 2)};
	ret_key->src[13] = (uint8_t)(i >> 16);
	ret_key->src[14] = (uint8_t)(i >> 8);
	ret_key->src[15] = (uint8_t)i;
	*ret_flow = (struct flow){.backend = (uint16_t)(1 + i % 2),
				  .flags = i % 10 == 0 ? FLOW_CLOSING : 0,
				  .seen = FLOW_EPOCH(clock_now_s())};
}

static void table_fill(int fd)
{
	struct flow_key *keys = calloc(BATCH, sizeof(*keys));
	struct flow *flows = calloc(BATCH, sizeof(*flows));

	assert_true(keys && flows);
	for (uint32_t i = 0; i < FLOWS;) {
		uint32_t n = 0;

		while (n < BATCH && i < FLOWS)
			flow_make(i++, &keys[n], &flows[n]), n++;
		assert_int_equal(bpf_map_update_batch(fd, keys, flows, &n, NULL), 0);
	}
	free(keys);
	free(flows);
}

static void names_set(struct current *c)
{
	for (uint16_t i = 1; i <= 2; i++) {
		c->backends[i].used = true;
		strcpy(c->backends[i].pool_name, "mx");
		sprintf(c->backends[i].name, "mx%u", i);
		c->services[2 + i].used = true;
		sprintf(c->services[2 + i].name, "service%u", i);
	}
}

static void client_connect(struct node *node)
{
	struct sockaddr_un sa = {.sun_family = AF_UNIX};

	strcpy(sa.sun_path, node->path);
	node->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	assert_int_equal(connect(node->fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
	node->readable =
		event_new(node->lb.loop, node->fd, EV_READ | EV_PERSIST, on_readable, node);
	event_add(node->readable, NULL);
}

static int setup(void **state)
{
	static const struct config some;
	struct node *node = calloc(1, sizeof(*node));
	int *flows = &node->plane.maps[MAP_FLOWS];

	*flows = bpf_map_create(BPF_MAP_TYPE_HASH, "flows", sizeof(struct flow_key),
				sizeof(struct flow), FLOWS, NULL);
	assert_true(*flows >= 0);
	table_fill(*flows);
	node->lb.loop = event_base_new();
	node->lb.plane = &node->plane;
	node->lb.config = &some;
	node->lb.current = current_new();
	assert_true(node->lb.loop && node->lb.current);
	names_set(node->lb.current);
	snprintf(node->path, sizeof(node->path), "/tmp/test_show_flows.%d", getpid());
	node->lb.control = control_new(&node->lb, node->path);
	assert_non_null(node->lb.control);
	node->answer = malloc(ANSWER);
	assert_non_null(node->answer);
	node->tick = event_new(node->lb.loop, -1, EV_PERSIST, on_tick, node);
	event_add(node->tick, &(struct timeval){.tv_usec = TICK_MS * 1000});
	client_connect(node);
	*state = node;
	return 0;
}

static int teardown(void **state)
{
	struct node *node = *state;

	control_free(node->lb.control);
	event_free(node->tick);
	event_free(node->readable);
	event_base_free(node->lb.loop);
	libevent_global_shutdown();
	current_free(node->lb.current);
	close(node->plane.maps[MAP_FLOWS]);
	if (node->fd >= 0)
		close(node->fd);
	free(node->answer);
	free(node);
	return 0;
}

static void ask(struct node *node, const char *request)
{
	assert_int_equal(write(node->fd, request, strlen(request)), (ssize_t)strlen(request));
	node->n = 0;
	node->longest_ms = 0;
	node->ticked_ms = clock_ms();
	event_base_dispatch(node->lb.loop);
}

/* All rows of the answer, and its last line. */
static json_t *rows_read(struct node *node, json_t **ret_last)
{
	json_t *rows = json_array(), *line = NULL;
	char *at = node->answer, *end;

	for (; (end = strchr(at, '\n')) != NULL; at = end + 1) {
		json_decref(line);
		line = json_loadb(at, (size_t)(end - at), 0, NULL);
		assert_non_null(line);
		json_array_extend(rows, json_object_get(line, "flows"));
	}
	*ret_last = line;
	return rows;
}

static json_int_t number(const json_t *object, const char *key)
{
	return json_integer_value(json_object_get(object, key));
}

static void test_all_are_counted_and_the_loop_goes_on_turning(void **state)
{
	struct node *node = *state;
	json_t *rows, *last;

	ask(node, "{\"command\":\"show\",\"what\":\"flows\",\"limit\":10}\n");
	rows = rows_read(node, &last);
	assert_int_equal(json_array_size(rows), 10);
	assert_int_equal(number(last, "shown"), 10);
	assert_int_equal(number(last, "matched"), FLOWS);
	assert_int_equal(number(last, "total"), FLOWS);
	printf("    longest turn of the loop: %llu ms\n", (unsigned long long)node->longest_ms);
	/* the whole walk takes some seconds with sanitizers; a turn some milliseconds */
	assert_true(node->longest_ms < 500);
	json_decref(rows);
	json_decref(last);
}

static void test_filters_are_all_to_match(void **state)
{
	struct node *node = *state;
	json_t *rows, *last, *row;
	size_t i;

	ask(node, "{\"command\":\"show\",\"what\":\"flows\",\"client\":\"10.1.2.0/24\","
		  "\"backend\":\"mx/mx2\",\"service\":\"service2\"}\n");
	rows = rows_read(node, &last);
	assert_int_equal(json_array_size(rows), 128);
	assert_int_equal(number(last, "matched"), 128);
	assert_int_equal(number(last, "total"), FLOWS);
	json_array_foreach(rows, i, row)
	{
		const char *client = json_string_value(json_object_get(row, "client"));
		unsigned z, port;

		assert_int_equal(sscanf(client, "10.1.2.%u:%u", &z, &port), 2);
		assert_int_equal(port, 1024 + (0x10200 + z) % 60000);
		assert_string_equal(json_string_value(json_object_get(row, "state")),
				    (0x10200 + z) % 10 == 0 ? "closing" : "live");
		assert_string_equal(json_string_value(json_object_get(row, "backend")), "mx/mx2");
	}
	json_decref(rows);
	json_decref(last);
}

static void on_gone(evutil_socket_t fd, short what, void *arg)
{
	struct node *node = arg;

	(void)fd;
	(void)what;
	if (node->fd >= 0) { /* in the middle of the walk */
		event_del(node->readable);
		close(node->fd);
		node->fd = -1;
		return;
	}
	event_base_loopbreak(node->lb.loop);
}

static void test_client_that_goes_away_ends_the_walk(void **state)
{
	struct node *node = *state;
	struct event *gone = event_new(node->lb.loop, -1, EV_PERSIST, on_gone, node);

	event_add(gone, &(struct timeval){.tv_usec = 30000});
	ask(node, "{\"command\":\"show\",\"what\":\"flows\"}\n");
	event_free(gone);
	assert_int_equal(node->fd, -1); /* the sanitizers tell whether anything of it is left */
}

int main(void)
{
#define TEST(name) cmocka_unit_test(name)
	const struct CMUnitTest tests[] = {
		TEST(test_all_are_counted_and_the_loop_goes_on_turning),
		TEST(test_filters_are_all_to_match),
		TEST(test_client_that_goes_away_ends_the_walk),
	};

	signal(SIGPIPE, SIG_IGN); /* as lb does */
	if (geteuid() != 0) {
		puts("BPF is not permitted (not root?)");
		return 77;
	}
	return cmocka_run_group_tests(tests, setup, teardown);
}
