/* SPDX-License-Identifier: BSD-2-Clause */
/* nodes.c: see nodes.h. Without cmocka, so that a fuzz target has it, too. */
#include "tests/unit/lb/nodes.h"

#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "lb/current.h"
#include "lb/flows.h"
#include "lb/partner_flows.h"
#include "lb/partner_kinds.h"
#include "lb/reconciler.h"

const char nodes_text[] =
	"secret_file = \"/none\"; slots = 251; announce = \"kernel\";"
	"nodes = ( { name = \"lb1\"; interfaces = [ \"eth0\" ]; },"
	"  { name = \"lb2\"; interfaces = [ \"eth0\" ]; },"
	"  { name = \"lb3\"; interfaces = [ \"eth0\" ]; } );"
	"vrrp = ( { name = \"v\"; interface = \"eth0\"; vrid = 1;"
	"  priorities = { lb1 = 200; lb2 = 100; lb3 = 50; }; addresses = [ \"192.0.2.10/24\" ]; } );"
	"pools = ( { name = \"mx\"; port = 25; probe = { type = \"tcp\"; via = \"address\"; };"
	"  slow_start = \"60s\"; feedback = true; backends = ("
	"    { name = \"mx1\"; address = \"192.0.2.21\"; max_connections = 10; },"
	"    { name = \"mx2\"; address = \"192.0.2.22\"; },"
	"    { name = \"mx3\"; address = \"192.0.2.23\"; } ); },"
	" { name = \"in\"; port = 25; probe = { type = \"tcp\"; via = \"address\"; }; backends = ("
	"    { name = \"in1\"; address = \"192.0.2.31\"; } ); } );"
	"services = ( { name = \"smtp\"; vip = \"192.0.2.10\"; ports = [ 25 ]; pool = \"mx\"; },"
	"  { name = \"own\"; vip = \"192.0.2.77\"; ports = [ 25 ]; pool = \"in\"; } );";

static const char sync_text[] =
	"sync = { links = ( { interface = \"lo\"; addresses = { lb1 = \"127.0.0.1\";"
	" lb2 = \"127.0.0.2\"; lb3 = \"127.0.0.3\"; }; } ); };";

bool nodes_lo_up(void)
{
	struct ifreq request = {.ifr_name = "lo", .ifr_flags = IFF_UP};
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	bool up = ioctl(fd, SIOCSIFFLAGS, &request) == 0;

	close(fd);
	return up;
}

static struct config *config_made(const char *name, bool synced)
{
	static const struct probe_schema tcp = {.name = "tcp"};
	static const struct probe_schema *const schemas[] = {&tcp, NULL};
	struct config *config = NULL;
	char path[64];
	int fd = memfd_create("conf", MFD_CLOEXEC);

	if (fd < 0)
		return NULL;
	dprintf(fd, "%s%s", nodes_text, synced ? sync_text : "");
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	if (config_load(path, name, schemas, stderr, &config) < 0)
		config = NULL;
	close(fd);
	return config;
}

static void config_take(struct node *node, const struct config *config)
{
	static const uint8_t secret[32] = {5};
	const struct config *before = node->lb.config;

	node->lb.config = config;
	partner_key(&node->lb, secret);
	partner_configure(&node->lb);
	config_free((struct config *)(uintptr_t)before);
}

bool node_reload(struct node *node, bool synced)
{
	struct config *config = config_made(node->lb.config->node.name, synced);

	if (config)
		config_take(node, config);
	return config != NULL;
}

static void on_pass(void *owner)
{
	(void)owner;
}

static bool parts_make(struct node *node)
{
	struct lb *lb = &node->lb;

	lb->current = current_new();
	lb->plane = &node->plane;
	for (int i = 0; i < MAP_COUNT; i++)
		node->plane.maps[i] = -1;
	for (uint32_t i = 0; i < POOL_MAX; i++)
		node->plane.tables[i] = -1;
	if (!lb->current)
		return false;
	lb->sweep = flow_sweep_new(lb->loop, lb->plane, lb->current, on_pass, NULL, lb);
	lb->reconciler = reconciler_new(lb);
	lb->partner_slots = partner_slots_new(lb);
	lb->partner_flows = partner_flows_new(lb);
	return lb->sweep && lb->reconciler && lb->partner_slots && lb->partner_flows &&
	       partner_new(lb) == 0;
}

struct node *node_new(struct event_base *loop, const char *name, bool synced)
{
	struct config *config = config_made(name, synced);
	struct node *node = calloc(1, sizeof(*node));

	if (!config || !node)
		abort();
	node->lb.loop = loop;
	node->lb.stopping = true;
	node->lb.backends = calloc(config->n_backends, sizeof(*node->lb.backends));
	node->lb.instances = calloc(config->n_instances, sizeof(*node->lb.instances));
	if (!node->lb.backends || !node->lb.instances || !parts_make(node))
		abort();
	for (uint32_t i = 0; i < config->n_backends; i++)
		node->lb.backends[i] = (struct lb_backend){.health.health = HEALTH_UP,
							   .weight = WEIGHT_NONE,
							   .usable_ms = 1,
							   .takes_new = true,
							   .number = i};
	config_take(node, config);
	return node;
}

void node_free(struct node *node)
{
	if (!node)
		return;
	partner_free(&node->lb);
	partner_slots_free(node->lb.partner_slots);
	partner_flows_free(node->lb.partner_flows);
	reconciler_free(node->lb.reconciler);
	flow_sweep_free(node->lb.sweep);
	current_free(node->lb.current);
	free(node->lb.backends);
	free(node->lb.instances);
	free(node->lb.operators);
	config_free((struct config *)(uintptr_t)node->lb.config);
	free(node);
}

void node_role(struct node *node, enum vrrp_role role)
{
	node->lb.instances[0].vrrp.role = role;
}

static void on_turn(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	event_base_loopbreak(arg);
}

void nodes_pass(struct event_base *loop, uint32_t ms)
{
	struct event *end = event_new(loop, -1, 0, on_turn, loop);
	uint64_t until_ms = clock_ms() + ms;

	do {
		event_add(end, &(struct timeval){.tv_usec = 1000});
		event_base_dispatch(loop);
	} while (clock_ms() < until_ms);
	event_free(end);
}

void nodes_tick(struct node *const *nodes, uint32_t n)
{
	static const struct partner_kind *const kinds[] = {&partner_live, &partner_slots_kind,
							   &partner_operator, &partner_pools_kind};

	for (int turn = 0; turn < 4; turn++) {
		for (uint32_t i = 0; i < n; i++) {
			for (size_t k = 0; nodes[i] && k < sizeof(kinds) / sizeof(kinds[0]); k++)
				kinds[k]->tick(&nodes[i]->lb);
		}
		if (n > 0 && nodes[0])
			nodes_pass(nodes[0]->lb.loop, 30);
	}
}
