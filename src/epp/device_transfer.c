/* SPDX-License-Identifier: Apache-2.0 */
/* device-1.0, transfer: another operator's SIM for the same device. With the code at once; without
 * it when the owner or the present operator approves. */
#include "epp/internal.h"

#include <string.h>

static const struct gram_part parts[] = { { "iccid", &epp__t_iccid, 1, 1 },
	{ "newIccid", &epp__t_iccid, 0, 1 }, { "claim", &epp__t_sim_claim, 0, 1 },
	{ "attestCert", &epp__t_attest, 0, 1 }, { "authInfo", &epp__t_auth, 0, 1 }, { 0 } };
const struct gram_type epp__t_device_transfer = { .kind = GRAM_SEQ, .parts = parts };

static bool with_code(struct epp_command *cmd, const struct xml_node *auth)
{
	Registry__DeviceTransfer *m = epp__new(cmd, &registry__device_transfer__descriptor);

	if (!m || !epp__sim(cmd, &m->claim_salt, &m->claim_sha256, &m->attest_cert))
		return false;
	m->iccid = epp__text(cmd->object, "iccid");
	m->new_iccid = epp__text(cmd->object, "newIccid");
	m->code = epp__text(auth, "pw");
	/* RFC 9154 section 4.4: an empty value never authorizes. */
	if (!*m->code)
		return epp__no(cmd, 2202, xml_child(auth, "pw"), "an empty code");
	cmd->request.op_case = REGISTRY__REQUEST__OP_DEVICE_TRANSFER;
	cmd->request.device_transfer = m;
	return true;
}

bool epp__device_transfer_ask(struct epp_command *cmd)
{
	Registry__TransferStep step = epp__transfer_step(cmd);
	bool request = step == REGISTRY__TRANSFER_STEP__TRANSFER_REQUEST;
	const struct xml_node *auth = xml_child(cmd->object, "authInfo");
	const struct xml_node *more = xml_child(cmd->object, "iccid")->next;
	Registry__DeviceMove *m = epp__new(cmd, &registry__device_move__descriptor);

	if (!m)
		return false;
	if (!request && more)
		return epp__no(cmd, 2306, more, "this goes with a request");
	if (request && !xml_child(cmd->object, "newIccid")) {
		cmd->fault.missing = "newIccid";
		return epp__no(cmd, 2003, cmd->object, "the gaining operator's SIM");
	}
	if (auth)
		return with_code(cmd, auth);
	if (!epp__sim(cmd, &m->claim_salt, &m->claim_sha256, &m->attest_cert))
		return false;
	m->iccid = epp__text(cmd->object, "iccid");
	m->new_iccid = epp__text(cmd->object, "newIccid");
	m->step = step;
	cmd->request.op_case = REGISTRY__REQUEST__OP_DEVICE_MOVE;
	cmd->request.device_move = m;
	return true;
}

void epp__device_transfer_data(struct epp_command *cmd, const Registry__Transfer *t)
{
	struct out *o = &cmd->res.text;

	epp__res_open(cmd, NS_DEVICE, "trnData");
	out_leaf(o, "o:iccid", t->name);
	out_leaf(o, "o:roid", t->device);
	epp__transfer_fields(o, t);
	out_leaf(o, "o:newIccid", t->new_iccid);
	epp__res_close(cmd, "trnData");
}

void epp__device_transfer_answer(struct epp_command *cmd, const Registry__Reply *reply)
{
	if (reply->result_case == REGISTRY__REPLY__RESULT_TRANSFER)
		epp__device_transfer_data(cmd, reply->transfer->transfer);
	else if (reply->result_case == REGISTRY__REPLY__RESULT_DEVICE && reply->device->transfer)
		epp__device_transfer_data(cmd, reply->device->transfer);
}
