/* SPDX-License-Identifier: Apache-2.0 */
#include "zone/xfr.h"

#include <string.h>

/* A message is sent when it has this much: the reach of a compression pointer. */
#define FULL	     16000u
#define MESSAGE_MAX  65535u
#define RR_FIXED     10u
#define ZONE_POINTER (0xc000u | DNS_HEADER_LEN)

struct message {
	uint8_t *buf;
	size_t len;
	size_t cap;
	uint16_t answers;
	unsigned owner_at; /* where the present owner stands, or 0 */
};

void xfr_start(struct xfr *x)
{
	x->stage = XFR_FIRST;
	x->at = x->region->start;
	x->rr = 0;
}

static void begin(struct message *m, const struct xfr_ask *ask, uint16_t flags)
{
	memset(m->buf, 0, DNS_HEADER_LEN);
	rec_put16(m->buf, ask->id);
	rec_put16(m->buf + 2, (uint16_t)(DNS_QR | flags | (ask->rd ? DNS_RD : 0)));
	rec_put16(m->buf + 4, 1);
	memcpy(m->buf + DNS_HEADER_LEN, ask->question, ask->question_len);
	m->len = DNS_HEADER_LEN + ask->question_len;
}

/* False: the message is to be sent first. */
static bool put_rr(struct message *m, const uint8_t *labels, size_t labels_len, uint16_t type,
	uint32_t ttl, const uint8_t *rdata, size_t len)
{
	size_t owner = m->owner_at ? 2 : labels_len + 2;
	uint8_t *p = m->buf + m->len;

	if (m->answers > 0 && m->len + owner + RR_FIXED + len > FULL)
		return false;
	if (m->len + owner + RR_FIXED + len > m->cap)
		return false;
	if (m->owner_at) {
		rec_put16(p, (uint16_t)(0xc000u | m->owner_at));
	} else {
		if (labels_len > 0) {
			m->owner_at = (unsigned)m->len;
			memcpy(p, labels, labels_len);
		}
		rec_put16(p + labels_len, ZONE_POINTER);
	}
	p += owner;
	rec_put16(p, type);
	rec_put16(p + 2, RR_IN);
	rec_put32(p + 4, ttl);
	rec_put16(p + 8, (uint16_t)len);
	memcpy(p + RR_FIXED, rdata, len);
	m->len += owner + RR_FIXED + len;
	m->answers++;
	return true;
}

static bool put_soa(struct message *m, const struct xfr *x, const struct spool_soa *soa)
{
	m->owner_at = 0;
	return put_rr(m, NULL, 0, RR_SOA, x->region->ttl, soa->rdata, soa->len);
}

/* The item at x->at out of the chunk; *used 0: no more. */
static enum rc item_at(struct xfr *x, struct xfr_desk *d, struct spool_item *it, size_t *used)
{
	*used = 0;
	if (x->at >= x->region->end)
		return RC_OK;
	for (int round = 0; round < 2; round++) {
		size_t off = (size_t)(x->at - d->chunk_at);
		enum rc rc;

		if (d->chunk_of == x->region && x->at >= d->chunk_at && off < d->chunk_len &&
			spool_item_read(d->chunk + off, d->chunk_len - off, it, used) == RC_OK)
			return RC_OK;
		d->chunk_of = x->region;
		d->chunk_at = x->at;
		rc = spool_read(x->region, x->at, d->chunk, XFR_CHUNK, &d->chunk_len);
		if (rc != RC_OK) {
			d->chunk_of = NULL;
			return rc;
		}
	}
	return RC_MALFORMED;
}

static enum rc unfold(const struct xfr *x, const struct spool_item *it, struct xfr_desk *d)
{
	const struct spool_region *r = x->region;
	const struct rrs_zone z = { &r->origin, r->ttl, r->minimum };
	enum rc rc = RC_OK;

