/* SPDX-License-Identifier: Apache-2.0 */
#include "world.h"

#define OPEN_WORLD(w)   \
	struct world w; \
	(void)state;    \
	world_open(&w); \
	world_people(&w)

static const struct store_change *only_change(struct world *w)
{
	assert_non_null(w->run.changes);
	assert_null(w->run.changes->next);
	return &w->run.changes->c;
}

/* What was told until now is read. */
static void poll_clear(struct world *w, const char *party)
{
	struct store_poll m;
	uint32_t count;

	assert_int_equal(RC_OK, store_begin(w->reg.store));
	while (store_poll_head(w->reg.store, party, &w->arena, &m, &count) == RC_OK)
		assert_int_equal(RC_OK, store_poll_remove(w->reg.store, party, m.id));
	assert_int_equal(RC_OK, store_commit(w->reg.store));
}

static const char *poll_event(struct world *w, const char *party)
{
	struct store_poll m;
	uint32_t count;

	return store_poll_head(w->reg.store, party, &w->arena, &m, &count) == RC_OK ? m.event : "";
}

static void test_card_makes_the_key(void **state)
{
	struct store_profile_view v;
	char first[24];
	int64_t job;

	OPEN_WORLD(w);
	assert_int_equal(1000, world_register(&w, "parkoserv", ICCID, 1, CLAIM, "parking"));
	assert_int_equal(1001, world_activate(&w, "parkoserv", NAME, ""));
	snprintf(first, sizeof(first), "%s", w.run.reply.profile->job);
	assert_null(w.run.changes);
	/* Asked again before the card has answered: the same job. */
	assert_int_equal(1001, world_activate(&w, "parkoserv", NAME, ""));
	assert_string_equal(first, w.run.reply.profile->job);
	job = world_job(&w, ICCID, 1);
	assert_int_equal(2303, world_result(&w, "mno2", job, "ok", "csr"));
	assert_int_equal(2003, world_result(&w, "mno", job, "ok", ""));
	assert_int_equal(1000, world_result(&w, "mno", job, "ok", "csr one"));
	assert_true(w.run.reply.job->certificate.len > 0);
	assert_true(only_change(&w)->has_cert);
	assert_string_equal("profile.activated", poll_event(&w, "parkoserv"));
	/* A repeat is answered as the first; another result is not taken. */
	assert_int_equal(1000, world_result(&w, "mno", job, "ok", "csr one"));
	assert_true(w.run.reply.job->certificate.len > 0);
	assert_int_equal(2304, world_result(&w, "mno", job, "ok", "csr two"));
	assert_int_equal(1, w.certs);
	world_install(&w);
	assert_int_equal(1, world_view(&w, ICCID, 1).p.sequence);
	assert_int_equal(1000, world_result(&w, "mno", world_job(&w, ICCID, 1), "ok", ""));
	v = world_view(&w, ICCID, 1);
	assert_int_equal(v.p.card_cert, v.p.cert);
	assert_int_equal(0, v.p.pending_job);
	world_close(&w);
}

static void test_same_csr_same_certificate(void **state)
{
	uint8_t sha[32];

	OPEN_WORLD(w);
	world_register(&w, "parkoserv", ICCID, 1, CLAIM, "parking");
	assert_int_equal(1000, world_activate(&w, "parkoserv", NAME, "key 0001 csr"));
	memcpy(sha, w.run.reply.profile->profile->certificate->sha256.data, 32);
	assert_int_equal(1000, world_activate(&w, "parkoserv", NAME, "key 0001 csr"));
	assert_memory_equal(sha, w.run.reply.profile->profile->certificate->sha256.data, 32);
	assert_int_equal(2304, world_activate(&w, "parkoserv", NAME, "key 0002 csr"));
	assert_int_equal(2201, world_activate(&w, "carparkserv", NAME, "key 0002 csr"));
	/* A key of one device is refused on another. */
	world_load(&w, "mno", ICCID2, "");
	world_register(&w, "parkoserv", ICCID2, 1, CLAIM, "parking");
	assert_int_equal(2306, world_activate(&w, "parkoserv", "1." ICCID2, "key 0001 csr"));
	w.keys_rc = RC_SIGNATURE;
	assert_int_equal(2005, world_activate(&w, "parkoserv", "1." ICCID2, "key 0003 csr"));
	w.keys_rc = RC_UNAVAILABLE;
	assert_int_equal(2400, world_activate(&w, "parkoserv", "1." ICCID2, "key 0003 csr"));
	assert_int_equal(1, world_view(&w, ICCID2, 1).p.state);
	world_close(&w);
}

