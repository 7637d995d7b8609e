/* SPDX-License-Identifier: Apache-2.0 */
#include "../unit.h"

#include "http/api.h"
#include "http/wipe.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const uint8_t spki[32] = { 7 };

static enum rc fake_seal(
	void *user, const uint8_t *plain, size_t len, uint8_t *out, size_t cap, size_t *out_len)
{
	if (user)
		return RC_UNAVAILABLE;
	assert_true(len <= cap);
	memcpy(out, plain, len);
	*out_len = len;
	return RC_OK;
}

static const struct api_seal sealer = { .seal = fake_seal };

/* What most requests look like. */
static struct api_input input(const char *method, const char *path, const char *body)
{
	return (struct api_input){ .method = method,
		.path = path,
		.content_type = body ? "application/json; charset=UTF-8" : NULL,
		.idempotency_key = "key-1",
		.body = (const uint8_t *)body,
		.body_len = body ? strlen(body) : 0,
		.spki_sha256 = spki,
		.peer = "127.0.0.1:9" };
}

static enum rc read_input(const struct api_input *in, Registry__Request **out, struct api_fault *f)
{
	const struct api_route *route;

	memset(f, 0, sizeof(*f));
	route = api_find(in->method, in->path, f);
	return route ? api_read(route, in, &sealer, out, f) : RC_NOT_FOUND;
}

static Registry__Request *read_good(
	const char *method, const char *path, const char *query, const char *body)
{
	struct api_input in = input(method, path, body);
	Registry__Request *r = NULL;
	struct api_fault f;

	in.query = query;
	if (read_input(&in, &r, &f) != RC_OK)
		fail_msg("%s %s: %s %s", method, path, f.what.field, f.what.why);
	return r;
}

/* ---- the table itself ---- */

static const ProtobufCFieldDescriptor *field_of(
	const ProtobufCMessageDescriptor *type, const char *name)
{
	return protobuf_c_message_descriptor_get_field_by_name(type, name);
}

static void check_fields(const char *list, const ProtobufCMessageDescriptor *type)
{
	char name[64];

	for (const char *at = list; at && *at; at += *at == ',') {
		size_t n = strcspn(at, ",");
		(void)snprintf(name, sizeof(name), "%.*s", (int)n, at);
		if (!field_of(type, name))
			fail_msg("%s has no field %s", type->name, name);
		at += n;
	}
}

static void test_every_row_names_what_there_is(void **state)
{
	(void)state;
	for (size_t i = 0; i < api_route_count; i++) {
		const struct api_route *r = &api_routes[i];
		const ProtobufCFieldDescriptor *op =
			field_of(&registry__request__descriptor, r->op);
		const char *open = strchr(r->path, '{');
		char param[64];

		if (r->traits & API_BULK)
			continue;
		assert_non_null(op);
		const ProtobufCMessageDescriptor *type = op->descriptor, *body = type;
		if (r->body && *r->body) {
			assert_non_null(field_of(type, r->body));
			body = field_of(type, r->body)->descriptor;
		}
		check_fields(r->query, type);
		check_fields(r->private, body);
		if (!open)
			continue;
		(void)snprintf(param, sizeof(param), "%.*s", (int)strcspn(open + 1, "}"), open + 1);
		if (!field_of(type, param))
			check_fields(param, body);
	}
}

/* But for those that are not for clients of this door. */
static void test_every_operation_has_a_row(void **state)
{
	(void)state;
	for (unsigned i = 0; i < registry__request__descriptor.n_fields; i++) {
		const ProtobufCFieldDescriptor *op = &registry__request__descriptor.fields[i];
		bool has_row = false;

		for (size_t k = 0; k < api_route_count; k++)
			has_row = has_row || strcmp(api_routes[k].op, op->name) == 0;
		if (op->type != PROTOBUF_C_TYPE_MESSAGE)
			continue;
		assert_int_equal(strcmp(op->name, "seal_key") != 0 &&
					 strcmp(op->name, "login") != 0 &&
					 strcmp(op->name, "profile_reenrol") != 0 &&
					 strcmp(op->name, "refusal") != 0 &&
					 strcmp(op->name, "client_gone") != 0,
			has_row);
	}
}

/* ---- requests ---- */

