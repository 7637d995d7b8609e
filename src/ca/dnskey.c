/* SPDX-License-Identifier: Apache-2.0 */
#include "ca/dnskey.h"
#include "base/compiler.h"
#include "base/cur.h"
#include "base/der.h"
#include "base/file.h"
#include "base/secret.h"
#include "base/str.h"
#include "ca/keyfile.h"

#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define ED25519_LEN   32
#define FILE_TEXT_MAX 4096
#define PUBLIC_HEAD   "DNSKEY "
#define TOKEN_HEAD    "PKCS11 "

/* PrivateKeyInfo of an Ed25519 key (RFC 8410 section 7) before its 32 octets. */
static const uint8_t ed25519_head[] = { 0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b,
	0x65, 0x70, 0x04, 0x22, 0x04, 0x20 };

static const struct {
	const char *text;
	unsigned number;
	size_t pub_len;
} algs[CA_ALGS] = {
	[CA_P256] = { "ecdsap256sha256", CA_ALG_P256_NUMBER, CA_POINT_LEN - 1 },
	[CA_ED25519] = { "ed25519", CA_ALG_ED25519_NUMBER, ED25519_LEN },
};

unsigned ca_alg_number(enum ca_alg alg)
{
	return algs[alg].number;
}

bool ca_alg_of_number(unsigned number, enum ca_alg *out)
{
	for (unsigned i = 0; i < CA_ALGS; i++)
		if (algs[i].number == number) {
			*out = (enum ca_alg)i;
			return true;
		}
	return false;
}

const char *ca_alg_text(enum ca_alg alg)
{
	return algs[alg].text;
}

bool ca_alg_of_text(const char *text, enum ca_alg *out)
{
	for (unsigned i = 0; i < CA_ALGS; i++)
		if (strcmp(algs[i].text, text) == 0) {
			*out = (enum ca_alg)i;
			return true;
		}
	return false;
}

static enum rc describe_ed25519(struct ca_dnskey *k)
{
	k->pub_len = ED25519_LEN;
	return EVP_PKEY_get_raw_public_key(k->pkey, k->pub, &k->pub_len) == 1 &&
			       k->pub_len == ED25519_LEN
		       ? RC_OK
		       : RC_CRYPTO;
}

enum rc ca_dnskey_of(struct ca_dnskey *out, const struct ca_key *key)
{
	struct ca_dnskey k = { .alg = CA_P256, .pkey = key->pkey, .pub_len = CA_POINT_LEN - 1 };

	if (EVP_PKEY_up_ref(k.pkey) != 1)
		return RC_CRYPTO;
	memcpy(k.pub, key->point + 1, k.pub_len);
	*out = k;
	return RC_OK;
}

enum rc ca_dnskey_new(struct ca_dnskey *out, enum ca_alg alg, struct diag *d)
{
	struct ca_dnskey k = { .alg = alg };
	struct ca_key p256 = { 0 };
	enum rc rc;

	if (alg == CA_P256) {
		rc = ca_key_new(&p256, d);
		if (rc == RC_OK)
			rc = ca_dnskey_of(out, &p256);
		ca_key_free(&p256);
		return rc;
	}
	k.pkey = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
	rc = k.pkey ? describe_ed25519(&k) : RC_CRYPTO;
	if (rc != RC_OK) {
		ca_dnskey_free(&k);
		return diag_set(d, rc, "key: Ed25519 key generation failed");
	}
	*out = k;
	return RC_OK;
}

enum rc ca_dnskey_public(
	struct ca_dnskey *out, const uint8_t *rdata, size_t len, bool *ksk, struct diag *d)
{
	struct ca_dnskey k = { .where = CA_KEY_OFFLINE };
	struct cur c = cur_init(rdata, len);
	unsigned flags = cur_u16(&c), protocol = cur_u8(&c), alg = cur_u8(&c);

