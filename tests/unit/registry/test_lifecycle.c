/* SPDX-License-Identifier: Apache-2.0 */
/* Devices that are given up, stolen or broken; renewals with overlap, by the sponsor and by the
 * device itself; CSRs that come by name; refusals that stay in the audit. */
#include "world.h"

#define OPEN_WORLD(w)   \
	struct world w; \
	(void)state;    \
	world_open(&w); \
	world_people(&w)
#define MESSAGE_OF(w) ((w).run.reply.profile->profile)

static void live(struct world *w)
{
	assert_int_equal(1000, world_register(w, "parkoserv", ICCID, 1, CLAIM, "parking"));
	assert_int_equal(1000, world_activate(w, "parkoserv", NAME, "key 0001"));
	world_install(w);
	assert_int_equal(1000, world_result(w, "mno", world_job(w, ICCID, 1), "ok", ""));
}

static Registry__Code give_up(struct world *w, const char *who)
{
	Registry__DeviceDelete m = REGISTRY__DEVICE_DELETE__INIT;
	WORLD_REQUEST(q, DEVICE_DELETE, device_delete, m);

	m.iccid = str(ICCID);
	return world_run(w, who, &q);
}

static Registry__Code report(struct world *w, const char *who, Registry__Flag stolen,
	Registry__Flag broken, const char *reason)
{
	Registry__DeviceUpdate m = REGISTRY__DEVICE_UPDATE__INIT;
	WORLD_REQUEST(q, DEVICE_UPDATE, device_update, m);

	m.iccid = str(ICCID);
	m.stolen = stolen;
	m.broken = broken;
	m.reason = str(reason);
	return world_run(w, who, &q);
}

static Registry__Device *device(struct world *w, const char *who)
{
	Registry__DeviceInfo m = REGISTRY__DEVICE_INFO__INIT;
	WORLD_REQUEST(q, DEVICE_INFO, device_info, m);

	m.iccid = str(ICCID);
	assert_int_equal(1000, world_run(w, who, &q));
	return w->run.reply.device->device;
}

static Registry__Code info(struct world *w, const char *who)
{
	Registry__ProfileInfo m = REGISTRY__PROFILE_INFO__INIT;
	WORLD_REQUEST(q, PROFILE_INFO, profile_info, m);

	m.name = str(NAME);
	return world_run(w, who, &q);
}

static Registry__Code renew(struct world *w)
{
	Registry__ProfileRenew m = REGISTRY__PROFILE_RENEW__INIT;
	WORLD_REQUEST(q, PROFILE_RENEW, profile_renew, m);

	m.name = str(NAME);
	m.not_after = world_view(w, ICCID, 1).cert.not_after;
	return world_run(w, "parkoserv", &q);
}

/* The last row of the audit holds `text`. */
static void audited(struct world *w, const char *party, const char *object, const char *text)
{
	struct store_audit *list = NULL;
	size_t n = 0;

	assert_rc(RC_OK, store_audit_list(w->reg.store, 0, 10000, &w->arena, &list, &n));
	assert_true(n > 0);
	assert_string_equal(party, list[n - 1].party);
	assert_string_equal(object, list[n - 1].object);
	if (!strstr(list[n - 1].detail, text))
		fail_msg("audit says \"%s\", not \"%s\"", list[n - 1].detail, text);
}

static const struct store_change *only_change(struct world *w)
{
	assert_non_null(w->run.changes);
	assert_null(w->run.changes->next);
	return &w->run.changes->c;
}

/* ---- the end of stewardship ------------------------------------------------------------- */

