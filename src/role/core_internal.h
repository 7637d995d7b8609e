/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The core role: one event loop, the only writer of the database. A write request goes through
 *
 *	arrived -> (login certificate, password hash) -> batch -> keys -> transaction, COMMIT
 *		-> zone -> answer
 *
 * A transaction begins and commits within one turn of the loop, so a read never meets an
 * uncommitted state. While one batch is with keys or the zone, the next fills. */

#include "proc/frame.h"
#include "registry/registry.h"
#include "role/core.h"
#include "store/node.h"
#include "out.pb-c.h"
#include "zone.pb-c.h"

#include <event2/event.h>
#include <stdbool.h>
#include <stdint.h>

#define CORE_FRONTS_MAX	  8
#define CORE_REQUEST_MAX  (2u << 20)  /* one front's frame: 1,000 inventory rows fit */
#define CORE_ARENA_MAX	  (32u << 20) /* memory of one request */
#define CORE_QUEUE_MAX	  2048	      /* requests of one front that are under way */
#define CORE_BATCH_BYTES  (4u << 20)
#define CORE_AT_KEYS_MAX  1 /* batches there: the next one fills meanwhile */
#define CORE_AT_ZONE_MAX  3
#define CORE_TRIES_MAX	  2  /* of a transaction whose database connection was lost */
#define CORE_PACE_MS	  3  /* between transactions while others are under way ... */
#define CORE_PACE_ENOUGH  64 /* ... and fewer requests than this wait */
#define CORE_INSTALL_MS	  5  /* payloads gather this long: they follow the answer */
#define CORE_AGAIN_MAX	  5  /* rounds of one request whose plan did not fit */
#define CORE_KEYS_SLOTS	  1024
#define CORE_KEYS_WAIT_MS 10000
#define CORE_INSTALL_MAX  64 /* payloads with keys at a time */
#define CORE_WAIT_MAX_S	  60 /* long polls */
#define CORE_WAITERS_MAX  4096
#define CORE_PARTY_CACHE  256
#define CORE_TICK_MS	  250
#define CORE_LOOK_MS	  1000 /* for what other nodes put into the feeds */
#define CORE_ZONE_CHUNK	  2000
#define CORE_ZONE_QUEUE	  (8u << 20) /* bytes on the way to the zone */
#define CORE_KEEP_CHANGES 100000     /* below what the zone has applied */

struct core;

struct core_front {
	struct core *core;
	char name[32];
	enum registry_class class;
	struct link *link; /* NULL: gone */
	uint32_t generation;
	size_t under_way;
};

/* A batch's items share what keys made for them. */
struct core_batch {
	size_t refs;
	struct arena arena;
	struct core_item *items;
	struct core_item **items_end;
	size_t count;
	size_t orders;
};

struct core_item {
	struct core_item *next;
	struct core *core;
	struct core_front *front;
	uint32_t generation;
	struct arena arena;
	struct registry_run run;
	struct store_party caller;
	bool has_caller;
	size_t bytes;
	unsigned rounds;
	const Keys__CertOrder *ordered;
	struct registry_made made;
	struct core_batch *batch;
	uint64_t deadline_ms;
	/* login certificate and password, made before the batch */
	struct arena made_arena;
	bool wants_cert, wants_hash;
	char password[STORE_PASSWORD_MAX];
	/* core_results.c */
	struct core_item *whole; /* of which this is a part; NULL: none */
	size_t at;		 /* its place there */
	size_t parts;		 /* of this one, not answered yet */
};

/* NULL reply: keys is down or did not answer. The callee may take the arena's content by copying
 * it and leaving an empty one. */
typedef void core_keys_fn(
	struct core *core, const Keys__Reply *reply, struct arena *arena, void *user);

struct core_call {
	uint64_t id; /* 0: free */
	uint64_t deadline_ms;
	core_keys_fn *fn;
	void *user;
};

/* A secondary name server, as out saw it last. */
struct core_secondary {
	char name[32];
	bool seen;
	uint32_t serial, lag_ms;
	uint64_t silent_s;
};

struct core_desk;     /* core_jobs.c */
struct core_hasher;   /* core_prep.c */
struct core_installs; /* core_install.c */

