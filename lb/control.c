/* SPDX-License-Identifier: BSD-2-Clause */
/* control.c: see control.h. */
#include "lb/control.h"

#include <errno.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <event2/listener.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/log.h"

struct client {
	LIST_ENTRY(client) next;
	struct control *control;
	struct bufferevent *stream;
	bool held, closing;
	void (*cancel)(void *owner);
	void *owner;
};

struct control {
	struct lb *lb;
	struct evconnlistener *listener;
	LIST_HEAD(, client) clients;
	unsigned n_clients;
	char path[sizeof(((struct sockaddr_un *)0)->sun_path)];
};

static const struct argument none[] = {{0}};
static const struct argument show[] = {{"what", ARGUMENT_STRING, true},
				       {"backend", ARGUMENT_STRING, false},
				       {"client", ARGUMENT_STRING, false},
				       {"service", ARGUMENT_STRING, false},
				       {"limit", ARGUMENT_INT, false},
				       {"instance", ARGUMENT_STRING, false},
				       {0}};
static const struct argument explain[] = {
	{"client", ARGUMENT_STRING, true},     {"vip", ARGUMENT_STRING, true},
	{"protocol", ARGUMENT_STRING, false},  {"flags", ARGUMENT_STRING, false},
	{"interface", ARGUMENT_STRING, false}, {0}};
static const struct argument trace[] = {
	{"client", ARGUMENT_STRING, false},  {"vip", ARGUMENT_STRING, false},
	{"port", ARGUMENT_INT, false},	     {"protocol", ARGUMENT_STRING, false},
	{"verdict", ARGUMENT_STRING, false}, {"reason", ARGUMENT_STRING, false},
	{"sample", ARGUMENT_STRING, false},  {"count", ARGUMENT_INT, false},
	{"for_ms", ARGUMENT_INT, false},     {0}};
static const struct argument backend[] = {
	{"backend", ARGUMENT_STRING, true}, {"pool", ARGUMENT_STRING, false}, {0}};
static const struct argument weight[] = {{"backend", ARGUMENT_STRING, true},
					 {"pool", ARGUMENT_STRING, false},
					 {"weight", ARGUMENT_ANY, true},
					 {0}};
static const struct argument wait_for[] = {{"backend", ARGUMENT_STRING, true},
					   {"pool", ARGUMENT_STRING, false},
					   {"timeout_ms", ARGUMENT_INT, false},
					   {0}};
static const struct argument path[] = {{"path", ARGUMENT_STRING, false}, {0}};
static const struct argument failover[] = {
	{"instance", ARGUMENT_STRING, false}, {"to", ARGUMENT_STRING, false}, {0}};
static const struct argument probe[] = {
	{"pool", ARGUMENT_STRING, true}, {"backend", ARGUMENT_STRING, true}, {0}};

static const struct command commands[] = {
	{"status", none, command_status},
	{"show", show, command_show},
	{"drain", backend, command_drain},
	{"undrain", backend, command_undrain},
	{"disable", backend, command_disable},
	{"enable", backend, command_enable},
	{"weight", weight, command_weight},
	{"wait", wait_for, command_wait},
	{"plan", path, command_plan},
	{"reload", none, command_reload},
	{"detach", none, command_detach},
	{"failover", failover, command_failover},
	{"probe", probe, command_probe},
	{"explain", explain, command_explain},
	{"trace", trace, command_trace},
	{"drain-node", none, command_drain_node},
	{"undrain-node", none, command_undrain_node},
	{"upgrade", none, command_upgrade},
};

/* ---- answers ---- */

struct lb *client_lb(struct client *client)
{
	return client->control->lb;
}

static void client_free(struct client *client)
{
	if (client->held && client->cancel)
		client->cancel(client->owner);
	LIST_REMOVE(client, next);
	client->control->n_clients--;
	bufferevent_free(client->stream);
	free(client);
}

