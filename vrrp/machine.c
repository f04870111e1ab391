/* SPDX-License-Identifier: BSD-2-Clause */
/* machine.c: see machine.h. */
#include "vrrp/machine.h"

#include <string.h>

enum {
	US_PER_MS = 1000,
	US_PER_CS = 10000,
	LINGER_LEAST_US = 100000, /* beside an interval */
	LINGER_MOST_US = 2000000,
	ANSWER_LEAST_US = 10000,     /* between two adverts that answer a worse active node's */
	SPLIT_ANNOUNCE_US = 1000000, /* while a split goes on */
	HANDOVER_LEAST_US =
		100000, /* adverts on the way while a node becomes active are no split */
	OWNER = 255,
	CHOICE_US = 1000000, /* for the partners' words to come, of which some may be lost */
};

static uint64_t interval_us(uint16_t advert_cs)
{
	return (uint64_t)advert_cs * US_PER_CS;
}

/* RFC 9568 6.1, RFC 3768 6.1: Skew_Time and the down interval. */
static uint64_t skew_us(const struct vrrp_machine *m)
{
	if (m->version == 2)
		return ((256ULL - m->priority) * 1000000 + 255) / 256;
	return ((256ULL - m->priority) * interval_us(m->active_advert_cs) + 255) / 256;
}

static uint64_t down_us(const struct vrrp_machine *m)
{
	return 3 * interval_us(m->active_advert_cs) + skew_us(m);
}

/* ---- splits ---- */

static void split_end(struct vrrp_machine *m)
{
	m->split_us = vrrp_split_us(m);
	m->split_from_us = m->split_heard_us = 0;
}

bool vrrp_is_split(const struct vrrp_machine *m, uint64_t now_us)
{
	return m->split_from_us && now_us - m->split_heard_us < m->split_most_us;
}

uint64_t vrrp_split_us(const struct vrrp_machine *m)
{
	return m->split_us +
	       (m->split_from_us ? m->split_heard_us - m->split_from_us + US_PER_MS : 0);
}

/* Another active node, that is to step back, was heard: it has told the switches otherwise. */
static void split_heard(struct vrrp_machine *m, const struct vrrp_advert *advert, uint64_t now_us,
			struct vrrp_actions *a)
{
	uint64_t handover_us = interval_us(m->advert_cs);

	if (!vrrp_is_split(m, now_us))
		split_end(m);
	handover_us = handover_us > HANDOVER_LEAST_US ? handover_us : HANDOVER_LEAST_US;
	if (!m->split_from_us && now_us - m->active_us >= handover_us) {
		m->split_from_us = now_us;
		m->splits++;
		m->announces = 1;
		m->announce_us = now_us + (uint64_t)m->garp.delay_ms * US_PER_MS;
		a->announce = a->split = true;
	} else if (m->announce_us == 0 || m->announce_us > now_us + SPLIT_ANNOUNCE_US) {
		m->announces = 1;
		m->announce_us = now_us + SPLIT_ANNOUNCE_US;
	}
	if (m->split_from_us) {
		m->split_heard_us = now_us;
		m->split_most_us = 4 * interval_us(advert->advert_cs) + 1000000;
	}
}

/* ---- changes of role ---- */

static void advertise(struct vrrp_machine *m, uint64_t now_us, uint8_t priority,
		      struct vrrp_actions *a)
{
	a->send = true;
	a->send_priority = priority;
	m->sent_us = now_us;
	m->timer_us = now_us + interval_us(m->advert_cs);
}

/* The timer's own: by when it was due, not by when it came. */
static void advertise_on_time(struct vrrp_machine *m, uint64_t now_us, struct vrrp_actions *a)
{
	uint64_t due_us = m->timer_us;

	advertise(m, now_us, m->priority, a);
	if (now_us - due_us < interval_us(m->advert_cs))
		m->timer_us = due_us + interval_us(m->advert_cs);
}

/* From now on the active node's silence counts. */
static void down_timer_start(struct vrrp_machine *m, uint64_t now_us)
{
	m->timer_us = now_us + down_us(m);
	m->overdue_us = 0;
}

