/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The registry's memory, asked in the registry's words. No SQL outside this folder; no rule
 * inside it. One store object is used by one thread. States, kinds and roles are the numbers
 * of proto/registry.proto. Functions return RC_OK, RC_NOT_FOUND (no such row), RC_EXISTS (a
 * unique value is taken), RC_CONFLICT (a referenced object is missing) or RC_IO. */

#include "base/arena.h"
#include "base/diag.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Limits of one row, in bytes with the NUL where text. */
#define STORE_ID_MAX	   17  /* party: EPP clID, 3-16 characters */
#define STORE_HANDLE_MAX   33  /* service handle, 1-32 */
#define STORE_ICCID_MAX	   21  /* 19 digits + f, or 20 digits */
#define STORE_EID_MAX	   33  /* SGP.22: 32 digits */
#define STORE_NAME_MAX	   129 /* a party's name for people */
#define STORE_FQDN_MAX	   254 /* RFC 1035 section 2.3.4 */
#define STORE_URL_MAX	   513
#define STORE_PASSWORD_MAX 129 /* Argon2id in its encoded form */
#define STORE_SHA256	   32
#define STORE_SALT	   16
#define STORE_NONCE	   16 /* formats section 3 */
#define STORE_MAKER_MAX	   64 /* a card maker's name */

struct store;

/* A blob whose bytes belong to whoever filled it in; the store copies, or allocates in an arena. */
struct store_blob {
	const uint8_t *bytes;
	size_t len;
};

struct store_party {
	char id[STORE_ID_MAX];
	char name[STORE_NAME_MAX];
	uint32_t roles; /* bit 1 << ROLE_x */
	bool has_spki;
	uint8_t spki[STORE_SHA256];
	char password[STORE_PASSWORD_MAX]; /* "" = no password login */
	int64_t created;
};

struct store_pin {
	uint32_t usage;
	uint32_t selector;
	uint32_t matching;
	struct store_blob data;
};

struct store_service {
	char handle[STORE_HANDLE_MAX];
	char asp[STORE_ID_MAX];
	char fqdn[STORE_FQDN_MAX];
	char url[STORE_URL_MAX];
	char td_url[STORE_URL_MAX];
	uint32_t port;
	bool publish_tlsa;
	bool has_td;
	uint8_t td_sha256[STORE_SHA256];
	struct store_blob asp_cert;
	struct store_blob wifi_sealed;
	int64_t created;
};

struct store_device {
	int64_t id;
	char iccid[STORE_ICCID_MAX];
	char eid[STORE_EID_MAX];
	char imei[17];
	char mno[STORE_ID_MAX];
	char owner[STORE_ID_MAX];
	bool locked;
	bool stolen;
	bool broken;
	bool has_claim;
	uint8_t claim_salt[STORE_SALT];
	uint8_t claim_sha256[STORE_SHA256];
	uint32_t claim_tries;
	int64_t claim_tried;
	int64_t created;
};

struct store_iccid {
	char iccid[STORE_ICCID_MAX];
	char mno[STORE_ID_MAX];
	int64_t since;
	int64_t until; /* 0 = current */
};

struct store_cert {
	int64_t id; /* 0 = none */
	int64_t profile;
	uint8_t sha256[STORE_SHA256];
	uint8_t spki[STORE_SHA256];
	int state;
	int64_t not_before;
	int64_t not_after;
	char service[STORE_HANDLE_MAX];
};

enum store_key_state { STORE_KEY_NONE, STORE_KEY_IN_USE, STORE_KEY_REVOKED };

struct store_key {
	int64_t id; /* 0 = none */
	uint8_t spki[STORE_SHA256];
	int64_t device;
	uint32_t slot;
	enum store_key_state state;
	struct store_blob csr;	   /* filled by store_key_get only */
	struct store_blob b_point; /* as csr */
};

/* A profile's own columns. */
struct store_profile {
	int64_t id;
	int64_t device;
	uint32_t slot;
	char sponsor[STORE_ID_MAX];
	char service[STORE_HANDLE_MAX];
	int state;
	int kind;
	bool wipe_pending;
	uint32_t install_due; /* reasons since the last payload to send another; 0 = none */
	uint64_t sequence;
	int64_t pending_job;
	uint32_t attempts; /* jobs of this profile that failed since one succeeded */
	int64_t cert;
	int64_t key;
	int64_t card_cert;	/* certificate the card has confirmed */
	uint64_t card_sequence; /* payload the card has confirmed */
	bool has_auth;
	uint8_t auth_salt[STORE_SALT];
	uint8_t auth_sha256[STORE_SHA256];
	int64_t auth_expires;
	uint32_t auth_tries;
	int64_t created;
	int64_t updated;
};

