/* SPDX-License-Identifier: Apache-2.0 */
#include "zone/snap.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/rand.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

/* Guards wait in a ring, oldest first. When it is full the newest commit simply goes unguarded:
 * the floor stays where it is, so no page is reused too early, only more of the file is kept. */
#define GUARDS_MAX 64u

#define PAGE 4096

struct guard {
	MDB_txn *txn;
	uint64_t id;
};

struct shared {
	int fd;
	void *mem;
};

struct snap_writer {
	struct zone_db *db;
	struct shared board;
	int board_ro_fd; /* what dns gets: cannot be mapped for writing */
	unsigned slots;
	struct shared slot[SNAP_SLOTS_MAX];
	struct guard guard[GUARDS_MAX];
	unsigned first;
	unsigned count;
};

static struct snap_board *board_of(const struct snap_writer *w)
{
	return w->board.mem;
}

static struct snap_slot *slot_of(const struct snap_writer *w, unsigned i)
{
	return w->slot[i].mem;
}

/* A page that nobody can shrink under us (a shrunk mapping would kill the other side). */
static enum rc shared_make(struct shared *s, const char *name, struct diag *d)
{
	s->fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (s->fd < 0 || ftruncate(s->fd, PAGE) != 0 ||
		fcntl(s->fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) != 0)
		return diag_errno(d, RC_IO, "zone snapshots: memfd");
	s->mem = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, s->fd, 0);
	if (s->mem == MAP_FAILED) {
		s->mem = NULL;
		return diag_errno(d, RC_NOMEM, "zone snapshots: mmap");
	}
	return RC_OK;
}

static void shared_drop(struct shared *s)
{
	if (s->mem)
		munmap(s->mem, PAGE);
	if (s->fd >= 0)
		close(s->fd);
}

static enum rc guard_push(struct snap_writer *w, uint64_t *id)
{
	struct guard *g = &w->guard[(w->first + w->count) % GUARDS_MAX];

	if (mdb_txn_begin(w->db->env, NULL, MDB_RDONLY, &g->txn))
		return RC_IO;
	g->id = mdb_txn_id(g->txn);
	*id = g->id;
	w->count++;
	return RC_OK;
}

static void guard_pop(struct snap_writer *w)
{
	mdb_txn_abort(w->guard[w->first].txn);
	w->first = (w->first + 1) % GUARDS_MAX;
	w->count--;
}

enum rc snap_writer_new(
	struct zone_db *db, unsigned slots, struct snap_writer **out, struct diag *d)
{
	struct snap_writer *w = calloc(1, sizeof(*w));
	char path[64];
	uint64_t id;
	enum rc rc;

	if (!w)
		return RC_NOMEM;
	w->db = db;
	w->board.fd = w->board_ro_fd = -1;
	for (unsigned i = 0; i < SNAP_SLOTS_MAX; i++)
		w->slot[i].fd = -1;
	rc = slots == 0 || slots > SNAP_SLOTS_MAX ? RC_RANGE : RC_OK;
	if (rc == RC_OK)
		rc = shared_make(&w->board, "zone-board", d);
	for (unsigned i = 0; rc == RC_OK && i < slots; i++) {
		rc = shared_make(&w->slot[i], "zone-slot", d);
		/* Until its dns has attached, it may be reading under a board that a dead process
		 * of ours left it: nothing is let go of before. */
		if (rc == RC_OK)
			atomic_store(&slot_of(w, i)->reading, 0);
		if (rc == RC_OK)
			atomic_store(&slot_of(w, i)->copying, SNAP_IDLE);
	}
	w->slots = slots;
	if (rc == RC_OK) {
		snprintf(path, sizeof(path), "/proc/self/fd/%d", w->board.fd);
		w->board_ro_fd = open(path, O_RDONLY | O_CLOEXEC);
		if (w->board_ro_fd < 0)
			rc = diag_errno(d, RC_IO, "zone snapshots: %s", path);
	}
	/* Both, so that the one before is not a known one. */
	for (int i = 0; rc == RC_OK && i < 2; i++)
		rc = snap_writer_secret(w);
	if (rc == RC_OK)
		rc = guard_push(w, &id);
	if (rc == RC_OK) {
		atomic_store(&board_of(w)->floor, id);
		atomic_store(&board_of(w)->committed, id);
		*out = w;
		return RC_OK;
	}
	snap_writer_free(w);
	return rc;
}

