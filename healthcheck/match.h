/* SPDX-License-Identifier: BSD-2-Clause */
/* match.h: the operator's POSIX extended regular expressions on a server's lines. Pure. */
#ifndef SLUICE_HEALTHCHECK_MATCH_H
#define SLUICE_HEALTHCHECK_MATCH_H

#include "healthcheck/line.h"

/* Of a line, the bytes that are looked at: regexec() may take time in proportion to the square of
 * them, and a stranger writes them.
 */
enum { MATCH_BYTES = 512, EXPRESSION_SIZE = 128 };

/* match_check: for config_key.check. No back-references: they are slow beyond all bounds. */
const char *match_check(const char *expression);
/* match_line: 1 it matches (as "" does everything), 0 it does not, -ENOMEM. */
int match_line(const char *expression, const struct line *line);

#endif
