/* SPDX-License-Identifier: BSD-2-Clause */
/* interfaces.h: all interfaces and addresses, read once for all instances (link.h): into
 * process->interfaces, which is NULL until they are, and each instance's `there` and `marked`.
 */
#ifndef SLUICE_VRRP_INTERFACES_H
#define SLUICE_VRRP_INTERFACES_H

#include <stdint.h>

struct instance;
struct interfaces;
struct vrrp_process;

/* interfaces_new: NULL when out of memory, or of sockets. */
struct interfaces *interfaces_new(struct vrrp_process *process);
void interfaces_free(struct interfaces *in);
/* interfaces_configure: whose addresses are virtual; forgets what was read. */
void interfaces_configure(struct interfaces *in, struct instance *const *instances, uint32_t n);
void interfaces_forget(struct interfaces *in);
/* interfaces_read: unless they are known. */
void interfaces_read(struct interfaces *in);
/* interfaces_sweep: what vrrps before us left: addresses with our mark that are no instance's where
 * they are, and macvlans that none has.
 */
void interfaces_sweep(struct interfaces *in);

#endif
