/* SPDX-License-Identifier: Apache-2.0 */
/* <poll> (RFC 5730 section 2.9.2.3): the oldest message until it is acknowledged, with the object
 * as it now stands, what changed it (RFC 8590), and the end of what was answered as pending. */
#include "epp/internal.h"
#include "base/str.h"

#include <stdio.h>
#include <string.h>

#define REASON_MAX 32 /* characters of eppcom:reasonType */

/* What is kept of the message while its object is looked up. */
struct message {
	uint64_t id;
	int64_t date;
	char *text, *name, *event, *who, *trid, *cl_trid, *sv_trid, *state, *reason, *case_id;
};

static char *keep(struct epp_command *cmd, const char *text)
{
	size_t len = strlen(text);
	char *out = xml_alloc(cmd->xml, len + 1);

	if (out)
		memcpy(out, text, len);
	return out ? out : (char *)(uintptr_t) "";
}

/* "1.8912..." and nothing else among the names that messages carry. */
static bool is_profile(const char *name)
{
	return name[0] >= '1' && name[0] <= '9' && name[1] == '.';
}

/* changePoll's words for the events of the registry. */
static const char *operation_of(const char *event)
{
	static const struct {
		const char *event, *operation;
	} table[] = {
		{ "profile.registered", "create" },
		{ "device.created", "create" },
		{ "service.created", "create" },
		{ "profile.deleted", "delete" },
		{ "service.deleted", "delete" },
		{ "profile.transferred", "transfer" },
		{ "transfer", "transfer" },
		{ "profile.renewed", "renew" },
		{ "certificate.renewed", "renew" },
		{ "device.deleted", "delete" },
		{ "profile.activated", "update" },
		{ "profile.deactivated", "update" },
		{ "profile.updated", "update" },
		{ "device.updated", "update" },
		{ "service.updated", "update" },
		{ "device.moved", "transfer" },
	};

	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
		if (strncmp(event, table[i].event, strlen(table[i].event)) == 0)
			return table[i].operation;
	return "custom";
}

/* A reason of eppcom has 32 characters; no more of a longer one is lost than what is behind that.
 */
static void cut(const char *text, char out[REASON_MAX + 1])
{
	size_t len = strlen(text);

	if (len > REASON_MAX)
		len = REASON_MAX;
	/* Not in the middle of a character of UTF-8. */
	while (len && len < strlen(text) && ((unsigned char)text[len] & 0xc0) == 0x80)
		len--;
	memcpy(out, text, len);
	out[len] = '\0';
}

static void write_change(struct epp_command *cmd, const struct message *m)
{
	struct out *o = &cmd->ext.text;
	const char *operation = operation_of(m->event);
	char trid[40], reason[REASON_MAX + 1];

	cmd->ext.ns = NS_CHANGE_POLL;
	(void)snprintf(trid, sizeof(trid), "MSG-%llu", (unsigned long long)m->id);
	out_fmt(o, "<c:changeData xmlns:c=\"%s\" state=\"%s\">", epp__uris[NS_CHANGE_POLL],
		strcmp(m->state, "before") == 0 ? "before" : "after");
	if (strcmp(operation, "custom") == 0)
		out_raw(o, "<c:operation op=\"");
	else
		out_fmt(o, "<c:operation>%s", operation);
	if (strcmp(operation, "custom") == 0) {
		out_text(o, m->event);
		out_raw(o, "\">custom");
	}
	out_raw(o, "</c:operation>");
	out_leaf_time(o, "c:date", m->date);
	out_leaf(o, "c:svTRID", strlen(m->trid) >= 3 ? m->trid : trid);
	out_leaf(o, "c:who", *m->who ? m->who : "registry");
	if (*m->case_id) {
		out_raw(o, "<c:caseId type=\"custom\">");
		out_text(o, m->case_id);
		out_raw(o, "</c:caseId>");
	}
	cut(m->reason, reason);
	out_leaf_if(o, "c:reason", reason);
	out_raw(o, "</c:changeData>");
}

/* RFC 5730 section 2.9.2.3 and the mapping's panData. */
static void write_pending(struct epp_command *cmd, const struct message *m)
{
	struct out *o = &cmd->res.text;
	bool good = strstr(m->event, "failed") == NULL && strstr(m->event, "expired") == NULL;

	epp__res_open(cmd, NS_PROFILE, "panData");
	out_fmt(o, "<o:name paResult=\"%d\">", good);
	out_text(o, m->name);
	out_raw(o, "</o:name><o:paTRID>");
	out_fmt(o, "<clTRID xmlns=\"%s\">", EPP_URI);
	out_text(o, m->cl_trid);
	out_fmt(o, "</clTRID><svTRID xmlns=\"%s\">", EPP_URI);
	out_text(o, m->sv_trid);
	out_raw(o, "</svTRID></o:paTRID>");
	out_leaf_time(o, "o:paDate", m->date);
	epp__res_close(cmd, "panData");
}

static bool ask_object(struct epp_command *cmd, const struct message *m)
{
	if (strncmp(m->event, "maintenance", 11) == 0) {
		Registry__MaintenanceInfo *q =
			epp__new(cmd, &registry__maintenance_info__descriptor);

		if (!q)
			return false;
		q->id = m->name;
		q->told = true;
		cmd->request.op_case = REGISTRY__REQUEST__OP_MAINTENANCE_INFO;
		cmd->request.maintenance_info = q;
		return true;
	}
	if (strncmp(m->event, "device.", 7) == 0 && !is_profile(m->name)) {
		Registry__DeviceInfo *q = epp__new(cmd, &registry__device_info__descriptor);

		if (!q)
			return false;
		q->iccid = m->name;
		cmd->request.op_case = REGISTRY__REQUEST__OP_DEVICE_INFO;
		cmd->request.device_info = q;
		return true;
	}
	if (!is_profile(m->name))
		return false;
	Registry__ProfileInfo *q = epp__new(cmd, &registry__profile_info__descriptor);

	if (!q)
		return false;
	q->name = m->name;
	cmd->request.op_case = REGISTRY__REQUEST__OP_PROFILE_INFO;
	cmd->request.profile_info = q;
	return true;
}

