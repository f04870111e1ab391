/* SPDX-License-Identifier: BSD-2-Clause */
/* plan_interface.c: which programs are at which interface: that of XDP, and, where backends are
 * probed through VIPs, that of tc egress (bpf/probe.bpf.c). The second never is where the first is
 * not: it is put there last and taken away first.
 */
#include <errno.h>
#include <string.h>

#include "lb/plan_diff.h"

static bool probes_wanted(const struct diff *d)
{
	return d->desired->settings.features & FEATURE_PROBES;
}

static const struct desired_interface *interface_wanted(const struct diff *d, const char *name)
{
	for (uint32_t i = 0; i < d->desired->n_interfaces; i++) {
		if (strcmp(d->desired->interfaces[i].name, name) == 0)
			return &d->desired->interfaces[i];
	}
	return NULL;
}

/* Before the XDP program, which knows the way back. */
static int probes_detach(struct diff *d, uint32_t i)
{
	struct step *s = step_add(d, STEP_PROBE_DETACH, i);

	if (!s)
		return -ENOMEM;
	s->interface = d->current->interfaces[i];
	s->interface.probe_attached = s->interface.probe_loaded = false;
	return 0;
}

int interfaces_detach(struct diff *d)
{
	for (uint32_t i = 0; i < CURRENT_INTERFACES; i++) {
		const struct current_interface *have = &d->current->interfaces[i];
		const struct desired_interface *want =
			have->used ? interface_wanted(d, have->name) : NULL;
		struct step *s;

		if (!have->used)
			continue;
		if (have->probe_attached && !(want && probes_wanted(d)) && probes_detach(d, i) < 0)
			return -ENOMEM;
		if (want && want->ifindex == have->ifindex)
			continue;
		s = step_add(d, STEP_DETACH, i);
		if (!s)
			return -ENOMEM;
		s->interface = (struct current_interface){0};
	}
	return 0;
}

/* The number of a wanted interface: the one it has, if it is not detached first; or a free one. */
static uint32_t interface_number(struct diff *d, const struct desired_interface *want,
				 uint8_t taken[static CURRENT_INTERFACES])
{
	int found = current_find_interface(d->current, want->name);
	uint32_t number;

	if (found >= 0)
		return (uint32_t)found;
	number = number_free(taken, CURRENT_INTERFACES, 0);
	if (number < CURRENT_INTERFACES)
		taken[number] = 1;
	return number;
}

int interfaces_attach(struct diff *d)
{
	uint8_t taken[CURRENT_INTERFACES] = {0};

	for (uint32_t i = 0; i < CURRENT_INTERFACES; i++)
		taken[i] = d->current->interfaces[i].used;
	for (uint32_t i = 0; i < d->desired->n_interfaces; i++) {
		const struct desired_interface *want = &d->desired->interfaces[i];
		uint32_t number = interface_number(d, want, taken);
		const struct current_interface *have;
		struct step *s;
		bool there;

		if (number >= CURRENT_INTERFACES)
			return -ENOSPC;
		have = &d->current->interfaces[number];
		there = have->used && have->ifindex == want->ifindex;
		if (there && have->loaded && !d->settings_differ &&
		    memcmp(have->mac, want->mac, sizeof(want->mac)) == 0)
			continue;
		s = step_add(d, there ? STEP_PROGRAM : STEP_ATTACH, number);
		if (!s)
			return -ENOMEM;
		s->interface = (struct current_interface){.used = true, .loaded = true};
		s->interface.ifindex = want->ifindex;
		s->interface.mode = there ? have->mode : ATTACH_NONE;
		s->interface.probe_attached = there && have->probe_attached && probes_wanted(d);
		s->interface.probe_loaded =
			s->interface.probe_attached && have->probe_loaded && !d->settings_differ;
		memcpy(s->interface.name, want->name, sizeof(want->name));
		memcpy(s->interface.mac, want->mac, sizeof(want->mac));
	}
	return 0;
}

/* ---- probes ---- */

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
		    have->probe_loaded && !d->settings_differ)
			continue;
		s = step_add(d, STEP_PROBE_ATTACH, number);
		if (!s)
			return -ENOMEM;
		s->interface = (struct current_interface){.used = true, .ifindex = want->ifindex};
		memcpy(s->interface.name, want->name, sizeof(want->name));
	}
	return 0;
}