static void test_claim_or_consent(void **state)
{
	Registry__DeviceUpdate update = REGISTRY__DEVICE_UPDATE__INIT;
	WORLD_REQUEST(q, DEVICE_UPDATE, device_update, update);

	OPEN_WORLD(w);
	assert_int_equal(2201, world_register(&w, "parkoserv", ICCID, 1, "", "parking"));
	assert_int_equal(2303, world_register(&w, "parkoserv", ICCID2, 1, CLAIM, "parking"));
	assert_int_equal(2004, world_register(&w, "parkoserv", ICCID, 10, CLAIM, "parking"));
	assert_int_equal(2004, world_register(&w, "parkoserv", ICCID, 0, CLAIM, "parking"));
	assert_int_equal(2201, world_register(&w, "parkoserv", ICCID, 1, CLAIM, "carpark"));
	assert_int_equal(2201, world_register(&w, "mno", ICCID, 1, CLAIM, "parking"));
	assert_int_equal(2200, world_register(&w, "stranger", ICCID, 1, CLAIM, "parking"));
	for (int i = 0; i < 10; i++)
		assert_int_equal(2202, world_register(&w, "parkoserv", ICCID, 1, "no", "parking"));
	/* Now the right one does not help either, until the device has rested. */
	assert_int_equal(2202, world_register(&w, "parkoserv", ICCID, 1, CLAIM, "parking"));
	w.now += 3601;
	assert_int_equal(1000, world_register(&w, "parkoserv", ICCID, 1, CLAIM, "parking"));
	assert_int_equal(2302, world_register(&w, "parkoserv", ICCID, 1, CLAIM, "parking"));
	update.iccid = str(ICCID);
	update.add_consent = str("carparkserv");
	assert_int_equal(2201, world_run(&w, "mno", &q));
	assert_int_equal(1000, world_run(&w, "gatineau", &q));
	assert_int_equal(2306, world_run(&w, "gatineau", &q));
	assert_int_equal(1000, world_register(&w, "carparkserv", ICCID, 2, "", "carpark"));
	world_close(&w);
}

static void test_deactivate_and_back(void **state)
{
	struct store_profile_view v;
	uint8_t before[32];

	OPEN_WORLD(w);
	world_register(&w, "parkoserv", ICCID, 1, CLAIM, "parking");
	assert_int_equal(2304, world_deactivate(&w, "parkoserv", NAME));
	world_activate(&w, "parkoserv", NAME, "key 0001");
	world_install(&w);
	memcpy(before, world_view(&w, ICCID, 1).cert.sha256, 32);
	assert_int_equal(2201, world_deactivate(&w, "carparkserv", NAME));
	assert_int_equal(1000, world_deactivate(&w, "parkoserv", NAME));
	assert_true(only_change(&w)->withdrawn);
	world_install(&w);
	v = world_view(&w, ICCID, 1);
	assert_true(v.p.wipe_pending);
	assert_int_equal(2, v.cert.state);
	assert_int_equal(2, v.p.sequence);
	/* The block comes first, then the withdrawn payload. */
	assert_int_equal(1000, world_result(&w, "mno", world_job(&w, ICCID, 1), "ok", ""));
	assert_false(world_view(&w, ICCID, 1).p.wipe_pending);
	assert_int_equal(1000, world_activate(&w, "parkoserv", NAME, ""));
	v = world_view(&w, ICCID, 1);
	assert_memory_equal(before, v.cert.sha256, 32);
	assert_int_equal(1, v.cert.state);
	assert_int_equal(1, w.certs);
	/* After its end the same key gets a new certificate. */
	poll_clear(&w, "parkoserv");
	world_deactivate(&w, "gatineau", NAME);
	assert_string_equal("profile.deactivated", poll_event(&w, "parkoserv"));
	w.now += 91 * 86400;
	assert_int_equal(1000, world_activate(&w, "parkoserv", NAME, ""));
	assert_memory_not_equal(before, world_view(&w, ICCID, 1).cert.sha256, 32);
	assert_int_equal(2, w.certs);
	world_close(&w);
}

