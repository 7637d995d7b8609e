/* SPDX-License-Identifier: Apache-2.0 */
/* device-1.0: check, info, create (by the operator's inventory), update. doc/epp/device.md. */
#include "epp/internal.h"

#include <string.h>

static const char *const statuses[] = { "locked", "stolen", "broken", NULL };
enum { STATUS_LOCKED, STATUS_STOLEN, STATUS_BROKEN };

/* ---- grammar ---- */

static bool all_digits(const char *text)
{
	return strspn(text, "0123456789") == strlen(text);
}

static const struct gram_type eid = {
	.kind = GRAM_TOKEN, .min = 32, .max = 32, .ok = all_digits, .form = "an EID is 32 digits"
};
static const struct gram_type imei = { .kind = GRAM_TOKEN,
	.min = 14,
	.max = 16,
	.ok = all_digits,
	.form = "an IMEI is 14 to 16 digits" };
static const struct gram_type salt = { .kind = GRAM_B64, .min = 16, .max = 16 };
static const struct gram_type sha256 = { .kind = GRAM_B64, .min = 32, .max = 32 };
static const struct gram_part claim_parts[] = { { "salt", &salt, 1, 1 },
	{ "sha256", &sha256, 1, 1 }, { 0 } };
static const struct gram_type claim = { .kind = GRAM_SEQ, .parts = claim_parts };

static const struct gram_part check_parts[] = { { "iccid", &epp__t_iccid, 1, EPP_IDS_MAX }, { 0 } };
static const struct gram_type check = { .kind = GRAM_SEQ, .parts = check_parts };
static const struct gram_part one_parts[] = { { "iccid", &epp__t_iccid, 1, 1 }, { 0 } };
static const struct gram_type one = { .kind = GRAM_SEQ, .parts = one_parts };
static const struct gram_part create_parts[] = { { "iccid", &epp__t_iccid, 1, 1 },
	{ "eid", &eid, 0, 1 }, { "imei", &imei, 0, 1 }, { "owner", &epp__t_clid, 0, 1 },
	{ "claim", &claim, 0, 1 }, { 0 } };
static const struct gram_type create = { .kind = GRAM_SEQ, .parts = create_parts };

static const struct gram_attr status_attrs[] = { { "s", true, statuses }, { 0 } };
static const struct gram_type status = { .kind = GRAM_EMPTY, .attrs = status_attrs };
static const struct gram_part addrem_parts[] = { { "status", &status, 0, 3 },
	{ "consent", &epp__t_clid, 0, 1 }, { 0 } };
static const struct gram_type addrem = { .kind = GRAM_SEQ, .parts = addrem_parts };
static const struct gram_part make_parts[] = { { "generate", &epp__t_generate, 1, 1 }, { 0 } };
static const struct gram_type make = { .kind = GRAM_SEQ, .parts = make_parts };
static const struct gram_part chg_parts[] = { { "owner", &epp__t_clid, 0, 1 },
	{ "imei", &imei, 0, 1 }, { "moveTo", &epp__t_clid, 0, 1 }, { "authInfo", &make, 0, 1 },
	{ 0 } };
static const struct gram_type pw = { .kind = GRAM_NORM, .min = 1, .max = 64, .secret = true };
static const struct gram_part auth_parts[] = { { "pw", &pw, 1, 1 }, { 0 } };
static const struct gram_type auth = { .kind = GRAM_SEQ, .parts = auth_parts };
static const struct gram_part transfer_parts[] = { { "iccid", &epp__t_iccid, 1, 1 },
	{ "newIccid", &epp__t_iccid, 0, 1 }, { "claim", &claim, 0, 1 }, { "authInfo", &auth, 0, 1 },
	{ 0 } };
static const struct gram_type transfer = { .kind = GRAM_SEQ, .parts = transfer_parts };
static const struct gram_type chg = { .kind = GRAM_SEQ, .parts = chg_parts };
static const struct gram_part update_parts[] = { { "iccid", &epp__t_iccid, 1, 1 },
	{ "add", &addrem, 0, 1 }, { "rem", &addrem, 0, 1 }, { "chg", &chg, 0, 1 }, { 0 } };
static const struct gram_type update = { .kind = GRAM_SEQ, .parts = update_parts };

/* ---- check ---- */

static bool check_ask(struct epp_command *cmd)
{
	return epp__check_ask(cmd, REGISTRY__CHECK_KIND__CHECK_DEVICE, "iccid");
}

static void check_answer(struct epp_command *cmd, const Registry__Reply *reply)
{
	epp__check_answer(cmd, reply, NS_DEVICE, "iccid");
}

/* ---- info ---- */

static bool info_ask(struct epp_command *cmd)
{
	Registry__DeviceInfo *m = epp__new(cmd, &registry__device_info__descriptor);

	if (!m)
		return false;
	m->iccid = epp__text(cmd->object, "iccid");
	cmd->request.op_case = REGISTRY__REQUEST__OP_DEVICE_INFO;
	cmd->request.device_info = m;
	return true;
}

