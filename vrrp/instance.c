/* SPDX-License-Identifier: BSD-2-Clause */
/* instance.c: see instance.h. */
#include "vrrp/instance.h"

#include <errno.h>
#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"
#include "vrrp/socket.h"
#include "vrrp/vmac.h"

static void step(struct instance *i, enum vrrp_event event, const struct vrrp_advert *advert);

/* ---- actions ---- */

static void timer_set(struct instance *i)
{
	uint64_t due_us = vrrp_due_us(&i->machine), now_us = clock_us();
	uint64_t wait_us = due_us > now_us ? due_us - now_us : 0;

	if (due_us == 0) {
		event_del(i->timer);
		return;
	}
	event_add(i->timer, &(struct timeval){.tv_sec = (time_t)(wait_us / 1000000),
					      .tv_usec = (suseconds_t)(wait_us % 1000000)});
}

static int advertise(const struct instance *i, uint8_t priority)
{
	if (i->config.virtual_mac && !i->config.unicast)
		return vmac_send(i->process->packet_socket, &i->config, &i->link, priority);
	return vrrp_socket_send(i->fd, &i->config, &i->link, priority);
}

/* The next address that is to be announced, and later the others; or all at once. */
static int announce_next(struct instance *i)
{
	const uint32_t pace_us = i->config.garp.pace_us, n = i->config.n_addresses;
	uint32_t from = i->announced;
	int r;

	i->announced = pace_us ? from + 1 : n;
	r = link_announce(i->process->packet_socket, &i->link, &i->config, from, i->announced);
	if (i->announced < n || i->rounds) /* may need memory */
		event_add(i->paced, &(struct timeval){.tv_sec = pace_us / 1000000,
						      .tv_usec = pace_us % 1000000});
	return r;
}

static void on_paced(evutil_socket_t fd, short what, void *arg)
{
	struct instance *i = arg;

	(void)fd;
	(void)what;
	if (i->machine.role != VRRP_ACTIVE ||
	    (i->announced >= i->config.n_addresses && i->rounds == 0))
		return;
	if (i->announced >= i->config.n_addresses) {
		i->announced = 0;
		i->rounds--;
	}
	announce_next(i);
}

/* A round that is under way is not begun anew by a repetition: nobody would be told of the last
 * addresses. Another one follows it.
 */
static int announce(struct instance *i, const struct vrrp_actions *a)
{
	if (i->announced > 0 && i->announced < i->config.n_addresses && !a->add_addresses &&
	    !a->split) {
		i->rounds += i->rounds < i->config.garp.count;
		return 0;
	}
	i->announced = i->rounds = 0;
	return announce_next(i);
}

/* In this order: the partner is told before the addresses go; and see machine.h, `urgent`. */
static void act(struct instance *i, const struct vrrp_actions *a)
{
	struct vrrp_process *p = i->process;
	int add = 0, send = 0, announced = 0, drop = 0;

	if (a->add_addresses)
		guard_lease(p->guard, i->lease, clock_ms() * 1000000 + p->lease_ns);
	if (a->remove_addresses)
		guard_lease(p->guard, i->lease, 0); /* at once: a backup never answers */
	if (a->add_addresses && !a->urgent)
		add = instance_hold(i);
	if (a->send && i->fd >= 0) {
		send = advertise(i, a->send_priority);
		i->sent += send == 0;
	}
	if (a->announce)
		announced = announce(i, a);
	if (a->add_addresses && a->urgent) {
		i->adds_late = true;
		event_active(p->late, 0, 0);
	}
	if (a->remove_addresses)
		i->adds_late = false;
	if (a->remove_addresses)
		drop = instance_release(i);
	if ((a->add_addresses && !a->urgent) || a->remove_addresses)
		instance_hold_tell(i, !a->remove_addresses, a->remove_addresses ? drop : add);
	if (send < 0)
		log_debug("vrrp %s: advert not sent: error=\"%s\"", i->config.name,
			  strerror(-send));
	if (announced < 0)
		log_warning("vrrp %s: addresses not announced: error=\"%s\"", i->config.name,
			    strerror(-announced));
}

/* Until when the active node lives by its heartbeats. Where adverts are ignored, their silence is
 * no opinion beside that.
 */
static uint64_t lives_until_us(const struct instance *i, uint64_t now_us)
{
	uint64_t overdue_us = i->config.authentication == AUTHENTICATION_SYNC
				      ? 0
				      : vrrp_overdue_us(&i->machine, now_us);

	return heart_lives_until_us(i->process->heart, i->beat, i->config.interface, overdue_us);
}

