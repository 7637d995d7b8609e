/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What the two directions of reflect share. */

#include "http/reflect.h"

#include <stdbool.h>

/* The address of a field, or of its quantifier, inside a message. */
#define reflect__at(msg, offset)       ((void *)((uint8_t *)(msg) + (offset)))
#define reflect__const_at(msg, offset) ((const void *)((const uint8_t *)(msg) + (offset)))

/* Bytes of one element of a field; 0 for a type that proto/ does not use. */
size_t reflect__size(ProtobufCType type);
bool reflect__is_code(const ProtobufCEnumDescriptor *type);
bool reflect__is_flag(const ProtobufCEnumDescriptor *type);
/* Bytes that JSON spells in hex instead of base64. */
bool reflect__is_hex(const ProtobufCMessageDescriptor *type, const ProtobufCFieldDescriptor *field);
bool reflect__enum_value(const ProtobufCEnumDescriptor *type, const char *text, int *out);
