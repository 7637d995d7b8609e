/* SPDX-License-Identifier: Apache-2.0 */
#include "zone/check.h"

#include "zone/db.h"
#include "zone/journal.h"
#include "zone/rec.h"

#include "base/str.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* All of a small zone, a part of a large one: a start must not wait for it. */
#define WALK_MS	   60
#define WALK_LOOK  64u
#define LAST_MS	   1000 /* and what the last change wrote, on a slow disk */
#define SERIALS	   64u
#define NAMES	   4096u
#define CPU_S	   5 /* a child that reads garbage in circles */
#define EXIT_FOUND 2

enum finding {
	FINE,
	UNREADABLE,
	NO_STATE,
	NO_APEX,
	BAD_FREE_LIST,
	BAD_RECORD,
	BAD_ORDER,
	NOT_AS_WRITTEN,
	FINDINGS
};

static const char *const finding_text[FINDINGS] = {
	[UNREADABLE] = "pages cannot be read",
	[NO_STATE] = "its state is malformed, or another version's",
	[NO_APEX] = "its apex and its serial disagree",
	[BAD_FREE_LIST] = "its list of free pages is malformed",
	[BAD_RECORD] = "a record is malformed",
	[BAD_ORDER] = "names are out of order",
	[NOT_AS_WRITTEN] = "a name is not what was written last",
};

static uint64_t now_ms(void)
{
	struct timespec t = { 0 };

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000u + (uint64_t)t.tv_nsec / 1000000u;
}

struct check {
	struct zone_db *db;
	MDB_txn *txn;
	uint64_t end_ms;
	struct zone_state state;
	enum finding found;
	unsigned seen_count;
	struct zone_key seen[NAMES]; /* of later serials */
};

static void look_at_apex(struct check *c)
{
	MDB_val k = { 1, (void *)(uintptr_t) "" };
	struct rec_view view;
	struct rec_iter it;
	MDB_val v;

	c->found = NO_APEX;
	if (mdb_get(c->txn, c->db->names[c->state.active], &k, &v) != 0 ||
		!rec_is_sane(v.mv_data, v.mv_size))
		return;
	it = rec_iter_init(v.mv_data, v.mv_size);
	while (rec_iter_next(&it, &view)) {
		size_t len = view.count ? rec_get16(view.rdata) : 0;

		if (view.type == RR_SOA && len > 20 &&
			rec_get32(view.rdata + 2 + len - 20) == c->state.serial)
			c->found = FINE;
	}
}

/* LMDB's own table: transaction -> how many pages it freed, and which, descending. */
#define FREE_LIST 0u

static enum finding look_at_free(const MDB_val *k, const MDB_val *v, uint64_t last_page)
{
	size_t count = 0, page = 0, before = 0;

	if (k->mv_size != sizeof(size_t) || v->mv_size < sizeof(size_t))
		return BAD_FREE_LIST;
	memcpy(&count, v->mv_data, sizeof(count));
	if (count > v->mv_size / sizeof(size_t) - 1)
		return BAD_FREE_LIST;
	for (size_t i = 1; i <= count; i++, before = page) {
		memcpy(&page, (const size_t *)v->mv_data + i, sizeof(page));
		if (page < 2 || page > last_page || (i > 1 && page >= before))
			return BAD_FREE_LIST;
	}
	return FINE;
}

static enum finding look_at_name(const MDB_val *k, const MDB_val *v, struct zone_key *last)
{
	if (k->mv_size == 0 || k->mv_size > ZONE_KEY_MAX ||
		(last->len && zone_key_cmp(k->mv_data, k->mv_size, last->bytes, last->len) <= 0))
		return BAD_ORDER;
	if (!rec_is_sane(v->mv_data, v->mv_size))
		return BAD_RECORD;
	last->len = (uint16_t)k->mv_size;
	memcpy(last->bytes, k->mv_data, last->len);
	return FINE;
}

static void walk(struct check *c, MDB_dbi table)
{
	struct zone_key last = { 0 };
	MDB_cursor *cursor = NULL;
	MDB_envinfo info = { 0 };
	MDB_val k, v;
	int e = mdb_cursor_open(c->txn, table, &cursor);

	(void)mdb_env_info(c->db->env, &info);
	for (unsigned i = 1; c->found == FINE && e == 0; i++) {
		e = mdb_cursor_get(cursor, &k, &v, MDB_NEXT);
		if (e != 0 || (i % WALK_LOOK == 0 && now_ms() > c->end_ms))
			break;
		if (table == FREE_LIST)
			c->found = look_at_free(&k, &v, info.me_last_pgno);
		else if (table == c->db->names[c->state.active])
			c->found = look_at_name(&k, &v, &last);
	}
	if (c->found == FINE && e != 0 && e != MDB_NOTFOUND)
		c->found = UNREADABLE;
	if (cursor)
		mdb_cursor_close(cursor);
}

static bool was_seen(const struct check *c, const struct journal_item *item)
{
	for (unsigned i = 0; i < c->seen_count; i++)
		if (zone_key_cmp(item->key, item->key_len, c->seen[i].bytes, c->seen[i].len) == 0)
			return true;
	return false;
}

static enum rc compare(const struct journal_item *item, void *user)
{
	struct check *c = user;
	MDB_val k = { item->key_len, (void *)(uintptr_t)item->key };
	MDB_val v = { 0 };
	struct zone_key *note;
	int e;