static void test_a_device_is_given_up(void **state)
{
	struct store_device d;
	uint64_t sequence;
	int64_t id;

	OPEN_WORLD(w);
	live(&w);
	assert_rc(RC_OK, store_device_by_iccid(w.reg.store, ICCID, &d));
	id = d.id;
	sequence = world_view(&w, ICCID, 1).p.sequence;
	assert_int_equal(2201, give_up(&w, "gatineau"));
	assert_int_equal(2303, give_up(&w, "mno2"));
	assert_int_equal(2305, give_up(&w, "mno"));
	assert_non_null(strstr(w.run.reply.reason, NAME));
	audited(&w, "mno", ICCID, "refused: 2305");
	assert_int_equal(1000, world_delete(&w, "parkoserv", NAME));
	/* The key is not destroyed before the card says so, and that can be seen. */
	assert_int_equal(2304, give_up(&w, "mno"));
	assert_non_null(strstr(w.run.reply.reason, "wipe pending"));
	assert_int_equal(1, device(&w, "mno")->n_wipe_pending);
	assert_string_equal(NAME, device(&w, "mno")->wipe_pending[0]);
	assert_int_equal(1000, world_result(&w, "mno", world_job(&w, ICCID, 1), "ok", ""));
	assert_int_equal(0, device(&w, "mno")->n_wipe_pending);
	assert_int_equal(1000, give_up(&w, "mno"));
	assert_int_equal(w.now, w.run.reply.device->device->history[0]->until);
	audited(&w, "mno", ICCID, "removed");
	assert_rc(RC_NOT_FOUND, store_device_by_iccid(w.reg.store, ICCID, &d));
	assert_int_equal(2303, give_up(&w, "mno"));
	assert_int_equal(2303, world_register(&w, "parkoserv", ICCID, 1, CLAIM, "parking"));
	w.now += 60;
	/* Another operator may not move a device onto a SIM with a past; its own may load it. */
	assert_int_equal(1000, world_load(&w, "mno", ICCID, "gatineau"));
	assert_rc(RC_OK, store_device_by_iccid(w.reg.store, ICCID, &d));
	assert_int_equal(id, d.id);
	assert_int_equal(2, device(&w, "mno")->n_history);
	assert_int_equal(1000, world_register(&w, "carparkserv", ICCID, 1, CLAIM, "carpark"));
	assert_int_equal(2306, world_activate(&w, "carparkserv", NAME, "key 0001"));
	assert_int_equal(1000, world_activate(&w, "carparkserv", NAME, "key 0002"));
	world_install(&w);
	assert_int_equal(sequence + 1, world_view(&w, ICCID, 1).p.sequence);
	world_close(&w);
}

static void test_locked_and_stolen_are_not_given_up(void **state)
{
	Registry__DeviceUpdate m = REGISTRY__DEVICE_UPDATE__INIT;
	WORLD_REQUEST(q, DEVICE_UPDATE, device_update, m);

	OPEN_WORLD(w);
	m.iccid = str(ICCID);
	m.locked = REGISTRY__FLAG__FLAG_TRUE;
	assert_int_equal(1000, world_run(&w, "gatineau", &q));
	assert_int_equal(2304, give_up(&w, "mno"));
	m.locked = REGISTRY__FLAG__FLAG_FALSE;
	m.stolen = REGISTRY__FLAG__FLAG_TRUE;
	assert_int_equal(1000, world_run(&w, "gatineau", &q));
	assert_int_equal(2304, give_up(&w, "operator"));
	m.stolen = REGISTRY__FLAG__FLAG_FALSE;
	assert_int_equal(1000, world_run(&w, "gatineau", &q));
	assert_int_equal(1000, give_up(&w, "operator"));
	world_close(&w);
}

/* ---- stolen and broken ------------------------------------------------------------------ */