static void step(struct instance *i, enum vrrp_event event, const struct vrrp_advert *advert)
{
	enum vrrp_role before = i->machine.role;
	uint64_t began_us = clock_us();
	struct vrrp_actions a;

	instance_flush(i);
	i->machine.lives_until_us = lives_until_us(i, began_us);
	vrrp_step(&i->machine, event, advert, began_us, &a);
	act(i, &a);
	timer_set(i);
	if (a.reason) {
		bool same = i->before != VRRP_INIT && i->machine.role == i->before;

		i->reason = i->because ? i->because : a.reason;
		i->since_s = same ? i->before_since_s : time(NULL);
		i->transitions += !same;
		i->before = VRRP_INIT;
		i->urgent = a.urgent;
		instance_turned(i, before, began_us, clock_us());
		if (same)
			i->turn.number = 0; /* to be logged, and no turn of its history */
		rights_turned(i, before);   /* the whole group acts before anything is told */
	}
	if (i->machine.role != before)
		instance_say(i->process);
	if (a.split)
		instance_split(i, advert);
	if (a.reason && event == VRRP_STARTUP)
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
	log_warning("vrrp %s: packet %s: from=%s why=\"%s\"", i->config.name,
		    verdict == VRRP_ADDRESSES_DIFFER ? "is odd" : "ignored",
		    addr_format(&a->src, text), vrrp_verdict_text(verdict));
}

static void advert_take(struct instance *i, const struct vrrp_advert *advert)
{
	uint64_t due_us = i->machine.timer_us;

	i->partner = advert->src;
	i->partner_priority = advert->priority;
	if (rights_undecided(i, advert, clock_us()))
		return;
	step(i, VRRP_ADVERT, advert);
	rights_heard(i, advert, due_us, clock_us());
}

/* What has come, now. */
static void adverts_read(struct instance *i)
{
	struct vrrp_advert advert;
	enum vrrp_verdict verdict;

	for (int turn = 0; turn < 32 && i->fd >= 0; turn++) {
		int r = vrrp_socket_receive(i->fd, &i->config, &advert, &verdict);

		if (r == -ENOMSG)
			continue;
		if (r < 0)
			return;
		if (memcmp(&advert.src, &i->link.primary, sizeof(advert.src)) == 0)
			verdict = VRRP_OWN;
		if (verdict != VRRP_GOOD)
			bad_note(i, verdict, &advert);
		if (verdict != VRRP_GOOD && verdict != VRRP_ADDRESSES_DIFFER)
			continue;
		i->received++;
		if (i->config.authentication == AUTHENTICATION_SYNC)
			continue; /* the partners' STATE alone is believed */
		advert_take(i, &advert);
	}
}

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	adverts_read(arg);
}

