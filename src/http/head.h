/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* HTTP/1.1 requests as bytes (RFC 9112), read strictly: whatever two readers
 * could understand in two ways is refused, so that no request hides in
 * another. Knows nothing of paths and their meaning. */

#include "base/cur.h"
#include "base/rc.h"
#include "http/buf.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HTTP_HEAD_MAX	8192 /* request line and fields together */
#define HTTP_FIELDS_MAX 64
#define HTTP_METHOD_MAX 16
#define HTTP_TARGET_MAX 1024
#define HTTP_TYPE_MAX	96
#define HTTP_KEY_MAX	80
#define HTTP_CASE_MAX	65
#define HTTP_WHY_MAX	129

struct http_head {
	char method[HTTP_METHOD_MAX];
	char path[HTTP_TARGET_MAX]; /* as sent, without query */
	char query[HTTP_TARGET_MAX];
	bool has_query;
	char content_type[HTTP_TYPE_MAX]; /* empty: none */
	char idempotency_key[HTTP_KEY_MAX];
	bool has_idempotency_key;
	char case_id[HTTP_CASE_MAX]; /* Case-Id: under which case the change is made */
	char why[HTTP_WHY_MAX];	     /* Change-Reason */
	bool chunked;
	bool has_length;
	uint64_t content_length;
	bool http_1_1; /* else 1.0 */
	bool keep_alive;
	bool expect_continue; /* RFC 9110 section 10.1.1 */
};

/* Looks for the end of a head in what has arrived. RC_TRUNCATED: not there yet; RC_TOO_LARGE: it
 * will not fit HTTP_HEAD_MAX. `*len` is the head with its empty line. */
enum rc http_head_end(const uint8_t *bytes, size_t len, size_t *head_len) ATT_MUST_CHECK;

/* Reads a whole head. On RC_MALFORMED *status is the HTTP status to refuse with (400, 414, 417,
 * 431, 501, 505) and *why a static sentence. */
enum rc http_head_parse(const uint8_t *bytes, size_t len, struct http_head *out, unsigned *status,
	const char **why) ATT_MUST_CHECK;

/* The chunked coding (RFC 9112 section 7.1), without extensions and trailers. */
struct http_chunks {
	uint64_t left; /* of the chunk at hand */
	int state;     /* private */
};

/* Moves what is complete from `in` to `body`. RC_OK: the body is whole. RC_TRUNCATED: more is
 * needed. RC_TOO_LARGE: over `max`. RC_MALFORMED. RC_NOMEM. */
enum rc http_chunks_read(
	struct http_chunks *c, struct buf *in, struct buf *body, size_t max) ATT_MUST_CHECK;

/* The phrase of a status that we send. */
const char *http_phrase(unsigned status);
