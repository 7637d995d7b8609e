/* SPDX-License-Identifier: Apache-2.0 */
#include "http/cmp.h"

#include <openssl/cmp.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* RFC 9810 section 5.1.2: numbers of PKIBody. */
enum { BODY_ERROR = 23, BODY_POLL_REQ = 25 };

/* A transaction between its messages: the library's context of it, and what it is about. */
struct transaction {
	OSSL_CMP_SRV_CTX *srv; /* NULL: a free place */
	uint8_t spki_sha256[ENROL_SPKI_LEN];
	uint8_t id[16];
	uint64_t deadline_ms;
	struct cmp_ask *ask; /* the request, while it waits; owned */
	X509 *cert;	     /* that waits for certConf */
};

struct cmp {
	X509 *cert;
	STACK_OF(X509) * chain;
	EVP_PKEY *key;
	const char *zone; /* borrowed */
	const struct clock *clock;
	struct transaction transactions[CMP_TRANSACTIONS];
};

struct cmp_ask {
	struct enrol_csr csr;
	X509 *signer;
	uint8_t spki_sha256[ENROL_SPKI_LEN];
	OSSL_CMP_MSG *request;	 /* p10cr */
	OSSL_CMP_MSG *poll;	 /* the pollReq at hand; NULL: the p10cr itself */
	struct transaction *was; /* of `poll` */
};

/* What the library's call-backs of one pass see; its custom context. */
struct pass {
	struct cmp *cmp;
	struct cmp_ask *ask; /* given: what waits; a first pass makes it */
	const struct cmp_verdict *verdict;
	struct transaction *transaction;
	struct diag *why;
	X509 *issued; /* went into the answer */
	bool asked;   /* first pass: there is a CSR to ask for */
};

void cmp_reply_free(struct cmp_reply *r)
{
	OPENSSL_free(r->der);
	*r = (struct cmp_reply){ 0 };
}

void cmp_ask_free(struct cmp_ask *ask)
{
	if (!ask)
		return;
	X509_free(ask->signer);
	OSSL_CMP_MSG_free(ask->request);
	OSSL_CMP_MSG_free(ask->poll);
	free(ask);
}

const struct enrol_csr *cmp_csr(const struct cmp_ask *ask)
{
	return &ask->csr;
}

bool cmp_is(const char *path)
{
	size_t len = sizeof(CMP_PATH) - 1;

	return strncmp(path, CMP_PATH, len) == 0 && (!path[len] || path[len] == '/');
}

/* ---- transactions ----------------------------------------------------------------------- */

static void transaction_end(struct transaction *t)
{
	OSSL_CMP_SRV_CTX_free(t->srv);
	X509_free(t->cert);
	cmp_ask_free(t->ask);
	*t = (struct transaction){ 0 };
}

static uint64_t now_ms(const struct cmp *c)
{
	return c->clock->monotonic_ms(c->clock);
}

/* A free place; the oldest gives way when there is none. */
static struct transaction *transaction_new(struct cmp *c)
{
	struct transaction *oldest = &c->transactions[0];

	for (size_t i = 0; i < CMP_TRANSACTIONS; i++) {
		struct transaction *t = &c->transactions[i];

		if (t->srv && t->deadline_ms <= now_ms(c))
			transaction_end(t);
		if (!t->srv)
			return t;
		if (t->deadline_ms < oldest->deadline_ms)
			oldest = t;
	}
	transaction_end(oldest);
	return oldest;
}

static bool id_of(const OSSL_CMP_MSG *msg, uint8_t out[16])
{
	const ASN1_OCTET_STRING *id =
		OSSL_CMP_HDR_get0_transactionID(OSSL_CMP_MSG_get0_header(msg));

	if (!id || ASN1_STRING_length(id) != 16)
		return false;
	memcpy(out, ASN1_STRING_get0_data(id), 16);
	return true;
}

static struct transaction *transaction_find(
	struct cmp *c, const OSSL_CMP_MSG *msg, const uint8_t spki_sha256[ENROL_SPKI_LEN])
{
	uint8_t id[16];

