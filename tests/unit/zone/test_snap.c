/* SPDX-License-Identifier: Apache-2.0 */
/* A reader without LMDB's lock file beside a writer that reuses pages as fast as it can: every
 * snapshot must be of one piece, however long it is held. */
#include "unit.h"

#include "zone/rec.h"
#include "zone/snap.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define KEYS	400u
#define COMMITS 15000u
#define VALUE	300u

struct world {
	char dir[64];
	struct zone_db *db;
};

static void write_all(struct zone_db *db, uint32_t generation)
{
	struct zone_state s = { .have = true, .serial = generation };
	uint8_t value[VALUE] = { 0 };
	MDB_txn *txn;

	assert_int_equal(0, mdb_txn_begin(db->env, NULL, 0, &txn));
	rec_put32(value, generation);
	for (uint32_t i = 0; i < KEYS; i++) {
		/* Other keys each time: pages split, merge and go to the free list. */
		uint32_t at = i * 7 + generation % 3;
		uint8_t key[4];
		MDB_val k = { sizeof(key), key };
		MDB_val v = { sizeof(value), value };

		if (generation % 3 == 0 && i == 0)
			assert_int_equal(0, mdb_drop(txn, db->names[0], 0));
		rec_put32(key, at);
		assert_int_equal(0, mdb_put(txn, db->names[0], &k, &v, 0));
	}
	s.origin.len = 1;
	assert_rc(RC_OK, zone_db_state_put(db, txn, &s));
	assert_int_equal(0, mdb_txn_commit(txn));
}

/* Everything of the newest generation in a snapshot agrees with its state row. */
static bool is_whole(struct snap_reader *r)
{
	MDB_cursor *c;
	MDB_val k, v;
	uint32_t found = 0;
	int e;

	if (mdb_cursor_open(snap_reader_txn(r), r->db->names[0], &c) != 0)
		return false;
	while ((e = mdb_cursor_get(c, &k, &v, MDB_NEXT)) == 0) {
		if (k.mv_size != 4 || v.mv_size != VALUE)
			return false;
		found += rec_get32(v.mv_data) == r->state.serial;
	}
	mdb_cursor_close(c);
	return e == MDB_NOTFOUND && found == KEYS;
}

static int read_on(const char *dir, int link)
{
	struct pollfd p = { .fd = link, .events = POLLIN };
	const struct snap_board *board;
	struct snap_slot *slot;
	struct snap_reader r;
	struct zone_db *db;
	uint64_t last = 0;
	unsigned fresh_count = 0;
	bool fresh;

	poll(&p, 1, 5000);
	if (snap_reader_attach(link, &board, &slot, NULL) != RC_OK ||
		zone_db_open(dir, ZONE_DB_SERVE, 0, &db, NULL) != RC_OK ||
		snap_reader_init(&r, db, board, slot) != RC_OK)
		return 2;
	for (unsigned i = 0; poll(&p, 1, 0) == 0; i++) {
		struct timespec hold = { 0, (long)(i % 5) * 400000 };

		if (snap_reader_enter(&r, &fresh) != RC_OK)
			return 3;
		/* Never back in time. */
		if (r.id < last || !is_whole(&r))
			return 4;
		last = r.id;
		fresh_count += fresh;
		nanosleep(&hold, NULL);
		if (!is_whole(&r))
			return 5;
		snap_reader_leave(&r);
	}
	return fresh_count > 10 ? 0 : 6;
}

static void test_snapshots_are_whole(void **state)
{
	struct world *w = *state;
	struct snap_writer *writer;
	int pair[2];
	int status = -1;
	unsigned slot;
	pid_t pid;

	write_all(w->db, 1);
	assert_rc(RC_OK, snap_writer_new(w->db, 2, &writer, NULL));
	assert_int_equal(0, socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
	pid = fork();
	if (pid == 0) {
		/* Its end tells the child that the test is over, however it ends. */
		close(pair[0]);
		_exit(read_on(w->dir, pair[1]));
	}
	close(pair[1]);
	assert_rc(RC_OK, snap_writer_greet(writer, 0, pair[0]));
	/* The second dns has not attached yet: it may read anything, so all is kept. */
	for (uint32_t g = 2; g < 20; g++) {
		write_all(w->db, g);
		assert_rc(RC_OK, snap_writer_publish(writer));
	}
	assert_true(snap_writer_guards(writer, &slot) > 10);
	snap_writer_release(writer, 1);
	for (uint32_t g = 20; g < COMMITS; g++) {
		write_all(w->db, g);
		assert_rc(RC_OK, snap_writer_publish(writer));
	}
	close(pair[0]);
	assert_int_equal(pid, waitpid(pid, &status, 0));
	assert_int_equal(0, status);
	snap_writer_release(writer, 0);
	assert_int_equal(1, snap_writer_guards(writer, &slot));
	snap_writer_free(writer);
}

static int setup(void **state)
{
	static struct world w;

	snprintf(w.dir, sizeof(w.dir), "/tmp/test-snap-XXXXXX");
	assert_non_null(mkdtemp(w.dir));
	assert_rc(RC_OK, zone_db_open(w.dir, ZONE_DB_BULK, 0, &w.db, NULL));
	*state = &w;
	return 0;
}

static int teardown(void **state)
{
	struct world *w = *state;
	char path[96];

	zone_db_close(w->db);
	snprintf(path, sizeof(path), "%s/data.mdb", w->dir);
	unlink(path);
	snprintf(path, sizeof(path), "%s/lock.mdb", w->dir);
	unlink(path);
	rmdir(w->dir);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_snapshots_are_whole) };

	return cmocka_run_group_tests(tests, setup, teardown);
}
