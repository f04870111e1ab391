/* SPDX-License-Identifier: BSD-2-Clause */
/* datagram.c: see datagram.h. */
#include "tests/packet/datagram.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <linux/bpf.h>
#include <net/if.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const uint8_t datagram_client_mac[6] = {0x02, 0, 0, 0, 0x77, 0x77};

static void put16(uint8_t *at, uint32_t v)
{
	at[0] = (uint8_t)(v >> 8);
	at[1] = (uint8_t)v;
}

static void put32(uint8_t *at, uint32_t v)
{
	put16(at, v >> 16);
	put16(at + 2, v & 0xffff);
}

static uint32_t get16(const uint8_t *at)
{
	return (uint32_t)at[0] << 8 | at[1];
}

static uint32_t get32(const uint8_t *at)
{
	return get16(at) << 16 | get16(at + 2);
}

/* The sum of RFC 1071, byte by byte. */
static uint32_t sum(uint32_t sum, const uint8_t *at, uint32_t bytes)
{
	for (uint32_t i = 0; i < bytes; i++)
		sum += i % 2 ? at[i] : (uint32_t)at[i] << 8;
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return sum;
}

static bool is_ipv6(const char *addr)
{
	return strchr(addr, ':') != NULL;
}

static uint32_t pseudo(const uint8_t *ip, bool ipv6, uint32_t protocol, uint32_t bytes)
{
	return sum(protocol + bytes, ip + (ipv6 ? 8 : 12), ipv6 ? 32 : 8);
}

enum { FRAME_LEAST = 60 };

/* ---- building ---- */

static uint32_t put_tcp(const struct datagram *w, uint8_t *at)
{
	uint32_t header = 20 + ((w->options_bytes + 3U) & ~3U);

	put16(at, w->sport);
	put16(at + 2, w->dport);
	put32(at + 4, w->seq);
	put32(at + 8, w->ack);
	at[12] = (uint8_t)(header / 4 << 4);
	at[13] = w->flags;
	put16(at + 14, w->window);
	put16(at + 18, w->urgent);
	memcpy(at + 20, w->options, w->options_bytes);
	memcpy(at + header, w->payload, w->payload_bytes);
	return header + w->payload_bytes;
}

static uint32_t put_transport(const struct datagram *w, uint8_t *at, uint32_t *ret_check_at)
{
	*ret_check_at = 0;
	if (w->offset) {
		memcpy(at, w->payload, w->payload_bytes);
		return w->payload_bytes;
	}
	if (w->protocol == IPPROTO_TCP) {
		*ret_check_at = 16;
		return put_tcp(w, at);
	}
	if (w->protocol == IPPROTO_UDP) {
		put16(at, w->sport);
		put16(at + 2, w->dport);
		put16(at + 4, 8U + w->payload_bytes);
		*ret_check_at = w->no_checksum ? 0 : 6;
	} else {
		at[0] = w->type;
		at[1] = w->code;
		*ret_check_at = 2;
	}
	memcpy(at + 8, w->payload, w->payload_bytes);
	return 8U + w->payload_bytes;
}

static void put_check(const struct datagram *w, uint8_t *ip, uint8_t *at, uint32_t bytes,
		      uint32_t check_at)
{
	bool six = is_ipv6(w->src);
	uint32_t s = w->protocol == IPPROTO_ICMP ? 0 : pseudo(ip, six, w->protocol, bytes);
	uint32_t check = ~sum(s, at, bytes) & 0xffff;

	if (!check_at)
		return;
	put16(at + check_at, check || w->protocol != IPPROTO_UDP ? check : 0xffff);
}