	if (!id_of(msg, id))
		return NULL;
	for (size_t i = 0; i < CMP_TRANSACTIONS; i++) {
		struct transaction *t = &c->transactions[i];

		if (t->srv && t->deadline_ms > now_ms(c) && memcmp(t->id, id, 16) == 0 &&
			memcmp(t->spki_sha256, spki_sha256, ENROL_SPKI_LEN) == 0)
			return t;
	}
	return NULL;
}

/* ---- the library's call-backs ------------------------------------------------------------- */

static int quiet(
	const char *func, const char *file, int line, OSSL_CMP_severity level, const char *msg)
{
	(void)func;
	(void)file;
	(void)line;
	(void)level;
	(void)msg;
	return 1;
}

static OSSL_CMP_PKISI *reject(int failure, const char *why)
{
	return OSSL_CMP_STATUSINFO_new(OSSL_CMP_PKISTATUS_rejection, 1 << failure, why);
}

/* First pass: the message is good; whose it is and which CSR, is taken down. */
static OSSL_CMP_PKISI *take_down(struct pass *p, const X509_REQ *p10cr)
{
	unsigned char *der = NULL;
	int len = i2d_X509_REQ(p10cr, &der);
	enum rc rc = len > 0 ? enrol_csr_read(der, (size_t)len, p->cmp->zone, &p->ask->csr, p->why)
			     : RC_NOMEM;

	OPENSSL_free(der);
	if (rc != RC_OK)
		return reject(rc == RC_SIGNATURE ? OSSL_CMP_PKIFAILUREINFO_badPOP
						 : OSSL_CMP_PKIFAILUREINFO_badCertTemplate,
			p->why->text);
	p->asked = true;
	return reject(OSSL_CMP_PKIFAILUREINFO_systemFailure, "not answered yet");
}

static OSSL_CMP_PKISI *on_cert_request(OSSL_CMP_SRV_CTX *srv, const OSSL_CMP_MSG *req,
	int cert_req_id, const OSSL_CRMF_MSG *crm, const X509_REQ *p10cr, X509 **cert_out,
	STACK_OF(X509) * *chain_out, STACK_OF(X509) * *ca_pubs)
{
	struct pass *p = OSSL_CMP_SRV_CTX_get0_custom_ctx(srv);
	const unsigned char *at;

	(void)req;
	(void)cert_req_id;
	(void)crm;
	(void)chain_out;
	(void)ca_pubs;
	if (!p10cr)
		return reject(OSSL_CMP_PKIFAILUREINFO_badRequest, "only p10cr is spoken here");
	if (!p->verdict)
		return take_down(p, p10cr);
	if (p->verdict->waiting)
		return OSSL_CMP_STATUSINFO_new(OSSL_CMP_PKISTATUS_waiting, 0, "being published");
	if (!p->verdict->cert)
		return reject(p->verdict->unavailable ? OSSL_CMP_PKIFAILUREINFO_systemUnavail
						      : OSSL_CMP_PKIFAILUREINFO_notAuthorized,
			p->verdict->why);
	at = p->verdict->cert;
	*cert_out = d2i_X509(NULL, &at, (long)p->verdict->cert_len);
	if (!*cert_out || X509_up_ref(*cert_out) != 1)
		return reject(OSSL_CMP_PKIFAILUREINFO_systemFailure, "no certificate");
	p->issued = *cert_out;
	return OSSL_CMP_STATUSINFO_new(OSSL_CMP_PKISTATUS_accepted, 0, NULL);
}

