/* SPDX-License-Identifier: Apache-2.0 */
/* attestry bulk: batches from CSV or NDJSON, a result for every row, and no row twice. */
#include "bulk.h"

#include "base/file.h"
#include "base/secret.h"
#include "base/str.h"
#include "client/claim.h"
#include "http/rows.h"

#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
	FILE_MAX = 64 << 20,
	ROWS_MAX = 1000, /* of one request */
	ROWS_DEFAULT = 500,
	TEXT_MAX = 3 << 20,
	TRIES = 5, /* for rows that the registry could not take */
	WAIT_MS = 300
};

struct bulk {
	struct cli *cli;
	const char *kind;
	struct bulk_journal journal;
	struct rows rows;
	size_t per_request, row, shown;
	/* of the request that is being made */
	json_t *part;	/* objects */
	size_t *number; /* and their rows */
	size_t text;
};

/* ---- a row for the registry ---- */

/* The registry never sees a claim code before its use. The salt is made from the batch's id, so
 * that a row that is sent again is the same row. */
static bool hash_claim(const struct bulk *b, json_t *row)
{
	const char *claim = json_string_value(json_object_get(row, "claim"));
	const char *iccid = json_string_value(json_object_get(row, "iccid"));
	char text[96];
	uint8_t salt[32];

	if (!claim || !iccid)
		return true;
	return str_format(text, sizeof(text), "salt %s %s", b->journal.id, iccid) == RC_OK &&
	       EVP_Digest(text, strlen(text), salt, NULL, EVP_sha256(), NULL) == 1 &&
	       client_claim_hash(row, claim, salt) == RC_OK;
}

/* 19 digits without the filler are an ICCID for people. */
static void iccid_form(json_t *row)
{
	const char *text = json_string_value(json_object_get(row, "iccid"));
	char form[32];

	if (text && strlen(text) == 19 && str_format(form, sizeof(form), "%sf", text) == RC_OK)
		(void)json_object_set_new(row, "iccid", json_string(form));
}

static int add_row(struct bulk *b, json_t *take_row)
{
	char key[96];

	iccid_form(take_row);
	if (strcmp(b->kind, "inventory") == 0 && !hash_claim(b, take_row)) {
		json_decref(take_row);
		return cli_error(EXIT_USAGE, "SHA-256 failed");
	}
	if (!json_object_get(take_row, "key") &&
		str_format(key, sizeof(key), "%s.%zu", b->journal.id, b->row) == RC_OK)
		(void)json_object_set_new(take_row, "key", json_string(key));
	b->number[json_array_size(b->part)] = b->row;
	(void)json_array_append_new(b->part, take_row);
	return EXIT_DONE;
}

/* ---- requests ---- */

/* The rows of the part that have no result yet, as NDJSON; their places go to `place`. */
static char *part_text(const struct bulk *b, size_t *place, size_t *n, size_t *len)
{
	char *text = NULL;
	FILE *f = open_memstream(&text, len);
	json_t *row;
	size_t i;

	*n = 0;
	if (!f)
		return NULL;
	json_array_foreach(b->part, i, row)
	{
		if (bulk_journal_row(&b->journal, b->number[i]))
			continue;
		place[(*n)++] = i;
		(void)json_dumpf(row, f, JSON_COMPACT);
		(void)fputc('\n', f);
	}
	return fclose(f) == 0 ? text : NULL;
}

/* Whether the same row may be taken the next time. */
static bool passing(json_int_t code)
{
	return code == 2400 || code == 2502;
}

static int take_results(struct bulk *b, const json_t *answer, const size_t *place, size_t n)
{
	json_t *result;
	int code = EXIT_DONE;
	size_t i;

	json_array_foreach(json_object_get(answer, "results"), i, result)
	{
		json_int_t row = json_integer_value(json_object_get(result, "row"));

		if (row < 1 || row > (json_int_t)n || code != EXIT_DONE ||
			passing(json_integer_value(json_object_get(result, "code"))))
			continue;
		code = bulk_journal_add(
			&b->journal, b->number[place[row - 1]], json_incref(result));
	}
	return code == EXIT_DONE ? bulk_journal_sync(&b->journal) : code;
}

static int send_once(struct bulk *b, size_t *left)
{
	size_t *place = calloc(ROWS_MAX, sizeof(*place)), n = 0, len = 0;
	char *text = place ? part_text(b, place, &n, &len) : NULL;
	char path[64];
	json_t *answer = NULL;
	int code = EXIT_UNAVAILABLE;

	*left = n;
	if (text && n == 0)
		code = EXIT_DONE;
	else if (text && str_format(path, sizeof(path), "/v1/bulk/%s", b->kind) == RC_OK)
		code = cli_call_text(b->cli, path, "application/x-ndjson", text, len, &answer);
	if (answer) {
		size_t before = b->journal.done + b->journal.refused;

		code = take_results(b, answer, place, n);
		*left = n - (b->journal.done + b->journal.refused - before);
	}
	json_decref(answer);
	if (text)
		mem_wipe(text, len);
	free(text);
	free(place);
	return code;
}

static void show(struct bulk *b)
{
	fprintf(stderr, "%zu rows, %zu done, %zu refused\n", b->journal.done + b->journal.refused,
		b->journal.done, b->journal.refused);
}

static int send_part(struct bulk *b)
{
	size_t left = 1;
	int code = EXIT_DONE;

	for (int i = 0; code == EXIT_DONE && left && i < TRIES; i++) {
		struct timespec wait = { .tv_nsec = i * WAIT_MS * 1000000L };

		if (wait.tv_nsec >= 1000000000L)
			wait = (struct timespec){ .tv_sec = 1 };
		nanosleep(&wait, NULL);
		code = send_once(b, &left);
	}
	if (code == EXIT_DONE && left)
		code = cli_error(EXIT_UNAVAILABLE,
			"%zu rows could not be taken; the same command goes on with them", left);
	show(b);
	json_array_clear(b->part);
	b->text = 0;
	return code;
}

