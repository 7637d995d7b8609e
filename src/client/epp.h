/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The registry's EPP server from the other side: frames over mutual TLS (RFC 5734), one after the
 * other, blocking. Knows nothing of what the frames say. */

#include "base/diag.h"

#include <stddef.h>
#include <stdint.h>

#define EPP_CLIENT_FRAME_MAX (1u << 20)

struct epp_client;

/* Where to and as whom; the others are PEM files (`ca`: whom to trust as the server, which must be
 * certified for `host`, a name or an address). RC_UNAVAILABLE, RC_AUTH, RC_IO. */
enum rc epp_client_open(struct epp_client **out, const char *host, uint16_t port, const char *ca,
	const char *cert, const char *key, uint32_t timeout_ms, struct diag *d) ATT_MUST_CHECK;
void epp_client_close(struct epp_client *c);

enum rc epp_client_send(
	struct epp_client *c, const char *xml, size_t len, struct diag *d) ATT_MUST_CHECK;
/* The next frame's XML with a NUL; free it. RC_CLOSED: the server ended the connection. */
enum rc epp_client_read(
	struct epp_client *c, char **out, size_t *len, struct diag *d) ATT_MUST_CHECK;