static void test_transfer(void **state)
{
	struct store_profile_view v;
	uint8_t before[32];
	char code[64];

	OPEN_WORLD(w);
	world_register(&w, "parkoserv", ICCID, 1, CLAIM, "parking");
	world_activate(&w, "parkoserv", NAME, "key 0001");
	memcpy(before, world_view(&w, ICCID, 1).cert.sha256, 32);
	/* Unset means never. */
	assert_int_equal(2202, world_transfer(&w, "carparkserv", NAME, "x", "carpark"));
	assert_int_equal(1000, world_auth(&w, "gatineau", NAME, code));
	assert_true(strlen(code) >= 20);
	assert_int_equal(2002, world_transfer(&w, "parkoserv", NAME, code, "parking"));
	assert_int_equal(2201, world_transfer(&w, "carparkserv", NAME, code, "parking"));
	assert_int_equal(2202, world_transfer(&w, "carparkserv", NAME, "wrong", "carpark"));
	w.now += 86401;
	assert_int_equal(2202, world_transfer(&w, "carparkserv", NAME, code, "carpark"));
	world_auth(&w, "parkoserv", NAME, code);
	poll_clear(&w, "parkoserv");
	assert_int_equal(1000, world_transfer(&w, "carparkserv", NAME, code, "carpark"));
	v = world_view(&w, ICCID, 1);
	assert_string_equal("carparkserv", v.p.sponsor);
	assert_string_equal("carpark", v.cert.service);
	assert_memory_not_equal(before, v.cert.sha256, 32);
	assert_false(v.p.has_auth);
	assert_memory_equal(v.cert.sha256, only_change(&w)->cert_sha256, 32);
	assert_string_equal("profile.transferred", poll_event(&w, "parkoserv"));
	/* One-shot: it does not go back with the same code. */
	assert_int_equal(2202, world_transfer(&w, "parkoserv", NAME, code, "parking"));
	world_auth(&w, "carparkserv", NAME, code);
	for (int i = 0; i < 10; i++)
		assert_int_equal(2202, world_transfer(&w, "parkoserv", NAME, "no", "parking"));
	assert_int_equal(2202, world_transfer(&w, "parkoserv", NAME, code, "parking"));
	world_close(&w);
}

static void test_delete_burns_the_key(void **state)
{
	OPEN_WORLD(w);
	world_register(&w, "parkoserv", ICCID, 1, CLAIM, "parking");
	world_activate(&w, "parkoserv", NAME, "key 0001");
	world_install(&w);
	assert_int_equal(1000, world_delete(&w, "parkoserv", NAME));
	assert_int_equal(4, w.run.reply.profile->profile->state);
	assert_true(only_change(&w)->withdrawn);
	assert_int_equal(2303, world_delete(&w, "parkoserv", NAME));
	assert_true(world_view(&w, ICCID, 1).p.wipe_pending);
	assert_int_equal(1000, world_register(&w, "carparkserv", ICCID, 1, CLAIM, "carpark"));
	assert_int_equal(2306, world_activate(&w, "carparkserv", NAME, "key 0001"));
	assert_int_equal(1000, world_result(&w, "mno", world_job(&w, ICCID, 1), "ok", ""));
	assert_false(world_view(&w, ICCID, 1).p.wipe_pending);
	assert_int_equal(1000, world_activate(&w, "carparkserv", NAME, "key 0002"));
	/* The slot's payload sequence goes on. */
	world_install(&w);
	assert_int_equal(2, world_view(&w, ICCID, 1).p.sequence);
	world_close(&w);
}

