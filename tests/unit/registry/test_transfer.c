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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_silence_moves_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
