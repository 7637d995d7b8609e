/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Several nodes on one PostgreSQL database: who may sign (a lease with a fencing token), the
 * signed zone as deltas and images, and the nodes themselves. All times are the database's: a
 * node's own clock decides nothing here. RC_UNSUPPORTED: the store is SQLite.
 *
 * What keeps two signers apart is not the lease's time but the statement that stores a delta: it
 * takes the next place only for the token that is valid at that moment, only after the serial
 * that is the newest, and a serial once only. */

#include "store/store.h"

#define STORE_NODE_MAX	  33 /* a node's name, 1-32 characters with the NUL */
#define STORE_NODES_MAX	  32
#define STORE_POINT_LEN	  65
#define STORE_IMAGE_PART  (512u << 10)
#define STORE_DELTAS_KEEP 4096

/* This process is the node `name`: its rows go to its own audit chain, and the others hear of every
 * commit. */
enum rc store_node_set(struct store *s, const char *name) ATT_MUST_CHECK;

/* The newest signed content, and who may add to it. */
struct store_head {
	char holder[STORE_NODE_MAX];
	uint64_t token;
	int64_t left_ms; /* of the lease */
	uint32_t serial;
	uint32_t reserved; /* the newest serial that anybody may have used */
	uint64_t seq;	   /* every change up to here is in it */
	uint64_t n;
	uint64_t keys_version;
	/* of a heartbeat only: */
	bool known;	  /* there is such a node */
	uint32_t abreast; /* other nodes that live and have the newest serial */
	uint32_t wanting; /* other nodes that live and want an image */
	uint32_t keyless; /* nodes without the newest keys of the zone */
};

/* What a node says of itself. */
struct store_beat {
	const char *name;
	uint32_t serial;
	uint64_t seq;
	bool wants_image;
	int64_t now_ms; /* by the node's clock */
	uint64_t keys_version;
	int64_t alive_ms; /* others that were silent for longer do not live */
};

/* Also brings store_change_last up to date. */
enum rc store_head_get(struct store *s, struct store_head *out) ATT_MUST_CHECK;
enum rc store_beat(
	struct store *s, const struct store_beat *b, struct store_head *out) ATT_MUST_CHECK;

/* Takes the lease when it is free, or goes on with it. `token`: the one held so far, 0: none.
 * RC_CONFLICT: somebody else has it. */
enum rc store_lease_take(struct store *s, const char *name, uint64_t token, int64_t ms,
	uint64_t *out) ATT_MUST_CHECK;
enum rc store_lease_leave(struct store *s, const char *name, uint64_t token) ATT_MUST_CHECK;

struct store_delta {
	uint64_t n;
	uint32_t serial, prev;
	uint64_t seq;
	bool whole;
	struct store_blob body;
};
/* Stores what the holder of `token` has signed and goes on with the lease. RC_CONFLICT: fenced, it
 * is not the holder any more, or `prev` is not the newest serial; nothing is stored. After a lost
 * connection the same may be asked again: what was stored is found. */
enum rc store_delta_add(struct store *s, const char *name, uint64_t token, int64_t lease_ms,
	struct store_delta *d) ATT_MUST_CHECK;
/* `serial` is for the holder alone from now on; `was`: what was reserved before. RC_CONFLICT. */
enum rc store_serial_reserve(struct store *s, const char *name, uint64_t token, uint32_t was,
	uint32_t serial) ATT_MUST_CHECK;
/* The reserved serial is the newest, and no delta leads to it. RC_CONFLICT. */
enum rc store_whole_add(struct store *s, const char *name, uint64_t token,
	const struct store_delta *d) ATT_MUST_CHECK;
/* Deltas after `n`, oldest first, as long as together they are below `bytes`, one at least. */
enum rc store_delta_list(struct store *s, uint64_t n, size_t limit, size_t bytes, struct arena *a,
	struct store_delta **out, size_t *count) ATT_MUST_CHECK;
/* The place of a serial. RC_NOT_FOUND: forgotten, or never there. */
enum rc store_delta_place(struct store *s, uint32_t serial, uint64_t *n) ATT_MUST_CHECK;
enum rc store_delta_prune(struct store *s, uint64_t upto) ATT_MUST_CHECK;

struct store_image {
	uint32_t serial;
	uint32_t part;
	uint64_t n, seq;
	bool last;
	struct store_blob body;
};
enum rc store_image_add(struct store *s, const struct store_image *i) ATT_MUST_CHECK;
enum rc store_image_get(struct store *s, uint32_t serial, uint32_t part, struct arena *a,
	struct store_image *out) ATT_MUST_CHECK;
/* A complete one from which deltas lead to the newest serial (body empty). RC_NOT_FOUND. */
enum rc store_image_find(struct store *s, struct store_image *out) ATT_MUST_CHECK;
/* Drops those of all other serials; 0 drops all. */
enum rc store_image_drop(struct store *s, uint32_t but_serial) ATT_MUST_CHECK;

struct store_node {
	char name[STORE_NODE_MAX];
	uint8_t point[STORE_POINT_LEN]; /* of its node key, P-256 */
	struct store_blob proof;	/* by whom it was added: ca/node.h */
	int64_t added;
	int64_t silent_ms;
	uint32_t serial;
	uint64_t seq;
	bool wants_image;
	int64_t skew_ms; /* of its clock against the database's */
	int64_t schema_version;
	uint64_t keys_version;
};
/* RC_EXISTS. */
enum rc store_node_add(struct store *s, const struct store_node *n) ATT_MUST_CHECK;
enum rc store_node_list(
	struct store *s, struct arena *a, struct store_node **out, size_t *n) ATT_MUST_CHECK;
/* It may do nothing any more. RC_NOT_FOUND. */
enum rc store_node_remove(struct store *s, const char *name) ATT_MUST_CHECK;

/* The zone's keys as `keys` sealed them to a node. Put: by the holder of the lease only, all of a
 * version in one transaction of the caller with the head's version last (RC_CONFLICT: fenced). */
enum rc store_node_keys_put(
	struct store *s, const char *node, uint64_t version, struct store_blob body) ATT_MUST_CHECK;
enum rc store_node_keys_done(
	struct store *s, const char *name, uint64_t token, uint64_t version) ATT_MUST_CHECK;
enum rc store_node_keys_get(struct store *s, const char *node, struct arena *a, uint64_t *version,
	struct store_blob *out) ATT_MUST_CHECK;

/* The end of a node's audit chain, and what it last signed of it (the row's detail). RC_NOT_FOUND.
 */
enum rc store_node_audit(struct store *s, const char *name, uint64_t *seq,
	uint8_t hash[STORE_SHA256]) ATT_MUST_CHECK;
enum rc store_node_said(
	struct store *s, const char *name, struct arena *a, const char **detail) ATT_MUST_CHECK;

/* ---- hearing of others' commits ---------------------------------------------------------- */

struct store_ear;

enum rc store_ear_open(const char *url, struct store_ear **out, struct diag *d) ATT_MUST_CHECK;
void store_ear_close(struct store_ear *e);
/* To wait on for reading; -1: not connected (another one after each store_ear_again). */
int store_ear_fd(const struct store_ear *e);
/* Takes what has come: true when somebody but `ours` has committed something. *lost: not connected
 * any more. */
bool store_ear_heard(struct store_ear *e, const struct store *ours, bool *lost);
/* Connects anew. */
enum rc store_ear_again(struct store_ear *e, struct diag *d) ATT_MUST_CHECK;
