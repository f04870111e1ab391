/* SPDX-License-Identifier: BSD-2-Clause */
/* login.h: what the probes that log in have in common: settings, and SASL's PLAIN and LOGIN. Pure.
 */
#ifndef SLUICE_HEALTHCHECK_LOGIN_H
#define SLUICE_HEALTHCHECK_LOGIN_H

#include "healthcheck/buf.h"
#include "healthcheck/probe.h"

enum { LOGIN_SIZE = 128 }; /* of a name or a password, its NUL included */

struct login_conf {
	char user[LOGIN_SIZE]; /* "" = no login */
	char password[LOGIN_SIZE];
};

/* Two rows of a type's keys; @member: the struct login_conf in its settings @conf_type. */
#define LOGIN_KEYS(conf_type, member)                                                              \
	PROBE_KEY("user", conf_type, member.user, login_check_user),                               \
	{                                                                                          \
		.name = "password_file", .type = KEY_SECRET,                                       \
		.offset = offsetof(conf_type, member.password), .size = LOGIN_SIZE                 \
	}

const char *login_check_user(const char *value);
/* login_check: for a schema's check(): both, or none. */
const char *login_check(const struct login_conf *login);

/* login_plain: the initial response of PLAIN (RFC 4616), in base64, marked as secret. */
void login_plain(const struct login_conf *login, struct buf *out);
/* login_base64: @text in base64; @secret: marked so. */
void login_base64(const char *text, bool secret, struct buf *out);

#endif
