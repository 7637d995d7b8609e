/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The JSON API as one table: method, path and query on one side, the operation
 * of registry.Request on the other. reflect does the rest, so an operation is
 * defined once, in proto/registry.proto, and reachable by one row here. Knows
 * nothing of sockets. Refuses form; every rule is core's. */

#include "base/rc.h"
#include "http/reflect.h"

#include "registry.pb-c.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define API_BODY_MAX	 (1u << 20)
#define API_BODY_BIG_MAX (4u << 20) /* an inventory of 20,000 SIMs */
#define API_DEPTH_MAX	 8	    /* levels of a JSON body */
#define API_VALUES_MAX	 300000	    /* separators of a JSON body: 20,000 rows of 6 members */
#define API_KEY_MAX	 64	    /* Idempotency-Key */
#define API_SEGMENT_MAX	 128	    /* one decoded path parameter */
#define API_WAIT_MAX_S	 60	    /* the longest poll */

/* What a row is beyond its operation. */
enum api_trait {
	API_BIG = 1 << 0,   /* body up to API_BODY_BIG_MAX */
	API_MERGE = 1 << 1, /* null clears a field (RFC 7396): its name goes into `clear` */
	API_WIFI = 1 << 2,  /* member "wifi" is sealed into "wifi_sealed"; "td" is read */
	API_BULK = 1 << 3,  /* not an operation: a batch of them */
	API_MAKER = 1 << 4, /* a list signed with the key of the session */
};

struct api_route {
	const char *method;
	const char *path;    /* "/v1/devices/{iccid}": the parameter is a field's name */
	const char *op;	     /* member of Request.op */
	const char *body;    /* NULL: no body; "": the operation's fields; else: that field's */
	const char *query;   /* "after,limit": fields that the query may set; NULL: none */
	const char *private; /* "created": members of the body that are not the client's to set */
	unsigned ok;	     /* HTTP status of code 1000 */
	unsigned traits;     /* enum api_trait */
	const char *help;
};

extern const struct api_route api_routes[];
extern const size_t api_route_count;

/* Seals Wi-Fi for the keys role; `plain` is the CBOR map of formats.md section 2. RC_UNAVAILABLE:
 * no key yet. */
struct api_seal {
	enum rc (*seal)(void *user, const uint8_t *plain, size_t len, uint8_t *out, size_t cap,
		size_t *out_len);
	void *user;
};

/* A request as HTTP gave it; everything borrowed. */
struct api_input {
	const char *method;
	const char *path;	     /* as sent, without query */
	const char *query;	     /* as sent, without '?'; NULL: none */
	const char *content_type;    /* NULL: none */
	const char *idempotency_key; /* NULL: none */
	const char *case_id, *why;   /* "" or NULL: none */
	const uint8_t *body;
	size_t body_len;
	const uint8_t *spki_sha256; /* 32 bytes, of the verified client certificate */
	const char *peer;	    /* "127.0.0.1:40000" */
};

/* A refusal before core has seen anything. */
struct api_fault {
	unsigned status; /* HTTP */
	unsigned code;	 /* RFC 5730 section 3 */
	struct reflect_fault what;
	char allow[40]; /* for 405 */
};

/* The row of a path and method. NULL and *f (404; 405 with the methods there are). `head` serves
 * HEAD as GET. */
const struct api_route *api_find(const char *method, const char *path, struct api_fault *f);

/* The operation that a request asks for, without id; free with reflect_free(&(*out)->base). On
 * failure *f says what to answer. */
enum rc api_read(const struct api_route *route, const struct api_input *in,
	const struct api_seal *seal, Registry__Request **out, struct api_fault *f) ATT_MUST_CHECK;

/* The seconds that an operation may wait by its own wish; 0 for most. */
unsigned api_wait_s(const Registry__Request *request);

/* Core's answer as HTTP status and JSON text (free with wipe_free). */
enum rc api_write(const struct api_route *route, const Registry__Reply *reply, unsigned *status,
	char **json, size_t *len) ATT_MUST_CHECK;

/* {"code","reason","field"} for a refusal; NULL when out of memory. Free with wipe_free. */
char *api_fault_write(unsigned code, const char *reason, const char *field, size_t *len);

/* RFC 5730 result code to HTTP status; `ok` is the status of 1000. */
unsigned api_status(unsigned code, unsigned ok);
