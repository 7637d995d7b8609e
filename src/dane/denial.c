/* SPDX-License-Identifier: Apache-2.0 */
#include "dane/internal.h"

/* Reads the next name and the bitmap (RFC 4034 4.1). */
static bool nsec_parse(const struct dane_rec *rec, struct dane_name *next, struct cur *bitmap)
{
	struct cur c = cur_init(rec->rdata, rec->len);

	dane__name_read(&c, rec->rdata, 0, next);
	*bitmap = c;
	return !c.bad;
}

static bool has_type(struct cur bitmap, uint16_t type)
{
	while (bitmap.left > 0) {
		uint8_t window = cur_u8(&bitmap), len = cur_u8(&bitmap);
		const uint8_t *bits = cur_bytes(&bitmap, len);

		if (!bits || len == 0 || len > 32)
			return true; /* malformed: proves no absence */
		if (window == type >> 8 && (type & 0xff) / 8 < len)
			return (bits[(type & 0xff) / 8] & (0x80 >> (type & 7))) != 0;
	}
	return bitmap.bad;
}

/* RFC 4034 6.1: owner < name < next, the last NSEC of a zone wrapping to its apex. */
static bool covers(const struct dane_name *owner, const struct dane_name *next,
	const struct dane_name *zone, const struct dane_name *name)
{
	if (dane__name_cmp(owner, name) >= 0)
		return false;
	return dane__name_equal(next, zone) || dane__name_cmp(name, next) < 0;
}

/* RFC 6840 4.1: the parent's NSEC at a delegation, or at a DNAME, says nothing about below. */
static bool speaks_below(
	const struct dane_rec *rec, struct cur bitmap, const struct dane_name *name)
{
	bool delegation = has_type(bitmap, DANE_TYPE_NS) && !has_type(bitmap, DANE_TYPE_SOA);

	return !(delegation || has_type(bitmap, DANE_TYPE_DNAME)) ||
	       !dane__name_within(name, &rec->owner);
}

static bool denies_type(const struct dane_rec *rec, struct cur bitmap, uint16_t type)
{
	bool apex = has_type(bitmap, DANE_TYPE_SOA);

	if (has_type(bitmap, type) || has_type(bitmap, DANE_TYPE_CNAME))
		return false;
	if (type == DANE_TYPE_DS) /* the child's apex must not deny its own DS */
		return !apex || dane__name_labels(&rec->owner) == 0;
	return apex || !has_type(bitmap, DANE_TYPE_NS);
}

/* The source of synthesis "*.<closest encloser>" is covered too (RFC 4035 5.4). */
static bool wildcard_denied(const struct dane_rec *const *nsecs, size_t n,
	const struct dane_name *zone, const struct dane_name *encloser)
{
	struct dane_name star = { .len = 2, .wire = { 1, '*' } };

	if (encloser->len > sizeof(star.wire) - 2)
		return true; /* no such name can be */
	for (size_t i = 0; i < encloser->len; i++)
		star.wire[star.len++] = encloser->wire[i];
	for (size_t i = 0; i < n; i++) {
		struct dane_name next;
		struct cur bitmap;

		if (nsec_parse(nsecs[i], &next, &bitmap) &&
			covers(&nsecs[i]->owner, &next, zone, &star) &&
			speaks_below(nsecs[i], bitmap, &star))
			return true;
	}
	return false;
}

enum dane_denial dane__nsec_proves(const struct dane_rec *const *nsecs, size_t n,
	const struct dane_name *zone, const struct dane_name *name, uint16_t type)
{
	for (size_t i = 0; i < n; i++) {
		const struct dane_rec *rec = nsecs[i];
		struct dane_name next, a, b;
		struct cur bitmap;

		if (!nsec_parse(rec, &next, &bitmap) || !dane__name_within(&rec->owner, zone) ||
			!dane__name_within(&next, zone))
			continue;
		if (dane__name_equal(&rec->owner, name)) {
			if (denies_type(rec, bitmap, type))
				return DANE_DENIES_TYPE;
			continue;
		}
		if (!covers(&rec->owner, &next, zone, name) || !speaks_below(rec, bitmap, name))
			continue;
		if (dane__name_within(&next, name))
			return DANE_DENIES_TYPE; /* an empty non-terminal (RFC 4592 2.2.2) */
		dane__name_common(name, &rec->owner, &a);
		dane__name_common(name, &next, &b);
		if (wildcard_denied(nsecs, n, zone, a.len > b.len ? &a : &b))
			return DANE_DENIES_NAME;
	}
	return DANE_DENIES_NOTHING;
}
