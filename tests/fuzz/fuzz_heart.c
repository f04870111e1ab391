/* SPDX-License-Identifier: BSD-2-Clause */
/* fuzz_heart.c: any bytes as a heartbeat. The first says whether they get a right hash (else hardly
 * anything would pass it); what is good is taken by a partner, and means the same after it is
 * written again.
 */
#include <stdlib.h>
#include <string.h>

#include "vrrp/heartbeat.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

static const struct heart_key key = {{1, 2}};

static void take(const union heart_any *any)
{
	struct heart_partner p = {.n_links = 2, .session = any->state.session & 1};
	const struct heart_pace pace = {.dead_after_ns = 40000000};
	union heart_any again;
	struct heart_state s;
	bool new = false;

	heart_asked(&p, 1, 7, 1000);
	if (any->heart.kind == HEART_ANSWER)
		heart_answered(&p, 1, &any->heart, 2000);
	if (any->heart.kind != HEART_STATE)
		return;
	heart_stated(&p, 1, &any->state, any->state.to_session | 1, 2000, &new);
	if (new && (!p.links[1].heard || p.session != any->state.session))
		abort();
	heart_judge(&p, &pace, 100000000);
	s = any->state;
	if (heart_open(&key, &s, heart_state_seal(&key, &s), s.from, s.to, &again) !=
		    HEART_IS_GOOD ||
	    memcmp(&again.state.records, s.records, s.n_records * sizeof(s.records[0])) != 0)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
	union heart_any any = {0};
	struct heart_state sealed;
	uint64_t from = 0, to = 0;
	uint8_t *copy;

	if (n < 1)
		return 0;
	copy = malloc(n); /* of its very size, for the sanitizer to see what is beyond */
	if (!copy)
		return 0;
	memcpy(copy, bytes + 1, n - 1);
	if (n - 1 >= 24) {
		memcpy(&from, copy + 8, sizeof(from));
		memcpy(&to, copy + 16, sizeof(to));
	}
	if (heart_open(&key, copy, n - 1, from, to, &any) == HEART_IS_GOOD)
		take(&any);
	memset(&sealed, 0, sizeof(sealed));
	memcpy(&sealed, copy, n - 1 < sizeof(sealed) ? n - 1 : sizeof(sealed));
	sealed.n_records = (uint8_t)(sealed.n_records % (HEART_RECORDS + 1));
	if (bytes[0] & 1 && heart_open(&key, &sealed, heart_state_seal(&key, &sealed), sealed.from,
				       sealed.to, &any) == HEART_IS_GOOD)
		take(&any);
	free(copy);
	return 0;
}
