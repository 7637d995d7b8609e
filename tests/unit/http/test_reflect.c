/* SPDX-License-Identifier: Apache-2.0 */
#include "../unit.h"

#include "http/reflect.h"
#include "http/wipe.h"

#include "registry.pb-c.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- the round trip of every message with every field filled ---- */

static json_t *sample_object(const ProtobufCMessageDescriptor *type, unsigned *seed);

static json_t *sample_enum(const ProtobufCEnumDescriptor *type, unsigned *seed)
{
	char name[64];

	if (strcmp(type->name, "registry.Flag") == 0)
		return json_boolean((*seed)++ % 2);
	/* From 1 on: 0 is mostly NONE, which is said by silence. */
	reflect_enum_name(
		type, type->values[1 + (*seed)++ % (type->n_values - 1)].value, name, sizeof(name));
	return json_string(name);
}

static json_t *sample_value(const ProtobufCFieldDescriptor *field, unsigned *seed)
{
	static const char *const base64[] = { "AA==", "//8=", "AQID" };
	char text[64];

	(*seed)++;
	if (field->type == PROTOBUF_C_TYPE_STRING) {
		(void)snprintf(text, sizeof(text), "text \xc3\xa9 %u", *seed);
		return json_string(text);
	}
	if (field->type == PROTOBUF_C_TYPE_BYTES && strcmp(field->name, "sha256") == 0)
		return json_string(
			"00ff"); /* hex in a job file, and base64 elsewhere: valid as both */
	if (field->type == PROTOBUF_C_TYPE_BYTES)
		return json_string(base64[*seed % 3]);
	if (field->type == PROTOBUF_C_TYPE_ENUM)
		return sample_enum(field->descriptor, seed);
	if (field->type == PROTOBUF_C_TYPE_BOOL)
		return json_true();
	if (field->type == PROTOBUF_C_TYPE_UINT32)
		return json_integer(4294967295 - (json_int_t)*seed);
	if (field->type == PROTOBUF_C_TYPE_MESSAGE)
		return sample_object(field->descriptor, seed);
	return json_integer(9223372036854775807 - (json_int_t)*seed);
}

static json_t *sample_object(const ProtobufCMessageDescriptor *type, unsigned *seed)
{
	json_t *object = json_object();

	for (unsigned i = 0; i < type->n_fields; i++) {
		const ProtobufCFieldDescriptor *field = &type->fields[i];
		json_t *value = sample_value(field, seed);

		if (field->label == PROTOBUF_C_LABEL_REPEATED) {
			json_t *list = json_array();
			json_array_append_new(list, value);
			json_array_append_new(list, sample_value(field, seed));
			value = list;
		}
		json_object_set_new(object, field->name, value);
	}
	return object;
}

/* JSON -> message -> bytes -> message -> JSON is the identity. */
static void check_round_trip(const ProtobufCMessageDescriptor *type, unsigned seed)
{
	json_t *in = sample_object(type, &seed), *out = NULL;
	struct reflect_fault f = { 0 };
	ProtobufCMessage *msg = reflect_new(type), *again;

	if (reflect_read(msg, in, &f) != RC_OK)
		fail_msg("%s: %s %s", type->name, f.field, f.why);
	size_t len = protobuf_c_message_get_packed_size(msg);
	uint8_t *bytes = malloc(len + 1);
	assert_int_equal(len, protobuf_c_message_pack(msg, bytes));
	again = protobuf_c_message_unpack(type, &wipe_allocator, len, bytes);
	assert_non_null(again);
	assert_rc(RC_OK, reflect_write(again, &out));
	if (!json_equal(in, out))
		fail_msg("%s\n%s\n%s", type->name, json_dumps(in, 0), json_dumps(out, 0));
	free(bytes);
	reflect_free(msg);
	reflect_free(again);
	json_decref(in);
	json_decref(out);
}

static void test_every_message_round_trips(void **state)
{
	const ProtobufCMessageDescriptor *both[] = { &registry__request__descriptor,
		&registry__reply__descriptor };
	unsigned n = 0;

	(void)state;
	for (size_t b = 0; b < ARRAY_LEN(both); b++) {
		for (unsigned i = 0; i < both[b]->n_fields; i++) {
			const ProtobufCFieldDescriptor *field = &both[b]->fields[i];
			if (field->type != PROTOBUF_C_TYPE_MESSAGE ||
				field->descriptor == &registry__inventory_data__descriptor ||
				field->descriptor == &registry__job_results_data__descriptor)
				continue; /* those hold a Code: a number, see below */
			for (unsigned seed = 0; seed < 12; seed++)
				check_round_trip(field->descriptor, seed);
			n++;
		}
	}
	assert_true(n > 40);
}