static void test_stolen_turns_off(void **state)
{
	Registry__JobInfo ask = REGISTRY__JOB_INFO__INIT;
	WORLD_REQUEST(job, JOB_INFO, job_info, ask);
	Registry__Device *d;
	char id[24];

	OPEN_WORLD(w);
	live(&w);
	assert_int_equal(2201, report(&w, "parkoserv", REGISTRY__FLAG__FLAG_TRUE, 0, ""));
	audited(&w, "parkoserv", ICCID, "refused: 2201");
	assert_int_equal(2303, report(&w, "mno2", REGISTRY__FLAG__FLAG_TRUE, 0, ""));
	assert_int_equal(1000, report(&w, "gatineau", REGISTRY__FLAG__FLAG_TRUE, 0, "from a car"));
	assert_true(only_change(&w)->withdrawn);
	assert_true(w.run.install);
	assert_int_equal(3, world_view(&w, ICCID, 1).p.state);
	assert_int_equal(2, world_view(&w, ICCID, 1).cert.state);
	assert_true(world_view(&w, ICCID, 1).p.wipe_pending);
	d = device(&w, "mno");
	assert_int_equal(1, d->n_flags);
	assert_string_equal("stolen", d->flags[0]->flag);
	assert_string_equal("gatineau", d->flags[0]->who);
	assert_string_equal("from a car", d->flags[0]->reason);
	assert_int_equal(w.now, d->flags[0]->since);
	/* The card is asked to block the key, and the job says why. */
	snprintf(id, sizeof(id), "%lld", (long long)world_job(&w, ICCID, 1));
	ask.id = id;
	assert_int_equal(1000, world_run(&w, "parkoserv", &job));
	assert_int_equal(3, w.run.reply.job->job->kind);
	assert_string_equal("stolen", w.run.reply.job->job->cause);
	assert_int_equal(1000, world_result(&w, "mno", world_job(&w, ICCID, 1), "ok", ""));
	assert_false(world_view(&w, ICCID, 1).p.wipe_pending);
	assert_int_equal(2304, world_activate(&w, "parkoserv", NAME, ""));
	assert_int_equal(2304, world_register(&w, "parkoserv", ICCID, 2, CLAIM, "parking"));
	/* What the owner says, the operator does not take back. */
	assert_int_equal(2201, report(&w, "mno", REGISTRY__FLAG__FLAG_FALSE, 0, ""));
	assert_int_equal(1000, report(&w, "gatineau", REGISTRY__FLAG__FLAG_FALSE, 0, ""));
	assert_int_equal(0, device(&w, "mno")->n_flags);
	/* Nothing wakes by itself; its sponsor brings back the same certificate. */
	assert_int_equal(3, world_view(&w, ICCID, 1).p.state);
	assert_int_equal(1000, world_activate(&w, "parkoserv", NAME, ""));
	assert_int_equal(1, w.certs);
	world_close(&w);
}

static void test_broken(void **state)
{
	OPEN_WORLD(w);
	live(&w);
	assert_int_equal(2003, report(&w, "mno", 0, 0, "no reason without a report"));
	assert_int_equal(1000, report(&w, "mno", 0, REGISTRY__FLAG__FLAG_TRUE, "water"));
	assert_int_equal(3, world_view(&w, ICCID, 1).p.state);
	assert_int_equal(2304, world_activate(&w, "parkoserv", NAME, ""));
	/* The SIM will never say that its key is gone: the device can be given up all the same. */
	assert_int_equal(1000, world_delete(&w, "parkoserv", NAME));
	assert_int_equal(1, device(&w, "mno")->n_wipe_pending);
	assert_int_equal(1000, give_up(&w, "mno"));
	/* The order to destroy the key stands for as long as somebody may carry it out. */
	assert_int_not_equal(0, world_job(&w, ICCID, 1));
	assert_int_equal(1000, world_result(&w, "mno", world_job(&w, ICCID, 1), "ok", ""));
	world_close(&w);
}

/* Who reported it takes it back; an operator that has no owner to ask does too. */
static void test_who_lifts(void **state)
{
	OPEN_WORLD(w);
	assert_int_equal(1000, report(&w, "mno", 0, REGISTRY__FLAG__FLAG_TRUE, ""));
	assert_int_equal(1000, report(&w, "mno", 0, REGISTRY__FLAG__FLAG_FALSE, ""));
	assert_int_equal(1000, report(&w, "mno", REGISTRY__FLAG__FLAG_TRUE, 0, ""));
	assert_int_equal(1000, report(&w, "gatineau", REGISTRY__FLAG__FLAG_FALSE, 0, ""));
	assert_int_equal(1000, report(&w, "operator", REGISTRY__FLAG__FLAG_TRUE, 0, ""));
	assert_int_equal(2201, report(&w, "mno", REGISTRY__FLAG__FLAG_FALSE, 0, ""));
	assert_int_equal(1000, report(&w, "operator", REGISTRY__FLAG__FLAG_FALSE, 0, ""));
	world_close(&w);
}

