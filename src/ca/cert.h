/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Certificates: one table of profiles says which extensions each carries, one
 * writer puts them on bytes, and a strict reader takes apart what others give
 * us. The writer never copies a name or an extension from a request. */

#include "ca/crypt.h"

#define CA_CERT_MAX   2048  /* what we make; a device certificate is about 560 bytes */
#define CA_CERT_READ  16384 /* what we read: an ASP's chain may hold RSA 4096 and policies */
#define CA_SERIAL_LEN 16    /* RFC 5280 section 4.1.2.2: at most 20, unique */
#define CA_DN_MAX     256
#define CA_SAN_MAX    8
/* How long a certificate may live at most, whatever is asked for; never beyond its issuer. */
#define CA_LEAF_DAYS_MAX   825 /* parties and servers: what browsers took longest */
#define CA_DEVICE_DAYS_MAX 3650

enum ca_profile {
	CA_ROOT,	  /* registry root */
	CA_ISSUING,	  /* issuing CA: pathlen 0, SAN dNSName = zone apex */
	CA_PARTY_CA,	  /* own anchor of the people and systems that log in */
	CA_PAYLOAD,	  /* payload signer (container C) */
	CA_DEVICE,	  /* kind uta-iot */
	CA_DEVICE_DEVKIT, /* kind devkit */
	CA_PARTY,	  /* client certificate of a party */
	CA_SERVER,	  /* TLS server of the registry */
	CA_PROFILE_COUNT
};

struct ca_ip {
	uint8_t addr[16];
	uint8_t len; /* 4 or 16 */
};

/* What a certificate shall say. Borrowed by the writer. */
struct ca_cert_spec {
	enum ca_profile profile;
	const char *cn;
	const char *o, *ou, *serial_number; /* NULL or "": absent */
	const char *dns[CA_SAN_MAX];	    /* SAN dNSName */
	size_t dns_count;
	struct ca_ip ip[CA_SAN_MAX]; /* SAN iPAddress */
	size_t ip_count;
	int64_t not_before, not_after; /* seconds since 1970, both included (RFC 5280) */
	const uint8_t *spki;	       /* CA_SPKI_LEN */
	uint8_t serial[CA_SERIAL_LEN]; /* from ca_serial_next */
	bool ra;		       /* CA_PARTY: EKU id-kp-cmcRA too (RFC 6402 section 2.10) */
};

/* A certificate taken apart; pointers borrow from its DER. */
struct ca_cert {
	const uint8_t *der, *tbs, *serial, *issuer, *subject, *spki, *sig;
	size_t der_len, tbs_len, serial_len, issuer_len, subject_len, spki_len, sig_len;
	int64_t not_before, not_after;
	const uint8_t *point; /* CA_POINT_LEN when the key is P-256, else NULL */
	const uint8_t *ski;   /* NULL: none */
	size_t ski_len;
	bool ecdsa_sha256; /* signed so */
	bool ca;
	bool has_path_len;
	uint32_t path_len;
	bool key_cert_sign; /* keyUsage has it, or there is no keyUsage */
};

/* An issuer: its key and what its certificate says. Read-only once made. */
struct ca_issuer {
	const struct ca_key *key; /* borrowed */
	uint8_t cert[CA_CERT_MAX];
	size_t cert_len;
	uint8_t dn[CA_DN_MAX]; /* subject, DER Name */
	size_t dn_len;
	uint8_t ski[32];
	size_t ski_len;
	int64_t not_before, not_after;
};

/* Random, positive, always CA_SERIAL_LEN octets without a sign octet. */
enum rc ca_serial_next(uint8_t out[CA_SERIAL_LEN]) ATT_MUST_CHECK;

/* Writes and signs. `out` holds CA_CERT_MAX. Refuses (RC_RANGE) names that are too long or not
 * printable ASCII, a validity outside the issuer's, or longer than the profile allows. */
enum rc ca_cert_write(struct ca_crypt *x, const struct ca_issuer *issuer,
	const struct ca_cert_spec *spec, uint8_t *out, size_t *len, struct diag *d) ATT_MUST_CHECK;
/* The same, self-signed: CA_ROOT and CA_PARTY_CA. */
enum rc ca_cert_write_self(struct ca_crypt *x, const struct ca_key *key,
	const struct ca_cert_spec *spec, uint8_t *out, size_t *len, struct diag *d) ATT_MUST_CHECK;

/* Exactly one X.509 v3 Certificate, complete: a TBSCertificate, CSR or CRL is refused by name
 * (RC_UNSUPPORTED), anything else RC_MALFORMED or RC_TOO_LARGE. No signature is checked. */
enum rc ca_cert_parse(
	const uint8_t *der, size_t len, struct ca_cert *out, struct diag *d) ATT_MUST_CHECK;
/* Whether `cert` names and is signed by `parent` (ecdsa-with-SHA256 under P-256 only). */
enum rc ca_cert_signed_by(struct ca_crypt *x, const struct ca_cert *cert,
	const struct ca_cert *parent, struct diag *d) ATT_MUST_CHECK;

/* From a CA certificate and its key; refuses a certificate of another key, without CA bit,
 * keyCertSign or SubjectKeyIdentifier. */
enum rc ca_issuer_init(struct ca_issuer *out, const struct ca_key *key, const uint8_t *cert,
	size_t cert_len, struct diag *d) ATT_MUST_CHECK;
