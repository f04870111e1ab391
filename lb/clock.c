/* SPDX-License-Identifier: BSD-2-Clause */
/* clock.c: the data plane's clock (flows.h): a packet never asks the kernel for the time. */
#include <event2/event.h>
#include <stdlib.h>
#include <sys/random.h>
#include <time.h>

#include "lb/flows.h"

struct clock_writer {
	const struct plane *plane;
	struct event *second;
	uint32_t epoch; /* the last one that was begun; 0 = none by us */
};

uint32_t clock_now_s(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint32_t)ts.tv_sec;
}

/* A new multiplier: flows that shared a bucket do so no longer. */
static void epoch_begin(struct clock *clock)
{
	uint64_t multiplier;

	if (getrandom(&multiplier, sizeof(multiplier), GRND_NONBLOCK) != sizeof(multiplier))
		multiplier = clock->bucket_multiplier + 0x9e3779b97f4a7c15ULL * 2;
	clock->bucket_multiplier = multiplier | 1;
	clock->stamp = (uint8_t)(clock->stamp % 255 + 1);
}

static void on_second(evutil_socket_t fd, short what, void *arg)
{
	struct clock_writer *w = arg;
	struct clock *clock = w->plane->clock;
	uint32_t now_s = clock_now_s(), epoch = now_s / EPOCH_SECONDS + 1;

	(void)fd;
	(void)what;
	if (!clock)
		return; /* the maps are not there yet */
	clock->now_s = now_s;
	if (epoch != w->epoch)
		epoch_begin(clock);
	w->epoch = epoch;
}

struct clock_writer *clock_writer_new(struct event_base *loop, const struct plane *plane)
{
	struct clock_writer *w = calloc(1, sizeof(*w));

	if (!w)
		return NULL;
	w->plane = plane;
	w->second = event_new(loop, -1, EV_PERSIST, on_second, w);
	if (!w->second || event_add(w->second, &(struct timeval){.tv_sec = 1}) < 0) {
		clock_writer_free(w);
		return NULL;
	}
	on_second(-1, 0, w);
	return w;
}

void clock_writer_free(struct clock_writer *w)
{
	if (!w)
		return;
	if (w->second)
		event_free(w->second);
	free(w);
}
