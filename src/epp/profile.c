/* SPDX-License-Identifier: Apache-2.0 */
/* profile-1.0: the sponsored object. doc/epp/profile.md. */
#include "epp/internal.h"

#include <stdio.h>
#include <string.h>

static const char *const states[] = { "activated", "deactivated", NULL };
static const char *const kinds[] = { "uta-iot", "devkit", NULL };

/* ---- grammar ---- */

static const struct gram_type kind = { .kind = GRAM_TOKEN, .min = 1, .values = kinds };
static const struct gram_type state = { .kind = GRAM_TOKEN, .min = 1, .values = states };
static const struct gram_part new_auth_parts[] = { { "pw", &epp__t_pw, 1, 1 },
	{ "generate", &epp__t_generate, 1, 1 }, { 0 } };
static const struct gram_type new_auth = { .kind = GRAM_CHOICE, .parts = new_auth_parts };

static const struct gram_part check_parts[] = { { "name", &epp__t_name, 1, EPP_IDS_MAX }, { 0 } };
static const struct gram_type check = { .kind = GRAM_SEQ, .parts = check_parts };
static const struct gram_part one_parts[] = { { "name", &epp__t_name, 1, 1 }, { 0 } };
static const struct gram_type one = { .kind = GRAM_SEQ, .parts = one_parts };
static const struct gram_part info_parts[] = { { "name", &epp__t_name, 1, 1 },
	{ "authInfo", &epp__t_auth, 0, 1 }, { 0 } };
static const struct gram_type look = { .kind = GRAM_SEQ, .parts = info_parts };
static const struct gram_part create_parts[] = { { "name", &epp__t_name, 1, 1 },
	{ "service", &epp__t_handle, 1, 1 }, { "kind", &kind, 0, 1 },
	{ "claim", &epp__t_claim, 0, 1 }, { "authInfo", &epp__t_auth, 0, 1 }, { 0 } };
static const struct gram_type create = { .kind = GRAM_SEQ, .parts = create_parts };
static const struct gram_part chg_parts[] = { { "state", &state, 0, 1 },
	{ "reason", &epp__t_text, 0, 1 }, { "csr", &epp__t_csr, 0, 1 },
	{ "service", &epp__t_handle, 0, 1 }, { "authInfo", &new_auth, 0, 1 }, { 0 } };
static const struct gram_type chg = { .kind = GRAM_SEQ, .parts = chg_parts };
static const struct gram_part update_parts[] = { { "name", &epp__t_name, 1, 1 },
	{ "chg", &chg, 0, 1 }, { 0 } };
static const struct gram_type update = { .kind = GRAM_SEQ, .parts = update_parts };
static const struct gram_part renew_parts[] = { { "name", &epp__t_name, 1, 1 },
	{ "curExpDate", &epp__t_datetime, 1, 1 }, { 0 } };
static const struct gram_type renew = { .kind = GRAM_SEQ, .parts = renew_parts };
static const struct gram_part transfer_parts[] = { { "name", &epp__t_name, 1, 1 },
	{ "service", &epp__t_handle, 0, 1 }, { "authInfo", &epp__t_auth, 0, 1 }, { 0 } };
static const struct gram_type transfer = { .kind = GRAM_SEQ, .parts = transfer_parts };

static char *name_of(const struct epp_command *cmd)
{
	return epp__text(cmd->object, "name");
}

/* ---- what a profile looks like ---- */

static void write_certificate(struct out *o, const Registry__Certificate *c)
{
	static const char *const words[] = { "none", "valid", "suspended", "superseded", "revoked",
		"expired" };
	unsigned i = (unsigned)c->state;

	out_fmt(o, "<o:certificate s=\"%s\">", i < 6 ? words[i] : "none");
	out_leaf_b64(o, "o:sha256", c->sha256.data, c->sha256.len);
	out_leaf_b64(o, "o:spkiSha256", c->spki_sha256.data, c->spki_sha256.len);
	out_leaf_time(o, "o:notBefore", c->not_before);
	out_leaf_time(o, "o:notAfter", c->not_after);
	out_leaf_if(o, "o:service", c->service);
	if (c->der.len)
		out_leaf_b64(o, "o:der", c->der.data, c->der.len);
	out_raw(o, "</o:certificate>");
}