static void test_path_query_and_body_meet_in_one_message(void **state)
{
	Registry__Request *r = read_good("POST", "/v1/profiles/1.8912230200031010008F/transfer",
		NULL, "{\"code\":\"c\",\"service\":\"s\"}");

	(void)state;
	assert_int_equal(REGISTRY__REQUEST__OP_PROFILE_TRANSFER, r->op_case);
	assert_string_equal("1.8912230200031010008f", r->profile_transfer->name);
	assert_string_equal("c", r->profile_transfer->code);
	assert_string_equal("key-1", r->idempotency_key);
	assert_string_equal("127.0.0.1:9", r->peer);
	assert_memory_equal(spki, r->spki_sha256.data, 32);
	reflect_free(&r->base);

	r = read_good("GET", "/v1/jobs", "wait=99&limit=3&fresh=true", NULL);
	assert_true(r->job_wait->fresh);
	assert_int_equal(99, r->job_wait->wait);
	assert_int_equal(API_WAIT_MAX_S, api_wait_s(r));
	reflect_free(&r->base);

	r = read_good("GET", "/v1/feed", "after=head&wait=30&limit=3", NULL);
	assert_string_equal("head", r->feed_wait->after);
	assert_int_equal(30, api_wait_s(r));
	reflect_free(&r->base);

	r = read_good("DELETE", "/v1/poll/%31%37", NULL, NULL);
	assert_true(r->poll_ack->id == 17);
	reflect_free(&r->base);

	r = read_good("POST", "/v1/profiles/x/activate", NULL, NULL);
	assert_int_equal(0, r->profile_activate->csr.len);
	reflect_free(&r->base);
}

static const struct call_case {
	const char *method, *path, *query, *body;
	unsigned status;
	const char *field;
} refused[] = {
	{ "GET", "/v1/nothing", NULL, NULL, 404, "" },
	{ "GET", "/v1/devices/", NULL, NULL, 404, "" },
	{ "GET", "/v1/devices/a/b", NULL, NULL, 404, "" },
	{ "PUT", "/v1/devices/a", NULL, NULL, 405, "" },
	{ "GET", "/v1/devices/a%2", NULL, NULL, 400, "iccid" },
	{ "GET", "/v1/devices/a%00", NULL, NULL, 400, "iccid" },
	{ "GET", "/v1/devices/a%0a", NULL, NULL, 400, "iccid" },
	{ "GET", "/v1/devices", "nope=1", NULL, 400, "nope" },
	{ "GET", "/v1/devices", "limit=1&limit=2", NULL, 400, "limit" },
	{ "GET", "/v1/devices", "limit=x", NULL, 400, "limit" },
	{ "GET", "/v1/devices", "limit", NULL, 400, "limit" },
	{ "GET", "/v1/devices/a", "limit=1", NULL, 400, "limit" },
	{ "GET", "/v1/devices", NULL, "{}", 400, "" },
	{ "POST", "/v1/profiles", NULL, "[]", 400, "" },
	{ "POST", "/v1/profiles", NULL, "{", 400, "" },
	{ "POST", "/v1/profiles", NULL, "{} x", 400, "" },
	{ "POST", "/v1/profiles", NULL, "{\"slot\":1,\"slot\":2}", 400, "" },
	{ "POST", "/v1/profiles", NULL, "{\"claim\":\"a\\u0000b\"}", 400, "" },
	{ "POST", "/v1/profiles", NULL, "{\"claim\":\"\xff\"}", 400, "" },
	{ "POST", "/v1/profiles", NULL, "{\"slot\":99999999999999999999}", 400, "" },
	{ "POST", "/v1/profiles", NULL, "{\"owner\":\"x\"}", 400, "owner" },
	{ "POST", "/v1/profiles", NULL, "[[[[[[[[[[]]]]]]]]]]", 400, "" },
	{ "POST", "/v1/profiles/a/activate", NULL, "{\"name\":\"b\"}", 400, "name" },
	{ "POST", "/v1/services", NULL, "{\"wifi_sealed\":\"AA==\"}", 400, "wifi_sealed" },
	{ "POST", "/v1/services", NULL, "{\"wifi\":5}", 400, "wifi" },
	{ "POST", "/v1/services", NULL, "{\"wifi\":{\"ssid\":\"\"}}", 400, "wifi.ssid" },
	{ "POST", "/v1/services", NULL, "{\"wifi\":{\"ssid\":\"x\",\"pass\":\"\"}}", 400, "wifi" },
	{ "POST", "/v1/services", NULL, "{\"wifi\":{\"ssid\":\"x\",\"passphrase\":\"short\"}}", 400,
		"wifi.passphrase" },
	{ "POST", "/v1/services", NULL, "{\"wifi\":{\"ssid\":\"x\",\"security\":\"wep\"}}", 400,
		"wifi.security" },
	{ "PATCH", "/v1/services/a", NULL, "{\"handle\":\"b\"}", 400, "handle" },
	{ "PATCH", "/v1/services/a", NULL, "{\"asp\":\"b\"}", 400, "asp" },
	{ "PATCH", "/v1/services/a", NULL, "{\"none\":null}", 400, "none" },
};

