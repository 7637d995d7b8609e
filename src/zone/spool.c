/* SPDX-License-Identifier: Apache-2.0 */
#include "zone/spool_internal.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Names copied in one turn of the loop: some 0.2 ms, as long as a batch of UDP answers. */
#define SLICE 200u
/* A whole copy serves whoever asks within this time; then the journal leads on from it. */
#define SHARE_S 10

enum rc spool_new(struct event_base *base, struct snap_reader *reader, int fd, struct spool **out)
{
	struct spool *s = calloc(1, sizeof(*s));

	if (!s)
		return RC_NOMEM;
	s->reader = reader;
	s->fd = fd;
	TAILQ_INIT(&s->regions);
	s->turn = event_new(base, -1, 0, spool__turn, s);
	s->buf = malloc(SPOOL_BUFFER);
	if (!s->turn || !s->buf) {
		spool_free(s);
		return RC_NOMEM;
	}
	(void)!ftruncate(fd, 0);
	*out = s;
	return RC_OK;
}

static void end_making(struct spool *s)
{
	if (s->cursor)
		mdb_cursor_close(s->cursor);
	s->cursor = NULL;
	free(s->changes);
	s->changes = NULL;
	s->change_count = s->change_cap = s->change_at = 0;
	s->buf_len = 0;
	s->making = NULL;
	if (s->entered)
		snap_reader_leave(s->reader);
	s->entered = false;
}

void spool_free(struct spool *s)
{
	if (!s)
		return;
	end_making(s);
	if (s->turn)
		event_free(s->turn);
	free(s->buf);
	free(s);
}

static void turn_soon(struct spool *s)
{
	static const struct timeval now = { 0, 0 };

	(void)event_add(s->turn, &now);
}

static void tell(struct spool_region *r)
{
	struct spool_wait *w;

	r->refs++; /* a waiter may drop it */
	while ((w = TAILQ_FIRST(&r->waits)) != NULL) {
		TAILQ_REMOVE(&r->waits, w, entry);
		w->queued = false;
		w->fn(w->user);
	}
	spool_drop(r, NULL);
}

static void finish(struct spool *s, enum rc rc)
{
	struct spool_region *r = s->making;

	if (rc == RC_OK)
		rc = spool__flush(s);
	r->end = s->at;
	r->state = rc == RC_OK ? SPOOL_READY : SPOOL_FAILED;
	end_making(s);
	tell(r);
	turn_soon(s);
}

/* ---- writing */

enum rc spool__flush(struct spool *s)
{
	size_t done = 0;

	while (done < s->buf_len) {
		ssize_t n = pwrite(s->fd, s->buf + done, s->buf_len - done, s->at);

		if (n <= 0)
			return RC_IO;
		done += (size_t)n;
		s->at += n;
	}
	s->buf_len = 0;
	return RC_OK;
}

static uint8_t *put_part(uint8_t *p, const uint8_t *bytes, size_t len)
{
	if (len)
		memcpy(p, bytes, len);
	return p + len;
}

enum rc spool__put(struct spool *s, const struct spool_item *it)
{
	size_t need = 10u + it->key_len + it->old_len + it->old_next_len + it->new_len +
		      (size_t)it->new_next_len;
	uint8_t *p;
	enum rc rc = s->buf_len + need > SPOOL_BUFFER ? spool__flush(s) : RC_OK;

	if (rc != RC_OK)
		return rc;
	p = s->buf + s->buf_len;
	rec_put16(p, it->key_len);
	rec_put16(p + 2, it->old_len);
	rec_put16(p + 4, it->old_next_len);
	rec_put16(p + 6, it->new_len);
	rec_put16(p + 8, it->new_next_len);
	p = put_part(p + 10, it->key, it->key_len);
	p = put_part(p, it->old, it->old_len);
	p = put_part(p, it->old_next, it->old_next_len);
	p = put_part(p, it->new, it->new_len);
	put_part(p, it->new_next, it->new_next_len);
	s->buf_len += need;
	s->making->items++;
	return RC_OK;
}

