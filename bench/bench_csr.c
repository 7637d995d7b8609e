/* SPDX-License-Identifier: Apache-2.0 */
/* CSR in, certificate out, one thread: ours with its record in issued.log (synced for each batch of
 * 100), OpenSSL's own X.509 calls with extensions made once and no record, and the limit, which is
 * the P-256 time alone. CPU time; every request comes from a key of its own. */
#include "ca/csr.h"
#include "ca/init.h"
#include "ca/keyring.h"

#include <ftw.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define REQUESTS 10000
#define BATCH	 100
#define THEIRS	 2000
#define NOW	 INT64_C(1795539600)
#define DAY	 INT64_C(86400)

struct request {
	char name[CA_NAME_MAX + 1];
	uint8_t der[512];
	size_t len;
};

struct bench {
	char folder[64], keys[96], ca[96], log[96];
	struct ca_crypt *x;
	struct ca_keyring ring;
	struct request *requests;
	struct ca_issued_cert *out; /* BATCH */
};

static double cpu_s(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void need(bool ok, const char *what)
{
	if (!ok) {
		fprintf(stderr, "bench_csr: %s failed\n", what);
		exit(1);
	}
}

static int remove_entry(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

static void set_up(struct bench *b)
{
	struct ca_init_params p = { .zone = "iotregistry.example", .now = NOW };
	struct ca_init_result result;
	struct diag d = { 0 };
	char dir[80];

	snprintf(b->folder, sizeof(b->folder), "/tmp/bench-csr-XXXXXX");
	need(mkdtemp(b->folder), "mkdtemp");
	snprintf(dir, sizeof(dir), "%s/r", b->folder);
	p.dir = dir;
	need(ca_init(&p, &result, &d) == RC_OK, "init");
	snprintf(b->keys, sizeof(b->keys), "%s/keys", dir);
	snprintf(b->ca, sizeof(b->ca), "%s/ca", dir);
	snprintf(b->log, sizeof(b->log), "%s/keys/issued.log", dir);
	need(ca_crypt_new(&b->x, &d) == RC_OK, "crypt");
	need(ca_keyring_load(&b->ring, b->x, b->keys, b->ca, p.zone, &d) == RC_OK, "load");
	need(ca_issued_open(&b->ring.authority.issued, b->log, &d) == RC_OK, "log");
	b->requests = calloc(REQUESTS, sizeof(*b->requests));
	b->out = calloc(BATCH, sizeof(*b->out));
	need(b->requests && b->out, "memory");
	for (int i = 0; i < REQUESTS; i++) {
		struct request *r = &b->requests[i];
		struct ca_key key;
		uint8_t der[CA_CSR_MAX];
		snprintf(r->name, sizeof(r->name), "1.89122302000310%05df.%s", i, p.zone);
		need(ca_key_new(&key, &d) == RC_OK &&
				ca_csr_write(b->x, &key, r->name, NULL, der, &r->len, &d) ==
					RC_OK &&
				r->len <= sizeof(r->der),
			"request");
		memcpy(r->der, der, r->len);
		ca_key_free(&key);
	}
}

/* Certificates per CPU second. */
static double ours(struct bench *b)
{
	const struct ca_issued_entry *entries[BATCH];
	struct diag d = { 0 };
	double start = cpu_s();

	for (int i = 0; i < REQUESTS; i++) {
		const struct request *r = &b->requests[i];
		struct ca_device_order order = {
			.csr = r->der,
			.csr_len = r->len,
			.owner_name = r->name,
			.asp = "parkoserv",
			.service = "meters",
			.eid = "89049032123451234512345678901235",
			.not_before = NOW,
			.not_after = NOW + 90 * DAY,
		};
		struct ca_issued_cert *out = &b->out[i % BATCH];
		need(ca_issue_device(b->x, &b->ring.authority, &order, NOW, out, &d) == RC_OK,
			d.text);
		entries[i % BATCH] = &out->entry;
		if (i % BATCH == BATCH - 1)
			need(ca_issued_append(b->ring.authority.issued, entries, BATCH, &d) ==
					RC_OK,
				"append");
	}
	return REQUESTS / (cpu_s() - start);
}

static void add(X509_NAME *name, const char *type, const char *text)
{
	X509_NAME_add_entry_by_txt(
		name, type, V_ASN1_UTF8STRING, (const unsigned char *)text, -1, -1, 0);
}

static void add_san(X509 *cert, const char *name)
{
	GENERAL_NAMES *names = GENERAL_NAMES_new();
	GENERAL_NAME *one = GENERAL_NAME_new();
	ASN1_IA5STRING *text = ASN1_IA5STRING_new();

	ASN1_STRING_set(text, name, -1);
	GENERAL_NAME_set0_value(one, GEN_DNS, text);
	sk_GENERAL_NAME_push(names, one);
	X509_add1_ext_i2d(cert, NID_subject_alt_name, names, 0, X509V3_ADD_DEFAULT);
	GENERAL_NAMES_free(names);
}

/* One certificate by OpenSSL's calls, from the same request to the same content. */
static void theirs_one(struct bench *b, const struct request *r, X509 *issuer, X509_EXTENSION **ext)
{
	const unsigned char *at = r->der;
	X509_REQ *req = d2i_X509_REQ(NULL, &at, (long)r->len);
	EVP_PKEY *key = req ? X509_REQ_get0_pubkey(req) : NULL;
	X509 *cert = X509_new();
	uint8_t serial[CA_SERIAL_LEN], *der = NULL;

	need(key && X509_REQ_verify(req, key) == 1 && ca_serial_next(serial) == RC_OK, "request");
	X509_set_version(cert, X509_VERSION_3);
	BIGNUM *n = BN_bin2bn(serial, sizeof(serial), NULL);
	BN_to_ASN1_INTEGER(n, X509_get_serialNumber(cert));
	BN_free(n);
	X509_set_issuer_name(cert, X509_get_subject_name(issuer));
	X509_NAME *name = X509_get_subject_name(cert);
	add(name, "O", "parkoserv");
	add(name, "OU", "meters");
	add(name, "CN", r->name);
	add(name, "serialNumber", "89049032123451234512345678901235");
	ASN1_TIME_set(X509_getm_notBefore(cert), NOW);
	ASN1_TIME_set(X509_getm_notAfter(cert), NOW + 90 * DAY);
	X509_set_pubkey(cert, key);
	for (int i = 0; i < 3; i++)
		X509_add_ext(cert, ext[i], -1);
	add_san(cert, r->name);
	need(X509_sign(cert, b->ring.issuing.pkey, EVP_sha256()) > 0, "X509_sign");
	need(i2d_X509(cert, &der) > 0, "i2d_X509");
	OPENSSL_free(der);
	X509_free(cert);
	X509_REQ_free(req);
}

static double theirs(struct bench *b)
{
	const struct ca_issuer *ca = &b->ring.authority.issuing;
	const unsigned char *at = ca->cert;
	X509 *issuer = d2i_X509(NULL, &at, (long)ca->cert_len);
	X509V3_CTX ctx;
	X509V3_set_ctx(&ctx, issuer, NULL, NULL, NULL, 0);
	X509_EXTENSION *ext[] = {
		X509V3_EXT_conf_nid(NULL, &ctx, NID_key_usage, "critical,digitalSignature"),
		X509V3_EXT_conf_nid(NULL, &ctx, NID_ext_key_usage, "clientAuth"),
		X509V3_EXT_conf_nid(NULL, &ctx, NID_authority_key_identifier, "keyid"),
	};
	need(issuer && ext[0] && ext[1] && ext[2], "extensions");
	double start = cpu_s();

	for (int i = 0; i < THEIRS; i++)
		theirs_one(b, &b->requests[i], issuer, ext);
	double rate = THEIRS / (cpu_s() - start);
	for (size_t i = 0; i < ARRAY_LEN(ext); i++)
		X509_EXTENSION_free(ext[i]);
	X509_free(issuer);
	return rate;
}

/* One verification and one signature, contexts and keys kept. */
static double limit(struct bench *b)
{
	uint8_t digest[32] = { 0x5a }, sig[CA_SIG_DER_MAX];
	const int rounds = 5000;
	size_t len;
	double start = cpu_s();

	for (int i = 0; i < rounds; i++) {
		digest[0] = (uint8_t)i;
		need(ca_sign_der(b->x, &b->ring.issuing, digest, sig, &len) == RC_OK, "sign");
		need(ca_verify(b->x, b->ring.issuing.point, digest, sig, len) == RC_OK, "verify");
	}
	return rounds / (cpu_s() - start);
}

int main(void)
{
	static struct bench b;

	set_up(&b);
	double peer = theirs(&b), rate = ours(&b), most = limit(&b);
	printf("{\"work\":\"csr\",\"ours\":%.0f,\"peer\":%.0f,\"peer_name\":\"OpenSSL X509 calls\","
	       "\"limit\":%.0f,\"unit\":\"1/s/core\",\"ratio\":%.2f}\n",
		rate, peer, most, rate / peer);
	ca_issued_close(b.ring.authority.issued);
	ca_keyring_free(&b.ring);
	ca_crypt_free(b.x);
	(void)nftw(b.folder, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
	free(b.requests);
	free(b.out);
	return 0;
}
