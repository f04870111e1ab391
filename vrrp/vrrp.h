/* SPDX-License-Identifier: BSD-2-Clause */
/* vrrp.h: the public face of vrrp/: the process that shares virtual addresses with the partner. */
#ifndef SLUICE_VRRP_H
#define SLUICE_VRRP_H

#include "base/child.h"

extern const struct child vrrp_child;

#endif
