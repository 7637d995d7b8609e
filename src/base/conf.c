/* SPDX-License-Identifier: Apache-2.0 */
#include "base/conf.h"
#include "base/file.h"
#include "base/str.h"

#include <arpa/inet.h>
#include <ini.h>
#include <stdlib.h>
#include <string.h>

#define BITS_WORD 64
#define ROWS_MAX  256
#define VALUE_MAX (CONF_LINE_MAX + 1)

/* One run of the reader. inih tells no line numbers (its build decides), so we count them where
 * the lines are handed to it. */
struct reading {
	const struct conf_table *table;
	const char *at; /* rest of the text */
	const char *folder;
	uint8_t *out;
	struct diag *d;
	unsigned line;
	uint64_t seen[ROWS_MAX / BITS_WORD]; /* rows that have a value */
	enum rc rc;
};

static void *member(const struct reading *r, const struct conf_row *row)
{
	return r->out + row->offset;
}

enum rc conf_addr_read(const char *text, struct conf_addr *out)
{
	const char *colon = strrchr(text, ':');
	struct conf_addr a = { 0 };
	char host[INET6_ADDRSTRLEN];
	uint64_t port;
	size_t len;

	if (text[0] == '\0') {
		*out = a;
		return RC_OK;
	}
	if (!colon || u64_read(colon + 1, 0, UINT16_MAX, &port) != RC_OK)
		return RC_MALFORMED;
	len = (size_t)(colon - text);
	if (len >= 2 && text[0] == '[' && text[len - 1] == ']') {
		struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)&a.sa;
		if (len - 2 >= sizeof(host))
			return RC_MALFORMED;
		memcpy(host, text + 1, len - 2);
		host[len - 2] = '\0';
		in6->sin6_family = AF_INET6;
		in6->sin6_port = htons((uint16_t)port);
		a.len = sizeof(*in6);
		if (inet_pton(AF_INET6, host, &in6->sin6_addr) != 1)
			return RC_MALFORMED;
	} else {
		struct sockaddr_in *in = (struct sockaddr_in *)&a.sa;
		if (len >= sizeof(host))
			return RC_MALFORMED;
		memcpy(host, text, len);
		host[len] = '\0';
		in->sin_family = AF_INET;
		in->sin_port = htons((uint16_t)port);
		a.len = sizeof(*in);
		if (inet_pton(AF_INET, host, &in->sin_addr) != 1)
			return RC_MALFORMED;
	}
	*out = a;
	return RC_OK;
}

void conf_addr_write(const struct conf_addr *addr, char *out)
{
	char host[INET6_ADDRSTRLEN] = "";

	out[0] = '\0';
	if (addr->len == 0)
		return;
	if (addr->sa.ss_family == AF_INET6) {
		const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)&addr->sa;
		inet_ntop(AF_INET6, &in6->sin6_addr, host, sizeof(host));
		snprintf(out, CONF_ADDR_TEXT, "[%s]:%u", host, ntohs(in6->sin6_port));
	} else {
		const struct sockaddr_in *in = (const struct sockaddr_in *)&addr->sa;
		inet_ntop(AF_INET, &in->sin_addr, host, sizeof(host));
		snprintf(out, CONF_ADDR_TEXT, "%s:%u", host, ntohs(in->sin_port));
	}
}

static enum rc set_bool(bool *out, const char *value, struct diag *d)
{
	static const char *const words[][2] = { { "no", "yes" }, { "false", "true" },
		{ "off", "on" }, { "0", "1" } };

	for (size_t i = 0; i < ARRAY_LEN(words); i++) {
		for (size_t v = 0; v < 2; v++) {
			if (str_equal_nocase(value, words[i][v])) {
				*out = v == 1;
				return RC_OK;
			}
		}
	}
	return diag_set(d, RC_MALFORMED, "\"%s\" is not yes or no", value);
}

static enum rc read_i64(const char *text, int64_t *out)
{
	bool minus = text[0] == '-';
	uint64_t v;

