/* SPDX-License-Identifier: BSD-2-Clause */
/* command_status.c: `status`: the page that an operator looks at first. Its problems are sentences
 * that say what to do; with any of them the node is degraded.
 */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "lb/advice.h"
#include "lb/announcer.h"
#include "lb/control.h"
#include "lb/reconcile.h"
#include "lb/share.h"

static __attribute__((format(printf, 2, 3))) void problem(json_t *problems, const char *format, ...)
{
	char text[640];
	va_list ap;

	va_start(ap, format);
	vsnprintf(text, sizeof(text), format, ap);
	va_end(ap);
	json_array_append_new(problems, json_string(text));
}

static void panic_problem(json_t *problems, const struct lb *lb, const struct config_pool *p)
{
	uint32_t n, good = pool_health(p, config_backend(lb->config, p->first_backend),
				       lb->backends + p->first_backend, &n);

	problem(problems,
		"pool %s panics: %u of %u backends pass their probes (panic_threshold %u %%); that is taken for a fault of the probes, and all backends are used; see: sluice probe -v",
		p->name, good, n, p->panic_percent);
}

/* Whom the pool uses instead of its ordinary backends. @usable: backends that take connections;
 * @backups: those of them that are backups
 */
static void use_problem(json_t *problems, const struct lb *lb, uint32_t pool, uint32_t usable,
			uint32_t backups)
{
	const struct config_pool *p = config_pool(lb->config, pool);
	enum pool_use use = pool_fates(lb->config, lb->backends, pool, NULL);

	if (pool_serving(lb->config, lb->backends, pool) != pool)
		problem(problems,
			"pool %s has nobody to take connections; its backup, pool %s, serves",
			p->name, config_pool(lb->config, (uint32_t)p->backup_pool)->name);
	else if (use == USE_PANIC)
		panic_problem(problems, lb, p);
	else if (use == USE_NOBODY)
		problem(problems,
			"pool %s rejects new connections: fewer than %u backends are usable (min_backends)",
			p->name, p->min_backends);
	else if (use == USE_OVERFLOW)
		problem(problems, "pool %s is full%s; raise max_connections, or add a backend",
			p->name, backups ? ", and uses its backups" : "");
	else if (usable == 0)
		problem(problems, "pool %s has nobody to take connections; its services are down",
			p->name);
	else if (use == USE_ALL)
		problem(problems,
			"pool %s uses all backends whatever their probes say: fewer than %u are usable (min_backends)",
			p->name, p->min_backends);
	else if (use == USE_BACKUPS)
		problem(problems, "pool %s has %s usable backends%s", p->name,
			p->min_backends > 1 ? "too few" : "no",
			backups ? ", and uses its backups" : " (min_backends)");
}

static void backend_problems(json_t *problems, const struct lb *lb, uint32_t pool)
{
	const struct config_pool *p = config_pool(lb->config, pool);
	static const char *const neighbours[] = NEIGHBOUR_NAMES;
	uint32_t usable = 0, backups = 0;

	for (uint32_t i = p->first_backend; i < p->first_backend + p->n_backends; i++) {
		const char *name = config_backend(lb->config, i)->name;
		const struct lb_backend *b = &lb->backends[i];

		usable += b->takes_new;
		backups += b->takes_new && config_backend(lb->config, i)->backup;
		if (b->by_operator != OPERATOR_ENABLED)
			continue; /* wanted */
		if (health_problems(problems, lb, i))
			continue;
		if (b->health.health == HEALTH_DOWN || b->health.health == HEALTH_LEAVING)
			problem(problems,
				"backend %s of pool %s is %s: %s; see: sluice probe %s/%s -v", name,
				p->name, backend_state(lb, i),
				b->health.text[0] ? b->health.text : b->health.verdict, p->name,
				name);
		else if (b->neighbour.status != NEIGHBOUR_KNOWN)
			problem(problems,
				"backend %s of pool %s cannot be reached: %s; in mode dsr it must be on a link of this node",
				name, p->name, neighbours[b->neighbour.status]);
	}
	use_problem(problems, lb, pool, usable, backups);
}

/* Modes nat and fullnat send answers by the kernel's routes, which it only tells where it forwards.
 */
static void forwarding_problems(json_t *problems, const struct lb *lb)
{
	bool wanted[2] = {false};

	for (uint32_t i = 0; i < lb->config->n_backends; i++) {
		const struct config_backend *b = config_backend(lb->config, i);
		enum config_mode mode = config_pool(lb->config, b->pool)->mode;

		if (mode == MODE_NAT || mode == MODE_FULLNAT)
			wanted[!addr_is_ipv4(&b->addr)] = true;
	}
	for (uint32_t i = 0; i < lb->config->node.n_interfaces; i++) {
		for (int ipv6 = 0; ipv6 < 2; ipv6++) {
			const char *name = lb->interfaces[i].name;

			if (wanted[ipv6] && lb->interfaces[i].ifindex &&
			    !advice_forwarding(name, ipv6))
				problem(problems,
					"interface %s does not forward, so that answers of nat and fullnat do not come back to clients; cure: sysctl net.ipv%c.conf.%s.forwarding=1",
					name, ipv6 ? '6' : '4', name);
		}
	}
}