	if (c.bad || (flags != 0x0100 && flags != 0x0101) || protocol != 3 ||
		!ca_alg_of_number(alg, &k.alg) || c.left != algs[k.alg].pub_len)
		return diag_set(d, RC_MALFORMED,
			"DNSKEY: flags 256 or 257, protocol 3, algorithm 13 or 15 and its key "
			"(RFC 4034 section 2.1)");
	k.pub_len = c.left;
	memcpy(k.pub, c.at, k.pub_len);
	*ksk = flags & 1;
	*out = k;
	return RC_OK;
}

void ca_dnskey_free(struct ca_dnskey *key)
{
	if (!key)
		return;
	EVP_PKEY_free(key->pkey);
	*key = (struct ca_dnskey){ 0 };
}

struct ca_dnskey ca_dnskey_ref(const struct ca_dnskey *key)
{
	if (key->pkey)
		EVP_PKEY_up_ref(key->pkey);
	return *key;
}

size_t ca_dnskey_rdata(const struct ca_dnskey *key, bool ksk, uint8_t out[CA_DNSKEY_LEN])
{
	out[0] = 1;
	out[1] = ksk;
	out[2] = 3;
	out[3] = (uint8_t)algs[key->alg].number;
	memcpy(out + 4, key->pub, key->pub_len);
	return 4 + key->pub_len;
}

/* ---- files ---- */

static enum rc load_ed25519(struct ca_dnskey *out, const struct secret *text, struct diag *d)
{
	struct ca_dnskey k = { .alg = CA_ED25519 };
	struct secret der = { 0 };
	size_t len = 0;
	enum rc rc = secret_new(&der, FILE_TEXT_MAX);

	if (rc == RC_OK)
		rc = ca_pem_read((const char *)text->bytes, text->len, "PRIVATE KEY", der.bytes,
			der.len, &len, d);
	if (rc == RC_OK && (len != sizeof(ed25519_head) + ED25519_LEN ||
				   memcmp(der.bytes, ed25519_head, sizeof(ed25519_head)) != 0))
		rc = diag_set(d, RC_UNSUPPORTED, "algorithm: neither P-256 nor Ed25519");
	if (rc == RC_OK) {
		k.pkey = EVP_PKEY_new_raw_private_key(
			EVP_PKEY_ED25519, NULL, der.bytes + sizeof(ed25519_head), ED25519_LEN);
		rc = k.pkey ? describe_ed25519(&k) : RC_CRYPTO;
	}
	if (rc == RC_OK)
		*out = k;
	else
		ca_dnskey_free(&k);
	secret_free(&der);
	return rc;
}

/* "DNSKEY 257 3 13 BASE64" */
static enum rc read_public(struct ca_dnskey *out, const char *text, struct diag *d)
{
	uint8_t rdata[CA_DNSKEY_LEN] = { 1, 0, 3 };
	unsigned flags = 0, alg = 0;
	char b64[128];
	size_t len = 0;
	bool ksk;

	if (sscanf(text, PUBLIC_HEAD "%3u 3 %3u %127s", &flags, &alg, b64) != 3 ||
		b64_read(b64, strlen(b64), rdata + 4, sizeof(rdata) - 4, &len) != RC_OK)
		return diag_set(d, RC_MALFORMED, "not DNSKEY FLAGS 3 ALGORITHM BASE64");
	rdata[1] = flags & 1;
	rdata[3] = (uint8_t)alg;
	return ca_dnskey_public(out, rdata, len + 4, &ksk, d);
}

/* "PKCS11 13 HEX-OF-CKA_ID BASE64" */
static enum rc read_token(
	struct ca_dnskey *out, const char *text, struct ca_token *token, struct diag *d)
{
	struct ca_dnskey k = { .where = CA_KEY_IN_TOKEN };
	unsigned alg = 0;
	char id[2 * CA_TOKEN_ID_LEN + 2], b64[128];
	enum rc rc;

