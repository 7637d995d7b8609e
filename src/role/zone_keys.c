/* SPDX-License-Identifier: Apache-2.0 */
/* zone <-> keys: the public keys, and signatures. */
#include "role/zone_internal.h"

#include <stdlib.h>
#include <string.h>

/* RRsets of one request: far below a frame's limit; a batch of core's fits in one. */
#define REQUEST_SETS 8192u

#define RETRY_MS 200

static void send_request(struct zone_role *z, Keys__Request *req)
{
	if (!z->keys)
		return;
	req->id = ++z->request;
	z->asked = true;
	if (link_send(z->keys, &req->base) != RC_OK) {
		z->asked = false;
		zone__soon(z, RETRY_MS);
	}
}

void zone__ask_public(struct zone_role *z)
{
	Keys__GetPublic get = KEYS__GET_PUBLIC__INIT;
	Keys__Request req = KEYS__REQUEST__INIT;

	if (z->asked)
		return;
	req.op_case = KEYS__REQUEST__OP_GET_PUBLIC;
	req.get_public = &get;
	send_request(z, &req);
}

void zone__ask_move(struct zone_role *z, const Keys__MoveZoneKey *move)
{
	Keys__Request req = KEYS__REQUEST__INIT;

	if (z->asked)
		return;
	req.op_case = KEYS__REQUEST__OP_MOVE_ZONE_KEY;
	req.move_zone_key = (Keys__MoveZoneKey *)(uintptr_t)move;
	send_request(z, &req);
}

static ProtobufCBinaryData bytes_of(const uint8_t *p, size_t len)
{
	return (ProtobufCBinaryData){ len, (uint8_t *)(uintptr_t)p };
}

static void fill_rrset(Keys__Rrset *out, const struct sign_set *s, ProtobufCBinaryData *rdata)
{
	keys__rrset__init(out);
	out->owner = bytes_of(s->owner, s->owner_len);
	out->type = s->type;
	out->ttl = s->ttl;
	out->inception = s->inception;
	out->expiration = s->expiration;
	out->ksk = s->ksk;
	out->algorithm = rec_alg_number(s->alg);
	for (unsigned i = 0; i < s->count; i++)
		rdata[i] = bytes_of(s->rdata[i], s->rdata_len[i]);
	out->n_rdata = s->count;
	out->rdata = rdata;
}

void zone__ask_signatures(struct zone_role *z)
{
	const struct work *w = z->work;
	size_t n = w->count - z->signed_count;
	size_t records = 0;
	Keys__SignRrsets sign = KEYS__SIGN_RRSETS__INIT;
	Keys__Request req = KEYS__REQUEST__INIT;
	Keys__Rrset *sets;
	Keys__Rrset **list;
	ProtobufCBinaryData *rdata;

	if (z->asked || !z->keys)
		return;
	if (n > REQUEST_SETS)
		n = REQUEST_SETS;
	for (size_t i = 0; i < n; i++)
		records += w->sets[z->signed_count + i].count;
	sets = malloc(n * sizeof(*sets));
	list = malloc(n * sizeof(*list));
	rdata = malloc((records ? records : 1) * sizeof(*rdata));
	if (sets && list && rdata) {
		ProtobufCBinaryData *at = rdata;

		for (size_t i = 0; i < n; i++) {
			const struct sign_set *s = &w->sets[z->signed_count + i];

			fill_rrset(&sets[i], s, at);
			at += s->count;
			list[i] = &sets[i];
		}
		sign.n_rrsets = n;
		sign.rrsets = list;
		req.op_case = KEYS__REQUEST__OP_SIGN_RRSETS;
		req.sign_rrsets = &sign;
		send_request(z, &req);
		link_flush(z->keys);
	} else {
		zone__soon(z, RETRY_MS);
	}
	free(sets);
	free(list);
	free(rdata);
}

