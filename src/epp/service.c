/* SPDX-License-Identifier: Apache-2.0 */
/* service-1.0: what a provider offers to devices. doc/epp/service.md. */
#include "epp/internal.h"
#include "base/cbor.h"
#include "base/put.h"

#include <string.h>

/* formats section 2 (Wi-Fi), IEEE 802.11 annex J.4.1. */
enum { WIFI_PLAIN_MAX = 160, WIFI_SEALED_MAX = 512, PINS_MAX = 8 };

static const char *const securities[] = { "open", "wpa2", "wpa3", NULL };

/* ---- grammar ---- */

static bool printable(const char *text)
{
	for (; *text; text++)
		if (*text < 0x20 || *text > 0x7e)
			return false;
	return true;
}

static bool ssid_ok(const char *text)
{
	return strlen(text) <= 32;
}

static const struct gram_type host = { .kind = GRAM_TOKEN, .min = 1, .max = 253 };
static const struct gram_type port = { .kind = GRAM_UINT, .min = 1, .max = 65535 };
static const struct gram_type usage = { .kind = GRAM_UINT, .max = 3 };
static const struct gram_type selector = { .kind = GRAM_UINT, .max = 1 };
static const struct gram_type matching = { .kind = GRAM_UINT, .max = 2 };
static const struct gram_type pin_data = { .kind = GRAM_HEX, .min = 1, .max = 2048 };
static const struct gram_part pin_parts[] = { { "usage", &usage, 1, 1 },
	{ "selector", &selector, 1, 1 }, { "matching", &matching, 1, 1 },
	{ "data", &pin_data, 1, 1 }, { 0 } };
static const struct gram_type pin = { .kind = GRAM_SEQ, .parts = pin_parts };
static const struct gram_type cert = { .kind = GRAM_B64, .min = 1, .max = 8192 };
static const struct gram_type ssid = { .kind = GRAM_NORM,
	.min = 1,
	.max = 32,
	.ok = ssid_ok,
	.form = "an SSID has at most 32 bytes" };
static const struct gram_type passphrase = { .kind = GRAM_NORM,
	.min = 8,
	.max = 63,
	.ok = printable,
	.form = "a passphrase is printable ASCII",
	.secret = true };
static const struct gram_type security = { .kind = GRAM_TOKEN, .min = 1, .values = securities };
static const struct gram_part wifi_parts[] = { { "ssid", &ssid, 1, 1 },
	{ "passphrase", &passphrase, 0, 1 }, { "security", &security, 1, 1 }, { 0 } };
static const struct gram_type wifi = { .kind = GRAM_SEQ, .parts = wifi_parts };
static const struct gram_type sha256 = { .kind = GRAM_B64, .min = 32, .max = 32 };
static const struct gram_part thing_parts[] = { { "url", &epp__t_url, 1, 1 },
	{ "sha256", &sha256, 1, 1 }, { 0 } };
static const struct gram_type thing = { .kind = GRAM_SEQ, .parts = thing_parts };

static const struct gram_part check_parts[] = { { "handle", &epp__t_handle, 1, EPP_IDS_MAX },
	{ 0 } };
static const struct gram_type check = { .kind = GRAM_SEQ, .parts = check_parts };
static const struct gram_part one_parts[] = { { "handle", &epp__t_handle, 1, 1 }, { 0 } };
static const struct gram_type one = { .kind = GRAM_SEQ, .parts = one_parts };
static const struct gram_part create_parts[] = { { "handle", &epp__t_handle, 1, 1 },
	{ "fqdn", &host, 1, 1 }, { "port", &port, 1, 1 }, { "url", &epp__t_url, 0, 1 },
	{ "pin", &pin, 1, PINS_MAX }, { "cert", &cert, 0, 1 }, { "wifi", &wifi, 0, 1 },
	{ "thing", &thing, 0, 1 }, { "publish", &epp__t_bool, 0, 1 }, { 0 } };
