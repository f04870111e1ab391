/* SPDX-License-Identifier: BSD-2-Clause */
/* seer.h: a second instance of a plane's program that tells of its packets (bpf/explain.h), on the
 * same maps, and a digest of what they hold.
 */
#ifndef SLUICE_TESTS_SEER_H
#define SLUICE_TESTS_SEER_H

#include "tests/packet/plane.h"

struct seer {
	const struct plane *plane;
	struct balancer *skel;
	int fd; /* of the program */
};

/* seer_open: @seeing: SEEING_* */
void seer_open(const struct plane *plane, uint32_t seeing, struct seer *ret_seer);
void seer_close(struct seer *seer);
/* seer_stay_on_one_cpu: stamps are a CPU's own: the dry run and the packet must meet the same. */
void seer_stay_on_one_cpu(void);
/* seer_digest: of all maps of the plane, but those that each instance has for itself. */
uint64_t seer_digest(const struct seer *seer);
/* seer_explain: the dry run of a packet; @frame becomes what would come out. */
struct explanation seer_explain(const struct seer *seer, struct frame *frame, int *ret_verdict);

#endif