static void node_problems(json_t *problems, struct lb *lb)
{
	uint32_t used, size;

	if (*lb_problem(lb))
		problem(problems, "%s", lb_problem(lb));
	for (int ipv6 = 0; ipv6 < 2; ipv6++) {
		if (lb->neighbour_problem[ipv6][0])
			problem(problems, "%s", lb->neighbour_problem[ipv6]);
	}
	if (*announcer_problem(lb->announcer))
		problem(problems, "%s", announcer_problem(lb->announcer));
	for (uint32_t i = 0; i < lb->config->node.n_interfaces; i++) {
		const struct lb_interface *in = &lb->interfaces[i];

		if (in->attached == ATTACH_NONE)
			problem(problems, "interface %s does not balance: %s", in->name,
				in->problem[0] ? in->problem
				: lb->detached
					? "detached by the operator; sluice reload attaches it"
					: "not attached yet");
		else if (in->problem[0])
			problem(problems, "interface %s: %s", in->name, in->problem);
		if (in->probe_problem[0] && lb->current->settings.features & FEATURE_PROBES)
			problem(problems,
				"probes by interface %s ask the backends' own addresses, not the VIPs: %s",
				in->name, in->probe_problem);
	}
	for (uint32_t i = 0; i < lb->config->n_instances; i++) {
		if (lb->instances[i].vrrp.role == VRRP_INIT)
			problem(problems, "vrrp instance %s does not run: %s",
				config_instance(lb->config, i)->name,
				lb->instances[i].vrrp.reason[0] ? lb->instances[i].vrrp.reason
								: "waiting for the first probes");
		if (lb->instances[i].vrrp.split)
			problem(problems,
				"vrrp instance %s: another node is active, too; see: sluice show vrrp",
				config_instance(lb->config, i)->name);
	}
	for (int i = 0; i < LB_PROCESSES; i++) {
		const struct message_child *child = &lb->processes[i].child;

		if (child->role[0] && child->pid == 0)
			problem(problems, "process %s does not run; see the log", child->role);
		if (child->role[0] && child->before > 0)
			problem(problems,
				"process %s of the version before (%d) serves until the new one does",
				child->role, (int)child->before);
	}
	lb_flow_fill(lb, &used, &size);
	if (size && used > size / 10 * 9)
		problem(problems, "flow table is nearly full: %u of %u; raise flow_limit", used,
			size);
}

static json_t *processes(const struct lb *lb)
{
	json_t *rows = json_array();

	for (int i = 0; i < LB_PROCESSES; i++) {
		const struct message_child *child = &lb->processes[i].child;

		if (child->role[0])
			json_array_append_new(rows,
					      json_pack("{s:s, s:i, s:i, s:i, s:I}", "process",
							child->role, "pid", (int)child->pid,
							"before", (int)child->before, "restarts",
							(int)child->restarts, "since",
							(json_int_t)child->since_s));
	}
	return rows;
}

void command_status(struct client *client, const json_t *request)
{
	struct lb *lb = client_lb(client);
	json_t *problems = json_array();
	json_t *answer;

	(void)request;
	node_problems(problems, lb);
	forwarding_problems(problems, lb);
	hook_problems(problems, lb);
	sync_problems(problems, lb);
	track_problems(problems, lb);
	for (uint32_t i = 0; i < lb->config->n_pools; i++)
		backend_problems(problems, lb, i);
	answer = json_pack("{s:s, s:s, s:I, s:b}", "node", lb->config->node.name, "version",
			   SLUICE_VERSION, "since", (json_int_t)lb->since_s, "degraded",
			   json_array_size(problems) > 0);
	json_object_set_new(answer, "problems", problems);
	json_object_set_new(answer, "vrrp", rows_of(lb, "vrrp"));
	json_object_set_new(answer, "heartbeats", rows_of(lb, "heartbeats"));
	json_object_set_new(answer, "routes", rows_of(lb, "routes"));
	json_object_set_new(answer, "services", rows_of(lb, "services"));
	json_object_set_new(answer, "backends", rows_of(lb, "backends"));
	json_object_set_new(answer, "hooks", rows_of(lb, "hooks"));
	json_object_set_new(answer, "processes", processes(lb));
	client_done(client, answer);
}
