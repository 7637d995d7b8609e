/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Domain names: wire form, text, and the key under which the store keeps them.
 * The key is made so that memcmp orders keys as RFC 4034 section 6.1 orders
 * names, and so that the key of a name is a prefix of the keys of all names
 * below it. */

#include "base/cur.h"
#include "base/diag.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ZONE_NAME_MAX  255u /* RFC 1035 section 2.3.4 */
#define ZONE_LABEL_MAX 63u
#define ZONE_KEY_MAX   511u			/* every octet escaped, and LMDB's own limit */
#define ZONE_TEXT_MAX  (4u * ZONE_NAME_MAX + 1) /* every octet as \DDD */

/* A name in uncompressed wire form with its root label; case as it was written. */
struct zone_name {
	uint8_t len;
	uint8_t wire[ZONE_NAME_MAX];
};

/* The sort key of a name relative to the zone. The apex is one zero octet. */
struct zone_key {
	uint16_t len;
	uint8_t bytes[ZONE_KEY_MAX];
};

/* Reads an uncompressed name. RC_MALFORMED: a compression pointer, another label type, more
 * than 255 octets, or the bytes end. */
enum rc zone_name_parse(struct cur *c, struct zone_name *out) ATT_MUST_CHECK;

/* Reads text with or without trailing dot, \DDD and \X escapes (RFC 1035 section 5.1); the
 * empty text and "." are the root. Case is kept. */
enum rc zone_name_from_text(const char *text, struct zone_name *out) ATT_MUST_CHECK;

/* Writes text with trailing dot and a NUL; `out` holds ZONE_TEXT_MAX. */
void zone_name_to_text(const struct zone_name *name, char *out);

static inline uint8_t zone_lower(uint8_t c)
{
	return (c >= 'A' && c <= 'Z') ? (uint8_t)(c | 0x20) : c;
}

/* ASCII upper case becomes lower case (RFC 4034 section 6.2). */
void zone_name_lower(struct zone_name *name);

/* Puts `origin` behind a relative name (`rel` ends in its root label). RC_TOO_LARGE. */
enum rc zone_name_join(const struct zone_name *rel, const struct zone_name *origin,
	struct zone_name *out) ATT_MUST_CHECK;

/* Length of the labels of `name` in front of `origin`, or -1 when it is not at or below it.
 * ASCII case is ignored. */
int zone_name_below(const uint8_t *name, size_t len, const struct zone_name *origin);

/* Labels without the root. */
unsigned zone_name_labels(const uint8_t *wire);

/* The key of the first `rel_len` octets (whole labels, no root) of a wire name. */
void zone_key_write(const uint8_t *rel, size_t rel_len, struct zone_key *out);

/* The labels of a key as wire octets without root; returns their length. `out` holds
 * ZONE_NAME_MAX. RC_MALFORMED for bytes that zone_key_write does not make. */
enum rc zone_key_labels(
	const uint8_t *key, size_t key_len, uint8_t *out, size_t *out_len) ATT_MUST_CHECK;

/* The whole name of a key in a zone. */
enum rc zone_key_name(const uint8_t *key, size_t key_len, const struct zone_name *origin,
	struct zone_name *out) ATT_MUST_CHECK;

/* True when `key` names something below `above` (not the same name). */
bool zone_key_is_below(const uint8_t *key, size_t key_len, const uint8_t *above, size_t above_len);

/* memcmp, then length: the store's order. */
int zone_key_cmp(const uint8_t *a, size_t a_len, const uint8_t *b, size_t b_len);
