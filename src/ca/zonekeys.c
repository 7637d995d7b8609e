/* SPDX-License-Identifier: Apache-2.0 */
#include "base/compiler.h"
#include "base/file.h"
#include "base/str.h"
#include "ca/zonekeys__.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define TEXT_MAX CA__ZONE_KEYS_TEXT_MAX

static enum rc path_of(char path[PATH_MAX], const char *folder, const char *file, struct diag *d)
{
	enum rc rc = str_format(path, PATH_MAX, "%s/%s", folder, file);

	return rc == RC_OK ? rc : diag_set(d, rc, "%s: path too long", folder);
}

/* The set of that type as zone will ask to have it signed. */
static enum rc is_presigned(
	const struct ca_zone_keys *s, uint16_t type, int64_t now, struct diag *d)
{
	struct ca_presigned_set set = { .type = type };
	struct ca_bytes rdata[CA_PRESIGNED_RDATA];
	struct ca_rrset r = { .type = type, .rdata = rdata, .alg = s->zone.alg };
	enum rc rc = RC_OK;

	for (size_t i = 0; rc == RC_OK && i < s->count; i++) {
		const struct ca_zone_key *k = &s->key[i];
		uint8_t ds[4 + CA_SHA256_LEN] = { (uint8_t)(k->pub.tag >> 8), (uint8_t)k->pub.tag,
			(uint8_t)ca_alg_number(k->key.alg), 2 };

		memcpy(ds + 4, k->pub.ds_sha256, CA_SHA256_LEN);
		if (type == CA_RR_CDS && ca_zone_key_in_cds(s, k))
			rc = ca_presigned_add_rdata(&set, ds, sizeof(ds));
		else if (type == CA_RR_DNSKEY ||
			 (type == CA_RR_CDNSKEY && ca_zone_key_in_cds(s, k)))
			rc = ca_presigned_add_rdata(&set, k->pub.rdata, k->pub.rdata_len);
	}
	for (size_t i = 0; i < set.count; i++)
		rdata[i] = (struct ca_bytes){ set.rdata[i].at, set.rdata[i].len };
	r.rdata_count = set.count;
	r.ttl = s->presigned ? s->presigned->ttl : 0;
	if (rc == RC_OK && !ca_presigned_find(s->presigned, &r, now))
		rc = diag_set(d, RC_STATE,
			"zone: the KSK is off-line and no pre-signed set (type %u) holds what this "
			"step would publish: attestry zone offline-request",
			type);
	return rc;
}

/* With an off-line KSK no step is taken whose result nobody has signed: the zone would stand still.
 */
static enum rc check_presigned(const struct ca_zone_keys *s, int64_t now, struct diag *d)
{
	enum rc rc = RC_OK;

	if (!ca_zone_keys_offline(s))
		return RC_OK;
	rc = is_presigned(s, CA_RR_DNSKEY, now, d);
	if (rc == RC_OK)
		rc = is_presigned(s, CA_RR_CDS, now, d);
	return rc == RC_OK ? is_presigned(s, CA_RR_CDNSKEY, now, d) : rc;
}

enum rc ca__zone_keys_save(const struct ca_zone_keys *s, const char *folder, struct diag *d)
{
	char path[PATH_MAX], text[TEXT_MAX];
	enum rc rc = path_of(path, folder, "zone-keys", d);

	if (rc == RC_OK)
		rc = ca__zone_keys_text(s, text);
	return rc == RC_OK ? file_write_atomic(path, text, strlen(text), 0600, d) : rc;
}

/* ---- the set ---- */

struct ca_zone_keys *ca_zone_keys_ref(struct ca_zone_keys *keys)
{
	keys->refs++;
	return keys;
}

void ca_zone_keys_unref(struct ca_zone_keys *keys)
{
	if (!keys || --keys->refs > 0)
		return;
	for (size_t i = 0; i < keys->count; i++)
		ca_dnskey_free(&keys->key[i].key);
	ca_presigned_unref(keys->presigned);
	free(keys);
}

static const struct ca_zone_key *active_of(const struct ca_zone_keys *s, enum ca_alg alg, bool ksk)
{
	for (size_t i = 0; i < s->count; i++)
		if (s->key[i].state == CA_KEY_ACTIVE && s->key[i].key.alg == alg &&
			s->key[i].pub.ksk == ksk)
			return &s->key[i];
	return NULL;
}

