/* SPDX-License-Identifier: BSD-2-Clause */
/* control.h: the control socket: one JSON object a line in, one or more a line out.
 *
 * Commands are rows of the table in control.c; each handler is in a command_*.c. A handler answers
 * at once, or takes the client (client_hold) until something has happened; a client has one command
 * at a time. What a client sends is bounded, parsed strictly, and checked against the arguments of
 * the command's row before the handler sees it.
 */
#ifndef SLUICE_LB_CONTROL_H
#define SLUICE_LB_CONTROL_H

#include <jansson.h>

#include "lb/state.h"

enum {
	CONTROL_CLIENTS = 64,
	CONTROL_REQUEST_BYTES = 64 << 10,
	CONTROL_ANSWER_BYTES = 64 << 20, /* unread by a slow client, before it is cut off */
	CONTROL_IDLE_S = 300,
};

struct control;
struct client;

/* control_new: listen at the path; a socket file left by a predecessor is replaced. NULL with
 * errno. */
struct control *control_new(struct lb *lb, const char *path);
void control_free(struct control *control);

/* ---- for the handlers ---- */

enum argument_type { ARGUMENT_STRING, ARGUMENT_INT, ARGUMENT_ANY };

struct argument {
	const char *name;
	enum argument_type type;
	bool required;
};

struct command {
	const char *name;
	const struct argument *arguments; /* ends with a NULL name */
	void (*run)(struct client *client, const json_t *request);
};

struct lb *client_lb(struct client *client);
/* client_done: the last answer; takes @answer (an object without "ok") and adds "ok": true. */
void client_done(struct client *client, json_t *answer);
/* client_fail: the last answer, "ok": false, with words that say what to do. */
__attribute__((format(printf, 2, 3))) void client_fail(struct client *client, const char *format,
						       ...);
/* client_more: an answer that others follow; takes @answer. */
void client_more(struct client *client, json_t *answer);
/* client_backlog: bytes of answers that it has not read yet. */
size_t client_backlog(const struct client *client);
/* client_hold: the handler returns, the answer comes later; cancel is called when the client goes
 * away before client_done() or client_fail(), which end it.
 */
void client_hold(struct client *client, void (*cancel)(void *owner), void *owner);

/* show_flows: in command_flows.c: the one kind of `show` that takes its time. */
void show_flows(struct client *client, const json_t *request);

/* show_history: in command_vrrp.c: how the roles of all instances, or of one, have changed. */
void show_history(struct client *client, const json_t *request);

/* ---- command_show.c, used by status too ---- */

/* backend_state: one word (or two) for the backend of config index i, as shown everywhere. */
const char *backend_state(const struct lb *lb, uint32_t i);
/* health_rows: the array of "health", in command_health.c: who says what, and since when. New. */
json_t *health_rows(struct lb *lb);
/* health_problems: what of a backend's health is no reason to take it out, but to be looked after,
 * as sentences into @problems; and that it is held down. True when that explains its state.
 */
bool health_problems(json_t *problems, const struct lb *lb, uint32_t i);
/* health_expiring: backends whose certificate expires within their pool's tls_warn_days. */
uint32_t health_expiring(const struct lb *lb);
/* heart_of: what vrrp told last of that node by that link; zero where it told nothing. */
const struct message_partner *heart_of(const struct lb *lb, uint32_t node, uint32_t link);
/* heart_rows, heart_counters: what is heard of partners, in command_heart.c. */
json_t *heart_rows(struct lb *lb);
void heart_counters(struct lb *lb,
		    void (*row)(json_t *rows, const char *name, uint64_t value,
				const char *meaning),
		    json_t *rows);

/* hook_rows: the array of "hooks", in command_hooks.c: what became of the operator's programs. New.
 */
json_t *hook_rows(struct lb *lb);
/* hook_problems: of each hook that does not tell what it should. */
void hook_problems(json_t *problems, const struct lb *lb);
/* sync_rows: the array of "sync", in command_sync.c: the partners, and the links to them. New. */
json_t *sync_rows(struct lb *lb);
void sync_problems(json_t *problems, struct lb *lb);
void sync_counters(json_t *rows, const struct lb *lb);
/* hook_sums: of all hooks, and of all pools that heal. */
void hook_sums(const struct lb *lb, struct message_tally *ret_hooks,
	       struct message_tally *ret_heals);
/* route_rows: the array of "routes", in command_node.c. New. */
json_t *route_rows(struct lb *lb);
/* track_rows: the array of "tracks", in command_vrrp.c. New. */
json_t *track_rows(struct lb *lb);
/* track_problems: of each that fails. */
void track_problems(json_t *problems, const struct lb *lb);
/* tracks_failed: the names of those that fail and concern the instance; "" = none. */
void tracks_failed(const struct lb *lb, uint32_t instance, char *text, size_t size);
/* rows_of: the array that `show` gives: "services", "pools", ...; NULL = no such thing. New. */
json_t *rows_of(struct lb *lb, const char *what);

/* ---- the handlers, one for each row ---- */

void command_show(struct client *client, const json_t *request);
void command_status(struct client *client, const json_t *request);
void command_drain(struct client *client, const json_t *request);
void command_undrain(struct client *client, const json_t *request);
void command_disable(struct client *client, const json_t *request);
void command_enable(struct client *client, const json_t *request);
void command_weight(struct client *client, const json_t *request);
void command_drain_node(struct client *client, const json_t *request);
void command_undrain_node(struct client *client, const json_t *request);
void command_wait(struct client *client, const json_t *request);
void command_plan(struct client *client, const json_t *request);
void command_reload(struct client *client, const json_t *request);
void command_detach(struct client *client, const json_t *request);
void command_failover(struct client *client, const json_t *request);
void command_explain(struct client *client, const json_t *request);
void command_trace(struct client *client, const json_t *request);
void command_upgrade(struct client *client, const json_t *request);
void command_probe(struct client *client, const json_t *request);

#endif
