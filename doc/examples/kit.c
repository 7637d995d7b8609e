/* SPDX-License-Identifier: Apache-2.0 */
/* What the published kit does in C++, Python and Go, in one C program on libiotsafe: reads the
 * card's files, makes the kit's checks in the kit's order, asks the DNS once, and speaks to the
 * service over mutual TLS with the key on the card.
 *
 * Usage: kit ADDR PORT PIN ANCHORS. The first three name the trusted resolver (DNS over TLS; PIN is
 * the base64 SHA-256 of its key), ANCHORS is a file of DS records; IOTSAFE_CARD names the card.
 * Standard input goes to the service, its answer to standard output. */
#include "iotsafe.h"

#include "dane/dane.h"
#include "device/service.h"

#include <arpa/inet.h>
#include <openssl/evp.h>
#include <openssl/sha.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

enum {
	F_DEVICE = 2,
	F_ASP = 3,
	F_ROOT = 6,
	F_SUB = 7,
	F_ENDPOINT = 8,
	F_SIG_ENDPOINT = 9,
	F_SIG_ASP = 0xa
};

struct file {
	unsigned char at[4096];
	size_t len;
};

struct kit {
	struct iotsafe *card;
	struct file files[11];
	X509 *root, *sub, *device, *asp;
	char url[128], host[128], port[8], name[256];
};

static _Noreturn void refuse(const char *step, const char *why)
{
	(void)fprintf(stderr, "kit: %s: %s\n", step, why);
	exit(EXIT_FAILURE);
}

static void passed(const char *step, const char *what)
{
	(void)fprintf(stderr, "kit: %s: %s\n", step, what);
}

static void read_files(struct kit *k)
{
	static const unsigned char numbers[] = { F_DEVICE, F_ASP, F_ROOT, F_SUB, F_ENDPOINT,
		F_SIG_ENDPOINT, F_SIG_ASP };

	for (size_t i = 0; i < sizeof(numbers); i++) {
		struct file *f = &k->files[numbers[i]];
		if (iotsafe_read_file(k->card, numbers[i], f->at, sizeof(f->at), &f->len) !=
			IOTSAFE_OK)
			refuse("card", iotsafe_last_error(k->card));
	}
}

static X509 *certificate(const struct file *f)
{
	const unsigned char *at = f->at;
	X509 *x = d2i_X509(NULL, &at, (long)f->len);

	if (!x)
		refuse("certificates", "a file of the card is no certificate");
	return x;
}

/* 1. Root signs itself, root signs sub, sub signs device. */
static void check_chain(struct kit *k)
{
	X509_STORE *store = X509_STORE_new();
	X509_STORE_CTX *ctx = X509_STORE_CTX_new();
	STACK_OF(X509) *between = sk_X509_new_null();

	k->root = certificate(&k->files[F_ROOT]);
	k->sub = certificate(&k->files[F_SUB]);
	k->device = certificate(&k->files[F_DEVICE]);
	X509_STORE_add_cert(store, k->root);
	sk_X509_push(between, k->sub);
	if (X509_self_signed(k->root, 1) != 1 ||
		X509_STORE_CTX_init(ctx, store, k->device, between) != 1 ||
		X509_verify_cert(ctx) != 1)
		refuse("chain", X509_verify_cert_error_string(X509_STORE_CTX_get_error(ctx)));
	X509_NAME_get_text_by_NID(
		X509_get_subject_name(k->device), NID_commonName, k->name, sizeof(k->name));
	passed("chain", k->name);
	sk_X509_free(between);
	X509_STORE_CTX_free(ctx);
	X509_STORE_free(store);
}

static void check_signature(
	const struct kit *k, const char *step, const struct file *sig, const struct file *over)
{
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();

	if (EVP_DigestVerifyInit(ctx, NULL, EVP_sha256(), NULL, X509_get0_pubkey(k->sub)) != 1 ||
		EVP_DigestVerify(ctx, sig->at, sig->len, over->at, over->len) != 1)
		refuse(step, "the signature is not the sub CA's");
	EVP_MD_CTX_free(ctx);
}

/* {"url": "...", "port": N}, at most 100 bytes, signed: two values are all that is wanted. */
static void read_endpoint(struct kit *k)
{
	char text[101] = "";
	const char *url, *port;
	size_t n = k->files[F_ENDPOINT].len;
	unsigned number = 0;

	if (n >= sizeof(text))
		refuse("endpoint", "longer than 100 bytes");
	memcpy(text, k->files[F_ENDPOINT].at, n);
	url = strstr(text, "\"url\"");
	port = strstr(text, "\"port\"");
	if (!url || sscanf(url + 5, " : \"%127[^\"]\"", k->url) != 1 || !port ||
		sscanf(port + 6, " : %5u", &number) != 1 || number == 0 || number > 65535)
		refuse("endpoint", text);
	(void)snprintf(k->port, sizeof(k->port), "%u", number);
	/* A host, with or without a scheme and a path. */
	url = strstr(k->url, "://") ? strstr(k->url, "://") + 3 : k->url;
	(void)snprintf(k->host, sizeof(k->host), "%.*s", (int)strcspn(url, ":/"), url);
	passed("endpoint", text);
}

/* 3. The ASP's certificate is within its dates, and vouched for. */
static void check_asp(struct kit *k)
{
	k->asp = certificate(&k->files[F_ASP]);
	if (X509_cmp_current_time(X509_get0_notBefore(k->asp)) >= 0 ||
		X509_cmp_current_time(X509_get0_notAfter(k->asp)) <= 0)
		refuse("service", "its certificate is not within its dates");
	check_signature(k, "service", &k->files[F_SIG_ASP], &k->files[F_ASP]);
	passed("service", "its certificate is the registry's word");
}

