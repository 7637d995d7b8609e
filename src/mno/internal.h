/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Inside mno/: a job's steps (task.c, no input or output), what survives a
 * restart (state.c), the SMS link, the registry's API, and the loop between. */

#include "base/clock.h"
#include "base/ident.h"
#include "base/secret.h"
#include "client/client.h"
#include "mno/mno.h"
#include "ota/concat.h"
#include "ota/remote.h"
#include "ota/scp80.h"
#include "ota/smslink.h"

#include <event2/event.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdbool.h>

#define MNO_FILES_MAX	 14    /* of one install job; there are fourteen numbers in a slot */
#define MNO_FILE_MAX	 16384 /* bytes: over the air that is 130 SMS */
#define MNO_CSR_MAX	 2048  /* with attestation 546 */
#define MNO_ID_MAX	 64    /* characters of a job's id */
#define MNO_REASON_MAX	 128
#define MNO_POR_MAX	 (SCP80_UD_MAX + 8)
#define MNO_SIMS_MAX	 1000000
#define MNO_CONFIG_MAX	 (256u << 20)
#define MNO_MSISDN_MAX	 16 /* ITU-T E.164: 15 digits */
#define MNO_COUNTER_STEP 16 /* counters taken from the state file at once */

/* ---- task.c: one job, step by step ---- */

enum mno_kind { MNO_KEYGEN, MNO_INSTALL, MNO_BLOCK, MNO_UNBLOCK, MNO_WIPE, MNO_STATUS, MNO_KINDS };
enum mno_outcome { MNO_RUNNING, MNO_OK, MNO_FAILED };

struct mno_file {
	uint8_t id;
	size_t len;
	uint8_t *data; /* owned */
	uint8_t sha256[REMOTE_HASH_LEN];
	bool done;
	size_t por_len; /* 0 when the card had the file already */
	uint8_t por[MNO_POR_MAX];
};

struct mno_task {
	struct mno_task *next; /* in a SIM's queue */
	char id[MNO_ID_MAX + 1];
	enum mno_kind kind;
	char iccid[IDENT_ICCID_TEXT];
	unsigned slot;
	unsigned attempt;
	int64_t not_after; /* seconds since 1970; 0: none */
	char owner_name[IDENT_OWNER_TEXT];
	uint8_t nonce[REMOTE_NONCE_LEN];
	size_t n_files;
	struct mno_file files[MNO_FILES_MAX];
	json_t *source; /* the job as it came */

	/* Progress. */
	enum mno_outcome outcome;
	char reason[MNO_REASON_MAX];
	bool look_first;	   /* install: ask STATUS what is there already */
	struct remote_write write; /* the file on its way */
	bool writing;
	struct { /* both as they were before the last packet was made */
		struct remote_write write;
		bool writing;
	} mark;
	uint8_t csr[MNO_CSR_MAX];
	size_t csr_len, csr_have; /* csr_len 0: not made yet */
	uint8_t csr_sha256[REMOTE_HASH_LEN];
	unsigned csr_made;   /* how often */
	unsigned begun_anew; /* files: how often */
	bool have_status;
	uint8_t status[REMOTE_STATUS_LEN];
	size_t por_len;
	uint8_t por[MNO_POR_MAX];
};

/* Reads a job (formats.md section 4). *out is new memory even when the job cannot be carried out
 * but has an id: then its outcome is MNO_FAILED. */