static void write_statuses(struct out *o, const Registry__Profile *p)
{
	switch (p->state) {
	case REGISTRY__PROFILE_STATE__STATE_REGISTERED:
		out_raw(o, "<o:status s=\"registered\"/>");
		break;
	case REGISTRY__PROFILE_STATE__STATE_ACTIVATED:
		out_raw(o, "<o:status s=\"activated\"/>");
		break;
	case REGISTRY__PROFILE_STATE__STATE_DEACTIVATED:
		out_raw(o, "<o:status s=\"deactivated\"/>");
		break;
	case REGISTRY__PROFILE_STATE__STATE_DELETED:
	case REGISTRY__PROFILE_STATE__STATE_NONE:
	case _REGISTRY__PROFILE_STATE_IS_INT_SIZE:
	default: out_raw(o, "<o:status s=\"deleted\"/>"); break;
	}
	if (*p->pending_job && p->state == REGISTRY__PROFILE_STATE__STATE_REGISTERED)
		out_raw(o, "<o:status s=\"pendingActivate\"/>");
	if (p->transfer_pending)
		out_raw(o, "<o:status s=\"pendingTransfer\"/>");
	if (p->wipe_pending)
		out_raw(o, "<o:status s=\"wipePending\"/>");
	/* The window after a change while the SIM was off: the card still holds the last state. */
	if (p->certificate && !p->card_current)
		out_raw(o, "<o:status s=\"cardPending\"/>");
}

/* Every life of a slot is an object of its own: device, slot and the time it began. */
static void write_roid(struct out *o, const Registry__Profile *p)
{
	size_t len = strcspn(p->device, "-");

	out_fmt(o, "<o:roid>%.*s_%c_%lld-IOT</o:roid>", (int)(len < 32 ? len : 32), p->device,
		p->name[0], (long long)p->created);
}

void epp__profile_data(struct epp_command *cmd, const Registry__Profile *p)
{
	struct out *o = &cmd->res.text;

	epp__res_open(cmd, NS_PROFILE, "infData");
	out_leaf(o, "o:name", p->name);
	write_roid(o, p);
	write_statuses(o, p);
	out_leaf(o, "o:ownerName", p->owner_name);
	out_leaf(o, "o:device", p->device);
	out_leaf(o, "o:service", p->service);
	out_leaf(o, "o:kind", p->kind == REGISTRY__CERT_KIND__KIND_DEVKIT ? "devkit" : "uta-iot");
	if (p->certificate)
		write_certificate(o, p->certificate);
	if (p->overlap && p->overlap->certificate) {
		out_raw(o, "<o:overlap>");
		write_certificate(o, p->overlap->certificate);
		out_leaf_time(o, "o:ends", p->overlap->ends);
		out_raw(o, "</o:overlap>");
	}
	if (p->attested)
		out_leaf(o, "o:attestedBy", p->attested_by);
	out_leaf_uint(o, "o:payloadSequence", p->payload_sequence);
	out_leaf_if(o, "o:job", p->pending_job);
	out_leaf(o, "o:clID", p->sponsor);
	out_leaf_time(o, "o:crDate", p->created);
	if (p->updated != p->created)
		out_leaf_time(o, "o:upDate", p->updated);
	if (p->certificate)
		out_leaf_time(o, "o:exDate", p->certificate->not_after);
	epp__res_close(cmd, "infData");
}

/* For a reply that carries a profile, and for one that does not (JSON's idea of a deletion). */
static void profile_answer(struct epp_command *cmd, const Registry__Reply *reply)
{
	if (reply->result_case == REGISTRY__REPLY__RESULT_PROFILE && reply->profile->profile)
		epp__profile_data(cmd, reply->profile->profile);
}

/* ---- check, info, delete ---- */

