/* SPDX-License-Identifier: Apache-2.0 */
#include "device/device__.h"

#include <string.h>

#define INS_PUT_KEY_INIT    0x24
#define INS_PUT_KEY_UPDATE  0xd8
#define INS_SIGN_INIT	    0x2a
#define INS_SIGN_UPDATE	    0x2b
#define INS_ECDH	    0x46
#define INS_RANDOM	    0x84
#define INS_READ_PUBLIC_KEY 0xcd
#define SESSION		    0 /* our channel is our own: one number is enough */
#define P1_OPEN		    0x00
#define P1_CLOSE	    0x01
#define P1_LAST		    0x80
#define RANDOM_STEP	    127 /* a deployed card answers zeros from 128 on */
#define SW_OK		    0x9000

static enum rc command(struct iotsafe *card, uint32_t header, const uint8_t *data, size_t len,
	int le, const char *what, struct dev_answer *a, struct diag *d)
{
	enum rc rc = dev__command(card, header, data, len, le, a, d);

	return rc == RC_OK ? dev__status(a->sw, what, d) : rc;
}

struct public_arg {
	uint8_t id, *point;
};

static enum rc public_op(struct iotsafe *card, void *arg, struct diag *d)
{
	struct public_arg *p = arg;
	const uint8_t data[] = { 0x85, 1, p->id };
	struct dev_answer a;
	enum rc rc = command(card, DEV_HEADER(INS_READ_PUBLIC_KEY, 0, 0), data, sizeof(data), 0,
		"READ PUBLIC KEY", &a, d);

	if (rc == RC_OK && dev__point_parse(a.data, a.len, p->point) != RC_OK)
		rc = diag_set(d, RC_MALFORMED, "public key %02X: not a P-256 point", p->id);
	return rc;
}

enum iotsafe_error iotsafe_public_key(
	struct iotsafe *card, unsigned char id, unsigned char point[IOTSAFE_POINT_LEN])
{
	struct public_arg arg = { .id = id, .point = point };

	return dev__run(card, public_op, &arg);
}

/* Opens a session. One that an aborted signature left half open refuses (C's cards: 6A86, also
 * after a power cycle), so it is closed and opened once more. */
static enum rc open_session(struct iotsafe *card, uint8_t ins, const uint8_t *data, size_t len,
	const char *what, struct diag *d)
{
	struct dev_answer a;
	enum rc rc =
		dev__command(card, DEV_HEADER(ins, P1_OPEN, SESSION), data, len, DEV_NO_LE, &a, d);

	if (rc == RC_OK && a.sw != SW_OK && a.sw != 0x6881) {
		rc = dev__command(card, DEV_HEADER(ins, P1_CLOSE, SESSION), NULL, 0, 0, &a, d);
		if (rc == RC_OK)
			rc = dev__command(card, DEV_HEADER(ins, P1_OPEN, SESSION), data, len,
				DEV_NO_LE, &a, d);
	}
	return rc == RC_OK ? dev__status(a.sw, what, d) : rc;
}

struct sign_arg {
	uint8_t id;
	const uint8_t *digest;
	uint8_t *sig;
};

static enum rc sign_op(struct iotsafe *card, void *arg, struct diag *d)
{
	struct sign_arg *s = arg;
	/* key, mode 03 (the host hashed), SHA-256, ECDSA */
	const uint8_t init[] = { 0x84, 1, s->id, 0xa1, 1, 0x03, 0x91, 2, 0x00, 0x01, 0x92, 1,
		0x04 };
	uint8_t update[2 + IOTSAFE_DIGEST_LEN] = { 0x9e, IOTSAFE_DIGEST_LEN };
	struct dev_answer a;
	enum rc rc =
		open_session(card, INS_SIGN_INIT, init, sizeof(init), "COMPUTE SIGNATURE INIT", d);

