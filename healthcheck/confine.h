/* SPDX-License-Identifier: BSD-2-Clause */
/* confine.h: what the process that reads bytes from strangers may still ask of the kernel.
 *
 * After confine_filter() it can make TCP connections, mark their packets (via.h), send UDP, use
 * what it has open (so the raw sockets of ICMP), get memory and end. Any other system call fails
 * with EPERM: no file is opened, no program run, no process touched, no signal sent, no memory made
 * executable. To be called when everything that needs a file (OpenSSL's configuration, the time
 * zone, the user's name) has been read.
 */
#ifndef SLUICE_HEALTHCHECK_CONFINE_H
#define SLUICE_HEALTHCHECK_CONFINE_H

#include <stdint.h>

/* confine_limits: room for @want descriptors, as far as the kernel lets us; how many there are. */
uint32_t confine_limits(uint32_t want);

/* confine_filter: by seccomp, for good; 0 or -errno. */
int confine_filter(void);

#endif
