/* SPDX-License-Identifier: BSD-2-Clause */
/* notify.h: what systemd is told (sd_notify(3)'s protocol) and keeps for us over a restart
 * (FileDescriptorStoreMax=). Without systemd nothing happens.
 */
#ifndef SLUICE_PARENT_NOTIFY_H
#define SLUICE_PARENT_NOTIFY_H

#include <stdbool.h>

/* notify: "READY=1", "STOPPING=1", ...; false: there is nobody to tell. */
bool notify(const char *text);
/* notify_store: keep this descriptor for who is started next. @name: without ':' */
bool notify_store(const char *name, int fd);
/* notify_wait: until all that was said is taken; false after @limit_ms. */
bool notify_wait(int limit_ms);

/* notify_stored: called once, at the start: what was kept for us; how many there are. The
 * descriptors are CLOEXEC, and systemd forgets them.
 */
struct stored {
	char name[16];
	int fd;
};
int notify_stored(struct stored *ret_stored, int most);

#endif
