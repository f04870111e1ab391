/* SPDX-License-Identifier: BSD-2-Clause */
#include "tests/unit/lb/world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <bpf/bpf.h>
#include <cmocka.h>
#include <net/if.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <unistd.h>

const char pins[] = "/sys/fs/bpf/sluice";

static const char head[] = "secret_file = \"/none\"; nodes = ( { name = \"lb1\"; interfaces = "
			   "[ \"eth0\" ]; } ); vrrp = ( { name = \"v\"; interface = \"eth0\"; vrid "
			   "= 1; priorities = { lb1 = 100; }; addresses = [ \"192.0.2.10/24\" ]; } "
			   "); slots = 251;";
const char smtp_to_mx[] = "services = ( { name = \"smtp\"; vip = \"192.0.2.10\"; ports = [ "
			  "25 ]; pool = \"mx\"; } );";
const char mx_123[] =
	"pools = ( { name = \"mx\"; port = 25; probe = { type = \"tcp\"; via = \"address\"; }; idle_timeout = \"60s\"; "
	"backends = ( { name = \"mx1\"; address = \"192.0.2.21\"; }, { name = \"mx2\"; address = "
	"\"192.0.2.22\"; }, { name = \"mx3\"; address = \"192.0.2.23\"; } ); } );";
const char mx_12[] =
	"pools = ( { name = \"mx\"; port = 25; probe = { type = \"tcp\"; via = \"address\"; }; idle_timeout = \"60s\"; "
	"backends = ( { name = \"mx1\"; address = \"192.0.2.21\"; }, { name = \"mx2\"; address = "
	"\"192.0.2.22\"; } ); } );";
const char mx_2_is_another[] =
	"pools = ( { name = \"mx\"; port = 25; probe = { type = \"tcp\"; via = \"address\"; }; idle_timeout = \"60s\"; "
	"backends = ( { name = \"mx1\"; address = \"192.0.2.21\"; }, { name = \"mx2\"; address = "
	"\"192.0.2.99\"; }, { name = \"mx3\"; address = \"192.0.2.23\"; } ); } );";
const char in_12[] =
	"pools = ( { name = \"in\"; port = 25; probe = { type = \"tcp\"; via = \"address\"; }; idle_timeout = \"60s\"; "
	"backends = ( { name = \"mx1\"; address = \"192.0.2.21\"; }, { name = \"mx2\"; address = "
	"\"192.0.2.22\"; } ); } );";
const char smtp_to_in[] = "services = ( { name = \"smtp\"; vip = \"192.0.2.10\"; ports = [ "
			  "25 ]; pool = \"in\"; } );";

void world_configure(struct world *w, const char *pools, const char *services)
{
	static const struct probe_schema tcp = {.name = "tcp"};
	static const struct probe_schema *const schemas[] = {&tcp, NULL};
	char path[64];
	int fd = memfd_create("conf", 0);

	assert_true(fd >= 0);
	dprintf(fd, "%s%s%s", head, pools, services);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	config_free(w->config);
	w->config = NULL;
	assert_int_equal(config_load(path, "lb1", schemas, stderr, &w->config), 0);
	close(fd);
	for (uint32_t i = 0; i < w->config->n_backends; i++) {
		w->backends[i] =
			(struct lb_backend){.health.health = HEALTH_UP,
					    .weight = WEIGHT_NONE,
					    .neighbour = {.status = NEIGHBOUR_KNOWN,
							  .ifindex = 2,
							  .was_known = true,
							  .mac = {2, 0, 0, 0, 1, (uint8_t)i}}};
	}
}

struct world *world_new(void)
{
	struct world *w = calloc(1, sizeof(*w));

	assert_non_null(w);
	w->current = current_new();
	w->cache = table_cache_new(0);
	w->interfaces[0] = (struct lb_interface){.name = "eth0", .ifindex = 2, .mac = {2}};
	w->key_print = 1;
	w->now_s = 1000;
	w->swept = true;
	world_configure(w, mx_123, smtp_to_mx);
	return w;
}

void world_free(struct world *w)
{
	current_free(w->current);
	table_cache_free(w->cache);
	config_free(w->config);
	free(w);
}

struct plan world_plan(struct world *w)
{
	struct inputs in = {.config = w->config,
			    .backends = w->backends,
			    .interfaces = w->interfaces,
			    .key_print = w->key_print,
			    .held = w->is_held ? &w->held : NULL};
	const uint8_t *foreign[POOL_MAX];
	struct flow_facts flows = {.started_s = w->now_s,
				   .slots = SLOTS,
				   .has_flows = w->has_flows,
				   .foreign = foreign};
	struct plan_facts facts = {
		.now_s = w->now_s, .flows = w->swept ? &flows : NULL, .live = w->live};
	struct desired d;
	struct plan plan;

	for (uint32_t i = 0; i < POOL_MAX; i++)
		foreign[i] = w->foreign;
	assert_int_equal(desired_build(&in, w->cache, &d), 0);
	assert_int_equal(plan_build(w->current, &d, &facts, &plan), 0);
	desired_fini(&d);
	return plan;
}

