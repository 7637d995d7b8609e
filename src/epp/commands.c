/* SPDX-License-Identifier: Apache-2.0 */
/* From one frame to its answer: the envelope's grammar, who may ask what now, the object's table.
 */
#include "epp/internal.h"

#include <openssl/sha.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- the envelope (RFC 5730 section 4) ---- */

static const struct gram_type trid = { .kind = GRAM_TOKEN, .min = 3, .max = 64 };
static const struct gram_type any = { .kind = GRAM_ANY };

static const struct gram_part one_any[] = { { "the object's element", &any, 1, 1 }, { 0 } };
static const struct gram_type read_write = { .kind = GRAM_SEQ, .parts = one_any };
static const struct gram_part many_any[] = { { "the extension's element", &any, 1, 0 }, { 0 } };
static const struct gram_type extension = { .kind = GRAM_SEQ, .parts = many_any };

static const char *const poll_ops[] = { "ack", "req", NULL };
static const struct gram_attr poll_attrs[] = { { "op", true, poll_ops }, { "msgID", false, NULL },
	{ 0 } };
static const struct gram_type poll = { .kind = GRAM_SEQ, .attrs = poll_attrs };

static const char *const transfer_ops[] = { "approve", "cancel", "query", "reject", "request",
	NULL };
static const struct gram_attr transfer_attrs[] = { { "op", true, transfer_ops }, { 0 } };
static const struct gram_type transfer = {
	.kind = GRAM_SEQ, .parts = one_any, .attrs = transfer_attrs
};

static const struct gram_type password = {
	.kind = GRAM_TOKEN, .min = 6, .max = 16, .secret = true
};
static const struct gram_type word = { .kind = GRAM_TOKEN, .min = 1, .max = 255 };
static const struct gram_part options_parts[] = { { "version", &word, 1, 1 },
	{ "lang", &word, 1, 1 }, { 0 } };
static const struct gram_type options = { .kind = GRAM_SEQ, .parts = options_parts };
static const struct gram_part ext_uri_parts[] = { { "extURI", &word, 1, 64 }, { 0 } };
static const struct gram_type ext_uris = { .kind = GRAM_SEQ, .parts = ext_uri_parts };
static const struct gram_part svcs_parts[] = { { "objURI", &word, 1, 64 },
	{ "svcExtension", &ext_uris, 0, 1 }, { 0 } };
static const struct gram_type svcs = { .kind = GRAM_SEQ, .parts = svcs_parts };
static const struct gram_part login_parts[] = { { "clID", &epp__t_clid, 1, 1 },
	{ "pw", &password, 1, 1 }, { "newPW", &password, 0, 1 }, { "options", &options, 1, 1 },
	{ "svcs", &svcs, 1, 1 }, { 0 } };
static const struct gram_type login = { .kind = GRAM_SEQ, .parts = login_parts };

/* The names of VERB_*, then those of the session. */
static const struct {
	const char *name;
	const struct gram_type *type;
} verbs[] = { { "check", &read_write }, { "create", &read_write }, { "delete", &read_write },
	{ "info", &read_write }, { "renew", &read_write }, { "transfer", &transfer },
	{ "update", &read_write }, { "login", &login }, { "logout", &epp__t_empty },
	{ "poll", &poll } };

enum { WORD_LOGIN = VERBS, WORD_LOGOUT, WORD_POLL, WORDS };

static const struct epp_mapping *const mappings[NS_OBJECTS] = {
	[NS_DEVICE] = &epp__device,
	[NS_PROFILE] = &epp__profile,
	[NS_SERVICE] = &epp__service,
	[NS_JOB] = &epp__job,
	[NS_ORG] = &epp__org,
	[NS_MAINTENANCE] = &epp__maintenance,
};

/* ---- a command's life ---- */

static struct epp_command *command_new(struct epp_session *s)
{
	struct epp_server *server = s->server;
	struct epp_command *cmd = server->spare;
	struct xml *xml = cmd ? cmd->xml : NULL;
	unsigned long salt = 0;

