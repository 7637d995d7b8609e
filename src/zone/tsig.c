/* SPDX-License-Identifier: Apache-2.0 */
#include "zone/tsig.h"

#include "base/put.h"
#include "base/secret.h"
#include "base/str.h"
#include "zone/rec.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILE_MAX   16384u
#define HEADER_LEN 12u
#define TIMERS_MAX (2u * ZONE_NAME_MAX + 32u)
#define NAME_TEXT  254u

static const uint8_t algorithm[] = "\013hmac-sha256"; /* with the root label */

struct tsig_key {
	char text[NAME_TEXT];
	struct zone_name name; /* lower case */
	uint8_t secret[TSIG_SECRET_MAX];
	size_t len;
};

struct tsig_keys {
	unsigned count;
	struct tsig_key key[TSIG_KEYS_MAX];
};

/* ---- the file */

/* Errors name the rule, never the text: fields in the wrong order are a secret in a name's place.
 */
static enum rc read_line(struct tsig_keys *keys, char *line, struct diag *d)
{
	struct tsig_key *k = &keys->key[keys->count];
	char *save = NULL;
	const char *alg = strtok_r(line, ":", &save);
	const char *name = strtok_r(NULL, ":", &save);
	const char *secret = strtok_r(NULL, ":", &save);

	if (!alg || strcmp(alg, "hmac-sha256") != 0 || !name || !secret)
		return diag_set(d, RC_MALFORMED, "not hmac-sha256:NAME:BASE64");
	if (keys->count == TSIG_KEYS_MAX)
		return diag_set(d, RC_TOO_LARGE, "more than %u keys", TSIG_KEYS_MAX);
	if (zone_name_from_text(name, &k->name) != RC_OK ||
		str_copy(k->text, sizeof(k->text), name) != RC_OK)
		return diag_set(d, RC_MALFORMED, "NAME is not a domain name");
	zone_name_lower(&k->name);
	if (b64_read(secret, strlen(secret), k->secret, sizeof(k->secret), &k->len) != RC_OK ||
		k->len < TSIG_SECRET_MIN)
		return diag_set(d, RC_MALFORMED, "BASE64 is not %u to %u octets", TSIG_SECRET_MIN,
			TSIG_SECRET_MAX);
	keys->count++;
	return RC_OK;
}

enum rc tsig_keys_parse(const char *text, struct tsig_keys **out, struct diag *d)
{
	struct tsig_keys *keys = calloc(1, sizeof(*keys));
	char *copy = strdup(text);
	char *save = NULL;
	unsigned n = 0;
	enum rc rc = keys && copy ? RC_OK : RC_NOMEM;

	for (char *line = copy ? strtok_r(copy, "\r\n", &save) : NULL; line && rc == RC_OK;
		line = strtok_r(NULL, "\r\n", &save)) {
		char where[48];

		n++;
		if (line[0] == '#')
			continue;
		rc = read_line(keys, line, d);
		(void)!str_format(where, sizeof(where), "line %u (not counting empty ones)", n);
		if (rc != RC_OK)
			diag_prefix(d, where);
	}
	if (copy)
		mem_wipe(copy, strlen(text));
	free(copy);
	if (rc != RC_OK) {
		tsig_keys_free(keys);
		return rc;
	}
	*out = keys;
	return RC_OK;
}

enum rc tsig_keys_read(const char *path, struct tsig_keys **out, struct diag *d)
{
	char *text = calloc(1, FILE_MAX + 1);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct stat st;
	enum rc rc = RC_OK;
	ssize_t n = -1;

	if (!text)
		rc = RC_NOMEM;
	else if (fd < 0 || fstat(fd, &st) != 0 || (n = read(fd, text, FILE_MAX)) < 0)
		rc = diag_errno(d, errno == ENOENT ? RC_NOT_FOUND : RC_IO, "%s", path);
	else if (st.st_mode & 07)
		rc = diag_set(d, RC_DENIED, "%s: others may read it", path);
	else if ((size_t)n == FILE_MAX)
		rc = diag_set(d, RC_TOO_LARGE, "%s", path);
	if (rc == RC_OK) {
		rc = tsig_keys_parse(text, out, d);
		if (rc != RC_OK)
			diag_prefix(d, path);
	}
	if (text)
		mem_wipe(text, FILE_MAX);
	free(text);
	if (fd >= 0)
		close(fd);
	return rc;
}

