/* SPDX-License-Identifier: Apache-2.0 */
#include "ca/csr.h"
#include "base/der.h"

#include <stdio.h>
#include <string.h>

#define RULE "formats 3, RFC 2986 section 4.1"

/* Object identifiers, content octets. */
static const uint8_t oid_cn[] = { 0x55, 0x04, 0x03 };
static const uint8_t oid_ec[] = { 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01 };
static const uint8_t oid_rsa[] = { 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01 };
static const uint8_t oid_ed25519[] = { 0x2b, 0x65, 0x70 };
static const uint8_t oid_p256[] = { 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07 };
static const uint8_t oid_p384[] = { 0x2b, 0x81, 0x04, 0x00, 0x22 };
static const uint8_t oid_p521[] = { 0x2b, 0x81, 0x04, 0x00, 0x23 };
static const uint8_t oid_k256[] = { 0x2b, 0x81, 0x04, 0x00, 0x0a };
static const uint8_t oid_bp256[] = { 0x2b, 0x24, 0x03, 0x03, 0x02, 0x08, 0x01, 0x01, 0x07 };
static const uint8_t oid_ecdsa_sha256[] = { 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02 };
static const uint8_t oid_challenge[] = { 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x09, 0x07 };
static const uint8_t oid_ext_request[] = { 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x09, 0x0e };
/* 2.25.339676002348307032802535040727878614786 and one more arc (.1, .2) */
static const uint8_t oid_ours[] = { 0x69, 0x83, 0xff, 0x8b, 0x9b, 0xfa, 0xe3, 0xc0, 0xa2, 0x9d,
	0x83, 0xab, 0xd7, 0xba, 0x8e, 0xb3, 0xde, 0xe8, 0xfe, 0x02 };

struct known_oid {
	const uint8_t *oid;
	size_t len;
	const char *name;
};
#define OID(o, n)                 \
	{                         \
		(o), sizeof(o), n \
	}

static const struct known_oid algorithms[] = { OID(oid_rsa, "rsaEncryption"),
	OID(oid_ed25519, "Ed25519") };
static const struct known_oid curves[] = { OID(oid_p384, "secp384r1"), OID(oid_p521, "secp521r1"),
	OID(oid_k256, "secp256k1"), OID(oid_bp256, "brainpoolP256r1") };
static const struct known_oid attributes[] = { OID(oid_challenge, "challengePassword"),
	OID(oid_ext_request, "extensionRequest") };

static const char *name_of(const struct known_oid *known, size_t count, const struct cur *oid)
{
	for (size_t i = 0; i < count; i++)
		if (der_equal(oid, known[i].oid, known[i].len))
			return known[i].name;
	return "another";
}
#define NAME_OF(known, oid) name_of(known, ARRAY_LEN(known), oid)

static enum rc malformed(struct diag *d, const char *field, const char *rule)
{
	return diag_set(d, RC_MALFORMED, "csr: %s: %s (" RULE ")", field, rule);
}

/* Name ::= one RDN of one CN, UTF8String or PrintableString. */
static enum rc parse_subject(struct cur *info, struct ca_csr *csr, struct diag *d)
{
	struct cur name = der_take(info, DER_SEQUENCE);
	struct cur rdn = der_take(&name, DER_SET);
	struct cur atv = der_take(&rdn, DER_SEQUENCE);
	struct cur oid = der_take(&atv, DER_OID);
	uint8_t tag;
	struct cur value = der_any(&atv, &tag);

	if (atv.bad || !cur_done(&atv) || !cur_done(&rdn) || !cur_done(&name))
		return malformed(d, "subject", "exactly one RDN with one attribute");
	if (!der_equal(&oid, oid_cn, sizeof(oid_cn)))
		return malformed(d, "subject", "the attribute must be CN (2.5.4.3)");
	if (tag != DER_UTF8 && tag != DER_PRINTABLE)
		return malformed(d, "subject.CN", "UTF8String or PrintableString");
	if (value.left == 0 || value.left > CA_NAME_MAX)
		return malformed(d, "subject.CN", "1 to 64 characters");
	for (size_t i = 0; i < value.left; i++) {
		if (value.at[i] < 0x20 || value.at[i] > 0x7e)
			return malformed(d, "subject.CN", "printable ASCII only");
		csr->name[i] = (char)value.at[i];
	}
	csr->name[value.left] = '\0';
	return RC_OK;
}

