/* SPDX-License-Identifier: Apache-2.0 */
#include "card/internal.h"

#include "base/cbor.h"
#include "base/der.h"

#include <string.h>

#define STATEMENT_MAX 160

/* 2.25.339676002348307032802535040727878614786 and one arc more. */
#define ATTESTRY_ARC                                                                              \
	0x69, 0x83, 0xff, 0x8b, 0x9b, 0xfa, 0xe3, 0xc0, 0xa2, 0x9d, 0x83, 0xab, 0xd7, 0xba, 0x8e, \
		0xb3, 0xde, 0xe8, 0xfe, 0x02

static const uint8_t oid_agreement_key[] = { ATTESTRY_ARC, 1 };
static const uint8_t oid_attestation[] = { ATTESTRY_ARC, 2 };
static const uint8_t oid_common_name[] = { 0x55, 0x04, 0x03 };
static const uint8_t oid_ecdsa_sha256[] = { 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02 };

static void put_subject(struct put *p, struct cur name)
{
	size_t rdns = der_open(p, DER_SEQUENCE);
	size_t rdn = der_open(p, DER_SET);
	size_t atv = der_open(p, DER_SEQUENCE);

	der_put(p, DER_OID, oid_common_name, sizeof(oid_common_name));
	der_put(p, DER_UTF8, name.at, name.left);
	der_close(p, atv);
	der_close(p, rdn);
	der_close(p, rdns);
}

/* Attribute .1: the public half of the key that opens the sealed Wi-Fi. */
static void put_agreement_key(struct put *p, const struct card__key *b)
{
	size_t attr = der_open(p, DER_SEQUENCE), set;
	uint8_t spki[CARD__SPKI_LEN];

	der_put(p, DER_OID, oid_agreement_key, sizeof(oid_agreement_key));
	set = der_open(p, DER_SET);
	card__key_spki(b, spki);
	put_bytes(p, spki, sizeof(spki));
	der_close(p, set);
	der_close(p, attr);
}

/* What the attestation key vouches for, formats.md section 3. */
static enum rc write_statement(
	const struct card *card, uint8_t id, const uint8_t nonce[REMOTE_NONCE_LEN], struct put *p)
{
	static const char label[] = "attestry-attest-1";
	uint8_t spki[CARD__SPKI_LEN], hash[CARD__DIGEST_LEN];
	enum rc rc;

	card__key_spki(card->state.keys[id], spki);
	rc = card__sha256(spki, sizeof(spki), hash);
	cbor_put_array(p, 6);
	cbor_put_text(p, label, sizeof(label) - 1);
	cbor_put_bytes(p, card->iccid, sizeof(card->iccid));
	if (card->has_eid)
		cbor_put_bytes(p, card->eid, sizeof(card->eid));
	else
		cbor_put_null(p);
	cbor_put_uint(p, id);
	cbor_put_bytes(p, hash, sizeof(hash));
	cbor_put_bytes(p, nonce, REMOTE_NONCE_LEN);
	return rc == RC_OK && !put_ok(p) ? RC_TOO_LARGE : rc;
}

/* Attribute .2: SEQUENCE { statement, r||s }. */
static enum rc put_attestation(
	struct put *p, const struct card *card, uint8_t id, const uint8_t nonce[REMOTE_NONCE_LEN])
{
	uint8_t bytes[STATEMENT_MAX], digest[CARD__DIGEST_LEN], sig[CARD__SIG_LEN];
	struct put s = put_init(bytes, sizeof(bytes));
	size_t attr, set, pair;
	enum rc rc;

	rc = write_statement(card, id, nonce, &s);
	if (rc == RC_OK)
		rc = card__sha256(bytes, s.len, digest);
	if (rc == RC_OK)
		rc = card__key_sign_digest(card->state.keys[CARD_ID_ATTESTATION], digest, sig);
	if (rc != RC_OK)
		return rc;
	attr = der_open(p, DER_SEQUENCE);
	der_put(p, DER_OID, oid_attestation, sizeof(oid_attestation));
	set = der_open(p, DER_SET);
	pair = der_open(p, DER_SEQUENCE);
	der_put(p, DER_OCTET_STRING, bytes, s.len);
	der_put(p, DER_OCTET_STRING, sig, sizeof(sig));
	der_close(p, pair);
	der_close(p, set);
	der_close(p, attr);
	return RC_OK;
}

static void put_signature(struct put *p, const uint8_t sig[CARD__SIG_LEN])
{
	uint8_t der[DER_ECDSA_MAX];
	size_t alg = der_open(p, DER_SEQUENCE);

	der_put(p, DER_OID, oid_ecdsa_sha256, sizeof(oid_ecdsa_sha256));
	der_close(p, alg);
	der_put_bits(p, der, der_ecdsa_write(sig, der));
}

enum rc card__csr_write(const struct card *card, unsigned slot, struct cur owner_name,
	const uint8_t nonce[REMOTE_NONCE_LEN], struct put *out)
{
	uint8_t id = card__id(slot, N_SIGN);
	const struct card__key *key = card->state.keys[id];
	const struct card__key *b = card->state.keys[card__id(slot, N_AGREEMENT)];
	uint8_t spki[CARD__SPKI_LEN], digest[CARD__DIGEST_LEN], sig[CARD__SIG_LEN];
	size_t csr, info, attrs, start;
	enum rc rc = RC_OK;

	if (!key || !b)
		return RC_STATE;
	csr = der_open(out, DER_SEQUENCE);
	start = out->len;
	info = der_open(out, DER_SEQUENCE);
	der_put(out, DER_INTEGER, "\0", 1);
	put_subject(out, owner_name);
	card__key_spki(key, spki);
	put_bytes(out, spki, sizeof(spki));
	/* SET OF in DER order: .1 is 30 74 .., .2 is 30 81 .., so this order stands. */
	attrs = der_open(out, DER_CONTEXT_CONS(0));
	put_agreement_key(out, b);
	if (card->state.keys[CARD_ID_ATTESTATION])
		rc = put_attestation(out, card, id, nonce);
	der_close(out, attrs);
	der_close(out, info);
	if (rc == RC_OK && !put_ok(out))
		rc = RC_TOO_LARGE;
	if (rc == RC_OK)
		rc = card__sha256(out->buf + start, out->len - start, digest);
	if (rc == RC_OK)
		rc = card__key_sign_digest(key, digest, sig);
	if (rc != RC_OK)
		return rc;
	put_signature(out, sig);
	der_close(out, csr);
	return put_ok(out) ? RC_OK : RC_TOO_LARGE;
}