	server->spare = NULL;
	if (!cmd) {
		cmd = calloc(1, sizeof(*cmd));
		if (!cmd)
			return NULL;
		if (server->o.rng->fill(server->o.rng, &salt, sizeof(salt)) != RC_OK ||
			xml_new(&xml, salt) != RC_OK) {
			free(cmd);
			return NULL;
		}
	}
	*cmd = (struct epp_command){ .session = s, .xml = xml };
	cmd->res.ns = NS_NONE;
	cmd->ext.ns = NS_NONE;
	registry__request__init(&cmd->request);
	(void)snprintf(cmd->sv_trid, sizeof(cmd->sv_trid), "%s%llu", server->trid_prefix,
		(unsigned long long)++server->trid);
	return cmd;
}

void epp__command_free(struct epp_command *cmd)
{
	struct epp_server *server;

	if (!cmd)
		return;
	server = cmd->session->server;
	out_free(&cmd->res.text);
	out_free(&cmd->ext.text);
	if (server->spare) {
		xml_free(cmd->xml);
		free(cmd);
		return;
	}
	xml_clear(cmd->xml);
	server->spare = cmd;
}

static void finish(struct epp_command *cmd, unsigned code, const char *why)
{
	struct epp_session *s = cmd->session;

	if (code >= 2000 && !cmd->core_keeps)
		epp__note_refusal(cmd, code, why);
	epp__respond(cmd, code, why);
	if (cmd->close || code == 1500 || code >= 2500)
		s->ending = true;
	s->cmd = NULL;
	epp__command_free(cmd);
	if (s->state == SESSION_BUSY)
		s->state = SESSION_OPEN;
	if (s->ending)
		epp__end(s);
}

static void finish_fault(struct epp_command *cmd)
{
	finish(cmd, cmd->fault.code, cmd->fault.why);
}

/* ---- asking core ---- */

static bool send_request(struct epp_command *cmd)
{
	struct epp_session *s = cmd->session;
	Registry__Request *r = &cmd->request;

	r->spki_sha256 = (ProtobufCBinaryData){ sizeof(s->spki_sha256), s->spki_sha256 };
	r->peer = s->peer;
	r->sv_trid = cmd->sv_trid;
	r->cl_trid = cmd->cl_trid ? (char *)(uintptr_t)cmd->cl_trid : r->cl_trid;
	s->state = SESSION_BUSY;
	s->cmd = cmd;
	cmd->more = false;
	return s->server->o.handler.ask(s->server->o.handler.user, s, r);
}

static void ask(struct epp_command *cmd)
{
	if (!send_request(cmd))
		finish(cmd, 2400, "the registry is restarting; nothing was done");
}

void epp__core_reply(struct epp_session *s, const Registry__Reply *reply)
{
	struct epp_command *cmd = s->cmd;
	unsigned code;

	if (!cmd)
		return;
	cmd->core_keeps = reply && *cmd->request.frame && reply->code != CODE_(FAILED);
	if (!reply) {
		finish(cmd, 2400, "the registry did not answer in time; ask what was done");
		return;
	}
	code = (unsigned)reply->code;
	if (cmd->answer && (code < 2000 || cmd->step))
		cmd->answer(cmd, reply);
	if (cmd->more) {
		ask(cmd);
		return;
	}
	if (cmd->fault.code) {
		finish_fault(cmd);
		return;
	}
	if (cmd->code)
		code = cmd->code;
	if (code >= 2000) {
		/* The field that core names, where the object has an element of that name. */
		const struct xml_node *at =
			cmd->object && *reply->field ? xml_child(cmd->object, reply->field) : NULL;

		cmd->fault.node = at ? at : cmd->object ? cmd->object : cmd->verb;
	}
	finish(cmd, code, code >= 2000 ? reply->reason : "");
}

/* ---- the object's command ---- */

static bool no_extension(struct epp_command *cmd, const struct xml_node *ext)
{
	const struct xml_node *first = ext ? ext->first : NULL;
	enum epp_ns ns = first ? epp__ns_find(first->ns) : NS_NONE;

	if (!first)
		return true;
	if (ns == NS_NONE || ns < NS_OBJECTS || !(cmd->session->services & 1u << ns))
		return epp__no(cmd, 2103, first, "not an extension of this session");
	return epp__no(cmd, 2103, first, "this extension says nothing in this command");
}

