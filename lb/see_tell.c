/* SPDX-License-Identifier: BSD-2-Clause */
/* see_tell.c: what the program noted of a packet (struct explanation), in words; see see.h. */
#include <net/if.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

#include <linux/bpf.h>

#include "lb/flows.h"
#include "lb/see.h"

#define I(value) json_integer((json_int_t)(value))

enum { TEXT = 400, BACKEND = 2 * NAME_SIZE };

/* ---- names ---- */

static const struct {
	const char *name, *meaning;
} reasons[REASON_COUNT] = {
#define REASON_ROW(upper, lower, text) {#lower, text},
	REASONS(REASON_ROW)
#undef REASON_ROW
};

const char *see_reason_name(uint32_t reason)
{
	return reason < REASON_COUNT ? reasons[reason].name : "?";
}

const char *see_reason_meaning(uint32_t reason)
{
	if (reason == REASON_FORWARDED)
		return "sent to the backend";
	return reason < REASON_COUNT ? reasons[reason].meaning : "?";
}

const char *see_verdict_name(uint32_t verdict)
{
	static const char *const names[] = {
		[XDP_ABORTED] = "drop", [XDP_DROP] = "drop",   [XDP_PASS] = "pass",
		[XDP_TX] = "tx",	[XDP_REDIRECT] = "tx",
	};

	return verdict <= XDP_REDIRECT ? names[verdict] : "?";
}

const char *see_kind_name(const struct explanation *e)
{
	static const char *const names[] = {
		[PACKET_OTHER] = "established", [PACKET_SYN] = "syn",
		[PACKET_FIN] = "fin",		[PACKET_RST] = "rst",
		[PACKET_ICMP] = "icmp error",	[PACKET_FRAGMENT] = "fragment",
	};

	if (e->kind == PACKET_OTHER && e->tuple.protocol != IPPROTO_TCP)
		return "datagram";
	return e->kind < sizeof(names) / sizeof(names[0]) ? names[e->kind] : "?";
}

const char *see_endpoint(const uint8_t addr[static 16], uint16_t port, char text[static SEE_ADDR])
{
	static const uint8_t nobody[16];
	char of_addr[INET6_ADDRSTRLEN];
	struct addr a;

	if (memcmp(addr, nobody, sizeof(nobody)) == 0)
		return strcpy(text, "");
	memcpy(&a, addr, sizeof(a));
	snprintf(text, SEE_ADDR, addr_is_ipv4(&a) ? "%s:%u" : "[%s]:%u", addr_format(&a, of_addr),
		 ntohs(port));
	return text;
}

const char *see_protocol_name(uint8_t protocol, char text[static 16])
{
	snprintf(text, 16, "%u", protocol);
	if (protocol == IPPROTO_TCP || protocol == IPPROTO_UDP)
		strcpy(text, protocol == IPPROTO_TCP ? "tcp" : "udp");
	return protocol ? text : "";
}

const char *see_backend(const struct current *c, uint32_t number, char text[static 2 * NAME_SIZE])
{
	if (number >= CURRENT_BACKENDS)
		snprintf(text, BACKEND, "none");
	else if (!c->backends[number].used)
		snprintf(text, BACKEND, "number %u, which is no backend's now", number);
	else
		snprintf(text, BACKEND, "%.*s/%.*s", NAME_SIZE - 1, c->backends[number].pool_name,
			 NAME_SIZE - 1, c->backends[number].name);
	return text;
}

static const char *service_name(const struct current *c, const struct explanation *e)
{
	if (!(e->stages & STAGE_SERVICE) || e->service >= SERVICE_MAX ||
	    !c->services[e->service].used)
		return NULL;
	return c->services[e->service].name;
}

static bool is_counted(const struct explanation *e, enum reason reason)
{
	return e->reasons >> reason & 1;
}

static bool in_transition(const struct explanation *e)
{
	return (e->stages & STAGE_SLOT) && (e->owner & SLOT_TRANSITION);
}

/* ---- why ---- */