	if (u64_read(text + minus, 0, INT64_MAX, &v) != RC_OK)
		return RC_MALFORMED;
	*out = minus ? -(int64_t)v : (int64_t)v;
	return RC_OK;
}

static enum rc check_range(const struct conf_row *row, int64_t v, struct diag *d)
{
	if (v >= row->min && v <= row->max)
		return RC_OK;
	return diag_set(d, RC_RANGE, "%lld is not %lld..%lld%s%s", (long long)v,
		(long long)row->min, (long long)row->max, row->unit ? " " : "",
		row->unit ? row->unit : "");
}

static enum rc set_int(const struct conf_row *row, int64_t *out, const char *value, struct diag *d)
{
	int64_t v;
	enum rc rc;

	if (read_i64(value, &v) != RC_OK)
		return diag_set(d, RC_MALFORMED, "\"%s\" is not a number", value);
	rc = check_range(row, v, d);
	if (rc == RC_OK)
		*out = v;
	return rc;
}

/* Milliseconds of a duration's suffix; 0: unknown. */
static int64_t suffix_ms(const char *suffix)
{
	static const struct {
		const char *text;
		int64_t ms;
	} units[] = { { "ms", 1 }, { "s", 1000 }, { "m", 60000 }, { "h", 3600000 },
		{ "d", 86400000 } };

	for (size_t i = 0; i < ARRAY_LEN(units); i++)
		if (strcmp(suffix, units[i].text) == 0)
			return units[i].ms;
	return 0;
}

static enum rc set_duration(
	const struct conf_row *row, int64_t *out, const char *value, struct diag *d)
{
	size_t digits = strspn(value, "0123456789");
	const char *suffix = value[digits] ? value + digits : row->unit;
	int64_t ms = suffix_ms(suffix), unit = suffix_ms(row->unit);
	char number[20];
	uint64_t n;
	enum rc rc;

	if (digits == 0 || digits >= sizeof(number) || ms == 0)
		return diag_set(d, RC_MALFORMED,
			"\"%s\" is not a duration (500ms, 30s, 5m, 24h, 7d)", value);
	memcpy(number, value, digits);
	number[digits] = '\0';
	if (u64_read(number, 0, (uint64_t)(INT64_MAX / ms), &n) != RC_OK)
		return diag_set(d, RC_RANGE, "\"%s\" is too long", value);
	if ((int64_t)n * ms % unit != 0)
		return diag_set(
			d, RC_RANGE, "\"%s\" is not a whole number of %s", value, row->unit);
	rc = check_range(row, (int64_t)n * ms / unit, d);
	if (rc == RC_OK)
		*out = (int64_t)n * ms / unit;
	return rc;
}

static enum rc set_text(char **out, const char *value, size_t len)
{
	char *copy = strndup(value, len);

	if (!copy)
		return RC_NOMEM;
	free(*out);
	*out = copy;
	return RC_OK;
}

static enum rc set_string(const struct conf_row *row, char **out, const char *value, struct diag *d)
{
	int64_t len = (int64_t)strlen(value);

	if (row->max > 0 && (len < row->min || len > row->max))
		return diag_set(d, RC_RANGE, "needs %lld to %lld characters", (long long)row->min,
			(long long)row->max);
	return set_text(out, value, (size_t)len);
}

static enum rc set_path(const struct reading *r, char **out, const char *value, struct diag *d)
{
	char joined[4096];

	if (value[0] == '/' || value[0] == '\0')
		return set_text(out, value, strlen(value));
	if (str_format(joined, sizeof(joined), "%s/%s", r->folder, value) != RC_OK)
		return diag_set(d, RC_TOO_LARGE, "path is too long");
	return set_text(out, joined, strlen(joined));
}

static enum rc set_choice(const struct conf_row *row, int *out, const char *value, struct diag *d)
{
	size_t len = strlen(value);
	int index = 0;

	for (const char *w = row->unit; w; index++) {
		const char *bar = strchr(w, '|');
		size_t w_len = bar ? (size_t)(bar - w) : strlen(w);
		if (w_len == len && memcmp(w, value, len) == 0) {
			*out = index;
			return RC_OK;
		}
		w = bar ? bar + 1 : NULL;
	}
	return diag_set(d, RC_MALFORMED, "\"%s\" is none of %s", value, row->unit);
}

