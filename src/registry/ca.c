/* SPDX-License-Identifier: Apache-2.0 */
#include "registry/internal.h"

#include <string.h>

/* What the registry says about itself: its CAs, its audit trail, its health. */

enum rc reg__ca_info(struct registry_run *run)
{
	if (!run->reg->ca)
		return reg__no(run, CODE(FAILED), "", "the keys role has not been heard yet");
	run->reply.code = CODE(OK);
	run->reply.result_case = REGISTRY__REPLY__RESULT_CA;
	run->reply.ca = (Registry__CaData *)(uintptr_t)run->reg->ca;
	return RC_OK;
}

enum rc reg__seal_key(struct registry_run *run)
{
	Registry__SealKeyData *out = arena_alloc(run->arena, sizeof(*out));

	if (!out)
		return RC_NOMEM;
	if (!run->reg->seal_point)
		return reg__no(run, CODE(FAILED), "", "the keys role has not been heard yet");
	registry__seal_key_data__init(out);
	out->point = (ProtobufCBinaryData){ 65, (uint8_t *)(uintptr_t)run->reg->seal_point };
	run->reply.code = CODE(OK);
	run->reply.result_case = REGISTRY__REPLY__RESULT_SEAL_KEY;
	run->reply.seal_key = out;
	return RC_OK;
}

/* The numbers are core's: it fills them in. */
enum rc reg__health(struct registry_run *run)
{
	Registry__HealthData *out = arena_alloc(run->arena, sizeof(*out));

	if (!out)
		return RC_NOMEM;
	registry__health_data__init(out);
	run->reply.code = CODE(OK);
	run->reply.result_case = REGISTRY__REPLY__RESULT_HEALTH;
	run->reply.health = out;
	return RC_OK;
}

enum rc reg__audit_list(struct registry_run *run)
{
	const Registry__AuditList *m = run->request->audit_list;
	Registry__AuditData *out = arena_alloc(run->arena, sizeof(*out));
	struct store_audit *list = NULL;
	size_t n = 0;
	enum rc rc = out ? store_audit_list(run->reg->store, m->after, reg__limit(m->limit),
				   run->arena, &list, &n)
			 : RC_NOMEM;

	if (rc != RC_OK)
		return rc;
	registry__audit_data__init(out);
	out->rows = arena_array(run->arena, n, sizeof(*out->rows));
	for (size_t i = 0; out->rows && i < n; i++) {
		Registry__AuditRow *r = arena_alloc(run->arena, sizeof(*r));

		if (!r)
			return RC_NOMEM;
		registry__audit_row__init(r);
		r->seq = list[i].seq;
		r->time = list[i].time;
		r->party = (char *)(uintptr_t)list[i].party;
		r->operation = (char *)(uintptr_t)list[i].operation;
		r->object = (char *)(uintptr_t)list[i].object;
		r->detail = (char *)(uintptr_t)list[i].detail;
		r->hash = (ProtobufCBinaryData){ STORE_SHA256, list[i].hash };
		out->rows[out->n_rows++] = r;
	}
	run->reply.code = CODE(OK);
	run->reply.result_case = REGISTRY__REPLY__RESULT_AUDIT;
	run->reply.audit = out;
	return RC_OK;
}

/* ---- apex ------------------------------------------------------------------------------- */

/* CERT 1 1 0 as devices' own records have it (PKIX, key tag 1, algorithm 0, SHA-256 of the
 * certificate), and TLSA 2 0 1: these are trust anchors (RFC 6698 section 2.1.1). */
static const uint8_t cert_head[] = { 0, 1, 0, 1, 0 };
static const uint8_t tlsa_head[] = { 2, 0, 1 };

static void rdata(
	uint8_t *out, const uint8_t *head, size_t head_len, const ProtobufCBinaryData *der)
{
	memcpy(out, head, head_len);
	reg__sha256(der->data, der->len, NULL, 0, out + head_len);
}

enum rc registry_apex(struct registry_run *run, const Keys__Public *public)
{
	const ProtobufCBinaryData *cas[] = { &public->root, &public->issuing, &public->devkit };
	uint8_t certs[ARRAY_LEN(cas)][sizeof(cert_head) + STORE_SHA256];
	uint8_t tlsas[ARRAY_LEN(cas)][sizeof(tlsa_head) + STORE_SHA256];
	ProtobufCBinaryData cert[ARRAY_LEN(cas)];
	ProtobufCBinaryData tlsa[ARRAY_LEN(cas)];
	Zone__Change m = ZONE__CHANGE__INIT;
	struct store_change c = { 0 };
	struct store_blob old = { 0 };
	uint8_t *bytes;
	enum rc rc;

	m.cert = cert;
	m.tlsa = tlsa;
	for (size_t i = 0; i < ARRAY_LEN(cas); i++) {
		if (!cas[i]->len)
			continue;
		rdata(certs[m.n_cert], cert_head, sizeof(cert_head), cas[i]);
		rdata(tlsas[m.n_tlsa], tlsa_head, sizeof(tlsa_head), cas[i]);
		cert[m.n_cert].data = certs[m.n_cert];
		cert[m.n_cert++].len = sizeof(certs[0]);
		tlsa[m.n_tlsa].data = tlsas[m.n_tlsa];
		tlsa[m.n_tlsa++].len = sizeof(tlsas[0]);
	}
	c.records.len = zone__change__get_packed_size(&m);
	bytes = arena_alloc(run->arena, c.records.len);
	if (!bytes)
		return RC_NOMEM;
	zone__change__pack(&m, bytes);
	c.records.bytes = bytes;
	rc = store_setting_get(run->reg->store, "apex", run->arena, &old);
	if (rc == RC_OK && old.len == c.records.len && memcmp(old.bytes, bytes, old.len) == 0)
		return RC_OK;
	if (rc != RC_OK && rc != RC_NOT_FOUND)
		return rc;
	rc = store_setting_put(run->reg->store, "apex", c.records);
	if (rc == RC_OK)
		rc = reg__change(run, &c);
	return rc == RC_OK ? reg__audit(run, "apex", "CA certificates published") : rc;
}
