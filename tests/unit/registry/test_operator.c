/* SPDX-License-Identifier: Apache-2.0 */
/* The operator's side: another operator's SIM for the same device, eSIM events, receipts, proofs.
 */
#include "world.h"

#define OPEN_WORLD(w)   \
	struct world w; \
	(void)state;    \
	world_open(&w); \
	world_people(&w)
#define NEW   "8912230200031010032f"
#define NAME2 "1." NEW

static Registry__Code device_auth(struct world *w, const char *who, char code[64])
{
	Registry__DeviceSetAuth m = REGISTRY__DEVICE_SET_AUTH__INIT;
	WORLD_REQUEST(q, DEVICE_SET_AUTH, device_set_auth, m);

	m.iccid = str(ICCID);
	if (world_run(w, who, &q) == 1000)
		snprintf(code, 64, "%s", w->run.reply.auth->code);
	return w->run.reply.code;
}

static Registry__Code move_to(
	struct world *w, const char *who, const char *from, const char *to, const char *code)
{
	Registry__DeviceTransfer m = REGISTRY__DEVICE_TRANSFER__INIT;
	WORLD_REQUEST(q, DEVICE_TRANSFER, device_transfer, m);

	m.iccid = str(from);
	m.new_iccid = str(to);
	m.code = str(code);
	return world_run(w, who, &q);
}

static Registry__Code offer(struct world *w, const char *who, const char *mno)
{
	Registry__DeviceUpdate m = REGISTRY__DEVICE_UPDATE__INIT;
	WORLD_REQUEST(q, DEVICE_UPDATE, device_update, m);

	m.iccid = str(ICCID);
	m.move_to = str(mno);
	return world_run(w, who, &q);
}

static Registry__Code event(struct world *w, const char *who, Registry__EsimEvent e)
{
	Registry__DeviceEvent m = REGISTRY__DEVICE_EVENT__INIT;
	WORLD_REQUEST(q, DEVICE_EVENT, device_event, m);

	m.iccid = str(ICCID);
	m.event = e;
	return world_run(w, who, &q);
}

static void live(struct world *w)
{
	assert_int_equal(1000, world_register(w, "parkoserv", ICCID, 1, CLAIM, "parking"));
	assert_int_equal(1000, world_activate(w, "parkoserv", NAME, "key 0001"));
	world_install(w);
	assert_int_equal(1000, world_result(w, "mno", world_job(w, ICCID, 1), "ok", ""));
}

static const struct store_change *change(struct world *w, size_t i)
{
	struct registry_change *c = w->run.changes;

	while (c && i--)
		c = c->next;
	assert_non_null(c);
	return &c->c;
}

/* The wipe for the SIM that was left, among the open jobs of a profile. */
static struct store_job open_job(struct world *w, const char *now, const char *iccid)
{
	int64_t ids[16];
	struct store_job job = { 0 };
	size_t n;

	assert_rc(
		RC_OK, store_job_of_profile(w->reg.store, world_view(w, now, 1).p.id, ids, 16, &n));
	for (size_t i = 0; i < n; i++) {
		assert_rc(RC_OK, store_job_get(w->reg.store, ids[i], &w->arena, &job));
		if (strcmp(job.iccid, iccid) == 0)
			return job;
	}
	fail_msg("no open job for %s", iccid);
	return job;
}

