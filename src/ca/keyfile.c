/* SPDX-License-Identifier: Apache-2.0 */
#include "ca/keyfile.h"
#include "base/der.h"
#include "base/file.h"
#include "base/secret.h"
#include "base/str.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define KEY_FILE_MAX 4096
#define KEY_DER_MAX  512
#define PEM_LINE     48 /* octets in a line of 64 characters (RFC 7468 section 2) */
#define KEY_LABEL    "PRIVATE KEY"

static const uint8_t alg_p256[] = { 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06,
	0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07 };

static void pem_put(struct put *p, const char *label, const uint8_t *der, size_t len)
{
	put_str(p, "-----BEGIN ");
	put_str(p, label);
	put_str(p, "-----\n");
	for (size_t at = 0; at < len; at += PEM_LINE) {
		size_t n = len - at < PEM_LINE ? len - at : PEM_LINE;
		uint8_t *line = put_reserve(p, B64_LEN(n));
		if (!line)
			return;
		b64_write(der + at, n, (char *)line);
		line[B64_LEN(n) - 1] = '\n';
	}
	put_str(p, "-----END ");
	put_str(p, label);
	put_str(p, "-----\n");
}

enum rc ca_pem_write(const char *label, const uint8_t *der, size_t len, char *out, size_t cap)
{
	struct put p = put_init(out, cap);

	pem_put(&p, label, der, len);
	put_u8(&p, 0);
	return put_ok(&p) ? RC_OK : RC_TOO_LARGE;
}

/* The next line without its end; false at the end of the text. */
static bool next_line(struct cur *c, const char **line, size_t *len)
{
	if (c->bad || c->left == 0)
		return false;
	*line = (const char *)c->at;
	const char *end = memchr(*line, '\n', c->left);
	size_t n = end ? (size_t)(end - *line) : c->left;
	cur_skip(c, end ? n + 1 : n);
	while (n > 0 && ((*line)[n - 1] == '\r' || (*line)[n - 1] == ' '))
		n--;
	*len = n;
	return true;
}

static bool is_boundary(const char *line, size_t len, const char *which, const char *label)
{
	char want[64];
	int n = snprintf(want, sizeof(want), "-----%s %s-----", which, label);

	return n > 0 && (size_t)n == len && memcmp(line, want, len) == 0;
}

enum rc ca_pem_read(const char *text, size_t text_len, const char *label, uint8_t *der, size_t cap,
	size_t *len, struct diag *d)
{
	struct cur c = cur_init(text, text_len);
	const char *line = NULL;
	size_t n = 0, total = 0;
	bool inside = false;

	while (next_line(&c, &line, &n)) {
		if (!inside) {
			inside = is_boundary(line, n, "BEGIN", label);
			continue;
		}
		if (is_boundary(line, n, "END", label)) {
			*len = total;
			return RC_OK;
		}
		size_t got = 0;
		enum rc rc = b64_read(line, n, der + total, cap - total, &got);
		if (rc != RC_OK)
			return diag_set(
				d, rc, "pem: %s: a line is not base64, or too much of it", label);
		total += got;
	}
	return diag_set(d, inside ? RC_MALFORMED : RC_NOT_FOUND, "pem: no %s%s",
		inside ? "end of " : "", label);
}

enum rc ca_pem_load(
	const char *path, const char *label, uint8_t *der, size_t cap, size_t *len, struct diag *d)
{
	uint8_t *text = NULL;
	size_t text_len = 0;
	enum rc rc = file_read(path, CA_PEM_MAX, &text, &text_len, d);

	if (rc != RC_OK)
		return rc;
	rc = ca_pem_read((const char *)text, text_len, label, der, cap, len, d);
	if (rc != RC_OK)
		diag_prefix(d, path);
	free(text);
	return rc;
}

/* PrivateKeyInfo of an ECPrivateKey (RFC 5958 section 2, RFC 5915 section 3) with its public key.
 */
static enum rc pkcs8_parse(
	const uint8_t *der, size_t len, const uint8_t **scalar, const uint8_t **point)
{
	struct cur c = cur_init(der, len);
	struct cur info = der_take(&c, DER_SEQUENCE);
	struct cur version = der_uint(&info);
	struct cur alg = der_take(&info, DER_SEQUENCE);
	struct cur octets = der_take(&info, DER_OCTET_STRING);

	if (info.bad || !cur_done(&c) || !der_equal(&version, "\0", 1))
		return RC_MALFORMED;
	if (!der_equal(&alg, alg_p256, sizeof(alg_p256)))
		return RC_UNSUPPORTED;
	struct cur key = der_take(&octets, DER_SEQUENCE);
	struct cur key_version = der_uint(&key);
	struct cur priv = der_take(&key, DER_OCTET_STRING);
	if (der_next_is(&key, DER_CONTEXT_CONS(0)))
		(void)der_take(&key, DER_CONTEXT_CONS(0));
	struct cur pub = der_take(&key, DER_CONTEXT_CONS(1));
	struct cur bits = der_bits(&pub);
	if (key.bad || !cur_done(&key) || !cur_done(&octets) || !cur_done(&pub) ||
		!der_equal(&key_version, "\1", 1) || priv.left != 32 || bits.left != CA_POINT_LEN)
		return RC_MALFORMED;
	*scalar = priv.at;
	*point = bits.at;
	return RC_OK;
}

