/* SPDX-License-Identifier: BSD-2-Clause */
/* rights.c: see rights.h. */
#include "vrrp/rights.h"

#include <errno.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "vrrp/group.h"
#include "vrrp/instance.h"
#include "vrrp/route.h"
#include "vrrp/track.h"

struct rights {
	struct vrrp_process *process;
	struct instance **instances;
	const uint32_t *n_instances;
	struct tracks tracks;
	bool told[CONFIG_TRACKS]; /* the parent knows it */
	int fd;			  /* for ioctl */
	struct route_watch *routes;
	uint32_t route_tracks[CONFIG_TRACKS]; /* the track of each prefix that is watched */
};

/* ---- groups ---- */

/* An instance with all of its group. */
struct gathered {
	size_t n;
	struct instance *instances[CONFIG_INSTANCES];
	struct group_member members[CONFIG_INSTANCES];
	uint64_t numbers[CONFIG_INSTANCES / 64]; /* a bit for each: as in struct config_track */
};

static void gather(const struct rights *r, const struct instance *of, struct gathered *g)
{
	g->n = 0;
	memset(g->numbers, 0, sizeof(g->numbers));
	for (uint32_t k = 0; k < *r->n_instances; k++) {
		struct instance *i = r->instances[k];

		if (!rights_together(i, of))
			continue;
		g->numbers[i->right.number / 64] |= 1ULL << i->right.number % 64;
		g->instances[g->n] = i;
		g->members[g->n++] = (struct group_member){
			.priority = i->config.priority,
			.out = !instance_usable(i),
			.heard_until_us = i->right.heard_until_us,
			.held_until_us = i->right.held_until_us,
			.told_of_end = i->right.told_of_end,
		};
	}
}

/* Why it may not be active; "" = it may. That its own interface is not usable it knows itself. */
static void out_say(const struct instance *i, const struct gathered *g, bool by_track,
		    char out[VERDICT_TEXT])
{
	const struct group_member *first = group_out(g->members, g->n);
	const struct instance *other = first ? g->instances[first - g->members] : NULL;

	out[0] = '\0';
	if (by_track)
		memcpy(out, i->right.why, VERDICT_TEXT);
	else if (other && other != i)
		snprintf(out, VERDICT_TEXT, "group %.32s: %.32s: the interface is not usable",
			 i->config.group, other->config.name);
}

static void judge(struct rights *r)
{
	struct gathered g;

	for (uint32_t k = 0; k < *r->n_instances; k++) {
		struct instance *i = r->instances[k];
		char out[VERDICT_TEXT];
		uint8_t priority;
		bool by_track;

		gather(r, i, &g);
		priority = tracks_weigh(&r->tracks, g.numbers, group_priority(g.members, g.n),
					&by_track, i->right.why);
		out_say(i, &g, by_track, out);
		instance_permit(i, priority, out);
	}
}

bool rights_together(const struct instance *a, const struct instance *b)
{
	return a == b || (a->right.group && a->right.group == b->right.group);
}

/* ---- the instance's steps ---- */

void rights_turned(struct instance *i, enum vrrp_role before)
{
	enum vrrp_role role = i->machine.role;
	struct rights *r = i->process->rights;

	if (role == VRRP_ACTIVE) {
		i->right.told_of_end = false;
		i->right.held_until_us = 0;
	}
	if (!i->right.group || role == VRRP_INIT)
		return;
	for (uint32_t k = 0; k < *r->n_instances; k++) {
		struct instance *other = r->instances[k];

		if (other == i || !rights_together(i, other))
			continue;
		if (role == VRRP_ACTIVE && other->machine.role == VRRP_BACKUP)
			instance_follow(other, VRRP_GROUP_ACTIVE, i);
		else if (role == VRRP_BACKUP && before == VRRP_ACTIVE &&
			 other->machine.role == VRRP_ACTIVE)
			instance_follow(other, VRRP_GROUP_BACKUP, i);
	}
}