/* RFC 9810 section 5.3.18: the hash is made as the certificate was signed, with SHA-256. */
static int on_cert_conf(OSSL_CMP_SRV_CTX *srv, const OSSL_CMP_MSG *req, int cert_req_id,
	const ASN1_OCTET_STRING *cert_hash, const OSSL_CMP_PKISI *si)
{
	struct pass *p = OSSL_CMP_SRV_CTX_get0_custom_ctx(srv);
	uint8_t sha256[ENROL_SPKI_LEN];
	unsigned len = 0;

	(void)req;
	(void)cert_req_id;
	(void)si;
	if (!p->transaction || !p->transaction->cert ||
		X509_digest(p->transaction->cert, EVP_sha256(), sha256, &len) != 1 ||
		ASN1_STRING_length(cert_hash) != (int)len ||
		memcmp(ASN1_STRING_get0_data(cert_hash), sha256, len) != 0) {
		ERR_raise_data(ERR_LIB_CMP, CMP_R_CERTHASH_UNMATCHED, "another certificate");
		return 0;
	}
	return 1;
}

static int on_poll(OSSL_CMP_SRV_CTX *srv, const OSSL_CMP_MSG *req, int cert_req_id,
	OSSL_CMP_MSG **cert_req, int64_t *check_after)
{
	struct pass *p = OSSL_CMP_SRV_CTX_get0_custom_ctx(srv);

	(void)req;
	(void)cert_req_id;
	*cert_req = NULL;
	*check_after = CMP_RETRY_S;
	if (!p->ask || !p->verdict)
		return 0;
	if (!p->verdict->waiting)
		*cert_req = OSSL_CMP_MSG_dup(p->ask->request);
	return p->verdict->waiting || *cert_req;
}

static OSSL_CMP_SRV_CTX *new_context(struct cmp *c, X509 *signer)
{
	OSSL_CMP_SRV_CTX *srv = OSSL_CMP_SRV_CTX_new(NULL, NULL);
	OSSL_CMP_CTX *ctx = srv ? OSSL_CMP_SRV_CTX_get0_cmp_ctx(srv) : NULL;

	/* The signer is pinned: no path is looked for, TLS has verified it. */
	if (ctx && OSSL_CMP_CTX_set_log_cb(ctx, quiet) && OSSL_CMP_CTX_set1_cert(ctx, c->cert) &&
		OSSL_CMP_CTX_set1_pkey(ctx, c->key) &&
		(!c->chain || OSSL_CMP_CTX_set1_extraCertsOut(ctx, c->chain)) &&
		OSSL_CMP_CTX_set1_srvCert(ctx, signer) &&
		OSSL_CMP_SRV_CTX_init(
			srv, NULL, on_cert_request, NULL, NULL, NULL, on_cert_conf, on_poll) &&
		OSSL_CMP_SRV_CTX_set_grant_implicit_confirm(srv, 1))
		return srv;
	OSSL_CMP_SRV_CTX_free(srv);
	return NULL;
}

/* ---- passes ----------------------------------------------------------------------------- */

/* The library says why to the client only. */
static void explain(OSSL_CMP_SRV_CTX *srv, const OSSL_CMP_MSG *msg, struct diag *d)
{
	if (OSSL_CMP_validate_msg(OSSL_CMP_SRV_CTX_get0_cmp_ctx(srv), msg) != 1)
		(void)diag_set(d, RC_SIGNATURE,
			"cmp: not signed by the key of the TLS client certificate");
	else
		(void)diag_set(d, RC_UNSUPPORTED,
			"cmp: body %d does not stand here, or is malformed",
			OSSL_CMP_MSG_get_bodytype(msg));
}

/* One message through the library, in `srv`, whose call-backs see `p`. */
static OSSL_CMP_MSG *run(OSSL_CMP_SRV_CTX *srv, struct pass *p, const OSSL_CMP_MSG *msg)
{
	OSSL_CMP_MSG *answer = NULL;

	if (OSSL_CMP_SRV_CTX_init(srv, p, on_cert_request, NULL, NULL, NULL, on_cert_conf, on_poll))
		answer = OSSL_CMP_SRV_process_request(srv, msg);
	if (p->why && !*p->why->text && !p->asked &&
		(!answer || OSSL_CMP_MSG_get_bodytype(answer) == BODY_ERROR))
		explain(srv, msg, p->why);
	ERR_clear_error();
	return answer;
}

static enum rc write_out(OSSL_CMP_MSG *take_answer, struct cmp_reply *out)
{
	int len = take_answer ? i2d_OSSL_CMP_MSG(take_answer, &out->der) : -1;