/* SubjectPublicKeyInfo of P-256, uncompressed: the whole and the point. */
static enum rc parse_spki(struct cur *from, const char *field, const uint8_t **spki, struct diag *d)
{
	struct cur whole = der_whole(from, DER_SEQUENCE), c = whole;
	struct cur body = der_take(&c, DER_SEQUENCE);
	struct cur alg = der_take(&body, DER_SEQUENCE);
	struct cur oid = der_take(&alg, DER_OID);

	if (alg.bad || body.bad)
		return malformed(d, field, "not a SubjectPublicKeyInfo");
	if (!der_equal(&oid, oid_ec, sizeof(oid_ec)))
		return diag_set(d, RC_UNSUPPORTED,
			"csr: %s.algorithm: %s, only id-ecPublicKey on P-256 (formats 3)", field,
			NAME_OF(algorithms, &oid));
	if (!der_next_is(&alg, DER_OID))
		return diag_set(d, RC_UNSUPPORTED,
			"csr: %s.parameters: only a named curve (RFC 5480 section 2.1.1)", field);
	struct cur curve = der_take(&alg, DER_OID);
	if (!alg.bad && !der_equal(&curve, oid_p256, sizeof(oid_p256)))
		return diag_set(d, RC_UNSUPPORTED,
			"csr: %s.parameters: curve %s, only prime256v1 (formats 3)", field,
			NAME_OF(curves, &curve));
	struct cur bits = der_bits(&body);
	if (!cur_done(&alg) || bits.bad || !cur_done(&body) || bits.left == 0)
		return malformed(d, field, "not a SubjectPublicKeyInfo");
	if (bits.left != CA_POINT_LEN || bits.at[0] != 0x04)
		return diag_set(d, RC_UNSUPPORTED,
			"csr: %s.subjectPublicKey: only an uncompressed point (RFC 5480 section "
			"2.2)",
			field);
	if (whole.left != CA_SPKI_LEN || memcmp(whole.at, ca_spki_prefix, CA_SPKI_PREFIX_LEN) != 0)
		return malformed(d, field, "not the DER of a P-256 key");
	*spki = whole.at;
	return RC_OK;
}

/* SEQUENCE { OCTET STRING S, OCTET STRING (64) r||s } */
static enum rc parse_attestation(struct cur *value, struct ca_csr *csr, struct diag *d)
{
	struct cur seq = der_take(value, DER_SEQUENCE);
	struct cur s = der_take(&seq, DER_OCTET_STRING);
	struct cur sig = der_take(&seq, DER_OCTET_STRING);

	if (seq.bad || !cur_done(&seq) || s.left == 0 || sig.left != 64)
		return malformed(d, "attributes.attestation",
			"SEQUENCE of a statement and a signature of 64 octets");
	csr->attest = s.at;
	csr->attest_len = s.left;
	csr->attest_sig = sig.at;
	return RC_OK;
}

static enum rc parse_attribute(struct cur whole, struct ca_csr *csr, struct diag *d)
{
	struct cur attr = der_take(&whole, DER_SEQUENCE);
	struct cur oid = der_take(&attr, DER_OID);
	struct cur values = der_take(&attr, DER_SET);
	const uint8_t *b_spki = NULL;
	uint8_t arc = 0;
	enum rc rc;

	if (attr.bad || !cur_done(&attr))
		return malformed(d, "attributes", "an Attribute is an OID and a SET of values");
	if (oid.left == sizeof(oid_ours) + 1 && memcmp(oid.at, oid_ours, sizeof(oid_ours)) == 0)
		arc = oid.at[sizeof(oid_ours)];
	if (arc == 1) {
		rc = parse_spki(&values, "attributes.key-agreement", &b_spki, d);
		if (rc == RC_OK)
			csr->b_point = b_spki + CA_SPKI_PREFIX_LEN;
	} else if (arc == 2) {
		rc = parse_attestation(&values, csr, d);
	} else {
		return diag_set(d, RC_UNSUPPORTED,
			"csr: attributes: %s attribute, none but key-agreement (.1) and "
			"attestation (.2) is taken (formats 3)",
			NAME_OF(attributes, &oid));
	}
	if (rc == RC_OK && !cur_done(&values))
		return malformed(d, "attributes", "one value each");
	return rc;
}