/* When is the next announcement due, after one now? */
static void announced(struct vrrp_machine *m, uint64_t now_us)
{
	uint64_t pause_us = (uint64_t)m->garp.refresh_ms * US_PER_MS;

	if (m->announces < m->garp.count)
		m->announces++;
	if (m->announces < m->garp.count)
		pause_us = (uint64_t)m->garp.delay_ms * m->announces * US_PER_MS;
	m->announce_us = pause_us ? now_us + pause_us : 0;
}

static void become_active(struct vrrp_machine *m, uint64_t now_us, struct vrrp_actions *a,
			  const char *reason)
{
	m->role = VRRP_ACTIVE;
	m->heir = NULL;
	m->lingering = m->yielding = false;
	m->better_since_us = 0;
	m->resigned = m->gone = false;
	m->active_us = now_us;
	m->chosen_until_us = 0;
	m->announces = 0;
	announced(m, now_us);
	a->add_addresses = true;
	advertise(m, now_us, m->priority, a);
	a->announce = true;
	a->reason = reason;
}

static void become_backup(struct vrrp_machine *m, uint64_t now_us, uint16_t advert_cs,
			  struct vrrp_actions *a, const char *reason)
{
	if (m->role == VRRP_ACTIVE)
		a->remove_addresses = true;
	split_end(m);
	m->role = VRRP_BACKUP;
	m->heir = NULL;
	m->active_advert_cs = advert_cs;
	down_timer_start(m, now_us);
	m->announce_us = 0;
	m->better_since_us = 0;
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
	m->timer_us = m->announce_us = m->chosen_until_us = 0;
	a->reason = reason;
}

/* Send priority 0, and keep the addresses until the partner is heard. */
static void resign(struct vrrp_machine *m, enum vrrp_role role, uint64_t now_us,
		   struct vrrp_actions *a, const char *reason)
{
	uint64_t linger_us = interval_us(m->advert_cs) + LINGER_LEAST_US;

	m->active_advert_cs = m->advert_cs;
	advertise(m, now_us, 0, a);
	split_end(m);
	m->role = role;
	m->lingering = true;
	m->announce_us = m->chosen_until_us = 0;
	if (role == VRRP_BACKUP)
		down_timer_start(m, now_us);
	else
		m->timer_us = now_us + (linger_us < LINGER_MOST_US ? linger_us : LINGER_MOST_US);
	a->reason = reason;
}

static void linger_end(struct vrrp_machine *m, struct vrrp_actions *a)
{
	if (m->lingering)
		a->remove_addresses = true;
	m->lingering = false;
	if (m->role == VRRP_INIT)
		m->timer_us = 0;
}

/* May we let a worse active node's adverts pass, so that our timer runs out and we preempt it? */
static bool may_preempt(struct vrrp_machine *m, uint64_t now_us)
{
	if (m->yielding || m->behind || (!m->preempt && m->priority != OWNER))
		return false;
	if (m->better_since_us == 0)
		m->better_since_us = now_us;
	return m->priority == OWNER ||
	       now_us - m->better_since_us >= (uint64_t)m->preempt_delay_ms * US_PER_MS;
}

static void advert_as_backup(struct vrrp_machine *m, const struct vrrp_advert *advert,
			     uint64_t now_us, struct vrrp_actions *a)
{
	m->resigned = advert->priority == 0;
	m->gone = false;
	if (m->resigned) {
		m->timer_us = now_us + skew_us(m);
		m->overdue_us = 0;
		return;
	}
	linger_end(m, a);
	m->heir = NULL;
	if (m->yielding && advert->priority < m->yielded_to && !vrrp_chooses(m, now_us))
		m->yielding = false; /* it has become worse since it took over */
	m->yielded_to = m->yielding ? advert->priority : 0;
	if (advert->priority < m->priority && may_preempt(m, now_us))
		return;
	if (advert->priority >= m->priority)
		m->better_since_us = 0;
	m->active_advert_cs = advert->advert_cs;
	down_timer_start(m, now_us);
}