static bool check_ask(struct epp_command *cmd)
{
	return epp__check_ask(cmd, REGISTRY__CHECK_KIND__CHECK_PROFILE, "name");
}

static void check_answer(struct epp_command *cmd, const Registry__Reply *reply)
{
	epp__check_answer(cmd, reply, NS_PROFILE, "name");
}

/* With its code a profile is shown to whoever has it: to a provider before the transfer, say. */
static bool look_ask(struct epp_command *cmd, const struct xml_node *auth)
{
	Registry__ProfileLook *m = epp__new(cmd, &registry__profile_look__descriptor);

	if (!m)
		return false;
	m->name = name_of(cmd);
	m->code = epp__text(auth, "pw");
	cmd->request.op_case = REGISTRY__REQUEST__OP_PROFILE_LOOK;
	cmd->request.profile_look = m;
	return true;
}

static bool info_ask(struct epp_command *cmd)
{
	Registry__ProfileInfo *m = epp__new(cmd, &registry__profile_info__descriptor);

	if (!m)
		return false;
	if (xml_child(cmd->object, "authInfo"))
		return look_ask(cmd, xml_child(cmd->object, "authInfo"));
	m->name = name_of(cmd);
	cmd->request.op_case = REGISTRY__REQUEST__OP_PROFILE_INFO;
	cmd->request.profile_info = m;
	return true;
}

static void info_answer(struct epp_command *cmd, const Registry__Reply *reply)
{
	const Registry__Profile *p;

	if (reply->result_case != REGISTRY__REPLY__RESULT_PROFILE || !reply->profile->profile)
		return;
	p = reply->profile->profile;
	epp__profile_data(cmd, p);
	if (!epp__speaks(cmd, NS_ORGEXT))
		return;
	epp__orgs_open(cmd);
	epp__orgs_write(cmd, "asp", p->sponsor);
	epp__orgs_write(cmd, "mno", p->mno);
	epp__orgs_write(cmd, "owner", p->owner);
	epp__orgs_close(cmd);
}

static bool delete_ask(struct epp_command *cmd)
{
	Registry__ProfileDelete *m = epp__new(cmd, &registry__profile_delete__descriptor);

	if (!m)
		return false;
	m->name = name_of(cmd);
	cmd->request.op_case = REGISTRY__REQUEST__OP_PROFILE_DELETE;
	cmd->request.profile_delete = m;
	return true;
}

/* ---- create ---- */

static bool create_ask(struct epp_command *cmd)
{
	Registry__ProfileRegister *m = epp__new(cmd, &registry__profile_register__descriptor);
	const struct xml_node *info = xml_child(cmd->object, "authInfo");

	if (!m)
		return false;
	/* RFC 9154 section 5.1: none is set at creation; one is set when it is to be used. */
	if (info && *epp__text(info, "pw"))
		return epp__no(cmd, 2306, xml_child(info, "pw"),
			"authInfo is empty at creation and set before a transfer (RFC 9154)");
	m->slot = (uint32_t)(name_of(cmd)[0] - '0');
	m->iccid = name_of(cmd) + 2;
	m->claim = epp__text(cmd->object, "claim");
	m->service = epp__text(cmd->object, "service");
	m->kind = strcmp(epp__text(cmd->object, "kind"), "devkit") == 0
			  ? REGISTRY__CERT_KIND__KIND_DEVKIT
			  : REGISTRY__CERT_KIND__KIND_UTA_IOT;
	cmd->request.op_case = REGISTRY__REQUEST__OP_PROFILE_REGISTER;
	cmd->request.profile_register = m;
	return true;
}

static void create_answer(struct epp_command *cmd, const Registry__Reply *reply)
{
	if (reply->result_case != REGISTRY__REPLY__RESULT_PROFILE)
		return;
	epp__res_open(cmd, NS_PROFILE, "creData");
	out_leaf(&cmd->res.text, "o:name", reply->profile->profile->name);
	out_leaf_time(&cmd->res.text, "o:crDate", reply->profile->profile->created);
	epp__res_close(cmd, "creData");
}

