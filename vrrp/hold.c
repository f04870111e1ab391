/* SPDX-License-Identifier: BSD-2-Clause */
/* hold.c: the virtual addresses that an instance has put on its interface (instance.h). What the
 * operator, or anybody else, had put there before is neither ours nor taken away.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <string.h>

#include "base/log.h"
#include "vrrp/instance.h"

enum { KEEP_MS = 1000 };

static uint64_t all_of(const struct config_instance *config)
{
	return config->n_addresses == 64 ? UINT64_MAX : (1ULL << config->n_addresses) - 1;
}

bool instance_has_addresses(const struct instance *i)
{
	return i->machine.role == VRRP_ACTIVE && i->fd >= 0 && !i->adds_late;
}

/* ---- said, once ---- */

static void failed_tell(struct instance *i, const char *what, int error)
{
	if (error < 0 && error != i->hold_error)
		log_err("vrrp %s: addresses not %s: interface=%s error=\"%s\"", i->config.name,
			what, i->config.interface, strerror(-error));
	i->hold_error = error;
}

static void others_tell(struct instance *i)
{
	uint64_t others = i->hold_error ? i->others : all_of(&i->config) & ~i->held;
	char text[INET6_ADDRSTRLEN];

	for (uint32_t k = 0; k < i->config.n_addresses; k++) {
		if ((others & ~i->others) >> k & 1)
			log_notice(
				"vrrp %s: address %s was there already, not by us: it is left there when another node is active",
				i->config.name, addr_format(&i->config.addresses[k].addr, text));
	}
	i->others = others;
}

void instance_hold_tell(struct instance *i, bool added, int error)
{
	failed_tell(i, added ? "added" : "removed", error);
	if (added)
		others_tell(i);
}

/* ---- add and remove ---- */

int instance_hold(struct instance *i)
{
	return link_add_addresses(i->process->netlink, &i->link, &i->config, &i->held);
}

int instance_release(struct instance *i)
{
	int r = i->link.holder
			? link_remove_addresses(i->process->netlink, &i->link, &i->config, &i->held)
			: 0;

	i->unmarked = false;
	return r == -ENODEV ? 0 : r; /* they went with their interface */
}

void instance_add_late(struct instance *i)
{
	if (!i->adds_late)
		return;
	i->adds_late = false;
	instance_hold_tell(i, true, instance_hold(i));
}

/* Those that have our mark; where there are no marks, all. */
void instance_hold_find(struct instance *i)
{
	i->held = i->process->unmarked || i->unmarked ? all_of(&i->config) : 0;
	for (uint32_t k = 0; k < i->config.n_addresses; k++) {
		if (i->link.holder && i->marked[k] == i->link.holder)
			i->held |= 1ULL << k;
	}
}

void instance_clear(struct instance *i)
{
	guard_lease(i->process->guard, i->lease, 0);
	instance_hold_find(i);
	instance_release(i);
}

static int find_vip(const struct config_instance *config, const struct config_vip *vip)
{
	for (uint32_t k = 0; k < config->n_addresses; k++) {
		if (memcmp(&config->addresses[k].addr, &vip->addr, sizeof(vip->addr)) == 0 &&
		    config->addresses[k].prefix_len == vip->prefix_len)
			return (int)k;
	}
	return -1;
}

void instance_hold_change(struct instance *i, const struct config_instance *before)
{
	uint64_t held = 0;

	for (uint32_t k = 0; k < before->n_addresses; k++) {
		int now = find_vip(&i->config, &before->addresses[k]);

		if (!(i->held >> k & 1))
			continue;
		if (now >= 0)
			held |= 1ULL << now;
		else
			link_remove_address(i->process->netlink, &i->link, &before->addresses[k]);
	}
	i->held = held;
	i->others = 0;
}

void instance_keep(struct instance *i)
{
	uint64_t gone = all_of(&i->config) & ~i->there, now_ms = clock_ms();
	bool ours = gone & i->held;

	if (!i->had || !instance_has_addresses(i) || !i->process->interfaces || !gone ||
	    now_ms - i->kept_ms < KEEP_MS)
		return;
	i->kept_ms = now_ms;
	i->held &= ~gone;
	instance_again(i);
	if (ours)
		log_warning(
			"vrrp %s: somebody took addresses away: interface=%s; they are put back",
			i->config.name, i->config.interface);
}
