/* SPDX-License-Identifier: Apache-2.0 */
#include "store/engine.h"

#include <pthread.h>
#include <sqlite3.h>
#include <stdlib.h>

/* Wake at 4 MiB of log; SQLite's own default is 1,000 pages, but in the committing thread. */
#define WAKE_PAGES 1000
/* A busy writer appends while the thread copies, so the log never begins anew. Past this many
 * pages the writer itself copies what came meanwhile; a thread could wait for its lock for ever. */
#define FINISH_PAGES 4000

struct store_checkpointer {
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t wake;
	sqlite3 *db;
	bool busy; /* under the lock, as the next two */
	int pages; /* asked for and not yet begun */
	bool stop;
	int noted; /* the writer's only */
};

static void *run(void *user)
{
	struct store_checkpointer *c = user;

	pthread_mutex_lock(&c->lock);
	while (!c->stop) {
		int pages = c->pages;

		if (pages == 0) {
			pthread_cond_wait(&c->wake, &c->lock);
			continue;
		}
		c->pages = 0;
		c->busy = true;
		pthread_mutex_unlock(&c->lock);
		sqlite3_wal_checkpoint_v2(c->db, NULL, SQLITE_CHECKPOINT_PASSIVE, NULL, NULL);
		pthread_mutex_lock(&c->lock);
		c->busy = false;
	}
	pthread_mutex_unlock(&c->lock);
	return NULL;
}

enum rc store_checkpointer_start(const char *path, struct store_checkpointer **out, struct diag *d)
{
	struct store_checkpointer *c;

	if (store_is_url(path)) {
		*out = NULL;
		return RC_OK;
	}
	c = calloc(1, sizeof(*c));
	if (!c)
		return RC_NOMEM;
	pthread_mutex_init(&c->lock, NULL);
	pthread_cond_init(&c->wake, NULL);
	if (sqlite3_open_v2(path, &c->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL) !=
		SQLITE_OK) {
		diag_set(d, RC_IO, "database %s: cannot open for checkpoints", path);
		goto out;
	}
	sqlite3_busy_timeout(c->db, 1000);
	/* Until its first read a connection does not know that there is a log, and a checkpoint
	 * of its does nothing. */
	if (sqlite3_exec(c->db, "SELECT count(*) FROM counter", NULL, NULL, NULL) != SQLITE_OK) {
		diag_set(d, RC_IO, "database %s: %s", path, sqlite3_errmsg(c->db));
		goto out;
	}
	if (pthread_create(&c->thread, NULL, run, c) != 0) {
		diag_set(d, RC_UNAVAILABLE, "cannot start the checkpoint thread");
		goto out;
	}
	*out = c;
	return RC_OK;
out:
	sqlite3_close(c->db);
	pthread_cond_destroy(&c->wake);
	pthread_mutex_destroy(&c->lock);
	free(c);
	return RC_UNAVAILABLE;
}

void store_checkpointer_note(struct store_checkpointer *c, struct store *s)
{
	int pages = s->engine->wal_pages(s);
	bool finish;

	if (!c)
		return;
	if (pages < c->noted) /* the log began anew */
		c->noted = 0;
	if (pages < c->noted + WAKE_PAGES)
		return;
	pthread_mutex_lock(&c->lock);
	finish = pages > FINISH_PAGES && !c->busy && c->pages == 0;
	if (!finish && !c->busy) {
		c->noted = pages;
		c->pages = pages;
		pthread_cond_signal(&c->wake);
	}
	pthread_mutex_unlock(&c->lock);
	if (finish)
		s->engine->checkpoint(s);
}

void store_checkpointer_stop(struct store_checkpointer *c)
{
	if (!c)
		return;
	pthread_mutex_lock(&c->lock);
	c->stop = true;
	pthread_cond_signal(&c->wake);
	pthread_mutex_unlock(&c->lock);
	pthread_join(c->thread, NULL);
	sqlite3_close(c->db);
	pthread_cond_destroy(&c->wake);
	pthread_mutex_destroy(&c->lock);
	free(c);
}
