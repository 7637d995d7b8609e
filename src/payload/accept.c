/* SPDX-License-Identifier: Apache-2.0 */
#include "payload/accept.h"

#include "payload/sign.h"

#include <limits.h>
#include <openssl/sha.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include <string.h>

#define CHAIN_LEN    3 /* C, 7, 6 */
#define LABEL_ICCID  20
#define LABEL_OPAQUE 24

static X509 *read_cert(struct payload_bytes der)
{
	const uint8_t *at = der.at;
	X509 *cert;

	if (!der.at || der.len == 0 || der.len > INT_MAX)
		return NULL;
	cert = d2i_X509(NULL, &at, (long)der.len);
	if (cert && at != der.at + der.len) { /* something after the certificate */
		X509_free(cert);
		cert = NULL;
	}
	return cert;
}

/* `<1..9>.<20 or 24 letters and digits>.<rest>`: the name of a device, in any zone. */
static bool is_owner_name(const uint8_t *name, size_t len)
{
	size_t label = 0;

	if (len < 3 || name[0] < '1' || name[0] > '9' || name[1] != '.')
		return false;
	for (size_t i = 2; i < len && name[i] != '.'; i++, label++) {
		uint8_t b = name[i] | 0x20;
		if (!(b >= 'a' && b <= 'z') && !(name[i] >= '0' && name[i] <= '9'))
			return false;
	}
	return (label == LABEL_ICCID || label == LABEL_OPAQUE) && 2 + label < len;
}

/* Devices hold certificates of the same issuing CA; none of them may sign a payload. */
static bool is_device_cert(X509 *cert)
{
	const X509_NAME *subject = X509_get_subject_name(cert);
	GENERAL_NAMES *sans = X509_get_ext_d2i(cert, NID_subject_alt_name, NULL, NULL);
	bool found = false;

	for (int i = X509_NAME_get_index_by_NID(subject, NID_commonName, -1); i >= 0;
		i = X509_NAME_get_index_by_NID(subject, NID_commonName, i)) {
		const ASN1_STRING *cn = X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, i));
		int len = ASN1_STRING_length(cn);
		if (len > 0 && is_owner_name(ASN1_STRING_get0_data(cn), (size_t)len))
			found = true;
	}
	for (int i = 0; i < sk_GENERAL_NAME_num(sans); i++) {
		const GENERAL_NAME *n = sk_GENERAL_NAME_value(sans, i);
		if (n->type == GEN_DNS && ASN1_STRING_length(n->d.dNSName) > 0 &&
			is_owner_name(ASN1_STRING_get0_data(n->d.dNSName),
				(size_t)ASN1_STRING_length(n->d.dNSName)))
			found = true;
	}
	GENERAL_NAMES_free(sans);
	return found;
}

static enum rc verify_chain(X509 *signer, X509 *issuing, X509 *root, uint64_t now, struct diag *d)
{
	X509_STORE *store = X509_STORE_new();
	X509_STORE_CTX *ctx = X509_STORE_CTX_new();
	STACK_OF(X509) *untrusted = sk_X509_new_null();
	enum rc rc = RC_CRYPTO;

	if (!store || !ctx || !untrusted || sk_X509_push(untrusted, issuing) <= 0 ||
		X509_STORE_add_cert(store, root) != 1 ||
		X509_STORE_CTX_init(ctx, store, signer, untrusted) != 1)
		goto out;
	if (now > 0 && now <= INT64_MAX)
		X509_VERIFY_PARAM_set_time(X509_STORE_CTX_get0_param(ctx), (time_t)now);
	else
		X509_STORE_CTX_set_flags(ctx, X509_V_FLAG_NO_CHECK_TIME);
	if (X509_verify_cert(ctx) != 1) {
		rc = diag_set(d, RC_AUTH, "signer C does not chain to 7 and 6: %s (formats 2)",
			X509_verify_cert_error_string(X509_STORE_CTX_get_error(ctx)));
		goto out;
	}
	const STACK_OF(X509) *chain = X509_STORE_CTX_get0_chain(ctx);
	if (sk_X509_num(chain) != CHAIN_LEN || X509_cmp(sk_X509_value(chain, 1), issuing) != 0)
		rc = diag_set(d, RC_AUTH, "signer C is not issued by the CA in 7 (formats 2)");
	else
		rc = RC_OK;
out:
	sk_X509_free(untrusted);
	X509_STORE_CTX_free(ctx);
	X509_STORE_free(store);
	return rc;
}

/* Rules 1 to 4: kid, chain, continuity, signature. */
static enum rc check_signer(const struct payload_cose *cose, const struct payload_context *ctx,
	const struct payload_state *before, uint64_t now, uint8_t spki[PAYLOAD_HASH_LEN],
	struct diag *d)
{
	X509 *signer = read_cert(ctx->signer), *issuing = read_cert(ctx->issuing);
	X509 *root = read_cert(ctx->root);
	bool known = !before->any;
	enum rc rc;

