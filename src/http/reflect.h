/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* JSON as a spelling of the typed messages in proto/, by reflection over their
 * descriptors: no operation has code of its own here. A member is named as its
 * field; bytes are base64; integers are JSON integers; an enum value is written
 * without its prefix in lower case (KIND_UTA_IOT is "uta_iot"), except that
 * registry.Code is its number and registry.Flag is true, false or absent. One field
 * of bytes is hex because formats.md section 4 says so: a job file's sha256.
 * Nothing is guessed: an unknown member, a wrong type, a number out of range
 * are refused by name. Knows nothing of HTTP. */

#include "base/rc.h"

#include <jansson.h>
#include <protobuf-c/protobuf-c.h>

#define REFLECT_DEPTH_MAX 6	/* the deepest message of proto/ needs 3 */
#define REFLECT_LIST_MAX  65536 /* elements of one list */

/* What was wrong and where ("rows[3].iccid"); both are valid UTF-8. */
struct reflect_fault {
	char field[160];
	char why[120];
};

/* Fills *f; both texts are cut where they do not fit. Returns RC_MALFORMED. */
enum rc reflect_refuse(struct reflect_fault *f, const char *field, const char *why);

/* An empty message of that type; free with reflect_free. NULL when out of memory. */
ProtobufCMessage *reflect_new(const ProtobufCMessageDescriptor *type);
/* Frees and wipes. NULL-safe. */
void reflect_free(ProtobufCMessage *msg);

/* Fills a message made by reflect_new from a JSON object. A null member is as if absent.
 * RC_MALFORMED and *f; RC_NOMEM. On failure msg holds a part and is only good for reflect_free. */
enum rc reflect_read(
	ProtobufCMessage *msg, const json_t *object, struct reflect_fault *f) ATT_MUST_CHECK;

/* Sets one scalar field from text, as it stands in a path or a query. RC_NOT_FOUND when the
 * message has no such field or it is not a scalar; RC_MALFORMED and *f. */
enum rc reflect_set_text(ProtobufCMessage *msg, const char *name, const char *text,
	struct reflect_fault *f) ATT_MUST_CHECK;

/* The message as a new JSON object. Empty text, empty bytes, absent messages, enum values NONE and
 * KEEP and, below the top, empty lists are left out; numbers and booleans are always there.
 * RC_MALFORMED when a text is not UTF-8 or a number does not fit; RC_NOMEM. */
enum rc reflect_write(const ProtobufCMessage *msg, json_t **out) ATT_MUST_CHECK;

/* The name of an enum value as JSON spells it, into `out`; "" for an unknown value. */
void reflect_enum_name(const ProtobufCEnumDescriptor *type, int value, char *out, size_t cap);

/* Refuses what would cost more to parse than it can be worth: over `depth` levels or over `values`
 * separators. To be called before a JSON parser sees the bytes. */
enum rc reflect_bounds(const char *text, size_t len, unsigned depth, size_t values) ATT_MUST_CHECK;
