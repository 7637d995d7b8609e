/* SPDX-License-Identifier: Apache-2.0 */
/* Several nodes on one database: the lease, fencing, deltas, images, chains. On SQLite: refused. */
#include "store/audit.h"
#include "store/node.h"
#include "temp.h"

#include <poll.h>

#define LEASE 60000

static struct store_delta delta(uint32_t prev, uint32_t serial, uint64_t seq, const char *body)
{
	return (struct store_delta){ .prev = prev,
		.serial = serial,
		.seq = seq,
		.body = { (const uint8_t *)body, strlen(body) } };
}

static uint64_t take(struct store *s, const char *name, uint64_t had)
{
	uint64_t token = 0;

	assert_rc(RC_OK, store_lease_take(s, name, had, LEASE, &token));
	return token;
}

/* The zone begins at `serial`. */
static void begin_at(struct store *s, const char *name, uint64_t token, uint32_t serial)
{
	struct store_delta d = { .serial = serial, .seq = 1 };

	assert_rc(RC_OK, store_serial_reserve(s, name, token, 0, serial));
	assert_rc(RC_OK, store_whole_add(s, name, token, &d));
}

static void open_two(struct temp_db *t, struct store **a, struct store **b)
{
	temp_db_make(t);
	*a = temp_db_open(t, true);
	*b = temp_db_server() ? temp_db_open(t, true) : NULL;
}

static bool refused_on_sqlite(struct store *s, const struct temp_db *t)
{
	struct store_head h;

	if (temp_db_server())
		return false;
	assert_rc(RC_UNSUPPORTED, store_node_set(s, "one"));
	assert_rc(RC_UNSUPPORTED, store_head_get(s, &h));
	store_close(s);
	temp_db_remove(t);
	return true;
}

static void test_one_holds_the_lease(void **state)
{
	struct temp_db t;
	struct store *a, *b;
	struct store_head h;
	uint64_t token, other;

	(void)state;
	open_two(&t, &a, &b);
	if (refused_on_sqlite(a, &t))
		return;
	token = take(a, "one", 0);
	assert_rc(RC_CONFLICT, store_lease_take(b, "two", 0, LEASE, &other));
	assert_int_equal(take(a, "one", token), token);
	/* The same name after a restart is another holder. */
	assert_int_equal(take(a, "one", 0), token + 1);
	assert_rc(RC_OK, store_head_get(b, &h));
	assert_string_equal(h.holder, "one");
	assert_true(h.left_ms > LEASE / 2 && h.left_ms <= LEASE);
	/* The old token gives nothing away. */
	assert_rc(RC_OK, store_lease_leave(a, "one", token));
	assert_rc(RC_CONFLICT, store_lease_take(b, "two", 0, LEASE, &other));
	assert_rc(RC_OK, store_lease_leave(a, "one", token + 1));
	assert_int_equal(take(b, "two", 0), token + 2);
	store_close(a);
	store_close(b);
	temp_db_remove(&t);
}

/* Whoever lost the lease cannot store, whatever it had signed before. */
static void test_late_delta_is_fenced(void **state)
{
	struct temp_db t;
	struct store *a, *b;
	struct store_delta d, late, *list;
	struct store_head h;
	struct arena arena = arena_init(1 << 20);
	uint64_t one, two, place;
	size_t n;

	(void)state;
	open_two(&t, &a, &b);
	if (refused_on_sqlite(a, &t))
		return;
	one = take(a, "one", 0);
	begin_at(a, "one", one, 100);
	d = delta(100, 101, 5, "first");
	assert_rc(RC_OK, store_delta_add(a, "one", one, LEASE, &d));
	assert_int_equal(d.n, 2);
	/* Asked again after a lost answer: found, not stored twice. */
	assert_rc(RC_OK, store_delta_add(a, "one", one, LEASE, &d));
	assert_int_equal(d.n, 2);
	/* Neither a gap nor a fork. */
	late = delta(100, 102, 6, "fork");
	assert_rc(RC_CONFLICT, store_delta_add(a, "one", one, LEASE, &late));
	temp_db_exec(&t, "UPDATE zone_head SET until_ms = 1");
	two = take(b, "two", 0);
	assert_true(two > one);
	late = delta(101, 102, 6, "late");
	assert_rc(RC_CONFLICT, store_delta_add(a, "one", one, LEASE, &late));
	assert_rc(RC_CONFLICT, store_serial_reserve(a, "one", one, 101, 200));
	d = delta(101, 102, 6, "second");
	assert_rc(RC_OK, store_delta_add(b, "two", two, LEASE, &d));
	/* The late one's content is not taken for the stored one's. */
	assert_rc(RC_CONFLICT, store_delta_add(a, "one", one, LEASE, &late));
	assert_rc(RC_OK, store_delta_list(b, 1, 10, 1 << 20, &arena, &list, &n));
	assert_int_equal(n, 2);
	assert_int_equal(list[1].serial, 102);
	assert_memory_equal(list[1].body.bytes, "second", 6);
	assert_rc(RC_OK, store_delta_place(b, 101, &place));
	assert_int_equal(place, 2);
	assert_rc(RC_OK, store_delta_prune(b, 2));
	assert_rc(RC_NOT_FOUND, store_delta_place(b, 101, &place));
	assert_rc(RC_OK, store_head_get(a, &h));
	assert_int_equal(h.serial, 102);
	assert_int_equal(h.seq, 6);
	arena_fini(&arena);
	store_close(a);
	store_close(b);
	temp_db_remove(&t);
}

