/* SPDX-License-Identifier: Apache-2.0 */
/* The server's side of epp-1.0: greeting and response (RFC 5730 sections 2.4, 2.6). */
#include "epp/internal.h"

#include <stdio.h>
#include <string.h>

const char *const epp__uris[NS_COUNT] = {
	[NS_DEVICE] = "urn:attestry:params:xml:ns:device-1.0",
	[NS_PROFILE] = "urn:attestry:params:xml:ns:profile-1.0",
	[NS_SERVICE] = "urn:attestry:params:xml:ns:service-1.0",
	[NS_JOB] = "urn:attestry:params:xml:ns:job-1.0",
	[NS_ORG] = "urn:ietf:params:xml:ns:epp:org-1.0",
	[NS_MAINTENANCE] = "urn:ietf:params:xml:ns:epp:maintenance-1.0",
	[NS_LOGIN_SEC] = "urn:ietf:params:xml:ns:epp:loginSec-1.0",
	[NS_SECURE_AUTH] = "urn:ietf:params:xml:ns:epp:secure-authinfo-transfer-1.0",
	[NS_UNHANDLED] = "urn:ietf:params:xml:ns:epp:unhandled-namespaces-1.0",
	[NS_CHANGE_POLL] = "urn:ietf:params:xml:ns:changePoll-1.0",
	[NS_ORGEXT] = "urn:ietf:params:xml:ns:epp:orgext-1.0",
};

enum epp_ns epp__ns_find(const char *uri)
{
	for (int i = 0; i < NS_COUNT; i++)
		if (strcmp(epp__uris[i], uri) == 0)
			return (enum epp_ns)i;
	return NS_NONE;
}

/* RFC 5730 section 3, whose English these are. */
static const struct {
	unsigned code;
	const char *text;
} messages[] = {
	{ 1000, "Command completed successfully" },
	{ 1001, "Command completed successfully; action pending" },
	{ 1300, "Command completed successfully; no messages" },
	{ 1301, "Command completed successfully; ack to dequeue" },
	{ 1500, "Command completed successfully; ending session" },
	{ 2000, "Unknown command" },
	{ 2001, "Command syntax error" },
	{ 2002, "Command use error" },
	{ 2003, "Required parameter missing" },
	{ 2004, "Parameter value range error" },
	{ 2005, "Parameter value syntax error" },
	{ 2100, "Unimplemented protocol version" },
	{ 2101, "Unimplemented command" },
	{ 2102, "Unimplemented option" },
	{ 2103, "Unimplemented extension" },
	{ 2105, "Object is not eligible for renewal" },
	{ 2106, "Object is not eligible for transfer" },
	{ 2200, "Authentication error" },
	{ 2201, "Authorization error" },
	{ 2202, "Invalid authorization information" },
	{ 2300, "Object pending transfer" },
	{ 2301, "Object not pending transfer" },
	{ 2302, "Object exists" },
	{ 2303, "Object does not exist" },
	{ 2304, "Object status prohibits operation" },
	{ 2305, "Object association prohibits operation" },
	{ 2306, "Parameter value policy error" },
	{ 2307, "Unimplemented object service" },
	{ 2308, "Data management policy violation" },
	{ 2400, "Command failed" },
	{ 2500, "Command failed; server closing connection" },
	{ 2501, "Authentication error; server closing connection" },
	{ 2502, "Session limit exceeded; server closing connection" },
};

const char *epp__message(unsigned code)
{
	for (size_t i = 0; i < sizeof(messages) / sizeof(messages[0]); i++)
		if (messages[i].code == code)
			return messages[i].text;
	return NULL;
}

static void head(struct out *o)
{
	out_raw(o, "<?xml version=\"1.0\" encoding=\"UTF-8\" standalone=\"no\"?>"
		   "<epp xmlns=\"" EPP_URI "\">");
}

void epp__greeting(struct epp_session *s, struct out *o)
{
	const struct clock *clock = s->server->o.clock;

	head(o);
	out_raw(o, "<greeting>");
	out_leaf(o, "svID", s->server->o.server_id);
	out_leaf_time(o, "svDate", clock->unix_s(clock));
	out_raw(o, "<svcMenu><version>1.0</version><lang>en</lang>");
	for (int i = 0; i < NS_OBJECTS; i++)
		out_leaf(o, "objURI", epp__uris[i]);
	out_raw(o, "<svcExtension>");
	for (int i = NS_OBJECTS; i < NS_COUNT; i++)
		out_leaf(o, "extURI", epp__uris[i]);
	/* RFC 5730 section 2.4: what is collected serves the provisioning alone, is kept as long
	 * as the law or the object asks for it, and its traces in the DNS are public. */
	out_raw(o, "</svcExtension></svcMenu>"
		   "<dcp><access><personalAndOther/></access>"
		   "<statement><purpose><admin/><prov/></purpose>"
		   "<recipient><ours/><public/></recipient>"
		   "<retention><stated/></retention></statement></dcp>"
		   "</greeting></epp>");
}

