/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What the files of registry/ share. */

#include "registry/registry.h"

#define ROLE_BIT(r) (1u << REGISTRY__ROLE__ROLE_##r)
#define CODE(c)	    REGISTRY__CODE__CODE_##c
#define STATE(s)    REGISTRY__PROFILE_STATE__STATE_##s
#define CERT(s)	    REGISTRY__CERT_STATE__CERT_##s
#define JOB(k)	    REGISTRY__JOB_KIND__JOB_##k
#define JOBSTATE(s) REGISTRY__JOB_STATE__JOBSTATE_##s

/* A refusal in one line: `return reg__no(run, CODE(RANGE), "slot", "slot is 1 to 9");` */
enum rc reg__no(struct registry_run *run, Registry__Code code, const char *field, const char *fmt,
	...) ATT_PRINTF(4, 5);
/* A storage or memory failure: 2400, and the code itself. */
enum rc reg__fail(struct registry_run *run, enum rc rc);
static inline bool reg__refused(const struct registry_run *run)
{
	return run->reply.code >= CODE(UNKNOWN_COMMAND);
}

bool reg__has_role(const struct registry_run *run, uint32_t role_bit);
bool reg__is_caller(const struct registry_run *run, const char *party);

/* ---- run.c: the frame of a command that was refused */
enum rc reg__keep_refused(struct registry_run *run) ATT_MUST_CHECK;

/* ---- words.c: forms of words ------------------------------------------------------------- */
/* Each answers with a refusal (and false) naming `field`. */
bool reg__iccid(struct registry_run *run, const char *text, char out[STORE_ICCID_MAX]);
bool reg__name(
	struct registry_run *run, const char *text, uint32_t *slot, char iccid[STORE_ICCID_MAX]);
bool reg__id(struct registry_run *run, const char *text, const char *field, int64_t *out);
bool reg__handle_ok(const char *text);
bool reg__host_ok(const char *text);
bool reg__text_ok(const char *text, size_t min, size_t max);
void reg__sha256(const void *a, size_t a_len, const void *b, size_t b_len, uint8_t out[32]);
size_t reg__limit(uint32_t asked);

/* ---- effects.c: what a change brings about ------------------------------------------------ */
enum rc reg__audit(struct registry_run *run, const char *object, const char *fmt, ...)
	ATT_PRINTF(3, 4) ATT_MUST_CHECK;
enum rc reg__poll(struct registry_run *run, const char *party, const char *event, const char *name,
	const char *fmt, ...) ATT_PRINTF(5, 6) ATT_MUST_CHECK;
enum rc reg__change(struct registry_run *run, struct store_change *c) ATT_MUST_CHECK;
/* Publishes or withdraws the records of a profile's certificate, and tells its sponsor's feed.
 * `instead`: of another certificate that was published for the same sponsor. */
enum rc reg__publish(
	struct registry_run *run, const struct store_profile_view *v, bool instead) ATT_MUST_CHECK;
enum rc reg__withdraw(struct registry_run *run, const struct store_profile_view *v) ATT_MUST_CHECK;
enum rc reg__news_job(struct registry_run *run, const char *mno, int64_t job) ATT_MUST_CHECK;

/* Somebody who may be waiting; NULL: no memory. */
struct registry_news *reg__news(struct registry_run *run, const char *party);

/* ---- feed.c: what the sponsor's servers must hear ------------------------------------------ */
/* `instead`: another certificate stood at this name and service until now. */
enum rc reg__feed_published(
	struct registry_run *run, const struct store_profile_view *v, bool instead) ATT_MUST_CHECK;
enum rc reg__feed_withdrawn(
	struct registry_run *run, const struct store_profile_view *v) ATT_MUST_CHECK;
/* The name has gone to another sponsor. */
enum rc reg__feed_lost(struct registry_run *run, const struct store_profile_view *v,
	const char *loser) ATT_MUST_CHECK;

/* The command that waited for this profile's card has ended: the next reg__poll says so. */
enum rc reg__ended(struct registry_run *run, int64_t profile) ATT_MUST_CHECK;

/* ---- tell.c: what others hear of a change -------------------------------------------------- */
/* An object as it was and is: packed PollObject. */
struct reg__tale {
	struct store_blob before, after;
	bool sponsor_knows; /* was told otherwise */
};
/* The state before, where somebody is to be told. */
enum rc reg__before_profile(struct registry_run *run, const struct store_profile_view *v,
	struct reg__tale *t) ATT_MUST_CHECK;