static void answer_send(struct client *client, json_t *answer)
{
	struct evbuffer *out = bufferevent_get_output(client->stream);
	char *text = answer ? json_dumps(answer, JSON_COMPACT) : NULL;

	json_decref(answer);
	if (!text) {
		evbuffer_add_printf(out, "{\"ok\":false,\"error\":\"out of memory\"}\n");
		return;
	}
	evbuffer_add(out, text, strlen(text));
	evbuffer_add(out, "\n", 1);
	free(text);
	if (evbuffer_get_length(out) > CONTROL_ANSWER_BYTES)
		client->closing = true; /* it does not read: on_written or on_event ends it */
}

static json_t *with_ok(json_t *answer, bool ok)
{
	json_t *whole = json_pack("{s:b}", "ok", ok);

	json_object_update(whole, answer);
	json_decref(answer);
	return whole;
}

static void client_release(struct client *client)
{
	client->held = false;
	client->cancel = NULL;
	/* A request that came meanwhile waits in the buffer: look at it in the next turn. */
	bufferevent_trigger(client->stream, EV_READ, BEV_TRIG_DEFER_CALLBACKS);
}

void client_done(struct client *client, json_t *answer)
{
	answer_send(client, with_ok(answer ? answer : json_object(), true));
	client_release(client);
}

void client_fail(struct client *client, const char *format, ...)
{
	char *text = NULL;
	va_list ap;

	va_start(ap, format);
	if (vasprintf(&text, format, ap) < 0)
		text = NULL;
	va_end(ap);
	answer_send(client,
		    json_pack("{s:b, s:s}", "ok", 0, "error", text ? text : "out of memory"));
	free(text);
	client_release(client);
}

void client_more(struct client *client, json_t *answer)
{
	json_object_set_new(answer, "more", json_true());
	answer_send(client, with_ok(answer, true));
}

size_t client_backlog(const struct client *client)
{
	return evbuffer_get_length(bufferevent_get_output(client->stream));
}

void client_hold(struct client *client, void (*cancel)(void *owner), void *owner)
{
	client->held = true;
	client->cancel = cancel;
	client->owner = owner;
}

/* ---- requests ---- */

static const struct argument *argument_find(const struct command *command, const char *key)
{
	for (const struct argument *a = command->arguments; a->name; a++) {
		if (strcmp(a->name, key) == 0)
			return a;
	}
	return NULL;
}

/* Is every argument known, of its type, and every required one there? Else told. */
static bool arguments_good(struct client *client, const struct command *command, json_t *request)
{
	const char *key;
	json_t *value;

	json_object_foreach(request, key, value)
	{
		const struct argument *a = argument_find(command, key);

		if (strcmp(key, "command") == 0)
			continue;
		if (!a) {
			client_fail(client, "\"%.64s\" is not an argument of %s", key,
				    command->name);
			return false;
		}
		if ((a->type == ARGUMENT_STRING && !json_is_string(value)) ||
		    (a->type == ARGUMENT_INT && !json_is_integer(value))) {
			client_fail(client, "\"%s\" of %s is not %s", key, command->name,
				    a->type == ARGUMENT_STRING ? "a string" : "an integer");
			return false;
		}
	}
	for (const struct argument *a = command->arguments; a->name; a++) {
		if (a->required && !json_object_get(request, a->name)) {
			client_fail(client, "%s needs \"%s\"", command->name, a->name);
			return false;
		}
	}
	return true;
}

static void request_run(struct client *client, json_t *request)
{
	const char *name = json_string_value(json_object_get(request, "command"));

	if (!name) {
		client_fail(client, "a request is an object with a \"command\", a string");
		return;
	}
	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
		if (strcmp(commands[i].name, name) != 0)
			continue;
		if (!client->control->lb->config)
			client_fail(client, "the configuration is still on its way; try again");
		else if (arguments_good(client, &commands[i], request))
			commands[i].run(client, request);
		return;
	}
	client_fail(client, "\"%.64s\" is not a command", name);
}

static void line_run(struct client *client, const char *line, size_t n)
{
	json_error_t error;
	json_t *request = json_loadb(line, n, JSON_REJECT_DUPLICATES, &error);

	if (!request)
		client_fail(client, "not JSON: %s", error.text);
	else
		request_run(client, request);
	json_decref(request);
}

