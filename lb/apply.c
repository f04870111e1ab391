/* SPDX-License-Identifier: BSD-2-Clause */
/* apply.c: see apply.h. One case for each kind of step. */
#include "lb/apply.h"

#include <errno.h>
#include <string.h>

#include "base/log.h"
#include "lb/returns.h"

/* What a plan is carried out with. */
struct application {
	struct plane *plane;
	struct current *current;
	apply_problem_fn *on_problem;
	void *owner;
};

/* Returns 0 when attached, 1 when it could not be: told, and not to be committed. */
static int interface_attach(const struct application *a, struct step *s)
{
	char problem[PLANE_PROBLEM];
	int r = plane_attach(a->plane, s->number, &s->interface, &s->interface.mode, problem);

	a->on_problem(a->owner, STEP_ATTACH, s->interface.name, problem);
	return r < 0 ? 1 : 0;
}

/* Likewise. Without the program of XDP, nobody would know the way back. */
static int probe_attach(const struct application *a, const struct step *s)
{
	char problem[PLANE_PROBLEM];
	int r;

	if (a->plane->links[s->number] < 0)
		return 1;
	r = plane_probe_attach(a->plane, &s->interface, problem);
	a->on_problem(a->owner, STEP_PROBE_ATTACH, s->interface.name, problem);
	return r < 0 ? 1 : 0;
}

static int interface_replace(const struct application *a, struct step *s)
{
	int r = plane_replace(a->plane, s->number, &s->interface);

	if (r < 0)
		log_err("program not replaced: interface=%s error=%s", s->interface.name,
			strerror(-r));
	return r;
}

/* Whose answers come from it has to be known before it is asked. */
static int backend_add(const struct application *a, const struct step *s)
{
	int r = plane_returns_add_backend(a->plane, a->current, s->number, &s->backend);

	return r < 0 ? r : plane_backend_new(a->plane, s->number, &s->backend);
}

static int service_put(const struct application *a, const struct step *s)
{
	int r = plane_returns_add_service(a->plane, a->current, &s->service);

	if (r < 0)
		return r;
	return s->kind == STEP_SERVICE_ADD ? plane_service_new(a->plane, &s->service)
					   : plane_service_set(a->plane, &s->service);
}

static int step_apply(const struct application *a, struct step *s)
{
	struct plane *plane = a->plane;
	const struct current *c = a->current;

	switch (s->kind) {
	case STEP_SETTINGS:
		return plane_settings_set(plane, &s->settings);
	case STEP_BACKEND_ADD:
		return backend_add(a, s);
	case STEP_BACKEND_CHANGE:
	case STEP_BACKEND_LOSE:
		return plane_backend_set(plane, s->number, &s->backend);
	case STEP_BACKEND_RETIRE:
		return 0; /* only we know */
	case STEP_BACKEND_FREE:
		return plane_backend_clear(plane, s->number);
	case STEP_POOL_ADD:
		return plane_pool_set(plane, s->number, &s->pool, &s->pool.table);
	case STEP_TABLE:
		if (s->silent && !s->differs)
			return 0;
		return plane_pool_set(plane, s->number, &s->pool,
				      s->differs ? &s->pool.table : NULL);
	case STEP_POOL_REMOVE:
		return plane_pool_clear(plane, s->number);
	case STEP_SERVICE_ADD:
	case STEP_SERVICE_CHANGE:
		return service_put(a, s);
	case STEP_SERVICE_REMOVE:
		return plane_service_clear(plane, &c->services[s->number]);
	case STEP_PROGRAM:
		return interface_replace(a, s);
	case STEP_ATTACH:
		return interface_attach(a, s);
	case STEP_PROBE_ATTACH:
		return probe_attach(a, s);
	case STEP_PROBE_DETACH:
		return plane_probe_detach(s->interface.ifindex);
	case STEP_PROBE_VIPS:
		return plane_probes_set(plane, &s->probes);
	case STEP_DETACH:
		return plane_detach(plane, s->number, c->interfaces[s->number].name);
	}
	return -EINVAL;
}

/* What is made of all services and backends: due from the step that touches it until it was
 * written, be it by a later plan.
 */
static void due_mark(struct plane *plane, enum step_kind kind)
{
	switch (kind) {
	case STEP_SETTINGS:
	case STEP_SERVICE_ADD:
	case STEP_SERVICE_REMOVE:
		plane->vips_due = plane->returns_due = true;
		break;
	case STEP_BACKEND_ADD:
	case STEP_BACKEND_CHANGE:
	case STEP_BACKEND_FREE:
	case STEP_SERVICE_CHANGE:
		plane->returns_due = true; /* where a backend answers from, and for which VIP */
		break;
	default:
		break;
	}
}

/* Also after a step that failed: it is as true of what the data plane has then. */
static int due_write(struct plane *plane, const struct current *c)
{
	int vips = 0, returns = 0;

	if (plane->vips_due && plane->maps[MAP_SERVICES] >= 0 && plane->lines) {
		vips = plane_vips_set(plane, c);
		plane->vips_due = vips < 0;
	}
	if (plane->returns_due && plane->maps[MAP_RETURNS] >= 0) {
		returns = plane_returns_set(plane, c);
		plane->returns_due = returns < 0;
	}
	return vips < 0 ? vips : returns;
}

int plan_apply(struct plan *plan, struct plane *plane, struct current *current,
	       apply_problem_fn *on_problem, void *owner)
{
	const struct application a = {plane, current, on_problem, owner};
	int r = 0, due;

	plane_copies_begin(plane);
	for (plan->done = 0; plan->done < plan->n; plan->done++) {
		struct step *s = &plan->steps[plan->done];

		due_mark(plane, s->kind);
		r = step_apply(&a, s);
		if (r < 0)
			break;
		if (r == 0)
			step_commit(s, current);
	}
	due = due_write(plane, current);
	if (r >= 0 && due >= 0)
		plane_settled(plane);
	plane->copy_until_ms = 0;
	return r < 0 ? r : due < 0 ? due : 0;
}
