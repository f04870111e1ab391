/* SPDX-License-Identifier: BSD-2-Clause */
/* vrrp.c: the vrrp process (vrrp.h): its instances, and its conversation with the parent.
 *
 * CONFIG makes the instances; a VRRP message right after it says which of them were active when the
 * process before us was killed: those go on at once. The others start when lb is READY. STOP, or
 * the parent's end: every active instance resigns, and the process lives until the partner was
 * heard or the time for that is over.
 */
#include "vrrp/vrrp.h"

#include <errno.h>
#include <event2/event.h>
#include <linux/capability.h>
#include <linux/rtnetlink.h>
#include <netlink/netlink.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "base/text.h"
#include "vrrp/choice.h"
#include "vrrp/instance.h"
#include "vrrp/interfaces.h"
#include "vrrp/lease.h"

enum { REALTIME_PRIORITY = 10, SETTLE_MS = 50, LOOK_MS = 20 };

struct vrrp {
	struct vrrp_process process;
	struct instance *instances[CONFIG_INSTANCES];
	uint32_t n_instances;
	struct interfaces *interfaces;
	struct nl_sock *events; /* interfaces and addresses that change */
	struct event *netlink_event, *look, *second, *settle;
	bool stopping;
};

static struct instance *find(struct vrrp *v, const char *name)
{
	for (uint32_t i = 0; i < v->n_instances; i++) {
		if (strcmp(v->instances[i]->config.name, name) == 0)
			return v->instances[i];
	}
	return NULL;
}

static void refresh_all(struct vrrp *v)
{
	interfaces_forget(v->interfaces);
	interfaces_read(v->interfaces);
	for (uint32_t i = 0; i < v->n_instances; i++)
		instance_refresh(v->instances[i]);
	for (uint32_t i = 0; i < v->n_instances; i++)
		instance_keep(v->instances[i]);
	rights_look(v->process.rights);
}

/* One STATE for all that changed: of many instances, each its own would keep the next waiting. */
static void say(struct vrrp *v)
{
	if (v->process.says)
		heart_tell(v->process.heart);
	v->process.says = false;
}

/* ---- the end ---- */

static void stop_check(struct vrrp *v)
{
	if (!v->stopping)
		return;
	for (uint32_t i = 0; i < v->n_instances; i++) {
		if (v->instances[i]->machine.lingering)
			return;
	}
	event_base_loopbreak(v->process.loop);
}

static void stop(struct vrrp *v)
{
	if (v->stopping)
		return;
	v->stopping = true;
	for (uint32_t i = 0; i < v->n_instances; i++)
		instance_event(v->instances[i], VRRP_SHUTDOWN);
	say(v);
	/* After an advert or a timer ended the last one's lingering: looked at in each turn. */
	event_add(v->second, &(struct timeval){.tv_usec = 2000});
	stop_check(v);
}

static void on_closed(void *owner)
{
	log_notice("the parent is gone: handing over");
	stop(owner);
}

/* ---- configuration ---- */

/* An instance that is no longer wanted: its partner is told, its addresses go, at once. */
static void instance_end(struct instance *i)
{
	instance_event(i, VRRP_SHUTDOWN);
	if (i->machine.lingering)
		instance_event(i, VRRP_LINK_LOST);
}

static const struct config_instance *wanted(const struct config *c, const struct instance *i)
{
	for (uint32_t k = 0; k < c->n_instances; k++) {
		const struct config_instance *config = config_instance(c, k);

		if (strcmp(config->name, i->config.name) == 0)
			return instance_same(i, config) ? config : NULL;
	}
	return NULL;
}

static void config_take(struct vrrp *v, const struct config *c)
{
	uint32_t kept = 0;

	v->process.synced = c->sync.n_links > 0;
	/* While all are there: each step may look at all. */
	for (uint32_t i = 0; i < v->n_instances; i++) {
		if (!wanted(c, v->instances[i]))
			instance_end(v->instances[i]);
	}
	say(v);
	for (uint32_t i = 0; i < v->n_instances; i++) {
		const struct config_instance *config = wanted(c, v->instances[i]);

		if (config) {
			instance_change(v->instances[i], config);
			v->instances[kept++] = v->instances[i];
		} else {
			instance_free(v->instances[i]);
		}
	}
	v->n_instances = kept;
	for (uint32_t i = 0; i < c->n_instances; i++) {
		const struct config_instance *config = config_instance(c, i);
		struct instance *new;

		if (find(v, config->name) || v->n_instances == CONFIG_INSTANCES)
			continue;
		new = instance_new(&v->process, config);
		if (!new) {
			log_err("vrrp %s: not started: out of memory", config->name);
			continue;
		}
		lease_give(new, v->instances, v->n_instances);
		v->instances[v->n_instances++] = new;
	}
	interfaces_configure(v->interfaces, v->instances, v->n_instances);
	lease_config(&v->process, c, v->instances, v->n_instances);
	heart_config(v->process.heart, c);
	rights_configure(v->process.rights, c);
	for (uint32_t i = 0; i < v->n_instances; i++)
		instance_changed(v->instances[i]);
}

