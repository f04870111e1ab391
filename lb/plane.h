/* SPDX-License-Identifier: BSD-2-Clause */
/* plane.h: the kernel's side: maps, programs and links, pinned so that they outlive this process.
 *
 * Nothing here decides anything: apply.c says what to write, plane_adopt() reads back what a
 * process before us wrote. Maps are pinned in DIR/v<ABI version>/ under their names, links as
 * link_INTERFACE. Besides the maps of bpf/abi.h there is `names`, which only lb/ reads: it tells
 * which number is which backend, pool or service.
 */
#ifndef SLUICE_LB_PLANE_H
#define SLUICE_LB_PLANE_H

#include <stdbool.h>
#include <stdint.h>

#include "bpf/abi_nat.h"
#include "lb/current.h"

enum { PLANE_PATH = 256, PLANE_PROBLEM = 160 };

enum plane_map {
	MAP_SERVICES,
	MAP_SERVICE_LINES,
	MAP_TABLES,
	MAP_BACKENDS,
	MAP_FLOWS,
	MAP_EMBRYOS,
	MAP_FRAGMENTS,
	MAP_RECENT,
	MAP_CLOCK,
	MAP_SERVICE_STATS,
	MAP_BACKEND_STATS,
	MAP_REASONS,
	MAP_RETURNS,
	MAP_NAT_POOLS,
	MAP_TRANSLATIONS,
	MAP_REVERSE,
	MAP_NASCENT,
	MAP_CLAIMS,
	MAP_PROBE_RETURNS,
	MAP_EXCEPTIONS,
	MAP_EXCEPTIONS_LOST,
	MAP_HANDOVERS,
	MAP_NAMES,	/* ours */
	MAP_PROBE_VIPS, /* of the program of tc egress */
	MAP_COUNT
};

extern const char *const plane_map_names[MAP_COUNT];

/* ---- the map `names` ---- */

enum name_kind { NAME_BACKEND, NAME_POOL, NAME_SERVICE, NAME_SETTINGS };

#define NAME_KEY(kind, number) ((uint32_t)(kind) << 16 | (number))

enum { PLANE_NAMES = BACKEND_MAX + POOL_MAX + SERVICE_MAX + 1 };

struct name_record {
	char pool[NAME_SIZE]; /* of a backend */
	char name[NAME_SIZE];
	uint32_t idle_timeout_s; /* of a pool */
	uint32_t slots;		 /* of the settings */
	uint64_t key_print;	 /* likewise */
	uint16_t nat_port_first, nat_port_last;
	uint32_t pad;
};
_Static_assert(sizeof(struct name_record) == 152, "name_record");

struct bpf_map_info;

struct plane {
	char base[PLANE_PATH]; /* SLUICE_PIN_DIR */
	char dir[PLANE_PATH];  /* base/v1 */
	int maps[MAP_COUNT];   /* -1 = not there yet */
	int old_flows;	       /* while the table is resized, or got a new layout; else -1 */
	int old_translations;  /* likewise */
	int old_reverse;
	uint64_t copy_until_ms; /* the plan's deadline for copies; 0 = no plan is carried out */
	bool copied;		/* the first copy of old_flows was whole: */
	uint16_t copied_epoch;	/* but for what was seen since then */
	int tables[POOL_MAX];	/* inner maps of MAP_TABLES; -1 = none */
	int links[CURRENT_INTERFACES];
	int programs[CURRENT_INTERFACES]; /* in service there; -1 = not loaded by this process */
	uint64_t programs_version;	  /* changes with each of them */
	struct explainer *explainer;	  /* plane_seeing.c; NULL = none yet */
	struct backend *backends;	  /* BACKEND_MAX, the map itself */
	struct clock *clock;		  /* likewise */
	struct service_line *lines;	  /* SERVICE_LINES, likewise */
	uint32_t cpus;			  /* possible ones */
	bool vips_due, returns_due;	  /* these records are older than what they are made of */
	bool lines_cleared;	  /* a packet may still read the service of a line that was */
	struct settings settings; /* that programs are loaded with */
};

/* ---- plane.c ---- */

/* plane_open: make the folder, open what is pinned there. 0, -ENODEV when @base is not on a BPF
 * file system, -EEXIST when a newer version's data plane is there (both told in the log with
 * their cure), or another -errno.
 */
int plane_open(const char *base, struct plane **ret_plane);
void plane_free(struct plane *plane); /* all that is pinned stays */
/* plane_remove: take away every link, map and folder. */
void plane_remove(struct plane *plane);

