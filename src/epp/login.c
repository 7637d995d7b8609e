/* SPDX-License-Identifier: Apache-2.0 */
/* <login> (RFC 5730 section 2.9.1.1) with the Login Security Extension (RFC 8807): what was asked
 * for must be on the menu, then core looks at certificate and password together. */
#include "epp/internal.h"

#include <stdio.h>
#include <string.h>

#define IN_EXTENSION   "[LOGIN-SECURITY]" /* RFC 8807 section 3.2 */
#define CERT_WARN_S    (30 * 86400)
#define USER_AGENT_MAX 128

static const struct gram_type long_password = {
	.kind = GRAM_TOKEN, .min = 6, .max = EPP_PASSWORD_MAX, .secret = true
};
static const struct gram_type word = { .kind = GRAM_TOKEN, .max = 64 };
static const struct gram_part agent_parts[] = { { "app", &word, 0, 1 }, { "tech", &word, 0, 1 },
	{ "os", &word, 0, 1 }, { 0 } };
static const struct gram_type agent = { .kind = GRAM_SEQ, .parts = agent_parts };
static const struct gram_part sec_parts[] = { { "userAgent", &agent, 0, 1 },
	{ "pw", &long_password, 0, 1 }, { "newPW", &long_password, 0, 1 }, { 0 } };
static const struct gram_type login_sec = { .kind = GRAM_SEQ, .parts = sec_parts };

/* What the session will be able to speak of. */
static bool services(struct epp_command *cmd, const struct xml_node *svcs, uint32_t *out)
{
	const struct xml_node *menu = xml_child(svcs, "svcExtension");
	const struct xml_node *uri = xml_child(svcs, "objURI");

	for (; uri; uri = xml_next_same(uri)) {
		enum epp_ns ns = epp__ns_find(uri->text);

		if (ns >= NS_OBJECTS)
			return epp__no(cmd, 2307, uri, "not an object service of this server");
		*out |= 1u << ns;
	}
	for (uri = menu ? xml_child(menu, "extURI") : NULL; uri; uri = xml_next_same(uri)) {
		enum epp_ns ns = epp__ns_find(uri->text);

		if (ns == NS_NONE || ns < NS_OBJECTS)
			return epp__no(cmd, 2103, uri, "not an extension of this server");
		*out |= 1u << ns;
	}
	return true;
}

static bool read_options(struct epp_command *cmd, const struct xml_node *options)
{
	const struct xml_node *version = xml_child(options, "version");
	const struct xml_node *lang = xml_child(options, "lang");

	if (strcmp(version->text, "1.0") != 0)
		return epp__no(cmd, 2100, version, "this server speaks 1.0");
	if (strcmp(lang->text, "en") != 0)
		return epp__no(cmd, 2102, lang, "this server speaks en");
	return true;
}

/* At most one extension, loginSec, and only if the login names it. */
static bool read_extension(struct epp_command *cmd, const struct xml_node *extension,
	uint32_t wanted, struct xml_node **sec)
{
	struct xml_node *node = extension ? extension->first : NULL;

	*sec = node;
	if (!node)
		return true;
	if (epp__ns_find(node->ns) != NS_LOGIN_SEC || !(wanted & 1u << NS_LOGIN_SEC))
		return epp__no(cmd, 2103, node, "not an extension of this login");
	if (strcmp(node->name, "loginSec") != 0)
		return epp__no(cmd, 2001, node, "not a command of this extension");
	if (node->next)
		return epp__no(cmd, 2001, node->next, "one extension is allowed");
	return gram_check(node, &login_sec, &cmd->fault);
}

/* The password stands in the login or, behind its marker, in the extension (RFC 8807 section 4.1).
 */
static bool pick(struct epp_command *cmd, const struct xml_node *login, const struct xml_node *sec,
	const char *name, char **out)
{
	struct xml_node *plain = xml_child(login, name);
	struct xml_node *other = sec ? xml_child(sec, name) : NULL;

	if (plain && strcmp(plain->text, IN_EXTENSION) == 0) {
		if (!other) {
			cmd->fault.missing = name;
			return epp__no(cmd, 2003, sec ? sec : login, "%s is missing", name);
		}
		*out = other->text;
		return true;
	}
	if (other)
		return epp__no(cmd, 2306, other, "the login says %s itself", name);
	if (plain)
		*out = plain->text;
	return true;
}