static void test_move_with_the_code(void **state)
{
	struct store_profile_view v;
	struct store_job wipe, keygen;
	struct store_device before, after;
	char code[64] = "";
	bool blocked;

	OPEN_WORLD(w);
	live(&w);
	assert_rc(RC_OK, store_device_by_iccid(w.reg.store, ICCID, &before));
	assert_int_equal(2201, device_auth(&w, "mno", code));
	assert_int_equal(2303, device_auth(&w, "mno2", code));
	assert_int_equal(2202, move_to(&w, "mno2", ICCID, NEW, "no"));
	assert_int_equal(1000, device_auth(&w, "gatineau", code));
	assert_int_equal(2202, move_to(&w, "mno2", ICCID, NEW, "no"));
	assert_int_equal(2201, move_to(&w, "parkoserv", ICCID, NEW, code));
	assert_int_equal(2306, move_to(&w, "mno2", ICCID, ICCID, code));
	assert_int_equal(2005, move_to(&w, "mno2", ICCID, "12", code));
	assert_int_equal(1000, world_load(&w, "mno2", ICCID2, ""));
	assert_int_equal(2302, move_to(&w, "mno2", ICCID, ICCID2, code));
	assert_int_equal(1000, move_to(&w, "mno2", ICCID, NEW, code));
	/* The old name is withdrawn, and only that: the new one waits for the new SIM's key. */
	assert_true(change(&w, 0)->withdrawn);
	assert_string_equal(NAME, change(&w, 0)->name);
	assert_null(w.run.changes->next);
	assert_int_equal(2, w.run.reply.device->device->n_history);
	assert_string_equal(NEW, w.run.reply.device->device->iccid);
	assert_string_equal("mno2", w.run.reply.device->device->mno);
	assert_rc(RC_OK, store_device_by_iccid(w.reg.store, NEW, &after));
	assert_int_equal(before.id, after.id);
	assert_rc(RC_NOT_FOUND, store_device_by_iccid(w.reg.store, ICCID, &before));
	v = world_view(&w, NEW, 1);
	assert_true(v.p.wipe_pending);
	assert_int_equal(1, v.p.state);
	/* Each operator has its own work, and neither waits for the other. */
	wipe = open_job(&w, NEW, ICCID);
	keygen = open_job(&w, NEW, NEW);
	assert_string_equal("mno", wipe.mno);
	assert_int_equal(5, wipe.kind);
	assert_int_equal(1, keygen.kind);
	assert_rc(RC_OK, registry_job_blocked(&w.run, &keygen, &blocked));
	assert_false(blocked);
	assert_int_equal(2303, world_result(&w, "mno", keygen.id, "ok", "key 0002"));
	/* The old key never comes back, even from the new operator. */
	assert_int_equal(2306, world_result(&w, "mno2", keygen.id, "ok", "key 0001"));
	assert_int_equal(1000, world_result(&w, "mno2", keygen.id, "ok", "key 0002"));
	assert_string_equal(NAME2, change(&w, 0)->name);
	world_install(&w);
	/* The old SIM is out of reach: its wipe is asked for again, of that SIM. */
	w.now += 3601;
	world_sweep(&w);
	wipe = open_job(&w, NEW, ICCID);
	assert_int_equal(2, wipe.attempt);
	assert_true(world_view(&w, NEW, 1).p.wipe_pending);
	assert_int_equal(2, world_view(&w, NEW, 1).p.state);
	assert_int_equal(1000, world_result(&w, "mno", wipe.id, "ok", ""));
	assert_false(world_view(&w, NEW, 1).p.wipe_pending);
	assert_int_equal(2, world_view(&w, NEW, 1).p.state);
	/* The code was for once. */
	assert_int_equal(2202, move_to(&w, "mno", NEW, ICCID, code));
	world_close(&w);
}

static void test_move_by_consent(void **state)
{
	OPEN_WORLD(w);
	live(&w);
	assert_int_equal(2201, offer(&w, "gatineau", "mno2"));
	assert_int_equal(2305, offer(&w, "mno", "parkoserv"));
	assert_int_equal(1000, offer(&w, "mno", "mno2"));
	assert_string_equal("mno2", w.run.reply.device->device->move_to);
	/* Taken back. */
	assert_int_equal(1000, offer(&w, "mno", "mno"));
	assert_int_equal(2202, move_to(&w, "mno2", ICCID, NEW, ""));
	assert_int_equal(1000, offer(&w, "mno", "mno2"));
	assert_int_equal(1000, world_deactivate(&w, "parkoserv", NAME));
	assert_int_equal(1000, move_to(&w, "mno2", ICCID, NEW, ""));
	/* What was not alive is not woken by the move. */
	assert_int_equal(1, world_view(&w, NEW, 1).p.state);
	assert_int_equal(0, world_view(&w, NEW, 1).p.pending_job);
	world_close(&w);
}