	if (sscanf(text, TOKEN_HEAD "%3u %33s %127s", &alg, id, b64) != 3 ||
		!ca_alg_of_number(alg, &k.alg) ||
		hex_read(id, k.token.id, CA_TOKEN_ID_LEN) != RC_OK ||
		b64_read(b64, strlen(b64), k.pub, sizeof(k.pub), &k.pub_len) != RC_OK ||
		k.pub_len != algs[k.alg].pub_len)
		return diag_set(d, RC_MALFORMED, "not PKCS11 ALGORITHM ID BASE64");
	if (!token)
		return diag_set(d, RC_STATE, "a key in a token: [keys] pkcs11_module is not set");
	rc = ca_token_find(token, &k.token, d);
	if (rc == RC_OK)
		*out = k;
	return rc;
}

enum rc ca_dnskey_load(
	struct ca_dnskey *out, const char *path, struct ca_token *token, struct diag *d)
{
	struct secret text = { 0 };
	struct ca_key p256 = { 0 };
	char line[256] = "";
	enum rc rc = secret_read_file(&text, path, FILE_TEXT_MAX);

	if (rc != RC_OK) {
		diag_set(d, rc, "%s",
			rc == RC_DENIED ? "a key that group or others can access; chmod 600"
					: rc_text(rc));
		goto out;
	}
	if (text.len > 7 && (memcmp(text.bytes, PUBLIC_HEAD, 7) == 0 ||
				    memcmp(text.bytes, TOKEN_HEAD, 7) == 0)) {
		size_t n = text.len < sizeof(line) ? text.len : sizeof(line) - 1;

		memcpy(line, text.bytes, n);
		rc = line[0] == 'D' ? read_public(out, line, d) : read_token(out, line, token, d);
		goto out;
	}
	rc = ca_key_load(&p256, path, d);
	if (rc == RC_OK)
		rc = ca_dnskey_of(out, &p256);
	ca_key_free(&p256);
	if (rc == RC_UNSUPPORTED)
		return load_ed25519(out, &text, d);
	secret_free(&text);
	return rc;
out:
	secret_free(&text);
	if (rc != RC_OK)
		diag_prefix(d, path);
	return rc;
}

static enum rc write_text(const char *path, const void *text, size_t len, struct diag *d)
{
	if (access(path, F_OK) == 0)
		return diag_set(d, RC_EXISTS, "%s: is there already", path);
	return file_write_atomic(path, text, len, 0600, d);
}

static enum rc store_line(const struct ca_dnskey *k, const char *path, struct diag *d)
{
	char b64[B64_LEN(CA_DNSKEY_PUB_MAX)], id[2 * CA_TOKEN_ID_LEN + 1], line[256];
	enum rc rc;

	b64_write(k->pub, k->pub_len, b64);
	hex_write(k->token.id, CA_TOKEN_ID_LEN, id);
	rc = k->where == CA_KEY_IN_TOKEN
		     ? str_format(line, sizeof(line), TOKEN_HEAD "%u %s %s\n", algs[k->alg].number,
			       id, b64)
		     : str_format(line, sizeof(line), PUBLIC_HEAD "257 3 %u %s\n",
			       algs[k->alg].number, b64);
	return rc == RC_OK ? write_text(path, line, strlen(line), d) : rc;
}

static enum rc store_ed25519(const struct ca_dnskey *k, const char *path, struct diag *d)
{
	struct secret buf = { 0 };
	size_t n = ED25519_LEN;
	char *pem;
	enum rc rc = secret_new(&buf, sizeof(ed25519_head) + ED25519_LEN + 512);

	if (rc != RC_OK)
		return rc;
	memcpy(buf.bytes, ed25519_head, sizeof(ed25519_head));
	pem = (char *)buf.bytes + sizeof(ed25519_head) + ED25519_LEN;
	rc = EVP_PKEY_get_raw_private_key(k->pkey, buf.bytes + sizeof(ed25519_head), &n) == 1
		     ? ca_pem_write("PRIVATE KEY", buf.bytes, sizeof(ed25519_head) + n, pem, 512)
		     : RC_CRYPTO;
	if (rc == RC_OK)
		rc = write_text(path, pem, strlen(pem), d);
	secret_free(&buf);
	return rc;
}

