/* SPDX-License-Identifier: Apache-2.0 */
/* Answers for people: aligned text; for scripts: the registry's JSON as it came. */
#include "cli.h"

#include "base/str.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { CELL_MAX = 256, COLS_MAX = 16 };

void out_json(const json_t *answer)
{
	json_dumpf(answer, stdout, JSON_INDENT(2));
	putchar('\n');
}

void out_say(const struct cli *cli, const char *fmt, ...)
{
	va_list ap;

	if (cli->json)
		return;
	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	putchar('\n');
}

/* The value at "certificate.not_after" or "flags.0.who"; NULL when a part is not there. */
static const json_t *member_at(const json_t *object, const char *path)
{
	char name[64];

	for (const char *at = path; *at && object; at += *at == '.') {
		size_t n = strcspn(at, ".");
		if (n >= sizeof(name))
			return NULL;
		memcpy(name, at, n);
		name[n] = '\0';
		object = json_is_array(object) ? json_array_get(object, (size_t)(*name - '0'))
					       : json_object_get(object, name);
		at += n;
	}
	return object;
}

/* Text from elsewhere must not move the cursor. */
static void clean(char *text)
{
	for (; *text; text++)
		if ((unsigned char)*text < 0x20 || *text == 0x7f)
			*text = '?';
}

static void cell_time(const json_t *value, char out[CELL_MAX])
{
	time_t t = (time_t)json_integer_value(value);
	struct tm tm;

	if (t > 0 && gmtime_r(&t, &tm))
		(void)strftime(out, CELL_MAX, "%Y-%m-%d %H:%M:%S UTC", &tm);
}

static void cell_hex(const json_t *value, char out[CELL_MAX])
{
	uint8_t bytes[CELL_MAX / 2 - 8];
	size_t len = 0;

	if (b64_read(json_string_value(value), json_string_length(value), bytes, sizeof(bytes),
		    &len) == RC_OK)
		hex_write(bytes, len, out);
	else
		(void)snprintf(out, CELL_MAX, "(%zu bytes)", json_string_length(value) / 4 * 3);
}

static void cell_list(const json_t *list, char out[CELL_MAX])
{
	size_t n = 0, i;
	json_t *item;

	json_array_foreach((json_t *)(uintptr_t)list, i, item)
	{
		const char *text = json_string_value(item);
		int add = snprintf(out + n, CELL_MAX - n, "%s%s", i ? " " : "", text ? text : "?");
		if (add < 0 || (size_t)add >= CELL_MAX - n)
			break;
		n += (size_t)add;
	}
}

static void cell(const json_t *object, const struct out_col *col, char out[CELL_MAX])
{
	const json_t *value = member_at(object, col->member);

	out[0] = '\0';
	if (!value)
		return;
	switch (col->kind) {
	case OUT_TIME: cell_time(value, out); break;
	case OUT_HEX: cell_hex(value, out); break;
	case OUT_LIST: cell_list(value, out); break;
	case OUT_BOOL: (void)snprintf(out, CELL_MAX, "%s", json_is_true(value) ? "yes" : ""); break;
	case OUT_TEXT:
		if (json_is_string(value))
			(void)snprintf(out, CELL_MAX, "%s", json_string_value(value));
		else if (json_is_integer(value))
			(void)snprintf(out, CELL_MAX, "%lld", (long long)json_integer_value(value));
		break;
	}
	clean(out);
}

void out_object(
	const struct cli *cli, const json_t *answer, const char *member, const struct out_col *cols)
{
	const json_t *object = member ? json_object_get(answer, member) : answer;
	char text[CELL_MAX];
	int width = 0;

	if (cli->json) {
		out_json(answer);
		return;
	}
	for (const struct out_col *c = cols; c->title; c++)
		width = (int)strlen(c->title) > width ? (int)strlen(c->title) : width;
	for (const struct out_col *c = cols; c->title; c++) {
		cell(object, c, text);
		if (*text)
			printf("%-*s  %s\n", width, c->title, text);
	}
}

void out_list(
	const struct cli *cli, const json_t *answer, const char *member, const struct out_col *cols)
{
	const json_t *list = json_object_get(answer, member);
	int width[COLS_MAX] = { 0 };
	char text[CELL_MAX];
	json_t *row;
	size_t i;

	if (cli->json) {
		out_json(answer);
		return;
	}
	for (size_t c = 0; cols[c].title && c < COLS_MAX; c++)
		width[c] = (int)strlen(cols[c].title);
	json_array_foreach((json_t *)(uintptr_t)list, i, row)
	{
		for (size_t c = 0; cols[c].title && c < COLS_MAX; c++) {
			cell(row, &cols[c], text);
			if ((int)strlen(text) > width[c])
				width[c] = (int)strlen(text);
		}
	}
	for (size_t c = 0; cols[c].title && c < COLS_MAX; c++)
		printf("%-*s%s", cols[c + 1].title ? width[c] : 0, cols[c].title,
			cols[c + 1].title ? "  " : "\n");
	json_array_foreach((json_t *)(uintptr_t)list, i, row)
	{
		for (size_t c = 0; cols[c].title && c < COLS_MAX; c++) {
			cell(row, &cols[c], text);
			printf("%-*s%s", cols[c + 1].title ? width[c] : 0, text,
				cols[c + 1].title ? "  " : "\n");
		}
	}
}
