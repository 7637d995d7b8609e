/* SPDX-License-Identifier: Apache-2.0 */
/* The store fails at every single call of every operation: 2400, nothing changed, no crash. */
#include "store/engine.h"
#include "world.h"

static const struct st__engine *real;
static struct st__engine faulty;
static int calls_left;
static bool hit;

static bool due(void)
{
	if (--calls_left != 0)
		return false;
	hit = true;
	return true;
}

static enum rc faulty_step(struct store *s)
{
	return due() ? RC_IO : real->step(s);
}

static Registry__Request *request_of(const char *what)
{
	static Registry__ProfileRegister reg = REGISTRY__PROFILE_REGISTER__INIT;
	static Registry__ProfileActivate act = REGISTRY__PROFILE_ACTIVATE__INIT;
	static Registry__ProfileDeactivate deact = REGISTRY__PROFILE_DEACTIVATE__INIT;
	static Registry__ProfileDelete del = REGISTRY__PROFILE_DELETE__INIT;
	static Registry__ProfileTransfer trans = REGISTRY__PROFILE_TRANSFER__INIT;
	static Registry__DeviceInfo dev = REGISTRY__DEVICE_INFO__INIT;
	static Registry__PollRequest poll = REGISTRY__POLL_REQUEST__INIT;
	static Registry__Request q;

	registry__request__init(&q);
	reg.iccid = dev.iccid = str(ICCID);
	reg.slot = 2;
	reg.claim = str(CLAIM);
	reg.service = str("parking");
	act.name = str("3." ICCID);
	act.csr = bytes_of("key 0003");
	deact.name = del.name = trans.name = str(NAME);
	trans.code = str("wrong");
	trans.service = str("carpark");
	q.idempotency_key = str("once");
	if (strcmp(what, "register") == 0) {
		q.op_case = REGISTRY__REQUEST__OP_PROFILE_REGISTER;
		q.profile_register = &reg;
	} else if (strcmp(what, "activate") == 0) {
		q.op_case = REGISTRY__REQUEST__OP_PROFILE_ACTIVATE;
		q.profile_activate = &act;
	} else if (strcmp(what, "deactivate") == 0) {
		q.op_case = REGISTRY__REQUEST__OP_PROFILE_DEACTIVATE;
		q.profile_deactivate = &deact;
	} else if (strcmp(what, "delete") == 0) {
		q.op_case = REGISTRY__REQUEST__OP_PROFILE_DELETE;
		q.profile_delete = &del;
	} else if (strcmp(what, "transfer") == 0) {
		q.op_case = REGISTRY__REQUEST__OP_PROFILE_TRANSFER;
		q.profile_transfer = &trans;
	} else if (strcmp(what, "device") == 0) {
		q.op_case = REGISTRY__REQUEST__OP_DEVICE_INFO;
		q.device_info = &dev;
	} else {
		q.op_case = REGISTRY__REQUEST__OP_POLL_REQUEST;
		q.poll_request = &poll;
	}
	return &q;
}

static Registry__Code once(
	struct world *w, const struct store_party *caller, const char *what, int n)
{
	Registry__Request *q = request_of(what);
	Keys__CertOrder *order = NULL;
	struct registry_run run;
	enum rc rc;

	registry_run_init(&run, &w->reg, &w->arena, REGISTRY_API, caller, q);
	if (registry_op(q)->plans) {
		run.planning = true;
		assert_rc(RC_OK, registry_execute(&run));
		order = (Keys__CertOrder *)(uintptr_t)run.cert_order;
		registry_run_init(&run, &w->reg, &w->arena, REGISTRY_API, caller, q);
		run.ordered = order;
		run.made.cert = order ? world_issue(w, order) : NULL;
	}
	assert_rc(RC_OK, store_begin(w->reg.store));
	assert_rc(RC_OK, store_savepoint(w->reg.store));
	calls_left = n;
	hit = false;
	w->reg.store->engine = &faulty;
	rc = registry_execute(&run);
	w->reg.store->engine = real;
	if (hit) {
		assert_rc(RC_IO, rc);
		assert_int_equal(2400, run.reply.code);
	}
	assert_rc(RC_OK, store_savepoint_rollback(w->reg.store));
	store_rollback(w->reg.store);
	return run.reply.code;
}

static void test_every_call_may_fail(void **state)
{
	static const struct {
		const char *what, *party;
		int good;
	} rows[] = {
		{ "register", "parkoserv", 1000 },
		{ "activate", "parkoserv", 1000 },
		{ "deactivate", "parkoserv", 1000 },
		{ "delete", "parkoserv", 1000 },
		{ "transfer", "carparkserv", 2202 },
		{ "device", "gatineau", 1000 },
		{ "poll", "parkoserv", 1300 },
	};
	struct store_party party;
	struct world w;
	char code[64];

	(void)state;
	world_open(&w);
	world_people(&w);
	world_register(&w, "parkoserv", ICCID, 1, CLAIM, "parking");
	world_register(&w, "parkoserv", ICCID, 3, CLAIM, "parking");
	world_activate(&w, "parkoserv", NAME, "key 0001");
	world_auth(&w, "parkoserv", NAME, code);
	world_install(&w);
	real = w.reg.store->engine;
	faulty = *real;
	faulty.step = faulty_step;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		int n = 1;

		assert_rc(RC_OK, store_party_get(w.reg.store, rows[i].party, &party));
		for (Registry__Code got = 0; n < 300; n++) {
			got = once(&w, &party, rows[i].what, n);
			if (!hit) {
				assert_int_equal(rows[i].good, got);
				break;
			}
		}
		printf("%s: %d calls\n", rows[i].what, n - 1);
		assert_in_range(n, 2, 299);
	}
	world_close(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_every_call_may_fail) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