static bool extensions(struct epp_command *cmd, const struct xml_node *ext,
	const struct epp_mapping *map, enum epp_verb verb)
{
	struct xml_node *first = ext ? ext->first : NULL;

	if (first && !first->next && epp__speaks(cmd, NS_ORGEXT) && map->orgs & 1u << verb &&
		epp__ns_find(first->ns) == NS_ORGEXT)
		return epp__orgs_take(cmd, first, verb);
	return no_extension(cmd, ext);
}

static bool may(struct epp_command *cmd, enum epp_rate rate)
{
	if (epp__may(cmd->session, rate))
		return true;
	return epp__no(cmd, 2308, NULL, "too many commands a second; wait and repeat");
}

static bool object(struct epp_command *cmd, enum epp_verb verb, struct xml_node *ext)
{
	struct xml_node *node = cmd->verb->first;
	enum epp_ns ns = epp__ns_find(node->ns);
	static const enum epp_rate rates[VERBS] = { [VERB_CHECK] = EPP_RATE_CHECK,
		[VERB_CREATE] = EPP_RATE_CREATE,
		[VERB_DELETE] = EPP_RATE_DELETE,
		[VERB_INFO] = EPP_RATE_INFO,
		[VERB_RENEW] = EPP_RATE_RENEW,
		[VERB_TRANSFER] = EPP_RATE_TRANSFER,
		[VERB_UPDATE] = EPP_RATE_UPDATE };
	const struct epp_mapping *map;

	if (ns >= NS_OBJECTS || !(cmd->session->services & 1u << ns))
		return epp__no(cmd, 2307, node, "not an object service of this session");
	map = mappings[ns];
	cmd->object = node;
	if (strcmp(node->name, verbs[verb].name) != 0)
		return epp__no(cmd, 2001, node, "a %s command holds the object's %s",
			verbs[verb].name, verbs[verb].name);
	cmd->row = &map->rows[verb];
	if (!cmd->row->grammar)
		return epp__no(cmd, 2101, node, "this object has no such command");
	if (!gram_check(node, cmd->row->grammar, &cmd->fault) || !extensions(cmd, ext, map, verb))
		return false;
	if (!may(cmd, rates[verb]))
		return false;
	cmd->answer = cmd->row->answer;
	if (!cmd->row->ask(cmd))
		return false;
	if (verb != VERB_CHECK && verb != VERB_INFO)
		epp__keep_frame(cmd);
	return true;
}

/* clTRID is echoed whenever it can be read, so it is looked for before anything is judged. */
static void find_trid(struct epp_command *cmd, const struct xml_node *command)
{
	struct gram_fault unused;
	struct xml_node *node = xml_child(command, "clTRID");

	if (node && !xml_next_same(node) && gram_check(node, &trid, &unused))
		cmd->cl_trid = node->text;
}

/* <command>: verb, extension?, clTRID?. */
static bool envelope(struct epp_command *cmd, struct xml_node *command, size_t *word_index,
	struct xml_node **ext)
{
	struct xml_node *node = command->first, *at;
	struct gram_type type = { .kind = GRAM_SEQ };
	size_t w;

	if (!node)
		return epp__no(cmd, 2003, command, "an empty command");
	for (w = 0; w < WORDS; w++)
		if (strcmp(node->name, verbs[w].name) == 0 && strcmp(node->ns, EPP_URI) == 0)
			break;
	if (w == WORDS)
		return epp__no(cmd, 2000, node, "not a command of EPP");
	{
		struct gram_part parts[] = { { verbs[w].name, verbs[w].type, 1, 1 },
			{ "extension", &extension, 0, 1 }, { "clTRID", &trid, 0, 1 }, { 0 } };

		cmd->verb = node;
		type.parts = parts;
		if (!gram_check(command, &type, &cmd->fault))
			return false;
	}
	at = xml_child(command, "extension");
	*ext = at;
	*word_index = w;
	return true;
}