/* X.690 section 11.6: the encodings ascend; equal ones would be a set with the same twice. */
static bool set_of_ascends(const struct cur *before, const struct cur *next)
{
	size_t n = before->left < next->left ? before->left : next->left;
	int order = n > 0 ? memcmp(before->at, next->at, n) : -1;

	return order < 0 || (order == 0 && before->left < next->left);
}

static enum rc parse_attributes(struct cur *info, struct ca_csr *csr, struct diag *d)
{
	struct cur attrs = der_take(info, DER_CONTEXT_CONS(0));
	struct cur before = cur_init(NULL, 0);

	if (attrs.bad)
		return malformed(d, "attributes", "[0] is missing");
	while (attrs.left > 0) {
		struct cur whole = der_whole(&attrs, DER_SEQUENCE);
		bool b = csr->b_point != NULL, attest = csr->attest != NULL;
		if (whole.bad)
			return malformed(d, "attributes", "not a SET OF Attribute");
		if (!set_of_ascends(&before, &whole))
			return malformed(d, "attributes", "not in DER order (X.690 section 11.6)");
		before = whole;
		enum rc rc = parse_attribute(whole, csr, d);
		if (rc != RC_OK)
			return rc;
		if (b + attest == (csr->b_point != NULL) + (csr->attest != NULL))
			return malformed(d, "attributes", "an attribute is there twice");
	}
	return RC_OK;
}

static enum rc parse_info(struct cur info, struct ca_csr *csr, struct diag *d)
{
	struct cur body = der_take(&info, DER_SEQUENCE);

	if (!der_next_is(&body, DER_INTEGER))
		return malformed(d, "version", "INTEGER 0 comes first; not a request");
	struct cur version = der_take(&body, DER_INTEGER);
	if (!der_equal(&version, "\0", 1))
		return diag_set(d, RC_UNSUPPORTED, "csr: version: only v1 (0) (" RULE ")");
	enum rc rc = parse_subject(&body, csr, d);
	if (rc == RC_OK)
		rc = parse_spki(&body, "subjectPKInfo", &csr->spki, d);
	if (rc == RC_OK)
		rc = parse_attributes(&body, csr, d);
	if (rc == RC_OK && !cur_done(&body))
		return malformed(d, "certificationRequestInfo", "bytes are left over");
	return rc;
}

/* Says how the outermost element is wrong: the case people meet is a cut file. */
static enum rc refuse_outer(const uint8_t *der, size_t len, struct diag *d)
{
	if (len == 0)
		return malformed(d, "request", "empty");
	if (der[0] != DER_SEQUENCE)
		return malformed(d, "request", "not a DER SEQUENCE (PEM? base64?)");
	struct cur head = cur_init(der + 1, len - 1);
	uint8_t first = cur_u8(&head);
	size_t want = first < 0x80    ? first
		      : first == 0x81 ? cur_u8(&head)
		      : first == 0x82 ? cur_u16(&head)
				      : 0;
	if (head.bad || want > head.left)
		return diag_set(
			d, RC_MALFORMED, "csr: truncated: %zu bytes are not all (" RULE ")", len);
	if (first > 0x82 || first == 0x80 || (first > 0x80 && want < 0x80))
		return malformed(d, "request", "length is not DER");
	return malformed(d, "request", "bytes follow the request");
}

enum rc ca_csr_parse(const uint8_t *der, size_t len, struct ca_csr *out, struct diag *d)
{
	struct ca_csr csr = { 0 };
	struct cur c = cur_init(der, len);

	if (len > CA_CSR_MAX)
		return diag_set(
			d, RC_TOO_LARGE, "csr: oversized: %zu bytes, at most %d", len, CA_CSR_MAX);
	struct cur body = der_take(&c, DER_SEQUENCE);
	if (body.bad || !cur_done(&c))
		return refuse_outer(der, len, d);
	struct cur info = der_whole(&body, DER_SEQUENCE);
	if (info.bad)
		return malformed(d, "certificationRequestInfo", "not a SEQUENCE");
	enum rc rc = parse_info(info, &csr, d);
	if (rc != RC_OK)
		return rc;
	struct cur alg = der_take(&body, DER_SEQUENCE);
	struct cur oid = der_take(&alg, DER_OID);
	struct cur sig = der_bits(&body);
	if (alg.bad || sig.bad || !cur_done(&body))
		return malformed(d, "signature", "algorithm and BIT STRING");
	if (!der_equal(&oid, oid_ecdsa_sha256, sizeof(oid_ecdsa_sha256)) || !cur_done(&alg))
		return diag_set(d, RC_UNSUPPORTED,
			"csr: signatureAlgorithm: only ecdsa-with-SHA256, without parameters "
			"(formats 3, RFC 5758 section 3.2)");
	csr.tbs = info.at;
	csr.tbs_len = info.left;
	csr.sig = sig.at;
	csr.sig_len = sig.left;
	*out = csr;
	return RC_OK;
}

