/* SPDX-License-Identifier: Apache-2.0 */
/* A new party's login certificate and password hash, made before its request joins a batch.
 * Argon2id takes tens of milliseconds: it has a thread of its own. */
#include "base/secret.h"
#include "role/core_internal.h"

#include <argon2.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* RFC 9106 section 4 with less memory and more passes, as OWASP's second choice: 19 MiB, 2. */
#define HASH_PASSES  2
#define HASH_KIB     19456
#define HASH_LEN     32
#define HASH_SALT    16
#define PASSWORD_MAX 64
#define TASKS_MAX    256 /* at 20 ms each, what a client would wait for */

struct task {
	struct task *next;
	struct core_item *item;
	char password[PASSWORD_MAX + 1]; /* to be kept; "" none */
	char offered[PASSWORD_MAX + 1];	 /* a login's, against `kept` */
	char kept[STORE_PASSWORD_MAX];	 /* "": no login */
	bool good;
	uint8_t salt[HASH_SALT];
	char encoded[STORE_PASSWORD_MAX];
	int rc; /* of making `encoded` */
};

struct core_hasher {
	pthread_t thread;
	bool running;
	pthread_mutex_t lock;
	pthread_cond_t wake;
	struct task *todo, *done;
	size_t waiting; /* the loop's: tasks that have not come back */
	bool stop;
	int pipe[2];
	struct event *event;
};

static void run_task(struct task *t)
{
	if (*t->kept)
		t->good = argon2id_verify(t->kept, t->offered, strlen(t->offered)) == ARGON2_OK;
	mem_wipe(t->offered, sizeof(t->offered));
	if (*t->password && (!*t->kept || t->good))
		t->rc = argon2id_hash_encoded(HASH_PASSES, HASH_KIB, 1, t->password,
			strlen(t->password), t->salt, sizeof(t->salt), HASH_LEN, t->encoded,
			sizeof(t->encoded));
	mem_wipe(t->password, sizeof(t->password));
}

static void *work(void *user)
{
	struct core_hasher *h = user;

	pthread_mutex_lock(&h->lock);
	while (!h->stop) {
		struct task *t = h->todo;

		if (!t) {
			pthread_cond_wait(&h->wake, &h->lock);
			continue;
		}
		h->todo = t->next;
		pthread_mutex_unlock(&h->lock);
		run_task(t);
		pthread_mutex_lock(&h->lock);
		t->next = h->done;
		h->done = t;
		/* A full pipe already says that there is something. */
		if (write(h->pipe[1], "", 1) < 0 && errno != EAGAIN)
			h->stop = true;
	}
	pthread_mutex_unlock(&h->lock);
	return NULL;
}

/* Goes on to a batch when nothing more is wanted. */
static void proceed(struct core_item *item)
{
	if (item->wants_cert || item->wants_hash)
		return;
	core__enqueue(item->core, item);
}

static void fail(struct core_item *item, const char *why)
{
	/* Executed all the same: it is refused there, once both parts have come back. */
	log_write(item->core->log, LOG_WARNING, "party not prepared why=\"%s\"", why);
}

static void on_hashed(evutil_socket_t fd, short what ATT_UNUSED, void *user)
{
	struct core *core = user;
	struct core_hasher *h = core->hasher;
	struct task *done;
	char drain[64];

	while (read(fd, drain, sizeof(drain)) > 0)
		;
	pthread_mutex_lock(&h->lock);
	done = h->done;
	h->done = NULL;
	pthread_mutex_unlock(&h->lock);
	while (done) {
		struct task *t = done;
		struct core_item *item = t->item;

		done = t->next;
		item->wants_hash = false;
		if (*t->kept) {
			item->made.login_checked = true;
			item->made.login_good = t->good;
		}
		if (t->rc == ARGON2_OK && *t->encoded) {
			memcpy(item->password, t->encoded, sizeof(item->password));
			item->made.password = item->password;
		} else if (t->rc != ARGON2_OK) {
			fail(item, argon2_error_message(t->rc));
		}
		free(t);
		h->waiting--;
		proceed(item);
	}
}

static bool hash(struct core *core, struct core_item *item, const char *password,
	const struct registry_login *login)
{
	struct core_hasher *h = core->hasher;
	struct task *t = calloc(1, sizeof(*t));
	const struct rng *rng = core->options.rng;

	if (!t || !h->running || h->waiting >= TASKS_MAX ||
		(password && strlen(password) > PASSWORD_MAX) ||
		(login && (strlen(login->password) > PASSWORD_MAX ||
				  strlen(login->encoded) >= sizeof(t->kept))) ||
		rng->fill(rng, t->salt, sizeof(t->salt)) != RC_OK) {
		free(t);
		return false;
	}
	t->item = item;
	h->waiting++;
	if (password)
		memcpy(t->password, password, strlen(password));
	if (login) {
		memcpy(t->offered, login->password, strlen(login->password));
		memcpy(t->kept, login->encoded, strlen(login->encoded));
	}
	pthread_mutex_lock(&h->lock);
	t->next = h->todo;
	h->todo = t;
	pthread_cond_signal(&h->wake);
	pthread_mutex_unlock(&h->lock);
	return true;
}