/* A profile with all that a decision about it needs, read by one statement. */
struct store_profile_view {
	struct store_profile p;
	char iccid[STORE_ICCID_MAX];
	char eid[STORE_EID_MAX];
	char mno[STORE_ID_MAX];
	char owner[STORE_ID_MAX];
	bool locked;
	bool stolen;
	bool broken;
	struct store_cert cert;
	uint8_t key_spki[STORE_SHA256];
	enum store_key_state key_state;
};

struct store_job {
	int64_t id;
	int64_t profile;
	int kind;
	int state;
	char iccid[STORE_ICCID_MAX];
	uint32_t slot;
	char mno[STORE_ID_MAX];
	uint32_t attempt;
	bool has_nonce;
	uint8_t nonce[STORE_NONCE];
	int64_t cert;	   /* install: the certificate; keygen: the one that resulted */
	uint64_t sequence; /* install: of the payload */
	bool with_cert;	   /* install: file 02 goes along */
	struct store_blob payload;
	struct store_blob kit; /* packed registry.Job with the kit files only */
	char reason[129];
	bool has_result;
	uint8_t result_sha256[STORE_SHA256];
	int64_t not_after;
	int64_t created;
	int64_t closed;
	bool polled;	/* its operator has taken it from its queue */
	char cause[17]; /* block, wipe: why the card is asked */
};

struct store_change {
	uint64_t seq;
	char name[300]; /* relative to the zone; "" = apex */
	bool withdrawn;
	bool has_cert;
	uint8_t cert_sha256[STORE_SHA256];
	uint8_t spki_sha256[STORE_SHA256];
	int64_t not_after;
	struct store_blob records; /* service, apex, overlap: packed zone.Change */
	bool has_previous;	   /* a page of the zone: published beside cert_sha256 */
	uint8_t previous[STORE_SHA256];
};

struct store_poll {
	uint64_t id;
	int64_t date;
	const char *event;
	const char *name;
	const char *text;
	const char *who;	   /* who made the change; NULL counts as "" in all these */
	const char *trid;	   /* the svTRID of what made it */
	const char *ended_cl_trid; /* of a command that was answered as pending and has ended */
	const char *ended_sv_trid;
	int state; /* 0 none, 1 before, 2 after the change */
	struct store_blob object;
	const char *reason;
	const char *case_id;
};

#define STORE_MARK	8  /* tells apart two events with one position: after a restored backup */
#define STORE_OWNER_MAX 96 /* an owner name with its zone */

/* One event of a provider's feed; `kind` is proto/registry.proto's FeedKind. */
struct store_feed {
	uint64_t position;
	uint8_t mark[STORE_MARK];
	uint64_t seq; /* of the zone change that it tells of */
	int64_t date;
	int kind;
	char name[64];
	char owner_name[STORE_OWNER_MAX];
	char service[STORE_HANDLE_MAX];
	bool has_cert;
	uint8_t cert_sha256[STORE_SHA256];
};

/* Refused logins since the last good one, and when that was. */
struct store_login {
	uint32_t failed;
	int64_t last;
};

#define STORE_TRID_MAX 65 /* EPP: 3-64 characters */

/* The last transfer of a profile; `status` is EPP's trStatus. */
struct store_transfer {
	int64_t profile;
	char status[16];
	char requester[STORE_ID_MAX];
	char service[STORE_HANDLE_MAX];
	int64_t requested;
	char actor[STORE_ID_MAX]; /* who acted, or is to act */
	int64_t act_date;	  /* when, or until when */
};

struct store_maintenance {
	char id[33];
	char target[STORE_NAME_MAX];
	char impact[8];
	int64_t begins, ends;
	bool emergency;
	char description[STORE_URL_MAX];
	int64_t created;
	int64_t updated; /* 0: never */
	bool deleted;
};

struct store_wait {
	int64_t id;
	uint64_t seq;
	char party[STORE_ID_MAX];
	char name[64];
	char operation[32];
	char cl_trid[STORE_TRID_MAX];
	char sv_trid[STORE_TRID_MAX];
};

struct store_idem {
	uint8_t request_sha256[STORE_SHA256];
	struct store_blob reply;
	uint64_t seq;
	int64_t expires;
};

struct store_audit {
	uint64_t seq;
	int64_t time;
	const char *party;
	const char *operation;
	const char *object;
	const char *detail;
	uint8_t hash[STORE_SHA256];
	const char *node; /* whose chain it is in; "": there are no nodes */
};

/* Which objects a list shows: all (operator), or those a party sponsors, operates or owns. */
enum store_side { STORE_ALL, STORE_SPONSOR, STORE_MNO, STORE_OWNER };

/* ---- the store itself ------------------------------------------------------------------- */