/* Where several nodes share the database (core_node.c). */
struct core_node {
	bool on;
	bool removed; /* the database does not know us any more */
	const char *name;
	int64_t lease_ms;
	struct store_ear *ear;
	struct event *heard, *beat, *again, *load, *look;
	struct store_head head;	 /* as last seen */
	uint64_t token;		 /* of our lease; 0: somebody else signs */
	bool sign_sent;		 /* our zone signs */
	bool rebuild;		 /* ... what nobody has any more */
	uint32_t reserved;	 /* serial of a rebuild that is not the newest content yet */
	Zone__FromZone *pending; /* a delta or a serial that is not in the database yet */
	bool have;		 /* our zone has content */
	bool busy;		 /* it is writing what we sent */
	uint64_t place;		 /* of place_serial among the deltas */
	uint32_t place_serial;
	bool wants_image, loading, giving;
	uint32_t load_serial, load_part;
	uint64_t lonely_ms; /* since when nobody has the newest content */
	uint64_t beat_ms, tidied_ms;
	uint64_t keys_version; /* of the zone's keys that our `keys` has */
	bool keys_asked;       /* it seals or opens some */
	bool keys_dirty; /* the zone's keys have changed: nothing is stored before others have them
			  */
	uint64_t keys_print; /* of what the zone said of them last */
	uint64_t said_ms;    /* when the audit chain's end was signed last; 0: not yet */
	bool audit_asked;
	uint64_t anchored[STORE_NODES_MAX];	      /* prints of what is in our chain */
	uint64_t taken, fenced, deltas, beats_failed; /* counted */
};

struct core {
	struct core_options options;
	struct core_node node;
	struct event_base *base;
	const struct log *log;
	struct store *store;
	struct store_checkpointer *checkpointer;
	struct registry registry;

	struct core_front fronts[CORE_FRONTS_MAX];
	size_t front_count;

	/* requests on their way into a batch */
	struct core_item *queue;
	struct core_item **queue_end;
	size_t queue_count;
	uint64_t committed_ms; /* last transaction of a batch */
	size_t at_keys;	       /* batches */
	struct event *form;    /* at the end of this turn */

	/* committed, waiting for the zone; oldest first */
	struct core_item *serving;
	struct core_item **serving_end;
	struct event *overdue;

	struct link *keys;
	struct core_call calls[CORE_KEYS_SLOTS];
	uint64_t call_id;
	struct arena public_arena;
	struct registry_trust trust;
	Registry__CaData ca;

	struct {
		struct link *link;
		bool up;	      /* has said hello */
		Zone__KeyOrder order; /* the last one */
		bool order_open;      /* zone has not said that it is durable there */
		unsigned orders;
		bool snapshot;
		uint64_t sent;
		uint64_t applied;
		uint64_t served; /* applied, and at as many secondaries as publish_wait says */
		uint32_t serial;
		size_t batches;	   /* Apply frames not acknowledged */
		uint64_t acks[64]; /* their to_seq */
		uint64_t moved_ms; /* when it last acknowledged, or got the first of these */
		struct store *reader;
		int64_t page;
		uint64_t snapshot_seq;
		struct event *pump;
		bool has_waits;
		Zone__FromZone *keys; /* the last KeyStatus; NULL: none yet */
	} zone;

	struct {
		struct link *link;
		size_t count;
		struct core_secondary secondary[32];
		/* What answers wait for, oldest first: a change is served where this serial is. */
		size_t point_count;
		struct {
			uint64_t seq;
			uint32_t serial;
		} point[1024];
		uint32_t mark; /* above every serial that was used; 0: not read yet */
	} out;

	size_t tlsa_asked; /* questions with out */
	int64_t tlsa_since;
	uint64_t tlsa_ms;

	struct core_item *waiters;
	size_t waiter_count;
	bool shared; /* other nodes write the database too */
	uint64_t looked_ms;
	struct core_desk *desks;
	struct core_installs *installs;
	struct event *install; /* a little later */
	struct core_hasher *hasher;
	struct event *tick;
	uint64_t last_sweep_ms;
	struct {
		bool used;
		uint8_t spki[STORE_SHA256];
		struct store_party party;
	} party_cache[CORE_PARTY_CACHE];
	struct {
		uint64_t requests, refused, batches;
	} count;
};

uint64_t core__now_ms(const struct core *core);

/* ---- the links ---- */
enum rc core__front_link(struct core *core, const char *peer, int take_fd) ATT_MUST_CHECK;
enum rc core__keys_link(struct core *core, int take_fd) ATT_MUST_CHECK;
enum rc core__zone_link(struct core *core, int take_fd) ATT_MUST_CHECK;
/* Asks keys for its certificates and points. */
void core__public_ask(struct core *core);

/* ---- core_zonekeys.c ---- */
void core__keys_said(struct core *core, Zone__FromZone *take_message);
void core__keys_fill(struct core *core, struct core_item *item);
void core__keys_order(struct core *core, const Registry__ZoneKeyOrder *order);
void core__keys_order_again(struct core *core); /* zone is there again */

/* ---- core_front.c ---- */
void core__answer(struct core_item *item); /* sends and frees */
void core__item_free(struct core_item *item);

/* ---- core_results.c ---- */
void core__results(struct core *core, struct core_item *whole);
/* A part is done: its answer goes into that of the whole. Frees it. */
void core__result_part(struct core_item *part);