/* What validators rely on: the new algorithm from where the parent is asked to drop the old. */
static enum ca_alg main_alg(const struct ca_zone_keys *s)
{
	if (s->roll.phase)
		return s->roll.phase < CA_ALG_WITHDRAWING ? s->roll.from : s->roll.to;
	return active_of(s, CA_P256, true) ? CA_P256 : CA_ED25519;
}

enum rc ca__zone_keys_finish(struct ca_zone_keys *s, const char *zone, struct diag *d)
{
	enum ca_alg alg = main_alg(s);
	const struct ca_zone_key *ksk = active_of(s, alg, true), *zsk = active_of(s, alg, false);
	enum rc rc;

	if (!ksk || !zsk)
		return diag_set(d, RC_MALFORMED,
			"zone-keys: not one active KSK and one active ZSK of one algorithm");
	rc = ca_zone_init_keys(&s->zone, zone, &ksk->key, &zsk->key, d);
	for (size_t i = 0; rc == RC_OK && i < s->count; i++) {
		struct ca_zone_key *k = &s->key[i];

		rc = ca_zone_public_of(
			&k->pub, s->zone.apex, s->zone.apex_len, &k->key, k->pub.ksk, d);
		if (rc != RC_OK || k == ksk || k == zsk)
			continue;
		rc = k->state == CA_KEY_ACTIVE
			     ? ca_zone_add_signer(&s->zone, &k->key, k->pub.ksk, d)
			     : ca_zone_publish(&s->zone, &k->key, k->pub.ksk, d);
	}
	return rc;
}

bool ca_zone_keys_offline(const struct ca_zone_keys *keys)
{
	return keys->zone.sign[keys->zone.alg][true].where == CA_KEY_OFFLINE;
}

static int64_t made_at(const char *folder, const char *file)
{
	char path[PATH_MAX];
	struct stat st;

	if (path_of(path, folder, file, NULL) != RC_OK || stat(path, &st) != 0)
		return 0;
	return (int64_t)st.st_mtime;
}

/* What `attestry init` made: both sign since then. */
static void preset(struct ca_zone_keys *s, const char *folder)
{
	static const char *const files[2] = { "zsk.key", "ksk.key" };

	s->count = 2;
	for (unsigned i = 0; i < 2; i++) {
		struct ca_zone_key *k = &s->key[i];
		int64_t t = made_at(folder, files[i]);

		k->pub.ksk = i == 1;
		k->state = CA_KEY_ACTIVE;
		for (unsigned at = CA_KEY_NONE; at <= CA_KEY_ACTIVE; at++)
			k->times[at] = t;
		memcpy(k->file, files[i], strlen(files[i]) + 1);
	}
}

static enum rc load_presigned(struct ca_zone_keys *s, const char *folder, struct diag *d)
{
	char path[PATH_MAX];
	enum rc rc = path_of(path, folder, CA_PRESIGNED_FILE, d);

	if (rc == RC_OK)
		rc = ca_presigned_load(&s->presigned, path, d);
	return rc == RC_NOT_FOUND ? RC_OK : rc;
}

static enum rc load_keys(struct ca_zone_keys *s, const char *folder, struct diag *d)
{
	char path[PATH_MAX];
	enum rc rc = RC_OK;

	for (size_t i = 0; rc == RC_OK && i < s->count; i++) {
		struct ca_zone_key *k = &s->key[i];

		rc = path_of(path, folder, k->file, d);
		if (rc == RC_OK)
			rc = ca_dnskey_load(&k->key, path, s->token.token, d);
		if (rc == RC_OK && k->key.alg != k->pub.alg)
			rc = diag_set(d, RC_CONFLICT,
				"%s: of another algorithm than zone-keys says", path);
	}
	return rc;
}

enum rc ca_zone_keys_load_with(struct ca_zone_keys **out, const char *folder, const char *zone,
	const struct ca_zone_token *token, struct diag *d)
{
	struct ca_zone_keys *s = calloc(1, sizeof(*s));
	char path[PATH_MAX];
	uint8_t *text = NULL;
	size_t len = 0;
	enum rc rc = s ? path_of(path, folder, "zone-keys", d) : RC_NOMEM;

	if (rc != RC_OK)
		goto out;
	s->refs = 1;
	rc = file_read(path, TEXT_MAX, &text, &len, d);
	if (rc == RC_NOT_FOUND) {
		rc = RC_OK;
		preset(s, folder);
	} else if (rc == RC_OK) {
		rc = strlen((char *)text) == len
			     ? ca_zone_keys_parse(s, (char *)text, d)
			     : diag_set(d, RC_MALFORMED, "%s: holds a NUL", path);
	}
	s->refs = 1;
	if (token)
		s->token = *token;
	if (rc == RC_OK)
		rc = load_keys(s, folder, d);
	if (rc == RC_OK)
		rc = ca__zone_keys_finish(s, zone, d);
	if (rc == RC_OK)
		rc = load_presigned(s, folder, d);
	if (rc == RC_OK) {
		*out = s;
		s = NULL;
	}
out:
	free(text);
	ca_zone_keys_unref(s);
	return rc;
}