static void test_images_lead_to_the_head(void **state)
{
	struct temp_db t;
	struct store *a, *b;
	struct store_delta d;
	struct store_image part = {
		.serial = 100, .n = 1, .seq = 1, .body = { (const uint8_t *)"x", 1 }
	};
	struct store_image found;
	struct arena arena = arena_init(1 << 20);
	uint64_t token;

	(void)state;
	open_two(&t, &a, &b);
	if (refused_on_sqlite(a, &t))
		return;
	token = take(a, "one", 0);
	begin_at(a, "one", token, 100);
	assert_rc(RC_OK, store_image_add(a, &part));
	assert_rc(RC_NOT_FOUND, store_image_find(b, &found));
	part.part = 1;
	part.last = true;
	assert_rc(RC_OK, store_image_add(a, &part));
	assert_rc(RC_OK, store_image_find(b, &found));
	assert_int_equal(found.serial, 100);
	d = delta(100, 101, 5, "more");
	assert_rc(RC_OK, store_delta_add(a, "one", token, LEASE, &d));
	assert_rc(RC_OK, store_image_find(b, &found));
	assert_rc(RC_OK, store_image_get(b, 100, 1, &arena, &found));
	assert_true(found.last && found.body.len == 1);
	/* Deltas that are gone lead nowhere. */
	assert_rc(RC_OK, store_delta_prune(a, 2));
	assert_rc(RC_NOT_FOUND, store_image_find(b, &found));
	assert_rc(RC_OK, store_image_drop(a, 0));
	assert_rc(RC_NOT_FOUND, store_image_get(b, 100, 0, &arena, &found));
	arena_fini(&arena);
	store_close(a);
	store_close(b);
	temp_db_remove(&t);
}

static void add_node(struct store *s, const char *name)
{
	struct store_node n = { .added = 7, .proof = { (const uint8_t *)"p", 1 } };

	snprintf(n.name, sizeof(n.name), "%s", name);
	assert_rc(RC_OK, store_node_add(s, &n));
	assert_rc(RC_EXISTS, store_node_add(s, &n));
}

