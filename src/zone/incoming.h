/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* A transfer as it comes from a primary: the messages of AXFR (RFC 5936) or IXFR
 * (RFC 1995) taken apart into records, in order. Knows no socket, no signature, and
 * nothing of what the records mean. */

#include "base/diag.h"
#include "zone/query.h"
#include "zone/rr.h"

#define INCOMING_SOA_MAX (2u * ZONE_NAME_MAX + 20u)
/* A request: header, question, and for IXFR a SOA with our serial. */
#define INCOMING_ASK_MAX (DNS_HEADER_LEN + 2u * ZONE_NAME_MAX + 64u)

struct incoming_record {
	bool gone;	     /* of a difference: this record is not there any more */
	struct zone_key key; /* of the owner */
	uint16_t type;
	uint32_t ttl;
	const uint8_t *rdata; /* names in it are not compressed; borrowed for the call */
	size_t len;
};

/* What a message brings, in this order; `whole` is said before the first record. */
struct incoming_sink {
	enum rc (*begin)(bool whole, void *user);
	enum rc (*record)(const struct incoming_record *r, void *user);
	void *user;
};

enum incoming_state {
	INCOMING_FIRST,
	INCOMING_SECOND,
	INCOMING_WHOLE,
	INCOMING_DELETES,
	INCOMING_ADDS,
	INCOMING_DONE,	  /* all of it is there */
	INCOMING_CURRENT, /* the primary has nothing newer */
};

struct incoming {
	struct zone_name origin;
	uint16_t id;
	bool difference; /* was asked for */
	uint32_t have;	 /* then: our serial */
	enum incoming_state state;
	uint32_t serial; /* of the whole transfer */
	uint32_t step;	 /* of the difference that is being read */
	unsigned messages;
	unsigned rcode; /* of a refusal */
	uint32_t soa_ttl;
	uint16_t soa_len;
	uint8_t soa[INCOMING_SOA_MAX];
};

/* Begins; writes the request (INCOMING_ASK_MAX, no TSIG yet) and returns its length. */
size_t incoming_ask(struct incoming *in, const struct zone_name *origin, uint16_t id,
	bool difference, uint32_t have, uint8_t *out);

/* One message (its TSIG record, if any, is behind `len` already). RC_DENIED: the primary refuses,
 * see rcode. RC_MALFORMED, or what the sink returned. */
enum rc incoming_message(struct incoming *in, const uint8_t *wire, size_t len,
	const struct incoming_sink *sink, struct diag *d) ATT_MUST_CHECK;

/* Where the TSIG record stands, if there is one (last, RFC 8945 section 5.1); 0: none.
 * RC_MALFORMED.
 */
enum rc incoming_tsig_at(const uint8_t *wire, size_t len, size_t *at) ATT_MUST_CHECK;
