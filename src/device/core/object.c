/* SPDX-License-Identifier: Apache-2.0 */
#include "device/core/core__.h"

#include "base/put.h"
#include "base/tlv.h"

#define INS_GET_DATA  0xcb
#define INS_READ_FILE 0xb0
#define SW_MORE	      0x6300
#define CHUNK	      255 /* some clients and cards cannot do 256 */
#define PARTS_MAX     256 /* of a list */
#define TAG_FILE_ID   0x83
/* Objects of a slot, doc/card.md. */
#define N_SIGN	  0x1
#define N_CERT	  0x2
#define N_PAYLOAD 0xd

enum iotsafe_error iotsafe_core_list(struct iotsafe_core *core, unsigned char *list,
	size_t list_cap, struct iotsafe_object *out, size_t cap, size_t *count)
{
	static const char what[] = "object list";
	size_t len = 0;

	*count = 0;
	for (int part = 0;; part++) {
		enum iotsafe_error e =
			core__command(core, CORE_HEADER(INS_GET_DATA, 1, part > 0), NULL, 0, 0);
		core->what = what;
		if (e == IOTSAFE_OK && core->sw != SW_MORE)
			e = core__status(core, what);
		if (e != IOTSAFE_OK)
			return e;
		if (core->answer_len > list_cap - len || part == PARTS_MAX)
			return IOTSAFE_ETOOLARGE;
		core__copy(list + len, core->answer, core->answer_len);
		len += core->answer_len;
		if (core->sw != SW_MORE)
			break;
	}
	if (dev__objects_parse(list, len, out, cap, count) != RC_OK)
		return core__nonsense(core, what);
	return *count > cap ? IOTSAFE_ETOOLARGE : IOTSAFE_OK;
}

enum iotsafe_error iotsafe_core_applet(struct iotsafe_core *core, struct iotsafe_applet *out)
{
	static const char what[] = "GET DATA";
	enum iotsafe_error e = core__ask(core, CORE_HEADER(INS_GET_DATA, 0, 0), NULL, 0, 0, what);

	if (e != IOTSAFE_OK)
		return e;
	if (dev__applet_parse(core->answer, core->answer_len, out) != RC_OK)
		return core__nonsense(core, what);
	return IOTSAFE_OK;
}

size_t iotsafe_slots(const struct iotsafe_object *objects, size_t count,
	struct iotsafe_slot out[IOTSAFE_SLOTS_MAX])
{
	struct iotsafe_slot slots[IOTSAFE_SLOTS_MAX + 1] = { 0 };
	size_t n = 0;

	for (size_t i = 0; i < count; i++) {
		const struct iotsafe_object *o = &objects[i];
		unsigned id = o->id[0], slot = id < 0x10 ? 1 : id >> 4, number = id & 0x0f;

		if (o->id_len != 1 || slot > IOTSAFE_SLOTS_MAX || (id >= 0x10 && slot == 1))
			continue;
		if (o->type == IOTSAFE_PRIVATE_KEY && number == N_SIGN)
			slots[slot].key = o->state == 1 ? 2 : 1;
		if (o->type == IOTSAFE_FILE && number == N_CERT)
			slots[slot].certificate = o->size > 0;
		if (o->type == IOTSAFE_FILE && number == N_PAYLOAD)
			slots[slot].payload = o->size > 0;
	}
	for (unsigned slot = 1; slot <= IOTSAFE_SLOTS_MAX; slot++) {
		slots[slot].number = slot;
		if (slots[slot].key || slots[slot].certificate || slots[slot].payload)
			out[n++] = slots[slot];
	}
	return n;
}

/* 83 id; the length in bytes, or 0 when it is no name of a container. */
static size_t file_id(uint8_t out[2 + IOTSAFE_ID_MAX], struct iotsafe_id id)
{
	struct put p = put_init(out, 2 + IOTSAFE_ID_MAX);

	if (id.len == 0)
		return 0;
	tlv_put(&p, TAG_FILE_ID, id.at, id.len);
	return put_ok(&p) ? p.len : 0;
}

enum iotsafe_error iotsafe_core_file_info(
	struct iotsafe_core *core, struct iotsafe_id id, struct iotsafe_object *out)
{
	uint8_t data[2 + IOTSAFE_ID_MAX];
	size_t len = file_id(data, id), count = 0, same = 0;
	struct iotsafe_object object;
	enum iotsafe_error e;

	if (len == 0)
		return IOTSAFE_EINVAL;
	e = core__ask(core, CORE_HEADER(INS_GET_DATA, IOTSAFE_FILE, 0), data, len, 0, "file");
	if (e != IOTSAFE_OK)
		return e;
	if (dev__objects_parse(core->answer, core->answer_len, &object, 1, &count) != RC_OK ||
		count != 1 || object.type != IOTSAFE_FILE || object.id_len != id.len)
		return core__nonsense(core, "file");
	while (same < id.len && object.id[same] == id.at[same])
		same++;
	if (same != id.len)
		return core__nonsense(core, "file");
	*out = object;
	return IOTSAFE_OK;
}

enum iotsafe_error iotsafe_core_read_file(struct iotsafe_core *core, struct iotsafe_id id,
	unsigned char *out, size_t cap, size_t *len)
{
	uint8_t data[2 + IOTSAFE_ID_MAX];
	size_t data_len = file_id(data, id), at = 0;
	struct iotsafe_object info;
	enum iotsafe_error e = iotsafe_core_file_info(core, id, &info);

	if (e != IOTSAFE_OK)
		return e;
	if (info.size > cap)
		return IOTSAFE_ETOOLARGE;
	while (at < info.size) {
		size_t want = info.size - at < CHUNK ? info.size - at : CHUNK;
		e = core__ask(core, CORE_HEADER(INS_READ_FILE, at >> 8 & 0xff, at & 0xff), data,
			data_len, (int)want, "READ FILE");
		if (e != IOTSAFE_OK)
			return e;
		if (core->answer_len == 0 || core->answer_len > info.size - at)
			return core__nonsense(core, "READ FILE");
		core__copy(out + at, core->answer, core->answer_len);
		at += core->answer_len;
	}
	*len = at;
	return IOTSAFE_OK;
}
