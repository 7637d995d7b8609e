/* SPDX-License-Identifier: Apache-2.0 */
#include "http/api.h"

#include "base/cbor.h"
#include "base/secret.h"
#include "base/str.h"
#include "http/maker.h"
#include "http/td.h"
#include "http/wipe.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* SSID: IEEE 802.11 section 9.4.2.2; passphrase: Wi-Fi Protected Access, annex J.4. */
enum { SSID_MAX = 32, PASSPHRASE_MIN = 8, PASSPHRASE_MAX = 63, WIFI_PLAIN_MAX = 128 };
enum { WIFI_SEALED_MAX = WIFI_PLAIN_MAX + 65 + 12 + 16 };

static enum rc fault(
	struct api_fault *f, unsigned status, unsigned code, const char *field, const char *why)
{
	f->status = status;
	f->code = code;
	return reflect_refuse(&f->what, field, why);
}

static enum rc bad_request(struct api_fault *f, const char *field, const char *why)
{
	return fault(f, 400, REGISTRY__CODE__CODE_SYNTAX, field, why);
}

/* ---- paths ---- */

static int hex_digit(char ch)
{
	if (ch >= '0' && ch <= '9')
		return ch - '0';
	if (ch >= 'a' && ch <= 'f')
		return ch - 'a' + 10;
	if (ch >= 'A' && ch <= 'F')
		return ch - 'A' + 10;
	return -1;
}

/* Percent-decodes `len` bytes (RFC 3986 section 2.1). Only visible ASCII comes out: no identifier
 * of ours has anything else. */
static bool url_decode(const char *text, size_t len, char *out, size_t cap)
{
	size_t n = 0;

	for (size_t i = 0; i < len; i++) {
		int ch = (unsigned char)text[i];
		if (ch == '%') {
			if (len - i < 3 || hex_digit(text[i + 1]) < 0 || hex_digit(text[i + 2]) < 0)
				return false;
			ch = hex_digit(text[i + 1]) * 16 + hex_digit(text[i + 2]);
			i += 2;
		}
		if (ch < 0x21 || ch > 0x7e || n + 1 >= cap)
			return false;
		out[n++] = (char)ch;
	}
	out[n] = '\0';
	return true;
}

/* Does `path` fit the row's pattern? A row has at most one parameter: its place goes to *param. */
static bool path_fits(const char *pattern, const char *path, const char **param, size_t *param_len)
{
	*param = NULL;
	*param_len = 0;
	while (*pattern && *path) {
		if (*pattern == '{') {
			*param = path;
			*param_len = strcspn(path, "/");
			if (!*param_len)
				return false;
			path += *param_len;
			pattern = strchr(pattern, '}') + 1;
		} else if (*pattern++ != *path++) {
			return false;
		}
	}
	return !*pattern && !*path;
}

const struct api_route *api_find(const char *method, const char *path, struct api_fault *f)
{
	const char *wanted = strcmp(method, "HEAD") == 0 ? "GET" : method, *param;
	size_t len, n = 0;

	f->allow[0] = '\0';
	for (size_t i = 0; i < api_route_count; i++) {
		const struct api_route *row = &api_routes[i];

		if (!path_fits(row->path, path, &param, &len))
			continue;
		if (strcmp(row->method, wanted) == 0)
			return row;
		int add = snprintf(f->allow + n, sizeof(f->allow) - n, "%s%s%s", n ? ", " : "",
			row->method, strcmp(row->method, "GET") == 0 ? ", HEAD" : "");
		n += add > 0 ? (size_t)add : 0;
	}
	if (n)
		(void)fault(f, 405, REGISTRY__CODE__CODE_UNKNOWN_COMMAND, "",
			"this method is not possible here; see Allow");
	else
		(void)fault(f, 404, REGISTRY__CODE__CODE_UNKNOWN_COMMAND, "", "no such path");
	return NULL;
}

/* ---- the operation's message ---- */

