/* SPDX-License-Identifier: Apache-2.0 */
/* What a zone's DNSKEY set shows to whoever follows its anchors: the keys, who signed, what is
 * revoked. Decides nothing. */
#include "dane/internal.h"

#include <openssl/evp.h>
#include <string.h>

/* The anchor that names a key, as it was before a revocation. */
static bool ds_of(
	const struct dane_name *zone, const uint8_t *rdata, size_t len, struct dane_anchor *out)
{
	uint8_t plain[sizeof(((struct dane_key *)NULL)->rdata)], buf[sizeof(plain) + 255];
	struct put p = put_init(buf, sizeof(buf));

	if (len < 5 || len > sizeof(plain))
		return false;
	memcpy(plain, rdata, len);
	plain[1] &= (uint8_t)~DANE_KEY_REVOKE;
	put_bytes(&p, zone->wire, zone->len);
	put_bytes(&p, plain, len);
	memset(out, 0, sizeof(*out));
	dane__name_text(zone, out->name);
	out->tag = dane__key_tag(plain, len);
	out->algorithm = plain[3];
	out->digest_type = 2;
	out->digest_len = 32;
	return put_ok(&p) && EVP_Digest(buf, p.len, out->digest, NULL, EVP_sha256(), NULL) == 1;
}

/* A revoked key's tag is that of its RDATA with the bit (RFC 5011 section 2.1). */
static bool load(const struct dane_rec *r, struct dane_key *out)
{
	uint8_t plain[sizeof(out->rdata)];

	if (r->len < 5 || r->len > sizeof(plain))
		return false;
	memcpy(plain, r->rdata, r->len);
	plain[1] &= (uint8_t)~DANE_KEY_REVOKE;
	if (dane__key_load(plain, r->len, out) != RC_OK)
		return false;
	out->tag = dane__key_tag(r->rdata, r->len);
	return true;
}

/* Did this very key sign the set? Then *sig is by it. */
static bool signs(const struct dane_rec *key, const struct dane_set *set,
	const struct dane_set *sigs, int64_t now, struct dane_sig *sig)
{
	struct dane_keys one = { .zone = *set->owner, .n = 1 };
	struct diag why;
	bool good = false;

	if (!load(key, &one.keys[0]))
		return false;
	for (size_t i = 0; i < sigs->n && !good; i++)
		good = dane__sig_parse(sigs->recs[i], sig) == RC_OK && sig->covered == set->type &&
		       dane__sig_verify(set, sig, &one, now, &why) == RC_OK;
	dane__keys_free(&one);
	return good;
}

static bool is_anchor(
	const struct dane *dane, const struct dane_name *zone, const struct dane_rec *key)
{
	for (size_t i = 0; i < dane->n_anchors; i++) {
		struct dane_name name;

		if (dane__name_parse(dane->anchors[i].name, &name) == RC_OK &&
			dane__name_equal(&name, zone) &&
			dane__ds_match(&dane->anchors[i], zone, key->rdata, key->len))
			return true;
	}
	return false;
}

static void look_at(struct dane *dane, const struct dane_set *set, const struct dane_set *sigs,
	const struct dane_rec *key, struct dane_keyset *out)
{
	int64_t now = dane->clock->unix_s(dane->clock);
	struct dane_zonekey *k = &out->keys[out->n];
	struct dane_sig sig;

	if (key->len < 5 || !(key->rdata[1] & DANE_KEY_SEP) || out->n == DANE_ZONEKEYS_MAX ||
		!ds_of(set->owner, key->rdata, key->len, &k->ds))
		return;
	k->revoked = key->rdata[1] & DANE_KEY_REVOKE;
	k->self_signed = signs(key, set, sigs, now, &sig);
	out->n++;
	if (!k->self_signed || k->revoked || out->proved || !is_anchor(dane, set->owner, key))
		return;
	out->proved = true;
	out->ttl_s = sig.original_ttl;
	out->sig_s = sig.expires - (uint32_t)now;
}

enum rc dane_keyset(struct dane *dane, const char *zone, struct dane_keyset *out, struct diag *d)
{
	uint64_t deadline_ms = dane->clock->monotonic_ms(dane->clock) + dane->timeout_ms;
	struct dane_msg *msg = NULL;
	struct dane_set set, sigs;
	struct dane_name name;
	enum rc rc = dane__name_parse(zone, &name);

	if (rc != RC_OK)
		return diag_set(d, rc, "%s: not a zone's name", zone);
	rc = dane__ask(dane, &name, DANE_TYPE_DNSKEY, deadline_ms, &msg, d);
	if (rc != RC_OK)
		return rc;
	memset(out, 0, sizeof(*out));
	dane__collect(msg, &name, DANE_TYPE_DNSKEY, false, &set);
	dane__collect(msg, &name, DANE_TYPE_RRSIG, false, &sigs);
	for (size_t i = 0; i < set.n; i++)
		look_at(dane, &set, &sigs, set.recs[i], out);
	dane__msg_free(msg);
	return set.n ? RC_OK : diag_set(d, RC_NOT_FOUND, "%s: the answer holds no keys", zone);
}