enum rc ca_zone_keys_load(
	struct ca_zone_keys **out, const char *folder, const char *zone, struct diag *d)
{
	return ca_zone_keys_load_with(out, folder, zone, NULL, d);
}

struct ca_zone_keys *ca__zone_keys_copy(const struct ca_zone_keys *keys)
{
	struct ca_zone_keys *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	*s = *keys;
	s->refs = 1;
	for (size_t i = 0; i < s->count; i++)
		s->key[i].key = ca_dnskey_ref(&keys->key[i].key);
	if (s->presigned)
		ca_presigned_ref(s->presigned);
	return s;
}

enum rc ca_zone_keys_refresh(struct ca_zone_keys **out, const struct ca_zone_keys *keys,
	const char *folder, struct diag *d)
{
	struct ca_zone_keys *s;
	char path[PATH_MAX];
	enum rc rc = path_of(path, folder, CA_PRESIGNED_FILE, d);

	*out = NULL;
	if (rc != RC_OK || !ca_presigned_changed(keys->presigned, path))
		return rc;
	s = ca__zone_keys_copy(keys);
	if (!s)
		return RC_NOMEM;
	ca_presigned_unref(s->presigned);
	s->presigned = NULL;
	rc = load_presigned(s, folder, d);
	if (rc == RC_OK)
		*out = s;
	else
		ca_zone_keys_unref(s);
	return rc;
}

/* Overwritten before it is unlinked; on a copy-on-write file system only the medium's own
 * erasure helps. */
static void destroy(const char *path)
{
	static const char zeros[1024];
	FILE *f = fopen(path, "r+");

	if (f) {
		(void)fwrite(zeros, 1, sizeof(zeros), f);
		(void)fflush(f);
		(void)fsync(fileno(f));
		fclose(f);
	}
	(void)unlink(path);
}

static bool tag_is_used(const struct ca_zone_keys *s, uint16_t tag)
{
	for (size_t i = 0; i < s->count; i++)
		if (s->key[i].pub.tag == tag)
			return true;
	return false;
}

static enum rc new_key(
	struct ca_zone_key *k, const struct ca_zone_keys *s, enum ca_alg alg, struct diag *d)
{
	struct ca_dnskey key = { .alg = alg, .where = CA_KEY_IN_TOKEN };
	enum rc rc;

	if (!s->token.token || !s->token.makes[k->pub.ksk])
		return ca_dnskey_new(&k->key, alg, d);
	rc = ca_token_make(s->token.token, alg == CA_ED25519,
		k->pub.ksk ? "attestry KSK" : "attestry ZSK", &key.token, key.pub, &key.pub_len, d);
	if (rc == RC_OK)
		k->key = key;
	return rc;
}

/* Validators take keys by tag: two of one tag cost them work (RFC 4034 appendix B), and our
 * records name their key by it. */
static enum rc make_key(
	struct ca_zone_key *k, const struct ca_zone_keys *s, enum ca_alg alg, struct diag *d)
{
	bool ksk = k->pub.ksk;

	for (unsigned i = 0; i < 16; i++) {
		enum rc rc = new_key(k, s, alg, d);

		if (rc == RC_OK)
			rc = ca_zone_public_of(
				&k->pub, s->zone.apex, s->zone.apex_len, &k->key, ksk, d);
		if (rc != RC_OK)
			return rc;
		if (!tag_is_used(s, k->pub.tag))
			return RC_OK;
		if (k->key.where == CA_KEY_IN_TOKEN)
			ca_token_destroy(&k->key.token);
		ca_dnskey_free(&k->key);
	}
	return diag_set(d, RC_CRYPTO, "zone: no key with a tag of its own");
}

enum rc ca_zone_key_new(
	struct ca_dnskey *out, const struct ca_zone_keys *keys, bool ksk, struct diag *d)
{
	struct ca_zone_key k = { .pub.ksk = ksk };
	enum rc rc = make_key(&k, keys, keys->zone.alg, d);

	if (rc == RC_OK)
		*out = k.key;
	return rc;
}

