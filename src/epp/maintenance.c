/* SPDX-License-Identifier: Apache-2.0 */
/* maintenance-1.0 (RFC 9167): what the operator has announced, to look at; the news come by poll.
 */
#include "epp/internal.h"

static const struct gram_attr id_attrs[] = { { "name", false, NULL }, { "lang", false, NULL },
	{ 0 } };
static const struct gram_type id = { .kind = GRAM_TOKEN, .min = 1, .max = 64, .attrs = id_attrs };
static const struct gram_part info_parts[] = { { "list", &epp__t_empty, 1, 1 }, { "id", &id, 1, 1 },
	{ 0 } };
static const struct gram_type info = { .kind = GRAM_CHOICE, .parts = info_parts };

static bool info_ask(struct epp_command *cmd)
{
	Registry__MaintenanceInfo *m = epp__new(cmd, &registry__maintenance_info__descriptor);

	if (!m)
		return false;
	m->id = epp__text(cmd->object, "id");
	cmd->request.op_case = REGISTRY__REQUEST__OP_MAINTENANCE_INFO;
	cmd->request.maintenance_info = m;
	return true;
}

static void write_list(struct out *o, const Registry__MaintenanceData *data)
{
	out_raw(o, "<o:list>");
	for (size_t i = 0; i < data->n_items; i++) {
		const Registry__Maintenance *m = data->items[i];

		out_raw(o, "<o:listItem>");
		out_leaf(o, "o:id", m->id);
		out_leaf_time(o, "o:start", m->start);
		out_leaf_time(o, "o:end", m->end);
		out_leaf_time(o, "o:crDate", m->created);
		if (m->updated)
			out_leaf_time(o, "o:upDate", m->updated);
		out_raw(o, "</o:listItem>");
	}
	out_raw(o, "</o:list>");
}

static void write_item(struct out *o, const Registry__Maintenance *m, const char *poll)
{
	out_raw(o, "<o:item>");
	out_leaf(o, "o:id", m->id);
	if (poll)
		out_leaf(o, "o:pollType", poll);
	out_raw(o, "<o:systems><o:system>");
	out_leaf(o, "o:name", m->system);
	out_leaf(o, "o:impact", m->impact);
	out_raw(o, "</o:system></o:systems><o:environment type=\"production\"/>");
	out_leaf_time(o, "o:start", m->start);
	out_leaf_time(o, "o:end", m->end);
	out_leaf(o, "o:reason", m->emergency ? "emergency" : "planned");
	out_leaf_if(o, "o:description", m->description);
	out_leaf_time(o, "o:crDate", m->created);
	if (m->updated)
		out_leaf_time(o, "o:upDate", m->updated);
	out_raw(o, "</o:item>");
}

void epp__maintenance_data(
	struct epp_command *cmd, const Registry__MaintenanceData *data, bool list, const char *poll)
{
	struct out *o = &cmd->res.text;

	if (!list && data->n_items != 1)
		return;
	epp__res_open(cmd, NS_MAINTENANCE, "infData");
	if (list)
		write_list(o, data);
	else
		write_item(o, data->items[0], poll);
	epp__res_close(cmd, "infData");
}

static void info_answer(struct epp_command *cmd, const Registry__Reply *reply)
{
	if (reply->result_case == REGISTRY__REPLY__RESULT_MAINTENANCE)
		epp__maintenance_data(
			cmd, reply->maintenance, xml_child(cmd->object, "id") == NULL, NULL);
}

const struct epp_mapping epp__maintenance = { .ns = NS_MAINTENANCE,
	.rows = { [VERB_INFO] = { &info, info_ask, info_answer } } };