static const char *why_looked_up(const struct explanation *e)
{
	if (is_counted(e, REASON_FLOW_MOVED))
		return "its flow's backend is gone: to the slot's owner";
	if (is_counted(e, REASON_FLOW_PREVIOUS))
		return "an unknown flow of a slot in transition belongs to the previous owner";
	if ((e->stages & STAGE_FLOW) && e->flow_backend == e->backend)
		return "its flow lives there";
	if (e->kind == PACKET_SYN)
		return "a new connection goes to the slot's owner";
	if (e->embryo != BACKEND_NONE && e->embryo == e->backend)
		return "its connection began there (embryo)";
	return "unknown flow: to the slot's owner";
}

const char *see_why(const struct explanation *e)
{
	if (e->backend == BACKEND_NONE)
		return see_reason_meaning(e->reason);
	if (e->kind == PACKET_FRAGMENT)
		return "where the first fragment went";
	if (!(e->stages & STAGE_SLOT))
		return "its translation says so";
	if (e->stages & STAGE_FLOWS)
		return why_looked_up(e);
	if (e->kind == PACKET_SYN)
		return "a new connection goes to the slot's owner";
	if (e->kind == PACKET_ICMP)
		return "the slot is settled: the flow that it is about is at its owner";
	return "its bucket was refreshed in this epoch: to the owner of the settled slot";
}

/* ---- explain: a row a stage ---- */

static void row(json_t *rows, const char *stage, const char *found)
{
	json_array_append_new(rows, json_pack("{s:s, s:s}", "stage", stage, "found", found));
}

static void tell_parse(const struct explanation *e, const struct see_more *more, json_t *rows)
{
	char text[TEXT], client[SEE_ADDR], vip[SEE_ADDR], protocol[16];

	snprintf(text, sizeof(text), "%s %s, %s -> %s, %u bytes, in by %s",
		 see_protocol_name(e->tuple.protocol, protocol), see_kind_name(e),
		 see_endpoint(e->tuple.src, e->tuple.sport, client),
		 see_endpoint(e->tuple.dst, e->tuple.dport, vip), e->len_bytes, more->interface);
	row(rows, "parse", text);
}

static const char *mode_name(uint8_t mode)
{
	static const char *const names[] = {"dsr", "tunnel", "nat", "fullnat"};

	return mode <= FORWARD_FULLNAT ? names[mode] : "?";
}

static const char *pool_name(const struct current *c, uint32_t pool)
{
	return pool < POOL_MAX && c->pools[pool].used ? c->pools[pool].name : "?";
}

static void tell_service(const struct current *c, const struct explanation *e, json_t *rows)
{
	const struct current_service *s = &c->services[e->service % SERVICE_MAX];
	char text[TEXT];

	if (!service_name(c, e)) {
		row(rows, "service", "none");
		return;
	}
	snprintf(text, sizeof(text), "%s, pool %s, mode %s", s->name, pool_name(c, s->plane.pool),
		 mode_name(s->plane.mode));
	row(rows, "service", text);
}

/* What of a packet's fate is the operator's choice. */
static void tell_policy(const struct current *c, const struct explanation *e, json_t *rows)
{
	static const struct {
		uint8_t flag;
		const char *text;
	} flags[] = {{SERVICE_RESET, ", flows of a backend that is gone are reset"},
		     {SERVICE_STATEFUL, ", translated per flow"},
		     {SERVICE_PROXY_V2, ", PROXY v2"},
		     {SERVICE_SYN_COOKIES, ", SYN cookies"}};
	const struct service *s = &c->services[e->service % SERVICE_MAX].plane;
	char text[TEXT];
	int n;

	if (!service_name(c, e)) {
		if (e->stages & STAGE_PARSED)
			row(rows, "policy", see_reason_meaning(e->reason));
		return;
	}
	n = snprintf(text, sizeof(text),
		     s->source_bits ? "slot by the first %u bits of the source" : "slot by flow",
		     s->source_bits);
	for (size_t i = 0; i < sizeof(flags) / sizeof(flags[0]); i++) {
		if (s->flags & flags[i].flag)
			n += snprintf(text + n, sizeof(text) - (size_t)n, "%s", flags[i].text);
	}
	row(rows, "policy", text);
}

