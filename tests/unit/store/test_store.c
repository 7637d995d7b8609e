/* SPDX-License-Identifier: Apache-2.0 */
#include "temp.h"

static void add_party(struct store *s, const char *id)
{
	struct store_party p = { .roles = 2, .has_spki = true, .created = 5 };

	snprintf(p.id, sizeof(p.id), "%s", id);
	snprintf(p.name, sizeof(p.name), "The %s", id);
	memset(p.spki, id[0], sizeof(p.spki));
	assert_rc(RC_OK, store_party_add(s, &p));
}

static void add_service(struct store *s, const char *handle, const char *asp)
{
	struct store_service v = { .port = 8883, .created = 6 };
	struct store_pin pin = { 3, 1, 1,
		{ (const uint8_t *)"0123456789abcdef0123456789abcdef", 32 } };

	snprintf(v.handle, sizeof(v.handle), "%s", handle);
	snprintf(v.asp, sizeof(v.asp), "%s", asp);
	snprintf(v.fqdn, sizeof(v.fqdn), "mqtt.%s.example", asp);
	assert_rc(RC_OK, store_service_add(s, &v, &pin, 1));
}

static struct store_device add_device(struct store *s, const char *iccid, const char *mno)
{
	struct store_device d = { .created = 7 };

	snprintf(d.iccid, sizeof(d.iccid), "%s", iccid);
	snprintf(d.mno, sizeof(d.mno), "%s", mno);
	assert_rc(RC_OK, store_device_add(s, &d));
	return d;
}

static void test_objects_round_trip(void **state)
{
	struct temp_db t;
	struct store *s;
	struct arena a = arena_init(1 << 20);
	struct store_party p;
	struct store_service v;
	struct store_pin *pins;
	struct store_profile_view view;
	struct store_profile_view *views;
	struct store_device d;
	size_t n;

	(void)state;
	temp_db_make(&t);
	s = temp_db_open(&t, true);
	add_party(s, "parkoserv");
	add_party(s, "mno");
	add_service(s, "parking", "parkoserv");
	d = add_device(s, "8912230200031010008f", "mno");
	struct store_profile pr = { .device = d.id, .slot = 1, .state = 1, .created = 8 };

	snprintf(pr.sponsor, sizeof(pr.sponsor), "parkoserv");
	snprintf(pr.service, sizeof(pr.service), "parking");
	assert_rc(RC_OK, store_profile_add(s, &pr));
	assert_rc(RC_EXISTS, store_profile_add(s, &pr));

	assert_rc(RC_OK, store_party_get(s, "mno", &p));
	assert_string_equal(p.name, "The mno");
	assert_rc(RC_OK, store_party_by_spki(s, p.spki, &p));
	assert_string_equal(p.id, "mno");
	assert_rc(RC_NOT_FOUND, store_party_get(s, "nobody", &p));
	assert_rc(RC_OK, store_service_get(s, "parking", &a, &v));
	assert_int_equal(v.port, 8883);
	assert_rc(RC_OK, store_service_pins(s, "parking", &a, &pins, &n));
	assert_int_equal(n, 1);
	assert_int_equal(pins[0].data.len, 32);
	assert_rc(RC_OK, store_profile_get(s, "8912230200031010008f", 1, &view));
	assert_string_equal(view.p.sponsor, "parkoserv");
	assert_string_equal(view.mno, "mno");
	assert_int_equal(view.cert.id, 0);
	for (int side = STORE_ALL; side <= STORE_MNO; side++) {
		assert_rc(RC_OK, store_profile_list(s, (enum store_side)side,
					 side == STORE_MNO ? "mno" : "parkoserv", "", 0, 0, 10, &a,
					 &views, &n));
		assert_int_equal(n, 1);
	}
	assert_rc(RC_OK, store_profile_list(s, STORE_ALL, "", "", d.id, 1, 10, &a, &views, &n));
	assert_int_equal(n, 0);
	arena_fini(&a);
	store_close(s);
	temp_db_remove(&t);
}