static bool in_list(const char *list, const char *name)
{
	size_t len = strlen(name);

	for (const char *at = list; at && *at; at += strcspn(at, ",")) {
		if (*at == ',')
			at++;
		if (strncmp(at, name, len) == 0 && (at[len] == ',' || !at[len]))
			return true;
	}
	return false;
}

/* A new message of type `field` in `owner`. */
static ProtobufCMessage *new_member(ProtobufCMessage *owner, const char *name)
{
	const ProtobufCFieldDescriptor *field =
		protobuf_c_message_descriptor_get_field_by_name(owner->descriptor, name);
	ProtobufCMessage *msg;

	if (!field || field->type != PROTOBUF_C_TYPE_MESSAGE)
		return NULL;
	msg = reflect_new(field->descriptor);
	if (!msg)
		return NULL;
	*(ProtobufCMessage **)(void *)((uint8_t *)owner + field->offset) = msg;
	if (field->flags & PROTOBUF_C_FIELD_FLAG_ONEOF)
		*(uint32_t *)(void *)((uint8_t *)owner + field->quantifier_offset) = field->id;
	return msg;
}

/* The two places where fields go; the same message for most rows. */
struct target {
	ProtobufCMessage *op;
	ProtobufCMessage *body;
};

static enum rc set_param(const struct api_route *route, const char *path, const struct target *t,
	struct api_fault *f)
{
	char name[32], value[API_SEGMENT_MAX];
	const char *open = strchr(route->path, '{'), *param;
	size_t len;
	enum rc rc;

	if (!open)
		return RC_OK;
	(void)snprintf(name, sizeof(name), "%.*s", (int)strcspn(open + 1, "}"), open + 1);
	if (!path_fits(route->path, path, &param, &len) ||
		!url_decode(param, len, value, sizeof(value)))
		return bad_request(f, name, "is not an identifier");
	if (strcmp(name, "id") != 0)
		str_lower(value); /* ICCIDs, names and handles have one case */
	rc = reflect_set_text(t->op, name, value, &f->what);
	if (rc == RC_NOT_FOUND)
		rc = reflect_set_text(t->body, name, value, &f->what);
	if (rc == RC_MALFORMED)
		return bad_request(f, f->what.field, f->what.why);
	return rc;
}

static enum rc set_query(const struct api_route *route, const char *query, const struct target *t,
	struct api_fault *f)
{
	char name[32], value[API_SEGMENT_MAX], seen[64] = "";
	enum rc rc;

	while (query && *query) {
		size_t pair = strcspn(query, "&"), eq = strcspn(query, "=&");

		if (!url_decode(query, eq, name, sizeof(name)))
			return bad_request(f, "query", "is malformed");
		if (eq == pair || !url_decode(query + eq + 1, pair - eq - 1, value, sizeof(value)))
			return bad_request(f, name, "needs a value of visible characters");
		if (!in_list(route->query, name))
			return bad_request(f, name, "unknown query parameter");
		if (in_list(seen, name))
			return bad_request(f, name, "given twice");
		size_t len = strlen(seen);
		(void)snprintf(seen + len, sizeof(seen) - len, "%s%s", len ? "," : "", name);
		rc = reflect_set_text(t->op, name, value, &f->what);
		if (rc != RC_OK)
			return rc == RC_MALFORMED ? bad_request(f, name, f->what.why) : rc;
		query += pair;
		if (*query == '&')
			query++;
	}
	return RC_OK;
}

/* ---- Wi-Fi ---- */

static int wifi_security(const char *word)
{
	static const char *const words[] = { "open", "wpa2", "wpa3" };

	for (int i = 0; word && i < (int)ARRAY_LEN(words); i++)
		if (strcmp(words[i], word) == 0)
			return i;
	return -1;
}

/* IEEE 802.11 annex J.4.1: a passphrase is 8 to 63 printable ASCII characters. */
static bool is_passphrase(const json_t *pass)
{
	const char *text = json_string_value(pass);
	size_t len = json_string_length(pass);

	if (!text || len < PASSPHRASE_MIN || len > PASSPHRASE_MAX)
		return false;
	for (size_t i = 0; i < len; i++)
		if (text[i] < 0x20 || text[i] > 0x7e)
			return false;
	return true;
}

