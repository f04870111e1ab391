/* SPDX-License-Identifier: BSD-2-Clause */
/* config_files.c: files and programs that sluice.conf names: certificates and keys, which travel
 * inside of the configuration because the process that uses them has no file system; secrets of
 * one line; commands.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/config_build.h"
#include "base/url.h"

/* file_read: a regular file of 1 to @most bytes. 0, or -errno: -EFBIG, -ENODATA, -EINVAL (no
 * regular file), else of open() or read(). The caller frees *ret_bytes.
 */
static int file_read(const char *path, size_t most, char **ret_bytes, size_t *ret_size,
		     mode_t *ret_mode)
{
	int r = 0, fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	struct stat st;
	char *bytes = NULL;
	ssize_t n = 0;

	if (fd < 0)
		return -errno;
	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
		r = -EINVAL;
	else if (!(bytes = malloc(most + 1)))
		r = -ENOMEM;
	else if ((n = read(fd, bytes, most + 1)) <= 0)
		r = n < 0 ? -errno : -ENODATA;
	else if ((size_t)n > most)
		r = -EFBIG;
	close(fd);
	if (r < 0) {
		free(bytes);
		return r;
	}
	*ret_bytes = bytes;
	*ret_size = (size_t)n;
	*ret_mode = st.st_mode;
	return 0;
}

static const char *why(int error)
{
	switch (error) {
	case -EFBIG:
		return "it is too large";
	case -ENODATA:
		return "it is empty";
	case -EINVAL:
		return "it is no regular file";
	}
	return strerror(-error);
}

static bool path_get(struct builder *b, const config_setting_t *group, const char *key,
		     char ret[static CONFIG_PATH_SIZE])
{
	if (!get_string(&b->reader, group, key, OPTIONAL, ret, CONFIG_PATH_SIZE))
		return false;
	if (ret[0] == '/')
		return true;
	mistake(&b->reader, config_setting_get_member(group, key),
		"\"%s\" is \"%.64s\"; expected: a path that begins with /", key, ret);
	return false;
}

uint32_t build_file(struct builder *b, const config_setting_t *group, const char *key)
{
	char path[CONFIG_PATH_SIZE] = "";
	struct built_file file = {0}, *slot;
	mode_t mode;
	int r;

	if (!path_get(b, group, key, path))
		return 0;
	for (uint32_t i = 0; i < b->n_files; i++) {
		if (strcmp(b->files[i].path, path) == 0)
			return i + 1;
	}
	r = b->n_files == CONFIG_FILES
		    ? -EMFILE
		    : file_read(path, CONFIG_FILE_SIZE, &file.bytes, &file.size_bytes, &mode);
	if (r < 0) {
		mistake(&b->reader, config_setting_get_member(group, key),
			"\"%s\" cannot be used: %.200s: %s", key, path, why(r));
		return 0;
	}
	slot = array_grow(b, &b->files, &b->n_files, sizeof(*slot));
	if (!slot) {
		free(file.bytes);
		return 0;
	}
	memcpy(file.path, path, sizeof(file.path));
	*slot = file;
	return b->n_files;
}

void build_secret(struct builder *b, const config_setting_t *group, const char *key, enum need need,
		  char *ret, size_t size)
{
	char path[CONFIG_PATH_SIZE] = "", *bytes = NULL;
	const char *wrong = NULL;
	size_t n = 0, line;
	mode_t mode = 0;
	int r;

	if (!config_setting_get_member(group, key)) {
		get_string(&b->reader, group, key, need, path, sizeof(path));
		return;
	}
	if (!path_get(b, group, key, path))
		return;
	r = file_read(path, 4096, &bytes, &n, &mode);
	line = 0;
	while (line < n && bytes[line] != '\n' && bytes[line] != '\r')
		line++;
	if (r < 0)
		wrong = why(r);
	else if (mode & S_IRWXO)
		wrong = "others may read it; cure: chmod o= FILE";
	else if (line == 0 || line >= size || memchr(bytes, '\0', line))
		wrong = "its first line is empty, too long, or no text";
	if (wrong) {
		mistake(&b->reader, config_setting_get_member(group, key),
			"\"%s\" cannot be used: %.200s: %s", key, path, wrong);
	} else {
		memset(ret, 0, size);
		memcpy(ret, bytes, line);
	}
	if (bytes)
		explicit_bzero(bytes, n);
	free(bytes);
}