enum rc mno__task_new(const json_t *job, struct mno_task **out, struct diag *d) ATT_MUST_CHECK;
void mno__task_free(struct mno_task *t);
/* Appends the next packet's commands. Called once per step: the packet may be sent many times. */
enum rc mno__task_next(struct mno_task *t, struct put *p) ATT_MUST_CHECK;
/* The same step once more, for a packet of another size: nobody has answered the first. */
enum rc mno__task_anew(struct mno_task *t, struct put *p) ATT_MUST_CHECK;
/* Takes the card's proven answers to the last packet; t->outcome tells what came of it. */
void mno__task_answer(struct mno_task *t, struct cur answers, const uint8_t *por, size_t por_len);
void mno__task_fail(struct mno_task *t, const char *fmt, ...) ATT_PRINTF(2, 3);
/* What a restart needs to go on, and going on with it. */
json_t *mno__task_progress(const struct mno_task *t);
void mno__task_resume(struct mno_task *t, const json_t *progress);
/* Where it stands, in words: "install: writes 0D, 242 of 432 bytes". */
void mno__task_step(const struct mno_task *t, const json_t *progress, char *out, size_t cap);
/* The body of POST /v1/jobs/{id}/result. */
json_t *mno__task_result(const struct mno_task *t);
const char *mno__kind_text(enum mno_kind kind);

/* ---- state.c: SQLite; changes gather until the commit, and nothing may leave before it ---- */

struct mno_state;
enum rc mno__state_open(const char *path, struct mno_state **out, struct diag *d) ATT_MUST_CHECK;
void mno__state_close(struct mno_state *s);
/* What has changed since the last one is on disk when it returns. */
enum rc mno__state_commit(struct mno_state *s, struct diag *d) ATT_MUST_CHECK;
/* Takes `n` counters for a card; none of them is ever given again. */
enum rc mno__state_counters(struct mno_state *s, const char *iccid, uint64_t n, uint64_t *first,
	struct diag *d) ATT_MUST_CHECK;
enum rc mno__state_job_add(
	struct mno_state *s, const struct mno_task *t, struct diag *d) ATT_MUST_CHECK;
enum rc mno__state_job_progress(
	struct mno_state *s, const struct mno_task *t, struct diag *d) ATT_MUST_CHECK;
enum rc mno__state_job_done(
	struct mno_state *s, const char *id, const json_t *result, struct diag *d) ATT_MUST_CHECK;
enum rc mno__state_job_posted(struct mno_state *s, const char *id, struct diag *d) ATT_MUST_CHECK;
/* RC_NOT_FOUND; *result (may be NULL) is new, NULL unless the job is done. */
enum rc mno__state_job_find(struct mno_state *s, const char *id, enum mno_job_state *state,
	unsigned *attempt, json_t **result, struct diag *d) ATT_MUST_CHECK;
/* A packet of the job's step is on its way for the `tries`th time. */
enum rc mno__state_job_tries(
	struct mno_state *s, const char *id, unsigned tries, struct diag *d) ATT_MUST_CHECK;
/* Calls back for every job not posted, oldest first; what is NULL is not there. */
struct mno_kept {
	const char *id;
	enum mno_job_state state;
	const json_t *job, *progress, *result;
	unsigned tries;	 /* of the step */
	int64_t since_s; /* seconds since the card last answered, or the job came */
};
typedef void mno_state_each(void *user, const struct mno_kept *kept);
enum rc mno__state_each(
	struct mno_state *s, mno_state_each *each, void *user, struct diag *d) ATT_MUST_CHECK;
enum rc mno__state_counts(struct mno_state *s, uint64_t counts[3], struct diag *d) ATT_MUST_CHECK;

/* ---- config.c ---- */

struct mno_sim_key {
	char iccid[IDENT_ICCID_TEXT];
	uint8_t ef[IDENT_ICCID_LEN];
	unsigned kvn;
	char msisdn[MNO_MSISDN_MAX]; /* digits; "": none known */
	size_t at;		     /* offset of KIc in the keys; KID lies SCP80_KEY_MAX behind */
	size_t len;		     /* of each: 16, 24 or 32; 0: the token has them */
};

/* The registry's EPP server; host "": jobs come by HTTPS. */
struct mno_epp_config {
	char host[254], id[17], password[128];
	unsigned port, poll_ms;
};