/* ---- update ---- */

static bool update_state(struct epp_command *cmd, const struct xml_node *change, const char *to)
{
	const struct xml_node *csr = xml_child(change, "csr");

	if (strcmp(to, "activated") == 0) {
		Registry__ProfileActivate *m =
			epp__new(cmd, &registry__profile_activate__descriptor);

		if (!m || (csr && !epp__b64(cmd, csr, &m->csr)))
			return false;
		m->name = name_of(cmd);
		cmd->request.op_case = REGISTRY__REQUEST__OP_PROFILE_ACTIVATE;
		cmd->request.profile_activate = m;
		return true;
	}
	Registry__ProfileDeactivate *m = epp__new(cmd, &registry__profile_deactivate__descriptor);

	if (!m)
		return false;
	if (csr)
		return epp__no(cmd, 2306, csr, "a request goes with activation");
	m->name = name_of(cmd);
	m->reason = epp__text(change, "reason");
	cmd->request.op_case = REGISTRY__REQUEST__OP_PROFILE_DEACTIVATE;
	cmd->request.profile_deactivate = m;
	return true;
}

static bool update_auth(struct epp_command *cmd, const struct xml_node *info)
{
	Registry__ProfileSetAuth *m = epp__new(cmd, &registry__profile_set_auth__descriptor);
	const struct xml_node *generate = xml_child(info, "generate");

	if (!m)
		return false;
	m->name = name_of(cmd);
	if (generate && !epp__ttl(cmd, generate, &m->ttl_s))
		return false;
	m->code = epp__text(info, "pw");
	m->clear = !generate && !*m->code;
	cmd->request.op_case = REGISTRY__REQUEST__OP_PROFILE_SET_AUTH;
	cmd->request.profile_set_auth = m;
	return true;
}

static bool update_service(struct epp_command *cmd, char *handle)
{
	Registry__ProfileRebind *m = epp__new(cmd, &registry__profile_rebind__descriptor);

	if (!m)
		return false;
	m->name = name_of(cmd);
	m->service = handle;
	cmd->request.op_case = REGISTRY__REQUEST__OP_PROFILE_REBIND;
	cmd->request.profile_rebind = m;
	return true;
}

/* A command happens whole or not at all: so one of state, service and code at a time. */
static bool update_ask(struct epp_command *cmd)
{
	const struct xml_node *change = xml_child(cmd->object, "chg");
	const struct xml_node *to = change ? xml_child(change, "state") : NULL;
	const struct xml_node *service = change ? xml_child(change, "service") : NULL;
	const struct xml_node *info = change ? xml_child(change, "authInfo") : NULL;
	const struct xml_node *csr = change ? xml_child(change, "csr") : NULL;

	if (!change || !(to || service || info)) {
		cmd->fault.missing = change ? "state" : "chg";
		return epp__no(cmd, 2003, change ? change : cmd->object, "nothing to change");
	}
	if ((to != NULL) + (service != NULL) + (info != NULL) > 1)
		return epp__no(cmd, 2306, change, "one of state, service and authInfo at a time");
	if (csr && !to)
		return epp__no(cmd, 2306, csr, "a request goes with activation");
	if (to)
		return update_state(cmd, change, to->text);
	return service ? update_service(cmd, service->text) : update_auth(cmd, info);
}

static void update_answer(struct epp_command *cmd, const Registry__Reply *reply)
{
	if (reply->result_case == REGISTRY__REPLY__RESULT_AUTH)
		epp__auth_data(cmd, NS_PROFILE, "name", reply->auth);
	else
		profile_answer(cmd, reply);
}

/* ---- renew ---- */

static bool renew_ask(struct epp_command *cmd)
{
	Registry__ProfileRenew *m = epp__new(cmd, &registry__profile_renew__descriptor);
	struct tm tm = { 0 };

	if (!m)
		return false;
	m->name = name_of(cmd);
	if (!strptime(epp__text(cmd->object, "curExpDate"), "%Y-%m-%dT%H:%M:%S", &tm))
		return epp__no(cmd, 2005, xml_child(cmd->object, "curExpDate"), "not a time");
	m->not_after = timegm(&tm);
	cmd->request.op_case = REGISTRY__REQUEST__OP_PROFILE_RENEW;
	cmd->request.profile_renew = m;
	return true;
}