/* Opens or creates the SQLite database `path`, brings its schema up to date. A read-only store
 * (`writable` false) sees committed states only. RC_UNSUPPORTED: the schema is newer than we. */
enum rc store_sqlite_open(
	const char *path, bool writable, struct store **out, struct diag *d) ATT_MUST_CHECK;
/* The same for a PostgreSQL database, "postgresql://..." or "postgres://..." as libpq reads it. A
 * lost connection is opened again by the next transaction or question. */
enum rc store_postgres_open(
	const char *url, bool writable, struct store **out, struct diag *d) ATT_MUST_CHECK;
/* Either: a URL, or else the path of an SQLite database. */
bool store_is_url(const char *database);
enum rc store_open(
	const char *database, bool writable, struct store **out, struct diag *d) ATT_MUST_CHECK;
void store_close(struct store *s);
/* After a failure in a transaction: true when the same may be tried again from store_begin on
 * and nothing of it was done (a lost connection, a lock held for too long, a deadlock). */
bool store_may_retry(const struct store *s);
/* Whether the database can be reached as far as is known, and how often that ended. */
bool store_connected(const struct store *s);
uint64_t store_lost(const struct store *s);

/* The last error in words, without values of rows. */
const char *store_why(const struct store *s);

/* A thread with a connection of its own that moves the write-ahead log into the database, so
 * that no commit waits for it. Call after confinement. NULL-safe; for a URL *out is NULL. */
struct store_checkpointer;
enum rc store_checkpointer_start(
	const char *path, struct store_checkpointer **out, struct diag *d) ATT_MUST_CHECK;
/* Looks at the log of the writer `s`: wakes the thread when it has grown, and now and then copies
 * the rest here. For after the answers of a batch. */
void store_checkpointer_note(struct store_checkpointer *c, struct store *s);
void store_checkpointer_stop(struct store_checkpointer *c);
/* Pages in the write-ahead log after the last commit of this store. */
int store_wal_pages(const struct store *s);

/* One transaction per batch, one savepoint per request in it. On PostgreSQL store_begin waits for
 * the transactions of other nodes and counts on from theirs. Rolling back to the savepoint
 * also takes back the change numbers and the audit rows of the request. store_read_begin holds
 * one committed state for many reads. */
enum rc store_begin(struct store *s) ATT_MUST_CHECK;
enum rc store_commit(struct store *s) ATT_MUST_CHECK;
void store_rollback(struct store *s);
enum rc store_savepoint(struct store *s) ATT_MUST_CHECK;
enum rc store_savepoint_release(struct store *s) ATT_MUST_CHECK;
enum rc store_savepoint_rollback(struct store *s) ATT_MUST_CHECK;
enum rc store_read_begin(struct store *s) ATT_MUST_CHECK;
void store_read_end(struct store *s);

/* A named value of the registry itself (zone name, apex content); the value goes to `a`. */
enum rc store_setting_get(
	struct store *s, const char *name, struct arena *a, struct store_blob *out) ATT_MUST_CHECK;
enum rc store_setting_put(
	struct store *s, const char *name, struct store_blob value) ATT_MUST_CHECK;

/* ---- parties and services --------------------------------------------------------------- */

enum rc store_party_add(struct store *s, const struct store_party *p) ATT_MUST_CHECK;
enum rc store_party_get(struct store *s, const char *id, struct store_party *out) ATT_MUST_CHECK;
enum rc store_party_by_spki(
	struct store *s, const uint8_t spki[STORE_SHA256], struct store_party *out) ATT_MUST_CHECK;
enum rc store_party_list(struct store *s, const char *after, size_t limit, struct arena *a,
	struct store_party **out, size_t *n) ATT_MUST_CHECK;

enum rc store_service_add(struct store *s, const struct store_service *v,
	const struct store_pin *pins, size_t pin_count) ATT_MUST_CHECK;
/* Replaces every column but handle, asp and created, and all pins. */
enum rc store_service_save(struct store *s, const struct store_service *v,
	const struct store_pin *pins, size_t pin_count) ATT_MUST_CHECK;
/* Its handle stays taken; what was secret or large in it goes. */
enum rc store_service_delete(struct store *s, const char *handle, int64_t now) ATT_MUST_CHECK;
/* RC_OK when the handle is or was somebody's; when a profile is bound to the service. */
enum rc store_service_taken(struct store *s, const char *handle) ATT_MUST_CHECK;
enum rc store_service_bound(struct store *s, const char *handle) ATT_MUST_CHECK;
/* Blobs go to `a`; a NULL arena leaves them empty. */
enum rc store_service_get(struct store *s, const char *handle, struct arena *a,
	struct store_service *out) ATT_MUST_CHECK;
enum rc store_service_pins(struct store *s, const char *handle, struct arena *a,
	struct store_pin **out, size_t *n) ATT_MUST_CHECK;