static void on_issued(
	struct core *core ATT_UNUSED, const Keys__Reply *reply, struct arena *arena, void *user)
{
	struct core_item *item = user;

	item->wants_cert = false;
	if (reply && reply->result_case == KEYS__REPLY__RESULT_ISSUED_PARTY) {
		arena_fini(&item->made_arena);
		item->made_arena = *arena;
		*arena = arena_init(0);
		item->made.party = reply->issued_party;
	} else {
		fail(item, "keys did not answer");
	}
	proceed(item);
}

/* A login waits for nothing but the thread. */
static void check_login(struct core *core, struct core_item *item)
{
	const struct registry_login *login = item->run.login_order;

	item->wants_hash = hash(core, item, login->new_password, login);
	if (item->wants_hash)
		return;
	registry_refuse(&item->run, REGISTRY__CODE__CODE_FAILED, "",
		"no password can be checked at the moment");
	core__answer(item);
}

void core__prepare(struct core *core, struct core_item *item)
{
	Keys__Request request = KEYS__REQUEST__INIT;
	const Keys__IssueParty *order = item->run.party_order;
	const char *password = item->run.password_order;

	if (++item->rounds > CORE_AGAIN_MAX) {
		registry_refuse(&item->run, REGISTRY__CODE__CODE_FAILED, "",
			"no login certificate can be made at the moment");
		core__answer(item);
		return;
	}
	if (item->run.login_order) {
		check_login(core, item);
		return;
	}
	if (password && !item->made.password && !hash(core, item, password, NULL)) {
		registry_refuse(&item->run, REGISTRY__CODE__CODE_FAILED, "",
			"the password cannot be kept at the moment");
		core__answer(item);
		return;
	}
	item->wants_hash = password && !item->made.password;
	item->wants_cert = true;
	request.op_case = KEYS__REQUEST__OP_ISSUE_PARTY;
	request.issue_party = (Keys__IssueParty *)(uintptr_t)order;
	if (core__call_keys(core, &request, on_issued, item))
		return;
	/* Nobody can make it: refused as soon as the thread lets go of the item. */
	item->wants_cert = false;
	item->rounds = CORE_AGAIN_MAX;
	if (item->wants_hash)
		return;
	registry_refuse(&item->run, REGISTRY__CODE__CODE_FAILED, "",
		"no login certificate can be made at the moment");
	core__answer(item);
}

enum rc core__hasher_open(struct core *core, struct diag *d)
{
	struct core_hasher *h = calloc(1, sizeof(*h));

	if (!h)
		return RC_NOMEM;
	core->hasher = h;
	pthread_mutex_init(&h->lock, NULL);
	pthread_cond_init(&h->wake, NULL);
	h->pipe[0] = -1;
	h->pipe[1] = -1;
	if (pipe2(h->pipe, O_CLOEXEC | O_NONBLOCK) != 0)
		return diag_errno(d, RC_IO, "pipe");
	h->event = event_new(core->base, h->pipe[0], EV_READ | EV_PERSIST, on_hashed, core);
	return h->event && event_add(h->event, NULL) == 0 ? RC_OK : RC_NOMEM;
}

enum rc core__hasher_start(struct core *core, struct diag *d)
{
	struct core_hasher *h = core->hasher;

	if (pthread_create(&h->thread, NULL, work, h) != 0)
		return diag_set(d, RC_UNAVAILABLE, "cannot start the password thread");
	h->running = true;
	return RC_OK;
}

static void free_tasks(struct task *t)
{
	while (t) {
		struct task *next = t->next;

		/* Back to the queue, which is emptied after us. */
		t->item->wants_hash = false;
		proceed(t->item);
		mem_wipe(t->password, sizeof(t->password));
		free(t);
		t = next;
	}
}

void core__hasher_close(struct core *core)
{
	struct core_hasher *h = core->hasher;

	if (!h)
		return;
	if (h->running) {
		pthread_mutex_lock(&h->lock);
		h->stop = true;
		pthread_cond_signal(&h->wake);
		pthread_mutex_unlock(&h->lock);
		pthread_join(h->thread, NULL);
	}
	if (h->event)
		event_free(h->event);
	if (h->pipe[0] >= 0) {
		close(h->pipe[0]);
		close(h->pipe[1]);
	}
	free_tasks(h->todo);
	free_tasks(h->done);
	pthread_cond_destroy(&h->wake);
	pthread_mutex_destroy(&h->lock);
	free(h);
	core->hasher = NULL;
}
