/* SPDX-License-Identifier: Apache-2.0 */
#include "http/reflect.h"

#include "base/str.h"
#include "http/reflect__.h"
#include "http/wipe.h"

#include "registry.pb-c.h"

#include <ctype.h>
#include <string.h>

ProtobufCMessage *reflect_new(const ProtobufCMessageDescriptor *type)
{
	ProtobufCMessage *msg = wipe_malloc(type->sizeof_message);

	if (msg)
		type->message_init(msg);
	return msg;
}

void reflect_free(ProtobufCMessage *msg)
{
	if (msg)
		protobuf_c_message_free_unpacked(msg, &wipe_allocator);
}

static void copy_cut(char *out, size_t cap, const char *text)
{
	size_t n = strnlen(text, cap);

	if (n == cap) {
		n--;
		while (n && ((unsigned char)text[n] & 0xc0) == 0x80)
			n--; /* never half a character */
	}
	memmove(out, text, n); /* a caller may hand back what it got */
	out[n] = '\0';
}

enum rc reflect_refuse(struct reflect_fault *f, const char *field, const char *why)
{
	copy_cut(f->field, sizeof(f->field), field);
	copy_cut(f->why, sizeof(f->why), why);
	return RC_MALFORMED;
}

size_t reflect__size(ProtobufCType type)
{
	switch (type) {
	case PROTOBUF_C_TYPE_ENUM: return sizeof(int);
	case PROTOBUF_C_TYPE_BOOL: return sizeof(protobuf_c_boolean);
	case PROTOBUF_C_TYPE_UINT32: return sizeof(uint32_t);
	case PROTOBUF_C_TYPE_UINT64:
	case PROTOBUF_C_TYPE_INT64: return sizeof(uint64_t);
	case PROTOBUF_C_TYPE_STRING: return sizeof(char *);
	case PROTOBUF_C_TYPE_BYTES: return sizeof(ProtobufCBinaryData);
	case PROTOBUF_C_TYPE_MESSAGE: return sizeof(ProtobufCMessage *);
	case PROTOBUF_C_TYPE_INT32:
	case PROTOBUF_C_TYPE_SINT32:
	case PROTOBUF_C_TYPE_SFIXED32:
	case PROTOBUF_C_TYPE_SINT64:
	case PROTOBUF_C_TYPE_SFIXED64:
	case PROTOBUF_C_TYPE_FIXED32:
	case PROTOBUF_C_TYPE_FIXED64:
	case PROTOBUF_C_TYPE_FLOAT:
	case PROTOBUF_C_TYPE_DOUBLE: break;
	}
	return 0; /* not used in proto/ */
}

bool reflect__is_code(const ProtobufCEnumDescriptor *type)
{
	return strcmp(type->name, "registry.Code") == 0;
}

bool reflect__is_flag(const ProtobufCEnumDescriptor *type)
{
	return strcmp(type->name, "registry.Flag") == 0;
}

bool reflect__is_hex(const ProtobufCMessageDescriptor *type, const ProtobufCFieldDescriptor *field)
{
	return type == &registry__job_file__descriptor && strcmp(field->name, "sha256") == 0;
}

/* Without the prefix that C makes necessary: up to the first underscore. */
static const char *bare_name(const char *name)
{
	const char *cut = strchr(name, '_');

	return cut ? cut + 1 : name;
}

void reflect_enum_name(const ProtobufCEnumDescriptor *type, int value, char *out, size_t cap)
{
	const ProtobufCEnumValue *v = protobuf_c_enum_descriptor_get_value(type, value);

	out[0] = '\0';
	if (v && str_copy(out, cap, bare_name(v->name)) == RC_OK)
		str_lower(out);
}

bool reflect__enum_value(const ProtobufCEnumDescriptor *type, const char *text, int *out)
{
	char name[64];

	for (unsigned i = 0; i < type->n_values; i++) {
		reflect_enum_name(type, type->values[i].value, name, sizeof(name));
		if (strcmp(name, "none") == 0 || strcmp(name, "keep") == 0)
			continue; /* said by leaving the member out */
		if (strcmp(name, text) == 0) {
			*out = type->values[i].value;
			return true;
		}
	}
	return false;
}

enum rc reflect_bounds(const char *text, size_t len, unsigned depth, size_t values)
{
	bool quoted = false;
	unsigned level = 0;
	size_t n = 0;

	for (size_t i = 0; i < len; i++) {
		char ch = text[i];

		if (quoted) {
			if (ch == '\\')
				i++;
			else if (ch == '"')
				quoted = false;
			continue;
		}
		quoted = ch == '"';
		if (ch == '[' || ch == '{')
			level++;
		else if ((ch == ']' || ch == '}') && level)
			level--;
		if (ch == ',' || ch == ':' || ch == '[' || ch == '{')
			n++;
		if (level > depth || n > values)
			return RC_TOO_LARGE;
	}
	return RC_OK;
}