static void tell_slot(const struct current *c, const struct explanation *e, json_t *rows)
{
	char text[2 * TEXT], owner[BACKEND], previous[BACKEND];

	if (!(e->stages & STAGE_SLOT))
		return;
	snprintf(text, sizeof(text), "%u of %u, %s, owner %s%s%s", e->slot, c->settings.slots,
		 in_transition(e) ? "in transition" : "settled",
		 see_backend(c, e->owner & SLOT_BACKEND, owner),
		 in_transition(e) ? ", previous owner " : "",
		 in_transition(e) ? see_backend(c, e->previous, previous) : "");
	row(rows, "slot", text);
}

static void flow_text(const struct current *c, uint32_t backend, uint32_t flags, uint16_t seen,
		      uint32_t now_s, char *text, size_t size)
{
	const struct flow f = {.seen = seen};
	uint32_t silent_s = flow_silent_s(&f, now_s);
	char name[BACKEND];

	snprintf(text, size, "%s, %s, silent for %u to %u s", see_backend(c, backend, name),
		 flags & FLOW_CLOSING ? "closing" : "live", silent_s, silent_s + EPOCH_SECONDS);
}

static void tell_flow(const struct current *c, const struct explanation *e,
		      const struct see_more *more, json_t *rows)
{
	char text[2 * TEXT], known[TEXT];

	if (!(e->stages & STAGE_SLOT))
		return;
	if (e->stages & STAGE_FLOW) {
		flow_text(c, e->flow_backend, e->flow_flags, e->flow_seen, more->now_s, known,
			  sizeof(known));
		snprintf(text, sizeof(text), "at %s", known);
	} else if (e->stages & STAGE_FLOWS) {
		snprintf(text, sizeof(text), "not known");
	} else if (more->in_table) {
		flow_text(c, more->flow.backend, more->flow.flags, more->flow.seen, more->now_s,
			  known, sizeof(known));
		snprintf(text, sizeof(text), "not asked for; the table has it at %s", known);
	} else {
		snprintf(text, sizeof(text), "not asked for; the table does not have it");
	}
	row(rows, "flow", text);
}

static void tell_embryo(const struct current *c, const struct explanation *e, json_t *rows)
{
	char name[BACKEND];

	if (!(e->stages & STAGE_SLOT))
		return;
	row(rows, "embryo",
	    !(e->stages & STAGE_PREVIOUS) ? "not asked for" : see_backend(c, e->embryo, name));
}

static void tell_backend(const struct current *c, const struct explanation *e,
			 const struct see_more *more, json_t *rows)
{
	const struct current_backend *b = &c->backends[e->backend % CURRENT_BACKENDS];
	char text[3 * TEXT], name[BACKEND], addr[INET6_ADDRSTRLEN];
	struct addr a;

	if (e->backend >= CURRENT_BACKENDS)
		return;
	snprintf(text, sizeof(text), "%s: %s", see_backend(c, e->backend, name), see_why(e));
	row(rows, "backend", text);
	if (!more->mac)
		return;
	memcpy(&a, b->plane.addr, sizeof(a));
	snprintf(text, sizeof(text), "%s, %02x:%02x:%02x:%02x:%02x:%02x, for %s", more->out,
		 more->mac[0], more->mac[1], more->mac[2], more->mac[3], more->mac[4], more->mac[5],
		 addr_format(&a, addr));
	row(rows, "next hop", text);
}

static json_t *others_counted(const struct explanation *e)
{
	json_t *names = json_array();

	for (uint32_t i = 0; i < REASON_COUNT; i++) {
		if (i != e->reason && e->reasons >> i & 1)
			json_array_append_new(names, json_string(see_reason_name(i)));
	}
	return names;
}

static void set(json_t *o, const char *key, json_t *value)
{
	json_object_set_new(o, key, value);
}

static void set_backend(json_t *o, const char *key, const struct current *c, bool known,
			uint32_t number)
{
	char name[BACKEND];

	if (known && number < CURRENT_BACKENDS)
		set(o, key, json_string(see_backend(c, number, name)));
	else
		set(o, key, json_null());
}