static void test_wrong_codes_end_the_code(void **state)
{
	Registry__DeviceUpdate lock = REGISTRY__DEVICE_UPDATE__INIT;
	WORLD_REQUEST(q, DEVICE_UPDATE, device_update, lock);
	char code[64] = "";

	OPEN_WORLD(w);
	assert_int_equal(1000, device_auth(&w, "gatineau", code));
	for (int i = 0; i < 10; i++)
		assert_int_equal(2202, move_to(&w, "mno2", ICCID, NEW, "no"));
	assert_int_equal(2202, move_to(&w, "mno2", ICCID, NEW, code));
	assert_int_equal(1000, device_auth(&w, "gatineau", code));
	lock.iccid = str(ICCID);
	lock.locked = REGISTRY__FLAG__FLAG_TRUE;
	assert_int_equal(1000, world_run(&w, "gatineau", &q));
	assert_int_equal(2304, move_to(&w, "mno2", ICCID, NEW, code));
	w.now += 86401;
	assert_int_equal(2202, move_to(&w, "mno2", ICCID, NEW, code));
	world_close(&w);
}

static void test_esim_events(void **state)
{
	OPEN_WORLD(w);
	live(&w);
	assert_int_equal(2201, event(&w, "gatineau", REGISTRY__ESIM_EVENT__ESIM_DISABLED));
	assert_int_equal(2303, event(&w, "mno2", REGISTRY__ESIM_EVENT__ESIM_DISABLED));
	assert_int_equal(2004, event(&w, "mno", (Registry__EsimEvent)9));
	assert_int_equal(1000, event(&w, "mno", REGISTRY__ESIM_EVENT__ESIM_DISABLED));
	assert_true(change(&w, 0)->withdrawn);
	assert_int_equal(3, world_view(&w, ICCID, 1).p.state);
	assert_int_equal(2, world_view(&w, ICCID, 1).cert.state);
	/* The sponsor cannot wake what the operator holds; twice is as once. */
	assert_int_equal(2304, world_activate(&w, "parkoserv", NAME, ""));
	assert_int_equal(1000, event(&w, "mno", REGISTRY__ESIM_EVENT__ESIM_DISABLED));
	assert_null(w.run.changes);
	assert_int_equal(1000, event(&w, "mno", REGISTRY__ESIM_EVENT__ESIM_ENABLED));
	assert_true(change(&w, 0)->has_cert);
	assert_int_equal(2, world_view(&w, ICCID, 1).p.state);
	assert_int_equal(1000, event(&w, "mno", REGISTRY__ESIM_EVENT__ESIM_ENABLED));
	assert_null(w.run.changes);
	/* What its sponsor has put to sleep stays asleep. */
	assert_int_equal(1000, world_deactivate(&w, "parkoserv", NAME));
	assert_int_equal(1000, event(&w, "mno", REGISTRY__ESIM_EVENT__ESIM_DISABLED));
	assert_int_equal(1000, event(&w, "mno", REGISTRY__ESIM_EVENT__ESIM_ENABLED));
	assert_int_equal(3, world_view(&w, ICCID, 1).p.state);
	assert_int_equal(1000, world_activate(&w, "parkoserv", NAME, ""));
	/* After the certificate's end it does not come back by itself. */
	assert_int_equal(1000, event(&w, "mno", REGISTRY__ESIM_EVENT__ESIM_DISABLED));
	w.now += 91 * 86400;
	assert_int_equal(1000, event(&w, "mno", REGISTRY__ESIM_EVENT__ESIM_ENABLED));
	assert_int_equal(3, world_view(&w, ICCID, 1).p.state);
	assert_int_equal(1000, world_activate(&w, "parkoserv", NAME, ""));
	/* Deleted: the key is gone for ever; a new one may come. */
	assert_int_equal(1000, event(&w, "mno", REGISTRY__ESIM_EVENT__ESIM_DELETED));
	assert_int_equal(1, world_view(&w, ICCID, 1).p.state);
	assert_int_equal(0, world_job(&w, ICCID, 1));
	assert_int_equal(2306, world_activate(&w, "parkoserv", NAME, "key 0001"));
	assert_int_equal(1000, world_activate(&w, "parkoserv", NAME, "key 0002"));
	world_close(&w);
}

