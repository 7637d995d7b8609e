/* SPDX-License-Identifier: Apache-2.0 */
#include "dane/internal.h"

#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

#define DEPTH_MAX 8 /* zones between an anchor and the answer */

/* A set that verified. */
struct proof {
	struct dane_name signer;
	uint32_t ttl_s;
};

struct job {
	struct dane *dane;
	uint64_t deadline_ms;
	int64_t now;
	bool refetched; /* keys were dropped and fetched anew once already */
	struct diag why;
};

static enum dane_status zone_keys(
	struct job *job, const struct dane_name *zone, unsigned depth, struct dane_keys **out);

void dane__collect(const struct dane_msg *msg, const struct dane_name *owner, uint16_t type,
	bool authority, struct dane_set *set)
{
	memset(set, 0, sizeof(*set));
	set->owner = owner;
	set->type = type;
	for (size_t i = 0; i < msg->n_recs; i++) {
		const struct dane_rec *r = &msg->recs[i];

		if (r->type == type && r->authority == authority &&
			dane__name_equal(&r->owner, owner) && set->n < DANE_RRS_MAX)
			set->recs[set->n++] = r;
	}
}

bool dane__anchored(const struct dane *dane, const struct dane_name *name)
{
	for (size_t i = 0; i < dane->n_anchors; i++) {
		struct dane_name zone;

		if (dane__name_parse(dane->anchors[i].name, &zone) == RC_OK &&
			dane__name_within(name, &zone))
			return true;
	}
	return false;
}

static uint32_t proved_ttl(const struct dane_set *set, const struct dane_sig *sig, int64_t now)
{
	uint32_t ttl = sig->original_ttl, left = sig->expires - (uint32_t)now;

	for (size_t i = 0; i < set->n; i++)
		if (set->recs[i]->ttl < ttl)
			ttl = set->recs[i]->ttl;
	return ttl < left ? ttl : left;
}

/* One signature: gets the signer's keys, from the cache or the resolver, and verifies. Keys that
 * lack the signature's tag may be older than a roll-over: fetched anew, once. */
static enum dane_status try_sig(
	struct job *job, const struct dane_set *set, const struct dane_sig *sig, unsigned depth)
{
	struct dane_keys *keys = NULL;
	enum dane_status st = zone_keys(job, &sig->signer, depth, &keys);
	enum rc rc;

	if (st != DANE_SECURE)
		return st;
	rc = dane__sig_verify(set, sig, keys, job->now, &job->why);
	if (rc == RC_NOT_FOUND && !job->refetched) {
		job->refetched = true;
		dane__keys_free(keys);
		st = zone_keys(job, &sig->signer, depth, &keys);
		if (st != DANE_SECURE)
			return st;
		rc = dane__sig_verify(set, sig, keys, job->now, &job->why);
	}
	return rc == RC_OK ? DANE_SECURE : DANE_BOGUS;
}

/* Verifies a set with one of its signatures. */
static enum dane_status verify_set(struct job *job, const struct dane_msg *msg,
	const struct dane_set *set, bool authority, unsigned depth, struct proof *proof)
{
	enum dane_status st = DANE_BOGUS;
	struct dane_set sigs;
	unsigned tried = 0;

	dane__collect(msg, set->owner, DANE_TYPE_RRSIG, authority, &sigs);
	diag_set(&job->why, RC_SIGNATURE, "answer: not signed");
	for (size_t i = 0; i < sigs.n && tried < DANE_SIGS_MAX && st != DANE_SECURE; i++) {
		struct dane_sig sig;

		if (dane__sig_parse(sigs.recs[i], &sig) != RC_OK || sig.covered != set->type ||
			!dane__name_within(set->owner, &sig.signer))
			continue;
		if (set->type == DANE_TYPE_DS && dane__name_equal(set->owner, &sig.signer))
			continue; /* a child cannot vouch for itself */
		tried++;
		st = try_sig(job, set, &sig, depth);
		if (st == DANE_SECURE) {
			proof->signer = sig.signer;
			proof->ttl_s = proved_ttl(set, &sig, job->now);
		}
	}
	return st;
}

/* The NSEC records of the authority section that verify and come from one zone, `signer`. */
static enum dane_status verify_nsecs(struct job *job, const struct dane_msg *msg, unsigned depth,
	const struct dane_rec *out[DANE_RRS_MAX], size_t *n, struct proof *proof)
{
	enum dane_status st = DANE_BOGUS;

	*n = 0;
	proof->ttl_s = UINT32_MAX;
	diag_set(&job->why, RC_SIGNATURE, "answer: no proof of absence (NSEC)");
	for (size_t i = 0; i < msg->n_recs && *n < DANE_SIGS_MAX; i++) {
		const struct dane_rec *r = &msg->recs[i];
		struct dane_set set;
		struct proof one;

		if (!r->authority || r->type != DANE_TYPE_NSEC)
			continue;
		dane__collect(msg, &r->owner, DANE_TYPE_NSEC, true, &set);
		if (set.n != 1)
			continue;
		st = verify_set(job, msg, &set, true, depth, &one);
		if (st != DANE_SECURE)
			return st;
		if (*n > 0 && !dane__name_equal(&one.signer, &proof->signer))
			continue;
		proof->signer = one.signer;
		if (one.ttl_s < proof->ttl_s)
			proof->ttl_s = one.ttl_s;
		out[(*n)++] = r;
	}
	return st;
}

