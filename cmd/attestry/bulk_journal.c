/* SPDX-License-Identifier: Apache-2.0 */
#include "bulk.h"

#include "base/file.h"
#include "base/str.h"

#include <fcntl.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

enum { JOURNAL_MAX = 256 << 20 };

static bool digest(const uint8_t *bytes, size_t len, char out[65])
{
	uint8_t hash[32];

	if (EVP_Digest(bytes, len, hash, NULL, EVP_sha256(), NULL) != 1)
		return false;
	hex_write(hash, sizeof(hash), out);
	return true;
}

static size_t *counter(struct bulk_journal *j, const json_t *result)
{
	return json_integer_value(json_object_get(result, "code")) >= 2000 ? &j->refused : &j->done;
}

/* The last result of a row counts. */
static void put(struct bulk_journal *j, size_t row, json_t *take_result)
{
	const json_t *was = bulk_journal_row(j, row);

	while (json_array_size(j->results) < row)
		(void)json_array_append_new(j->results, json_null());
	if (was)
		--*counter(j, was);
	++*counter(j, take_result);
	(void)json_array_set_new(j->results, row - 1, take_result);
}

const json_t *bulk_journal_row(const struct bulk_journal *j, size_t row)
{
	const json_t *o = json_array_get(j->results, row - 1);

	return json_is_object(o) ? o : NULL;
}

/* The lines after the heading. The last one may be torn: *whole is how much of the text counts. */
static void read_lines(
	struct bulk_journal *j, const char *text, size_t len, bool refused_again, size_t *whole)
{
	const char *at = text, *nl;

	while ((nl = memchr(at, '\n', len - (size_t)(at - text)))) {
		json_t *o = json_loadb(at, (size_t)(nl - at), JSON_REJECT_DUPLICATES, NULL);
		json_int_t row = json_integer_value(json_object_get(o, "row"));
		bool again =
			refused_again && json_integer_value(json_object_get(o, "code")) >= 2000;

		if (row > 0 && row <= 100000000 && !again)
			put(j, (size_t)row, json_incref(o));
		json_decref(o);
		at = nl + 1;
	}
	*whole = (size_t)(at - text);
}

static int go_on(struct bulk_journal *j, const char *kind, const char *sha256, const char *text,
	size_t len, bool refused_again)
{
	const char *nl = memchr(text, '\n', len);
	json_t *head = nl ? json_loadb(text, (size_t)(nl - text), 0, NULL) : NULL;
	const char *id = json_string_value(json_object_get(head, "bulk"));
	const char *of = json_string_value(json_object_get(head, "sha256"));
	const char *what = json_string_value(json_object_get(head, "kind"));
	int code = EXIT_DONE;
	size_t whole = 0, head_len = nl ? (size_t)(nl - text) + 1 : 0;

	if (!id || strlen(id) != BULK_ID_LEN || !of || !what)
		code = cli_error(EXIT_USAGE, "%s: is no list of results", j->path);
	else if (strcmp(of, sha256) != 0 || strcmp(what, kind) != 0)
		code = cli_error(EXIT_USAGE,
			"%s: holds the results of another batch; name another file with --results",
			j->path);
	if (code == EXIT_DONE) {
		memcpy(j->id, id, BULK_ID_LEN + 1);
		read_lines(j, text + head_len, len - head_len, refused_again, &whole);
		if (fseek(j->file, (long)(head_len + whole), SEEK_SET) != 0 ||
			ftruncate(fileno(j->file), (off_t)(head_len + whole)) != 0)
			code = cli_error(EXIT_USAGE, "%s: cannot be written", j->path);
	}
	json_decref(head);
	return code;
}

static int begin(struct bulk_journal *j, const char *kind, const char *sha256)
{
	uint8_t random[BULK_ID_LEN / 2];

	if (getrandom(random, sizeof(random), 0) != (ssize_t)sizeof(random))
		return cli_error(EXIT_USAGE, "no random numbers");
	hex_write(random, sizeof(random), j->id);
	fprintf(j->file, "{\"bulk\":\"%s\",\"kind\":\"%s\",\"sha256\":\"%s\"}\n", j->id, kind,
		sha256);
	return bulk_journal_sync(j);
}

int bulk_journal_open(struct bulk_journal *j, const char *path, const char *kind,
	const uint8_t *bytes, size_t len, bool refused_again)
{
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600), code;
	char sha256[65];
	uint8_t *text = NULL;
	size_t text_len = 0;
	struct diag d = { 0 };

	*j = (struct bulk_journal){ .path = path, .results = json_array() };
	j->file = fd >= 0 ? fdopen(fd, "r+") : NULL;
	if (!j->file || !j->results || !digest(bytes, len, sha256))
		return cli_error(EXIT_USAGE, "%s: cannot be opened", path);
	if (file_read(path, JOURNAL_MAX, &text, &text_len, &d) != RC_OK)
		return cli_error(EXIT_USAGE, "%s", d.text);
	code = text_len ? go_on(j, kind, sha256, (const char *)text, text_len, refused_again)
			: begin(j, kind, sha256);
	free(text);
	return code;
}

int bulk_journal_add(struct bulk_journal *j, size_t row, json_t *take_result)
{
	char *line;

	(void)json_object_set_new(take_result, "row", json_integer((json_int_t)row));
	line = json_dumps(take_result, JSON_COMPACT);
	put(j, row, take_result);
	if (!line || fprintf(j->file, "%s\n", line) < 0) {
		free(line);
		return cli_error(EXIT_USAGE, "%s: cannot be written", j->path);
	}
	free(line);
	return EXIT_DONE;
}

int bulk_journal_sync(struct bulk_journal *j)
{
	if (fflush(j->file) != 0 || fdatasync(fileno(j->file)) != 0)
		return cli_error(EXIT_USAGE, "%s: cannot be written", j->path);
	return EXIT_DONE;
}

void bulk_journal_close(struct bulk_journal *j)
{
	if (j->file)
		fclose(j->file);
	json_decref(j->results);
}