static const struct gram_type create = { .kind = GRAM_SEQ, .parts = create_parts };
static const struct gram_part chg_parts[] = { { "fqdn", &host, 0, 1 }, { "port", &port, 0, 1 },
	{ "url", &epp__t_url, 0, 1 }, { "pin", &pin, 0, PINS_MAX }, { "cert", &cert, 0, 1 },
	{ "wifi", &wifi, 0, 1 }, { "thing", &thing, 0, 1 }, { "publish", &epp__t_bool, 0, 1 },
	{ 0 } };
static const struct gram_type chg = { .kind = GRAM_SEQ, .parts = chg_parts };
static const struct gram_part rem_parts[] = { { "cert", &epp__t_empty, 0, 1 },
	{ "wifi", &epp__t_empty, 0, 1 }, { "thing", &epp__t_empty, 0, 1 }, { 0 } };
static const struct gram_type rem = { .kind = GRAM_SEQ, .parts = rem_parts };
static const struct gram_part update_parts[] = { { "handle", &epp__t_handle, 1, 1 },
	{ "rem", &rem, 0, 1 }, { "chg", &chg, 0, 1 }, { 0 } };
static const struct gram_type update = { .kind = GRAM_SEQ, .parts = update_parts };

/* ---- check, info ---- */

static bool check_ask(struct epp_command *cmd)
{
	return epp__check_ask(cmd, REGISTRY__CHECK_KIND__CHECK_SERVICE, "handle");
}

static void check_answer(struct epp_command *cmd, const Registry__Reply *reply)
{
	epp__check_answer(cmd, reply, NS_SERVICE, "handle");
}

static bool info_ask(struct epp_command *cmd)
{
	Registry__ServiceInfo *m = epp__new(cmd, &registry__service_info__descriptor);

	if (!m)
		return false;
	m->handle = epp__text(cmd->object, "handle");
	cmd->request.op_case = REGISTRY__REQUEST__OP_SERVICE_INFO;
	cmd->request.service_info = m;
	return true;
}

static void write_pin(struct out *o, const Registry__TlsaPin *p)
{
	out_raw(o, "<o:pin>");
	out_leaf_uint(o, "o:usage", p->usage);
	out_leaf_uint(o, "o:selector", p->selector);
	out_leaf_uint(o, "o:matching", p->matching);
	out_raw(o, "<o:data>");
	for (size_t i = 0; i < p->data.len; i++)
		out_fmt(o, "%02x", p->data.data[i]);
	out_raw(o, "</o:data></o:pin>");
}

void epp__service_data(struct epp_command *cmd, const Registry__Service *s)
{
	struct out *o = &cmd->res.text;

	epp__res_open(cmd, NS_SERVICE, "infData");
	out_leaf(o, "o:handle", s->handle);
	/* Dots and hyphens are no roid's: a service's handle is unique and never given anew. */
	out_raw(o, "<o:roid>S_");
	for (const char *c = s->handle; *c; c++)
		out_fmt(o, "%c", *c == '-' ? '_' : *c);
	out_fmt(o, "_%lld-IOT</o:roid>", (long long)s->created);
	out_raw(o, "<o:status s=\"ok\"/>");
	out_leaf(o, "o:fqdn", s->fqdn);
	out_leaf_uint(o, "o:port", s->port);
	out_leaf_if(o, "o:url", s->url);
	for (size_t i = 0; i < s->n_pins; i++)
		write_pin(o, s->pins[i]);
	if (s->asp_cert.len)
		out_leaf_b64(o, "o:cert", s->asp_cert.data, s->asp_cert.len);
	if (*s->td_url) {
		out_raw(o, "<o:thing>");
		out_leaf(o, "o:url", s->td_url);
		out_leaf_b64(o, "o:sha256", s->td_sha256.data, s->td_sha256.len);
		out_raw(o, "</o:thing>");
	}
	out_leaf(o, "o:publish", s->publish_tlsa ? "true" : "false");
	out_leaf(o, "o:clID", s->asp);
	out_leaf_time(o, "o:crDate", s->created);
	epp__res_close(cmd, "infData");
}

static void info_answer(struct epp_command *cmd, const Registry__Reply *reply)
{
	if (reply->result_case == REGISTRY__REPLY__RESULT_SERVICE && reply->service->service)
		epp__service_data(cmd, reply->service->service);
}

