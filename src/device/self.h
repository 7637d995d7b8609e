/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What a device knows of itself from one slot of its card: certificate, CAs, and the Registry
 * Payload, believed only by payload/accept.h. For programs on the device; libiotsafe itself does
 * not need it. Keeps nothing: the caller stores the state. */

#include "base/ident.h"
#include "iotsafe.h"
#include "payload/accept.h"
#include "payload/wifi.h"

#define SELF_CERT_MAX 4096

struct self {
	unsigned slot;
	char iccid[IDENT_ICCID_TEXT];
	char owner[IDENT_OWNER_TEXT]; /* the certificate's common name, lower case */
	uint8_t cert[SELF_CERT_MAX];
	size_t cert_len;
	uint8_t cert_sha256[32];
	uint8_t cose[PAYLOAD_MAX];
	size_t cose_len;
	struct payload payload;	    /* borrows from `cose` */
	struct payload_state state; /* after acceptance */
};

/* Reads and believes. `now` is 0 without a clock. RC_NOT_FOUND: no payload or no certificate on the
 * card yet; RC_STATE: the payload withdraws this profile; RC_CONFLICT: payload and certificate are
 * not of one installation (yet); otherwise what payload_accept says, or RC_UNAVAILABLE for the
 * card. *d says which. */
enum rc self_read(struct iotsafe *card, unsigned slot, const struct payload_state *before,
	uint64_t now, struct self *out, struct diag *d) ATT_MUST_CHECK;

/* The same decision about a payload that lies elsewhere; the device certificate is not looked at.
 */
enum rc self_believe(struct iotsafe *card, unsigned slot, const uint8_t *cose, size_t len,
	const struct payload_state *before, uint64_t now, struct self *out,
	struct diag *d) ATT_MUST_CHECK;

/* The certificate alone: owner name and hash. */
enum rc self_read_cert(
	struct iotsafe *card, unsigned slot, struct self *out, struct diag *d) ATT_MUST_CHECK;

/* Whether the slot's payload file differs from the one in *self, or is gone. RC_UNAVAILABLE. */
enum rc self_payload_changed(struct iotsafe *card, const struct self *self, bool *changed,
	struct diag *d) ATT_MUST_CHECK;

/* Signs a text of our own with the slot's key and checks the signature against the certificate:
 * the key is there, not blocked, and the certificate's. RC_DENIED when it is blocked. */
enum rc self_prove_key(
	struct iotsafe *card, const struct self *self, struct diag *d) ATT_MUST_CHECK;

/* Opens the payload's Wi-Fi with the card's B key. RC_NOT_FOUND when there is none. */
enum rc self_wifi(struct iotsafe *card, const struct self *self, struct payload_wifi *out,
	struct diag *d) ATT_MUST_CHECK;

/* What the device has accepted in this slot of this card, in a file of folder `dir` (made when it
 * is absent). A missing file is an empty state. */
enum rc self_state_load(struct iotsafe *card, const char *dir, unsigned slot,
	struct payload_state *out, struct diag *d) ATT_MUST_CHECK;
enum rc self_state_store(struct iotsafe *card, const char *dir, unsigned slot,
	const struct payload_state *state, struct diag *d) ATT_MUST_CHECK;

/* A failed call of libiotsafe as one of ours; *d gets the card's sentence. */
enum rc self_card_error(
	const struct iotsafe *card, enum iotsafe_error e, struct diag *d) ATT_MUST_CHECK;
