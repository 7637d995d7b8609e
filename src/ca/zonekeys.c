/* SPDX-License-Identifier: Apache-2.0 */
#include "ca/zonekeys.h"
#include "base/compiler.h"
#include "base/file.h"
#include "base/str.h"
#include "ca/keyfile.h"

#include <inttypes.h>
#include <limits.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define HEAD	  "attestry-zone-keys 1\n"
#define TEXT_MAX  8192
#define LINE_MAX_ 384

static const char *const state_texts[CA_KEY_STATES] = { "none", "published", "ready", "active",
	"retiring", "retired", "removed" };

const char *ca_zone_key_state_text(enum ca_zone_key_state state)
{
	return (unsigned)state < CA_KEY_STATES ? state_texts[state] : "unknown";
}

/* ---- the file ---- */

static bool file_name_ok(const char *name)
{
	size_t n = strlen(name);

	if (n < 5 || strcmp(name + n - 4, ".key") != 0 || name[0] == '.')
		return false;
	return strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-.") == n;
}

/* "ksk FILE STATE HOLD T0 ... T5" */
static enum rc parse_line(struct ca_zone_key *out, const char *line, struct diag *d)
{
	struct ca_zone_key k = { 0 };
	char kind[4], state[12], hold[8];
	int n = 0;
	int got = sscanf(line,
		"%3s %31s %11s %7s %" SCNd64 " %" SCNd64 " %" SCNd64 " %" SCNd64 " %" SCNd64
		" %" SCNd64 "%n",
		kind, k.file, state, hold, &k.times[0], &k.times[1], &k.times[2], &k.times[3],
		&k.times[4], &k.times[5], &n);

	for (unsigned i = CA_KEY_PUBLISHED; i < CA_KEY_REMOVED && got == 10; i++)
		if (strcmp(state, state_texts[i]) == 0)
			k.state = (enum ca_zone_key_state)i;
	k.pub.ksk = got == 10 && strcmp(kind, "ksk") == 0;
	k.hold = got == 10 && strcmp(hold, "standby") == 0;
	if (got != 10 || line[n] || k.state == CA_KEY_NONE || !file_name_ok(k.file) ||
		(!k.pub.ksk && strcmp(kind, "zsk") != 0) || (!k.hold && strcmp(hold, "-") != 0))
		return diag_set(d, RC_MALFORMED, "zone-keys: not a key's line: %.40s", line);
	*out = k;
	return RC_OK;
}

static enum rc check_set(const struct ca_zone_keys *s, struct diag *d)
{
	unsigned active[2] = { 0, 0 };

	for (size_t i = 0; i < s->count; i++)
		active[s->key[i].pub.ksk] += s->key[i].state == CA_KEY_ACTIVE;
	if (active[0] != 1 || active[1] != 1)
		return diag_set(
			d, RC_MALFORMED, "zone-keys: not one active KSK and one active ZSK");
	return RC_OK;
}

enum rc ca_zone_keys_parse(struct ca_zone_keys *out, const char *text, struct diag *d)
{
	struct ca_zone_keys s = { 0 };
	enum rc rc = RC_OK;

	if (strncmp(text, HEAD, strlen(HEAD)) != 0)
		return diag_set(d, RC_MALFORMED, "zone-keys: not such a file");
	text += strlen(HEAD);
	while (rc == RC_OK && *text) {
		char line[LINE_MAX_];
		size_t n = strcspn(text, "\n");

		if (n >= sizeof(line) || text[n] != '\n' || s.count == CA_ZONE_KEYS_MAX)
			return diag_set(d, RC_MALFORMED, "zone-keys: a line, or their number");
		memcpy(line, text, n);
		line[n] = '\0';
		rc = parse_line(&s.key[s.count++], line, d);
		text += n + 1;
	}
	if (rc == RC_OK)
		rc = check_set(&s, d);
	if (rc == RC_OK)
		*out = s;
	return rc;
}

