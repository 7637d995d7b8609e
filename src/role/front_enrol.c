/* SPDX-License-Identifier: Apache-2.0 */
#include "role/front_enrol.h"

#include "http/api.h"
#include "http/cmp.h"
#include "http/est.h"
#include "http/reflect.h"

#include <openssl/pem.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

enum { REFUSALS_PER_S = 50, PATH_LEN = 4096 };

/* A client that waits for core. */
struct waiting {
	struct waiting *next;
	struct http_conn *conn;
	enum { WAIT_CACERTS, WAIT_EST, WAIT_CMP } what;
	struct cmp_ask *ask;
};

struct front_enrol {
	struct role *role;
	struct front_core *core;
	struct cmp *cmp;
	X509 *party_ca;
	struct waiting *list;
	uint64_t second; /* whose refusals are counted */
	unsigned refusals;
};

static struct enrol_client client_of(const struct front_enrol *e, const struct http_request *http)
{
	return (struct enrol_client){ .cert = http->cert,
		.device = front_enrol_device(e, http),
		.spki_sha256 = http->spki_sha256,
		.peer = http->peer };
}

bool front_enrol_is(const char *path)
{
	return est_is(path) || cmp_is(path);
}

bool front_enrol_device(const struct front_enrol *e, const struct http_request *http)
{
	return !http->anchor || X509_cmp(http->anchor, e->party_ca) != 0;
}

/* ---- refusals --------------------------------------------------------------------------- */

static void note(struct front_enrol *e, const struct enrol_client *client, const char *operation,
	const char *object, const char *reason)
{
	uint64_t second = e->role->clock->monotonic_ms(e->role->clock) / 1000;
	Registry__Request *q;
	const char *why;

	if (second != e->second) {
		e->second = second;
		e->refusals = 0;
	}
	log_write(e->role->log, LOG_INFO, "refused peer=%s operation=%s object=%s why=\"%s\"",
		client->peer, operation, object, reason);
	/* A client that is refused all day long must not fill the disk. */
	if (e->refusals++ >= REFUSALS_PER_S)
		return;
	q = enrol_refusal(client, operation, object, reason);
	if (q && !front_core_ask(e->core, q, NULL, NULL, 0, &why))
		log_write(e->role->log, LOG_WARNING, "refusal not in the audit why=\"%s\"", why);
	reflect_free(q ? &q->base : NULL);
}

void front_enrol_refused(
	struct front_enrol *e, const struct http_request *http, const char *object, const char *why)
{
	struct enrol_client client = client_of(e, http);
	enum est_op op;
	struct est_fault unused;
	const char *operation = cmp_is(http->head->path) ? "cmp" : "http";

	if (est_is(http->head->path))
		operation = est_find(http->head->method, http->head->path, &op, &unused)
				    ? est_name(op)
				    : "est";
	note(e, &client, operation, object, why);
}

/* RFC 7030 section 4.2.3: people read it. */
static void say(struct http_conn *conn, unsigned status, const char *fields, const char *type,
	const char *why)
{
	struct http_answer answer = { .status = status,
		.type = type ? type : "text/plain; charset=utf-8",
		.fields = fields,
		.body = why,
		.len = strlen(why) };

	http_reply_as(conn, &answer);
}

/* ---- asking core ------------------------------------------------------------------------ */

static struct waiting *wait_new(struct front_enrol *e, struct http_conn *conn, int what)
{
	struct waiting *w = calloc(1, sizeof(*w));

	if (!w)
		return NULL;
	w->conn = conn;
	w->what = (unsigned)what;
	w->next = e->list;
	e->list = w;
	return w;
}

static struct waiting *wait_take(struct front_enrol *e, const struct http_conn *conn)
{
	for (struct waiting **at = &e->list; *at; at = &(*at)->next) {
		struct waiting *w = *at;

		if (w->conn != conn)
			continue;
		*at = w->next;
		return w;
	}
	return NULL;
}

static void wait_free(struct waiting *w)
{
	if (w)
		cmp_ask_free(w->ask);
	free(w);
}