/* `asp` "" lists all. Blobs are left empty. */
enum rc store_service_list(struct store *s, const char *asp, const char *after, size_t limit,
	struct arena *a, struct store_service **out, size_t *n) ATT_MUST_CHECK;

/* ---- devices ---------------------------------------------------------------------------- */

/* Sets d->id and opens its ICCID history. */
enum rc store_device_add(struct store *s, struct store_device *d) ATT_MUST_CHECK;
enum rc store_device_by_iccid(
	struct store *s, const char *iccid, struct store_device *out) ATT_MUST_CHECK;
/* Owner, locks, flags, IMEI and the counted claim attempts. */
enum rc store_device_save(struct store *s, const struct store_device *d) ATT_MUST_CHECK;
enum rc store_device_list(struct store *s, enum store_side side, const char *party, int64_t after,
	size_t limit, struct arena *a, struct store_device **out, size_t *n) ATT_MUST_CHECK;
enum rc store_device_history(struct store *s, int64_t device, struct arena *a,
	struct store_iccid **out, size_t *n) ATT_MUST_CHECK;
enum rc store_consent_add(struct store *s, int64_t device, const char *asp) ATT_MUST_CHECK;
enum rc store_consent_remove(struct store *s, int64_t device, const char *asp) ATT_MUST_CHECK;
enum rc store_consent_drop_all(struct store *s, int64_t device) ATT_MUST_CHECK;
/* RC_OK when given, RC_NOT_FOUND when not. */
enum rc store_consent_check(struct store *s, int64_t device, const char *asp) ATT_MUST_CHECK;
enum rc store_consent_list(
	struct store *s, int64_t device, struct arena *a, char ***out, size_t *n) ATT_MUST_CHECK;
/* Slots of the device that are not deleted, as a bit mask 1 << slot. */
enum rc store_device_slots(struct store *s, int64_t device, uint32_t *mask) ATT_MUST_CHECK;
/* RC_OK when `party` sponsors a profile on the device. */
enum rc store_device_sponsored(struct store *s, int64_t device, const char *party) ATT_MUST_CHECK;

/* ---- profiles, certificates, keys ------------------------------------------------------- */

enum rc store_profile_add(struct store *s, struct store_profile *p) ATT_MUST_CHECK;
/* State, flags, sequences, certificate and key; what an activation changes. */
enum rc store_profile_save(struct store *s, const struct store_profile *p) ATT_MUST_CHECK;
/* Sponsor, service, kind, authInfo and creation too. */
enum rc store_profile_save_all(struct store *s, const struct store_profile *p) ATT_MUST_CHECK;
/* Deleted slots are found too. */
enum rc store_profile_get(struct store *s, const char *iccid, uint32_t slot,
	struct store_profile_view *out) ATT_MUST_CHECK;
enum rc store_profile_by_id(
	struct store *s, int64_t id, struct store_profile_view *out) ATT_MUST_CHECK;
/* Not deleted, after (device, slot), of one service when it is not "". */
enum rc store_profile_list(struct store *s, enum store_side side, const char *party,
	const char *service, int64_t after_device, uint32_t after_slot, size_t limit,
	struct arena *a, struct store_profile_view **out, size_t *n) ATT_MUST_CHECK;
/* Profiles with install_due, lowest id first, ids over `after`. */
enum rc store_profile_due(
	struct store *s, int64_t after, size_t limit, int64_t *out, size_t *n) ATT_MUST_CHECK;
/* Every activated profile of a service gets a new payload. */
enum rc store_profile_due_service(struct store *s, const char *service) ATT_MUST_CHECK;
/* Every activated profile gets a new payload. */
enum rc store_profile_due_all(struct store *s) ATT_MUST_CHECK;
/* Profiles whose valid certificate ended at or before `now`. */
enum rc store_profile_expired(
	struct store *s, int64_t now, size_t limit, int64_t *out, size_t *n) ATT_MUST_CHECK;

/* Sets c->id. */
enum rc store_cert_add(struct store *s, struct store_cert *c, struct store_blob der) ATT_MUST_CHECK;
enum rc store_cert_state(struct store *s, int64_t id, int state) ATT_MUST_CHECK;
enum rc store_cert_get(struct store *s, int64_t id, struct arena *a, struct store_cert *out,
	struct store_blob *der) ATT_MUST_CHECK;

/* A certificate by its hash, without its bytes. RC_NOT_FOUND. */
enum rc store_cert_by_sha256(
	struct store *s, const uint8_t sha256[STORE_SHA256], struct store_cert *out) ATT_MUST_CHECK;

/* Sets k->id. RC_EXISTS: the key is known already, whoever has it. */
enum rc store_key_add(struct store *s, struct store_key *k) ATT_MUST_CHECK;
enum rc store_key_get(
	struct store *s, int64_t id, struct arena *a, struct store_key *out) ATT_MUST_CHECK;
