/* SPDX-License-Identifier: BSD-2-Clause */
/* lease.c: see lease.h. */
#include "vrrp/lease.h"

#include <stdlib.h>
#include <string.h>

#include "base/log.h"

enum { LEASE_LEAST_MS = 1000 };

static bool is_given(uint32_t lease, struct instance *const *instances, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++) {
		if (instances[i]->lease == lease)
			return true;
	}
	return false;
}

void lease_give(struct instance *new, struct instance *const *instances, uint32_t n)
{
	uint32_t lease = guard_lease_find(new->process->guard, &new->config.addresses[0].addr);

	if (lease == LEASE_LIFE || lease >= LEASES || is_given(lease, instances, n)) {
		lease = LEASE_LIFE + 1;
		while (lease < LEASES && is_given(lease, instances, n))
			lease++;
	}
	new->lease = lease < LEASES ? lease : LEASE_LIFE;
}

/* How long a backup waits for our adverts (RFC 9568 6.1). */
static uint64_t down_ms(const struct config_instance *config)
{
	return 30ULL * config->advert_cs +
	       (256ULL - config->priority) * config->advert_cs * 10 / 256;
}

static void vips_set(struct vrrp_process *process, struct instance *const *instances, uint32_t n)
{
	struct guard_vip *vips = calloc((size_t)n * CONFIG_ADDRESSES + 1, sizeof(*vips));
	uint32_t n_vips = 0;

	for (uint32_t i = 0; vips && i < n; i++) {
		const struct config_instance *config = &instances[i]->config;
		bool closed = !config->accept && config->priority != 255;
		uint32_t value = instances[i]->lease | (closed ? GUARDED_CLOSED : 0);

		for (uint32_t k = 0; instances[i]->lease && k < config->n_addresses; k++)
			vips[n_vips++] = (struct guard_vip){config->addresses[k].addr, value};
	}
	if (vips)
		guard_vips(process->guard, vips, n_vips);
	free(vips);
}

void lease_config(struct vrrp_process *process, const struct config *c,
		  struct instance *const *instances, uint32_t n)
{
	uint64_t least_ms = UINT64_MAX, lease_ms;

	for (uint32_t i = 0; i < n; i++) {
		uint64_t of_this = down_ms(&instances[i]->config);

		least_ms = of_this < least_ms ? of_this : least_ms;
		guard_interface(process->guard, instances[i]->config.interface);
	}
	lease_ms = n > 0 ? least_ms : 0;
	lease_ms = lease_ms < LEASE_LEAST_MS ? LEASE_LEAST_MS : lease_ms;
	process->lease_ns = lease_ms * 1000000;
	/* Before the guard is where partners ask it: else they hear of a death that is none. */
	guard_lease(process->guard, LEASE_LIFE, clock_ms() * 1000000 + process->lease_ns);
	vips_set(process, instances, n);
	for (uint32_t i = 0; i < c->sync.n_links; i++)
		guard_interface(process->guard, c->sync.links[i].interface);
	guard_interfaces_end(process->guard);
}

void lease_turn(struct vrrp_process *process, struct instance *const *instances, uint32_t n)
{
	uint64_t now_ns = clock_ms() * 1000000;
	bool stuck = process->turned_ns && now_ns - process->turned_ns > process->lease_ns;

	for (uint32_t i = 0; i < n; i++) {
		if (stuck && heart_other_active(process->heart, instances[i]->beat))
			instance_event(instances[i], VRRP_STUCK);
		instance_lease(instances[i]);
	}
	guard_lease(process->guard, LEASE_LIFE, now_ns + process->lease_ns);
	process->turned_ns = now_ns;
}

uint32_t lease_records(const struct heart_key *key, struct instance *const *instances, uint32_t n,
		       struct heart_instance *ret)
{
	for (uint32_t i = 0; i < n; i++) {
		struct instance *in = instances[i];
		struct heart_record *r = &ret[i].record;

		in->beat = heart_name(key, in->config.name);
		*r = (struct heart_record){.instance = in->beat,
					   .vrid = in->config.vrid,
					   .ipv6 = in->config.ipv6,
					   .role = (uint8_t)in->machine.role,
					   .priority = in->machine.priority};
		if (vrrp_chooses(&in->machine, clock_us()))
			r->chosen = in->chosen;
		memcpy(r->source, &in->machine.primary, sizeof(r->source));
		ret[i].interface = in->config.interface;
	}
	return n;
}