static void test_refusals(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(refused); i++) {
		struct api_input in = input(refused[i].method, refused[i].path, refused[i].body);
		Registry__Request *r = NULL;
		struct api_fault f;

		in.query = refused[i].query;
		enum rc rc = read_input(&in, &r, &f);
		if (rc == RC_OK || f.status != refused[i].status ||
			strcmp(f.what.field, refused[i].field) != 0)
			fail_msg("case %zu: rc %d status %u field %s: %s", i, rc, f.status,
				f.what.field, f.what.why);
	}
}

static void test_allow_lists_the_methods(void **state)
{
	struct api_fault f;

	(void)state;
	assert_null(api_find("PUT", "/v1/profiles/x", &f));
	assert_string_equal("GET, HEAD, DELETE", f.allow);
	assert_null(api_find("GET", "/v1/inventory", &f));
	assert_string_equal("POST", f.allow);
	assert_non_null(api_find("HEAD", "/v1/ca", &f));
}

static void test_content_types(void **state)
{
	static const struct {
		const char *type;
		bool ok;
	} types[] = { { "application/json", true }, { "Application/JSON;charset=utf-8", true },
		{ "application/json; charset=\"utf-8\"", true }, { "application/jsonx", false },
		{ "application/json; charset=latin1", false }, { "text/plain", false },
		{ NULL, false } };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(types); i++) {
		struct api_input in = input("POST", "/v1/profiles", "{}");
		struct api_fault f;
		Registry__Request *r = NULL;

		in.content_type = types[i].type;
		assert_int_equal(types[i].ok, read_input(&in, &r, &f) == RC_OK);
		if (!types[i].ok)
			assert_int_equal(415, f.status);
		reflect_free(r ? &r->base : NULL);
	}
}

static void test_idempotency_keys(void **state)
{
	static const char *const bad[] = { "", "with space", "\xc3\xa9",
		"12345678901234567890123456789012345678901234567890123456789012345" };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		struct api_input in = input("GET", "/v1/ca", NULL);
		struct api_fault f;
		Registry__Request *r = NULL;

		in.idempotency_key = bad[i];
		assert_rc(RC_MALFORMED, read_input(&in, &r, &f));
		assert_string_equal("Idempotency-Key", f.what.field);
	}
}

static void test_merge_clears_what_is_null_or_default(void **state)
{
	Registry__Request *r = read_good("PATCH", "/v1/services/ParkoServ", NULL,
		"{\"url\":null,\"publish_tlsa\":false,\"port\":8883,\"wifi\":null,\"pins\":[]}");
	const Registry__ServiceUpdate *u = r->service_update;

	(void)state;
	assert_string_equal("parkoserv", u->service->handle);
	assert_int_equal(8883, u->service->port);
	assert_int_equal(4, u->n_clear);
	assert_string_equal("url", u->clear[0]);
	assert_string_equal("publish_tlsa", u->clear[1]);
	assert_string_equal("wifi_sealed", u->clear[2]);
	assert_string_equal("pins", u->clear[3]);
	reflect_free(&r->base);
}