enum rc ca__zone_keys_add(struct ca_zone_keys *s, const char *folder, enum ca_alg alg,
	const struct ca_zone_key *like, struct diag *d)
{
	struct ca_zone_key k = *like;
	char path[PATH_MAX];
	enum rc rc = make_key(&k, s, alg, d);

	if (rc == RC_OK)
		rc = str_format(k.file, sizeof(k.file), "%s-%05u.key", k.pub.ksk ? "ksk" : "zsk",
			k.pub.tag);
	if (rc == RC_OK)
		rc = path_of(path, folder, k.file, d);
	/* A file that no set names: from a run that died before it was saved. */
	if (rc == RC_OK)
		(void)unlink(path);
	if (rc == RC_OK)
		rc = ca_dnskey_store(&k.key, path, d);
	if (rc != RC_OK) {
		ca_dnskey_free(&k.key);
		return rc;
	}
	s->key[s->count++] = k;
	return RC_OK;
}

static enum rc read_waiting(
	struct ca_zone_key *k, const struct ca_zone_keys *s, const char *path, struct diag *d)
{
	enum rc rc;

	if (access(path, F_OK) != 0)
		return RC_NOT_FOUND;
	rc = ca_dnskey_load(&k->key, path, s->token.token, d);
	if (rc == RC_OK)
		rc = ca_zone_public_of(
			&k->pub, s->zone.apex, s->zone.apex_len, &k->key, k->pub.ksk, d);
	if (rc == RC_OK && k->key.alg != s->zone.alg)
		rc = diag_set(d, RC_CONFLICT, "%s: of another algorithm than the zone's", path);
	/* From a run that died after the set was saved: it has a file of its own there. */
	if (rc == RC_OK && tag_is_used(s, k->pub.tag)) {
		(void)unlink(path);
		rc = RC_NOT_FOUND;
	}
	if (rc != RC_OK)
		ca_dnskey_free(&k->key);
	return rc;
}

/* The off-line KSK that was imported, or the first ZSK that was made for pre-signed sets, becomes a
 * key of the set; `from` is the file to forget when that is saved. RC_NOT_FOUND: there is none. */
static enum rc take_waiting(struct ca_zone_keys *s, const char *folder,
	const struct ca_zone_key *like, char from[PATH_MAX], struct diag *d)
{
	struct ca_zone_key k = *like;
	char name[CA_ZONE_KEY_FILE_MAX] = CA_NEXT_KSK, to[PATH_MAX];
	enum rc rc = RC_NOT_FOUND;

	for (unsigned i = 1; rc == RC_NOT_FOUND && i <= (k.pub.ksk ? 1u : CA_SPARE_MAX); i++) {
		rc = k.pub.ksk ? RC_OK : str_format(name, sizeof(name), CA_SPARE_FORM, i);
		if (rc == RC_OK)
			rc = path_of(from, folder, name, d);
		if (rc == RC_OK)
			rc = read_waiting(&k, s, from, d);
	}
	if (rc == RC_OK)
		rc = str_format(k.file, sizeof(k.file), "%s-%05u.key", k.pub.ksk ? "ksk" : "zsk",
			k.pub.tag);
	if (rc == RC_OK)
		rc = path_of(to, folder, k.file, d);
	if (rc == RC_OK)
		(void)unlink(to);
	if (rc == RC_OK)
		rc = ca_dnskey_store(&k.key, to, d);
	if (rc == RC_OK) {
		s->key[s->count++] = k;
		return RC_OK;
	}
	ca_dnskey_free(&k.key);
	from[0] = '\0';
	return rc;
}

static enum rc add_next(struct ca_zone_keys *s, const char *folder, const struct ca_zone_key *like,
	char from[PATH_MAX], struct diag *d)
{
	enum rc rc = take_waiting(s, folder, like, from, d);

	if (rc != RC_NOT_FOUND)
		return rc;
	/* No pre-signed DNSKEY set would hold a ZSK that is made now. */
	if (!like->pub.ksk && ca_zone_keys_offline(s))
		return diag_set(d, RC_STATE,
			"zone: the KSK is off-line and no ZSK is left that its pre-signed sets "
			"hold: "
			"attestry zone offline-request");
	return ca__zone_keys_add(s, folder, s->zone.alg, like, d);
}