static char *user_agent(struct epp_command *cmd, const struct xml_node *sec)
{
	const struct xml_node *ua = sec ? xml_child(sec, "userAgent") : NULL;
	char *text = ua ? xml_alloc(cmd->xml, USER_AGENT_MAX) : NULL;

	if (text)
		(void)snprintf(text, USER_AGENT_MAX, "%s; %s; %s", epp__text(ua, "app"),
			epp__text(ua, "tech"), epp__text(ua, "os"));
	return text ? text : (char *)(uintptr_t) "";
}

/* RFC 8807 section 3.1: what the client should mend before it is locked out. */
static void write_events(struct epp_command *cmd, const Registry__LoginData *data)
{
	struct epp_session *s = cmd->session;
	const struct clock *clock = s->server->o.clock;
	struct out *o = &cmd->ext.text;
	bool cert = s->not_after - clock->unix_s(clock) < CERT_WARN_S;
	char when[EPP_TIME_TEXT];

	if (!(s->services & 1u << NS_LOGIN_SEC) || (!cert && !data->failed))
		return;
	cmd->ext.ns = NS_LOGIN_SEC;
	out_fmt(o, "<l:loginSecData xmlns:l=\"%s\">", epp__uris[NS_LOGIN_SEC]);
	if (cert) {
		out_time_text(s->not_after, when);
		out_fmt(o,
			"<l:event type=\"certificate\" level=\"warning\" exDate=\"%s\">"
			"The client certificate expires soon</l:event>",
			when);
	}
	if (data->failed)
		out_fmt(o,
			"<l:event type=\"stat\" name=\"failedLogins\" level=\"warning\" "
			"value=\"%u\">Refused logins since the last good one</l:event>",
			data->failed);
	out_raw(o, "</l:loginSecData>");
}

static void answer(struct epp_command *cmd, const Registry__Reply *reply)
{
	struct epp_session *s = cmd->session;
	const uint32_t *wanted = cmd->state;

	if (reply->code == CODE_(OK) && reply->result_case == REGISTRY__REPLY__RESULT_LOGIN) {
		s->logged_in = true;
		s->services = *wanted;
		(void)snprintf(s->id, sizeof(s->id), "%s", cmd->request.login->id);
		s->server->counts.logins++;
		log_write(s->server->o.log, LOG_INFO, "login party=%s peer=%s", s->id, s->peer);
		write_events(cmd, reply->login);
		return;
	}
	if (reply->code != CODE_(AUTHENTICATION))
		return;
	s->server->counts.logins_failed++;
	log_write(s->server->o.log, LOG_WARNING, "login refused peer=%s attempt=%u", s->peer,
		s->failed + 1);
	if (++s->failed >= s->server->o.limits.logins)
		cmd->code = 2501;
}

bool epp__login(struct epp_command *cmd, struct xml_node *login, struct xml_node *extension)
{
	Registry__Login *m = epp__new(cmd, &registry__login__descriptor);
	uint32_t *wanted = xml_alloc(cmd->xml, sizeof(*wanted));
	struct xml_node *sec = NULL;

	if (!m || !wanted)
		return epp__no(cmd, 2400, NULL, "out of memory");
	if (!read_options(cmd, xml_child(login, "options")) ||
		!services(cmd, xml_child(login, "svcs"), wanted) ||
		!read_extension(cmd, extension, *wanted, &sec) ||
		!pick(cmd, login, sec, "pw", &m->password) ||
		!pick(cmd, login, sec, "newPW", &m->new_password))
		return false;
	if (cmd->session->over_limit ||
		epp__sessions_of(cmd->session) >= cmd->session->server->o.limits.clients_per_key)
		return epp__no(cmd, 2502, NULL, "too many sessions of this client");
	if (*m->new_password && strcmp(m->new_password, m->password) == 0)
		return epp__no(cmd, 2306,
			xml_child(sec && xml_child(sec, "newPW") ? sec : login, "newPW"),
			"the new password is the old one");
	m->id = epp__text(login, "clID");
	m->user_agent = user_agent(cmd, sec);
	cmd->state = wanted;
	cmd->step = 1; /* a refusal is counted too */
	cmd->answer = answer;
	cmd->request.op_case = REGISTRY__REQUEST__OP_LOGIN;
	cmd->request.login = m;
	return true;
}
