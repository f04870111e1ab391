/* SPDX-License-Identifier: BSD-2-Clause */
/* instance.c: see instance.h. */
#include "vrrp/instance.h"

#include <errno.h>
#include <event2/event.h>
#include <netlink/errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"
#include "vrrp/socket.h"

static void step(struct instance *i, enum vrrp_event event, const struct vrrp_advert *advert);

/* ---- what the parent is told ---- */

void instance_tell(struct instance *i, bool always)
{
	struct message_vrrp m = {.role = i->machine.role,
				 .vrid = i->config.vrid,
				 .since_s = i->since_s,
				 .transitions = (uint32_t)i->transitions,
				 .priority = i->config.priority,
				 .yielding = i->machine.yielding,
				 .partner_priority = i->partner_priority,
				 .partner = i->partner,
				 .adverts_sent = i->sent,
				 .adverts_received = i->received};

	for (int v = VRRP_GOOD + 1; v < VRRP_VERDICT_COUNT; v++)
		m.adverts_bad += i->bad[v];
	snprintf(m.instance, sizeof(m.instance), "%s", i->config.name);
	snprintf(m.reason, sizeof(m.reason), "%s", i->reason);
	if (!always && memcmp(&m, &i->told, sizeof(m)) == 0)
		return;
	i->told = m;
	channel_send(i->process->parent, MESSAGE_VRRP, &m, -1);
}

static void log_change(const struct instance *i, enum vrrp_role before)
{
	static const char *const names[] = VRRP_ROLE_NAMES;

	log_notice("vrrp %s %s: was=%s vrid=%u interface=%s priority=%u reason=\"%s\"",
		   i->config.name, names[i->machine.role], names[before], i->config.vrid,
		   i->config.interface, i->config.priority, i->reason);
}

/* ---- actions ---- */

static void timer_set(struct instance *i)
{
	uint64_t due_ms = vrrp_due_ms(&i->machine), now_ms = clock_ms();
	uint64_t wait_ms = due_ms > now_ms ? due_ms - now_ms : 0;

	if (due_ms == 0) {
		event_del(i->timer);
		return;
	}
	event_add(i->timer, &(struct timeval){.tv_sec = (time_t)(wait_ms / 1000),
					      .tv_usec = (suseconds_t)(wait_ms % 1000 * 1000)});
}

/* In this order: the addresses are there before anybody is told, and go only after the partner was.
 */
static void act(struct instance *i, const struct vrrp_actions *a)
{
	struct vrrp_process *p = i->process;
	int add = 0, send = 0, announce = 0, drop = 0;

	if (a->add_addresses)
		add = link_add_addresses(p->netlink, i->link.ifindex, &i->config);
	if (a->send && i->fd >= 0) {
		send = vrrp_socket_send(i->fd, &i->config, &i->link, a->send_priority);
		i->sent += send == 0;
	}
	if (a->announce)
		announce = link_announce(p->packet_socket, &i->link, &i->config);
	if (a->remove_addresses && i->link.ifindex)
		drop = link_remove_addresses(p->netlink, i->link.ifindex, &i->config);
	if (add < 0 || drop < 0)
		log_err("vrrp %s: addresses not %s: interface=%s error=\"%s\"", i->config.name,
			add < 0 ? "added" : "removed", i->config.interface,
			nl_geterror(add < 0 ? add : drop));
	if (send < 0)
		log_debug("vrrp %s: advert not sent: error=\"%s\"", i->config.name,
			  strerror(-send));
	if (announce < 0)
		log_warning("vrrp %s: addresses not announced: error=\"%s\"", i->config.name,
			    strerror(-announce));
}

static void step(struct instance *i, enum vrrp_event event, const struct vrrp_advert *advert)
{
	enum vrrp_role before = i->machine.role;
	struct vrrp_actions a;

	vrrp_step(&i->machine, event, advert, clock_ms(), &a);
	act(i, &a);
	timer_set(i);
	if (!a.reason)
		return;
	i->reason = a.reason;
	if (i->was != VRRP_INIT && i->machine.role == i->was) {
		i->since_s = i->was_since_s;
	} else {
		i->since_s = time(NULL);
		i->transitions++;
	}
	i->was = VRRP_INIT;
	log_change(i, before);
	instance_tell(i, true);
}

/* ---- events ---- */

static void bad_note(struct instance *i, enum vrrp_verdict verdict, const struct vrrp_advert *a)
{
	char text[INET6_ADDRSTRLEN];

	i->bad[verdict]++;
	if (i->bad_logged & 1U << verdict)
		return; /* once a kind: a flood must not fill the log */
	i->bad_logged |= 1U << verdict;
	log_warning("vrrp %s: packet ignored: from=%s why=\"%s\"", i->config.name,
		    addr_format(&a->src, text), vrrp_verdict_text(verdict));
}

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
	struct instance *i = arg;
	struct vrrp_advert advert;
	enum vrrp_verdict verdict;

	(void)what;
	for (int turn = 0; turn < 32; turn++) {
		int r = vrrp_socket_receive(fd, i->config.ipv6, i->config.vrid, &advert, &verdict);

		if (r == -ENOMSG)
			continue;
		if (r < 0)
			return;
		if (memcmp(&advert.src, &i->link.primary, sizeof(advert.src)) == 0)
			continue; /* our own, come back */
		if (verdict != VRRP_GOOD) {
			bad_note(i, verdict, &advert);
			continue;
		}
		i->received++;
		i->partner = advert.src;
		i->partner_priority = advert.priority;
		step(i, VRRP_ADVERT, &advert);
		if (i->fd < 0)
			return;
	}
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	step(arg, VRRP_TIMER, NULL);
}

