/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The operator's gateway: takes jobs from the registry and carries them out on
 * SIMs, over the air. It alone holds the cards' OTA keys; the registry gets
 * receipts, never keys. A job that is done once stays done across restarts. */

#include "base/diag.h"
#include "base/log.h"

#include <jansson.h>
#include <stdint.h>

/* The last step of formats.md section 4's life of a job, as this gateway keeps it. */
enum mno_job_state { MNO_JOB_OPEN, MNO_JOB_DONE, MNO_JOB_POSTED };

/* Runs with the configuration of a 0600 JSON file until SIGTERM or SIGINT; SIGHUP makes it read the
 * SIMs anew. Prints "ready" on standard output when it serves. */
enum rc mno_run(const char *config_path, const struct log *log, struct diag *d) ATT_MUST_CHECK;

/* Seals a JSON list of SIMs (mode 0600) with the 32 bytes in a key file, which is made when it is
 * not there, for the configuration's sims_sealed and sims_key. */
enum rc mno_seal_sims(const char *sims_path, const char *key_path, const char *out_path,
	struct diag *d) ATT_MUST_CHECK;

/* Loads the configuration's SIMs into the registry's inventory: ICCID, and what a row has of eid,
 * owner, imei, attest_cert; its claim only as a salted hash. `claims_path` not NULL: a code is made
 * for each row without one and written there first (a new file of mode 0600, "iccid,claim" lines).
 * *out:
 * {"loaded", "refused": [{"iccid", "reason"}]}. */
enum rc mno_inventory(const char *config_path, const char *claims_path, json_t **out,
	struct diag *d) ATT_MUST_CHECK;

/* Whether a configuration can be run with. */
enum rc mno_config_check(const char *config_path, struct diag *d) ATT_MUST_CHECK;

/* What the state file knows, without touching it: {"sims", "open", "done", "posted", "kinds":
 * {KIND: open jobs}, "jobs": [{"id", "state", and while it is open "kind", "iccid", "slot", "step"
 * (in words), "tries" (of the packet that is out), "since" (seconds without an answer),
 * "not_after"; when it failed "reason"}]} with at most 100 jobs not yet posted. */
enum rc mno_status(const char *config_path, json_t **out, struct diag *d) ATT_MUST_CHECK;
