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
				 .priority = i->machine.priority,
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

static void turn_tell(const struct instance *i, enum vrrp_role before, uint64_t began_us,
		      uint64_t done_us)
{
	struct message_turn m = {.number = (uint32_t)i->transitions,
				 .from = before,
				 .to = i->machine.role,
				 .priority = i->machine.priority,
				 .silence_ms = SILENCE_UNKNOWN,
				 .took_us = (uint32_t)(done_us - began_us)};
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	m.at_ms = (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
	if (i->right.heard_ms && began_us / 1000 - i->right.heard_ms < SILENCE_UNKNOWN)
		m.silence_ms = (uint32_t)(began_us / 1000 - i->right.heard_ms);
	snprintf(m.instance, sizeof(m.instance), "%s", i->config.name);
	snprintf(m.reason, sizeof(m.reason), "%s", i->reason);
	channel_send(i->process->parent, MESSAGE_TURN, &m, -1);
}

static void log_change(const struct instance *i, enum vrrp_role before)
{
	static const char *const names[] = VRRP_ROLE_NAMES;

	log_notice("vrrp %s %s: was=%s vrid=%u interface=%s priority=%u reason=\"%s\"",
		   i->config.name, names[i->machine.role], names[before], i->config.vrid,
		   i->config.interface, i->machine.priority, i->reason);
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

static uint64_t now_us(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

static void step(struct instance *i, enum vrrp_event event, const struct vrrp_advert *advert)
{
	enum vrrp_role before = i->machine.role;
	uint64_t began_us = now_us(), done_us;
	struct vrrp_actions a;

	vrrp_step(&i->machine, event, advert, began_us / 1000, &a);
	act(i, &a);
	timer_set(i);
	if (!a.reason)
		return;
	done_us = now_us();
	i->reason = i->because ? i->because : a.reason;
	i->since_s = time(NULL);
	i->transitions++;
	rights_turned(i, before); /* the whole group acts before anything is told */
	log_change(i, before);
	instance_tell(i, true);
	turn_tell(i, before, began_us, done_us);
	if (event == VRRP_STARTUP)
		rights_started(i);
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
		uint64_t due_ms = i->machine.timer_ms;
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
		if (rights_undecided(i, &advert, clock_ms()))
			continue;
		step(i, VRRP_ADVERT, &advert);
		rights_heard(i, &advert, due_ms, clock_ms());
		if (i->fd < 0)
			return;
	}
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct instance *i = arg;
	uint64_t now_ms = clock_ms(), held_ms = 0;

	(void)fd;
	(void)what;
	if (i->machine.role == VRRP_BACKUP && now_ms >= i->machine.timer_ms)
		held_ms = rights_held_until_ms(i, now_ms);
	if (held_ms) {
		i->machine.timer_ms = held_ms;
		timer_set(i);
		return;
	}
	if (i->machine.role == VRRP_BACKUP && i->right.told_of_end)
		i->because = "the active node hands over";
	step(i, VRRP_TIMER, NULL);
	i->because = NULL;
}

void instance_event(struct instance *i, enum vrrp_event event)
{
	if (event == VRRP_SHUTDOWN)
		i->resigned = true;
	step(i, event, NULL);
}

void instance_follow(struct instance *i, enum vrrp_event event, const struct instance *other)
{
	if (other->because)
		snprintf(i->right.reason, sizeof(i->right.reason), "%s", other->because);
	else
		snprintf(i->right.reason, sizeof(i->right.reason), "group %.32s: %.32s: %.80s",
			 i->config.group, other->config.name, other->reason);
	i->because = i->right.reason;
	step(i, event, NULL);
	i->because = NULL;
}

static void priority_take(struct instance *i, uint8_t priority)
{
	const struct vrrp_actions say = {.send = true, .send_priority = priority};
	uint8_t before = i->machine.priority;

	if (priority == before)
		return;
	i->machine.priority = priority;
	if (i->machine.role == VRRP_ACTIVE)
		act(i, &say);
	log_notice("vrrp %s: priority %u: was=%u configured=%u %s", i->config.name, priority,
		   before, i->config.priority,
		   i->right.why[0] ? i->right.why : "by configuration or group");
	instance_tell(i, true);
}

static void out_take(struct instance *i, const char *out)
{
	bool news = strcmp(i->right.out, out) != 0;

	memcpy(i->right.out, out, sizeof(i->right.out));
	i->resume = false;
	i->because = i->right.out;
	if (i->machine.role != VRRP_INIT)
		step(i, VRRP_SHUTDOWN, NULL);
	i->because = NULL;
	i->reason = i->right.out;
	if (news)
		instance_tell(i, false);
}

void instance_permit(struct instance *i, uint8_t priority, const char out[static VERDICT_TEXT])
{
	bool was_out = i->right.out[0];

	priority_take(i, priority);
	if (out[0]) {
		out_take(i, out);
		return;
	}
	i->right.out[0] = '\0';
	if (was_out)
		i->reason = "may be active again";
	if (i->machine.role == VRRP_INIT && i->fd >= 0 && !i->machine.lingering && !i->resigned)
		step(i, VRRP_STARTUP, NULL);
	else if (was_out && i->fd < 0)
		instance_refresh(i);
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

bool instance_usable(const struct instance *i)
{
	return !i->looked || link_usable(&i->link);
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
	if (i->yields && i->machine.role == VRRP_BACKUP)
		i->machine.yielding = true;
	i->resume = i->yields = false;
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
	i->looked = true;
	i->machine.primary = link.primary;
	if (i->fd >= 0 && !same)
		source_change(i);
	else if (i->fd < 0 && link_usable(&link) && !i->right.out[0] &&
		 (i->process->ready || i->resume))
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
	uint8_t priority = i->machine.priority;
	bool holds = i->machine.role == VRRP_ACTIVE || i->machine.lingering;

	i->config = *config;
	settings_take(i);
	i->machine.priority = priority; /* until rights_configure() */
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
					   .send_priority = i->machine.priority,
					   .announce = true};

	if (!i->changed)
		return;
	i->changed = false;
	if (i->machine.role == VRRP_ACTIVE)
		act(i, &again);
	log_info("vrrp %s: configuration changed", i->config.name);
	instance_tell(i, true);
}
