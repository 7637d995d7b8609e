/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The registry's rules: who may do what to which object in which state, and what follows from
 * it. A request is one typed message of proto/registry.proto; the answer is filled in beside
 * it. No client's bytes, no SQL, no socket; keys and the zone are other processes' business:
 * what is wanted of them leaves as an order or an effect. Prefix of internals: reg__. */

#include "base/arena.h"
#include "base/clock.h"
#include "base/diag.h"
#include "base/log.h"
#include "base/rng.h"
#include "keys.pb-c.h"
#include "registry.pb-c.h"
#include "store/store.h"
#include "zone.pb-c.h"

#include <stdbool.h>
#include <stdint.h>

/* Limits of one request. */
#define REGISTRY_ROWS_MAX     1000 /* inventory rows: a batch stays short of a second */
#define REGISTRY_LIST_MAX     200  /* objects of one list page */
#define REGISTRY_PINS_MAX     8
#define REGISTRY_CSR_MAX      1024 /* formats section 3: 546 bytes with B key and attestation */
#define REGISTRY_ASP_CERT_MAX 8192
#define REGISTRY_WIFI_MAX     512
#define REGISTRY_TD_MAX	      65536
#define REGISTRY_RECEIPTS_MAX 16
#define REGISTRY_POR_MAX      1024
#define REGISTRY_ATTEST_MAX   2048 /* a card's file F2 */

/* Wrong codes before a code is withdrawn (authInfo) or refused for a while (claim). */
#define REGISTRY_TRIES_MAX    10
#define REGISTRY_CLAIM_REST_S 3600

/* Attempts for a job that the registry repeats by itself. */
#define REGISTRY_ATTEMPTS_MAX 5

/* Which door a request came in by; known from the link, never from a message. */
enum registry_class {
	REGISTRY_API = 1 << 0,
	REGISTRY_EPP = 1 << 1,
	REGISTRY_PUBLIC = 1 << 2,
	REGISTRY_OUT = 1 << 3
};

struct registry_settings {
	const char *zone; /* lower case, without trailing dot */
	int64_t cert_s;	  /* life of a device certificate */
	int64_t party_s;  /* life of a party's certificate */
	int64_t auth_ttl_s;
	int64_t job_ttl_s;
	int64_t idem_ttl_s;
	int64_t transfer_wait_s; /* how long a transfer waits for the losing side */
	int64_t feed_s;		 /* how long events stay in the feeds */
	int64_t hold_s;		 /* until what is published is known everywhere: the TTL */
	int64_t overlap_s; /* how long a renewal's forerunner stays published; 0: not at all */
	/* Whose SIMs must prove their keys: "mno" or "mno/ICCID prefix". */
	const char *const *attest_require;
	size_t attest_require_count;
	/* Which ICCIDs an operator may bring, in the same form; none: those that nobody has. */
	const char *const *ranges;
	size_t range_count;
	int64_t signer_hold_s; /* from a card that knows the next payload signer to its use */
	bool payload_full;     /* payloads carry the CA certificates */
};

/* What cards were personalised with since a time: SHA-256 of files 06, 07, 0C and of C's key. */
#define REGISTRY_EPOCHS_MAX 16
struct registry_epoch {
	int64_t since;
	uint8_t root[STORE_SHA256], issuing[STORE_SHA256], signer[STORE_SHA256];
	uint8_t spki[STORE_SHA256];
};

/* What devices shall trust, from the keys role and the configuration. */
struct registry_trust {
	Keys__Anchor **anchors;
	size_t anchor_count;
	Keys__Resolver **resolvers;
	size_t resolver_count;
};

