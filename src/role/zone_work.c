/* SPDX-License-Identifier: Apache-2.0 */
/* The work of role zone, one piece at a time: a batch of core's changes, a group of a rebuild, or
 * a few signatures that are due. While keys signs one, core's next changes are gathered. */
#include "proc/killpoint.h"
#include "role/zone_internal.h"

#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>

#define DISK_FULL     (64u << 10) /* less is free: commits fail */
#define REBUILD_GROUP 1000u
#define RETRY_MS      200u
/* One sweep step holds up core's changes for about a millisecond. */
#define SWEEP_TAKE	32u
#define ENDED_TAKE	256u
#define LOOK_MIN	64u
#define LOOK_MAX	20000u
#define STUCK_SECONDS	5u
#define REBUILD_SECONDS 5u
#define SECRET_SECONDS	(24u * 3600)

static int64_t now_of(const struct zone_role *z)
{
	return z->role->clock->unix_s(z->role->clock);
}

void zone__soon(struct zone_role *z, unsigned ms)
{
	struct timeval t = { (time_t)(ms / 1000), (suseconds_t)(ms % 1000) * 1000 };

	(void)event_add(z->soon, &t);
}

static void end_work(struct zone_role *z)
{
	batch_free(z->batch);
	z->batch = NULL;
	z->batch_seq = 0;
	free(z->sigs);
	z->sigs = NULL;
	z->signed_count = 0;
	z->work = NULL;
	z->doing = DOING_NOTHING;
	z->roll.committing = false;
	zone__node_drop(z);
	/* An answer that is still on its way is for nothing now. */
	z->asked = z->asked && !z->have_policy;
}

void zone__drop_work(struct zone_role *z)
{
	end_work(z);
	batch_free(z->next);
	z->next = NULL;
	z->next_seq = 0;
	rebuild_free(z->rebuild);
	z->rebuild = NULL;
	z->rebuild_full = false;
	z->taken_seq = z->applied_seq;
}

uint64_t zone__free_bytes(const struct zone_role *z)
{
	struct statvfs v;

	if (statvfs(z->role->config->zone.folder, &v) != 0)
		return 0;
	return (uint64_t)v.f_bavail * v.f_frsize;
}

void zone__wrote(struct zone_role *z, bool good)
{
	z->store_failing = !good;
	z->store_errors += !good;
	/* A write that was cut short is for LMDB an error like any other: say which it was. */
	if (!good && zone__free_bytes(z) < DISK_FULL)
		log_write(z->role->log, LOG_ERROR,
			"disk_full folder=%s why=No space left on device",
			z->role->config->zone.folder);
	/* LMDB does not go on after some errors: another process of this role does. */
	if (!good && !zone_db_usable(z->db)) {
		log_write(z->role->log, LOG_ERROR, "store_unusable action=restart");
		event_base_loopbreak(z->role->base);
	}
}

/* The store or a record let us down: core hears it and sends again from what is durable. */
static void give_up(struct zone_role *z, const struct diag *d)
{
	log_write(z->role->log, LOG_ERROR, "work_failed why=%s", d->text);
	zone__wrote(z, false);
	zone__say_failed(z, d->text);
	zone__drop_work(z);
	z->hello_due = true;
	zone__soon(z, 1000);
}

void zone__refused(struct zone_role *z, const char *why)
{
	log_write(z->role->log, LOG_WARNING, "keys_refused why=%s", why ? why : "");
	/* It was a key's step: nothing is held up by it, and it is tried again later. */
	if (z->doing == DOING_NOTHING && z->have_policy) {
		z->roll.refused_ms = z->role->clock->monotonic_ms(z->role->clock);
		(void)diag_set(&z->roll.refused, RC_STATE, "%s", why ? why : "keys refused");
		zone__say_keys(z);
		return;
	}
	if (!z->failed && z->doing != DOING_NOTHING)
		zone__say_failed(z, why ? why : "keys refused");
	z->failed = true;
	zone__soon(z, RETRY_MS);
}

/* ---- starting */

static void start_signing(struct zone_role *z, enum zone_doing doing, const struct work *w)
{
	z->doing = doing;
	z->work = w;
	z->signed_count = 0;
	z->sigs = malloc(w->count * RR_SIG_LEN);
	if (!z->sigs) {
		struct diag d;

		diag_set(&d, RC_NOMEM, "out of memory");
		give_up(z, &d);
		return;
	}
	zone__ask_signatures(z);
}

static void start_batch(struct zone_role *z, struct batch *take_batch, uint64_t seq)
{
	const struct work *w;
	struct diag d = { 0 };

	z->batch = take_batch;
	z->batch_seq = seq;
	batch_serial_above(z->batch, z->node.floor);
	if (batch_prepare(z->batch, &w, &d) == RC_OK)
		start_signing(z, DOING_BATCH, w);
	else
		give_up(z, &d);
}