static size_t read_anchors(const char *path, struct dane_anchor *out, size_t cap)
{
	FILE *f = fopen(path, "re");
	char line[512], name[256], digest[200];
	unsigned tag, algorithm, type;
	size_t n = 0;

	while (f && n < cap && fgets(line, sizeof(line), f)) {
		const char *ds = strstr(line, "DS");
		struct dane_anchor *a = &out[n];
		if (!ds || sscanf(line, "%255s", name) != 1 ||
			sscanf(ds + 2, "%u %u %u %199s", &tag, &algorithm, &type, digest) != 4)
			continue;
		*a = (struct dane_anchor){ .tag = (uint16_t)tag,
			.algorithm = (uint8_t)algorithm,
			.digest_type = (uint8_t)type };
		for (; a->digest_len < sizeof(a->digest) &&
			sscanf(digest + 2 * a->digest_len, "%2hhx", &a->digest[a->digest_len]) ==
				1;)
			a->digest_len++;
		if (strlen(name) > 1 && name[strlen(name) - 1] == '.')
			name[strlen(name) - 1] = '\0';
		(void)snprintf(a->name, sizeof(a->name), "%s", name);
		n++;
	}
	if (f)
		(void)fclose(f);
	return n;
}

/* 4. One validated question: the record is this certificate's. */
static void check_record(struct kit *k, char **argv)
{
	static struct dane_answer answer;
	struct dane_anchor anchors[4];
	struct dane_resolver resolver = { .name = "localhost", .addr_len = 4, .n_pins = 1 };
	struct dane_options o = { .anchors = anchors, .resolvers = &resolver, .n_resolvers = 1 };
	unsigned char pin[48], hash[32];
	struct dane *dane = NULL;
	struct diag d = { 0 };
	bool good = false;

	o.n_anchors = read_anchors(argv[4], anchors, 4);
	if (inet_pton(AF_INET, argv[1], resolver.addr) != 1 ||
		sscanf(argv[2], "%5hu", &resolver.port) != 1 || strlen(argv[3]) != 44 ||
		EVP_DecodeBlock(pin, (const unsigned char *)argv[3], 44) != 33)
		refuse("arguments", "ADDR PORT PIN ANCHORS");
	memcpy(resolver.pins[0], pin, 32);
	if (dane_new(&o, &dane, &d) != RC_OK)
		refuse("record", d.text);
	SHA256(k->files[F_DEVICE].at, k->files[F_DEVICE].len, hash);
	dane_lookup(dane, k->name, DANE_TYPE_CERT, &answer);
	for (size_t i = 0; answer.status == DANE_SECURE && i < answer.n_rrs; i++)
		good = good || dane_cert_match(&answer.rrs[i], hash);
	if (!good)
		refuse("record", answer.why);
	passed("record", answer.why);
	dane_free(dane);
}

/* 5. TLS with the ASP's certificate as the only anchor, our key on the card. */
static bool speak(struct kit *k)
{
	SSL_CTX *ctx = NULL;
	BIO *bio;
	SSL *ssl = NULL;
	bool ok;

	if (iotsafe_ssl_ctx(k->card, 1, &ctx) != IOTSAFE_OK)
		refuse("TLS", iotsafe_last_error(k->card));
	X509_STORE_add_cert(SSL_CTX_get_cert_store(ctx), k->asp);
	X509_VERIFY_PARAM_set_flags(SSL_CTX_get0_param(ctx), X509_V_FLAG_PARTIAL_CHAIN);
	(void)SSL_CTX_clear_mode(ctx, SSL_MODE_AUTO_RETRY);
	bio = BIO_new_ssl_connect(ctx);
	BIO_get_ssl(bio, &ssl);
	BIO_set_conn_hostname(bio, k->host);
	BIO_set_conn_port(bio, k->port);
	(void)SSL_set_tlsext_host_name(ssl, k->host);
	(void)SSL_set1_host(ssl, k->host);
	if (BIO_do_connect(bio) != 1)
		refuse("TLS", X509_verify_cert_error_string(SSL_get_verify_result(ssl)));
	passed("TLS", SSL_get_version(ssl));
	ok = service_carry(ssl, SSL_get_fd(ssl), STDIN_FILENO, STDOUT_FILENO);
	BIO_free_all(bio);
	SSL_CTX_free(ctx);
	return ok;
}

int main(int argc, char **argv)
{
	static struct kit k;
	char why[IOTSAFE_ERROR_MAX] = "";
	bool ok;

	if (argc != 5)
		refuse("arguments", "ADDR PORT PIN ANCHORS");
	if (iotsafe_open(NULL, &k.card, why, sizeof(why)) != IOTSAFE_OK)
		refuse("card", why);
	read_files(&k);
	check_chain(&k);
	check_signature(&k, "endpoint", &k.files[F_SIG_ENDPOINT], &k.files[F_ENDPOINT]);
	read_endpoint(&k);
	check_asp(&k);
	check_record(&k, argv);
	ok = speak(&k);
	X509_free(k.root);
	X509_free(k.sub);
	X509_free(k.device);
	X509_free(k.asp);
	iotsafe_close(k.card);
	return ok ? EXIT_SUCCESS : EXIT_FAILURE;
}
