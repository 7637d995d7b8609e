/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The zone's keys through their lives (RFC 7583): which there are, in which
 * state, since when. The folder of keys holds one PEM file per key and the file
 * `zone-keys` that says the rest; without that file ksk.key and zsk.key are
 * active. Here is decided what a life may look like, not when it moves on: role
 * zone decides that. A set is immutable; a move makes a new one, durable before
 * anybody sees it. */

#include "ca/presigned.h"
#include "ca/rrsign.h"

enum ca_zone_key_state {
	CA_KEY_NONE,	  /* its time: when the key was made */
	CA_KEY_PUBLISHED, /* in DNSKEY; a KSK also in CDS and CDNSKEY */
	CA_KEY_READY,	  /* known everywhere */
	CA_KEY_ACTIVE,	  /* signs; exactly one of each kind */
	CA_KEY_RETIRING,  /* signs no more; a KSK is still in CDS */
	CA_KEY_RETIRED,	  /* a KSK: not in CDS any more */
	CA_KEY_REMOVED,
	CA_KEY_STATES
};
const char *ca_zone_key_state_text(enum ca_zone_key_state state);

#define CA_ZONE_KEY_FILE_MAX 32

struct ca_zone_key {
	struct ca_dnskey key;	   /* owned by reference */
	struct ca_zone_public pub; /* DNSKEY, tag, DS */
	enum ca_zone_key_state state;
	bool hold;		      /* a standby key: stays ready until it is asked for */
	int64_t times[CA_KEY_STATES]; /* when each state began; 0: not (yet, or not confirmed) */
	char file[CA_ZONE_KEY_FILE_MAX];
};

/* One algorithm replaces another, the conservative way (RFC 6781 section 4.1.4): validators see the
 * DNSKEY of an algorithm only while every RRset has a signature by it. The numbers stand in the
 * file. A new pair of keys signs from the first of these phases on, the old pair up to the last. */
enum ca_alg_phase {
	CA_ALG_NONE,
	CA_ALG_SIGNING,	    /* signatures by both; new DNSKEYs not yet */
	CA_ALG_PUBLISHED,   /* DNSKEYs of both */
	CA_ALG_DS,	    /* CDS asks the parent for both DS */
	CA_ALG_WITHDRAWING, /* CDS asks for the new DS only */
	CA_ALG_REMOVED,	    /* the old DNSKEYs are gone, the old signatures not yet */
	CA_ALG_CLEANING,    /* the old signatures go */
	CA_ALG_PHASES
};
const char *ca_alg_phase_text(enum ca_alg_phase phase);

struct ca_alg_roll {
	enum ca_alg_phase phase;
	enum ca_alg from, to;
	int64_t times[CA_ALG_PHASES]; /* when each began */
};

/* What shall be made in a token instead of a file, by [ksk]. */
struct ca_zone_token {
	struct ca_token *token; /* borrowed; NULL: none */
	bool makes[2];
};

struct ca_zone_keys {
	struct ca_zone zone; /* borrows from `key` */
	struct ca_alg_roll roll;
	struct ca_zone_token token;
	struct ca_presigned *presigned; /* owned by reference; NULL: none */
	struct ca_zone_key key[CA_ZONE_KEYS_MAX];
	size_t count;
	unsigned refs;
};

/* Free with ca_zone_keys_unref. `token` may be NULL. */
enum rc ca_zone_keys_load(struct ca_zone_keys **out, const char *folder, const char *zone,
	struct diag *d) ATT_MUST_CHECK;
enum rc ca_zone_keys_load_with(struct ca_zone_keys **out, const char *folder, const char *zone,
	const struct ca_zone_token *token, struct diag *d) ATT_MUST_CHECK;
/* The same keys with the folder's pre-signed sets as they are now. RC_OK with *out NULL: nothing
 * changed. */
enum rc ca_zone_keys_refresh(struct ca_zone_keys **out, const struct ca_zone_keys *keys,
	const char *folder, struct diag *d) ATT_MUST_CHECK;
/* Whether a key stands in DNSKEY, and in CDS. */
bool ca_zone_key_in_dnskey(const struct ca_zone_keys *keys, const struct ca_zone_key *key);
bool ca_zone_key_in_cds(const struct ca_zone_keys *keys, const struct ca_zone_key *key);
/* Whether an algorithm signs. */
bool ca_zone_keys_signs(const struct ca_zone_keys *keys, enum ca_alg alg);
bool ca_zone_keys_offline(const struct ca_zone_keys *keys); /* the KSK is */
struct ca_zone_keys *ca_zone_keys_ref(struct ca_zone_keys *keys);
void ca_zone_keys_unref(struct ca_zone_keys *keys); /* one thread only */

/* A new key in state published, its time not yet confirmed. */
enum rc ca_zone_keys_make(struct ca_zone_keys **out, const struct ca_zone_keys *keys,
	const char *folder, const char *zone, bool ksk, bool hold, int64_t now,
	struct diag *d) ATT_MUST_CHECK;
/* The next state of a key (published to published confirms its time); to active, the active one
 * becomes retiring; to removed, its file is destroyed. RC_NOT_FOUND, RC_STATE. */
enum rc ca_zone_keys_move(struct ca_zone_keys **out, const struct ca_zone_keys *keys,
	const char *folder, const char *zone, bool ksk, uint16_t tag, enum ca_zone_key_state to,
	int64_t now, struct diag *d) ATT_MUST_CHECK;

/* A pair of keys of another algorithm; it signs from now on. RC_STATE while another key is under
 * way, or the KSK is off-line. */
enum rc ca_zone_keys_alg_begin(struct ca_zone_keys **out, const struct ca_zone_keys *keys,
	const char *folder, const char *zone, enum ca_alg alg, int64_t now,
	struct diag *d) ATT_MUST_CHECK;
/* The next phase; behind the last, the old pair is destroyed. */
enum rc ca_zone_keys_alg_next(struct ca_zone_keys **out, const struct ca_zone_keys *keys,
	const char *folder, const char *zone, int64_t now, struct diag *d) ATT_MUST_CHECK;

/* A key as `make` would make it, with a tag of its own, in no set yet. */
enum rc ca_zone_key_new(struct ca_dnskey *out, const struct ca_zone_keys *keys, bool ksk,
	struct diag *d) ATT_MUST_CHECK;

#define CA_SPARE_MAX  16	     /* ZSKs made before they are needed, for pre-signed sets */
#define CA_NEXT_KSK   "ksk-next.key" /* what `make` takes as the next KSK, off-line or not */
#define CA_SPARE_FORM "zsk-spare-%02u.key"

/* The file's text; for the fuzzer too. Keys are not opened. */
enum rc ca_zone_keys_parse(
	struct ca_zone_keys *out, const char *text, struct diag *d) ATT_MUST_CHECK;