static void finish_rebuild(struct zone_role *z)
{
	struct diag d = { 0 };

	if (zone__keep_rebuild(z))
		return;
	if (rebuild_finish(z->rebuild, z->rebuild_seq, &z->serial, &d) != RC_OK ||
		snap_writer_publish(z->snaps) != RC_OK) {
		give_up(z, &d);
		return;
	}
	zone__wrote(z, true);
	log_write(z->role->log, LOG_INFO, "rebuilt serial=%u seq=%llu", z->serial,
		(unsigned long long)z->rebuild_seq);
	z->have = true;
	z->applied_seq = z->rebuild_seq;
	rebuild_free(z->rebuild);
	z->rebuild = NULL;
	z->rebuild_full = false;
	zone__node_drop(z);
	if (!z->content)
		zone__greet_again(z);
	z->content = true;
	z->roll.served = true; /* it was made by this policy: keys move between pieces of work */
	zone__say_applied(z, z->applied_seq);
}

static void start_rebuild_group(struct zone_role *z)
{
	const struct work *w;
	struct diag d = { 0 };

	if (rebuild_step(z->rebuild, REBUILD_GROUP, &w, &d) != RC_OK)
		give_up(z, &d);
	else if (w->count == 0)
		finish_rebuild(z);
	else
		start_signing(z, DOING_REBUILD, w);
}

void zone__go_on(struct zone_role *z)
{
	if (!z->have_policy || z->node.waits)
		return;
	if (z->doing != DOING_NOTHING) {
		zone__ask_signatures(z);
		return;
	}
	if (z->rebuild && z->rebuild_full && z->keys)
		start_rebuild_group(z);
	/* Core is greeted when nothing of its last session is under way any more. */
	if (z->doing == DOING_NOTHING && z->hello_due && z->core && !z->rebuild)
		zone__say_hello(z);
	else if (z->tell_due && z->core && !z->hello_due)
		zone__say_applied(z, z->applied_seq);
	if (z->doing == DOING_NOTHING && z->next && z->keys) {
		struct batch *b = z->next;
		uint64_t seq = z->next_seq;

		z->next = NULL;
		z->next_seq = 0;
		start_batch(z, b, seq);
	}
}

/* ---- finishing */

static void commit_batch(struct zone_role *z)
{
	struct diag d = { 0 };
	uint64_t seq = z->batch_seq;
	enum rc rc;

	if (zone__keep_batch(z))
		return;
	kill_point("zone-before-commit");
	rc = batch_commit(z->batch, z->sigs, &z->tags, seq, &z->serial, &d);
	if (rc == RC_OK) {
		kill_point("zone-after-commit");
		rc = snap_writer_publish(z->snaps);
	}
	if (rc != RC_OK) {
		give_up(z, &d);
		return;
	}
	zone__wrote(z, true);
	z->roll.served = z->roll.served || z->roll.committing;
	if (seq) {
		z->applied_seq = seq;
		zone__say_applied(z, seq);
	}
	end_work(z);
}

static void commit_group(struct zone_role *z)
{
	struct diag d = { 0 };

	if (rebuild_place(z->rebuild, z->sigs, &z->tags, &d) != RC_OK ||
		snap_writer_publish(z->snaps) != RC_OK)
		give_up(z, &d);
	else {
		zone__wrote(z, true);
		end_work(z);
	}
}

void zone__signed(struct zone_role *z)
{
	z->failed = false;
	zone__written(z);
}

void zone__written(struct zone_role *z)
{
	if (z->doing == DOING_BATCH)
		commit_batch(z);
	else if (z->doing == DOING_REBUILD)
		commit_group(z);
	if (z->doing == DOING_NOTHING && z->sweep.behind && !z->next && !z->rebuild)
		zone__soon(z, 0);
	zone__go_on(z);
}

/* ---- keys are known */

struct zone_state zone__state(const struct zone_role *z)
{
	struct zone_state state = { 0 };
	MDB_txn *txn = NULL;

	if (mdb_txn_begin(z->db->env, NULL, MDB_RDONLY, &txn) == 0) {
		if (zone_db_state_get(z->db, txn, &state) != RC_OK)
			memset(&state, 0, sizeof(state));
		mdb_txn_abort(txn);
	}
	return state;
}

void zone__new_policy(struct zone_role *z)
{
	struct zone_state state = zone__state(z);
	bool same;

	same = state.ttl == z->policy.ttl && state.minimum == z->policy.minimum &&
	       state.origin.len == z->policy.origin.len &&
	       memcmp(state.origin.wire, z->policy.origin.wire, state.origin.len) == 0;
	/* Another node's content is what it is; who signs looks whether it is ours. */
	z->have = state.have && (same || !zone__may_sign(z));
	z->serial = state.serial;
	z->applied_seq = z->have ? state.applied_seq : 0;
	if (z->taken_seq < z->applied_seq)
		z->taken_seq = z->applied_seq;
	zone__infra(z);
	zone__go_on(z);
}

