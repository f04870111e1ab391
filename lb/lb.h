/* SPDX-License-Identifier: BSD-2-Clause */
/* lb.h: the public face of lb/: the process that turns intent into packets. */
#ifndef SLUICE_LB_H
#define SLUICE_LB_H

#include "base/child.h"

struct config;

extern const struct child lb_child;

/* Of the data plane: one that has another number is taken over only from an older one. */
extern const uint32_t lb_abi_version;

/* lb_try: would this kernel take the program that @config needs? 0 or -errno; nothing of it stays.
 */
int lb_try(const struct config *config);

#endif