void snap_writer_free(struct snap_writer *w)
{
	if (!w)
		return;
	while (w->count > 0)
		guard_pop(w);
	for (unsigned i = 0; i < SNAP_SLOTS_MAX; i++)
		shared_drop(&w->slot[i]);
	if (w->board_ro_fd >= 0)
		close(w->board_ro_fd);
	shared_drop(&w->board);
	free(w);
}

/* The oldest transaction that some dns reads. */
static uint64_t oldest_reading(const struct snap_writer *w, unsigned *slot)
{
	uint64_t oldest = SNAP_IDLE;

	for (unsigned i = 0; i < w->slots; i++) {
		uint64_t r = atomic_load(&slot_of(w, i)->reading);
		uint64_t c = atomic_load(&slot_of(w, i)->copying);

		r = c < r ? c : r;
		if (r < oldest) {
			oldest = r;
			*slot = i;
		}
	}
	return oldest;
}

void snap_writer_trim(struct snap_writer *w)
{
	uint64_t newest = w->guard[(w->first + w->count - 1) % GUARDS_MAX].id;
	uint64_t oldest;
	unsigned slot;

	/* From now on nobody may enter below the newest guard; who entered before is seen. */
	atomic_store(&board_of(w)->floor, newest);
	oldest = oldest_reading(w, &slot);
	while (w->count > 1 && w->guard[(w->first + 1) % GUARDS_MAX].id <= oldest)
		guard_pop(w);
}

enum rc snap_writer_publish(struct snap_writer *w)
{
	uint64_t id;

	if (w->count == GUARDS_MAX) {
		snap_writer_trim(w);
		if (w->count == GUARDS_MAX) {
			/* Someone is stuck on the oldest: give up the newest guard's place,
			 * which only keeps more pages than needed. */
			w->count--;
			mdb_txn_abort(w->guard[(w->first + w->count) % GUARDS_MAX].txn);
		}
	}
	if (guard_push(w, &id) != RC_OK)
		return RC_IO;
	atomic_store(&board_of(w)->committed, id);
	snap_writer_trim(w);
	return RC_OK;
}

void snap_writer_expire(struct snap_writer *w, bool expired)
{
	atomic_store(&board_of(w)->expired, expired);
}

enum rc snap_writer_secret(struct snap_writer *w)
{
	struct snap_board *b = board_of(w);
	uint32_t next = (atomic_load(&b->secret_at) + 1) % SNAP_SECRETS;

	if (RAND_bytes(b->secret[next], SNAP_SECRET_LEN) != 1)
		return RC_CRYPTO;
	atomic_store(&b->secret_at, next);
	return RC_OK;
}

void snap_writer_release(struct snap_writer *w, unsigned slot)
{
	if (slot >= w->slots)
		return;
	atomic_store(&slot_of(w, slot)->reading, SNAP_IDLE);
	atomic_store(&slot_of(w, slot)->copying, SNAP_IDLE);
	snap_writer_trim(w);
}

unsigned snap_writer_guards(const struct snap_writer *w, unsigned *slot)
{
	*slot = 0;
	oldest_reading(w, slot);
	return w->count;
}

bool snap_writer_attached(const struct snap_writer *w, unsigned slot)
{
	return slot < w->slots && atomic_load(&slot_of(w, slot)->reading) != 0;
}

enum rc snap_writer_greet(struct snap_writer *w, unsigned slot, int fd)
{
	union {
		struct cmsghdr head;
		char room[CMSG_SPACE(2 * sizeof(int))];
	} control = { 0 };
	char hello[] = "SNAP";
	struct iovec iov = { hello, 4 };
	struct msghdr m = { .msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = sizeof(control.room) };
	struct cmsghdr *c = CMSG_FIRSTHDR(&m);
	int fds[2];

	if (slot >= w->slots)
		return RC_RANGE;
	/* Until it has attached, it may be reading under a board that a dead process of ours left
	 * it: nothing is let go of before. */
	atomic_store(&slot_of(w, slot)->reading, 0);
	fds[0] = w->board_ro_fd;
	fds[1] = w->slot[slot].fd;
	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(sizeof(fds));
	memcpy(CMSG_DATA(c), fds, sizeof(fds));
	return sendmsg(fd, &m, MSG_NOSIGNAL) == 4 ? RC_OK : RC_IO;
}
