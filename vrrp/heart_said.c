/* SPDX-License-Identifier: BSD-2-Clause */
/* heart_said.c: what the partners say of the instances, and ours beside it. See heart_own.h. */
#include <string.h>

#include "vrrp/heart_own.h"

enum { RANK_MS = 10 };

void said_look(struct hearts *h)
{
	h->n_ours = h->ops->instances(h->owner, &h->key, h->ours);
}

const struct heart_instance *said_find(const struct hearts *h, uint64_t of)
{
	for (uint32_t i = 0; i < h->n_ours; i++) {
		if (h->ours[i].record.instance == of)
			return &h->ours[i];
	}
	return NULL;
}

static uint32_t record_at(const struct partner *p, uint64_t of)
{
	uint32_t i = 0;

	while (i < p->n_records && p->records[i].instance != of)
		i++;
	return i;
}

static const struct heart_record *record_find(const struct partner *p, uint64_t of)
{
	uint32_t i = record_at(p, of);

	return i < p->n_records ? &p->records[i] : NULL;
}

bool said_active(const struct partner *p, uint64_t of)
{
	const struct heart_record *r = record_find(p, of);

	return r && r->role == VRRP_ACTIVE;
}

const char *heart_active(const struct hearts *h, uint64_t of)
{
	for (uint32_t i = 0; i < h->n_partners; i++) {
		if (h->partners[i].life == PARTNER_ALIVE && said_active(&h->partners[i], of))
			return h->partners[i].name;
	}
	return NULL;
}

bool heart_other_active(const struct hearts *h, uint64_t of)
{
	return heart_active(h, of) != NULL;
}

const struct heart_link *said_link(const struct hearts *h, const struct partner *p,
				   const char *interface)
{
	for (uint32_t i = 0; i < h->n_links; i++) {
		if (strcmp(h->interfaces[i], interface) == 0 && p->heart.links[i].heard &&
		    !p->heart.links[i].blind)
			return &p->heart.links[i];
	}
	return NULL;
}

static uint64_t heard_ns(const struct heart_partner *p)
{
	uint64_t last_ns = 0;

	for (uint32_t i = 0; i < p->n_links; i++)
		last_ns = p->links[i].heard_ns > last_ns ? p->links[i].heard_ns : last_ns;
	return last_ns;
}

/* The partner lives while any link is fresh. Where the interface's own is not, that is a partition,
 * in which the RFC's rules hold: the adverts that are missing there prove nothing sooner.
 */
static uint64_t partner_lives_until_ns(const struct hearts *h, const struct partner *p,
				       const char *interface, uint64_t overdue_ns, uint64_t now_ns)
{
	struct heart_pace pace = h->pace;
	const struct heart_link *own = said_link(h, p, interface);
	uint64_t until_ns = 0, own_ns = UINT64_MAX;

	pace.second = overdue_ns && heard_ns(&p->heart) <= overdue_ns;
	if (heart_judge(&p->heart, &pace, now_ns) != PARTNER_ALIVE)
		return 0;
	for (uint32_t i = 0; i < p->heart.n_links; i++) {
		uint64_t link_ns = heart_link_fresh_until_ns(&p->heart.links[i], &pace, now_ns);

		until_ns = link_ns > until_ns ? link_ns : until_ns;
	}
	if (own)
		own_ns = heart_link_fresh_until_ns(own, &h->pace, now_ns);
	until_ns = own_ns < until_ns ? own_ns : until_ns;
	return until_ns > now_ns ? until_ns : 0;
}

uint64_t said_lives_until_ns(const struct hearts *h, uint64_t of, const char *interface,
			     uint64_t overdue_ns, uint64_t now_ns)
{
	uint64_t until_ns = 0;

	for (uint32_t i = 0; i < h->n_partners; i++) {
		const struct partner *p = &h->partners[i];
		uint64_t of_this_ns = 0;

		if (said_active(p, of))
			of_this_ns = partner_lives_until_ns(h, p, interface, overdue_ns, now_ns);
		until_ns = of_this_ns > until_ns ? of_this_ns : until_ns;
	}
	return until_ns;
}

