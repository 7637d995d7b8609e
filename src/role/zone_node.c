/* SPDX-License-Identifier: Apache-2.0 */
/* Several nodes on one database (doc/nodes.md). The zone moves on by what is in the database and by
 * nothing else: who signs has a delta kept there before it is written here, the others write what
 * they find there. Core carries both ways and says who signs. */
#include "role/zone_internal.h"

#include <stdlib.h>
#include <string.h>

#define IMAGE_PART (384u << 10)

bool zone__may_sign(const struct zone_role *z)
{
	return !z->node.on || z->node.signs;
}

void zone__node_drop(struct zone_role *z)
{
	free(z->node.body);
	z->node.body = NULL;
	z->node.waits = 0;
	z->node.kept = false;
}

static void stop_giving(struct zone_role *z)
{
	if (z->node.image)
		mdb_txn_abort(z->node.image);
	z->node.image = NULL;
}

void zone__node_close(struct zone_role *z)
{
	stop_giving(z);
	zone__node_drop(z);
}

static int64_t horizon_of(const struct zone_role *z)
{
	return z->role->clock->unix_s(z->role->clock) + z->policy.signature_s;
}

/* ---- what is signed here */

/* It may have been signed for nothing: then core says so, and we follow who signs now. */
bool zone__keep_batch(struct zone_role *z)
{
	Zone__FromZone m = ZONE__FROM_ZONE__INIT;
	Zone__Delta out = ZONE__DELTA__INIT;
	struct delta d;

	if (!z->node.on || z->node.kept)
		return false;
	if (batch_delta(z->batch, z->sigs, &z->tags, &d, &z->node.body) != RC_OK) {
		zone__say_failed(z, "a delta is too large");
		zone__drop_work(z);
		z->hello_due = true;
		return true;
	}
	out.prev = d.prev;
	out.serial = d.serial;
	out.seq = z->batch_seq ? z->batch_seq : z->applied_seq;
	out.body = (ProtobufCBinaryData){ d.len, z->node.body };
	m.op_case = ZONE__FROM_ZONE__OP_DELTA;
	m.delta = &out;
	z->node.waits = d.serial;
	zone__send_core(z, &m);
	return true;
}

bool zone__keep_rebuild(struct zone_role *z)
{
	Zone__FromZone m = ZONE__FROM_ZONE__INIT;
	Zone__Reserve out = ZONE__RESERVE__INIT;

	if (!z->node.on || z->node.kept)
		return false;
	out.serial = rebuild_serial(z->rebuild);
	m.op_case = ZONE__FROM_ZONE__OP_RESERVE;
	m.reserve = &out;
	z->node.waits = out.serial;
	zone__send_core(z, &m);
	return true;
}

static void stop_signing(struct zone_role *z)
{
	z->node.signs = z->node.will_sign = false;
	zone__drop_work(z);
	z->hello_due = true;
}

static void on_sign(struct zone_role *z, const Zone__Sign *s)
{
	z->node.floor = s->floor;
	if (!s->on) {
		stop_signing(z);
		return;
	}
	/* Keys may have moved on while another node signed. */
	z->node.will_sign = true;
	zone__ask_public(z);
}

bool zone__node_policy(struct zone_role *z)
{
	if (!z->node.will_sign)
		return false;
	z->node.will_sign = false;
	log_write(z->role->log, LOG_INFO, "signs floor=%u", z->node.floor);
	z->node.signs = true;
	z->hello_due = true;
	return true;
}

static void on_kept(struct zone_role *z, const Zone__Kept *k)
{
	if (!z->node.waits || z->node.waits != k->serial)
		return;
	z->node.waits = 0;
	if (!k->ok) {
		log_write(z->role->log, LOG_WARNING, "fenced serial=%u", k->serial);
		stop_signing(z);
		return;
	}
	z->node.kept = true;
	if (z->doing == DOING_BATCH)
		zone__written(z);
}

/* ---- what others have signed */

static enum rc now_at(struct zone_role *z, uint32_t serial, uint64_t seq)
{
	enum rc rc = snap_writer_publish(z->snaps);

	z->serial = serial;
	z->applied_seq = seq;
	z->taken_seq = seq;
	z->have = true;
	if (rc == RC_OK)
		zone__say_applied(z, seq);
	return rc;
}

static enum rc on_follow(struct zone_role *z, const Zone__Follow *f, struct diag *d)
{
	struct delta *list;
	size_t n = f->n_deltas;
	enum rc rc;