static bool delete_ask(struct epp_command *cmd)
{
	Registry__ServiceDelete *m = epp__new(cmd, &registry__service_delete__descriptor);

	if (!m)
		return false;
	m->handle = epp__text(cmd->object, "handle");
	cmd->request.op_case = REGISTRY__REQUEST__OP_SERVICE_DELETE;
	cmd->request.service_delete = m;
	return true;
}

/* ---- create, update ---- */

static bool read_pins(struct epp_command *cmd, const struct xml_node *from, Registry__Service *s)
{
	const struct xml_node *node = xml_child(from, "pin");

	s->pins = xml_alloc(cmd->xml, PINS_MAX * sizeof(*s->pins));
	if (!s->pins)
		return epp__no(cmd, 2400, NULL, "out of memory");
	for (; node; node = xml_next_same(node)) {
		Registry__TlsaPin *p = epp__new(cmd, &registry__tlsa_pin__descriptor);

		if (!p || !epp__hex(cmd, xml_child(node, "data"), &p->data))
			return false;
		p->usage = (uint32_t)(*epp__text(node, "usage") - '0');
		p->selector = (uint32_t)(*epp__text(node, "selector") - '0');
		p->matching = (uint32_t)(*epp__text(node, "matching") - '0');
		s->pins[s->n_pins++] = p;
	}
	return true;
}

/* The passphrase is sealed to the keys role here and is nowhere in clear after this command. */
static bool read_wifi(struct epp_command *cmd, const struct xml_node *node, Registry__Service *s)
{
	const struct epp_handler *h = &cmd->session->server->o.handler;
	int sec = epp__word(epp__text(node, "security"), securities);
	const struct xml_node *pass = xml_child(node, "passphrase");
	const struct xml_node *name = xml_child(node, "ssid");
	uint8_t plain[WIFI_PLAIN_MAX];
	struct put p = put_init(plain, sizeof(plain));
	enum rc rc;

	if (sec == 0 && pass)
		return epp__no(cmd, 2306, pass, "an open network has none");
	if (sec && !pass) {
		cmd->fault.missing = "passphrase";
		return epp__no(cmd, 2003, node, "passphrase is missing");
	}
	cbor_put_map(&p, sec ? 3 : 2);
	cbor_put_uint(&p, 1);
	cbor_put_bytes(&p, name->text, name->text_len);
	if (sec) {
		cbor_put_uint(&p, 2);
		cbor_put_text(&p, pass->text, pass->text_len);
	}
	cbor_put_uint(&p, 3);
	cbor_put_uint(&p, (uint64_t)sec);
	s->wifi_sealed.data = xml_alloc(cmd->xml, WIFI_SEALED_MAX);
	if (!s->wifi_sealed.data || !put_ok(&p)) {
		mem_wipe(plain, sizeof(plain));
		return epp__no(cmd, 2400, NULL, "out of memory");
	}
	rc = h->seal ? h->seal(h->user, plain, p.len, s->wifi_sealed.data, WIFI_SEALED_MAX,
			       &s->wifi_sealed.len)
		     : RC_UNAVAILABLE;
	mem_wipe(plain, sizeof(plain));
	return rc == RC_OK ||
	       epp__no(cmd, 2400, node, "cannot be sealed now; repeat the command later");
}

static bool read_service(struct epp_command *cmd, const struct xml_node *from, Registry__Service *s)
{
	const struct xml_node *node;

	s->handle = epp__text(cmd->object, "handle");
	s->fqdn = epp__text(from, "fqdn");
	s->url = epp__text(from, "url");
	for (const char *c = epp__text(from, "port"); *c; c++)
		s->port = s->port * 10 + (uint32_t)(*c - '0');
	s->publish_tlsa =
		epp__text(from, "publish")[0] == 't' || epp__text(from, "publish")[0] == '1';
	if (!read_pins(cmd, from, s))
		return false;
	node = xml_child(from, "cert");
	if (node && !epp__b64(cmd, node, &s->asp_cert))
		return false;
	node = xml_child(from, "thing");
	if (node) {
		s->td_url = epp__text(node, "url");
		if (!epp__b64(cmd, xml_child(node, "sha256"), &s->td_sha256))
			return false;
	}
	node = xml_child(from, "wifi");
	return !node || read_wifi(cmd, node, s);
}

