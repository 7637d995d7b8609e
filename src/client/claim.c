/* SPDX-License-Identifier: Apache-2.0 */
#include "client/claim.h"

#include "base/str.h"

#include <openssl/evp.h>
#include <string.h>
#include <sys/random.h>

#define HASH_LEN 32

enum rc client_claim_make(char out[CLIENT_CLAIM_LEN + 1])
{
	static const char digits[] = "abcdefghijklmnopqrstuvwxyz234567";
	uint8_t random[CLIENT_CLAIM_LEN];

	if (getrandom(random, sizeof(random), 0) != (ssize_t)sizeof(random))
		return RC_CRYPTO;
	for (size_t i = 0; i < sizeof(random); i++)
		out[i] = digits[random[i] % 32];
	out[sizeof(random)] = '\0';
	return RC_OK;
}

static bool set_b64(json_t *row, const char *name, const uint8_t *bytes, size_t len)
{
	char text[B64_LEN(HASH_LEN)];

	b64_write(bytes, len, text);
	return json_object_set_new(row, name, json_string(text)) == 0;
}

enum rc client_claim_hash(json_t *row, const char *claim, const uint8_t salt[CLIENT_SALT_LEN])
{
	uint8_t own[CLIENT_SALT_LEN], hash[HASH_LEN];
	EVP_MD_CTX *x = EVP_MD_CTX_new();
	bool ok = x && (salt || getrandom(own, sizeof(own), 0) == (ssize_t)sizeof(own));

	if (!salt)
		salt = own;
	ok = ok && EVP_DigestInit_ex(x, EVP_sha256(), NULL) == 1 &&
	     EVP_DigestUpdate(x, salt, CLIENT_SALT_LEN) == 1 &&
	     EVP_DigestUpdate(x, claim, strlen(claim)) == 1 &&
	     EVP_DigestFinal_ex(x, hash, NULL) == 1;
	EVP_MD_CTX_free(x);
	ok = ok && set_b64(row, "claim_salt", salt, CLIENT_SALT_LEN) &&
	     set_b64(row, "claim_sha256", hash, sizeof(hash));
	(void)json_object_del(row, "claim");
	return ok ? RC_OK : RC_CRYPTO;
}
