/* SPDX-License-Identifier: Apache-2.0 */
#include "ca/keyring.h"
#include "base/str.h"
#include "ca/keyfile.h"

#include <limits.h>
#include <string.h>

static enum rc load_key(struct ca_key *out, const char *folder, const char *name, struct diag *d)
{
	char path[PATH_MAX];

	if (str_format(path, sizeof(path), "%s/%s.key", folder, name) != RC_OK)
		return diag_set(d, RC_RANGE, "%s: path too long", folder);
	return ca_key_load(out, path, d);
}

static enum rc load_cert(
	uint8_t *der, size_t cap, size_t *len, const char *folder, const char *name, struct diag *d)
{
	char path[PATH_MAX];

	if (str_format(path, sizeof(path), "%s/%s.pem", folder, name) != RC_OK)
		return diag_set(d, RC_RANGE, "%s: path too long", folder);
	return ca_pem_load(path, "CERTIFICATE", der, cap, len, d);
}

static enum rc load_keys(struct ca_keyring *ring, const char *folder, struct diag *d)
{
	const struct {
		struct ca_key *key;
		const char *name;
	} rows[] = {
		{ &ring->issuing, "issuing" },
		{ &ring->devkit, "devkit" },
		{ &ring->party, "party" },
		{ &ring->payload, "payload" },
		{ &ring->seal, "seal" },
	};
	enum rc rc = RC_OK;

	for (size_t i = 0; rc == RC_OK && i < ARRAY_LEN(rows); i++)
		rc = load_key(rows[i].key, folder, rows[i].name, d);
	return rc;
}

static enum rc load_other_signer(
	struct ca_key *out, bool *has, const char *folder, const char *name, struct diag *d)
{
	enum rc rc = load_key(out, folder, name, d);

	*has = rc == RC_OK;
	return rc == RC_NOT_FOUND ? RC_OK : rc;
}

static enum rc load_other_signers(struct ca_keyring *ring, const char *folder, struct diag *d)
{
	enum rc rc = load_other_signer(
		&ring->payload_next, &ring->has_payload_next, folder, "payload-next", d);

	return rc == RC_OK ? load_other_signer(&ring->payload_old, &ring->has_payload_old, folder,
				     "payload-old", d)
			   : rc;
}

static enum rc load_zone_keys(struct ca_keyring *ring, const char *folder, const char *zone,
	const struct ca_keyring_token *token, struct diag *d)
{
	struct ca_zone_token t = { 0 };
	enum rc rc = token ? ca_token_open(&ring->token, &token->opts, d) : RC_OK;

	if (rc == RC_OK && token) {
		t.token = ring->token;
		memcpy(t.makes, token->makes, sizeof(t.makes));
	}
	if (rc == RC_OK)
		rc = ca_zone_keys_load_with(&ring->zone_keys, folder, zone, &t, d);
	if (rc == RC_OK)
		ring->zone = ring->zone_keys->zone;
	return rc;
}

/* An issuer's certificate, which `parent` must have signed. */
static enum rc load_issuer(struct ca_issuer *out, const struct ca_key *key, struct ca_crypt *x,
	const struct ca_cert *parent, const char *folder, const char *name, struct diag *d)
{
	uint8_t der[CA_CERT_MAX];
	struct ca_cert cert;
	size_t len = 0;
	enum rc rc = load_cert(der, sizeof(der), &len, folder, name, d);

	if (rc == RC_NOT_FOUND)
		diag_prefix(d, "no CA certificate yet (init --root-csr is to be finished)");
	if (rc == RC_OK)
		rc = ca_issuer_init(out, key, der, len, d);
	if (rc == RC_OK)
		rc = ca_cert_parse(out->cert, out->cert_len, &cert, d);
	if (rc == RC_OK)
		rc = ca_cert_signed_by(x, &cert, parent ? parent : &cert, d);
	if (rc != RC_OK)
		diag_prefix(d, name);
	return rc;
}

static enum rc load_payload_cert(struct ca_keyring *ring, struct ca_crypt *x, uint8_t *der,
	size_t *len, const struct ca_issuer *issuer, const char *folder, const char *name,
	struct diag *d)
{
	struct ca_cert cert, parent;
	enum rc rc = load_cert(der, CA_CERT_MAX, len, folder, name, d);

