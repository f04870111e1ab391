/* SPDX-License-Identifier: BSD-2-Clause */
/* partner_node.c: NODE: does the other node have our version, secret and configuration?
 *
 *   0  print of the configuration (8)  print of the secret (8)  version of sluice (32)
 */
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdlib.h>
#include <string.h>

#include "lb/partner_kinds.h"

enum { NODE_BYTES = 48, VERSION_AT = 16 };

/* What is each node's own, though they read the same file. Files that it names (certificates) may
 * well differ.
 */
static void own_clear(struct config *c)
{
	memset(c->path, 0, sizeof(c->path));
	memset(&c->node, 0, sizeof(c->node));
	c->node_index = 0;
	c->size_bytes = 0;
	c->nat_port_first = c->nat_port_last = 0;
	for (uint32_t i = 0; i < CONFIG_LINKS; i++)
		memset(c->sync.links[i].interface, 0, sizeof(c->sync.links[i].interface));
	for (uint32_t i = 0; i < c->n_instances; i++) {
		struct config_instance *instance =
			(struct config_instance *)(uintptr_t)config_instance(c, i);

		memset(instance->interface, 0, sizeof(instance->interface));
		instance->priority = 0;
		memset(&instance->source, 0, sizeof(instance->source));
		memset(instance->peers, 0, sizeof(instance->peers));
		instance->n_peers = 0;
	}
}

uint64_t partner_config_print(const struct config *config, const uint8_t secret[static 32])
{
	struct config *c = malloc(config->size_bytes);
	uint8_t mac[EVP_MAX_MD_SIZE] = {0};

	if (!c)
		return 0;
	memcpy(c, config, config->size_bytes);
	own_clear(c);
	HMAC(EVP_sha256(), secret, 32, (const uint8_t *)c, config->files_at, mac, NULL);
	free(c);
	return sync_get64(mac);
}

void partner_node_say(struct lb *lb, uint32_t peer)
{
	const struct partner_said *own = partner_own(lb);
	uint8_t bytes[NODE_BYTES];

	sync_put64(bytes, own->config_print);
	sync_put64(bytes + 8, own->secret_print);
	memcpy(bytes + VERSION_AT, own->version, sizeof(own->version));
	partner_send(lb, peer, PARTNER_NODE, bytes, sizeof(bytes));
}

static void on_node(struct lb *lb, uint32_t peer, const uint8_t *bytes, size_t n)
{
	struct partner_said said = {0};

	if (n < NODE_BYTES)
		return;
	said.config_print = sync_get64(bytes);
	said.secret_print = sync_get64(bytes + 8);
	memcpy(said.version, bytes + VERSION_AT, sizeof(said.version) - 1);
	for (char *c = said.version; *c; c++)
		*c = *c > ' ' && *c <= '~' ? *c : '?';
	partner_node_heard(lb, peer, &said);
}

static bool fill(struct lb *lb, uint32_t peer, uint64_t *cursor)
{
	(void)cursor;
	partner_node_say(lb, peer);
	return false;
}

const struct partner_kind partner_node_kind = {
	.type = PARTNER_NODE, .record = on_node, .fill = fill};
