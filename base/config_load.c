/* SPDX-License-Identifier: BSD-2-Clause */
/* config_load.c: from the text of sluice.conf to the configuration value.
 *
 * scan (what libconfig would not tell) -> parse (libconfig) -> build_* (one file for each list) ->
 * build_check (what only the whole can tell) -> one flat block. Nothing is built of a file with a
 * mistake.
 */
#include <errno.h>
#include <libgen.h>
#include <search.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/config_build.h"

enum { SLOTS_LEAST = 251, SLOTS_MOST = 1048573, SLOTS_DEFAULT = 65537 };

static const char *const top_keys[] = {
	"secret_file",	 "nodes", "vrrp",	"pools",      "services",  "on_stop",
	"slots",	 "user",  "flow_limit", "no_service", "nat_ports", "on_change",
	"programs_user", "track", "sync",	"announce",   NULL};

void *array_grow(struct builder *b, void *array_pointer, uint32_t *n, size_t element)
{
	char **array = array_pointer;
	char *more = realloc(*array, (*n + 1) * element);

	if (!more) {
		b->reader.no_memory = true;
		return NULL;
	}
	*array = more;
	more += *n * element;
	memset(more, 0, element);
	++*n;
	return more;
}

static void keep_node(void *node)
{
	(void)node; /* the trees only point */
}

static void builder_fini(struct builder *b)
{
	tdestroy(b->backend_names, keep_node);
	tdestroy(b->backend_addresses, keep_node);
	tdestroy(b->service_keys, keep_node);
	for (uint32_t i = 0; i < b->n_backends; i++)
		free(b->backends[i]);
	for (uint32_t i = 0; i < b->n_services; i++)
		free(b->services[i]);
	for (uint32_t i = 0; i < b->n_files; i++) {
		explicit_bzero(b->files[i].bytes, b->files[i].size_bytes);
		free(b->files[i].bytes);
	}
	free(b->files);
	free(b->pools);
	free(b->backends);
	free(b->services);
	free(b->instances);
	free(b->tracks);
	reader_fini(&b->reader);
}

/* ---- nodes and the settings of the whole file ---- */

static void build_interfaces(struct reader *r, const config_setting_t *node,
			     struct config_node *ret)
{
	config_setting_t *list = config_setting_get_member(node, "interfaces");
	int n = list ? config_setting_length(list) : 0;

	if (!list || (!config_setting_is_array(list) && !config_setting_is_list(list)) || n < 1 ||
	    n > CONFIG_INTERFACES) {
		mistake(r, list ? list : node,
			"\"interfaces\" of a node is not given; expected: 1 to %d names, as in [ \"eth0\" ]",
			CONFIG_INTERFACES);
		return;
	}
	for (int i = 0; i < n; i++) {
		const config_setting_t *s = config_setting_get_elem(list, (unsigned)i);
		const char *name = element_string(r, s, "interfaces");

		if (!name)
			continue;
		if (!*name || strlen(name) >= IFNAMSIZ || strchr(name, '/')) {
			mistake(r, s,
				"\"%.32s\" is not an interface's name; 1 to %d bytes are expected",
				name, IFNAMSIZ - 1);
			continue;
		}
		for (uint32_t j = 0; j < ret->n_interfaces; j++) {
			if (strcmp(ret->interfaces[j], name) == 0)
				mistake(r, s, "interface \"%s\" is there twice", name);
		}
		strcpy(ret->interfaces[ret->n_interfaces++], name);
	}
}

void build_nodes(struct builder *b, const config_setting_t *root)
{
	static const char *const keys[] = {"name", "interfaces", NULL};
	const config_setting_t *list = list_of_groups(&b->reader, root, "nodes");
	bool found = false;
	uint32_t n = 0;

	for (int i = 0; list && i < config_setting_length(list); i++) {
		const config_setting_t *s = config_setting_get_elem(list, (unsigned)i);
		struct config_node node = {0};

		if (!config_setting_is_group(s))
			continue;
		keys_check(&b->reader, s, keys);
		build_interfaces(&b->reader, s, &node);
		if (!get_name(&b->reader, s, "name", node.name))
			continue;
		for (uint32_t j = 0; j < n; j++) {
			if (strcmp(b->nodes[j], node.name) == 0)
				mistake(&b->reader, s, "node \"%s\" is there twice", node.name);
		}
		if (n == CONFIG_NODES) {
			mistake(&b->reader, s, "too many nodes; at most %d are expected",
				CONFIG_NODES);
			break;
		}
		strcpy(b->head.nodes[n], node.name);
		b->nodes[n++] = config_setting_get_string(config_setting_get_member(s, "name"));
		if (strcmp(node.name, b->node) == 0) {
			b->head.node = node;
			b->head.node_index = n - 1;
			found = true;
		}
	}
	b->head.n_nodes = n;
	if (n == 0)
		mistake(&b->reader, list ? list : root,
			"\"nodes\" has no node; expected: ( { name = \"lb1\"; interfaces = [ \"eth0\" ]; } )");
	else if (!found)
		mistake(&b->reader, list,
			"this node, \"%.64s\", is not in \"nodes\"; expected: one of its names, or sluiced -n NAME",
			b->node);
}

