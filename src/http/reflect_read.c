/* SPDX-License-Identifier: Apache-2.0 */
#include "base/str.h"
#include "http/reflect__.h"
#include "http/wipe.h"

#include <stdio.h>
#include <string.h>

/* Where we are, for refusals: "rows[3].iccid". */
struct place {
	char text[sizeof(((struct reflect_fault *)0)->field)];
	size_t len;
	struct reflect_fault *fault; /* borrowed */
};

static enum rc read_message(
	ProtobufCMessage *msg, const json_t *object, unsigned depth, struct place *p);

static void place_add(struct place *p, const char *text)
{
	size_t room = sizeof(p->text) - 1 - p->len, n = strlen(text);

	if (n > room) {
		n = room;
		while (n && ((unsigned char)text[n] & 0xc0) == 0x80)
			n--; /* never half a character */
	}
	memcpy(p->text + p->len, text, n);
	p->len += n;
	p->text[p->len] = '\0';
}

static void place_cut(struct place *p, size_t len)
{
	p->len = len;
	p->text[len] = '\0';
}

static enum rc refuse(const struct place *p, const char *why)
{
	return reflect_refuse(p->fault, p->text, why);
}

static enum rc set_string(char **at, const char *text, size_t len)
{
	char *copy;

	if (!len)
		return RC_OK; /* the default is the empty text */
	copy = wipe_malloc(len + 1);
	if (!copy)
		return RC_NOMEM;
	memcpy(copy, text, len);
	copy[len] = '\0';
	*at = copy;
	return RC_OK;
}

static enum rc read_bytes(
	ProtobufCBinaryData *at, bool hex, const json_t *value, const struct place *p)
{
	size_t len = json_string_length(value), got = 0, cap = hex ? len / 2 : len / 4 * 3;
	const char *text = json_string_value(value);
	uint8_t *bytes;
	enum rc rc;

	if (!text)
		return refuse(p, hex ? "must be hex text" : "must be base64 text");
	if (!len)
		return RC_OK;
	bytes = wipe_malloc(cap ? cap : 1);
	if (!bytes)
		return RC_NOMEM;
	rc = hex ? hex_read_upto(text, bytes, cap, &got) : b64_read(text, len, bytes, cap, &got);
	if (rc != RC_OK || !got) {
		wipe_free(bytes);
		return refuse(p, hex ? "must be an even number of hex digits"
				     : "must be base64 with padding (RFC 4648 section 4)");
	}
	at->data = bytes;
	at->len = got;
	return RC_OK;
}

static enum rc refuse_enum(const struct place *p, const ProtobufCEnumDescriptor *type)
{
	char why[sizeof(p->fault->why)] = "must be one of", name[64];
	size_t len = strlen(why);

	for (unsigned i = 0; i < type->n_values; i++) {
		int unused;
		reflect_enum_name(type, type->values[i].value, name, sizeof(name));
		if (!reflect__enum_value(type, name, &unused) ||
			len + strlen(name) + 2 > sizeof(why))
			continue;
		int n = snprintf(why + len, sizeof(why) - len, " %s", name);
		len += n > 0 ? (size_t)n : 0;
	}
	return refuse(p, why);
}

static enum rc read_enum(
	const ProtobufCEnumDescriptor *type, int *at, const json_t *value, const struct place *p)
{
	const char *text = json_is_boolean(value) ? (json_is_true(value) ? "true" : "false")
						  : json_string_value(value);

	if (reflect__is_flag(type) && !json_is_boolean(value))
		return refuse(p, "must be true or false");
	if (!reflect__is_flag(type) && !json_is_string(value))
		return refuse(p, "must be text");
	if (!reflect__enum_value(type, text, at))
		return refuse_enum(p, type);
	return RC_OK;
}

static enum rc read_int(
	const ProtobufCFieldDescriptor *field, void *at, const json_t *value, const struct place *p)
{
	json_int_t n = json_integer_value(value);

	if (!json_is_integer(value))
		return refuse(p, "must be an integer");
	if (field->type == PROTOBUF_C_TYPE_INT64) {
		*(int64_t *)at = n;
		return RC_OK;
	}
	if (n < 0)
		return refuse(p, "must not be negative");
	if (field->type == PROTOBUF_C_TYPE_UINT64) {
		*(uint64_t *)at = (uint64_t)n;
		return RC_OK;
	}
	if (n > UINT32_MAX)
		return refuse(p, "is over 4294967295");
	*(uint32_t *)at = (uint32_t)n;
	return RC_OK;
}

static enum rc read_sub(ProtobufCMessage **at, const ProtobufCFieldDescriptor *field,
	const json_t *value, unsigned depth, struct place *p)
{
	if (!json_is_object(value))
		return refuse(p, "must be an object");
	*at = reflect_new(field->descriptor);
	if (!*at)
		return RC_NOMEM;
	return read_message(*at, value, depth + 1, p);
}

/* One element of a field into `at`, which is inside a message that owns what is put there. */
static enum rc read_value(const ProtobufCMessage *owner, const ProtobufCFieldDescriptor *field,
	void *at, const json_t *value, unsigned depth, struct place *p)
{
	if (field->type == PROTOBUF_C_TYPE_STRING) {
		if (!json_is_string(value))
			return refuse(p, "must be text");
		return set_string(at, json_string_value(value), json_string_length(value));
	}
	if (field->type == PROTOBUF_C_TYPE_BYTES)
		return read_bytes(at, reflect__is_hex(owner->descriptor, field), value, p);
	if (field->type == PROTOBUF_C_TYPE_MESSAGE)
		return read_sub(at, field, value, depth, p);
	if (field->type == PROTOBUF_C_TYPE_ENUM)
		return read_enum(field->descriptor, at, value, p);
	if (field->type == PROTOBUF_C_TYPE_BOOL) {
		if (!json_is_boolean(value))
			return refuse(p, "must be true or false");
		*(protobuf_c_boolean *)at = json_is_true(value);
		return RC_OK;
	}
	if (reflect__size(field->type))
		return read_int(field, at, value, p);
	return RC_UNSUPPORTED;
}

