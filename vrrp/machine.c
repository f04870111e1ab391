/* SPDX-License-Identifier: BSD-2-Clause */
/* machine.c: see machine.h. */
#include "vrrp/machine.h"

#include <string.h>

enum {
	LINGER_MOST_MS = 2000,
	ANSWER_LEAST_MS = 10,	  /* between two adverts that answer a worse active node's */
	SPLIT_ANNOUNCE_MS = 1000, /* while a split goes on */
	HANDOVER_LEAST_MS = 100,  /* adverts on the way while a node becomes active are no split */
	OWNER = 255,
};

/* RFC 9568 6.1, RFC 3768 6.1: Skew_Time and the down interval, in milliseconds, rounded up. */
static uint64_t skew_ms(const struct vrrp_machine *m)
{
	if (m->version == 2)
		return ((256ULL - m->priority) * 1000 + 255) / 256;
	return ((256ULL - m->priority) * m->active_advert_cs * 10 + 255) / 256;
}

static uint64_t down_ms(const struct vrrp_machine *m)
{
	return 3ULL * m->active_advert_cs * 10 + skew_ms(m);
}

/* ---- splits ---- */

static void split_end(struct vrrp_machine *m)
{
	m->split_ms = vrrp_split_ms(m);
	m->split_from_ms = m->split_heard_ms = 0;
}

bool vrrp_is_split(const struct vrrp_machine *m, uint64_t now_ms)
{
	return m->split_from_ms && now_ms - m->split_heard_ms < m->split_most_ms;
}

uint64_t vrrp_split_ms(const struct vrrp_machine *m)
{
	return m->split_ms + (m->split_from_ms ? m->split_heard_ms - m->split_from_ms + 1 : 0);
}

/* Another active node, that is to step back, was heard: it has told the switches otherwise. */
static void split_heard(struct vrrp_machine *m, const struct vrrp_advert *advert, uint64_t now_ms,
			struct vrrp_actions *a)
{
	uint64_t handover_ms = 10ULL * m->advert_cs;

	if (!vrrp_is_split(m, now_ms))
		split_end(m);
	handover_ms = handover_ms > HANDOVER_LEAST_MS ? handover_ms : HANDOVER_LEAST_MS;
	if (!m->split_from_ms && now_ms - m->active_ms >= handover_ms) {
		m->split_from_ms = now_ms;
		m->splits++;
		m->announces = 1;
		m->announce_ms = now_ms + m->garp.delay_ms;
		a->announce = a->split = true;
	} else if (m->announce_ms == 0 || m->announce_ms > now_ms + SPLIT_ANNOUNCE_MS) {
		m->announces = 1;
		m->announce_ms = now_ms + SPLIT_ANNOUNCE_MS;
	}
	if (m->split_from_ms) {
		m->split_heard_ms = now_ms;
		m->split_most_ms = 40ULL * advert->advert_cs + 1000;
	}
}

/* ---- changes of role ---- */

static void advertise(struct vrrp_machine *m, uint64_t now_ms, uint8_t priority,
		      struct vrrp_actions *a)
{
	a->send = true;
	a->send_priority = priority;
	m->sent_ms = now_ms;
	m->timer_ms = now_ms + 10ULL * m->advert_cs;
}

/* When is the next announcement due, after one now? */
static void announced(struct vrrp_machine *m, uint64_t now_ms)
{
	uint64_t pause_ms = m->garp.refresh_ms;

	if (m->announces < m->garp.count)
		m->announces++;
	if (m->announces < m->garp.count)
		pause_ms = (uint64_t)m->garp.delay_ms * m->announces;
	m->announce_ms = pause_ms ? now_ms + pause_ms : 0;
}

static void become_active(struct vrrp_machine *m, uint64_t now_ms, struct vrrp_actions *a,
			  const char *reason)
{
	m->role = VRRP_ACTIVE;
	m->heir = NULL;
	m->lingering = m->yielding = false;
	m->better_since_ms = 0;
	m->resigned = false;
	m->active_ms = now_ms;
	m->announces = 0;
	announced(m, now_ms);
	a->add_addresses = true;
	advertise(m, now_ms, m->priority, a);
	a->announce = true;
	a->reason = reason;
}

static void become_backup(struct vrrp_machine *m, uint64_t now_ms, uint16_t advert_cs,
			  struct vrrp_actions *a, const char *reason)
{
	if (m->role == VRRP_ACTIVE)
		a->remove_addresses = true;
	split_end(m);
	m->role = VRRP_BACKUP;
	m->heir = NULL;
	m->active_advert_cs = advert_cs;
	m->timer_ms = now_ms + down_ms(m);
	m->announce_ms = 0;
	m->better_since_ms = 0;
	a->reason = reason;
}