	if (!signer || !issuing || !root) {
		rc = diag_set(d, RC_AUTH, "file %s is not a certificate (formats 1)",
			!signer	   ? "C"
			: !issuing ? "7"
				   : "6");
		goto out;
	}
	rc = payload_spki_hash(X509_get0_pubkey(signer), spki);
	if (rc != RC_OK)
		goto out;
	if (memcmp(cose->kid, spki, PAYLOAD_KID_LEN) != 0) {
		rc = diag_set(d, RC_AUTH, "kid is not that of the signer in C (formats 2)");
		goto out;
	}
	if (X509_check_ca(signer) != 0 || is_device_cert(signer)) {
		rc = diag_set(d, RC_AUTH, "the certificate in C is a %s's (formats 1)",
			is_device_cert(signer) ? "device" : "CA");
		goto out;
	}
	rc = verify_chain(signer, issuing, root, now, d);
	if (rc != RC_OK)
		goto out;
	known = known || memcmp(spki, before->signer, PAYLOAD_HASH_LEN) == 0;
	for (size_t i = 0; i < before->next_len; i++)
		known = known || memcmp(spki, before->next[i], PAYLOAD_HASH_LEN) == 0;
	if (!known) {
		rc = diag_set(d, RC_AUTH,
			"signer is neither the last accepted nor announced "
			"(formats 2, key 16)");
		goto out;
	}
	rc = payload_verify(cose, X509_get0_pubkey(signer), d);
out:
	X509_free(signer);
	X509_free(issuing);
	X509_free(root);
	return rc;
}

/* Rules 5 to 8: for whom, until when, after which. */
static enum rc check_claims(const struct payload *p, const uint8_t hash[PAYLOAD_HASH_LEN],
	const struct payload_context *ctx, const struct payload_state *before, uint64_t now,
	struct diag *d)
{
	if (memcmp(p->iccid, ctx->iccid, sizeof(p->iccid)) != 0)
		return diag_set(d, RC_CONFLICT, "ICCID is another card's (formats 2, key 5)");
	if (p->has_eid && ctx->has_eid && memcmp(p->eid, ctx->eid, sizeof(p->eid)) != 0)
		return diag_set(d, RC_CONFLICT, "EID is another device's (formats 2, key 6)");
	if (p->slot != ctx->slot)
		return diag_set(d, RC_CONFLICT, "slot %u, found in slot %u (formats 2, key 7)",
			p->slot, ctx->slot);
	if (now > p->expires)
		return diag_set(d, RC_EXPIRED, "expired %llu seconds ago (formats 2, key 4)",
			(unsigned long long)(now - p->expires));
	if (ctx->now == 0 && p->issued < before->floor)
		return diag_set(d, RC_EXPIRED,
			"issued %llu seconds below the clock floor "
			"(formats 2, key 3)",
			(unsigned long long)(before->floor - p->issued));
	if (before->any && p->sequence < before->sequence)
		return diag_set(d, RC_REPLAY,
			"sequence %llu, but %llu was accepted "
			"(formats 2, key 2)",
			(unsigned long long)p->sequence, (unsigned long long)before->sequence);
	if (before->any && p->sequence == before->sequence &&
		memcmp(hash, before->hash, PAYLOAD_HASH_LEN) != 0)
		return diag_set(d, RC_REPLAY,
			"sequence %llu was accepted with other bytes "
			"(formats 2, key 2)",
			(unsigned long long)p->sequence);
	return RC_OK;
}

enum rc payload_accept(const uint8_t *bytes, size_t len, const struct payload_context *ctx,
	const struct payload_state *before, struct payload *out, struct payload_state *after,
	struct diag *d)
{
	uint64_t now = ctx->now > before->floor ? ctx->now : before->floor;
	struct payload_state s = { .any = true, .floor = before->floor };
	struct payload_cose cose;
	struct payload p;
	enum rc rc = payload_parse(bytes, len, &p, &cose, d);

	if (rc != RC_OK)
		return rc;
	SHA256(bytes, len, s.hash);
	rc = check_signer(&cose, ctx, before, now, s.signer, d);
	if (rc == RC_OK)
		rc = check_claims(&p, s.hash, ctx, before, now, d);
	if (rc != RC_OK)
		return rc;
	s.sequence = p.sequence;
	if (p.issued > s.floor)
		s.floor = p.issued;
	s.next_len = p.signers_len;
	for (size_t i = 0; i < p.signers_len; i++)
		memcpy(s.next[i], p.signers[i], PAYLOAD_HASH_LEN);
	*out = p;
	*after = s;
	return RC_OK;
}