/* Without csr and b_point. */
enum rc store_key_by_spki(
	struct store *s, const uint8_t spki[STORE_SHA256], struct store_key *out) ATT_MUST_CHECK;
enum rc store_key_revoke(struct store *s, int64_t id) ATT_MUST_CHECK;

/* ---- the operator's side (operator.c) --------------------------------------------------- */

/* The maker's certificate of a card's attestation key. RC_NOT_FOUND. */
enum rc store_attest_set(struct store *s, int64_t device, struct store_blob cert) ATT_MUST_CHECK;
enum rc store_attest_get(
	struct store *s, int64_t device, struct arena *a, struct store_blob *out) ATT_MUST_CHECK;
enum rc store_attest_drop(struct store *s, int64_t device) ATT_MUST_CHECK;
/* Who vouches that a key lives on its SIM. RC_NOT_FOUND: nobody. */
enum rc store_key_prove(struct store *s, const uint8_t spki[STORE_SHA256], const char *maker,
	int64_t now) ATT_MUST_CHECK;
enum rc store_key_proven(struct store *s, const uint8_t spki[STORE_SHA256],
	char maker[STORE_MAKER_MAX]) ATT_MUST_CHECK;

/* The right to take a device over. */
struct store_move {
	char move_to[STORE_ID_MAX]; /* "": nobody by name */
	bool has_auth;
	uint8_t auth_salt[STORE_SALT];
	uint8_t auth_sha256[STORE_SHA256];
	int64_t auth_expires;
	uint32_t auth_tries;
};
/* RC_NOT_FOUND: nobody has any. */
enum rc store_move_get(struct store *s, int64_t device, struct store_move *out) ATT_MUST_CHECK;
enum rc store_move_set(
	struct store *s, int64_t device, const struct store_move *move) ATT_MUST_CHECK;
enum rc store_move_drop(struct store *s, int64_t device) ATT_MUST_CHECK;

/* The last change of operator of a device; `status` is EPP's trStatus. */
struct store_moving {
	int64_t device;
	char status[16];
	char requester[STORE_ID_MAX];
	int64_t requested;
	char actor[STORE_ID_MAX]; /* who acted, or is to act */
	int64_t act_date;	  /* when, or until when */
	char iccid[STORE_ICCID_MAX];
	char new_iccid[STORE_ICCID_MAX];
	bool has_claim; /* of the new SIM */
	uint8_t claim_salt[STORE_SALT];
	uint8_t claim_sha256[STORE_SHA256];
	struct store_blob attest_cert; /* of the new SIM; len 0: none */
};
/* RC_NOT_FOUND: there was none. The blob is in `a`. */
enum rc store_moving_get(
	struct store *s, int64_t device, struct arena *a, struct store_moving *out) ATT_MUST_CHECK;
/* Replaces the device's last one. */
enum rc store_moving_save(struct store *s, const struct store_moving *m) ATT_MUST_CHECK;
enum rc store_moving_drop(struct store *s, int64_t device) ATT_MUST_CHECK;
/* Devices whose change of operator has waited long enough. */
enum rc store_moving_due(
	struct store *s, int64_t now, size_t limit, int64_t *out, size_t *n) ATT_MUST_CHECK;
/* Gives `d` its new ICCID, which nobody has, MNO and claim (already in *d); the history goes on. */
enum rc store_device_rename(
	struct store *s, const struct store_device *d, int64_t now) ATT_MUST_CHECK;
/* Ids of the profiles of a device that are not deleted, by slot; *n at most `limit`. */
enum rc store_device_profiles(
	struct store *s, int64_t device, size_t limit, int64_t *out, size_t *n) ATT_MUST_CHECK;
/* Marks a profile as suspended by an eSIM event; takes the mark away (RC_NOT_FOUND: none). */
enum rc store_esim_mark(struct store *s, int64_t profile) ATT_MUST_CHECK;
/* RC_OK when it has the mark, RC_NOT_FOUND when not. */
enum rc store_esim_marked(struct store *s, int64_t profile) ATT_MUST_CHECK;
enum rc store_esim_take(struct store *s, int64_t profile) ATT_MUST_CHECK;

/* The end of a stewardship: lists and look-ups do not find the device any more. */
enum rc store_device_remove(struct store *s, int64_t device, int64_t now) ATT_MUST_CHECK;
/* A removed device whose ICCID comes back is the same one again: fills d->id, opens its history.
 * RC_NOT_FOUND: no such one, or another has that EID. */