static void write_statuses(struct out *o, const Registry__Device *d)
{
	if (d->locked)
		out_raw(o, "<o:status s=\"locked\"/>");
	if (d->stolen)
		out_raw(o, "<o:status s=\"stolen\"/>");
	if (d->broken)
		out_raw(o, "<o:status s=\"broken\"/>");
	if (d->n_profiles)
		out_raw(o, "<o:status s=\"linked\"/>");
	if (!d->locked && !d->stolen && !d->broken && !d->n_profiles)
		out_raw(o, "<o:status s=\"ok\"/>");
}

void epp__device_data(struct epp_command *cmd, const Registry__Device *d)
{
	struct out *o = &cmd->res.text;

	epp__res_open(cmd, NS_DEVICE, "infData");
	out_leaf(o, "o:iccid", d->iccid);
	out_leaf(o, "o:roid", d->id);
	write_statuses(o, d);
	out_leaf_if(o, "o:eid", d->eid);
	out_leaf_if(o, "o:imei", d->imei);
	out_leaf_if(o, "o:owner", d->owner);
	for (size_t i = 0; i < d->n_profiles; i++)
		out_leaf(o, "o:profile", d->profiles[i]);
	for (size_t i = 0; i < d->n_history; i++) {
		const Registry__Iccid *h = d->history[i];

		out_raw(o, "<o:history>");
		out_leaf(o, "o:iccid", h->iccid);
		out_leaf(o, "o:mno", h->mno);
		out_leaf_time(o, "o:since", h->since);
		if (h->until)
			out_leaf_time(o, "o:until", h->until);
		out_raw(o, "</o:history>");
	}
	for (size_t i = 0; i < d->n_consents; i++)
		out_leaf(o, "o:consent", d->consents[i]);
	out_leaf(o, "o:clID", d->mno);
	out_leaf_time(o, "o:crDate", d->created);
	epp__res_close(cmd, "infData");
}

static void info_answer(struct epp_command *cmd, const Registry__Reply *reply)
{
	if (reply->result_case == REGISTRY__REPLY__RESULT_DEVICE)
		epp__device_data(cmd, reply->device->device);
}

/* ---- create: one row of the inventory ---- */

static bool create_ask(struct epp_command *cmd)
{
	Registry__InventoryLoad *m = epp__new(cmd, &registry__inventory_load__descriptor);
	Registry__InventoryRow *row = epp__new(cmd, &registry__inventory_row__descriptor);
	const struct xml_node *code = xml_child(cmd->object, "claim");

	if (!m || !row)
		return false;
	m->rows = xml_alloc(cmd->xml, sizeof(*m->rows));
	if (!m->rows)
		return epp__no(cmd, 2400, NULL, "out of memory");
	m->rows[0] = row;
	m->n_rows = 1;
	row->iccid = epp__text(cmd->object, "iccid");
	row->eid = epp__text(cmd->object, "eid");
	row->imei = epp__text(cmd->object, "imei");
	row->owner = epp__text(cmd->object, "owner");
	if (code && (!epp__b64(cmd, xml_child(code, "salt"), &row->claim_salt) ||
			    !epp__b64(cmd, xml_child(code, "sha256"), &row->claim_sha256)))
		return false;
	cmd->request.op_case = REGISTRY__REQUEST__OP_INVENTORY_LOAD;
	cmd->request.inventory_load = m;
	return true;
}

static void create_answer(struct epp_command *cmd, const Registry__Reply *reply)
{
	const struct clock *clock = cmd->session->server->o.clock;

	if (reply->result_case != REGISTRY__REPLY__RESULT_INVENTORY)
		return;
	if (reply->inventory->n_refused) {
		const Registry__RowResult *row = reply->inventory->refused[0];

		(void)epp__no(cmd, (unsigned)row->code, cmd->object, "%s", row->reason);
		return;
	}
	epp__res_open(cmd, NS_DEVICE, "creData");
	out_leaf(&cmd->res.text, "o:iccid", epp__text(cmd->object, "iccid"));
	out_leaf_time(&cmd->res.text, "o:crDate", clock->unix_s(clock));
	epp__res_close(cmd, "creData");
}

/* ---- update ---- */

static bool set_flags(struct epp_command *cmd, const struct xml_node *list, Registry__Flag value,
	Registry__DeviceUpdate *m)
{
	const struct xml_node *node = list ? xml_child(list, "status") : NULL;

	for (; node; node = xml_next_same(node)) {
		Registry__Flag *const flags[] = { &m->locked, &m->stolen, &m->broken };
		Registry__Flag *flag = flags[epp__word(xml_attr(node, "s"), statuses)];

		if (*flag != REGISTRY__FLAG__FLAG_KEEP)
			return epp__no(cmd, 2306, node, "the same status twice");
		*flag = value;
	}
	return true;
}

