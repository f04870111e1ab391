/* SPDX-License-Identifier: BSD-2-Clause */
/* probe.h: what a probe is: a value. Bytes in, verdict out; no socket, no clock, no global.
 *
 * The runner (runner.h) connects, makes TLS, moves the bytes and ends what takes too long. A probe
 * type, one file probe_NAME.c, ends in one `const struct probe_ops` and is a row of the table in
 * probe.c. One conversation has a `talk`, talk_size bytes that begin as zeroes and need no end.
 * Chance is handed in, too: random_bytes of them, by the runner.
 */
#ifndef SLUICE_HEALTHCHECK_PROBE_H
#define SLUICE_HEALTHCHECK_PROBE_H

#include <stddef.h>

#include "base/config.h"
#include "base/message.h"
#include "healthcheck/buf.h"

/* What a server can make us keep. */
enum {
	PROBE_IN_BYTES = 4096,	   /* not yet understood; so also the longest line, with its end */
	PROBE_OUT_BYTES = 2048,	   /* not yet sent */
	PROBE_LINES = 200,	   /* of a server, in one conversation */
	PROBE_TOTAL_BYTES = 65536, /* in all those lines */
};

/* V(NAME, "word"): how a conversation ended. The word is what operators read. */
#define VERDICTS(V)                                                                                \
	V(PASS, "pass")                                                                            \
	V(FAIL, "fail")	      /* it said no, in its own protocol */                                \
	V(LEAVING, "leaving") /* it asks for no more work, and goes on with what it has */         \
	V(GARBLED, "garbled") /* another protocol, or beyond a limit */                            \
	V(TIMEOUT, "timeout")                                                                      \
	V(CLOSED, "closed") /* it ended the connection too early */                                \
	V(RESET, "reset")                                                                          \
	V(REFUSED, "refused")                                                                      \
	V(UNREACHABLE, "unreachable")                                                              \
	V(TLS, "tls")	    /* no handshake, or broken later */                                    \
	V(UNABLE, "unable") /* we could not ask: says nothing about the server */

enum verdict_word {
#define VERDICT_ENUM(name, word) VERDICT_##name,
	VERDICTS(VERDICT_ENUM)
#undef VERDICT_ENUM
};

struct verdict {
	enum verdict_word word;
	int code;		 /* the protocol's reply code; 0 = none */
	char text[VERDICT_TEXT]; /* the server's words or ours; printable ASCII */
	/* What an agent or a script asks for, in percent of the backend's weight; WEIGHT_UNSAID. */
	uint8_t weight;
	/* Until the server's certificate expires; TLS_DAYS_UNKNOWN. By the runner. */
	int32_t tls_days;
};

enum { WEIGHT_UNSAID = 255 };

const char *verdict_name(enum verdict_word word);

enum probe_step {
	PROBE_MORE,	 /* send what is in out, call again when bytes came */
	PROBE_START_TLS, /* the same bytes go on under TLS; then .secured is called */
	PROBE_DONE,	 /* the verdict is filled in */
};

/* Every probe type's settings begin with these. */
struct probe_common {
	char sni[256]; /* server name for TLS; "" = none is sent */
};

/* How the bytes go. */
enum probe_transport {
	TRANSPORT_TCP,
	TRANSPORT_UDP,	/* .feed is given one datagram at a time, whole, in an empty buffer */
	TRANSPORT_ICMP, /* likewise: the payload of an echo reply to the echo that .start wrote */
	TRANSPORT_PROGRAM, /* .start writes nothing; .feed is given the program's output (ran.h) */
};

/* Who speaks first on a new connection: what the wire may spare (wire_tcp.c). */
enum probe_opening {
	OPENING_UNSAID,
	OPENING_OURS,
	OPENING_SERVERS,
	OPENING_NOBODYS, /* that it is there is all */
};

struct probe_ops {
	struct probe_schema schema;
	enum probe_opening opening; /* as configured, without TLS */
	size_t talk_size;
	size_t random_bytes; /* that a talk begins with, instead of zeroes */
	/* NULL: TRANSPORT_TCP; with TLS always */
	enum probe_transport (*transport)(const void *conf);
	/* start: the transport is ready. @tls: as configured; STARTTLS has not begun. */
	enum probe_step (*start)(void *talk, const void *conf, enum config_tls tls, struct buf *out,
				 struct verdict *v);
	/* Whatever is written to @out and is secret, is written by buf_secret(). */
	/* feed: bytes came; takes off @in what it understands. NULL: .start is all. */
	enum probe_step (*feed)(void *talk, const void *conf, struct buf *in, struct buf *out,
				struct verdict *v);
	/* secured: TLS, asked for by PROBE_START_TLS, is there. */
	enum probe_step (*secured)(void *talk, const void *conf, struct buf *out,
				   struct verdict *v);
	/* closed: no more bytes will come, and .feed wanted more: PROBE_DONE, or PROBE_MORE = that
	 * was too early. NULL: it is always too early.
	 */
	enum probe_step (*closed)(void *talk, const void *conf, struct verdict *v);
	/* waiting: what .feed waits for, as in "no ..." ("answer to EHLO"). */
	const char *(*waiting)(const void *talk);
	/* hides: what was just written holds a secret, and is told to nobody. NULL: never. */
	bool (*hides)(const void *talk);
	const char
		*bye; /* sent after a verdict that leaves the dialogue in order; NULL = nothing */
};

extern const struct probe_ops probe_tcp, probe_smtp, probe_pop3, probe_imap, probe_http;
extern const struct probe_ops probe_submission, probe_lmtp, probe_managesieve, probe_chat,
	probe_agent;
extern const struct probe_ops probe_tls, probe_icmp, probe_dns, probe_redis, probe_memcached,
	probe_ldap, probe_mysql, probe_postgresql, probe_script;

/* probe_find: by a schema's name; NULL = not found ("none" is no probe). */
const struct probe_ops *probe_find(const char *type);
/* probe_transport_of: how the bytes of a probe as configured go. */
enum probe_transport probe_transport_of(const struct probe_ops *ops,
					const struct config_probe *probe);

/* ---- for the probe types ---- */

/* A row of a type's keys: @member, a string, of its settings @conf_type. */
#define PROBE_KEY(key, conf_type, member, checker)                                                 \
	{                                                                                          \
		.name = (key), .type = KEY_STRING, .offset = offsetof(conf_type, member),          \
		.size = sizeof(((conf_type *)0)->member), .check = (checker)                       \
	}
#define PROBE_KEY_SNI(conf_type) PROBE_KEY("sni", conf_type, common.sni, probe_check_sni)

/* PROBE_KEY_SECRET: likewise, @member is the first line of the file that the key names. */
#define PROBE_KEY_SECRET(key, conf_type, member)                                                   \
	{                                                                                          \
		.name = (key), .type = KEY_SECRET, .offset = offsetof(conf_type, member),          \
		.size = sizeof(((conf_type *)0)->member)                                           \
	}

/* For config_key.check. host: a name, or an address literal; sni: a name, or "". */
const char *probe_check_host(const char *value);
const char *probe_check_sni(const char *value);

/* probe_end, probe_end_words: fill in the verdict, whatever is not printable made '?'; cut to fit.
 * Both return PROBE_DONE.
 */
enum probe_step probe_end(struct verdict *v, enum verdict_word word, int code, const char *format,
			  ...) __attribute__((format(printf, 4, 5)));
enum probe_step probe_end_words(struct verdict *v, enum verdict_word word, int code,
				const char *words, size_t len_bytes);

#endif