enum rc reg__before_device(
	struct registry_run *run, const struct store_device *d, struct reg__tale *t) ATT_MUST_CHECK;
/* One party, unless it is "" or made the change itself. */
enum rc reg__tell(struct registry_run *run, const char *party, const char *event, const char *name,
	const struct reg__tale *t, const char *fmt, ...) ATT_PRINTF(6, 7) ATT_MUST_CHECK;
/* The end of a transfer that waited, to those whom it concerns; the registry's own end of one to
 * the caller too. */
enum rc reg__tell_ended(struct registry_run *run, const char *const who[3], const char *name,
	Registry__Transfer *transfer) ATT_MUST_CHECK;
enum rc reg__shoot_service(struct registry_run *run, Registry__Service *service,
	struct store_blob *out) ATT_MUST_CHECK;
enum rc reg__shoot_transfer(struct registry_run *run, Registry__Transfer *transfer,
	struct store_blob *out) ATT_MUST_CHECK;
/* All whom the object concerns; the state after is taken here. */
enum rc reg__tell_profile(struct registry_run *run, const struct store_profile_view *v,
	const char *event, struct reg__tale *t, const char *fmt, ...)
	ATT_PRINTF(5, 6) ATT_MUST_CHECK;
enum rc reg__tell_device(struct registry_run *run, const struct store_device *d, const char *event,
	struct reg__tale *t, const char *fmt, ...) ATT_PRINTF(5, 6) ATT_MUST_CHECK;

/* ---- profile.c ---------------------------------------------------------------------------- */
/* Reads the profile named in a request for a caller who may see it; NULL: refused, or failed with
 * *rc set. Deleted ones are not found. */
struct store_profile_view *reg__profile(struct registry_run *run, const char *name, enum rc *rc);
/* Fills the reply's profile (and job id when not 0). */
enum rc reg__profile_reply(struct registry_run *run, const struct store_profile_view *v,
	const struct store_blob *der, int64_t job) ATT_MUST_CHECK;
enum rc reg__profile_message(struct registry_run *run, const struct store_profile_view *v,
	const struct store_blob *der, Registry__Profile **out) ATT_MUST_CHECK;
const char *reg__profile_name(struct registry_run *run, const struct store_profile_view *v);
bool reg__may_see(const struct registry_run *run, const struct store_profile_view *v);

struct reg__csr {
	struct store_blob bytes;
	bool stored;	      /* of the profile's key, already checked and bound */
	const uint8_t *nonce; /* STORE_NONCE, of the job that asked for it; NULL: none did */
};

/* ---- transfer.c, transfer_move.c ---------------------------------------------------------- */
/* Moves the profile: sponsor and service, and where it is activated a new certificate for the same
 * key. *done as with reg__issue; saved when done. */
enum rc reg__move(struct registry_run *run, struct store_profile_view *v, const char *sponsor,
	const char *service, struct store_blob *der, bool *done) ATT_MUST_CHECK;
/* Whether a transfer waits for an answer; *t is then it. */
enum rc reg__transfer_waits(struct registry_run *run, const struct store_profile_view *v,
	struct store_transfer *t, bool *waits) ATT_MUST_CHECK;
Registry__Transfer *reg__transfer_message(struct registry_run *run,
	const struct store_profile_view *v, const struct store_transfer *t);
/* The registry's own end of a transfer that waits: by time, or because the code came first. */
enum rc reg__transfer_expire(struct registry_run *run, int64_t profile) ATT_MUST_CHECK;

/* ---- activate.c --------------------------------------------------------------------------- */
/* The CSR that made the profile's key known. */
enum rc reg__stored_csr(struct registry_run *run, const struct store_profile_view *v,
	struct reg__csr *out) ATT_MUST_CHECK;

/* ---- device.c, deactivate.c, transfer.c: what devices that move share ----------------------- */
/* Whether the caller may see the device: its operator, owner, sponsors, those with consent. */
enum rc reg__device_seen(
	struct registry_run *run, const struct store_device *d, bool *seen) ATT_MUST_CHECK;
