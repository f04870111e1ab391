/* SPDX-License-Identifier: BSD-2-Clause */
/* command_explain.c: `explain`: a packet of the operator's words is built, given to the dry run of
 * the program (plane_seeing.c), and what that noted is told.
 */
#include <bpf/bpf.h>
#include <net/if.h>
#include <string.h>

#include "lb/control.h"
#include "lb/flows.h"
#include "lb/plane.h"
#include "lb/see.h"

enum { SYN = 0x02 };

static const char *text_of(const json_t *request, const char *key)
{
	return json_string_value(json_object_get(request, key));
}

/* Told when it is not understood. */
static bool packet_read(struct client *client, const json_t *request, struct see_packet *ret)
{
	const char *from = text_of(request, "client"), *to = text_of(request, "vip");
	const char *protocol = text_of(request, "protocol"), *flags = text_of(request, "flags");
	struct see_packet p = {.protocol = IPPROTO_TCP, .tcp_flags = SYN};

	if (see_endpoint_parse(from, &p.src, &p.sport) < 0 ||
	    see_endpoint_parse(to, &p.dst, &p.dport) < 0)
		client_fail(client,
			    "expected ADDRESS:PORT twice (IPv6: [ADDRESS]:PORT): %.64s %.64s", from,
			    to);
	else if (addr_is_ipv4(&p.src) != addr_is_ipv4(&p.dst))
		client_fail(client, "%.64s and %.64s are not of one family", from, to);
	else if (protocol && see_protocol_parse(protocol, &p.protocol) < 0)
		client_fail(client, "\"%.64s\" is not a protocol; expected: tcp or udp", protocol);
	else if (flags && see_flags_parse(flags, &p.tcp_flags) < 0)
		client_fail(client,
			    "\"%.64s\" are not TCP flags; expected: syn, ack, fin, rst, psh, urg, "
			    "ece, cwr with | between them, or none",
			    flags);
	else if (flags && p.protocol != IPPROTO_TCP)
		client_fail(client, "only TCP has flags");
	else {
		*ret = p;
		return true;
	}
	return false;
}

/* The interface that the packet is to come in by: the one named, or the first with the program. */
static int interface_find(struct client *client, const char *name)
{
	const struct current *c = client_lb(client)->current;

	for (int i = 0; i < CURRENT_INTERFACES; i++) {
		const struct current_interface *in = &c->interfaces[i];

		if (in->used && in->mode != ATTACH_NONE && (!name || strcmp(in->name, name) == 0))
			return i;
	}
	if (name)
		client_fail(client,
			    "no interface \"%.16s\" has the program; see: sluice show config",
			    name);
	else
		client_fail(client, "no interface has the program; see: sluice show config");
	return -1;
}

/* What the flow table has, which the program may not have asked. */
static bool flow_find(const struct lb *lb, const struct explanation *e, struct flow *ret_flow)
{
	struct flow_key key = {.sport = e->tuple.sport, .service = e->service};

	memcpy(key.src, e->tuple.src, sizeof(key.src));
	return (e->stages & STAGE_SERVICE) &&
	       bpf_map_lookup_elem(lb->plane->maps[MAP_FLOWS], &key, ret_flow) == 0;
}

void command_explain(struct client *client, const json_t *request)
{
	struct lb *lb = client_lb(client);
	struct see_packet packet;
	struct explanation e;
	struct see_more more = {.now_s = clock_now_s()};
	char out[IF_NAMESIZE] = "?";
	uint8_t frame[SEE_FRAME];
	uint32_t len_bytes;
	int number, r;

	if (!packet_read(client, request, &packet))
		return;
	number = interface_find(client, text_of(request, "interface"));
	if (number < 0)
		return;
	memcpy(packet.to_mac, lb->current->interfaces[number].mac, sizeof(packet.to_mac));
	len_bytes = see_frame_build(&packet, frame);
	r = plane_explain(lb->plane, (uint32_t)number, &lb->current->interfaces[number], frame,
			  &len_bytes, sizeof(frame), &e);
	if (r < 0) {
		client_fail(client, "the dry run failed: %s", strerror(-r));
		return;
	}
	more.interface = lb->current->interfaces[number].name;
	more.in_table = flow_find(lb, &e, &more.flow);
	if (e.backend < CURRENT_BACKENDS) {
		more.mac = frame;
		if_indextoname(lb->plane->backends[e.backend].ifindex, out);
		more.out = out;
	}
	client_done(client, see_explanation(lb->current, &e, &more));
}
