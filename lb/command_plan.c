/* SPDX-License-Identifier: BSD-2-Clause */
/* command_plan.c: plan, reload, upgrade, detach. The file is read by the parent; the answer comes
 * when it has read it and (reload) the plan was applied.
 */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "lb/control.h"
#include "lb/reconcile.h"

static json_t *rows_json(const struct plan_rows *rows)
{
	json_t *array = json_array();

	for (size_t i = 0; rows && i < rows->n; i++) {
		const struct plan_row *row = &rows->rows[i];

		json_array_append_new(array, json_pack("{s:s, s:s, s:i, s:I}", "step", row->step,
						       "what", row->what, "moved", (int)row->moved,
						       "live", (json_int_t)row->live));
	}
	return array;
}

static void on_reloaded(void *owner, int error, const char *text, const struct plan_rows *rows)
{
	struct client *client = owner;

	if (error < 0)
		client_fail(client, "%s", text && *text ? text : strerror(-error));
	else
		client_done(client, json_pack("{s:o}", "steps", rows_json(rows)));
}

static void cancel(void *owner)
{
	lb_request_cancel(client_lb(owner), owner);
}

static void ask(struct client *client, bool plan_only, const char *path)
{
	int r = lb_request_reload(client_lb(client), plan_only, path, on_reloaded, client);

	if (r < 0)
		client_fail(client, "%s", strerror(-r));
	else
		client_hold(client, cancel, client);
}

void command_plan(struct client *client, const json_t *request)
{
	const char *path = json_string_value(json_object_get(request, "path"));

	if (path && (path[0] != '/' || strlen(path) >= CONFIG_PATH_SIZE))
		client_fail(client, "a path begins with \"/\" and has at most %d bytes",
			    CONFIG_PATH_SIZE - 1);
	else
		ask(client, true, path);
}

void command_reload(struct client *client, const json_t *request)
{
	(void)request;
	ask(client, false, NULL);
}

static void on_granted(void *owner, int error, const char *text, const struct plan_rows *rows)
{
	struct client *client = owner;

	(void)rows;
	if (error < 0)
		client_fail(client, "not upgraded: %s", text && *text ? text : strerror(-error));
	else
		client_done(client, json_pack("{s:s, s:s, s:i}", "version", text, "was",
					      SLUICE_VERSION, "pid", (int)getpid()));
}

void command_upgrade(struct client *client, const json_t *request)
{
	int r = lb_request_upgrade(client_lb(client), on_granted, client);

	(void)request;
	if (r < 0)
		client_fail(client, "%s", strerror(-r));
	else
		client_hold(client, cancel, client);
}

void command_detach(struct client *client, const json_t *request)
{
	int r = lb_detach(client_lb(client));

	(void)request;
	if (r < 0)
		client_fail(client, "not detached: %s", strerror(-r));
	else
		client_done(client, NULL);
}