static void test_stolen_while_the_esim_is_off(void **state)
{
	Registry__DeviceEvent e = REGISTRY__DEVICE_EVENT__INIT;
	WORLD_REQUEST(q, DEVICE_EVENT, device_event, e);

	OPEN_WORLD(w);
	live(&w);
	e.iccid = str(ICCID);
	e.event = REGISTRY__ESIM_EVENT__ESIM_DISABLED;
	assert_int_equal(1000, world_run(&w, "mno", &q));
	assert_int_equal(1000, report(&w, "gatineau", REGISTRY__FLAG__FLAG_TRUE, 0, ""));
	e.event = REGISTRY__ESIM_EVENT__ESIM_ENABLED;
	assert_int_equal(1000, world_run(&w, "mno", &q));
	assert_null(w.run.changes);
	assert_int_equal(3, world_view(&w, ICCID, 1).p.state);
	world_close(&w);
}

/* ---- renewal ---------------------------------------------------------------------------- */

/* Both certificates in the records of a change. */
static void check_both(const struct store_change *c, const uint8_t *now, const uint8_t *before)
{
	Zone__Change *m = zone__change__unpack(NULL, c->records.len, c->records.bytes);

	assert_false(c->has_cert);
	assert_non_null(m);
	assert_int_equal(2, m->n_cert);
	assert_int_equal(3, m->n_tlsa);
	assert_memory_equal(now, m->cert[0].data + 5, 32);
	assert_memory_equal(before, m->cert[1].data + 5, 32);
	zone__change__free_unpacked(m, NULL);
}

static void test_renewal_overlaps(void **state)
{
	struct store_change *page;
	struct store_cert first, second;
	int64_t next;
	size_t n;

	OPEN_WORLD(w);
	live(&w);
	first = world_view(&w, ICCID, 1).cert;
	w.now += 86400;
	assert_int_equal(1000, renew(&w));
	second = world_view(&w, ICCID, 1).cert;
	check_both(only_change(&w), second.sha256, first.sha256);
	assert_int_equal(1000, info(&w, "parkoserv"));
	assert_memory_equal(first.sha256, MESSAGE_OF(w)->overlap->certificate->sha256.data, 32);
	assert_int_equal(w.now + 86400, MESSAGE_OF(w)->overlap->ends);
	/* A zone that is made anew in that time has both too. */
	assert_rc(RC_OK, store_zone_page(w.reg.store, 0, 10, &w.arena, &page, &n, &next));
	assert_int_equal(1, n);
	assert_true(page->has_previous);
	assert_int_equal(2, registry_change_message(page, &w.arena)->n_cert);
	assert_int_equal(3, registry_change_message(page, &w.arena)->n_tlsa);
	/* The card confirms: the old one goes. */
	world_install(&w);
	assert_int_equal(1000, world_result(&w, "mno", world_job(&w, ICCID, 1), "ok", ""));
	assert_true(only_change(&w)->has_cert);
	assert_memory_equal(second.sha256, only_change(&w)->cert_sha256, 32);
	assert_int_equal(1000, info(&w, "parkoserv"));
	assert_null(MESSAGE_OF(w)->overlap);
	world_close(&w);
}

