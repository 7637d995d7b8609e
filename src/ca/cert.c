/* SPDX-License-Identifier: Apache-2.0 */
#include "ca/cert.h"
#include "base/der.h"

#include <openssl/rand.h>
#include <string.h>

#define DAY INT64_C(86400)

enum profile_flag {
	HAS_CA = 1 << 0,
	HAS_PATH_LEN_0 = 1 << 1,
	HAS_SKI = 1 << 2,
	HAS_AKI = 1 << 3,
	HAS_SAN = 1 << 4,
	HAS_CLIENT_AUTH = 1 << 5,
	HAS_SERVER_AUTH = 1 << 6,
};

#define KU_DIGITAL_SIGNATURE 0x80
#define KU_KEY_CERT_SIGN     0x04
#define KU_CRL_SIGN	     0x02

/* Design section 6; RFC 5280 section 4.2; draft-ietf-uta-tls13-iot-profile section 15. Kind devkit
 * carries what its fielded readers know: AKI and SKI, nothing else. */
static const struct {
	unsigned flags;
	uint8_t key_usage; /* 0: none */
	int days_max;	   /* 0: the issuer's validity bounds it */
} profiles[CA_PROFILE_COUNT] = {
	[CA_ROOT] = { HAS_CA | HAS_SKI, KU_KEY_CERT_SIGN | KU_CRL_SIGN, 0 },
	[CA_ISSUING] = { HAS_CA | HAS_PATH_LEN_0 | HAS_SKI | HAS_AKI | HAS_SAN,
		KU_DIGITAL_SIGNATURE | KU_KEY_CERT_SIGN | KU_CRL_SIGN, 0 },
	[CA_PARTY_CA] = { HAS_CA | HAS_PATH_LEN_0 | HAS_SKI, KU_KEY_CERT_SIGN | KU_CRL_SIGN, 0 },
	[CA_PAYLOAD] = { HAS_AKI, KU_DIGITAL_SIGNATURE, 0 },
	[CA_DEVICE] = { HAS_AKI | HAS_SAN | HAS_CLIENT_AUTH, KU_DIGITAL_SIGNATURE,
		CA_DEVICE_DAYS_MAX },
	[CA_DEVICE_DEVKIT] = { HAS_AKI | HAS_SKI, 0, CA_DEVICE_DAYS_MAX },
	[CA_PARTY] = { HAS_AKI | HAS_CLIENT_AUTH, KU_DIGITAL_SIGNATURE, CA_LEAF_DAYS_MAX },
	[CA_SERVER] = { HAS_AKI | HAS_SAN | HAS_SERVER_AUTH, KU_DIGITAL_SIGNATURE,
		CA_LEAF_DAYS_MAX },
};

static const uint8_t oid_ecdsa_sha256[] = { 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02 };
static const uint8_t eku_server[] = { 0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x03, 0x01 };
static const uint8_t eku_cmc_ra[] = { 0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x03, 0x1c };
static const uint8_t eku_client[] = { 0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x03, 0x02 };

/* The last octet of an attribute type 2.5.4.n or an extension 2.5.29.n. */
enum { AT_CN = 3, AT_SERIAL = 5, AT_O = 10, AT_OU = 11 };
enum { EXT_SKI = 14, EXT_KU = 15, EXT_SAN = 17, EXT_BC = 19, EXT_AKI = 35, EXT_EKU = 37 };

/* RFC 7093 section 2, method 1: the leftmost 160 bits of the SHA-256 of the key. */
#define SKI_LEN 20

static void put_algorithm(struct put *p)
{
	size_t alg = der_open(p, DER_SEQUENCE);

	der_put(p, DER_OID, oid_ecdsa_sha256, sizeof(oid_ecdsa_sha256));
	der_close(p, alg);
}

static void put_attribute(struct put *p, uint8_t type, unsigned tag, const char *value)
{
	const uint8_t oid[] = { 0x55, 0x04, type };

	if (!value || !*value)
		return;
	size_t rdn = der_open(p, DER_SET), atv = der_open(p, DER_SEQUENCE);
	der_put(p, DER_OID, oid, sizeof(oid));
	der_put_str(p, tag, value);
	der_close(p, atv);
	der_close(p, rdn);
}

static void put_subject(struct put *p, const struct ca_cert_spec *spec)
{
	size_t dn = der_open(p, DER_SEQUENCE);

	put_attribute(p, AT_O, DER_UTF8, spec->o);
	put_attribute(p, AT_OU, DER_UTF8, spec->ou);
	put_attribute(p, AT_CN, DER_UTF8, spec->cn);
	put_attribute(p, AT_SERIAL, DER_PRINTABLE, spec->serial_number);
	der_close(p, dn);
}

/* Opens Extension { extnID, critical, OCTET STRING }; marks[] are for close_extension. */
static void open_extension(struct put *p, uint8_t id, bool critical, size_t marks[2])
{
	const uint8_t oid[] = { 0x55, 0x1d, id };

	marks[0] = der_open(p, DER_SEQUENCE);
	der_put(p, DER_OID, oid, sizeof(oid));
	if (critical)
		der_put(p, DER_BOOLEAN, "\xff", 1);
	marks[1] = der_open(p, DER_OCTET_STRING);
}

