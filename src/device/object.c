/* SPDX-License-Identifier: Apache-2.0 */
#include "device/device__.h"

#include <stdlib.h>
#include <string.h>

#define INS_GET_DATA  0xcb
#define INS_READ_FILE 0xb0
#define SW_MORE	      0x6300
#define CHUNK	      255 /* some clients and cards cannot do 256 */
#define PARTS_MAX     256 /* of a list */

struct list_arg {
	struct iotsafe_object *out;
	size_t cap, *count;
};

static enum rc list_op(struct iotsafe *card, void *arg, struct diag *d)
{
	struct list_arg *l = arg;
	struct dev_answer a;
	uint8_t *all = malloc(DEV_LIST_MAX);
	size_t len = 0;
	enum rc rc = all ? RC_OK : RC_NOMEM;

	for (int part = 0; rc == RC_OK; part++) {
		rc = dev__command(card, DEV_HEADER(INS_GET_DATA, 1, part > 0), NULL, 0, 0, &a, d);
		if (rc == RC_OK && a.sw != SW_MORE)
			rc = dev__status(a.sw, "object list", d);
		if (rc == RC_OK && (len + a.len > DEV_LIST_MAX || part == PARTS_MAX))
			rc = diag_set(d, RC_TOO_LARGE, "object list: over %d bytes", DEV_LIST_MAX);
		if (rc != RC_OK)
			break;
		memcpy(all + len, a.data, a.len);
		len += a.len;
		if (a.sw != SW_MORE)
			break;
	}
	if (rc == RC_OK && dev__objects_parse(all, len, l->out, l->cap, l->count) != RC_OK)
		rc = diag_set(d, RC_MALFORMED, "object list: malformed");
	if (rc == RC_OK && *l->count > l->cap)
		rc = diag_set(d, RC_TOO_LARGE, "object list: %zu objects", *l->count);
	free(all);
	return rc;
}

enum iotsafe_error iotsafe_list(
	struct iotsafe *card, struct iotsafe_object *out, size_t cap, size_t *count)
{
	struct list_arg arg = { .out = out, .cap = cap, .count = count };

	*count = 0;
	return dev__run(card, list_op, &arg);
}

struct info_arg {
	uint8_t id;
	struct iotsafe_object *out;
};

static enum rc info_op(struct iotsafe *card, void *arg, struct diag *d)
{
	struct info_arg *i = arg;
	const uint8_t data[] = { 0x83, 1, i->id };
	char what[24] = "file __";
	struct iotsafe_object object;
	struct dev_answer a;
	size_t count = 0;
	enum rc rc;

	what[5] = "0123456789ABCDEF"[i->id >> 4];
	what[6] = "0123456789ABCDEF"[i->id & 15];
	rc = dev__command(
		card, DEV_HEADER(INS_GET_DATA, IOTSAFE_FILE, 0), data, sizeof(data), 0, &a, d);
	if (rc == RC_OK)
		rc = dev__status(a.sw, what, d);
	if (rc != RC_OK)
		return rc;
	if (dev__objects_parse(a.data, a.len, &object, 1, &count) != RC_OK || count != 1 ||
		object.type != IOTSAFE_FILE || object.id_len != 1 || object.id[0] != i->id)
		return diag_set(d, RC_MALFORMED, "%s: malformed information", what);
	*i->out = object;
	return RC_OK;
}

enum iotsafe_error iotsafe_file_info(
	struct iotsafe *card, unsigned char id, struct iotsafe_object *out)
{
	struct info_arg arg = { .id = id, .out = out };

	return dev__run(card, info_op, &arg);
}

struct file_arg {
	uint8_t id, *out;
	size_t cap, *len;
};

static enum rc file_op(struct iotsafe *card, void *arg, struct diag *d)
{
	struct file_arg *f = arg;
	const uint8_t data[] = { 0x83, 1, f->id };
	struct iotsafe_object info;
	struct info_arg ask = { .id = f->id, .out = &info };
	struct dev_answer a;
	size_t at = 0;
	enum rc rc = info_op(card, &ask, d);

	if (rc != RC_OK)
		return rc;
	if (info.size > f->cap)
		return diag_set(d, RC_TOO_LARGE, "file %02X: %zu bytes, room for %zu", f->id,
			info.size, f->cap);
	while (at < info.size) {
		size_t want = info.size - at < CHUNK ? info.size - at : CHUNK;
		rc = dev__command(card, DEV_HEADER(INS_READ_FILE, at >> 8 & 0xff, at & 0xff), data,
			sizeof(data), (int)want, &a, d);
		if (rc == RC_OK)
			rc = dev__status(a.sw, "READ FILE", d);
		if (rc != RC_OK)
			return rc;
		if (a.len == 0 || a.len > info.size - at)
			return diag_set(d, RC_MALFORMED,
				"file %02X: %zu bytes at offset %zu of %zu", f->id, a.len, at,
				info.size);
		memcpy(f->out + at, a.data, a.len);
		at += a.len;
	}
	*f->len = at;
	return RC_OK;
}

enum iotsafe_error iotsafe_read_file(
	struct iotsafe *card, unsigned char id, unsigned char *out, size_t cap, size_t *len)
{
	struct file_arg arg = { .id = id, .out = out, .cap = cap, .len = len };

	return dev__run(card, file_op, &arg);
}
