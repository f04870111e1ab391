/* SPDX-License-Identifier: BSD-2-Clause */
#include "tests/unit/base/config_file.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <dirent.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char *no_space(const char *value)
{
	return strchr(value, ' ') ? "has a space; none is expected" : NULL;
}

static const struct config_key smtp_keys[] = {
	{.name = "ehlo",
	 .type = KEY_STRING,
	 .offset = offsetof(struct smtp_conf, ehlo),
	 .size = 32,
	 .check = no_space},
	{.name = "code",
	 .type = KEY_INT,
	 .offset = offsetof(struct smtp_conf, code),
	 .size = 4,
	 .least = 200,
	 .most = 299},
	{.name = "deep", .type = KEY_BOOL, .offset = offsetof(struct smtp_conf, deep), .size = 1},
	{0},
};
static const struct smtp_conf smtp_defaults = {.ehlo = "sluice", .code = 220};
static const struct probe_schema smtp = {.name = "smtp",
					 .keys = smtp_keys,
					 .defaults = &smtp_defaults,
					 .conf_size = sizeof(smtp_defaults),
					 .can_tls = true,
					 .can_starttls = true};

static const char *post_check(const struct config_probe *probe)
{
	return probe->tls == TLS_IMPLICIT ? "has no such TLS; expected: another" : NULL;
}

static const struct probe_schema post = {.name = "post",
					 .can_tls = true,
					 .can_starttls = true,
					 .wants_starttls = true,
					 .check = post_check};
static const struct probe_schema imap = {.name = "imap", .can_tls = true};
static const struct probe_schema tcp = {.name = "tcp"};
static const struct probe_schema *const schemas[] = {&tcp, &smtp, &imap, &post, NULL};

/* One file in a folder of its own; text with @include finds its neighbours there. */
char config_folder[] = "/tmp/test_config.XXXXXX";

const char *config_file_write(const char *name, const char *text, size_t n)
{
	static char path[128];
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", config_folder, name);
	f = fopen(path, "w");
	assert_non_null(f);
	assert_int_equal(fwrite(text, 1, n, f), n);
	fclose(f);
	return path;
}

/* The mistakes of a file, without its folder; NULL when it is good (then *ret has the value). */
char *config_file_load(const char *path, const char *node, struct config **ret_config)
{
	struct config *config = NULL;
	char *text = NULL, *p;
	size_t size, n = strlen(config_folder) + 1;
	FILE *errors = open_memstream(&text, &size);
	int r = config_load(path, node, schemas, errors, &config);

	fclose(errors);
	if (ret_config)
		*ret_config = config;
	else
		config_free(config);
	assert_int_equal(r == 0, text[0] == '\0');
	if (r == 0) {
		free(text);
		return NULL;
	}
	for (p = text; (p = strstr(p, config_folder)) != NULL;)
		memmove(p, p + n, strlen(p + n) + 1);
	return text;
}

struct config *config_good_load(const char *text, const char *node)
{
	struct config *c = NULL;
	char *errors = config_file_load(config_file_write("f", text, strlen(text)), node, &c);

	if (errors)
		fail_msg("%s", errors);
	return c;
}

void assert_mistakes(const char *text, const char *mistakes)
{
	char *errors = config_file_load(config_file_write("f", text, strlen(text)), "lb1", NULL);

	assert_non_null(errors);
	assert_string_equal(errors, mistakes);
	free(errors);
}

int config_folder_make(void **state)
{
	(void)state;
	return mkdtemp(config_folder) ? 0 : -1;
}

int config_folder_remove(void **state)
{
	DIR *dir = opendir(config_folder);
	struct dirent *entry;

	(void)state;
	while (dir && (entry = readdir(dir)) != NULL)
		unlinkat(dirfd(dir), entry->d_name, 0);
	if (dir)
		closedir(dir);
	return rmdir(config_folder);
}
