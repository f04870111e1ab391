/* SPDX-License-Identifier: BSD-2-Clause */
/* rights.h: which instances may be active, with what priority, and who goes with whom: tracks
 * (track.h) and groups (group.h) at work on the instances of the process.
 *
 * Facts come from netlink (interfaces; routes by route.h) and, by the parent, from programs and lb.
 * Each may change what is left of an instance's priority, which is sent at once, or take it out:
 * its machine is in INIT then, after it has handed over.
 */
#ifndef SLUICE_VRRP_RIGHTS_H
#define SLUICE_VRRP_RIGHTS_H

#include "base/message.h"
#include "vrrp/packet.h"

struct instance;
struct rights;
struct vrrp_process;

/* What an instance has of it: a member of it. */
struct right {
	uint32_t number;			   /* in the configuration */
	uint32_t group;				   /* the same for all of one group; 0 = in none */
	char why[VERDICT_TEXT], out[VERDICT_TEXT]; /* out "" = it may be active */
	char reason[VERDICT_TEXT];		   /* of its last change, by its group */
	uint64_t heard_us;			   /* the last advert; 0 = none */
	uint64_t heard_until_us, held_until_us;	   /* as in struct group_member */
	uint64_t decides_us; /* between equals, unless it is the first member: not before then */
	bool told_of_end;
};

/* rights_new: of the process's instances, which may change; NULL with errno. */
struct rights *rights_new(struct vrrp_process *process, struct instance **instances,
			  const uint32_t *n_instances);
void rights_free(struct rights *r);
/* rights_configure: after the instances were; puts them into the order of the configuration. */
void rights_configure(struct rights *r, const struct config *config);
/* rights_hear: a track of lb's or programs'. */
void rights_hear(struct rights *r, const struct message_track *m);
/* rights_look: interfaces and addresses may have changed, and the instances know it. */
void rights_look(struct rights *r);
/* rights_link_changed: some link has: routes may be gone. */
void rights_link_changed(struct rights *r);
/* rights_together: are they the same, or of one group? */
bool rights_together(const struct instance *a, const struct instance *b);

/* ---- for the instance that steps ---- */

/* rights_turned: its role changed: its group goes with it. */
void rights_turned(struct instance *i, enum vrrp_role before);
/* rights_started: with its group active, so is it. */
void rights_started(struct instance *i);
/* rights_heard: it took an advert; its timer was due at @due_before_us. */
void rights_heard(struct instance *i, const struct vrrp_advert *advert, uint64_t due_before_us,
		  uint64_t now_us);
/* rights_ended: a partner that was active is not: it says so, or is dead. */
void rights_ended(struct instance *i, bool said, uint64_t now_us);
/* rights_undecided: an advert of the same priority, but another member's addresses decide. */
bool rights_undecided(struct instance *i, const struct vrrp_advert *advert, uint64_t now_us);
/* rights_held_until_us: a backup's timer has run out: until when its group holds it; 0 = not. */
uint64_t rights_held_until_us(struct instance *i, uint64_t now_us);

#endif
