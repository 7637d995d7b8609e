/* SPDX-License-Identifier: Apache-2.0 */
#include "http/est.h"

#include "base/der.h"
#include "base/str.h"

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pkcs7.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* ---- paths ------------------------------------------------------------------------------ */

static const struct {
	const char *path;
	const char *name;
	bool post;
} ops[] = {
	[EST_CACERTS] = { "cacerts", "est.cacerts", false },
	[EST_CSRATTRS] = { "csrattrs", "est.csrattrs", false },
	[EST_ENROL] = { "simpleenroll", "est.simpleenroll", true },
	[EST_REENROL] = { "simplereenroll", "est.simplereenroll", true },
};

static bool refuse(struct est_fault *f, unsigned status, const char *why)
{
	f->status = status;
	(void)diag_set(&f->why, RC_MALFORMED, "%s", why);
	return false;
}

bool est_is(const char *path)
{
	return strncmp(path, EST_PREFIX, sizeof(EST_PREFIX) - 1) == 0;
}

bool est_find(const char *method, const char *path, enum est_op *op, struct est_fault *f)
{
	const char *rest = path + sizeof(EST_PREFIX) - 1;
	bool post = strcmp(method, "POST") == 0;
	bool get = strcmp(method, "GET") == 0 || strcmp(method, "HEAD") == 0;

	*f = (struct est_fault){ 0 };
	for (size_t i = 0; i < ARRAY_LEN(ops); i++) {
		if (strcmp(ops[i].path, rest) != 0)
			continue;
		if (ops[i].post ? post : get) {
			*op = (enum est_op)i;
			return true;
		}
		f->allow = ops[i].post ? "Allow: POST\r\n" : "Allow: GET, HEAD\r\n";
		return refuse(f, 405, "this method is not possible here; see Allow");
	}
	return refuse(f, 404,
		"no such EST operation: cacerts, csrattrs, simpleenroll and simplereenroll are");
}

const char *est_name(enum est_op op)
{
	return ops[op].name;
}

/* ---- bodies ----------------------------------------------------------------------------- */

/* RFC 8951 section 3.1: white space in base64 is passed over. */
static size_t squeeze(const uint8_t *body, size_t len, char *out)
{
	size_t n = 0;

	for (size_t i = 0; i < len; i++) {
		if (body[i] != ' ' && body[i] != '\t' && body[i] != '\r' && body[i] != '\n')
			out[n++] = (char)body[i];
	}
	return n;
}

static bool is_type(const char *content_type, const char *wanted)
{
	size_t len = strlen(wanted);

	return content_type && strncasecmp(content_type, wanted, len) == 0 &&
	       (!content_type[len] || strchr("; \t", content_type[len]));
}

bool est_read(const char *content_type, const uint8_t *body, size_t len, const char *zone,
	struct enrol_csr *out, struct est_fault *f)
{
	uint8_t der[EST_BODY_MAX];
	char text[EST_BODY_MAX];
	size_t text_len, der_len = 0;
	enum rc rc;

	*f = (struct est_fault){ 0 };
	if (!is_type(content_type, "application/pkcs10"))
		return refuse(
			f, 415, "Content-Type must be application/pkcs10 (RFC 7030 section 4.2.1)");
	if (len > EST_BODY_MAX)
		return refuse(f, 413, "the body is too large for a CSR");
	if (!len)
		return refuse(f, 400, "the body is empty: a PKCS#10 request in base64 is needed");
	text_len = squeeze(body, len, text);
	rc = b64_read(text, text_len, der, sizeof(der), &der_len);
	if (rc != RC_OK)
		return refuse(f, 400, "the body is not base64 (RFC 8951 section 3.1)");
	rc = enrol_csr_read(der, der_len, zone, out, &f->why);
	if (rc == RC_OK)
		return true;
	f->status = rc == RC_NOMEM ? 503 : rc == RC_TOO_LARGE ? 413 : 400;
	return false;
}

/* ---- answers ---------------------------------------------------------------------------- */

