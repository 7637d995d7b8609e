/* SPDX-License-Identifier: Apache-2.0 */
#include "base/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#define LINE_MAX_BYTES 1000

static const char *level_name(enum log_level level)
{
	switch (level) {
	case LOG_DEBUG: return "debug";
	case LOG_INFO: return "info";
	case LOG_WARNING: return "warning";
	case LOG_ERROR: return "error";
	}
	return "?";
}

static size_t clamp(int n, size_t room)
{
	if (n < 0)
		return 0;
	return (size_t)n < room ? (size_t)n : room - 1;
}

void log_write(const struct log *log, enum log_level level, const char *fmt, ...)
{
	char line[LINE_MAX_BYTES + 1];
	struct timespec ts;
	struct tm tm;
	va_list ap;
	size_t len;

	if (!log || log->fd < 0 || level < log->min)
		return;
	clock_gettime(CLOCK_REALTIME, &ts);
	gmtime_r(&ts.tv_sec, &tm);
	len = strftime(line, sizeof(line), "%Y-%m-%dT%H:%M:%S", &tm);
	len += clamp(snprintf(line + len, LINE_MAX_BYTES - len, ".%03ldZ %s %s: ",
			     ts.tv_nsec / 1000000, level_name(level), log->role ? log->role : "-"),
		LINE_MAX_BYTES - len);
	va_start(ap, fmt);
	len += clamp(vsnprintf(line + len, LINE_MAX_BYTES - len, fmt, ap), LINE_MAX_BYTES - len);
	va_end(ap);
	for (size_t i = 0; i < len; i++)
		if ((unsigned char)line[i] < 0x20 || line[i] == 0x7f)
			line[i] = '?';
	line[len++] = '\n';
	/* A log that cannot be written has nowhere to say so. */
	ssize_t ignored = write(log->fd, line, len);
	(void)ignored;
}