static void test_lock_and_theft(void **state)
{
	Registry__DeviceUpdate update = REGISTRY__DEVICE_UPDATE__INIT;
	WORLD_REQUEST(q, DEVICE_UPDATE, device_update, update);
	char code[64];

	OPEN_WORLD(w);
	world_register(&w, "parkoserv", ICCID, 1, CLAIM, "parking");
	world_activate(&w, "parkoserv", NAME, "key 0001");
	world_auth(&w, "parkoserv", NAME, code);
	update.iccid = str(ICCID);
	assert_int_equal(2003, world_run(&w, "gatineau", &q));
	update.locked = REGISTRY__FLAG__FLAG_TRUE;
	assert_int_equal(2201, world_run(&w, "mno", &q));
	assert_int_equal(2303, world_run(&w, "mno2", &q));
	assert_int_equal(1000, world_run(&w, "gatineau", &q));
	assert_int_equal(2304, world_transfer(&w, "carparkserv", NAME, code, "carpark"));
	assert_int_equal(2304, world_delete(&w, "parkoserv", NAME));
	assert_int_equal(2304, world_register(&w, "parkoserv", ICCID, 2, CLAIM, "parking"));
	update.locked = REGISTRY__FLAG__FLAG_FALSE;
	update.stolen = REGISTRY__FLAG__FLAG_TRUE;
	assert_int_equal(1000, world_run(&w, "gatineau", &q));
	assert_int_equal(2304, world_transfer(&w, "carparkserv", NAME, code, "carpark"));
	assert_int_equal(2304, world_deactivate(&w, "gatineau", NAME)); /* it is off already */
	assert_int_equal(2304, world_activate(&w, "parkoserv", NAME, ""));
	world_close(&w);
}

static void test_idempotency(void **state)
{
	char first[24];
	char code[64];

	OPEN_WORLD(w);
	world_register(&w, "parkoserv", ICCID, 1, CLAIM, "parking");
	w.key = str("k1");
	assert_int_equal(1001, world_activate(&w, "parkoserv", NAME, ""));
	snprintf(first, sizeof(first), "%s", w.run.reply.profile->job);
	assert_int_equal(1001, world_activate(&w, "parkoserv", NAME, ""));
	assert_string_equal(first, w.run.reply.profile->job);
	assert_int_equal(2306, world_activate(&w, "parkoserv", NAME, "key 0001"));
	w.key = str("k2");
	assert_int_equal(1000, world_auth(&w, "parkoserv", NAME, code));
	assert_int_equal(2306, world_auth(&w, "parkoserv", NAME, code));
	w.key = str("bad key");
	assert_int_equal(2005, world_auth(&w, "parkoserv", NAME, code));
	/* A key is kept for a while only. */
	w.key = str("k1");
	w.now += 3601;
	assert_int_equal(1000, world_activate(&w, "parkoserv", NAME, "key 0001"));
	world_close(&w);
}

