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

uint64_t group_held_until_ms(const struct group_member *members, size_t n, uint64_t now_ms)
{
	uint64_t until_ms = 0;

	for (size_t i = 0; i < n; i++) {
		if (members[i].told_of_end)
			return 0;
		if (members[i].held_until_ms > now_ms && members[i].held_until_ms > until_ms)
			until_ms = members[i].held_until_ms;
	}
	return until_ms;
}

const struct group_member *group_arbiter(const struct group_member *members, size_t n,
					 uint64_t now_ms)
{
	for (size_t i = 0; i < n; i++) {
		if (members[i].heard_until_ms > now_ms)
			return &members[i];
	}
	return NULL;
}
