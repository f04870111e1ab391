/* SPDX-License-Identifier: BSD-2-Clause */
/* uses.h: what is out of the ordinary with whole pools (share.h), told in the log when it begins
 * and when it ends: panic, a backup pool in their place, and that nobody is left.
 */
#ifndef SLUICE_LB_USES_H
#define SLUICE_LB_USES_H

#include "lb/share.h"

struct uses;

struct uses *uses_new(void); /* NULL: out of memory */
void uses_free(struct uses *uses);
/* uses_tell: as it is now; after each reconcile. */
void uses_tell(struct uses *uses, const struct config *config, const struct lb_backend *backends);

#endif
