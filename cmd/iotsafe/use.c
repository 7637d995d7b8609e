/* SPDX-License-Identifier: Apache-2.0 */
#include "iotsafe_cmd.h"

#include "base/str.h"

#include <openssl/bn.h>
#include <openssl/ecdsa.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define RANDOM_MAX    4096
#define STEP	      65536
#define SIGNATURE_MAX 80

static bool print_file(
	const struct run *run, struct iotsafe_id id, const unsigned char *bytes, size_t len)
{
	char number[2 * IOTSAFE_ID_MAX + 1], *hex;

	if (!run->json)
		return fwrite(bytes, 1, len, stdout) == len && fflush(stdout) == 0;
	hex = malloc(2 * len + 1);
	if (!hex)
		return false;
	hex_write(id.at, id.len, number);
	hex_write(bytes, len, hex);
	cmd_print(json_pack("{s:s, s:i, s:s}", "id", number, "size", (int)len, "hex", hex));
	free(hex);
	return true;
}

int cmd_read(const struct run *run)
{
	unsigned char name[IOTSAFE_ID_MAX], *bytes;
	struct iotsafe_id id;
	struct iotsafe *card;
	size_t len = 0;
	enum iotsafe_error e;
	int code = EXIT_YES;

	if (run->argc != 1 || !cmd_long_id(run->argv[0], name, &id))
		return EXIT_USAGE;
	card = cmd_open(run);
	if (!card)
		return EXIT_CANNOT_TELL;
	bytes = malloc(IOTSAFE_FILE_MAX);
	e = bytes ? iotsafe_read_file_by_id(card, id, bytes, IOTSAFE_FILE_MAX, &len)
		  : IOTSAFE_ENOMEM;
	if (e != IOTSAFE_OK)
		code = cmd_card_error(run, card, e, "read");
	else if (!print_file(run, id, bytes, len))
		code = cmd_fail(run, EXIT_NO, "standard output");
	free(bytes);
	iotsafe_close(card);
	return code;
}

static bool digest_stream(FILE *in, unsigned char digest[IOTSAFE_DIGEST_LEN])
{
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	unsigned char *buf = malloc(STEP);
	bool ok = ctx && buf && EVP_DigestInit_ex2(ctx, EVP_sha256(), NULL) == 1;
	size_t n;

	while (ok && (n = fread(buf, 1, STEP, in)) > 0)
		ok = EVP_DigestUpdate(ctx, buf, n) == 1;
	ok = ok && !ferror(in) && EVP_DigestFinal_ex(ctx, digest, NULL) == 1;
	EVP_MD_CTX_free(ctx);
	free(buf);
	return ok;
}

static bool print_signature(const struct run *run, const unsigned char sig[IOTSAFE_SIG_LEN])
{
	char r[65], s[65];
	ECDSA_SIG *e;
	unsigned char *der = NULL;
	bool ok;
	int len;

	if (run->json) {
		hex_write(sig, 32, r);
		hex_write(sig + 32, 32, s);
		cmd_print(json_pack("{s:s, s:s}", "r", r, "s", s));
		return true;
	}
	e = ECDSA_SIG_new();
	ok = e && ECDSA_SIG_set0(e, BN_bin2bn(sig, 32, NULL), BN_bin2bn(sig + 32, 32, NULL)) == 1;
	len = ok ? i2d_ECDSA_SIG(e, &der) : 0;
	ok = len > 0 && fwrite(der, 1, (size_t)len, stdout) == (size_t)len;
	OPENSSL_free(der);
	ECDSA_SIG_free(e);
	return ok;
}

int cmd_sign(const struct run *run)
{
	unsigned char name[IOTSAFE_ID_MAX], digest[IOTSAFE_DIGEST_LEN], sig[IOTSAFE_SIG_LEN];
	struct iotsafe_id id;
	FILE *in = stdin;
	struct iotsafe *card;
	enum iotsafe_error e;
	bool ok;
	int code = EXIT_YES;

	if (run->argc < 1 || run->argc > 2 || !cmd_long_id(run->argv[0], name, &id))
		return EXIT_USAGE;
	if (run->argc == 2)
		in = fopen(run->argv[1], "rbe");
	if (!in)
		return cmd_fail(run, EXIT_NO, "the file cannot be opened");
	ok = digest_stream(in, digest);
	if (in != stdin)
		(void)fclose(in);
	if (!ok)
		return cmd_fail(run, EXIT_NO, "the input cannot be read");
	card = cmd_open(run);
	if (!card)
		return EXIT_CANNOT_TELL;
	e = iotsafe_sign_by_id(card, id, digest, sig);
	if (e != IOTSAFE_OK)
		code = cmd_card_error(run, card, e, "sign");
	else if (!print_signature(run, sig))
		code = cmd_fail(run, EXIT_NO, "standard output");
	iotsafe_close(card);
	return code;
}

static bool read_small(const char *path, unsigned char *out, size_t cap, size_t *len)
{
	FILE *f = fopen(path, "rbe");

	*len = f ? fread(out, 1, cap, f) : 0;
	if (f)
		(void)fclose(f);
	return *len > 0 && *len < cap;
}