static void close_extension(struct put *p, const size_t marks[2])
{
	der_close(p, marks[1]);
	der_close(p, marks[0]);
}

static void put_basic_constraints(struct put *p, bool path_len_0)
{
	size_t ext[2];

	open_extension(p, EXT_BC, true, ext);
	size_t bc = der_open(p, DER_SEQUENCE);
	der_put(p, DER_BOOLEAN, "\xff", 1);
	if (path_len_0)
		der_put_uint(p, NULL, 0);
	der_close(p, bc);
	close_extension(p, ext);
}

static void put_key_usage(struct put *p, uint8_t bits)
{
	uint8_t unused = 0;
	size_t ext[2];

	while (!((bits >> unused) & 1)) /* X.680 named bits: trailing zeros are cut */
		unused++;
	open_extension(p, EXT_KU, true, ext);
	der_put(p, DER_BIT_STRING, (const uint8_t[]){ unused, bits }, 2);
	close_extension(p, ext);
}

static void put_eku(struct put *p, const uint8_t oid[8], const uint8_t *also)
{
	size_t ext[2];

	open_extension(p, EXT_EKU, false, ext);
	size_t seq = der_open(p, DER_SEQUENCE);
	der_put(p, DER_OID, oid, 8);
	if (also)
		der_put(p, DER_OID, also, 8);
	der_close(p, seq);
	close_extension(p, ext);
}

static void put_san(struct put *p, const struct ca_cert_spec *spec)
{
	size_t ext[2];

	open_extension(p, EXT_SAN, false, ext);
	size_t names = der_open(p, DER_SEQUENCE);
	for (size_t i = 0; i < spec->dns_count; i++)
		der_put_str(p, DER_CONTEXT(2), spec->dns[i]);
	for (size_t i = 0; i < spec->ip_count; i++)
		der_put(p, DER_CONTEXT(7), spec->ip[i].addr, spec->ip[i].len);
	der_close(p, names);
	close_extension(p, ext);
}

static void put_ski(struct put *p, const uint8_t *id, size_t len)
{
	size_t ext[2];

	open_extension(p, EXT_SKI, false, ext);
	der_put(p, DER_OCTET_STRING, id, len);
	close_extension(p, ext);
}

static void put_aki(struct put *p, const struct ca_issuer *issuer)
{
	size_t ext[2];

	open_extension(p, EXT_AKI, false, ext);
	size_t seq = der_open(p, DER_SEQUENCE);
	der_put(p, DER_CONTEXT(0), issuer->ski, issuer->ski_len);
	der_close(p, seq);
	close_extension(p, ext);
}

static enum rc put_extensions(struct put *p, struct ca_crypt *x, const struct ca_issuer *issuer,
	const struct ca_cert_spec *spec)
{
	unsigned flags = profiles[spec->profile].flags;
	uint8_t key_id[CA_SHA256_LEN];
	enum rc rc = RC_OK;
	size_t outer = der_open(p, DER_CONTEXT_CONS(3)), list = der_open(p, DER_SEQUENCE);

	if (flags & HAS_CA)
		put_basic_constraints(p, flags & HAS_PATH_LEN_0);
	if (profiles[spec->profile].key_usage)
		put_key_usage(p, profiles[spec->profile].key_usage);
	if (flags & HAS_CLIENT_AUTH)
		put_eku(p, eku_client, spec->ra ? eku_cmc_ra : NULL);
	if (flags & HAS_SERVER_AUTH)
		put_eku(p, eku_server, NULL);
	if (flags & HAS_SAN)
		put_san(p, spec);
	if (flags & HAS_SKI) {
		rc = ca_sha256(x, spec->spki + CA_SPKI_PREFIX_LEN, CA_POINT_LEN, key_id);
		put_ski(p, key_id, SKI_LEN);
	}
	if (flags & HAS_AKI)
		put_aki(p, issuer);
	der_close(p, list);
	der_close(p, outer);
	return rc;
}

/* ub-common-name, ub-organization-name: 64 (RFC 5280 appendix A.1). What is not printable ASCII
 * has no business in a handle or an owner name. */
static enum rc check_text(const char *field, const char *text, bool required, struct diag *d)
{
	size_t len = text ? strlen(text) : 0;

	if ((required && len == 0) || len > CA_NAME_MAX)
		return diag_set(d, RC_RANGE,
			"certificate: %s: 1 to 64 characters (RFC 5280 appendix A)", field);
	for (size_t i = 0; i < len; i++)
		if (text[i] < 0x20 || text[i] > 0x7e)
			return diag_set(
				d, RC_RANGE, "certificate: %s: printable ASCII only", field);
	return RC_OK;
}

static enum rc check_names(const struct ca_cert_spec *spec, struct diag *d)
{
	bool san = profiles[spec->profile].flags & HAS_SAN;
	enum rc rc = check_text("CN", spec->cn, true, d);