static bool down_timer_is_due(const struct instance *i)
{
	return i->machine.role == VRRP_BACKUP && clock_us() >= i->machine.timer_us;
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct instance *i = arg;
	uint64_t held_us = 0;

	(void)fd;
	(void)what;
	if (down_timer_is_due(i)) { /* what came while this process slept is no silence */
		adverts_read(i);
		heart_read(i->process->heart);
	}
	if (down_timer_is_due(i))
		held_us = rights_held_until_us(i, clock_us());
	if (held_us) {
		i->machine.timer_us = held_us;
		timer_set(i);
		return;
	}
	if (i->machine.role == VRRP_BACKUP && i->right.told_of_end && !i->machine.heir)
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

/* An advert by another way. */
static void advert_by_state(struct instance *i, const struct heart_record *about)
{
	struct vrrp_advert advert = {.ttl = VRRP_TTL,
				     .ipv6 = i->config.ipv6,
				     .vrid = i->config.vrid,
				     .priority = about->priority,
				     .advert_cs = i->config.advert_cs};

	memcpy(&advert.src, about->source, sizeof(advert.src));
	advert_take(i, &advert);
}

void instance_partner(struct instance *i, enum vrrp_event event, const struct heart_record *about,
		      uint32_t rank_ms)
{
	i->machine.rank_ms = rank_ms;
	if (event == VRRP_CHOICE || event == VRRP_CHOSEN || event == VRRP_PASSED_OVER)
		i->chosen = about->chosen;
	if (event == VRRP_PARTNER_ACTIVE && i->config.authentication == AUTHENTICATION_SYNC &&
	    about->priority > 0)
		advert_by_state(i, about);
	if (event == VRRP_PARTNER_DEAD || event == VRRP_PARTNER_GONE ||
	    event == VRRP_PARTNER_LEAVES)
		rights_ended(i, event == VRRP_PARTNER_LEAVES, clock_us());
	step(i, event, NULL);
}

void instance_lease(struct instance *i)
{
	if (i->machine.role == VRRP_ACTIVE || i->machine.lingering)
		guard_lease(i->process->guard, i->lease,
			    clock_ms() * 1000000 + i->process->lease_ns);
}

void instance_follow(struct instance *i, enum vrrp_event event, const struct instance *other)
{
	if (other->because)
		snprintf(i->right.reason, sizeof(i->right.reason), "%s", other->because);
	else
		snprintf(i->right.reason, sizeof(i->right.reason), "group %.32s: %.32s: %.80s",
			 i->config.group, other->config.name, other->reason);
	i->because = i->right.reason;
	i->machine.group_urgent = other->urgent;
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
	instance_say(i->process);
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
	return !i->looked || (link_usable(&i->link) && i->holder_error == 0);
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

/* A virtual MAC needs its macvlan; said once, not every second. */
static bool holder_make(struct instance *i)
{
	int r = i->config.virtual_mac ? vmac_make(i->process->netlink, &i->config, &i->link) : 0;

	if (r < 0 && i->holder_error != r)
		log_err("vrrp %s: no macvlan for the virtual MAC: interface=%s error=\"%s\"",
			i->config.name, i->config.interface, strerror(-r));
	if (r < 0)
		i->reason = "there is no macvlan for the virtual MAC";
	i->holder_error = r;
	return r == 0;
}

static void instance_start(struct instance *i)
{
	int r;

	if (!holder_make(i))
		return;
	r = socket_open(i);

	if (r < 0) {
		log_err("vrrp %s: no socket: interface=%s error=\"%s\"", i->config.name,
			i->config.interface, strerror(-r));
		return;
	}
	if (i->machine.role != VRRP_INIT)
		return; /* only its socket was missing */
	if (!i->config.ipv6)
		link_promote(i->process->netlink, &i->link);
	if (i->resume)
		instance_hold_find(i);
	else
		instance_clear(i); /* a machine that starts adds its own */
	step(i, i->resume ? VRRP_RESUME : VRRP_STARTUP, NULL);
	if (i->yields && i->machine.role == VRRP_BACKUP)
		i->machine.yielding = true;
	i->resume = i->yields = false;
}

void instance_refresh(struct instance *i)
{
	struct link link = i->link;
	bool same, same_mac;

	if (i->resigned || !i->process->interfaces)
		return; /* not known: as before */
	link_read(i->process->interfaces, &i->config, &link);
	link.forwards_ipv6 = i->process->forwards_ipv6;
	if (i->fd >= 0 && (!link_usable(&link) || link.ifindex != i->link.ifindex ||
			   link.holder != i->link.holder)) {
		step(i, VRRP_LINK_LOST, NULL);
		socket_close(i);
	}
	same = source_same(&link, &i->link);
	same_mac = memcmp(link.mac, i->link.mac, sizeof(link.mac)) == 0;
	i->link = link;
	i->looked = true;
	i->machine.primary = link.primary;
	if (i->fd >= 0 && !same)
		source_change(i);
	else if (i->fd < 0 && link_usable(&link) && !i->right.out[0] &&
		 (i->process->ready || i->resume))
		instance_start(i);
	else if (!same_mac && instance_has_addresses(i))
		instance_again(i); /* the others know the MAC of before */
}

/* ---- life ---- */

void instance_sync(struct instance *i)
{
	i->machine.behind = i->process->synced && !i->process->in_sync;
}

static void settings_take(struct instance *i)
{
	i->machine.priority = i->config.priority;
	i->machine.advert_cs = i->config.advert_cs;
	i->machine.version = i->config.version;
	i->machine.garp = i->config.garp;
	i->machine.preempt = i->config.preempt;
	i->machine.preempt_delay_ms = i->config.preempt_delay_ms;
	instance_sync(i);
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
	i->paced = event_new(process->loop, -1, 0, on_paced, i);
	if (!i->timer || !i->paced || event_priority_set(i->timer, PRIORITY_FIRST) < 0) {
		instance_free(i);
		return NULL;
	}
	return i;
}

void instance_free(struct instance *i)
{
	if (!i)
		return;
	instance_flush(i);
	socket_close(i);
	/* What is active goes on without us, until we are back. */
	if (i->config.virtual_mac && i->machine.role != VRRP_ACTIVE && !i->machine.lingering)
		vmac_remove(i->process->netlink, &i->config, &i->link);
	if (i->timer)
		event_free(i->timer);
	if (i->paced)
		event_free(i->paced);
	free(i);
}

bool instance_same(const struct instance *i, const struct config_instance *config)
{
	return strcmp(i->config.interface, config->interface) == 0 &&
	       i->config.vrid == config->vrid && i->config.ipv6 == config->ipv6 &&
	       i->config.virtual_mac == config->virtual_mac &&
	       i->config.version == config->version && i->config.unicast == config->unicast;
}

void instance_change(struct instance *i, const struct config_instance *config)
{
	struct config_instance before = i->config;
	uint8_t priority = i->machine.priority;

	i->config = *config;
	settings_take(i);
	i->machine.priority = priority; /* until rights_configure() */
	i->changed = memcmp(&before, config, sizeof(before)) != 0;
	instance_hold_change(i, &before);
}

void instance_again(struct instance *i)
{
	const struct vrrp_actions again = {.add_addresses = true,
					   .send = true,
					   .send_priority = i->machine.priority,
					   .announce = true};

	act(i, &again);
}

void instance_changed(struct instance *i)
{
	if (!i->changed)
		return;
	i->changed = false;
	if (i->machine.role == VRRP_ACTIVE) {
		/* The partner counts by the new interval from this advert on. */
		i->machine.timer_us = clock_us() + 10000ULL * i->machine.advert_cs;
		timer_set(i);
		instance_again(i);
	}
	log_info("vrrp %s: configuration changed", i->config.name);
	instance_tell(i, true);
}