/* ---- refusals ---- */

#define INVENTORY &registry__inventory_load__descriptor
#define REGISTER  &registry__profile_register__descriptor
#define BASE64	  "must be base64 with padding (RFC 4648 section 4)"

static const struct refusal {
	const ProtobufCMessageDescriptor *type;
	const char *json, *field, *why;
} refusals[] = {
	{ INVENTORY, "{\"rows\":[{},{\"iccid\":5}]}", "rows[1].iccid", "must be text" },
	{ INVENTORY, "{\"rows\":{}}", "rows", "must be a list" },
	{ INVENTORY, "{\"rows\":[null]}", "rows[0]", "must be an object" },
	{ INVENTORY, "{\"rows\":[{\"x\":1}]}", "rows[0].x", "unknown member" },
	{ INVENTORY, "{\"rows\":[{\"claim_salt\":\"A\"}]}", "rows[0].claim_salt", BASE64 },
	{ INVENTORY, "{\"rows\":[{\"claim_salt\":\"====\"}]}", "rows[0].claim_salt", BASE64 },
	{ INVENTORY, "{\"rows\":[{\"claim_salt\":[]}]}", "rows[0].claim_salt",
		"must be base64 text" },
	{ REGISTER, "{\"slot\":-1}", "slot", "must not be negative" },
	{ REGISTER, "{\"slot\":4294967296}", "slot", "is over 4294967295" },
	{ REGISTER, "{\"slot\":1.0}", "slot", "must be an integer" },
	{ REGISTER, "{\"slot\":\"1\"}", "slot", "must be an integer" },
	{ REGISTER, "{\"slot\":true}", "slot", "must be an integer" },
	{ REGISTER, "{\"kind\":\"UTA_IOT\"}", "kind", "must be one of uta_iot devkit" },
	{ REGISTER, "{\"kind\":0}", "kind", "must be text" },
	{ &registry__device_update__descriptor, "{\"locked\":\"true\"}", "locked",
		"must be true or false" },
	{ &registry__party_create__descriptor, "{\"roles\":[\"asp\",\"none\"]}", "roles[1]",
		"must be one of operator asp mno maker owner" },
	{ &registry__party_create__descriptor, "{\"roles\":\"asp\"}", "roles", "must be a list" },
	{ &registry__service_update__descriptor, "{\"clear\":[\"\"]}", "clear[0]",
		"must not be empty" },
	{ &registry__service_create__descriptor, "{\"service\":{\"publish_tlsa\":1}}",
		"service.publish_tlsa", "must be true or false" },
	{ &registry__service_create__descriptor, "[]", "", "must be an object" },
	{ &registry__request__descriptor, "{\"health\":{}}", "health", "unknown member" },
};

static void test_refusals_name_the_place(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(refusals); i++) {
		struct reflect_fault f = { 0 };
		json_t *json = json_loads(refusals[i].json, 0, NULL);
		ProtobufCMessage *msg = reflect_new(refusals[i].type);

		assert_non_null(json);
		assert_rc(RC_MALFORMED, reflect_read(msg, json, &f));
		assert_string_equal(refusals[i].field, f.field);
		assert_string_equal(refusals[i].why, f.why);
		reflect_free(msg);
		json_decref(json);
	}
}

static void test_long_unknown_name_is_cut_between_characters(void **state)
{
	struct reflect_fault f = { 0 };
	ProtobufCMessage *msg = reflect_new(&registry__health__descriptor);
	char name[402] = "x";
	json_t *json = json_object(), *text;

	(void)state;
	for (size_t i = 1; i + 3 < sizeof(name); i += 2)
		memcpy(name + i, "\xc3\xa9", 3);
	json_object_set_new(json, name, json_true());
	assert_rc(RC_MALFORMED, reflect_read(msg, json, &f));
	text = json_string(f.field);
	assert_non_null(text); /* still UTF-8 */
	json_decref(text);
	json_decref(json);
	reflect_free(msg);
}

/* ---- what is written ---- */

static void check_text(const ProtobufCMessage *msg, const char *want)
{
	json_t *json = NULL;
	char *text;

	assert_rc(RC_OK, reflect_write(msg, &json));
	text = json_dumps(json, JSON_COMPACT);
	json_decref(json);
	assert_string_equal(want, text);
	free(text);
}

