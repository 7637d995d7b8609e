/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Inside mno/: jobs from the registry's EPP queue and results back to it (doc/epp/job.md),
 * blocking, for a thread of its own. A job is acknowledged only after it has been kept. */

#include "epp/xml.h"
#include "mno/internal.h"

#define MNO_EPP_TEXT_MAX 256

/* What a frame of the server's says, as far as it concerns jobs. */
struct mno__epp_answer {
	unsigned code;		     /* RFC 5730 section 3 */
	char msg_id[MNO_ID_MAX + 1]; /* of the message at the head of the queue; "": none */
	char text[MNO_EPP_TEXT_MAX]; /* the message's words, else the result's and its reason */
	json_t *job;		     /* owned; as GET /v1/jobs tells it; NULL: none */
};

/* Reads one frame. RC_MALFORMED, RC_NOMEM. */
enum rc mno__epp_read(struct xml *x, const char *frame, size_t len, struct mno__epp_answer *out,
	struct diag *d) ATT_MUST_CHECK;
/* The <update> that carries a result of mno__task_result; free it. NULL: no memory. */
char *mno__epp_update(const char *id, const json_t *result);

struct mno__epp;
/* config->epp is set; what is needed of it is copied. Connects at the first use. */
enum rc mno__epp_new(const struct mno_config *config, const struct log *log, struct mno__epp **out,
	struct diag *d) ATT_MUST_CHECK;
void mno__epp_free(struct mno__epp *e);
/* The job at the head of the queue (*job is new, `msg_id` is what acknowledges it); messages before
 * it are logged and acknowledged. RC_NOT_FOUND: the queue is empty. */
enum rc mno__epp_poll(struct mno__epp *e, char msg_id[MNO_ID_MAX + 1], json_t **job,
	struct diag *d) ATT_MUST_CHECK;
enum rc mno__epp_ack(struct mno__epp *e, const char *msg_id, struct diag *d) ATT_MUST_CHECK;
/* RC_OK: taken. RC_DENIED: refused for good. Anything else: once more, later. */
enum rc mno__epp_result(
	struct mno__epp *e, const char *id, const json_t *result, struct diag *d) ATT_MUST_CHECK;