/* The plaintext of formats.md section 2: {1: ssid, ?2: passphrase, 3: security}. */
static enum rc wifi_plain(const json_t *wifi, struct put *p, struct api_fault *f)
{
	const json_t *ssid = json_object_get(wifi, "ssid");
	const json_t *pass = json_object_get(wifi, "passphrase");
	const char *word = json_string_value(json_object_get(wifi, "security"));
	size_t ssid_len = json_string_length(ssid);
	int security = wifi_security(word ? word : pass ? "wpa2" : "open");
	size_t known = (ssid ? 1u : 0) + (pass ? 1u : 0) + (word ? 1u : 0);

	if (!json_is_object(wifi) || json_object_size(wifi) != known)
		return bad_request(f, "wifi", "must hold ssid, passphrase and security only");
	if (!json_is_string(ssid) || ssid_len < 1 || ssid_len > SSID_MAX)
		return bad_request(f, "wifi.ssid", "must be 1 to 32 bytes of text");
	if (security < 0)
		return bad_request(f, "wifi.security", "must be one of open wpa2 wpa3");
	if (security == 0 && pass)
		return bad_request(f, "wifi.passphrase", "an open network has none");
	if (security && !is_passphrase(pass))
		return bad_request(f, "wifi.passphrase", "must be 8 to 63 printable characters");
	cbor_put_map(p, security ? 3 : 2);
	cbor_put_uint(p, 1);
	cbor_put_bytes(p, json_string_value(ssid), ssid_len);
	if (security) {
		cbor_put_uint(p, 2);
		cbor_put_text(p, json_string_value(pass), json_string_length(pass));
	}
	cbor_put_uint(p, 3);
	cbor_put_uint(p, (uint64_t)security);
	return put_ok(p) ? RC_OK : RC_INTERNAL;
}

static enum rc seal_wifi(const json_t *wifi, const struct api_seal *seal,
	Registry__Service *service, struct api_fault *f)
{
	uint8_t plain[WIFI_PLAIN_MAX], sealed[WIFI_SEALED_MAX];
	struct put p = put_init(plain, sizeof(plain));
	size_t len = 0;
	enum rc rc = wifi_plain(wifi, &p, f);

	if (rc == RC_OK) {
		rc = seal && seal->seal
			     ? seal->seal(seal->user, plain, p.len, sealed, sizeof(sealed), &len)
			     : RC_UNAVAILABLE;
		if (rc != RC_OK)
			(void)fault(f, 503, REGISTRY__CODE__CODE_FAILED, "wifi",
				"cannot be sealed now; repeat the request later");
	}
	if (rc == RC_OK) {
		service->wifi_sealed.data = wipe_malloc(len);
		if (!service->wifi_sealed.data)
			rc = RC_NOMEM;
		else
			memcpy(service->wifi_sealed.data, sealed, len);
		service->wifi_sealed.len = rc == RC_OK ? len : 0;
	}
	mem_wipe(plain, sizeof(plain));
	return rc;
}

/* ---- the body ---- */

static enum rc check_private(
	const struct api_route *route, const json_t *object, struct api_fault *f)
{
	const char *open = strchr(route->path, '{'), *name;
	json_t *value;
	char param[32] = "";

	if (open)
		(void)snprintf(param, sizeof(param), "%.*s", (int)strcspn(open + 1, "}"), open + 1);
	json_object_foreach((json_t *)(uintptr_t)object, name, value)
	{
		if (in_list(route->private, name))
			return bad_request(f, name, "is not yours to set");
		if (strcmp(name, param) == 0)
			return bad_request(f, name, "stands in the path");
	}
	return RC_OK;
}

/* RFC 7396: null takes a member away. What proto3 cannot tell from "unchanged" (false, 0, "") is
 * taken away too, which is the same thing. */
static bool clears(const json_t *value)
{
	return json_is_null(value) || json_is_false(value) ||
	       (json_is_integer(value) && json_integer_value(value) == 0) ||
	       (json_is_string(value) && json_string_length(value) == 0) ||
	       (json_is_array(value) && json_array_size(value) == 0);
}