bool build_list(struct builder *b, const config_setting_t *group, const char *key, enum need need,
		char *ret, size_t size)
{
	config_setting_t *list = config_setting_get_member(group, key);
	char packed[CONFIG_LIST_SIZE] = {0};
	size_t used = 0;

	if (!list) {
		if (need == REQUIRED)
			mistake(&b->reader, group,
				"\"%s\" is not given; expected: [ \"...\", ... ]", key);
		return false;
	}
	if ((!config_setting_is_array(list) && !config_setting_is_list(list)) ||
	    config_setting_length(list) < 1) {
		mistake(&b->reader, list,
			"\"%s\" is no list of strings; expected: [ \"...\", ... ]", key);
		return false;
	}
	for (int i = 0; i < config_setting_length(list); i++) {
		const char *word =
			element_string(&b->reader, config_setting_get_elem(list, (unsigned)i), key);
		size_t n = word ? strlen(word) + 1 : 0;

		if (!word)
			return false;
		if (n == 1 || used + n + 1 > sizeof(packed) || used + n + 1 > size) {
			mistake(&b->reader, list,
				"\"%s\" has an empty string, or is longer than %zu bytes", key,
				size - 2);
			return false;
		}
		memcpy(packed + used, word, n);
		used += n;
	}
	memset(ret, 0, size);
	memcpy(ret, packed, used);
	return true;
}

void build_command(struct builder *b, const config_setting_t *group, enum need need,
		   uint32_t default_ms, struct config_command *ret)
{
	ret->timeout_ms = default_ms;
	get_duration(&b->reader, group, "timeout", 100, 600000, &ret->timeout_ms);
	if (build_list(b, group, "command", need, ret->words, sizeof(ret->words)) &&
	    ret->words[0] != '/')
		mistake(&b->reader, config_setting_get_member(group, "command"),
			"\"command\" begins with \"%.64s\"; expected: the path of a program, with /",
			ret->words);
}

/* ---- on_change ---- */

static void hook_build(struct builder *b, const config_setting_t *s, struct config_hook *hook)
{
	static const char *const keys[] = {"command", "url", "timeout", NULL};
	struct url url;

	keys_check(&b->reader, s, keys);
	build_command(b, s, OPTIONAL, 10000, &hook->command);
	get_string(&b->reader, s, "url", OPTIONAL, hook->url, sizeof(hook->url));
	if (!config_setting_get_member(s, "command") == !config_setting_get_member(s, "url"))
		mistake(&b->reader, s,
			"an element of \"on_change\" has either \"command\" or \"url\"");
	else if (hook->url[0] && url_parse(hook->url, &url) < 0)
		mistake(&b->reader, config_setting_get_member(s, "url"),
			"\"url\" is \"%.64s\"; expected: http:// or https://, a host, no user and no blanks",
			hook->url);
}

void build_hooks(struct builder *b, const config_setting_t *root)
{
	const config_setting_t *list = list_of_groups(&b->reader, root, "on_change");

	for (int i = 0; list && i < config_setting_length(list); i++) {
		const config_setting_t *s = config_setting_get_elem(list, (unsigned)i);

		if (!config_setting_is_group(s))
			continue;
		if (b->head.n_hooks == CONFIG_HOOKS) {
			mistake(&b->reader, s, "too many of \"on_change\"; at most %d are expected",
				CONFIG_HOOKS);
			return;
		}
		hook_build(b, s, &b->head.hooks[b->head.n_hooks++]);
	}
}
