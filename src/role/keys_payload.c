/* SPDX-License-Identifier: Apache-2.0 */
/* SignPayload: typed fields to a signed Registry Payload. The bytes are payload/'s, the key and
 * what may be said with it are decided here. */
#include "role/keys_internal.h"
#include "base/ident.h"
#include "ca/seal.h"
#include "payload/payload.h"
#include "payload/wifi.h"

#include <stdlib.h>
#include <string.h>

#define ISSUED_SKEW (2 * 86400) /* from now, seconds */

struct result {
	enum rc rc;
	struct diag d;
	size_t len;
	uint8_t cose[PAYLOAD_MAX];
};

/* What a payload borrows beside the request. */
struct making {
	const struct ca_keyring *ring;
	const Keys__SignPayload *in;
	const struct ca_key *signer;
	struct payload p;
	uint8_t digests[2][CA_SHA256_LEN];
	uint8_t wifi[PAYLOAD_WIFI_MAX];
	uint8_t map[PAYLOAD_MAX - PAYLOAD_COSE_OVERHEAD];
	uint8_t tbs[PAYLOAD_MAX];
};

static struct payload_bytes text_or_absent(const char *text)
{
	return text && *text ? payload_text(text) : (struct payload_bytes){ 0 };
}

static enum rc check_who(struct making *m, const struct ca_issuer *issuer, int64_t now,
	char owner[IDENT_OWNER_TEXT], struct diag *d)
{
	const Keys__SignPayload *in = m->in;
	char iccid[IDENT_ICCID_TEXT];

	if (in->iccid.len != PAYLOAD_ICCID_LEN || ident_iccid_write(in->iccid.data, iccid) != RC_OK)
		return diag_set(d, RC_RANGE, "payload: iccid: not the bytes of EF_ICCID");
	if (in->eid.len != 0 && in->eid.len != PAYLOAD_EID_LEN)
		return diag_set(d, RC_RANGE, "payload: eid: 16 bytes or none");
	if (strcmp(in->zone, m->ring->authority.zone) != 0)
		return diag_set(d, RC_DENIED, "payload: zone: not this registry's");
	if (ident_owner_name(in->slot, iccid, in->zone, owner) != RC_OK)
		return diag_set(d, RC_RANGE, "payload: slot: %u is not 1..9", in->slot);
	if (in->issued < now - ISSUED_SKEW || in->issued > now + ISSUED_SKEW)
		return diag_set(d, RC_RANGE, "payload: issued: more than two days from now");
	if (in->expires <= in->issued || in->expires > issuer->not_after)
		return diag_set(
			d, RC_RANGE, "payload: expires: not within the issuing CA's validity");
	if (!in->withdrawn && in->cert_sha256.len != PAYLOAD_HASH_LEN)
		return diag_set(d, RC_RANGE, "payload: cert_sha256: 32 bytes");
	return RC_OK;
}

static enum rc fill_anchors(struct making *m, struct diag *d)
{
	const Keys__SignPayload *in = m->in;

	if (in->n_anchors > PAYLOAD_ANCHORS_MAX)
		return diag_set(d, RC_RANGE, "payload: anchors: at most %d", PAYLOAD_ANCHORS_MAX);
	for (size_t i = 0; i < in->n_anchors; i++) {
		const Keys__Anchor *a = in->anchors[i];
		if (a->tag > UINT16_MAX || a->alg > UINT8_MAX || a->digest_type > UINT8_MAX)
			return diag_set(d, RC_RANGE, "payload: anchors: DS fields");
		m->p.anchors[i] = (struct payload_anchor){
			.name = payload_text(a->name),
			.tag = (uint16_t)a->tag,
			.alg = (uint8_t)a->alg,
			.digest_type = (uint8_t)a->digest_type,
			.digest = { a->digest.data, a->digest.len },
		};
	}
	m->p.anchors_len = in->n_anchors;
	return RC_OK;
}

