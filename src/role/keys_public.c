/* SPDX-License-Identifier: Apache-2.0 */
/* keys: what is public of its keys, and the lives of the zone's. */
#include "role/keys_internal.h"

#include <string.h>

static ProtobufCBinaryData bytes_of(const void *at, size_t len)
{
	return (ProtobufCBinaryData){ .len = len, .data = (uint8_t *)(uintptr_t)at };
}

static enum rc send_public(struct keys_job *job, Keys__Reply *reply, struct link *link)
{
	const struct ca_keyring *r = job->ring;
	struct ca_zone_keys *s = job->zone_keys;
	Keys__Public p = KEYS__PUBLIC__INIT;
	Keys__ZoneKey keys[CA_ZONE_KEYS_MAX], *list[CA_ZONE_KEYS_MAX];

	p.zone = (char *)(uintptr_t)r->authority.zone;
	p.root = bytes_of(r->root, r->root_len);
	p.issuing = bytes_of(r->authority.issuing.cert, r->authority.issuing.cert_len);
	p.devkit = bytes_of(r->authority.devkit.cert, r->authority.devkit.cert_len);
	p.party = bytes_of(r->authority.party.cert, r->authority.party.cert_len);
	p.payload_signer = bytes_of(r->payload_cert, r->payload_cert_len);
	p.payload_signer_devkit = bytes_of(r->payload_devkit_cert, r->payload_devkit_cert_len);
	p.ksk = bytes_of(s->zone.ksk_rdata, CA_DNSKEY_LEN);
	p.zsk = bytes_of(s->zone.zsk_rdata, CA_DNSKEY_LEN);
	p.seal_point = bytes_of(r->seal.point, CA_POINT_LEN);
	for (size_t i = 0; i < s->count; i++) {
		struct ca_zone_key *k = &s->key[i];

		list[i] = &keys[i];
		keys__zone_key__init(&keys[i]);
		keys[i].ksk = k->pub.ksk;
		keys[i].tag = k->pub.tag;
		keys[i].state = (Keys__ZoneKeyState)k->state;
		keys[i].rdata = bytes_of(k->pub.rdata, CA_DNSKEY_LEN);
		keys[i].hold = k->hold;
		keys[i].n_times = CA_KEY_STATES;
		keys[i].times = k->times;
	}
	p.n_zone_keys = s->count;
	p.zone_keys = list;
	reply->result_case = KEYS__REPLY__RESULT_PUBLIC;
	reply->public_ = &p;
	return link_send(link, &reply->base);
}

static enum rc prepare_nothing(struct keys_job *job, struct diag *d)
{
	(void)d;
	job->count = 0;
	return RC_OK;
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
	rc = m->make ? ca_zone_keys_make(
			       &next, z->now, z->folder, z->name, m->ksk, m->hold, job->now, d)
		     : ca_zone_keys_move(&next, z->now, z->folder, z->name, m->ksk,
			       (uint16_t)m->tag, (enum ca_zone_key_state)m->to, job->now, d);
	if (rc != RC_OK)
		return rc;
	log_write(z->log, LOG_INFO, "zone_key kind=%s tag=%u state=%s", m->ksk ? "ksk" : "zsk",
		m->make ? next->key[next->count - 1].pub.tag : m->tag,
		ca_zone_key_state_text(m->make ? CA_KEY_PUBLISHED : (enum ca_zone_key_state)m->to));
	ca_zone_keys_unref(z->now);
	z->now = next;
	ca_zone_keys_unref(job->zone_keys);
	job->zone_keys = ca_zone_keys_ref(next);
	job->count = 0;
	return RC_OK;
}

const struct keys_op keys_op_get_public = { .which = KEYS__REQUEST__OP_GET_PUBLIC,
	.name = "get_public",
	.peers = KEYS_CORE | KEYS_ZONE,
	.prepare = prepare_nothing,
	.send = send_public };

const struct keys_op keys_op_move_zone_key = { .which = KEYS__REQUEST__OP_MOVE_ZONE_KEY,
	.name = "move_zone_key",
	.peers = KEYS_ZONE,
	.prepare = prepare_move,
	.send = send_public };
