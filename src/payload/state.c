/* SPDX-License-Identifier: Apache-2.0 */
#include "base/cbor.h"
#include "base/file.h"
#include "payload/accept.h"

#include <stdlib.h>
#include <string.h>

/* The file is read and written by this device only; a torn or foreign one is refused rather than
 * taken for an empty state, because an empty state accepts any sequence. */
enum { STATE_FLOOR = 1, STATE_SEQUENCE = 2, STATE_HASH = 3, STATE_SIGNER = 4, STATE_NEXT = 5 };

enum rc payload_state_write(const struct payload_state *s, struct put *out)
{
	cbor_put_map(out, s->any ? 5 : 1);
	cbor_put_uint(out, STATE_FLOOR);
	cbor_put_uint(out, s->floor);
	if (s->any) {
		cbor_put_uint(out, STATE_SEQUENCE);
		cbor_put_uint(out, s->sequence);
		cbor_put_uint(out, STATE_HASH);
		cbor_put_bytes(out, s->hash, sizeof(s->hash));
		cbor_put_uint(out, STATE_SIGNER);
		cbor_put_bytes(out, s->signer, sizeof(s->signer));
		cbor_put_uint(out, STATE_NEXT);
		cbor_put_array(out, s->next_len);
		for (size_t i = 0; i < s->next_len; i++)
			cbor_put_bytes(out, s->next[i], sizeof(s->next[i]));
	}
	return put_ok(out) ? RC_OK : RC_TOO_LARGE;
}

static void expect_key(struct cur *c, uint64_t key)
{
	if (cbor_uint(c) != key)
		cur_fail(c);
}

static void take_hash(struct cur *c, uint8_t out[PAYLOAD_HASH_LEN])
{
	struct cur b = cbor_bytes(c);

	if (b.left != PAYLOAD_HASH_LEN)
		cur_fail(c);
	cur_copy(&b, out, PAYLOAD_HASH_LEN);
}

enum rc payload_state_parse(
	const uint8_t *bytes, size_t len, struct payload_state *out, struct diag *d)
{
	struct cur c = cur_init(bytes, len);
	struct payload_state s = { 0 };
	size_t pairs = cbor_map(&c);

	expect_key(&c, STATE_FLOOR);
	s.floor = cbor_uint(&c);
	s.any = pairs == 5;
	if (s.any) {
		expect_key(&c, STATE_SEQUENCE);
		s.sequence = cbor_uint(&c);
		expect_key(&c, STATE_HASH);
		take_hash(&c, s.hash);
		expect_key(&c, STATE_SIGNER);
		take_hash(&c, s.signer);
		expect_key(&c, STATE_NEXT);
		s.next_len = cbor_array(&c);
		if (s.next_len > PAYLOAD_SIGNERS_MAX) {
			cur_fail(&c);
			s.next_len = 0;
		}
		for (size_t i = 0; i < s.next_len; i++)
			take_hash(&c, s.next[i]);
	}
	if (!cur_done(&c) || (pairs != 1 && pairs != 5))
		return diag_set(d, RC_MALFORMED, "payload state: not one that this program wrote");
	*out = s;
	return RC_OK;
}

bool payload_state_equal(const struct payload_state *a, const struct payload_state *b)
{
	uint8_t x[PAYLOAD_STATE_MAX], y[PAYLOAD_STATE_MAX];
	struct put p = put_init(x, sizeof(x)), q = put_init(y, sizeof(y));

	return payload_state_write(a, &p) == RC_OK && payload_state_write(b, &q) == RC_OK &&
	       p.len == q.len && memcmp(x, y, p.len) == 0;
}

enum rc payload_state_load(const char *path, struct payload_state *out, struct diag *d)
{
	uint8_t *bytes = NULL;
	size_t len = 0;
	enum rc rc = file_read(path, PAYLOAD_STATE_MAX, &bytes, &len, d);

	if (rc == RC_NOT_FOUND) {
		*out = (struct payload_state){ 0 };
		return RC_OK;
	}
	if (rc == RC_OK)
		rc = payload_state_parse(bytes, len, out, d);
	free(bytes);
	return rc;
}

enum rc payload_state_store(const char *path, const struct payload_state *s, struct diag *d)
{
	uint8_t buf[PAYLOAD_STATE_MAX];
	struct put p = put_init(buf, sizeof(buf));
	enum rc rc = payload_state_write(s, &p);

	return rc == RC_OK ? file_write_atomic(path, buf, p.len, 0600, d) : rc;
}