void rights_started(struct instance *i)
{
	struct rights *r = i->process->rights;

	for (uint32_t k = 0; k < *r->n_instances && i->machine.role == VRRP_BACKUP; k++) {
		struct instance *other = r->instances[k];

		if (other != i && rights_together(i, other) && other->machine.role == VRRP_ACTIVE)
			instance_follow(i, VRRP_GROUP_ACTIVE, other);
	}
}

void rights_heard(struct instance *i, const struct vrrp_advert *advert, uint64_t due_before_us,
		  uint64_t now_us)
{
	struct right *right = &i->right;

	right->heard_us = now_us;
	right->told_of_end = advert->priority == 0;
	if (advert->priority == 0) {
		right->heard_until_us = right->held_until_us = 0;
		return;
	}
	right->heard_until_us = now_us + 40000ULL * advert->advert_cs;
	if (i->machine.role == VRRP_BACKUP && i->machine.timer_us != due_before_us)
		right->held_until_us = i->machine.timer_us;
}

void rights_ended(struct instance *i, bool said, uint64_t now_us)
{
	struct right *right = &i->right;

	if (i->machine.role != VRRP_BACKUP)
		return;
	if (said)
		right->heard_us = now_us;
	right->told_of_end = true;
	right->heard_until_us = right->held_until_us = 0;
}

/* A later member may hear the other node sooner, by where the two are in their intervals: within
 * one of them the first member hears it as well, or does not at all.
 */
static bool is_early(const struct instance *i, const struct instance *first,
		     const struct vrrp_advert *advert, uint64_t now_us)
{
	return i != first && now_us < i->right.decides_us &&
	       memcmp(&advert->src, &i->machine.primary, sizeof(advert->src)) > 0;
}

bool rights_undecided(struct instance *i, const struct vrrp_advert *advert, uint64_t now_us)
{
	const struct group_member *arbiter;
	struct gathered g;

	if (!i->right.group || i->machine.role != VRRP_ACTIVE ||
	    advert->priority != i->machine.priority)
		return false;
	if (i->right.heard_until_us <= now_us)
		i->right.decides_us = now_us + 10000ULL * advert->advert_cs;
	i->right.heard_until_us = now_us + 40000ULL * advert->advert_cs;
	gather(i->process->rights, i, &g);
	arbiter = group_arbiter(g.members, g.n, now_us);
	return (arbiter && g.instances[arbiter - g.members] != i) ||
	       is_early(i, g.instances[0], advert, now_us);
}

uint64_t rights_held_until_us(struct instance *i, uint64_t now_us)
{
	struct gathered g;

	if (!i->right.group)
		return 0;
	gather(i->process->rights, i, &g);
	return group_held_until_us(g.members, g.n, now_us);
}

/* ---- tracks ---- */

static void track_tell(struct rights *r, const struct track *track)
{
	struct message_track m = {.failed = track->failed};

	snprintf(m.track, sizeof(m.track), "%s", track->config.name);
	memcpy(m.text, track->text, sizeof(m.text));
	channel_send(r->process->parent, MESSAGE_TRACK, &m, -1);
}

static void turned_log(const struct track *track)
{
	if (track->failed)
		log_warning("track %s failed: %s", track->config.name, track->text);
	else
		log_notice("track %s is good again: %s", track->config.name, track->text);
}

/* What we have found out ourselves. */
static void track_find(struct rights *r, struct track *track, bool failed, const char *text)
{
	bool *told = &r->told[track - r->tracks.all];
	bool turned = track->failed != failed;

	if (*told && !turned && strcmp(track->text, text) == 0)
		return;
	track_set(track, failed, text);
	*told = true;
	if (turned)
		turned_log(track);
	track_tell(r, track);
}

static void interface_find(struct rights *r, struct track *track)
{
	const char *name = track->config.interface;
	struct ifreq request = {0};
	char text[VERDICT_TEXT];
	bool up;

	memcpy(request.ifr_name, name, sizeof(request.ifr_name));
	if (ioctl(r->fd, SIOCGIFFLAGS, &request) < 0) {
		snprintf(text, sizeof(text), "interface %s: %s", name, strerror(errno));
		track_find(r, track, true, text);
		return;
	}
	up = request.ifr_flags & IFF_UP && request.ifr_flags & IFF_RUNNING;
	snprintf(text, sizeof(text), "interface %s %s", name,
		 up			      ? "is up"
		 : request.ifr_flags & IFF_UP ? "has no carrier"
					      : "is down");
	track_find(r, track, !up, text);
}

