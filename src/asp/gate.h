/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What a web server's auth subrequest says: which path, and the certificate
 * that its client showed. Read strictly; a request that could be understood
 * in two ways is refused. */

#include "base/rc.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define GATE_HEAD_MAX	16384 /* a certificate of ours, escaped, has about 1,200 bytes */
#define GATE_CERT_MAX	8192
#define GATE_FIELDS_MAX 100
#define GATE_PATH_MAX	64

struct gate_request {
	char path[GATE_PATH_MAX]; /* without query */
	bool keep_alive;
	size_t der_len; /* 0: the client showed no certificate */
	uint8_t der[GATE_CERT_MAX];
};

/* Length of the head at `bytes` with its empty line; 0: more must come. */
size_t gate_head_len(const uint8_t *bytes, size_t len);
/* Reads a whole head: GET, HTTP/1.0 or 1.1, no body, field X-Client-Cert at most once, which
 * is a PEM certificate, percent-escaped (nginx: $ssl_client_escaped_cert). RC_MALFORMED. */
enum rc gate_request_parse(
	const uint8_t *bytes, size_t len, struct gate_request *out) ATT_MUST_CHECK;