static enum rc fill_resolvers(struct making *m, struct diag *d)
{
	const Keys__SignPayload *in = m->in;

	if (in->n_resolvers > PAYLOAD_RESOLVERS_MAX)
		return diag_set(
			d, RC_RANGE, "payload: resolvers: at most %d", PAYLOAD_RESOLVERS_MAX);
	for (size_t i = 0; i < in->n_resolvers; i++) {
		const Keys__Resolver *r = in->resolvers[i];
		struct payload_resolver *out = &m->p.resolvers[i];
		if (r->port > UINT16_MAX || r->n_pins > PAYLOAD_RESOLVER_PINS_MAX)
			return diag_set(d, RC_RANGE, "payload: resolvers: port or pins");
		out->name = payload_text(r->name);
		out->addr = (struct payload_bytes){ r->addr.data, r->addr.len };
		out->port = (uint16_t)r->port;
		out->pins_len = r->n_pins;
		for (size_t k = 0; k < r->n_pins; k++) {
			if (r->pins[k].len != PAYLOAD_HASH_LEN)
				return diag_set(
					d, RC_RANGE, "payload: resolvers: a pin is 32 bytes");
			out->pins[k] = r->pins[k].data;
		}
	}
	m->p.resolvers_len = in->n_resolvers;
	return RC_OK;
}

static enum rc fill_service(struct making *m, struct diag *d)
{
	const Keys__SignPayload *in = m->in;

	if (in->n_pins > PAYLOAD_PINS_MAX || in->port > UINT16_MAX)
		return diag_set(d, RC_RANGE, "payload: service: port, or more than %d pins",
			PAYLOAD_PINS_MAX);
	m->p.service = payload_text(in->service);
	m->p.fqdn = payload_text(in->fqdn);
	m->p.port = (uint16_t)in->port;
	m->p.url = text_or_absent(in->url);
	for (size_t i = 0; i < in->n_pins; i++) {
		const Keys__Pin *pin = in->pins[i];
		if (pin->usage > 255 || pin->selector > 255 || pin->matching > 255)
			return diag_set(d, RC_RANGE, "payload: pins: TLSA fields");
		m->p.pins[i] = (struct payload_pin){
			.usage = (uint8_t)pin->usage,
			.selector = (uint8_t)pin->selector,
			.matching = (uint8_t)pin->matching,
			.data = { pin->data.data, pin->data.len },
		};
	}
	m->p.pins_len = in->n_pins;
	m->p.cert_sha256 = in->cert_sha256.data;
	if (!*in->td_url)
		return RC_OK;
	if (in->td_sha256.len != PAYLOAD_HASH_LEN)
		return diag_set(d, RC_RANGE, "payload: td_sha256: 32 bytes");
	m->p.td_url = payload_text(in->td_url);
	m->p.td_sha256 = in->td_sha256.data;
	return RC_OK;
}

/* Key 11, root first: the certificates, or their digests. */
static enum rc fill_cas(struct making *m, const struct ca_issuer *issuer, struct ca_crypt *x)
{
	struct payload_bytes root = { m->ring->root, m->ring->root_len };
	struct payload_bytes issuing = { issuer->cert, issuer->cert_len };
	enum rc rc;

	m->p.cas_len = 2;
	m->p.cas[0] = (struct payload_ca){ true, root };
	m->p.cas[1] = (struct payload_ca){ true, issuing };
	if (m->in->full)
		return RC_OK;
	rc = ca_sha256(x, root.at, root.len, m->digests[0]);
	if (rc == RC_OK)
		rc = ca_sha256(x, issuing.at, issuing.len, m->digests[1]);
	for (size_t i = 0; i < 2; i++)
		m->p.cas[i] = (struct payload_ca){ false, { m->digests[i], CA_SHA256_LEN } };
	return rc;
}