/* A list's memory belongs to the message from the first element on: `n` counts those that hold
 * something, so that a refusal half-way frees exactly these. */
static enum rc read_list(ProtobufCMessage *msg, const ProtobufCFieldDescriptor *field,
	const json_t *list, unsigned depth, struct place *p)
{
	size_t *n = reflect__at(msg, field->quantifier_offset);
	size_t count = json_array_size(list), size = reflect__size(field->type), len = p->len;
	uint8_t *at;
	char index[32];
	enum rc rc;

	if (!json_is_array(list))
		return refuse(p, "must be a list");
	if (count > REFLECT_LIST_MAX)
		return refuse(p, "has too many elements");
	if (!count || !size)
		return count ? RC_UNSUPPORTED : RC_OK;
	at = wipe_malloc(count * size);
	if (!at)
		return RC_NOMEM;
	memset(at, 0, count * size);
	*(void **)reflect__at(msg, field->offset) = at;
	for (size_t i = 0; i < count; i++) {
		(void)snprintf(index, sizeof(index), "[%zu]", i);
		place_add(p, index);
		if (field->type == PROTOBUF_C_TYPE_STRING)
			*(const char **)(void *)(at + i * size) = protobuf_c_empty_string;
		rc = read_value(msg, field, at + i * size, json_array_get(list, i), depth, p);
		if (rc == RC_OK && field->type == PROTOBUF_C_TYPE_STRING &&
			!**(char **)(void *)(at + i * size))
			rc = refuse(p, "must not be empty"); /* and a list owns its texts */
		if (field->type == PROTOBUF_C_TYPE_MESSAGE && *(void **)(void *)(at + i * size))
			*n = i + 1;
		if (rc != RC_OK)
			return rc;
		*n = i + 1;
		place_cut(p, len);
	}
	return RC_OK;
}

static enum rc read_member(ProtobufCMessage *msg, const char *name, const json_t *value,
	unsigned depth, struct place *p)
{
	const ProtobufCFieldDescriptor *field =
		protobuf_c_message_descriptor_get_field_by_name(msg->descriptor, name);

	if (!field || (field->flags & PROTOBUF_C_FIELD_FLAG_ONEOF))
		return refuse(p, "unknown member");
	if (json_is_null(value))
		return RC_OK;
	if (field->label == PROTOBUF_C_LABEL_REPEATED)
		return read_list(msg, field, value, depth, p);
	return read_value(msg, field, reflect__at(msg, field->offset), value, depth, p);
}

static enum rc read_message(
	ProtobufCMessage *msg, const json_t *object, unsigned depth, struct place *p)
{
	size_t len = p->len;
	const char *name;
	json_t *value;
	enum rc rc;

	if (depth > REFLECT_DEPTH_MAX)
		return refuse(p, "nested too deeply");
	json_object_foreach((json_t *)(uintptr_t)object, name, value)
	{
		if (len)
			place_add(p, ".");
		place_add(p, name);
		rc = read_member(msg, name, value, depth, p);
		if (rc != RC_OK)
			return rc;
		place_cut(p, len);
	}
	return RC_OK;
}

enum rc reflect_read(ProtobufCMessage *msg, const json_t *object, struct reflect_fault *f)
{
	struct place p = { .fault = f };

	if (!json_is_object(object))
		return refuse(&p, "must be an object");
	return read_message(msg, object, 0, &p);
}

enum rc reflect_set_text(
	ProtobufCMessage *msg, const char *name, const char *text, struct reflect_fault *f)
{
	const ProtobufCFieldDescriptor *field =
		protobuf_c_message_descriptor_get_field_by_name(msg->descriptor, name);
	struct place p = { .fault = f };
	uint64_t n, max = UINT32_MAX;
	void *at;

	place_add(&p, name);
	if (!field || field->label == PROTOBUF_C_LABEL_REPEATED)
		return RC_NOT_FOUND;
	at = reflect__at(msg, field->offset);
	if (field->type == PROTOBUF_C_TYPE_STRING)
		return set_string(at, text, strlen(text));
	if (field->type == PROTOBUF_C_TYPE_ENUM) {
		if (!reflect__enum_value(field->descriptor, text, at))
			return refuse_enum(&p, field->descriptor);
		return RC_OK;
	}
	if (field->type == PROTOBUF_C_TYPE_BOOL) {
		*(protobuf_c_boolean *)at = strcmp(text, "true") == 0;
		return *(protobuf_c_boolean *)at || strcmp(text, "false") == 0
			       ? RC_OK
			       : refuse(&p, "must be true or false");
	}
	if (field->type == PROTOBUF_C_TYPE_UINT64)
		max = INT64_MAX;
	else if (field->type != PROTOBUF_C_TYPE_UINT32)
		return RC_NOT_FOUND;
	if (u64_read(text, 0, max, &n) != RC_OK)
		return refuse(&p, "must be a decimal number");
	if (field->type == PROTOBUF_C_TYPE_UINT64)
		*(uint64_t *)at = n;
	else
		*(uint32_t *)at = (uint32_t)n;
	return RC_OK;
}