/* Reads a device that the caller may see; false: refused, or failed with *rc set. */
bool reg__device(struct registry_run *run, const char *text, struct store_device *d, enum rc *rc);
/* All of it: for the caller's eyes reg__device_answer. */
enum rc reg__device_message(struct registry_run *run, const struct store_device *d,
	Registry__Device **out) ATT_MUST_CHECK;
enum rc reg__device_answer(struct registry_run *run, const struct store_device *d) ATT_MUST_CHECK;
/* The key's end: it is revoked for ever, its certificate with it. */
enum rc reg__key_end(struct registry_run *run, struct store_profile_view *v) ATT_MUST_CHECK;
#define REG__CODE_LEN	    28
#define REG__CODE_TTL_MAX_S (30 * 86400)
/* A code of RFC 9154's strength, and what is kept of it. */
enum rc reg__code_make(struct registry_run *run, char code[REG__CODE_LEN + 1],
	uint8_t salt[STORE_SALT], uint8_t sha256[STORE_SHA256]) ATT_MUST_CHECK;
enum rc reg__code_answer(
	struct registry_run *run, const char *code, int64_t expires) ATT_MUST_CHECK;

/* ---- move.c: devices that change their operator -------------------------------------------- */
/* What operators see beside the rest: move_to, attestable. */
enum rc reg__device_extras(
	struct registry_run *run, const struct store_device *d, Registry__Device *m) ATT_MUST_CHECK;
/* The MNO's part of an update: F2, and who may take the device over. */
enum rc reg__device_set_extras(struct registry_run *run, const Registry__DeviceUpdate *m,
	const struct store_device *d) ATT_MUST_CHECK;

/* Gives the device the SIM that `m` names, of operator `mno`: nothing is asked any more about the
 * right to it. *d is then as it now stands. */
enum rc reg__device_take(struct registry_run *run, const Registry__DeviceTransfer *m,
	struct store_device *d, const char *mno) ATT_MUST_CHECK;
/* What is wrong with the new SIM in itself, or is not possible with the device now; *d gets what
 * `m` says. */
enum rc reg__device_may_take(struct registry_run *run, const Registry__DeviceTransfer *m,
	struct store_device *d, const char *mno) ATT_MUST_CHECK;
/* Whether the present MNO lets the caller have the device, or it is the caller's. */
enum rc reg__device_named(
	struct registry_run *run, const struct store_device *d, bool *named) ATT_MUST_CHECK;

/* ---- move_ask.c: those that the owner or the present operator answers ----------------------- */
/* Remembers a change of operator that was just made, and answers with it. */
enum rc reg__moving_made(struct registry_run *run, const struct store_device *was,
	const struct store_device *d) ATT_MUST_CHECK;
/* The registry's own end of one that waits. */
enum rc reg__moving_expire(struct registry_run *run, int64_t device) ATT_MUST_CHECK;
enum rc reg__moving_show(
	struct registry_run *run, const struct store_device *d, Registry__Device *m) ATT_MUST_CHECK;

/* ---- lifecycle.c: flags, the end of stewardship -------------------------------------------- */
/* Withdraws the records, suspends the certificate, has the card block the key and take the payload
 * away; `cause` goes with the job. v->p is saved. */
enum rc reg__turn_off(
	struct registry_run *run, struct store_profile_view *v, const char *cause) ATT_MUST_CHECK;
/* Who may set and lift flags, and what follows; `d` is as it was, changed on success. */
enum rc reg__device_flags(struct registry_run *run, const Registry__DeviceUpdate *m,
	struct store_device *d) ATT_MUST_CHECK;
enum rc reg__flags_show(
	struct registry_run *run, const struct store_device *d, Registry__Device *m) ATT_MUST_CHECK;
/* Whether the device is reported stolen or broken: refused then. */
bool reg__reported(struct registry_run *run, const struct store_profile_view *v);

/* ---- enrol.c: renewals with overlap --------------------------------------------------------- */
/* v->cert, which `next` replaces, stays published beside it where that is a renewal. */
enum rc reg__overlap_begin(struct registry_run *run, const struct store_profile_view *v,
	const struct store_cert *next) ATT_MUST_CHECK;
/* It does no longer; publishes the new one alone when there was one. */
enum rc reg__overlap_end(
	struct registry_run *run, const struct store_profile_view *v) ATT_MUST_CHECK;
/* RC_STATE: renewed so lately that verifiers may not see the new certificate yet; the card gets it
 * later, and goes on with the old one. */
