/* SPDX-License-Identifier: BSD-2-Clause */
/* replay.c: runs a fuzz target once over each file of a folder, where libFuzzer is not there. */
#include <dirent.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

enum { INPUT_MOST = 1 << 20 };

/* 0, or 1 when the file cannot be read. The input is a block of its own size, so that the sanitizer
 * sees a read beyond it.
 */
static int file_run(int dir, const char *name)
{
	static uint8_t most[INPUT_MOST];
	int fd = openat(dir, name, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, most, sizeof(most));
	uint8_t *bytes = n < 0 ? NULL : malloc((size_t)n + 1);

	if (fd >= 0)
		close(fd);
	if (!bytes) {
		perror(name);
		return 1;
	}
	for (ssize_t i = 0; i < n; i++)
		bytes[i] = most[i];
	bytes = realloc(bytes, (size_t)(n ? n : 1));
	LLVMFuzzerTestOneInput(bytes, (size_t)n);
	free(bytes);
	return 0;
}

int main(int argc, char **argv)
{
	DIR *dir = argc == 2 ? opendir(argv[1]) : NULL;
	struct dirent *entry;
	int ran = 0, failed = 0;

	if (!dir) {
		fprintf(stderr, "Usage: %s FOLDER\n", argv[0]);
		return 2;
	}
	while ((entry = readdir(dir)) != NULL) {
		if (entry->d_name[0] == '.')
			continue;
		failed += file_run(dirfd(dir), entry->d_name);
		ran++;
	}
	closedir(dir);
	printf("%d inputs\n", ran);
	return ran == 0 || failed ? 1 : 0;
}
