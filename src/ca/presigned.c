/* SPDX-License-Identifier: Apache-2.0 */
#include "ca/presigned.h"
#include "base/compiler.h"
#include "base/file.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define SPAN_MAX (60u * 86400)

struct ca_presigned *ca_presigned_new(void)
{
	struct ca_presigned *p = calloc(1, sizeof(*p));

	if (p)
		p->refs = 1;
	return p;
}

struct ca_presigned *ca_presigned_ref(struct ca_presigned *p)
{
	p->refs++;
	return p;
}

void ca_presigned_unref(struct ca_presigned *p)
{
	if (!p || --p->refs > 0)
		return;
	for (size_t i = 0; i < p->set_count; i++)
		free(p->sets[i].sigs);
	free(p->sets);
	free(p);
}

struct ca_presigned_set *ca_presigned_add_set(struct ca_presigned *p, uint16_t type)
{
	struct ca_presigned_set *sets;

	if (p->set_count == CA_PRESIGNED_SETS)
		return NULL;
	sets = realloc(p->sets, (p->set_count + 1) * sizeof(*sets));
	if (!sets)
		return NULL;
	p->sets = sets;
	sets[p->set_count] = (struct ca_presigned_set){ .type = type };
	return &sets[p->set_count++];
}

static int order(const uint8_t *a, size_t a_len, const uint8_t *b, size_t b_len)
{
	size_t n = a_len < b_len ? a_len : b_len;
	int r = n ? memcmp(a, b, n) : 0;

	return r ? r : (a_len > b_len) - (a_len < b_len);
}

enum rc ca_presigned_add_rdata(struct ca_presigned_set *set, const uint8_t *rdata, size_t len)
{
	size_t i = 0;

	if (len == 0 || len > CA_DNSKEY_LEN)
		return RC_RANGE;
	for (; i < set->count; i++) {
		int r = order(rdata, len, set->rdata[i].at, set->rdata[i].len);

		if (r == 0)
			return RC_OK;
		if (r < 0)
			break;
	}
	if (set->count == CA_PRESIGNED_RDATA)
		return RC_TOO_LARGE;
	memmove(&set->rdata[i + 1], &set->rdata[i], (set->count - i) * sizeof(set->rdata[0]));
	set->rdata[i].len = (uint8_t)len;
	memcpy(set->rdata[i].at, rdata, len);
	set->count++;
	return RC_OK;
}

/* ---- what may be signed ---- */

static bool holds(const struct ca_presigned_set *set, const uint8_t *rdata, size_t len)
{
	for (size_t i = 0; i < set->count; i++)
		if (set->rdata[i].len == len && memcmp(set->rdata[i].at, rdata, len) == 0)
			return true;
	return false;
}

/* A KSK that some DNSKEY set of the request has. */
static bool is_ksk(const struct ca_presigned *p, const uint8_t *rdata, size_t len)
{
	for (size_t i = 0; i < p->set_count; i++)
		if (p->sets[i].type == CA_RR_DNSKEY && holds(&p->sets[i], rdata, len))
			return len > 1 && rdata[1] == 1;
	return false;
}

static bool is_cds(const struct ca_presigned *p, const uint8_t *ds, size_t len)
{
	for (size_t i = 0; i < p->set_count; i++)
		for (size_t k = 0; p->sets[i].type == CA_RR_DNSKEY && k < p->sets[i].count; k++) {
			struct ca_zone_public pub;
			struct ca_dnskey key;
			bool ksk = false;

			if (ca_dnskey_public(&key, p->sets[i].rdata[k].at, p->sets[i].rdata[k].len,
				    &ksk, NULL) != RC_OK ||
				!ksk ||
				ca_zone_public_of(&pub, p->apex, p->apex_len, &key, true, NULL) !=
					RC_OK)
				continue;
			if (len == 4 + CA_SHA256_LEN && ds[0] == pub.tag >> 8 &&
				ds[1] == (uint8_t)pub.tag && ds[2] == ca_alg_number(key.alg) &&
				ds[3] == 2 && memcmp(ds + 4, pub.ds_sha256, CA_SHA256_LEN) == 0)
				return true;
		}
	return false;
}