static enum rc merge_clears(Registry__ServiceUpdate *update, const json_t *object)
{
	const char *name;
	json_t *value;
	size_t n = json_object_size(object);

	update->clear = wipe_malloc((n ? n : 1) * sizeof(char *));
	if (!update->clear)
		return RC_NOMEM;
	json_object_foreach((json_t *)(uintptr_t)object, name, value)
	{
		if (!clears(value))
			continue;
		const char *field = strcmp(name, "wifi") == 0 ? "wifi_sealed" : name;
		char *copy = wipe_malloc(strlen(field) + 1);
		if (!copy)
			return RC_NOMEM;
		memcpy(copy, field, strlen(field) + 1);
		update->clear[update->n_clear++] = copy;
	}
	return RC_OK;
}

/* What only whoever has the bytes can check. */
static enum rc check_bytes(const struct api_route *route, const struct target *t,
	const struct api_input *in, struct api_fault *f)
{
	struct diag d = { 0 };

	if (route->traits & API_WIFI) {
		const Registry__Service *s = (const Registry__Service *)t->body;

		if (s->td.len && td_check(s->td.data, s->td.len, &d) != RC_OK)
			return fault(f, 400, REGISTRY__CODE__CODE_VALUE_SYNTAX, "td", d.text);
	}
	if ((route->traits & API_MAKER) &&
		maker_check((const Registry__MakerConfirm *)t->op, in->spki_sha256, &d) != RC_OK)
		return fault(f, 400, REGISTRY__CODE__CODE_VALUE_SYNTAX, "signature", d.text);
	return RC_OK;
}

static enum rc read_object(const struct api_route *route, json_t *object, const struct target *t,
	const struct api_input *in, const struct api_seal *seal, struct api_fault *f)
{
	json_t *wifi = NULL;
	enum rc rc = RC_OK;

	if (!json_is_object(object))
		return bad_request(f, "", "the body must be a JSON object");
	rc = check_private(route, object, f);
	if (rc == RC_OK && (route->traits & API_MERGE))
		rc = merge_clears((Registry__ServiceUpdate *)t->op, object);
	if (rc == RC_OK && (route->traits & API_WIFI)) {
		wifi = json_incref(json_object_get(object, "wifi"));
		(void)json_object_del(object, "wifi");
	}
	if (rc == RC_OK) {
		rc = reflect_read(t->body, object, &f->what);
		if (rc == RC_MALFORMED)
			rc = bad_request(f, f->what.field, f->what.why);
	}
	if (rc == RC_OK)
		rc = check_bytes(route, t, in, f);
	if (rc == RC_OK && wifi && !json_is_null(wifi))
		rc = seal_wifi(wifi, seal, (Registry__Service *)t->body, f);
	json_decref(wifi);
	return rc;
}

static bool is_json(const char *content_type)
{
	static const char type[] = "application/json";
	const char *at = content_type;

	if (!at || strncasecmp(at, type, sizeof(type) - 1) != 0)
		return false;
	at += sizeof(type) - 1;
	at += strspn(at, " \t");
	if (!*at)
		return true;
	if (*at++ != ';')
		return false;
	at += strspn(at, " \t");
	return strcasecmp(at, "charset=utf-8") == 0 || strcasecmp(at, "charset=\"utf-8\"") == 0;
}

