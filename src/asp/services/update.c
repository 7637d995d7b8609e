/* SPDX-License-Identifier: Apache-2.0 */
/* A trust update: what a provider is to trust from now on, as lines of text, signed by a root that
 * it trusts already. doc/provider.md has the form. */
#include "asp/services/internal.h"

#include "base/hex.h"
#include "base/str.h"

#include <ctype.h>
#include <openssl/evp.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HEAD	       "attestry-trust-1"
#define LINE_MAX_LEN   12000 /* a certificate of 8 KiB in base64 */
#define SIGNATURES_MAX 4

/* ---- reading ----------------------------------------------------------------------------------
 */

static enum rc read_number(const char *text, uint64_t *out)
{
	return u64_read(text, 1, INT64_MAX, out);
}

static enum rc read_der(const char *base64, struct svc_der out[SVC_CAS_MAX], size_t *n)
{
	size_t cap = strlen(base64) / 4 * 3 + 3, len = 0;
	uint8_t *bytes = NULL;
	const uint8_t *at;
	X509 *cert;
	enum rc rc;

	if (*n == SVC_CAS_MAX)
		return RC_TOO_LARGE;
	bytes = malloc(cap);
	if (!bytes)
		return RC_NOMEM;
	rc = b64_read(base64, strlen(base64), bytes, cap, &len);
	at = bytes;
	cert = rc == RC_OK ? d2i_X509(NULL, &at, (long)len) : NULL;
	if (!cert || at != bytes + len) {
		X509_free(cert);
		free(bytes);
		return RC_MALFORMED;
	}
	X509_free(cert);
	out[*n].bytes = bytes;
	out[(*n)++].len = len;
	return RC_OK;
}

enum rc svc__resolver_read(const char *line, struct dane_resolver *out, struct diag *d)
{
	char copy[512], *rest = copy, *words[4] = { NULL }, *pin;
	uint64_t port = 0;

	if (str_copy(copy, sizeof(copy), line) != RC_OK)
		return diag_set(d, RC_TOO_LARGE, "resolver: line too long");
	for (size_t i = 0; i < ARRAY_LEN(words); i++)
		words[i] = strsep(&rest, " ");
	if (!words[3] || rest || u64_read(words[1], 1, 65535, &port) != RC_OK ||
		dane_resolver_addr(out, words[0], (uint16_t)port) != RC_OK ||
		(strcmp(words[2], "-") != 0 &&
			str_copy(out->name, sizeof(out->name), words[2]) != RC_OK))
		return diag_set(d, RC_MALFORMED, "resolver: must be ADDRESS PORT NAME PIN[,PIN]");
	while ((pin = strsep(&words[3], ",")))
		if (dane_resolver_pin(out, pin) != RC_OK)
			return diag_set(d, RC_MALFORMED,
				"resolver: a pin is 32 bytes in base64, at most %d of them",
				DANE_PINS_MAX);
	return RC_OK;
}

static enum rc read_anchor(struct svc_update *u, const char *value, struct diag *d)
{
	enum rc rc;

	if (u->n_anchors == DANE_ANCHORS_MAX)
		return RC_TOO_LARGE;
	rc = dane_anchor_read(value, &u->anchors[u->n_anchors], d);
	if (rc == RC_OK && u->anchors[u->n_anchors].digest_type != 2)
		rc = diag_set(d, RC_UNSUPPORTED, "anchor: digest type must be 2");
	u->n_anchors += rc == RC_OK;
	return rc;
}

static enum rc read_resolver(struct svc_update *u, const char *value, struct diag *d)
{
	struct dane_resolver r;

	if (u->n_resolvers == SVC_RESOLVERS_MAX)
		return RC_TOO_LARGE;
	if (svc__resolver_read(value, &r, d) != RC_OK)
		return RC_MALFORMED;
	return str_copy(u->resolvers[u->n_resolvers++], sizeof(u->resolvers[0]), value);
}

static enum rc read_line(struct svc_update *u, const char *key, const char *value, struct diag *d)
{
	uint64_t n = 0;
	enum rc rc = RC_UNSUPPORTED;

	if (strcmp(key, "zone") == 0)
		rc = *u->zone ? RC_EXISTS : str_copy(u->zone, sizeof(u->zone), value);
	else if (strcmp(key, "serial") == 0)
		rc = u->serial ? RC_EXISTS : read_number(value, &u->serial);
	else if (strcmp(key, "expires") == 0) {
		rc = u->expires ? RC_EXISTS : read_number(value, &n);
		u->expires = (int64_t)n;
	} else if (strcmp(key, "root") == 0)
		rc = read_der(value, u->roots, &u->n_roots);
	else if (strcmp(key, "ca") == 0)
		rc = read_der(value, u->cas, &u->n_cas);
	else if (strcmp(key, "anchor") == 0)
		rc = read_anchor(u, value, d);
	else if (strcmp(key, "resolver") == 0)
		rc = read_resolver(u, value, d);
	return rc;
}

