/* SPDX-License-Identifier: BSD-2-Clause */
/* probe_script.c: a program of the operator's, which another process runs (wire_program.c).
 *
 * Its exit status is the verdict: 0 pass, 1 fail, 2 leaving (it asks for no more work), anything
 * else fail. The first line of its output is the text. A word "weight=NN%" in any line of the
 * output asks for that part of the backend's weight, until another one does; 0% is leaving.
 */
#include <ctype.h>
#include <errno.h>
#include <string.h>

#include "healthcheck/ran.h"

struct script_conf {
	struct probe_common common;
	char command[CONFIG_LIST_SIZE];
};

static const char *check_command(const char *value)
{
	return value[0] == '/'
		       ? NULL
		       : "does not begin with the path of a program; expected: [ \"/...\", ... ]";
}

static const struct config_key script_keys[] = {
	{.name = "command",
	 .type = KEY_LIST,
	 .offset = offsetof(struct script_conf, command),
	 .size = sizeof(((struct script_conf *)0)->command),
	 .required = true,
	 .check = check_command},
	{0},
};

static enum probe_transport script_transport(const void *conf)
{
	(void)conf;
	return TRANSPORT_PROGRAM;
}

static enum probe_step script_start(void *talk, const void *conf, enum config_tls tls,
				    struct buf *out, struct verdict *v)
{
	(void)talk;
	(void)conf;
	(void)tls;
	(void)out;
	(void)v;
	return PROBE_MORE;
}

/* The number after the first "weight=" that begins a word and goes on with 0% .. 100%. */
static uint8_t weight_find(const char *text, size_t len)
{
	static const char key[] = "weight=";
	const size_t n = sizeof(key) - 1;

	for (size_t i = 0; i + n < len; i++) {
		unsigned int percent = 0, digits = 0;
		size_t j = i + n;

		if ((i > 0 && !isspace((unsigned char)text[i - 1])) ||
		    memcmp(text + i, key, n) != 0)
			continue;
		for (; j < len && digits < 3 && isdigit((unsigned char)text[j]); j++, digits++)
			percent = percent * 10 + (unsigned int)(text[j] - '0');
		if (digits > 0 && percent <= 100 && j < len && text[j] == '%')
			return (uint8_t)percent;
	}
	return WEIGHT_UNSAID;
}

static enum probe_step ran_judge(const struct ran *ran, struct verdict *v)
{
	static const enum verdict_word words[] = {VERDICT_PASS, VERDICT_FAIL, VERDICT_LEAVING};
	enum verdict_word word = ran->status < 3 ? words[ran->status] : VERDICT_FAIL;
	size_t line = 0;

	while (line < ran->len && ran->output[line] != '\n' && ran->output[line] != '\r')
		line++;
	v->weight = weight_find(ran->output, ran->len);
	if (v->weight == 0 && word == VERDICT_PASS)
		word = VERDICT_LEAVING;
	if (line == 0)
		return probe_end(v, word, ran->status, "exit status %d", ran->status);
	return probe_end_words(v, word, ran->status, ran->output, line);
}

static enum probe_step script_feed(void *talk, const void *conf, struct buf *in, struct buf *out,
				   struct verdict *v)
{
	enum probe_step step;
	struct ran ran;

	(void)talk;
	(void)conf;
	(void)out;
	if (!ran_read(in, &ran))
		step = probe_end(v, VERDICT_UNABLE, 0, "what ran the program is not understood");
	else if (ran.error == ETIME)
		step = probe_end(v, VERDICT_TIMEOUT, 0, "the program was killed: it took too long");
	else if (ran.error)
		step = probe_end(v, VERDICT_UNABLE, 0, "the program did not run: %s",
				 strerror(ran.error));
	else
		step = ran_judge(&ran, v);
	buf_drop(in, buf_len(in));
	return step;
}

static const char *script_waiting(const void *talk)
{
	(void)talk;
	return "end of the program";
}

const struct probe_ops probe_script = {
	.schema = {.name = "script",
		   .keys = script_keys,
		   .conf_size = sizeof(struct script_conf),
		   .no_port = true,
		   .no_stream = true},
	.transport = script_transport,
	.start = script_start,
	.feed = script_feed,
	.waiting = script_waiting,
};
