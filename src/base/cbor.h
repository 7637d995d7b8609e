/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Deterministic CBOR (RFC 8949 section 4.2.1): a writer on put.h and a strict reader on cur.h.
 * The reader takes only what the writer could have written: definite lengths, shortest heads,
 * map keys unique and sorted bytewise. Freestanding: no allocation, no libc files. */

#include "base/cur.h"
#include "base/put.h"

/* How deep items may nest in cbor_skip; our deepest format needs five. */
#define CBOR_DEPTH_MAX 8

enum cbor_type {
	CBOR_UINT,
	CBOR_NINT,
	CBOR_BYTES,
	CBOR_TEXT,
	CBOR_ARRAY,
	CBOR_MAP,
	CBOR_TAG,
	CBOR_SIMPLE,
	CBOR_END /* nothing left, or the cursor is bad */
};

void cbor_put_uint(struct put *p, uint64_t v);
void cbor_put_int(struct put *p, int64_t v);
void cbor_put_bytes(struct put *p, const void *bytes, size_t len);
void cbor_put_text(struct put *p, const char *text, size_t len); /* the caller vouches for UTF-8 */
void cbor_put_array(struct put *p, size_t count);		 /* `count` items follow */
void cbor_put_map(struct put *p, size_t pairs);			 /* the caller sorts the keys */
void cbor_put_tag(struct put *p, uint64_t tag);
void cbor_put_bool(struct put *p, bool v);
void cbor_put_null(struct put *p);

/* The type of the next item, without moving. */
enum cbor_type cbor_peek(const struct cur *c);

/* Each takes one item of its type; another type, or a form that is not the shortest, makes the
 * cursor bad and yields zero. */
uint64_t cbor_uint(struct cur *c);
int64_t cbor_int(struct cur *c); /* also bad outside int64_t */
struct cur cbor_bytes(struct cur *c);
struct cur cbor_text(struct cur *c); /* also bad when it is not UTF-8 */
uint64_t cbor_tag(struct cur *c);
bool cbor_bool(struct cur *c);

/* The number of items (of pairs, for a map) that follow; bad when the bytes left cannot hold
 * them, so the count is safe to loop over. */
size_t cbor_array(struct cur *c);
size_t cbor_map(struct cur *c);

/* Takes a null and says true; anything else stays where it is. */
bool cbor_null(struct cur *c);

/* A map's keys as they are read, to refuse one that is out of order or there twice. */
struct cbor_keys {
	struct cur last; /* the encoding of the key before */
	bool any;
};

/* The next key of a map whose keys are integers. */
int64_t cbor_key(struct cur *c, struct cbor_keys *keys);

/* Moves past one item of any type, however nested, holding it to the same rules. */
void cbor_skip(struct cur *c);
/* As cbor_skip; the item's own bytes, borrowed. */
struct cur cbor_item(struct cur *c);

/* Bytewise lexicographic order of two encodings: <0, 0, >0. */
int cbor_compare(const struct cur *a, const struct cur *b);