static enum rc check_set(
	const struct ca_presigned *p, const struct ca_presigned_set *s, struct diag *d)
{
	uint8_t own[CA_DNSKEY_LEN];
	size_t own_len = ca_dnskey_rdata(&p->ksk, true, own);
	struct ca_dnskey key;
	bool ksk;

	if (s->count == 0)
		return diag_set(d, RC_DENIED, "set %u: empty", s->type);
	if (s->type == CA_RR_DNSKEY && !holds(s, own, own_len))
		return diag_set(d, RC_DENIED, "set 48: without the KSK that is to sign it");
	for (size_t i = 0; i < s->count; i++) {
		const uint8_t *at = s->rdata[i].at;
		size_t len = s->rdata[i].len;
		bool ok = s->type == CA_RR_DNSKEY
				  ? ca_dnskey_public(&key, at, len, &ksk, NULL) == RC_OK
			  : s->type == CA_RR_CDNSKEY ? is_ksk(p, at, len)
						     : is_cds(p, at, len);
		if (!ok)
			return diag_set(d, RC_DENIED,
				"set %u: record %zu: not a key of this request, or not its digest",
				s->type, i + 1);
	}
	return RC_OK;
}

enum rc ca_presigned_check(const struct ca_presigned *p, struct diag *d)
{
	enum rc rc = RC_OK;

	for (size_t i = 0; i < p->span_count; i++)
		if (p->spans[i].to - p->spans[i].from > SPAN_MAX)
			return diag_set(d, RC_DENIED, "span %zu: more than 60 days", i + 1);
	for (size_t i = 0; rc == RC_OK && i < p->set_count; i++)
		rc = check_set(p, &p->sets[i], d);
	if (rc == RC_OK && p->set_count == 0)
		rc = diag_set(d, RC_DENIED, "no set to sign");
	return rc;
}

/* ---- signatures ---- */

static enum rc canonical(const struct ca_presigned *p, const struct ca_presigned_set *s,
	uint32_t from, uint32_t to, uint8_t buf[CA_CANONICAL_MAX], size_t *len)
{
	struct ca_bytes rdata[CA_PRESIGNED_RDATA];
	struct ca_rrset r = { .owner = { p->apex, p->apex_len },
		.type = s->type,
		.ttl = p->ttl,
		.rdata = rdata,
		.rdata_count = s->count,
		.inception = from,
		.expiration = to,
		.ksk = true,
		.alg = p->ksk.alg };

	for (size_t i = 0; i < s->count; i++)
		rdata[i] = (struct ca_bytes){ s->rdata[i].at, s->rdata[i].len };
	return ca_rrset_canonical(buf, len, p->apex, p->apex_len, p->tag, &r);
}

enum rc ca_presigned_verify(const struct ca_presigned *p, struct diag *d)
{
	uint8_t buf[CA_CANONICAL_MAX];
	size_t len = 0;

	for (size_t i = 0; i < p->set_count; i++)
		for (size_t k = 0; k < p->sets[i].sig_count; k++) {
			const struct ca_presigned_sig *g = &p->sets[i].sigs[k];

			if (canonical(p, &p->sets[i], g->from, g->to, buf, &len) != RC_OK ||
				ca_dnskey_verify(&p->ksk, buf, len, g->sig) != RC_OK)
				return diag_set(d, RC_SIGNATURE,
					"set %zu (type %u), signature %zu: not the KSK's", i + 1,
					p->sets[i].type, k + 1);
		}
	return RC_OK;
}

static enum rc sign_set(struct ca_crypt *x, struct ca_presigned *p, struct ca_presigned_set *s,
	const struct ca_dnskey *ksk, struct diag *d)
{
	uint8_t buf[CA_CANONICAL_MAX];
	size_t len = 0;
	enum rc rc = RC_OK;

	free(s->sigs);
	s->sig_count = 0;
	s->sigs = calloc(p->span_count ? p->span_count : 1, sizeof(*s->sigs));
	if (!s->sigs)
		return RC_NOMEM;
	for (size_t i = 0; rc == RC_OK && i < p->span_count; i++) {
		struct ca_presigned_sig *g = &s->sigs[i];

		g->from = p->spans[i].from;
		g->to = p->spans[i].to;
		rc = canonical(p, s, g->from, g->to, buf, &len);
		if (rc == RC_OK)
			rc = ca_dnskey_sign(x, ksk, buf, len, g->sig, d);
		s->sig_count++;
	}
	return rc;
}