	OSSL_CMP_MSG_free(take_answer);
	if (len <= 0)
		return RC_CRYPTO;
	out->len = (size_t)len;
	return RC_OK;
}

static struct cmp_ask *ask_new(const struct enrol_client *client, OSSL_CMP_MSG *take_request)
{
	struct cmp_ask *ask = calloc(1, sizeof(*ask));

	if (!ask || X509_up_ref(client->cert) != 1) {
		OSSL_CMP_MSG_free(take_request);
		free(ask);
		return NULL;
	}
	ask->signer = client->cert;
	memcpy(ask->spki_sha256, client->spki_sha256, ENROL_SPKI_LEN);
	ask->request = take_request;
	return ask;
}

/* The first message of a transaction, or what is none of ours. */
static enum rc take_first(struct cmp *c, const struct enrol_client *client, OSSL_CMP_MSG *take_msg,
	struct cmp_ask **out_ask, struct cmp_reply *out, struct diag *d)
{
	struct cmp_ask *ask = ask_new(client, take_msg);
	struct pass p = { .cmp = c, .ask = ask, .why = d };
	OSSL_CMP_SRV_CTX *srv = ask ? new_context(c, client->cert) : NULL;
	OSSL_CMP_MSG *answer = srv ? run(srv, &p, ask->request) : NULL;
	enum rc rc = RC_OK;

	OSSL_CMP_SRV_CTX_free(srv);
	if (p.asked) {
		OSSL_CMP_MSG_free(answer);
		*out_ask = ask;
		return RC_OK;
	}
	rc = write_out(answer, out);
	cmp_ask_free(ask);
	return rc;
}

/* certConf and pollReq. */
static enum rc take_later(struct cmp *c, struct transaction *t, OSSL_CMP_MSG *take_msg,
	struct cmp_ask **out_ask, struct cmp_reply *out, struct diag *d)
{
	struct pass p = { .cmp = c, .transaction = t, .why = d };
	enum rc rc;

	if (t->ask && OSSL_CMP_MSG_get_bodytype(take_msg) == BODY_POLL_REQ) {
		t->ask->poll = take_msg;
		t->ask->was = t;
		*out_ask = t->ask;
		t->ask = NULL;
		return RC_OK;
	}
	rc = write_out(run(t->srv, &p, take_msg), out);
	OSSL_CMP_MSG_free(take_msg);
	transaction_end(t);
	return rc;
}

enum rc cmp_take(struct cmp *c, const struct enrol_client *client, const uint8_t *body, size_t len,
	struct cmp_ask **ask, struct cmp_reply *out, struct diag *d)
{
	const unsigned char *at = body;
	struct transaction *t;
	OSSL_CMP_MSG *msg;

	*ask = NULL;
	*out = (struct cmp_reply){ 0 };
	d->text[0] = '\0';
	if (len > CMP_BODY_MAX)
		return diag_set(d, RC_TOO_LARGE, "cmp: more than %d bytes", CMP_BODY_MAX);
	msg = len ? d2i_OSSL_CMP_MSG(NULL, &at, (long)len) : NULL;
	ERR_clear_error();
	if (!msg || at != body + len || !OSSL_CMP_MSG_get0_header(msg)) {
		OSSL_CMP_MSG_free(msg);
		return diag_set(d, RC_MALFORMED, "cmp: not one PKIMessage in DER (RFC 9810)");
	}
	t = transaction_find(c, msg, client->spki_sha256);
	if (t)
		return take_later(c, t, msg, ask, out, d);
	return take_first(c, client, msg, ask, out, d);
}

