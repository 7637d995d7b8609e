/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The Registry Payload (formats.md section 2): what a device is told about its registry and its
 * provider, signed by the registry. This header is the format itself: typed fields, deterministic
 * CBOR, the COSE_Sign1 around it. Freestanding: it never allocates and never touches a key; what
 * is to be believed is decided in accept.h, signatures are made and checked through sign.h. */

#include "base/diag.h"
#include "base/put.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Bounds of the lists: far above what fits the size goals, so a reader needs no allocation. */
#define PAYLOAD_ANCHORS_MAX	  8
#define PAYLOAD_CAS_MAX		  4
#define PAYLOAD_RESOLVERS_MAX	  4
#define PAYLOAD_RESOLVER_PINS_MAX 4
#define PAYLOAD_PINS_MAX	  8
#define PAYLOAD_SIGNERS_MAX	  4

/* A full payload carries two or three certificates; nothing near this is legitimate. */
#define PAYLOAD_MAX 16384
/* The COSE_Sign1 around a map: head, protected, bstr head of the map, signature. */
#define PAYLOAD_COSE_OVERHEAD 96

#define PAYLOAD_KID_LEN	  8
#define PAYLOAD_SIG_LEN	  64
#define PAYLOAD_ICCID_LEN 10
#define PAYLOAD_EID_LEN	  16
#define PAYLOAD_HASH_LEN  32

/* Bytes, or UTF-8 text, that someone else owns; never NUL-terminated. at = NULL: absent. */
struct payload_bytes {
	const uint8_t *at;
	size_t len;
};

/* Key 10, DS form (RFC 4034 section 5.1). */
struct payload_anchor {
	struct payload_bytes name; /* lower case, no trailing dot; "." for the root */
	uint16_t tag;
	uint8_t alg;
	uint8_t digest_type;
	struct payload_bytes digest;
};

/* Key 11, root first. */
struct payload_ca {
	bool is_der;		    /* false: SHA-256 of the DER */
	struct payload_bytes value; /* 32 bytes, or a certificate */
};

/* Key 12: a trusted resolver, reached by DNS over TLS. */
struct payload_resolver {
	struct payload_bytes name;
	struct payload_bytes addr; /* 4 or 16 bytes */
	uint16_t port;
	size_t pins_len;
	const uint8_t *pins[PAYLOAD_RESOLVER_PINS_MAX]; /* 32 bytes each: SHA-256 of the SPKI */
};

/* In key 13: TLSA semantics (RFC 6698 section 2.1). */
struct payload_pin {
	uint8_t usage;
	uint8_t selector;
	uint8_t matching;
	struct payload_bytes data;
};

/* All pointers are borrowed: from the caller when it is written, from the parsed bytes when it
 * was read. */
struct payload {
	uint64_t sequence; /* 2 */
	uint64_t issued;   /* 3, seconds since 1970 */
	uint64_t expires;  /* 4 */
	uint8_t iccid[PAYLOAD_ICCID_LEN];
	bool has_eid;
	uint8_t eid[PAYLOAD_EID_LEN];
	uint8_t slot;
	bool withdrawn;		   /* 8; then nothing below the zone is carried */
	struct payload_bytes zone; /* 9 */
	size_t anchors_len;
	struct payload_anchor anchors[PAYLOAD_ANCHORS_MAX];
	size_t cas_len; /* 0: compact, the CAs on the card stand */
	struct payload_ca cas[PAYLOAD_CAS_MAX];
	size_t resolvers_len; /* in order of preference */
	struct payload_resolver resolvers[PAYLOAD_RESOLVERS_MAX];
	struct payload_bytes service; /* 13: handle */
	struct payload_bytes fqdn;
	uint16_t port;
	struct payload_bytes url; /* at = NULL: fqdn and port suffice */
	size_t pins_len;
	struct payload_pin pins[PAYLOAD_PINS_MAX];
	struct payload_bytes wifi;   /* 14: COSE_Encrypt, or absent */
	struct payload_bytes td_url; /* 15, or absent */
	const uint8_t *td_sha256;
	size_t signers_len; /* 16: SHA-256 of the SPKI of signers to come */
	const uint8_t *signers[PAYLOAD_SIGNERS_MAX];
	const uint8_t *cert_sha256; /* 17: of the device certificate */
};

/* A COSE_Sign1 taken apart; pointers into the bytes that were parsed. */
struct payload_cose {
	const uint8_t *kid; /* PAYLOAD_KID_LEN */
	struct payload_bytes map;
	const uint8_t *sig; /* r || s */
};

/* Borrows a C string; NULL gives an absent value. */
struct payload_bytes payload_text(const char *text);
bool payload_text_is(struct payload_bytes a, const char *text);
/* A copy with a NUL; RC_TOO_LARGE, or RC_MALFORMED when it holds a NUL of its own. */
enum rc payload_text_copy(struct payload_bytes a, char *out, size_t cap) ATT_MUST_CHECK;

/* Whether the fields make a payload that a device would read: bounds, required fields, a lower-case
 * zone, digest lengths. Both the writer and the reader ask it. RC_RANGE with the field. */
enum rc payload_check(const struct payload *p, struct diag *d) ATT_MUST_CHECK;

/* Writes the map. Entries of 10, 16 and of the pin lists may come in any order; an entry that is
 * there twice is written once. RC_RANGE, RC_TOO_LARGE (out too small). */
enum rc payload_write_map(const struct payload *p, struct put *out, struct diag *d) ATT_MUST_CHECK;

/* The bytes that ES256 signs: RFC 9052 section 4.4, external_aad "attestry-payload-1". Needs
 * map_len + 64 bytes. RC_TOO_LARGE. */
enum rc payload_sig_input(const uint8_t kid[PAYLOAD_KID_LEN], const uint8_t *map, size_t map_len,
	struct put *out) ATT_MUST_CHECK;

/* The file for container D: tag 18, protected {1: -7, 4: kid}, map, r || s. RC_TOO_LARGE. */
enum rc payload_cose_write(const uint8_t *map, size_t map_len, const uint8_t kid[PAYLOAD_KID_LEN],
	const uint8_t sig[PAYLOAD_SIG_LEN], struct put *out) ATT_MUST_CHECK;

/* Reads the envelope; exactly the headers above, nothing after it. RC_MALFORMED, RC_TOO_LARGE,
 * RC_UNSUPPORTED (another algorithm). */
enum rc payload_cose_parse(
	const uint8_t *bytes, size_t len, struct payload_cose *out, struct diag *d) ATT_MUST_CHECK;

/* Reads the map: deterministic CBOR, lists sorted, unknown positive keys ignored, unknown negative
 * keys refused (RC_UNSUPPORTED), nothing after it. Checks form only; believes nothing. */
enum rc payload_map_parse(
	const uint8_t *bytes, size_t len, struct payload *out, struct diag *d) ATT_MUST_CHECK;

/* Envelope and map. `cose` may be NULL. */
enum rc payload_parse(const uint8_t *bytes, size_t len, struct payload *out,
	struct payload_cose *cose, struct diag *d) ATT_MUST_CHECK;

/* Card file F3, the registry profile: what a SIM carries before its first payload. The map of keys
 * 9, 10 and 12 in the payload's own encoding, unsigned (it is as good as the card it came on). */
enum rc payload_profile_write(
	const struct payload *p, struct put *out, struct diag *d) ATT_MUST_CHECK;
/* Fills zone, anchors and resolvers; all else is zero. */
enum rc payload_profile_parse(
	const uint8_t *bytes, size_t len, struct payload *out, struct diag *d) ATT_MUST_CHECK;
