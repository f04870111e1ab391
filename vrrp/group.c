/* SPDX-License-Identifier: BSD-2-Clause */
/* group.c: see group.h. */
#include "vrrp/group.h"

uint8_t group_priority(const struct group_member *members, size_t n)
{
	uint8_t least = UINT8_MAX;

	for (size_t i = 0; i < n; i++)
		least = members[i].priority < least ? members[i].priority : least;
	return least;
}

const struct group_member *group_out(const struct group_member *members, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (members[i].out)
			return &members[i];
	}
	return NULL;
}

uint64_t group_held_until_us(const struct group_member *members, size_t n, uint64_t now_us)
{
	uint64_t until_us = 0;

	for (size_t i = 0; i < n; i++) {
		if (members[i].told_of_end)
			return 0;
		if (members[i].held_until_us > now_us && members[i].held_until_us > until_us)
			until_us = members[i].held_until_us;
	}
	return until_us;
}

const struct group_member *group_arbiter(const struct group_member *members, size_t n,
					 uint64_t now_us)
{
	for (size_t i = 0; i < n; i++) {
		if (members[i].heard_until_us > now_us)
			return &members[i];
	}
	return NULL;
}
