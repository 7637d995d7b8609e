/* SPDX-License-Identifier: Apache-2.0 */
#include "device/core/core__.h"

#include "base/put.h"
#include "base/tlv.h"

#define INS_PUT_KEY_INIT    0x24
#define INS_PUT_KEY_UPDATE  0xd8
#define INS_SIGN_INIT	    0x2a
#define INS_SIGN_UPDATE	    0x2b
#define INS_ECDH	    0x46
#define INS_RANDOM	    0x84
#define INS_READ_PUBLIC_KEY 0xcd
#define TAG_PRIVATE_ID	    0x84
#define TAG_PUBLIC_ID	    0x85
#define SESSION		    0 /* our channel is our own: one number is enough */
#define P1_OPEN		    0x00
#define P1_CLOSE	    0x01
#define P1_LAST		    0x80
#define P1_LAST_OTHER	    0x90
#define RANDOM_STEP	    127 /* a deployed card answers zeros from 128 on */
#define SW_CHANNEL	    0x6881
#define DATA_MAX	    64 /* two ids and the parameters */

/* A command's data with one id in front. */
static struct put with_id(uint8_t buf[DATA_MAX], uint8_t tag, struct iotsafe_id id)
{
	struct put p = put_init(buf, DATA_MAX);

	if (id.len == 0 || id.len > IOTSAFE_ID_MAX)
		p.bad = true;
	else
		tlv_put(&p, tag, id.at, id.len);
	return p;
}

enum iotsafe_error iotsafe_core_public_key(
	struct iotsafe_core *core, struct iotsafe_id id, unsigned char point[IOTSAFE_POINT_LEN])
{
	static const char what[] = "READ PUBLIC KEY";
	uint8_t data[DATA_MAX];
	struct put p = with_id(data, TAG_PUBLIC_ID, id);
	enum iotsafe_error e;

	if (!put_ok(&p))
		return IOTSAFE_EINVAL;
	e = core__ask(core, CORE_HEADER(INS_READ_PUBLIC_KEY, 0, 0), data, p.len, 0, what);
	if (e == IOTSAFE_OK && dev__point_parse(core->answer, core->answer_len, point) != RC_OK)
		e = core__nonsense(core, what);
	return e;
}

static enum iotsafe_error init(
	struct iotsafe_core *core, uint8_t ins, const uint8_t *data, size_t len)
{
	return core__command(core, CORE_HEADER(ins, P1_OPEN, SESSION), data, len, CORE_NO_LE);
}

static bool refused(const struct iotsafe_core *core)
{
	return core->sw != CORE_SW_OK && core->sw != SW_CHANNEL;
}

/* Opens a session. One that an aborted signature left half open refuses, on the kit's cards with
 * 6A86 and even after a power cycle: it is closed, or, where closing does not help, given a last
 * block, which ends it (the way that the kit's users found: P1 90). Then it is opened once more. */
static enum iotsafe_error open_session(
	struct iotsafe_core *core, uint8_t ins, const uint8_t *data, size_t len, const char *what)
{
	static const uint8_t last_block[] = { 0x9b, 4, 1, 2, 3, 4 };
	enum iotsafe_error e = init(core, ins, data, len);

	if (e == IOTSAFE_OK && refused(core)) {
		e = core__command(core, CORE_HEADER(ins, P1_CLOSE, SESSION), NULL, 0, 0);
		if (e == IOTSAFE_OK)
			e = init(core, ins, data, len);
	}
	if (e == IOTSAFE_OK && core->sw == 0x6a86 && ins == INS_SIGN_INIT) {
		e = core__command(core, CORE_HEADER(INS_SIGN_UPDATE, P1_LAST_OTHER, SESSION),
			last_block, sizeof(last_block), 0);
		if (e == IOTSAFE_OK)
			e = init(core, ins, data, len);
	}
	core->what = what;
	return e == IOTSAFE_OK ? core__status(core, what) : e;
}

