/* SPDX-License-Identifier: Apache-2.0 */
#include "http/maker.h"

#include <openssl/evp.h>
#include <openssl/x509.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HEAD "attestry-maker-1\n"

/* Nothing that could end a field or a line within one. */
static bool plain(const char *text)
{
	for (; *text; text++)
		if ((unsigned char)*text < 0x20 || *text == ',' || *text == 0x7f)
			return false;
	return true;
}

enum rc maker_text(const Registry__MakerConfirm *m, char **out, size_t *len)
{
	char *text = NULL;
	FILE *to = open_memstream(&text, len);
	enum rc rc = RC_OK;

	if (!to)
		return RC_NOMEM;
	fputs(HEAD, to);
	for (size_t i = 0; i < m->n_rows && rc == RC_OK; i++) {
		const Registry__MakerRow *r = m->rows[i];

		if (!plain(r->eid) || !plain(r->imei) || !plain(r->iccid) || !plain(r->model))
			rc = RC_MALFORMED;
		fprintf(to, "%s,%s,%s,%s\n", r->eid, r->imei, r->iccid, r->model);
	}
	if (fclose(to) != 0)
		rc = RC_NOMEM;
	if (rc == RC_OK)
		*out = text;
	else
		free(text);
	return rc;
}

static bool verifies(EVP_PKEY *key, const Registry__MakerConfirm *m, const char *text, size_t len)
{
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	bool good = ctx && EVP_DigestVerifyInit(ctx, NULL, EVP_sha256(), NULL, key) == 1 &&
		    EVP_DigestVerify(ctx, m->signature.data, m->signature.len,
			    (const uint8_t *)text, len) == 1;

	EVP_MD_CTX_free(ctx);
	return good;
}

enum rc maker_check(const Registry__MakerConfirm *m, const uint8_t spki_sha256[32], struct diag *d)
{
	const uint8_t *at = m->key.data;
	uint8_t sha256[32];
	EVP_PKEY *key = NULL;
	char *text = NULL;
	size_t len = 0;
	enum rc rc;

	if (m->key.len == 0 || m->key.len > 200 ||
		EVP_Digest(m->key.data, m->key.len, sha256, NULL, EVP_sha256(), NULL) != 1 ||
		memcmp(sha256, spki_sha256, sizeof(sha256)) != 0)
		return diag_set(d, RC_AUTH, "key: is not the key of this login");
	rc = maker_text(m, &text, &len);
	if (rc != RC_OK)
		return diag_set(d, rc, "rows: a comma or a control character in a field");
	key = d2i_PUBKEY(NULL, &at, (long)m->key.len);
	if (!key || at != m->key.data + m->key.len || !verifies(key, m, text, len))
		rc = diag_set(d, RC_AUTH, "signature: does not fit the list and the key");
	EVP_PKEY_free(key);
	free(text);
	return rc;
}
