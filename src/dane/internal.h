/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Inside dane/: DNS names and messages, the DoT connection, signatures and
 * denials. Bytes from the network enter only through name.c and msg.c. */

#include "base/cur.h"
#include "base/put.h"
#include "dane/dane.h"

#include <openssl/ssl.h>

#define DANE_TYPE_NS	 2
#define DANE_TYPE_CNAME	 5
#define DANE_TYPE_SOA	 6
#define DANE_TYPE_DNAME	 39
#define DANE_TYPE_OPT	 41
#define DANE_TYPE_DS	 43
#define DANE_TYPE_RRSIG	 46
#define DANE_TYPE_NSEC	 47
#define DANE_TYPE_DNSKEY 48

#define DANE_RCODE_NOERROR  0
#define DANE_RCODE_SERVFAIL 2
#define DANE_RCODE_NXDOMAIN 3

/* An answer we can use has a few records; a larger one is refused, not cut. */
#define DANE_MSG_RRS 96
/* Signatures tried per RRset and keys per zone: bounds the work a hostile answer can cause. */
#define DANE_SIGS_MAX 4
#define DANE_KEYS_MAX 12

/* A name in wire form, lower-cased (RFC 4034 6.2). */
struct dane_name {
	uint8_t len; /* with the root label; 0: no name */
	uint8_t wire[255];
};

/* name.c */
enum rc dane__name_parse(const char *text, struct dane_name *out) ATT_MUST_CHECK;
void dane__name_text(const struct dane_name *name, char out[DANE_NAME_MAX]);
/* Reads a possibly compressed name at `c`, a cursor into the message at `msg`. */
void dane__name_read(struct cur *c, const uint8_t *msg, size_t msg_len, struct dane_name *out);
bool dane__name_equal(const struct dane_name *a, const struct dane_name *b);
/* RFC 4034 6.1. */
int dane__name_cmp(const struct dane_name *a, const struct dane_name *b);
bool dane__name_within(const struct dane_name *name, const struct dane_name *zone);
unsigned dane__name_labels(const struct dane_name *name); /* without the root */
/* The name without its first `n` labels. */
void dane__name_up(const struct dane_name *name, unsigned n, struct dane_name *out);
/* The longest ancestor that both have. */
void dane__name_common(const struct dane_name *a, const struct dane_name *b, struct dane_name *out);

/* One record of a message; rdata points into the message. */
struct dane_rec {
	struct dane_name owner;
	uint16_t type;
	uint32_t ttl;
	const uint8_t *rdata;
	uint16_t len;
	bool authority; /* else answer */
};

/* msg.c */
struct dane_msg {
	uint8_t rcode;
	bool truncated;
	const uint8_t *bytes; /* what dane__msg_parse was given */
	size_t len;
	uint8_t *owned; /* the same when dane__ask read it, to free; else NULL */
	size_t n_recs;
	struct dane_rec recs[DANE_MSG_RRS]; /* class IN of answer and authority */
};
/* A question with DO, padded to 128 octets (RFC 8467). */
enum rc dane__msg_ask(const struct dane_name *name, uint16_t type, uint16_t id, bool cd,
	uint8_t *out, size_t cap, size_t *len) ATT_MUST_CHECK;
/* Parses an answer to just this question. */
enum rc dane__msg_parse(const uint8_t *bytes, size_t len, const struct dane_name *name,
	uint16_t type, uint16_t id, struct dane_msg *out, struct diag *d) ATT_MUST_CHECK;

/* RRSIG RDATA (RFC 4034 3.1). */
struct dane_sig {
	uint16_t covered;
	uint8_t algorithm;
	uint8_t labels;
	uint32_t original_ttl;
	uint32_t expires;
	uint32_t inception;
	uint16_t tag;
	struct dane_name signer;
	const uint8_t *head; /* RDATA up to the signer's name, 18 bytes */
	const uint8_t *sig;
	size_t sig_len;
};

/* A zone's key that verified. */
struct dane_key {
	uint16_t tag;
	uint8_t algorithm;
	uint16_t rdata_len;
	uint8_t rdata[600]; /* RSA-4096 needs 520 */
	EVP_PKEY *pkey;
};

struct dane_keys {
	struct dane_name zone;
	size_t n;
	struct dane_key keys[DANE_KEYS_MAX];
	int64_t until_s; /* wall clock */
};

