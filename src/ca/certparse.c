/* SPDX-License-Identifier: Apache-2.0 */
#include "ca/cert.h"
#include "base/der.h"

#include <string.h>

static const uint8_t alg_ecdsa_sha256[] = { 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03,
	0x02 };

#define EXTENSIONS_MAX 64

static enum rc malformed(struct diag *d, const char *field)
{
	return diag_set(d, RC_MALFORMED, "certificate: %s: not DER of RFC 5280 section 4.1", field);
}

static bool looks_like_time(const struct cur *c)
{
	return der_next_is(c, DER_UTCTIME) || der_next_is(c, DER_GENTIME);
}

/* Says what the object is when it is not a Certificate: these are what people upload by mistake, or
 * to have a signature made over something that can be turned into a certificate. */
static enum rc refuse_shape(const uint8_t *der, size_t len, struct diag *d)
{
	struct cur c = cur_init(der, len);
	struct cur outer = der_take(&c, DER_SEQUENCE);
	const char *what = NULL;

	if (outer.bad)
		return malformed(d, "outermost element");
	if (!cur_done(&c))
		return diag_set(d, RC_MALFORMED, "certificate: bytes follow it");
	if (der_next_is(&outer, DER_CONTEXT_CONS(0)))
		what = "a TBSCertificate";
	if (der_next_is(&outer, DER_INTEGER))
		what = "the unsigned part of a v1 certificate (TBSCertificate), CSR or CRL";
	if (der_next_is(&outer, DER_SEQUENCE)) {
		struct cur inner = der_take(&outer, DER_SEQUENCE);
		if (der_next_is(&inner, DER_INTEGER)) {
			(void)der_take(&inner, DER_INTEGER);
			struct cur alg = der_take(&inner, DER_SEQUENCE);
			/* Both go on with a SEQUENCE: an algorithm begins with an OID, a Name with
			 * a SET (or is empty). */
			if (!alg.bad && der_next_is(&alg, DER_OID) &&
				der_next_is(&inner, DER_SEQUENCE)) {
				(void)der_take(&inner, DER_SEQUENCE);
				what = looks_like_time(&inner) ? "a CRL" : "a v1 certificate";
			} else {
				what = "a certificate request (CSR)";
			}
		} else if (der_next_is(&inner, DER_SEQUENCE)) {
			(void)der_take(&inner, DER_SEQUENCE);
			(void)der_take(&inner, DER_SEQUENCE);
			if (looks_like_time(&inner))
				what = "a v1 CRL";
		}
	}
	if (!what)
		return malformed(d, "tbsCertificate");
	return diag_set(d, RC_UNSUPPORTED,
		"certificate: this is %s; a complete X.509 v3 Certificate is wanted", what);
}

static bool oid_is_ext(const struct cur *oid, uint8_t n)
{
	const uint8_t want[] = { 0x55, 0x1d, n };

	return der_equal(oid, want, sizeof(want));
}

static bool parse_basic_constraints(struct cur value, struct ca_cert *cert)
{
	struct cur bc = der_take(&value, DER_SEQUENCE);

	if (der_next_is(&bc, DER_BOOLEAN)) {
		struct cur ca = der_take(&bc, DER_BOOLEAN);
		if (!der_equal(&ca, "\xff", 1))
			return false;
		cert->ca = true;
	}
	if (der_next_is(&bc, DER_INTEGER)) {
		struct cur n = der_uint(&bc);
		if (n.left > 2)
			return false;
		cert->has_path_len = true;
		while (n.left > 0)
			cert->path_len = cert->path_len << 8 | cur_u8(&n);
	}
	return cur_done(&bc) && cur_done(&value);
}

static bool parse_key_usage(struct cur value, struct ca_cert *cert)
{
	struct cur bits = der_take(&value, DER_BIT_STRING);
	uint8_t unused = cur_u8(&bits), first = cur_u8(&bits);
	uint8_t second = bits.left ? cur_u8(&bits) : 0;
	uint8_t padding = (uint8_t)((1u << unused % 8) - 1);

	/* Nine bits at most; unused ones are zero (X.690 section 11.2.1). */
	if (unused > 7 || !cur_done(&bits) || !cur_done(&value) ||
		((second ? second : first) & padding))
		return false;
	cert->key_cert_sign = first & 0x04;
	return true;
}

static bool parse_ski(struct cur value, struct ca_cert *cert)
{
	struct cur id = der_take(&value, DER_OCTET_STRING);

	if (id.bad || id.left == 0 || !cur_done(&value))
		return false;
	cert->ski = id.at;
	cert->ski_len = id.left;
	return true;
}

