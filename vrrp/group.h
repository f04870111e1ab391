/* SPDX-License-Identifier: BSD-2-Clause */
/* group.h: instances that are active on the same node, or on none. Pure rules over its members.
 *
 * A group has one priority on each node, the least of its members', less the weights of the failed
 * tracks of any: two nodes then decide alike at every member. (With a priority for each, a node
 * that is better at one and worse at another would take the group and lose it again for ever.)
 *
 * - One that may not be active (no interface, a track) takes the others out.
 * - One that becomes active makes the others active at once; one that steps back for a better node
 *   takes the others with it, which hand over as in a failover.
 * - An active node that is heard by one member holds all: a member's silent network alone does not
 *   move the group, which would only come back at once, at the members that hear each other. What
 *   takes over is a group all of whose members hear nobody, or any of whose members was told that
 *   the active node leaves (priority 0): the partner's members are a group, too.
 * - Between nodes of the same priority the addresses decide, of the first member that hears the
 *   other node: members of several networks could disagree. A later member steps back only after an
 *   interval, in which the first one would have heard it.
 */
#ifndef SLUICE_VRRP_GROUP_H
#define SLUICE_VRRP_GROUP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct group_member {
	uint8_t priority;	 /* as configured */
	bool out;		 /* it may not be active */
	uint64_t heard_until_us; /* another active node is, until then */
	uint64_t held_until_us;	 /* one that it lets be active */
	bool told_of_end;	 /* the last that was heard is that it leaves */
};

/* group_priority: the least of all, @n > 0. */
uint8_t group_priority(const struct group_member *members, size_t n);
/* group_out: the first that may not be active; NULL = all may. */
const struct group_member *group_out(const struct group_member *members, size_t n);
/* group_held_until_us: a member's timer has run out: until when the others hold it; 0 = it may
 * become active.
 */
uint64_t group_held_until_us(const struct group_member *members, size_t n, uint64_t now_us);
/* group_arbiter: whose addresses decide between equals; NULL = nobody hears another node. */
const struct group_member *group_arbiter(const struct group_member *members, size_t n,
					 uint64_t now_us);

#endif
