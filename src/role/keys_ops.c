/* SPDX-License-Identifier: Apache-2.0 */
/* The operations of keys.proto: message fields in, message fields out; what may be signed is
 * decided in ca/. */
#include "role/keys_internal.h"
#include "ca/kit.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

static ProtobufCBinaryData bytes_of(const void *at, size_t len)
{
	return (ProtobufCBinaryData){ .len = len, .data = (uint8_t *)(uintptr_t)at };
}

/* What one item came to. */
struct verdict {
	enum rc rc;
	struct diag d;
};

static char *why(struct verdict *v)
{
	if (v->rc != RC_OK && !v->d.text[0])
		(void)diag_set(&v->d, v->rc, "%s", rc_text(v->rc));
	return v->d.text;
}

/* ---- IssueDevice, IssueParty ---- */

struct issued {
	struct verdict v;
	struct ca_issued_cert cert;
};

static enum rc prepare_issue_device(struct keys_job *job, struct diag *d)
{
	size_t n = job->request->issue_device->n_orders;

	if (n > KEYS_ORDERS_MAX)
		return diag_set(d, RC_TOO_LARGE, "issue_device: %zu orders, at most %d", n,
			KEYS_ORDERS_MAX);
	job->count = n;
	job->results = calloc(n ? n : 1, sizeof(struct issued));
	return job->results ? RC_OK : RC_NOMEM;
}

static void run_issue_device(struct keys_job *job, size_t item, struct ca_crypt *x)
{
	const Keys__CertOrder *o = job->request->issue_device->orders[item];
	struct issued *out = (struct issued *)job->results + item;
	struct ca_device_order order = {
		.csr = o->csr.data,
		.csr_len = o->csr.len,
		.owner_name = o->owner_name,
		.devkit = o->kind == KEYS__CERT_KIND__KIND_DEVKIT,
		.asp = o->asp,
		.service = o->service,
		.eid = o->eid,
		.not_before = o->not_before,
		.not_after = o->not_after,
		.nonce = o->nonce.len == CA_NONCE_LEN ? o->nonce.data : NULL,
		.attest_cert = o->attest_cert.data,
		.attest_cert_len = o->attest_cert.len,
		.attest_require = o->attest_require,
	};

	if (o->kind != KEYS__CERT_KIND__KIND_UTA_IOT && !order.devkit)
		out->v.rc = diag_set(&out->v.d, RC_UNSUPPORTED, "order: kind: %d", (int)o->kind);
	else
		out->v.rc = ca_issue_device(
			x, &job->ring->authority, &order, job->now, &out->cert, &out->v.d);
}

static size_t issued_entries(struct keys_job *job, const struct ca_issued_entry **list)
{
	struct issued *issued = job->results;
	size_t n = 0;

	for (size_t i = 0; i < job->count; i++)
		if (issued[i].v.rc == RC_OK)
			list[n++] = &issued[i].cert.entry;
	return n;
}

static void fill_cert_result(Keys__CertResult *r, struct issued *in)
{
	const struct ca_issued_entry *e = &in->cert.entry;

	keys__cert_result__init(r);
	r->rc = (uint32_t)in->v.rc;
	if (in->v.rc != RC_OK) {
		r->why = why(&in->v);
		return;
	}
	r->der = bytes_of(in->cert.der, in->cert.der_len);
	r->sha256 = bytes_of(e->cert_sha256, CA_SHA256_LEN);
	r->spki_sha256 = bytes_of(e->spki_sha256, CA_SHA256_LEN);
	r->serial = bytes_of(e->serial, CA_SERIAL_LEN);
	if (in->cert.maker)
		r->maker = (char *)(uintptr_t)in->cert.maker;
	r->attest_why = in->cert.attest_why;
	if (in->cert.has_b)
		r->b_point = bytes_of(in->cert.b_point, CA_POINT_LEN);
}