static enum rc read_body(const struct api_route *route, const struct api_input *in,
	const struct target *t, const struct api_seal *seal, struct api_fault *f)
{
	char why[sizeof(f->what.why)];
	json_error_t e;
	json_t *object;
	enum rc rc;

	if (!in->body_len)
		return RC_OK;
	if (!route->body)
		return bad_request(f, "", "this request takes no body");
	if (!is_json(in->content_type))
		return fault(f, 415, REGISTRY__CODE__CODE_SYNTAX, "Content-Type",
			"must be application/json");
	if (in->body_len > (route->traits & API_BIG ? API_BODY_BIG_MAX : API_BODY_MAX))
		return fault(f, 413, REGISTRY__CODE__CODE_SYNTAX, "", "the body is too large");
	if (reflect_bounds((const char *)in->body, in->body_len, API_DEPTH_MAX, API_VALUES_MAX) !=
		RC_OK)
		return bad_request(f, "", "the body nests too deeply or holds too many values");
	object = json_loadb(
		(const char *)in->body, in->body_len, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &e);
	if (!object) {
		/* jansson's text may quote what it choked on: only its place is ours to say. */
		(void)snprintf(why, sizeof(why), "not JSON: line %d, column %d%s", e.line, e.column,
			json_error_code(&e) == json_error_duplicate_key ? ": a member twice" : "");
		return bad_request(f, "", why);
	}
	rc = read_object(route, object, t, in, seal, f);
	json_decref(object);
	return rc;
}

static enum rc set_envelope(
	Registry__Request *request, const struct api_input *in, struct api_fault *f)
{
	const char *key = in->idempotency_key;
	size_t n = key ? strlen(key) : 0;
	enum rc rc = RC_OK;

	if (key && (n < 1 || n > API_KEY_MAX))
		return bad_request(f, "Idempotency-Key", "must be 1 to 64 visible characters");
	for (size_t i = 0; i < n; i++)
		if (key[i] < 0x21 || key[i] > 0x7e)
			return bad_request(f, "Idempotency-Key", "must be visible ASCII");
	request->spki_sha256.data = wipe_malloc(32);
	if (!request->spki_sha256.data)
		return RC_NOMEM;
	memcpy(request->spki_sha256.data, in->spki_sha256, 32);
	request->spki_sha256.len = 32;
	rc = reflect_set_text(&request->base, "peer", in->peer, &f->what);
	if (rc == RC_OK && key)
		rc = reflect_set_text(&request->base, "idempotency_key", key, &f->what);
	if (rc == RC_OK && in->case_id && *in->case_id)
		rc = reflect_set_text(&request->base, "case_id", in->case_id, &f->what);
	if (rc == RC_OK && in->why && *in->why)
		rc = reflect_set_text(&request->base, "why", in->why, &f->what);
	return rc;
}

enum rc api_read(const struct api_route *route, const struct api_input *in,
	const struct api_seal *seal, Registry__Request **out, struct api_fault *f)
{
	Registry__Request *request = NULL;
	struct target t = { 0 };
	enum rc rc = RC_NOMEM;

	memset(f, 0, sizeof(*f));
	request = (Registry__Request *)reflect_new(&registry__request__descriptor);
	if (!request)
		goto out;
	t.op = new_member(&request->base, route->op);
	t.body = t.op && route->body && *route->body ? new_member(t.op, route->body) : t.op;
	if (!t.body)
		goto out;
	rc = set_envelope(request, in, f);
	if (rc == RC_OK)
		rc = read_body(route, in, &t, seal, f);
	if (rc == RC_OK)
		rc = set_param(route, in->path, &t, f);
	if (rc == RC_OK)
		rc = set_query(route, in->query, &t, f);
	if (rc == RC_OK) {
		*out = request;
		return RC_OK;
	}
out:
	if (!f->status)
		(void)fault(f, 500, REGISTRY__CODE__CODE_FAILED, "", rc_text(rc));
	reflect_free(request ? &request->base : NULL);
	return rc;
}

unsigned api_wait_s(const Registry__Request *request)
{
	uint32_t wait = 0;

	if (request->op_case == REGISTRY__REQUEST__OP_JOB_WAIT)
		wait = request->job_wait->wait;
	else if (request->op_case == REGISTRY__REQUEST__OP_POLL_REQUEST)
		wait = request->poll_request->wait;
	else if (request->op_case == REGISTRY__REQUEST__OP_FEED_WAIT)
		wait = request->feed_wait->wait;
	return wait > API_WAIT_MAX_S ? API_WAIT_MAX_S : wait;
}

/* ---- answers ---- */

