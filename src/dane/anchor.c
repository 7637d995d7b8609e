/* SPDX-License-Identifier: Apache-2.0 */
#include "dane/internal.h"

#include "base/file.h"
#include "base/str.h"

#include <arpa/inet.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

#define LINE_MAX_LEN 2048 /* an RSA-4096 key in base64 is 700 */
#define WORDS_MAX    40	  /* digests and keys may be written in groups */
#define FILE_MAX     65536

/* Splits at blanks; the words point into `line`. */
static size_t split(char *line, char *words[WORDS_MAX])
{
	size_t n = 0;
	char *p = line;

	while (n < WORDS_MAX) {
		p += strspn(p, " \t\r\n()");
		if (*p == '\0' || *p == ';')
			break;
		words[n++] = p;
		p += strcspn(p, " \t\r\n()");
		if (*p == '\0')
			break;
		*p++ = '\0';
	}
	return n;
}

/* Joins the rest of the words: digest or key. */
static bool join(char *const *words, size_t n, char *out, size_t cap)
{
	struct put p = put_init(out, cap);

	for (size_t i = 0; i < n; i++)
		put_str(&p, words[i]);
	put_u8(&p, 0);
	return put_ok(&p);
}

static enum rc read_ds(char *const *w, size_t n, struct dane_anchor *a, struct diag *d)
{
	uint64_t tag, alg, type;
	char hex[2 * sizeof(a->digest) + 1];

	if (n < 4 || u64_read(w[0], 0, 65535, &tag) != RC_OK ||
		u64_read(w[1], 1, 255, &alg) != RC_OK || u64_read(w[2], 1, 255, &type) != RC_OK ||
		!join(w + 3, n - 3, hex, sizeof(hex)))
		return diag_set(d, RC_MALFORMED, "DS: not tag, algorithm, type, digest");
	a->tag = (uint16_t)tag;
	a->algorithm = (uint8_t)alg;
	a->digest_type = (uint8_t)type;
	a->digest_len = type == 2 ? 32 : 48;
	if (type != 2 && type != 4)
		return diag_set(
			d, RC_UNSUPPORTED, "DS: digest type %u is not 2 or 4", (unsigned)type);
	if (strlen(hex) != 2 * a->digest_len || hex_read(hex, a->digest, a->digest_len) != RC_OK)
		return diag_set(
			d, RC_MALFORMED, "DS: digest is not %zu bytes in hex", a->digest_len);
	return RC_OK;
}

static enum rc read_dnskey(char *const *w, size_t n, const struct dane_name *zone,
	struct dane_anchor *a, struct diag *d)
{
	uint64_t flags, protocol, alg;
	char text[LINE_MAX_LEN];
	uint8_t rdata[1100], buf[sizeof(rdata) + 255];
	struct put p = put_init(rdata, sizeof(rdata)), all = put_init(buf, sizeof(buf));
	size_t len = 0;

	if (n < 4 || u64_read(w[0], 0, 65535, &flags) != RC_OK ||
		u64_read(w[1], 0, 255, &protocol) != RC_OK ||
		u64_read(w[2], 1, 255, &alg) != RC_OK || !join(w + 3, n - 3, text, sizeof(text)))
		return diag_set(d, RC_MALFORMED, "DNSKEY: not flags, protocol, algorithm, key");
	put_u16(&p, (uint16_t)flags);
	put_u8(&p, (uint8_t)protocol);
	put_u8(&p, (uint8_t)alg);
	if (b64_read(text, strlen(text), rdata + 4, sizeof(rdata) - 4, &len) != RC_OK || len == 0)
		return diag_set(d, RC_MALFORMED, "DNSKEY: key is not base64");
	len += 4;
	put_bytes(&all, zone->wire, zone->len);
	put_bytes(&all, rdata, len);
	a->tag = dane__key_tag(rdata, len);
	a->algorithm = (uint8_t)alg;
	a->digest_type = 2;
	a->digest_len = 32;
	if (!put_ok(&all) || EVP_Digest(buf, all.len, a->digest, NULL, EVP_sha256(), NULL) != 1)
		return diag_set(d, RC_CRYPTO, "DNSKEY: no digest");
	return RC_OK;
}