/* In lines of 64 characters. */
static enum rc to_base64(const uint8_t *der, size_t der_len, char **out, size_t *len)
{
	EVP_ENCODE_CTX *ctx = EVP_ENCODE_CTX_new();
	char *text = malloc(der_len / 48 * 65 + 128);
	int n = 0, last = 0;

	if (!ctx || !text) {
		EVP_ENCODE_CTX_free(ctx);
		free(text);
		return RC_NOMEM;
	}
	EVP_EncodeInit(ctx);
	(void)EVP_EncodeUpdate(ctx, (unsigned char *)text, &n, der, (int)der_len);
	EVP_EncodeFinal(ctx, (unsigned char *)text + n, &last);
	EVP_ENCODE_CTX_free(ctx);
	*out = text;
	*len = (size_t)n + (size_t)last;
	return RC_OK;
}

static enum rc add_certs(STACK_OF(X509) * stack, const ProtobufCBinaryData *const *certs, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		const unsigned char *at = certs[i]->data;
		X509 *cert = d2i_X509(NULL, &at, (long)certs[i]->len);

		if (!cert)
			return RC_MALFORMED;
		if (at != certs[i]->data + certs[i]->len || sk_X509_push(stack, cert) < 1) {
			X509_free(cert);
			return RC_MALFORMED;
		}
	}
	return RC_OK;
}

/* A SignedData without content and signers, made to carry certificates. */
static PKCS7 *degenerate(STACK_OF(X509) * certs)
{
	PKCS7 *p7 = PKCS7_new();
	PKCS7_SIGNED *sign = PKCS7_SIGNED_new();

	if (!p7 || !sign || ASN1_INTEGER_set(sign->version, 1) != 1) {
		PKCS7_free(p7);
		PKCS7_SIGNED_free(sign);
		return NULL;
	}
	p7->type = OBJ_nid2obj(NID_pkcs7_signed);
	p7->d.sign = sign;
	sign->contents->type = OBJ_nid2obj(NID_pkcs7_data);
	sign->cert = certs;
	return p7;
}

enum rc est_write_certs(const ProtobufCBinaryData *const *certs, size_t n, char **out, size_t *len)
{
	STACK_OF(X509) *stack = sk_X509_new_null();
	unsigned char *der = NULL;
	PKCS7 *p7 = NULL;
	int der_len = -1;
	enum rc rc = stack ? add_certs(stack, certs, n) : RC_NOMEM;

	if (rc == RC_OK) {
		p7 = degenerate(stack);
		rc = RC_NOMEM;
	}
	if (p7) {
		der_len = i2d_PKCS7(p7, &der);
		p7->d.sign->cert = NULL;
	}
	if (der_len > 0)
		rc = to_base64(der, (size_t)der_len, out, len);
	OPENSSL_free(der);
	PKCS7_free(p7);
	sk_X509_pop_free(stack, X509_free);
	ERR_clear_error();
	return rc;
}

/* id-ecPublicKey, prime256v1, ecdsa-with-SHA256 (RFC 5480, RFC 5758). */
static const uint8_t oid_ec_key[] = { 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01 };
static const uint8_t oid_p256[] = { 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07 };
static const uint8_t oid_ecdsa_sha256[] = { 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02 };

/* RFC 8951 section 3.2: SEQUENCE OF { OID or Attribute { type, SET OF values } }. */
enum rc est_write_csrattrs(char **out, size_t *len)
{
	uint8_t der[64];
	struct put p = put_init(der, sizeof(der));
	size_t list = der_open(&p, DER_SEQUENCE);
	size_t attribute = der_open(&p, DER_SEQUENCE), values;

	der_put(&p, DER_OID, oid_ec_key, sizeof(oid_ec_key));
	values = der_open(&p, DER_SET);
	der_put(&p, DER_OID, oid_p256, sizeof(oid_p256));
	der_close(&p, values);
	der_close(&p, attribute);
	der_put(&p, DER_OID, oid_ecdsa_sha256, sizeof(oid_ecdsa_sha256));
	der_close(&p, list);
	return put_ok(&p) ? to_base64(der, p.len, out, len) : RC_INTERNAL;
}
