/* SPDX-License-Identifier: Apache-2.0 */
/* The SIMs' keysets in a file that says nothing without its key, which is another file, on another
 * medium: "attestry-mno-sims1" | 12 bytes of nonce | AES-256-GCM of the JSON | 16 bytes of tag. */
#include "mno/internal.h"

#include "base/file.h"
#include "base/rng.h"

#include <fcntl.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MAGIC	  "attestry-mno-sims1"
#define MAGIC_LEN (sizeof(MAGIC) - 1)
#define NONCE_LEN 12
#define TAG_LEN	  16
#define KEY_LEN	  32
#define HEAD_LEN  (MAGIC_LEN + NONCE_LEN)

static enum rc read_private(struct secret *out, const char *path, size_t max, struct diag *d)
{
	enum rc rc = secret_read_file(out, path, max);

	if (rc != RC_OK)
		return diag_set(d, rc, "%s: %s", path,
			rc == RC_DENIED ? "others can read it; chmod 600" : rc_text(rc));
	return RC_OK;
}

static enum rc read_key(struct secret *out, const char *path, struct diag *d)
{
	enum rc rc = read_private(out, path, KEY_LEN + 1, d);

	if (rc == RC_OK && out->len != KEY_LEN) {
		secret_free(out);
		rc = diag_set(d, RC_MALFORMED, "%s: not a key of %d bytes", path, KEY_LEN);
	}
	return rc;
}

/* A key that is not there yet is made: 0600, never over another file. */
static enum rc make_key(const char *path, struct diag *d)
{
	uint8_t key[KEY_LEN];
	const struct rng *rng = rng_system();
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	enum rc rc;

	if (fd < 0)
		return access(path, F_OK) == 0 ? RC_OK : diag_errno(d, RC_IO, "%s", path);
	rc = rng->fill(rng, key, sizeof(key));
	if (rc == RC_OK && (write(fd, key, sizeof(key)) != (ssize_t)sizeof(key) || fsync(fd) != 0))
		rc = diag_errno(d, RC_IO, "%s", path);
	close(fd);
	mem_wipe(key, sizeof(key));
	return rc;
}

static bool gcm(bool seal, const uint8_t *key, const uint8_t *nonce, const uint8_t *in, size_t len,
	uint8_t *out, uint8_t tag[TAG_LEN])
{
	EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
	int n = 0, tail = 0;
	bool ok = ctx && len <= INT32_MAX &&
		  EVP_CipherInit_ex2(ctx, EVP_aes_256_gcm(), key, nonce, seal, NULL) == 1 &&
		  EVP_CipherUpdate(ctx, NULL, &n, (const uint8_t *)MAGIC, MAGIC_LEN) == 1 &&
		  EVP_CipherUpdate(ctx, out, &n, in, (int)len) == 1 &&
		  (seal || EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_SET_TAG, TAG_LEN, tag) == 1) &&
		  EVP_CipherFinal_ex(ctx, out + n, &tail) == 1 &&
		  (!seal || EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_GET_TAG, TAG_LEN, tag) == 1);

	EVP_CIPHER_CTX_free(ctx);
	return ok;
}

enum rc mno_seal_sims(
	const char *sims_path, const char *key_path, const char *out_path, struct diag *d)
{
	struct secret plain = { 0 }, key = { 0 };
	const struct rng *rng = rng_system();
	json_error_t error;
	json_t *doc = NULL;
	uint8_t *out = NULL;
	enum rc rc = read_private(&plain, sims_path, MNO_CONFIG_MAX, d);

	if (rc == RC_OK) {
		doc = json_loadb(
			(const char *)plain.bytes, plain.len, JSON_REJECT_DUPLICATES, &error);
		if (!json_is_array(doc))
			rc = diag_set(d, RC_MALFORMED, "%s: no JSON list of SIMs", sims_path);
	}
	if (rc == RC_OK)
		rc = make_key(key_path, d);
	if (rc == RC_OK)
		rc = read_key(&key, key_path, d);
	if (rc != RC_OK)
		goto out;
	out = malloc(HEAD_LEN + plain.len + TAG_LEN);
	rc = out ? rng->fill(rng, out + MAGIC_LEN, NONCE_LEN) : RC_NOMEM;
	if (rc != RC_OK)
		goto out;
	memcpy(out, MAGIC, MAGIC_LEN);
	rc = gcm(true, key.bytes, out + MAGIC_LEN, plain.bytes, plain.len, out + HEAD_LEN,
		     out + HEAD_LEN + plain.len)
		     ? file_write_atomic(out_path, out, HEAD_LEN + plain.len + TAG_LEN, 0600, d)
		     : RC_CRYPTO;
out:
	free(out);
	json_decref(doc);
	secret_free(&plain);
	secret_free(&key);
	return rc;
}

enum rc mno__sims_unseal(const char *path, const char *key_path, json_t **out, struct diag *d)
{
	struct secret key = { 0 }, plain = { 0 };
	json_error_t error;
	uint8_t *bytes = NULL;
	size_t len = 0;
	enum rc rc = read_key(&key, key_path, d);

	if (rc == RC_OK)
		rc = file_read(path, MNO_CONFIG_MAX, &bytes, &len, d);
	if (rc == RC_OK && (len < HEAD_LEN + TAG_LEN || memcmp(bytes, MAGIC, MAGIC_LEN) != 0))
		rc = diag_set(d, RC_MALFORMED, "%s: no sealed list of SIMs", path);
	if (rc == RC_OK) {
		len -= HEAD_LEN + TAG_LEN;
		rc = secret_new(&plain, len + 1);
	}
	if (rc == RC_OK && !gcm(false, key.bytes, bytes + MAGIC_LEN, bytes + HEAD_LEN, len,
				   plain.bytes, bytes + HEAD_LEN + len))
		rc = diag_set(d, RC_AUTH, "%s: sealed with another key, or changed", path);
	if (rc == RC_OK) {
		*out = json_loadb((const char *)plain.bytes, len, JSON_REJECT_DUPLICATES, &error);
		if (!*out)
			rc = diag_set(d, RC_MALFORMED, "%s: line %d: not JSON", path, error.line);
	}
	free(bytes);
	secret_free(&plain);
	secret_free(&key);
	return rc;
}
