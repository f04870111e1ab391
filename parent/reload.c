/* SPDX-License-Identifier: BSD-2-Clause */
/* reload.c: from the file to the configuration that the parent and all children have.
 *
 * A file with an error changes nothing: the old value stays, the errors are told, a line each, in
 * the log and to whoever asked.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "healthcheck/healthcheck.h"
#include "parent/parent.h"

/* config_read: what a reload needs, or nothing. @text gets the reasons, a line each; caller frees.
 * Returns 0 or -errno.
 */
static int config_read(struct parent *p, const char *path, char **text, struct config **ret_config,
		       uint8_t ret_key[static 32])
{
	struct config *config = NULL;
	size_t text_bytes;
	FILE *errors = open_memstream(text, &text_bytes);
	int r;

	if (!errors)
		return -ENOMEM;
	r = config_load(path, p->node, healthcheck_schemas, errors, &config);
	if (r == 0) {
		r = config_secret_load(config->secret_file, ret_key);
		if (r == -EPERM)
			fprintf(errors, "%s: others may read the secret; cure: chmod 600 %s\n",
				config->secret_file, config->secret_file);
		else if (r == -ERANGE)
			fprintf(errors,
				"%s: the secret is too short; at least 16 bytes are expected\n",
				config->secret_file);
		else if (r < 0)
			fprintf(errors,
				"%s: the secret cannot be read (%s); expected: a file that is the same "
				"on both nodes, made by: head -c 32 /dev/urandom | base64\n",
				config->secret_file, strerror(-r));
	}
	fclose(errors);
	if (r < 0) {
		config_free(config);
		return r;
	}
	*ret_config = config;
	return 0;
}

static void log_errors(char *text)
{
	for (char *save, *line = strtok_r(text, "\n", &save); line;
	     line = strtok_r(NULL, "\n", &save))
		log_warning("%s", line);
}

int reload_first(struct parent *p)
{
	char *text = NULL;
	int r = config_read(p, p->config_path, &text, &p->config, p->key);

	if (r < 0)
		log_errors(text);
	else
		p->generation++;
	free(text);
	return r;
}

int reload_try(struct parent *p, FILE *out, int (*plane)(const struct config *config))
{
	struct config *config = NULL;
	char *text = NULL;
	uint8_t key[32];
	int r = config_read(p, p->config_path, &text, &config, key);

	if (r < 0) {
		fputs(text ? text : strerror(-r), out);
	} else if (plane) {
		r = plane(config);
		if (r < 0)
			fprintf(out, "this kernel does not take its data plane: %s\n",
				strerror(-r));
	}
	config_free(config);
	explicit_bzero(key, sizeof(key));
	free(text);
	return r;
}

void reload_send_config(struct parent *p, enum parent_role to)
{
	struct message_config m = {.generation = p->generation};
	int fd = config_seal(p->config);

	if (fd < 0) {
		log_err("configuration not sent: role=%s error=%s", p->processes[to].child->role,
			strerror(-fd));
		return;
	}
	if (to == ROLE_LB)
		memcpy(m.key, p->key, sizeof(m.key));
	if (to == ROLE_VRRP)
		heart_send(p);
	supervisor_send(p, to, MESSAGE_CONFIG, &m, fd);
	close(fd);
}

static void answer(struct parent *p, uint32_t request, int error, const char *text)
{
	struct message_reloaded m = {.request = request, .error = error};

	snprintf(m.text, sizeof(m.text), "%s", text ? text : "");
	supervisor_send(p, ROLE_LB, MESSAGE_RELOADED, &m, -1);
}

void reload_run(struct parent *p, uint32_t request)
{
	struct config *config = NULL;
	char *text = NULL;
	uint8_t key[32];
	int r = config_read(p, p->config_path, &text, &config, key);

	if (r == 0) {
		config_free(p->config);
		p->config = config;
		memcpy(p->key, key, sizeof(key));
		p->generation++;
		heart_take(p);
		for (int role = 0; role < ROLE_COUNT; role++)
			reload_send_config(p, role);
		log_notice("configuration loaded: file=%s generation=%u", p->config_path,
			   p->generation);
	} else {
		log_warning("configuration not loaded, the old one stays: file=%s", p->config_path);
	}
	answer(p, request, r, text);
	if (r < 0)
		log_errors(text);
	free(text);
}

void reload_candidate(struct parent *p, uint32_t request, const char *path)
{
	struct message_candidate m = {.request = request};
	struct config *config = NULL;
	char *text = NULL;
	uint8_t key[32];
	int fd, r = config_read(p, *path ? path : p->config_path, &text, &config, key);

	if (r < 0) {
		answer(p, request, r, text);
	} else {
		fd = config_seal(config);
		if (fd < 0) {
			answer(p, request, fd, strerror(-fd));
		} else {
			supervisor_send(p, ROLE_LB, MESSAGE_CANDIDATE, &m, fd);
			close(fd);
		}
	}
	config_free(config);
	explicit_bzero(key, sizeof(key));
	free(text);
}