void tsig_keys_free(struct tsig_keys *keys)
{
	if (keys)
		mem_wipe(keys, sizeof(*keys));
	free(keys);
}

const struct tsig_key *tsig_key_find(const struct tsig_keys *keys, const char *name)
{
	for (unsigned i = 0; keys && i < keys->count; i++)
		if (strcasecmp(keys->key[i].text, name) == 0)
			return &keys->key[i];
	return NULL;
}

static const struct tsig_key *find_wire(const struct tsig_keys *keys, const struct zone_name *name)
{
	struct zone_name lower = *name;

	zone_name_lower(&lower);
	for (unsigned i = 0; keys && i < keys->count; i++) {
		const struct zone_name *have = &keys->key[i].name;

		if (have->len == lower.len && memcmp(have->wire, lower.wire, lower.len) == 0)
			return &keys->key[i];
	}
	return NULL;
}

/* ---- MAC */

struct record {
	struct zone_name name;
	struct zone_name algorithm;
	uint64_t time;
	uint16_t fudge;
	const uint8_t *mac;
	uint16_t mac_len;
	uint16_t orig_id;
	uint16_t error;
	const uint8_t *other;
	uint16_t other_len;
};

/* RFC 8945 section 4.2; the owner of a TSIG record is never compressed by those who follow it. */
static enum rc read_record(const uint8_t *wire, size_t len, size_t at, struct record *out)
{
	struct cur c = cur_init(wire + at, len - at);
	struct cur rdata;
	uint16_t class;
	uint32_t ttl;

	if (zone_name_parse(&c, &out->name) != RC_OK || cur_u16(&c) != RR_TSIG)
		return RC_MALFORMED;
	class = cur_u16(&c);
	ttl = cur_u32(&c);
	rdata = cur_take(&c, cur_u16(&c));
	if (!cur_done(&c) || class != RR_CLASS_ANY || ttl != 0 ||
		zone_name_parse(&rdata, &out->algorithm) != RC_OK)
		return RC_MALFORMED;
	out->time = (uint64_t)cur_u16(&rdata) << 32;
	out->time |= cur_u32(&rdata);
	out->fudge = cur_u16(&rdata);
	out->mac_len = cur_u16(&rdata);
	out->mac = cur_bytes(&rdata, out->mac_len);
	out->orig_id = cur_u16(&rdata);
	out->error = cur_u16(&rdata);
	out->other_len = cur_u16(&rdata);
	out->other = cur_bytes(&rdata, out->other_len);
	return cur_done(&rdata) ? RC_OK : RC_MALFORMED;
}

/* What is signed beside the message (RFC 8945 section 4.3.3): all variables, or only the timers in
 * a message that continues an answer. */
static size_t variables(const struct tsig *t, uint64_t time, uint16_t fudge, uint16_t error,
	const uint8_t *other, uint16_t other_len, uint8_t out[TIMERS_MAX])
{
	struct put p = put_init(out, TIMERS_MAX);
	struct zone_name name = t->name;
	struct zone_name alg = t->algorithm;

	if (!t->chained) {
		zone_name_lower(&name);
		zone_name_lower(&alg);
		put_bytes(&p, name.wire, name.len);
		put_u16(&p, RR_CLASS_ANY);
		put_u32(&p, 0);
		put_bytes(&p, alg.wire, alg.len);
	}
	put_u16(&p, (uint16_t)(time >> 32));
	put_u32(&p, (uint32_t)time);
	put_u16(&p, fudge);
	if (!t->chained) {
		put_u16(&p, error);
		put_u16(&p, other_len);
		put_bytes(&p, other, other_len);
	}
	return p.len;
}

