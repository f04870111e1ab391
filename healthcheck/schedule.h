/* SPDX-License-Identifier: BSD-2-Clause */
/* schedule.h: when a backend is probed. Pure; times are CLOCK_MONOTONIC milliseconds.
 *
 * Each backend has a phase, a fraction of its interval in units of 2^-32, and is probed where the
 * clock modulo the interval comes to that phase. The phases of backends 0, 1, 2, ... are spread as
 * evenly as can be for every number of them (multiples of the golden ratio), from a start chosen
 * at random, so that two nodes do not probe in step.
 */
#ifndef SLUICE_HEALTHCHECK_SCHEDULE_H
#define SLUICE_HEALTHCHECK_SCHEDULE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/message.h"

enum {
	SCHEDULE_FIRST_MS = 1000,  /* within which each backend has begun its first probe */
	SCHEDULE_SLOT_MS = 20,	   /* the probes of so long a time begin together (wheel.h) */
	SCHEDULE_SUSPECT_MS = 100, /* between two probes of a backend that is suspected */
};

/* schedule_interval: which of a probe's intervals is due: while it is @unsure (judge_unsure())
 * interval_falling if it is up, else interval_rising; else interval_down while it is not up.
 */
uint32_t schedule_interval(const struct config_probe *probe, enum health health, bool unsure);

uint32_t schedule_phase(uint32_t start, uint32_t backend);

/* schedule_first: the first probe: soon, but not all at once. */
uint64_t schedule_first(uint64_t now_ms, uint32_t phase, uint32_t interval_ms);

/* schedule_next: after a probe that began at started_ms and has ended, now: never less than half an
 * interval after the last start, then in step with the phase.
 */
uint64_t schedule_next(uint64_t now_ms, uint64_t started_ms, uint32_t phase, uint32_t interval_ms);

#endif
