/* SPDX-License-Identifier: Apache-2.0 */
/* attestry keys: the registry's certificates as files: whose, until when, and their pins. Private
 * keys are never opened here. */
#include "cli.h"

#include "base/str.h"

#include <dirent.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <stdlib.h>
#include <string.h>

static const struct out_col key_cols[] = {
	{ "file", "file", OUT_TEXT },
	{ "subject", "subject", OUT_TEXT },
	{ "issuer", "issuer", OUT_TEXT },
	{ "not_after", "not after", OUT_TIME },
	{ "spki_sha256", "pin (SHA-256 of the public key)", OUT_TEXT },
	{ 0 },
};

static void common_name(const X509_NAME *name, char out[128])
{
	out[0] = '\0';
	(void)X509_NAME_get_text_by_NID((X509_NAME *)(uintptr_t)name, NID_commonName, out, 128);
}

static json_t *describe(const char *file, X509 *cert)
{
	char subject[128], issuer[128], pin[B64_LEN(32)];
	uint8_t *der = NULL, hash[32] = { 0 };
	struct tm tm = { 0 };
	int len = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(cert), &der);

	if (len > 0)
		(void)EVP_Digest(der, (size_t)len, hash, NULL, EVP_sha256(), NULL);
	OPENSSL_free(der);
	(void)ASN1_TIME_to_tm(X509_get0_notAfter(cert), &tm);
	common_name(X509_get_subject_name(cert), subject);
	common_name(X509_get_issuer_name(cert), issuer);
	b64_write(hash, sizeof(hash), pin);
	return json_pack("{s:s,s:s,s:s,s:I,s:s}", "file", file, "subject", subject, "issuer",
		issuer, "not_after", (json_int_t)timegm(&tm), "spki_sha256", pin);
}

static int by_file(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* The names of DIR's *.pem, sorted; free each and the array. */
static size_t list_pem(const char *dir, char ***out)
{
	DIR *d = opendir(dir);
	struct dirent *e;
	char **names = NULL;
	size_t n = 0;

	while (d && (e = readdir(d))) {
		size_t len = strlen(e->d_name);
		char **more;
		if (len < 5 || strcmp(e->d_name + len - 4, ".pem") != 0)
			continue;
		more = realloc(names, (n + 1) * sizeof(*names));
		if (!more)
			break;
		names = more;
		names[n] = strdup(e->d_name);
		if (!names[n])
			break;
		n++;
	}
	if (d)
		closedir(d);
	if (n)
		qsort(names, n, sizeof(*names), by_file);
	*out = names;
	return n;
}

static int run_list(struct cli *cli)
{
	char config[PATH_MAX], dir[PATH_MAX], path[PATH_MAX];
	json_t *keys = json_array(), *answer;
	char **names = NULL;
	size_t n;

	if (!cli_config_path(cli, config) ||
		str_format(dir, sizeof(dir), "%.*sca", (int)(strrchr(config, '/') + 1 - config),
			config) != RC_OK) {
		json_decref(keys);
		return cli_usage(cli, "--dir DIR is missing (or --lab)");
	}
	n = list_pem(dir, &names);
	for (size_t i = 0; i < n; i++) {
		FILE *f = str_format(path, sizeof(path), "%s/%s", dir, names[i]) == RC_OK
				  ? fopen(path, "r")
				  : NULL;
		X509 *cert = f ? PEM_read_X509(f, NULL, NULL, NULL) : NULL;
		/* A chain's first certificate stands in a file of its own. */
		if (cert && !strstr(names[i], "chain"))
			json_array_append_new(keys, describe(names[i], cert));
		X509_free(cert);
		if (f)
			fclose(f);
		free(names[i]);
	}
	free(names);
	if (!json_array_size(keys)) {
		json_decref(keys);
		return cli_error(EXIT_USAGE, "%s: no certificates there", dir);
	}
	answer = json_pack("{s:o}", "keys", keys);
	out_list(cli, answer, "keys", key_cols);
	json_decref(answer);
	return EXIT_DONE;
}

const struct cmd keys_cmds[] = {
	{ "keys", "renew", "root|issuing|devkit", 1, 1, "", CMD_LOCAL, keys_renew,
		"a new certificate for a CA's present key (attestryd is down)",
		"attestry keys renew issuing --root-key root.key --dir var",
		{ { "root-key", "FILE", "the root's private key" },
			{ "cert", "FILE", "or: the certificate, signed elsewhere" },
			{ "days", "N", "its life (7300 for the root, else 3650)" } } },
	{ "keys", "list", "", 0, 0, "", CMD_LOCAL, run_list,
		"the registry's certificates: whose, until when, their pins",
		"attestry keys list --dir var", { { 0 } } },
	{ 0 },
};
