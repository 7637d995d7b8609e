/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The registry's EPP server from the other side: frames over mutual TLS (RFC 5734), one after the
 * other, blocking. Of what the frames say it knows the login and an answer's code. */

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

/* One exchange: sends `xml` ("": the server speaks first) and takes the next frame. *answer is
 * freed and replaced; NULL after an error. */
enum rc epp_client_ask(
	struct epp_client *c, const char *xml, char **answer, struct diag *d) ATT_MUST_CHECK;

#define EPP_CLIENT_URNS "urn:ietf:params:xml:ns:"

/* The login (RFC 5730 section 2.9.1.1; a password over 16 characters by RFC 8807). `services` is
 * what stands in <svcs>; id and password hold no markup. RC_OK: the server has answered, see the
 * code. */
enum rc epp_client_login(struct epp_client *c, const char *id, const char *password,
	const char *services, char **answer, struct diag *d) ATT_MUST_CHECK;

/* An answer's first result code, 1000 to 2999; 0 when it has none. */
unsigned epp_client_code(const char *xml);