static uint32_t put_ip(const struct datagram *w, uint8_t *ip)
{
	bool six = is_ipv6(w->src), fragment = w->more || w->offset;
	uint8_t ttl = w->ttl ? w->ttl : 64;
	uint32_t header = six ? (fragment ? 48 : 40) : 20, bytes, check_at;

	bytes = put_transport(w, ip + header, &check_at);
	if (six) {
		ip[0] = 0x60;
		put16(ip + 4, bytes + header - 40);
		ip[6] = fragment ? IPPROTO_FRAGMENT : w->protocol;
		ip[7] = ttl;
		assert_int_equal(inet_pton(AF_INET6, w->src, ip + 8), 1);
		assert_int_equal(inet_pton(AF_INET6, w->dst, ip + 24), 1);
		if (fragment) {
			ip[40] = w->protocol;
			put16(ip + 42, w->offset | w->more);
			put32(ip + 44, w->id);
		}
	} else {
		ip[0] = 0x45;
		put16(ip + 2, bytes + header);
		put16(ip + 4, w->id);
		put16(ip + 6, (w->df ? 0x4000U : 0) | (w->more ? 0x2000U : 0) | w->offset / 8U);
		ip[8] = ttl;
		ip[9] = w->protocol;
		assert_int_equal(inet_pton(AF_INET, w->src, ip + 12), 1);
		assert_int_equal(inet_pton(AF_INET, w->dst, ip + 16), 1);
		put16(ip + 10, ~sum(0, ip, 20) & 0xffff);
	}
	put_check(w, ip, ip + header, bytes, check_at);
	return header + bytes;
}

void datagram_build(const struct datagram *w, struct frame *ret_frame)
{
	uint8_t *at = ret_frame->bytes;

	memset(ret_frame, 0, sizeof(*ret_frame));
	memcpy(at, frame_node_mac, 6);
	memcpy(at + 6, frame_router_mac, 6);
	put16(at + 12, is_ipv6(w->src) ? 0x86dd : 0x0800);
	ret_frame->len_bytes = 14 + put_ip(w, at + 14);
	assert_true(ret_frame->len_bytes <= FRAME_SIZE);
}

void datagram_quote(const struct datagram *about, uint16_t bytes, struct datagram *error)
{
	struct frame frame;

	datagram_build(about, &frame);
	assert_true(bytes <= DATAGRAM_PAYLOAD && bytes <= frame.len_bytes - 14);
	memcpy(error->payload, frame.bytes + 14, bytes);
	error->payload_bytes = bytes;
}

/* ---- reading ---- */

static void get_tcp(const uint8_t *at, uint32_t bytes, struct datagram *w)
{
	uint32_t header = at[12] >> 4 << 2;

	assert_in_range(header, 20, bytes);
	w->seq = get32(at + 4);
	w->ack = get32(at + 8);
	w->flags = at[13];
	w->window = (uint16_t)get16(at + 14);
	w->urgent = (uint16_t)get16(at + 18);
	w->options_bytes = (uint8_t)(header - 20);
	memcpy(w->options, at + 20, header - 20);
	w->payload_bytes = (uint16_t)(bytes - header);
	memcpy(w->payload, at + header, bytes - header);
}

static void get_transport(const uint8_t *at, uint32_t bytes, struct datagram *w)
{
	if (w->protocol == IPPROTO_TCP || w->protocol == IPPROTO_UDP) {
		w->sport = (uint16_t)get16(at);
		w->dport = (uint16_t)get16(at + 2);
	}
	if (w->protocol == IPPROTO_TCP) {
		get_tcp(at, bytes, w);
		return;
	}
	if (w->protocol == IPPROTO_UDP) {
		assert_int_equal(get16(at + 4), bytes);
		w->no_checksum = get16(at + 6) == 0;
	} else {
		w->type = at[0];
		w->code = at[1];
	}
	w->payload_bytes = (uint16_t)(bytes - 8);
	memcpy(w->payload, at + 8, bytes - 8);
}

/* The IP header; where the rest begins. */
static const uint8_t *get_ip(const uint8_t *ip, struct datagram *w, uint32_t *ret_bytes)
{
	bool six = *ip >> 4 == 6;

	inet_ntop(six ? AF_INET6 : AF_INET, ip + (six ? 8 : 12), w->src, sizeof(w->src));
	inet_ntop(six ? AF_INET6 : AF_INET, ip + (six ? 24 : 16), w->dst, sizeof(w->dst));
	w->ttl = ip[six ? 7 : 8];
	w->protocol = ip[six ? 6 : 9];
	if (!six) {
		assert_int_equal(sum(0, ip, 20), 0xffff);
		w->offset = (uint16_t)((get16(ip + 6) & 0x1fff) * 8);
		w->more = get16(ip + 6) & 0x2000;
		w->df = get16(ip + 6) & 0x4000;
		w->id = (uint16_t)get16(ip + 4);
		*ret_bytes = get16(ip + 2) - 20;
		return ip + 20;
	}
	*ret_bytes = get16(ip + 4);
	if (w->protocol != IPPROTO_FRAGMENT)
		return ip + 40;
	w->protocol = ip[40];
	w->offset = get16(ip + 42) & 0xfff8;
	w->more = ip[43] & 1;
	*ret_bytes -= 8;
	return ip + 48;
}

