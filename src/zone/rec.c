/* SPDX-License-Identifier: Apache-2.0 */
#include "zone/rec.h"

#include "base/cur.h"
#include "base/put.h"

#include <string.h>

#define SET_HEAD 8 /* type, count, ttl */
#define SIG_ROOM (RR_SPAN_LEN + RR_SIG_LEN)

struct rec_iter rec_iter_init(const uint8_t *value, size_t len)
{
	struct rec_iter it = { 0 };

	unsigned form = len > REC_FLAGS ? rec_form(value) : 0;

	if (len >= rec_sets_at(form) && value[REC_KIND] == REC_GENERAL)
		it = (struct rec_iter){ .at = value + rec_sets_at(form),
			.end = value + len,
			.left = value[REC_FLAGS] & REC_COUNT,
			.form = form };
	return it;
}

bool rec_iter_next(struct rec_iter *it, struct rec_view *out)
{
	const uint8_t *p = it->at;
	size_t room = rec_form_is_two(it->form) ? 2 * SIG_ROOM : SIG_ROOM;

	if (it->left == 0 || it->end - p < SET_HEAD)
		return false;
	out->type = rec_get16(p);
	out->count = rec_get16(p + 2);
	out->ttl = rec_get32(p + 4);
	p += SET_HEAD;
	out->rdata = p;
	for (unsigned i = 0; i < out->count; i++) {
		if (it->end - p < 2 || it->end - p - 2 < rec_get16(p))
			return false;
		p += 2 + rec_get16(p);
	}
	if ((size_t)(it->end - p) < room)
		return false;
	out->sig = p;
	out->form = it->form;
	it->at = p + room;
	it->left--;
	return true;
}

bool rec_is_sane(const uint8_t *value, size_t len)
{
	struct rec_iter it;
	struct rec_view v;

	if (len < 2 || rec_form(value) == 0)
		return false;
	if (value[REC_KIND] == REC_DEVICE)
		return len == rec_device_len(rec_form(value)) && !(value[REC_FLAGS] & REC_COUNT);
	if (value[REC_KIND] != REC_GENERAL || len < rec_sets_at(rec_form(value)))
		return false;
	it = rec_iter_init(value, len);
	while (rec_iter_next(&it, &v))
		;
	return it.left == 0 && it.at == it.end;
}

enum rc rec_node_parse(uint8_t *value, size_t len, struct rec_node *out)
{
	struct rec_iter it = rec_iter_init(value, len);
	struct rec_view v;
	unsigned n = 0;

	if (!rec_is_sane(value, len) || value[REC_KIND] != REC_GENERAL || it.left > REC_SETS_MAX)
		return RC_MALFORMED;
	while (rec_iter_next(&it, &v)) {
		struct rec_set *s = &out->set[n++];
		const uint8_t *p = v.rdata;

		if (v.count > REC_RDATA_MAX)
			return RC_MALFORMED;
		s->type = v.type;
		s->count = v.count;
		s->ttl = v.ttl;
		for (unsigned i = 0; i < v.count; i++) {
			s->rdata_len[i] = rec_get16(p);
			s->rdata[i] = p + 2;
			p += 2 + s->rdata_len[i];
		}
		for (unsigned a = 0; a < REC_ALGS; a++)
			s->sig[a] = rec_form_has(v.form, a) ? value + (rec_view_sig(&v, a) - value)
							    : NULL;
	}
	out->count = n;
	out->form = rec_form(value);
	return RC_OK;
}

static bool put_sigs(struct put *p, struct rec_set *s, unsigned form)
{
	for (unsigned a = 0; a < REC_ALGS; a++) {
		uint8_t *sig = rec_form_has(form, a) ? put_reserve(p, SIG_ROOM) : NULL;

		if (sig && s->sig[a])
			memcpy(sig, s->sig[a], SIG_ROOM);
		else if (sig)
			memset(sig, 0, SIG_ROOM);
		s->sig[a] = sig;
	}
	return put_ok(p);
}

void rec_copy_nsec(uint8_t *to, const uint8_t *from)
{
	for (unsigned a = 0; a < REC_ALGS; a++)
		if (rec_form_has(rec_form(to), a) && rec_form_has(rec_form(from), a))
			memcpy(to + rec_nsec_at(to, a).span, from + rec_nsec_at(from, a).span,
				SIG_ROOM);
}

enum rc rec_node_write(struct rec_node *node, uint8_t *out, size_t *len)
{
	struct put p = put_init(out, REC_VALUE_MAX);
	unsigned form = node->form ? node->form : REC_FORM_P256;

