/* SPDX-License-Identifier: BSD-2-Clause */
/* state.h: what one parent tells the parent that takes its place (upgrade.c), as text.
 *
 * The two may be of different builds: the text is JSON, its keys are names, and nothing in it is
 * laid out as a struct of either. A key that the reader does not know is skipped, one that it
 * misses is 0 or "", a row that cannot be true (check.h) is skipped. A change of a key's meaning
 * raises STATE_FORMAT; a reader takes its own format and those before.
 */
#ifndef SLUICE_PARENT_STATE_H
#define SLUICE_PARENT_STATE_H

#include <stddef.h>

struct parent;

enum { STATE_FORMAT = 1, STATE_WHY = 256 };

/* state_write: into a memfd, which is not CLOEXEC; the fd, at its start, or -errno. */
int state_write(const struct parent *p);
/* state_read: into a parent that has not started anything. The fd stays the caller's.
 * @why: gets the reason of a refusal, in words for the operator
 * 0, -EPROTO when it cannot be taken, or -ENOMEM; then p is half filled.
 */
int state_read(int fd, struct parent *p, char why[static STATE_WHY]);

#endif
