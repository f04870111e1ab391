/* SPDX-License-Identifier: BSD-2-Clause */
/* log.c: events to stderr, one write(2) each, so that lines of several processes never mix. */
#include "base/log.h"

#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

enum { LINE_BYTES = 2048 };

/* The one global of a process that everybody may use: where its lines come from. */
static struct {
	const char *role;
	bool debug;
	bool journal;
	bool hasty;
	unsigned lost; /* lines */
} origin = {.role = "sluice"};

void log_init(const char *role, bool debug)
{
	origin.role = role;
	origin.debug = debug;
	origin.journal = getenv("JOURNAL_STREAM") != NULL;
}

void log_never_wait(void)
{
	origin.hasty = true;
}

static size_t line_prefix(int priority, char *line, size_t size)
{
	static const char *const names[] = {
		[LOG_ERR] = "error: ", [LOG_WARNING] = "warning: ", [LOG_DEBUG] = "debug: "};
	const char *name = names[priority == LOG_NOTICE || priority == LOG_INFO ? 0 : priority];
	struct timespec ts;
	struct tm tm;
	size_t n;

	if (origin.journal)
		return (size_t)snprintf(line, size, "<%d>%s: ", priority, origin.role);
	clock_gettime(CLOCK_REALTIME, &ts);
	localtime_r(&ts.tv_sec, &tm);
	n = strftime(line, size, "%H:%M:%S", &tm);
	return n + (size_t)snprintf(line + n, size - n, ".%03ld %s: %s", ts.tv_nsec / 1000000,
				    origin.role, name ? name : "");
}

/* A pipe or a socket that can be written to has room for a whole line. */
static bool is_read(void)
{
	struct pollfd p = {.fd = STDERR_FILENO, .events = POLLOUT};

	return !origin.hasty || poll(&p, 1, 0) != 0;
}

static void lost_tell(void)
{
	char line[LINE_BYTES];
	size_t n = line_prefix(LOG_WARNING, line, sizeof(line));

	n += (size_t)snprintf(line + n, sizeof(line) - n, "%u lines before this one are lost\n",
			      origin.lost);
	if (write(STDERR_FILENO, line, n) == (ssize_t)n)
		origin.lost = 0;
}

static void log_line(int priority, const char *format, va_list ap)
{
	char line[LINE_BYTES];
	size_t n = line_prefix(priority, line, sizeof(line));
	int m = vsnprintf(line + n, sizeof(line) - n - 1, format, ap);

	if (m < 0)
		return;
	n += (size_t)m;
	if (n > sizeof(line) - 2)
		n = sizeof(line) - 2;
	line[n++] = '\n';
	if (is_read() && origin.lost)
		lost_tell();
	if (!is_read())
		origin.lost++;
	else if (write(STDERR_FILENO, line, n) < 0)
		return; /* nobody reads our log: nothing that we could do or say */
}

#define LOG_FUNCTION(name, priority)                                                               \
	void log_##name(const char *format, ...)                                                   \
	{                                                                                          \
		va_list ap;                                                                        \
                                                                                                   \
		if ((priority) == LOG_DEBUG && !origin.debug)                                      \
			return;                                                                    \
		va_start(ap, format);                                                              \
		log_line(priority, format, ap);                                                    \
		va_end(ap);                                                                        \
	}
LOG_FUNCTION(err, LOG_ERR)
LOG_FUNCTION(warning, LOG_WARNING)
LOG_FUNCTION(notice, LOG_NOTICE)
LOG_FUNCTION(info, LOG_INFO)
LOG_FUNCTION(debug, LOG_DEBUG)

const char *log_quote(const char *text, size_t len_bytes, char *buf, size_t buf_size)
{
	static const char hex[] = "0123456789abcdef";
	size_t n = 0;

	if (buf_size < 16) {
		if (buf_size > 0)
			buf[0] = '\0';
		return buf;
	}
	buf[n++] = '"';
	for (size_t i = 0; i < len_bytes; i++) {
		unsigned char c = (unsigned char)text[i];

		if (n > buf_size - 10 && i + 1 < len_bytes) { /* room for \xHH, ..., quote, NUL */
			buf[n++] = '.';
			buf[n++] = '.';
			buf[n++] = '.';
			break;
		}
		if (c == '"' || c == '\\') {
			buf[n++] = '\\';
			buf[n++] = (char)c;
		} else if (c < 0x20 || c >= 0x7f) {
			buf[n++] = '\\';
			buf[n++] = 'x';
			buf[n++] = hex[c >> 4];
			buf[n++] = hex[c & 15];
		} else {
			buf[n++] = (char)c;
		}
	}
	buf[n++] = '"';
	buf[n] = '\0';
	return buf;
}

uint64_t clock_us(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000;
}

uint64_t clock_ms(void)
{
	return clock_us() / 1000;
}