/* Apply what is to be done; the names of the steps, one after the other. */
const char *world_go(struct world *w)
{
	static char names[2048];
	struct plan plan = world_plan(w);
	struct plan_rows rows;

	names[0] = '\0';
	assert_int_equal(plan_rows(&plan, w->current, &rows), 0);
	for (size_t i = 0; i < rows.n; i++) {
		strcat(names, i ? ", " : "");
		strcat(names, rows.rows[i].step);
	}
	for (size_t i = 0; i < plan.n; i++)
		step_commit(&plan.steps[i], w->current);
	plan_rows_fini(&rows);
	plan_fini(&plan);
	return names;
}

uint32_t owned(const struct world *w, uint32_t pool, uint32_t backend)
{
	const struct table *t = &w->current->pools[pool].table;
	uint32_t n = 0;

	for (uint32_t i = 0; i < t->n; i++)
		n += (t->slots[i].owner & SLOT_BACKEND) == backend;
	return n;
}

bool is_alive(const struct world *w, uint32_t backend)
{
	return w->current->backends[backend].plane.flags & BACKEND_ALIVE;
}

void problem_take(void *owner, enum step_kind step, const char *interface, const char *problem)
{
	(void)step;
	(void)interface;
	if (problem[0])
		snprintf(owner, PLANE_PROBLEM, "%s", problem);
}

void world_apply(struct world *w, struct plane *plane)
{
	struct plan plan = world_plan(w);
	char problem[PLANE_PROBLEM] = "";
	int r = plan_apply(&plan, plane, w->current, problem_take, problem);

	plan_fini(&plan);
	if (r < 0 || problem[0])
		print_error("apply: %s %s\n", strerror(-r), problem);
	assert_int_equal(r, 0);
	assert_string_equal(problem, "");
}

static void mac_read(const char *name, uint8_t ret_mac[static 6])
{
	struct ifreq request = {0};
	int fd = socket(AF_INET, SOCK_DGRAM, 0);

	snprintf(request.ifr_name, sizeof(request.ifr_name), "%s", name);
	assert_int_equal(ioctl(fd, SIOCGIFHWADDR, &request), 0);
	close(fd);
	memcpy(ret_mac, request.ifr_hwaddr.sa_data, 6);
}

struct world *world_with_veth(void)
{
	struct world *w = world_new();

	if (if_nametoindex("sl.10") == 0)
		assert_int_equal(system("ip link add sl.10 type veth peer name sl-peer"), 0);
	snprintf(w->interfaces[0].name, sizeof(w->interfaces[0].name), "sl.10");
	w->interfaces[0].ifindex = if_nametoindex("sl.10");
	mac_read("sl.10", w->interfaces[0].mac);
	return w;
}

void veth_flow_put(const struct plane *plane, uint16_t port)
{
	struct flow_key key = {.sport = port};
	struct flow flow = {.backend = 1, .seen = port};

	assert_int_equal(bpf_map_update_elem(plane->maps[MAP_FLOWS], &key, &flow, BPF_ANY), 0);
}

bool veth_flow_is_there(const struct plane *plane, uint16_t port)
{
	struct flow_key key = {.sport = port};
	struct flow flow;

	return bpf_map_lookup_elem(plane->maps[MAP_FLOWS], &key, &flow) == 0 && flow.seen == port;
}

uint32_t veth_link_id(const struct plane *plane)
{
	struct bpf_link_info info = {0};
	uint32_t size = sizeof(info);

	assert_int_equal(bpf_obj_get_info_by_fd(plane->links[0], &info, &size), 0);
	return info.id;
}

uint32_t veth_program_id(const struct plane *plane)
{
	struct bpf_link_info info = {0};
	uint32_t size = sizeof(info);

	assert_int_equal(bpf_obj_get_info_by_fd(plane->links[0], &info, &size), 0);
	return info.prog_id;
}

int plane_clean(void **state)
{
	struct plane *plane;

	(void)state;
	if (plane_open(pins, &plane) < 0)
		return -1;
	plane_remove(plane);
	plane_free(plane);
	return 0;
}

struct plane *world_reopen(struct world *w)
{
	struct plane *plane;

	current_free(w->current);
	w->current = current_new();
	assert_int_equal(plane_open(pins, &plane), 0);
	return plane;
}

int namespaces_enter(void)
{
	enum { SKIPPED = 77 };

	if (unshare(CLONE_NEWNET | CLONE_NEWNS) < 0) {
		printf("skipped: namespaces are not permitted (not root?)\n");
		return SKIPPED;
	}
	if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
	    mount("bpf", "/sys/fs/bpf", "bpf", 0, NULL) < 0) {
		printf("skipped: a BPF file system cannot be mounted\n");
		return SKIPPED;
	}
	return 0;
}

void assert_same_table(const struct table *a, const struct table *b)
{
	assert_int_equal(a->n, b->n);
	for (uint32_t i = 0; i < a->n; i++) {
		assert_int_equal(a->slots[i].owner, b->slots[i].owner);
		assert_int_equal(a->slots[i].previous, b->slots[i].previous);
	}
}