static void test_nodes_beat_and_go(void **state)
{
	struct store_beat beat = { .name = "one", .serial = 0, .alive_ms = LEASE };
	struct store_node *list;
	struct temp_db t;
	struct store *a, *b;
	struct store_head h;
	struct arena arena = arena_init(1 << 20);
	struct store_blob body = { (const uint8_t *)"sealed", 6 };
	uint64_t token, version = 0;
	size_t n;

	(void)state;
	open_two(&t, &a, &b);
	if (refused_on_sqlite(a, &t))
		return;
	assert_rc(RC_OK, store_beat(a, &beat, &h));
	assert_false(h.known);
	add_node(a, "one");
	add_node(a, "two");
	assert_rc(RC_OK, store_beat(a, &beat, &h));
	assert_true(h.known);
	assert_int_equal(h.abreast, 0);
	beat.name = "two";
	beat.wants_image = true;
	assert_rc(RC_OK, store_beat(b, &beat, &h));
	assert_int_equal(h.abreast, 1);
	beat.name = "one";
	assert_rc(RC_OK, store_beat(a, &beat, &h));
	assert_int_equal(h.wanting, 1);
	token = take(a, "one", 0);
	assert_rc(RC_OK, store_node_keys_put(a, "two", 1, body));
	assert_rc(RC_CONFLICT, store_node_keys_done(b, "two", token, 1));
	assert_rc(RC_OK, store_node_keys_done(a, "one", token, 1));
	assert_rc(RC_OK, store_node_keys_get(b, "two", &arena, &version, &body));
	assert_int_equal(version, 1);
	assert_rc(RC_OK, store_node_list(b, &arena, &list, &n));
	assert_int_equal(n, 2);
	/* One that is removed has no lease and no keys. */
	assert_rc(RC_OK, store_node_remove(b, "one"));
	assert_rc(RC_NOT_FOUND, store_node_remove(b, "one"));
	assert_rc(RC_CONFLICT, store_node_keys_done(a, "one", token, 2));
	assert_rc(RC_OK, store_beat(a, &beat, &h));
	assert_false(h.known);
	arena_fini(&arena);
	store_close(a);
	store_close(b);
	temp_db_remove(&t);
}

static void write_row(struct store *s, const char *what)
{
	struct store_audit row = { .party = "p", .operation = what, .object = "", .detail = "" };

	assert_rc(RC_OK, store_begin(s));
	assert_rc(RC_OK, store_audit_add(s, &row));
	assert_rc(RC_OK, store_commit(s));
}

static void test_a_chain_per_node(void **state)
{
	struct store_audit_report r;
	struct temp_db t;
	struct store *a, *b;
	struct diag d = { "" };

	(void)state;
	open_two(&t, &a, &b);
	if (refused_on_sqlite(a, &t))
		return;
	write_row(a, "before there were nodes");
	assert_rc(RC_OK, store_node_set(a, "one"));
	assert_rc(RC_OK, store_node_set(b, "two"));
	for (int i = 0; i < 3; i++) {
		write_row(a, "a");
		write_row(b, "b");
		write_row(b, "c");
	}
	assert_rc(RC_OK, store_audit_verify(a, &r, &d));
	assert_int_equal(r.rows, 10);
	assert_int_equal(r.chains, 3);
	assert_int_equal(r.chain[1].rows, 3);
	assert_int_equal(r.chain[2].rows, 6);
	temp_db_exec(&t, "UPDATE audit SET node = 'two' WHERE seq = 2");
	assert_rc(RC_CONFLICT, store_audit_verify(a, &r, &d));
	temp_db_exec(
		&t, "UPDATE audit SET node = 'one' WHERE seq = 2; DELETE FROM audit WHERE seq = 5");
	assert_rc(RC_CONFLICT, store_audit_verify(a, &r, &d));
	assert_int_equal(r.broken_at, 5);
	store_close(a);
	store_close(b);
	temp_db_remove(&t);
}

static void test_the_ear_hears_commits(void **state)
{
	struct temp_db t;
	struct store *a, *b;
	struct store_ear *ear = NULL;
	struct diag d = { "" };
	bool heard = false, lost = false;

	(void)state;
	open_two(&t, &a, &b);
	if (refused_on_sqlite(a, &t))
		return;
	assert_rc(RC_OK, store_ear_open(t.path, &ear, &d));
	assert_rc(RC_OK, store_node_set(a, "one"));
	write_row(a, "said");
	for (int i = 0; i < 100 && !heard; i++) {
		struct pollfd p = { .fd = store_ear_fd(ear), .events = POLLIN };

		assert_int_equal(poll(&p, 1, 5000), 1);
		heard = store_ear_heard(ear, b, &lost);
		assert_false(lost);
	}
	assert_true(heard);
	assert_rc(RC_OK, store_ear_again(ear, &d));
	store_ear_close(ear);
	store_close(a);
	store_close(b);
	temp_db_remove(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_one_holds_the_lease),
		cmocka_unit_test(test_late_delta_is_fenced),
		cmocka_unit_test(test_images_lead_to_the_head),
		cmocka_unit_test(test_nodes_beat_and_go),
		cmocka_unit_test(test_a_chain_per_node),
		cmocka_unit_test(test_the_ear_hears_commits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