/* Keeps the context of a transaction that goes on, with what it waits for. */
static void keep(struct cmp *c, struct transaction *t, OSSL_CMP_SRV_CTX *take_srv,
	struct cmp_ask *take_ask, X509 *take_cert)
{
	if (!t)
		t = transaction_new(c);
	t->srv = take_srv;
	memcpy(t->spki_sha256, take_ask->spki_sha256, ENROL_SPKI_LEN);
	t->deadline_ms = now_ms(c) + CMP_LIFE_MS;
	X509_free(t->cert);
	t->cert = take_cert;
	OSSL_CMP_MSG_free(take_ask->poll);
	take_ask->poll = NULL;
	take_ask->was = NULL;
	if (take_cert) {
		cmp_ask_free(take_ask);
		t->ask = NULL;
	} else {
		t->ask = take_ask;
	}
}

enum rc cmp_answer(struct cmp *c, struct cmp_ask *take_ask, const struct cmp_verdict *verdict,
	struct cmp_reply *out)
{
	struct transaction *was = take_ask->was;
	uint8_t id[16] = { 0 };
	bool has_id = id_of(take_ask->request, id);
	/* The place may have been given to another transaction meanwhile. */
	bool known = was && was->srv && !was->ask && memcmp(was->id, id, sizeof(id)) == 0;
	struct pass p = { .cmp = c, .ask = take_ask, .verdict = verdict };
	OSSL_CMP_SRV_CTX *srv = known ? was->srv : new_context(c, take_ask->signer);
	const OSSL_CMP_MSG *msg = known ? take_ask->poll : take_ask->request;
	OSSL_CMP_MSG *answer = srv ? run(srv, &p, msg) : NULL;
	bool goes_on = answer && has_id && (verdict->waiting || p.issued);

	*out = (struct cmp_reply){ 0 };
	if (goes_on) {
		struct transaction *t = known ? was : transaction_new(c);

		memcpy(t->id, id, sizeof(id));
		keep(c, t, srv, take_ask, p.issued);
	} else {
		if (known)
			transaction_end(was);
		else
			OSSL_CMP_SRV_CTX_free(srv);
		X509_free(p.issued);
		cmp_ask_free(take_ask);
	}
	return write_out(answer, out);
}

/* ---- life ------------------------------------------------------------------------------- */

static enum rc read_chain(struct cmp *c, const char *path)
{
	BIO *in = BIO_new_file(path, "r");
	X509 *next;

	c->cert = in ? PEM_read_bio_X509(in, NULL, NULL, NULL) : NULL;
	c->chain = sk_X509_new_null();
	while (c->cert && c->chain && (next = PEM_read_bio_X509(in, NULL, NULL, NULL))) {
		if (sk_X509_push(c->chain, next) < 1)
			X509_free(next);
	}
	BIO_free(in);
	ERR_clear_error();
	return c->cert && c->chain ? RC_OK : RC_MALFORMED;
}

static enum rc read_key(struct cmp *c, const char *path)
{
	BIO *in = BIO_new_file(path, "r");

	c->key = in ? PEM_read_bio_PrivateKey(in, NULL, NULL, NULL) : NULL;
	BIO_free(in);
	ERR_clear_error();
	return c->key && X509_check_private_key(c->cert, c->key) == 1 ? RC_OK : RC_MALFORMED;
}

enum rc cmp_new(struct cmp **out, const char *cert, const char *key, const char *zone,
	const struct clock *clock, struct diag *d)
{
	struct cmp *c = calloc(1, sizeof(*c));
	enum rc rc = RC_NOMEM;

	if (!c)
		return rc;
	c->zone = zone;
	c->clock = clock;
	rc = read_chain(c, cert);
	if (rc != RC_OK) {
		(void)diag_set(d, rc, "%s: no certificate", cert);
	} else {
		rc = read_key(c, key);
		if (rc != RC_OK)
			(void)diag_set(d, rc, "%s: not the key of %s", key, cert);
	}
	if (rc == RC_OK)
		*out = c;
	else
		cmp_free(c);
	return rc;
}

void cmp_free(struct cmp *c)
{
	if (!c)
		return;
	for (size_t i = 0; i < CMP_TRANSACTIONS; i++)
		transaction_end(&c->transactions[i]);
	X509_free(c->cert);
	sk_X509_pop_free(c->chain, X509_free);
	EVP_PKEY_free(c->key);
	free(c);
}
