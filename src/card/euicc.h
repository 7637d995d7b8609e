/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* An eUICC around cards: one EID, several operators' eSIM profiles of which at most one is enabled,
 * each a card of its own (ICCID, keyset, applet). Switching is durable before it shows; sessions
 * see it as a reset. What happened is kept as events until the operator has acknowledged them. A
 * plain SIM is the same with one profile and no EID, and cannot be switched. */

#include "card/card.h"

#define EUICC_PROFILES_MAX  16
#define EUICC_EVENTS_MAX    64	    /* unacknowledged; beyond, the oldest is lost */
#define EUICC_TEMPORARY_MAX 2592000 /* seconds on another network: 30 days */

/* Results of SGP.22 section 5.7.16 to 5.7.18. */
enum euicc_result {
	EUICC_OK = 0,
	EUICC_NOT_FOUND = 1,
	EUICC_WRONG_STATE =
		2, /* enable what is enabled, disable or delete what is not in that state */
	EUICC_DISALLOWED = 3,
	EUICC_FAILED = 127, /* could not be made durable: nothing changed */
};

/* The values are on disk. */
enum euicc_event_kind {
	EUICC_ENABLED = 0,
	EUICC_DISABLED = 1,
	EUICC_DELETED = 2,
	EUICC_TEMPORARY = 3, /* enabled for a time */
	EUICC_RETURNED = 4,  /* enabled again after that */
};

struct euicc_event {
	uint64_t sequence; /* per eUICC, from 1 */
	int64_t unix_s;
	enum euicc_event_kind kind;
	uint8_t iccid[IDENT_ICCID_LEN];
};

struct euicc;

struct euicc_opts {
	bool has_eid;
	uint8_t eid[IDENT_EID_LEN];
	const char *state_path;	   /* copied; NULL: in memory only */
	struct card_quirks quirks; /* while no profile is enabled */
	const struct clock *clock;
	const struct log *log;
	/* Told of each event after it is durable; may be NULL. */
	void (*on_event)(struct euicc *euicc, const struct euicc_event *event, void *user);
	void *user;
};

/* Reads the state where there is one. RC_MALFORMED, RC_CONFLICT (another eUICC's), RC_IO. */
enum rc euicc_new(const struct euicc_opts *opts, struct euicc **out, struct diag *d) ATT_MUST_CHECK;
/* Frees the profiles too. */
void euicc_free(struct euicc *euicc);
/* Whether this profile was deleted once: it does not come back. */
bool euicc_was_deleted(const struct euicc *euicc, const uint8_t iccid[IDENT_ICCID_LEN]);
/* Takes the card. The first one added is enabled where the state does not say otherwise. */
enum rc euicc_add(struct euicc *euicc, struct card **take_card) ATT_MUST_CHECK;

const uint8_t *euicc_eid(const struct euicc *euicc);   /* NULL: a plain SIM */
struct card *euicc_enabled(const struct euicc *euicc); /* NULL: none */
/* Profiles in order; NULL behind the last. */
struct card *euicc_profile(const struct euicc *euicc, size_t i);

/* Enables a profile, and disables the one before. With temporary_s, that one comes back after so
 * many seconds, or when this one is disabled. */
enum euicc_result euicc_enable(
	struct euicc *euicc, const uint8_t iccid[IDENT_ICCID_LEN], uint32_t temporary_s);
enum euicc_result euicc_disable(struct euicc *euicc, const uint8_t iccid[IDENT_ICCID_LEN]);
/* Destroys a disabled profile with its keys and files, for ever. */
enum euicc_result euicc_delete(struct euicc *euicc, const uint8_t iccid[IDENT_ICCID_LEN]);
/* Returns from a temporary network whose time is over. Call it now and then. */
void euicc_tick(struct euicc *euicc);

/* The i-th event not yet acknowledged, oldest first; NULL behind the last. */
const struct euicc_event *euicc_event(const struct euicc *euicc, size_t i);
const char *euicc_event_text(enum euicc_event_kind kind);
/* Forgets events up to this sequence. RC_IO: they come again. */
enum rc euicc_acknowledge(struct euicc *euicc, uint64_t sequence, struct diag *d) ATT_MUST_CHECK;

/* A reader of whichever profile is enabled. At most as long-lived as the eUICC. */
enum rc euicc_session_new(struct euicc *euicc, struct card_session **out) ATT_MUST_CHECK;