static bool parse_extension(struct cur ext, struct ca_cert *cert)
{
	struct cur oid = der_take(&ext, DER_OID);

	if (der_next_is(&ext, DER_BOOLEAN)) {
		struct cur critical = der_take(&ext, DER_BOOLEAN);
		if (critical.left != 1 || (critical.at[0] != 0xff && critical.at[0] != 0))
			return false;
	}
	struct cur value = der_take(&ext, DER_OCTET_STRING);
	if (ext.bad || !cur_done(&ext) || oid.left == 0)
		return false;
	if (oid_is_ext(&oid, 19))
		return parse_basic_constraints(value, cert);
	if (oid_is_ext(&oid, 15))
		return parse_key_usage(value, cert);
	if (oid_is_ext(&oid, 14))
		return parse_ski(value, cert);
	return true;
}

static enum rc parse_extensions(struct cur *tbs, struct ca_cert *cert, struct diag *d)
{
	if (der_next_is(tbs, DER_CONTEXT(1))) /* issuerUniqueID, subjectUniqueID */
		(void)der_take(tbs, DER_CONTEXT(1));
	if (der_next_is(tbs, DER_CONTEXT(2)))
		(void)der_take(tbs, DER_CONTEXT(2));
	if (tbs->left == 0 && !tbs->bad)
		return RC_OK; /* v3 without extensions is odd, not wrong */
	struct cur wrap = der_take(tbs, DER_CONTEXT_CONS(3));
	struct cur list = der_take(&wrap, DER_SEQUENCE);
	size_t count = 0;
	if (list.bad || list.left == 0 || !cur_done(&wrap) || !cur_done(tbs))
		return malformed(d, "extensions");
	while (list.left > 0) {
		struct cur ext = der_take(&list, DER_SEQUENCE);
		if (++count > EXTENSIONS_MAX || ext.bad || !parse_extension(ext, cert))
			return malformed(d, "extensions");
	}
	return RC_OK;
}

static bool parse_spki(struct cur *tbs, struct ca_cert *cert)
{
	struct cur whole = der_whole(tbs, DER_SEQUENCE), c = whole;
	struct cur body = der_take(&c, DER_SEQUENCE);
	struct cur alg = der_take(&body, DER_SEQUENCE);
	struct cur oid = der_take(&alg, DER_OID);
	struct cur bits = der_bits(&body);

	if (oid.bad || oid.left == 0 || bits.bad || !cur_done(&body))
		return false;
	cert->spki = whole.at;
	cert->spki_len = whole.left;
	if (whole.left == CA_SPKI_LEN &&
		memcmp(whole.at, ca_spki_prefix, CA_SPKI_PREFIX_LEN) == 0 && bits.at[0] == 0x04)
		cert->point = bits.at;
	return true;
}

static enum rc parse_tbs(
	struct cur whole, struct cur *inner_alg, struct ca_cert *cert, struct diag *d)
{
	struct cur tbs = der_take(&whole, DER_SEQUENCE);
	struct cur wrap = der_take(&tbs, DER_CONTEXT_CONS(0));
	struct cur version = der_uint(&wrap);

	if (!cur_done(&wrap) || !der_equal(&version, "\2", 1))
		return diag_set(d, RC_UNSUPPORTED, "certificate: version: only v3");
	struct cur serial = der_take(&tbs, DER_INTEGER);
	if (serial.bad || serial.left == 0 || serial.left > 32)
		return malformed(d, "serialNumber");
	cert->serial = serial.at;
	cert->serial_len = serial.left;
	*inner_alg = der_take(&tbs, DER_SEQUENCE);
	struct cur issuer = der_whole(&tbs, DER_SEQUENCE);
	if (inner_alg->bad || issuer.bad)
		return malformed(d, "issuer");
	struct cur validity = der_take(&tbs, DER_SEQUENCE);
	cert->not_before = der_time(&validity);
	cert->not_after = der_time(&validity);
	if (!cur_done(&validity))
		return malformed(d, "validity");
	struct cur subject = der_whole(&tbs, DER_SEQUENCE);
	if (subject.bad)
		return malformed(d, "subject");
	if (!parse_spki(&tbs, cert))
		return malformed(d, "subjectPublicKeyInfo");
	cert->issuer = issuer.at;
	cert->issuer_len = issuer.left;
	cert->subject = subject.at;
	cert->subject_len = subject.left;
	return parse_extensions(&tbs, cert, d);
}