	d->old.count = d->new.count = 0;
	if (it->old_len)
		rc = rrs_of(&z, it->key, it->key_len, it->old, it->old_len, it->old_next,
			it->old_next_len, &d->old);
	if (rc == RC_OK && it->new_len)
		rc = rrs_of(&z, it->key, it->key_len, it->new, it->new_len, it->new_next,
			it->new_next_len, &d->new);
	return rc;
}

/* Items from x->at on until the message or the region is full; *end: the region is. */
static enum rc put_items(struct xfr *x, struct xfr_desk *d, struct message *m, bool *end)
{
	bool deleting = x->stage == XFR_DELETE;

	for (;;) {
		uint8_t labels[ZONE_NAME_MAX];
		struct spool_item it;
		size_t labels_len, used;
		const struct rrs *list = deleting ? &d->old : &d->new;
		const struct rrs *other = deleting ? &d->new : &d->old;
		enum rc rc = item_at(x, d, &it, &used);

		*end = used == 0;
		if (rc != RC_OK || *end)
			return rc;
		rc = unfold(x, &it, d);
		if (rc == RC_OK)
			rc = zone_key_labels(it.key, it.key_len, labels, &labels_len);
		if (rc != RC_OK)
			return rc;
		m->owner_at = 0;
		for (; x->rr < list->count; x->rr++) {
			const struct rrs_one *one = &list->one[x->rr];

			if (!rrs_has(other, one) && !put_rr(m, labels, labels_len, one->type,
							    one->ttl, one->rdata, one->len))
				return RC_OK;
		}
		x->rr = 0;
		x->at += (off_t)used;
	}
}

static void rewind_items(struct xfr *x)
{
	x->at = x->region->start;
	x->rr = 0;
}

/* One stage as far as it fits; *go: on with the next one. */
static enum rc put_stage(struct xfr *x, struct xfr_desk *d, struct message *m, bool *go)
{
	const struct spool_region *r = x->region;
	enum rc rc = RC_OK;

	switch (x->stage) {
	case XFR_FIRST:
	case XFR_LAST:
	case XFR_NEW: *go = put_soa(m, x, &r->soa_to); break;
	case XFR_OLD: *go = put_soa(m, x, &r->soa_from); break;
	case XFR_DELETE:
	case XFR_ADD: rc = put_items(x, d, m, go); break;
	case XFR_DONE: *go = false; break;
	}
	return rc;
}

static void next_stage(struct xfr *x)
{
	x->stage++;
	/* The client is up to date (RFC 1995 section 2): one SOA, no more. */
	if (x->stage == XFR_OLD && !x->region->whole && x->region->from == x->region->to)
		x->stage = XFR_DONE;
	if (x->stage == XFR_OLD && x->region->whole)
		x->stage = XFR_ADD;
	if (x->stage == XFR_DELETE || x->stage == XFR_ADD)
		rewind_items(x);
}

enum rc xfr_next(struct xfr *x, struct xfr_desk *desk, int64_t now, uint8_t *out, size_t *len)
{
	size_t room = x->ask.is_signed ? TSIG_ROOM : 0;
	struct message m = { .buf = out, .cap = MESSAGE_MAX - room };
	bool go = true;
	enum rc rc = RC_OK;

	*len = 0;
	if (x->stage == XFR_DONE)
		return RC_OK;
	begin(&m, &x->ask, DNS_AA);
	while (rc == RC_OK && go && x->stage != XFR_DONE) {
		rc = put_stage(x, desk, &m, &go);
		if (rc == RC_OK && go)
			next_stage(x);
	}
	if (rc != RC_OK || m.answers == 0)
		return rc != RC_OK ? rc : RC_MALFORMED;
	rec_put16(out + 6, m.answers);
	*len = x->ask.is_signed ? tsig_sign(&x->ask.tsig, out, m.len, now) : m.len;
	return RC_OK;
}

size_t xfr_refuse(struct xfr_ask *ask, unsigned rcode, int64_t now, uint8_t *out)
{
	struct message m = { .buf = out, .cap = MESSAGE_MAX };

	begin(&m, ask, (uint16_t)rcode);
	return ask->is_signed ? tsig_sign(&ask->tsig, out, m.len, now) : m.len;
}