	put_u8(&p, REC_GENERAL);
	put_u8(&p, (uint8_t)(node->count | rec_form_flags(form)));
	if (put_reserve(&p, rec_sets_at(form) - 2))
		memset(out + 2, 0, rec_sets_at(form) - 2);
	for (unsigned i = 0; i < node->count; i++) {
		struct rec_set *s = &node->set[i];

		put_u16(&p, s->type);
		put_u16(&p, s->count);
		put_u32(&p, s->ttl);
		for (unsigned k = 0; k < s->count; k++) {
			put_u16(&p, s->rdata_len[k]);
			put_bytes(&p, s->rdata[k], s->rdata_len[k]);
		}
		if (!put_sigs(&p, s, form))
			return RC_TOO_LARGE;
	}
	*len = p.len;
	return put_ok(&p) ? RC_OK : RC_TOO_LARGE;
}

struct rec_set *rec_node_find(struct rec_node *node, uint16_t type)
{
	for (unsigned i = 0; i < node->count; i++)
		if (node->set[i].type == type)
			return &node->set[i];
	return NULL;
}

struct rec_set *rec_node_make(struct rec_node *node, uint16_t type, uint32_t ttl)
{
	unsigned i = 0;

	rec_node_drop(node, type);
	if (node->count == REC_SETS_MAX)
		return NULL;
	while (i < node->count && node->set[i].type < type)
		i++;
	memmove(&node->set[i + 1], &node->set[i], (node->count - i) * sizeof(node->set[0]));
	node->count++;
	memset(&node->set[i], 0, sizeof(node->set[i]));
	node->set[i].type = type;
	node->set[i].ttl = ttl;
	return &node->set[i];
}

void rec_node_drop(struct rec_node *node, uint16_t type)
{
	for (unsigned i = 0; i < node->count; i++) {
		if (node->set[i].type != type)
			continue;
		node->count--;
		memmove(&node->set[i], &node->set[i + 1], (node->count - i) * sizeof(node->set[0]));
		return;
	}
}

enum rc rec_set_add(struct rec_set *set, const uint8_t *rdata, size_t len)
{
	unsigned i = 0;

	if (len > UINT16_MAX)
		return RC_TOO_LARGE;
	for (; i < set->count; i++) {
		int d = zone_key_cmp(rdata, len, set->rdata[i], set->rdata_len[i]);

		if (d == 0)
			return RC_OK;
		if (d < 0)
			break;
	}
	if (set->count == REC_RDATA_MAX)
		return RC_TOO_LARGE;
	for (unsigned k = set->count; k > i; k--) {
		set->rdata[k] = set->rdata[k - 1];
		set->rdata_len[k] = set->rdata_len[k - 1];
	}
	set->rdata[i] = rdata;
	set->rdata_len[i] = (uint16_t)len;
	set->count++;
	return RC_OK;
}

static void bit_set(uint8_t *bits, unsigned type)
{
	bits[type / 8] |= (uint8_t)(0x80 >> type % 8);
}

size_t rec_bitmap(const uint8_t *value, size_t len, uint8_t *out)
{
	struct rec_iter it = rec_iter_init(value, len);
	struct rec_view v;
	size_t n = 32;

	/* Every type of the zone lies in window 0. */
	memset(out, 0, REC_BITMAP_MAX);
	bit_set(out + 2, RR_RRSIG);
	bit_set(out + 2, RR_NSEC);
	if (value[REC_KIND] == REC_DEVICE) {
		bit_set(out + 2, RR_CERT);
		bit_set(out + 2, RR_TLSA);
	}
	while (rec_iter_next(&it, &v))
		if (v.type < 256)
			bit_set(out + 2, v.type);
	while (n > 1 && out[2 + n - 1] == 0)
		n--;
	out[1] = (uint8_t)n;
	return 2 + n;
}

void rec_device_cert(const uint8_t *value, uint8_t out[RR_CERT_LEN])
{
	static const uint8_t head[] = { 0, 1, 0, 1, 0 }; /* PKIX, key tag 1, algorithm 0 */

	memcpy(out, head, sizeof(head));
	memcpy(out + sizeof(head), value + REC_CERT, RR_HASH_LEN);
}

void rec_device_tlsa(const uint8_t *value, uint8_t out[2][RR_TLSA_LEN])
{
	static const uint8_t head[2][3] = { { 3, 0, 1 }, { 3, 1, 1 } };

	memcpy(out[0], head[0], 3);
	memcpy(out[0] + 3, value + REC_CERT, RR_HASH_LEN);
	memcpy(out[1], head[1], 3);
	memcpy(out[1] + 3, value + REC_SPKI, RR_HASH_LEN);
}
