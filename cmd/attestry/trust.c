/* SPDX-License-Identifier: Apache-2.0 */
/* attestry trust sign: the registry's word on what is to be trusted, signed by its root, which is
 * off line: the answer of /v1/ca is fetched first and may be carried to it. */
#include "cli.h"

#include "asp/services/internal.h"
#include "base/file.h"
#include "base/hex.h"
#include "base/str.h"

#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define DAYS 30

static const char *member(const json_t *ca, const char *name)
{
	const char *text = json_string_value(json_object_get(ca, name));

	return text ? text : "";
}

static void put_line(FILE *to, const char *key, const char *value)
{
	if (value && *value)
		fprintf(to, "%s %s\n", key, value);
}

static void put_resolver(FILE *to, const json_t *r)
{
	const json_t *pin;
	size_t i;

	fprintf(to, "resolver %s %lld %s ", member(r, "addr"),
		(long long)json_integer_value(json_object_get(r, "port")),
		*member(r, "name") ? member(r, "name") : "-");
	json_array_foreach(json_object_get(r, "pins"), i, pin)
		fprintf(to, "%s%s", i ? "," : "", json_string_value(pin));
	fputc('\n', to);
}

/* What is signed; free(). */
static char *make_text(const json_t *ca, uint64_t serial, unsigned days, size_t *len)
{
	char *text = NULL;
	const json_t *one;
	size_t i;
	FILE *to = open_memstream(&text, len);

	if (!to)
		return NULL;
	fprintf(to, "attestry-trust-1\nzone %s\nserial %llu\nexpires %lld\n", member(ca, "zone"),
		(unsigned long long)serial, (long long)time(NULL) + (long long)days * 86400);
	put_line(to, "root", member(ca, "root"));
	put_line(to, "ca", member(ca, "issuing"));
	put_line(to, "ca", member(ca, "devkit"));
	json_array_foreach(json_object_get(ca, "trust_anchors"), i, one)
		put_line(to, "anchor", json_string_value(one));
	json_array_foreach(json_object_get(ca, "resolvers"), i, one) put_resolver(to, one);
	return fclose(to) == 0 ? text : NULL;
}

/* "signature KEY-HASH BASE64" */
static int sign(EVP_PKEY *key, const char *text, size_t len, char line[512])
{
	uint8_t pin[32], sig[256];
	char hex[65], base64[B64_LEN(sizeof(sig))];
	size_t sig_len = sizeof(sig);
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	bool good = ctx && svc__key_pin(key, pin) == RC_OK &&
		    EVP_DigestSignInit(ctx, NULL, EVP_sha256(), NULL, key) == 1 &&
		    EVP_DigestSign(ctx, sig, &sig_len, (const uint8_t *)text, len) == 1;

	EVP_MD_CTX_free(ctx);
	if (!good)
		return cli_error(EXIT_USAGE, "the text could not be signed");
	hex_write(pin, sizeof(pin), hex);
	b64_write(sig, sig_len, base64);
	(void)snprintf(line, 512, "signature %s %s\n", hex, base64);
	return EXIT_DONE;
}

static int write_out(struct cli *cli, const char *text, const char *line)
{
	const char *path = cli_opt(cli, "out");
	struct diag d = { 0 };
	char *all = NULL;
	int code = EXIT_DONE;

	if (asprintf(&all, "%s%s", text, line) < 0)
		return cli_error(EXIT_USAGE, "out of memory");
	if (!path)
		fputs(all, stdout);
	else if (file_write_atomic(path, all, strlen(all), 0644, &d) != RC_OK)
		code = cli_error(EXIT_USAGE, "%s", d.text);
	free(all);
	return code;
}

static int run_sign(struct cli *cli)
{
	const char *days_text = cli_opt(cli, "days"), *serial_text = cli_opt(cli, "serial");
	uint64_t days = DAYS, serial = (uint64_t)time(NULL);
	struct diag d = { 0 };
	json_t *answer = NULL;
	EVP_PKEY *key = NULL;
	char line[512], *text = NULL;
	size_t len = 0;
	int code = EXIT_DONE;

	if (!cli_opt(cli, "root-key"))
		return cli_usage(cli, "--root-key is missing");
	if (days_text && u64_read(days_text, 1, 3650, &days) != RC_OK)
		return cli_usage(cli, "--days: must be 1 to 3650");
	if (serial_text && u64_read(serial_text, 1, INT64_MAX, &serial) != RC_OK)
		return cli_usage(cli, "--serial: must be a number");
	if (svc__key_load(cli_opt(cli, "root-key"), &key, &d) != RC_OK)
		return cli_error(EXIT_USAGE, "%s", d.text);
	code = cli_call(cli, "GET", NULL, &answer, "/v1/ca");
	if (code == EXIT_DONE) {
		const json_t *ca = json_object_get(answer, "ca");

		text = make_text(ca ? ca : answer, serial, (unsigned)days, &len);
		code = text ? sign(key, text, len, line) : cli_error(EXIT_USAGE, "out of memory");
	}
	if (code == EXIT_DONE)
		code = write_out(cli, text, line);
	EVP_PKEY_free(key);
	json_decref(answer);
	free(text);
	return code;
}

const struct cmd trust_cmds[] = {
	{ "trust", "sign", "", 0, 0, "operator", 0, run_sign,
		"the registry's word on what providers are to trust, signed by its root",
		"attestry trust sign --root-key root.key --out trust.txt --dir /var/lib/registry",
		{ { "root-key", "FILE", "the root's private key, PEM, mode 0600" },
			{ "out", "FILE", "write there instead of to standard output" },
			{ "days", "N", "it may be taken in for so long (30)" },
			{ "serial", "N", "only grows; the time now unless given" } } },
	{ 0 },
};