static void test_receipts_are_shown(void **state)
{
	Registry__Receipt r = REGISTRY__RECEIPT__INIT, *list[] = { &r };
	Registry__JobResult m = REGISTRY__JOB_RESULT__INIT;
	Registry__JobInfo ask = REGISTRY__JOB_INFO__INIT;
	WORLD_REQUEST(q, JOB_RESULT, job_result, m);
	WORLD_REQUEST(info, JOB_INFO, job_info, ask);
	char id[24];

	OPEN_WORLD(w);
	assert_int_equal(1000, world_register(&w, "parkoserv", ICCID, 1, CLAIM, "parking"));
	assert_int_equal(1000, world_activate(&w, "parkoserv", NAME, "key 0001"));
	world_install(&w);
	snprintf(id, sizeof(id), "%lld", (long long)world_job(&w, ICCID, 1));
	m.id = id;
	m.status = str("ok");
	r.id = str("0D");
	r.por = bytes_of("receipt");
	m.receipts = list;
	m.n_receipts = 1;
	assert_int_equal(1000, world_run(&w, "mno", &q));
	ask.id = id;
	assert_int_equal(1000, world_run(&w, "parkoserv", &info));
	assert_int_equal(1, w.run.reply.job->job->n_receipts);
	assert_string_equal("0D", w.run.reply.job->job->receipts[0]->id);
	assert_int_equal(7, w.run.reply.job->job->receipts[0]->por.len);
	assert_int_equal(w.now, w.run.reply.job->job->receipts[0]->received);
	assert_int_equal(2303, world_run(&w, "carparkserv", &info));
	world_close(&w);
}

/* What an order says, and that a refusal for want of proof stays in the audit. */
static void test_proof_is_asked_for(void **state)
{
	static const char *const ranges[] = { "mno2", "mno/89122302000310100" };
	Registry__DeviceUpdate m = REGISTRY__DEVICE_UPDATE__INIT;
	WORLD_REQUEST(q, DEVICE_UPDATE, device_update, m);
	struct store_profile_view v;
	int64_t job;

	OPEN_WORLD(w);
	m.iccid = str(ICCID);
	m.attest_cert = bytes_of("0 certificate");
	assert_int_equal(2201, world_run(&w, "gatineau", &q));
	assert_int_equal(1000, world_run(&w, "mno", &q));
	assert_true(w.run.reply.device->device->attestable);
	assert_int_equal(1000, world_register(&w, "parkoserv", ICCID, 1, CLAIM, "parking"));
	assert_int_equal(1001, world_activate(&w, "parkoserv", NAME, ""));
	job = world_job(&w, ICCID, 1);
	w.reg.settings.attest_require = ranges;
	w.reg.settings.attest_require_count = 2;
	w.keys_rc = RC_DENIED;
	assert_int_equal(2306, world_result(&w, "mno", job, "ok", "key 0001"));
	assert_true(w.run.keep);
	assert_true(w.run.ordered->attest_require);
	assert_int_equal(16, w.run.ordered->nonce.len);
	assert_int_equal(13, w.run.ordered->attest_cert.len);
	v = world_view(&w, ICCID, 1);
	assert_int_equal(1, v.p.state);
	assert_int_equal(0, v.p.key);
	w.keys_rc = RC_OK;
	assert_int_equal(1000, world_result(&w, "mno", job, "ok", "key 0001"));
	/* Renewal is of a key that was looked at: no proof is asked for. */
	w.now += 80 * 86400;
	assert_int_equal(1000, world_activate(&w, "parkoserv", NAME, ""));
	assert_false(w.run.ordered->attest_require);
	assert_int_equal(0, w.run.ordered->nonce.len);
	world_close(&w);
}

