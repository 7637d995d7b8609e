/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The names of things: ICCID (ITU-T E.118, EF_ICCID of TS 102 221 section 13.2), EID (SGP.29) and
 * the owner name `<slot>.<iccid>.<zone>`. Text in, canonical text or card bytes out; nothing here
 * knows whether such a card exists. */

#include "base/rc.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define IDENT_ICCID_LEN	 10 /* bytes of EF_ICCID */
#define IDENT_ICCID_TEXT 21 /* 20 characters and NUL */
#define IDENT_EID_LEN	 16
#define IDENT_EID_TEXT	 33 /* 32 digits and NUL */
#define IDENT_SLOT_MIN	 1
#define IDENT_SLOT_MAX	 9
#define IDENT_OWNER_MAX	 64 /* octets of a common name (RFC 5280 appendix A.1) */
#define IDENT_OWNER_TEXT (IDENT_OWNER_MAX + 1)

/* An owner name taken apart; all text is lower-case. */
struct ident_owner {
	unsigned slot;
	char iccid[IDENT_ICCID_TEXT];
	char zone[IDENT_OWNER_TEXT]; /* without trailing dot */
};

/* From 19 digits and 'f' (or 'F'), or 20 digits, to the bytes of EF_ICCID: nibbles swapped, filler
 * F last. The Luhn digit is not asked for: cards without one exist. RC_MALFORMED. */
enum rc ident_iccid_read(const char *text, uint8_t out[IDENT_ICCID_LEN]) ATT_MUST_CHECK;
/* The other way; RC_MALFORMED when a nibble is neither a digit nor the one filler at the end. */
enum rc ident_iccid_write(
	const uint8_t ef[IDENT_ICCID_LEN], char out[IDENT_ICCID_TEXT]) ATT_MUST_CHECK;
/* Whether the last digit of the ICCID's text is the Luhn check of the others (a final filler is
 * passed over; bare digits of any length are taken too). */
bool ident_luhn_ok(const char *iccid);

/* 32 digits whose number is 1 modulo 97, to bytes in order, high nibble first. RC_MALFORMED. */
enum rc ident_eid_read(const char *text, uint8_t out[IDENT_EID_LEN]) ATT_MUST_CHECK;
enum rc ident_eid_write(const uint8_t eid[IDENT_EID_LEN], char out[IDENT_EID_TEXT]) ATT_MUST_CHECK;

/* Builds the canonical name: `iccid` as ident_iccid_read takes it, `zone` without trailing dot, of
 * letters, digits, '-', '_' and '.'. RC_RANGE for the slot, RC_MALFORMED, RC_TOO_LARGE. */
enum rc ident_owner_name(unsigned slot, const char *iccid, const char *zone,
	char out[IDENT_OWNER_TEXT]) ATT_MUST_CHECK;
/* Takes a name of any case, with or without trailing dot, apart. With `zone` not NULL the name must
 * lie directly in that zone (compared without case): RC_NOT_FOUND. RC_MALFORMED otherwise. */
enum rc ident_owner_parse(
	const char *name, const char *zone, struct ident_owner *out) ATT_MUST_CHECK;
