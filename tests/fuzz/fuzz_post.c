/* SPDX-License-Identifier: BSD-2-Clause */
/* fuzz_post.c: any bytes as a webhook's answer, as an URL, and as a fact's value. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "programs/post.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
	char *copy = malloc(n + 1), json[JSON_SIZE];
	struct environment environment;
	struct facts facts = {0};
	struct url url;
	int code;

	if (!copy)
		return 0;
	if (n > 0) /* first without the NUL: a block of its very size is the caller's */
		memcpy(copy, bytes, n);
	code = post_answer((const char *)bytes, n);
	if (code >= 0 && (code < 100 || code > 599))
		abort();
	copy[n] = '\0';
	if (url_parse(copy, &url) == 0 &&
	    (!url.host[0] || url.path[0] != '/' || url.port == 0 || strpbrk(url.path, " \r\n") ||
	     strpbrk(url.authority, " \r\n@/")))
		abort();
	facts_add(&facts, "reason", copy);
	environment_init(&environment, "nobody", copy);
	environment_add(&environment, &facts);
	if (facts_json(&facts, json) != strlen(json))
		abort();
	free(copy);
	return 0;
}