enum rc ca_dnskey_store(const struct ca_dnskey *key, const char *path, struct diag *d)
{
	struct ca_key p256 = { .pkey = key->pkey };

	if (key->where != CA_KEY_IN_FILE)
		return store_line(key, path, d);
	if (key->alg == CA_ED25519)
		return store_ed25519(key, path, d);
	p256.point[0] = 0x04;
	memcpy(p256.point + 1, key->pub, CA_POINT_LEN - 1);
	return ca_key_store(&p256, path, d);
}

/* ---- signatures ---- */

static enum rc sign_ed25519(
	const struct ca_dnskey *key, const uint8_t *bytes, size_t len, uint8_t sig[64])
{
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	size_t n = 64;
	bool ok = ctx && EVP_DigestSignInit(ctx, NULL, NULL, NULL, key->pkey) == 1 &&
		  EVP_DigestSign(ctx, sig, &n, bytes, len) == 1 && n == 64;

	EVP_MD_CTX_free(ctx);
	return ok ? RC_OK : RC_CRYPTO;
}

enum rc ca_dnskey_sign(struct ca_crypt *x, const struct ca_dnskey *key, const uint8_t *bytes,
	size_t len, uint8_t sig[64], struct diag *d)
{
	struct ca_key p256 = { .pkey = key->pkey };
	uint8_t digest[CA_SHA256_LEN];
	enum rc rc;

	if (key->where == CA_KEY_OFFLINE)
		return diag_set(d, RC_UNAVAILABLE, "the key is off-line");
	if (key->alg == CA_ED25519)
		return key->where == CA_KEY_IN_TOKEN
			       ? ca_token_sign(&key->token, true, bytes, len, sig, d)
			       : sign_ed25519(key, bytes, len, sig);
	rc = ca_sha256(x, bytes, len, digest);
	if (rc != RC_OK)
		return rc;
	return key->where == CA_KEY_IN_TOKEN
		       ? ca_token_sign(&key->token, false, digest, sizeof(digest), sig, d)
		       : ca_sign_raw(x, &p256, digest, sig);
}

static enum rc verify_p256(
	const struct ca_dnskey *key, const uint8_t *bytes, size_t len, const uint8_t sig[64])
{
	uint8_t point[CA_POINT_LEN] = { 0x04 }, digest[CA_SHA256_LEN], der[DER_ECDSA_MAX];
	size_t der_len = der_ecdsa_write(sig, der);
	struct ca_crypt *x = NULL;
	enum rc rc = ca_crypt_new(&x, NULL);

	memcpy(point + 1, key->pub, key->pub_len);
	if (rc == RC_OK)
		rc = ca_sha256(x, bytes, len, digest);
	if (rc == RC_OK)
		rc = ca_verify(x, point, digest, der, der_len);
	ca_crypt_free(x);
	return rc;
}

enum rc ca_dnskey_verify(
	const struct ca_dnskey *key, const uint8_t *bytes, size_t len, const uint8_t sig[64])
{
	EVP_PKEY *pub;
	EVP_MD_CTX *ctx;
	bool ok;

	if (key->alg == CA_P256)
		return verify_p256(key, bytes, len, sig);
	pub = EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, key->pub, key->pub_len);
	ctx = EVP_MD_CTX_new();
	ok = pub && ctx && EVP_DigestVerifyInit(ctx, NULL, NULL, NULL, pub) == 1 &&
	     EVP_DigestVerify(ctx, sig, 64, bytes, len) == 1;
	EVP_MD_CTX_free(ctx);
	EVP_PKEY_free(pub);
	return ok ? RC_OK : RC_SIGNATURE;
}
