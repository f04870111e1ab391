/* SPDX-License-Identifier: BSD-2-Clause */
/* ran.h: what a program's end looks like to a probe: a first line, "exit STATUS" or "error ERRNO"
 * (it could not be run, or was killed), then the beginning of its output as it came. Pure.
 */
#ifndef SLUICE_HEALTHCHECK_RAN_H
#define SLUICE_HEALTHCHECK_RAN_H

#include "healthcheck/line.h"

struct ran {
	int error;	    /* 0 or an errno */
	int status;	    /* its exit status */
	const char *output; /* borrowed */
	size_t len;
};

/* ran_write: false = it does not fit, nothing was added. */
bool ran_write(struct buf *out, const struct ran *ran);
/* ran_read: false = @in is not that. */
bool ran_read(const struct buf *in, struct ran *ret_ran);

#endif