enum rc reg__overlap_hold(
	struct registry_run *run, const struct store_profile_view *v) ATT_MUST_CHECK;
/* The forerunner, while it is published too. */
enum rc reg__overlap_show(struct registry_run *run, const struct store_profile_view *v,
	Registry__Profile *m) ATT_MUST_CHECK;
/* The record lists of two certificates of one key, packed as a zone change keeps them. */
enum rc reg__overlap_records(struct arena *a, const uint8_t cert[STORE_SHA256],
	const uint8_t previous[STORE_SHA256], const uint8_t spki[STORE_SHA256],
	struct store_blob *out) ATT_MUST_CHECK;
Registry__Certificate *reg__cert_message(
	struct registry_run *run, const struct store_cert *c, const struct store_blob *der);

/* ---- describe.c: a service's Thing Description and TLSA ------------------------------------- */
/* Takes the description of a message; false: refused. */
bool reg__td_take(struct registry_run *run, const Registry__Service *m, struct store_service *v,
	struct store_blob *doc);
/* After the service itself: `doc` as taken, or none. Looks at the TLSA anew when `moved`. */
enum rc reg__describe_save(struct registry_run *run, const struct store_service *v,
	const struct store_blob *doc, bool moved) ATT_MUST_CHECK;
enum rc reg__describe_show(struct registry_run *run, const struct store_service *v,
	Registry__Service *m) ATT_MUST_CHECK;

/* ---- maker.c -------------------------------------------------------------------------------- */
/* Who says that it made the device. */
enum rc reg__maker_show(
	struct registry_run *run, const struct store_device *d, Registry__Device *m) ATT_MUST_CHECK;

/* ---- service.c ---------------------------------------------------------------------------- */
/* The caller's own service, for a profile of `kind`; false: refused, or failed with *rc set. */
bool reg__own_service(struct registry_run *run, const char *handle, int kind, enum rc *rc);

/* Certificates begin a little in the past: devices' clocks are poor. */
#define REG__BACKDATE_S 300

/* ---- issue.c: certificates ---------------------------------------------------------------- */
/* Asks keys for a certificate of `v` as it now stands (planning: fills the order and returns with
 * *done false); executing: adds key and certificate, supersedes the old one, publishes, makes a
 * payload due, saves nothing of v->p. *done false also when refused or to be done again. */
enum rc reg__issue(struct registry_run *run, struct store_profile_view *v,
	const struct reg__csr *csr, struct store_blob *der, bool *done) ATT_MUST_CHECK;

/* Rows that one turn of a sweep takes. */
#define REG__SWEEP_MAX 256

/* ---- trust.c: whom cards trust ------------------------------------------------------------- */
/* A file of the card, n of formats section 1; no data: it stays as it is. */
struct reg__file {
	unsigned n;
	struct store_blob data;
};
enum { REG__TRUST_FILES = 3 };
struct registry_trust_plan {
	struct reg__file files[REG__TRUST_FILES]; /* 06, 07, 0C */
	bool known;				  /* `after` is to be kept once confirmed */
	struct store_card_trust after;
	bool by_former;	  /* signed by the key that the card still has */
	bool announces;	  /* after.announced goes into the payload */
	bool cas_changed; /* key 11 says so */
};
/* What the payload that is now due for `v` needs. */
enum rc reg__trust_plan(struct registry_run *run, const struct store_profile_view *v,
	struct registry_trust_plan *plan) ATT_MUST_CHECK;
/* Into the order: who signs, what is announced. */
void reg__trust_order(
	struct registry_run *run, const struct registry_trust_plan *plan, Keys__SignPayload *m);
/* The card has confirmed an install job. */
enum rc reg__trust_confirmed(struct registry_run *run, const struct store_profile_view *v,
	const Registry__JobExtra *extra) ATT_MUST_CHECK;
/* What the slot's card holds is unknown: all of it goes along with its next payload, which is due
 * when it is live. The caller saves v->p. */
enum rc reg__trust_forget(struct registry_run *run, struct store_profile_view *v) ATT_MUST_CHECK;
/* The same for every slot of a device. */
enum rc reg__trust_refresh(struct registry_run *run, const struct store_device *d) ATT_MUST_CHECK;
/* Payloads become due whose devices have had time to hear of the present signer. */
enum rc reg__trust_sweep(struct registry_run *run, size_t limit, size_t *n) ATT_MUST_CHECK;

