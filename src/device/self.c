/* SPDX-License-Identifier: Apache-2.0 */
#include "device/self.h"

#include "base/file.h"
#include "base/str.h"

#include <errno.h>
#include <limits.h>
#include <openssl/bn.h>
#include <openssl/ecdsa.h>
#include <openssl/evp.h>
#include <openssl/sha.h>
#include <openssl/x509.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* Object numbers of a slot, formats.md section 1. */
enum {
	N_SIGN = 1,
	N_CERT = 2,
	N_PEER = 5,
	N_ROOT = 6,
	N_ISSUING = 7,
	N_AGREE = 0xb,
	N_SIGNER = 0xc,
	N_PAYLOAD = 0xd
};

static const char PROBE[] = "attestry-key-probe-1";

enum rc self_card_error(const struct iotsafe *card, enum iotsafe_error e, struct diag *d)
{
	const char *text = iotsafe_last_error(card);
	enum rc rc = RC_UNAVAILABLE;

	if (e == IOTSAFE_OK)
		return RC_OK;
	if (e == IOTSAFE_ENOTFOUND)
		rc = RC_NOT_FOUND;
	else if (e == IOTSAFE_EDENIED)
		rc = RC_DENIED;
	else if (e == IOTSAFE_ETOOLARGE)
		rc = RC_TOO_LARGE;
	else if (e == IOTSAFE_EPROTO)
		rc = RC_MALFORMED;
	return diag_set(d, rc, "%s", *text ? text : iotsafe_error_text(e));
}

static enum rc read_object(struct iotsafe *card, unsigned slot, unsigned n, uint8_t *buf,
	size_t cap, size_t *len, struct diag *d)
{
	uint8_t id = iotsafe_container(slot, n);
	enum iotsafe_error e = iotsafe_read_file(card, id, buf, cap, len);

	if (e == IOTSAFE_OK && *len == 0)
		return diag_set(d, RC_NOT_FOUND, "file %02X is empty", id);
	/* An empty container of some cards is "not readable" rather than absent. */
	if (e == IOTSAFE_EDENIED)
		return diag_set(d, RC_NOT_FOUND, "%s", iotsafe_last_error(card));
	return self_card_error(card, e, d);
}

static X509 *parse_cert(const uint8_t *der, size_t len)
{
	const uint8_t *at = der;
	X509 *cert = d2i_X509(NULL, &at, (long)len);

	if (cert && at != der + len) {
		X509_free(cert);
		cert = NULL;
	}
	return cert;
}

static enum rc owner_of(const X509 *cert, char out[IDENT_OWNER_TEXT], struct diag *d)
{
	char cn[IDENT_OWNER_TEXT + 1] = "";
	int n = X509_NAME_get_text_by_NID(
		X509_get_subject_name(cert), NID_commonName, cn, sizeof(cn));

	if (n <= 0 || n > IDENT_OWNER_MAX || strlen(cn) != (size_t)n)
		return diag_set(d, RC_MALFORMED, "certificate: no owner name (design 6)");
	str_lower(cn);
	return str_copy(out, IDENT_OWNER_TEXT, cn);
}

enum rc self_read_cert(struct iotsafe *card, unsigned slot, struct self *out, struct diag *d)
{
	X509 *cert;
	enum rc rc =
		read_object(card, slot, N_CERT, out->cert, sizeof(out->cert), &out->cert_len, d);

	if (rc != RC_OK)
		return rc;
	out->slot = slot;
	cert = parse_cert(out->cert, out->cert_len);
	if (!cert)
		return diag_set(d, RC_MALFORMED, "file %02X is not a certificate",
			iotsafe_container(slot, N_CERT));
	SHA256(out->cert, out->cert_len, out->cert_sha256);
	rc = owner_of(cert, out->owner, d);
	X509_free(cert);
	if (rc == RC_OK)
		rc = self_card_error(card, iotsafe_iccid(card, out->iccid), d);
	return rc;
}

/* The files that decide whether the payload is believed. */
struct files {
	uint8_t signer[SELF_CERT_MAX], issuing[SELF_CERT_MAX], root[SELF_CERT_MAX];
	size_t signer_len, issuing_len, root_len;
};