	if (z->node.signs || !z->have || n == 0 || f->deltas[0]->prev != z->serial) {
		z->hello_due = true;
		return RC_OK;
	}
	list = calloc(n, sizeof(*list));
	if (!list)
		return RC_NOMEM;
	for (size_t i = 0; i < n; i++)
		list[i] = (struct delta){ .prev = f->deltas[i]->prev,
			.serial = f->deltas[i]->serial,
			.seq = f->deltas[i]->seq,
			.body = f->deltas[i]->body.data,
			.len = f->deltas[i]->body.len };
	rc = delta_apply(z->db, list, n, horizon_of(z), d);
	if (rc == RC_OK)
		rc = now_at(z, list[n - 1].serial, list[n - 1].seq);
	free(list);
	return rc;
}

static enum rc end_image(struct zone_role *z, const Zone__Image *i, struct diag *d)
{
	struct zone_state next = { .serial = i->serial,
		.applied_seq = i->seq,
		.ttl = i->ttl,
		.minimum = i->minimum,
		.origin = z->policy.origin };
	enum rc rc = image_end(z->db, &next, d);

	if (rc != RC_OK)
		return rc;
	log_write(z->role->log, LOG_INFO, "copied serial=%u parts=%u", i->serial, i->part + 1);
	z->node.taking = 0;
	if (!z->content)
		zone__greet_again(z);
	z->content = true;
	return now_at(z, i->serial, i->seq);
}

static enum rc on_image(struct zone_role *z, const Zone__Image *i, struct diag *d)
{
	enum rc rc = RC_OK;

	if (!z->node.signs && i->part == 0) {
		zone__drop_work(z);
		rc = image_begin(z->db, d);
		z->node.taking = i->serial;
		z->node.taken = 0;
	}
	if (rc != RC_OK)
		return rc;
	if (z->node.signs || z->node.taking != i->serial || z->node.taken != i->part) {
		z->node.taking = 0;
		z->hello_due = true;
		return RC_OK;
	}
	rc = image_take(z->db, i->body.data, i->body.len, horizon_of(z), d);
	z->node.taken++;
	return rc == RC_OK && i->last ? end_image(z, i, d) : rc;
}

/* ---- what others lack */

static enum rc start_giving(struct zone_role *z)
{
	stop_giving(z);
	z->node.after.len = 0;
	z->node.part = 0;
	return mdb_txn_begin(z->db->env, NULL, MDB_RDONLY, &z->node.image) == 0 ? RC_OK : RC_IO;
}

static enum rc on_want_image(struct zone_role *z, const Zone__WantImage *w)
{
	Zone__FromZone m = ZONE__FROM_ZONE__INIT;
	Zone__Image out = ZONE__IMAGE__INIT;
	struct zone_state state;
	uint8_t *body = NULL;
	size_t len = 0;
	bool last = false;
	enum rc rc = w->first ? start_giving(z) : RC_OK;

	if (rc == RC_OK && z->node.image)
		rc = zone_db_state_get(z->db, z->node.image, &state);
	if (rc != RC_OK || !z->node.image || !state.have)
		return rc;
	rc = image_part(z->db, z->node.image, &z->node.after, IMAGE_PART, &body, &len, &last);
	if (rc != RC_OK) {
		stop_giving(z);
		return rc;
	}
	out.serial = state.serial;
	out.seq = state.applied_seq;
	out.part = z->node.part++;
	out.last = last;
	out.ttl = state.ttl;
	out.minimum = state.minimum;
	out.body = (ProtobufCBinaryData){ len, body };
	m.op_case = ZONE__FROM_ZONE__OP_IMAGE;
	m.image = &out;
	zone__send_core(z, &m);
	free(body);
	if (last)
		stop_giving(z);
	return RC_OK;
}

enum rc zone__node_message(struct zone_role *z, const Zone__ToZone *m, struct diag *d)
{
	if (!z->node.on)
		return RC_MALFORMED;
	switch (m->op_case) {
	case ZONE__TO_ZONE__OP_SIGN: on_sign(z, m->sign); return RC_OK;
	case ZONE__TO_ZONE__OP_KEPT: on_kept(z, m->kept); return RC_OK;
	case ZONE__TO_ZONE__OP_FOLLOW: return on_follow(z, m->follow, d);
	case ZONE__TO_ZONE__OP_IMAGE: return on_image(z, m->image, d);
	case ZONE__TO_ZONE__OP_WANT_IMAGE: return on_want_image(z, m->want_image);
	case ZONE__TO_ZONE__OP_KEYS_MOVED: zone__ask_public(z); return RC_OK;
	case ZONE__TO_ZONE__OP_APPLY:
	case ZONE__TO_ZONE__OP_SNAPSHOT:
	case ZONE__TO_ZONE__OP_KEY_ORDER:
	case ZONE__TO_ZONE__OP__NOT_SET:
	case _ZONE__TO_ZONE__OP__CASE_IS_INT_SIZE:
	default: return RC_MALFORMED;
	}
}