enum iotsafe_error iotsafe_core_sign(struct iotsafe_core *core, struct iotsafe_id id,
	const unsigned char digest[IOTSAFE_DIGEST_LEN], unsigned char sig[IOTSAFE_SIG_LEN])
{
	static const char what[] = "COMPUTE SIGNATURE UPDATE";
	/* mode 03 (the host hashed), SHA-256, ECDSA */
	static const uint8_t how[] = { 0xa1, 1, 0x03, 0x91, 2, 0x00, 0x01, 0x92, 1, 0x04 };
	uint8_t data[DATA_MAX], update[2 + IOTSAFE_DIGEST_LEN] = { 0x9e, IOTSAFE_DIGEST_LEN };
	struct put p = with_id(data, TAG_PRIVATE_ID, id);
	enum iotsafe_error e;

	put_bytes(&p, how, sizeof(how));
	if (!put_ok(&p))
		return IOTSAFE_EINVAL;
	e = open_session(core, INS_SIGN_INIT, data, p.len, "COMPUTE SIGNATURE INIT");
	if (e != IOTSAFE_OK)
		return e;
	core__copy(update + 2, digest, IOTSAFE_DIGEST_LEN);
	e = core__ask(core, CORE_HEADER(INS_SIGN_UPDATE, P1_LAST, SESSION), update, sizeof(update),
		0, what);
	if (e == IOTSAFE_OK && dev__signature_parse(core->answer, core->answer_len, sig) != RC_OK)
		e = core__nonsense(core, what);
	return e;
}

static enum iotsafe_error put_peer(struct iotsafe_core *core, struct iotsafe_id peer_id,
	const unsigned char peer[IOTSAFE_POINT_LEN])
{
	uint8_t data[DATA_MAX];
	uint8_t key[6 + IOTSAFE_POINT_LEN] = { 0x34, 0x45, 0x49, 0x43, 0x86, 0x41 };
	struct put p = with_id(data, TAG_PUBLIC_ID, peer_id);
	enum iotsafe_error e;

	if (!put_ok(&p))
		return IOTSAFE_EINVAL;
	e = open_session(core, INS_PUT_KEY_INIT, data, p.len, "PUT PUBLIC KEY INIT");
	if (e != IOTSAFE_OK)
		return e;
	core__copy(key + 6, peer, IOTSAFE_POINT_LEN);
	return core__ask(core, CORE_HEADER(INS_PUT_KEY_UPDATE, P1_LAST, SESSION), key, sizeof(key),
		CORE_NO_LE, "PUT PUBLIC KEY UPDATE");
}

enum iotsafe_error iotsafe_core_ecdh(struct iotsafe_core *core, struct iotsafe_id id,
	struct iotsafe_id peer_id, const unsigned char peer[IOTSAFE_POINT_LEN],
	unsigned char secret[IOTSAFE_SECRET_LEN])
{
	static const char what[] = "COMPUTE DH";
	volatile uint8_t *answer = core->answer;
	uint8_t data[DATA_MAX];
	struct put p = with_id(data, TAG_PRIVATE_ID, id);
	enum iotsafe_error e = put_ok(&p) ? put_peer(core, peer_id, peer) : IOTSAFE_EINVAL;

	tlv_put(&p, TAG_PUBLIC_ID, peer_id.at, peer_id.len);
	if (e == IOTSAFE_OK)
		e = core__ask(core, CORE_HEADER(INS_ECDH, 0, 0), data, p.len, 0, what);
	if (e == IOTSAFE_OK && core->answer_len != IOTSAFE_SECRET_LEN)
		e = core__nonsense(core, what);
	if (e == IOTSAFE_OK)
		core__copy(secret, core->answer, IOTSAFE_SECRET_LEN);
	for (size_t i = 0; i < sizeof(core->answer); i++)
		answer[i] = 0;
	return e;
}

enum iotsafe_error iotsafe_core_random(struct iotsafe_core *core, unsigned char *out, size_t len)
{
	static const char what[] = "GET RANDOM";

	for (size_t at = 0; at < len; at += core->answer_len) {
		size_t want = len - at < RANDOM_STEP ? len - at : RANDOM_STEP;
		enum iotsafe_error e =
			core__command(core, CORE_HEADER(INS_RANDOM, 0, 0), NULL, 0, (int)want);
		core->what = what;
		if (e == IOTSAFE_OK && core->sw != 0x6300)
			e = core__status(core, what);
		if (e != IOTSAFE_OK)
			return e;
		if (core->answer_len != want)
			return core__nonsense(core, what);
		core__copy(out + at, core->answer, want);
	}
	return IOTSAFE_OK;
}