static bool create_ask(struct epp_command *cmd)
{
	Registry__ServiceCreate *m = epp__new(cmd, &registry__service_create__descriptor);
	Registry__Service *s = epp__new(cmd, &registry__service__descriptor);

	if (!m || !s || !read_service(cmd, cmd->object, s))
		return false;
	m->service = s;
	cmd->request.op_case = REGISTRY__REQUEST__OP_SERVICE_CREATE;
	cmd->request.service_create = m;
	return true;
}

static void create_answer(struct epp_command *cmd, const Registry__Reply *reply)
{
	if (reply->result_case != REGISTRY__REPLY__RESULT_SERVICE)
		return;
	epp__res_open(cmd, NS_SERVICE, "creData");
	out_leaf(&cmd->res.text, "o:handle", reply->service->service->handle);
	out_leaf_time(&cmd->res.text, "o:crDate", reply->service->service->created);
	epp__res_close(cmd, "creData");
}

static bool clear(struct epp_command *cmd, Registry__ServiceUpdate *m, const char *field)
{
	size_t len = strlen(field) + 1;
	char *copy = xml_alloc(cmd->xml, len);

	if (!copy)
		return epp__no(cmd, 2400, NULL, "out of memory");
	memcpy(copy, field, len);
	m->clear[m->n_clear++] = copy;
	return true;
}

/* What is taken away: by <rem>, or by an empty or false value in <chg>. */
static bool read_clears(struct epp_command *cmd, const struct xml_node *take,
	const struct xml_node *change, Registry__ServiceUpdate *m)
{
	static const struct {
		const char *element, *field;
	} rows[] = { { "cert", "asp_cert" }, { "wifi", "wifi_sealed" }, { "thing", "td_url" },
		{ "thing", "td_sha256" } };
	const struct xml_node *url = change ? xml_child(change, "url") : NULL;
	const struct xml_node *publish = change ? xml_child(change, "publish") : NULL;

	m->clear = xml_alloc(cmd->xml, 8 * sizeof(*m->clear));
	if (!m->clear)
		return epp__no(cmd, 2400, NULL, "out of memory");
	for (size_t i = 0; take && i < sizeof(rows) / sizeof(rows[0]); i++) {
		const struct xml_node *node = xml_child(take, rows[i].element);

		if (node && change && xml_child(change, rows[i].element))
			return epp__no(cmd, 2306, node, "changed and removed at once");
		if (node && !clear(cmd, m, rows[i].field))
			return false;
	}
	if (url && !url->text_len && !clear(cmd, m, "url"))
		return false;
	if (publish && (publish->text[0] == 'f' || publish->text[0] == '0') &&
		!clear(cmd, m, "publish_tlsa"))
		return false;
	return true;
}

static bool update_ask(struct epp_command *cmd)
{
	Registry__ServiceUpdate *m = epp__new(cmd, &registry__service_update__descriptor);
	Registry__Service *s = epp__new(cmd, &registry__service__descriptor);
	const struct xml_node *take = xml_child(cmd->object, "rem");
	const struct xml_node *change = xml_child(cmd->object, "chg");

	if (!m || !s)
		return false;
	if (!(take && take->first) && !(change && change->first)) {
		cmd->fault.missing = "chg";
		return epp__no(cmd, 2003, cmd->object, "nothing to change");
	}
	s->handle = epp__text(cmd->object, "handle");
	if ((change && !read_service(cmd, change, s)) || !read_clears(cmd, take, change, m))
		return false;
	m->service = s;
	cmd->request.op_case = REGISTRY__REQUEST__OP_SERVICE_UPDATE;
	cmd->request.service_update = m;
	return true;
}

const struct epp_mapping epp__service = { .ns = NS_SERVICE,
	.rows = {
		[VERB_CHECK] = { &check, check_ask, check_answer },
		[VERB_INFO] = { &one, info_ask, info_answer },
		[VERB_CREATE] = { &create, create_ask, create_answer },
		[VERB_UPDATE] = { &update, update_ask, NULL },
		[VERB_DELETE] = { &one, delete_ask, NULL },
	} };
