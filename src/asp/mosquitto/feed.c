/* SPDX-License-Identifier: Apache-2.0 */
#include "asp/mosquitto/plugin.h"

#include <stdlib.h>
#include <string.h>

#define NAMES_MAX 65536 /* more at once: all sessions are looked at */

enum rc heard_init(struct heard *h)
{
	return pthread_mutex_init(&h->lock, NULL) == 0 ? RC_OK : RC_NOMEM;
}

void heard_fini(struct heard *h)
{
	pthread_mutex_destroy(&h->lock);
	free(h->names);
}

/* With the lock held. */
static bool grow(struct heard *h)
{
	size_t cap = h->cap ? h->cap * 2 : 64;
	void *more;

	if (h->n < h->cap)
		return true;
	more = cap <= NAMES_MAX ? realloc(h->names, cap * sizeof(*h->names)) : NULL;
	if (!more)
		return false;
	h->names = more;
	h->cap = cap;
	return true;
}

void heard_add(enum attest_news what, const char *name, void *user)
{
	struct heard *h = user;
	size_t len = name ? strlen(name) : 0;

	if (name && what == ATTEST_NEWS_ACTIVATED)
		return; /* whoever has a session is told nothing new */
	pthread_mutex_lock(&h->lock);
	if (!name || len >= sizeof(*h->names) || !grow(h))
		h->all = true;
	else
		memcpy(h->names[h->n++], name, len + 1);
	pthread_mutex_unlock(&h->lock);
}

static int by_name(const void *a, const void *b)
{
	return strcmp(a, b);
}

void heard_apply(struct heard *h, struct sessions *s)
{
	struct heard mine;

	pthread_mutex_lock(&h->lock);
	mine = *h;
	h->all = false;
	h->n = h->cap = 0;
	h->names = NULL;
	pthread_mutex_unlock(&h->lock);
	if (mine.n == 0 && !mine.all)
		return;
	qsort(mine.names, mine.n, sizeof(*mine.names), by_name);
	for (size_t i = 0; i < s->buckets; i++)
		for (struct session *one = s->table[i]; one; one = one->next)
			if (mine.all || bsearch(one->name, mine.names, mine.n, sizeof(*mine.names),
						by_name))
				one->check_ms = 0;
	s->sweep = 0;
	free(mine.names);
}