/* Adds the comma-separated values of one line. */
static enum rc add_list(struct conf_list *list, const char *value, struct diag *d)
{
	while (*value) {
		size_t len = strcspn(value, ","), used = len;
		size_t lead = strspn(value, " \t");
		while (used > lead && (value[used - 1] == ' ' || value[used - 1] == '\t'))
			used--;
		if (used <= lead)
			return diag_set(d, RC_MALFORMED, "an empty value in a list");
		if (list->count == CONF_LIST_MAX)
			return diag_set(d, RC_TOO_LARGE, "more than %d values", CONF_LIST_MAX);
		char **grown = realloc(list->items, (list->count + 1) * sizeof(*grown));
		if (!grown)
			return RC_NOMEM;
		list->items = grown;
		list->items[list->count] = strndup(value + lead, used - lead);
		if (!list->items[list->count])
			return RC_NOMEM;
		list->count++;
		value += len;
		if (*value == ',' && *++value == '\0')
			return diag_set(d, RC_MALFORMED, "an empty value in a list");
	}
	return RC_OK;
}

static enum rc set_value(
	struct reading *r, const struct conf_row *row, const char *value, struct diag *d)
{
	void *out = member(r, row);

	switch (row->type) {
	case CONF_BOOL: return set_bool(out, value, d);
	case CONF_INT: return set_int(row, out, value, d);
	case CONF_DURATION: return set_duration(row, out, value, d);
	case CONF_STRING: return set_string(row, out, value, d);
	case CONF_PATH: return set_path(r, out, value, d);
	case CONF_ADDR:
		if (conf_addr_read(value, out) != RC_OK)
			return diag_set(d, RC_MALFORMED,
				"\"%s\" is not an address and port (127.0.0.1:53, [::1]:53)",
				value);
		return RC_OK;
	case CONF_CHOICE: return set_choice(row, out, value, d);
	case CONF_LIST: return add_list(out, value, d);
	}
	return RC_INTERNAL;
}

/* A list's name may carry one digit: pin1, pin2. */
static bool names_row(const struct conf_row *row, const char *name)
{
	size_t len = strlen(row->name);

	if (strncmp(row->name, name, len) != 0)
		return false;
	if (name[len] == '\0')
		return true;
	return row->type == CONF_LIST && name[len] >= '1' && name[len] <= '9' &&
	       name[len + 1] == '\0';
}

static const struct conf_row *find_row(
	const struct conf_table *table, const char *section, const char *name)
{
	for (size_t i = 0; i < table->row_count; i++)
		if (strcmp(table->rows[i].section, section) == 0 &&
			names_row(&table->rows[i], name))
			return &table->rows[i];
	return NULL;
}

static bool has_section(const struct conf_table *table, const char *name)
{
	for (size_t i = 0; i < table->section_count; i++)
		if (strcmp(table->sections[i].name, name) == 0)
			return true;
	return false;
}

static enum rc take_value(
	struct reading *r, const char *section, const char *name, const char *value, struct diag *d)
{
	const struct conf_row *row = find_row(r->table, section, name);
	uint64_t *word, bit;
	enum rc rc;
	size_t i;

	if (!has_section(r->table, section))
		return diag_set(d, RC_MALFORMED, "unknown section [%s]", section);
	if (!row)
		return diag_set(d, RC_MALFORMED, "unknown setting %s in [%s]", name, section);
	i = (size_t)(row - r->table->rows);
	word = &r->seen[i / BITS_WORD];
	bit = UINT64_C(1) << (i % BITS_WORD);
	if ((*word & bit) && row->type != CONF_LIST)
		return diag_set(d, RC_MALFORMED, "%s is given twice", name);
	*word |= bit;
	rc = set_value(r, row, value, d);
	if (rc != RC_OK)
		diag_prefix(d, name);
	return rc;
}