/* The public key is the card's; the arithmetic is the host's. */
int cmd_verify_text(const struct run *run)
{
	unsigned char id, digest[IOTSAFE_DIGEST_LEN], sig[SIGNATURE_MAX];
	FILE *in = stdin;
	struct iotsafe *card;
	EVP_PKEY *key = NULL;
	EVP_PKEY_CTX *ctx = NULL;
	size_t len = 0;
	int code = EXIT_NO;

	if (run->argc < 2 || run->argc > 3 || !cmd_id(run->argv[0], &id))
		return EXIT_USAGE;
	if (!read_small(run->argv[1], sig, sizeof(sig), &len))
		return cmd_fail(run, EXIT_CANNOT_TELL, "the signature cannot be read");
	if (run->argc == 3)
		in = fopen(run->argv[2], "rbe");
	if (!in || !digest_stream(in, digest))
		return cmd_fail(run, EXIT_CANNOT_TELL, "the input cannot be read");
	card = cmd_open(run);
	if (!card)
		return EXIT_CANNOT_TELL;
	enum iotsafe_error e = iotsafe_evp_pkey(card, id, &key);
	if (e != IOTSAFE_OK) {
		(void)cmd_card_error(run, card, e, "verify");
		code = EXIT_CANNOT_TELL;
	} else {
		ctx = EVP_PKEY_CTX_new_from_pkey(NULL, key, NULL);
		if (ctx && EVP_PKEY_verify_init(ctx) == 1 &&
			EVP_PKEY_verify(ctx, sig, len, digest, sizeof(digest)) == 1)
			code = EXIT_YES;
		if (run->json)
			cmd_print(json_pack("{s:b}", "good", code == EXIT_YES));
		else
			puts(code == EXIT_YES ? "good" : "not this key's signature");
	}
	EVP_PKEY_CTX_free(ctx);
	EVP_PKEY_free(key);
	iotsafe_close(card);
	if (in != stdin)
		(void)fclose(in);
	return code;
}

/* Subject and subjectAltName of a certificate: a renewal asks for the same (RFC 7030 4.2.2). */
static bool same_names(X509_REQ *req, const X509 *like)
{
	int at = X509_get_ext_by_NID(like, NID_subject_alt_name, -1);
	STACK_OF(X509_EXTENSION) *list = sk_X509_EXTENSION_new_null();
	bool ok = list && X509_REQ_set_subject_name(req, X509_get_subject_name(like)) == 1;

	if (ok && at >= 0)
		ok = sk_X509_EXTENSION_push(list, X509_get_ext(like, at)) > 0 &&
		     X509_REQ_add_extensions(req, list) == 1;
	sk_X509_EXTENSION_free(list);
	return ok;
}

X509_REQ *cmd_csr_make(EVP_PKEY *key, const char *cn, const X509 *like)
{
	X509_REQ *req = X509_REQ_new();
	bool ok = req && X509_REQ_set_version(req, X509_REQ_VERSION_1) == 1 &&
		  X509_REQ_set_pubkey(req, key) == 1 && (!like || same_names(req, like));

	if (ok && cn && !like)
		ok = X509_NAME_add_entry_by_NID(X509_REQ_get_subject_name(req), NID_commonName,
			     MBSTRING_UTF8, (const unsigned char *)cn, -1, -1, 0) == 1;
	if (ok && X509_REQ_sign(req, key, EVP_sha256()) > 0)
		return req;
	X509_REQ_free(req);
	return NULL;
}

static bool print_csr(const struct run *run, EVP_PKEY *key, const char *cn)
{
	X509_REQ *req = cmd_csr_make(key, cn, NULL);
	BIO *text = BIO_new(BIO_s_mem());
	char *at = NULL;
	bool ok = req && text && PEM_write_bio_X509_REQ(text, req) == 1;
	long len = ok ? BIO_get_mem_data(text, &at) : 0;

	if (ok && run->json)
		cmd_print(json_pack("{s:s%}", "csr", at, (size_t)len));
	else if (ok)
		ok = fwrite(at, 1, (size_t)len, stdout) == (size_t)len;
	BIO_free(text);
	X509_REQ_free(req);
	return ok;
}

int cmd_csr(const struct run *run)
{
	unsigned char id;
	struct iotsafe *card;
	EVP_PKEY *key = NULL;
	enum iotsafe_error e;
	int code = EXIT_YES;

	if (run->argc < 1 || run->argc > 2 || !cmd_id(run->argv[0], &id))
		return EXIT_USAGE;
	if (run->argc == 2 && strlen(run->argv[1]) > CN_MAX)
		return cmd_fail(run, EXIT_USAGE, "a common name holds 64 octets (RFC 5280 A.1)");
	card = cmd_open(run);
	if (!card)
		return EXIT_CANNOT_TELL;
	e = iotsafe_evp_pkey(card, id, &key);
	if (e != IOTSAFE_OK)
		code = cmd_card_error(run, card, e, "csr");
	else if (!print_csr(run, key, run->argc == 2 ? run->argv[1] : NULL))
		code = cmd_card_error(run, card, IOTSAFE_ECRYPTO, "csr");
	EVP_PKEY_free(key);
	iotsafe_close(card);
	return code;
}

int cmd_random(const struct run *run)
{
	unsigned char bytes[RANDOM_MAX];
	char hex[2 * RANDOM_MAX + 1];
	uint64_t n = 0;
	struct iotsafe *card;
	enum iotsafe_error e;
	int code = EXIT_YES;

	if (run->argc != 1 || u64_read(run->argv[0], 1, RANDOM_MAX, &n) != RC_OK)
		return EXIT_USAGE;
	card = cmd_open(run);
	if (!card)
		return EXIT_CANNOT_TELL;
	e = iotsafe_random(card, bytes, (size_t)n);
	if (e == IOTSAFE_OK) {
		hex_write(bytes, (size_t)n, hex);
		if (run->json)
			cmd_print(json_pack("{s:s}", "random", hex));
		else
			puts(hex);
	} else {
		code = cmd_card_error(run, card, e, "random");
	}
	iotsafe_close(card);
	return code;
}
