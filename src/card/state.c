/* SPDX-License-Identifier: Apache-2.0 */
#include "card/internal.h"

#include "base/cbor.h"
#include "base/file.h"

#include <stdlib.h>
#include <string.h>

/* The state on disk: one deterministic CBOR map
 *	{ 1: version, 2: ICCID, 3: counter, 4: slots, 5: [[id, kind]] of further containers,
 *	  6: [[id, bytes]] of files, 7: transfer buffer, 8: null / [id, sha256, shadow],
 *	  9: sealed keys }
 * 9 = iv (12) | AES-256-GCM([[id, algorithm, blocked, private part]]) | tag (16), with all bytes of
 * the file before its value's head as additional data. Volatile keys are not in it: a power cut
 * takes them, as on a real card. */
#define VERSION	  2
#define STATE_MAX (CARD_STORE_MAX + STATE_OVER)
#define STATE_OVER                                                                    \
	65536u /* heads, and keys: 256 of at most 1,220 bytes are never there at once \
		*/
#define KEYS_MAX 32768u

enum {
	K_VERSION = 1,
	K_ICCID,
	K_COUNTER,
	K_SLOTS,
	K_EXTRA,
	K_FILES,
	K_TRANSFER,
	K_WRITE,
	K_KEYS,
	K_COUNT
};

void card__file_drop(struct card__file *file)
{
	free(file->bytes);
	*file = (struct card__file){ 0 };
}

enum rc card__file_set(struct card__file *file, const void *bytes, size_t len)
{
	uint8_t *copy = malloc(len > 0 ? len : 1);

	if (!copy)
		return RC_NOMEM;
	if (len > 0)
		memcpy(copy, bytes, len);
	free(file->bytes);
	*file = (struct card__file){ .bytes = copy, .len = len };
	return RC_OK;
}

void card__state_wipe(struct card__state *state)
{
	for (unsigned i = 0; i < 256; i++) {
		card__key_drop(state, (uint8_t)i);
		card__file_drop(&state->files[i]);
	}
	card__file_drop(&state->transfer);
	card__file_drop(&state->write.shadow);
	memset(state, 0, sizeof(*state));
}

size_t card__used(const struct card__state *state)
{
	size_t sum = state->transfer.len + state->write.shadow.len;

	for (unsigned i = 0; i < 256; i++)
		sum += state->files[i].len;
	return sum;
}

static bool is_kept(const struct card *card, uint8_t id)
{
	const struct card__kind *kind = card__container(card, id);

	return kind && kind->persistent && card->state.keys[id];
}

enum rc card__keys_write(const struct card *card, struct put *p)
{
	uint8_t bytes[CARD__PRIVATE_MAX];
	enum rc rc = RC_OK;
	size_t count = 0;

	for (unsigned i = 0; i < 256; i++)
		count += is_kept(card, (uint8_t)i);
	cbor_put_array(p, count);
	for (unsigned i = 0; i < 256 && rc == RC_OK; i++) {
		const struct card__key *key = card->state.keys[i];
		struct put part = put_init(bytes, sizeof(bytes));

		if (!is_kept(card, (uint8_t)i))
			continue;
		rc = card__key_private(key, &part);
		cbor_put_array(p, 4);
		cbor_put_uint(p, i);
		cbor_put_uint(p, key->alg);
		cbor_put_bool(p, key->blocked);
		cbor_put_bytes(p, bytes, part.len);
	}
	mem_wipe(bytes, sizeof(bytes));
	return rc == RC_OK && !put_ok(p) ? RC_TOO_LARGE : rc;
}

/* The last member: everything before it is bound to it. */
static enum rc write_sealed(const struct card *card, struct put *p)
{
	size_t before = p->len;
	struct secret plain = { 0 };
	uint8_t *sealed = NULL;
	struct put keys;
	enum rc rc = secret_new(&plain, KEYS_MAX);

	if (rc != RC_OK)
		return rc;
	keys = put_init(plain.bytes, plain.len);
	rc = card__keys_write(card, &keys);
	if (rc == RC_OK) {
		sealed = malloc(keys.len + CARD__SEAL_OVER);
		rc = sealed ? card__seal(card, p->buf, before, plain.bytes, keys.len, sealed)
			    : RC_NOMEM;
	}
	if (rc == RC_OK)
		cbor_put_bytes(p, sealed, keys.len + CARD__SEAL_OVER);
	free(sealed);
	secret_free(&plain);
	return rc;
}

static void write_extra(const struct card__state *state, struct put *p)
{
	size_t count = 0;

	for (unsigned i = 0; i < 256; i++)
		count += state->extra[i] != 0;
	cbor_put_array(p, count);
	for (unsigned i = 0; i < 256; i++) {
		if (!state->extra[i])
			continue;
		cbor_put_array(p, 2);
		cbor_put_uint(p, i);
		cbor_put_uint(p, state->extra[i]);
	}
}

