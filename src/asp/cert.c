/* SPDX-License-Identifier: Apache-2.0 */
#include "asp/internal.h"

#include "base/str.h"

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/x509.h>
#include <openssl/x509_vfy.h>
#include <openssl/x509v3.h>
#include <string.h>
#include <time.h>

static X509 *parse(const uint8_t *der, size_t len)
{
	const uint8_t *at = der;
	X509 *cert = len <= ASP_CERT_MAX ? d2i_X509(NULL, &at, (long)len) : NULL;

	if (cert && at != der + len) { /* something follows the certificate */
		X509_free(cert);
		cert = NULL;
	}
	ERR_clear_error();
	return cert;
}

/* Text of an ASN.1 string without NUL or anything else that is not visible ASCII. */
static enum rc ascii(const ASN1_STRING *s, char *out, size_t cap)
{
	const unsigned char *bytes = ASN1_STRING_get0_data(s);
	int len = ASN1_STRING_length(s);

	if (len <= 0 || (size_t)len >= cap)
		return RC_MALFORMED;
	for (int i = 0; i < len; i++) {
		if (bytes[i] <= ' ' || bytes[i] > '~')
			return RC_MALFORMED;
		out[i] = (char)bytes[i];
	}
	out[len] = '\0';
	return RC_OK;
}

/* The one value of an attribute of the subject. */
static enum rc subject_text(const X509 *cert, int nid, char *out, size_t cap)
{
	const X509_NAME *subject = X509_get_subject_name(cert);
	int at = X509_NAME_get_index_by_NID(subject, nid, -1);

	if (at < 0)
		return RC_NOT_FOUND;
	if (X509_NAME_get_index_by_NID(subject, nid, at) >= 0)
		return RC_MALFORMED;
	return ascii(X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, at)), out, cap);
}

/* The one name in subjectAltName. RC_NOT_FOUND without the extension; two names, or another kind of
 * name, are not a certificate of ours. */
static enum rc san_text(const X509 *cert, char *out, size_t cap)
{
	int critical = -1;
	GENERAL_NAMES *names = X509_get_ext_d2i(cert, NID_subject_alt_name, &critical, NULL);
	enum rc rc = RC_MALFORMED;

	if (!names)
		return critical == -1 ? RC_NOT_FOUND : RC_MALFORMED;
	if (sk_GENERAL_NAME_num(names) == 1) {
		const GENERAL_NAME *name = sk_GENERAL_NAME_value(names, 0);

		if (name->type == GEN_DNS)
			rc = ascii(name->d.dNSName, out, cap);
	}
	GENERAL_NAMES_free(names);
	return rc;
}

/* `<slot>.<iccid>.<zone>`, or any one label for the ICCID: a registry may hide it behind an opaque
 * one, and which it is, is the registry's business. */
enum rc asp__owner_name(const char *text, const char *zone, char out[IDENT_OWNER_TEXT])
{
	struct ident_owner owner;
	size_t len = strlen(text), label;