void front_enrol_gone(struct front_enrol *e, const struct http_conn *conn)
{
	wait_free(wait_take(e, conn));
}

/* False: nobody was asked, and *why says why. */
static bool ask(struct front_enrol *e, struct http_conn *conn, int what, Registry__Request *take_q,
	struct cmp_ask *take_ask, const char **why)
{
	struct waiting *w = take_q ? wait_new(e, conn, what) : NULL;
	bool sent = false;

	*why = "out of memory";
	if (w)
		sent = front_core_ask(e->core, take_q, conn, NULL, 0, why);
	reflect_free(take_q ? &take_q->base : NULL);
	if (sent)
		w->ask = take_ask;
	else if (w)
		wait_free(wait_take(e, conn));
	return sent;
}

/* ---- EST -------------------------------------------------------------------------------- */

static void send_text(struct http_conn *conn, const char *type, char *take_text, size_t len)
{
	struct http_answer answer = { .status = 200,
		.type = type,
		.fields = "Content-Transfer-Encoding: base64\r\n",
		.body = take_text,
		.len = len };

	http_reply_as(conn, &answer);
	free(take_text);
}

static void send_certs(
	struct http_conn *conn, const char *type, const ProtobufCBinaryData *const *certs, size_t n)
{
	char *text = NULL;
	size_t len = 0;

	if (est_write_certs(certs, n, &text, &len) == RC_OK)
		send_text(conn, type, text, len);
	else
		say(conn, 500, NULL, NULL, "the certificates cannot be written");
}

static void est_cacerts(
	struct front_enrol *e, struct http_conn *conn, const struct enrol_client *client)
{
	Registry__Request *q = enrol_envelope(client);
	const char *why = "";

	if (q) {
		q->ca_info = (Registry__CaInfo *)reflect_new(&registry__ca_info__descriptor);
		q->op_case =
			q->ca_info ? REGISTRY__REQUEST__OP_CA_INFO : REGISTRY__REQUEST__OP__NOT_SET;
	}
	if (!ask(e, conn, WAIT_CACERTS, q, NULL, &why))
		say(conn, 503, NULL, NULL, why);
}

static void est_csrattrs(struct http_conn *conn)
{
	char *text = NULL;
	size_t len = 0;

	if (est_write_csrattrs(&text, &len) == RC_OK)
		send_text(conn, EST_TYPE_CSRATTRS, text, len);
	else
		say(conn, 500, NULL, NULL, "out of memory");
}

static void est_enrol(struct front_enrol *e, struct http_conn *conn, enum est_op op,
	const struct enrol_client *client, const struct http_request *http)
{
	const struct http_head *head = http->head;
	struct enrol_csr csr = { .name = "" };
	struct est_fault f = { 0 };
	Registry__Request *q = NULL;
	const char *why = "";
	enum rc rc = RC_MALFORMED;

	if (client->device && op == EST_ENROL) {
		f.status = 403;
		rc = diag_set(&f.why, RC_DENIED,
			"a device renews its certificate with simplereenroll; its first one comes "
			"by its operator");
	} else if (est_read(head->content_type[0] ? head->content_type : NULL, http->body,
			   http->body_len, e->role->config->registry.zone, &csr, &f)) {
		rc = enrol_request(client, &csr, &q, &f.why);
		f.status = rc == RC_MALFORMED ? 400 : 403;
	}
	if (rc != RC_OK) {
		note(e, client, est_name(op), csr.name, f.why.text);
		say(conn, f.status, NULL, NULL, f.why.text);
		return;
	}
	if (!ask(e, conn, WAIT_EST, q, NULL, &why))
		say(conn, 503, NULL, NULL, why);
}

static void est_request(struct front_enrol *e, struct http_conn *conn,
	const struct enrol_client *client, const struct http_request *http)
{
	struct est_fault f;
	enum est_op op;

	if (!est_find(http->head->method, http->head->path, &op, &f)) {
		note(e, client, "est", http->head->path, f.why.text);
		say(conn, f.status, f.allow, NULL, f.why.text);
	} else if (op == EST_CACERTS) {
		est_cacerts(e, conn, client);
	} else if (op == EST_CSRATTRS) {
		est_csrattrs(conn);
	} else {
		est_enrol(e, conn, op, client, http);
	}
}

