/* SPDX-License-Identifier: BSD-2-Clause */
/* translations.h: the translations of fullnat, as far as user space has to do with them.
 *
 * Their age is that of their flow: the sweep of flows.h deletes what is over from `flows`; this one
 * walks `translations` and deletes, with its way back, whatever has no flow there any more. One for
 * which `flows` had no room is over when a flow of its age would be.
 */
#ifndef SLUICE_LB_TRANSLATIONS_H
#define SLUICE_LB_TRANSLATIONS_H

#include "lb/flows.h"

enum { TRANSLATIONS_PASS_MS = 10000, TRANSLATIONS_BATCH = 1024, TRANSLATIONS_TICK_MS = 20 };

/* translation_sweep_new: @flows, which outlives it, says what is over. */
struct translation_sweep *translation_sweep_new(struct event_base *loop, const struct plane *plane,
						const struct flow_sweep *flows);
/* translation_sweep_watch: called for each that a pass leaves; see flow_seen_fn. */
typedef void translation_seen_fn(void *owner, const struct flow_key *key,
				 const struct translation *t, uint32_t last_s);
void translation_sweep_watch(struct translation_sweep *sweep, translation_seen_fn *on_seen,
			     void *owner);
void translation_sweep_free(struct translation_sweep *sweep);

/* translation_delete: with its way back, unless that is another flow's by now: its port may have
 * been given again since @back was read. Was it there?
 */
bool translation_delete(const struct plane *plane, const struct flow_key *key,
			const struct tuple *back);
/* translations_pass: all of it at once, for tests; how many were deleted, or -errno.
 * @now_s: of the clock
 */
int translations_pass(const struct plane *plane, const struct flow_sweep *flows, uint32_t now_s);

#endif
