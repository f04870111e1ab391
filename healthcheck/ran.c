/* SPDX-License-Identifier: BSD-2-Clause */
/* ran.c: see ran.h. */
#include "healthcheck/ran.h"

#include <ctype.h>
#include <string.h>

bool ran_write(struct buf *out, const struct ran *ran)
{
	size_t before = buf_len(out);

	if (!buf_print(out, "%s %d\n", ran->error ? "error" : "exit",
		       ran->error ? ran->error : ran->status))
		return false;
	if (buf_add(out, ran->output, ran->len))
		return true;
	out->end = out->start + before;
	return false;
}

bool ran_read(const struct buf *in, struct ran *ret_ran)
{
	const char *c = buf_head(in), *end = c + buf_len(in);
	struct ran ran = {0};
	bool error = end - c > 6 && memcmp(c, "error ", 6) == 0;
	int n = 0, digits = 0;

	if (!error && (end - c <= 5 || memcmp(c, "exit ", 5) != 0))
		return false;
	for (c += error ? 6 : 5; c < end && isdigit((unsigned char)*c) && digits < 6; c++, digits++)
		n = n * 10 + (*c - '0');
	if (digits == 0 || c == end || *c != '\n')
		return false;
	if (error)
		ran.error = n;
	else
		ran.status = n;
	ran.output = c + 1;
	ran.len = (size_t)(end - ran.output);
	*ret_ran = ran;
	return true;
}
