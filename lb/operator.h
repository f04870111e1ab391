/* SPDX-License-Identifier: BSD-2-Clause */
/* operator.h: what the operator said of backends, kept in a file over reloads and restarts. */
#ifndef SLUICE_LB_OPERATOR_H
#define SLUICE_LB_OPERATOR_H

#include "base/child.h"
#include "lb/state.h"

#define OPERATOR_FILE SLUICE_STATE_DIR "/operator.json"

enum { OPERATOR_ENTRIES_MOST = CONFIG_BACKENDS, OPERATOR_FILE_MOST = 16 << 20 };

/* operator_load: the entries of the file; the caller frees. A file that is not there has none.
 * 0, or -errno: -EINVAL for a damaged one, which is then set aside as PATH.damaged.
 */
int operator_load(const char *path, struct operator_entry **ret_entries, uint32_t *ret_n);

/* operator_save: replace the file, whole or not at all (written beside it, synced, renamed).
 * Entries that say nothing (enabled, WEIGHT_NONE, no node) are left out. 0 or -errno.
 */
int operator_save(const char *path, const struct operator_entry *entries, uint32_t n);

/* An *end* (enabled, WEIGHT_NONE) says nothing of its backend, but that what was said before is
 * over: a partner that was away would otherwise bring that back, as it still has it. So an end is
 * kept until each partner knows of it, and for OPERATOR_END_KEEP_S at least, as a partner's file
 * may come from a backup. Of more than OPERATOR_ENDS_MOST the oldest go, whoever knows of them.
 */
enum { OPERATOR_END_KEEP_S = 30 * 86400, OPERATOR_ENDS_MOST = 1000 };

bool operator_is_end(const struct operator_entry *e);
/* operator_forget: take the ends that need not be kept out of @entries, whose order may change; how
 * many entries are left.
 * @told: every partner knows all that is in @entries, and has it in its file
 */
uint32_t operator_forget(struct operator_entry *entries, uint32_t n, int64_t now_s, bool told);

#endif