static void test_overlap_ends_by_time(void **state)
{
	struct store_cert first;

	OPEN_WORLD(w);
	live(&w);
	w.now += 86400;
	first = world_view(&w, ICCID, 1).cert;
	assert_int_equal(1000, renew(&w));
	w.now += 86399;
	world_sweep(&w);
	assert_null(w.run.changes);
	/* Renewed again before the card has confirmed: what the card has stays. */
	assert_int_equal(1000, renew(&w));
	check_both(only_change(&w), world_view(&w, ICCID, 1).cert.sha256, first.sha256);
	w.now += 2;
	world_sweep(&w);
	assert_true(only_change(&w)->has_cert);
	assert_int_equal(2, world_view(&w, ICCID, 1).p.state);
	/* Never beyond the old one's own end. */
	w.now = world_view(&w, ICCID, 1).cert.not_after - 10;
	assert_int_equal(1000, renew(&w));
	w.now += 10;
	world_sweep(&w);
	assert_true(only_change(&w)->has_cert);
	assert_int_equal(2, world_view(&w, ICCID, 1).p.state);
	world_close(&w);
}

/* A SIM that is off for longer than a job lives: what it has missed is asked for again, however
 * often, and a gateway that gives up when the time is over does not count as one that refuses. */
static void test_a_sim_that_is_off(void **state)
{
	OPEN_WORLD(w);
	live(&w);
	w.now += 86400;
	assert_int_equal(1000, renew(&w));
	for (unsigned i = 0; i < 2 * REGISTRY_ATTEMPTS_MAX; i++) {
		int64_t job;

		world_install(&w);
		job = world_job(&w, ICCID, 1);
		assert_true(job != 0);
		w.now += 3601;
		if (i % 2)
			world_sweep(&w);
		else
			assert_int_equal(1000, world_result(&w, "mno", job, "failed", ""));
		assert_int_not_equal(0, world_view(&w, ICCID, 1).p.install_due);
	}
	world_install(&w);
	assert_int_equal(1000, world_result(&w, "mno", world_job(&w, ICCID, 1), "ok", ""));
	assert_int_equal(0, world_job(&w, ICCID, 1));
	/* Before its time is over a refusal is one, and the sponsor decides. */
	assert_int_equal(1000, renew(&w));
	world_install(&w);
	assert_int_equal(1000, world_result(&w, "mno", world_job(&w, ICCID, 1), "failed", ""));
	assert_int_equal(0, world_view(&w, ICCID, 1).p.install_due);
	world_close(&w);
}

/* Withdrawn is withdrawn, and another service never sees the old one. */
static void test_overlap_ends_with_the_profile(void **state)
{
	char code[64];

	OPEN_WORLD(w);
	live(&w);
	w.now += 86400;
	assert_int_equal(1000, renew(&w));
	assert_int_equal(1000, world_auth(&w, "parkoserv", NAME, code));
	assert_int_equal(1000, world_transfer(&w, "carparkserv", NAME, code, "carpark"));
	assert_true(only_change(&w)->has_cert);
	assert_int_equal(1000, world_deactivate(&w, "carparkserv", NAME));
	assert_true(only_change(&w)->withdrawn);
	assert_int_equal(1000, world_activate(&w, "carparkserv", NAME, ""));
	assert_true(only_change(&w)->has_cert);
	world_close(&w);
}

/* ---- a device's own renewal --------------------------------------------------------------- */

static Registry__Code reenrol(struct world *w, const struct store_cert *c, const char *name)
{
	Registry__ProfileReenrol m = REGISTRY__PROFILE_REENROL__INIT;
	WORLD_REQUEST(q, PROFILE_REENROL, profile_reenrol, m);

	m.name = str(name);
	q.spki_sha256 = (ProtobufCBinaryData){ 32, (uint8_t *)(uintptr_t)c->spki };
	q.cert_sha256 = (ProtobufCBinaryData){ 32, (uint8_t *)(uintptr_t)c->sha256 };
	return world_run(w, "", &q);
}