static void become_init(struct vrrp_machine *m, struct vrrp_actions *a, const char *reason)
{
	if (m->role == VRRP_ACTIVE || m->lingering)
		a->remove_addresses = true;
	split_end(m);
	m->role = VRRP_INIT;
	m->heir = NULL;
	m->lingering = m->yielding = false;
	m->timer_ms = m->announce_ms = 0;
	a->reason = reason;
}

/* Send priority 0, and keep the addresses until the partner is heard. */
static void resign(struct vrrp_machine *m, enum vrrp_role role, uint64_t now_ms,
		   struct vrrp_actions *a, const char *reason)
{
	uint64_t linger_ms = 10ULL * m->advert_cs + 100;

	m->active_advert_cs = m->advert_cs;
	advertise(m, now_ms, 0, a);
	split_end(m);
	m->role = role;
	m->lingering = true;
	m->announce_ms = 0;
	if (role == VRRP_BACKUP)
		m->timer_ms = now_ms + down_ms(m);
	else
		m->timer_ms = now_ms + (linger_ms < LINGER_MOST_MS ? linger_ms : LINGER_MOST_MS);
	a->reason = reason;
}

static void linger_end(struct vrrp_machine *m, struct vrrp_actions *a)
{
	if (m->lingering)
		a->remove_addresses = true;
	m->lingering = false;
	if (m->role == VRRP_INIT)
		m->timer_ms = 0;
}

/* May we let a worse active node's adverts pass, so that our timer runs out and we preempt it? */
static bool may_preempt(struct vrrp_machine *m, uint64_t now_ms)
{
	if (m->yielding || m->behind || (!m->preempt && m->priority != OWNER))
		return false;
	if (m->better_since_ms == 0)
		m->better_since_ms = now_ms;
	return m->priority == OWNER || now_ms - m->better_since_ms >= m->preempt_delay_ms;
}

static void advert_as_backup(struct vrrp_machine *m, const struct vrrp_advert *advert,
			     uint64_t now_ms, struct vrrp_actions *a)
{
	m->resigned = advert->priority == 0;
	if (m->resigned) {
		m->timer_ms = now_ms + skew_ms(m);
		return;
	}
	linger_end(m, a);
	m->heir = NULL;
	if (m->yielding && advert->priority < m->yielded_to)
		m->yielding = false; /* it has become worse since it took over */
	m->yielded_to = m->yielding ? advert->priority : 0;
	if (advert->priority < m->priority && may_preempt(m, now_ms))
		return;
	if (advert->priority >= m->priority)
		m->better_since_ms = 0;
	m->active_advert_cs = advert->advert_cs;
	m->timer_ms = now_ms + down_ms(m);
}

static void advert_as_active(struct vrrp_machine *m, const struct vrrp_advert *advert,
			     uint64_t now_ms, struct vrrp_actions *a)
{
	bool better = advert->priority > m->priority ||
		      (advert->priority == m->priority &&
		       memcmp(&advert->src, &m->primary, sizeof(advert->src)) > 0);

	if (advert->priority != 0 && better && m->priority != OWNER) {
		become_backup(m, now_ms, advert->advert_cs, a, "a better node is active");
		return;
	}
	/* Answer at once, so that the other steps back; not more often than it makes sense. */
	if (now_ms - m->sent_ms >= ANSWER_LEAST_MS)
		advertise(m, now_ms, m->priority, a);
	if (advert->priority != 0)
		split_heard(m, advert, now_ms, a);
}

/* take_over: where the active node is dead, nobody answers for the addresses until we do. */
static void take_over(struct vrrp_machine *m, uint64_t now_ms, struct vrrp_actions *a,
		      const char *reason)
{
	a->urgent = !m->resigned && !m->better_since_ms;
	become_active(m, now_ms, a, reason);
}

static void backup_timer(struct vrrp_machine *m, uint64_t now_ms, struct vrrp_actions *a)
{
	if (m->heir) {
		take_over(m, now_ms, a, m->heir);
	} else if (m->better_since_ms) {
		take_over(m, now_ms, a, "preempts a worse node");
	} else if (m->witness == WITNESS_ALIVE) {
		m->withheld++;
		m->timer_ms = now_ms + down_ms(m);
	} else {
		take_over(m, now_ms, a, "the active node is not heard");
	}
}

