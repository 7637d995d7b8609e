/* SPDX-License-Identifier: Apache-2.0 */
/* keys: what is public of its keys, and the lives of the zone's. */
#include "role/keys_internal.h"

#include <string.h>

static ProtobufCBinaryData bytes_of(const void *at, size_t len)
{
	return (ProtobufCBinaryData){ .len = len, .data = (uint8_t *)(uintptr_t)at };
}

static const char *const wheres[] = {
	[CA_KEY_IN_FILE] = "file", [CA_KEY_IN_TOKEN] = "token", [CA_KEY_OFFLINE] = "off-line"
};

enum rc keys_send_public(struct keys_job *job, Keys__Reply *reply, struct link *link)
{
	const struct ca_keyring *r = job->ring;
	struct ca_zone_keys *s = job->zone_keys;
	Keys__Public p = KEYS__PUBLIC__INIT;
	Keys__ZoneKey keys[CA_ZONE_KEYS_MAX], *list[CA_ZONE_KEYS_MAX];
	Keys__AlgorithmRoll roll = KEYS__ALGORITHM_ROLL__INIT;
	Keys__PresignedTimes presigned = KEYS__PRESIGNED_TIMES__INIT;

	p.zone = (char *)(uintptr_t)r->authority.zone;
	p.root = bytes_of(r->root, r->root_len);
	p.issuing = bytes_of(r->authority.issuing.cert, r->authority.issuing.cert_len);
	p.devkit = bytes_of(r->authority.devkit.cert, r->authority.devkit.cert_len);
	p.party = bytes_of(r->authority.party.cert, r->authority.party.cert_len);
	p.payload_signer = bytes_of(r->payload_cert, r->payload_cert_len);
	p.payload_signer_devkit = bytes_of(r->payload_devkit_cert, r->payload_devkit_cert_len);
	p.payload_spki = bytes_of(r->payload.spki_sha256, CA_SHA256_LEN);
	if (r->has_payload_next)
		p.payload_next_spki = bytes_of(r->payload_next.spki_sha256, CA_SHA256_LEN);
	if (r->has_payload_old)
		p.payload_old_spki = bytes_of(r->payload_old.spki_sha256, CA_SHA256_LEN);
	p.ksk = bytes_of(s->zone.ksk_rdata, s->zone.ksk_len);
	p.zsk = bytes_of(s->zone.zsk_rdata, s->zone.zsk_len);
	p.seal_point = bytes_of(r->seal.point, CA_POINT_LEN);
	p.keys_version = job->zone->version;
	for (size_t i = 0; i < s->count; i++) {
		struct ca_zone_key *k = &s->key[i];

		list[i] = &keys[i];
		keys__zone_key__init(&keys[i]);
		keys[i].ksk = k->pub.ksk;
		keys[i].tag = k->pub.tag;
		keys[i].state = (Keys__ZoneKeyState)k->state;
		keys[i].rdata = bytes_of(k->pub.rdata, k->pub.rdata_len);
		keys[i].algorithm = ca_alg_number(k->key.alg);
		keys[i].in_dnskey = ca_zone_key_in_dnskey(s, k);
		keys[i].in_cds = ca_zone_key_in_cds(s, k);
		keys[i].where = (char *)(uintptr_t)wheres[k->key.where];
		keys[i].hold = k->hold;
		keys[i].n_times = CA_KEY_STATES;
		keys[i].times = k->times;
	}
	for (unsigned a = 0; a < CA_ALGS; a++)
		p.form |= (uint32_t)ca_zone_keys_signs(s, (enum ca_alg)a) << a;
	if (s->roll.phase) {
		roll.phase = s->roll.phase;
		roll.from = ca_alg_number(s->roll.from);
		roll.to = ca_alg_number(s->roll.to);
		roll.phase_text = (char *)(uintptr_t)ca_alg_phase_text(s->roll.phase);
		roll.n_times = CA_ALG_PHASES;
		roll.times = s->roll.times;
		p.algorithm_roll = &roll;
	}
	if (ca_zone_keys_offline(s)) {
		ca_presigned_times(
			s->presigned, job->now, &presigned.from, &presigned.next, &presigned.end);
		p.presigned = &presigned;
	}
	p.n_zone_keys = s->count;
	p.zone_keys = list;
	reply->result_case = KEYS__REPLY__RESULT_PUBLIC;
	reply->public_ = &p;
	return link_send(link, &reply->base);
}

