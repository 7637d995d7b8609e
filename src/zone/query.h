/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* A DNS request as it came from the network (RFC 1035 section 4, RFC 6891). */

#include "base/rc.h"
#include "zone/name.h"

#include <stdbool.h>

#define DNS_HEADER_LEN 12u

/* Flag bits of the second header word. */
#define DNS_QR	   0x8000u
#define DNS_OPCODE 0x7800u
#define DNS_AA	   0x0400u
#define DNS_TC	   0x0200u
#define DNS_RD	   0x0100u

struct query {
	const uint8_t *wire; /* the whole message; borrowed */
	size_t len;
	uint16_t flags;
	uint8_t opcode;
	bool malformed;	   /* FORMERR; what stands below is as far as it could be read */
	bool has_question; /* the question was read whole */
	const uint8_t *qname;
	uint8_t qname_len;
	uint16_t qtype;
	uint16_t qclass;
	size_t question_end; /* offset behind the question */
	bool edns;
	uint8_t edns_version;
	bool dnssec_ok;
	uint16_t udp_size;
	bool signed_request; /* a TSIG record stands last ... */
	size_t tsig_at;	     /* ... here */
	bool has_serial;     /* a SOA in authority: of an IXFR (RFC 1995 section 3) */
	uint32_t serial;
	/* EDNS options, borrowed */
	const uint8_t *cookie; /* NULL: none (RFC 7873) */
	uint8_t cookie_len;    /* 8, or 16 to 40 */
	bool nsid;	       /* RFC 5001 */
	bool padding;	       /* RFC 7830 */
	bool keepalive;	       /* RFC 7828 */
};

/* Reads a message. RC_MALFORMED: not even an answerable header (shorter than one, or a response)
 * or a question that cannot be read: to be dropped. Everything else is RC_OK, perhaps with
 * `malformed`. */
enum rc query_parse(const uint8_t *wire, size_t len, struct query *out) ATT_MUST_CHECK;