static enum rc path_of(char path[PATH_MAX], const char *folder, const char *file, struct diag *d)
{
	enum rc rc = str_format(path, PATH_MAX, "%s/%s", folder, file);

	return rc == RC_OK ? rc : diag_set(d, rc, "%s: path too long", folder);
}

static enum rc save(const struct ca_zone_keys *s, const char *folder, struct diag *d)
{
	char path[PATH_MAX], text[TEXT_MAX] = HEAD;
	size_t n = strlen(text);
	enum rc rc = path_of(path, folder, "zone-keys", d);

	for (size_t i = 0; rc == RC_OK && i < s->count; i++) {
		const struct ca_zone_key *k = &s->key[i];
		rc = str_format(text + n, sizeof(text) - n,
			"%s %s %s %s %" PRId64 " %" PRId64 " %" PRId64 " %" PRId64 " %" PRId64
			" %" PRId64 "\n",
			k->pub.ksk ? "ksk" : "zsk", k->file, state_texts[k->state],
			k->hold ? "standby" : "-", k->times[0], k->times[1], k->times[2],
			k->times[3], k->times[4], k->times[5]);
		n += strlen(text + n);
	}
	return rc == RC_OK ? file_write_atomic(path, text, n, 0600, d) : rc;
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
		ca_key_free(&keys->key[i].key);
	free(keys);
}

/* Fills in what follows from the keys themselves. */
static enum rc finish(struct ca_zone_keys *s, const char *zone, struct diag *d)
{
	const struct ca_zone_key *active[2] = { NULL, NULL };
	enum rc rc = RC_OK;

	for (size_t i = 0; i < s->count; i++)
		if (s->key[i].state == CA_KEY_ACTIVE)
			active[s->key[i].pub.ksk] = &s->key[i];
	rc = ca_zone_init(&s->zone, zone, &active[1]->key, &active[0]->key, d);
	for (size_t i = 0; rc == RC_OK && i < s->count; i++) {
		struct ca_zone_key *k = &s->key[i];

		rc = ca_zone_public_of(
			&k->pub, s->zone.apex, s->zone.apex_len, &k->key, k->pub.ksk, d);
		if (rc == RC_OK && k->state != CA_KEY_ACTIVE)
			rc = ca_zone_publish(&s->zone, &k->key, k->pub.ksk, d);
	}
	return rc;
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

enum rc ca_zone_keys_load(
	struct ca_zone_keys **out, const char *folder, const char *zone, struct diag *d)
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
	for (size_t i = 0; rc == RC_OK && i < s->count; i++) {
		rc = path_of(path, folder, s->key[i].file, d);
		if (rc == RC_OK)
			rc = ca_key_load(&s->key[i].key, path, d);
	}
	if (rc == RC_OK)
		rc = finish(s, zone, d);
	if (rc == RC_OK) {
		*out = s;
		s = NULL;
	}
out:
	free(text);
	ca_zone_keys_unref(s);
	return rc;
}

static struct ca_zone_keys *copy_of(const struct ca_zone_keys *keys)
{
	struct ca_zone_keys *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	*s = *keys;
	s->refs = 1;
	for (size_t i = 0; i < s->count; i++)
		EVP_PKEY_up_ref(s->key[i].key.pkey);
	return s;
}

static bool tag_is_used(const struct ca_zone_keys *s, uint16_t tag)
{
	for (size_t i = 0; i < s->count; i++)
		if (s->key[i].pub.tag == tag)
			return true;
	return false;
}

/* Validators take keys by tag: two of one tag cost them work (RFC 4034 appendix B), and our
 * records name their key by it. */
static enum rc make_key(struct ca_zone_key *k, const struct ca_zone_keys *s, struct diag *d)
{
	bool ksk = k->pub.ksk;