unsigned api_status(unsigned code, unsigned ok)
{
	static const struct {
		unsigned code, status;
	} map[] = {
		{ REGISTRY__CODE__CODE_PENDING, 202 },
		{ REGISTRY__CODE__CODE_NO_MESSAGES, 200 },
		{ REGISTRY__CODE__CODE_ACK_TO_DEQUEUE, 200 },
		{ REGISTRY__CODE__CODE_UNKNOWN_COMMAND, 404 },
		{ REGISTRY__CODE__CODE_SYNTAX, 400 },
		{ REGISTRY__CODE__CODE_USE, 409 },
		{ REGISTRY__CODE__CODE_MISSING, 400 },
		{ REGISTRY__CODE__CODE_RANGE, 400 },
		{ REGISTRY__CODE__CODE_VALUE_SYNTAX, 400 },
		{ REGISTRY__CODE__CODE_UNIMPLEMENTED, 501 },
		{ REGISTRY__CODE__CODE_AUTHENTICATION, 401 },
		{ REGISTRY__CODE__CODE_AUTHORIZATION, 403 },
		{ REGISTRY__CODE__CODE_BAD_AUTHINFO, 403 },
		{ REGISTRY__CODE__CODE_NOT_RENEWABLE, 409 },
		{ REGISTRY__CODE__CODE_TRANSFER_PENDING, 409 },
		{ REGISTRY__CODE__CODE_TRANSFER_NOT_PENDING, 409 },
		{ REGISTRY__CODE__CODE_EXISTS, 409 },
		{ REGISTRY__CODE__CODE_NOT_FOUND, 404 },
		{ REGISTRY__CODE__CODE_STATUS_PROHIBITS, 409 },
		{ REGISTRY__CODE__CODE_ASSOCIATION_PROHIBITS, 409 },
		{ REGISTRY__CODE__CODE_POLICY, 422 },
		{ REGISTRY__CODE__CODE_FAILED, 503 },
		{ REGISTRY__CODE__CODE_LIMIT, 429 },
	};

	if (code == REGISTRY__CODE__CODE_OK)
		return ok;
	for (size_t i = 0; i < ARRAY_LEN(map); i++)
		if (map[i].code == code)
			return map[i].status;
	return 500;
}

static char *dump(json_t *json, size_t *len)
{
	char *text = json ? json_dumps(json, JSON_COMPACT) : NULL;

	json_decref(json);
	*len = text ? strlen(text) : 0;
	return text;
}

char *api_fault_write(unsigned code, const char *reason, const char *field, size_t *len)
{
	json_t *json = json_pack("{s:i,s:s}", "code", (int)code, "reason", reason ? reason : "");

	if (json && field && *field && json_object_set_new(json, "field", json_string(field)) < 0) {
		json_decref(json);
		json = NULL;
	}
	return dump(json, len);
}

/* The chosen member of Reply.result, or NULL. */
static const ProtobufCMessage *result_of(const Registry__Reply *reply)
{
	const ProtobufCMessageDescriptor *type = reply->base.descriptor;
	const ProtobufCFieldDescriptor *field;

	if (!reply->result_case)
		return NULL;
	field = protobuf_c_message_descriptor_get_field(type, (unsigned)reply->result_case);
	if (!field || !(field->flags & PROTOBUF_C_FIELD_FLAG_ONEOF))
		return NULL;
	return *(ProtobufCMessage *const *)(const void *)((const uint8_t *)reply + field->offset);
}

enum rc api_write(const struct api_route *route, const Registry__Reply *reply, unsigned *status,
	char **text, size_t *len)
{
	const ProtobufCMessage *result = result_of(reply);
	json_t *json = NULL;
	enum rc rc;

	*status = api_status((unsigned)reply->code, route->ok);
	if (reply->code >= 2000 || !reply->code) {
		*text = api_fault_write((unsigned)reply->code, reply->reason, reply->field, len);
		return *text ? RC_OK : RC_MALFORMED;
	}
	if (result) {
		rc = reflect_write(result, &json);
		if (rc != RC_OK)
			return rc;
	} else {
		json = json_object();
	}
	*text = dump(json, len);
	return *text ? RC_OK : RC_NOMEM;
}
