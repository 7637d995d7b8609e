/* SPDX-License-Identifier: Apache-2.0 */
/* Transfers that wait for an answer, and the clock that ends them. */
#include "../unit.h"

#include "world.h"

#define WAIT_S (5 * 86400)

static Registry__Code step(struct world *w, const char *who, Registry__TransferStep s)
{
	Registry__TransferMove m = REGISTRY__TRANSFER_MOVE__INIT;
	WORLD_REQUEST(q, TRANSFER_MOVE, transfer_move, m);

	m.name = str(NAME);
	m.step = s;
	if (s == REGISTRY__TRANSFER_STEP__TRANSFER_REQUEST)
		m.service = str("carpark");
	return world_run(w, who, &q);
}

/* The head of a party's queue, taken. */
static const char *next_event(struct world *w, const char *party)
{
	struct store_poll m;
	uint32_t count;

	if (store_poll_head(w->reg.store, party, &w->arena, &m, &count) != RC_OK)
		return "";
	assert_int_equal(RC_OK, store_begin(w->reg.store));
	assert_int_equal(RC_OK, store_poll_remove(w->reg.store, party, m.id));
	assert_int_equal(RC_OK, store_commit(w->reg.store));
	return m.event;
}

static void clear(struct world *w, const char *party)
{
	while (*next_event(w, party))
		;
}

static void test_silence_moves_nothing(void **state)
{
	struct world w;

	(void)state;
	world_open(&w);
	world_people(&w);
	w.reg.settings.transfer_wait_s = WAIT_S;
	world_register(&w, "parkoserv", ICCID, 1, CLAIM, "parking");
	world_activate(&w, "parkoserv", NAME, "key 0001");
	clear(&w, "parkoserv");
	clear(&w, "gatineau");
	assert_int_equal(1001, step(&w, "carparkserv", REGISTRY__TRANSFER_STEP__TRANSFER_REQUEST));
	assert_int_equal(w.now + WAIT_S, w.run.reply.transfer->transfer->act_date);
	assert_string_equal("transfer.requested", next_event(&w, "parkoserv"));
	assert_string_equal("transfer.requested", next_event(&w, "gatineau"));
	/* A second before its time it still waits. */
	w.now += WAIT_S - 1;
	world_sweep(&w);
	assert_int_equal(2300, step(&w, "carparkserv", REGISTRY__TRANSFER_STEP__TRANSFER_REQUEST));
	assert_string_equal("", next_event(&w, "parkoserv"));
	w.now += 1;
	world_sweep(&w);
	assert_string_equal("parkoserv", world_view(&w, ICCID, 1).p.sponsor);
	assert_string_equal("transfer.ended", next_event(&w, "carparkserv"));
	assert_string_equal("transfer.ended", next_event(&w, "parkoserv"));
	assert_string_equal("transfer.ended", next_event(&w, "gatineau"));
	assert_int_equal(1000, step(&w, "parkoserv", REGISTRY__TRANSFER_STEP__TRANSFER_QUERY));
	assert_string_equal("serverCancelled", w.run.reply.transfer->transfer->status);
	assert_int_equal(2301, step(&w, "parkoserv", REGISTRY__TRANSFER_STEP__TRANSFER_APPROVE));
	/* It may be asked for anew, and answered in time. */
	assert_int_equal(1001, step(&w, "carparkserv", REGISTRY__TRANSFER_STEP__TRANSFER_REQUEST));
	w.now += WAIT_S - 1;
	assert_int_equal(1000, step(&w, "parkoserv", REGISTRY__TRANSFER_STEP__TRANSFER_APPROVE));
	assert_string_equal("carparkserv", world_view(&w, ICCID, 1).p.sponsor);
	world_close(&w);
}

/* ---- changes of operator ----------------------------------------------------------------- */

#define NEW "8912230200031010032f"

static Registry__Code move(
	struct world *w, const char *who, Registry__TransferStep s, const char *iccid)
{
	Registry__DeviceMove m = REGISTRY__DEVICE_MOVE__INIT;
	WORLD_REQUEST(q, DEVICE_MOVE, device_move, m);
	Registry__Code code;

	m.iccid = str(iccid);
	m.step = s;
	if (s == REGISTRY__TRANSFER_STEP__TRANSFER_REQUEST)
		m.new_iccid = str(NEW);
	code = world_run(w, who, &q);
	return code;
}

static const char *status(struct world *w)
{
	return w->run.reply.transfer->transfer->status;
}

#define ASK	REGISTRY__TRANSFER_STEP__TRANSFER_REQUEST
#define QUERY	REGISTRY__TRANSFER_STEP__TRANSFER_QUERY
#define CANCEL	REGISTRY__TRANSFER_STEP__TRANSFER_CANCEL
#define APPROVE REGISTRY__TRANSFER_STEP__TRANSFER_APPROVE
#define REJECT	REGISTRY__TRANSFER_STEP__TRANSFER_REJECT

static void open_move(struct world *w)
{
	world_open(w);
	world_people(w);
	w->reg.settings.transfer_wait_s = WAIT_S;
	clear(w, "gatineau");
}