static enum dane_status verify_denial(struct job *job, const struct dane_msg *msg,
	const struct dane_name *name, uint16_t type, unsigned depth, struct proof *proof)
{
	const struct dane_rec *nsecs[DANE_RRS_MAX];
	size_t n = 0;
	enum dane_status st = verify_nsecs(job, msg, depth, nsecs, &n, proof);

	if (st != DANE_SECURE)
		return st;
	if (!dane__name_within(name, &proof->signer) || n == 0) {
		diag_set(&job->why, RC_SIGNATURE, "answer: denied by another zone");
		return DANE_BOGUS;
	}
	switch (dane__nsec_proves(nsecs, n, &proof->signer, name, type)) {
	case DANE_DENIES_NAME: return DANE_NXDOMAIN;
	case DANE_DENIES_TYPE: return DANE_NODATA;
	case DANE_DENIES_NOTHING: break;
	}
	diag_set(&job->why, RC_SIGNATURE, "answer: its NSEC records do not prove the absence");
	return DANE_BOGUS;
}

/* DS RDATA (RFC 4034 5.1) as an anchor without a name. */
static bool ds_read(const struct dane_rec *rec, struct dane_anchor *out)
{
	struct cur c = cur_init(rec->rdata, rec->len);

	memset(out, 0, sizeof(*out));
	out->tag = cur_u16(&c);
	out->algorithm = cur_u8(&c);
	out->digest_type = cur_u8(&c);
	out->digest_len = c.left;
	if (c.bad || (out->digest_type == 2 && c.left != 32) ||
		(out->digest_type == 4 && c.left != 48) ||
		(out->digest_type != 2 && out->digest_type != 4))
		return false;
	cur_copy(&c, out->digest, out->digest_len);
	return true;
}

/* What must vouch for a zone's keys: our anchors at it, or its DS set, asked for and verified. */
static enum dane_status delegation(struct job *job, const struct dane_name *zone, unsigned depth,
	struct dane_anchor ds[DANE_ANCHORS_MAX], size_t *n)
{
	struct dane_msg *msg = NULL;
	enum dane_status st;
	struct dane_set set;
	struct proof proof;

	*n = 0;
	for (size_t i = 0; i < job->dane->n_anchors; i++) {
		struct dane_name name;

		if (dane__name_parse(job->dane->anchors[i].name, &name) == RC_OK &&
			dane__name_equal(&name, zone))
			ds[(*n)++] = job->dane->anchors[i];
	}
	if (*n > 0)
		return DANE_SECURE;
	if (!dane__anchored(job->dane, zone) || depth == 0) {
		diag_set(&job->why, RC_NOT_FOUND, "no trust anchor above the signing zone");
		return DANE_INSECURE;
	}
	if (dane__ask(job->dane, zone, DANE_TYPE_DS, job->deadline_ms, &msg, &job->why) != RC_OK)
		return DANE_UNREACHABLE;
	dane__collect(msg, zone, DANE_TYPE_DS, false, &set);
	if (set.n == 0) {
		st = verify_denial(job, msg, zone, DANE_TYPE_DS, depth - 1, &proof);
		if (st == DANE_NODATA || st == DANE_NXDOMAIN) {
			diag_set(&job->why, RC_NOT_FOUND,
				"the signing zone is not delegated securely");
			st = DANE_INSECURE;
		}
		goto out;
	}
	st = verify_set(job, msg, &set, false, depth - 1, &proof);
	for (size_t i = 0; st == DANE_SECURE && i < set.n && *n < DANE_ANCHORS_MAX; i++)
		if (ds_read(set.recs[i], &ds[*n]))
			(*n)++;
out:
	dane__msg_free(msg);
	return st;
}

/* The DNSKEY set must be signed by a key that a DS names (RFC 4035 5.2); then all its keys count.
 */
static enum dane_status accept_keys(struct job *job, const struct dane_msg *msg,
	const struct dane_name *zone, const struct dane_anchor *ds, size_t n_ds,
	struct dane_keys *all)
{
	struct dane_keys entry = { .zone = *zone };
	enum dane_status st = DANE_BOGUS;
	struct dane_set set, sigs;