static void advert_as_active(struct vrrp_machine *m, const struct vrrp_advert *advert,
			     uint64_t now_us, struct vrrp_actions *a)
{
	bool better = advert->priority > m->priority ||
		      (advert->priority == m->priority &&
		       memcmp(&advert->src, &m->primary, sizeof(advert->src)) > 0);

	if (vrrp_chooses(m, now_us))
		return; /* of who steps back for us, or of whom we step back for */
	if (advert->priority != 0 && better && m->priority != OWNER) {
		become_backup(m, now_us, advert->advert_cs, a, "a better node is active");
		return;
	}
	/* Answer at once, so that the other steps back; not more often than it makes sense. */
	if (now_us - m->sent_us >= ANSWER_LEAST_US)
		advertise(m, now_us, m->priority, a);
	if (advert->priority != 0)
		split_heard(m, advert, now_us, a);
}

/* take_over: where the active node is dead, nobody answers for the addresses until we do. */
static void take_over(struct vrrp_machine *m, uint64_t now_us, struct vrrp_actions *a,
		      const char *reason)
{
	a->urgent = !m->resigned && !m->gone && !m->better_since_us;
	become_active(m, now_us, a, reason);
}

/* withhold: the timer is due again when what is known of the active node holds no longer, or, lest
 * nobody says so, after another down interval.
 */
static void withhold(struct vrrp_machine *m, uint64_t now_us)
{
	uint64_t again_us = now_us + down_us(m);

	if (!m->overdue_us) {
		m->overdue_us = m->timer_us;
		m->withheld++;
	}
	m->timer_us = m->lives_until_us < again_us ? m->lives_until_us : again_us;
}

static void backup_timer(struct vrrp_machine *m, uint64_t now_us, struct vrrp_actions *a)
{
	if (m->heir) {
		take_over(m, now_us, a, m->heir);
	} else if (m->better_since_us) {
		take_over(m, now_us, a, "preempts a worse node");
	} else if (m->lives_until_us > now_us) {
		withhold(m, now_us);
	} else {
		take_over(m, now_us, a, "the active node is not heard");
	}
}

/* The active node goes: its place is ours, after the better candidates' time. */
static void inherit(struct vrrp_machine *m, enum vrrp_event how, uint64_t now_us,
		    struct vrrp_actions *a, const char *reason)
{
	if (m->role != VRRP_BACKUP)
		return;
	m->resigned = how == VRRP_PARTNER_LEAVES;
	m->gone = how == VRRP_PARTNER_GONE;
	m->heir = reason;
	m->timer_us = now_us + (uint64_t)m->rank_ms * US_PER_MS;
	if (m->rank_ms == 0)
		take_over(m, now_us, a, reason);
}

/* ---- the operator's choice ---- */

bool vrrp_chooses(const struct vrrp_machine *m, uint64_t now_us)
{
	return now_us < m->chosen_until_us;
}

static void choice(struct vrrp_machine *m, enum vrrp_event event, uint64_t now_us,
		   struct vrrp_actions *a)
{
	if (m->role == VRRP_INIT || (event == VRRP_PASSED_OVER && m->role == VRRP_ACTIVE))
		return;
	if (event == VRRP_SUCCEEDED) {
		if (m->role == VRRP_BACKUP || !vrrp_chooses(m, now_us))
			return;
		become_backup(m, now_us, m->advert_cs, a, "handed over to the operator's choice");
	}
	if (event == VRRP_CHOSEN && m->role == VRRP_BACKUP)
		become_active(m, now_us, a, "chosen by the operator");
	if (event == VRRP_SUCCEEDED || event == VRRP_PASSED_OVER)
		m->yielding = true;
	m->yielded_to = 0;
	m->chosen_until_us = now_us + CHOICE_US;
}

static void timer(struct vrrp_machine *m, uint64_t now_us, struct vrrp_actions *a)
{
	if (m->announce_us && now_us >= m->announce_us) {
		a->announce = true;
		announced(m, now_us);
	}
	if (!m->timer_us || now_us < m->timer_us)
		return;
	switch (m->role) {
	case VRRP_BACKUP:
		backup_timer(m, now_us, a);
		break;
	case VRRP_ACTIVE:
		advertise_on_time(m, now_us, a);
		break;
	case VRRP_INIT:
		linger_end(m, a);
	}
}

