/* SPDX-License-Identifier: Apache-2.0 */
/* attestry maker: a maker confirms the devices that it made. */
#include "cli.h"

#include "base/file.h"
#include "base/str.h"
#include "http/maker.h"

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <stdlib.h>
#include <string.h>

#define LIST_MAX (8u << 20)
#define ROWS_MAX 1000 /* of one request */

/* A line "eid,imei,iccid,model" with empty fields where there is nothing. */
static bool read_line(char *line, Registry__MakerRow *row)
{
	char **fields[] = { &row->eid, &row->imei, &row->iccid, &row->model };

	registry__maker_row__init(row);
	for (size_t i = 0; i < ARRAY_LEN(fields); i++) {
		char *comma = strchr(line, ',');

		*fields[i] = line;
		if (!comma)
			return i == ARRAY_LEN(fields) - 1;
		if (i == ARRAY_LEN(fields) - 1)
			return false;
		*comma = '\0';
		line = comma + 1;
	}
	return false;
}

static bool sign(Registry__MakerConfirm *m, EVP_PKEY *key, uint8_t sig[128], uint8_t **spki)
{
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	size_t len = 0, sig_len = 128;
	char *text = NULL;
	int spki_len = i2d_PUBKEY(key, spki);
	bool good = spki_len > 0 && ctx && maker_text(m, &text, &len) == RC_OK &&
		    EVP_DigestSignInit(ctx, NULL, EVP_sha256(), NULL, key) == 1 &&
		    EVP_DigestSign(ctx, sig, &sig_len, (uint8_t *)text, len) == 1;

	EVP_MD_CTX_free(ctx);
	free(text);
	m->signature = (ProtobufCBinaryData){ sig_len, sig };
	m->key = (ProtobufCBinaryData){ spki_len > 0 ? (size_t)spki_len : 0, *spki };
	return good;
}

static json_t *body_of(const Registry__MakerConfirm *m)
{
	char sig[B64_LEN(128)], key[B64_LEN(200)];
	json_t *rows = json_array();

	for (size_t i = 0; i < m->n_rows; i++) {
		const Registry__MakerRow *r = m->rows[i];
		const char *const names[] = { "eid", "imei", "iccid", "model" };
		const char *const values[] = { r->eid, r->imei, r->iccid, r->model };
		json_t *row = json_object();

		for (size_t k = 0; k < ARRAY_LEN(names); k++)
			if (*values[k])
				json_object_set_new(row, names[k], json_string(values[k]));
		json_array_append_new(rows, row);
	}
	b64_write(m->signature.data, m->signature.len, sig);
	if (m->key.len > 200)
		return NULL;
	b64_write(m->key.data, m->key.len, key);
	return json_pack("{s:o,s:s,s:s}", "rows", rows, "signature", sig, "key", key);
}

static int send_rows(struct cli *cli, Registry__MakerRow *list, size_t n, EVP_PKEY *key,
	size_t first, unsigned *loaded)
{
	Registry__MakerConfirm m = REGISTRY__MAKER_CONFIRM__INIT;
	Registry__MakerRow *rows[ROWS_MAX];
	uint8_t sig[128], *spki = NULL;
	json_t *answer = NULL, *one;
	size_t i;
	int code = EXIT_USAGE;

	for (i = 0; i < n; i++)
		rows[i] = &list[i];
	m.rows = rows;
	m.n_rows = n;
	if (!sign(&m, key, sig, &spki))
		cli_error(0, "the list cannot be signed: control characters in it?");
	else
		code = cli_call(cli, "POST", body_of(&m), &answer, "/v1/confirmations");
	OPENSSL_free(spki);
	if (code != EXIT_DONE)
		return code;
	*loaded += (unsigned)json_integer_value(json_object_get(answer, "loaded"));
	json_array_foreach(json_object_get(answer, "refused"), i, one)
	{
		code = EXIT_REFUSED;
		cli_error(0, "device %zu: %s",
			first + (size_t)json_integer_value(json_object_get(one, "row")) + 1,
			json_string_value(json_object_get(one, "reason")));
	}
	json_decref(answer);
	return code;
}

static EVP_PKEY *load_key(struct cli *cli)
{
	struct cli_access access = { 0 };
	EVP_PKEY *key = NULL;
	FILE *f;

	if (cli_access(cli, &access) != EXIT_DONE)
		return NULL;
	f = fopen(access.key, "re");
	if (f) {
		key = PEM_read_PrivateKey(f, NULL, NULL, NULL);
		fclose(f);
	}
	if (!key)
		cli_error(0, "%s: no private key in PEM", access.key);
	return key;
}

static int send_all(struct cli *cli, char *text, EVP_PKEY *key)
{
	Registry__MakerRow list[ROWS_MAX];
	size_t n = 0, sent = 0, line_no = 0;
	unsigned loaded = 0;
	int code = EXIT_DONE, worst = EXIT_DONE;
	char *save = NULL;

	for (char *line = strtok_r(text, "\r\n", &save); line && code != EXIT_USAGE;
		line = strtok_r(NULL, "\r\n", &save)) {
		line_no++;
		if (*line == '#' || strcmp(line, "eid,imei,iccid,model") == 0)
			continue;
		if (!read_line(line, &list[n++]))
			return cli_error(
				EXIT_USAGE, "line %zu: must be eid,imei,iccid,model", line_no);
		if (n < ROWS_MAX)
			continue;
		code = send_rows(cli, list, n, key, sent, &loaded);
		worst = code ? code : worst;
		sent += n;
		n = 0;
	}
	if (n && code != EXIT_USAGE) {
		code = send_rows(cli, list, n, key, sent, &loaded);
		worst = code ? code : worst;
	}
	if (worst == EXIT_DONE || worst == EXIT_REFUSED)
		out_say(cli, "%u confirmed", loaded);
	return worst;
}

static int run_confirm(struct cli *cli)
{
	struct diag d = { 0 };
	uint8_t *text = NULL;
	EVP_PKEY *key;
	size_t len = 0;
	int code = EXIT_USAGE;

	if (file_read(cli->args[0], LIST_MAX, &text, &len, &d) != RC_OK)
		return cli_error(EXIT_USAGE, "%s", d.text);
	key = load_key(cli);
	if (key)
		code = send_all(cli, (char *)text, key);
	EVP_PKEY_free(key);
	free(text);
	return code;
}

const struct cmd maker_cmds[] = {
	{ "maker", "confirm", "FILE", 1, 1, "maker", 0, run_confirm,
		"sign a list of devices (CSV: eid,imei,iccid,model) and hand it in",
		"attestry maker confirm made.csv --url https://registry:8443 --ca ca.pem --cert "
		"acme.pem --key acme.key",
		{ { 0 } } },
	{ 0 },
};
