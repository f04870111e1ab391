/* SPDX-License-Identifier: BSD-2-Clause */
/* plane.h: the program and its maps, loaded as in service, and fed by BPF_PROG_TEST_RUN. */
#ifndef SLUICE_TESTS_PLANE_H
#define SLUICE_TESTS_PLANE_H

#include <stdbool.h>
#include <stdint.h>

#include "bpf/abi.h"
#include "tests/packet/frame.h"

struct balancer;

struct plane {
	struct balancer *skel;
	int fd;		 /* of the program */
	int template_fd; /* an inner map of the tables' size */
	uint32_t cpus;	 /* possible ones */
	uint32_t slots;
	uint64_t key[HASH_KEY_WORDS];
	struct backend *backends;   /* the map itself */
	struct clock *clock;	    /* likewise */
	struct service_line *lines; /* likewise */
	uint16_t *owners;	    /* `slots` elements; for whoever makes tables */
};

struct plane_sizes {
	uint32_t slots, flows, embryos;
	uint32_t features; /* FEATURE_* */
	uint32_t vrids[VRID_BITS / 32];
	uint16_t nat_ports; /* source ports of fullnat; 0 = those of the default */
};

/* plane_permitted: may this process load BPF programs? Else what is missing was printed. */
bool plane_permitted(void);

/* plane_open: load, with the node's MAC of frame.h, interface 1 (which test runs come from) and a
 * hash key that is fixed, so that tests are repeatable. 0 or -errno.
 */
int plane_open(const struct plane_sizes *sizes, struct plane *ret_plane);
void plane_close(struct plane *plane);

/* The functions below abort with a message when the kernel refuses: nothing can go on then. */

void plane_service_set(struct plane *plane, const struct frame_spec *spec, uint16_t id,
		       uint16_t pool);
/* plane_record_set: any record of `services`. */
void plane_record_set(struct plane *plane, const struct service_key *key,
		      const struct service *service);
/* plane_backend_set: alive, its MAC ends with its number. */
void plane_backend_set(struct plane *plane, uint32_t number, uint32_t ifindex);
/* plane_table_set: @owners and @previous have `slots` elements, as the ABI has them. */
void plane_table_set(struct plane *plane, uint32_t pool, const uint16_t *owners,
		     const uint16_t *previous);
/* plane_clock_set: as lb/ does every second. */
void plane_clock_set(struct plane *plane, uint32_t now_s);
/* plane_stamp_all: as if a flow of each bucket had been refreshed in this epoch. 0 or -errno. */
int plane_stamp_all(const struct plane *plane);

/* plane_run: one packet. @frame becomes what comes out; the XDP verdict.
 * @ret_ns: how long the program took; may be NULL
 */
int plane_run(int program_fd, struct frame *frame, uint32_t *ret_ns);

/* Sums over the CPUs. */
uint64_t plane_reason(const struct plane *plane, enum reason reason);
struct service_stats plane_service_stats(const struct plane *plane, uint32_t id);
struct backend_stats plane_backend_stats(const struct plane *plane, uint32_t number);

#endif