/* ---- core_batch.c ---- */
void core__enqueue(struct core *core, struct core_item *item);
void core__form_soon(struct core *core);
void core__served(struct core *core); /* the zone has applied more */
void core__overdue(evutil_socket_t fd, short what, void *user);
void core__form(evutil_socket_t fd, short what, void *user);
/* A transaction of the registry's own. */
typedef enum rc core_system_fn(struct registry_run *run, void *user);
enum rc core__system(struct core *core, core_system_fn *fn, void *user) ATT_MUST_CHECK;

/* ---- core_keys.c ---- */
/* False: keys is down; fn is not called. */
bool core__call_keys(struct core *core, Keys__Request *request, core_keys_fn *fn, void *user);
void core__calls_expire(struct core *core, uint64_t now_ms);

/* ---- core_zone.c ---- */
/* Changes of (from, last] have just been committed; `changes` NULL when they are not at hand. */
void core__zone_commit(struct core *core, uint64_t from, Zone__Change **changes, size_t n);
void core__zone_pump(evutil_socket_t fd, short what, void *user);
void core__zone_close(struct core *core);
/* More is served than before: answers go, pending ones are told. */
void core__zone_served(struct core *core);

/* ---- core_node.c ---- */
enum rc core__node_open(struct core *core, struct diag *d) ATT_MUST_CHECK;
enum rc core__node_start(struct core *core, struct diag *d) ATT_MUST_CHECK;
void core__node_close(struct core *core);
/* Whatever is next: sign, follow, copy, or wait. */
void core__node_step(struct core *core);
void core__node_hello(struct core *core, bool have);
void core__node_applied(struct core *core);
void core__node_zone_gone(struct core *core);
/* A delta, a serial, a part of an image from the zone: true when the message was taken. */
bool core__node_message(struct core *core, Zone__FromZone *take_message);
void core__node_metrics(struct core *core, core_metric_fn *put, void *to);
void core__node_keep(struct core *core); /* what waits for the database, or for keys */
/* ---- core_node_keys.c ---- */
void core__node_keys_said(struct core *core, const Zone__KeyStatus *s);
void core__node_seal(struct core *core);
/* Takes the newest keys; true when we have them. */
bool core__node_keys_ready(struct core *core);
/* ---- core_node_audit.c ---- */
void core__node_audit(struct core *core);

/* ---- core_out.c ---- */
enum rc core__out_link(struct core *core, int take_fd) ATT_MUST_CHECK;
void core__out_close(struct core *core);
/* zone.applied and zone.serial are known anew: sets zone.served. */
void core__zone_at(struct core *core);
uint32_t core__serial_mark(struct core *core);
void core__health_secondaries(
	const struct core *core, Registry__HealthData *h, struct arena *arena);
void core__metrics_secondaries(const struct core *core, core_metric_fn *put, void *to);

/* ---- core_wait.c, core_jobs.c ---- */
void core__wait(struct core *core, struct core_item *item);
void core__news(struct core *core, const struct registry_news *news);
/* core_tlsa.c */
void core__tlsa_tick(struct core *core);
void core__tlsa_found(struct core *core, const Out__FoundTlsa *m);
void core__tlsa_metrics(struct core *core, core_metric_fn *put, void *to);
void core__waiters_served(struct core *core); /* the zone has applied more */
void core__waiters_look(struct core *core);   /* others may have news */
void core__waiters_tick(struct core *core, uint64_t now_ms);
void core__waiters_drop(struct core *core, const struct core_front *front);
/* The client of a front's request has gone, or jobs reached nobody. */
void core__client_gone(struct core *core, struct core_item *item);
/* Fills the reply's job list with what may go to the caller now. */
enum rc core__jobs_hand_out(struct core *core, struct core_item *item) ATT_MUST_CHECK;
void core__job_news(struct core *core, const char *mno, int64_t job);
/* Forgets what an operator's gateway was handed: all that is open goes out again. */
void core__jobs_fresh(struct core *core, const char *mno);
/* Jobs whose gateway has been silent become ready again; true when there are any. */
bool core__jobs_tick(struct core *core, uint64_t now_ms);
void core__jobs_free(struct core *core);

/* ---- core_install.c ---- */
/* Payloads are due: soon. */
void core__install_kick(struct core *core);
void core__install(evutil_socket_t fd, short what, void *user);
void core__installs_free(struct core *core);

/* ---- core_prep.c ---- */
void core__prepare(struct core *core, struct core_item *item);
enum rc core__hasher_open(struct core *core, struct diag *d) ATT_MUST_CHECK;
enum rc core__hasher_start(struct core *core, struct diag *d) ATT_MUST_CHECK;
void core__hasher_close(struct core *core);