void instance_event(struct instance *i, enum vrrp_event event)
{
	if (event == VRRP_SHUTDOWN)
		i->resigned = true;
	step(i, event, NULL);
}

/* ---- the interface ---- */

static void socket_close(struct instance *i)
{
	if (i->readable)
		event_free(i->readable);
	i->readable = NULL;
	if (i->fd >= 0)
		close(i->fd);
	i->fd = -1;
}

static int socket_open(struct instance *i)
{
	int fd = vrrp_socket_open(&i->config, &i->link);

	if (fd < 0)
		return fd;
	i->fd = fd;
	i->readable = event_new(i->process->loop, fd, EV_READ | EV_PERSIST, on_readable, i);
	if (!i->readable || event_add(i->readable, NULL) < 0) {
		socket_close(i);
		return -ENOMEM;
	}
	return 0;
}

static bool link_usable(const struct link *link)
{
	return link->up && !IN6_IS_ADDR_UNSPECIFIED(&link->primary.in6);
}

static bool source_same(const struct link *a, const struct link *b)
{
	return memcmp(&a->primary, &b->primary, sizeof(a->primary)) == 0;
}

/* Another source address on the same interface: the role stays, only the socket is made anew. */
static void source_change(struct instance *i)
{
	socket_close(i);
	if (socket_open(i) < 0)
		log_err("vrrp %s: no socket for the new source address: interface=%s",
			i->config.name, i->config.interface);
}

static void instance_start(struct instance *i)
{
	int r = socket_open(i);

	if (r < 0) {
		log_err("vrrp %s: no socket: interface=%s error=\"%s\"", i->config.name,
			i->config.interface, strerror(-r));
		return;
	}
	/* What a predecessor that was killed left there; a machine that starts adds its own. */
	if (!i->resume)
		link_remove_addresses(i->process->netlink, i->link.ifindex, &i->config);
	step(i, i->resume ? VRRP_RESUME : VRRP_STARTUP, NULL);
	i->resume = false;
}

void instance_refresh(struct instance *i)
{
	struct link link = i->link;
	bool same;

	if (i->resigned ||
	    link_read(&i->config, i->process->is_virtual, i->process->owner, &link) < 0)
		return; /* not known: as before */
	if (i->fd >= 0 && (!link_usable(&link) || link.ifindex != i->link.ifindex)) {
		step(i, VRRP_LINK_LOST, NULL);
		socket_close(i);
	}
	same = source_same(&link, &i->link);
	i->link = link;
	i->machine.primary = link.primary;
	if (i->fd >= 0 && !same)
		source_change(i);
	else if (i->fd < 0 && link_usable(&link) && (i->process->ready || i->resume))
		instance_start(i);
}

/* ---- life ---- */

static void settings_take(struct instance *i)
{
	i->machine.priority = i->config.priority;
	i->machine.advert_cs = i->config.advert_cs;
	i->machine.preempt = i->config.preempt;
	i->machine.preempt_delay_ms = i->config.preempt_delay_ms;
}

struct instance *instance_new(struct vrrp_process *process, const struct config_instance *config)
{
	struct instance *i = calloc(1, sizeof(*i));

	if (!i)
		return NULL;
	i->process = process;
	i->config = *config;
	i->fd = -1;
	i->reason = "not started yet";
	i->since_s = time(NULL);
	settings_take(i);
	i->timer = event_new(process->loop, -1, 0, on_timer, i);
	if (!i->timer) {
		instance_free(i);
		return NULL;
	}
	return i;
}

void instance_free(struct instance *i)
{
	if (!i)
		return;
	socket_close(i);
	if (i->timer)
		event_free(i->timer);
	free(i);
}

bool instance_same(const struct instance *i, const struct config_instance *config)
{
	return strcmp(i->config.interface, config->interface) == 0 &&
	       i->config.vrid == config->vrid && i->config.ipv6 == config->ipv6;
}

static bool has_vip(const struct config_instance *config, const struct config_vip *vip)
{
	for (uint32_t i = 0; i < config->n_addresses; i++) {
		if (memcmp(&config->addresses[i].addr, &vip->addr, sizeof(vip->addr)) == 0 &&
		    config->addresses[i].prefix_len == vip->prefix_len)
			return true;
	}
	return false;
}

void instance_change(struct instance *i, const struct config_instance *config)
{
	struct config_instance before = i->config;
	bool holds = i->machine.role == VRRP_ACTIVE || i->machine.lingering;

	i->config = *config;
	settings_take(i);
	i->changed = memcmp(&before, config, sizeof(before)) != 0;
	for (uint32_t k = 0; holds && k < before.n_addresses; k++) {
		if (!has_vip(config, &before.addresses[k]))
			link_remove_address(i->process->netlink, i->link.ifindex,
					    &before.addresses[k]);
	}
}

void instance_changed(struct instance *i)
{
	const struct vrrp_actions again = {.add_addresses = true,
					   .send = true,
					   .send_priority = i->config.priority,
					   .announce = true};

	if (!i->changed)
		return;
	i->changed = false;
	if (i->machine.role == VRRP_ACTIVE) {
		/* The partner counts by the new interval from this advert on. */
		i->machine.timer_ms = clock_ms() + 10ULL * i->machine.advert_cs;
		timer_set(i);
		act(i, &again);
	}
	log_info("vrrp %s: configuration changed", i->config.name);
	instance_tell(i, true);
}
