/* SPDX-License-Identifier: Apache-2.0 */
/* attestry party: who may log in. The private key is made here and never leaves. */
#include "cli.h"

#include "base/file.h"
#include "base/secret.h"
#include "base/str.h"
#include "ca/csr.h"
#include "ca/keyfile.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const struct out_col party_cols[] = {
	{ "id", "id", OUT_TEXT },
	{ "name", "name", OUT_TEXT },
	{ "roles", "roles", OUT_LIST },
	{ "created", "created", OUT_TIME },
	{ "cert_spki_sha256", "key pin", OUT_HEX },
	{ 0 },
};

/* A key in `path` (0600) and a request that is signed by it. */
static enum rc make_key(
	const char *path, const char *id, uint8_t csr[CA_CSR_MAX], size_t *len, struct diag *d)
{
	struct ca_crypt *x = NULL;
	struct ca_key key = { 0 };
	enum rc rc = ca_crypt_new(&x, d);

	if (rc == RC_OK)
		rc = ca_key_new(&key, d);
	if (rc == RC_OK)
		rc = ca_csr_write(x, &key, id, NULL, csr, len, d);
	if (rc == RC_OK)
		rc = ca_key_store(&key, path, d);
	ca_key_free(&key);
	ca_crypt_free(x);
	return rc;
}

static enum rc save_cert(const json_t *answer, const char *member, const char *path, struct diag *d)
{
	const json_t *text = json_object_get(answer, member);
	uint8_t der[4096];
	char pem[CA_PEM_LEN(sizeof(der))];
	size_t len = 0;
	enum rc rc = b64_read(json_string_value(text) ? json_string_value(text) : "",
		json_string_length(text), der, sizeof(der), &len);

	if (rc != RC_OK || !len)
		return diag_set(d, RC_MALFORMED, "the answer holds no %s", member);
	rc = ca_pem_write("CERTIFICATE", der, len, pem, sizeof(pem));
	return rc == RC_OK ? file_write_atomic(path, pem, strlen(pem), 0644, d) : rc;
}

/* The first line of a file that only its owner can read. */
static int add_password(const struct cli *cli, json_t *body)
{
	const char *path = cli_opt(cli, "password-file");
	struct secret s = { 0 };
	json_t *text;
	size_t len;

	if (!path)
		return EXIT_DONE;
	enum rc rc = secret_read_file(&s, path, 256);
	if (rc != RC_OK)
		return cli_error(EXIT_USAGE, "%s: %s%s", path, rc_text(rc),
			rc == RC_DENIED ? "; chmod 600 it" : "");
	for (len = 0; len < s.len && s.bytes[len] != '\n'; len++)
		;
	text = json_stringn((const char *)s.bytes, len);
	secret_free(&s);
	return text && json_object_set_new(body, "password", text) == 0
		       ? EXIT_DONE
		       : cli_error(EXIT_USAGE, "%s: is not text", path);
}

static int make_body(const struct cli *cli, const uint8_t *csr, size_t len, json_t **out)
{
	char *base64 = malloc(B64_LEN(len));
	const char *name = cli_opt(cli, "name"), *role;
	json_t *roles = json_array(), *body;
	int code;

	if (!base64)
		return cli_error(EXIT_UNAVAILABLE, "out of memory");
	b64_write(csr, len, base64);
	for (size_t i = 0; (role = cli_opt_nth(cli, "role", i)); i++)
		json_array_append_new(roles, json_string(role));
	body = json_pack("{s:s,s:s,s:o,s:s}", "id", cli->args[0], "name",
		name ? name : cli->args[0], "roles", roles, "csr", base64);
	free(base64);
	if (!body)
		return cli_usage(cli, "an argument is not UTF-8");
	code = add_password(cli, body);
	if (code == EXIT_DONE)
		*out = body;
	else
		json_decref(body);
	return code;
}

static int run_add(struct cli *cli)
{
	const char *id = cli->args[0], *dir = cli_opt(cli, "out"), *theirs = cli_opt(cli, "csr");
	char key[PATH_MAX], cert[PATH_MAX];
	uint8_t csr[CA_CSR_MAX];
	json_t *body = NULL, *answer = NULL;
	struct diag d = { 0 };
	size_t len = 0;
	int code;

	if (!cli_opt(cli, "role"))
		return cli_usage(cli, "--role is missing: asp, mno, owner, maker or operator");
	if (strchr(id, '/') ||
		str_format(key, sizeof(key), "%s/%s.key", dir ? dir : ".", id) != RC_OK ||
		str_format(cert, sizeof(cert), "%s/%s.pem", dir ? dir : ".", id) != RC_OK)
		return cli_usage(cli, "\"%s\" cannot be a file's name", id);
	if (theirs ? ca_pem_load(theirs, "CERTIFICATE REQUEST", csr, sizeof(csr), &len, &d) != RC_OK
		   : make_key(key, id, csr, &len, &d) != RC_OK)
		return cli_error(EXIT_USAGE, "%s", d.text);
	code = make_body(cli, csr, len, &body);
	if (code == EXIT_DONE)
		code = cli_call(cli, "POST", body, &answer, "/v1/parties");
	if (code != EXIT_DONE) {
		/* After a lost answer the key may be in use: it stays. */
		if (code != EXIT_UNAVAILABLE && !theirs)
			unlink(key);
		return code;
	}
	if (save_cert(answer, "certificate", cert, &d) != RC_OK)
		code = cli_error(EXIT_USAGE, "%s", d.text);
	else
		out_object(cli, answer, "party", party_cols);
	out_say(cli, "certificate   %s%s%s", cert, theirs ? "" : "\nprivate key   ",
		theirs ? "" : key);
	json_decref(answer);
	return code;
}

static int run_list(struct cli *cli)
{
	json_t *answer = NULL;
	int code = cli_call_list(cli, "/v1/parties", "parties", &answer);

	if (code == EXIT_DONE)
		out_list(cli, answer, "parties", party_cols);
	json_decref(answer);
	return code;
}

static int run_show(struct cli *cli)
{
	json_t *answer = NULL;
	int code = cli->arg_count
			   ? cli_call(cli, "GET", NULL, &answer, "/v1/parties/%s", cli->args[0])
			   : cli_call(cli, "GET", NULL, &answer, "/v1/party");

	if (code == EXIT_DONE)
		out_object(cli, answer, "party", party_cols);
	json_decref(answer);
	return code;
}

const struct cmd party_cmds[] = {
	{ "party", "add", "ID", 1, 1, "operator", 0, run_add, "create a party with a key made here",
		"attestry party add parkoserv --name ParkoServ --role asp --out . --dir var",
		{ { "name", "NAME", "for people" },
			{ "role", "ROLE", "asp, mno, owner, maker or operator; repeatable" },
			{ "out", "DIR", "where ID.key and ID.pem go (default: here)" },
			{ "csr", "FILE",
				"the party has a key of its own: its PKCS#10 request, PEM" },
			{ "password-file", "FILE",
				"also a password (its first line; mode 0600)" } } },
	{ "party", "list", "", 0, 0, "operator", 0, run_list, "list parties",
		"attestry party list --lab /tmp/lab", { { 0 } } },
	{ "party", "show", "[ID]", 0, 1, "operator", 0, run_show,
		"show a party; without ID: who am I", "attestry party show --lab /tmp/lab --as mno",
		{ { 0 } } },
	{ 0 },
};