/* The same without words around it, for scripts. */
static json_t *plain(const struct current *c, const struct explanation *e,
		     const struct see_more *more)
{
	bool slot = e->stages & STAGE_SLOT, flow = e->stages & STAGE_FLOW;
	char client[SEE_ADDR], vip[SEE_ADDR], protocol[16], mac[18] = "";
	const char *service = service_name(c, e);
	json_t *o = json_object();

	set(o, "interface", json_string(more->interface));
	set(o, "client", json_string(see_endpoint(e->tuple.src, e->tuple.sport, client)));
	set(o, "vip", json_string(see_endpoint(e->tuple.dst, e->tuple.dport, vip)));
	set(o, "protocol", json_string(see_protocol_name(e->tuple.protocol, protocol)));
	set(o, "kind", json_string(see_kind_name(e)));
	set(o, "service", service ? json_string(service) : json_null());
	set(o, "pool",
	    service ? json_string(pool_name(c, c->services[e->service].plane.pool)) : json_null());
	set(o, "mode",
	    service ? json_string(mode_name(c->services[e->service].plane.mode)) : json_null());
	set(o, "slot", slot ? I(e->slot) : json_null());
	set(o, "transition", json_boolean(in_transition(e)));
	set_backend(o, "owner", c, slot, e->owner & SLOT_BACKEND);
	set_backend(o, "previous", c, in_transition(e), e->previous);
	set(o, "flow_asked", json_boolean(e->stages & STAGE_FLOWS));
	set_backend(o, "flow_backend", c, flow || more->in_table,
		    flow ? e->flow_backend : more->flow.backend);
	set(o, "flow_closing",
	    json_boolean((flow ? e->flow_flags : more->flow.flags) & FLOW_CLOSING));
	set_backend(o, "embryo", c, e->stages & STAGE_PREVIOUS, e->embryo);
	set_backend(o, "backend", c, true, e->backend);
	set(o, "why", json_string(see_why(e)));
	if (more->mac)
		snprintf(mac, sizeof(mac), "%02x:%02x:%02x:%02x:%02x:%02x", more->mac[0],
			 more->mac[1], more->mac[2], more->mac[3], more->mac[4], more->mac[5]);
	set(o, "out", more->mac ? json_string(more->out) : json_null());
	set(o, "mac", more->mac ? json_string(mac) : json_null());
	set(o, "verdict", json_string(see_verdict_name(e->verdict)));
	set(o, "reason", json_string(see_reason_name(e->reason)));
	set(o, "counted", others_counted(e));
	return o;
}

json_t *see_explanation(const struct current *c, const struct explanation *e,
			const struct see_more *more)
{
	json_t *rows = json_array();
	char text[TEXT];

	tell_parse(e, more, rows);
	tell_service(c, e, rows);
	tell_policy(c, e, rows);
	tell_slot(c, e, rows);
	tell_flow(c, e, more, rows);
	tell_embryo(c, e, rows);
	tell_backend(c, e, more, rows);
	snprintf(text, sizeof(text), "%s, %s: %s", see_verdict_name(e->verdict),
		 see_reason_name(e->reason), see_reason_meaning(e->reason));
	row(rows, "verdict", text);
	return json_pack("{s:o, s:o}", "explanation", plain(c, e, more), "stages", rows);
}

/* ---- trace ---- */

json_t *see_event(const struct current *c, const struct explanation *e, int64_t at_us)
{
	char client[SEE_ADDR], vip[SEE_ADDR], protocol[16];
	const char *service = service_name(c, e);
	json_t *o = json_object();

	set(o, "at_us", I(at_us));
	set(o, "client", json_string(see_endpoint(e->tuple.src, e->tuple.sport, client)));
	set(o, "vip", json_string(see_endpoint(e->tuple.dst, e->tuple.dport, vip)));
	set(o, "protocol", json_string(see_protocol_name(e->tuple.protocol, protocol)));
	set(o, "kind", json_string(see_kind_name(e)));
	set(o, "bytes", I(e->len_bytes));
	set(o, "service", service ? json_string(service) : json_null());
	set_backend(o, "backend", c, true, e->backend);
	set(o, "verdict", json_string(see_verdict_name(e->verdict)));
	set(o, "reason", json_string(see_reason_name(e->reason)));
	set(o, "counted", others_counted(e));
	return o;
}
