/* SPDX-License-Identifier: BSD-2-Clause */
/* partner_live.c: LIVE. */
#include "lb/partner_kinds.h"

const struct partner_kind partner_live = {.type = PARTNER_LIVE};