/* Nobody brings what is in another operator's range. */
static void test_ranges(void **state)
{
	static const char *const ranges[] = { "mno/8912230200031010", "mno2/8912230200031" };
	char code[64] = "";

	OPEN_WORLD(w);
	w.reg.settings.ranges = ranges;
	w.reg.settings.range_count = 1;
	assert_int_equal(1000, world_load(&w, "mno", "8912230200031010016f", ""));
	assert_int_equal(1, w.run.reply.inventory->loaded);
	for (int i = 0; i < 2; i++) {
		/* mno2 has none at first, then one beside. */
		assert_int_equal(1000, world_load(&w, "mno2", "8912230200032010017f", ""));
		assert_int_equal(0, w.run.reply.inventory->loaded);
		assert_int_equal(2201, w.run.reply.inventory->refused[0]->code);
		w.reg.settings.range_count = 2;
	}
	assert_int_equal(1000, device_auth(&w, "gatineau", code));
	w.reg.settings.range_count = 1;
	assert_int_equal(2201, move_to(&w, "mno2", ICCID, NEW, code));
	assert_string_equal("new_iccid", w.run.reply.field);
	w.reg.settings.range_count = 2;
	assert_int_equal(1000, move_to(&w, "mno2", ICCID, NEW, code));
	world_close(&w);
}

static bool trust_changed(struct world *w)
{
	registry_run_init(&w->run, &w->reg, &w->arena, REGISTRY_OUT, NULL, NULL);
	assert_rc(RC_OK, store_begin(w->reg.store));
	assert_rc(RC_OK, registry_trust_changed(&w->run));
	assert_rc(RC_OK, store_commit(w->reg.store));
	return w->run.install;
}

/* Another pin, and every live device gets a payload; what sleeps gets it when it wakes. */
static void test_new_trust_for_all(void **state)
{
	Registry__CaData ca = REGISTRY__CA_DATA__INIT;
	Keys__Resolver r = KEYS__RESOLVER__INIT, *list[] = { &r };
	uint64_t before;

	OPEN_WORLD(w);
	w.reg.ca = &ca;
	live(&w);
	before = world_view(&w, ICCID, 1).p.sequence;
	assert_false(trust_changed(&w));
	assert_false(trust_changed(&w));
	r.name = str("resolver.example");
	w.trust.resolvers = list;
	w.trust.resolver_count = 1;
	assert_true(trust_changed(&w));
	assert_false(trust_changed(&w));
	world_install(&w);
	assert_int_equal(before + 1, world_view(&w, ICCID, 1).p.sequence);
	assert_int_equal(1000, world_deactivate(&w, "parkoserv", NAME));
	world_install(&w);
	before = world_view(&w, ICCID, 1).p.sequence;
	ca.root = bytes_of("another root");
	assert_true(trust_changed(&w));
	world_install(&w);
	assert_int_equal(before, world_view(&w, ICCID, 1).p.sequence);
	world_close(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_move_with_the_code),
		cmocka_unit_test(test_move_by_consent),
		cmocka_unit_test(test_wrong_codes_end_the_code),
		cmocka_unit_test(test_esim_events),
		cmocka_unit_test(test_receipts_are_shown),
		cmocka_unit_test(test_proof_is_asked_for),
		cmocka_unit_test(test_ranges),
		cmocka_unit_test(test_new_trust_for_all),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