static void pkcs8_put(struct put *p, const uint8_t *scalar, const uint8_t *point)
{
	size_t info = der_open(p, DER_SEQUENCE);

	der_put_uint(p, NULL, 0);
	der_put(p, DER_SEQUENCE, alg_p256, sizeof(alg_p256));
	size_t octets = der_open(p, DER_OCTET_STRING);
	size_t key = der_open(p, DER_SEQUENCE);
	der_put_uint(p, (const uint8_t *)"\1", 1);
	der_put(p, DER_OCTET_STRING, scalar, 32);
	size_t pub = der_open(p, DER_CONTEXT_CONS(1));
	der_put_bits(p, point, CA_POINT_LEN);
	der_close(p, pub);
	der_close(p, key);
	der_close(p, octets);
	der_close(p, info);
}

enum rc ca_key_load(struct ca_key *out, const char *path, struct diag *d)
{
	struct secret text = { 0 }, der = { 0 };
	const uint8_t *scalar = NULL, *point = NULL;
	size_t len = 0;
	enum rc rc = secret_read_file(&text, path, KEY_FILE_MAX);

	if (rc == RC_DENIED) {
		diag_set(d, rc, "a private key that group or others can access; chmod 600");
		goto out;
	}
	if (rc != RC_OK) {
		diag_set(d, rc, "%s", rc_text(rc));
		goto out;
	}
	rc = secret_new(&der, KEY_DER_MAX);
	if (rc == RC_OK)
		rc = ca_pem_read(
			(const char *)text.bytes, text.len, KEY_LABEL, der.bytes, der.len, &len, d);
	if (rc != RC_OK)
		goto out;
	rc = pkcs8_parse(der.bytes, len, &scalar, &point);
	if (rc == RC_UNSUPPORTED)
		diag_set(d, rc, "algorithm: only EC keys on P-256");
	else if (rc != RC_OK)
		diag_set(d, rc, "not a PKCS#8 EC key with its public part (RFC 5958)");
	else
		rc = ca_key_from(out, scalar, point, d);
out:
	if (rc != RC_OK)
		diag_prefix(d, path);
	secret_free(&der);
	secret_free(&text);
	return rc;
}

static enum rc scalar_of(const struct ca_key *key, uint8_t *scalar)
{
	BIGNUM *n = NULL;
	enum rc rc = RC_CRYPTO;

	if (EVP_PKEY_get_bn_param(key->pkey, OSSL_PKEY_PARAM_PRIV_KEY, &n) == 1 &&
		BN_bn2binpad(n, scalar, 32) == 32)
		rc = RC_OK;
	BN_clear_free(n);
	return rc;
}

static enum rc write_new_file(const char *path, const uint8_t *bytes, size_t len, struct diag *d)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);

	if (fd < 0)
		return diag_errno(d, errno == EEXIST ? RC_EXISTS : RC_IO, "%s", path);
	/* A short write of a few hundred bytes to a new file means a full disk. */
	bool ok = write(fd, bytes, len) == (ssize_t)len && fsync(fd) == 0;
	enum rc rc = ok ? RC_OK : diag_errno(d, RC_IO, "%s", path);
	if (close(fd) != 0 && ok)
		rc = diag_errno(d, RC_IO, "%s", path);
	if (rc != RC_OK)
		(void)unlink(path);
	return rc;
}

enum rc ca_key_store(const struct ca_key *key, const char *path, struct diag *d)
{
	struct secret buf = { 0 };
	struct put der, pem;
	enum rc rc = secret_new(&buf, 32 + KEY_DER_MAX + KEY_FILE_MAX);

	if (rc != RC_OK)
		return rc;
	der = put_init(buf.bytes + 32, KEY_DER_MAX);
	pem = put_init(buf.bytes + 32 + KEY_DER_MAX, KEY_FILE_MAX);
	rc = scalar_of(key, buf.bytes);
	if (rc != RC_OK) {
		diag_set(d, rc, "%s: the key does not give its private part", path);
		goto out;
	}
	pkcs8_put(&der, buf.bytes, key->point);
	pem_put(&pem, KEY_LABEL, der.buf, der.len);
	rc = put_ok(&der) && put_ok(&pem) ? RC_OK : RC_INTERNAL;
	if (rc == RC_OK)
		rc = write_new_file(path, pem.buf, pem.len, d);
out:
	secret_free(&buf);
	return rc;
}
