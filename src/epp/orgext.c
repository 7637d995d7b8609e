/* SPDX-License-Identifier: Apache-2.0 */
/* orgext-1.0 (RFC 8544): the organisations of an object, by their roles in org-1.0. It says what
 * the mappings' own elements say too; a client that speaks org-1.0 elsewhere need not learn them.
 */
#include "epp/internal.h"

#include <string.h>

static const char *const roles[] = { "asp", "maker", "mno", "owner", NULL };
static const struct gram_attr id_attrs[] = { { "role", true, roles }, { 0 } };
static const struct gram_type id = { .kind = GRAM_TOKEN, .min = 3, .max = 16, .attrs = id_attrs };
static const struct gram_part ids_parts[] = { { "id", &id, 1, 8 }, { 0 } };
static const struct gram_type ids = { .kind = GRAM_SEQ, .parts = ids_parts };
static const struct gram_part change_parts[] = { { "add", &ids, 0, 1 }, { "rem", &ids, 0, 1 },
	{ "chg", &ids, 0, 1 }, { 0 } };
static const struct gram_type change = { .kind = GRAM_SEQ, .parts = change_parts };

bool epp__orgs_take(struct epp_command *cmd, struct xml_node *node, enum epp_verb verb)
{
	const char *name = verb == VERB_CREATE ? "create" : "update";

	if (strcmp(node->name, name) != 0)
		return epp__no(
			cmd, 2001, node, "a %s command is extended by orgext's %s", name, name);
	cmd->orgs = node;
	return gram_check(node, verb == VERB_CREATE ? &ids : &change, &cmd->fault);
}

bool epp__orgs_set(struct epp_command *cmd, const struct xml_node *list, const struct epp_org *into)
{
	const struct xml_node *node = list ? xml_child(list, "id") : NULL;

	for (; node; node = xml_next_same(node)) {
		const struct epp_org *o = into;

		while (o->role && strcmp(o->role, xml_attr(node, "role")) != 0)
			o++;
		if (!o->role)
			return epp__no(cmd, 2306, node, "this role is not assigned so");
		if (**o->id)
			return epp__no(cmd, 2306, node, "named twice");
		*o->id = node->text;
	}
	return true;
}

void epp__orgs_open(struct epp_command *cmd)
{
	cmd->ext.ns = NS_ORGEXT;
	out_fmt(&cmd->ext.text, "<g:infData xmlns:g=\"%s\">", epp__uris[NS_ORGEXT]);
}

void epp__orgs_write(struct epp_command *cmd, const char *role, const char *party)
{
	if (!*party)
		return;
	out_fmt(&cmd->ext.text, "<g:id role=\"%s\">", role);
	out_text(&cmd->ext.text, party);
	out_raw(&cmd->ext.text, "</g:id>");
}

void epp__orgs_close(struct epp_command *cmd)
{
	out_raw(&cmd->ext.text, "</g:infData>");
}
