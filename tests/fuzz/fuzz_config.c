/* SPDX-License-Identifier: BSD-2-Clause */
/* fuzz_config.c: any bytes as sluice.conf: a value or mistakes, never both, never neither. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/config.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);
const char *__lsan_default_suppressions(void);

/* libconfig 1.5 forgets the buffer of a string that has no end. */
const char *__lsan_default_suppressions(void)
{
	return "leak:libconfig.so";
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
	static const struct probe_schema tcp = {.name = "tcp"};
	static const struct probe_schema *const schemas[] = {&tcp, NULL};
	struct config *config = NULL;
	char path[64], *text = NULL;
	size_t size;
	FILE *errors;
	int fd, r;

	if (memmem(bytes, n, "@include", 8))
		return 0; /* what it may read is the operator's choice, not the fuzzer's */
	fd = memfd_create("fuzz", 0);
	errors = open_memstream(&text, &size);
	if (fd < 0 || !errors || write(fd, bytes, n) != (ssize_t)n)
		abort();
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	r = config_load(path, "lb1", schemas, errors, &config);
	fclose(errors);
	if ((r == 0) != (config != NULL) || (r == 0) != (size == 0))
		abort();
	config_free(config);
	free(text);
	close(fd);
	return 0;
}
