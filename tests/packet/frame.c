/* SPDX-License-Identifier: BSD-2-Clause */
/* frame.c: see frame.h. */
#include "tests/packet/frame.h"

#include <arpa/inet.h>
#include <linux/if_ether.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/tcp.h>
#include <linux/udp.h>
#include <string.h>

const uint8_t frame_node_mac[6] = {0x02, 0, 0, 0, 0, 0x01};
const uint8_t frame_router_mac[6] = {0x02, 0, 0, 0, 0, 0xfe};

static const uint8_t vip4[16] = {[10] = 0xff, 0xff, 192, 0, 2, 10};
static const uint8_t vip6[16] = {0x20, 0x01, 0x0d, 0xb8, [15] = 0x10};

static void client_addr(const struct frame_spec *spec, uint8_t addr[static 16])
{
	static const uint8_t client4[16] = {[10] = 0xff, 0xff, 10};
	static const uint8_t client6[16] = {0x20, 0x01, 0x0d, 0xb8, 0, 1};

	memcpy(addr, spec->ipv6 ? client6 : client4, 16);
	addr[13] = (uint8_t)(spec->client >> 16);
	addr[14] = (uint8_t)(spec->client >> 8);
	addr[15] = (uint8_t)spec->client;
}

void frame_flow_key(const struct frame_spec *spec, uint16_t service, struct flow_key *ret_key)
{
	*ret_key = (struct flow_key){.sport = htons(spec->sport), .service = service};
	client_addr(spec, ret_key->src);
}

void frame_tuple(const struct frame_spec *spec, struct tuple *ret_tuple)
{
	*ret_tuple = (struct tuple){
		.sport = htons(spec->sport),
		.dport = htons(spec->dport),
		.protocol = spec->protocol,
	};
	client_addr(spec, ret_tuple->src);
	memcpy(ret_tuple->dst, spec->ipv6 ? vip6 : vip4, 16);
}

void frame_service_key(const struct frame_spec *spec, struct service_key *ret_key)
{
	*ret_key = (struct service_key){.port = htons(spec->dport), .protocol = spec->protocol};
	memcpy(ret_key->addr, spec->ipv6 ? vip6 : vip4, 16);
}

static uint32_t put_transport(const struct frame_spec *spec, uint8_t *at)
{
	struct udphdr udp = {.source = htons(spec->sport),
			     .dest = htons(spec->dport),
			     .len = htons(sizeof(udp) + FRAME_PAYLOAD)};
	struct tcphdr tcp = {
		.source = htons(spec->sport), .dest = htons(spec->dport), .doff = sizeof(tcp) / 4};

	if (spec->protocol == IPPROTO_UDP) {
		memcpy(at, &udp, sizeof(udp));
		return sizeof(udp) + FRAME_PAYLOAD;
	}
	memcpy(at, &tcp, sizeof(tcp));
	at[13] = spec->tcp_flags;
	return sizeof(tcp) + FRAME_PAYLOAD;
}

static uint32_t put_ipv4(const struct frame_spec *spec, uint8_t *at)
{
	uint32_t header_bytes = (uint32_t)sizeof(struct iphdr) + spec->options * 4U;
	uint32_t total_bytes = header_bytes + put_transport(spec, at + header_bytes);
	struct iphdr ip = {.version = 4,
			   .ihl = (header_bytes / 4) & 0xf,
			   .tot_len = htons((uint16_t)total_bytes),
			   .ttl = 64,
			   .protocol = spec->protocol};
	uint8_t client[16];

	client_addr(spec, client);
	memcpy(&ip.saddr, client + 12, 4);
	memcpy(&ip.daddr, vip4 + 12, 4);
	memcpy(at, &ip, sizeof(ip));
	memset(at + sizeof(ip), 1, spec->options * 4U);
	return total_bytes;
}

static uint32_t put_ipv6(const struct frame_spec *spec, uint8_t *at)
{
	uint32_t payload_bytes = put_transport(spec, at + sizeof(struct ipv6hdr));
	struct ipv6hdr ip = {.version = 6,
			     .payload_len = htons((uint16_t)payload_bytes),
			     .nexthdr = spec->protocol,
			     .hop_limit = 64};

	client_addr(spec, (uint8_t *)&ip.saddr);
	memcpy(&ip.daddr, vip6, 16);
	memcpy(at, &ip, sizeof(ip));
	return (uint32_t)sizeof(ip) + payload_bytes;
}

void frame_build(const struct frame_spec *spec, struct frame *ret_frame)
{
	struct ethhdr eth = {.h_proto = htons(spec->ipv6 ? ETH_P_IPV6 : ETH_P_IP)};
	uint8_t *ip = ret_frame->bytes + FRAME_IP_AT;

	memset(ret_frame, 0, sizeof(*ret_frame));
	memcpy(eth.h_dest, frame_node_mac, 6);
	memcpy(eth.h_source, frame_router_mac, 6);
	memcpy(ret_frame->bytes, &eth, sizeof(eth));
	ret_frame->len_bytes =
		(uint32_t)sizeof(eth) + (spec->ipv6 ? put_ipv6(spec, ip) : put_ipv4(spec, ip));
}