static void on_public(struct zone_role *z, const Keys__Public *pub)
{
	struct zone_policy policy;
	struct diag d = { 0 };
	bool same, begins;
	enum rc rc;

	memset(&policy, 0, sizeof(policy));
	rc = zone__policy_read(z->role->config, pub, &policy, &d);
	if (rc != RC_OK) {
		log_write(z->role->log, LOG_ERROR, "policy why=%s", d.text);
		zone__soon(z, 1000);
		return;
	}
	policy.doubt_s = z->policy.doubt_s;
	/* Asked again to see whether pre-signed sets came: nothing did. */
	same = z->have_policy && memcmp(&policy, &z->policy, sizeof(policy)) == 0;
	if (!same)
		z->policy = policy;
	z->have_policy = true;
	begins = zone__node_policy(z);
	z->roll.refused_ms = 0;
	zone__roll_keys(z, pub, !same);
	if (same && !begins)
		zone__go_on(z);
	else
		zone__new_policy(z);
}

static void on_signed(struct zone_role *z, const Keys__SignedRrsets *s)
{
	size_t first = z->signed_count;

	if (z->doing == DOING_NOTHING)
		return;
	if (s->rc != RC_OK) {
		zone__refused(z, s->why);
		return;
	}
	if (s->n_signatures == 0 || s->n_signatures > z->work->count - z->signed_count) {
		zone__refused(z, "keys answered with another number of signatures");
		return;
	}
	for (size_t i = 0; i < s->n_signatures; i++) {
		if (s->signatures[i].len != RR_SIG_LEN) {
			zone__refused(z, "keys answered with a malformed signature");
			return;
		}
		memcpy(z->sigs + z->signed_count++ * RR_SIG_LEN, s->signatures[i].data, RR_SIG_LEN);
	}
	z->tags = (struct work_tags){
		.zsk = { (uint16_t)s->zsk_tag, (uint16_t)s->zsk_tag_ed25519 },
		.ksk = { (uint16_t)s->ksk_tag, (uint16_t)s->ksk_tag_ed25519 },
	};
	for (size_t i = 0; i < s->n_presigned; i++) {
		size_t at = first + s->presigned[i]->index;

		if (s->presigned[i]->index >= s->n_signatures)
			continue;
		z->work->sets[at].inception = s->presigned[i]->inception;
		z->work->sets[at].expiration = s->presigned[i]->expiration;
	}
	if (z->signed_count < z->work->count)
		zone__ask_signatures(z);
	else
		zone__signed(z);
}

static void on_message(struct link *link, const uint8_t *bytes, size_t len, void *user)
{
	struct zone_role *z = user;
	Keys__Reply *reply = keys__reply__unpack(NULL, len, bytes);

	(void)link;
	if (!reply) {
		log_write(z->role->log, LOG_ERROR, "keys malformed_reply len=%zu", len);
		return;
	}
	if (z->asked && reply->id == z->request) {
		z->asked = false;
		if (reply->rc != RC_OK)
			zone__refused(z, reply->why);
		else if (reply->result_case == KEYS__REPLY__RESULT_PUBLIC)
			on_public(z, reply->public_);
		else if (reply->result_case == KEYS__REPLY__RESULT_SIGNED_RRSETS)
			on_signed(z, reply->signed_rrsets);
		else
			zone__refused(z, "keys answered something else");
	}
	keys__reply__free_unpacked(reply, NULL);
}

static void on_closed(struct link *link, enum rc why, void *user)
{
	struct zone_role *z = user;

	log_write(z->role->log, LOG_WARNING, "link_closed peer=keys why=%s", rc_text(why));
	z->keys = NULL;
	z->asked = false;
	link_free(link);
}

void zone__keys_link(struct zone_role *z, int take_fd)
{
	struct link_opts opts = { .on_message = on_message, .on_closed = on_closed, .user = z };

	link_free(z->keys);
	z->keys = NULL;
	z->asked = false;
	if (link_new(z->role->base, take_fd, &opts, &z->keys) != RC_OK)
		return;
	/* The keys may be others now: ask again, then go on with what waited. */
	zone__ask_public(z);
}
