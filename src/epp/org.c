/* SPDX-License-Identifier: Apache-2.0 */
/* org-1.0 (RFC 8543): parties and their roles, to look at. They are created by the operator
 * together with their login certificate, which this mapping has no place for: create, update and
 * delete are answered with 2101. */
#include "epp/internal.h"

static const struct gram_part check_parts[] = { { "id", &epp__t_clid, 1, EPP_IDS_MAX }, { 0 } };
static const struct gram_type check = { .kind = GRAM_SEQ, .parts = check_parts };
static const struct gram_part one_parts[] = { { "id", &epp__t_clid, 1, 1 }, { 0 } };
static const struct gram_type one = { .kind = GRAM_SEQ, .parts = one_parts };

static bool check_ask(struct epp_command *cmd)
{
	return epp__check_ask(cmd, REGISTRY__CHECK_KIND__CHECK_PARTY, "id");
}

static void check_answer(struct epp_command *cmd, const Registry__Reply *reply)
{
	epp__check_answer(cmd, reply, NS_ORG, "id");
}

static bool info_ask(struct epp_command *cmd)
{
	Registry__PartyInfo *m = epp__new(cmd, &registry__party_info__descriptor);

	if (!m)
		return false;
	m->id = epp__text(cmd->object, "id");
	cmd->request.op_case = REGISTRY__REQUEST__OP_PARTY_INFO;
	cmd->request.party_info = m;
	return true;
}

static void info_answer(struct epp_command *cmd, const Registry__Reply *reply)
{
	static const char *const roles[] = { "", "operator", "asp", "mno", "maker", "owner" };
	struct out *o = &cmd->res.text;
	const Registry__Party *p;

	if (reply->result_case != REGISTRY__REPLY__RESULT_PARTY || !reply->party->party)
		return;
	p = reply->party->party;
	epp__res_open(cmd, NS_ORG, "infData");
	out_leaf(o, "o:id", p->id);
	out_raw(o, "<o:roid>P_");
	for (const char *c = p->id; *c; c++)
		out_fmt(o, "%c", *c == '-' ? '_' : *c);
	out_fmt(o, "_%lld-IOT</o:roid>", (long long)p->created);
	for (size_t i = 0; i < p->n_roles; i++) {
		unsigned r = (unsigned)p->roles[i];

		out_raw(o, "<o:role>");
		out_leaf(o, "o:type", r < 6 ? roles[r] : "");
		out_raw(o, "</o:role>");
	}
	out_raw(o, "<o:status>ok</o:status><o:postalInfo type=\"int\">");
	out_leaf(o, "o:name", p->name);
	out_raw(o, "</o:postalInfo>");
	out_leaf(o, "o:crID", "operator");
	out_leaf_time(o, "o:crDate", p->created);
	epp__res_close(cmd, "infData");
}

const struct epp_mapping epp__org = { .ns = NS_ORG,
	.rows = {
		[VERB_CHECK] = { &check, check_ask, check_answer },
		[VERB_INFO] = { &one, info_ask, info_answer },
	} };
