/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The zone's keys through their lives (RFC 7583): which there are, in which
 * state, since when. The folder of keys holds one PEM file per key and the file
 * `zone-keys` that says the rest; without that file ksk.key and zsk.key are
 * active. Here is decided what a life may look like, not when it moves on: role
 * zone decides that. A set is immutable; a move makes a new one, durable before
 * anybody sees it. */

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
	struct ca_key key;	   /* owned by reference */
	struct ca_zone_public pub; /* DNSKEY, tag, DS */
	enum ca_zone_key_state state;
	bool hold;		      /* a standby key: stays ready until it is asked for */
	int64_t times[CA_KEY_STATES]; /* when each state began; 0: not (yet, or not confirmed) */
	char file[CA_ZONE_KEY_FILE_MAX];
};

struct ca_zone_keys {
	struct ca_zone zone; /* borrows from `key` */
	struct ca_zone_key key[CA_ZONE_KEYS_MAX];
	size_t count;
	unsigned refs;
};

/* Free with ca_zone_keys_unref. */
enum rc ca_zone_keys_load(struct ca_zone_keys **out, const char *folder, const char *zone,
	struct diag *d) ATT_MUST_CHECK;
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

/* The file's text; for the fuzzer too. Keys are not opened. */
enum rc ca_zone_keys_parse(
	struct ca_zone_keys *out, const char *text, struct diag *d) ATT_MUST_CHECK;