/* The element at fault as it was sent, alone and without what is secret or long. */
static void write_node(struct out *o, const struct xml_node *node, const char *child)
{
	out_raw(o, "<value>");
	if (!node) {
		out_raw(o, "<undef/>");
	} else if (child) {
		/* What is missing, under the name that it would have. */
		out_fmt(o, "<x:%s xmlns:x=\"", child);
		out_text(o, node->ns);
		out_raw(o, "\"/>");
	} else {
		bool ns = *node->ns;

		out_raw(o, ns ? "<x:" : "<");
		out_raw(o, node->name);
		out_raw(o, ns ? " xmlns:x=\"" : " xmlns=\"");
		out_text(o, node->ns);
		out_raw(o, "\"");
		if (node->text_len && node->text_len <= 200 && !node->secret && !node->first) {
			out_raw(o, ">");
			out_text(o, node->text);
			out_raw(o, ns ? "</x:" : "</");
			out_raw(o, node->name);
			out_raw(o, ">");
		} else {
			out_raw(o, "/>");
		}
	}
	out_raw(o, "</value>");
}

static void write_reason(struct out *o, const struct xml_node *node, const char *why)
{
	out_raw(o, "<reason lang=\"en\">");
	if (node)
		out_fmt(o, "line %u, column %u: ", node->line, node->column);
	out_text(o, why);
	out_raw(o, "</reason>");
}

static void write_fault(struct out *o, const struct epp_command *cmd, const char *why)
{
	const struct gram_fault *f = &cmd->fault;

	if (f->node)
		write_node(o, f->node, f->missing);
	if (!*why)
		return;
	out_raw(o, "<extValue>");
	write_node(o, f->node, f->missing);
	write_reason(o, f->node, why);
	out_raw(o, "</extValue>");
}

/* RFC 9038 section 3: what the client did not name at login is not lost, but moves to where any
 * client can skip it. */
static bool unhandled(const struct epp_command *cmd, const struct epp_part *part)
{
	return part->ns != NS_NONE && part->text.len && !(cmd->session->services & 1u << part->ns);
}

static void write_unhandled(struct out *o, const struct epp_part *part)
{
	out_raw(o, "<extValue><value>");
	out_bytes(o, part->text.bytes, part->text.len);
	out_fmt(o, "</value><reason>%s not in login services</reason></extValue>",
		epp__uris[part->ns]);
}

static void write_part(
	struct out *o, const struct epp_command *cmd, const struct epp_part *part, const char *name)
{
	if (part->ns == NS_NONE || !part->text.len || unhandled(cmd, part))
		return;
	out_open(o, name, "");
	out_bytes(o, part->text.bytes, part->text.len);
	out_close(o, name);
}

static void write_queue(struct out *o, const struct epp_command *cmd)
{
	if (!cmd->has_queue)
		return;
	out_fmt(o, "<msgQ count=\"%llu\" id=\"%s%llu\"", (unsigned long long)cmd->queue_count,
		cmd->queue_job ? "J" : "", (unsigned long long)cmd->queue_id);
	if (!cmd->queue_date) {
		out_raw(o, "/>");
		return;
	}
	out_raw(o, ">");
	out_leaf_time(o, "qDate", cmd->queue_date);
	out_leaf(o, "msg", cmd->queue_text);
	out_raw(o, "</msgQ>");
}

void epp__respond(struct epp_command *cmd, unsigned code, const char *why)
{
	const char *message = epp__message(code);
	struct out o = { 0 };

	if (cmd->res.text.bad || cmd->ext.text.bad || !message) {
		code = 2400;
		message = epp__message(code);
		cmd->res.ns = cmd->ext.ns = NS_NONE;
	}
	head(&o);
	out_fmt(&o, "<response><result code=\"%u\"><msg lang=\"en\">%s</msg>", code, message);
	if (code >= 2000) {
		cmd->session->server->counts.errors++;
		write_fault(&o, cmd, why);
	}
	if (unhandled(cmd, &cmd->res))
		write_unhandled(&o, &cmd->res);
	if (unhandled(cmd, &cmd->ext))
		write_unhandled(&o, &cmd->ext);
	out_raw(&o, "</result>");
	write_queue(&o, cmd);
	write_part(&o, cmd, &cmd->res, "resData");
	write_part(&o, cmd, &cmd->ext, "extension");
	out_raw(&o, "<trID>");
	out_leaf_if(&o, "clTRID", cmd->cl_trid);
	out_leaf(&o, "svTRID", cmd->sv_trid);
	out_raw(&o, "</trID></response></epp>");
	epp__send(cmd->session, &o);
}
