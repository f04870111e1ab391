/* SPDX-License-Identifier: BSD-2-Clause */
/* post.h: a POST of a JSON body (RFC 9110, 9112), by blocking calls: for a process of its own,
 * which command.h ends at the timeout. Resolving a name, a handshake, a server that dribbles: none
 * of it can hold anybody else, and the parser of a stranger's certificates is gone with the
 * process.
 */
#ifndef SLUICE_PROGRAMS_POST_H
#define SLUICE_PROGRAMS_POST_H

#include <stddef.h>

#include "base/url.h"
#include "programs/facts.h"

enum post_status { /* of the process */
		   POST_DONE = 0,
		   POST_FAILED = 1,  /* not reached, no TLS, 408, 429, 5xx: try again */
		   POST_REFUSED = 2, /* another answer than 2xx */
};

struct post {
	struct url url;
	const struct facts *facts;
	uint32_t timeout_ms; /* that the process has, all in all */
};

/* post_inside: for command_request.inside; @arg: struct post. Writes what was answered to stdout.
 */
int post_inside(const void *arg);

/* post_answer: the code of a status line "HTTP/1.1 204 No Content": 100 to 599; -EAGAIN: not a
 * whole one yet; -EPROTO: another protocol. Reads n bytes at most.
 */
int post_answer(const char *bytes, size_t n);

#endif
