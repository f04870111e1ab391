/* SPDX-License-Identifier: BSD-2-Clause */
/* match.c: see match.h. */
#include "healthcheck/match.h"

#include <ctype.h>
#include <errno.h>
#include <regex.h>
#include <string.h>

const char *match_check(const char *expression)
{
	regex_t regex;

	for (const char *c = strchr(expression, '\\'); c && c[1]; c = strchr(c + 2, '\\')) {
		if (isdigit((unsigned char)c[1]))
			return "has a back-reference; expected: an expression without";
	}
	if (regcomp(&regex, expression, REG_EXTENDED | REG_NOSUB) != 0)
		return "is no expression; expected: a POSIX extended regular one";
	regfree(&regex);
	return NULL;
}

int match_line(const char *expression, const struct line *line)
{
	char text[MATCH_BYTES + 1];
	size_t n = line->len < MATCH_BYTES ? line->len : MATCH_BYTES;
	regex_t regex;
	int r;

	if (!*expression)
		return 1;
	if (regcomp(&regex, expression, REG_EXTENDED | REG_NOSUB) != 0)
		return -ENOMEM;
	memcpy(text, line->text, n);
	text[n] = '\0';
	r = regexec(&regex, text, 0, NULL, 0);
	regfree(&regex);
	return r == REG_ESPACE ? -ENOMEM : r == 0;
}
