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
static const struct gram_part check_parts[] = { { "iccid", &epp__t_iccid, 1, EPP_IDS_MAX }, { 0 } };
static const struct gram_type check = { .kind = GRAM_SEQ, .parts = check_parts };
static const struct gram_part one_parts[] = { { "iccid", &epp__t_iccid, 1, 1 }, { 0 } };
static const struct gram_part info_parts[] = { { "iccid", &epp__t_iccid, 1, 1 },
	{ "authInfo", &epp__t_auth, 0, 1 }, { 0 } };
static const struct gram_type look = { .kind = GRAM_SEQ, .parts = info_parts };
static const struct gram_type one = { .kind = GRAM_SEQ, .parts = one_parts };
static const struct gram_part create_parts[] = { { "iccid", &epp__t_iccid, 1, 1 },
	{ "eid", &eid, 0, 1 }, { "imei", &imei, 0, 1 }, { "owner", &epp__t_clid, 0, 1 },
	{ "claim", &epp__t_sim_claim, 0, 1 }, { "attestCert", &epp__t_attest, 0, 1 }, { 0 } };
static const struct gram_type create = { .kind = GRAM_SEQ, .parts = create_parts };

static const struct gram_attr status_attrs[] = { { "s", true, statuses }, { 0 } };
static const struct gram_type status = { .kind = GRAM_EMPTY, .attrs = status_attrs };
static const struct gram_part addrem_parts[] = { { "status", &status, 0, 3 },
	{ "consent", &epp__t_clid, 0, 1 }, { 0 } };
static const struct gram_type addrem = { .kind = GRAM_SEQ, .parts = addrem_parts };
static const struct gram_part make_parts[] = { { "generate", &epp__t_generate, 1, 1 }, { 0 } };
static const struct gram_type make = { .kind = GRAM_SEQ, .parts = make_parts };
static const struct gram_part chg_parts[] = { { "owner", &epp__t_clid, 0, 1 },
	{ "imei", &imei, 0, 1 }, { "moveTo", &epp__t_clid, 0, 1 },
	{ "attestCert", &epp__t_attest, 0, 1 }, { "reason", &epp__t_text, 0, 1 },
	{ "authInfo", &make, 0, 1 }, { 0 } };
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

/* With its code a device is shown to whoever has it: before a transfer, say. */
static bool look_ask(struct epp_command *cmd, const struct xml_node *auth)
{
	Registry__DeviceLook *m = epp__new(cmd, &registry__device_look__descriptor);

	if (!m)
		return false;
	m->iccid = epp__text(cmd->object, "iccid");
	m->code = epp__text(auth, "pw");
	cmd->request.op_case = REGISTRY__REQUEST__OP_DEVICE_LOOK;
	cmd->request.device_look = m;
	return true;
}

static bool info_ask(struct epp_command *cmd)
{
	Registry__DeviceInfo *m = epp__new(cmd, &registry__device_info__descriptor);

	if (!m)
		return false;
	if (xml_child(cmd->object, "authInfo"))
		return look_ask(cmd, xml_child(cmd->object, "authInfo"));
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
	if (d->transfer_pending)
		out_raw(o, "<o:status s=\"pendingTransfer\"/>");
	if (!d->locked && !d->stolen && !d->broken && !d->n_profiles && !d->transfer_pending)
		out_raw(o, "<o:status s=\"ok\"/>");
}

/* What was reported of it, and the keys that its SIM still has to give up. */
static void write_reports(struct out *o, const Registry__Device *d)
{
	for (size_t i = 0; i < d->n_flags; i++) {
		const Registry__DeviceFlag *f = d->flags[i];

		out_fmt(o, "<o:report s=\"%s\">",
			strcmp(f->flag, "stolen") == 0 ? "stolen" : "broken");
		out_leaf(o, "o:who", f->who);
		out_leaf_time(o, "o:since", f->since);
		out_leaf_if(o, "o:reason", f->reason);
		out_raw(o, "</o:report>");
	}
	for (size_t i = 0; i < d->n_wipe_pending; i++)
		out_leaf(o, "o:wipePending", d->wipe_pending[i]);
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
	write_reports(o, d);
	out_leaf_if(o, "o:moveTo", d->move_to);
	if (*d->maker) {
		out_fmt(o, "<o:maker by=\"%s\">",
			strcmp(d->maker_by, "list") == 0 ? "list" : "attestation");
		out_text(o, d->maker);
		out_raw(o, "</o:maker>");
	}
	out_leaf(o, "o:clID", d->mno);
	out_leaf_time(o, "o:crDate", d->created);
	epp__res_close(cmd, "infData");
}