static bool is_key(const ProtobufCBinaryData *spki, const struct ca_key *key, bool there)
{
	return there && spki->len == CA_SHA256_LEN &&
	       memcmp(spki->data, key->spki_sha256, CA_SHA256_LEN) == 0;
}

/* Who signs, and which of our own keys it announces (key 16). */
static enum rc fill_signers(struct making *m, struct diag *d)
{
	const struct ca_keyring *r = m->ring;
	const Keys__SignPayload *in = m->in;

	if (is_key(&in->signer, &r->payload_old, r->has_payload_old))
		m->signer = &r->payload_old;
	else if (in->signer.len == 0 || is_key(&in->signer, &r->payload, true))
		m->signer = &r->payload;
	else
		return diag_set(
			d, RC_DENIED, "payload: signer: neither the present nor the former");
	if (in->withdrawn)
		return RC_OK;
	if (in->n_next_signers > PAYLOAD_SIGNERS_MAX)
		return diag_set(
			d, RC_RANGE, "payload: next signers: at most %d", PAYLOAD_SIGNERS_MAX);
	for (size_t i = 0; i < in->n_next_signers; i++) {
		const ProtobufCBinaryData *spki = &in->next_signers[i];

		if (!is_key(spki, &r->payload, true) &&
			!is_key(spki, &r->payload_next, r->has_payload_next))
			return diag_set(d, RC_DENIED, "payload: next signers: not a key of ours");
		m->p.signers[m->p.signers_len++] = spki->data;
	}
	return RC_OK;
}

/* Opens what front sealed and seals it to the card; only to a B key that came in a verified request
 * for this very name. */
static enum rc fill_wifi(struct making *m, const char *owner, struct ca_crypt *x, struct diag *d)
{
	const Keys__SignPayload *in = m->in;
	struct payload_binding to = { .slot = (uint8_t)in->slot, .sequence = in->sequence };
	struct put out = put_init(m->wifi, sizeof(m->wifi));
	struct payload_wifi wifi = { 0 };
	struct secret plain = { 0 };
	uint8_t b_sha256[CA_SHA256_LEN];
	enum rc rc;

	if (in->b_point.len != CA_POINT_LEN)
		return diag_set(d, RC_STATE, "payload: wifi: the card has no key-agreement key");
	rc = ca_point_sha256(x, in->b_point.data, b_sha256);
	if (rc == RC_OK && !ca_issued_has_b(m->ring->authority.issued, b_sha256, owner))
		rc = diag_set(d, RC_DENIED,
			"payload: wifi: not a key of a verified request for %s (formats 2)", owner);
	if (rc == RC_OK)
		rc = ca_open(&m->ring->seal, in->wifi_sealed.data, in->wifi_sealed.len, &plain, d);
	if (rc == RC_OK) {
		rc = payload_wifi_parse(plain.bytes, plain.len, &wifi);
		if (rc != RC_OK)
			diag_set(d, rc,
				"payload: wifi: what was sealed is not the map of formats 2");
	}
	memcpy(to.iccid, in->iccid.data, sizeof(to.iccid));
	if (rc == RC_OK)
		rc = payload_wifi_seal(&wifi, in->b_point.data, &to, &out, d);
	if (rc == RC_OK)
		m->p.wifi = (struct payload_bytes){ m->wifi, out.len };
	payload_wifi_wipe(&wifi);
	secret_free(&plain);
	return rc;
}

static enum rc fill(struct making *m, const struct ca_issuer *issuer, int64_t now,
	struct ca_crypt *x, struct diag *d)
{
	const Keys__SignPayload *in = m->in;
	char owner[IDENT_OWNER_TEXT];
	enum rc rc = check_who(m, issuer, now, owner, d);

