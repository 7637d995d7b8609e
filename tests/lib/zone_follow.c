/* SPDX-License-Identifier: Apache-2.0 */
/* What a change costs a secondary of ours: a primary's store is changed name by name, its code
 * makes the messages of an IXFR, and the time that counts is from the first message to the durable
 * commit in the secondary's store. */
#include "zone_tool.h"

#include "base/clock.h"
#include "zone/batch.h"
#include "zone/follow.h"
#include "zone/xfr.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define ASK_ID	     77
#define MESSAGE_MAX  65535u
#define MESSAGES_MAX 16u

struct message {
	size_t len;
	uint8_t wire[MESSAGE_MAX];
};

struct pair {
	struct tool *t;
	struct zone_db *from, *to;
	struct event_base *base;
	struct snap_reader reader; /* of the primary's store */
	struct spool *spool;
	struct snap_writer *snaps; /* of the secondary's */
	struct xfr_desk desk;
	struct follow *follow;
	struct diag *d;
	unsigned count;
	struct message message[MESSAGES_MAX];
};

static int64_t now_s(void)
{
	return clock_system()->unix_s(clock_system());
}

static uint32_t serial_of(struct zone_db *db)
{
	struct zone_state s = { 0 };
	MDB_txn *txn = NULL;

	if (mdb_txn_begin(db->env, NULL, MDB_RDONLY, &txn) != 0)
		return 0;
	if (zone_db_state_get(db, txn, &s) != RC_OK)
		s.serial = 0;
	mdb_txn_abort(txn);
	return s.serial;
}

/* ---- the primary */

static enum rc change(struct pair *p, unsigned i)
{
	const struct work *work;
	struct zone_key key;
	struct batch *b;
	uint8_t cert[32], spki[32];
	uint8_t *sigs = NULL;
	char iccid[21];
	uint32_t serial;
	const struct work_tags tags = { { bulk_tag(&p->t->bulk, false) },
		{ bulk_tag(&p->t->bulk, true) } };
	enum rc rc = batch_new(p->from, &p->t->bulk.policy, now_s(), &b);

	if (rc != RC_OK)
		return rc;
	/* The same name comes and goes. */
	tool_iccid((uint64_t)(i / 2) * 7919 % 1000000, 1000000, iccid);
	tool_device(iccid, 4, &key, cert, spki);
	rc = i % 2 == 0 ? batch_device(b, &key, cert, spki, now_s() + 7776000)
			: batch_withdraw(b, &key);
	if (rc == RC_OK)
		rc = batch_prepare(b, &work, p->d);
	if (rc == RC_OK)
		sigs = malloc(work->count * RR_SIG_LEN);
	if (rc == RC_OK)
		rc = sigs ? bulk_sign(&p->t->bulk, work, sigs) : RC_NOMEM;
	if (rc == RC_OK)
		rc = batch_commit(b, sigs, &tags, 1, &serial, p->d);
	free(sigs);
	batch_free(b);
	return rc;
}

static void nothing(void *user)
{
	(void)user;
}

/* The messages that lead from the secondary's serial to the primary's. */
static enum rc fetch(struct pair *p)
{
	struct spool_wait wait = { .fn = nothing };
	struct xfr x = { .ask = { .id = ASK_ID } };
	const struct zone_name *origin = &p->t->bulk.policy.origin;
	enum rc rc = spool_take(p->spool, false, serial_of(p->to), &wait, &x.region);

	if (rc != RC_OK)
		return rc;
	while (wait.queued)
		event_base_loop(p->base, EVLOOP_ONCE);
	memcpy(x.ask.question, origin->wire, origin->len);
	rec_put16(x.ask.question + origin->len, RR_IXFR);
	rec_put16(x.ask.question + origin->len + 2, RR_IN);
	x.ask.question_len = origin->len + 4u;
	xfr_start(&x);
	for (p->count = 0; rc == RC_OK && p->count < MESSAGES_MAX; p->count++) {
		struct message *m = &p->message[p->count];

		rc = xfr_next(&x, &p->desk, now_s(), m->wire, &m->len);
		if (rc != RC_OK || m->len == 0)
			break;
	}
	if (rc == RC_OK && p->count == MESSAGES_MAX)
		rc = diag_set(p->d, RC_TOO_LARGE, "a difference of many messages");
	spool_drop(x.region, &wait);
	p->desk.chunk_of = NULL;
	return rc;
}