static void replace(struct keys_job *job, struct ca_zone_keys *take_next)
{
	struct keys_zone *z = job->zone;

	ca_zone_keys_unref(z->now);
	z->now = take_next;
	ca_zone_keys_unref(job->zone_keys);
	job->zone_keys = ca_zone_keys_ref(take_next);
}

/* Pre-signed sets may have been imported since. Sets that are bad are said, and the old ones kept.
 */
static enum rc prepare_public(struct keys_job *job, struct diag *d ATT_UNUSED)
{
	struct keys_zone *z = job->zone;
	struct ca_zone_keys *next = NULL;
	struct diag why = { 0 };

	job->count = 0;
	if (ca_zone_keys_refresh(&next, z->now, z->folder, &why) != RC_OK)
		log_write(z->log, LOG_ERROR, "presigned why=\"%s\"", why.text);
	if (!next)
		return RC_OK;
	log_write(z->log, LOG_INFO, "presigned sets=%zu",
		next->presigned ? next->presigned->set_count : 0);
	replace(job, next);
	return RC_OK;
}

static enum rc make_or_move(struct keys_job *job, struct ca_zone_keys **next, struct diag *d)
{
	const Keys__MoveZoneKey *m = job->request->move_zone_key;
	const struct keys_zone *z = job->zone;
	enum ca_alg alg;

	if (m->algorithm && !ca_alg_of_number(m->algorithm, &alg))
		return diag_set(d, RC_UNSUPPORTED, "zone: algorithm %u", m->algorithm);
	if (m->algorithm)
		return ca_zone_keys_alg_begin(next, z->now, z->folder, z->name, alg, job->now, d);
	if (m->advance)
		return ca_zone_keys_alg_next(next, z->now, z->folder, z->name, job->now, d);
	if (m->make)
		return ca_zone_keys_make(
			next, z->now, z->folder, z->name, m->ksk, m->hold, job->now, d);
	return ca_zone_keys_move(next, z->now, z->folder, z->name, m->ksk, (uint16_t)m->tag,
		(enum ca_zone_key_state)m->to, job->now, d);
}

/* Done at once, in the event loop: it is rare, and what is signed after it in this link's order is
 * signed by the new set. */
static enum rc prepare_move(struct keys_job *job, struct diag *d)
{
	const Keys__MoveZoneKey *m = job->request->move_zone_key;
	struct keys_zone *z = job->zone;
	struct ca_zone_keys *next = NULL;
	enum rc rc;

	if (m->tag > UINT16_MAX || (unsigned)m->to >= CA_KEY_STATES)
		return diag_set(d, RC_RANGE, "move_zone_key: tag or state");
	rc = make_or_move(job, &next, d);
	if (rc != RC_OK)
		return rc;
	if (m->algorithm || m->advance)
		log_write(z->log, LOG_INFO, "zone_algorithm now=%u phase=%s",
			ca_alg_number(next->zone.alg), ca_alg_phase_text(next->roll.phase));
	else
		log_write(z->log, LOG_INFO, "zone_key kind=%s tag=%u state=%s",
			m->ksk ? "ksk" : "zsk",
			m->make ? next->key[next->count - 1].pub.tag : m->tag,
			ca_zone_key_state_text(
				m->make ? CA_KEY_PUBLISHED : (enum ca_zone_key_state)m->to));
	replace(job, next);
	job->count = 0;
	return RC_OK;
}

const struct keys_op keys_op_get_public = { .which = KEYS__REQUEST__OP_GET_PUBLIC,
	.name = "get_public",
	.peers = KEYS_CORE | KEYS_ZONE,
	.prepare = prepare_public,
	.send = keys_send_public };

const struct keys_op keys_op_move_zone_key = { .which = KEYS__REQUEST__OP_MOVE_ZONE_KEY,
	.name = "move_zone_key",
	.peers = KEYS_ZONE,
	.prepare = prepare_move,
	.send = keys_send_public };