static void config_message(struct vrrp *v, int fd)
{
	const struct config *c = NULL;
	int r = fd < 0 ? -EPROTO : config_map(fd, &c);

	if (r < 0) {
		log_err("configuration not taken: error=%s", strerror(-r));
		return;
	}
	config_take(v, c);
	config_unmap(c);
	refresh_all(v);
	if (!v->process.ready) /* who was active arrives right behind */
		event_add(v->settle, &(struct timeval){.tv_usec = SETTLE_MS * 1000});
}

/* Nobody said that these were active before: what a killed predecessor left must not answer. */
static void on_settled(evutil_socket_t fd, short what, void *arg)
{
	struct vrrp *v = arg;

	(void)fd;
	(void)what;
	interfaces_forget(v->interfaces);
	interfaces_read(v->interfaces);
	for (uint32_t i = 0; i < v->n_instances; i++) {
		struct instance *in = v->instances[i];

		if (in->fd >= 0)
			continue;
		link_read(v->process.interfaces, &in->config, &in->link);
		instance_clear(in);
	}
	interfaces_sweep(v->interfaces);
}

/* ---- partners ---- */

static uint32_t on_instances(void *owner, const struct heart_key *key, struct heart_instance *ret)
{
	const struct vrrp *v = owner;

	return lease_records(key, v->instances, v->n_instances, ret);
}

static void on_partner(void *owner, uint64_t of, enum vrrp_event event,
		       const struct heart_record *about, uint32_t rank_ms)
{
	const struct vrrp *v = owner;

	for (uint32_t i = 0; i < v->n_instances; i++) {
		if (v->instances[i]->beat == of)
			instance_partner(v->instances[i], event, about, rank_ms);
	}
}

static void on_turn(void *owner)
{
	struct vrrp *v = owner;

	lease_turn(&v->process, v->instances, v->n_instances);
}

static void tell_partner(void *owner, const struct message_partner *m)
{
	const struct vrrp *v = owner;

	channel_send(v->process.parent, MESSAGE_PARTNER, m, -1);
}

static void tell_guard(const struct vrrp *v)
{
	const struct guard *g = v->process.guard;
	const struct message_guard m = {.arp = guard_count(g, GUARD_ARP),
					.nd = guard_count(g, GUARD_ND),
					.closed = guard_count(g, GUARD_CLOSED),
					.unsent = guard_count(g, GUARD_UNSENT)};

	channel_send(v->process.parent, MESSAGE_GUARD, &m, -1);
}

static const struct heart_ops heart_ops = {on_instances, on_partner, on_turn};

/* ---- messages ---- */

static void sync_take(struct vrrp *v, const struct message_sync *m)
{
	v->process.in_sync = m->in_sync;
	for (uint32_t i = 0; i < v->n_instances; i++)
		instance_sync(v->instances[i]);
}

static void resume(struct vrrp *v, const struct message_vrrp *m)
{
	struct instance *i = find(v, m->instance);

	if (!i || i->fd >= 0 || v->process.ready)
		return;
	i->transitions = m->transitions;
	i->machine.splits = m->splits;
	i->machine.split_us = m->split_ms * 1000;
	i->before = m->role;
	i->before_since_s = m->since_s;
	i->yields = m->yielding;
	if (m->role != VRRP_ACTIVE)
		return;
	i->resume = true;
	i->unmarked = !m->marks;
	interfaces_read(v->interfaces); /* once for all that resume */
	instance_refresh(i);
}

static void on_message(void *owner, enum message_type type, const void *payload, int fd)
{
	struct vrrp *v = owner;

	switch (type) {
	case MESSAGE_CONFIG:
		config_message(v, fd);
		break;
	case MESSAGE_HEART:
		heart_socket(v->process.heart, fd, payload);
		return; /* the fd is its now */
	case MESSAGE_VRRP:
		resume(v, payload);
		break;
	case MESSAGE_READY:
		v->process.ready = true;
		refresh_all(v);
		heart_speak(v->process.heart);
		break;
	case MESSAGE_TRACK:
		rights_hear(v->process.rights, payload);
		break;
	case MESSAGE_FAILOVER:
		choice_take(&v->process, v->instances, v->n_instances, payload);
		break;
	case MESSAGE_SYNC:
		sync_take(v, payload);
		break;
	case MESSAGE_PING:
		channel_send(v->process.parent, MESSAGE_PONG, payload, -1);
		break;
	case MESSAGE_STOP:
		stop(v);
		break;
	default:
		log_err("message refused: type=%s", message_name(type));
	}
	if (fd >= 0)
		close(fd);
}