static void est_reply(struct http_conn *conn, const Registry__Reply *reply, const char *why)
{
	const ProtobufCBinaryData *cert = reply ? enrol_certificate(reply) : NULL;
	char fields[40];

	if (cert) {
		send_certs(conn, EST_TYPE_ISSUED, &cert, 1);
	} else if (!reply) {
		say(conn, 503, NULL, NULL, why);
	} else if (reply->code == REGISTRY__CODE__CODE_PENDING) {
		(void)snprintf(fields, sizeof(fields), "Retry-After: %d\r\n", EST_RETRY_S);
		say(conn, 202, fields, NULL, "made and kept, being published: ask again");
	} else if (reply->code == REGISTRY__CODE__CODE_OK) {
		say(conn, 500, NULL, NULL, "no certificate came of it");
	} else {
		say(conn, api_status((unsigned)reply->code, 200), NULL, NULL, reply->reason);
	}
}

static void cacerts_reply(struct http_conn *conn, const Registry__Reply *reply, const char *why)
{
	const ProtobufCBinaryData *certs[3];
	size_t n = 0;

	if (!reply || reply->result_case != REGISTRY__REPLY__RESULT_CA) {
		say(conn, 503, NULL, NULL, reply ? reply->reason : why);
		return;
	}
	if (reply->ca->issuing.len)
		certs[n++] = &reply->ca->issuing;
	if (reply->ca->devkit.len)
		certs[n++] = &reply->ca->devkit;
	if (reply->ca->root.len)
		certs[n++] = &reply->ca->root;
	send_certs(conn, EST_TYPE_CERTS, certs, n);
}

/* ---- CMP -------------------------------------------------------------------------------- */

static void cmp_send(struct http_conn *conn, enum rc rc, struct cmp_reply *take_reply)
{
	struct http_answer answer = {
		.status = 200, .type = CMP_TYPE, .body = take_reply->der, .len = take_reply->len
	};

	if (rc == RC_OK)
		http_reply_as(conn, &answer);
	else
		say(conn, 500, NULL, NULL, "no answer can be made");
	cmp_reply_free(take_reply);
}

static void cmp_say(struct front_enrol *e, struct http_conn *conn, struct cmp_ask *take_ask,
	const struct cmp_verdict *verdict)
{
	struct cmp_reply out = { 0 };
	enum rc rc = cmp_answer(e->cmp, take_ask, verdict, &out);

	cmp_send(conn, rc, &out);
}

static void cmp_asked(struct front_enrol *e, struct http_conn *conn,
	const struct enrol_client *client, struct cmp_ask *take_ask)
{
	struct cmp_verdict no = { 0 };
	Registry__Request *q = NULL;
	struct diag d = { "" };
	const char *why = "";

	if (enrol_request(client, cmp_csr(take_ask), &q, &d) != RC_OK) {
		note(e, client, "cmp.p10cr", cmp_csr(take_ask)->name, d.text);
		no.why = d.text;
		cmp_say(e, conn, take_ask, &no);
	} else if (!ask(e, conn, WAIT_CMP, q, take_ask, &why)) {
		no.why = why;
		no.unavailable = true;
		cmp_say(e, conn, take_ask, &no);
	}
}

static void cmp_request(struct front_enrol *e, struct http_conn *conn,
	const struct enrol_client *client, const struct http_request *http)
{
	struct cmp_reply out = { 0 };
	struct cmp_ask *waits = NULL;
	struct diag d = { "" };
	unsigned status = 400;
	enum rc rc;

	if (strcmp(http->head->method, "POST") != 0) {
		say(conn, 405, "Allow: POST\r\n", NULL, "CMP is spoken by POST (RFC 9811)");
		return;
	}
	if (strcasecmp(http->head->content_type, CMP_TYPE) != 0) {
		status = 415;
		rc = diag_set(&d, RC_UNSUPPORTED, "Content-Type must be %s (RFC 9811)", CMP_TYPE);
	} else {
		rc = cmp_take(e->cmp, client, http->body, http->body_len, &waits, &out, &d);
	}
	if (rc == RC_OK && waits) {
		cmp_asked(e, conn, client, waits);
		return;
	}
	if (*d.text)
		note(e, client, "cmp", "", d.text);
	if (rc == RC_OK || rc == RC_CRYPTO)
		cmp_send(conn, rc, &out);
	else
		say(conn, rc == RC_TOO_LARGE ? 413 : status, NULL, NULL, d.text);
}