int plane_backend_set(struct plane *plane, uint32_t number, const struct current_backend *b);
/* plane_backend_new: the same for a number that was free: its counters start at 0. */
int plane_backend_new(struct plane *plane, uint32_t number, const struct current_backend *b);
int plane_backend_clear(struct plane *plane, uint32_t number);
/* plane_table_new: an inner map with @table in it; the caller owns *ret_fd. */
int plane_table_new(const struct table *table, int *ret_fd);
/* plane_pool_set: the pool's name and, unless NULL, its table: a new inner map, complete when it is
 * put in place.
 */
int plane_pool_set(struct plane *plane, uint32_t number, const struct current_pool *pool,
		   const struct table *table);
int plane_pool_clear(struct plane *plane, uint32_t number);
/* plane_slot_set: one slot of a pool's table, in place. 0, -ENOENT when the pool has none, or
 * another -errno.
 */
int plane_slot_set(const struct plane *plane, uint32_t pool, const struct table *table,
		   uint32_t slot);

/* Sums over the CPUs; zeroes when there is nothing. */
struct backend_stats plane_backend_stats(const struct plane *plane, uint32_t number);
struct service_stats plane_service_stats(const struct plane *plane, uint32_t id);
/* plane_backend_stats_read, plane_service_stats_read: those of @n numbers from @first on, up to
 * PLANE_STATS_BATCH, in one system call. 0 or -errno.
 */
enum { PLANE_STATS_BATCH = 256 };
int plane_backend_stats_read(const struct plane *plane, uint32_t first, uint32_t n,
			     struct backend_stats *ret_stats);
int plane_service_stats_read(const struct plane *plane, uint32_t first, uint32_t n,
			     struct service_stats *ret_stats);
void plane_reasons(const struct plane *plane, uint64_t ret_counts[static REASON_COUNT]);

/* ---- plane_settings.c ---- */

/* plane_settings_set: create what is missing, and the maps whose size changed. Known flows are
 * copied; tables of another number of slots start empty. Programs must be replaced afterwards,
 * then plane_settled(). 0, or -errno: then everything is as it was.
 */
int plane_settings_set(struct plane *plane, const struct settings *settings);
void plane_settled(struct plane *plane);

/* ---- plane_service.c ---- */

int plane_service_set(struct plane *plane, const struct current_service *s);
/* plane_service_new: the same for an id that was free: its counters start at 0. */
int plane_service_new(struct plane *plane, const struct current_service *s);
int plane_service_clear(struct plane *plane, const struct current_service *s);
/* plane_vips_set: the records of the VIPs: every address that a service of @c has, no other. */
int plane_vips_set(struct plane *plane, const struct current *c);
/* plane_lines_fill: of an empty map, from `services`. */
void plane_lines_fill(struct plane *plane);

/* ---- plane_version.c ---- */

#define PLANE_OLD_FLOWS "flows_before" /* pin of an older version's flow table, to be copied */

/* plane_versions_take: what other versions left beside our folder; 0, -EEXIST as above, or another
 * -errno. */
int plane_versions_take(struct plane *plane);

/* ---- for plane*.c ---- */

void plane_map_path(const struct plane *plane, const char *name, char ret_path[static PLANE_PATH]);
int plane_maps_mmap(struct plane *plane); /* those that are there; 0 or -errno */
int plane_slots_create(uint32_t slots);	  /* an inner map of `tables`; its descriptor or -errno */

/* plane_flows_older: is it a flow table of an older layout that plane_flows_copy() knows? */
bool plane_flows_older(const struct bpf_map_info *info);
struct bpf_map_info plane_map_info(int fd); /* all 0 when there is none */

int plane_name_set(struct plane *plane, enum name_kind kind, uint32_t number,
		   const struct name_record *record);
int plane_name_clear(struct plane *plane, enum name_kind kind, uint32_t number);
int plane_stats_zero(struct plane *plane, enum plane_map map, uint32_t key, size_t size);

/* ---- plane_resize.c ---- */

/* plane_translations, plane_nascent: entries of the tables of translations: one is the least that a
 * map can have.
 */
uint32_t plane_translations(const struct settings *settings);
uint32_t plane_nascent(const struct settings *settings);
uint32_t plane_probe_returns(const struct settings *settings); /* entries of probe_returns */

/* What all copies of a plan may take, and what is left for the last ones in any case. */
enum { PLANE_COPY_MS = 5000, PLANE_COPY_AGAIN_MS = 1000 };

/* plane_copies_begin: a plan begins, and with it the time for its copies; it ends it by a 0. */
void plane_copies_begin(struct plane *plane);
/* @fresh: no program uses the new map yet */
void plane_flows_copy(struct plane *plane, bool fresh);
void plane_translations_copy(struct plane *plane, bool fresh);

/* ---- plane_program.c ---- */