enum rc store_device_revive(struct store *s, struct store_device *d, int64_t now) ATT_MUST_CHECK;
/* RC_OK when a device has that ICCID, a removed one too. */
enum rc store_device_known(struct store *s, const char *iccid) ATT_MUST_CHECK;
/* Slots, deleted ones too, whose card has not confirmed a block or wipe, as a bit mask 1 << slot.
 */
enum rc store_device_wipes(struct store *s, int64_t device, uint32_t *mask) ATT_MUST_CHECK;

/* Who reported what of a device. */
struct store_flag {
	char flag[9]; /* stolen, broken */
	char who[STORE_ID_MAX];
	int64_t since;
	char reason[129];
};
/* The first report stands until it is dropped. */
enum rc store_flag_set(
	struct store *s, int64_t device, const struct store_flag *flag) ATT_MUST_CHECK;
enum rc store_flag_drop(struct store *s, int64_t device, const char *flag) ATT_MUST_CHECK;
enum rc store_flag_list(struct store *s, int64_t device, struct arena *a, struct store_flag **out,
	size_t *n) ATT_MUST_CHECK;

/* ---- renewals (lifecycle.c) ------------------------------------------------------------- */

/* The certificate before a profile's present one, while both are published. */
enum rc store_overlap_put(
	struct store *s, int64_t profile, int64_t cert, int64_t ends) ATT_MUST_CHECK;
/* RC_NOT_FOUND: there is none. */
enum rc store_overlap_get(
	struct store *s, int64_t profile, struct store_cert *out, int64_t *ends) ATT_MUST_CHECK;
enum rc store_overlap_drop(struct store *s, int64_t profile) ATT_MUST_CHECK;
/* Profiles whose overlap ended at or before `now`. */
enum rc store_overlap_due(
	struct store *s, int64_t now, size_t limit, int64_t *out, size_t *n) ATT_MUST_CHECK;

/* ---- what cards trust (trust.c) --------------------------------------------------------- */

/* As the card confirmed it; see schema/011. Of another ICCID than the device's: of a SIM that the
 * profile has left. */
struct store_card_trust {
	char iccid[STORE_ICCID_MAX];
	uint8_t root[STORE_SHA256], issuing[STORE_SHA256], signer[STORE_SHA256];
	uint8_t spki[STORE_SHA256];
	bool has_announced;
	uint8_t announced[STORE_SHA256];
	int64_t ready;
};
enum rc store_card_trust_put(
	struct store *s, int64_t profile, const struct store_card_trust *t) ATT_MUST_CHECK;
/* RC_NOT_FOUND: what its SIM came with. */
enum rc store_card_trust_get(
	struct store *s, int64_t profile, struct store_card_trust *out) ATT_MUST_CHECK;
/* Profiles whose devices may now be given payloads by the key that was announced. */
enum rc store_card_trust_ready(struct store *s, int64_t now, const uint8_t spki[STORE_SHA256],
	size_t limit, int64_t *out, size_t *n) ATT_MUST_CHECK;
/* Profiles that were ever given a payload; of these, those that know a key that is to come, and
 * those whose card has another key than `spki`, SIMs from before `since` counted so. */
struct store_signer_counts {
	int64_t profiles, known, left;
};
enum rc store_signer_count(struct store *s, const uint8_t next[STORE_SHA256],
	const uint8_t spki[STORE_SHA256], int64_t since,
	struct store_signer_counts *out) ATT_MUST_CHECK;

struct store_receipt {
	char file[9];
	struct store_blob por;
	int64_t received;
};
enum rc store_receipt_list(struct store *s, int64_t job, struct arena *a,
	struct store_receipt **out, size_t *n) ATT_MUST_CHECK;

/* ---- jobs ------------------------------------------------------------------------------- */

/* Sets j->id. */
enum rc store_job_add(struct store *s, struct store_job *j) ATT_MUST_CHECK;
enum rc store_job_get(
	struct store *s, int64_t id, struct arena *a, struct store_job *out) ATT_MUST_CHECK;
/* Ends a job: state, reason, cert, hash of the accepted result; drops its payload and kit. */
enum rc store_job_close(struct store *s, const struct store_job *j) ATT_MUST_CHECK;
/* Open jobs of an MNO with ids over `after`, oldest first. */
enum rc store_job_open(struct store *s, const char *mno, int64_t after, size_t limit,
	struct arena *a, struct store_job **out, size_t *n) ATT_MUST_CHECK;
/* Ids of the open jobs of a profile, oldest first; *n at most `limit`. */
enum rc store_job_of_profile(
	struct store *s, int64_t profile, int64_t *out, size_t limit, size_t *n) ATT_MUST_CHECK;
/* The newest job of a kind of a profile, whatever became of it. RC_NOT_FOUND. */
enum rc store_job_last(struct store *s, int64_t profile, int kind, int64_t *id) ATT_MUST_CHECK;
/* Open jobs with not_after <= now. */
enum rc store_job_expired(
	struct store *s, int64_t now, size_t limit, int64_t *out, size_t *n) ATT_MUST_CHECK;