static void cmp_replied(struct front_enrol *e, struct http_conn *conn, struct cmp_ask *take_ask,
	const Registry__Reply *reply, const char *why)
{
	const ProtobufCBinaryData *cert = reply ? enrol_certificate(reply) : NULL;
	struct cmp_verdict verdict = { .cert = cert ? cert->data : NULL,
		.cert_len = cert ? cert->len : 0,
		.waiting = reply && reply->code == REGISTRY__CODE__CODE_PENDING,
		.unavailable = !reply || reply->code == REGISTRY__CODE__CODE_FAILED,
		.why = reply ? reply->reason : why };

	cmp_say(e, conn, take_ask, &verdict);
}

/* ---- both ------------------------------------------------------------------------------- */

void front_enrol_request(
	struct front_enrol *e, struct http_conn *conn, const struct http_request *http)
{
	struct enrol_client client = client_of(e, http);

	if (est_is(http->head->path))
		est_request(e, conn, &client, http);
	else
		cmp_request(e, conn, &client, http);
}

bool front_enrol_reply(struct front_enrol *e, struct http_conn *conn, const Registry__Reply *reply,
	const char *why)
{
	struct waiting *w = wait_take(e, conn);

	if (!w)
		return false;
	if (w->what == WAIT_CACERTS)
		cacerts_reply(conn, reply, why);
	else if (w->what == WAIT_EST)
		est_reply(conn, reply, why);
	else
		cmp_replied(e, conn, w->ask, reply, why);
	free(w);
	return true;
}

static enum rc read_cert(const char *path, X509 **out, struct diag *d)
{
	BIO *in = BIO_new_file(path, "r");

	*out = in ? PEM_read_bio_X509(in, NULL, NULL, NULL) : NULL;
	BIO_free(in);
	return *out ? RC_OK : diag_set(d, RC_MALFORMED, "%s: no certificate", path);
}

/* Devices come with certificates of the issuing CAs. */
static enum rc trust_devices(const struct front_enrol *e, SSL_CTX *ctx, struct diag *d)
{
	static const char *const names[] = { "issuing.pem", "devkit.pem" };
	char path[PATH_LEN];
	enum rc rc = RC_OK;

	for (size_t i = 0; i < ARRAY_LEN(names) && rc == RC_OK; i++) {
		(void)snprintf(
			path, sizeof(path), "%s/%s", e->role->config->keys.ca_folder, names[i]);
		if (access(path, R_OK) == 0)
			rc = tls_server_trust(ctx, path, d);
	}
	return rc;
}

enum rc front_enrol_new(struct front_enrol **out, struct role *role, SSL_CTX *ctx, struct diag *d)
{
	const struct config *c = role->config;
	struct front_enrol *e = calloc(1, sizeof(*e));
	enum rc rc;

	if (!e)
		return RC_NOMEM;
	e->role = role;
	rc = read_cert(c->https.client_ca, &e->party_ca, d);
	if (rc == RC_OK)
		rc = cmp_new(
			&e->cmp, c->https.cert, c->https.key, c->registry.zone, role->clock, d);
	if (rc == RC_OK)
		rc = trust_devices(e, ctx, d);
	if (rc == RC_OK)
		*out = e;
	else
		front_enrol_free(e);
	return rc;
}

void front_enrol_core(struct front_enrol *e, struct front_core *core)
{
	e->core = core;
}

void front_enrol_free(struct front_enrol *e)
{
	if (!e)
		return;
	while (e->list) {
		struct waiting *w = e->list;

		e->list = w->next;
		wait_free(w);
	}
	cmp_free(e->cmp);
	X509_free(e->party_ca);
	free(e);
}
