/* SPDX-License-Identifier: Apache-2.0 */
/* attestry inventory: an operator's SIMs. Claim codes are hashed here: the registry sees none
 * before its use. */
#include "cli.h"

#include "base/file.h"
#include "base/secret.h"
#include "base/str.h"
#include "client/claim.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
	FILE_MAX = 64 << 20,
	BATCH_ROWS = 5000 /* of one request: far below the API's body limit */
};

static const char *const columns[] = { "iccid", "eid", "owner", "imei", "claim" };

/* ---- reading ---- */

/* One CSV line of fields without quotes, which none of these needs, into a row. */
static json_t *csv_row(char *line, const size_t *order, size_t count)
{
	json_t *row = json_object();
	char *at = line;

	for (size_t i = 0; i < count && at; i++) {
		char *field = at;
		at = strchr(at, ',');
		if (at)
			*at++ = '\0';
		field += strspn(field, " \t");
		for (size_t n = strlen(field); n && strchr(" \t\r", field[n - 1]); n--)
			field[n - 1] = '\0';
		if (*field)
			json_object_set_new(row, columns[order[i]], json_string(field));
	}
	return row;
}

static int csv_heading(const char *path, char *line, size_t *order, size_t *count)
{
	char *name;

	*count = 0;
	while ((name = strsep(&line, ", \t\r"))) {
		size_t i = 0;
		if (!*name)
			continue;
		while (i < ARRAY_LEN(columns) && !str_equal_nocase(columns[i], name))
			i++;
		if (i == ARRAY_LEN(columns) || *count == ARRAY_LEN(columns))
			return cli_error(EXIT_USAGE,
				"%s: the first line must name columns out of: "
				"iccid,eid,owner,imei,claim",
				path);
		order[(*count)++] = i;
	}
	return EXIT_DONE;
}

static int read_csv(const char *path, char *text, json_t *rows)
{
	size_t order[ARRAY_LEN(columns)], count = 0;
	char *line = strsep(&text, "\n");
	int code = csv_heading(path, line, order, &count);

	if (code == EXIT_DONE && !count)
		return cli_error(EXIT_USAGE, "%s: the first line must name columns", path);
	while (code == EXIT_DONE && (line = strsep(&text, "\n")))
		if (line[strspn(line, " \t\r")] && *line != '#')
			json_array_append_new(rows, csv_row(line, order, count));
	return code;
}

static int read_rows(const char *path, json_t **out)
{
	uint8_t *bytes = NULL;
	size_t len = 0;
	struct diag d = { 0 };
	json_t *rows = NULL, *json;
	json_error_t e;
	int code = EXIT_DONE;

	if (file_read(path, FILE_MAX, &bytes, &len, &d) != RC_OK)
		return cli_error(EXIT_USAGE, "%s", d.text);
	if (len && (bytes[0] == '[' || bytes[0] == '{')) {
		json = json_loadb((const char *)bytes, len, JSON_REJECT_DUPLICATES, &e);
		rows = json_incref(json_is_array(json) ? json : json_object_get(json, "rows"));
		if (!json_is_array(rows))
			code = cli_error(EXIT_USAGE, "%s: must be a JSON list of rows%s%s", path,
				json ? "" : ": ", json ? "" : e.text);
		json_decref(json);
	} else {
		rows = json_array();
		code = read_csv(path, (char *)bytes, rows);
	}
	mem_wipe(bytes, len);
	free(bytes);
	if (code == EXIT_DONE)
		*out = rows;
	else
		json_decref(rows);
	return code;
}

/* ---- claim codes ---- */

