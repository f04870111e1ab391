/* SPDX-License-Identifier: BSD-2-Clause */
/* programs.h: the public face of programs/: the process that runs what the operator wrote. */
#ifndef SLUICE_PROGRAMS_H
#define SLUICE_PROGRAMS_H

#include "base/child.h"

extern const struct child programs_child;

#endif