/* Behind the packet there is nothing, or zeros up to the least length of a frame. */
static void padding_check(const struct frame *frame, uint32_t end)
{
	if (frame->len_bytes != FRAME_LEAST)
		assert_int_equal(end, frame->len_bytes);
	assert_true(end <= frame->len_bytes);
	for (; end < frame->len_bytes; end++)
		assert_int_equal(frame->bytes[end], 0);
}

void datagram_read(const struct frame *frame, struct datagram *ret_datagram)
{
	const uint8_t *ip = frame->bytes + 14, *at;
	uint32_t bytes, s;

	memset(ret_datagram, 0, sizeof(*ret_datagram));
	at = get_ip(ip, ret_datagram, &bytes);
	padding_check(frame, (uint32_t)(at + bytes - frame->bytes));
	if (ret_datagram->offset) {
		ret_datagram->payload_bytes = (uint16_t)bytes;
		memcpy(ret_datagram->payload, at, bytes);
		return;
	}
	get_transport(at, bytes, ret_datagram);
	s = ret_datagram->protocol == IPPROTO_ICMP
		    ? 0
		    : pseudo(ip, is_ipv6(ret_datagram->src), ret_datagram->protocol, bytes);
	if (!ret_datagram->no_checksum)
		assert_int_equal(sum(s, at, bytes), 0xffff);
}

void datagram_read_quoted(const struct datagram *error, struct datagram *ret_datagram)
{
	const uint8_t *ip = error->payload, *at;
	uint32_t bytes, there;

	memset(ret_datagram, 0, sizeof(*ret_datagram));
	at = get_ip(ip, ret_datagram, &bytes);
	there = error->payload_bytes - (uint32_t)(at - ip);
	if (there < bytes) { /* ports, and a sequence number */
		ret_datagram->sport = (uint16_t)get16(at);
		ret_datagram->dport = (uint16_t)get16(at + 2);
		ret_datagram->seq = get32(at + 4);
		return;
	}
	get_transport(at, bytes, ret_datagram);
	assert_int_equal(sum(pseudo(ip, is_ipv6(ret_datagram->src), ret_datagram->protocol, bytes),
			     at, bytes),
			 0xffff);
}

int datagram_run(struct plane *plane, const struct datagram *w, struct datagram *ret_out)
{
	struct frame frame;
	int verdict;

	datagram_build(w, &frame);
	verdict = plane_run(plane->fd, &frame, NULL);
	if (verdict != XDP_DROP)
		datagram_read(&frame, ret_out);
	return verdict;
}

/* ---- a network ---- */

unsigned int datagram_network(void)
{
	static const char *const commands[] = {
		"ip link set lo up",
		"sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1",
		"ip link add clients type veth peer name peer",
		"ip link set clients up",
		"ip link set peer up",
		"ip address add 10.255.255.254/8 dev clients",
		"ip address add 2001:db8:1::fffe/48 dev clients nodad",
		"ip neighbour add 10.0.0.7 lladdr 02:00:00:00:77:77 dev clients",
		"ip neighbour add 2001:db8:1::7 lladdr 02:00:00:00:77:77 dev clients",
		"ip neighbour add 10.66.0.7 lladdr 02:00:00:00:77:77 dev clients",
		"ip route add 10.66.0.0/16 dev clients mtu lock 100",
		"ip route add unreachable 10.77.0.0/16",
		"ip address add 192.0.2.10/32 dev lo",
		"ip address add 192.0.2.1/24 dev lo",
	};

	assert_int_equal(unshare(CLONE_NEWNET), 0);
	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
		assert_int_equal(system(commands[i]), 0);
	return if_nametoindex("clients");
}

void datagram_forwarding(bool on)
{
	assert_int_equal(system(on ? "sysctl -qw net.ipv4.ip_forward=1"
				   : "sysctl -qw net.ipv4.ip_forward=0"),
			 0);
}