static enum rc send_issued_device(struct keys_job *job, Keys__Reply *reply, struct link *link)
{
	Keys__IssuedDevice out = KEYS__ISSUED_DEVICE__INIT;
	Keys__CertResult *results = calloc(job->count + 1, sizeof(*results));
	Keys__CertResult **list = calloc(job->count + 1, sizeof(Keys__CertResult *));
	enum rc rc = results && list ? RC_OK : RC_NOMEM;

	for (size_t i = 0; rc == RC_OK && i < job->count; i++) {
		fill_cert_result(&results[i], (struct issued *)job->results + i);
		list[i] = &results[i];
	}
	out.n_results = job->count;
	out.results = list;
	reply->result_case = KEYS__REPLY__RESULT_ISSUED_DEVICE;
	reply->issued_device = &out;
	if (rc == RC_OK)
		rc = link_send(link, &reply->base);
	free(list);
	free(results);
	return rc;
}

static enum rc prepare_issue_party(struct keys_job *job, struct diag *d)
{
	(void)d;
	job->count = 1;
	job->results = calloc(1, sizeof(struct issued));
	return job->results ? RC_OK : RC_NOMEM;
}

static void run_issue_party(struct keys_job *job, size_t item, struct ca_crypt *x)
{
	const Keys__IssueParty *o = job->request->issue_party;
	struct issued *out = job->results;

	const struct ca_party_order order = { .csr = o->csr.data,
		.csr_len = o->csr.len,
		.id = o->id,
		.ra = o->ra,
		.not_before = o->not_before,
		.not_after = o->not_after };

	(void)item;
	out->v.rc =
		ca_issue_party(x, &job->ring->authority, &order, job->now, &out->cert, &out->v.d);
}

static enum rc send_issued_party(struct keys_job *job, Keys__Reply *reply, struct link *link)
{
	Keys__IssuedParty out = KEYS__ISSUED_PARTY__INIT;
	struct issued *in = job->results;

	out.rc = (uint32_t)in->v.rc;
	if (in->v.rc == RC_OK) {
		out.der = bytes_of(in->cert.der, in->cert.der_len);
		out.spki_sha256 = bytes_of(in->cert.entry.spki_sha256, CA_SHA256_LEN);
	} else {
		out.why = why(&in->v);
	}
	reply->result_case = KEYS__REPLY__RESULT_ISSUED_PARTY;
	reply->issued_party = &out;
	return link_send(link, &reply->base);
}

/* ---- SignRrsets ---- */

struct rr_result {
	enum rc rc;
	uint32_t from, to; /* of one that was signed elsewhere; 0: as was asked for */
	uint8_t sig[64];
};

struct rr_results {
	_Atomic(char *) why; /* of one that was refused; owned */
	struct rr_result of[];
};

static enum rc prepare_sign_rrsets(struct keys_job *job, struct diag *d)
{
	size_t n = job->request->sign_rrsets->n_rrsets;

	if (n > KEYS_RRSETS_MAX)
		return diag_set(
			d, RC_TOO_LARGE, "sign_rrsets: %zu RRsets, at most %d", n, KEYS_RRSETS_MAX);
	job->count = n;
	job->results = calloc(1, sizeof(struct rr_results) + n * sizeof(struct rr_result));
	return job->results ? RC_OK : RC_NOMEM;
}

/* By what was signed where the KSK is. */
static enum rc take_presigned(const struct ca_zone_keys *keys, const struct ca_rrset *set,
	int64_t now, struct rr_result *out, struct diag *d)
{
	const struct ca_presigned_sig *g = ca_presigned_find(keys->presigned, set, now);

	if (!g)
		return diag_set(d, RC_UNAVAILABLE,
			"rrset: type %u: the KSK is off-line and no pre-signed set of these %zu "
			"records is good now: attestry zone offline-request",
			set->type, set->rdata_count);
	memcpy(out->sig, g->sig, sizeof(out->sig));
	out->from = g->from;
	out->to = g->to;
	return RC_OK;
}