enum rc dane_anchor_read(const char *line, struct dane_anchor *out, struct diag *d)
{
	struct dane_anchor a = { 0 };
	struct dane_name zone;
	char copy[LINE_MAX_LEN];
	char *words[WORDS_MAX];
	size_t n, at = 1;
	uint64_t ttl;
	enum rc rc;

	if (str_copy(copy, sizeof(copy), line) != RC_OK)
		return diag_set(d, RC_MALFORMED, "trust anchor: line over %d bytes", LINE_MAX_LEN);
	n = split(copy, words);
	if (n < 2 || dane__name_parse(words[0], &zone) != RC_OK)
		return diag_set(d, RC_MALFORMED, "trust anchor: no zone name");
	dane__name_text(&zone, a.name);
	if (at < n && u64_read(words[at], 0, UINT32_MAX, &ttl) == RC_OK)
		at++;
	if (at < n && str_equal_nocase(words[at], "IN"))
		at++;
	if (at < n && u64_read(words[at], 0, UINT32_MAX, &ttl) == RC_OK)
		at++;
	if (at < n && str_equal_nocase(words[at], "DS"))
		rc = read_ds(words + at + 1, n - at - 1, &a, d);
	else if (at < n && str_equal_nocase(words[at], "DNSKEY"))
		rc = read_dnskey(words + at + 1, n - at - 1, &zone, &a, d);
	else
		rc = diag_set(d, RC_MALFORMED, "trust anchor: neither DS nor DNSKEY");
	if (rc == RC_OK)
		*out = a;
	return rc;
}

enum rc dane_anchor_write(const struct dane_anchor *a, char *out, size_t cap)
{
	char hex[2 * sizeof(a->digest) + 1];

	hex_write(a->digest, a->digest_len, hex);
	return str_format(out, cap, "%s%s DS %u %u %u %s", a->name,
		strcmp(a->name, ".") == 0 ? "" : ".", a->tag, a->algorithm, a->digest_type, hex);
}

enum rc dane_anchors_read_file(
	const char *path, struct dane_anchor out[DANE_ANCHORS_MAX], size_t *n, struct diag *d)
{
	uint8_t *bytes = NULL;
	size_t len = 0, count = 0;
	enum rc rc = file_read(path, FILE_MAX, &bytes, &len, d);
	char *rest = (char *)bytes;

	if (rc != RC_OK)
		return rc;
	while (rest && rc == RC_OK) {
		const char *line = strsep(&rest, "\n"), *text = line + strspn(line, " \t\r");

		if (*text == '\0' || *text == ';')
			continue;
		if (count == DANE_ANCHORS_MAX)
			rc = diag_set(d, RC_TOO_LARGE, "over %d trust anchors", DANE_ANCHORS_MAX);
		else
			rc = dane_anchor_read(text, &out[count++], d);
	}
	if (rc == RC_OK && count == 0)
		rc = diag_set(d, RC_MALFORMED, "no trust anchor in the file");
	if (rc != RC_OK)
		diag_prefix(d, path);
	else
		*n = count;
	free(bytes);
	return rc;
}

enum rc dane_resolver_addr(struct dane_resolver *r, const char *addr, uint16_t port)
{
	struct dane_resolver out = { .port = port };

	if (inet_pton(AF_INET, addr, out.addr) == 1)
		out.addr_len = 4;
	else if (inet_pton(AF_INET6, addr, out.addr) == 1)
		out.addr_len = 16;
	else
		return RC_MALFORMED;
	*r = out;
	return RC_OK;
}

enum rc dane_resolver_pin(struct dane_resolver *r, const char *base64)
{
	uint8_t pin[32];
	size_t len = 0;

	if (r->n_pins == DANE_PINS_MAX)
		return RC_TOO_LARGE;
	if (b64_read(base64, strlen(base64), pin, sizeof(pin), &len) != RC_OK || len != sizeof(pin))
		return RC_MALFORMED;
	memcpy(r->pins[r->n_pins++], pin, sizeof(pin));
	return RC_OK;
}