static void on_second(evutil_socket_t fd, short what, void *arg)
{
	struct vrrp *v = arg;

	(void)fd;
	(void)what;
	if (v->stopping) {
		stop_check(v);
		event_add(v->second, &(struct timeval){.tv_usec = 2000});
		return;
	}
	refresh_all(v);
	for (uint32_t i = 0; i < v->n_instances; i++) {
		instance_flush(v->instances[i]);
		instance_tell(v->instances[i], false);
	}
	heart_look(v->process.heart);
	heart_show(v->process.heart, tell_partner);
	tell_guard(v);
	guard_look(v->process.guard);
	event_add(v->second, &(struct timeval){.tv_sec = 1});
}

static void on_late(evutil_socket_t fd, short what, void *arg)
{
	struct vrrp *v = arg;

	(void)fd;
	(void)what;
	say(v);
	for (uint32_t i = 0; i < v->n_instances; i++)
		instance_add_late(v->instances[i]);
}

static void on_after(evutil_socket_t fd, short what, void *arg)
{
	struct vrrp *v = arg;

	(void)fd;
	(void)what;
	for (uint32_t i = 0; i < v->n_instances; i++)
		instance_flush(v->instances[i]);
}

/* May it be that one of our interfaces is lost, or there? The rest can wait: most of it we did
 * ourselves, an address after the other.
 */
static bool is_about_a_link(const struct vrrp *v, const struct nlmsghdr *h)
{
	const struct ifinfomsg *m = NLMSG_DATA(h);

	if (h->nlmsg_type != RTM_NEWLINK && h->nlmsg_type != RTM_DELLINK)
		return false;
	for (uint32_t i = 0; i < v->n_instances; i++) {
		int ifindex = v->instances[i]->link.ifindex;

		if (ifindex == 0 || ifindex == m->ifi_index)
			return true;
	}
	return false;
}

static void on_netlink(evutil_socket_t fd, short what, void *arg)
{
	_Alignas(struct nlmsghdr) char bytes[16384];
	struct vrrp *v = arg;
	bool now = false;
	ssize_t n = 0;

	(void)what;
	for (int turn = 0; turn < 64 && (n = recv(fd, bytes, sizeof(bytes), MSG_DONTWAIT)) > 0;
	     turn++) {
		size_t left = (size_t)n;

		for (const struct nlmsghdr *h = (const struct nlmsghdr *)bytes; NLMSG_OK(h, left);
		     h = NLMSG_NEXT(h, left))
			now = now || is_about_a_link(v, h);
	}
	now = now || (n < 0 && errno == ENOBUFS);
	if (v->stopping)
		return;
	if (now) {
		refresh_all(v);
		rights_link_changed(v->process.rights);
	} else if (!event_pending(v->look, EV_TIMEOUT, NULL))
		event_add(v->look, &(struct timeval){.tv_usec = LOOK_MS * 1000});
}

static void on_look(evutil_socket_t fd, short what, void *arg)
{
	struct vrrp *v = arg;

	(void)fd;
	(void)what;
	if (v->stopping)
		return;
	refresh_all(v);
	rights_link_changed(v->process.rights);
}

/* ---- life ---- */

/* Adverts must leave in time whatever else runs. What cannot be had is said, not fatal. */
static void realtime(void)
{
	const struct rlimit unlimited = {RLIM_INFINITY, RLIM_INFINITY};
	struct sched_param param = {.sched_priority = REALTIME_PRIORITY};
	int future = MCL_FUTURE;

	if (sched_setscheduler(0, SCHED_FIFO | SCHED_RESET_ON_FORK, &param) < 0)
		log_notice(
			"no real-time priority: error=\"%s\"; adverts may be late on a busy node",
			strerror(errno));
	/* Under a limit, locking what comes would make every later allocation fail: only what is
	 * there. */
	if (setrlimit(RLIMIT_MEMLOCK, &unlimited) < 0)
		future = 0;
	if (mlockall(MCL_CURRENT | MCL_ONFAULT | future) < 0)
		log_notice("memory not locked: error=\"%s\"", strerror(errno));
	text_populate();
}

