/* SPDX-License-Identifier: BSD-2-Clause */
/* plan_probe.c: probes through VIPs in a plan: where they go, and the program of tc egress that
 * sends them (bpf/probe.bpf.c). It never is where that of XDP, which knows the way back, is not: it
 * is put there after it, and taken away before it.
 */
#include <errno.h>
#include <string.h>

#include "lb/plan_diff.h"

bool probes_wanted(const struct diff *d)
{
	return d->desired->settings.features & FEATURE_PROBES;
}

int probes_detach(struct diff *d)
{
	for (uint32_t i = 0; i < CURRENT_INTERFACES; i++) {
		const struct current_interface *have = &d->current->interfaces[i];
		struct step *s;

		if (!have->used || !have->probe_attached ||
		    (probes_wanted(d) && interface_stays(d, have)))
			continue;
		s = step_add(d, STEP_PROBE_DETACH, i);
		if (!s)
			return -ENOMEM;
		s->interface = *have;
		s->interface.probe_attached = s->interface.probe_loaded = false;
	}
	return 0;
}

int probes_compare(struct diff *d)
{
	struct step *s;

	if (probe_list_equal(&d->current->probes, &d->desired->probes))
		return 0;
	s = step_add(d, STEP_PROBE_VIPS, 0);
	return s ? probe_list_copy(&d->desired->probes, &s->probes) : -ENOMEM;
}

/* The interface's number: what it has, or what a step of this plan gives it. */
static uint32_t number_then(const struct diff *d, const char *name)
{
	for (size_t i = 0; i < d->plan->n; i++) {
		const struct step *s = &d->plan->steps[i];

		if ((s->kind == STEP_ATTACH || s->kind == STEP_PROGRAM) &&
		    strcmp(s->interface.name, name) == 0)
			return s->number;
	}
	return (uint32_t)current_find_interface(d->current, name);
}

int probes_attach(struct diff *d)
{
	for (uint32_t i = 0; i < d->desired->n_interfaces && probes_wanted(d); i++) {
		const struct desired_interface *want = &d->desired->interfaces[i];
		uint32_t number = number_then(d, want->name);
		const struct current_interface *have;
		struct step *s;

		if (number >= CURRENT_INTERFACES)
			continue;
		have = &d->current->interfaces[number];
		if (have->used && have->ifindex == want->ifindex && have->probe_attached &&
		    have->probe_loaded && !settings_change(d))
			continue;
		s = step_add(d, STEP_PROBE_ATTACH, number);
		if (!s)
			return -ENOMEM;
		s->interface = (struct current_interface){.used = true, .ifindex = want->ifindex};
		memcpy(s->interface.name, want->name, sizeof(want->name));
	}
	return 0;
}
