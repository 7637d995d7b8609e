/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Inside mno/: the way to an SMS centre by SMPP 3.4. A transceiver with a window; what the centre
 * throttles waits and goes again; what it refuses or loses, the gateway's own timers send anew
 * under a new counter. Knows SIMs by their MSISDN. */

#include "mno/internal.h"

#include <openssl/types.h>

struct mno__smsc;

enum rc mno__smsc_new(struct event_base *base, const struct mno_config *config,
	const struct mno_link_calls *calls, const struct log *log, struct mno__smsc **out,
	struct diag *d) ATT_MUST_CHECK;
void mno__smsc_free(struct mno__smsc *s);
/* RC_UNAVAILABLE while not bound; RC_BUSY when too much waits; RC_NOT_FOUND: no MSISDN known. */
enum rc mno__smsc_send(struct mno__smsc *s, const uint8_t iccid[IDENT_ICCID_LEN], uint64_t packet,
	const uint8_t *ud, size_t len) ATT_MUST_CHECK;

/* ---- smsc_held.c: messages that the centre has taken and not yet told the end of ---- */
json_t *mno__held_new(void);
void mno__held_add(
	json_t *held, const char *id, const uint8_t iccid[IDENT_ICCID_LEN], uint64_t packet);
/* False: no such message. It is forgotten then. */
bool mno__held_take(json_t *held, const char *id, uint8_t iccid[IDENT_ICCID_LEN], uint64_t *packet);

/* ---- smsc_tls.c: TLS 1.2 or later to the centre, its certificate checked ---- */
/* RC_AUTH with the file that cannot be used. */
enum rc mno__smsc_tls_new(
	const struct mno_config *config, SSL_CTX **out, struct diag *d) ATT_MUST_CHECK;
SSL *mno__smsc_tls_session(SSL_CTX *ctx, const struct mno_config *config); /* NULL: no memory */