/* The active node goes: its place is ours, after the better candidates' time.
 * @leaves: it says so, and answers until then
 */
static void inherit(struct vrrp_machine *m, uint64_t now_ms, bool leaves, struct vrrp_actions *a,
		    const char *reason)
{
	if (m->role != VRRP_BACKUP)
		return;
	m->resigned = leaves;
	m->heir = reason;
	m->timer_ms = now_ms + m->rank_ms;
	if (m->rank_ms == 0)
		take_over(m, now_ms, a, reason);
}

static void timer(struct vrrp_machine *m, uint64_t now_ms, struct vrrp_actions *a)
{
	if (m->announce_ms && now_ms >= m->announce_ms) {
		a->announce = true;
		announced(m, now_ms);
	}
	if (!m->timer_ms || now_ms < m->timer_ms)
		return;
	switch (m->role) {
	case VRRP_BACKUP:
		backup_timer(m, now_ms, a);
		break;
	case VRRP_ACTIVE:
		advertise(m, now_ms, m->priority, a);
		break;
	case VRRP_INIT:
		linger_end(m, a);
	}
}

static void startup(struct vrrp_machine *m, enum vrrp_event event, uint64_t now_ms,
		    struct vrrp_actions *a)
{
	if (m->role != VRRP_INIT)
		return;
	m->lingering = false;
	m->active_advert_cs = m->advert_cs;
	if (event == VRRP_RESUME)
		become_active(m, now_ms, a, "goes on after a restart of the process");
	else if (m->priority == OWNER)
		become_active(m, now_ms, a, "owns the addresses");
	else
		become_backup(m, now_ms, m->advert_cs, a, "started");
}

void vrrp_step(struct vrrp_machine *m, enum vrrp_event event, const struct vrrp_advert *advert,
	       uint64_t now_ms, struct vrrp_actions *ret_actions)
{
	struct vrrp_actions a = {0};

	switch (event) {
	case VRRP_STARTUP:
	case VRRP_RESUME:
		startup(m, event, now_ms, &a);
		break;
	case VRRP_SHUTDOWN:
		if (m->role == VRRP_ACTIVE)
			resign(m, VRRP_INIT, now_ms, &a, "resigns");
		else if (m->role == VRRP_BACKUP)
			become_init(m, &a, "stops");
		break;
	case VRRP_FAILOVER:
		m->yielding = m->role != VRRP_INIT;
		if (m->role == VRRP_ACTIVE)
			resign(m, VRRP_BACKUP, now_ms, &a, "hands over, told by the operator");
		break;
	case VRRP_LINK_LOST:
		if (m->role != VRRP_INIT || m->lingering)
			become_init(m, &a, "the interface is not usable");
		break;
	case VRRP_GROUP_ACTIVE:
		a.urgent = m->role == VRRP_BACKUP && m->group_urgent;
		if (m->role == VRRP_BACKUP)
			become_active(m, now_ms, &a, "its group became active");
		break;
	case VRRP_GROUP_BACKUP:
		if (m->role == VRRP_ACTIVE)
			resign(m, VRRP_BACKUP, now_ms, &a, "its group stepped back");
		break;
	case VRRP_TIMER:
		timer(m, now_ms, &a);
		break;
	case VRRP_ADVERT:
		if (m->role == VRRP_ACTIVE)
			advert_as_active(m, advert, now_ms, &a);
		else if (m->role == VRRP_BACKUP)
			advert_as_backup(m, advert, now_ms, &a);
		else if (advert->priority > 0)
			linger_end(m, &a);
		break;
	case VRRP_PARTNER_DEAD:
		inherit(m, now_ms, false, &a, "the partner is dead");
		break;
	case VRRP_PARTNER_LEAVES:
		inherit(m, now_ms, true, &a, "the partner steps back");
		break;
	case VRRP_PARTNER_ACTIVE:
		m->heir = NULL;
		linger_end(m, &a);
		break;
	case VRRP_STUCK:
		if (m->role == VRRP_ACTIVE)
			become_backup(m, now_ms, m->advert_cs, &a,
				      "was stuck, and the partner took over");
		else
			linger_end(m, &a); /* its group has, before it */
	}
	*ret_actions = a;
}

uint64_t vrrp_due_ms(const struct vrrp_machine *m)
{
	if (m->timer_ms && m->announce_ms)
		return m->timer_ms < m->announce_ms ? m->timer_ms : m->announce_ms;
	return m->timer_ms ? m->timer_ms : m->announce_ms;
}
