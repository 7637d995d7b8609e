/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Inside worker.c and queue.c: names that are being asked for, and those that
 * will be again. All of it is guarded by the worker's lock. */

#include "asp/internal.h"

#define QUEUE_MAX 4096 /* names waiting at once; more are told to come again */
#define LATER_MAX 4096 /* names due to be renewed */

/* One name being asked for. Held by the queue or a thread, and by everyone who waits. */
struct asp_lookup {
	struct asp_lookup *next;
	unsigned refs;
	bool done;
	bool renewal;
	uint16_t type;
	uint32_t former_ttl_s; /* renewal: what the answer in use began with */
	uint64_t since_ms;
	uint64_t due_ms; /* in `later` */
	char name[ASP_NAME_TEXT];
	struct asp_waiter *waiters;
	struct asp_answer answer;
};

struct asp_queue {
	size_t n;
	struct asp_lookup *head; /* waiting, oldest first */
	struct asp_lookup **tail;
	struct asp_lookup *running[ASP_THREADS_MAX];
	struct asp_lookup *later; /* by due_ms */
	size_t n_later;
};

void asp__queue_init(struct asp_queue *q);
void asp__queue_fini(struct asp_queue *q);
void asp__lookup_unref(struct asp_lookup *l);
/* One look-up per name at a time. A fresh answer may share one that has not started yet. */
struct asp_lookup *asp__queue_find(
	struct asp_queue *q, const char *name, uint16_t type, bool fresh);
/* NULL when the queue is full or there is no memory. */
struct asp_lookup *asp__queue_add(
	struct asp_queue *q, const char *name, uint16_t type, uint64_t now_ms);
/* The oldest, for the thread `slot`; NULL without one. */
struct asp_lookup *asp__queue_take(struct asp_queue *q);
/* Asks for the name again at `due_ms`; forgotten when too many are noted. */
void asp__queue_later(struct asp_queue *q, const struct asp_lookup *l, uint64_t due_ms);
/* Moves what is due into the queue; the time of the next one, or UINT64_MAX. */
uint64_t asp__queue_due(struct asp_queue *q, uint64_t now_ms, uint64_t *moved);