enum rc ca_cert_parse(const uint8_t *der, size_t len, struct ca_cert *out, struct diag *d)
{
	struct ca_cert cert = { .der = der, .der_len = len, .key_cert_sign = true };
	struct cur c = cur_init(der, len), inner_alg = { 0 };

	if (len > CA_CERT_READ)
		return diag_set(
			d, RC_TOO_LARGE, "certificate: %zu bytes, at most %d", len, CA_CERT_READ);
	struct cur body = der_take(&c, DER_SEQUENCE);
	bool shape = !body.bad && cur_done(&c) && der_next_is(&body, DER_SEQUENCE);
	struct cur tbs = der_whole(&body, DER_SEQUENCE), peek = tbs;
	peek = der_take(&peek, DER_SEQUENCE);
	if (!shape || tbs.bad || !der_next_is(&peek, DER_CONTEXT_CONS(0)))
		return refuse_shape(der, len, d);
	struct cur alg = der_take(&body, DER_SEQUENCE);
	struct cur sig = der_bits(&body);
	if (alg.bad || sig.bad || sig.left == 0 || !cur_done(&body))
		return malformed(d, "signature");
	enum rc rc = parse_tbs(tbs, &inner_alg, &cert, d);
	if (rc != RC_OK)
		return rc;
	if (!der_equal(&inner_alg, alg.at, alg.left))
		return diag_set(d, RC_MALFORMED,
			"certificate: the two signature algorithms differ (RFC 5280 section "
			"4.1.1.2)");
	cert.ecdsa_sha256 = der_equal(&alg, alg_ecdsa_sha256, sizeof(alg_ecdsa_sha256));
	cert.tbs = tbs.at;
	cert.tbs_len = tbs.left;
	cert.sig = sig.at;
	cert.sig_len = sig.left;
	*out = cert;
	return RC_OK;
}

enum rc ca_cert_signed_by(struct ca_crypt *x, const struct ca_cert *cert,
	const struct ca_cert *parent, struct diag *d)
{
	uint8_t digest[CA_SHA256_LEN];
	enum rc rc;

	if (cert->issuer_len != parent->subject_len ||
		memcmp(cert->issuer, parent->subject, cert->issuer_len) != 0)
		return diag_set(d, RC_SIGNATURE, "certificate: issuer is not the parent's subject");
	if (!cert->ecdsa_sha256 || !parent->point)
		return diag_set(
			d, RC_UNSUPPORTED, "certificate: only ecdsa-with-SHA256 under a P-256 key");
	rc = ca_sha256(x, cert->tbs, cert->tbs_len, digest);
	if (rc == RC_OK)
		rc = ca_verify(x, parent->point, digest, cert->sig, cert->sig_len);
	if (rc != RC_OK)
		return diag_set(d, rc, "certificate: signature does not verify");
	return RC_OK;
}

enum rc ca_issuer_init(struct ca_issuer *out, const struct ca_key *key, const uint8_t *cert,
	size_t cert_len, struct diag *d)
{
	struct ca_issuer issuer = { .key = key, .cert_len = cert_len };
	struct ca_cert c;

	if (cert_len > sizeof(issuer.cert))
		return diag_set(d, RC_TOO_LARGE, "CA certificate: %zu bytes, at most %d", cert_len,
			CA_CERT_MAX);
	enum rc rc = ca_cert_parse(cert, cert_len, &c, d);
	if (rc != RC_OK)
		return rc;
	if (!c.point || memcmp(c.point, key->point, CA_POINT_LEN) != 0)
		return diag_set(d, RC_CONFLICT, "CA certificate: of another key");
	if (!c.ca || !c.key_cert_sign)
		return diag_set(
			d, RC_RANGE, "CA certificate: may not sign certificates (CA, keyCertSign)");
	if (!c.ski || c.ski_len > sizeof(issuer.ski) || c.subject_len > sizeof(issuer.dn))
		return diag_set(d, RC_RANGE,
			"CA certificate: needs a subjectKeyIdentifier of up to %zu bytes and a "
			"subject of up to %zu",
			sizeof(issuer.ski), sizeof(issuer.dn));
	memcpy(issuer.cert, cert, cert_len);
	memcpy(issuer.dn, c.subject, c.subject_len);
	issuer.dn_len = c.subject_len;
	memcpy(issuer.ski, c.ski, c.ski_len);
	issuer.ski_len = c.ski_len;
	issuer.not_before = c.not_before;
	issuer.not_after = c.not_after;
	*out = issuer;
	return RC_OK;
}