struct registry {
	struct store *store;
	const struct clock *clock;
	const struct rng *rng;
	const struct log *log;
	struct registry_settings settings;
	const struct registry_trust *trust; /* NULL until keys has been heard */
	const Registry__CaData *ca;	    /* the same */
	const uint8_t *seal_point;	    /* 65 bytes, the same */
	uint64_t served;		    /* the change that the zone has come to */
	/* By registry_trust_changed; oldest first. */
	struct registry_epoch epochs[REGISTRY_EPOCHS_MAX];
	size_t epoch_count;
	/* Refuses what is no complete X.509 certificate; NULL accepts nothing. */
	enum rc (*asp_cert_check)(const uint8_t *der, size_t len, struct diag *d);
};

/* A zone change that the request made; core hands it to the zone after commit. */
struct registry_change {
	struct registry_change *next;
	struct store_change c;
};

/* Somebody who may be waiting for what the request made. */
struct registry_news {
	struct registry_news *next;
	char party[STORE_ID_MAX]; /* has a new poll message, or a job */
	bool poll;
	bool feed;   /* something in the provider's feed */
	int64_t job; /* a job that may now be handed out, 0 = none */
};

/* What keys and the password thread made for a request before it was executed. */
struct registry_made {
	const Keys__CertResult *cert;
	const Keys__IssuedParty *party;
	const char *password; /* Argon2id, encoded */
	bool login_checked;   /* registry_login was looked at: */
	bool login_good;
};

/* A password to be held against what is kept of it, and perhaps another to be kept. */
struct registry_login {
	const char *encoded;
	const char *password;
	const char *new_password; /* NULL: none */
};

/* One request on its way. Strings and messages live in `arena`. */
struct registry_run {
	/* given */
	struct registry *reg;
	struct arena *arena;
	enum registry_class class;
	const struct store_party *caller; /* NULL: nobody we know */
	/* A request by a device (request->cert_sha256) has no caller and few operations. */
	Registry__Request *request;
	int64_t now;
	bool planning;			/* look, say what is to be made, write nothing */
	const Keys__CertOrder *ordered; /* executing: the order that `made` answers, or NULL */
	struct registry_made made;

	/* results */
	Registry__Reply reply;
	const Keys__CertOrder *cert_order;	  /* planning: a certificate is needed */
	const Keys__IssueParty *party_order;	  /* planning: a login certificate is needed */
	const char *password_order;		  /* planning: this is to be hashed */
	const struct registry_login *login_order; /* planning: this is to be checked */
	const char *loser;			  /* the sponsor whom a profile leaves */
	const char *ended_cl_trid;		  /* the next poll message tells its end */
	const char *ended_sv_trid;
	bool again;	/* executing: what was made does not fit any more */
	bool keep;	/* a refusal whose writes stay (counted attempts) */
	bool uses_zone; /* the answer holds once the zone serves `change_seq` */
	uint64_t change_seq;
	bool held;    /* a feed: something is there, but the zone does not serve it yet */
	bool install; /* a payload is due */
	struct registry_change *changes;
	struct registry_change **changes_end;
	struct registry_news *news;
};

/* How core must treat an operation. */
enum registry_kind {
	REGISTRY_READ,	/* answered from committed state, at once */
	REGISTRY_WRITE, /* in a batch */
	REGISTRY_WAIT	/* a long poll: answered when there is something, or after its time */
};

struct registry_op {
	const char *name; /* "profile.activate": audit, logs */
	enum registry_kind kind;
	bool plans; /* may need keys or the password thread: plan first */
};

/* NULL: no such operation. */
const struct registry_op *registry_op(const Registry__Request *request);

/* Makes `run` ready; `caller` NULL when the certificate belongs to no party. */
void registry_run_init(struct registry_run *run, struct registry *reg, struct arena *arena,
	enum registry_class class, const struct store_party *caller, Registry__Request *request);

/* Does it: checks class, role and idempotency, calls the operation, fills run->reply. RC_OK: the
 * reply stands (a refusal too; then nothing was written unless run->keep). Other codes: storage
 * or memory failed, the reply says 2400. For a write the caller holds a savepoint. */
enum rc registry_execute(struct registry_run *run) ATT_MUST_CHECK;

/* Writes a refusal into the audit once its savepoint has been rolled back: of CSRs, results and
 * what ends or moves devices. */