static enum rc sign_rrset(struct keys_job *job, const Keys__Rrset *r, struct ca_crypt *x,
	struct rr_result *out, struct diag *d)
{
	struct ca_bytes rdata[CA_RR_COUNT_MAX];
	struct ca_rrset set = {
		.owner = { r->owner.data, r->owner.len },
		.type = (uint16_t)r->type,
		.ttl = r->ttl,
		.rdata = rdata,
		.rdata_count = r->n_rdata,
		.inception = r->inception,
		.expiration = r->expiration,
		.ksk = r->ksk,
	};

	if (r->algorithm && !ca_alg_of_number(r->algorithm, &set.alg))
		return diag_set(d, RC_UNSUPPORTED, "rrset: algorithm %u", r->algorithm);
	if (r->type > UINT16_MAX || r->n_rdata > CA_RR_COUNT_MAX)
		return diag_set(d, RC_RANGE, "rrset: type %u, %zu records", r->type, r->n_rdata);
	for (size_t i = 0; i < r->n_rdata; i++)
		rdata[i] = (struct ca_bytes){ r->rdata[i].data, r->rdata[i].len };
	if (set.ksk && job->zone_keys->zone.sign[set.alg][true].where == CA_KEY_OFFLINE)
		return take_presigned(job->zone_keys, &set, job->now, out, d);
	return ca_rrset_sign(x, &job->zone_keys->zone, &set, job->now, out->sig, d);
}

static void run_sign_rrsets(struct keys_job *job, size_t item, struct ca_crypt *x)
{
	struct rr_results *out = job->results;
	struct rr_result *r = &out->of[item];
	struct diag d = { 0 };
	char *none = NULL, *text;

	r->rc = sign_rrset(job, job->request->sign_rrsets->rrsets[item], x, r, &d);
	if (r->rc == RC_OK)
		return;
	text = strdup(d.text);
	if (text && !atomic_compare_exchange_strong(&out->why, &none, text))
		free(text);
}

/* The apex has three such sets; more than one apex is in no request. */
#define PRESIGNED_MAX 16
/* One that is refused refuses all: half a zone transaction is of no use. */
static enum rc send_signed_rrsets(struct keys_job *job, Keys__Reply *reply, struct link *link)
{
	Keys__SignedRrsets out = KEYS__SIGNED_RRSETS__INIT;
	struct rr_results *in = job->results;
	ProtobufCBinaryData *list = calloc(job->count + 1, sizeof(*list));
	Keys__Presigned spans[PRESIGNED_MAX];
	Keys__Presigned *span_list[PRESIGNED_MAX];
	const struct ca_zone *zone = &job->zone_keys->zone;
	char *text = atomic_exchange(&in->why, NULL);
	enum rc rc = list ? RC_OK : RC_NOMEM;

	for (size_t i = 0; rc == RC_OK && i < job->count; i++) {
		if (in->of[i].to && out.n_presigned < ARRAY_LEN(spans)) {
			Keys__Presigned *s = &spans[out.n_presigned];

			keys__presigned__init(s);
			s->index = (uint32_t)i;
			s->inception = in->of[i].from;
			s->expiration = in->of[i].to;
			span_list[out.n_presigned++] = s;
		}
		if (in->of[i].rc != RC_OK && out.rc == 0)
			out.rc = (uint32_t)in->of[i].rc;
		list[i] = bytes_of(in->of[i].sig, sizeof(in->of[i].sig));
	}
	if (out.rc == 0) {
		out.n_signatures = job->count;
		out.signatures = list;
	} else if (text) {
		out.why = text;
	}
	out.presigned = span_list;
	out.zsk_tag = zone->tag[CA_P256][false];
	out.ksk_tag = zone->tag[CA_P256][true];
	out.zsk_tag_ed25519 = zone->tag[CA_ED25519][false];
	out.ksk_tag_ed25519 = zone->tag[CA_ED25519][true];
	reply->result_case = KEYS__REPLY__RESULT_SIGNED_RRSETS;
	reply->signed_rrsets = &out;
	if (rc == RC_OK)
		rc = link_send(link, &reply->base);
	free(text);
	free(list);
	return rc;
}