enum rc spool_item_read(const uint8_t *buf, size_t len, struct spool_item *out, size_t *used)
{
	struct cur c = cur_init(buf, len);
	struct spool_item it;

	it.key_len = cur_u16(&c);
	it.old_len = cur_u16(&c);
	it.old_next_len = cur_u16(&c);
	it.new_len = cur_u16(&c);
	it.new_next_len = cur_u16(&c);
	it.key = cur_bytes(&c, it.key_len);
	it.old = cur_bytes(&c, it.old_len);
	it.old_next = cur_bytes(&c, it.old_next_len);
	it.new = cur_bytes(&c, it.new_len);
	it.new_next = cur_bytes(&c, it.new_next_len);
	if (c.bad)
		return RC_TRUNCATED;
	*out = it;
	*used = len - c.left;
	return RC_OK;
}

enum rc spool_read(const struct spool_region *r, off_t at, uint8_t *buf, size_t cap, size_t *n)
{
	off_t left = r->end - at;
	size_t want = left < (off_t)cap ? (size_t)(left > 0 ? left : 0) : cap;
	size_t have = 0;

	while (have < want) {
		ssize_t k = pread(r->spool->fd, buf + have, want - have, at + (off_t)have);

		if (k <= 0)
			return RC_IO;
		have += (size_t)k;
	}
	*n = have;
	return RC_OK;
}

/* ---- making */

bool spool__soa(const uint8_t *value, size_t len, struct spool_soa *out)
{
	struct rec_iter it = rec_iter_init(value, len);
	struct rec_view v;

	if (len < REC_GENERAL_SETS || value[REC_KIND] != REC_GENERAL)
		return false;
	while (rec_iter_next(&it, &v)) {
		if (v.type != RR_SOA || v.count != 1 || rec_get16(v.rdata) > SPOOL_SOA_MAX)
			continue;
		out->len = rec_get16(v.rdata);
		memcpy(out->rdata, v.rdata + 2, out->len);
		return true;
	}
	return false;
}

static enum rc start_region(struct spool *s, struct spool_region *r)
{
	const struct zone_state *st = &s->reader->state;
	MDB_txn *txn;
	MDB_val k = { 1, (void *)(uintptr_t) "" };
	MDB_val v;
	bool fresh;

	if (snap_reader_enter(s->reader, &fresh) != RC_OK)
		return RC_UNAVAILABLE;
	s->entered = true;
	txn = snap_reader_txn(s->reader);
	if (!st->have || mdb_cursor_open(txn, s->reader->db->names[st->active], &s->cursor) != 0 ||
		mdb_cursor_get(s->cursor, &k, &v, MDB_SET) != 0 ||
		!spool__soa(v.mv_data, v.mv_size, &r->soa_to))
		return RC_UNAVAILABLE;
	r->to = st->serial;
	r->ttl = st->ttl;
	r->minimum = st->minimum;
	r->origin = st->origin;
	s->sorted = false;
	/* Who has this serial, or a later one, gets no more than the SOA (RFC 1995 section 2). */
	if ((int32_t)(r->to - r->from) <= 0 && !r->whole)
		r->from = r->to;
	else if (!r->whole && !journal_reaches(s->reader->db, txn, r->from, r->to))
		r->whole = true;
	s->serial = r->from;
	return RC_OK;
}

static off_t end_of_regions(const struct spool *s)
{
	const struct spool_region *r;
	off_t end = 0;

	TAILQ_FOREACH(r, &s->regions, entry)
	if (r->end > end)
		end = r->end;
	return end;
}

