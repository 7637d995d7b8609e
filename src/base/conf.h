/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Configuration from one declarative table: the checker, the help text and the
 * commented file that `attestry init` writes all come from the same rows.
 * Knows INI syntax and value types; never what a setting means. */

#include "base/diag.h"

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/socket.h>

#define CONF_FILE_MAX (256u * 1024) /* bytes of a whole file */
#define CONF_LINE_MAX 190	    /* inih's buffer holds 200 with line end and NUL */
#define CONF_LIST_MAX 64	    /* values of one list setting */

enum conf_type {
	CONF_BOOL,     /* bool: yes|no|true|false|on|off|1|0 */
	CONF_INT,      /* int64_t within [min, max] */
	CONF_DURATION, /* int64_t in `unit` ("ms", "s"): "500ms" "24h" "7d"; bare: in unit */
	CONF_STRING,   /* char *; min and max bound its length when max is not 0 */
	CONF_PATH,     /* char *, absolute: a relative value counts from the file's folder */
	CONF_ADDR,     /* struct conf_addr: 127.0.0.1:53, [::1]:53; empty: none */
	CONF_CHOICE,   /* int: index in `unit`, which holds the words: "require|warn" */
	CONF_LIST      /* struct conf_list: name, name1 .. name9, each comma separated */
};

struct conf_addr {
	struct sockaddr_storage sa;
	socklen_t len; /* 0: none */
};

struct conf_list {
	char **items; /* owned, as each item */
	size_t count;
};

/* One setting: where it stands in the file and in the caller's struct. */
struct conf_row {
	const char *section;
	const char *name;
	enum conf_type type;
	size_t offset;	    /* of the member in the struct */
	int64_t min, max;   /* CONF_INT, CONF_DURATION (in unit), CONF_STRING (bytes) */
	const char *preset; /* default in text; NULL: must be given */
	const char *unit;   /* of a duration or number, words of a choice; else NULL */
	const char *help;   /* one sentence */
};

/* A section's heading in help and in the written file. */
struct conf_section {
	const char *name;
	const char *help;
};

struct conf_table {
	const struct conf_section *sections;
	size_t section_count;
	const struct conf_row *rows; /* rows of a section stand together */
	size_t row_count;
};

/* A value to write other than the preset. */
struct conf_value {
	const char *section, *name, *value;
};

/* Reads `path` into the zeroed struct at `out`. Refused with file and line in *d: an unknown
 * section or key, a key given twice, a value that does not fit its row, a missing setting.
 * On failure *out is left empty. RC_NOT_FOUND, RC_MALFORMED, RC_RANGE, RC_TOO_LARGE. */
enum rc conf_read_file(
	const struct conf_table *table, const char *path, void *out, struct diag *d) ATT_MUST_CHECK;

/* The same from text; `folder` is what relative paths count from. */
enum rc conf_read_text(const struct conf_table *table, const char *text, const char *folder,
	void *out, struct diag *d) ATT_MUST_CHECK;

/* Frees what the struct's members own. */
void conf_free(const struct conf_table *table, void *out);

/* Every setting with its type, bounds, default and sentence, for people. */
void conf_help(const struct conf_table *table, FILE *to);

/* A commented file: `values` are written as given (several rows of one list name: name1 ...),
 * everything else commented out with its default. RC_NOT_FOUND names a value without row. */
enum rc conf_write(const struct conf_table *table, const struct conf_value *values, size_t count,
	FILE *to, struct diag *d) ATT_MUST_CHECK;

/* "127.0.0.1:53" or "[::1]:53"; no names are looked up. */
enum rc conf_addr_read(const char *text, struct conf_addr *out) ATT_MUST_CHECK;
/* The reverse; `out` holds CONF_ADDR_TEXT bytes. Empty for none. */
#define CONF_ADDR_TEXT 64
void conf_addr_write(const struct conf_addr *addr, char *out);