enum rc ca_csr_verify(struct ca_crypt *x, const struct ca_csr *csr, struct diag *d)
{
	uint8_t digest[CA_SHA256_LEN];
	enum rc rc = ca_sha256(x, csr->tbs, csr->tbs_len, digest);

	if (rc == RC_OK)
		rc = ca_verify(x, csr->spki + CA_SPKI_PREFIX_LEN, digest, csr->sig, csr->sig_len);
	if (rc == RC_RANGE)
		return diag_set(d, rc,
			"csr: subjectPKInfo.subjectPublicKey: the point is not on P-256 (SP "
			"800-56A "
			"section 5.6.2.3)");
	if (rc == RC_SIGNATURE)
		return diag_set(d, rc,
			"csr: signature: does not verify, no proof of possession (RFC 2986 section "
			"4.2)");
	if (rc == RC_OK && csr->b_point && !ca_point_ok(x, csr->b_point))
		return diag_set(d, RC_RANGE,
			"csr: attributes.key-agreement: the point is not on P-256 (SP 800-56A "
			"section 5.6.2.3)");
	return rc;
}

static void put_info(
	struct put *p, const struct ca_key *key, const char *name, const uint8_t *b_point)
{
	size_t info = der_open(p, DER_SEQUENCE);

	der_put_uint(p, NULL, 0);
	size_t dn = der_open(p, DER_SEQUENCE), rdn = der_open(p, DER_SET);
	size_t atv = der_open(p, DER_SEQUENCE);
	der_put(p, DER_OID, oid_cn, sizeof(oid_cn));
	der_put_str(p, DER_UTF8, name);
	der_close(p, atv);
	der_close(p, rdn);
	der_close(p, dn);
	put_bytes(p, key->spki, CA_SPKI_LEN);
	size_t attrs = der_open(p, DER_CONTEXT_CONS(0));
	if (b_point) {
		size_t attr = der_open(p, DER_SEQUENCE), oid = der_open(p, DER_OID);
		put_bytes(p, oid_ours, sizeof(oid_ours));
		put_u8(p, 1);
		der_close(p, oid);
		size_t values = der_open(p, DER_SET);
		put_bytes(p, ca_spki_prefix, CA_SPKI_PREFIX_LEN);
		put_bytes(p, b_point, CA_POINT_LEN);
		der_close(p, values);
		der_close(p, attr);
	}
	der_close(p, attrs);
	der_close(p, info);
}

enum rc ca_csr_write(struct ca_crypt *x, const struct ca_key *key, const char *name,
	const uint8_t *b_point, uint8_t *out, size_t *len, struct diag *d)
{
	struct put p = put_init(out, CA_CSR_MAX);
	uint8_t digest[CA_SHA256_LEN], sig[CA_SIG_DER_MAX];
	size_t sig_len = 0;

	if (strlen(name) == 0 || strlen(name) > CA_NAME_MAX)
		return diag_set(d, RC_RANGE, "csr: subject.CN: 1 to 64 characters");
	size_t outer = der_open(&p, DER_SEQUENCE);
	size_t start = p.len;
	put_info(&p, key, name, b_point);
	if (!put_ok(&p))
		return RC_INTERNAL;
	enum rc rc = ca_sha256(x, out + start, p.len - start, digest);
	if (rc == RC_OK)
		rc = ca_sign_der(x, key, digest, sig, &sig_len);
	if (rc != RC_OK)
		return diag_set(d, rc, "csr: signing failed");
	size_t alg = der_open(&p, DER_SEQUENCE);
	der_put(&p, DER_OID, oid_ecdsa_sha256, sizeof(oid_ecdsa_sha256));
	der_close(&p, alg);
	der_put_bits(&p, sig, sig_len);
	der_close(&p, outer);
	*len = p.len;
	return put_ok(&p) ? RC_OK : RC_INTERNAL;
}
