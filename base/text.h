/* SPDX-License-Identifier: BSD-2-Clause */
/* text.h: the program's own text, and its libraries', in memory. */
#ifndef SLUICE_BASE_TEXT_H
#define SLUICE_BASE_TEXT_H

/* text_populate: read all of it. Of what has not run yet, a page may be on a disk only, and would
 * have to be waited for when it runs. With memory that is locked as it is used (MCL_ONFAULT) it
 * stays.
 */
void text_populate(void);

#endif