/* The records of one owner and type within a message. */
struct dane_set {
	const struct dane_name *owner;
	uint16_t type;
	size_t n;
	const struct dane_rec *recs[DANE_RRS_MAX];
};

/* The records of that owner and type in one section; DANE_RRS_MAX at most. */
void dane__collect(const struct dane_msg *msg, const struct dane_name *owner, uint16_t type,
	bool authority, struct dane_set *set);

/* sig.c */
enum rc dane__sig_parse(const struct dane_rec *rec, struct dane_sig *out) ATT_MUST_CHECK;
/* RFC 4034 appendix B. */
uint16_t dane__key_tag(const uint8_t *rdata, size_t len);
/* Builds a public key from DNSKEY RDATA; RC_UNSUPPORTED for algorithms we do not verify. */
enum rc dane__key_load(const uint8_t *rdata, size_t len, struct dane_key *out) ATT_MUST_CHECK;
#define DANE_KEY_SEP	0x0001U
#define DANE_KEY_REVOKE 0x0080U /* RFC 5011 section 7 */
void dane__keys_free(struct dane_keys *keys);
bool dane__ds_match(const struct dane_anchor *ds, const struct dane_name *zone,
	const uint8_t *rdata, size_t len);
/* One signature over one set with one zone's keys at time `now`. */
enum rc dane__sig_verify(const struct dane_set *set, const struct dane_sig *sig,
	const struct dane_keys *keys, int64_t now, struct diag *d) ATT_MUST_CHECK;

/* denial.c: what verified NSEC records prove about a question. */
enum dane_denial { DANE_DENIES_NOTHING, DANE_DENIES_NAME, DANE_DENIES_TYPE };
/* NSEC records that verified, all of one zone. */
enum dane_denial dane__nsec_proves(const struct dane_rec *const *nsecs, size_t n,
	const struct dane_name *zone, const struct dane_name *name, uint16_t type);

/* dot.c: one connection at a time. */
struct dane_dot {
	SSL_CTX *ctx;
	BIO_METHOD *method;
	SSL *ssl;
	int fd;
	size_t resolver; /* index of the one it is connected to */
};
enum rc dane__dot_init(struct dane_dot *dot, struct diag *d) ATT_MUST_CHECK;
void dane__dot_fini(struct dane_dot *dot);
void dane__dot_close(struct dane_dot *dot);
/* Sends a message and reads the answer (free with free()) before `deadline_ms` of `clock`.
 * RC_DENIED: the peer's key has no pin; nothing was sent to it. */
enum rc dane__dot_exchange(struct dane_dot *dot, const struct dane_resolver *r, size_t index,
	const struct clock *clock, uint64_t deadline_ms, const uint8_t *ask, size_t ask_len,
	uint8_t **answer, size_t *answer_len, struct diag *d) ATT_MUST_CHECK;

/* lookup.c */
#define DANE_ZONES_MAX 8
struct dane {
	struct dane_anchor anchors[DANE_ANCHORS_MAX];
	size_t n_anchors;
	struct dane_resolver resolvers[DANE_RESOLVERS_MAX];
	size_t n_resolvers;
	size_t preferred; /* the resolver that answered last: asked first, so a dead one costs once
			   */
	unsigned timeout_ms;
	const struct clock *clock;
	struct dane_dot dot;
	struct dane_keys zones[DANE_ZONES_MAX];
	size_t next_zone; /* the slot that the next zone takes */
	/* A test's transport instead of DoT; NULL otherwise. */
	enum rc (*ask)(void *user, const uint8_t *q, size_t q_len, uint8_t **a, size_t *a_len);
	void *ask_user;
};

/* One question to the resolvers, the one that answered last first, until the deadline; an answer
 * that a resolver withholds (SERVFAIL) is asked for once more with checking disabled, so that we
 * judge it ourselves. Free with dane__msg_free. */
enum rc dane__ask(struct dane *dane, const struct dane_name *name, uint16_t type,
	uint64_t deadline_ms, struct dane_msg **out, struct diag *d) ATT_MUST_CHECK;
void dane__msg_free(struct dane_msg *msg);

/* chain.c */
/* Is there a trust anchor at the name or above it? */
bool dane__anchored(const struct dane *dane, const struct dane_name *name);
/* Validates an answer; fetches zone keys as needed. */
void dane__validate(struct dane *dane, const struct dane_msg *msg, const struct dane_name *name,
	uint16_t type, uint64_t deadline_ms, struct dane_answer *out);