/* ---- SignKit ---- */

struct kit_result {
	struct verdict v;
	struct ca_kit kit;
};

static enum rc prepare_sign_kit(struct keys_job *job, struct diag *d)
{
	(void)d;
	job->count = 1;
	job->results = calloc(1, sizeof(struct kit_result));
	return job->results ? RC_OK : RC_NOMEM;
}

static void run_sign_kit(struct keys_job *job, size_t item, struct ca_crypt *x)
{
	const Keys__SignKit *k = job->request->sign_kit;
	struct kit_result *out = job->results;

	(void)item;
	out->v.rc = ca_kit_sign(x, &job->ring->devkit, k->url, k->port, k->asp_cert.data,
		k->asp_cert.len, &out->kit, &out->v.d);
}

static enum rc send_signed_kit(struct keys_job *job, Keys__Reply *reply, struct link *link)
{
	Keys__SignedKit out = KEYS__SIGNED_KIT__INIT;
	struct kit_result *in = job->results;

	out.rc = (uint32_t)in->v.rc;
	if (in->v.rc == RC_OK) {
		out.file08 = bytes_of(in->kit.file08, in->kit.file08_len);
		out.file09 = bytes_of(in->kit.file09, in->kit.file09_len);
		out.file0a = bytes_of(in->kit.file0a, in->kit.file0a_len);
	} else {
		out.why = why(&in->v);
	}
	reply->result_case = KEYS__REPLY__RESULT_SIGNED_KIT;
	reply->signed_kit = &out;
	return link_send(link, &reply->base);
}

static const struct keys_op ops[] = {
	{ .which = KEYS__REQUEST__OP_ISSUE_DEVICE,
		.name = "issue_device",
		.peers = KEYS_CORE,
		.logged = true,
		.prepare = prepare_issue_device,
		.run = run_issue_device,
		.entries = issued_entries,
		.send = send_issued_device },
	{ .which = KEYS__REQUEST__OP_ISSUE_PARTY,
		.name = "issue_party",
		.peers = KEYS_CORE,
		.logged = true,
		.prepare = prepare_issue_party,
		.run = run_issue_party,
		.entries = issued_entries,
		.send = send_issued_party },
	{ .which = KEYS__REQUEST__OP_SIGN_RRSETS,
		.name = "sign_rrsets",
		.peers = KEYS_ZONE,
		.prepare = prepare_sign_rrsets,
		.run = run_sign_rrsets,
		.send = send_signed_rrsets },
	{ .which = KEYS__REQUEST__OP_SIGN_KIT,
		.name = "sign_kit",
		.peers = KEYS_CORE,
		.prepare = prepare_sign_kit,
		.run = run_sign_kit,
		.send = send_signed_kit },
};

const struct keys_op *keys_op_find(Keys__Request__OpCase which)
{
	static const struct keys_op *const elsewhere[] = { &keys_op_sign_payload,
		&keys_op_get_public, &keys_op_move_zone_key, &keys_op_seal_zone_keys,
		&keys_op_open_zone_keys, &keys_op_sign_head };

	for (size_t i = 0; i < ARRAY_LEN(elsewhere); i++)
		if (elsewhere[i]->which == which)
			return elsewhere[i];
	for (size_t i = 0; i < ARRAY_LEN(ops); i++)
		if (ops[i].which == which)
			return &ops[i];
	return NULL;
}

void keys_job_free(struct keys_job *job)
{
	if (!job)
		return;
	if (job->op && job->op->which == KEYS__REQUEST__OP_SIGN_RRSETS && job->results) {
		struct rr_results *r = job->results;
		free(atomic_load(&r->why));
	}
	if (job->request)
		keys__request__free_unpacked(job->request, NULL);
	ca_zone_keys_unref(job->zone_keys);
	free(job->results);
	free(job);
}
