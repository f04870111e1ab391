/* SPDX-License-Identifier: BSD-2-Clause */
/* child.h: what a child process is, how it gives up what it does not need, and how it fares.
 *
 * Each of lb/, healthcheck/, vrrp/ and programs/ exports one `const struct child`. The parent forks
 * and execs /proc/self/exe for it, with its end of the channel as descriptor CHILD_CHANNEL_FD;
 * run() has the process until the parent goes away or says stop.
 */
#ifndef SLUICE_BASE_CHILD_H
#define SLUICE_BASE_CHILD_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

enum { CHILD_CHANNEL_FD = 3, CHILD_CAPS = 8 };

struct child {
	const char *role; /* "lb", "healthcheck", "vrrp", "programs" */
	/* run: returns the exit status. Starts with full root; calls child_confine() as soon as it
	 * has what only root can get.
	 */
	int (*run)(int channel_fd);
};

/* Where things are. One place, so that the daemon, the command line and the manual agree. */
#define SLUICE_RUN_DIR	      "/run/sluice"
#define SLUICE_CONTROL_SOCKET SLUICE_RUN_DIR "/control.sock"
#define SLUICE_STATE_DIR      "/var/lib/sluice"
#define SLUICE_PIN_DIR	      "/sys/fs/bpf/sluice"

/* child_confine: keep only these capabilities, for good (bounding set cut, no_new_privs).
 * @user: NULL = stay root without root's powers; else a user to become ("nobody" where it is not
 * known)
 * @caps: CAP_* numbers, ending with -1
 * 0 or -errno.
 */
int child_confine(const char *user, const int *caps);

/* child_waited_ms: for how long in its life it was ready and no CPU was free; 0 = not known. */
uint64_t child_waited_ms(pid_t pid);

#endif