static int on_value(void *user, const char *section, const char *name, const char *value)
{
	struct reading *r = user;
	struct diag why = { 0 };
	enum rc rc;

	if (r->rc != RC_OK)
		return 0;
	rc = take_value(r, section, name, value, &why);
	if (rc != RC_OK)
		r->rc = diag_set(r->d, rc, "line %u: %s", r->line, why.text);
	return rc == RC_OK;
}

/* fgets over the text. inih would take the rest of an overlong line for a line of its own. */
static char *next_line(char *to, int cap, void *user)
{
	struct reading *r = user;
	size_t len = strcspn(r->at, "\n");

	if (*r->at == '\0' || r->rc != RC_OK)
		return NULL;
	r->line++;
	if (len > CONF_LINE_MAX || len + 3 > (size_t)cap) {
		r->rc = diag_set(r->d, RC_TOO_LARGE, "line %u: longer than %d bytes", r->line,
			CONF_LINE_MAX);
		return NULL;
	}
	memcpy(to, r->at, len);
	r->at += len;
	if (*r->at == '\n') {
		to[len++] = '\n';
		r->at++;
	}
	to[len] = '\0';
	return to;
}

static enum rc fill_presets(struct reading *r)
{
	for (size_t i = 0; i < r->table->row_count; i++) {
		const struct conf_row *row = &r->table->rows[i];
		struct diag why = { 0 };
		enum rc rc;

		if (r->seen[i / BITS_WORD] & UINT64_C(1) << (i % BITS_WORD))
			continue;
		if (!row->preset)
			return diag_set(
				r->d, RC_MALFORMED, "[%s] %s is missing", row->section, row->name);
		rc = set_value(r, row, row->preset, &why);
		if (rc != RC_OK)
			return diag_set(r->d, rc, "[%s] %s: default: %s", row->section, row->name,
				why.text);
	}
	return RC_OK;
}

enum rc conf_read_text(const struct conf_table *table, const char *text, const char *folder,
	void *out, struct diag *d)
{
	struct reading r = { .table = table, .at = text, .folder = folder, .out = out, .d = d };
	int bad;

	if (table->row_count > ROWS_MAX)
		return diag_set(d, RC_INTERNAL, "more than %d settings", ROWS_MAX);
	bad = ini_parse_stream(next_line, &r, on_value, &r);
	if (r.rc == RC_OK && bad != 0)
		r.rc = diag_set(
			d, RC_MALFORMED, "line %d: neither [section] nor name = value", bad);
	if (r.rc == RC_OK)
		r.rc = fill_presets(&r);
	if (r.rc != RC_OK)
		conf_free(table, out);
	return r.rc;
}

enum rc conf_read_file(const struct conf_table *table, const char *path, void *out, struct diag *d)
{
	uint8_t *text = NULL;
	char *folder = NULL;
	size_t len;
	enum rc rc = file_read(path, CONF_FILE_MAX, &text, &len, d);

	if (rc != RC_OK)
		return rc;
	if (memchr(text, '\0', len)) {
		rc = diag_set(d, RC_MALFORMED, "%s: a NUL byte in the text", path);
		goto out;
	}
	char *whole = realpath(path, NULL);
	folder = whole;
	if (!whole) {
		rc = diag_errno(d, RC_IO, "%s", path);
		goto out;
	}
	*strrchr(whole, '/') = '\0';
	rc = conf_read_text(table, (const char *)text, folder, out, d);
	if (rc != RC_OK)
		diag_prefix(d, path);
out:
	free(folder);
	free(text);
	return rc;
}

void conf_free(const struct conf_table *table, void *out)
{
	for (size_t i = 0; i < table->row_count; i++) {
		const struct conf_row *row = &table->rows[i];
		void *at = (uint8_t *)out + row->offset;

		if (row->type == CONF_STRING || row->type == CONF_PATH) {
			free(*(char **)at);
			*(char **)at = NULL;
		} else if (row->type == CONF_LIST) {
			struct conf_list *list = at;
			for (size_t k = 0; k < list->count; k++)
				free(list->items[k]);
			free(list->items);
			*list = (struct conf_list){ 0 };
		}
	}
}