struct mno_config {
	struct mno_epp_config epp;
	char *url, *ca, *cert, *key, *sms, *state;
	char *euicc; /* the eUICC manager's socket; NULL: none */
	struct {     /* host "": `sms` is a socket */
		char host[254], source[21], system_id[16], password[9];
		unsigned port, window, enquire_ms;
		char *tls_ca, *tls_cert, *tls_key, *tls_name; /* tls_ca NULL: in clear */
	} smpp;
	struct { /* module NULL: no token */
		char *module, *token, *pin_file;
	} pkcs11;
	uint8_t tar[SCP80_TAR_LEN];
	bool por_submit;	 /* receipts by SMS-SUBMIT (SPI 16 39), else by DELIVER-REPORT */
	unsigned por_timeout_ms; /* of the first try; doubles up to por_timeout_max_ms */
	unsigned por_timeout_max_ms;
	size_t n_sims;
	struct mno_sim_key *sims; /* sorted by ef */
	size_t n_msisdns;
	const struct mno_sim_key **by_msisdn; /* those that have one, sorted by it */
	struct secret keys;
};
/* `sims` not NULL: also the list as it stands there, its keys wiped; json_decref it. */
enum rc mno__config_read(
	const char *path, struct mno_config *out, json_t **sims, struct diag *d) ATT_MUST_CHECK;
void mno__config_fini(struct mno_config *c);
/* sealed.c: the list of SIMs of a sealed file. RC_AUTH: another key, or changed bytes. */
enum rc mno__sims_unseal(
	const char *path, const char *key_path, json_t **out, struct diag *d) ATT_MUST_CHECK;

/* ---- link.c: the stream to the SMS centre, always trying ---- */

struct mno_link;
struct mno_link_calls {
	void (*up)(void *user);
	void (*sms)(
		void *user, const uint8_t iccid[IDENT_ICCID_LEN], const uint8_t *ud, size_t len);
	/* An SMS of that packet has reached the SIM, or never will. Not all centres tell. */
	void (*receipt)(
		void *user, const uint8_t iccid[IDENT_ICCID_LEN], uint64_t packet, bool delivered);
	void *user;
};
enum rc mno__link_new(struct event_base *base, const char *path, const struct mno_link_calls *calls,
	const struct log *log, struct mno_link **out) ATT_MUST_CHECK;
/* The same by SMPP, as the configuration says; it is borrowed. */
enum rc mno__link_new_smpp(struct event_base *base, const struct mno_config *config,
	const struct mno_link_calls *calls, const struct log *log, struct mno_link **out,
	struct diag *d) ATT_MUST_CHECK;
void mno__link_free(struct mno_link *l);
/* `packet` is what a receipt will name. RC_UNAVAILABLE while there is no connection; RC_BUSY when
 * it does not drain. */
enum rc mno__link_send(struct mno_link *l, const uint8_t iccid[IDENT_ICCID_LEN], uint64_t packet,
	const uint8_t *ud, size_t len) ATT_MUST_CHECK;

/* ---- api.c: two threads that speak with the registry, by HTTPS or by EPP ---- */

struct mno_api;
struct mno_api_calls {
	void (*job)(void *user, const json_t *job); /* in the loop's thread */
	void (*posted)(void *user, const char *id); /* likewise */
	void *user;
};
enum rc mno__api_new(struct event_base *base, const struct mno_config *config,
	const volatile sig_atomic_t *stop, const struct mno_api_calls *calls, const struct log *log,
	struct mno_api **out, struct diag *d) ATT_MUST_CHECK;
void mno__api_free(struct mno_api *a);
/* The job is on disk: where the registry keeps a queue (EPP), it may go from there. */
void mno__api_kept(struct mno_api *a, const char *id);
/* Hands over a result; it is posted until the registry has answered. */
enum rc mno__api_post(struct mno_api *a, const char *id, json_t *take_result) ATT_MUST_CHECK;

/* ---- euicc.c: events of eSIM profiles, told to the registry ---- */

struct mno_euicc;
/* config->euicc is set. */
enum rc mno__euicc_new(const struct mno_config *config, const volatile sig_atomic_t *stop,
	const struct log *log, struct mno_euicc **out, struct diag *d) ATT_MUST_CHECK;
void mno__euicc_free(struct mno_euicc *e);