static void test_a_device_renews_itself(void **state)
{
	struct store_cert first, second, other;
	unsigned made;

	OPEN_WORLD(w);
	live(&w);
	first = world_view(&w, ICCID, 1).cert;
	w.now += 86400;
	assert_int_equal(2201, reenrol(&w, &first, "2." ICCID));
	audited(&w, "device", "2." ICCID, "refused: 2201");
	other = first;
	other.spki[0] ^= 1;
	assert_int_equal(2201, reenrol(&w, &other, NAME));
	other = first;
	other.sha256[0] ^= 1;
	assert_int_equal(2200, reenrol(&w, &other, NAME));
	assert_int_equal(1000, reenrol(&w, &first, NAME));
	audited(&w, "device", NAME, "renewed by the device");
	second = world_view(&w, ICCID, 1).cert;
	check_both(only_change(&w), second.sha256, first.sha256);
	assert_int_equal(w.now + 90 * 86400, second.not_after);
	assert_true(w.run.install);
	/* A lost answer: the same again, by the old certificate or the new, is no other one. */
	made = w.certs;
	assert_int_equal(1000, reenrol(&w, &first, NAME));
	assert_memory_equal(second.sha256, MESSAGE_OF(w)->certificate->sha256.data, 32);
	assert_int_equal(1000, reenrol(&w, &second, NAME));
	assert_int_equal(made, w.certs);
	world_install(&w);
	assert_int_equal(1000, world_result(&w, "mno", world_job(&w, ICCID, 1), "ok", ""));
	assert_int_equal(2201, reenrol(&w, &first, NAME));
	assert_int_equal(1000, reenrol(&w, &second, NAME));
	assert_int_equal(made + 1, w.certs);
	world_close(&w);
}

static void test_what_sleeps_does_not_renew(void **state)
{
	struct store_cert c;

	OPEN_WORLD(w);
	live(&w);
	c = world_view(&w, ICCID, 1).cert;
	assert_int_equal(1000, world_deactivate(&w, "parkoserv", NAME));
	assert_int_equal(2304, reenrol(&w, &c, NAME));
	audited(&w, "device", NAME, "deactivated");
	assert_int_equal(1000, world_activate(&w, "parkoserv", NAME, ""));
	assert_int_equal(1000, report(&w, "gatineau", REGISTRY__FLAG__FLAG_TRUE, 0, ""));
	assert_int_equal(2304, reenrol(&w, &c, NAME));
	assert_int_equal(1000, world_delete(&w, "parkoserv", NAME));
	assert_int_not_equal(1000, reenrol(&w, &c, NAME));
	world_close(&w);
}

/* A device's certificate opens no other door, whatever its key is. */
static void test_a_device_is_no_party(void **state)
{
	Registry__ProfileInfo m = REGISTRY__PROFILE_INFO__INIT;
	WORLD_REQUEST(q, PROFILE_INFO, profile_info, m);
	struct store_cert c;

	OPEN_WORLD(w);
	live(&w);
	c = world_view(&w, ICCID, 1).cert;
	m.name = str(NAME);
	q.cert_sha256 = (ProtobufCBinaryData){ 32, c.sha256 };
	assert_int_equal(2201, world_run(&w, "parkoserv", &q));
	world_close(&w);
}

/* ---- CSRs that come by name, refusals ----------------------------------------------------- */

static Registry__Code result(struct world *w, const char *who, const char *name, const char *csr)
{
	Registry__JobResult m = REGISTRY__JOB_RESULT__INIT;
	WORLD_REQUEST(q, JOB_RESULT, job_result, m);

	m.name = str(name);
	m.status = str("ok");
	m.csr = bytes_of(csr);
	return world_run(w, who, &q);
}