	if (rc != RC_OK)
		return rc;
	memcpy(update + 2, s->digest, IOTSAFE_DIGEST_LEN);
	rc = command(card, DEV_HEADER(INS_SIGN_UPDATE, P1_LAST, SESSION), update, sizeof(update), 0,
		"COMPUTE SIGNATURE UPDATE", &a, d);
	if (rc == RC_OK && dev__signature_parse(a.data, a.len, s->sig) != RC_OK)
		rc = diag_set(d, RC_MALFORMED, "signature of key %02X: not r || s", s->id);
	return rc;
}

enum iotsafe_error iotsafe_sign(struct iotsafe *card, unsigned char id,
	const unsigned char digest[IOTSAFE_DIGEST_LEN], unsigned char sig[IOTSAFE_SIG_LEN])
{
	struct sign_arg arg = { .id = id, .digest = digest, .sig = sig };

	return dev__run(card, sign_op, &arg);
}

struct ecdh_arg {
	uint8_t id, peer_id;
	const uint8_t *peer;
	uint8_t *secret;
};

static enum rc ecdh_op(struct iotsafe *card, void *arg, struct diag *d)
{
	struct ecdh_arg *e = arg;
	const uint8_t init[] = { 0x85, 1, e->peer_id };
	const uint8_t ids[] = { 0x84, 1, e->id, 0x85, 1, e->peer_id };
	uint8_t key[6 + IOTSAFE_POINT_LEN] = { 0x34, 0x45, 0x49, 0x43, 0x86, 0x41 };
	struct dev_answer a;
	enum rc rc =
		open_session(card, INS_PUT_KEY_INIT, init, sizeof(init), "PUT PUBLIC KEY INIT", d);

	if (rc != RC_OK)
		return rc;
	memcpy(key + 6, e->peer, IOTSAFE_POINT_LEN);
	rc = command(card, DEV_HEADER(INS_PUT_KEY_UPDATE, P1_LAST, SESSION), key, sizeof(key),
		DEV_NO_LE, "PUT PUBLIC KEY UPDATE", &a, d);
	if (rc == RC_OK)
		rc = command(
			card, DEV_HEADER(INS_ECDH, 0, 0), ids, sizeof(ids), 0, "COMPUTE DH", &a, d);
	if (rc == RC_OK && a.len != IOTSAFE_SECRET_LEN)
		rc = diag_set(d, RC_MALFORMED, "COMPUTE DH: %zu bytes, not 32", a.len);
	if (rc == RC_OK)
		memcpy(e->secret, a.data, IOTSAFE_SECRET_LEN);
	explicit_bzero(a.data, sizeof(a.data));
	return rc;
}

enum iotsafe_error iotsafe_ecdh(struct iotsafe *card, unsigned char id, unsigned char peer_id,
	const unsigned char peer[IOTSAFE_POINT_LEN], unsigned char secret[IOTSAFE_SECRET_LEN])
{
	struct ecdh_arg arg = { .id = id, .peer_id = peer_id, .peer = peer, .secret = secret };

	return dev__run(card, ecdh_op, &arg);
}

struct random_arg {
	uint8_t *out;
	size_t len;
};

static enum rc random_op(struct iotsafe *card, void *arg, struct diag *d)
{
	struct random_arg *r = arg;
	struct dev_answer a;
	enum rc rc;

	for (size_t at = 0; at < r->len; at += a.len) {
		size_t want = r->len - at < RANDOM_STEP ? r->len - at : RANDOM_STEP;
		rc = dev__command(card, DEV_HEADER(INS_RANDOM, 0, 0), NULL, 0, (int)want, &a, d);
		if (rc == RC_OK && a.sw != 0x6300)
			rc = dev__status(a.sw, "GET RANDOM", d);
		if (rc != RC_OK)
			return rc;
		if (a.len != want)
			return diag_set(
				d, RC_MALFORMED, "GET RANDOM: %zu bytes, not %zu", a.len, want);
		memcpy(r->out + at, a.data, a.len);
	}
	return RC_OK;
}

enum iotsafe_error iotsafe_random(struct iotsafe *card, unsigned char *out, size_t len)
{
	struct random_arg arg = { .out = out, .len = len };

	return dev__run(card, random_op, &arg);
}