static enum rc accept(struct iotsafe *card, struct files *f, const struct payload_state *before,
	uint64_t now, struct self *out, struct diag *d)
{
	struct payload_context ctx = { .slot = (uint8_t)out->slot, .now = now };
	unsigned slot = out->slot;
	enum rc rc =
		read_object(card, slot, N_SIGNER, f->signer, sizeof(f->signer), &f->signer_len, d);

	if (rc == RC_OK)
		rc = read_object(
			card, slot, N_ISSUING, f->issuing, sizeof(f->issuing), &f->issuing_len, d);
	if (rc == RC_OK)
		rc = read_object(card, slot, N_ROOT, f->root, sizeof(f->root), &f->root_len, d);
	if (rc == RC_OK)
		rc = ident_iccid_read(out->iccid, ctx.iccid);
	if (rc != RC_OK)
		return rc;
	ctx.signer = (struct payload_bytes){ f->signer, f->signer_len };
	ctx.issuing = (struct payload_bytes){ f->issuing, f->issuing_len };
	ctx.root = (struct payload_bytes){ f->root, f->root_len };
	return payload_accept(
		out->cose, out->cose_len, &ctx, before, &out->payload, &out->state, d);
}

enum rc self_believe(struct iotsafe *card, unsigned slot, const uint8_t *cose, size_t len,
	const struct payload_state *before, uint64_t now, struct self *out, struct diag *d)
{
	struct files *f = malloc(sizeof(*f));
	enum rc rc = f ? RC_OK : RC_NOMEM;

	*out = (struct self){ .slot = slot };
	if (rc == RC_OK && len > sizeof(out->cose))
		rc = diag_set(d, RC_TOO_LARGE, "payload: %zu bytes", len);
	if (rc == RC_OK) {
		memcpy(out->cose, cose, len);
		out->cose_len = len;
		rc = self_card_error(card, iotsafe_iccid(card, out->iccid), d);
	}
	if (rc == RC_OK)
		rc = accept(card, f, before, now, out, d);
	free(f);
	return rc;
}

enum rc self_read(struct iotsafe *card, unsigned slot, const struct payload_state *before,
	uint64_t now, struct self *out, struct diag *d)
{
	uint8_t *cose = malloc(PAYLOAD_MAX);
	size_t len = 0;
	enum rc rc = cose ? RC_OK : RC_NOMEM;

	*out = (struct self){ 0 };
	if (rc == RC_OK)
		rc = read_object(card, slot, N_PAYLOAD, cose, PAYLOAD_MAX, &len, d);
	if (rc == RC_OK)
		rc = self_believe(card, slot, cose, len, before, now, out, d);
	free(cose);
	if (rc == RC_OK && out->payload.withdrawn)
		rc = diag_set(d, RC_STATE, "the payload withdraws this profile (formats 2, key 8)");
	if (rc == RC_OK)
		rc = self_read_cert(card, slot, out, d);
	if (rc == RC_OK &&
		memcmp(out->cert_sha256, out->payload.cert_sha256, sizeof(out->cert_sha256)) != 0)
		rc = diag_set(d, RC_CONFLICT,
			"the payload is for another certificate (formats 2, key 17)");
	return rc;
}

enum rc self_payload_changed(
	struct iotsafe *card, const struct self *self, bool *changed, struct diag *d)
{
	uint8_t *now = malloc(PAYLOAD_MAX);
	size_t len = 0;
	enum rc rc = now ? read_object(card, self->slot, N_PAYLOAD, now, PAYLOAD_MAX, &len, d)
			 : RC_NOMEM;

	if (rc == RC_OK)
		*changed = len != self->cose_len || memcmp(now, self->cose, len) != 0;
	if (rc == RC_NOT_FOUND) {
		*changed = true;
		rc = RC_OK;
	}
	free(now);
	return rc;
}

