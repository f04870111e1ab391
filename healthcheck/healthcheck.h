/* SPDX-License-Identifier: BSD-2-Clause */
/* healthcheck.h: the public face of healthcheck/: the process, and its probe types' schemas. */
#ifndef SLUICE_HEALTHCHECK_H
#define SLUICE_HEALTHCHECK_H

#include "base/child.h"
#include "base/config.h"

extern const struct child healthcheck_child;
extern const struct probe_schema *const healthcheck_schemas[]; /* ends with NULL */

#endif