static void on_route(void *owner, uint32_t number, bool there)
{
	struct rights *r = owner;
	struct track *track = &r->tracks.all[r->route_tracks[number]];
	char text[VERDICT_TEXT], address[INET6_ADDRSTRLEN];

	snprintf(text, sizeof(text), "%s %s/%u in the main table",
		 there ? "there is a route to" : "no route to",
		 addr_format(&track->config.route.addr, address), track->config.route.prefix_len);
	track_find(r, track, !there, text);
	judge(r);
}

static void routes_want(struct rights *r)
{
	struct config_vip prefixes[CONFIG_TRACKS];
	uint32_t n = 0;

	for (uint32_t i = 0; i < r->tracks.n; i++) {
		if (r->tracks.all[i].config.type != TRACK_ROUTE)
			continue;
		r->route_tracks[n] = i;
		prefixes[n++] = r->tracks.all[i].config.route;
	}
	route_watch_want(r->routes, prefixes, n);
}

void rights_hear(struct rights *r, const struct message_track *m)
{
	struct track *track = tracks_find(&r->tracks, m->track);
	bool turned;

	if (!track || track->config.type == TRACK_INTERFACE || track->config.type == TRACK_ROUTE)
		return; /* those we know better */
	turned = track_set(track, m->failed, m->text);
	judge(r); /* adverts before words */
	if (turned)
		turned_log(track);
}

static void interfaces_find(struct rights *r)
{
	for (uint32_t i = 0; i < r->tracks.n; i++) {
		if (r->tracks.all[i].config.type == TRACK_INTERFACE)
			interface_find(r, &r->tracks.all[i]);
	}
}

void rights_look(struct rights *r)
{
	interfaces_find(r);
	judge(r);
}

void rights_link_changed(struct rights *r)
{
	route_watch_list(r->routes);
}

/* ---- the configuration ---- */

static int by_number(const void *a, const void *b)
{
	const struct instance *const *x = a, *const *y = b;

	return ((*x)->right.number > (*y)->right.number) -
	       ((*x)->right.number < (*y)->right.number);
}

static void number(struct instance *i, const struct config *config)
{
	i->right.number = i->right.group = 0;
	while (i->right.number < config->n_instances &&
	       strcmp(config_instance(config, i->right.number)->name, i->config.name) != 0)
		i->right.number++;
	for (uint32_t k = 0; i->config.group[0] && k < config->n_instances && !i->right.group;
	     k++) {
		if (strcmp(config_instance(config, k)->group, i->config.group) == 0)
			i->right.group = k + 1;
	}
}

void rights_configure(struct rights *r, const struct config *config)
{
	for (uint32_t k = 0; k < *r->n_instances; k++)
		number(r->instances[k], config);
	/* in the same order on both nodes: the first one decides between equals */
	qsort(r->instances, *r->n_instances, sizeof(r->instances[0]), by_number);
	tracks_configure(&r->tracks, config);
	memset(r->told, 0, sizeof(r->told));
	routes_want(r);
	rights_look(r);
}

struct rights *rights_new(struct vrrp_process *process, struct instance **instances,
			  const uint32_t *n_instances)
{
	struct rights *r = calloc(1, sizeof(*r));

	if (!r)
		return NULL;
	r->process = process;
	r->instances = instances;
	r->n_instances = n_instances;
	r->fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	r->routes = route_watch_new(process->loop, on_route, r);
	if (r->fd < 0 || !r->routes) {
		rights_free(r);
		return NULL;
	}
	return r;
}

void rights_free(struct rights *r)
{
	if (!r)
		return;
	if (r->fd >= 0)
		close(r->fd);
	route_watch_free(r->routes);
	free(r);
}