	if (rc == RC_OK)
		rc = ca_cert_parse(der, *len, &cert, d);
	if (rc == RC_OK)
		rc = ca_cert_parse(issuer->cert, issuer->cert_len, &parent, d);
	if (rc == RC_OK)
		rc = ca_cert_signed_by(x, &cert, &parent, d);
	if (rc == RC_OK &&
		(!cert.point || memcmp(cert.point, ring->payload.point, CA_POINT_LEN) != 0))
		rc = diag_set(d, RC_CONFLICT, "certificate: of another key than payload.key");
	if (rc != RC_OK)
		diag_prefix(d, name);
	return rc;
}

static enum rc load_certs(
	struct ca_keyring *ring, struct ca_crypt *x, const char *folder, struct diag *d)
{
	struct ca_authority *ca = &ring->authority;
	struct ca_cert root;
	enum rc rc = load_cert(ring->root, sizeof(ring->root), &ring->root_len, folder, "root", d);

	if (rc == RC_NOT_FOUND)
		diag_prefix(d, "no root certificate yet (init --root-csr is to be finished)");
	if (rc == RC_OK)
		rc = ca_cert_parse(ring->root, ring->root_len, &root, d);
	if (rc == RC_OK)
		rc = load_issuer(&ca->issuing, &ring->issuing, x, &root, folder, "issuing", d);
	if (rc == RC_OK)
		rc = load_issuer(&ca->devkit, &ring->devkit, x, &root, folder, "devkit", d);
	if (rc == RC_OK)
		rc = load_issuer(&ca->party, &ring->party, x, NULL, folder, "party", d);
	if (rc == RC_OK)
		rc = load_payload_cert(ring, x, ring->payload_cert, &ring->payload_cert_len,
			&ca->issuing, folder, "payload", d);
	if (rc == RC_OK)
		rc = load_payload_cert(ring, x, ring->payload_devkit_cert,
			&ring->payload_devkit_cert_len, &ca->devkit, folder, "payload-devkit", d);
	return rc;
}

enum rc ca_keyring_load(struct ca_keyring *out, struct ca_crypt *x, const char *keys_folder,
	const char *ca_folder, const char *zone, struct diag *d)
{
	return ca_keyring_load_with(out, x, keys_folder, ca_folder, zone, NULL, d);
}

enum rc ca_keyring_load_with(struct ca_keyring *out, struct ca_crypt *x, const char *keys_folder,
	const char *ca_folder, const char *zone, const struct ca_keyring_token *token,
	struct diag *d)
{
	char makers[PATH_MAX];
	enum rc rc;

	*out = (struct ca_keyring){ 0 };
	rc = str_copy(out->authority.zone, sizeof(out->authority.zone), zone);
	if (rc != RC_OK)
		diag_set(d, rc, "zone: %s: too long", zone);
	if (rc == RC_OK)
		rc = load_keys(out, keys_folder, d);
	if (rc == RC_OK)
		rc = load_other_signers(out, keys_folder, d);
	if (rc == RC_OK)
		rc = load_zone_keys(out, keys_folder, zone, token, d);
	if (rc == RC_OK)
		rc = load_certs(out, x, ca_folder, d);
	if (rc == RC_OK)
		rc = str_format(makers, sizeof(makers), "%s/makers", ca_folder);
	if (rc == RC_OK)
		rc = ca_makers_load(&out->makers, makers, d);
	out->authority.makers = &out->makers;
	if (rc != RC_OK)
		ca_keyring_free(out);
	return rc;
}

void ca_keyring_free(struct ca_keyring *ring)
{
	if (!ring)
		return;
	ca_key_free(&ring->issuing);
	ca_key_free(&ring->devkit);
	ca_key_free(&ring->party);
	ca_key_free(&ring->payload);
	ca_key_free(&ring->payload_next);
	ca_key_free(&ring->payload_old);
	ca_key_free(&ring->seal);
	ca_makers_free(&ring->makers);
	ca_zone_keys_unref(ring->zone_keys);
	ring->zone_keys = NULL;
	ca_token_close(ring->token);
	ring->token = NULL;
}
