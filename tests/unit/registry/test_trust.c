/* SPDX-License-Identifier: Apache-2.0 */
/* Which files 06, 07, 0C go to which card, and which key signs its payloads while the payload
 * signer is replaced. */
#include "world.h"

#define NAME2 "2." ICCID
#define DAY   86400
#define OPEN_WORLD(w)        \
	struct world w;      \
	Registry__CaData ca; \
	(void)state;         \
	world_open(&w);      \
	open_trust(&(w), &(ca))

/* Keys of the signer, as SHA-256 of nothing real. */
static uint8_t first[32] = { 1 }, second[32] = { 2 };

/* What was last ordered of keys, and what went along. */
static Keys__SignPayload order;
static char files[64];

static ProtobufCBinaryData spki(uint8_t hash[32])
{
	return (ProtobufCBinaryData){ 32, hash };
}

static void open_trust(struct world *w, Registry__CaData *ca)
{
	world_people(w);
	registry__ca_data__init(ca);
	ca->root = bytes_of("root 1");
	ca->issuing = bytes_of("issuing 1");
	ca->devkit = bytes_of("devkit 1");
	ca->payload_signer = bytes_of("signer 1");
	ca->payload_signer_devkit = bytes_of("devkit signer 1");
	ca->payload_spki = spki(first);
	w->reg.ca = ca;
	w->reg.settings.signer_hold_s = DAY;
}

static void trust_changed(struct world *w)
{
	registry_run_init(&w->run, &w->reg, &w->arena, REGISTRY_OUT, NULL, NULL);
	assert_rc(RC_OK, store_begin(w->reg.store));
	assert_rc(RC_OK, registry_trust_changed(&w->run));
	assert_rc(RC_OK, store_commit(w->reg.store));
}

/* The next payload of that slot: ordered, sent, confirmed. False: none is due. */
static bool install(struct world *w, unsigned slot)
{
	struct store_profile_view v = world_view(w, ICCID, slot);
	Keys__SignedPayload made = KEYS__SIGNED_PAYLOAD__INIT;
	struct registry_install basis;
	Registry__Job *job;
	struct store_job row;
	Keys__SignPayload *m;
	Keys__SignKit *kit;
	int64_t id;

	if (!v.p.install_due)
		return false;
	registry_run_init(&w->run, &w->reg, &w->arena, REGISTRY_OUT, NULL, NULL);
	assert_rc(RC_OK, registry_install_prepare(&w->run, v.p.id, &basis, &m, &kit));
	order = *m;
	made.cose = bytes_of("cose");
	assert_rc(RC_OK, store_begin(w->reg.store));
	assert_rc(RC_OK, registry_install_open(&w->run, &basis, &made, NULL));
	assert_rc(RC_OK, store_commit(w->reg.store));
	/* A block or unblock before it is confirmed too. */
	for (;;) {
		id = world_job(w, ICCID, slot);
		assert_rc(RC_OK, store_job_get(w->reg.store, id, &w->arena, &row));
		if (row.kind == REGISTRY__JOB_KIND__JOB_INSTALL)
			break;
		assert_int_equal(1000, world_result(w, "mno", id, "ok", ""));
	}
	assert_rc(RC_OK, registry_job_message(&w->run, &row, &job));
	files[0] = '\0';
	for (size_t i = 0; i < job->n_files; i++) {
		size_t len = strlen(files);

		snprintf(files + len, sizeof(files) - len, "%s%s", i ? " " : "", job->files[i]->id);
	}
	assert_int_equal(1000, world_result(w, "mno", id, "ok", ""));
	return true;
}

static bool announces(const uint8_t hash[32])
{
	return order.n_next_signers == 1 && memcmp(order.next_signers[0].data, hash, 32) == 0;
}

static void live(struct world *w)
{
	assert_int_equal(1000, world_register(w, "parkoserv", ICCID, 1, CLAIM, "parking"));
	assert_int_equal(1000, world_activate(w, "parkoserv", NAME, "key 0001"));
}

static void prepared(Registry__CaData *ca)
{
	ca->payload_next_spki = spki(second);
}

static void switched(Registry__CaData *ca)
{
	ca->payload_signer = bytes_of("signer 2");
	ca->payload_signer_devkit = bytes_of("devkit signer 2");
	ca->payload_spki = spki(second);
	ca->payload_old_spki = spki(first);
	ca->payload_next_spki = (ProtobufCBinaryData){ 0 };
}

static void test_slot_1_comes_with_the_sim(void **state)
{
	OPEN_WORLD(w);
	trust_changed(&w);
	live(&w);
	assert_true(install(&w, 1));
	assert_string_equal("02 0D", files);
	assert_int_equal(0, order.n_next_signers + order.signer.len);
	/* Slot 2 has nothing yet, and has it once. */
	assert_int_equal(1000, world_register(&w, "carparkserv", ICCID, 2, CLAIM, "carpark"));
	assert_int_equal(1000, world_activate(&w, "carparkserv", NAME2, "key 0002"));
	assert_true(install(&w, 2));
	assert_string_equal("22 26 27 2C 2D", files);
	w.now += 80 * DAY;
	assert_int_equal(1000, world_activate(&w, "carparkserv", NAME2, ""));
	assert_true(install(&w, 2));
	assert_string_equal("22 2D", files);
	world_close(&w);
}