	for (unsigned i = 0; i < 16; i++) {
		enum rc rc = ca_key_new(&k->key, d);

		if (rc == RC_OK)
			rc = ca_zone_public_of(
				&k->pub, s->zone.apex, s->zone.apex_len, &k->key, ksk, d);
		if (rc != RC_OK)
			return rc;
		if (!tag_is_used(s, k->pub.tag))
			return RC_OK;
		ca_key_free(&k->key);
		k->key = (struct ca_key){ 0 };
	}
	return diag_set(d, RC_CRYPTO, "zone: no key with a tag of its own");
}

enum rc ca_zone_keys_make(struct ca_zone_keys **out, const struct ca_zone_keys *keys,
	const char *folder, const char *zone, bool ksk, bool hold, int64_t now, struct diag *d)
{
	struct ca_zone_key k = { .state = CA_KEY_PUBLISHED, .hold = hold, .times = { now } };
	struct ca_zone_keys *s = NULL;
	char path[PATH_MAX];
	enum rc rc;

	k.pub.ksk = ksk;
	for (size_t i = 0; i < keys->count; i++)
		if (keys->key[i].pub.ksk == ksk && keys->key[i].state < CA_KEY_ACTIVE)
			return diag_set(d, RC_STATE, "zone: the next key is there already");
	if (keys->count == CA_ZONE_KEYS_MAX)
		return diag_set(d, RC_TOO_LARGE, "zone: more than %d keys", CA_ZONE_KEYS_MAX);
	s = copy_of(keys);
	rc = s ? make_key(&k, keys, d) : RC_NOMEM;
	if (rc != RC_OK)
		goto out;
	s->key[s->count++] = k; /* its key is s's from here on */
	rc = str_format(s->key[s->count - 1].file, sizeof(k.file), "%s-%05u.key",
		ksk ? "ksk" : "zsk", k.pub.tag);
	if (rc == RC_OK)
		rc = path_of(path, folder, s->key[s->count - 1].file, d);
	/* A file that no set names: from a run that died before it was saved. */
	if (rc == RC_OK)
		(void)unlink(path);
	if (rc == RC_OK)
		rc = ca_key_store(&k.key, path, d);
	if (rc == RC_OK)
		rc = finish(s, zone, d);
	if (rc == RC_OK)
		rc = save(s, folder, d);
	if (rc == RC_OK) {
		*out = s;
		s = NULL;
	}
out:
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

static bool may_move(enum ca_zone_key_state from, enum ca_zone_key_state to)
{
	if (from == CA_KEY_PUBLISHED && to == CA_KEY_PUBLISHED)
		return true;
	/* Active to retiring happens by another becoming active. */
	return to == from + 1 && to != CA_KEY_RETIRING;
}

static void drop(struct ca_zone_keys *s, size_t i)
{
	ca_key_free(&s->key[i].key);
	s->count--;
	memmove(&s->key[i], &s->key[i + 1], (s->count - i) * sizeof(s->key[0]));
}

enum rc ca_zone_keys_move(struct ca_zone_keys **out, const struct ca_zone_keys *keys,
	const char *folder, const char *zone, bool ksk, uint16_t tag, enum ca_zone_key_state to,
	int64_t now, struct diag *d)
{
	struct ca_zone_keys *s = copy_of(keys);
	char gone[PATH_MAX] = "";
	size_t at = 0;
	enum rc rc = s ? RC_OK : RC_NOMEM;

	while (rc == RC_OK && at < s->count &&
		(s->key[at].pub.ksk != ksk || s->key[at].pub.tag != tag))
		at++;
	if (rc == RC_OK && at == s->count)
		rc = diag_set(d, RC_NOT_FOUND, "zone: no key %u", tag);
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
		rc = path_of(gone, folder, s->key[at].file, d);
		drop(s, at);
	}
	if (rc == RC_OK)
		rc = finish(s, zone, d);
	if (rc == RC_OK)
		rc = save(s, folder, d);
	if (rc == RC_OK && gone[0])
		destroy(gone);
	if (rc == RC_OK) {
		*out = s;
		s = NULL;
	}
out:
	ca_zone_keys_unref(s);
	return rc;
}
