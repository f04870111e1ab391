/* SPDX-License-Identifier: BSD-2-Clause */
/* flow_import.c: see flow_import.h. */
#include "lb/flow_import.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <string.h>

#include "lb/translations.h"

static bool is_live(const struct flow *f)
{
	return !(f->flags & FLOW_CLOSING);
}

static int flow_add(const struct plane *plane, struct flow_sweep *sweep, const struct flow_key *key,
		    const struct flow *f)
{
	int r = bpf_map_update_elem(plane->maps[MAP_FLOWS], key, f, BPF_NOEXIST);

	if (r < 0)
		return r == -EEXIST ? 1 : r;
	flow_sweep_imported(sweep, f->backend, is_live(f));
	return 0;
}

static void flow_drop(const struct plane *plane, struct flow_sweep *sweep,
		      const struct flow_key *key, const struct flow *f)
{
	if (bpf_map_delete_elem(plane->maps[MAP_FLOWS], key) == 0)
		flow_sweep_imported(sweep, f->backend, -is_live(f));
}

static bool is_later(uint16_t seen, uint16_t than)
{
	return (int16_t)(uint16_t)(seen - than) > 0;
}

int flow_import(const struct plane *plane, struct flow_sweep *sweep, const struct flow_key *key,
		const struct flow *f, bool ours)
{
	struct flow have, next = *f;
	int r;

	if (bpf_map_lookup_elem(plane->maps[MAP_FLOWS], key, &have) < 0)
		return flow_add(plane, sweep, key, f);
	if (ours)
		return 1;
	if (have.backend != f->backend) {
		flow_drop(plane, sweep, key, &have);
		return flow_add(plane, sweep, key, f);
	}
	if (!is_later(next.seen, have.seen))
		next.seen = have.seen;
	if (memcmp(&next, &have, sizeof(next)) == 0)
		return 1;
	r = bpf_map_update_elem(plane->maps[MAP_FLOWS], key, &next, BPF_EXIST);
	if (r == 0)
		flow_sweep_imported(sweep, f->backend, is_live(&next) - is_live(&have));
	return r;
}

/* The two places of an embryo (bpf/embryo.h). */
struct embryo_set {
	uint32_t at[2]; /* the younger one's, and the older one's */
	struct embryo have[2];
};

static struct embryo_set embryo_set_read(const struct plane *plane, uint64_t hash)
{
	const uint32_t at = (uint32_t)hash & (EMBRYOS_DEFAULT - 1) & ~1U;
	struct embryo_set set = {.at = {at, at | 1}};

	for (int way = 0; way < 2; way++)
		bpf_map_lookup_elem(plane->maps[MAP_EMBRYOS], &set.at[way], &set.have[way]);
	return set;
}

static bool embryo_is(const struct embryo *e, uint64_t hash)
{
	return e->tag && EMBRYO_TAG(e->tag) == EMBRYO_TAG(hash);
}

static int embryo_put(const struct plane *plane, uint32_t at, uint64_t tag)
{
	const struct embryo e = {.tag = tag};

	return bpf_map_update_elem(plane->maps[MAP_EMBRYOS], &at, &e, BPF_ANY);
}

int embryo_import(const struct plane *plane, uint64_t hash, uint16_t backend, bool ours)
{
	const struct embryo_set set = embryo_set_read(plane, hash);
	const uint64_t tag = EMBRYO_TAG(hash) | backend;

	if (ours && (embryo_is(&set.have[0], hash) || embryo_is(&set.have[1], hash)))
		return 1;
	if (!embryo_is(&set.have[0], hash))
		embryo_put(plane, set.at[1], set.have[0].tag);
	return embryo_put(plane, set.at[0], tag);
}

void embryo_forget(const struct plane *plane, uint64_t hash)
{
	const struct embryo_set set = embryo_set_read(plane, hash);

	for (int way = 0; way < 2; way++) {
		if (embryo_is(&set.have[way], hash))
			embryo_put(plane, set.at[way], 0);
	}
}

