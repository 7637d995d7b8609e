/* SPDX-License-Identifier: Apache-2.0 */
/* The floor: CPU time of one P-256 signature and one verification of a digest
 * on this machine now, in the best form of OpenSSL's EVP (a context kept). */
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define ROUNDS 8000

static double cpu_us(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
	return (double)ts.tv_sec * 1e6 + (double)ts.tv_nsec / 1e3;
}

int main(void)
{
	EVP_PKEY *key = EVP_EC_gen("P-256");
	EVP_PKEY_CTX *sign = EVP_PKEY_CTX_new(key, NULL), *verify = EVP_PKEY_CTX_new(key, NULL);
	unsigned char digest[32], sig[80];
	size_t len = 0;
	double start, sign_us, verify_us;

	memset(digest, 0x5a, sizeof(digest));
	if (!key || EVP_PKEY_sign_init(sign) != 1 || EVP_PKEY_verify_init(verify) != 1)
		return 1;
	start = cpu_us();
	for (int i = 0; i < ROUNDS; i++) {
		len = sizeof(sig);
		digest[0] = (unsigned char)i;
		if (EVP_PKEY_sign(sign, sig, &len, digest, sizeof(digest)) != 1)
			return 1;
	}
	sign_us = (cpu_us() - start) / ROUNDS;
	start = cpu_us();
	for (int i = 0; i < ROUNDS / 2; i++)
		if (EVP_PKEY_verify(verify, sig, len, digest, sizeof(digest)) != 1)
			return 1;
	verify_us = (cpu_us() - start) / (ROUNDS / 2);
	printf("{\"sign_us\":%.2f,\"verify_us\":%.2f}\n", sign_us, verify_us);
	EVP_PKEY_CTX_free(sign);
	EVP_PKEY_CTX_free(verify);
	EVP_PKEY_free(key);
	return 0;
}