static void write_files(const struct card__state *state, struct put *p)
{
	size_t count = 0;

	for (unsigned i = 0; i < 256; i++)
		count += state->files[i].bytes != NULL;
	cbor_put_array(p, count);
	for (unsigned i = 0; i < 256; i++) {
		if (!state->files[i].bytes)
			continue;
		cbor_put_array(p, 2);
		cbor_put_uint(p, i);
		cbor_put_bytes(p, state->files[i].bytes, state->files[i].len);
	}
}

enum rc card__state_write(const struct card *card, struct put *p)
{
	const struct card__state *s = &card->state;
	enum rc rc;

	cbor_put_map(p, K_COUNT - 1);
	cbor_put_int(p, K_VERSION);
	cbor_put_uint(p, VERSION);
	cbor_put_int(p, K_ICCID);
	cbor_put_bytes(p, card->iccid, sizeof(card->iccid));
	cbor_put_int(p, K_COUNTER);
	cbor_put_uint(p, s->counter);
	cbor_put_int(p, K_SLOTS);
	cbor_put_uint(p, s->slots);
	cbor_put_int(p, K_EXTRA);
	write_extra(s, p);
	cbor_put_int(p, K_FILES);
	write_files(s, p);
	cbor_put_int(p, K_TRANSFER);
	cbor_put_bytes(p, s->transfer.bytes, s->transfer.len);
	cbor_put_int(p, K_WRITE);
	if (s->write.open) {
		cbor_put_array(p, 3);
		cbor_put_uint(p, s->write.id);
		cbor_put_bytes(p, s->write.sha256, sizeof(s->write.sha256));
		cbor_put_bytes(p, s->write.shadow.bytes, s->write.shadow.len);
	} else {
		cbor_put_null(p);
	}
	cbor_put_int(p, K_KEYS);
	if (!put_ok(p))
		return RC_TOO_LARGE;
	rc = write_sealed(card, p);
	return rc == RC_OK && !put_ok(p) ? RC_TOO_LARGE : rc;
}

enum rc card__keys_parse(struct cur c, struct card__state *s)
{
	size_t count = cbor_array(&c);

	for (size_t i = 0; i < count; i++) {
		size_t members = cbor_array(&c);
		uint64_t id = cbor_uint(&c), alg = cbor_uint(&c);
		bool blocked = cbor_bool(&c);
		struct cur bytes = cbor_bytes(&c);
		enum rc rc;

		if (c.bad || members != 4 || id > 255 || alg > ALG_SECRET ||
			bytes.left > CARD__PRIVATE_MAX)
			return RC_MALFORMED;
		rc = card__key_from_private(
			s, (uint8_t)id, (enum card__alg)alg, bytes.at, bytes.left);
		if (rc != RC_OK)
			return rc;
		s->keys[id]->blocked = blocked;
	}
	return cur_done(&c) ? RC_OK : RC_MALFORMED;
}

static enum rc parse_sealed(
	const struct card *card, const uint8_t *whole, struct cur *c, struct card__state *s)
{
	size_t before = (size_t)(c->at - whole);
	struct cur sealed = cbor_bytes(c);
	struct secret plain = { 0 };
	enum rc rc;

	if (c->bad || sealed.left < CARD__SEAL_OVER || sealed.left > KEYS_MAX + CARD__SEAL_OVER)
		return RC_MALFORMED;
	rc = secret_new(&plain, sealed.left);
	if (rc == RC_OK)
		rc = card__unseal(card, whole, before, sealed, plain.bytes);
	if (rc == RC_OK)
		rc = card__keys_parse(cur_init(plain.bytes, sealed.left - CARD__SEAL_OVER), s);
	secret_free(&plain);
	return rc;
}

static enum rc parse_extra(struct cur *c, struct card__state *s)
{
	size_t count = cbor_array(c);

	for (size_t i = 0; i < count; i++) {
		size_t members = cbor_array(c);
		uint64_t id = cbor_uint(c), kind = cbor_uint(c);

		if (c->bad || members != 2 || id < CARD_EXTRA_MIN || id > CARD_EXTRA_MAX ||
			kind < N_EXTRA_P256 || kind > N_EXTRA_FILE)
			return RC_MALFORMED;
		s->extra[id] = (uint8_t)kind;
	}
	return RC_OK;
}

static enum rc parse_files(struct cur *c, struct card__state *s)
{
	size_t count = cbor_array(c);