static void renew_answer(struct epp_command *cmd, const Registry__Reply *reply)
{
	const Registry__Profile *p;

	if (reply->result_case != REGISTRY__REPLY__RESULT_PROFILE)
		return;
	p = reply->profile->profile;
	epp__res_open(cmd, NS_PROFILE, "renData");
	out_leaf(&cmd->res.text, "o:name", p->name);
	if (p->certificate) {
		out_leaf_time(&cmd->res.text, "o:exDate", p->certificate->not_after);
		write_certificate(&cmd->res.text, p->certificate);
	}
	epp__res_close(cmd, "renData");
}

/* ---- transfer ---- */

/* With the code at once, without it when the losing sponsor agrees. */
static bool transfer_ask(struct epp_command *cmd)
{
	Registry__TransferStep step = epp__transfer_step(cmd);
	const struct xml_node *info = xml_child(cmd->object, "authInfo");
	const struct xml_node *service = xml_child(cmd->object, "service");
	bool request = step == REGISTRY__TRANSFER_STEP__TRANSFER_REQUEST;

	if (request && !service) {
		cmd->fault.missing = "service";
		return epp__no(cmd, 2003, cmd->object, "the gaining sponsor's service");
	}
	if (!request && service)
		return epp__no(cmd, 2306, service, "a service goes with a request");
	if (request && info) {
		Registry__ProfileTransfer *m =
			epp__new(cmd, &registry__profile_transfer__descriptor);

		if (!m)
			return false;
		m->name = name_of(cmd);
		m->code = epp__text(info, "pw");
		m->service = service->text;
		/* RFC 9154 section 4.4: an empty value never authorizes. */
		if (!*m->code)
			return epp__no(cmd, 2202, xml_child(info, "pw"), "an empty code");
		cmd->request.op_case = REGISTRY__REQUEST__OP_PROFILE_TRANSFER;
		cmd->request.profile_transfer = m;
		return true;
	}
	Registry__TransferMove *m = epp__new(cmd, &registry__transfer_move__descriptor);

	if (!m)
		return false;
	m->name = name_of(cmd);
	m->step = step;
	m->service = service ? service->text : m->service;
	cmd->request.op_case = REGISTRY__REQUEST__OP_TRANSFER_MOVE;
	cmd->request.transfer_move = m;
	return true;
}

void epp__transfer_data(struct epp_command *cmd, const Registry__Transfer *t)
{
	struct out *o = &cmd->res.text;

	epp__res_open(cmd, NS_PROFILE, "trnData");
	out_leaf(o, "o:name", t->name);
	epp__transfer_fields(o, t);
	out_leaf_if(o, "o:service", t->service);
	epp__res_close(cmd, "trnData");
}

static void transfer_answer(struct epp_command *cmd, const Registry__Reply *reply)
{
	if (reply->result_case == REGISTRY__REPLY__RESULT_TRANSFER)
		epp__transfer_data(cmd, reply->transfer->transfer);
	else if (reply->result_case == REGISTRY__REPLY__RESULT_PROFILE && reply->profile->transfer)
		epp__transfer_data(cmd, reply->profile->transfer);
}

const struct epp_mapping epp__profile = { .ns = NS_PROFILE,
	.rows = {
		[VERB_CHECK] = { &check, check_ask, check_answer },
		[VERB_INFO] = { &look, info_ask, info_answer },
		[VERB_CREATE] = { &create, create_ask, create_answer },
		[VERB_UPDATE] = { &update, update_ask, update_answer },
		[VERB_RENEW] = { &renew, renew_ask, renew_answer },
		[VERB_TRANSFER] = { &transfer, transfer_ask, transfer_answer },
		[VERB_DELETE] = { &one, delete_ask, NULL },
	} };