static int each_row(struct bulk *b)
{
	int code = EXIT_DONE;

	while (code == EXIT_DONE) {
		struct diag d = { 0 };
		json_t *row = NULL;
		size_t before = b->rows.left;
		enum rc rc = rows_next(&b->rows, &row, &d);

		if (rc == RC_NOT_FOUND)
			break;
		b->row++;
		if (bulk_journal_row(&b->journal, b->row)) {
			json_decref(row);
			continue;
		}
		if (rc == RC_OK)
			code = add_row(b, row);
		else
			code = bulk_journal_add(&b->journal, b->row,
				json_pack("{s:i, s:s}", "code", 2001, "reason", d.text));
		b->text += before - b->rows.left + 200;
		if (code == EXIT_DONE &&
			(json_array_size(b->part) == b->per_request || b->text > TEXT_MAX))
			code = send_part(b);
	}
	return code == EXIT_DONE && json_array_size(b->part) ? send_part(b) : code;
}

/* ---- the command ---- */

static int finish(struct bulk *b, int code)
{
	json_t *sum;

	if (code != EXIT_DONE)
		return code;
	sum = json_pack("{s:I, s:I, s:I, s:s}", "rows", (json_int_t)b->row, "done",
		(json_int_t)b->journal.done, "refused", (json_int_t)b->journal.refused, "results",
		b->journal.path);
	if (b->cli->json)
		out_json(sum);
	json_decref(sum);
	out_say(b->cli, "%zu rows: %zu done, %zu refused; each row's result is in %s", b->row,
		b->journal.done, b->journal.refused, b->journal.path);
	return b->journal.refused ? EXIT_REFUSED : EXIT_DONE;
}

static int run_file(struct bulk *b, const char *path, const char *results)
{
	uint8_t *bytes = NULL;
	size_t len = 0, first;
	struct diag d = { 0 };
	bool json;
	int code;

	if (file_read(path, FILE_MAX, &bytes, &len, &d) != RC_OK)
		return cli_error(EXIT_USAGE, "%s", d.text);
	first = strspn((const char *)bytes, " \t\r\n\xef\xbb\xbf");
	json = bytes[first] == '{';
	if (rows_open(&b->rows, (const char *)bytes, len, !json, &d) != RC_OK)
		code = cli_error(EXIT_USAGE, "%s: %s", path, d.text);
	else
		code = bulk_journal_open(&b->journal, results, b->kind, bytes, len,
			cli_opt(b->cli, "refused-again") != NULL);
	if (code == EXIT_DONE)
		code = each_row(b);
	code = finish(b, code);
	mem_wipe(bytes, len);
	free(bytes);
	return code;
}

static int run_bulk(struct cli *cli)
{
	struct bulk b = { .cli = cli, .kind = cli->cmd->verb, .per_request = ROWS_DEFAULT };
	const char *rows = cli_opt(cli, "rows"), *results = cli_opt(cli, "results");
	char path[PATH_MAX];
	uint64_t n = ROWS_DEFAULT;
	int code;

	if (rows && u64_read(rows, 1, ROWS_MAX, &n) != RC_OK)
		return cli_usage(cli, "--rows: 1 to %d", ROWS_MAX);
	b.per_request = (size_t)n;
	if (!results) {
		if (str_format(path, sizeof(path), "%s.results", cli->args[0]) != RC_OK)
			return cli_usage(cli, "that is too long");
		results = path;
	}
	b.part = json_array();
	b.number = calloc(ROWS_MAX, sizeof(*b.number));
	code = b.part && b.number ? run_file(&b, cli->args[0], results)
				  : cli_error(EXIT_UNAVAILABLE, "out of memory");
	bulk_journal_close(&b.journal);
	json_decref(b.part);
	free(b.number);
	return code;
}

#define BULK_OPTS                                                                              \
	{                                                                                      \
		{ "results", "FILE",                                                           \
			"a line per row goes here, and from here it goes on (FILE.results)" }, \
			{ "rows", "N", "of one request (500)" },                               \
			{ "refused-again", NULL, "rows that were refused are tried again" },   \
		{                                                                              \
			0                                                                      \
		}                                                                              \
	}

const struct cmd bulk_cmds[] = {
	{ "bulk", "inventory", "FILE", 1, 1, "mno", 0, run_bulk,
		"SIMs: columns iccid, eid, owner, imei, claim (hashed here)",
		"attestry bulk inventory sims.csv --lab /tmp/lab", BULK_OPTS },
	{ "bulk", "register", "FILE", 1, 1, "parkoserv", 0, run_bulk,
		"profiles: columns name (or iccid, slot), service, claim",
		"attestry bulk register profiles.csv --lab /tmp/lab", BULK_OPTS },
	{ "bulk", "activate", "FILE", 1, 1, "parkoserv", 0, run_bulk,
		"columns name, and csr where the card is not to make the key",
		"attestry bulk activate names.csv --lab /tmp/lab", BULK_OPTS },
	{ "bulk", "transfer", "FILE", 1, 1, "carparkserv", 0, run_bulk,
		"take profiles over: columns name, code, service",
		"attestry bulk transfer codes.csv --lab /tmp/lab", BULK_OPTS },
	{ "bulk", "deactivate", "FILE", 1, 1, "parkoserv", 0, run_bulk, "columns name, reason",
		"attestry bulk deactivate names.csv --lab /tmp/lab", BULK_OPTS },
	{ 0 },
};
