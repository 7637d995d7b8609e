/* SPDX-License-Identifier: Apache-2.0 */
#include "zone/snap.h"

#include <errno.h>
#include <sched.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define PAGE 4096

/* Between LMDB's write of its meta page and our board's update lie a few instructions of `zone`.
 * If it is not heard of for this long it was killed just there: the commit is complete all the
 * same, because its next one cannot begin before the board is written. */
#define SPINS_MAX 2000
#define PAUSE_NS  1000

enum rc snap_reader_attach(
	int fd, const struct snap_board **board, struct snap_slot **slot, struct diag *d)
{
	union {
		struct cmsghdr head;
		char room[CMSG_SPACE(2 * sizeof(int))];
	} control = { 0 };
	char hello[4];
	struct iovec iov = { hello, sizeof(hello) };
	struct msghdr m = { .msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = sizeof(control.room) };
	struct cmsghdr *c;
	void *b = MAP_FAILED;
	void *s = MAP_FAILED;
	int fds[2];
	ssize_t n = recvmsg(fd, &m, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);

	if (n < 0)
		return errno == EAGAIN || errno == EINTR ? RC_BUSY : RC_IO;
	c = CMSG_FIRSTHDR(&m);
	if (n != sizeof(hello) || memcmp(hello, "SNAP", 4) != 0 || !c ||
		c->cmsg_len != CMSG_LEN(sizeof(fds)) || c->cmsg_type != SCM_RIGHTS)
		return diag_set(
			d, n == 0 ? RC_CLOSED : RC_MALFORMED, "zone link: no snapshot page");
	memcpy(fds, CMSG_DATA(c), sizeof(fds));
	b = mmap(NULL, PAGE, PROT_READ, MAP_SHARED, fds[0], 0);
	s = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fds[1], 0);
	close(fds[0]);
	close(fds[1]);
	if (b == MAP_FAILED || s == MAP_FAILED) {
		if (b != MAP_FAILED)
			munmap(b, PAGE);
		if (s != MAP_FAILED)
			munmap(s, PAGE);
		return diag_errno(d, RC_NOMEM, "zone link: mmap");
	}
	*board = b;
	*slot = s;
	atomic_store(&(*slot)->reading, SNAP_IDLE);
	atomic_store(&(*slot)->copying, SNAP_IDLE);
	return RC_OK;
}

void snap_reader_detach(const struct snap_board *board, struct snap_slot *slot)
{
	if (board)
		munmap((void *)(uintptr_t)board, PAGE);
	if (slot)
		munmap(slot, PAGE);
}

enum rc snap_reader_init(struct snap_reader *r, struct zone_db *db, const struct snap_board *board,
	struct snap_slot *slot)
{
	memset(r, 0, sizeof(*r));
	r->db = db;
	r->board = board;
	r->reading = slot ? &slot->reading : NULL;
	return RC_OK;
}

enum rc snap_reader_init_copy(struct snap_reader *r, struct zone_db *db,
	const struct snap_board *board, struct snap_slot *slot)
{
	enum rc rc = snap_reader_init(r, db, board, slot);

	r->reading = slot ? &slot->copying : NULL;
	return rc;
}

void snap_reader_fini(struct snap_reader *r)
{
	if (r->reading)
		atomic_store(r->reading, SNAP_IDLE);
	mdb_txn_abort(r->txn[0]);
	mdb_txn_abort(r->txn[1]);
	memset(r, 0, sizeof(*r));
}

static int begin(struct snap_reader *r, unsigned at)
{
	if (!r->txn[at])
		return mdb_txn_begin(r->db->env, NULL, MDB_RDONLY, &r->txn[at]);
	mdb_txn_reset(r->txn[at]);
	return mdb_txn_renew(r->txn[at]);
}

/* Takes LMDB's newest snapshot into one of the two handles; its id, or 0. */
static uint64_t take(struct snap_reader *r, unsigned at)
{
	int e = begin(r, at);

	if (e == MDB_MAP_RESIZED) {
		/* The writer was started with a larger map: adopt it. */
		for (unsigned i = 0; i < 2; i++) {
			mdb_txn_abort(r->txn[i]);
			r->txn[i] = NULL;
		}
		r->id = 0;
		if (mdb_env_set_mapsize(r->db->env, 0) == 0)
			e = begin(r, at);
	}
	if (e == 0)
		return mdb_txn_id(r->txn[at]);
	mdb_txn_abort(r->txn[at]);
	r->txn[at] = NULL;
	return 0;
}

static void pause_a_little(unsigned spin)
{
	struct timespec t = { 0, PAUSE_NS };

	if (spin < 16)
		sched_yield();
	else
		nanosleep(&t, NULL);
}

/* Announces the newest published commit and checks that it is still guarded. */
static uint64_t announce(struct snap_reader *r)
{
	uint64_t want;

	do {
		want = atomic_load(&r->board->committed);
		atomic_store(r->reading, want);
	} while (atomic_load(&r->board->floor) > want);
	return want;
}

/* The next snapshot into the spare handle. While the slot says P, no page that a snapshot >= P
 * needs is reused. LMDB's two meta pages take turns: the one of T is written again by commit
 * T + 2, which begins after T + 1 is published; so if T is still the newest published commit
 * after we copied it, the copy is whole. */
static uint64_t enter_guarded(struct snap_reader *r, unsigned at)
{
	uint64_t last = 0;

	for (unsigned spin = 0; spin < SPINS_MAX; spin++) {
		uint64_t id;

		announce(r);
		id = take(r, at);
		if (id == 0 || atomic_load(&r->board->committed) == id)
			return id;
		if (spin == SPINS_MAX - 1 && id == last)
			return id;
		last = id;
		pause_a_little(spin);
	}
	return 0;
}

static bool is_current(struct snap_reader *r)
{
	if (!r->txn[r->current])
		return false;
	if (atomic_load(&r->board->committed) != r->id)
		return false;
	atomic_store(r->reading, r->id);
	return atomic_load(&r->board->floor) <= r->id;
}

enum rc snap_reader_enter(struct snap_reader *r, bool *fresh)
{
	unsigned spare = r->current ^ 1u;
	uint64_t id;
	enum rc rc;

	*fresh = false;
	if (r->board) {
		if (is_current(r)) {
			r->open = true;
			return RC_OK;
		}
		id = enter_guarded(r, spare);
	} else {
		id = take(r, spare);
		if (id && id == r->id && r->txn[r->current]) {
			r->open = true;
			return RC_OK;
		}
	}
	if (id == 0) {
		snap_reader_leave(r);
		return RC_UNAVAILABLE;
	}
	rc = zone_db_state_get(r->db, r->txn[spare], &r->state);
	if (rc != RC_OK) {
		snap_reader_leave(r);
		r->id = 0;
		return rc == RC_NOT_FOUND ? RC_UNAVAILABLE : rc;
	}
	r->current = spare;
	r->id = id;
	r->open = true;
	*fresh = true;
	return RC_OK;
}

void snap_reader_leave(struct snap_reader *r)
{
	r->open = false;
	if (r->reading)
		atomic_store_explicit(r->reading, SNAP_IDLE, memory_order_release);
}