/* The next line without its end; NULL after the last. A line that does not end is none. */
static const char *next_line(const char **at, const char *end, char line[LINE_MAX_LEN])
{
	const char *start = *at,
		   *stop = start < end ? memchr(start, '\n', (size_t)(end - start)) : NULL;

	if (!stop || stop - start >= LINE_MAX_LEN)
		return NULL;
	for (const char *c = start; c < stop; c++)
		if ((unsigned char)*c < ' ' || (unsigned char)*c > '~')
			return NULL;
	memcpy(line, start, (size_t)(stop - start));
	line[stop - start] = '\0';
	*at = stop + 1;
	return start;
}

static enum rc read_lines(
	const char *text, const char *end, char *line, struct svc_update *u, struct diag *d)
{
	const char *at = text, *start;
	unsigned number = 0;

	while ((start = next_line(&at, end, line))) {
		struct diag why = { 0 };
		char *value = strchr(line, ' ');
		enum rc rc;

		if (++number == 1 && strcmp(line, HEAD) == 0)
			continue;
		if (number == 1)
			return diag_set(
				d, RC_MALFORMED, "trust update: does not begin with %s", HEAD);
		if (!value)
			return diag_set(
				d, RC_MALFORMED, "trust update: line %u has no value", number);
		*value++ = '\0';
		if (strcmp(line, "signature") == 0) {
			u->signed_len = (size_t)(start - text);
			return RC_OK;
		}
		rc = read_line(u, line, value, &why);
		if (rc != RC_OK)
			return diag_set(d, rc == RC_NOMEM ? rc : RC_MALFORMED,
				"trust update: line %u: %.20s: %s", number, line,
				*why.text ? why.text : rc_text(rc));
	}
	return diag_set(d, RC_MALFORMED, "trust update: line %u: no signature follows", number + 1);
}

void svc__update_free(struct svc_update *u)
{
	for (size_t i = 0; i < u->n_roots; i++)
		free(u->roots[i].bytes);
	for (size_t i = 0; i < u->n_cas; i++)
		free(u->cas[i].bytes);
	memset(u, 0, sizeof(*u));
}

enum rc svc__update_read(const char *text, size_t len, struct svc_update *out, struct diag *d)
{
	struct svc_update *u = calloc(1, sizeof(*u));
	char *line = malloc(LINE_MAX_LEN);
	enum rc rc = u && line ? read_lines(text, text + len, line, u, d) : RC_NOMEM;

	if (rc == RC_OK && (!*u->zone || !u->serial || !u->expires || !u->n_roots || !u->n_cas ||
				   !u->n_anchors || !u->n_resolvers))
		rc = diag_set(d, RC_MALFORMED,
			"trust update: zone, serial, expires, root, ca, anchor and resolver are "
			"needed");
	if (rc == RC_OK)
		*out = *u;
	else if (u)
		svc__update_free(u);
	free(line);
	free(u);
	return rc;
}

/* ---- signatures -------------------------------------------------------------------------------
 */

/* "SHA256-OF-KEY-IN-HEX BASE64" */
static bool by_root(const char *value, const char *text, size_t len, X509 *root)
{
	EVP_PKEY *key = X509_get0_pubkey(root);
	uint8_t want[32], pin[32], sig[256];
	char hex[65] = "";
	size_t sig_len = 0;
	EVP_MD_CTX *ctx = NULL;
	bool good = false;

	if (!key || strlen(value) < 66 || value[64] != ' ' || svc__key_pin(key, pin) != RC_OK)
		return false;
	memcpy(hex, value, 64);
	if (hex_read(hex, want, sizeof(want)) != RC_OK || memcmp(want, pin, sizeof(pin)) != 0 ||
		b64_read(value + 65, strlen(value + 65), sig, sizeof(sig), &sig_len) != RC_OK)
		return false;
	ctx = EVP_MD_CTX_new();
	good = ctx && EVP_DigestVerifyInit(ctx, NULL, EVP_sha256(), NULL, key) == 1 &&
	       EVP_DigestVerify(ctx, sig, sig_len, (const uint8_t *)text, len) == 1;
	EVP_MD_CTX_free(ctx);
	return good;
}

enum rc svc__update_verify(const char *text, size_t len, const struct svc_update *u,
	STACK_OF(X509) * roots, struct diag *d)
{
	const char *at = text + u->signed_len;
	char *line = malloc(LINE_MAX_LEN);
	bool good = false;

	if (!line)
		return RC_NOMEM;
	for (unsigned n = 0; n < SIGNATURES_MAX && !good && next_line(&at, text + len, line); n++) {
		if (strncmp(line, "signature ", 10) != 0)
			break;
		for (int i = 0; i < sk_X509_num(roots) && !good; i++)
			good = by_root(line + 10, text, u->signed_len, sk_X509_value(roots, i));
	}
	free(line);
	return good ? RC_OK
		    : diag_set(d, RC_SIGNATURE,
			      "trust update: not signed by a root that is trusted here");
}