/* The jobs of an MNO that stand in its queue: open, not acknowledged there, and not behind an older
 * one for the same slot. The oldest and how many; RC_NOT_FOUND when none. */
enum rc store_job_queue_head(struct store *s, const char *mno, struct arena *a,
	struct store_job *out, uint32_t *count) ATT_MUST_CHECK;
/* Takes a job out of the queue; it stays open. */
enum rc store_job_queue_take(struct store *s, const char *mno, int64_t id) ATT_MUST_CHECK;
enum rc store_receipt_add(struct store *s, int64_t job, const char *file, struct store_blob por,
	int64_t received) ATT_MUST_CHECK;

/* ---- the zone --------------------------------------------------------------------------- */

/* Takes the next sequence number and writes the row. */
enum rc store_change_add(struct store *s, struct store_change *c) ATT_MUST_CHECK;
/* The highest number ever taken (in the open transaction, with what it took). */
uint64_t store_change_last(const struct store *s);
/* The lowest number still kept, last + 1 when none. */
enum rc store_change_first(struct store *s, uint64_t *out) ATT_MUST_CHECK;
/* Changes of (after, upto] in order, of which a later one of the same name is not in there too. */
enum rc store_change_list(struct store *s, uint64_t after, uint64_t upto, bool withdrawn_only,
	size_t limit, struct arena *a, struct store_change **out, size_t *n) ATT_MUST_CHECK;
enum rc store_change_prune(struct store *s, uint64_t below, size_t limit) ATT_MUST_CHECK;
/* Device records of the zone as they stand, for a snapshot: activated profiles in pages. */
enum rc store_zone_page(struct store *s, int64_t after, size_t limit, struct arena *a,
	struct store_change **out, size_t *n, int64_t *next) ATT_MUST_CHECK;

enum rc store_wait_add(struct store *s, const struct store_wait *w) ATT_MUST_CHECK;
/* Waits with seq <= upto. */
enum rc store_wait_list(struct store *s, uint64_t upto, size_t limit, struct arena *a,
	struct store_wait **out, size_t *n) ATT_MUST_CHECK;
enum rc store_wait_remove(struct store *s, int64_t id) ATT_MUST_CHECK;

/* ---- EPP -------------------------------------------------------------------------------- */

enum rc store_login_get(struct store *s, const char *party, struct store_login *out) ATT_MUST_CHECK;
enum rc store_login_save(
	struct store *s, const char *party, const struct store_login *l) ATT_MUST_CHECK;
enum rc store_password_save(struct store *s, const char *party, const char *encoded) ATT_MUST_CHECK;
enum rc store_transfer_get(
	struct store *s, int64_t profile, struct store_transfer *out) ATT_MUST_CHECK;
/* Replaces the profile's last one. */
enum rc store_transfer_save(struct store *s, const struct store_transfer *t) ATT_MUST_CHECK;
enum rc store_transfer_remove(struct store *s, int64_t profile) ATT_MUST_CHECK;
/* Profiles whose transfer has waited long enough. */
enum rc store_transfer_due(
	struct store *s, int64_t now, size_t limit, int64_t *out, size_t *n) ATT_MUST_CHECK;
enum rc store_maintenance_add(struct store *s, const struct store_maintenance *m) ATT_MUST_CHECK;
/* All but id and created. */
enum rc store_maintenance_save(struct store *s, const struct store_maintenance *m) ATT_MUST_CHECK;
/* Deleted ones too. */
enum rc store_maintenance_get(
	struct store *s, const char *id, struct store_maintenance *out) ATT_MUST_CHECK;
/* Those that end after `now`, in the order of their beginning. */
enum rc store_maintenance_list(struct store *s, int64_t now, size_t limit, struct arena *a,
	struct store_maintenance **out, size_t *n) ATT_MUST_CHECK;
/* The command that a profile's card makes wait; taking it forgets it. */
enum rc store_pending_save(
	struct store *s, int64_t profile, const char *cl, const char *sv) ATT_MUST_CHECK;
enum rc store_pending_take(struct store *s, int64_t profile, struct arena *a, const char **cl,
	const char **sv) ATT_MUST_CHECK;

/* ---- poll, idempotency, audit ----------------------------------------------------------- */

enum rc store_poll_add(
	struct store *s, const char *party, const struct store_poll *m) ATT_MUST_CHECK;
/* The oldest message and how many there are; RC_NOT_FOUND when none. */
enum rc store_poll_head(struct store *s, const char *party, struct arena *a, struct store_poll *out,
	uint32_t *count) ATT_MUST_CHECK;
