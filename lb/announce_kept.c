/* SPDX-License-Identifier: BSD-2-Clause */
/* announce_kept.c: see announce_kept.h. */
#include "lb/announce_kept.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"

static int folder_open(const char *folder)
{
	int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

/* A file, with that in it; and the folder, so that it is there after a power cut. */
static int file_write(const char *folder, const char *name, const char *text)
{
	int dir = folder_open(folder), fd, r = 0;
	size_t n = strlen(text);

	if (dir < 0)
		return dir;
	fd = openat(dir, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0 || write(fd, text, n) != (ssize_t)n || fsync(fd) < 0 || fsync(dir) < 0)
		r = errno ? -errno : -EIO;
	if (fd >= 0)
		close(fd);
	if (r < 0 && fd >= 0)
		unlinkat(dir, name, 0);
	close(dir);
	return r;
}

static int file_remove(const char *folder, const char *name)
{
	int dir = folder_open(folder), r = 0;

	if (dir < 0)
		return dir;
	if (unlinkat(dir, name, 0) < 0)
		r = errno == ENOENT ? 0 : -errno;
	else if (fsync(dir) < 0)
		log_warning("%s/%s: its removal may be lost in a power cut: error=\"%s\"", folder,
			    name, strerror(errno));
	close(dir);
	return r;
}

int64_t kept_drained_s(const char *folder)
{
	int dir = folder_open(folder);
	struct stat st;
	int r = dir;

	if (dir >= 0) {
		r = fstatat(dir, KEPT_DRAINED, &st, AT_SYMLINK_NOFOLLOW) < 0 ? -errno : 0;
		close(dir);
	}
	if (r < 0 && r != -ENOENT)
		log_err("is the node drained? not known, taken for no: file=%s/%s error=\"%s\"",
			folder, KEPT_DRAINED, strerror(-r));
	return r < 0 ? 0 : st.st_mtime;
}

int kept_drain(const char *folder, bool drained)
{
	return drained ? file_write(folder, KEPT_DRAINED, "") : file_remove(folder, KEPT_DRAINED);
}

bool kept_place(const char *folder, struct config_announce *ret)
{
	int dir = folder_open(folder), fd;
	long long table, protocol;
	char text[32] = "", *end;

	if (dir < 0)
		return false;
	fd = openat(dir, KEPT_PLACE, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	close(dir);
	if (fd < 0)
		return false;
	if (read(fd, text, sizeof(text) - 1) < 0)
		text[0] = '\0';
	close(fd);
	table = strtoll(text, &end, 10);
	protocol = strtoll(end, NULL, 10);
	/* as "announce" may have it; below 5 there are the kernel's own */
	if (table < 1 || table > INT32_MAX || protocol < 5 || protocol > 255)
		return false;
	*ret = (struct config_announce){
		.on = true, .table = (uint32_t)table, .protocol = (uint8_t)protocol};
	return true;
}

int kept_place_set(const char *folder, const struct config_announce *way)
{
	char text[32];

	if (!way->on)
		return file_remove(folder, KEPT_PLACE);
	snprintf(text, sizeof(text), "%u %u\n", way->table, way->protocol);
	return file_write(folder, KEPT_PLACE, text);
}