static bool verifies(X509 *cert, const uint8_t digest[32], const uint8_t raw[64])
{
	ECDSA_SIG *sig = ECDSA_SIG_new();
	BIGNUM *r = BN_bin2bn(raw, 32, NULL), *s = BN_bin2bn(raw + 32, 32, NULL);
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new(X509_get0_pubkey(cert), NULL);
	uint8_t *der = NULL;
	int len = 0, ok = 0;

	if (sig && r && s && ECDSA_SIG_set0(sig, r, s) == 1) {
		r = s = NULL;
		len = i2d_ECDSA_SIG(sig, &der);
	}
	if (len > 0 && ctx && EVP_PKEY_verify_init(ctx) == 1)
		ok = EVP_PKEY_verify(ctx, der, (size_t)len, digest, 32);
	OPENSSL_free(der);
	EVP_PKEY_CTX_free(ctx);
	BN_free(r);
	BN_free(s);
	ECDSA_SIG_free(sig);
	return ok == 1;
}

enum rc self_prove_key(struct iotsafe *card, const struct self *self, struct diag *d)
{
	uint8_t text[sizeof(PROBE) + 16], digest[32], raw[IOTSAFE_SIG_LEN];
	X509 *cert;
	enum rc rc;

	memcpy(text, PROBE, sizeof(PROBE));
	rc = self_card_error(card, iotsafe_random(card, text + sizeof(PROBE), 16), d);
	if (rc != RC_OK)
		return rc;
	SHA256(text, sizeof(text), digest);
	rc = self_card_error(
		card, iotsafe_sign(card, iotsafe_container(self->slot, N_SIGN), digest, raw), d);
	if (rc != RC_OK)
		return rc;
	cert = parse_cert(self->cert, self->cert_len);
	if (!cert || !verifies(cert, digest, raw))
		rc = diag_set(
			d, RC_SIGNATURE, "the certificate is not that of the key on the card");
	X509_free(cert);
	return rc;
}

struct agree {
	struct iotsafe *card;
	unsigned slot;
};

static enum rc agree_on_card(void *user, const uint8_t peer[65], uint8_t x[32], struct diag *d)
{
	struct agree *a = user;

	return self_card_error(a->card,
		iotsafe_ecdh(a->card, iotsafe_container(a->slot, N_AGREE),
			iotsafe_container(a->slot, N_PEER), peer, x),
		d);
}

enum rc self_wifi(
	struct iotsafe *card, const struct self *self, struct payload_wifi *out, struct diag *d)
{
	struct agree a = { .card = card, .slot = self->slot };
	struct payload_ecdh ecdh = { .agree = agree_on_card, .user = &a };
	struct payload_binding to = { .slot = self->payload.slot,
		.sequence = self->payload.sequence };

	if (!self->payload.wifi.at)
		return diag_set(d, RC_NOT_FOUND, "the payload carries no Wi-Fi");
	memcpy(to.iccid, self->payload.iccid, sizeof(to.iccid));
	return payload_wifi_open(self->payload.wifi.at, self->payload.wifi.len, &to, &ecdh, out, d);
}

static enum rc state_path(
	struct iotsafe *card, const char *dir, unsigned slot, char *out, size_t cap, struct diag *d)
{
	char iccid[IOTSAFE_ICCID_TEXT];
	enum rc rc = self_card_error(card, iotsafe_iccid(card, iccid), d);

	if (rc != RC_OK)
		return rc;
	if (mkdir(dir, 0755) != 0 && errno != EEXIST)
		return diag_errno(d, RC_IO, "%s", dir);
	return str_format(out, cap, "%s/%s-%u.state", dir, iccid, slot);
}

enum rc self_state_load(struct iotsafe *card, const char *dir, unsigned slot,
	struct payload_state *out, struct diag *d)
{
	char path[PATH_MAX];
	enum rc rc = state_path(card, dir, slot, path, sizeof(path), d);

	return rc == RC_OK ? payload_state_load(path, out, d) : rc;
}

enum rc self_state_store(struct iotsafe *card, const char *dir, unsigned slot,
	const struct payload_state *state, struct diag *d)
{
	char path[PATH_MAX];
	enum rc rc = state_path(card, dir, slot, path, sizeof(path), d);

	return rc == RC_OK ? payload_state_store(path, state, d) : rc;
}
