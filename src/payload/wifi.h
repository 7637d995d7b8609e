/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* A service's Wi-Fi, sealed to one card's key-agreement key (formats.md section 2, COSE_Encrypt
 * with one ECDH-ES + HKDF-256 recipient). The passphrase is in clear here and nowhere else: never
 * in an error, a log or a payload. */

#include "payload/payload.h"

#define PAYLOAD_SSID_MAX       32 /* IEEE 802.11 */
#define PAYLOAD_PASSPHRASE_MAX 128
/* The longest COSE_Encrypt we write. */
#define PAYLOAD_WIFI_MAX 320

enum payload_security {
	PAYLOAD_WIFI_OPEN = 0,
	PAYLOAD_WIFI_WPA2_PSK = 1,
	PAYLOAD_WIFI_WPA3_SAE = 2
};

/* Wipe it with payload_wifi_wipe when done. */
struct payload_wifi {
	size_t ssid_len;
	uint8_t ssid[PAYLOAD_SSID_MAX];
	size_t passphrase_len;
	char passphrase[PAYLOAD_PASSPHRASE_MAX];
	enum payload_security security;
};

void payload_wifi_wipe(struct payload_wifi *w);

/* The plaintext map {1: ssid, ?2: passphrase, 3: security} by itself: what `front` seals to `keys`.
 * RC_MALFORMED. */
enum rc payload_wifi_parse(
	const uint8_t *bytes, size_t len, struct payload_wifi *out) ATT_MUST_CHECK;

/* What the sealed bytes are bound to: the payload that will carry them. */
struct payload_binding {
	uint8_t iccid[PAYLOAD_ICCID_LEN];
	uint8_t slot;
	uint64_t sequence;
};

/* Seals to a point (04 | x | y) of P-256, with a fresh ephemeral key. RC_RANGE, RC_TOO_LARGE,
 * RC_CRYPTO (also a point that is not on the curve). */
enum rc payload_wifi_seal(const struct payload_wifi *w, const uint8_t b_point[65],
	const struct payload_binding *to, struct put *out, struct diag *d) ATT_MUST_CHECK;

/* The raw ECDH x coordinate of the card's B key with `peer` (04 | x | y). */
struct payload_ecdh {
	enum rc (*agree)(void *user, const uint8_t peer[65], uint8_t x[32], struct diag *d);
	void *user;
};

/* RC_MALFORMED, RC_AUTH (not for this card, slot and sequence, or altered), or what `agree` says.
 */
enum rc payload_wifi_open(const uint8_t *bytes, size_t len, const struct payload_binding *to,
	const struct payload_ecdh *ecdh, struct payload_wifi *out, struct diag *d) ATT_MUST_CHECK;
