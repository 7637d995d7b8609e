/* SPDX-License-Identifier: Apache-2.0 */
/* Commands as the audit keeps them: every element and its text, but for what the grammar calls
 * secret and for what it does not know: who mistypes the element mistypes it around a password too.
 */
#include "epp/internal.h"
#include "base/str.h"

#include <stdio.h>
#include <string.h>

enum { FRAME_KEPT_MAX = 256 * 1024 };

static void write_attrs(struct out *o, const struct xml_node *node)
{
	for (const struct xml_attr *a = node->attrs; a; a = a->next) {
		if (*a->ns)
			continue;
		out_raw(o, " ");
		out_raw(o, a->name);
		out_raw(o, "=\"");
		out_text(o, node->known ? a->value : "***");
		out_raw(o, "\"");
	}
}

static void write_masked(struct out *o, const struct xml_node *node, const char *ns)
{
	out_raw(o, "<");
	out_raw(o, node->name);
	if (strcmp(node->ns, ns) != 0) {
		out_raw(o, " xmlns=\"");
		out_text(o, node->ns);
		out_raw(o, "\"");
	}
	write_attrs(o, node);
	out_raw(o, ">");
	if (node->plain)
		out_text(o, node->text);
	else if (node->secret || !node->first)
		out_raw(o, node->text_len ? "***" : "");
	for (const struct xml_node *c = node->first; c; c = c->next)
		write_masked(o, c, node->ns);
	out_close(o, node->name);
}

/* In the tree's memory; NULL: out of it. What is over the bound is cut off, and said so. */
static char *frame_of(struct epp_command *cmd, const struct xml_node *node)
{
	static const char more[] = "...";
	struct out o = { 0 };
	char *copy = NULL;
	size_t len;

	write_masked(&o, node, "");
	len = o.len > FRAME_KEPT_MAX ? FRAME_KEPT_MAX : o.len;
	if (!o.bad)
		copy = xml_alloc(cmd->xml, len + sizeof(more));
	if (copy) {
		/* Not in the middle of a character of UTF-8. */
		while (len && len < o.len && ((unsigned char)o.bytes[len] & 0xc0) == 0x80)
			len--;
		memcpy(copy, o.bytes, len);
		memcpy(copy + len, len < o.len ? more : "", len < o.len ? sizeof(more) : 1);
	}
	out_free(&o);
	return copy;
}

void epp__keep_frame(struct epp_command *cmd)
{
	char *frame = frame_of(cmd, cmd->command);

	if (frame)
		cmd->request.frame = frame;
}

/* What is not well-formed has no elements: nobody can say what in it is secret. */
static char *unread(struct epp_command *cmd)
{
	char hex[2 * sizeof(cmd->xml_sha256) + 1];
	char *text = xml_alloc(cmd->xml, 160);

	hex_write(cmd->xml_sha256, sizeof(cmd->xml_sha256), hex);
	if (text)
		(void)snprintf(
			text, 160, "not well-formed: %zu octets, sha256=%s", cmd->xml_len, hex);
	return text;
}

void epp__note_refusal(struct epp_command *cmd, unsigned code, const char *why)
{
	Registry__Request r = REGISTRY__REQUEST__INIT;
	Registry__Refusal m = REGISTRY__REFUSAL__INIT;
	struct epp_session *s = cmd->session;
	struct epp_server *server = s->server;
	char reason[GRAM_REASON_MAX + 8];

	if (!server->o.handler.note)
		return;
	if (!epp__may(s, EPP_RATE_REFUSED)) {
		server->counts.unkept++;
		return;
	}
	(void)snprintf(reason, sizeof(reason), "%u %s", code, why);
	r.frame = cmd->root ? frame_of(cmd, cmd->root) : unread(cmd);
	if (!r.frame)
		return;
	m.operation = (char *)(uintptr_t) "epp";
	m.object = cmd->sv_trid;
	m.reason = reason;
	r.spki_sha256 = (ProtobufCBinaryData){ sizeof(s->spki_sha256), s->spki_sha256 };
	r.peer = s->peer;
	r.sv_trid = cmd->sv_trid;
	r.cl_trid = cmd->cl_trid ? (char *)(uintptr_t)cmd->cl_trid : r.cl_trid;
	r.op_case = REGISTRY__REQUEST__OP_REFUSAL;
	r.refusal = &m;
	server->o.handler.note(server->o.handler.user, &r);
}
