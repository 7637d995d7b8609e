/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Private to role zone: one object with the store, the links, and the one piece
 * of work that is under way. */

#include "proc/frame.h"
#include "role/role.h"
#include "zone/batch.h"
#include "zone/delta.h"
#include "zone/rebuild.h"
#include "zone/snap.h"
#include "zone/sweep.h"

#include "keys.pb-c.h"
#include "zone.pb-c.h"

struct zone_peer { /* a dns */
	struct zone_role *zone;
	unsigned slot;
	int fd; /* -1: none */
	struct event *event;
};

#define ZONE_KEY_TIMES 7u /* of KeyState */

/* A key of the zone, as keys says, and what was seen of it. Times in ms are monotonic; 0: not. */
struct zone_life {
	bool ksk, hold;
	uint16_t tag;
	uint8_t alg; /* its number */
	bool offline, token;
	unsigned state; /* Keys__ZoneKeyState */
	int64_t times[ZONE_KEY_TIMES];
	uint8_t ds[DS_LEN];
	uint64_t state_ms; /* since when this process has known it in this state */
	uint64_t there_ms; /* since when all the parent's servers give its DS */
	uint64_t gone_ms;  /* since when none does */
};

#define ZONE_ALG_PHASES 7u
/* Phases of AlgorithmRoll: enum ca_alg_phase, whose room zone does not include. */
enum zone_alg_phase {
	KEYS_ALG_NONE,
	KEYS_ALG_SIGNING,
	KEYS_ALG_PUBLISHED,
	KEYS_ALG_DS,
	KEYS_ALG_WITHDRAWING,
	KEYS_ALG_REMOVED,
	KEYS_ALG_CLEANING,
};

/* One algorithm replaces another (zone_algroll.c). */
struct zone_algroll {
	unsigned want; /* ordered: its number; 0: none */
	unsigned phase, from, to;
	int64_t times[ZONE_ALG_PHASES];
	char phase_text[16];
	uint64_t clean_ms; /* since when every name has what it shall; 0: not seen yet */
	const char *waits;
};

/* An off-line KSK's pre-signed sets. */
struct zone_presigned {
	bool offline;
	uint32_t next, end;
	uint64_t looked_ms;
	uint64_t said_ms;
	bool alarm;
};

/* Rollovers (zone_roll.c). Indexed by [ksk]. */
struct zone_roll {
	struct zone_life key[WORK_KEYS_MAX];
	unsigned keys;
	struct {
		bool go;	/* ordered */
		bool standby;	/* only up to ready */
		bool fast;	/* all signatures anew at full speed */
		bool confirmed; /* the parent was looked at by hand */
	} want[2];
	uint64_t order_id; /* of the last order that is durable */
	struct zone_algroll alg;
	struct zone_presigned presigned;
	bool asked_ksk;	     /* the kind of key of the last step */
	uint64_t refused_ms; /* keys refused a step: it is tried again later; 0: it did not */
	struct diag refused;
#define ZONE_NOTE_LEN 12
	uint8_t noted[ZONE_NOTE_LEN]; /* orders as they are durable */
	const char *waits[2];	      /* for what; "" when nothing is under way */
	bool served;		      /* the apex as the policy has it is served */
	bool committing;	      /* it is in the batch under way */
	uint64_t moved_ms;
	struct link *out;
	uint64_t parent_asked_ms;
	bool parent_asked;
	uint32_t parent_ttl; /* of its DS: the longest seen */
	int64_t wall_s;	     /* at the last tick */
	uint64_t wall_ms;
	uint64_t doubt_ms; /* until when both clocks count (zone_policy) */
	uint64_t hold_ms;  /* the clock jumped: nothing is removed before */
	uint64_t late_pass;
	uint64_t said_passes;
	bool said_jumped;
};

struct zone_follow; /* zone_follow.c */

/* What waits for signatures. */
enum zone_doing { DOING_NOTHING, DOING_BATCH, DOING_REBUILD };