static void test_other_ca_certificates(void **state)
{
	OPEN_WORLD(w);
	trust_changed(&w);
	live(&w);
	assert_true(install(&w, 1));
	w.now += DAY;
	ca.issuing = bytes_of("issuing 2");
	ca.payload_signer = bytes_of("signer 1, certified anew");
	trust_changed(&w);
	assert_true(install(&w, 1));
	assert_string_equal("07 0C 0D", files);
	assert_true(order.ca_digests && !order.full);
	assert_false(install(&w, 1));
	ca.root = bytes_of("root 2");
	w.reg.settings.payload_full = true;
	trust_changed(&w);
	assert_true(install(&w, 1));
	assert_string_equal("06 0D", files);
	assert_true(order.full);
	/* A SIM that came into the inventory afterwards was made with the new ones. */
	assert_int_equal(1000, world_load(&w, "mno", ICCID2, "gatineau"));
	assert_int_equal(1000, world_register(&w, "parkoserv", ICCID2, 1, CLAIM, "parking"));
	assert_int_equal(1000, world_activate(&w, "parkoserv", "1." ICCID2, "key 0003"));
	world_install(&w);
	struct store_job row;
	assert_rc(RC_OK, store_job_get(w.reg.store, world_job(&w, ICCID2, 1), &w.arena, &row));
	assert_int_equal(0, row.kit.len);
	world_close(&w);
}

static void test_a_card_that_has_other_files(void **state)
{
	Registry__DeviceUpdate m = REGISTRY__DEVICE_UPDATE__INIT;
	WORLD_REQUEST(q, DEVICE_UPDATE, device_update, m);

	OPEN_WORLD(w);
	trust_changed(&w);
	live(&w);
	assert_true(install(&w, 1));
	m.iccid = str(ICCID);
	m.refresh = REGISTRY__FLAG__FLAG_TRUE;
	assert_int_equal(2201, world_run(&w, "gatineau", &q));
	assert_false(install(&w, 1));
	assert_int_equal(1000, world_run(&w, "mno", &q));
	assert_true(install(&w, 1));
	assert_string_equal("06 07 0C 0D", files);
	assert_false(install(&w, 1));
	world_close(&w);
}

static void test_a_signer_is_announced_first(void **state)
{
	Registry__SignerInfo info = REGISTRY__SIGNER_INFO__INIT;
	WORLD_REQUEST(q, SIGNER_INFO, signer_info, info);

	OPEN_WORLD(w);
	trust_changed(&w);
	live(&w);
	assert_true(install(&w, 1));
	w.now += DAY;
	prepared(&ca);
	trust_changed(&w);
	assert_int_equal(1000, world_run(&w, "operator", &q));
	assert_int_equal(1, w.run.reply.signer->profiles);
	assert_int_equal(0, w.run.reply.signer->known);
	assert_true(install(&w, 1));
	assert_string_equal("0D", files);
	assert_true(announces(second) && !order.signer.len);
	assert_int_equal(1000, world_run(&w, "operator", &q));
	assert_int_equal(1, w.run.reply.signer->known);
	assert_int_equal(0, w.run.reply.signer->left);
	assert_int_equal(2201, world_run(&w, "parkoserv", &q));
	/* Time for the device to read it. */
	w.now += 2 * DAY;
	world_sweep(&w);
	assert_false(install(&w, 1));
	switched(&ca);
	trust_changed(&w);
	assert_int_equal(1000, world_run(&w, "operator", &q));
	assert_int_equal(1, w.run.reply.signer->left);
	assert_true(install(&w, 1));
	assert_string_equal("0C 0D", files);
	assert_int_equal(0, order.n_next_signers + order.signer.len);
	assert_int_equal(1000, world_run(&w, "operator", &q));
	assert_int_equal(0, w.run.reply.signer->left);
	world_close(&w);
}

/* Who was out of reach until after the switch hears of it by the former signer, and is given time.
 */
static void test_stragglers(void **state)
{
	OPEN_WORLD(w);
	trust_changed(&w);
	live(&w);
	assert_true(install(&w, 1));
	w.now += DAY;
	switched(&ca);
	trust_changed(&w);
	assert_true(install(&w, 1));
	assert_string_equal("0D", files);
	assert_true(announces(second) && order.signer.len == 32 &&
		    memcmp(order.signer.data, first, 32) == 0);
	world_sweep(&w);
	assert_false(install(&w, 1));
	/* What else is due meanwhile is still by the former, and does not begin the wait anew. */
	w.now += DAY / 2;
	assert_int_equal(1000, world_deactivate(&w, "parkoserv", NAME));
	assert_true(install(&w, 1));
	assert_true(order.withdrawn && order.signer.len && !order.n_next_signers);
	assert_int_equal(1000, world_activate(&w, "parkoserv", NAME, ""));
	assert_true(install(&w, 1));
	assert_true(announces(second) && order.signer.len);
	w.now += DAY / 2;
	world_sweep(&w);
	/* A withdrawal made the device forget it: the wait is from the second time. */
	assert_false(install(&w, 1));
	w.now += DAY / 2;
	world_sweep(&w);
	assert_true(install(&w, 1));
	assert_string_equal("0C 0D", files);
	assert_int_equal(0, order.signer.len);
	world_sweep(&w);
	assert_false(install(&w, 1));
	world_close(&w);
}

static void test_a_first_payload_needs_no_announcement(void **state)
{
	OPEN_WORLD(w);
	trust_changed(&w);
	w.now += DAY;
	switched(&ca);
	trust_changed(&w);
	live(&w);
	assert_true(install(&w, 1));
	assert_string_equal("02 0C 0D", files);
	assert_int_equal(0, order.n_next_signers + order.signer.len);
	world_close(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_slot_1_comes_with_the_sim),
		cmocka_unit_test(test_other_ca_certificates),
		cmocka_unit_test(test_a_card_that_has_other_files),
		cmocka_unit_test(test_a_signer_is_announced_first),
		cmocka_unit_test(test_stragglers),
		cmocka_unit_test(test_a_first_payload_needs_no_announcement),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
