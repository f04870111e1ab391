/* SPDX-License-Identifier: BSD-2-Clause */
/* stand_in.h: the parts of the parent that a test of the others does without. */
#ifndef SLUICE_TESTS_PARENT_STAND_IN_H
#define SLUICE_TESTS_PARENT_STAND_IN_H

#include "parent/memory.h"
#include "parent/parent.h"

void reload_run(struct parent *p, uint32_t request)
{
	(void)p;
	(void)request;
}

void reload_candidate(struct parent *p, uint32_t request, const char *path)
{
	(void)p;
	(void)request;
	(void)path;
}

int reload_try(struct parent *p, FILE *out, int (*plane)(const struct config *config))
{
	(void)p;
	(void)out;
	(void)plane;
	return 0;
}

void reload_send_config(struct parent *p, enum parent_role to)
{
	(void)p;
	(void)to;
}

#endif