static bool take(struct epp_command *cmd, const Registry__PollMessage *p)
{
	struct message *m = xml_alloc(cmd->xml, sizeof(*m));

	if (!m)
		return false;
	*m = (struct message){ .id = p->id,
		.date = p->date,
		.text = keep(cmd, p->text),
		.name = keep(cmd, p->name),
		.event = keep(cmd, p->event),
		.who = keep(cmd, p->who),
		.trid = keep(cmd, p->trid),
		.cl_trid = keep(cmd, p->pending_cl_trid),
		.sv_trid = keep(cmd, p->pending_sv_trid),
		.state = keep(cmd, p->state),
		.reason = keep(cmd, p->reason),
		.case_id = keep(cmd, p->case_id) };
	cmd->state = m;
	return true;
}

/* The object as the client may see it now; when it may not (any more), the message stands alone. */
static void second(struct epp_command *cmd, const Registry__Reply *reply)
{
	const struct message *m = cmd->state;

	cmd->code = CODE_(ACK_TO_DEQUEUE);
	if (reply->code >= 2000)
		return;
	if (reply->result_case == REGISTRY__REPLY__RESULT_MAINTENANCE) {
		/* maintenance.create: the word behind the dot is RFC 9167's. */
		epp__maintenance_data(cmd, reply->maintenance, false, m->event + 12);
		return;
	}
	if (reply->result_case == REGISTRY__REPLY__RESULT_PROFILE)
		epp__profile_data(cmd, reply->profile->profile);
	else if (reply->result_case == REGISTRY__REPLY__RESULT_DEVICE)
		epp__device_data(cmd, reply->device->device);
	else
		return;
	write_change(cmd, m);
}

/* The object as it was or is, kept with the message. False: it has none. */
static bool kept(struct epp_command *cmd, const Registry__PollObject *o)
{
	if (o && o->transfer) {
		/* trnData says all that there is to say of it. */
		if (*o->transfer->device)
			epp__device_transfer_data(cmd, o->transfer);
		else
			epp__transfer_data(cmd, o->transfer);
		return true;
	}
	if (o && o->profile)
		epp__profile_data(cmd, o->profile);
	else if (o && o->device)
		epp__device_data(cmd, o->device);
	else if (o && o->service)
		epp__service_data(cmd, o->service);
	else
		return false;
	write_change(cmd, cmd->state);
	return true;
}

void epp__poll_answer(struct epp_command *cmd, const Registry__Reply *reply)
{
	const Registry__PollData *data = reply->poll;
	const struct message *m;

	if (cmd->step == 1) {
		second(cmd, reply);
		return;
	}
	if (reply->result_case != REGISTRY__REPLY__RESULT_POLL)
		return;
	cmd->queue_count = data->count;
	if (reply->code == CODE_(OK)) { /* acknowledged */
		cmd->has_queue = data->count > 0;
		cmd->queue_id = data->message ? data->message->id : 0;
		cmd->queue_job = data->message && data->message->job;
		cmd->has_queue = cmd->has_queue && cmd->queue_id;
		return;
	}
	if (reply->code != CODE_(ACK_TO_DEQUEUE) || !data->message || !take(cmd, data->message))
		return;
	m = cmd->state;
	cmd->has_queue = true;
	cmd->queue_id = m->id;
	cmd->queue_date = m->date;
	cmd->queue_text = m->text;
	if (data->message->job) {
		cmd->queue_job = true;
		epp__job_data(cmd, data->message->job, NULL);
		return;
	}
	if (strlen(m->sv_trid) >= 3) {
		write_pending(cmd, m);
		return;
	}
	if (kept(cmd, data->message->object))
		return;
	cmd->step = 1;
	cmd->more = ask_object(cmd, m);
	cmd->code = CODE_(ACK_TO_DEQUEUE);
}

bool epp__poll(struct epp_command *cmd, const struct xml_node *poll)
{
	const char *op = xml_attr(poll, "op"), *id = xml_attr(poll, "msgID");
	bool jobs = cmd->session->services & 1u << NS_JOB;

	cmd->answer = epp__poll_answer;
	if (strcmp(op, "req") == 0) {
		Registry__PollRequest *m = epp__new(cmd, &registry__poll_request__descriptor);

		if (id)
			return epp__no(cmd, 2306, poll, "msgID goes with ack");
		cmd->request.op_case = REGISTRY__REQUEST__OP_POLL_REQUEST;
		cmd->request.poll_request = m;
		if (m)
			m->jobs = jobs;
		return m != NULL;
	}
	Registry__PollAck *m = epp__new(cmd, &registry__poll_ack__descriptor);

	if (!m)
		return false;
	if (!id || !*id)
		return epp__no(cmd, 2003, poll, "attribute msgID is missing");
	m->jobs = jobs;
	m->job = id[0] == 'J';
	if (u64_read(id + m->job, 1, INT64_MAX, &m->id) != RC_OK)
		return epp__no(cmd, 2303, poll, "no such message");
	cmd->request.op_case = REGISTRY__REQUEST__OP_POLL_ACK;
	cmd->request.poll_ack = m;
	return true;
}
