/* SPDX-License-Identifier: BSD-2-Clause */
/* plan_program.c: settings and programs in a plan.
 *
 * A program must be able to do what every service that it may meet needs. So settings and programs
 * that can do more come before the services that need it, and those that can do less after the
 * services that needed it: where both is the case they change twice.
 */
#include "lb/mode.h"
#include "lb/plan_diff.h"

#include <errno.h>
#include <string.h>

const struct desired_interface *interface_wanted(const struct diff *d, const char *name)
{
	for (uint32_t i = 0; i < d->desired->n_interfaces; i++) {
		if (strcmp(d->desired->interfaces[i].name, name) == 0)
			return &d->desired->interfaces[i];
	}
	return NULL;
}

bool interface_stays(const struct diff *d, const struct current_interface *have)
{
	const struct desired_interface *want = interface_wanted(d, have->name);

	return want && want->ifindex == have->ifindex;
}

int interfaces_detach(struct diff *d)
{
	for (uint32_t i = 0; i < CURRENT_INTERFACES; i++) {
		const struct current_interface *have = &d->current->interfaces[i];
		struct step *s;

		if (!have->used || interface_stays(d, have))
			continue;
		s = step_add(d, STEP_DETACH, i);
		if (!s)
			return -ENOMEM;
		s->interface = (struct current_interface){0};
	}
	return 0;
}

static bool settings_equal(const struct settings *have, const struct settings *want)
{
	return have->slots == want->slots && have->key_print == want->key_print &&
	       have->flow_limit == want->flow_limit && have->features == want->features &&
	       have->vip_policy == want->vip_policy &&
	       have->nat_port_first == want->nat_port_first &&
	       have->nat_port_last == want->nat_port_last &&
	       memcmp(have->hash_key, want->hash_key, sizeof(want->hash_key)) == 0;
}

/* What services in the data plane need of the programs, whoever wrote them. */
static uint32_t features_in_use(const struct current *c)
{
	uint32_t features = 0;

	for (uint32_t i = 0; i < SERVICE_MAX; i++) {
		if (c->services[i].used)
			features |= mode_needs(c->services[i].plane.mode);
	}
	return features;
}

void settings_compare(struct diff *d)
{
	const struct settings *have = &d->current->settings, *want = &d->desired->settings;

	d->slots_differ = have->slots != want->slots || have->key_print != want->key_print;
	d->wide = *want;
	d->wide.features |= features_in_use(d->current);
	d->settings_differ = !settings_equal(have, &d->wide);
}

bool settings_change(const struct diff *d)
{
	return d->settings_differ || d->desired->settings.features != d->wide.features;
}

static int settings_add(struct diff *d, const struct settings *want, bool silent)
{
	struct step *s = step_add(d, STEP_SETTINGS, 0);

	if (!s)
		return -ENOMEM;
	s->settings = *want;
	s->silent = silent;
	return 0;
}

int settings_widen(struct diff *d)
{
	const struct settings *have = &d->current->settings, *want = &d->wide;

	if (!d->settings_differ)
		return 0;
	/* after a restart the key is not known, but its print is: nothing really changes */
	return settings_add(
		d, want,
		!d->slots_differ && have->flow_limit == want->flow_limit &&
			memcmp(have->hash_key, want->hash_key, sizeof(want->hash_key)) != 0);
}

int settings_narrow(struct diff *d)
{
	const struct settings *want = &d->desired->settings;

	return want->features == d->wide.features ? 0 : settings_add(d, want, d->settings_differ);
}

bool settings_hold(const struct settings *have, const struct settings *refused,
		   struct settings *ret_held)
{
	static const struct settings none;
	struct settings held = *refused;

	if (have->slots == 0 || have->flow_limit == 0)
		return false;
	held.slots = have->slots;
	held.flow_limit = have->flow_limit;
	if (settings_equal(&held, refused)) {
		if (memcmp(have->hash_key, none.hash_key, sizeof(none.hash_key)) == 0)
			return false; /* another process had them */
		held = *have;
	}
	if (settings_equal(&held, refused))
		return false;
	*ret_held = held;
	return true;
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

static int program_add(struct diff *d, enum step_kind kind, uint32_t number,
		       const struct desired_interface *want)
{
	const struct current_interface *have = &d->current->interfaces[number];
	struct step *s = step_add(d, kind, number);

	if (!s)
		return -ENOMEM;
	s->interface = (struct current_interface){.used = true, .loaded = true};
	s->interface.ifindex = want->ifindex;
	s->interface.mode = kind == STEP_PROGRAM ? have->mode : ATTACH_NONE;
	s->interface.probe_attached =
		kind == STEP_PROGRAM && have->probe_attached && probes_wanted(d);
	s->interface.probe_loaded =
		s->interface.probe_attached && have->probe_loaded && !settings_change(d);
	memcpy(s->interface.name, want->name, sizeof(want->name));
	memcpy(s->interface.mac, want->mac, sizeof(want->mac));
	memcpy(s->interface.vrids, want->vrids, sizeof(want->vrids));
	return 0;
}

/* The program at a wanted interface, or -ENOENT. */
static int interface_attached(const struct diff *d, const struct desired_interface *want)
{
	int number = current_find_interface(d->current, want->name);

	return number >= 0 && d->current->interfaces[number].ifindex == want->ifindex ? number
										      : -ENOENT;
}

int programs_widen(struct diff *d)
{
	int r = 0;

	for (uint32_t i = 0; r == 0 && i < d->desired->n_interfaces; i++) {
		const struct desired_interface *want = &d->desired->interfaces[i];
		int number = interface_attached(d, want);
		const struct current_interface *have;

		if (number < 0)
			continue;
		have = &d->current->interfaces[number];
		if (!have->loaded || d->settings_differ ||
		    memcmp(have->mac, want->mac, sizeof(want->mac)) != 0 ||
		    memcmp(have->vrids, want->vrids, sizeof(want->vrids)) != 0)
			r = program_add(d, STEP_PROGRAM, (uint32_t)number, want);
	}
	return r;
}

int programs_narrow(struct diff *d)
{
	int r = 0;

	if (d->desired->settings.features == d->wide.features)
		return 0;
	for (uint32_t i = 0; r == 0 && i < d->desired->n_interfaces; i++) {
		const struct desired_interface *want = &d->desired->interfaces[i];
		int number = interface_attached(d, want);

		if (number >= 0)
			r = program_add(d, STEP_PROGRAM, (uint32_t)number, want);
	}
	return r;
}

int interfaces_attach(struct diff *d)
{
	uint8_t taken[CURRENT_INTERFACES] = {0};
	int r = 0;

	for (uint32_t i = 0; i < CURRENT_INTERFACES; i++)
		taken[i] = d->current->interfaces[i].used;
	for (uint32_t i = 0; r == 0 && i < d->desired->n_interfaces; i++) {
		const struct desired_interface *want = &d->desired->interfaces[i];
		uint32_t number;

		if (interface_attached(d, want) >= 0)
			continue;
		number = interface_number(d, want, taken);
		if (number >= CURRENT_INTERFACES)
			return -ENOSPC;
		r = program_add(d, STEP_ATTACH, number, want);
	}
	return r;
}