enum rc ca_presigned_sign(struct ca_presigned *p, const struct ca_dnskey *ksk, struct diag *d)
{
	struct ca_crypt *x = NULL;
	enum rc rc = ca_crypt_new(&x, d);

	if (rc == RC_OK && (ksk->alg != p->ksk.alg || ksk->pub_len != p->ksk.pub_len ||
				   memcmp(ksk->pub, p->ksk.pub, ksk->pub_len) != 0))
		rc = diag_set(d, RC_CONFLICT, "the request is for another KSK than this one");
	for (size_t i = 0; rc == RC_OK && i < p->set_count; i++)
		rc = sign_set(x, p, &p->sets[i], ksk, d);
	p->span_count = rc == RC_OK ? 0 : p->span_count;
	ca_crypt_free(x);
	return rc;
}

static int64_t mtime_of(const char *path)
{
	struct stat st;

	if (stat(path, &st) != 0)
		return 0;
	return (int64_t)st.st_mtim.tv_sec * 1000000000 + st.st_mtim.tv_nsec;
}

enum rc ca_presigned_load(struct ca_presigned **out, const char *path, struct diag *d)
{
	struct ca_presigned *p = NULL;
	uint8_t *text = NULL;
	size_t len = 0;
	int64_t mtime = mtime_of(path);
	enum rc rc = file_read(path, CA_PRESIGNED_FILE_MAX, &text, &len, d);

	if (rc == RC_OK) {
		rc = ca_presigned_parse(&p, (const char *)text, len, d);
		if (rc == RC_OK)
			rc = ca_presigned_verify(p, d);
		if (rc != RC_OK)
			diag_prefix(d, path);
	}
	free(text);
	if (rc == RC_OK) {
		p->mtime_ns = mtime;
		*out = p;
	} else {
		ca_presigned_unref(p);
	}
	return rc;
}

bool ca_presigned_changed(const struct ca_presigned *p, const char *path)
{
	return mtime_of(path) != (p ? p->mtime_ns : 0);
}

static bool same_set(const struct ca_presigned_set *s, const struct ca_rrset *r)
{
	if (s->type != r->type || s->count != r->rdata_count)
		return false;
	for (size_t i = 0; i < s->count; i++)
		if (s->rdata[i].len != r->rdata[i].len ||
			memcmp(s->rdata[i].at, r->rdata[i].at, r->rdata[i].len) != 0)
			return false;
	return true;
}

/* The span that is good now and ends last: all sets have the same spans. */
static const struct ca_presigned_sig *best_of(const struct ca_presigned_set *s, int64_t now)
{
	const struct ca_presigned_sig *best = NULL;

	for (size_t i = 0; i < s->sig_count; i++) {
		const struct ca_presigned_sig *g = &s->sigs[i];

		if (g->from <= now && now < g->to && (!best || g->to > best->to))
			best = g;
	}
	return best;
}

const struct ca_presigned_sig *ca_presigned_find(
	const struct ca_presigned *p, const struct ca_rrset *r, int64_t now)
{
	if (!p || r->ttl != p->ttl || r->alg != p->ksk.alg)
		return NULL;
	for (size_t i = 0; i < p->set_count; i++)
		if (same_set(&p->sets[i], r))
			return best_of(&p->sets[i], now);
	return NULL;
}

void ca_presigned_times(
	const struct ca_presigned *p, int64_t now, uint32_t *from, uint32_t *next, uint32_t *end)
{
	const struct ca_presigned_sig *best;
	const struct ca_presigned_set *s;

	*from = *next = *end = 0;
	if (!p || p->set_count == 0)
		return;
	s = &p->sets[0];
	best = best_of(s, now);
	*from = best ? best->from : 0;
	for (size_t i = 0; i < s->sig_count; i++) {
		if (s->sigs[i].from > now && (*next == 0 || s->sigs[i].from < *next))
			*next = s->sigs[i].from;
		if (s->sigs[i].to > *end)
			*end = s->sigs[i].to;
	}
}