static bool start_next(struct spool *s)
{
	struct spool_region *r;
	enum rc rc;

	TAILQ_FOREACH(r, &s->regions, entry)
	if (r->state == SPOOL_WAITING)
		break;
	if (!r)
		return false;
	r->state = SPOOL_MAKING;
	s->making = r;
	s->at = r->start = r->end = end_of_regions(s);
	rc = start_region(s, r);
	if (rc != RC_OK)
		finish(s, rc);
	return true;
}

/* The next names of the whole zone. The cursor stands on the next one. */
static enum rc copy_slice(struct spool *s, bool *done)
{
	static const uint8_t apex = 0;
	MDB_val k, v, next_k, next_v;
	int e = mdb_cursor_get(s->cursor, &k, &v, MDB_GET_CURRENT);

	for (unsigned i = 0; e == 0 && i < SLICE; i++) {
		struct spool_item it = { .key = k.mv_data,
			.key_len = (uint16_t)k.mv_size,
			.new = v.mv_data,
			.new_len = (uint16_t)v.mv_size,
			.new_next = &apex,
			.new_next_len = 1 };
		enum rc rc;

		if (!rec_is_sane(v.mv_data, v.mv_size))
			return RC_MALFORMED;
		e = mdb_cursor_get(s->cursor, &next_k, &next_v, MDB_NEXT);
		if (e == 0) {
			it.new_next = next_k.mv_data;
			it.new_next_len = (uint16_t)next_k.mv_size;
		}
		rc = spool__put(s, &it);
		if (rc != RC_OK)
			return rc;
		k = next_k;
		v = next_v;
	}
	*done = e == MDB_NOTFOUND;
	return e == 0 || *done ? RC_OK : RC_IO;
}

void spool__turn(evutil_socket_t fd, short what, void *user)
{
	struct spool *s = user;
	bool done = false;
	enum rc rc;

	(void)fd;
	(void)what;
	if (!s->making && !start_next(s))
		return;
	if (!s->making)
		return;
	rc = s->making->whole ? copy_slice(s, &done) : spool__diff_slice(s, &done);
	if (rc != RC_OK || done)
		finish(s, rc);
	else
		turn_soon(s);
}

/* ---- whom for */

static time_t seconds(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec;
}

enum rc spool_take(struct spool *s, bool whole, uint32_t from, struct spool_wait *wait,
	struct spool_region **out)
{
	struct spool_region *r;

	/* One that is not begun will be of the newest content; one that is ready, or on its way, is
	 * followed by the journal. */
	TAILQ_FOREACH(r, &s->regions, entry)
	if (r->state != SPOOL_FAILED && r->whole == whole && (whole || r->from == from) &&
		(r->state == SPOOL_WAITING || (whole && seconds() - r->begun < SHARE_S)))
		break;
	if (!r) {
		r = calloc(1, sizeof(*r));
		if (!r)
			return RC_NOMEM;
		r->spool = s;
		r->whole = whole;
		r->from = from;
		r->begun = seconds();
		TAILQ_INIT(&r->waits);
		TAILQ_INSERT_TAIL(&s->regions, r, entry);
		turn_soon(s);
	}
	r->refs++;
	if (r->state != SPOOL_READY) {
		TAILQ_INSERT_TAIL(&r->waits, wait, entry);
		wait->queued = true;
	}
	*out = r;
	return RC_OK;
}

void spool_drop(struct spool_region *r, struct spool_wait *wait)
{
	struct spool *s;

	if (!r)
		return;
	s = r->spool;
	if (wait && wait->queued) {
		TAILQ_REMOVE(&r->waits, wait, entry);
		wait->queued = false;
	}
	if (--r->refs > 0)
		return;
	if (s->making == r)
		end_making(s);
	TAILQ_REMOVE(&s->regions, r, entry);
	if (TAILQ_EMPTY(&s->regions))
		(void)!ftruncate(s->fd, 0);
	else if (r->end > r->start)
		(void)fallocate(s->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, r->start,
			r->end - r->start);
	free(r);
	turn_soon(s);
}