/* ---- range.c: operators and their ICCIDs --------------------------------------------------- */
/* Does a row of the settings, "mno" or "mno/ICCID prefix", say so of this operator's SIM? */
bool reg__range_covers(const char *row, const char *mno, const char *iccid);
/* May this operator bring this ICCID? */
bool reg__range_ok(const struct registry_run *run, const char *mno, const char *iccid);

/* ---- attest.c: proofs that keys live on SIMs ----------------------------------------------- */
bool reg__attest_required(const struct registry_run *run, const struct store_profile_view *v);
/* What the order says of the proof. */
enum rc reg__attest_order(struct registry_run *run, const struct store_profile_view *v,
	const struct reg__csr *csr, Keys__CertOrder *o) ATT_MUST_CHECK;
/* Keeps what keys found, for the key now bound to `v`. */
enum rc reg__attest_keep(struct registry_run *run, const struct store_profile_view *v,
	const Keys__CertResult *r) ATT_MUST_CHECK;
enum rc reg__attest_show(struct registry_run *run, const struct store_profile_view *v,
	Registry__Profile *m) ATT_MUST_CHECK;

/* ---- job.c -------------------------------------------------------------------------------- */
/* Opens a job; sets v->p.pending_job. */
enum rc reg__job_open(struct registry_run *run, struct store_profile_view *v, int kind,
	uint32_t attempt, int64_t *id) ATT_MUST_CHECK;
/* For the card to block, unblock or destroy; `cause` is shown with its receipts. */
enum rc reg__job_order(struct registry_run *run, struct store_profile_view *v, int kind,
	const char *cause) ATT_MUST_CHECK;
enum rc reg__job_insert(struct registry_run *run, struct store_profile_view *v,
	struct store_job *job) ATT_MUST_CHECK;
/* The oldest open job of a kind (Registry__JobKind) of a profile; 0 when there is none. */
enum rc reg__job_find(struct registry_run *run, const struct store_profile_view *v, int kind,
	int64_t *id) ATT_MUST_CHECK;
/* Closes the open jobs of the profile whose kind is in `kinds` (bit 1 << kind), as superseded.
 * Those for a SIM that the device has left stay: nothing else ends the key there. */
enum rc reg__jobs_cancel(struct registry_run *run, struct store_profile_view *v, unsigned kinds,
	const char *why) ATT_MUST_CHECK;
#define REG__ALL_JOBS 0xffu
/* Whether a job is for the SIM that the device has now. */
bool reg__job_here(const struct store_profile_view *v, const struct store_job *job);

/* ---- operations --------------------------------------------------------------------------- */
typedef enum rc reg__handler(struct registry_run *run);
reg__handler reg__party_create, reg__party_info, reg__party_list;
reg__handler reg__service_create, reg__service_update, reg__service_info, reg__service_list;
reg__handler reg__service_delete;
reg__handler reg__inventory_load, reg__device_info, reg__device_list, reg__device_update;
reg__handler reg__device_set_auth, reg__device_transfer, reg__device_event, reg__device_delete;
reg__handler reg__device_move, reg__device_look, reg__profile_look;
reg__handler reg__profile_register, reg__profile_info, reg__profile_list;
reg__handler reg__profile_activate, reg__profile_deactivate, reg__profile_delete;
reg__handler reg__profile_set_auth, reg__profile_transfer;
reg__handler reg__job_wait, reg__job_info, reg__job_result;
reg__handler reg__login, reg__check, reg__profile_renew, reg__profile_rebind, reg__transfer_move;
reg__handler reg__maintenance_create, reg__maintenance_info;
reg__handler reg__maintenance_update, reg__maintenance_delete;
reg__handler reg__poll_request, reg__poll_ack;
reg__handler reg__signer_info, reg__ca_info, reg__audit_list, reg__seal_key, reg__health;
reg__handler reg__zone_keys, reg__zone_key_order;
reg__handler reg__feed_wait, reg__feed_set;
reg__handler reg__service_td, reg__maker_confirm, reg__count_list, reg__install_info;
reg__handler reg__profile_reenrol, reg__refusal;

/* Ends the profile's job in a way that failed: counts, tells, repeats what must not be dropped. */
enum rc reg__job_failed(struct registry_run *run, struct store_profile_view *v,
	struct store_job *job, int state, const char *reason) ATT_MUST_CHECK;
