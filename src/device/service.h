/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The provider's service over mutual TLS, reached only when all is proved: the payload believed,
 * the own record attested, the server one of those that the zone or the payload pins. */

#include "device/record.h"
#include "device/self.h"

#include <openssl/ssl.h>

struct service {
	struct self self;
	struct record_pins pins; /* may borrow from self */
	char host[DANE_NAME_MAX];
	SSL_CTX *ctx;
};

/* Reads and proves. The state after acceptance is out->self.state: keep it. Free with service_free,
 * before the card is closed. RC_DENIED: the record says no; RC_UNAVAILABLE: nobody can tell now;
 * otherwise what self_read says. */
enum rc service_prove(struct iotsafe *card, unsigned slot, const struct payload_state *before,
	struct service **out, struct diag *d) ATT_MUST_CHECK;
void service_free(struct service *s);

/* A connection to it, by any thread: the TLS end and its descriptor, both the caller's. RC_AUTH:
 * the server, or it us; RC_UNAVAILABLE: no connection. */
enum rc service_connect(const struct service *s, SSL **ssl, int *fd, struct diag *d) ATT_MUST_CHECK;

/* Both ways between TLS and `in`/`out` until the server ends; the end of `in` ends our half only.
 * shutdown(2) of the descriptors by another thread ends it too. Whether it ended orderly. */
bool service_carry(SSL *ssl, int fd, int in, int out);
