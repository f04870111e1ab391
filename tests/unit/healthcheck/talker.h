/* SPDX-License-Identifier: BSD-2-Clause */
/* talker.h: a probe's conversation without a socket, for the tests. */
#ifndef SLUICE_TESTS_TALKER_H
#define SLUICE_TESTS_TALKER_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "healthcheck/probe.h"

struct talker {
	const struct probe_ops *ops;
	_Alignas(8) char conf[PROBE_CONF_SIZE];
	void *talk;
	struct buf in, out;
	char in_bytes[PROBE_IN_BYTES], out_bytes[PROBE_OUT_BYTES];
	struct verdict verdict;
	enum probe_step step;
};

/* @settings: "key=value" by lines, NULL = the defaults. */
struct talker *talker_new(const struct probe_ops *ops, enum config_tls tls, const char *settings);
void talker_free(struct talker *t);
void talker_hear(struct talker *t, const char *bytes, size_t n);

const struct config_key *talker_key(const struct probe_ops *ops, const char *name);

/* talker_wrong: what is wrong with the settings together; NULL = nothing. */
const char *talker_wrong(const struct probe_ops *ops, enum config_tls tls, enum config_proxy proxy,
			 const char *settings);

/* talker_feed_for_ever: a server that says @first and then @again and again: how many bytes of it
 * until there was a verdict.
 */
size_t talker_feed_for_ever(const struct probe_ops *ops, const char *settings, const char *first,
			    const char *again, struct verdict *ret_verdict);
/* assert_endless: that ends as garbled, with this text. */
void assert_endless(const struct probe_ops *ops, const char *settings, const char *again,
		    const char *text);
/* assert_injection_refused: plain text behind the go-ahead for TLS, with which @bytes end. */
void assert_injection_refused(const struct probe_ops *ops, const char *settings, const char *bytes);
/* assert_setting: one that is taken, and one that is not. */
void assert_setting(const struct probe_ops *ops, const char *key, const char *good,
		    const char *bad);

/* play: a scripted server, three times: its turns at once, byte by byte, and each turn cut in two
 *at every position; with the same end each time.
 * @script: turns, separated by '|'; '@' is a NUL byte, a turn "TLS" the end of a handshake that the
 *	probe must have asked for, "EOF" the end of the connection
 * @expect: "verdict code text", or "waits for something"
 * @sent: all that the probe must have said, or ANY
 */
#define ANY NULL
void play(const char *name, const struct probe_ops *ops, enum config_tls tls, const char *settings,
	  const char *script, const char *expect, const char *sent);

/* What a server that speaks no text says in a turn: bytes; TURN_TLS: the end of a handshake that
 * the probe must have asked for. An array of them ends with zeroes.
 */
struct turn {
	const char *bytes;
	size_t n;
};
#define TURN(string)                                                                               \
	{                                                                                          \
		string, sizeof(string) - 1                                                         \
	}
#define TURN_TLS                                                                                   \
	{                                                                                          \
		NULL, 1                                                                            \
	}
/* play_turns: likewise; @sent_n bytes at @sent, or ANY. */
void play_turns(const char *name, const struct probe_ops *ops, enum config_tls tls,
		const char *settings, const struct turn *turns, const char *expect,
		const char *sent, size_t sent_n);

#endif
