/* SPDX-License-Identifier: Apache-2.0 */
/* Forms that several mappings share, and what their files do alike. */
#include "epp/internal.h"
#include "base/ident.h"
#include "base/str.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static bool iccid_ok(const char *text)
{
	uint8_t ef[IDENT_ICCID_LEN];

	return ident_iccid_read(text, ef) == RC_OK;
}

static bool name_ok(const char *text)
{
	return text[0] >= '1' && text[0] <= '9' && text[1] == '.' && iccid_ok(text + 2);
}

static bool handle_ok(const char *text)
{
	size_t len = strlen(text);

	return strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789-") == len && text[0] != '-' &&
	       text[len - 1] != '-';
}

const struct gram_type epp__t_clid = { .kind = GRAM_TOKEN, .min = 3, .max = 16 };
const struct gram_type epp__t_iccid = { .kind = GRAM_TOKEN,
	.min = 1,
	.ok = iccid_ok,
	.form = "an ICCID is 19 digits and f, or 20 digits" };
const struct gram_type epp__t_name = {
	.kind = GRAM_TOKEN, .min = 1, .ok = name_ok, .form = "a profile's name is <1-9>.<iccid>"
};
const struct gram_type epp__t_handle = { .kind = GRAM_TOKEN,
	.min = 1,
	.max = 32,
	.ok = handle_ok,
	.form = "a handle is a-z, 0-9 and hyphens inside" };
const struct gram_type epp__t_empty = { .kind = GRAM_EMPTY };
const struct gram_type epp__t_bool = { .kind = GRAM_BOOL };
static const struct gram_attr generate_attrs[] = { { "ttl", false, NULL }, { 0 } };
const struct gram_type epp__t_generate = { .kind = GRAM_EMPTY, .attrs = generate_attrs };
const struct gram_type epp__t_datetime = { .kind = GRAM_DATETIME };
const struct gram_type epp__t_csr = { .kind = GRAM_B64, .min = 1, .max = 1024 };
const struct gram_type epp__t_claim = { .kind = GRAM_TOKEN, .min = 1, .max = 128, .secret = true };
static const struct gram_type salt = { .kind = GRAM_B64, .min = 16, .max = 16 };
static const struct gram_type sha256 = { .kind = GRAM_B64, .min = 32, .max = 32 };
static const struct gram_part sim_claim_parts[] = { { "salt", &salt, 1, 1 },
	{ "sha256", &sha256, 1, 1 }, { 0 } };
const struct gram_type epp__t_sim_claim = { .kind = GRAM_SEQ, .parts = sim_claim_parts };
const struct gram_type epp__t_attest = { .kind = GRAM_B64, .min = 1, .max = 2048 };
/* RFC 9154 section 4.1: an empty password unsets; anything short of 128 bits is refused later. */
const struct gram_type epp__t_pw = { .kind = GRAM_NORM, .max = 64, .secret = true };
static const struct gram_part auth_parts[] = { { "pw", &epp__t_pw, 1, 1 }, { 0 } };
const struct gram_type epp__t_auth = { .kind = GRAM_SEQ, .parts = auth_parts };
const struct gram_type epp__t_url = { .kind = GRAM_TOKEN, .max = 512 };
const struct gram_type epp__t_text = { .kind = GRAM_NORM, .max = 128 };

bool epp__no(
	struct epp_command *cmd, unsigned code, const struct xml_node *node, const char *fmt, ...)
{
	va_list ap;

	cmd->fault.code = code;
	cmd->fault.node = node;
	va_start(ap, fmt);
	(void)vsnprintf(cmd->fault.why, sizeof(cmd->fault.why), fmt, ap);
	va_end(ap);
	return false;
}

void *epp__new(struct epp_command *cmd, const ProtobufCMessageDescriptor *type)
{
	void *m = xml_alloc(cmd->xml, type->sizeof_message);

	if (m)
		type->message_init(m);
	else
		(void)epp__no(cmd, 2400, NULL, "out of memory");
	return m;
}

bool epp__b64(struct epp_command *cmd, const struct xml_node *node, ProtobufCBinaryData *out)
{
	size_t cap = node->text_len / 4 * 3 + 1;

	out->data = xml_alloc(cmd->xml, cap);
	if (!out->data)
		return epp__no(cmd, 2400, NULL, "out of memory");
	if (b64_read(node->text, node->text_len, out->data, cap, &out->len) != RC_OK)
		return epp__no(cmd, 2005, node, "not base64Binary");
	return true;
}

bool epp__b64_if(struct epp_command *cmd, const struct xml_node *parent, const char *name,
	ProtobufCBinaryData *out)
{
	const struct xml_node *node = parent ? xml_child(parent, name) : NULL;

	return !node || epp__b64(cmd, node, out);
}

bool epp__sim(struct epp_command *cmd, ProtobufCBinaryData *salt_out,
	ProtobufCBinaryData *sha256_out, ProtobufCBinaryData *attest)
{
	const struct xml_node *claim = xml_child(cmd->object, "claim");

	return epp__b64_if(cmd, claim, "salt", salt_out) &&
	       epp__b64_if(cmd, claim, "sha256", sha256_out) &&
	       epp__b64_if(cmd, cmd->object, "attestCert", attest);
}