static void test_failed_jobs(void **state)
{
	struct store_job job;

	OPEN_WORLD(w);
	world_register(&w, "parkoserv", ICCID, 1, CLAIM, "parking");
	world_activate(&w, "parkoserv", NAME, "");
	assert_int_equal(1000, world_result(&w, "mno", world_job(&w, ICCID, 1), "failed", ""));
	assert_string_equal("job.failed", poll_event(&w, "parkoserv"));
	assert_int_equal(1001, world_activate(&w, "parkoserv", NAME, ""));
	assert_rc(RC_OK, store_job_get(w.reg.store, world_job(&w, ICCID, 1), &w.arena, &job));
	assert_int_equal(2, job.attempt);
	w.now += 3601;
	world_sweep(&w);
	assert_int_equal(0, world_job(&w, ICCID, 1));
	assert_int_equal(2304, world_result(&w, "mno", job.id, "ok", "key 0001"));
	/* A block nobody carried out is asked for again. */
	world_activate(&w, "parkoserv", NAME, "key 0001");
	world_deactivate(&w, "parkoserv", NAME);
	w.now += 3601;
	world_sweep(&w);
	assert_true(world_job(&w, ICCID, 1) != 0);
	assert_true(world_view(&w, ICCID, 1).p.wipe_pending);
	world_close(&w);
}

static void test_expiry(void **state)
{
	OPEN_WORLD(w);
	world_register(&w, "parkoserv", ICCID, 1, CLAIM, "parking");
	world_activate(&w, "parkoserv", NAME, "key 0001");
	w.now += 91 * 86400;
	world_sweep(&w);
	assert_true(only_change(&w)->withdrawn);
	assert_int_equal(5, world_view(&w, ICCID, 1).cert.state);
	assert_string_equal("certificate.expired", poll_event(&w, "parkoserv"));
	assert_int_equal(1000, world_activate(&w, "parkoserv", NAME, ""));
	assert_int_equal(2, w.certs);
	world_close(&w);
}

static void test_a_plan_is_not_trusted(void **state)
{
	Registry__ProfileActivate m = REGISTRY__PROFILE_ACTIVATE__INIT;
	WORLD_REQUEST(q, PROFILE_ACTIVATE, profile_activate, m);
	const Keys__CertOrder *order;
	struct registry_run run;
	struct store_party asp;
	char code[64];

	OPEN_WORLD(w);
	world_register(&w, "parkoserv", ICCID, 1, CLAIM, "parking");
	world_auth(&w, "parkoserv", NAME, code);
	m.name = str(NAME);
	m.csr = bytes_of("key 0001");
	assert_rc(RC_OK, store_party_get(w.reg.store, "parkoserv", &asp));
	registry_run_init(&run, &w.reg, &w.arena, REGISTRY_API, &asp, &q);
	run.planning = true;
	assert_rc(RC_OK, registry_execute(&run));
	order = run.cert_order;
	assert_non_null(order);
	/* Meanwhile the profile has moved: refused. */
	assert_int_equal(1000, world_transfer(&w, "carparkserv", NAME, code, "carpark"));
	registry_run_init(&run, &w.reg, &w.arena, REGISTRY_API, &asp, &q);
	run.ordered = order;
	run.made.cert = world_issue(&w, order);
	assert_rc(RC_OK, registry_execute(&run));
	assert_int_equal(2201, run.reply.code);
	/* And a certificate for another service is not taken for this one. */
	assert_rc(RC_OK, store_party_get(w.reg.store, "carparkserv", &asp));
	registry_run_init(&run, &w.reg, &w.arena, REGISTRY_API, &asp, &q);
	run.ordered = order;
	run.made.cert = world_issue(&w, order);
	assert_rc(RC_OK, registry_execute(&run));
	assert_true(run.again);
	world_close(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_card_makes_the_key),
		cmocka_unit_test(test_same_csr_same_certificate),
		cmocka_unit_test(test_claim_or_consent),
		cmocka_unit_test(test_deactivate_and_back),
		cmocka_unit_test(test_transfer),
		cmocka_unit_test(test_delete_burns_the_key),
		cmocka_unit_test(test_lock_and_theft),
		cmocka_unit_test(test_idempotency),
		cmocka_unit_test(test_failed_jobs),
		cmocka_unit_test(test_expiry),
		cmocka_unit_test(test_a_plan_is_not_trusted),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