	if (rc == RC_OK)
		rc = check_text("O", spec->o, false, d);
	if (rc == RC_OK)
		rc = check_text("OU", spec->ou, false, d);
	if (rc == RC_OK)
		rc = check_text("serialNumber", spec->serial_number, false, d);
	if (rc != RC_OK)
		return rc;
	if (san != (spec->dns_count + spec->ip_count > 0) || spec->dns_count > CA_SAN_MAX ||
		spec->ip_count > CA_SAN_MAX)
		return diag_set(d, RC_RANGE, "certificate: SAN: one to %d names", CA_SAN_MAX);
	for (size_t i = 0; rc == RC_OK && i < spec->dns_count; i++)
		rc = check_text("SAN", spec->dns[i], true, d);
	return rc;
}

static enum rc check_validity(
	const struct ca_issuer *issuer, const struct ca_cert_spec *spec, struct diag *d)
{
	int days = profiles[spec->profile].days_max;

	if (spec->not_after <= spec->not_before)
		return diag_set(d, RC_RANGE, "certificate: validity: ends before it begins");
	if (days && spec->not_after - spec->not_before > days * DAY)
		return diag_set(d, RC_RANGE, "certificate: validity: more than %d days", days);
	if (issuer->cert_len > 0 &&
		(spec->not_before < issuer->not_before || spec->not_after > issuer->not_after))
		return diag_set(d, RC_RANGE,
			"certificate: validity: not within the issuing CA's own (RFC 5280 section "
			"6.1.3)");
	return RC_OK;
}

static enum rc write_tbs(struct put *p, struct ca_crypt *x, const struct ca_issuer *issuer,
	const struct ca_cert_spec *spec)
{
	size_t tbs = der_open(p, DER_SEQUENCE);
	size_t version = der_open(p, DER_CONTEXT_CONS(0));

	der_put_uint(p, (const uint8_t *)"\2", 1); /* v3 */
	der_close(p, version);
	der_put_uint(p, spec->serial, CA_SERIAL_LEN);
	put_algorithm(p);
	if (issuer->dn_len > 0)
		put_bytes(p, issuer->dn, issuer->dn_len);
	else
		put_subject(p, spec);
	size_t validity = der_open(p, DER_SEQUENCE);
	der_put_time(p, spec->not_before);
	der_put_time(p, spec->not_after);
	der_close(p, validity);
	put_subject(p, spec);
	put_bytes(p, spec->spki, CA_SPKI_LEN);
	enum rc rc = put_extensions(p, x, issuer, spec);
	der_close(p, tbs);
	return rc;
}

enum rc ca_cert_write(struct ca_crypt *x, const struct ca_issuer *issuer,
	const struct ca_cert_spec *spec, uint8_t *out, size_t *len, struct diag *d)
{
	uint8_t digest[CA_SHA256_LEN], sig[CA_SIG_DER_MAX];
	struct put p = put_init(out, CA_CERT_MAX);
	size_t sig_len = 0;
	enum rc rc = check_names(spec, d);

	if (rc == RC_OK)
		rc = check_validity(issuer, spec, d);
	if (rc != RC_OK)
		return rc;
	size_t cert = der_open(&p, DER_SEQUENCE);
	rc = write_tbs(&p, x, issuer, spec);
	if (rc == RC_OK && !put_ok(&p))
		return diag_set(d, RC_TOO_LARGE, "certificate: more than %d bytes", CA_CERT_MAX);
	if (rc == RC_OK)
		rc = ca_sha256(x, out + cert, p.len - cert, digest);
	if (rc == RC_OK)
		rc = ca_sign_der(x, issuer->key, digest, sig, &sig_len);
	if (rc != RC_OK)
		return diag_set(d, rc, "certificate: signing failed");
	put_algorithm(&p);
	der_put_bits(&p, sig, sig_len);
	der_close(&p, cert);
	if (!put_ok(&p))
		return diag_set(d, RC_TOO_LARGE, "certificate: more than %d bytes", CA_CERT_MAX);
	*len = p.len;
	return RC_OK;
}

enum rc ca_cert_write_self(struct ca_crypt *x, const struct ca_key *key,
	const struct ca_cert_spec *spec, uint8_t *out, size_t *len, struct diag *d)
{
	struct ca_issuer self = { .key = key };

	if (profiles[spec->profile].flags & HAS_AKI ||
		memcmp(spec->spki, key->spki, CA_SPKI_LEN) != 0)
		return diag_set(
			d, RC_STATE, "certificate: only a root or the party CA signs itself");
	return ca_cert_write(x, &self, spec, out, len, d);
}

enum rc ca_serial_next(uint8_t out[CA_SERIAL_LEN])
{
	if (RAND_bytes(out, CA_SERIAL_LEN) != 1)
		return RC_CRYPTO;
	/* Positive, and always of the same length: 126 random bits. */
	out[0] = (uint8_t)((out[0] & 0x7f) | 0x40);
	return RC_OK;
}