/* Where several nodes share a database (zone_node.c). */
struct zone_node {
	bool on;
	bool will_sign; /* once keys has said what it has now */
	bool signs;	/* core says that we may */
	uint32_t floor; /* no serial up to it may be used */
	uint32_t waits; /* for core to keep this serial */
	bool kept;	/* it has */
	uint8_t *body;	/* of the delta that waits */
	MDB_txn *image; /* being given */
	struct zone_key after;
	uint32_t part, serial;
	uint32_t taking; /* serial of an image being taken; 0: none */
	uint32_t taken;	 /* its parts so far */
};

struct zone_role {
	struct role *role;
	struct zone_node node;
	struct zone_db *db;
	struct snap_writer *snaps;
	struct zone_peer peers[SNAP_SLOTS_MAX];
	unsigned slots;

	struct zone_follow *follow; /* this node is a secondary; else NULL */
	struct link *keys;
	struct link *core;
	uint64_t request; /* id of the last request to keys; an answer to another is stale */
	bool asked;	  /* an answer to it is awaited */

	struct zone_policy policy;
	bool have_policy;
	bool have;	      /* the store holds content of this policy */
	bool content;	      /* the store holds content, if of another policy: dns serves it */
	bool hello_due;	      /* core is to be told where we are */
	uint64_t applied_seq; /* durable */
	uint64_t taken_seq;   /* received from core: applied_seq, or more while work is queued */
	uint32_t serial;

	enum zone_doing doing;
	const struct work *work; /* of the batch or rebuild: what is to be signed */
	uint8_t *sigs;		 /* work->count signatures */
	size_t signed_count;
	struct work_tags tags;
	struct batch *batch;
	uint64_t batch_seq; /* 0: our own: a sweep */
	bool failed;	    /* core was told that keys does not sign */

	struct batch *next; /* gathers what core sends meanwhile */
	uint64_t next_seq;

	struct rebuild *rebuild;
	uint64_t rebuild_seq;
	bool rebuild_full;	       /* its content is complete: sign */
	unsigned long rebuild_seconds; /* since its progress was last said */

	bool store_damaged;    /* it was, at the start: it is built anew */
	bool store_failing;    /* the last write did not go through */
	uint64_t store_errors; /* writes that did not */

	struct sweep sweep;
	double look_budget; /* names that may still be looked at */
	uint64_t look_ms;   /* when it was last filled */
	struct zone_roll roll;
	struct event *tick;	      /* once a second */
	struct event *soon;	      /* retry, or go on sweeping */
	unsigned long secret_seconds; /* age of what all dns share */
	uint32_t told_serial;	      /* core knows it */
	bool tell_due;		      /* it is to be told what is applied, once all dns serve it */
	unsigned long guards_seconds; /* for how long guards have piled up */
};

/* zone.c */
/* Sends every dns the board anew. */
void zone__greet_again(struct zone_role *z);
/* Whether no dns answers any more from what a process before this one left it. */
bool zone__dns_attached(const struct zone_role *z);
/* zone_policy.c */
enum rc zone__policy_read(const struct config *config, const Keys__Public *pub,
	struct zone_policy *out, struct diag *d) ATT_MUST_CHECK;
