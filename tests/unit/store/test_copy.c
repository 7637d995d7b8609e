/* SPDX-License-Identifier: Apache-2.0 */
/* A copy is equal, whichever engine it comes from or goes to, and goes on counting after it. */
#include "store/copy.h"
#include "base/clock.h"
#include "store/audit.h"
#include "temp.h"

/* Values that an engine might change: empty, NULL, all bytes, beyond ASCII, numbers at the ends. */
static void fill(struct store *s, int rows)
{
	static const uint8_t bytes[] = { 0, 1, 0xff, 0x80, '\'', '\\', 0 };
	struct store_party p = { .roles = UINT32_MAX, .created = INT64_MAX };
	struct store_service v = { .port = 1, .created = INT64_MIN };
	struct store_change c = { .name = "" };

	assert_rc(RC_OK, store_begin(s));
	for (int i = 0; i < rows; i++) {
		struct store_poll m = {
			.date = i, .event = "e", .name = "", .text = "Gâtineau 東"
		};
		struct store_device d = { .created = -i };
		struct store_audit a = {
			.time = i, .party = "p", .operation = "o", .object = "", .detail = "d"
		};

		snprintf(p.id, sizeof(p.id), "p%05d", i * 7919 % 100000);
		snprintf(p.name, sizeof(p.name), "%.*s%d", i % 2 ? 0 : 5, "Café ", i);
		p.has_spki = i % 3 == 0;
		memset(p.spki, i, sizeof(p.spki));
		p.spki[0] = (uint8_t)(i >> 8);
		assert_rc(RC_OK, store_party_add(s, &p));
		assert_rc(RC_OK, store_poll_add(s, p.id, &m));
		snprintf(d.iccid, sizeof(d.iccid), "89%017df", i);
		snprintf(d.mno, sizeof(d.mno), "%s", p.id);
		assert_rc(RC_OK, store_device_add(s, &d));
		assert_rc(RC_OK, store_consent_add(s, d.id, p.id));
		assert_rc(RC_OK, store_change_add(s, &c));
		assert_rc(RC_OK, store_audit_add(s, &a));
	}
	snprintf(v.handle, sizeof(v.handle), "s");
	snprintf(v.asp, sizeof(v.asp), "%s", p.id);
	v.wifi_sealed = (struct store_blob){ bytes, sizeof(bytes) };
	assert_rc(RC_OK, store_service_add(s, &v, NULL, 0));
	assert_rc(RC_OK, store_setting_put(s, "zone", v.wifi_sealed));
	assert_rc(RC_OK, store_commit(s));
}

static void same(struct store *a, struct store *b)
{
	struct store_digest da[STORE_TABLES_MAX], db[STORE_TABLES_MAX];
	struct diag d = { "" };
	size_t n = 0, m = 0;

	assert_rc(RC_OK, store_digest(a, da, &n, &d));
	assert_rc(RC_OK, store_digest(b, db, &m, &d));
	assert_int_equal(n, m);
	assert_true(n >= 18);
	for (size_t i = 0; i < n; i++) {
		assert_string_equal(da[i].table, db[i].table);
		assert_int_equal(da[i].rows, db[i].rows);
		assert_memory_equal(da[i].sha256, db[i].sha256, STORE_SHA256);
	}
}

static struct store *sqlite_in(const struct temp_db *t, const char *name, char path[512])
{
	struct store *s = NULL;
	struct diag d = { "" };

	snprintf(path, 512, "%s/%s", t->dir, name);
	assert_rc(RC_OK, store_sqlite_open(path, true, &s, &d));
	return s;
}

static void sqlite_gone(struct store *s, const char *path)
{
	char more[520];

	store_close(s);
	unlink(path);
	snprintf(more, sizeof(more), "%s-wal", path);
	unlink(more);
	snprintf(more, sizeof(more), "%s-shm", path);
	unlink(more);
}

/* SQLite -> this engine -> SQLite. */
static void test_there_and_back(void **state)
{
	struct store_audit_report r;
	struct diag d = { "" };
	struct temp_db t;
	struct store *one, *two, *three;
	char path1[512], path3[512];

	(void)state;
	temp_db_make(&t);
	one = sqlite_in(&t, "one", path1);
	two = temp_db_open(&t, true);
	three = sqlite_in(&t, "three", path3);
	fill(one, 1203);
	assert_rc(RC_OK, store_read_begin(one));
	assert_rc(RC_OK, store_copy(one, two, NULL, NULL, &d));
	store_read_end(one);
	same(one, two);
	assert_rc(RC_OK, store_read_begin(two));
	assert_rc(RC_OK, store_copy(two, three, NULL, NULL, &d));
	store_read_end(two);
	same(one, three);
	assert_int_equal(store_change_last(two), 1203);
	assert_rc(RC_OK, store_audit_verify(two, &r, &d));
	assert_int_equal(r.rows, 1203);

	/* Numbers go on. */
	struct store_device dev = { .iccid = "8912230200031010008f", .mno = "p00000" };
	struct store_change c = { .name = "x" };

	assert_rc(RC_OK, store_begin(two));
	assert_rc(RC_OK, store_device_add(two, &dev));
	assert_rc(RC_OK, store_change_add(two, &c));
	assert_rc(RC_OK, store_commit(two));
	assert_int_equal(dev.id, 1204);
	assert_int_equal(c.seq, 1204);
	store_close(two);
	sqlite_gone(one, path1);
	sqlite_gone(three, path3);
	temp_db_remove(&t);
}

static void test_one_changed_value_shows(void **state)
{
	struct store_digest a[STORE_TABLES_MAX], b[STORE_TABLES_MAX];
	struct diag d = { "" };
	struct temp_db t;
	struct store *s;
	size_t n = 0, changed = 0;

	(void)state;
	temp_db_make(&t);
	s = temp_db_open(&t, true);
	fill(s, 3);
	assert_rc(RC_OK, store_digest(s, a, &n, &d));
	temp_db_exec(&t, "UPDATE party SET name = 'x' WHERE id = 'p00000'");
	assert_rc(RC_OK, store_digest(s, b, &n, &d));
	for (size_t i = 0; i < n; i++)
		changed += memcmp(a[i].sha256, b[i].sha256, STORE_SHA256) != 0;
	assert_int_equal(changed, 1);
	store_close(s);
	temp_db_remove(&t);
}

/* Nothing is mixed into a database that is in use, and nothing of the attempt stays. */
static void test_target_must_be_empty(void **state)
{
	struct diag d = { "" };
	struct temp_db t;
	struct store *from, *to;
	struct store_party p;
	char path[512];

	(void)state;
	temp_db_make(&t);
	from = sqlite_in(&t, "from", path);
	to = temp_db_open(&t, true);
	fill(from, 5);
	struct store_device dev = { .iccid = "8912230200031010008f", .mno = "mine" };

	p = (struct store_party){ .id = "mine" };
	assert_rc(RC_OK, store_party_add(to, &p));
	assert_rc(RC_OK, store_device_add(to, &dev));
	assert_rc(RC_OK, store_read_begin(from));
	assert_rc(RC_EXISTS, store_copy(from, to, NULL, NULL, &d));
	store_read_end(from);
	assert_non_null(strstr(d.text, "not empty"));
	assert_rc(RC_NOT_FOUND, store_party_get(to, "p00000", &p));
	assert_rc(RC_OK, store_party_get(to, "mine", &p));
	store_close(to);
	sqlite_gone(from, path);
	temp_db_remove(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_there_and_back),
		cmocka_unit_test(test_one_changed_value_shows),
		cmocka_unit_test(test_target_must_be_empty),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