uint64_t heart_lives_until_us(const struct hearts *h, uint64_t of, const char *interface,
			      uint64_t overdue_us)
{
	uint64_t until_ns =
		said_lives_until_ns(h, of, interface, overdue_us * 1000, heart_now_ns());

	return (until_ns + 999) / 1000;
}

/* rank_ms: the better candidates for the place of @but's, each with its time. */
static uint32_t rank_ms(const struct hearts *h, const struct partner *but,
			const struct heart_record *ours)
{
	uint32_t better = 0;

	for (uint32_t i = 0; i < h->n_partners; i++) {
		const struct partner *p = &h->partners[i];
		const struct heart_record *r = record_find(p, ours->instance);

		if (p != but && p->life == PARTNER_ALIVE && r && r->role == VRRP_BACKUP)
			better += r->priority > ours->priority ||
				  (r->priority == ours->priority &&
				   memcmp(r->source, ours->source, sizeof(r->source)) > 0);
	}
	return better * RANK_MS;
}

void said_event(struct hearts *h, const struct partner *p, enum vrrp_event event,
		const struct heart_record *about)
{
	const struct heart_instance *ours = said_find(h, about->instance);

	if (ours)
		h->ops->event(h->owner, about->instance, event, about,
			      rank_ms(h, p, &ours->record));
}

/* ---- the operator's choice: choice.h ---- */

uint32_t heart_choice(const struct hearts *h, const char *node, bool *ret_own)
{
	uint64_t name = heart_name(&h->key, node);

	*ret_own = name == h->node;
	for (uint32_t i = 0; i < h->n_partners; i++) {
		if (h->partners[i].node == name && h->partners[i].life == PARTNER_ALIVE)
			return heart_chosen(name);
	}
	return *ret_own && h->n_partners > 0 ? heart_chosen(name) : 0;
}

/* Is it of the choice of another node than this one? */
static bool is_of_another(const struct hearts *h, const struct heart_record *r)
{
	return r->chosen && r->chosen != heart_chosen(h->node);
}

/* True: it asks to be active, and that is to be. */
static bool asks(const struct partner *p, const struct heart_record *ours,
		 const struct heart_record *r)
{
	return r->role == VRRP_BACKUP && r->chosen == heart_chosen(p->node) &&
	       ours->role == VRRP_ACTIVE && (!ours->chosen || ours->chosen == r->chosen);
}

/* What a partner that is active says of the choice. */
static enum vrrp_event chosen_event(const struct hearts *h, const struct partner *p,
				    const struct heart_record *ours, const struct heart_record *r)
{
	if (!is_of_another(h, r))
		return VRRP_CHOSEN;
	return ours->role == VRRP_ACTIVE && ours->chosen == r->chosen &&
			       r->chosen == heart_chosen(p->node)
		       ? VRRP_SUCCEEDED
		       : VRRP_PASSED_OVER;
}

bool said_record(struct hearts *h, struct partner *p, const struct heart_record *r)
{
	const struct heart_instance *ours = said_find(h, r->instance);
	bool was_active = said_active(p, r->instance), asked;
	uint32_t at = record_at(p, r->instance);

	if (at == CONFIG_INSTANCES || (at == p->n_records && !ours))
		return false;
	p->n_records += at == p->n_records;
	p->records[at] = *r;
	asked = ours && r->chosen && asks(p, &ours->record, r);
	if (r->role == VRRP_ACTIVE)
		said_event(h, p, VRRP_PARTNER_ACTIVE, r);
	else if (was_active && !heart_other_active(h, r->instance) && !is_of_another(h, r))
		said_event(h, p, VRRP_PARTNER_LEAVES, r);
	if (asked)
		said_event(h, p, VRRP_CHOICE, r);
	else if (ours && r->chosen && r->role == VRRP_ACTIVE)
		said_event(h, p, chosen_event(h, p, &ours->record, r), r);
	return asked;
}

bool said_fast(const struct hearts *h, const struct partner *p)
{
	for (uint32_t i = 0; i < h->n_ours; i++) {
		if (h->ours[i].record.role == VRRP_BACKUP &&
		    said_active(p, h->ours[i].record.instance))
			return true;
	}
	return false;
}