static void test_job_is_spelled_as_the_formats_say(void **state)
{
	Registry__Job job = REGISTRY__JOB__INIT, *jobs[] = { &job };
	Registry__JobFile file = REGISTRY__JOB_FILE__INIT, *files[] = { &file };
	Registry__JobListData list = REGISTRY__JOB_LIST_DATA__INIT;
	uint8_t data[] = { 2 };
	char sha[] = "01";
	char id[] = "j1", iccid[] = "8912230200031010008f", number[] = "02";

	(void)state;
	check_text(&list.base, "{\"jobs\":[]}");
	job.id = id;
	job.kind = REGISTRY__JOB_KIND__JOB_INSTALL;
	job.iccid = iccid;
	job.slot = 1;
	job.not_after = 1800000000;
	job.attempt = 1;
	file.id = number;
	file.sha256 = sha;
	file.data = (ProtobufCBinaryData){ .data = data, .len = 1 };
	job.files = files;
	job.n_files = 1;
	list.jobs = jobs;
	list.n_jobs = 1;
	check_text(&list.base,
		"{\"jobs\":[{\"id\":\"j1\",\"kind\":\"install\",\"iccid\":"
		"\"8912230200031010008f\",\"slot\":1,\"not_after\":1800000000,\"attempt\":1,"
		"\"files\":[{\"id\":\"02\",\"sha256\":\"01\",\"data\":\"Ag==\"}]}]}");
}

static void test_numbers_and_booleans_are_always_there(void **state)
{
	Registry__HealthData health = REGISTRY__HEALTH_DATA__INIT;
	Registry__DeviceUpdate update = REGISTRY__DEVICE_UPDATE__INIT;
	Registry__RowResult row = REGISTRY__ROW_RESULT__INIT;

	(void)state;
	check_text(&health.base,
		"{\"committed_seq\":0,\"served_seq\":0,\"serial\":0,\"keys\":false,"
		"\"zone\":false,\"requests\":0,\"refused\":0,\"batches\":0,\"secondaries\":[]}");
	update.stolen = REGISTRY__FLAG__FLAG_TRUE;
	update.broken = REGISTRY__FLAG__FLAG_FALSE;
	check_text(&update.base, "{\"stolen\":true,\"broken\":false}");
	row.code = REGISTRY__CODE__CODE_NOT_FOUND;
	check_text(&row.base, "{\"row\":0,\"code\":2303}");
}

static void test_what_json_cannot_hold_is_refused(void **state)
{
	Registry__PollMessage poll = REGISTRY__POLL_MESSAGE__INIT;
	json_t *json = NULL;
	char bad[] = "\xff";

	(void)state;
	poll.id = UINT64_MAX;
	assert_rc(RC_MALFORMED, reflect_write(&poll.base, &json));
	poll.id = 1;
	poll.text = bad;
	assert_rc(RC_MALFORMED, reflect_write(&poll.base, &json));
	assert_null(json);
}

static void test_bounds(void **state)
{
	static const char deep[] = "[[[[]]]]", quoted[] = "[\"[[[[\\\"[[[\"]";

	(void)state;
	assert_rc(RC_OK, reflect_bounds(deep, 8, 4, 100));
	assert_rc(RC_TOO_LARGE, reflect_bounds(deep, 8, 3, 100));
	assert_rc(RC_TOO_LARGE, reflect_bounds(deep, 8, 4, 3));
	assert_rc(RC_OK, reflect_bounds(quoted, sizeof(quoted) - 1, 1, 1));
	assert_rc(RC_OK, reflect_bounds("]]]]", 4, 1, 1));
}

static void test_set_text(void **state)
{
	struct reflect_fault f = { 0 };
	ProtobufCMessage *msg = reflect_new(&registry__audit_list__descriptor);
	const Registry__AuditList *list = (const Registry__AuditList *)msg;

	(void)state;
	assert_rc(RC_OK, reflect_set_text(msg, "after", "9223372036854775807", &f));
	assert_rc(RC_OK, reflect_set_text(msg, "limit", "7", &f));
	assert_true(list->after == INT64_MAX && list->limit == 7);
	assert_rc(RC_MALFORMED, reflect_set_text(msg, "limit", "4294967296", &f));
	assert_rc(RC_MALFORMED, reflect_set_text(msg, "limit", "-1", &f));
	assert_rc(RC_MALFORMED, reflect_set_text(msg, "limit", "", &f));
	assert_string_equal("limit", f.field);
	assert_rc(RC_NOT_FOUND, reflect_set_text(msg, "no", "1", &f));
	reflect_free(msg);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_message_round_trips),
		cmocka_unit_test(test_refusals_name_the_place),
		cmocka_unit_test(test_long_unknown_name_is_cut_between_characters),
		cmocka_unit_test(test_job_is_spelled_as_the_formats_say),
		cmocka_unit_test(test_numbers_and_booleans_are_always_there),
		cmocka_unit_test(test_what_json_cannot_hold_is_refused),
		cmocka_unit_test(test_bounds),
		cmocka_unit_test(test_set_text),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
