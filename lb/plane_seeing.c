/* SPDX-License-Identifier: BSD-2-Clause */
/* plane_seeing.c: instances of the program that tell of their packets (bpf/explain.h): one that is
 * attached nowhere and explains a frame by a dry run, and those of a trace, in the place of the
 * programs in service.
 *
 * The explaining one is kept until a program is replaced or another interface is asked about: to
 * load it takes some hundred milliseconds, to run it a millisecond.
 */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <linux/if_link.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "lb/plane.h"

struct explainer {
	int program, explanation;
	uint32_t number; /* the interface's */
	char name[IFNAMSIZ];
};

static void fd_close(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

static int explanation_create(void)
{
	return bpf_map_create(BPF_MAP_TYPE_PERCPU_ARRAY, "explanation", sizeof(uint32_t),
			      sizeof(struct explanation), 1, NULL);
}

/* ---- explain ---- */

void plane_explain_fini(struct plane *plane)
{
	if (!plane->explainer)
		return;
	plane_seeing_end(plane, plane->explainer->name, SEEING_EXPLAIN);
	fd_close(&plane->explainer->program);
	fd_close(&plane->explainer->explanation);
	free(plane->explainer);
	plane->explainer = NULL;
}

static int explainer_load(struct plane *plane, uint32_t number,
			  const struct current_interface *interface)
{
	struct seeing seeing = {SEEING_EXPLAIN, -1, -1, -1};
	struct explainer *x = plane->explainer;
	int program;

	if (x && x->number == number)
		return 0;
	plane_explain_fini(plane);
	x = calloc(1, sizeof(*x));
	seeing.explanation = x ? explanation_create() : -ENOMEM;
	program = seeing.explanation < 0 ? seeing.explanation
					 : plane_program_load(plane, interface, &seeing);
	if (program < 0) {
		fd_close(&seeing.explanation);
		free(x);
		return program;
	}
	*x = (struct explainer){program, seeing.explanation, number, ""};
	memcpy(x->name, interface->name, sizeof(x->name));
	plane->explainer = x;
	return 0;
}

/* The CPU that ran it has written its record; the others' are as they were: zeroes. */
static int record_take(const struct plane *plane, const struct explanation *records,
		       struct explanation *ret_explanation)
{
	for (uint32_t i = 0; i < plane->cpus; i++) {
		if (records[i].stages & STAGE_END) {
			*ret_explanation = records[i];
			return 0;
		}
	}
	return -ENODATA;
}

int plane_explain(struct plane *plane, uint32_t number, const struct current_interface *interface,
		  uint8_t *frame, uint32_t *len_bytes, uint32_t size,
		  struct explanation *ret_explanation)
{
	struct explanation *records = calloc(plane->cpus, sizeof(*records));
	uint8_t *out = malloc(size);
	LIBBPF_OPTS(bpf_test_run_opts, run, .data_in = frame, .data_size_in = *len_bytes,
		    .data_out = out, .data_size_out = size, .repeat = 1);
	int r = records && out ? explainer_load(plane, number, interface) : -ENOMEM;
	uint32_t zero = 0;

	if (r == 0)
		r = bpf_map_update_elem(plane->explainer->explanation, &zero, records, BPF_ANY);
	if (r == 0)
		r = bpf_prog_test_run_opts(plane->explainer->program, &run);
	if (r == 0)
		r = bpf_map_lookup_elem(plane->explainer->explanation, &zero, records);
	if (r == 0)
		r = record_take(plane, records, ret_explanation);
	if (r == 0) {
		memcpy(frame, out, run.data_size_out);
		*len_bytes = run.data_size_out;
	}
	free(out);
	free(records);
	return r;
}

/* ---- trace ---- */

int plane_trace_init(const struct trace_filter *filter, struct plane_trace *ret_trace)
{
	struct plane_trace t = {.explanation = explanation_create()};
	uint32_t zero = 0;
	int r;

	t.filter = bpf_map_create(BPF_MAP_TYPE_ARRAY, "trace_filter", sizeof(uint32_t),
				  sizeof(*filter), 1, NULL);
	t.events =
		bpf_map_create(BPF_MAP_TYPE_RINGBUF, "trace_events", 0, 0, TRACE_RING_BYTES, NULL);
	r = t.explanation < 0 ? t.explanation : t.filter < 0 ? t.filter : t.events;
	if (r >= 0)
		r = bpf_map_update_elem(t.filter, &zero, filter, BPF_ANY);
	if (r < 0) {
		fd_close(&t.explanation);
		fd_close(&t.filter);
		fd_close(&t.events);
		return r;
	}
	*ret_trace = t;
	return 0;
}

static int trace_attach_one(const struct plane *plane, uint32_t number,
			    const struct current_interface *interface, struct plane_trace *trace)
{
	const struct seeing seeing = {SEEING_TRACE, trace->explanation, trace->filter,
				      trace->events};
	int program = plane_program_load(plane, interface, &seeing);
	int r = program < 0 ? program : bpf_link_update(plane->links[number], program, NULL);

	if (program >= 0)
		close(program);
	trace->tracing[number] = r == 0;
	memcpy(trace->names[number], interface->name, sizeof(trace->names[number]));
	if (r < 0)
		plane_seeing_end(plane, interface->name, SEEING_TRACE);
	return r;
}

int plane_trace_attach(struct plane *plane, const struct current *c, struct plane_trace *trace)
{
	int n = 0;

	trace->programs_version = plane->programs_version;
	for (uint32_t i = 0; i < CURRENT_INTERFACES; i++) {
		int r;

		if (!c->interfaces[i].used || plane->links[i] < 0 || plane->programs[i] < 0)
			continue;
		r = trace_attach_one(plane, i, &c->interfaces[i], trace);
		if (r < 0)
			return r;
		n++;
	}
	return n;
}

uint64_t plane_trace_lost(const struct plane_trace *trace)
{
	struct trace_filter filter = {0};
	uint32_t zero = 0;

	bpf_map_lookup_elem(trace->filter, &zero, &filter);
	return filter.lost;
}

void plane_trace_fini(const struct plane *plane, struct plane_trace *trace)
{
	for (uint32_t i = 0; i < CURRENT_INTERFACES; i++) {
		int r;

		if (!trace->tracing[i] || plane->links[i] < 0 || plane->programs[i] < 0)
			continue;
		r = bpf_link_update(plane->links[i], plane->programs[i], NULL);
		if (r < 0)
			log_err("program not put back after a trace: error=%s; cure: sluice reload",
				strerror(-r));
		else
			plane_seeing_end(plane, trace->names[i], SEEING_TRACE);
	}
	fd_close(&trace->explanation);
	fd_close(&trace->filter);
	fd_close(&trace->events);
}