/* Every step by every side, before and while one waits. */
static void test_each_side_has_its_steps(void **state)
{
	static const struct {
		const char *who;
		Registry__TransferStep step;
		int before, waiting;
	} table[] = {
		{ "parkoserv", ASK, 2201, 2201 },
		{ "gatineau", ASK, 2201, 2201 },
		{ "mno2", QUERY, 2303, 1000 },
		{ "mno2", APPROVE, 2303, 2201 },
		{ "mno2", REJECT, 2303, 2201 },
		{ "mno", QUERY, 2301, 1000 },
		{ "mno", CANCEL, 2201, 2201 },
		{ "mno", APPROVE, 2301, 0 },
		{ "mno", REJECT, 2301, 0 },
		{ "gatineau", QUERY, 2301, 1000 },
		{ "gatineau", CANCEL, 2201, 2201 },
		{ "gatineau", APPROVE, 2301, 0 },
		{ "operator", QUERY, 2301, 1000 },
		{ "operator", APPROVE, 2201, 2201 },
		{ "carparkserv", QUERY, 2303, 2303 },
		{ "carparkserv", REJECT, 2303, 2303 },
		{ "mno2", ASK, 0, 2300 },
	};
	struct world w;

	(void)state;
	open_move(&w);
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
		if (table[i].before)
			assert_int_equal(
				table[i].before, move(&w, table[i].who, table[i].step, ICCID));
	assert_int_equal(1001, move(&w, "mno2", ASK, ICCID));
	assert_string_equal("pending", status(&w));
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
		if (table[i].waiting)
			assert_int_equal(
				table[i].waiting, move(&w, table[i].who, table[i].step, ICCID));
	assert_string_equal("transfer.requested", next_event(&w, "mno"));
	assert_string_equal("transfer.requested", next_event(&w, "gatineau"));
	world_close(&w);
}

static void test_a_change_of_operator_that_is_answered(void **state)
{
	struct store_device d, after;
	struct world w;

	(void)state;
	open_move(&w);
	world_register(&w, "parkoserv", ICCID, 1, CLAIM, "parking");
	world_activate(&w, "parkoserv", NAME, "key 0001");
	clear(&w, "mno");
	clear(&w, "gatineau");
	assert_rc(RC_OK, store_device_by_iccid(w.reg.store, ICCID, &d));
	assert_int_equal(1001, move(&w, "mno2", ASK, ICCID));
	assert_int_equal(1000, move(&w, "mno2", CANCEL, ICCID));
	assert_string_equal("clientCancelled", status(&w));
	assert_int_equal(2301, move(&w, "mno", APPROVE, ICCID));
	assert_int_equal(1001, move(&w, "mno2", ASK, ICCID));
	clear(&w, "mno");
	clear(&w, "gatineau");
	assert_int_equal(1000, move(&w, "gatineau", REJECT, ICCID));
	assert_string_equal("clientRejected", status(&w));
	assert_string_equal("transfer.ended", next_event(&w, "mno2"));
	assert_string_equal("transfer.ended", next_event(&w, "mno"));
	assert_string_equal("", next_event(&w, "gatineau"));
	assert_rc(RC_OK, store_device_by_iccid(w.reg.store, ICCID, &after));
	assert_string_equal("mno", after.mno);
	assert_int_equal(1001, move(&w, "mno2", ASK, ICCID));
	assert_int_equal(1000, move(&w, "gatineau", APPROVE, ICCID));
	assert_string_equal("clientApproved", status(&w));
	assert_string_equal("gatineau", w.run.reply.transfer->transfer->actor);
	assert_string_equal("transfer.ended", next_event(&w, "mno2"));
	assert_rc(RC_NOT_FOUND, store_device_by_iccid(w.reg.store, ICCID, &after));
	assert_rc(RC_OK, store_device_by_iccid(w.reg.store, NEW, &after));
	assert_int_equal(d.id, after.id);
	assert_string_equal("mno2", after.mno);
	/* The new SIM makes its key without anybody's doing. */
	assert_int_equal(REGISTRY__PROFILE_STATE__STATE_REGISTERED, world_view(&w, NEW, 1).p.state);
	assert_true(world_view(&w, NEW, 1).p.pending_job != 0);
	assert_int_equal(1000, move(&w, "mno2", QUERY, NEW));
	assert_string_equal("clientApproved", status(&w));
	assert_int_equal(2301, move(&w, "mno2", APPROVE, NEW));
	world_close(&w);
}

static void test_silence_moves_no_device(void **state)
{
	struct store_device d;
	struct world w;

	(void)state;
	open_move(&w);
	clear(&w, "mno");
	assert_int_equal(1001, move(&w, "mno2", ASK, ICCID));
	assert_string_equal("transfer.requested", next_event(&w, "mno"));
	w.now += WAIT_S - 1;
	world_sweep(&w);
	assert_string_equal("", next_event(&w, "mno2"));
	w.now += 1;
	world_sweep(&w);
	assert_string_equal("transfer.ended", next_event(&w, "mno2"));
	assert_string_equal("transfer.ended", next_event(&w, "mno"));
	assert_rc(RC_OK, store_device_by_iccid(w.reg.store, ICCID, &d));
	assert_string_equal("mno", d.mno);
	assert_int_equal(2301, move(&w, "mno", APPROVE, ICCID));
	world_close(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_each_side_has_its_steps),
		cmocka_unit_test(test_a_change_of_operator_that_is_answered),
		cmocka_unit_test(test_silence_moves_no_device),
		cmocka_unit_test(test_silence_moves_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