static void test_a_csr_by_name(void **state)
{
	int64_t job;

	OPEN_WORLD(w);
	assert_int_equal(2201, result(&w, "mno", NAME, "key 0001"));
	assert_int_equal(1000, world_register(&w, "parkoserv", ICCID, 1, CLAIM, "parking"));
	assert_int_equal(2304, result(&w, "mno", NAME, "key 0001"));
	audited(&w, "mno", NAME, "no job waits");
	assert_int_equal(1001, world_activate(&w, "parkoserv", NAME, ""));
	job = world_job(&w, ICCID, 1);
	assert_int_equal(2201, result(&w, "mno2", NAME, "key 0001"));
	audited(&w, "mno2", NAME, "refused: 2201 not a SIM of yours");
	assert_int_equal(2201, result(&w, "parkoserv", NAME, "key 0001"));
	audited(&w, "parkoserv", NAME, "refused: 2201");
	assert_int_equal(1000, result(&w, "mno", NAME, "key 0001"));
	assert_true(w.run.reply.job->certificate.len > 0);
	assert_true(w.run.ordered->nonce.len == 16);
	/* The same once more, also as the job's own result, is answered as it was. */
	assert_int_equal(1000, result(&w, "mno", NAME, "key 0001"));
	assert_int_equal(1000, world_result(&w, "mno", job, "ok", "key 0001"));
	assert_int_equal(1, w.certs);
	/* Another is refused, and stays in the audit. */
	assert_int_equal(2304, result(&w, "mno", NAME, "key 0002"));
	audited(&w, "mno", NAME, "another result");
	assert_int_equal(2304, world_result(&w, "mno", job, "ok", "key 0002"));
	world_close(&w);
}

static void test_refused_results_stay_in_the_audit(void **state)
{
	Registry__Refusal m = REGISTRY__REFUSAL__INIT;
	WORLD_REQUEST(q, REFUSAL, refusal, m);

	OPEN_WORLD(w);
	live(&w);
	assert_int_equal(1000, world_load(&w, "mno", ICCID2, ""));
	assert_int_equal(1000, world_register(&w, "parkoserv", ICCID2, 1, CLAIM, "parking"));
	assert_int_equal(1001, world_activate(&w, "parkoserv", "1." ICCID2, ""));
	/* The key of another device. */
	assert_int_equal(2306,
		world_result(&w, "mno", world_job(&w, ICCID2, 1), "ok", "key 0001 of another"));
	audited(&w, "mno", arena_printf(&w.arena, "job %d", (int)world_job(&w, ICCID2, 1)),
		"refused: 2306");
	assert_int_equal(1, world_view(&w, ICCID2, 1).p.state);
	assert_int_equal(
		2303, world_result(&w, "mno2", world_job(&w, ICCID2, 1), "ok", "key 0003"));
	/* A CSR for another name, as keys finds out. */
	w.keys_rc = RC_MALFORMED;
	assert_int_equal(2005, world_result(&w, "mno", world_job(&w, ICCID2, 1), "ok", "key 0003"));
	audited(&w, "mno", arena_printf(&w.arena, "job %d", (int)world_job(&w, ICCID2, 1)),
		"refused by keys");
	/* What front refuses by form; its text is tamed. */
	m.operation = str("est.simpleenroll");
	m.object = str("1.x\n2");
	m.reason = str("Content-Type");
	assert_int_equal(1000, world_run(&w, "mno", &q));
	audited(&w, "mno", "1.x?2", "est.simpleenroll refused: Content-Type");
	assert_int_equal(2200, world_run(&w, "nobody", &q));
	world_close(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_sim_that_is_off),
		cmocka_unit_test(test_a_device_is_given_up),
		cmocka_unit_test(test_locked_and_stolen_are_not_given_up),
		cmocka_unit_test(test_stolen_turns_off),
		cmocka_unit_test(test_broken),
		cmocka_unit_test(test_who_lifts),
		cmocka_unit_test(test_stolen_while_the_esim_is_off),
		cmocka_unit_test(test_renewal_overlaps),
		cmocka_unit_test(test_overlap_ends_by_time),
		cmocka_unit_test(test_overlap_ends_with_the_profile),
		cmocka_unit_test(test_a_device_renews_itself),
		cmocka_unit_test(test_what_sleeps_does_not_renew),
		cmocka_unit_test(test_a_device_is_no_party),
		cmocka_unit_test(test_a_csr_by_name),
		cmocka_unit_test(test_refused_results_stay_in_the_audit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