static bool is_prime(uint32_t n)
{
	for (uint32_t d = 2; d * d <= n; d++) {
		if (n % d == 0)
			return false;
	}
	return n > 1;
}

static void build_top(struct builder *b, const config_setting_t *root)
{
	static const char *const on_stop[] = {"keep", "detach", NULL};
	static const char *const no_service[] = {"pass", "reject", "drop", NULL};
	struct config *c = &b->head;
	struct reader *r = &b->reader;
	int64_t n;
	int choice;

	keys_check(r, root, top_keys);
	strcpy(c->secret_file, "/etc/sluice/secret");
	strcpy(c->user, "sluice");
	c->slots = SLOTS_DEFAULT;
	c->flow_limit = 1U << 20;
	get_string(r, root, "secret_file", OPTIONAL, c->secret_file, sizeof(c->secret_file));
	get_string(r, root, "user", OPTIONAL, c->user, sizeof(c->user));
	memcpy(c->programs_user, c->user, sizeof(c->programs_user));
	get_string(r, root, "programs_user", OPTIONAL, c->programs_user, sizeof(c->programs_user));
	if (get_choice(r, root, "on_stop", on_stop, &choice))
		c->on_stop = (enum config_on_stop)choice;
	if (get_choice(r, root, "no_service", no_service, &choice))
		c->no_service = (enum config_no_service)choice;
	if (get_count(r, root, "flow_limit", 1024, 64 << 20, &n))
		c->flow_limit = (uint32_t)n;
	if (!get_int(r, root, "slots", OPTIONAL, SLOTS_LEAST, SLOTS_MOST, &n))
		return;
	if (!is_prime((uint32_t)n))
		mistake(r, config_setting_get_member(root, "slots"),
			"\"slots\" is %lld, not a prime; expected: a prime, as 65537 or 251",
			(long long)n);
	c->slots = (uint32_t)n;
}

/* ---- the block ---- */

static uint32_t lay_out(size_t *size, uint32_t n, size_t element)
{
	size_t at = (*size + 7) & ~(size_t)7;

	*size = at + n * element;
	return (uint32_t)at;
}

static void files_lay_out(const struct builder *b, uint32_t at, struct config *c)
{
	struct config_file *files = (void *)((char *)c + c->files_at);

	for (uint32_t i = 0; i < b->n_files; i++) {
		files[i] = (struct config_file){.at = at,
						.size_bytes = (uint32_t)b->files[i].size_bytes};
		memcpy((char *)c + at, b->files[i].bytes, b->files[i].size_bytes);
		at += files[i].size_bytes;
	}
}

static int name_compare(const void *a, const void *b, void *config)
{
	const struct config_backend *x = config_backend(config, *(const uint32_t *)a);
	const struct config_backend *y = config_backend(config, *(const uint32_t *)b);

	if (x->pool != y->pool)
		return x->pool < y->pool ? -1 : 1;
	return strcmp(x->name, y->name);
}

/* For config_find_backend(), which is asked with each message about one of ten thousand. */
static void backends_order(struct config *c)
{
	uint32_t *by_name = (void *)((char *)c + c->by_name_at);

	for (uint32_t i = 0; i < c->n_backends; i++)
		by_name[i] = i;
	qsort_r(by_name, c->n_backends, sizeof(*by_name), name_compare, c);
}

/* flatten: the value of all that was built. The backends of a pool stand together. */
static struct config *flatten(const struct builder *b)
{
	struct config head = b->head, *c;
	size_t size = sizeof(head);
	uint32_t bytes_at;

