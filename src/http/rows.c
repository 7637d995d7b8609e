/* SPDX-License-Identifier: Apache-2.0 */
#include "http/rows.h"

#include "base/secret.h"
#include "base/str.h"
#include "http/reflect.h"

#include <stdio.h>
#include <string.h>

/* One field of a CSV record into `out`; *end tells that the record ends behind it. */
static bool csv_field(struct rows *r, char *out, size_t cap, bool *end)
{
	bool quoted, fits = true;
	size_t n = 0;

	while (r->left && (*r->at == ' ' || *r->at == '\t')) {
		r->at++;
		r->left--;
	}
	quoted = r->left && *r->at == '"';
	if (quoted) {
		r->at++;
		r->left--;
	}
	*end = true;
	while (r->left) {
		char c = *r->at;

		if (quoted && c == '"' && r->left > 1 && r->at[1] == '"') {
			r->at++;
			r->left--;
		} else if (quoted && c == '"') {
			quoted = false;
			r->at++;
			r->left--;
			/* Nothing but the end of the field may follow. */
			if (r->left && !strchr(",\r\n", *r->at))
				fits = false;
			continue;
		} else if (!quoted && (c == ',' || c == '\n')) {
			r->at++;
			r->left--;
			*end = c == '\n';
			break;
		}
		if (c == '\0' || n + 1 >= cap)
			fits = false;
		else
			out[n++] = c;
		r->at++;
		r->left--;
	}
	/* Spaces around a field and the CR of a line end are not of the value. */
	while (n && strchr(" \t\r", out[n - 1]))
		n--;
	out[n] = '\0';
	return fits && !quoted;
}

static void skip_line(struct rows *r)
{
	const char *nl = memchr(r->at, '\n', r->left);
	size_t len = nl ? (size_t)(nl - r->at) + 1 : r->left;

	r->at += len;
	r->left -= len;
}

/* To the next line that says something. */
static bool skip_empty(struct rows *r)
{
	while (r->left) {
		size_t n = 0;

		while (n < r->left && strchr(" \t\r", r->at[n]) && r->at[n])
			n++;
		if (n < r->left && r->at[n] != '\n' && *r->at != '#')
			return true;
		skip_line(r);
		r->line++;
	}
	return false;
}

static enum rc heading(struct rows *r, struct diag *d)
{
	bool end = false;

	if (!skip_empty(r))
		return diag_set(d, RC_MALFORMED, "the first line must name columns");
	r->line++;
	while (!end) {
		char *name = r->columns[r->column_count];

		if (r->column_count == ROWS_COLUMNS_MAX)
			return diag_set(d, RC_MALFORMED, "over %d columns", ROWS_COLUMNS_MAX);
		if (!csv_field(r, name, ROWS_NAME_MAX, &end) || !*name)
			return diag_set(d, RC_MALFORMED, "the heading has a malformed column");
		str_lower(name);
		for (size_t i = 0; i < r->column_count; i++)
			if (strcmp(r->columns[i], name) == 0)
				return diag_set(d, RC_MALFORMED, "column %s twice", name);
		r->column_count++;
	}
	return RC_OK;
}

enum rc rows_open(struct rows *r, const char *text, size_t len, bool csv, struct diag *d)
{
	static const char bom[] = "\xef\xbb\xbf";

	*r = (struct rows){ .at = text, .left = len, .csv = csv };
	if (len >= 3 && memcmp(text, bom, 3) == 0) {
		r->at += 3;
		r->left -= 3;
	}
	return csv ? heading(r, d) : RC_OK;
}

static enum rc csv_row(struct rows *r, json_t **out, struct diag *d)
{
	const char *start = r->at;
	char value[ROWS_LINE_MAX];
	json_t *row = json_object();
	bool end = false, good = row != NULL, fits = true;
	size_t i = 0;

	for (; !end; i++) {
		good = csv_field(r, value, sizeof(value), &end) && good;
		fits = fits && i < r->column_count;
		if (good && fits && *value &&
			json_object_set_new(row, r->columns[i], json_string(value)) < 0)
			good = false; /* not UTF-8 */
	}
	mem_wipe(value, sizeof(value));
	for (; start < r->at; start++)
		r->line += *start == '\n';
	if (good && fits && i == r->column_count) {
		*out = row;
		return RC_OK;
	}
	json_decref(row);
	if (good)
		return diag_set(d, RC_MALFORMED, "%zu fields where the heading has %zu", i,
			r->column_count);
	return diag_set(d, RC_MALFORMED, "a malformed or too long field");
}

static enum rc json_row(struct rows *r, json_t **out, struct diag *d)
{
	const char *start = r->at;
	size_t len;
	json_t *row;
	json_error_t e;

	skip_line(r);
	r->line++;
	len = (size_t)(r->at - start);
	if (len > ROWS_LINE_MAX)
		return diag_set(d, RC_MALFORMED, "over %u bytes", ROWS_LINE_MAX);
	if (reflect_bounds(start, len, ROWS_DEPTH_MAX, 256) != RC_OK)
		return diag_set(d, RC_MALFORMED, "nests too deeply or holds too many values");
	row = json_loadb(start, len, JSON_REJECT_DUPLICATES, &e);
	if (!json_is_object(row)) {
		json_decref(row);
		return diag_set(d, RC_MALFORMED, "not one JSON object: column %d", e.column);
	}
	*out = row;
	return RC_OK;
}

enum rc rows_next(struct rows *r, json_t **out, struct diag *d)
{
	if (!skip_empty(r))
		return RC_NOT_FOUND;
	return r->csv ? csv_row(r, out, d) : json_row(r, out, d);
}
