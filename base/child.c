/* SPDX-License-Identifier: BSD-2-Clause */
/* child.c: giving up privileges, by libcap-ng; how a child fares. */
#include "base/child.h"

#include <cap-ng.h>
#include <errno.h>
#include <grp.h>
#include <inttypes.h>
#include <pwd.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "base/log.h"

static const struct passwd *user_find(const char *user)
{
	const struct passwd *pw = getpwnam(user);

	if (pw)
		return pw;
	log_warning("user not known, using nobody: user=%s; cure: adduser --system %s", user, user);
	return getpwnam("nobody");
}

/* Become the user; what is permitted stays so, until the caller cuts it down. */
static int user_become(const char *user)
{
	const struct passwd *pw = user_find(user);

	if (!pw)
		return -ENOENT;
	if (prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) < 0)
		return -errno;
	if (setgroups(0, NULL) < 0 || setresgid(pw->pw_gid, pw->pw_gid, pw->pw_gid) < 0 ||
	    setresuid(pw->pw_uid, pw->pw_uid, pw->pw_uid) < 0)
		return -errno;
	return 0;
}

int child_confine(const char *user, const int *caps)
{
	int r;

	capng_clear(CAPNG_SELECT_BOTH);
	for (const int *cap = caps; *cap >= 0; cap++) {
		if (capng_update(CAPNG_ADD, CAPNG_EFFECTIVE | CAPNG_PERMITTED | CAPNG_BOUNDING_SET,
				 (unsigned)*cap) < 0)
			return -EINVAL;
	}
	/* The bounding set needs CAP_SETPCAP: it is cut before the user changes. */
	if (capng_apply(CAPNG_SELECT_BOUNDS) < 0)
		return -EPERM;
	if (user) {
		r = user_become(user);
		if (r < 0)
			return r;
	}
	if (capng_apply(CAPNG_SELECT_CAPS) < 0)
		return -EPERM;
	if (prctl(PR_SET_KEEPCAPS, 0, 0, 0, 0) < 0 || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return -errno;
	return 0;
}

uint64_t child_waited_ms(pid_t pid)
{
	uint64_t waited_ns = 0;
	char path[64];
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/schedstat", (int)pid);
	f = fopen(path, "re");
	if (!f)
		return 0;
	if (fscanf(f, "%*u %" SCNu64, &waited_ns) != 1)
		waited_ns = 0;
	fclose(f);
	return waited_ns / 1000000;
}
