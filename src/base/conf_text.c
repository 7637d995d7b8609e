/* SPDX-License-Identifier: Apache-2.0 */
/* What a configuration table says to people: help, and the commented file. */
#include "base/conf.h"

#include <string.h>

static const char *type_text(enum conf_type type)
{
	switch (type) {
	case CONF_BOOL: return "yes|no";
	case CONF_INT: return "number";
	case CONF_DURATION: return "duration";
	case CONF_STRING: return "text";
	case CONF_PATH: return "path, relative to this file";
	case CONF_ADDR: return "address:port";
	case CONF_CHOICE: return "";
	case CONF_LIST: return "list, comma separated";
	}
	return "?";
}

/* 90000 ms as 90s: in the largest unit that takes it whole. */
static void print_duration(int64_t n, const char *unit, FILE *to)
{
	static const struct {
		const char *text;
		int64_t s;
	} units[] = { { "d", 86400 }, { "h", 3600 }, { "m", 60 }, { "s", 1 } };
	int64_t per_s = strcmp(unit, "ms") == 0 ? 1000 : 1;

	for (size_t i = 0; i < ARRAY_LEN(units); i++) {
		if (n == 0 || n % (units[i].s * per_s) != 0)
			continue;
		fprintf(to, "%lld%s", (long long)(n / (units[i].s * per_s)), units[i].text);
		return;
	}
	fprintf(to, "%lld%s", (long long)n, unit);
}

/* "duration, 1s..1h", "number, 1..3650 days", "require|warn". */
static void print_type(const struct conf_row *row, FILE *to)
{
	if (row->type == CONF_CHOICE) {
		fputs(row->unit, to);
		return;
	}
	fputs(type_text(row->type), to);
	if (row->type == CONF_DURATION) {
		fputs(", ", to);
		print_duration(row->min, row->unit, to);
		fputs("..", to);
		print_duration(row->max, row->unit, to);
	} else if (row->type == CONF_INT) {
		fprintf(to, ", %lld..%lld%s%s", (long long)row->min, (long long)row->max,
			row->unit ? " " : "", row->unit ? row->unit : "");
	} else if (row->type == CONF_STRING && row->max > 0) {
		fprintf(to, ", %lld..%lld characters", (long long)row->min, (long long)row->max);
	}
}

static bool in_section(const struct conf_row *row, const struct conf_section *section)
{
	return strcmp(row->section, section->name) == 0;
}

static void help_row(const struct conf_row *row, FILE *to)
{
	fprintf(to, "  %s (", row->name);
	print_type(row, to);
	if (!row->preset)
		fputs("; must be given", to);
	else if (row->preset[0])
		fprintf(to, "; default %s", row->preset);
	fprintf(to, ")\n      %s\n", row->help);
}

void conf_help(const struct conf_table *table, FILE *to)
{
	for (size_t s = 0; s < table->section_count; s++) {
		const struct conf_section *section = &table->sections[s];
		fprintf(to, "%s[%s] %s\n", s > 0 ? "\n" : "", section->name, section->help);
		for (size_t i = 0; i < table->row_count; i++)
			if (in_section(&table->rows[i], section))
				help_row(&table->rows[i], to);
	}
}

/* `name` or, for a list, name1 .. name9. */
static bool value_is_of(const struct conf_value *v, const struct conf_row *row)
{
	size_t len = strlen(row->name);

	if (strcmp(v->section, row->section) != 0 || strncmp(v->name, row->name, len) != 0)
		return false;
	return v->name[len] == '\0' || (row->type == CONF_LIST && v->name[len] >= '1' &&
					       v->name[len] <= '9' && v->name[len + 1] == '\0');
}

static void write_row(
	const struct conf_row *row, const struct conf_value *values, size_t count, FILE *to)
{
	bool written = false;

	fprintf(to, "\n# %s (", row->help);
	print_type(row, to);
	fputs(")\n", to);
	for (size_t i = 0; i < count; i++) {
		if (!value_is_of(&values[i], row))
			continue;
		fprintf(to, "%s = %s\n", values[i].name, values[i].value);
		written = true;
	}
	if (!written)
		fprintf(to, "#%s = %s\n", row->name, row->preset ? row->preset : "");
}

static enum rc check_values(const struct conf_table *table, const struct conf_value *values,
	size_t count, struct diag *d)
{
	for (size_t v = 0; v < count; v++) {
		bool found = false;
		for (size_t i = 0; i < table->row_count && !found; i++)
			found = value_is_of(&values[v], &table->rows[i]);
		if (!found)
			return diag_set(d, RC_NOT_FOUND, "no setting %s in [%s]", values[v].name,
				values[v].section);
		if (strpbrk(values[v].value, "\r\n;"))
			return diag_set(d, RC_MALFORMED, "%s: a line end or ';' in the value",
				values[v].name);
		if (strlen(values[v].name) + 3 + strlen(values[v].value) > CONF_LINE_MAX)
			return diag_set(
				d, RC_TOO_LARGE, "%s: longer than a line may be", values[v].name);
	}
	return RC_OK;
}

enum rc conf_write(const struct conf_table *table, const struct conf_value *values, size_t count,
	FILE *to, struct diag *d)
{
	enum rc rc = check_values(table, values, count, d);

	if (rc != RC_OK)
		return rc;
	for (size_t s = 0; s < table->section_count; s++) {
		const struct conf_section *section = &table->sections[s];
		fprintf(to, "%s# %s\n[%s]\n", s > 0 ? "\n" : "", section->help, section->name);
		for (size_t i = 0; i < table->row_count; i++)
			if (in_section(&table->rows[i], section))
				write_row(&table->rows[i], values, count, to);
	}
	return ferror(to) ? diag_set(d, RC_IO, "configuration: write") : RC_OK;
}