enum rc ca_zone_keys_make(struct ca_zone_keys **out, const struct ca_zone_keys *keys,
	const char *folder, const char *zone, bool ksk, bool hold, int64_t now, struct diag *d)
{
	struct ca_zone_key k = { .state = CA_KEY_PUBLISHED, .hold = hold, .times = { now } };
	struct ca_zone_keys *s = NULL;
	char from[PATH_MAX] = "";
	enum rc rc;

	k.pub.ksk = ksk;
	if (keys->roll.phase)
		return diag_set(d, RC_STATE, "zone: an algorithm is being replaced: wait");
	for (size_t i = 0; i < keys->count; i++)
		if (keys->key[i].pub.ksk == ksk && keys->key[i].state < CA_KEY_ACTIVE)
			return diag_set(d, RC_STATE, "zone: the next key is there already");
	if (keys->count == CA_ZONE_KEYS_MAX)
		return diag_set(d, RC_TOO_LARGE, "zone: more than %d keys", CA_ZONE_KEYS_MAX);
	s = ca__zone_keys_copy(keys);
	rc = s ? add_next(s, folder, &k, from, d) : RC_NOMEM;
	if (rc == RC_OK)
		rc = ca__zone_keys_finish(s, zone, d);
	if (rc == RC_OK)
		rc = check_presigned(s, now, d);
	if (rc == RC_OK)
		rc = ca__zone_keys_save(s, folder, d);
	if (rc == RC_OK && from[0])
		destroy(from);
	if (rc == RC_OK)
		*out = s;
	else
		ca_zone_keys_unref(s);
	return rc;
}

static bool may_move(enum ca_zone_key_state from, enum ca_zone_key_state to)
{
	if (from == CA_KEY_PUBLISHED && to == CA_KEY_PUBLISHED)
		return true;
	/* Active to retiring happens by another becoming active. */
	return to == from + 1 && to != CA_KEY_RETIRING;
}

void ca__zone_key_destroy(const struct ca_zone_key *key, const char *folder)
{
	char path[PATH_MAX];

	if (key->key.where == CA_KEY_IN_TOKEN)
		ca_token_destroy(&key->key.token);
	if (path_of(path, folder, key->file, NULL) == RC_OK)
		destroy(path);
}

void ca__zone_keys_drop(struct ca_zone_keys *s, size_t i)
{
	ca_dnskey_free(&s->key[i].key);
	s->count--;
	memmove(&s->key[i], &s->key[i + 1], (s->count - i) * sizeof(s->key[0]));
}

enum rc ca_zone_keys_move(struct ca_zone_keys **out, const struct ca_zone_keys *keys,
	const char *folder, const char *zone, bool ksk, uint16_t tag, enum ca_zone_key_state to,
	int64_t now, struct diag *d)
{
	struct ca_zone_keys *s = ca__zone_keys_copy(keys);
	struct ca_zone_key gone = { 0 };
	size_t at = 0;
	enum rc rc = s ? RC_OK : RC_NOMEM;

	while (rc == RC_OK && at < s->count &&
		(s->key[at].pub.ksk != ksk || s->key[at].pub.tag != tag))
		at++;
	if (rc == RC_OK && at == s->count)
		rc = diag_set(d, RC_NOT_FOUND, "zone: no key %u", tag);
	if (rc == RC_OK && s->roll.phase)
		rc = diag_set(d, RC_STATE, "zone: an algorithm is being replaced: wait");
	if (rc == RC_OK && !may_move(s->key[at].state, to))
		rc = diag_set(d, RC_STATE, "zone: key %u is %s: not to %s", tag,
			ca_zone_key_state_text(s->key[at].state), ca_zone_key_state_text(to));
	if (rc != RC_OK)
		goto out;
	for (size_t i = 0; to == CA_KEY_ACTIVE && i < s->count; i++) {
		struct ca_zone_key *k = &s->key[i];
		if (k->pub.ksk != ksk || k->state != CA_KEY_ACTIVE)
			continue;
		k->state = CA_KEY_RETIRING;
		k->times[CA_KEY_RETIRING] = now;
	}
	s->key[at].state = to;
	s->key[at].times[to] = now;
	if (to == CA_KEY_REMOVED) {
		gone = s->key[at];
		ca__zone_keys_drop(s, at);
	}
	if (rc == RC_OK)
		rc = ca__zone_keys_finish(s, zone, d);
	if (rc == RC_OK)
		rc = check_presigned(s, now, d);
	if (rc == RC_OK)
		rc = ca__zone_keys_save(s, folder, d);
	if (rc == RC_OK && gone.file[0])
		ca__zone_key_destroy(&gone, folder);
	if (rc == RC_OK) {
		*out = s;
		s = NULL;
	}
out:
	ca_zone_keys_unref(s);
	return rc;
}