static void on_read(struct bufferevent *stream, void *arg)
{
	struct evbuffer *in = bufferevent_get_input(stream);
	struct client *client = arg;
	size_t n;
	char *line;

	if (!client->held && !client->closing &&
	    (line = evbuffer_readln(in, &n, EVBUFFER_EOL_LF)) != NULL) {
		line_run(client, line, n);
		free(line);
		return; /* client_release() brings us back for the next one */
	}
	if (evbuffer_get_length(in) >= CONTROL_REQUEST_BYTES && client->held) {
		client_free(client); /* talks on while it waits for an answer: nonsense */
		return;
	}
	if (evbuffer_get_length(in) >= CONTROL_REQUEST_BYTES && !client->closing) {
		client_fail(client, "a request has at most %d bytes", CONTROL_REQUEST_BYTES);
		client->closing = true;
		bufferevent_disable(stream, EV_READ);
	}
}

static void on_written(struct bufferevent *stream, void *arg)
{
	struct client *client = arg;

	if (client->closing && evbuffer_get_length(bufferevent_get_output(stream)) == 0)
		client_free(client);
}

static void on_event(struct bufferevent *stream, short what_happened, void *arg)
{
	struct client *client = arg;

	/* Somebody who waits for a backend to drain is silent, not idle. */
	if ((what_happened & BEV_EVENT_TIMEOUT) && (what_happened & BEV_EVENT_READING) &&
	    client->held) {
		bufferevent_enable(stream, EV_READ);
		return;
	}
	client_free(client);
}

/* ---- connections ---- */

static void on_accept(struct evconnlistener *listener, evutil_socket_t fd, struct sockaddr *sa,
		      int len, void *arg)
{
	static const char busy[] = "{\"ok\":false,\"error\":\"too many clients; try again\"}\n";
	const struct timeval idle = {.tv_sec = CONTROL_IDLE_S};
	struct control *control = arg;
	struct client *client;

	(void)listener;
	(void)sa;
	(void)len;
	if (control->n_clients == CONTROL_CLIENTS) {
		if (send(fd, busy, sizeof(busy) - 1, MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
			log_debug("control client not answered: error=%s", strerror(errno));
		close(fd);
		return;
	}
	client = calloc(1, sizeof(*client));
	if (!client) {
		close(fd);
		return;
	}
	client->control = control;
	client->stream = bufferevent_socket_new(control->lb->loop, fd,
						BEV_OPT_CLOSE_ON_FREE | BEV_OPT_DEFER_CALLBACKS);
	if (!client->stream) {
		close(fd);
		free(client);
		return;
	}
	LIST_INSERT_HEAD(&control->clients, client, next);
	control->n_clients++;
	bufferevent_setcb(client->stream, on_read, on_written, on_event, client);
	bufferevent_setwatermark(client->stream, EV_READ, 0, CONTROL_REQUEST_BYTES);
	bufferevent_set_timeouts(client->stream, &idle, &idle);
	bufferevent_enable(client->stream, EV_READ | EV_WRITE);
}

struct control *control_new(struct lb *lb, const char *socket_path)
{
	struct sockaddr_un sa = {.sun_family = AF_UNIX};
	struct control *control = calloc(1, sizeof(*control));

	if (!control)
		return NULL;
	if (strlen(socket_path) >= sizeof(sa.sun_path)) {
		free(control);
		errno = ENAMETOOLONG;
		return NULL;
	}
	strcpy(sa.sun_path, socket_path);
	strcpy(control->path, socket_path);
	control->lb = lb;
	LIST_INIT(&control->clients);
	unlink(socket_path); /* one sluiced at a time: whoever left it is gone */
	mode_t before = umask(0117);

	control->listener = evconnlistener_new_bind(lb->loop, on_accept, control,
						    LEV_OPT_CLOSE_ON_FREE | LEV_OPT_CLOSE_ON_EXEC,
						    16, (struct sockaddr *)&sa, sizeof(sa));
	umask(before);
	if (!control->listener) {
		free(control);
		return NULL;
	}
	return control;
}

void control_free(struct control *control)
{
	if (!control)
		return;
	while (!LIST_EMPTY(&control->clients))
		client_free(LIST_FIRST(&control->clients));
	evconnlistener_free(control->listener);
	unlink(control->path);
	free(control);
}
