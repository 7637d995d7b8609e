/* SPDX-License-Identifier: Apache-2.0 */
#include "asp/queue.h"

#include <stdlib.h>
#include <string.h>

void asp__queue_init(struct asp_queue *q)
{
	memset(q, 0, sizeof(*q));
	q->tail = &q->head;
}

void asp__lookup_unref(struct asp_lookup *l)
{
	if (--l->refs == 0)
		free(l);
}

void asp__queue_fini(struct asp_queue *q)
{
	while (q->head)
		asp__lookup_unref(asp__queue_take(q));
	while (q->later) {
		struct asp_lookup *l = q->later;

		q->later = l->next;
		free(l);
	}
}

static bool is(const struct asp_lookup *l, const char *name, uint16_t type)
{
	return l->type == type && strcmp(l->name, name) == 0;
}

struct asp_lookup *asp__queue_find(struct asp_queue *q, const char *name, uint16_t type, bool fresh)
{
	for (size_t i = 0; i < ASP_THREADS_MAX && !fresh; i++)
		if (q->running[i] && is(q->running[i], name, type))
			return q->running[i];
	for (struct asp_lookup *l = q->head; l; l = l->next)
		if (is(l, name, type))
			return l;
	return NULL;
}

static void append(struct asp_queue *q, struct asp_lookup *l, uint64_t now_ms)
{
	l->next = NULL;
	l->since_ms = now_ms;
	*q->tail = l;
	q->tail = &l->next;
	q->n++;
}

struct asp_lookup *asp__queue_add(
	struct asp_queue *q, const char *name, uint16_t type, uint64_t now_ms)
{
	size_t len = strlen(name);
	struct asp_lookup *l = NULL;

	if (q->n >= QUEUE_MAX || len >= sizeof(l->name))
		return NULL;
	l = calloc(1, sizeof(*l));
	if (!l)
		return NULL;
	memcpy(l->name, name, len + 1);
	l->type = type;
	l->refs = 1; /* the queue's */
	append(q, l, now_ms);
	return l;
}

struct asp_lookup *asp__queue_take(struct asp_queue *q)
{
	struct asp_lookup *l = q->head;

	if (!l)
		return NULL;
	q->head = l->next;
	if (!q->head)
		q->tail = &q->head;
	q->n--;
	l->next = NULL;
	return l;
}

void asp__queue_later(struct asp_queue *q, const struct asp_lookup *from, uint64_t due_ms)
{
	struct asp_lookup **at = &q->later, *l;

	if (q->n_later >= LATER_MAX)
		return;
	l = calloc(1, sizeof(*l));
	if (!l)
		return;
	memcpy(l->name, from->name, sizeof(l->name));
	l->type = from->type;
	l->refs = 1;
	l->due_ms = due_ms;
	while (*at && (*at)->due_ms <= due_ms)
		at = &(*at)->next;
	l->next = *at;
	*at = l;
	q->n_later++;
}

uint64_t asp__queue_due(struct asp_queue *q, uint64_t now_ms, uint64_t *moved)
{
	while (q->later && q->later->due_ms <= now_ms) {
		struct asp_lookup *l = q->later;

		q->later = l->next;
		q->n_later--;
		if (q->n >= QUEUE_MAX || asp__queue_find(q, l->name, l->type, false)) {
			free(l);
			continue;
		}
		append(q, l, now_ms);
		(*moved)++;
	}
	return q->later ? q->later->due_ms : UINT64_MAX;
}