static bool mac_of(const struct tsig *t, const uint8_t *msg, size_t len, const uint8_t *vars,
	size_t vars_len, uint8_t out[TSIG_MAC_LEN])
{
	size_t prior = t->have_mac ? 2u + TSIG_MAC_LEN : 0;
	uint8_t *all = malloc(prior + len + vars_len);
	unsigned n = 0;

	if (!all)
		return false;
	if (prior) {
		rec_put16(all, TSIG_MAC_LEN);
		memcpy(all + 2, t->mac, TSIG_MAC_LEN);
	}
	memcpy(all + prior, msg, len);
	memcpy(all + prior + len, vars, vars_len);
	if (!HMAC(EVP_sha256(), t->key->secret, (int)t->key->len, all, prior + len + vars_len, out,
		    &n))
		n = 0;
	free(all);
	return n == TSIG_MAC_LEN;
}

/* `before`: what precedes the message under the same signature. */
static bool good_mac(struct tsig *t, const struct tsig_unsigned *before, const uint8_t *wire,
	size_t at, const struct record *r, uint8_t *mac)
{
	size_t prior = before ? before->len : 0;
	uint8_t vars[TIMERS_MAX];
	uint8_t *all, *msg;
	size_t n;
	bool good;

	/* RFC 8945 section 5.2.2.1: no shorter MAC than we send. */
	if (r->mac_len != TSIG_MAC_LEN || r->other_len > 6)
		return false;
	n = variables(t, r->time, r->fudge, r->error, r->other, r->other_len, vars);
	all = malloc(prior + at);
	if (!all)
		return false;
	if (prior)
		memcpy(all, before->bytes, prior);
	msg = all + prior;
	memcpy(msg, wire, at);
	rec_put16(msg, r->orig_id);
	rec_put16(msg + 10, (uint16_t)(rec_get16(msg + 10) - 1));
	good = mac_of(t, all, prior + at, vars, n, mac) && mem_equal_ct(mac, r->mac, TSIG_MAC_LEN);
	free(all);
	return good;
}

static bool in_time(const struct record *r, int64_t now)
{
	uint64_t n = (uint64_t)now;

	return n + r->fudge >= r->time && n <= r->time + r->fudge;
}

static bool is_sha256(const struct zone_name *alg)
{
	struct zone_name lower = *alg;

	zone_name_lower(&lower);
	return lower.len == sizeof(algorithm) && memcmp(lower.wire, algorithm, lower.len) == 0;
}

enum rc tsig_verify(const struct tsig_keys *keys, const uint8_t *wire, size_t len, size_t at,
	int64_t now, struct tsig *out)
{
	struct tsig t = { .error = TSIG_GOOD };
	struct record r;
	enum rc rc = at < HEADER_LEN || at >= len ? RC_MALFORMED : read_record(wire, len, at, &r);

	if (rc != RC_OK)
		return rc;
	t.name = r.name;
	t.algorithm = r.algorithm;
	t.orig_id = r.orig_id;
	t.time = r.time;
	t.key = is_sha256(&r.algorithm) ? find_wire(keys, &r.name) : NULL;
	if (!t.key) {
		t.error = TSIG_BADKEY;
	} else if (!good_mac(&t, NULL, wire, at, &r, t.mac)) {
		t.error = TSIG_BADSIG;
		t.key = NULL;
	} else {
		t.have_mac = true;
		if (!in_time(&r, now))
			t.error = TSIG_BADTIME;
	}
	*out = t;
	return RC_OK;
}

void tsig_start(struct tsig *t, const struct tsig_key *key, uint16_t id)
{
	*t = (struct tsig){ .key = key, .name = key->name, .orig_id = id };
	memcpy(t->algorithm.wire, algorithm, sizeof(algorithm));
	t->algorithm.len = sizeof(algorithm);
}

