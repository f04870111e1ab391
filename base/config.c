/* SPDX-License-Identifier: BSD-2-Clause */
/* config.c: the configuration value once it is built: look-ups, the sealed memfd by which it
 * travels, and the secret that it names. How it is built: config_load.c.
 */
#include "base/config.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/url.h"

enum { SECRET_LEAST = 16, SECRET_MOST = 4096 };

static const void *array_at(const struct config *c, uint32_t at, size_t element, uint32_t i)
{
	return (const char *)c + at + (size_t)i * element;
}

const struct config_instance *config_instance(const struct config *c, uint32_t i)
{
	return array_at(c, c->instances_at, sizeof(struct config_instance), i);
}

const struct config_track *config_track(const struct config *c, uint32_t i)
{
	return array_at(c, c->tracks_at, sizeof(struct config_track), i);
}

const struct config_pool *config_pool(const struct config *c, uint32_t i)
{
	return array_at(c, c->pools_at, sizeof(struct config_pool), i);
}

const struct config_backend *config_backend(const struct config *c, uint32_t i)
{
	return array_at(c, c->backends_at, sizeof(struct config_backend), i);
}

const struct config_service *config_service(const struct config *c, uint32_t i)
{
	return array_at(c, c->services_at, sizeof(struct config_service), i);
}

const char *config_file(const struct config *c, uint32_t file, size_t *ret_size_bytes)
{
	const struct config_file *f;

	if (file == 0 || file > c->n_files)
		return NULL;
	f = array_at(c, c->files_at, sizeof(*f), file - 1);
	*ret_size_bytes = f->size_bytes;
	return (const char *)c + f->at;
}

const char *config_probe_command(const struct config_probe *probe)
{
	if (probe->command_at == 0 || probe->command_at > PROBE_CONF_SIZE - CONFIG_LIST_SIZE)
		return NULL;
	return (const char *)probe->conf + probe->command_at;
}

void config_hook_name(const struct config_hook *hook, char ret[static CONFIG_PATH_SIZE])
{
	struct url url;

	if (hook->url[0] && url_parse(hook->url, &url) == 0)
		snprintf(ret, CONFIG_PATH_SIZE, "%s://%.240s", url.tls ? "https" : "http",
			 url.authority);
	else
		snprintf(ret, CONFIG_PATH_SIZE, "%.*s", CONFIG_PATH_SIZE - 1, hook->command.words);
}

int config_find_pool(const struct config *c, const char *name)
{
	for (uint32_t i = 0; i < c->n_pools; i++) {
		if (strcmp(config_pool(c, i)->name, name) == 0)
			return (int)i;
	}
	return -ENOENT;
}

int config_find_backend(const struct config *c, uint32_t pool, const char *name)
{
	const struct config_pool *p = config_pool(c, pool);
	uint32_t low = p->first_backend, high = low + p->n_backends;

	while (low < high) {
		uint32_t middle = low + (high - low) / 2;
		uint32_t i = *(const uint32_t *)array_at(c, c->by_name_at, sizeof(i), middle);
		int r = strcmp(config_backend(c, i)->name, name);

		if (r == 0)
			return (int)i;
		if (r < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return -ENOENT;
}

void config_free(struct config *c)
{
	free(c);
}

static int write_all(int fd, const char *bytes, size_t n)
{
	while (n > 0) {
		ssize_t w = write(fd, bytes, n);

		if (w < 0 && errno == EINTR)
			continue;
		if (w < 0)
			return -errno;
		bytes += w;
		n -= (size_t)w;
	}
	return 0;
}

int config_seal(const struct config *c)
{
	int fd = memfd_create("sluice-config", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	int r;

	if (fd < 0)
		return -errno;
	r = write_all(fd, (const char *)c, c->size_bytes);
	if (r == 0 &&
	    fcntl(fd, F_ADD_SEALS, F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE) < 0)
		r = -errno;
	if (r < 0) {
		close(fd);
		return r;
	}
	return fd;
}

/* Does the array lie in the block? */
static bool array_fits(const struct config *c, uint32_t at, size_t element, uint32_t n)
{
	return at >= sizeof(*c) && at % 8 == 0 && at <= c->size_bytes &&
	       (c->size_bytes - at) / element >= n;
}

static bool files_fit(const struct config *c)
{
	if (!array_fits(c, c->files_at, sizeof(struct config_file), c->n_files))
		return false;
	for (uint32_t i = 0; i < c->n_files; i++) {
		const struct config_file *f =
			array_at(c, c->files_at, sizeof(struct config_file), i);

		if (f->at < sizeof(*c) || f->at > c->size_bytes ||
		    c->size_bytes - f->at < f->size_bytes)
			return false;
	}
	return true;
}

int config_map(int fd, const struct config **ret_config)
{
	const int seals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE;
	const struct config *c;
	struct stat st;

	if ((fcntl(fd, F_GET_SEALS) & seals) != seals || fstat(fd, &st) < 0 ||
	    st.st_size < (off_t)sizeof(*c) || st.st_size > UINT32_MAX)
		return -EPROTO;
	c = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_SHARED, fd, 0);
	if (c == MAP_FAILED)
		return -errno;
	if (c->size_bytes != st.st_size ||
	    !array_fits(c, c->instances_at, sizeof(struct config_instance), c->n_instances) ||
	    !array_fits(c, c->tracks_at, sizeof(struct config_track), c->n_tracks) ||
	    !array_fits(c, c->pools_at, sizeof(struct config_pool), c->n_pools) ||
	    !array_fits(c, c->backends_at, sizeof(struct config_backend), c->n_backends) ||
	    !array_fits(c, c->services_at, sizeof(struct config_service), c->n_services) ||
	    !array_fits(c, c->by_name_at, sizeof(uint32_t), c->n_backends) || !files_fit(c)) {
		munmap((void *)(uintptr_t)c, (size_t)st.st_size);
		return -EPROTO;
	}
	*ret_config = c;
	return 0;
}

void config_unmap(const struct config *c)
{
	if (c)
		munmap((void *)(uintptr_t)c, c->size_bytes);
}

int config_secret_load(const char *path, uint8_t ret_key[static 32])
{
	char secret[SECRET_MOST];
	uint8_t key[32];
	struct stat st;
	ssize_t n;
	int r = 0, fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);

	if (fd < 0)
		return -errno;
	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
		r = -EINVAL;
	else if (st.st_mode & S_IRWXO)
		r = -EPERM;
	n = r == 0 ? read(fd, secret, sizeof(secret)) : 0;
	close(fd);
	if (r < 0)
		return r;
	if (n < SECRET_LEAST)
		return n < 0 ? -EIO : -ERANGE;
	if (EVP_Digest(secret, (size_t)n, key, NULL, EVP_sha256(), NULL) != 1)
		r = -ENOMEM;
	else
		memcpy(ret_key, key, sizeof(key));
	explicit_bzero(secret, sizeof(secret));
	explicit_bzero(key, sizeof(key));
	return r;
}