static void test_savepoint_takes_back_numbers(void **state)
{
	struct temp_db t;
	struct store *s;
	struct arena a = arena_init(1 << 20);
	struct store_change c = { .name = "1.a" };
	struct store_change *list;
	uint64_t first;
	size_t n;

	(void)state;
	temp_db_make(&t);
	s = temp_db_open(&t, true);
	assert_rc(RC_OK, store_begin(s));
	assert_rc(RC_OK, store_savepoint(s));
	assert_rc(RC_OK, store_change_add(s, &c));
	assert_rc(RC_OK, store_savepoint_release(s));
	assert_rc(RC_OK, store_savepoint(s));
	assert_rc(RC_OK, store_change_add(s, &c));
	assert_int_equal(c.seq, 2);
	assert_rc(RC_OK, store_savepoint_rollback(s));
	assert_int_equal(store_change_last(s), 1);
	assert_rc(RC_OK, store_change_add(s, &c));
	assert_rc(RC_OK, store_commit(s));
	store_close(s);

	s = temp_db_open(&t, true);
	assert_int_equal(store_change_last(s), 2);
	assert_rc(RC_OK, store_begin(s));
	assert_rc(RC_OK, store_change_add(s, &c));
	store_rollback(s);
	assert_int_equal(store_change_last(s), 2);
	/* Of two changes of one name only the later one is told. */
	assert_rc(RC_OK, store_change_list(s, 0, 2, false, 10, &a, &list, &n));
	assert_int_equal(n, 1);
	assert_int_equal(list[0].seq, 2);
	assert_rc(RC_OK, store_change_prune(s, 3, 100));
	assert_rc(RC_OK, store_change_first(s, &first));
	assert_int_equal(first, 3);
	arena_fini(&a);
	store_close(s);
	temp_db_remove(&t);
}

static void test_reader_holds_one_state(void **state)
{
	struct temp_db t;
	struct store *w;
	struct store *r;
	struct store_party p;

	(void)state;
	temp_db_make(&t);
	w = temp_db_open(&t, true);
	r = temp_db_open(&t, false);
	assert_rc(RC_OK, store_read_begin(r));
	add_party(w, "late");
	assert_rc(RC_NOT_FOUND, store_party_get(r, "late", &p));
	store_read_end(r);
	assert_rc(RC_OK, store_party_get(r, "late", &p));
	assert_rc(RC_IO, store_party_add(r, &p));
	store_close(r);
	store_close(w);
	temp_db_remove(&t);
}

static void test_poll_is_first_in_first_out(void **state)
{
	struct temp_db t;
	struct store *s;
	struct arena a = arena_init(1 << 20);
	struct store_poll m = { .date = 1, .event = "e", .name = "n", .text = "one" };
	uint32_t count;

	(void)state;
	temp_db_make(&t);
	s = temp_db_open(&t, true);
	add_party(s, "asp");
	assert_rc(RC_CONFLICT, store_poll_add(s, "nobody", &m));
	assert_rc(RC_OK, store_poll_add(s, "asp", &m));
	m.text = "two";
	assert_rc(RC_OK, store_poll_add(s, "asp", &m));
	assert_rc(RC_OK, store_poll_head(s, "asp", &a, &m, &count));
	assert_string_equal(m.text, "one");
	assert_int_equal(count, 2);
	assert_rc(RC_NOT_FOUND, store_poll_remove(s, "other", m.id));
	assert_rc(RC_OK, store_poll_remove(s, "asp", m.id));
	assert_rc(RC_OK, store_poll_head(s, "asp", &a, &m, &count));
	assert_string_equal(m.text, "two");
	arena_fini(&a);
	store_close(s);
	temp_db_remove(&t);
}

static void test_checkpointer_empties_the_log(void **state)
{
	struct temp_db t;
	struct store *s;
	struct store_checkpointer *c = NULL;
	struct diag d;
	int peak = 0;

	(void)state;
	if (temp_db_server()) /* SQLite's own */
		return;
	temp_db_make(&t);
	s = temp_db_open(&t, true);
	assert_rc(RC_OK, store_checkpointer_start(t.path, &c, &d));
	for (int i = 0; i < 3000; i++) {
		char id[16];

		snprintf(id, sizeof(id), "p%05d", i);
		struct store_party p = { .created = i };

		snprintf(p.id, sizeof(p.id), "%s", id);
		assert_rc(RC_OK, store_party_add(s, &p));
		store_checkpointer_note(c, s);
		if (store_wal_pages(s) > peak)
			peak = store_wal_pages(s);
	}
	store_checkpointer_stop(c);
	assert_true(peak >= 1000);
	/* Without it the log would hold three pages and more per commit. */
	assert_true(peak < 7000);
	store_close(s);
	temp_db_remove(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_objects_round_trip),
		cmocka_unit_test(test_savepoint_takes_back_numbers),
		cmocka_unit_test(test_reader_holds_one_state),
		cmocka_unit_test(test_poll_is_first_in_first_out),
		cmocka_unit_test(test_checkpointer_empties_the_log),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