enum rc store_poll_remove(struct store *s, const char *party, uint64_t id) ATT_MUST_CHECK;

enum rc store_idem_get(struct store *s, const char *party, const char *key, struct arena *a,
	struct store_idem *out) ATT_MUST_CHECK;
enum rc store_idem_put(struct store *s, const char *party, const char *key,
	const struct store_idem *i) ATT_MUST_CHECK;
enum rc store_idem_expire(struct store *s, int64_t now, size_t limit) ATT_MUST_CHECK;

/* ---- the providers' feeds --------------------------------------------------------------- */

/* Appends to the party's feed; fills in the position. */
enum rc store_feed_add(struct store *s, const char *party, struct store_feed *e) ATT_MUST_CHECK;
/* Events from `position` on, that one included. */
enum rc store_feed_list(struct store *s, const char *party, uint64_t position, size_t limit,
	struct arena *a, struct store_feed **out, size_t *n) ATT_MUST_CHECK;
/* The newest; RC_NOT_FOUND: the feed is empty. */
enum rc store_feed_head(struct store *s, const char *party, struct store_feed *out) ATT_MUST_CHECK;
/* Removes what is older than `date`, but never a party's newest event. */
enum rc store_feed_prune(struct store *s, int64_t date, size_t limit) ATT_MUST_CHECK;
/* Whether the party wants its events as poll messages too: RC_OK or RC_NOT_FOUND. */
enum rc store_feed_poll_get(struct store *s, const char *party) ATT_MUST_CHECK;
enum rc store_feed_poll_set(struct store *s, const char *party, bool on) ATT_MUST_CHECK;

/* ---- providers' services, makers, counts (provider.c) ------------------------------------- */

/* RC_NOT_FOUND: it has none. */
enum rc store_td_get(struct store *s, const char *service, struct arena *a,
	struct store_blob *out) ATT_MUST_CHECK;
/* Empty takes it away. */
enum rc store_td_set(struct store *s, const char *service, struct store_blob doc) ATT_MUST_CHECK;

enum store_tlsa {
	STORE_TLSA_UNCHECKED,
	STORE_TLSA_OK,		/* its zone names a pin of the service */
	STORE_TLSA_MISSING,	/* its zone proves that there is none */
	STORE_TLSA_MISMATCH,	/* there are some, none of them a pin of the service */
	STORE_TLSA_INSECURE,	/* its zone is not signed */
	STORE_TLSA_BOGUS,	/* signatures are wrong */
	STORE_TLSA_UNREACHABLE, /* the resolver did not answer */
	STORE_TLSA_STATES
};
struct store_tlsa_found {
	enum store_tlsa state;
	int64_t checked;
	char why[129];
};
/* RC_NOT_FOUND: never looked at. */
enum rc store_tlsa_get(
	struct store *s, const char *service, struct store_tlsa_found *out) ATT_MUST_CHECK;
enum rc store_tlsa_set(
	struct store *s, const char *service, const struct store_tlsa_found *found) ATT_MUST_CHECK;
/* Handles of services outside our zone that were looked at before `before`, oldest first. */
enum rc store_tlsa_due(struct store *s, int64_t before, size_t limit, struct arena *a, char ***out,
	size_t *n) ATT_MUST_CHECK;
/* How many services are in each state. */
enum rc store_tlsa_count(struct store *s, uint64_t out[STORE_TLSA_STATES]) ATT_MUST_CHECK;

struct store_maker {
	char id[48]; /* "eid:", "imei:" or "iccid:" before the number */
	char maker[STORE_ID_MAX];
	char model[65];
	int64_t confirmed;
};
enum rc store_maker_get(struct store *s, const char *id, struct store_maker *out) ATT_MUST_CHECK;
enum rc store_maker_set(
	struct store *s, const struct store_maker *m, struct store_blob signature) ATT_MUST_CHECK;

/* One number of a chargeback: who, for what, how many. */
struct store_count {
	const char *party;
	const char *what; /* a service, an owner, an operation */
	int state;	  /* of profiles */
	uint64_t n;
};
enum store_counted { STORE_COUNT_PROFILES, STORE_COUNT_DEVICES, STORE_COUNT_OPERATIONS };
/* `from` and `to` (not included) bound the operations; the others are as they stand. */
enum rc store_count(struct store *s, enum store_counted of, int64_t from, int64_t to,
	struct arena *a, struct store_count **out, size_t *n) ATT_MUST_CHECK;

/* Appends to the chain; fills in seq and hash. */
enum rc store_audit_add(struct store *s, struct store_audit *row) ATT_MUST_CHECK;
enum rc store_audit_list(struct store *s, uint64_t after, size_t limit, struct arena *a,
	struct store_audit **out, size_t *n) ATT_MUST_CHECK;