/* The apex as the policy says now: a no-op but for a serial when nothing changed. */
void zone__infra(struct zone_role *z)
{
	struct batch *b = NULL;

	if (!z->have || z->doing != DOING_NOTHING || z->rebuild || z->next || !z->keys ||
		!zone__may_sign(z) || batch_new(z->db, &z->policy, now_of(z), &b) != RC_OK)
		return;
	if (batch_infra(b) != RC_OK) {
		batch_free(b);
		return;
	}
	z->roll.committing = true;
	start_batch(z, b, 0);
}

/* ---- the schedule */

/* Names to look at now, so that a pass takes the time it shall and its work is spread evenly over
 * it; everything at once while signatures are past two thirds of their life. */
static unsigned look_now(struct zone_role *z)
{
	uint64_t ms = z->role->clock->monotonic_ms(z->role->clock);
	uint32_t pass = zone__pass_time(z);
	double per_s = pass ? (double)z->sweep.names / pass + LOOK_MIN : LOOK_MAX;

	if (z->sweep.last.late > 0 || z->sweep.count.late > 0)
		per_s = LOOK_MAX;
	z->look_budget += per_s * (double)(ms - z->look_ms) / 1000.0;
	z->look_ms = ms;
	if (z->look_budget > LOOK_MAX)
		z->look_budget = LOOK_MAX;
	return (unsigned)z->look_budget;
}

static void sweep(struct zone_role *z)
{
	struct sweep_limits limits = { .take = SWEEP_TAKE, .look = look_now(z) };
	unsigned ended = 0;
	unsigned due = 0;
	struct batch *b = NULL;
	enum rc rc;

	if (!z->have || z->doing != DOING_NOTHING || z->next || z->rebuild || !z->keys ||
		limits.look == 0 || !zone__may_sign(z))
		return;
	rc = batch_new(z->db, &z->policy, now_of(z), &b);
	if (rc == RC_OK && zone__clock_is_certain(z))
		rc = sweep_ended(z->db, now_of(z), ENDED_TAKE, b, &ended);
	if (rc == RC_OK)
		rc = sweep_step(&z->sweep, z->db, &z->policy, now_of(z), &limits, b, &due);
	if (rc != RC_OK)
		log_write(z->role->log, LOG_ERROR, "sweep why=%s", rc_text(rc));
	z->look_budget -= (double)z->sweep.looked;
	if (rc == RC_OK && ended > 0)
		log_write(z->role->log, LOG_INFO, "ended certificates=%u", ended);
	if (rc == RC_OK && (ended > 0 || due > 0))
		start_batch(z, b, 0);
	else
		batch_free(b);
}

/* A dns that holds an old snapshot keeps the file growing. It is alive by its link; the
 * supervisor's heartbeat ends it when it hangs. */
static void watch_guards(struct zone_role *z)
{
	unsigned slot;

	snap_writer_trim(z->snaps);
	if (snap_writer_guards(z->snaps, &slot) <= 1) {
		z->guards_seconds = 0;
		return;
	}
	if (++z->guards_seconds == STUCK_SECONDS)
		log_write(z->role->log, LOG_WARNING, "old_snapshot held_by=dns/%u", slot);
}

/* A long rebuild says how far it is. */
static void say_rebuild(struct zone_role *z)
{
	uint64_t done;
	uint64_t names;

	if (!z->rebuild || !z->rebuild_full) {
		z->rebuild_seconds = 0;
		return;
	}
	if (++z->rebuild_seconds < REBUILD_SECONDS)
		return;
	z->rebuild_seconds = 0;
	rebuild_progress(z->rebuild, &done, &names);
	log_write(z->role->log, LOG_INFO, "rebuild signed_names=%llu of=%llu",
		(unsigned long long)done, (unsigned long long)names);
}

void zone__tick(struct zone_role *z)
{
	watch_guards(z);
	say_rebuild(z);
	if (++z->secret_seconds >= SECRET_SECONDS && snap_writer_secret(z->snaps) == RC_OK)
		z->secret_seconds = 0;
	if (z->follow) {
		zone__follow_tick(z);
		return;
	}
	if (z->have && z->core && z->told_serial != z->serial && !z->hello_due && !z->rebuild)
		zone__say_applied(z, z->applied_seq);
	zone__again(z);
}

void zone__again(struct zone_role *z)
{
	if (!z->have_policy || z->node.will_sign)
		zone__ask_public(z);
	zone__roll_tick(z);
	sweep(z);
	zone__go_on(z);
}