	head.n_instances = b->n_instances;
	head.n_tracks = b->n_tracks;
	head.n_pools = b->n_pools;
	head.n_backends = b->n_backends;
	head.n_services = b->n_services;
	head.instances_at = lay_out(&size, head.n_instances, sizeof(struct config_instance));
	head.tracks_at = lay_out(&size, head.n_tracks, sizeof(struct config_track));
	head.pools_at = lay_out(&size, head.n_pools, sizeof(struct config_pool));
	head.backends_at = lay_out(&size, head.n_backends, sizeof(struct config_backend));
	head.services_at = lay_out(&size, head.n_services, sizeof(struct config_service));
	head.by_name_at = lay_out(&size, head.n_backends, sizeof(uint32_t));
	head.n_files = b->n_files;
	head.files_at = lay_out(&size, head.n_files, sizeof(struct config_file));
	bytes_at = (uint32_t)size;
	for (uint32_t i = 0; i < b->n_files; i++)
		size += b->files[i].size_bytes;
	head.size_bytes = (uint32_t)size;
	c = calloc(1, size);
	if (!c)
		return NULL;
	*c = head;
	for (uint32_t i = 0; i < head.n_instances; i++)
		*(struct config_instance *)(uintptr_t)config_instance(c, i) = b->instances[i].value;
	for (uint32_t i = 0; i < head.n_tracks; i++)
		*(struct config_track *)(uintptr_t)config_track(c, i) = b->tracks[i];
	for (uint32_t i = 0; i < head.n_pools; i++)
		*(struct config_pool *)(uintptr_t)config_pool(c, i) = b->pools[i].value;
	for (uint32_t i = 0; i < head.n_backends; i++)
		*(struct config_backend *)(uintptr_t)config_backend(c, i) = b->backends[i]->value;
	for (uint32_t i = 0; i < head.n_services; i++)
		*(struct config_service *)(uintptr_t)config_service(c, i) = b->services[i]->value;
	backends_order(c);
	files_lay_out(b, bytes_at, c);
	return c;
}

/* ---- reading ---- */

/* parse: libconfig's tree; false: told why. */
static bool parse(struct builder *b, const char *path, config_t *tree)
{
	char copy[CONFIG_PATH_SIZE];
	const char *file;

	strcpy(copy, path);
	config_set_include_dir(tree, dirname(copy));
	if (config_read_file(tree, path))
		return true;
	file = config_error_file(tree);
	mistake_at(&b->reader, file ? file : path, (unsigned)config_error_line(tree),
		   "%s; expected: libconfig's syntax, key = value;", config_error_text(tree));
	return false;
}

static void build_all(struct builder *b, const char *path)
{
	config_t tree;
	int r = scan_file(&b->reader, path);

	if (r < 0) {
		mistake_at(&b->reader, path, 0, "cannot be read: %s; expected: a text file",
			   strerror(-r));
		return;
	}
	if (b->reader.unreadable)
		return;
	config_init(&tree);
	if (parse(b, path, &tree)) {
		const config_setting_t *root = config_root_setting(&tree);

		build_top(b, root);
		build_nodes(b, root);
		build_nat_ports(b, root);
		build_vrrp(b, root);
		build_pools(b, root);
		build_services(b, root);
		build_sync(b, root);
		build_tracks(b, root);
		build_announce(b, root);
		build_hooks(b, root);
		build_check(b);
	}
	config_destroy(&tree);
}

int config_load(const char *path, const char *node, const struct probe_schema *const *schemas,
		FILE *errors, struct config **ret_config)
{
	struct builder b = {.schemas = schemas};
	char host[NAME_SIZE] = "";
	int r = 0;

	if (strlen(path) >= CONFIG_PATH_SIZE) {
		fprintf(errors, "%.64s...:0: the path is too long\n", path);
		return -EINVAL;
	}
	gethostname(host, sizeof(host) - 1);
	host[strcspn(host, ".")] = '\0';
	b.node = node ? node : host;
	strcpy(b.head.path, path);
	build_all(&b, path);
	if (b.reader.n_mistakes > 0 || b.reader.no_memory) {
		reader_print(&b.reader, errors);
		r = b.reader.no_memory ? -ENOMEM : -EINVAL;
	} else if (!(*ret_config = flatten(&b))) {
		r = -ENOMEM;
	}
	builder_fini(&b);
	return r;
}
