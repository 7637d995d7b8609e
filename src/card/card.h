/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* A SIM with an IoT SAFE applet (GSMA IoT.05 v1 shaped), as software: what it holds, what it
 * answers to a device's commands (APDUs, over sessions) and to its operator's short messages.
 * Private keys never leave it, but sealed to disk. Remote administration is all-or-nothing on disk:
 * a power cut leaves the card before or after a packet, never between. Knows nothing of modems,
 * sockets or event loops. */

#include "base/clock.h"
#include "base/diag.h"
#include "base/ident.h"
#include "base/log.h"
#include "base/secret.h"
#include "card/quirks.h"
#include "ota/scp80.h"

#include <stdint.h>

#define CARD_APDU_MAX	  300 /* short form is 261; one client's surplus bytes still fit */
#define CARD_RESPONSE_MAX (256 + 2)
#define CARD_FILE_MAX	  65535
#define CARD_STORE_MAX	  (1u << 20) /* all files of one card, shadow copy included */
#define CARD_AID_MAX	  16
#define CARD_AIDS_MAX	  8
#define CARD_NAME_MAX	  20 /* bytes of an id */
#define CARD_NAMES_MAX	  16

/* The card's own ids, beside those of slots (formats.md section 1). */
#define CARD_ID_ATTESTATION	 0xf1
#define CARD_ID_ATTESTATION_CERT 0xf2
#define CARD_ID_REGISTRY	 0xf3

/* Ids of containers beyond the registry's. */
#define CARD_EXTRA_MIN	  0xa0
#define CARD_EXTRA_MAX	  0xef
#define CARD_EXTRA_COUNT  24
#define CARD_SEAL_KEY_LEN 32
#define CARD_SECRET_MAX	  64 /* bytes of a secret key */

struct card_aid {
	uint8_t bytes[CARD_AID_MAX];
	size_t len;
};

/* How readers name one object, where that is not by the one byte of its container: clients of other
 * cards were built for ids of two or three bytes, and for the halves of a key pair differently. */
struct card_name {
	uint8_t tag; /* 83 file, 84 private, 85 public, 86 secret key */
	uint8_t container;
	uint8_t bytes[CARD_NAME_MAX];
	uint8_t len;
};

/* How a card is made. All pointers are borrowed and must outlive the card. */
struct card_opts {
	uint8_t iccid[IDENT_ICCID_LEN];
	bool has_eid;
	uint8_t eid[IDENT_EID_LEN];
	struct scp80_keys keys;	   /* copied */
	const char *state_path;	   /* NULL: in memory only, for tests */
	const uint8_t *seal_key;   /* CARD_SEAL_KEY_LEN bytes; needed with state_path */
	struct card_quirks quirks; /* copied */
	const char *imsi; /* 15 digits; NULL: made up from the test network 001-01 and the ICCID */
	struct card_aid aids[CARD_AIDS_MAX];
	size_t aid_count;			/* 0: the known ones */
	struct card_name names[CARD_NAMES_MAX]; /* copied */
	size_t name_count;
	const struct clock *clock;
	const struct log *log; /* NULL: silent */
};

struct card;

/* Opens the card whose state lies at state_path, or makes a blank one (slot 1, no keys, no files):
 * *blank tells. RC_MALFORMED: the state is damaged; RC_CONFLICT: it is another card's;
 * RC_SIGNATURE: the seal key is not the one, or somebody changed the state. */
enum rc card_new(const struct card_opts *opts, struct card **out, bool *blank,
	struct diag *d) ATT_MUST_CHECK;
void card_free(struct card *card);

/* Destroys keys and files, and the state on disk. */
void card_erase(struct card *card);

bool card_is_bare(const struct card *card); /* what an eUICC without an enabled profile shows */
const char *card_imsi(const struct card *card);
const uint8_t *card_iccid(const struct card *card); /* IDENT_ICCID_LEN bytes */

/* Personalisation of a blank card, before its first use; durable after card_save. RC_RANGE: the id
 * is no file (no key) container of slot 1 or of the card. */
enum rc card_personalise_file(
	struct card *card, uint8_t id, const void *bytes, size_t len) ATT_MUST_CHECK;
/* Gives the card a further container (id CARD_EXTRA_MIN to CARD_EXTRA_MAX) of one of the kinds
 * p256, brainpool, rsa, p256-volatile, brainpool-volatile, peer-p256, peer-brainpool, peer-rsa,
 * secret, file. RC_NOT_FOUND: no such kind; RC_RANGE. */
enum rc card_personalise_container(struct card *card, uint8_t id, const char *kind) ATT_MUST_CHECK;
/* Fills a further container: a PEM private key, or the bytes of a secret or a file. */
enum rc card_personalise_value(
	struct card *card, uint8_t id, const void *bytes, size_t len) ATT_MUST_CHECK;
/* The attestation key, from a PEM private key on P-256. */
enum rc card_personalise_attestation(struct card *card, const void *pem, size_t len) ATT_MUST_CHECK;
/* Writes the whole state, atomically. RC_IO. */
enum rc card_save(struct card *card, struct diag *d) ATT_MUST_CHECK;

/* Gives one short message's user data to the card. RC_OK: `reply` (room for SCP80_UD_MAX) holds the
 * user data of the receipt. RC_TRUNCATED: more parts are needed. Anything else: dropped silently.
 */
enum rc card_sms(
	struct card *card, const uint8_t *ud, size_t len, struct put *reply) ATT_MUST_CHECK;

/* One reader's view: its logical channels, what is selected on each, and the operations under way.
 * At most as long-lived as the card. */
struct card_session;

enum rc card_session_new(struct card *card, struct card_session **out) ATT_MUST_CHECK;
void card_session_free(struct card_session *session);
/* As if the power had been cut and come back, for this reader. */
void card_session_reset(struct card_session *session);

/* The card that the reader sees now; of an eUICC without an enabled profile, a bare one. */
const struct card *card_session_card(struct card_session *session);

/* Carries out one command. `response` (room for CARD_RESPONSE_MAX) receives data and status word.
 */
void card_session_apdu(
	struct card_session *session, const uint8_t *apdu, size_t len, struct put *response);