static bool login_command(
	struct epp_command *cmd, const struct xml_node *node, struct xml_node *ext)
{
	if (!may(cmd, EPP_RATE_LOGIN) || !epp__login(cmd, xml_child(node, "login"), ext))
		return false;
	epp__keep_frame(cmd);
	return true;
}

/* What became of a frame: a fault to be said, a question for core, or an answer that has left. */
enum step { STEP_FAULT, STEP_ASK, STEP_DONE };

static enum step command(struct epp_command *cmd, struct xml_node *node)
{
	struct epp_session *s = cmd->session;
	struct xml_node *ext = NULL;
	size_t w = 0;
	bool ok;

	cmd->command = node;
	find_trid(cmd, node);
	if (!envelope(cmd, node, &w, &ext))
		return STEP_FAULT;
	if (w == WORD_LOGIN && s->logged_in)
		ok = epp__no(cmd, 2002, cmd->verb, "logged in already");
	else if (w != WORD_LOGIN && !s->logged_in)
		ok = epp__no(cmd, 2002, cmd->verb, "log in first");
	else if (w == WORD_LOGIN)
		ok = login_command(cmd, node, ext);
	else if (w < VERBS)
		ok = object(cmd, (enum epp_verb)w, ext);
	else
		ok = no_extension(cmd, ext);
	if (!ok)
		return STEP_FAULT;
	if (w == WORD_LOGOUT) {
		finish(cmd, 1500, "");
		return STEP_DONE;
	}
	if (w == WORD_POLL)
		ok = may(cmd, EPP_RATE_POLL) && epp__poll(cmd, cmd->verb);
	return ok ? STEP_ASK : STEP_FAULT;
}

/* ---- the instance ---- */

void epp__greet(struct epp_session *s)
{
	struct out o = { 0 };

	epp__greeting(s, &o);
	epp__send(s, &o);
}

static enum step instance(struct epp_command *cmd, struct xml_node *root)
{
	static const struct gram_type inside = { .kind = GRAM_SKIP };
	static const struct gram_part parts[] = { { "hello", &epp__t_empty, 1, 1 },
		{ "command", &inside, 1, 1 }, { 0 } };
	static const struct gram_type epp = { .kind = GRAM_CHOICE, .parts = parts };
	struct xml_node *node = root->first;
	bool ok = true;

	if (strcmp(root->ns, EPP_URI) != 0 || strcmp(root->name, "epp") != 0)
		ok = epp__no(cmd, 2001, root, "not an EPP instance");
	else if (!node)
		ok = epp__no(cmd, 2001, root, "an empty instance");
	else if (strcmp(node->ns, EPP_URI) == 0 && strcmp(node->name, "extension") == 0)
		ok = epp__no(cmd, 2101, node, "no protocol extension is known");
	if (!ok || !gram_check(root, &epp, &cmd->fault))
		return STEP_FAULT;
	if (strcmp(node->name, "command") == 0)
		return command(cmd, node);
	epp__greet(cmd->session);
	epp__command_free(cmd);
	return STEP_DONE;
}

void epp__frame(struct epp_session *s, const uint8_t *xml, size_t len)
{
	struct epp_command *cmd = command_new(s);
	struct xml_fault bad = { 0 };
	struct xml_node *root = NULL;
	enum rc rc;

	s->server->counts.commands++;
	if (!cmd) {
		s->ending = true;
		epp__end(s);
		return;
	}
	rc = xml_read(cmd->xml, xml, len, &root, &bad);
	cmd->xml_len = len;
	cmd->root = rc == RC_OK ? root : NULL;
	if (rc != RC_OK) {
		char why[GRAM_REASON_MAX];

		(void)SHA256(xml, len, cmd->xml_sha256);
		(void)snprintf(why, sizeof(why), "line %u, column %u: %s", bad.line, bad.column,
			bad.why ? bad.why : rc_text(rc));
		finish(cmd, rc == RC_MALFORMED ? 2001 : 2400, why);
		return;
	}
	switch (instance(cmd, root)) {
	case STEP_FAULT: finish_fault(cmd); break;
	case STEP_ASK: ask(cmd); break;
	case STEP_DONE: break;
	}
}