	if (ident_owner_parse(text, zone, &owner) == RC_OK)
		return ident_owner_name(owner.slot, owner.iccid, owner.zone, out);
	if (len > 0 && text[len - 1] == '.')
		len--;
	if (len >= IDENT_OWNER_TEXT || len < 4 || text[0] < '1' || text[0] > '9' || text[1] != '.')
		return RC_MALFORMED;
	label = strspn(text + 2, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-");
	if (label < 1 || label > 63 || text[2 + label] != '.' || len - 3 - label != strlen(zone))
		return RC_MALFORMED;
	memcpy(out, text, len);
	out[len] = '\0';
	str_lower(out);
	return strcmp(out + 3 + label, zone) == 0 ? RC_OK : RC_NOT_FOUND;
}

static enum rc owner_name(
	const X509 *cert, const char *zone, char out[IDENT_OWNER_TEXT], struct diag *d)
{
	char text[IDENT_OWNER_TEXT];
	enum rc rc = san_text(cert, text, sizeof(text));

	if (rc == RC_NOT_FOUND)
		rc = subject_text(cert, NID_commonName, text, sizeof(text));
	if (rc != RC_OK)
		return diag_set(d, RC_MALFORMED, "certificate: no single owner name in SAN or CN");
	if (asp__owner_name(text, zone, out) != RC_OK)
		return diag_set(
			d, RC_MALFORMED, "certificate: its name is no owner name of %s", zone);
	return RC_OK;
}

enum rc asp__cert_read(
	const uint8_t *der, size_t len, const char *zone, struct asp_cert *out, struct diag *d)
{
	struct asp_cert c = { 0 };
	X509 *cert = parse(der, len);
	enum rc rc = RC_MALFORMED;

	if (!cert)
		return diag_set(d, rc, "certificate: does not parse");
	rc = owner_name(cert, zone, c.name, d);
	if (rc == RC_OK) {
		rc = subject_text(cert, NID_organizationalUnitName, c.service, sizeof(c.service));
		if (rc == RC_NOT_FOUND)
			rc = RC_OK;
		else if (rc != RC_OK)
			diag_set(d, rc, "certificate: no single service handle in OU");
	}
	if (rc == RC_OK && EVP_Digest(der, len, c.sha256, NULL, EVP_sha256(), NULL) != 1)
		rc = RC_CRYPTO;
	if (rc == RC_OK)
		*out = c;
	X509_free(cert);
	ERR_clear_error();
	return rc;
}

enum rc asp__store_new(const char *ca_file, X509_STORE **out, struct diag *d)
{
	X509_STORE *store = X509_STORE_new();

	if (!store || X509_STORE_load_file(store, ca_file) != 1) {
		X509_STORE_free(store);
		ERR_clear_error();
		return diag_set(d, RC_IO, "%s: no certificates in PEM form", ca_file);
	}
	/* An issuing CA that was given is an anchor even without its root. */
	X509_STORE_set_flags(store, X509_V_FLAG_PARTIAL_CHAIN);
	*out = store;
	return RC_OK;
}

/* The earliest notAfter of a verified chain; 0 when one of them has none that can be told. */
static int64_t chain_until(const X509_STORE_CTX *ctx)
{
	STACK_OF(X509) *chain = X509_STORE_CTX_get0_chain(ctx);
	int64_t until = INT64_MAX;

	for (int i = 0; i < sk_X509_num(chain); i++) {
		struct tm tm;
		int64_t t;

		if (ASN1_TIME_to_tm(X509_get0_notAfter(sk_X509_value(chain, i)), &tm) != 1)
			return 0;
		t = timegm(&tm);
		until = t < until ? t : until;
	}
	return until == INT64_MAX ? 0 : until;
}

enum rc asp__cert_chain(
	X509_STORE *store, const uint8_t *der, size_t len, int64_t *until_s, struct diag *d)
{
	X509_STORE_CTX *ctx = X509_STORE_CTX_new();
	X509 *cert = parse(der, len);
	enum rc rc = RC_AUTH;

	if (!cert) {
		diag_set(d, rc, "certificate: does not parse");
	} else if (!ctx || X509_STORE_CTX_init(ctx, store, cert, NULL) != 1 ||
		   X509_STORE_CTX_set_purpose(ctx, X509_PURPOSE_SSL_CLIENT) != 1) {
		rc = diag_set(d, RC_CRYPTO, "certificate: verifier failed");
	} else if (X509_check_ca(cert) != 0) {
		diag_set(d, rc, "certificate: a CA's, not a device's");
	} else if (X509_verify_cert(ctx) == 1) {
		*until_s = chain_until(ctx);
		rc = RC_OK;
	} else {
		diag_set(d, rc, "certificate: %s",
			X509_verify_cert_error_string(X509_STORE_CTX_get_error(ctx)));
	}
	X509_STORE_CTX_free(ctx);
	X509_free(cert);
	ERR_clear_error();
	return rc;
}