static void test_wifi_is_sealed_as_cbor(void **state)
{
	static const uint8_t want[] = { 0xa3, 0x01, 0x44, 'h', 'o', 'm', 'e', 0x02, 0x68, 's', 'e',
		'c', 'r', 'e', 't', '1', '2', 0x03, 0x02 };
	static const char body[] = "{\"handle\":\"x\",\"wifi\":{\"ssid\":\"home\",\"passphrase\":"
				   "\"secret12\",\"security\":\"wpa3\"}}";
	Registry__Request *r = read_good("POST", "/v1/services", NULL, body);
	const Registry__Service *s = r->service_create->service;
	struct api_input in = input("POST", "/v1/services", body);
	int no_key = 0;
	struct api_seal none = { .seal = fake_seal, .user = &no_key };
	struct api_fault f;

	(void)state;
	assert_int_equal(sizeof(want), s->wifi_sealed.len);
	assert_memory_equal(want, s->wifi_sealed.data, sizeof(want));
	reflect_free(&r->base);
	/* Without a key to seal to, nothing goes on. */
	assert_rc(RC_UNAVAILABLE, api_read(api_find("POST", in.path, &f), &in, &none, &r, &f));
	assert_int_equal(503, f.status);
	r = read_good("POST", "/v1/services", NULL, "{\"wifi\":{\"ssid\":\"a\"}}");
	assert_int_equal(6, r->service_create->service->wifi_sealed.len);
	reflect_free(&r->base);
}

/* ---- answers ---- */

static void check_answer(Registry__Reply *reply, const char *method, const char *path,
	unsigned status, const char *text)
{
	struct api_fault f;
	unsigned got = 0;
	char *json = NULL;
	size_t len = 0;

	assert_rc(RC_OK, api_write(api_find(method, path, &f), reply, &got, &json, &len));
	assert_int_equal(status, got);
	assert_string_equal(text, json);
	assert_int_equal(strlen(text), len);
	wipe_free(json);
}

static void test_answers(void **state)
{
	Registry__Reply reply = REGISTRY__REPLY__INIT;
	Registry__ProfileData data = REGISTRY__PROFILE_DATA__INIT;
	Registry__Profile profile = REGISTRY__PROFILE__INIT;
	char reason[] = "no such \"device\"", field[] = "iccid", name[] = "1.x", job[] = "j";

	(void)state;
	reply.code = REGISTRY__CODE__CODE_NOT_FOUND;
	reply.reason = reason;
	reply.field = field;
	check_answer(&reply, "GET", "/v1/devices/x", 404,
		"{\"code\":2303,\"reason\":\"no such \\\"device\\\"\",\"field\":\"iccid\"}");
	/* A reply without a code is core's fault and no success. */
	reply.code = REGISTRY__CODE__CODE_NONE;
	check_answer(&reply, "DELETE", "/v1/poll/1", 500,
		"{\"code\":0,\"reason\":\"no such \\\"device\\\"\",\"field\":\"iccid\"}");
	profile.name = name;
	profile.state = REGISTRY__PROFILE_STATE__STATE_ACTIVATED;
	data.profile = &profile;
	data.job = job;
	reply.code = REGISTRY__CODE__CODE_PENDING;
	reply.result_case = REGISTRY__REPLY__RESULT_PROFILE;
	reply.profile = &data;
	check_answer(&reply, "POST", "/v1/profiles/1.x/activate", 202,
		"{\"profile\":{\"name\":\"1.x\",\"state\":\"activated\",\"kind\":\"uta_iot\","
		"\"wipe_pending\":false,\"payload_sequence\":0,\"created\":0,\"updated\":0,"
		"\"auth_set\":false,\"card_current\":false,\"transfer_pending\":false,"
		"\"attested\":false},\"job\":\"j\"}");
	reply.code = REGISTRY__CODE__CODE_OK;
	reply.result_case = REGISTRY__REPLY__RESULT__NOT_SET;
	check_answer(&reply, "DELETE", "/v1/poll/1", 200, "{}");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_row_names_what_there_is),
		cmocka_unit_test(test_every_operation_has_a_row),
		cmocka_unit_test(test_path_query_and_body_meet_in_one_message),
		cmocka_unit_test(test_refusals),
		cmocka_unit_test(test_allow_lists_the_methods),
		cmocka_unit_test(test_content_types),
		cmocka_unit_test(test_idempotency_keys),
		cmocka_unit_test(test_merge_clears_what_is_null_or_default),
		cmocka_unit_test(test_wifi_is_sealed_as_cbor),
		cmocka_unit_test(test_answers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
