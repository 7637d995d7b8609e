/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The Certificate Management Protocol (RFC 9810) as the lightweight profile (RFC 9483) uses it for
 * PKCS#10: p10cr answered by cp, certConf by pkiConf, pollReq by pollRep, all else by error.
 * OpenSSL's libcrypto reads and writes the messages. Each message is signed by the key of the TLS
 * client certificate it came with, and by nothing else: MACs and unprotected messages are refused.
 * What a request wants of the registry leaves as a CSR, and its answer comes back by
 * cmp_answer: nothing here waits. Not for several threads. */

#include "base/clock.h"
#include "http/enrol.h"

#include <stddef.h>
#include <stdint.h>

#define CMP_PATH	 "/.well-known/cmp"
#define CMP_TYPE	 "application/pkixcmp"
#define CMP_BODY_MAX	 16384 /* a p10cr with a chain is 2 KiB */
#define CMP_TRANSACTIONS 256   /* that wait for certConf or pollReq */
#define CMP_LIFE_MS	 60000 /* of one of them */
#define CMP_RETRY_S	 2     /* checkAfter of a pollRep */

struct cmp;

/* `cert` (chain) and `key`: PEM files with which answers are signed; read at once. */
enum rc cmp_new(struct cmp **out, const char *cert, const char *key, const char *zone,
	const struct clock *clock, struct diag *d) ATT_MUST_CHECK;
void cmp_free(struct cmp *c);

/* Whether a path is CMP's: CMP_PATH, or below it. */
bool cmp_is(const char *path);

/* A message that waits for the registry. */
struct cmp_ask;

struct cmp_reply {
	uint8_t *der; /* free with cmp_reply_free */
	size_t len;
};
void cmp_reply_free(struct cmp_reply *r);

/* Takes a message in. Afterwards one of three: *ask is set (and cmp_csr(*ask) is to be asked for);
 * `out` holds the answer; RC_MALFORMED: not a CMP message. d says why where it was refused. */
enum rc cmp_take(struct cmp *c, const struct enrol_client *client, const uint8_t *body, size_t len,
	struct cmp_ask **ask, struct cmp_reply *out, struct diag *d) ATT_MUST_CHECK;
const struct enrol_csr *cmp_csr(const struct cmp_ask *ask);

/* What the registry says: a certificate, "later", or a refusal. */
struct cmp_verdict {
	const uint8_t *cert; /* DER; NULL: none */
	size_t cert_len;
	bool waiting;
	bool unavailable; /* try again later, rather than never */
	const char *why;  /* of a refusal */
};
/* Takes `take_ask`, also on failure. */
enum rc cmp_answer(struct cmp *c, struct cmp_ask *take_ask, const struct cmp_verdict *verdict,
	struct cmp_reply *out) ATT_MUST_CHECK;
void cmp_ask_free(struct cmp_ask *ask);