enum rc registry_refusal(struct registry_run *run) ATT_MUST_CHECK;

/* An answer made by core itself. */
void registry_refuse(struct registry_run *run, Registry__Code code, const char *field,
	const char *fmt, ...) ATT_PRINTF(4, 5);

/* ---- what the registry does by itself; run->caller is NULL, run->request may be ---------- */

/* Ends up to `limit` certificates and jobs whose time is over; *more when there may be others. */
enum rc registry_sweep(struct registry_run *run, size_t limit, bool *more) ATT_MUST_CHECK;

/* Tells the parties whose answer was "pending" that `upto` is served. */
enum rc registry_published(
	struct registry_run *run, uint64_t upto, size_t limit, bool *more) ATT_MUST_CHECK;
/* Remembers that the caller was told "pending" for this request. */
enum rc registry_pending(struct registry_run *run, const struct registry_run *of) ATT_MUST_CHECK;

/* The apex (CERT and TLSA of the registry's CAs), written only when it differs. */
enum rc registry_apex(struct registry_run *run, const Keys__Public *public) ATT_MUST_CHECK;
/* Remembers what cards are made with. When what devices shall trust (reg->trust, reg->ca) is no
 * longer what their payloads say, all get new ones. */
enum rc registry_trust_changed(struct registry_run *run) ATT_MUST_CHECK;

/* The first party of a new registry; nothing happens when it exists. */
enum rc registry_bootstrap(
	struct registry_run *run, const uint8_t spki[STORE_SHA256]) ATT_MUST_CHECK;

/* What `out` saw at a service's own zone; the provider hears when it changes for the worse or back.
 */
enum rc registry_tlsa_found(struct registry_run *run, const char *service,
	const struct store_tlsa_found *found) ATT_MUST_CHECK;

/* Which files 06, 07, 0C a card is sent along with a payload. */
struct registry_trust_plan;

/* A payload that is to be signed. `basis` remembers from what it was made. */
struct registry_install {
	int64_t profile;
	uint64_t sequence;
	int64_t cert;
	int state;
	uint32_t due;
	bool with_cert;
	char service[STORE_HANDLE_MAX];
	const uint8_t *asp_cert; /* kit: file 03 */
	size_t asp_cert_len;
	const struct registry_trust_plan *plan;
};

/* Fills what keys must sign; *kit is NULL unless the profile's kind asks for kit files. RC_STATE:
 * nothing is due any more. */
enum rc registry_install_prepare(struct registry_run *run, int64_t profile,
	struct registry_install *basis, Keys__SignPayload **payload,
	Keys__SignKit **kit) ATT_MUST_CHECK;
/* Opens the job; when the profile has changed meanwhile it does nothing and the payload stays
 * due. */
enum rc registry_install_open(struct registry_run *run, const struct registry_install *basis,
	const Keys__SignedPayload *payload, const Keys__SignedKit *kit) ATT_MUST_CHECK;
/* It cannot be made (keys refused): the reason goes to the log, the payload is no longer due. */
enum rc registry_install_give_up(struct registry_run *run, const struct registry_install *basis,
	const char *why) ATT_MUST_CHECK;

/* The message form of a job for its operator. `job` from store_job_get or store_job_open. */
enum rc registry_job_message(
	struct registry_run *run, const struct store_job *job, Registry__Job **out) ATT_MUST_CHECK;
/* Whether an older open job of the same profile must end first. */
enum rc registry_job_blocked(
	struct registry_run *run, const struct store_job *job, bool *blocked) ATT_MUST_CHECK;

/* The content of a zone name as the zone role takes it; in `arena`. NULL: out of memory. */
Zone__Change *registry_change_message(const struct store_change *c, struct arena *arena);
/* The names besides the devices': apex and services, for a snapshot. */
enum rc registry_zone_fixed(struct registry *reg, struct arena *arena, struct store_change **out,
	size_t *n) ATT_MUST_CHECK;