static struct nl_sock *netlink_new(bool events)
{
	struct nl_sock *s = nl_socket_alloc();
	const int bytes = 1 << 20; /* errors of all addresses of an instance; events of many */

	if (!s || nl_connect(s, NETLINK_ROUTE) < 0)
		goto failed;
	setsockopt(nl_socket_get_fd(s), SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof(bytes));
	if (events && (nl_socket_set_nonblocking(s) < 0 ||
		       nl_socket_add_memberships(s, RTNLGRP_LINK, RTNLGRP_IPV4_IFADDR,
						 RTNLGRP_IPV6_IFADDR, 0) < 0))
		goto failed;
	return s;
failed:
	nl_socket_free(s);
	return NULL;
}

static struct event_base *loop_new(void)
{
	struct event_config *config = event_config_new();
	struct event_base *loop;

	if (!config)
		return NULL;
	event_config_set_flag(config, EVENT_BASE_FLAG_PRECISE_TIMER);
	loop = event_base_new_with_config(config);
	event_config_free(config);
	if (loop && event_base_priority_init(loop, PRIORITY_COUNT) < 0) {
		event_base_free(loop);
		loop = NULL;
	}
	return loop;
}

static int vrrp_init(struct vrrp *v, int channel_fd)
{
	v->process.loop = loop_new();
	v->process.netlink = netlink_new(false);
	v->process.packet_socket = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
	v->events = netlink_new(true);
	if (!v->process.loop || !v->process.netlink || !v->events || v->process.packet_socket < 0)
		return -ENOMEM;
	v->process.parent = channel_new(v->process.loop, channel_fd, on_message, on_closed, v);
	v->netlink_event = event_new(v->process.loop, nl_socket_get_fd(v->events),
				     EV_READ | EV_PERSIST, on_netlink, v);
	v->second = event_new(v->process.loop, -1, 0, on_second, v);
	v->look = event_new(v->process.loop, -1, 0, on_look, v);
	v->settle = event_new(v->process.loop, -1, 0, on_settled, v);
	v->process.late = event_new(v->process.loop, -1, 0, on_late, v);
	v->process.after = event_new(v->process.loop, -1, 0, on_after, v);
	v->process.heart = heart_new(v->process.loop, v->process.guard, &heart_ops, v);
	v->process.rights = rights_new(&v->process, v->instances, &v->n_instances);
	v->interfaces = interfaces_new(&v->process);
	if (!v->interfaces || !v->process.rights || !v->process.parent || !v->netlink_event ||
	    !v->look || !v->second || !v->settle || !v->process.late || !v->process.after ||
	    !v->process.heart)
		return -ENOMEM;
	event_priority_set(v->process.after, PRIORITY_LAST);
	event_add(v->netlink_event, NULL);
	event_add(v->second, &(struct timeval){.tv_sec = 1});
	return 0;
}

static void vrrp_fini(struct vrrp *v)
{
	for (uint32_t i = 0; i < v->n_instances; i++)
		instance_free(v->instances[i]);
	interfaces_free(v->interfaces);
	heart_free(v->process.heart);
	guard_close(v->process.guard, v->stopping);
	channel_free(v->process.parent);
	if (v->netlink_event)
		event_free(v->netlink_event);
	if (v->look)
		event_free(v->look);
	if (v->second)
		event_free(v->second);
	if (v->settle)
		event_free(v->settle);
	if (v->process.late)
		event_free(v->process.late);
	if (v->process.after)
		event_free(v->process.after);
	rights_free(v->process.rights);
	nl_socket_free(v->events);
	nl_socket_free(v->process.netlink);
	if (v->process.packet_socket >= 0)
		close(v->process.packet_socket);
	if (v->process.loop)
		event_base_free(v->process.loop);
	libevent_global_shutdown();
}

static int vrrp_run(int channel_fd)
{
	static const int caps[] = {CAP_NET_ADMIN, CAP_NET_RAW, -1};
	struct vrrp v = {.process.packet_socket = -1};
	int r;

	log_never_wait();
	realtime();
	v.process.guard = guard_open(SLUICE_PIN_DIR);
	r = child_confine(NULL, caps);
	r = r < 0 ? r : vrrp_init(&v, channel_fd);
	if (r == 0)
		event_base_dispatch(v.process.loop);
	else
		log_err("not started: error=%s", strerror(-r));
	vrrp_fini(&v);
	return r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}

const struct child vrrp_child = {.role = "vrrp", .run = vrrp_run};