static void startup(struct vrrp_machine *m, enum vrrp_event event, uint64_t now_us,
		    struct vrrp_actions *a)
{
	if (m->role != VRRP_INIT)
		return;
	m->lingering = false;
	m->active_advert_cs = m->advert_cs;
	if (event == VRRP_RESUME)
		become_active(m, now_us, a, "goes on after a restart of the process");
	else if (m->priority == OWNER)
		become_active(m, now_us, a, "owns the addresses");
	else
		become_backup(m, now_us, m->advert_cs, a, "started");
}

void vrrp_step(struct vrrp_machine *m, enum vrrp_event event, const struct vrrp_advert *advert,
	       uint64_t now_us, struct vrrp_actions *ret_actions)
{
	struct vrrp_actions a = {0};

	switch (event) {
	case VRRP_STARTUP:
	case VRRP_RESUME:
		startup(m, event, now_us, &a);
		break;
	case VRRP_SHUTDOWN:
		if (m->role == VRRP_ACTIVE)
			resign(m, VRRP_INIT, now_us, &a, "resigns");
		else if (m->role == VRRP_BACKUP)
			become_init(m, &a, "stops");
		break;
	case VRRP_FAILOVER:
		m->yielding = m->role != VRRP_INIT;
		if (m->role == VRRP_ACTIVE)
			resign(m, VRRP_BACKUP, now_us, &a, "hands over, told by the operator");
		break;
	case VRRP_LINK_LOST:
		if (m->role != VRRP_INIT || m->lingering)
			become_init(m, &a, "the interface is not usable");
		break;
	case VRRP_GROUP_ACTIVE:
		a.urgent = m->role == VRRP_BACKUP && m->group_urgent;
		if (m->role == VRRP_BACKUP)
			become_active(m, now_us, &a, "its group became active");
		break;
	case VRRP_GROUP_BACKUP:
		if (m->role == VRRP_ACTIVE && vrrp_chooses(m, now_us))
			choice(m, VRRP_SUCCEEDED, now_us, &a); /* the group goes there, too */
		else if (m->role == VRRP_ACTIVE)
			resign(m, VRRP_BACKUP, now_us, &a, "its group stepped back");
		break;
	case VRRP_TIMER:
		timer(m, now_us, &a);
		break;
	case VRRP_ADVERT:
		if (m->role == VRRP_ACTIVE)
			advert_as_active(m, advert, now_us, &a);
		else if (m->role == VRRP_BACKUP)
			advert_as_backup(m, advert, now_us, &a);
		else if (advert->priority > 0)
			linger_end(m, &a);
		break;
	case VRRP_PARTNER_DEAD:
		inherit(m, event, now_us, &a, "the partner is dead");
		break;
	case VRRP_PARTNER_GONE:
		inherit(m, event, now_us, &a, "the partner's processes are dead");
		break;
	case VRRP_PARTNER_LEAVES:
		inherit(m, event, now_us, &a, "the partner steps back");
		break;
	case VRRP_PARTNER_ACTIVE:
		m->heir = NULL;
		linger_end(m, &a);
		break;
	case VRRP_STUCK:
		if (m->role == VRRP_ACTIVE)
			become_backup(m, now_us, m->advert_cs, &a,
				      "was stuck, and the partner took over");
		else
			linger_end(m, &a); /* its group has, before it */
		break;
	case VRRP_CHOICE:
	case VRRP_CHOSEN:
	case VRRP_SUCCEEDED:
	case VRRP_PASSED_OVER:
		choice(m, event, now_us, &a);
	}
	*ret_actions = a;
}

uint64_t vrrp_overdue_us(const struct vrrp_machine *m, uint64_t now_us)
{
	if (m->role != VRRP_BACKUP || m->resigned)
		return 0;
	if (m->overdue_us)
		return m->overdue_us;
	return m->timer_us && now_us >= m->timer_us ? m->timer_us : 0;
}

uint64_t vrrp_due_us(const struct vrrp_machine *m)
{
	if (m->timer_us && m->announce_us)
		return m->timer_us < m->announce_us ? m->timer_us : m->announce_us;
	return m->timer_us ? m->timer_us : m->announce_us;
}