	if (c->seen_count == NAMES || now_ms() > c->end_ms + LAST_MS)
		return RC_TOO_LARGE;
	if (was_seen(c, item))
		return RC_OK;
	if (item->key_len == 0 || item->key_len > ZONE_KEY_MAX)
		return RC_MALFORMED;
	note = &c->seen[c->seen_count++];
	note->len = item->key_len;
	memcpy(note->bytes, item->key, item->key_len);
	e = mdb_get(c->txn, c->db->names[c->state.active], &k, &v);
	if (e == MDB_NOTFOUND ? item->new != NULL
			      : e != 0 || v.mv_size != item->new_len ||
					memcmp(v.mv_data, item->new, item->new_len) != 0)
		c->found = NOT_AS_WRITTEN;
	return c->found == FINE ? RC_OK : RC_STATE;
}

/* From the newest serial back, each name once. The newest is looked at whole. */
static void compare_last(struct check *c)
{
	struct journal_span span;
	enum rc rc = journal_span(c->db, c->txn, &span);

	if (rc == RC_NOT_FOUND)
		return;
	if (rc != RC_OK || span.last != c->state.serial) {
		c->found = rc != RC_OK ? UNREADABLE : NO_STATE;
		return;
	}
	for (uint32_t i = 0; rc == RC_OK && i < SERIALS && i <= span.last - span.first &&
			     (i == 0 || now_ms() < c->end_ms);
		i++)
		rc = journal_each(c->db, c->txn, span.last - i, compare, c);
	if (c->found == FINE && rc != RC_OK && rc != RC_TOO_LARGE)
		c->found = UNREADABLE;
}

static bool is_there(const char *dir)
{
	struct stat st;
	char path[4096];

	return str_format(path, sizeof(path), "%s/data.mdb", dir) == RC_OK &&
	       stat(path, &st) == 0 && st.st_size > 0;
}

static enum finding look(const char *dir, size_t map)
{
	struct check *c = is_there(dir) ? calloc(1, sizeof(*c)) : NULL;
	enum rc rc;

	if (!c)
		return FINE;
	c->end_ms = now_ms() + WALK_MS;
	rc = zone_db_open(dir, ZONE_DB_SERVE, map, &c->db, NULL);
	/* No memory, no right: whoever opens it next says so. */
	if (rc != RC_OK)
		return rc == RC_MALFORMED || rc == RC_NOT_FOUND ? UNREADABLE : FINE;
	if (mdb_txn_begin(c->db->env, NULL, MDB_RDONLY, &c->txn) != 0)
		return FINE;
	rc = zone_db_state_get(c->db, c->txn, &c->state);
	/* It was being made for the first time, and is made again. */
	if (rc == RC_NOT_FOUND || (rc == RC_OK && !c->state.have))
		return FINE;
	if (rc != RC_OK)
		return NO_STATE;
	look_at_apex(c);
	if (c->found == FINE)
		compare_last(c);
	walk(c, FREE_LIST);
	walk(c, c->db->names[c->state.active]);
	walk(c, c->db->journal);
	walk(c, c->db->due);
	return c->found;
}

/* What ends a process that follows garbage; anything else says nothing of the store. */
static bool is_damage(int sig)
{
	return sig == SIGSEGV || sig == SIGBUS || sig == SIGABRT || sig == SIGFPE || sig == SIGXCPU;
}

/* Whatever the pages lead it to: it ends alone and in silence. */
ATT_NORETURN static void child(const char *dir, size_t map)
{
	static const int sigs[] = { SIGSEGV, SIGBUS, SIGABRT, SIGFPE };
	struct rlimit none = { 0, 0 };
	struct rlimit cpu = { CPU_S, CPU_S + 1 };

	(void)setrlimit(RLIMIT_CORE, &none);
	(void)setrlimit(RLIMIT_CPU, &cpu);
	for (size_t i = 0; i < ARRAY_LEN(sigs); i++)
		(void)signal(sigs[i], SIG_DFL);
	(void)close(STDERR_FILENO);
	_exit(EXIT_FOUND + (int)look(dir, map));
}

enum rc zone_check(const char *dir, size_t map, struct diag *d)
{
	int status = 0;
	pid_t pid = fork();

	if (pid == 0)
		child(dir, map);
	if (pid < 0 || waitpid(pid, &status, 0) < 0)
		return diag_errno(d, RC_IO, "%s: cannot be looked at", dir);
	if (WIFSIGNALED(status) && is_damage(WTERMSIG(status)))
		return diag_set(d, RC_MALFORMED, "%s: reading it ended with signal %d", dir,
			WTERMSIG(status));
	status = WIFEXITED(status) ? WEXITSTATUS(status) - EXIT_FOUND : FINE;
	if (status > FINE && status < FINDINGS)
		return diag_set(d, RC_MALFORMED, "%s: %s", dir, finding_text[status]);
	return RC_OK;
}

enum rc zone_check_set_aside(const char *dir, struct diag *d)
{
	char from[4096], to[4096];
	enum rc rc = str_format(from, sizeof(from), "%s/data.mdb", dir);

	if (rc == RC_OK)
		rc = str_format(to, sizeof(to), "%s/data.mdb.damaged", dir);
	if (rc == RC_OK && rename(from, to) != 0)
		rc = diag_errno(d, RC_IO, "%s", from);
	return rc;
}
