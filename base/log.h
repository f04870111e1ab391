/* SPDX-License-Identifier: BSD-2-Clause */
/* log.h: one line an event, to stderr.
 *
 * "<6>lb: backend mx2 up: pool=mx probe=smtp ..." under systemd (priority prefix, sd-daemon(3)),
 * with the time in front instead on a terminal or in a file. Levels: err is our own bug or
 * what stops us, warning the operator's mistake or a lost redundancy, notice a change of state,
 * info the rest, debug is off unless asked for.
 */
#ifndef SLUICE_BASE_LOG_H
#define SLUICE_BASE_LOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

void log_init(const char *role, bool debug); /* role: "parent", "lb", ...: kept, not copied */
/* log_never_wait: for a process whose work must not wait for a log that nobody reads: its lines are
 * lost then, and how many is told as soon as somebody reads again.
 */
void log_never_wait(void);

#define LOG_LINE(prio)                                                                             \
	__attribute__((format(printf, 1, 2))) void log_##prio(const char *format, ...)
LOG_LINE(err);
LOG_LINE(warning);
LOG_LINE(notice);
LOG_LINE(info);
LOG_LINE(debug);
#undef LOG_LINE

/* log_quote: @text as a quoted, printable value: quotes, backslashes and control bytes escaped, cut
 * with "..." to fit (fewer than 16 bytes of room: ""). For words that a stranger sent. Returns buf.
 */
const char *log_quote(const char *text, size_t len_bytes, char *buf, size_t buf_size);

/* Milliseconds, microseconds of CLOCK_MONOTONIC, cut off. The only place that asks for them. */
uint64_t clock_ms(void);
uint64_t clock_us(void);

#endif
