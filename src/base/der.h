/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* DER (X.690 section 10) on the read and write cursors, strict: definite,
 * shortest lengths, one-byte tags, positive shortest integers, BIT STRINGs of
 * whole octets. Anything else marks the cursor as failed. Freestanding. */

#include "base/cur.h"
#include "base/put.h"

enum der_tag {
	DER_BOOLEAN = 0x01,
	DER_INTEGER = 0x02,
	DER_BIT_STRING = 0x03,
	DER_OCTET_STRING = 0x04,
	DER_NULL = 0x05,
	DER_OID = 0x06,
	DER_UTF8 = 0x0c,
	DER_PRINTABLE = 0x13,
	DER_IA5 = 0x16,
	DER_UTCTIME = 0x17,
	DER_GENTIME = 0x18,
	DER_SEQUENCE = 0x30,
	DER_SET = 0x31,
};
#define DER_CONTEXT(n)	    (0x80 | (n)) /* [n] IMPLICIT, primitive */
#define DER_CONTEXT_CONS(n) (0xa0 | (n)) /* [n], constructed */

#define DER_ECDSA_MAX 72 /* ECDSA-Sig-Value of a 256-bit curve */

/* Reads. */

/* The content of the next element, which must carry `tag`. */
struct cur der_take(struct cur *c, unsigned tag);
/* The content of the next element whatever its tag; the tag goes to *tag (0 when bad). */
struct cur der_any(struct cur *c, uint8_t *tag);
/* The next element with tag and length, as a cursor over all of it. */
struct cur der_whole(struct cur *c, unsigned tag);
/* Whether the next element carries `tag`; false at the end. */
bool der_next_is(const struct cur *c, unsigned tag);
/* Whether the bytes left are exactly these. */
bool der_equal(const struct cur *c, const void *bytes, size_t len);
/* A non-negative INTEGER, without the sign octet; zero is one octet 00. */
struct cur der_uint(struct cur *c);
/* A BIT STRING of whole octets. */
struct cur der_bits(struct cur *c);
/* UTCTime or GeneralizedTime as RFC 5280 section 4.1.2.5 allows them (seconds, Z), in seconds
 * since 1970. */
int64_t der_time(struct cur *c);

/* ECDSA-Sig-Value (RFC 3279 section 2.2.3) to r||s of 32 octets each; r and s are not zero. */
bool der_ecdsa_read(const uint8_t *der, size_t len, uint8_t raw[64]);

/* Writes. */

/* Opens an element; close it with the value returned. Elements nest. */
size_t der_open(struct put *p, unsigned tag);
void der_close(struct put *p, size_t mark);
/* A whole primitive element. */
void der_put(struct put *p, unsigned tag, const void *bytes, size_t len);
void der_put_str(struct put *p, unsigned tag, const char *text);
/* INTEGER from a big-endian unsigned number of any length. */
void der_put_uint(struct put *p, const uint8_t *be, size_t len);
/* BIT STRING of whole octets. */
void der_put_bits(struct put *p, const void *bytes, size_t len);
/* UTCTime up to 2049, GeneralizedTime from 2050 (RFC 5280 section 4.1.2.5); years 1950..9999. */
void der_put_time(struct put *p, int64_t unix_s);

/* The number of octets written to `der`. */
size_t der_ecdsa_write(const uint8_t raw[64], uint8_t der[DER_ECDSA_MAX]);
