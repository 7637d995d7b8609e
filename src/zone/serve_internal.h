/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Private to serve*.c: the message being written, and the snapshot's cached parts. */

#include "zone/rec.h"
#include "zone/serve.h"

#include <string.h>

#define SOA_NUMBERS_LEN 20u
#define SERVE_NSEC_MAX	(ZONE_NAME_MAX + 10 + ZONE_NAME_MAX + REC_BITMAP_MAX)
#define SERVE_RRSIG_MAX (RR_RRSIG_FIXED + ZONE_NAME_MAX + RR_SIG_LEN)

/* A record found: borrowed from the snapshot. */
struct serve_rec {
	const uint8_t *key;
	size_t key_len;
	const uint8_t *value;
	size_t value_len;
};

struct serve {
	struct snap_reader *reader;
	uint16_t udp_max;
	struct serve_options options;
	struct serve_counts counts;
	int64_t now_s;
	uint64_t now_ms; /* of a clock that never jumps */
	bool usable;	 /* a snapshot with content is entered */
	bool expired;	 /* a secondary's content is too old */
	bool stale;	 /* the next begin must refresh what is below */
	MDB_cursor *cursor[2];
	unsigned apex_labels;
	uint32_t ttl;
	uint32_t minimum;
	struct zone_name origin;
	uint8_t apex[REC_VALUE_MAX]; /* copy: it is in every denial */
	size_t apex_len;
	struct rec_view soa; /* borrows from apex */
	size_t soa_rel[2];   /* octets of mname and rname in front of the zone */
	bool soa_inside[2];
	const uint8_t *soa_name[2];
	const uint8_t *soa_numbers;
	/* The successor of *.<zone> and its NSEC: most denials need just that one. */
	struct serve_rec wild_pred;
	struct serve_rec wild_next;
};

/* An owner name: as it is written the first time, afterwards a pointer to there. */
struct serve_owner {
	const uint8_t *labels; /* in front of `tail`; length octets, no root */
	size_t len;
	unsigned tail;	  /* offset of the rest of the name in the message */
	unsigned pointer; /* where the whole name stands already, or 0 */
	unsigned count;	  /* labels of the whole name */
};

struct serve_msg {
	const struct query *q;
	const struct serve_client *client;
	unsigned rcode;
	uint16_t ede; /* EDE_NONE, or RFC 8914 section 5.2 */
	bool cookie_good;
	uint8_t *buf;
	uint8_t *at;
	uint8_t *end;	   /* room without the OPT record */
	bool full;	   /* something did not fit */
	uint16_t count[3]; /* answer, authority, additional */
	unsigned zone_at;  /* offset of the zone's name in the question */
	size_t rel_len;	   /* labels of the question in front of the zone */
	unsigned q_labels; /* of the whole question name */
	bool dnssec;
	struct zone_key key;
};

#define EDE_NONE	  0xffffu
#define EDE_NOT_READY	  14u
#define EDE_PROHIBITED	  18u
#define EDE_NOT_AUTH	  20u
#define EDE_NOT_SUPPORTED 21u

enum serve_section { SECTION_ANSWER, SECTION_AUTHORITY, SECTION_ADDITIONAL };

/* The record with the smallest key >= `key`; false: none. */
bool serve__seek(struct serve *s, const uint8_t *key, size_t key_len, struct serve_rec *out);
/* The record before the one that serve__seek found (or the last when it found none). */
bool serve__before(struct serve *s, bool found, struct serve_rec *out);

/* One RRset of a record with its RRSIG when asked for; whole or not at all. False: no room. */
bool serve__put_view(struct serve *s, struct serve_msg *m, enum serve_section section,
	struct serve_owner *owner, const struct rec_view *v, uint32_t ttl, bool sig);
bool serve__put_cert(struct serve *s, struct serve_msg *m, struct serve_owner *owner,
	const uint8_t *value, bool sig);
bool serve__put_tlsa(struct serve *s, struct serve_msg *m, struct serve_owner *owner,
	const uint8_t *value, bool sig);
/* The SOA into authority, its names compressed. */
bool serve__put_soa(struct serve *s, struct serve_msg *m, uint32_t ttl);
/* The NSEC of `rec`, whose successor in the zone is `next` (key NULL: the apex). */
bool serve__put_nsec(struct serve *s, struct serve_msg *m, enum serve_section section,
	struct serve_owner *owner, const struct serve_rec *rec, const struct serve_rec *next,
	bool sig);
/* The signatures of an RRset, one per algorithm of `form`: `sig[a]` is RR_SIG_LEN octets. Whole or
 * not at all. */
struct serve_sigs {
	unsigned form;
	uint16_t covered;
	uint32_t ttl, orig_ttl;
	const uint8_t *span[REC_ALGS], *sig[REC_ALGS];
};
bool serve__put_rrsigs(struct serve *s, struct serve_msg *m, enum serve_section section,
	struct serve_owner *owner, const struct serve_sigs *sigs);
/* Those of a device's CERT or TLSA; of any record's NSEC; of a set. */
struct serve_sigs serve__device_sigs(const struct serve *s, const uint8_t *value, uint16_t type);
struct serve_sigs serve__nsec_sigs(const struct serve *s, const uint8_t *value);
struct serve_sigs serve__view_sigs(const struct rec_view *v, uint32_t ttl);
/* The owner form of a stored key; `room` (ZONE_NAME_MAX) holds its labels. */
bool serve__owner(const struct serve *s, const struct serve_msg *m, const uint8_t *key,
	size_t key_len, uint8_t *room, struct serve_owner *out);

/* serve_edns.c: octets that the OPT record will take beyond padding, the record itself, and the
 * client's cookie looked at. */
size_t serve__opt_room(const struct serve *s, const struct serve_msg *m);
void serve__put_opt(struct serve *s, struct serve_msg *m);
bool serve__cookie_good(const struct serve *s, const struct serve_msg *m);

/* Fills answer (and additional) for an existing name; false when the type is not there. */
bool serve__data(struct serve *s, struct serve_msg *m, const struct serve_rec *rec);
/* SOA and the proofs into authority. `next` is where the question's key would stand. */
void serve__deny_type(struct serve *s, struct serve_msg *m, const struct serve_rec *rec);
void serve__deny_nonterminal(struct serve *s, struct serve_msg *m, const struct serve_rec *next);
void serve__deny_name(struct serve *s, struct serve_msg *m, const struct serve_rec *next);
