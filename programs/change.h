/* SPDX-License-Identifier: BSD-2-Clause */
/* change.h: one change that hooks are told: of a backend's health, or of a VRRP instance's role. */
#ifndef SLUICE_PROGRAMS_CHANGE_H
#define SLUICE_PROGRAMS_CHANGE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/message.h"
#include "programs/facts.h"

enum change_event { CHANGE_BACKEND, CHANGE_VRRP };

struct change {
	enum change_event event;
	char pool[NAME_SIZE]; /* of a backend */
	char name[NAME_SIZE]; /* of the backend, or of the instance */
	struct addr addr;     /* of a backend */
	uint16_t port;	      /* likewise; 0 = none */
	char from[16], to[16];
	char by[16];		   /* of a backend: whose word it is */
	char reason[VERDICT_TEXT]; /* printable */
	uint32_t priority;	   /* of an instance, now */
	bool active;		   /* this node, in any instance */
	int64_t since_s;	   /* CLOCK_REALTIME */
};

/* change_by: whose word a backend's health is: a name of SAYER_NAMES. */
const char *change_by(const struct message_health *m);
/* change_facts: @node: this node's name. */
void change_facts(const struct change *c, const char *node, struct facts *ret_facts);

#endif
