/* SPDX-License-Identifier: BSD-2-Clause */
/* judge.h: from verdicts to health, by rise and fall. Pure.
 *
 * What is unknown becomes up, down or leaving by one result. What is up turns after `fall` results
 * in a row that did not pass: to leaving when the last of them said so, else to down. What is down
 * or leaving turns up after `rise` passes in a row; and from one to the other after `fall` results
 * in a row that agree on the other (a server that said 421 and is then gone is down). A probe that
 * we were unable to make counts for nothing.
 *
 * An agent's word is its server's own decision and counts at once; what is no word of it (refused,
 * timed out, garbled) counts for nothing, so that the last one holds.
 */
#ifndef SLUICE_HEALTHCHECK_JUDGE_H
#define SLUICE_HEALTHCHECK_JUDGE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/message.h"
#include "healthcheck/probe.h"

struct judge {
	enum health health;
	uint16_t passed, failed; /* results in a row; one of them is 0 */
	uint16_t alike;		 /* of `failed`, the last ones that agree on leaving or not */
	bool leaving;		 /* what they agree on */
};

/* What a verdict came to: "failed=3/3". */
struct judgement {
	bool changed; /* judge.health */
	uint16_t agreeing, needed;
};

struct judgement judge_verdict(struct judge *j, unsigned int rise, unsigned int fall,
			       enum verdict_word word);

/* judge_agent: likewise, of an agent. @weight: verdict.weight: 0 %, while it is up, is leaving. */
struct judgement judge_agent(struct judge *j, enum verdict_word word, uint8_t weight);

/* judge_unsure: the last result disagrees with the health: it may turn soon. */
bool judge_unsure(const struct judge *j);

/* health_combine: what all of them come to: down if anybody says so, else leaving if anybody says
 * so, else as the probe has it. UNKNOWN: has said nothing.
 */
enum health health_combine(const enum health said[static SAYERS]);

#endif