	dane__collect(msg, zone, DANE_TYPE_DNSKEY, false, &set);
	dane__collect(msg, zone, DANE_TYPE_RRSIG, false, &sigs);
	memset(all, 0, sizeof(*all));
	all->zone = *zone;
	for (size_t i = 0; i < set.n; i++) {
		const struct dane_rec *r = set.recs[i];
		bool named = false;

		for (size_t k = 0; k < n_ds; k++)
			named = named || dane__ds_match(&ds[k], zone, r->rdata, r->len);
		if (named && entry.n < DANE_KEYS_MAX &&
			dane__key_load(r->rdata, r->len, &entry.keys[entry.n]) == RC_OK)
			entry.n++;
		if (all->n < DANE_KEYS_MAX &&
			dane__key_load(r->rdata, r->len, &all->keys[all->n]) == RC_OK)
			all->n++;
	}
	diag_set(&job->why, RC_SIGNATURE, "no key of the zone matches the trust anchor");
	for (size_t i = 0; entry.n > 0 && i < sigs.n && st != DANE_SECURE; i++) {
		struct dane_sig sig;

		if (dane__sig_parse(sigs.recs[i], &sig) != RC_OK || sig.covered != set.type ||
			dane__sig_verify(&set, &sig, &entry, job->now, &job->why) != RC_OK)
			continue;
		all->until_s = job->now + proved_ttl(&set, &sig, job->now);
		st = DANE_SECURE;
	}
	dane__keys_free(&entry);
	if (st != DANE_SECURE) {
		diag_prefix(&job->why, "zone keys");
		dane__keys_free(all);
	}
	return st;
}

static struct dane_keys *cached(struct job *job, const struct dane_name *zone)
{
	for (size_t i = 0; i < DANE_ZONES_MAX; i++) {
		struct dane_keys *k = &job->dane->zones[i];

		if (k->n == 0 || !dane__name_equal(&k->zone, zone))
			continue;
		if (k->until_s > job->now)
			return k;
		dane__keys_free(k);
	}
	return NULL;
}

static enum dane_status zone_keys(
	struct job *job, const struct dane_name *zone, unsigned depth, struct dane_keys **out)
{
	struct dane_anchor ds[DANE_ANCHORS_MAX];
	struct dane_msg *msg = NULL;
	struct dane_keys *slot, all;
	enum dane_status st;
	size_t n = 0;

	*out = cached(job, zone);
	if (*out)
		return DANE_SECURE;
	st = delegation(job, zone, depth, ds, &n);
	if (st != DANE_SECURE)
		return st;
	if (n == 0) { /* RFC 4035 5.2: only digests or algorithms that we do not know */
		diag_set(&job->why, RC_UNSUPPORTED, "no DS of a kind we verify");
		return DANE_INSECURE;
	}
	if (dane__ask(job->dane, zone, DANE_TYPE_DNSKEY, job->deadline_ms, &msg, &job->why) !=
		RC_OK)
		return DANE_UNREACHABLE;
	st = accept_keys(job, msg, zone, ds, n, &all);
	dane__msg_free(msg);
	if (st != DANE_SECURE)
		return st;
	slot = &job->dane->zones[job->dane->next_zone++ % DANE_ZONES_MAX];
	dane__keys_free(slot);
	*slot = all;
	*out = slot;
	return DANE_SECURE;
}

static void take_records(const struct dane_set *set, struct dane_answer *out)
{
	struct put p = put_init(out->data, sizeof(out->data));

	for (size_t i = 0; i < set->n; i++) {
		size_t at = p.len;

		put_bytes(&p, set->recs[i]->rdata, set->recs[i]->len);
		if (!put_ok(&p))
			break; /* the rest is larger than any record of ours */
		out->rrs[out->n_rrs].rdata = out->data + at;
		out->rrs[out->n_rrs++].len = set->recs[i]->len;
	}
}

void dane__validate(struct dane *dane, const struct dane_msg *msg, const struct dane_name *name,
	uint16_t type, uint64_t deadline_ms, struct dane_answer *out)
{
	struct job job = {
		.dane = dane, .deadline_ms = deadline_ms, .now = dane->clock->unix_s(dane->clock)
	};
	struct dane_set set, alias;
	struct proof proof = { 0 };

	dane__collect(msg, name, type, false, &set);
	dane__collect(msg, name, DANE_TYPE_CNAME, false, &alias);
	if (set.n > 0) {
		out->status = verify_set(&job, msg, &set, false, DEPTH_MAX, &proof);
		if (out->status == DANE_SECURE)
			take_records(&set, out);
	} else if (alias.n > 0) {
		diag_set(&job.why, RC_UNSUPPORTED, "answer: an alias, which is not followed");
		out->status = DANE_BOGUS;
	} else {
		out->status = verify_denial(&job, msg, name, type, DEPTH_MAX, &proof);
	}
	if (out->status <= DANE_NODATA) {
		out->ttl_s = proof.ttl_s;
		dane__name_text(&proof.signer, out->signer);
		diag_set(&job.why, RC_OK, "signed by %s", out->signer);
	}
	memcpy(out->why, job.why.text, sizeof(out->why));
}