/* ---- the secondary */

static enum rc committed(void *user)
{
	struct pair *p = user;

	return snap_writer_publish(p->snaps);
}

static enum rc on_begin(bool whole, void *user)
{
	struct pair *p = user;
	struct follow_hook hook = { committed, p };

	return whole ? diag_set(p->d, RC_STATE, "a whole zone instead of a difference")
		     : follow_new(p->to, &p->t->bulk.policy.origin, whole, &hook, &p->follow, p->d);
}

static enum rc on_record(const struct incoming_record *r, void *user)
{
	struct pair *p = user;

	return follow_record(p->follow, r, p->d);
}

static enum rc apply(struct pair *p)
{
	struct incoming_sink sink = { on_begin, on_record, p };
	struct incoming in = { 0 };
	uint8_t ask[INCOMING_ASK_MAX];
	struct zone_state state;
	enum rc rc = RC_OK;

	(void)incoming_ask(&in, &p->t->bulk.policy.origin, ASK_ID, true, serial_of(p->to), ask);
	for (unsigned i = 0; rc == RC_OK && i < p->count; i++)
		rc = incoming_message(&in, p->message[i].wire, p->message[i].len, &sink, p->d);
	if (rc == RC_OK)
		rc = in.state == INCOMING_DONE ? follow_end(p->follow, &state, p->d) : RC_STATE;
	follow_free(p->follow);
	p->follow = NULL;
	return rc;
}

static enum rc run(struct pair *p, unsigned count, double *ms)
{
	enum rc rc = RC_OK;

	for (unsigned i = 0; rc == RC_OK && i < count; i++) {
		double start;

		rc = change(p, i);
		if (rc == RC_OK)
			rc = fetch(p);
		start = tool_seconds();
		if (rc == RC_OK)
			rc = apply(p);
		ms[i] = (tool_seconds() - start) * 1000;
	}
	if (rc == RC_OK && serial_of(p->from) != serial_of(p->to))
		rc = diag_set(p->d, RC_INTERNAL, "the secondary is not at the primary's serial");
	return rc;
}

enum rc tool_follow(struct tool *t, const char *secondary, unsigned count, struct diag *d)
{
	struct pair *p = calloc(1, sizeof(*p));
	double *ms = calloc(count ? count : 1, sizeof(*ms));
	int fd = memfd_create("spool", MFD_CLOEXEC);
	enum rc rc = p && ms && fd >= 0 ? RC_OK : RC_NOMEM;

	if (rc == RC_OK) {
		p->t = t;
		p->d = d;
		p->base = event_base_new();
		rc = zone_db_open(t->dir, ZONE_DB_WRITE, 0, &p->from, d);
	}
	if (rc == RC_OK)
		rc = zone_db_open(secondary, ZONE_DB_WRITE, 0, &p->to, d);
	if (rc == RC_OK)
		rc = snap_writer_new(p->to, 1, &p->snaps, d);
	if (rc == RC_OK)
		rc = snap_reader_init(&p->reader, p->from, NULL, NULL);
	if (rc == RC_OK)
		rc = spool_new(p->base, &p->reader, fd, &p->spool);
	/* Not one of the dns: the slot is nobody's. */
	if (rc == RC_OK)
		snap_writer_release(p->snaps, 0);
	if (rc == RC_OK)
		rc = run(p, count, ms);
	if (rc == RC_OK)
		tool_print_times(ms, count);
	if (p) {
		spool_free(p->spool);
		if (p->from)
			snap_reader_fini(&p->reader);
		snap_writer_free(p->snaps);
		zone_db_close(p->to);
		zone_db_close(p->from);
		if (p->base)
			event_base_free(p->base);
	}
	if (fd >= 0)
		close(fd);
	free(ms);
	free(p);
	return rc;
}