Registry__TransferStep epp__transfer_step(const struct epp_command *cmd)
{
	static const char *const steps[] = { "", "request", "query", "cancel", "approve", "reject",
		NULL };

	return (Registry__TransferStep)epp__word(xml_attr(cmd->verb, "op"), steps);
}

void epp__transfer_fields(struct out *o, const Registry__Transfer *t)
{
	out_leaf(o, "o:trStatus", t->status);
	out_leaf(o, "o:reID", t->requester);
	out_leaf_time(o, "o:reDate", t->requested);
	out_leaf(o, "o:acID", t->actor);
	out_leaf_time(o, "o:acDate", t->act_date);
}

bool epp__hex(struct epp_command *cmd, const struct xml_node *node, ProtobufCBinaryData *out)
{
	size_t cap = node->text_len / 2 + 1;

	out->data = xml_alloc(cmd->xml, cap);
	if (!out->data)
		return epp__no(cmd, 2400, NULL, "out of memory");
	if (hex_read_upto(node->text, out->data, cap, &out->len) != RC_OK)
		return epp__no(cmd, 2005, node, "not hexBinary");
	return true;
}

char *epp__text(const struct xml_node *parent, const char *name)
{
	struct xml_node *c = parent ? xml_child(parent, name) : NULL;

	return c ? c->text : (char *)(uintptr_t) "";
}

int epp__word(const char *text, const char *const *words)
{
	for (int i = 0; words[i]; i++)
		if (strcmp(text, words[i]) == 0)
			return i;
	return -1;
}

void epp__res_open(struct epp_command *cmd, enum epp_ns ns, const char *name)
{
	cmd->res.ns = ns;
	out_fmt(&cmd->res.text, "<o:%s xmlns:o=\"%s\">", name, epp__uris[ns]);
}

void epp__res_close(struct epp_command *cmd, const char *name)
{
	out_fmt(&cmd->res.text, "</o:%s>", name);
}

bool epp__ttl(struct epp_command *cmd, const struct xml_node *generate, uint32_t *out)
{
	static const struct gram_type ttl = { .kind = GRAM_UINT, .min = 60, .max = 30 * 86400 };
	const char *life = xml_attr(generate, "ttl");
	struct xml_node text = *generate;

	if (!life)
		return true;
	/* The attribute's form is that of an element of type ttl. */
	text.attrs = NULL;
	text.text = (char *)(uintptr_t)life;
	text.text_len = strlen(life);
	if (!gram_check(&text, &ttl, &cmd->fault)) {
		cmd->fault.node = generate;
		return false;
	}
	for (const char *c = text.text; *c; c++)
		*out = *out * 10 + (uint32_t)(*c - '0');
	return true;
}

void epp__auth_data(
	struct epp_command *cmd, enum epp_ns ns, const char *tag, const Registry__AuthData *made)
{
	struct out *o = &cmd->res.text;

	if (!*made->code)
		return;
	epp__res_open(cmd, ns, "authData");
	out_fmt(o, "<o:%s>", tag);
	out_text(o, epp__text(cmd->object, tag));
	out_fmt(o, "</o:%s>", tag);
	out_leaf(o, "o:pw", made->code);
	out_leaf_time(o, "o:exDate", made->expires);
	epp__res_close(cmd, "authData");
}

bool epp__check_ask(struct epp_command *cmd, Registry__CheckKind kind, const char *tag)
{
	Registry__Check *m = epp__new(cmd, &registry__check__descriptor);
	const struct xml_node *id = xml_child(cmd->object, tag);

	if (!m)
		return false;
	m->kind = kind;
	m->ids = xml_alloc(cmd->xml, EPP_IDS_MAX * sizeof(*m->ids));
	if (!m->ids)
		return epp__no(cmd, 2400, NULL, "out of memory");
	for (; id && m->n_ids < EPP_IDS_MAX; id = xml_next_same(id))
		m->ids[m->n_ids++] = id->text;
	cmd->request.op_case = REGISTRY__REQUEST__OP_CHECK;
	cmd->request.check = m;
	return true;
}

void epp__check_answer(
	struct epp_command *cmd, const Registry__Reply *reply, enum epp_ns ns, const char *tag)
{
	struct out *o = &cmd->res.text;

	if (reply->result_case != REGISTRY__REPLY__RESULT_CHECK)
		return;
	epp__res_open(cmd, ns, "chkData");
	for (size_t i = 0; i < reply->check->n_items; i++) {
		const Registry__CheckItem *item = reply->check->items[i];

		out_fmt(o, "<o:cd><o:%s avail=\"%d\">", tag, item->avail);
		out_text(o, item->id);
		out_fmt(o, "</o:%s>", tag);
		out_leaf_if(o, "o:reason", item->reason);
		out_raw(o, "</o:cd>");
	}
	epp__res_close(cmd, "chkData");
}