	if (rc == RC_OK)
		rc = fill_signers(m, d);
	if (rc != RC_OK)
		return rc;
	m->p.sequence = in->sequence;
	m->p.issued = (uint64_t)in->issued;
	m->p.expires = (uint64_t)in->expires;
	memcpy(m->p.iccid, in->iccid.data, PAYLOAD_ICCID_LEN);
	m->p.has_eid = in->eid.len != 0;
	if (m->p.has_eid)
		memcpy(m->p.eid, in->eid.data, PAYLOAD_EID_LEN);
	m->p.slot = (uint8_t)in->slot;
	m->p.withdrawn = in->withdrawn;
	m->p.zone = payload_text(in->zone);
	if (in->withdrawn) /* carries 1-9 only */
		return RC_OK;
	rc = fill_anchors(m, d);
	if (rc == RC_OK)
		rc = fill_resolvers(m, d);
	if (rc == RC_OK)
		rc = fill_service(m, d);
	if (rc == RC_OK && (in->full || in->ca_digests))
		rc = fill_cas(m, issuer, x);
	if (rc == RC_OK && in->wifi_sealed.len > 0)
		rc = fill_wifi(m, owner, x, d);
	return rc;
}

static enum rc sign(struct making *m, struct ca_crypt *x, struct result *out, struct diag *d)
{
	const struct ca_key *key = m->signer;
	struct put map = put_init(m->map, sizeof(m->map));
	struct put tbs = put_init(m->tbs, sizeof(m->tbs));
	struct put cose = put_init(out->cose, sizeof(out->cose));
	uint8_t digest[CA_SHA256_LEN], sig[PAYLOAD_SIG_LEN];
	enum rc rc = payload_write_map(&m->p, &map, d);

	if (rc == RC_OK)
		rc = payload_sig_input(key->spki_sha256, map.buf, map.len, &tbs);
	if (rc == RC_OK)
		rc = ca_sha256(x, tbs.buf, tbs.len, digest);
	if (rc == RC_OK)
		rc = ca_sign_raw(x, key, digest, sig);
	if (rc == RC_OK)
		rc = payload_cose_write(map.buf, map.len, key->spki_sha256, sig, &cose);
	out->len = cose.len;
	return rc;
}

static enum rc prepare(struct keys_job *job, struct diag *d)
{
	(void)d;
	job->count = 1;
	job->results = calloc(1, sizeof(struct result));
	return job->results ? RC_OK : RC_NOMEM;
}

static void run(struct keys_job *job, size_t item, struct ca_crypt *x)
{
	const Keys__SignPayload *in = job->request->sign_payload;
	const struct ca_issuer *issuer = in->kind == KEYS__CERT_KIND__KIND_DEVKIT
						 ? &job->ring->authority.devkit
						 : &job->ring->authority.issuing;
	struct result *out = job->results;
	struct making *m = calloc(1, sizeof(*m));

	(void)item;
	if (!m) {
		out->rc = RC_NOMEM;
		return;
	}
	m->ring = job->ring;
	m->in = in;
	out->rc = fill(m, issuer, job->now, x, &out->d);
	if (out->rc == RC_OK)
		out->rc = sign(m, x, out, &out->d);
	free(m);
}

static enum rc send_signed_payload(struct keys_job *job, Keys__Reply *reply, struct link *link)
{
	Keys__SignedPayload out = KEYS__SIGNED_PAYLOAD__INIT;
	struct result *in = job->results;

	out.rc = (uint32_t)in->rc;
	if (in->rc == RC_OK) {
		out.cose.data = in->cose;
		out.cose.len = in->len;
	} else {
		if (!in->d.text[0])
			(void)diag_set(&in->d, in->rc, "payload: %s", rc_text(in->rc));
		out.why = in->d.text;
	}
	reply->result_case = KEYS__REPLY__RESULT_SIGNED_PAYLOAD;
	reply->signed_payload = &out;
	return link_send(link, &reply->base);
}

const struct keys_op keys_op_sign_payload = {
	.which = KEYS__REQUEST__OP_SIGN_PAYLOAD,
	.name = "sign_payload",
	.peers = KEYS_CORE,
	.prepare = prepare,
	.run = run,
	.send = send_signed_payload,
};