size_t tsig_sign(struct tsig *t, uint8_t *msg, size_t len, int64_t now)
{
	bool late = t->error == TSIG_BADTIME;
	/* With BADTIME the client's own time is said back, and ours beside it (section 5.2.3). */
	uint64_t time = late ? t->time : (uint64_t)now;
	uint16_t other_len = late ? 6 : 0;
	uint8_t other[6] = { 0 };
	uint8_t vars[TIMERS_MAX];
	uint8_t mac[TSIG_MAC_LEN];
	uint16_t mac_len = t->key ? TSIG_MAC_LEN : 0;
	struct put p = put_init(msg + len, TSIG_ROOM);

	rec_put16(other, (uint16_t)((uint64_t)now >> 32));
	rec_put32(other + 2, (uint32_t)now);
	if (t->key) {
		size_t n = variables(t, time, TSIG_FUDGE_S, t->error, other, other_len, vars);

		if (!mac_of(t, msg, len, vars, n, mac))
			return len;
		memcpy(t->mac, mac, TSIG_MAC_LEN);
		t->have_mac = true;
		t->chained = true;
	}
	put_bytes(&p, t->name.wire, t->name.len);
	put_u16(&p, RR_TSIG);
	put_u16(&p, RR_CLASS_ANY);
	put_u32(&p, 0);
	put_u16(&p, (uint16_t)(t->algorithm.len + 16u + mac_len + other_len));
	put_bytes(&p, t->algorithm.wire, t->algorithm.len);
	put_u16(&p, (uint16_t)(time >> 32));
	put_u32(&p, (uint32_t)time);
	put_u16(&p, TSIG_FUDGE_S);
	put_u16(&p, mac_len);
	put_bytes(&p, mac, mac_len);
	put_u16(&p, t->orig_id);
	put_u16(&p, t->error);
	put_u16(&p, other_len);
	put_bytes(&p, other, other_len);
	if (!put_ok(&p))
		return len;
	rec_put16(msg + 10, (uint16_t)(rec_get16(msg + 10) + 1));
	return len + p.len;
}

enum rc tsig_verify_answer(struct tsig *t, const uint8_t *wire, size_t len, size_t at, int64_t now)
{
	struct record r;
	uint8_t mac[TSIG_MAC_LEN];

	t->chained = false;
	if (at < HEADER_LEN || at >= len || read_record(wire, len, at, &r) != RC_OK ||
		r.name.len != t->name.len || r.error != 0 ||
		!good_mac(t, NULL, wire, at, &r, mac) || !in_time(&r, now))
		return RC_DENIED;
	return RC_OK;
}

static enum rc keep_unsigned(struct tsig_unsigned *u, const uint8_t *wire, size_t len)
{
	uint8_t *bytes;

	if (u->count == TSIG_UNSIGNED_MAX)
		return RC_DENIED;
	bytes = realloc(u->bytes, u->len + len);
	if (!bytes)
		return RC_NOMEM;
	memcpy(bytes + u->len, wire, len);
	u->bytes = bytes;
	u->len += len;
	u->count++;
	return RC_OK;
}

enum rc tsig_verify_next(struct tsig *t, struct tsig_unsigned *u, const uint8_t *wire, size_t len,
	size_t at, int64_t now)
{
	uint8_t mac[TSIG_MAC_LEN];
	struct record r;

	if (at == 0)
		return t->chained ? keep_unsigned(u, wire, len) : RC_DENIED;
	if (at < HEADER_LEN || at >= len || read_record(wire, len, at, &r) != RC_OK ||
		r.name.len != t->name.len || r.error != 0 || !good_mac(t, u, wire, at, &r, mac) ||
		!in_time(&r, now))
		return RC_DENIED;
	memcpy(t->mac, mac, sizeof(mac));
	t->have_mac = true;
	t->chained = true;
	u->count = 0;
	u->len = 0;
	return RC_OK;
}

void tsig_unsigned_free(struct tsig_unsigned *u)
{
	free(u->bytes);
	*u = (struct tsig_unsigned){ 0 };
}
