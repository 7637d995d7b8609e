/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Inside role `keys`: requests become jobs of independent items; a pool of
 * threads computes the items, one more thread puts finished certificates into
 * issued.log, the event loop answers. Answers leave each link in the order of
 * its requests. */

#include "ca/keyring.h"
#include "keys.pb-c.h"
#include "proc/frame.h"
#include "role/role.h"

#define KEYS_ORDERS_MAX	 4096	/* of one IssueDevice: 10 MiB of results */
#define KEYS_RRSETS_MAX	 262144 /* of one SignRrsets: what a frame can carry */
#define KEYS_JOBS_MAX	 256	/* of one link, unanswered; then it is not read on */
#define KEYS_THREADS_MAX 64

enum keys_peer { KEYS_CORE = 1 << 0, KEYS_ZONE = 1 << 1 };

struct keys_job;
struct keys_pool;

/* How one operation is done. */
struct keys_op {
	Keys__Request__OpCase which;
	const char *name;
	unsigned peers; /* enum keys_peer: who may ask */
	bool logged;	/* its certificates go to issued.log before the answer */
	/* Checks bounds, sets job->count and allocates job->results. NULL: one item, nothing else.
	 */
	enum rc (*prepare)(struct keys_job *job, struct diag *d);
	/* One item; any thread. What an item refuses goes into its result. */
	void (*run)(struct keys_job *job, size_t item, struct ca_crypt *x);
	/* The entries of what was issued, into a list of job->count; their number. */
	size_t (*entries)(struct keys_job *job, const struct ca_issued_entry **list);
	/* Puts the result into `reply` and sends it. */
	enum rc (*send)(struct keys_job *job, Keys__Reply *reply, struct link *link);
};

/* The zone's keys as they are now; moved on in the event loop only. */
struct keys_zone {
	struct ca_zone_keys *now;
	const char *folder, *name;
	const char *node;	/* this node's name; "": there are no nodes */
	struct ca_key node_key; /* with a name only */
	uint64_t version;	/* of the keys, among several nodes */
	const struct log *log;
};

struct keys_job {
	const struct keys_op *op;
	const struct ca_keyring *ring;
	struct keys_zone *zone;
	struct ca_zone_keys *zone_keys; /* as they were when it was asked; a reference */
	int64_t now;
	Keys__Request *request; /* owned */
	void *results;		/* owned; the operation's own */
	size_t count;		/* items */
	/* Below: the pool's, under its lock. */
	size_t next, finished;
	struct keys_job *queue_next;
	/* Below: the event loop's. */
	struct keys_link *link; /* NULL: it is gone */
	struct keys_job *link_next;
	bool done;
	enum rc rc; /* of the request as a whole */
	struct diag why;
};

const struct keys_op *keys_op_find(Keys__Request__OpCase which);
void keys_job_free(struct keys_job *job);
extern const struct keys_op keys_op_sign_payload;		       /* keys_payload.c */
extern const struct keys_op keys_op_get_public, keys_op_move_zone_key; /* keys_public.c */
/* keys_node.c */
extern const struct keys_op keys_op_seal_zone_keys, keys_op_open_zone_keys, keys_op_sign_head;
enum rc keys_node_open(struct keys_zone *z, const char *node, struct diag *d) ATT_MUST_CHECK;
/* keys_public.c */
enum rc keys_send_public(
	struct keys_job *job, Keys__Reply *reply, struct link *link) ATT_MUST_CHECK;

/* `on_done` is called in the event loop for each finished job; `on_fatal` when issued.log cannot be
 * written: the process must end. Contexts are made here, threads by keys_pool_start. */
struct keys_pool_opts {
	struct event_base *base;
	unsigned threads; /* 0: one per core */
	struct ca_issued *issued;
	void (*on_done)(struct keys_job *job, void *user);
	void (*on_drop)(struct keys_job *job, void *user); /* unfinished, from keys_pool_free */
	void (*on_fatal)(const char *why, void *user);
	void *user;
};
enum rc keys_pool_new(
	struct keys_pool **out, const struct keys_pool_opts *opts, struct diag *d) ATT_MUST_CHECK;
enum rc keys_pool_start(struct keys_pool *pool, struct diag *d) ATT_MUST_CHECK;
/* A few items are done at once when nothing waits, which spares two thread switches; on_done is
 * then called before this returns unless the job is logged. */
void keys_pool_submit(struct keys_pool *pool, struct keys_job *job);
/* Waits for the threads; jobs that were not answered are dropped. */
void keys_pool_free(struct keys_pool *pool);
