/* SPDX-License-Identifier: BSD-2-Clause */
/* schedule.c: see schedule.h. */
#include "healthcheck/schedule.h"

enum { GOLDEN = 0x9e3779b1 }; /* 2^32 / 1.618..., odd */

uint32_t schedule_phase(uint32_t start, uint32_t backend)
{
	return start + backend * (uint32_t)GOLDEN;
}

/* In milliseconds, of the beginning of a slot. */
static uint64_t part_of(uint32_t phase, uint32_t interval_ms)
{
	uint64_t part_ms = (uint64_t)phase * interval_ms >> 32;

	return part_ms - part_ms % SCHEDULE_SLOT_MS;
}

uint32_t schedule_interval(const struct config_probe *probe, enum health health, bool unsure)
{
	if (unsure && health != HEALTH_UNKNOWN)
		return health == HEALTH_UP ? probe->interval_falling_ms : probe->interval_rising_ms;
	return health == HEALTH_UP ? probe->interval_ms : probe->interval_down_ms;
}

uint64_t schedule_first(uint64_t now_ms, uint32_t phase, uint32_t interval_ms)
{
	return now_ms +
	       part_of(phase, interval_ms < SCHEDULE_FIRST_MS ? interval_ms : SCHEDULE_FIRST_MS);
}

uint64_t schedule_next(uint64_t now_ms, uint64_t started_ms, uint32_t phase, uint32_t interval_ms)
{
	uint64_t least_ms = started_ms + interval_ms / 2;
	uint64_t from_ms = now_ms > least_ms ? now_ms : least_ms;
	uint64_t at = part_of(phase, interval_ms);
	uint64_t next = from_ms - from_ms % interval_ms + at;

	return next < from_ms ? next + interval_ms : next;
}
