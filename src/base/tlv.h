/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Tag, length, value with one-byte tags, on cur and put: what IoT SAFE commands, remote commands
 * and DER have in common. Freestanding: no allocation, no libc files. Must never read past its
 * cursor. */

#include "base/cur.h"
#include "base/put.h"

/* How strict the length is. In both it is definite and fits into what is left. */
enum tlv_rules {
	TLV_ISO,      /* ISO 7816-4 section 5.2.2: 00-7F, 81, 82, 83, not always the shortest */
	TLV_SHORTEST, /* the shortest form only */
};

struct tlv {
	uint8_t tag;
	struct cur value;
};

/* The next object; false, with `c` bad, when there is none or it is malformed. */
bool tlv_read(struct cur *c, enum tlv_rules rules, struct tlv *out);
/* The next object's value when it has this tag; otherwise a bad cursor, and `c` goes bad. */
struct cur tlv_expect(struct cur *c, enum tlv_rules rules, uint8_t tag);

/* Bytes that the shortest length field of `len` takes (1 to 4), and those of a whole object. */
size_t tlv_len_size(size_t len);
size_t tlv_size(size_t value_len);
/* Tag and shortest length alone: the value follows. */
void tlv_put_head(struct put *p, uint8_t tag, size_t len);
void tlv_put(struct put *p, uint8_t tag, const void *value, size_t len);

/* A constructed object whose length is known only at its end: everything written between open and
 * close (in nested pairs) becomes its value. */
size_t tlv_open(struct put *p, uint8_t tag);
void tlv_close(struct put *p, size_t mark);