/* The codes that were made go to `to`, one "iccid,claim" line each. */
static int hash_claims(const char *path, json_t *rows, FILE *to)
{
	char made[CLIENT_CLAIM_LEN + 1], iccid[32];
	json_t *row;
	size_t i;

	json_array_foreach(rows, i, row)
	{
		const char *text = json_string_value(json_object_get(row, "iccid"));
		const char *claim = json_string_value(json_object_get(row, "claim"));

		if (!text || cli_iccid(text, iccid) != EXIT_DONE)
			return cli_error(EXIT_USAGE, "%s: row %zu has no ICCID", path, i + 1);
		json_object_set_new(row, "iccid", json_string(iccid));
		if (!claim && !to)
			continue; /* registrable with the owner's consent only */
		if (!claim) {
			if (client_claim_make(made) != RC_OK)
				return cli_error(EXIT_USAGE, "no random numbers");
			claim = made;
			fprintf(to, "%s,%s\n", iccid, made);
		}
		if (client_claim_hash(row, claim, NULL) != RC_OK)
			return cli_error(EXIT_USAGE, "SHA-256 failed");
	}
	return EXIT_DONE;
}

/* ---- loading ---- */

static json_t *slice(const json_t *rows, size_t from)
{
	json_t *part = json_array();

	for (size_t i = from; i < json_array_size(rows) && i < from + BATCH_ROWS; i++)
		json_array_append(part, json_array_get(rows, i));
	return json_pack("{s:o}", "rows", part);
}

static int load(struct cli *cli, const json_t *rows)
{
	json_t *refused = json_array(), *answer = NULL, *row;
	json_int_t loaded = 0;
	int code = EXIT_DONE;
	size_t i;

	for (size_t from = 0; from < json_array_size(rows) && code == EXIT_DONE;
		from += BATCH_ROWS) {
		code = cli_call(cli, "POST", slice(rows, from), &answer, "/v1/inventory");
		loaded += json_integer_value(json_object_get(answer, "loaded"));
		json_array_foreach(json_object_get(answer, "refused"), i, row)
		{
			json_int_t n = json_integer_value(json_object_get(row, "row"));
			json_object_set_new(row, "row", json_integer(n + (json_int_t)from));
			json_array_append(refused, row);
		}
		json_decref(answer);
	}
	if (code == EXIT_DONE && json_array_size(refused))
		code = EXIT_REFUSED;
	answer = json_pack("{s:I,s:o}", "loaded", loaded, "refused", refused);
	if (cli->json)
		out_json(answer);
	out_say(cli, "%lld of %zu loaded", (long long)loaded, json_array_size(rows));
	json_array_foreach(refused, i, row) cli_error(0, "row %lld: %s",
		(long long)json_integer_value(json_object_get(row, "row")),
		json_string_value(json_object_get(row, "reason")));
	json_decref(answer);
	return code;
}

static int run_load(struct cli *cli)
{
	const char *claims = cli_opt(cli, "claims-out");
	json_t *rows = NULL;
	FILE *to = NULL;
	int code = read_rows(cli->args[0], &rows), fd;

	if (code == EXIT_DONE && claims) {
		fd = open(claims, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
		to = fd >= 0 ? fdopen(fd, "w") : NULL;
		if (!to)
			code = cli_error(
				EXIT_USAGE, "%s: cannot be made, or is there already", claims);
	}
	if (code == EXIT_DONE)
		code = hash_claims(cli->args[0], rows, to);
	/* The codes are on disk before the registry learns their hashes. */
	if (to && (fflush(to) != 0 || fsync(fileno(to)) != 0) && code == EXIT_DONE)
		code = cli_error(EXIT_USAGE, "%s: cannot be written", claims);
	if (to)
		fclose(to);
	if (code == EXIT_DONE)
		code = load(cli, rows);
	json_decref(rows);
	return code;
}

const struct cmd inventory_cmds[] = {
	{ "inventory", "load", "FILE", 1, 1, "mno", 0, run_load,
		"load SIMs from CSV or JSON; claim codes are hashed here",
		"attestry inventory load sims.csv --claims-out claims.csv --lab /tmp/lab",
		{ { "claims-out", "FILE",
			"make a claim code for each row without one; they go here" } } },
	{ 0 },
};