static void info_answer(struct epp_command *cmd, const Registry__Reply *reply)
{
	const Registry__Device *d;

	if (reply->result_case != REGISTRY__REPLY__RESULT_DEVICE)
		return;
	d = reply->device->device;
	epp__device_data(cmd, d);
	if (!epp__speaks(cmd, NS_ORGEXT))
		return;
	epp__orgs_open(cmd);
	epp__orgs_write(cmd, "mno", d->mno);
	epp__orgs_write(cmd, "owner", d->owner);
	epp__orgs_write(cmd, "maker", d->maker);
	for (size_t i = 0; i < d->n_consents; i++)
		epp__orgs_write(cmd, "asp", d->consents[i]);
	epp__orgs_close(cmd);
}

/* ---- create: one row of the inventory ---- */

static bool create_ask(struct epp_command *cmd)
{
	Registry__InventoryLoad *m = epp__new(cmd, &registry__inventory_load__descriptor);
	Registry__InventoryRow *row = epp__new(cmd, &registry__inventory_row__descriptor);

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
	if (!epp__sim(cmd, &row->claim_salt, &row->claim_sha256, &row->attest_cert) ||
		!epp__orgs_set(
			cmd, cmd->orgs, (struct epp_org[]){ { "owner", &row->owner }, { 0 } }))
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

/* orgext: the owner, the operator that may take the device over, providers with consent. */
static bool update_orgs(struct epp_command *cmd, Registry__DeviceUpdate *m)
{
	const struct xml_node *list[3] = { NULL };
	static const char *const names[3] = { "add", "rem", "chg" };

	for (int i = 0; cmd->orgs && i < 3; i++)
		list[i] = xml_child(cmd->orgs, names[i]);
	return epp__orgs_set(
		       cmd, list[0], (struct epp_org[]){ { "asp", &m->add_consent }, { 0 } }) &&
	       epp__orgs_set(
		       cmd, list[1], (struct epp_org[]){ { "asp", &m->rem_consent }, { 0 } }) &&
	       epp__orgs_set(cmd, list[2],
		       (struct epp_org[]){ { "owner", &m->owner }, { "mno", &m->move_to }, { 0 } });
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
	if (info && (add || rem || cmd->orgs || change->first != change->last))
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
	m->reason = epp__text(change, "reason");
	if (!epp__b64_if(cmd, change, "attestCert", &m->attest_cert) || !update_orgs(cmd, m))
		return false;
	cmd->request.op_case = REGISTRY__REQUEST__OP_DEVICE_UPDATE;
	cmd->request.device_update = m;
	return true;
}

static void update_answer(struct epp_command *cmd, const Registry__Reply *reply)
{
	if (reply->result_case == REGISTRY__REPLY__RESULT_AUTH)
		epp__auth_data(cmd, NS_DEVICE, "iccid", reply->auth);
}

/* ---- delete: the end of the operator's stewardship ---- */

static bool delete_ask(struct epp_command *cmd)
{
	Registry__DeviceDelete *m = epp__new(cmd, &registry__device_delete__descriptor);

	if (!m)
		return false;
	m->iccid = epp__text(cmd->object, "iccid");
	cmd->request.op_case = REGISTRY__REQUEST__OP_DEVICE_DELETE;
	cmd->request.device_delete = m;
	return true;
}

const struct epp_mapping epp__device = { .ns = NS_DEVICE,
	.orgs = 1u << VERB_CREATE | 1u << VERB_UPDATE,
	.rows = {
		[VERB_CHECK] = { &check, check_ask, check_answer },
		[VERB_INFO] = { &look, info_ask, info_answer },
		[VERB_CREATE] = { &create, create_ask, create_answer },
		[VERB_UPDATE] = { &update, update_ask, update_answer },
		[VERB_TRANSFER] = { &epp__t_device_transfer, epp__device_transfer_ask,
			epp__device_transfer_answer },
		[VERB_DELETE] = { &one, delete_ask, NULL },
	} };
