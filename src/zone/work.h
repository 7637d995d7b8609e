/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* How records come to be: the zone's policy, record values built from what core
 * says, and the list of RRsets that must be signed, each with the place in a
 * value where its signature goes. Shared by batch.h and rebuild.h. */

#include "zone/arena.h"
#include "zone/rec.h"
#include "zone/sign.h"

#define WORK_NS_ADDR_MAX 8u
#define WORK_KEYS_MAX	 8u

/* A key as it is published. */
struct work_key {
	uint8_t rdata[DNSKEY_LEN]; /* the longest: P-256 */
	uint16_t len;
	bool cds; /* also in CDS and CDNSKEY: the parent shall have its DS */
};

/* Tags of the keys that sign, by algorithm (enum rec_alg). */
struct work_tags {
	uint16_t zsk[REC_ALGS], ksk[REC_ALGS];
};

/* What the zone is like; immutable while `zone` runs. */
struct zone_policy {
	struct zone_name origin; /* lower case */
	uint32_t ttl;
	uint32_t minimum;
	struct zone_name ns_name; /* in the zone, lower case */
	struct zone_name rname;
	uint32_t refresh, retry, expire;
	uint8_t ns_addr[WORK_NS_ADDR_MAX][16];
	uint8_t ns_addr_len[WORK_NS_ADDR_MAX]; /* 4 or 16 */
	unsigned ns_addrs;
	uint8_t ksk[DNSKEY_LEN], zsk[DNSKEY_LEN]; /* DNSKEY RDATA of those that sign */
	struct work_key key[WORK_KEYS_MAX];	  /* all that are published */
	unsigned keys;				  /* 0: ksk and zsk and no others */
	unsigned form;				  /* algorithms that sign (rec.h); 0: P-256 alone */
	/* A signature by another key is due; both of an algorithm 0: any will do. */
	struct work_tags tags;
	/* DNSKEY, CDS and CDNSKEY are signed elsewhere and these signatures begin then; 0: here. */
	uint32_t presigned;
#define WORK_NOT_PRESIGNED 1u	    /* elsewhere, but there is none that is good now: none is due */
	uint32_t signature_s;	    /* life of RRSIGs of CERT and TLSA */
	uint32_t infra_signature_s; /* of all others */
	/* The clock jumped, and it may be that much from now instead: signatures are good by both.
	 */
	int64_t doubt_s;
};

/* The sweep passes every name this often within the life of a device's signature. */
#define WORK_PASSES_OF_LIFE 8u
/* Signatures start this much earlier than now: clocks of validators differ. */
#define WORK_SKEW_S 3600u

/* RRsets of one name as given from outside; RDATA borrowed. */
struct work_set {
	uint16_t type;
	uint16_t count;
	const uint8_t *const *rdata;
	const uint16_t *rdata_len;
};

struct work {
	const struct zone_policy *policy;
	int64_t now;
	struct zone__arena arena;
	struct sign_set *sets; /* to be signed, in order */
	struct {
		uint8_t *span;
		uint8_t *sig;
	} * place;
	size_t count;
	size_t cap;
};

void work_init(struct work *w, const struct zone_policy *policy, int64_t now);
void work_fini(struct work *w);

static inline unsigned work_form(const struct zone_policy *p)
{
	return p->form ? p->form : REC_FORM_P256;
}
/* Puts a record into the policy's form; signatures of algorithms that stay are kept. The new value
 * is in the arena. */
enum rc work_reform(struct work *w, uint8_t **value, size_t *len) ATT_MUST_CHECK;

/* A device record of P-256 without signatures. */
void work_device(uint8_t value[REC_DEVICE_LEN], const uint8_t cert[RR_HASH_LEN],
	const uint8_t spki[RR_HASH_LEN], int64_t not_after);

/* Puts the apex's own sets (NS, DNSKEY, CDS, CDNSKEY) into a node; memory from the arena. */
enum rc work_apex_infra(struct work *w, struct rec_node *node) ATT_MUST_CHECK;
/* Replaces the SOA by one with this serial. */
enum rc work_apex_soa(struct work *w, struct rec_node *node, uint32_t serial) ATT_MUST_CHECK;
/* A and AAAA of the in-zone name server. */
enum rc work_ns_host(struct work *w, struct rec_node *node) ATT_MUST_CHECK;
/* Replaces one set by what came from outside (copied to the arena); count 0 drops it. */
enum rc work_node_set(
	struct work *w, struct rec_node *node, const struct work_set *set) ATT_MUST_CHECK;
/* Folds a node into a value in the arena; the node then borrows from it. */
enum rc work_node_value(
	struct work *w, struct rec_node *node, uint8_t **value, size_t *len) ATT_MUST_CHECK;

/* True when the span (RR_SPAN_LEN octets) of a signature over `type` has lived half its life, is
 * empty, lies in the future (the clock went back), or is another key's. */
bool work_span_is_due(const struct work *w, const uint8_t *span, uint16_t type, unsigned alg);

/* What a pass over the zone counts. */
struct work_count {
	uint64_t foreign; /* signatures by another than the active key */
	uint64_t late;	  /* past two thirds of their life */
};
void work_record_count(
	const struct work *w, const uint8_t *value, size_t len, struct work_count *count);

/* Adds what must be signed at a name. `value` is written when the signatures come. */
enum work_which { WORK_ALL, WORK_DUE };
enum rc work_sign_device(struct work *w, const uint8_t *key, size_t key_len, uint8_t *value,
	enum work_which which) ATT_MUST_CHECK;
enum rc work_sign_general(struct work *w, const uint8_t *key, size_t key_len, uint8_t *value,
	size_t len, enum work_which which) ATT_MUST_CHECK;
/* The NSEC of a record whose successor is next_key (NULL: the apex). */
enum rc work_sign_nsec(struct work *w, const uint8_t *key, size_t key_len, uint8_t *value,
	size_t len, const uint8_t *next_key, size_t next_len) ATT_MUST_CHECK;
bool work_nsec_is_due(const struct work *w, const uint8_t *value);
/* True when any signature of the record is due. */
bool work_record_is_due(const struct work *w, const uint8_t *value, size_t len);

/* Writes the signatures (RR_SIG_LEN each, in the order of w->sets) to their places. */
void work_place(struct work *w, const uint8_t *sigs, const struct work_tags *tags);
