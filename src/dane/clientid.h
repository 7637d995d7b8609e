/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The TLS 1.3 extension dane_clientid (draft-ietf-dance-client-auth-13): a
 * client tells the complete owner name of its TLSA record. Both ends, through
 * OpenSSL's custom extensions. Moves the name only; believes nothing. */

#include "base/rc.h"

#include <openssl/types.h>
#include <stdbool.h>

/* Until IANA has assigned one; RFC 8446 11 keeps ff00..ffff for private use. */
#define DANE_CLIENTID_EXT 0xff7a
#define DANE_CLIENTID_MAX 255 /* octets of a name */

/* Letters, digits, '-', '_' and inner dots; no trailing dot (section 3 of the draft). */
bool dane_clientid_ok(const char *name);

/* Sends `name` (copied) to servers that ask. RC_RANGE, RC_NOMEM. */
enum rc dane_clientid_client(SSL_CTX *ctx, const char *name) ATT_MUST_CHECK;

/* Takes a name (NUL-terminated) as it arrives; false ends the handshake. Runs before the
 * certificate is looked at: it must not block. */
typedef bool dane_clientid_take(SSL *ssl, const char *name, void *user);
enum rc dane_clientid_server(SSL_CTX *ctx, dane_clientid_take *take, void *user) ATT_MUST_CHECK;
