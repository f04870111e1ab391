/* SPDX-License-Identifier: BSD-2-Clause */
/* check.h: can this message be true, whoever says it: a child that a stranger took over, or the
 * state of another build? Names end, numbers are of their enum, texts are printable.
 */
#ifndef SLUICE_PARENT_CHECK_H
#define SLUICE_PARENT_CHECK_H

#include <stdbool.h>
#include <stddef.h>

bool terminated(const char *text, size_t size);
/* printable: what comes from the network was made so; it ends in logs, terminals and JSON. */
bool printable(const char *text, size_t size);

/* Each of the struct message_* of what is remembered (memory.h). */
bool health_good(const void *message);
bool vrrp_good(const void *message);
bool turn_good(const void *message);
bool held_good(const void *message);
bool track_good(const void *message);
bool tally_good(const void *message);

#endif
