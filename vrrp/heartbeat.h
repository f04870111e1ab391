/* SPDX-License-Identifier: BSD-2-Clause */
/* heartbeat.h: what the nodes' vrrp processes and their kernels say to each other, as bytes, and
 * what follows from it: does a partner live? Pure.
 *
 * A REQUEST is answered by the partner's kernel (bpf/guard.bpf.c); its nonce is a random number, so
 * that an answer that is heard twice, or was not asked for, says nothing. STATE comes from the
 * partner's process. It is believed when it names this process's session, which is a random number
 * too: what was recorded before cannot do that; and by its sequence only forward. Sessions find
 * each other by the first STATE of each, which is not believed.
 */
#ifndef SLUICE_VRRP_HEARTBEAT_H
#define SLUICE_VRRP_HEARTBEAT_H

#include "base/message.h"
#include "bpf/abi_guard.h"

enum {
	HEART_RECORDS = 32, /* of one STATE; an instance each */
	HEART_ASKED = 64,   /* questions of a link that can be open */
	HEART_MISSES = 4,   /* questions without an answer that a death takes, on every link */
	HEART_STATE_MS = 100,
	HEART_SLOW_MS = 100, /* between questions when nothing depends on the answer */
};

struct heart_key {
	uint64_t word[2];
};

/* heart_name: a node's or an instance's name as a number, that only the nodes know. */
uint64_t heart_name(const struct heart_key *key, const char *name);

/* heart_chosen: a node's heart_name() as a record names it; never 0. */
static inline uint32_t heart_chosen(uint64_t node)
{
	return (uint32_t)node | 1;
}

/* Why something was not used; counted by kind. */
#define HEART_VERDICTS(V)                                                                          \
	V(GOOD, "good")                                                                            \
	V(SHORT, "of another length than it says")                                                 \
	V(FOREIGN, "of another protocol or version")                                               \
	V(FORGED, "the keyed hash is wrong: another secret, or forged")                            \
	V(STRANGER, "from or for another node")                                                    \
	V(UNASKED, "an answer that was not asked for, or came twice")                              \
	V(OLD, "a state of before, or of another session")

enum heart_verdict {
#define HEART_VERDICT_ENUM(name, text) HEART_IS_##name,
	HEART_VERDICTS(HEART_VERDICT_ENUM)
#undef HEART_VERDICT_ENUM
		HEART_VERDICT_COUNT
};
_Static_assert((int)HEART_VERDICT_COUNT == (int)HEART_KINDS_BAD, "message_partner");

const char *heart_verdict_text(enum heart_verdict verdict);

/* ---- bytes ---- */

struct heart_record { /* of an instance */
	uint64_t instance;
	uint8_t vrid, ipv6, role /* enum vrrp_role */, priority;
	uint32_t chosen; /* heart_chosen() of the operator's choice, while it is carried out; else 0
			  */
	uint8_t source[16]; /* of its adverts */
};
_Static_assert(sizeof(struct heart_record) == 32, "heart_record");

/* STATE: what comes will have another key or port: forget me, until I am heard again. */
enum { HEART_FAREWELL = 1 };

struct heart_state {
	uint32_t magic;
	uint8_t version, kind, n_records, flags;
	uint64_t from, to;
	uint64_t session, to_session;
	uint64_t sequence;
	struct heart_record records[HEART_RECORDS];
	uint64_t hash; /* on the wire right behind the last record */
};

enum { HEART_MOST = sizeof(struct heart_state) };

/* heart_question, heart_reply: complete, with their hash. The reply is what guard.bpf.c makes. */
struct heart heart_question(const struct heart_key *key, uint64_t from, uint64_t to,
			    uint64_t nonce);
struct heart heart_reply(const struct heart_key *key, const struct heart *question, uint8_t flags,
			 uint32_t left_ms);
/* heart_state_seal: what is not given: magic, version, kind, hash. The bytes to send of *state. */
size_t heart_state_seal(const struct heart_key *key, struct heart_state *state);

/* heart_open: GOOD: *ret is the whole message; its kind says which member.
 * @from, @to: the nodes that it has to name
 */
union heart_any {
	struct heart heart;
	struct heart_state state;
};
enum heart_verdict heart_open(const struct heart_key *key, const void *bytes, size_t n_bytes,
			      uint64_t from, uint64_t to, union heart_any *ret);

/* ---- a partner ---- */

struct heart_link {
	bool heard; /* ever */
	bool blind; /* the last question could not leave: its silence says nothing */
	uint8_t flags;
	uint64_t heard_ns;
	uint64_t sequence; /* the last STATE's that came by it */
	uint32_t rtt_us, next;
	uint64_t asked, answered;
	struct {
		uint64_t nonce, sent_ns; /* nonce 0: answered */
	} open[HEART_ASKED];
};

struct heart_partner {
	struct heart_link links[CONFIG_LINKS];
	uint32_t n_links;
	uint8_t flags; /* of the newest answer */
	/* of the other's process that was proved to be there; else 0 */
	uint64_t session, sequence;
	uint64_t candidate; /* that was heard of, and has to prove it */
};

/* How much silence of a link is a death. Alone: dead_after_ns. As a second opinion, where adverts
 * are missing, too: half of it, unless the link is blind. And in both cases HEART_MISSES questions
 * since the last word, each with a quarter of dead_after_ns to be answered in.
 */
struct heart_pace {
	uint64_t dead_after_ns;
	bool second; /* opinion */
};

void heart_asked(struct heart_partner *p, uint32_t link, uint64_t nonce, uint64_t now_ns);
/* heart_unasked: it could not be sent. */
void heart_unasked(struct heart_partner *p, uint32_t link);
/* heart_answered, heart_stated: something GOOD of heart_open() came; GOOD: it counts. */
enum heart_verdict heart_answered(struct heart_partner *p, uint32_t link, const struct heart *h,
				  uint64_t now_ns);
/* heart_stated: GOOD and *ret_new false: it came by another link before.
 * @own: this process's session
 */
enum heart_verdict heart_stated(struct heart_partner *p, uint32_t link, const struct heart_state *s,
				uint64_t own, uint64_t now_ns, bool *ret_new);
/* heart_forget: nothing is known of it any more; its silence says nothing. */
void heart_forget(struct heart_partner *p);
/* heart_to_session: whom a STATE to it has to name. */
uint64_t heart_to_session(const struct heart_partner *p);

/* heart_link_fresh_until_ns: it is not silent before then, whatever is heard or asked from now on.
 * Not after @now_ns: it is silent; 0: never heard.
 */
uint64_t heart_link_fresh_until_ns(const struct heart_link *link, const struct heart_pace *pace,
				   uint64_t now_ns);
/* heart_link_fresh: something was heard of it just now, or it was not asked often enough since. */
bool heart_link_fresh(const struct heart_link *link, const struct heart_pace *pace,
		      uint64_t now_ns);
/* heart_judge: UNKNOWN: never heard, or it cannot be asked any more. Call it after all that has
 * come was read: a process that slept judges nothing by what it did not read. GONE: its kernel
 * answers that its processes are dead, or stuck.
 */
enum partner_life heart_judge(const struct heart_partner *p, const struct heart_pace *pace,
			      uint64_t now_ns);

#endif