/* zone_core.c */
void zone__core_link(struct zone_role *z, int take_fd);
void zone__say_hello(struct zone_role *z);
void zone__say_applied(struct zone_role *z, uint64_t seq);
void zone__say_failed(struct zone_role *z, const char *why);
/* zone_keys.c */
void zone__keys_link(struct zone_role *z, int take_fd);
void zone__ask_public(struct zone_role *z);
/* Asks keys for the next signatures of z->work. */
void zone__ask_signatures(struct zone_role *z);
/* Asks keys to make or move a key; the answer is a new policy. */
void zone__ask_move(struct zone_role *z, const Keys__MoveZoneKey *move);
/* zone_roll.c */
/* What keys says; `changed`: it makes another policy. */
void zone__roll_keys(struct zone_role *z, const Keys__Public *pub, bool changed);
void zone__roll_tick(struct zone_role *z);
void zone__roll_order(struct zone_role *z, const Zone__KeyOrder *order);
void zone__out_link(struct zone_role *z, int take_fd);
bool zone__clock_is_certain(const struct zone_role *z);
/* Seconds in which a pass over the zone shall end; 0: as fast as it can. */
uint32_t zone__pass_time(const struct zone_role *z);
int64_t zone__caches_s(const struct zone_role *z);
/* Whether the parent gives this key's DS (or does not any more) since long enough; asks it. */
bool zone__parent_is(struct zone_role *z, const struct zone_life *k, bool there);
/* Whether the configuration says whom to ask. */
bool zone__has_parent(const struct zone_role *z);
/* True when that much time has passed since a time that keys wrote down. */
bool zone__waited(const struct zone_role *z, int64_t since, uint64_t known_ms, int64_t need_s);
/* zone_algroll.c */
void zone__algroll_keys(struct zone_role *z, const Keys__Public *pub);
bool zone__algroll_step(struct zone_role *z); /* true when a step was taken */
/* zone_orders.c: orders survive this process. */
void zone__orders_load(struct zone_role *z);
void zone__orders_save(struct zone_role *z);		  /* when something changed */
uint64_t zone__orders_durable(const struct zone_role *z); /* id of the last one that is */
#define ZONE_ORDERS_MAX 8
size_t zone__orders_text(const struct zone_role *z, char *out[ZONE_ORDERS_MAX]);
/* zone_presigned.c */
void zone__presigned_keys(struct zone_role *z, const Keys__Public *pub);
void zone__presigned_tick(struct zone_role *z);
/* zone_roll_say.c */
void zone__say_keys(struct zone_role *z);
/* zone_node.c */
bool zone__may_sign(const struct zone_role *z);
bool zone__node_policy(struct zone_role *z); /* keys has said what it has; true: now we sign */
/* True: the batch, or the rebuild, waits until core has kept it; false: go on and write it. */
bool zone__keep_batch(struct zone_role *z);
bool zone__keep_rebuild(struct zone_role *z);
enum rc zone__node_message(struct zone_role *z, const Zone__ToZone *m, struct diag *d);
void zone__node_drop(struct zone_role *z); /* nothing waits any more */
void zone__node_close(struct zone_role *z);
/* zone_core.c, zone_work.c */
void zone__written(struct zone_role *z); /* core has kept what waited: write it */
void zone__send_core(struct zone_role *z, Zone__FromZone *m);
void zone__infra(struct zone_role *z);	/* commits the apex as the policy has it, if it can */
void zone__go_on(struct zone_role *z);	/* starts whatever is next, if nothing is under way */
void zone__signed(struct zone_role *z); /* all signatures of z->work are there */
void zone__refused(struct zone_role *z, const char *why);
void zone__new_policy(struct zone_role *z);
void zone__drop_work(struct zone_role *z);
/* A write went through, or did not: full disk, full map, read-only disk. */
uint64_t zone__free_bytes(const struct zone_role *z); /* of the store's disk */
void zone__wrote(struct zone_role *z, bool good);
void zone__soon(struct zone_role *z, unsigned ms);
void zone__tick(struct zone_role *z);  /* once a second */
void zone__again(struct zone_role *z); /* after zone__soon */
/* What the store holds; all zero when that is nothing. */
struct zone_state zone__state(const struct zone_role *z);
/* zone_follow.c */
enum rc zone__follow_open(struct zone_role *z);
void zone__follow_look(struct zone_role *z); /* the primary has something newer */
void zone__follow_tick(struct zone_role *z);
void zone__follow_metrics(const struct zone_role *z, struct role_metrics *m);
void zone__follow_close(struct zone_role *z);