/* is_going_on: has its backend spoken here, and is it not over? */
static bool is_going_on(const struct plane *plane, const struct flow_key *key)
{
	struct translation t;

	return bpf_map_lookup_elem(plane->maps[MAP_TRANSLATIONS], key, &t) == 0 &&
	       !(t.flags & (TRANSLATION_IMPORTED | TRANSLATION_CLOSING));
}

/* What is remembered of a flow ends, as the partner has given its port, or its client's, again.
 * False: it is one of ours that goes on, which comes before what the partner remembers.
 */
static bool makes_way(const struct plane *plane, struct flow_sweep *sweep,
		      const struct flow_key *key, const struct tuple *back, bool ours)
{
	struct flow f;

	if (ours && is_going_on(plane, key))
		return false;
	if (bpf_map_lookup_elem(plane->maps[MAP_FLOWS], key, &f) == 0)
		flow_drop(plane, sweep, key, &f);
	translation_delete(plane, key, back);
	return true;
}

/* Another flow had this way back. */
static bool reverse_clear(const struct plane *plane, struct flow_sweep *sweep,
			  const struct tuple *back, const struct flow_key *key, bool ours)
{
	struct flow_key other;

	return bpf_map_lookup_elem(plane->maps[MAP_REVERSE], back, &other) < 0 ||
	       memcmp(&other, key, sizeof(other)) == 0 ||
	       makes_way(plane, sweep, &other, back, ours);
}

/* The ports begin anew by another way: the end of the flow that had them may not have been told,
 * and packets would go by its way.
 */
static bool translation_clear(const struct plane *plane, struct flow_sweep *sweep,
			      const struct flow_key *key, const struct tuple *back, bool ours)
{
	struct translation have;

	return bpf_map_lookup_elem(plane->maps[MAP_TRANSLATIONS], key, &have) < 0 ||
	       memcmp(&have.back, back, sizeof(have.back)) == 0 ||
	       makes_way(plane, sweep, key, &have.back, ours);
}

int translation_import(const struct plane *plane, struct flow_sweep *sweep,
		       const struct flow_key *key, const struct translation *t, bool ours)
{
	const struct flow f = {.backend = t->backend,
			       .seen = t->seen,
			       .flags = t->flags & TRANSLATION_CLOSING ? FLOW_CLOSING : 0};
	struct translation have, next = *t;
	int r, imported;

	if (bpf_map_lookup_elem(plane->maps[MAP_TRANSLATIONS], key, &have) == 0) {
		if (ours)
			return 1;
		if (memcmp(&have.back, &t->back, sizeof(have.back)) != 0)
			bpf_map_delete_elem(plane->maps[MAP_REVERSE], &have.back);
		else if (is_later(have.seen, next.seen))
			next.seen = have.seen;
	}
	if (!reverse_clear(plane, sweep, &t->back, key, ours))
		return 1;
	r = bpf_map_update_elem(plane->maps[MAP_REVERSE], &t->back, key, BPF_ANY);
	if (r < 0)
		return r;
	next.flags = (next.flags & ~TRANSLATION_UNCOUNTED) | TRANSLATION_IMPORTED;
	imported = flow_import(plane, sweep, key, &f, ours);
	if (imported < 0)
		next.flags |= TRANSLATION_UNCOUNTED;
	r = bpf_map_update_elem(plane->maps[MAP_TRANSLATIONS], key, &next, BPF_ANY);
	if (r < 0)
		bpf_map_delete_elem(plane->maps[MAP_REVERSE], &t->back);
	if (r < 0 && imported == 0)
		flow_drop(plane, sweep, key, &f);
	return r;
}

int nascent_import(const struct plane *plane, struct flow_sweep *sweep, const struct flow_key *key,
		   const struct translation *t, bool ours)
{
	uint64_t how = ours ? BPF_NOEXIST : BPF_ANY;
	int r;

	if (!translation_clear(plane, sweep, key, &t->back, ours))
		return 1;
	if (!reverse_clear(plane, sweep, &t->back, key, ours))
		return 1;
	r = bpf_map_update_elem(plane->maps[MAP_CLAIMS], &t->back, key, how);
	if (r == 0)
		r = bpf_map_update_elem(plane->maps[MAP_NASCENT], key, t, how);
	return r == -EEXIST ? 1 : r;
}