/* plane_try: would the kernel take the program with these FEATURE_*? 0 or -errno. What is in maps
 * does not matter to it: they have one element here, and end with the call.
 */
int plane_try(uint32_t features);

/* plane_attach: load a program for the interface and attach it: native, else generic.
 * @ret_problem: on failure why, and the cure; when generic: why not native
 */
int plane_attach(struct plane *plane, uint32_t number, const struct current_interface *interface,
		 enum attach_mode *ret_mode, char ret_problem[static PLANE_PROBLEM]);
/* plane_replace: load a program and put it in the place of the one that is attached. */
int plane_replace(struct plane *plane, uint32_t number, const struct current_interface *interface);
int plane_detach(struct plane *plane, uint32_t number, const char *name);
/* plane_tail_path: likewise, of the jump to the second program, which must not end with us. */
void plane_tail_path(const struct plane *plane, const char *name, char ret_path[static PLANE_PATH]);
/* plane_link_path: where an interface's link is pinned; bpffs refuses names with dots. */
void plane_link_path(const struct plane *plane, const char *name, char ret_path[static PLANE_PATH]);

struct balancer;
/* Maps of an instance that tells of its packets (bpf/explain.h); -1 = not needed. */
struct seeing {
	uint32_t how; /* SEEING_* */
	int explanation, filter, events;
};

/* plane_program_load: for an interface; its descriptor or -errno.
 * @seeing: NULL = the program in service
 */
int plane_program_load(const struct plane *plane, const struct current_interface *interface,
		       const struct seeing *seeing);
/* plane_seeing_end: unpin what keeps the maps of such an instance; when it is no more.
 * @how: SEEING_*
 */
void plane_seeing_end(const struct plane *plane, const char *interface, uint32_t how);
/* plane_skeleton: opened with our settings and those maps that are there; NULL with errno. */
struct balancer *plane_skeleton(const struct plane *plane);

/* ---- plane_probe.c: probes through VIPs ---- */

/* plane_probes_create: the map of the VIPs, if it is not there; not pinned. 0 or -errno. */
int plane_probes_create(struct plane *plane);
/* plane_probes_set: the map gets these entries and no others. 0 or -errno. */
int plane_probes_set(struct plane *plane, const struct probe_list *probes);
/* plane_probe_attach: the program, at tc egress of the interface, in the place of what we had
 * there.
 * @ret_problem: on failure why; else ""
 */
int plane_probe_attach(struct plane *plane, const struct current_interface *interface,
		       char ret_problem[static PLANE_PROBLEM]);
/* plane_probe_detach: 0 also when there is none. The qdisc stays: others may use it. */
int plane_probe_detach(uint32_t ifindex);
bool plane_probe_attached(uint32_t ifindex);
/* plane_probes_look: true when somebody took a filter of ours away (told): @c knows it then. */
bool plane_probes_look(struct current *c);
/* plane_probes_adopt: what is in the map. */
void plane_probes_adopt(const struct plane *plane, struct probe_list *ret_probes);

/* ---- plane_seeing.c ---- */

/* plane_explain: what would become of a frame that came in by the interface; changes nothing.
 * @frame: *len_bytes of @size; both become what would go out
 */
int plane_explain(struct plane *plane, uint32_t number, const struct current_interface *interface,
		  uint8_t *frame, uint32_t *len_bytes, uint32_t size,
		  struct explanation *ret_explanation);
void plane_explain_fini(struct plane *plane);

/* A trace: a tracing instance in the place of the program at each interface. */
struct plane_trace {
	int explanation, filter, events; /* maps; events is a ring buffer */
	bool tracing[CURRENT_INTERFACES];
	char names[CURRENT_INTERFACES][IFNAMSIZ]; /* of those */
	uint64_t programs_version;		  /* that they took the place of */
};

int plane_trace_init(const struct trace_filter *filter, struct plane_trace *ret_trace);
/* plane_trace_attach: at every interface that has the program; also again, when the programs were
 * replaced meanwhile. How many, or -errno.
 */
int plane_trace_attach(struct plane *plane, const struct current *c, struct plane_trace *trace);
uint64_t plane_trace_lost(const struct plane_trace *trace);
/* plane_trace_fini: the programs in service are back. */
void plane_trace_fini(const struct plane *plane, struct plane_trace *trace);

/* ---- plane_adopt.c ---- */

/* plane_adopt: fill an empty *ret_current with what is there. Needs CAP_SYS_ADMIN (inner maps are
 * opened by id), so it comes before child_confine().
 * @now_s: seconds of CLOCK_MONOTONIC
 * 1 when something was adopted, 0 when there was nothing, or -errno.
 */
int plane_adopt(struct plane *plane, uint32_t now_s, struct current *ret_current);

#endif
