/* SPDX-License-Identifier: Apache-2.0 */
#include "base/str.h"
#include "http/reflect__.h"
#include "http/wipe.h"

#include <string.h>

static enum rc write_message(const ProtobufCMessage *msg, unsigned depth, json_t **out);

static enum rc write_bytes(const ProtobufCBinaryData *bytes, bool hex, json_t **out)
{
	char *text = wipe_malloc(hex ? 2 * bytes->len + 1 : B64_LEN(bytes->len));

	if (!text)
		return RC_NOMEM;
	if (hex)
		hex_write(bytes->data, bytes->len, text);
	else
		b64_write(bytes->data, bytes->len, text);
	*out = json_string(text);
	wipe_free(text);
	return *out ? RC_OK : RC_NOMEM;
}

static enum rc write_enum(const ProtobufCEnumDescriptor *type, int value, json_t **out)
{
	char name[64];

	if (reflect__is_code(type)) {
		*out = json_integer(value);
		return *out ? RC_OK : RC_NOMEM;
	}
	reflect_enum_name(type, value, name, sizeof(name));
	if (!name[0])
		return RC_MALFORMED;
	if (reflect__is_flag(type) && strcmp(name, "keep") != 0)
		*out = json_boolean(strcmp(name, "true") == 0);
	else if (strcmp(name, "none") != 0 && strcmp(name, "keep") != 0)
		*out = json_string(name);
	return RC_OK;
}

static enum rc write_int(bool fits, json_int_t value, json_t **out)
{
	if (!fits)
		return RC_MALFORMED;
	*out = json_integer(value);
	return *out ? RC_OK : RC_NOMEM;
}

/* One element at `at`; *out stays NULL when there is nothing to say. */
static enum rc write_value(const ProtobufCMessage *owner, const ProtobufCFieldDescriptor *field,
	const void *at, unsigned depth, json_t **out)
{
	const ProtobufCMessage *sub;
	const char *text;
	uint64_t big;

	*out = NULL;
	/* Only the types of proto/ have a size: see reflect__size. */
	if (field->type == PROTOBUF_C_TYPE_STRING) {
		text = *(char *const *)at;
		if (!text || (!*text && field->label != PROTOBUF_C_LABEL_REPEATED))
			return RC_OK;
		*out = json_string(text);
		return *out ? RC_OK : RC_MALFORMED;
	}
	if (field->type == PROTOBUF_C_TYPE_BYTES) {
		const ProtobufCBinaryData *bytes = at;
		if (!bytes->len && field->label != PROTOBUF_C_LABEL_REPEATED)
			return RC_OK;
		return write_bytes(bytes, reflect__is_hex(owner->descriptor, field), out);
	}
	if (field->type == PROTOBUF_C_TYPE_MESSAGE) {
		sub = *(ProtobufCMessage *const *)at;
		return sub ? write_message(sub, depth + 1, out) : RC_OK;
	}
	if (field->type == PROTOBUF_C_TYPE_ENUM)
		return write_enum(field->descriptor, *(const int *)at, out);
	if (field->type == PROTOBUF_C_TYPE_BOOL) {
		*out = json_boolean(*(const protobuf_c_boolean *)at);
		return RC_OK;
	}
	if (field->type == PROTOBUF_C_TYPE_UINT32)
		return write_int(true, *(const uint32_t *)at, out);
	if (field->type == PROTOBUF_C_TYPE_INT64)
		return write_int(true, *(const int64_t *)at, out);
	if (field->type == PROTOBUF_C_TYPE_UINT64) {
		big = *(const uint64_t *)at;
		return write_int(big <= INT64_MAX, (json_int_t)big, out);
	}
	return RC_UNSUPPORTED;
}

static enum rc write_list(const ProtobufCMessage *msg, const ProtobufCFieldDescriptor *field,
	unsigned depth, json_t **out)
{
	size_t n = *(const size_t *)reflect__const_at(msg, field->quantifier_offset);
	const uint8_t *at = *(uint8_t *const *)reflect__const_at(msg, field->offset);
	json_t *list = NULL, *value = NULL;
	enum rc rc = RC_OK;

	*out = NULL;
	if (!n && depth > 0)
		return RC_OK;
	list = json_array();
	if (!list)
		return RC_NOMEM;
	for (size_t i = 0; i < n && rc == RC_OK; i++) {
		rc = write_value(msg, field, at + i * reflect__size(field->type), depth, &value);
		if (rc == RC_OK && value && json_array_append_new(list, value) < 0)
			rc = RC_NOMEM;
	}
	if (rc == RC_OK)
		*out = list;
	else
		json_decref(list);
	return rc;
}

static bool chosen(const ProtobufCMessage *msg, const ProtobufCFieldDescriptor *field)
{
	if (!(field->flags & PROTOBUF_C_FIELD_FLAG_ONEOF))
		return true;
	return *(const uint32_t *)reflect__const_at(msg, field->quantifier_offset) == field->id;
}

static enum rc write_message(const ProtobufCMessage *msg, unsigned depth, json_t **out)
{
	const ProtobufCMessageDescriptor *type = msg->descriptor;
	json_t *object = NULL, *value = NULL;
	enum rc rc = RC_OK;

	if (depth > REFLECT_DEPTH_MAX)
		return RC_MALFORMED;
	object = json_object();
	if (!object)
		return RC_NOMEM;
	for (unsigned i = 0; i < type->n_fields && rc == RC_OK; i++) {
		const ProtobufCFieldDescriptor *field = &type->fields[i];

		if (!chosen(msg, field))
			continue;
		if (field->label == PROTOBUF_C_LABEL_REPEATED)
			rc = write_list(msg, field, depth, &value);
		else
			rc = write_value(
				msg, field, reflect__const_at(msg, field->offset), depth, &value);
		if (rc == RC_OK && value && json_object_set_new(object, field->name, value) < 0)
			rc = RC_NOMEM;
	}
	if (rc == RC_OK)
		*out = object;
	else
		json_decref(object);
	return rc;
}

enum rc reflect_write(const ProtobufCMessage *msg, json_t **out)
{
	return write_message(msg, 0, out);
}