	for (size_t i = 0; i < count; i++) {
		size_t members = cbor_array(c);
		uint64_t id = cbor_uint(c);
		struct cur bytes = cbor_bytes(c);
		enum rc rc;

		if (c->bad || members != 2 || id > 255 || bytes.left > CARD_FILE_MAX)
			return RC_MALFORMED;
		rc = card__file_set(&s->files[id], bytes.at, bytes.left);
		if (rc != RC_OK)
			return rc;
	}
	return RC_OK;
}

static enum rc parse_write(struct cur *c, struct card__write *w)
{
	size_t members;
	struct cur sha, bytes;
	uint64_t id;

	if (cbor_null(c))
		return RC_OK;
	members = cbor_array(c);
	id = cbor_uint(c);
	sha = cbor_bytes(c);
	bytes = cbor_bytes(c);
	if (c->bad || members != 3 || id > 255 || sha.left != sizeof(w->sha256) ||
		bytes.left > CARD_FILE_MAX)
		return RC_MALFORMED;
	w->open = true;
	w->id = (uint8_t)id;
	cur_copy(&sha, w->sha256, sizeof(w->sha256));
	return card__file_set(&w->shadow, bytes.at, bytes.left);
}

static enum rc parse_member(const struct card *card, const uint8_t *whole, struct cur *c,
	int64_t key, struct card__state *s)
{
	struct cur bytes;

	switch (key) {
	case K_VERSION: return cbor_uint(c) == VERSION ? RC_OK : RC_UNSUPPORTED;
	case K_ICCID:
		bytes = cbor_bytes(c);
		if (bytes.left != IDENT_ICCID_LEN)
			return RC_MALFORMED;
		return memcmp(bytes.at, card->iccid, bytes.left) == 0 ? RC_OK : RC_CONFLICT;
	case K_COUNTER: s->counter = cbor_uint(c); return RC_OK;
	case K_SLOTS: s->slots = (uint16_t)(cbor_uint(c) & 0x3fe); return RC_OK;
	case K_EXTRA: return parse_extra(c, s);
	case K_KEYS: return parse_sealed(card, whole, c, s);
	case K_FILES: return parse_files(c, s);
	case K_TRANSFER:
		bytes = cbor_bytes(c);
		if (bytes.left == 0)
			return RC_OK;
		return card__file_set(&s->transfer, bytes.at, bytes.left);
	case K_WRITE: return parse_write(c, &s->write);
	default: return RC_UNSUPPORTED;
	}
}

enum rc card__state_parse(
	const struct card *card, const uint8_t *bytes, size_t len, struct card__state *out)
{
	struct cur c = cur_init(bytes, len);
	struct cbor_keys keys = { 0 };
	struct card__state s = { 0 };
	size_t pairs = cbor_map(&c);
	enum rc rc = pairs == K_COUNT - 1 ? RC_OK : RC_MALFORMED;

	for (size_t i = 0; i < pairs && rc == RC_OK && !c.bad; i++)
		rc = parse_member(card, bytes, &c, cbor_key(&c, &keys), &s);
	if (rc == RC_OK && (!cur_done(&c) || s.counter > SCP80_COUNTER_MAX))
		rc = RC_MALFORMED;
	if (rc != RC_OK) {
		card__state_wipe(&s);
		return rc;
	}
	*out = s;
	return RC_OK;
}

static const char *load_fault(enum rc rc)
{
	if (rc == RC_CONFLICT)
		return "the state of another card";
	return rc == RC_SIGNATURE ? "sealed by another key, or damaged" : "damaged state";
}

enum rc card__load(struct card *card, bool *blank, struct diag *d)
{
	struct secret bytes = { 0 };
	struct card__state state;
	enum rc rc;

	rc = secret_read_file(&bytes, card->state_path, STATE_MAX);
	if (rc == RC_NOT_FOUND) {
		*blank = true;
		return RC_OK;
	}
	if (rc != RC_OK)
		return diag_set(d, rc, "%s: cannot read the card's state (0600?): %s",
			card->state_path, rc_text(rc));
	rc = card__state_parse(card, bytes.bytes, bytes.len, &state);
	secret_free(&bytes);
	if (rc != RC_OK)
		return diag_set(d, rc, "%s: %s", card->state_path, load_fault(rc));
	card__state_wipe(&card->state);
	card->state = state;
	*blank = false;
	return RC_OK;
}

enum rc card_save(struct card *card, struct diag *d)
{
	struct secret bytes = { 0 };
	struct put p;
	enum rc rc;

	if (!card->state_path)
		return RC_OK;
	rc = secret_new(&bytes, card__used(&card->state) + STATE_OVER);
	if (rc != RC_OK)
		return rc;
	p = put_init(bytes.bytes, bytes.len);
	rc = card__state_write(card, &p);
	if (rc == RC_OK)
		rc = file_write_atomic(card->state_path, bytes.bytes, p.len, 0600, d);
	secret_free(&bytes);
	return rc;
}
