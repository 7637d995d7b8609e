/* SPDX-License-Identifier: Apache-2.0 */
/* job-1.0: what a card is asked to do, for the gateway of its operator. Jobs come by poll, results
 * go back by update. doc/epp/job.md. */
#include "epp/internal.h"

#include <string.h>

#define FILES_MAX 16 /* receipts of one result */

/* ---- grammar ---- */

static bool is_id(const char *text)
{
	return strspn(text, "0123456789") == strlen(text);
}

static bool is_hex(const char *text)
{
	return strspn(text, "0123456789abcdefABCDEF") == strlen(text);
}

static const char *const outcomes[] = { "ok", "failed", NULL };
static const struct gram_type id = {
	.kind = GRAM_TOKEN, .min = 1, .max = 18, .ok = is_id, .form = "a job's id is a number"
};
static const struct gram_type status = { .kind = GRAM_TOKEN, .min = 1, .values = outcomes };
static const struct gram_type bytes = { .kind = GRAM_B64, .min = 1, .max = 1024 };
static const struct gram_type file = {
	.kind = GRAM_TOKEN, .min = 1, .max = 8, .ok = is_hex, .form = "a card file's id is hex"
};
static const struct gram_part receipt_parts[] = { { "id", &file, 1, 1 }, { "por", &bytes, 1, 1 },
	{ 0 } };
static const struct gram_type receipt = { .kind = GRAM_SEQ, .parts = receipt_parts };
static const struct gram_part one_parts[] = { { "id", &id, 1, 1 }, { 0 } };
static const struct gram_type one = { .kind = GRAM_SEQ, .parts = one_parts };
static const struct gram_part update_parts[] = { { "id", &id, 1, 1 }, { "status", &status, 1, 1 },
	{ "reason", &epp__t_text, 0, 1 }, { "csr", &epp__t_csr, 0, 1 },
	{ "card_status", &bytes, 0, 1 }, { "receipts", &receipt, 0, FILES_MAX }, { 0 } };
static const struct gram_type update = { .kind = GRAM_SEQ, .parts = update_parts };

/* ---- what a job looks like ---- */

static void write_files(struct out *o, const Registry__Job *j)
{
	for (size_t i = 0; i < j->n_files; i++) {
		const Registry__JobFile *f = j->files[i];

		out_raw(o, "<o:files>");
		out_leaf(o, "o:id", f->id);
		out_leaf(o, "o:sha256", f->sha256);
		out_leaf_b64(o, "o:data", f->data.data, f->data.len);
		out_raw(o, "</o:files>");
	}
}

static void write_receipts(struct out *o, const Registry__Job *j)
{
	for (size_t i = 0; i < j->n_receipts; i++) {
		const Registry__Receipt *r = j->receipts[i];

		out_raw(o, "<o:receipts>");
		out_leaf(o, "o:id", r->id);
		out_leaf_b64(o, "o:por", r->por.data, r->por.len);
		out_leaf_time(o, "o:received", r->received);
		out_raw(o, "</o:receipts>");
	}
}

void epp__job_data(
	struct epp_command *cmd, const Registry__Job *j, const ProtobufCBinaryData *certificate)
{
	static const char *const kinds[] = { "", "keygen", "install", "block", "unblock", "wipe",
		"status" };
	static const char *const states[] = { "", "open", "done", "failed", "expired" };
	unsigned kind = (unsigned)j->kind, state = (unsigned)j->state;
	struct out *o = &cmd->res.text;

	epp__res_open(cmd, NS_JOB, "infData");
	out_leaf(o, "o:id", j->id);
	out_leaf(o, "o:kind", kind < 7 ? kinds[kind] : "");
	out_leaf(o, "o:state", state < 5 ? states[state] : "");
	out_leaf(o, "o:iccid", j->iccid);
	out_leaf_uint(o, "o:slot", j->slot);
	out_leaf_time(o, "o:not_after", j->not_after);
	out_leaf_uint(o, "o:attempt", j->attempt);
	out_leaf_if(o, "o:owner_name", j->owner_name);
	out_leaf_if(o, "o:nonce", j->nonce);
	write_files(o, j);
	out_leaf_if(o, "o:reason", j->reason);
	write_receipts(o, j);
	if (certificate && certificate->len)
		out_leaf_b64(o, "o:certificate", certificate->data, certificate->len);
	epp__res_close(cmd, "infData");
}

static void answer(struct epp_command *cmd, const Registry__Reply *reply)
{
	if (reply->result_case == REGISTRY__REPLY__RESULT_JOB && reply->job->job)
		epp__job_data(cmd, reply->job->job, &reply->job->certificate);
}

/* ---- info, update ---- */

static bool info_ask(struct epp_command *cmd)
{
	Registry__JobInfo *m = epp__new(cmd, &registry__job_info__descriptor);

	if (!m)
		return false;
	m->id = epp__text(cmd->object, "id");
	cmd->request.op_case = REGISTRY__REQUEST__OP_JOB_INFO;
	cmd->request.job_info = m;
	return true;
}

static bool add_receipts(struct epp_command *cmd, Registry__JobResult *m)
{
	const struct xml_node *node = xml_child(cmd->object, "receipts");

	m->receipts = xml_alloc(cmd->xml, FILES_MAX * sizeof(*m->receipts));
	if (!m->receipts)
		return epp__no(cmd, 2400, NULL, "out of memory");
	for (; node; node = xml_next_same(node)) {
		Registry__Receipt *r = epp__new(cmd, &registry__receipt__descriptor);

		if (!r || !epp__b64(cmd, xml_child(node, "por"), &r->por))
			return false;
		r->id = epp__text(node, "id");
		m->receipts[m->n_receipts++] = r;
	}
	return true;
}

static bool update_ask(struct epp_command *cmd)
{
	Registry__JobResult *m = epp__new(cmd, &registry__job_result__descriptor);
	const struct xml_node *csr = xml_child(cmd->object, "csr");
	const struct xml_node *card = xml_child(cmd->object, "card_status");

	if (!m || (csr && !epp__b64(cmd, csr, &m->csr)) ||
		(card && !epp__b64(cmd, card, &m->card_status)) || !add_receipts(cmd, m))
		return false;
	m->id = epp__text(cmd->object, "id");
	m->status = epp__text(cmd->object, "status");
	m->reason = epp__text(cmd->object, "reason");
	cmd->request.op_case = REGISTRY__REQUEST__OP_JOB_RESULT;
	cmd->request.job_result = m;
	return true;
}

const struct epp_mapping epp__job = { .ns = NS_JOB,
	.rows = {
		[VERB_INFO] = { &one, info_ask, answer },
		[VERB_UPDATE] = { &update, update_ask, answer },
	} };