/* The code for a change of operator; a command of its own, since it is shown once. */
static bool auth_ask(struct epp_command *cmd, const struct xml_node *info)
{
	Registry__DeviceSetAuth *m = epp__new(cmd, &registry__device_set_auth__descriptor);

	if (!m || !epp__ttl(cmd, xml_child(info, "generate"), &m->ttl_s))
		return false;
	m->iccid = epp__text(cmd->object, "iccid");
	cmd->request.op_case = REGISTRY__REQUEST__OP_DEVICE_SET_AUTH;
	cmd->request.device_set_auth = m;
	return true;
}

static bool update_ask(struct epp_command *cmd)
{
	Registry__DeviceUpdate *m = epp__new(cmd, &registry__device_update__descriptor);
	const struct xml_node *add = xml_child(cmd->object, "add");
	const struct xml_node *rem = xml_child(cmd->object, "rem");
	const struct xml_node *change = xml_child(cmd->object, "chg");
	const struct xml_node *info = change ? xml_child(change, "authInfo") : NULL;

	if (!m)
		return false;
	if (info && (add || rem || change->first != change->last))
		return epp__no(cmd, 2306, info, "a code is asked for by a command of its own");
	if (info)
		return auth_ask(cmd, info);
	m->iccid = epp__text(cmd->object, "iccid");
	if (!set_flags(cmd, add, REGISTRY__FLAG__FLAG_TRUE, m) ||
		!set_flags(cmd, rem, REGISTRY__FLAG__FLAG_FALSE, m))
		return false;
	m->add_consent = epp__text(add, "consent");
	m->rem_consent = epp__text(rem, "consent");
	m->owner = epp__text(change, "owner");
	m->imei = epp__text(change, "imei");
	m->move_to = epp__text(change, "moveTo");
	cmd->request.op_case = REGISTRY__REQUEST__OP_DEVICE_UPDATE;
	cmd->request.device_update = m;
	return true;
}

static void update_answer(struct epp_command *cmd, const Registry__Reply *reply)
{
	if (reply->result_case == REGISTRY__REPLY__RESULT_AUTH)
		epp__auth_data(cmd, NS_DEVICE, "iccid", reply->auth);
}

/* ---- transfer: the device gets another operator's SIM, at once ---- */

static bool transfer_ask(struct epp_command *cmd)
{
	Registry__DeviceTransfer *m = epp__new(cmd, &registry__device_transfer__descriptor);
	const struct xml_node *code = xml_child(cmd->object, "claim");
	const struct xml_node *info = xml_child(cmd->object, "authInfo");

	if (!m)
		return false;
	if (strcmp(xml_attr(cmd->verb, "op"), "request") != 0)
		return epp__no(cmd, 2101, cmd->verb, "a device's transfer is done at once");
	if (!xml_child(cmd->object, "newIccid")) {
		cmd->fault.missing = "newIccid";
		return epp__no(cmd, 2003, cmd->object, "the gaining operator's SIM");
	}
	if (code && (!epp__b64(cmd, xml_child(code, "salt"), &m->claim_salt) ||
			    !epp__b64(cmd, xml_child(code, "sha256"), &m->claim_sha256)))
		return false;
	m->iccid = epp__text(cmd->object, "iccid");
	m->new_iccid = epp__text(cmd->object, "newIccid");
	m->code = epp__text(info, "pw");
	cmd->request.op_case = REGISTRY__REQUEST__OP_DEVICE_TRANSFER;
	cmd->request.device_transfer = m;
	return true;
}

static void transfer_answer(struct epp_command *cmd, const Registry__Reply *reply)
{
	const struct clock *clock = cmd->session->server->o.clock;
	struct out *o = &cmd->res.text;
	int64_t now = clock->unix_s(clock);

	if (reply->result_case != REGISTRY__REPLY__RESULT_DEVICE)
		return;
	epp__res_open(cmd, NS_DEVICE, "trnData");
	out_leaf(o, "o:iccid", reply->device->device->iccid);
	out_leaf(o, "o:roid", reply->device->device->id);
	out_leaf(o, "o:trStatus", "serverApproved");
	out_leaf(o, "o:reID", cmd->session->id);
	out_leaf_time(o, "o:reDate", now);
	out_leaf(o, "o:acID", cmd->session->id);
	out_leaf_time(o, "o:acDate", now);
	epp__res_close(cmd, "trnData");
}

const struct epp_mapping epp__device = { .ns = NS_DEVICE,
	.rows = {
		[VERB_CHECK] = { &check, check_ask, check_answer },
		[VERB_INFO] = { &one, info_ask, info_answer },
		[VERB_CREATE] = { &create, create_ask, create_answer },
		[VERB_UPDATE] = { &update, update_ask, update_answer },
		[VERB_TRANSFER] = { &transfer, transfer_ask, transfer_answer },
	} };
