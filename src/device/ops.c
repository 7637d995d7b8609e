/* SPDX-License-Identifier: Apache-2.0 */
#include "device/device__.h"

#include "base/hex.h"
#include "base/str.h"

#include <stdlib.h>
#include <string.h>

/* The public functions: each runs one of the core's operations under the locks. */

enum iotsafe_error dev__exchange(
	void *arg, const uint8_t *apdu, size_t len, uint8_t *reply, size_t *reply_len)
{
	struct iotsafe *card = arg;
	uint64_t deadline = dev__now_ms() + card->timeout_ms;

	if (card->link.fd < 0) {
		card->link_rc = diag_set(card->d, RC_CLOSED, "card %s: gone", card->name);
		return IOTSAFE_ENOCARD;
	}
	if (card->deadline_ms > 0 && card->deadline_ms < deadline)
		deadline = card->deadline_ms;
	card->link_rc = card->link.ops->exchange(
		&card->link, apdu, len, reply, reply_len, deadline, card->d);
	return dev__error(card->link_rc);
}

/* The core's errors as ours; what the link said of itself stands. */
enum rc dev__core(struct iotsafe *card, enum iotsafe_error e, struct iotsafe_id id, struct diag *d)
{
	static const struct {
		enum rc rc;
		const char *text;
	} map[] = {
		[IOTSAFE_EINVAL] = { RC_RANGE, "wrong argument" },
		[IOTSAFE_ENOCARD] = { RC_CLOSED, "channel lost" },
		[IOTSAFE_ETIMEOUT] = { RC_TIMEOUT, "no answer" },
		[IOTSAFE_EPROTO] = { RC_MALFORMED, "the answer makes no sense" },
		[IOTSAFE_ENOTFOUND] = { RC_NOT_FOUND, "no such object" },
		[IOTSAFE_EDENIED] = { RC_DENIED, "refused by the card (blocked or empty)" },
		[IOTSAFE_ECARD] = { RC_STATE, "refused by the card" },
		[IOTSAFE_ETOOLARGE] = { RC_TOO_LARGE, "larger than the room for it" },
	};
	const char *what = card->core.what ? card->core.what : "card";
	char name[2 * IOTSAFE_ID_MAX + 2] = "", sw[12] = "";
	unsigned word = card->core.sw;

	if (e == IOTSAFE_OK)
		return RC_OK;
	if (card->link_rc != RC_OK)
		return card->link_rc;
	if ((size_t)e >= ARRAY_LEN(map))
		return diag_set(d, RC_INTERNAL, "%s", what);
	if (id.len > 0 && id.len <= IOTSAFE_ID_MAX) {
		name[0] = ' ';
		hex_write(id.at, id.len, name + 1);
	}
	if (e == IOTSAFE_ENOTFOUND && word == 0)
		return diag_set(d, RC_NOT_FOUND, "card %s: %s", card->name, what);
	if (word != 0 && word != CORE_SW_OK)
		(void)!str_format(sw, sizeof(sw), "SW %04X: ", word);
	return diag_set(d, map[e].rc, "%s%s: %s%s", what, name, sw,
		word == 0x6984 ? "being updated over the air" : map[e].text);
}

static enum rc applet_op(struct iotsafe *card, void *arg, struct diag *d)
{
	return dev__core(card, iotsafe_core_applet(&card->core, arg), DEV_NO_ID, d);
}

enum iotsafe_error iotsafe_applet(struct iotsafe *card, struct iotsafe_applet *out)
{
	return dev__run(card, applet_op, out);
}

struct list_arg {
	struct iotsafe_object *out;
	size_t cap, *count;
};

static enum rc list_op(struct iotsafe *card, void *arg, struct diag *d)
{
	struct list_arg *l = arg;
	uint8_t *all = malloc(DEV_LIST_MAX);
	enum rc rc = RC_NOMEM;

	if (all)
		rc = dev__core(card,
			iotsafe_core_list(&card->core, all, DEV_LIST_MAX, l->out, l->cap, l->count),
			DEV_NO_ID, d);
	free(all);
	return rc;
}

enum iotsafe_error iotsafe_list(
	struct iotsafe *card, struct iotsafe_object *out, size_t cap, size_t *count)
{
	struct list_arg arg = { .out = out, .cap = cap, .count = count };

	*count = 0;
	return dev__run(card, list_op, &arg);
}

struct info_arg {
	struct iotsafe_id id;
	struct iotsafe_object *out;
};

static enum rc info_op(struct iotsafe *card, void *arg, struct diag *d)
{
	struct info_arg *i = arg;

	return dev__core(card, iotsafe_core_file_info(&card->core, i->id, i->out), i->id, d);
}

enum iotsafe_error iotsafe_file_info(
	struct iotsafe *card, unsigned char id, struct iotsafe_object *out)
{
	struct info_arg arg = { .id = { &id, 1 }, .out = out };

	return dev__run(card, info_op, &arg);
}

struct file_arg {
	struct iotsafe_id id;
	uint8_t *out;
	size_t cap, *len;
};

static enum rc file_op(struct iotsafe *card, void *arg, struct diag *d)
{
	struct file_arg *f = arg;

	return dev__core(
		card, iotsafe_core_read_file(&card->core, f->id, f->out, f->cap, f->len), f->id, d);
}

enum iotsafe_error iotsafe_read_file_by_id(
	struct iotsafe *card, struct iotsafe_id id, unsigned char *out, size_t cap, size_t *len)
{
	struct file_arg arg = { .id = id, .out = out, .cap = cap, .len = len };

	return dev__run(card, file_op, &arg);
}

enum iotsafe_error iotsafe_read_file(
	struct iotsafe *card, unsigned char id, unsigned char *out, size_t cap, size_t *len)
{
	return iotsafe_read_file_by_id(card, (struct iotsafe_id){ &id, 1 }, out, cap, len);
}

struct key_arg {
	struct iotsafe_id id, peer_id;
	const uint8_t *in;
	uint8_t *out;
};

static enum rc public_op(struct iotsafe *card, void *arg, struct diag *d)
{
	struct key_arg *k = arg;

	return dev__core(card, iotsafe_core_public_key(&card->core, k->id, k->out), k->id, d);
}

enum iotsafe_error iotsafe_public_key_by_id(
	struct iotsafe *card, struct iotsafe_id id, unsigned char point[IOTSAFE_POINT_LEN])
{
	struct key_arg arg = { .id = id, .out = point };

	return dev__run(card, public_op, &arg);
}

enum iotsafe_error iotsafe_public_key(
	struct iotsafe *card, unsigned char id, unsigned char point[IOTSAFE_POINT_LEN])
{
	return iotsafe_public_key_by_id(card, (struct iotsafe_id){ &id, 1 }, point);
}

static enum rc sign_op(struct iotsafe *card, void *arg, struct diag *d)
{
	struct key_arg *k = arg;

	return dev__core(card, iotsafe_core_sign(&card->core, k->id, k->in, k->out), k->id, d);
}

enum iotsafe_error iotsafe_sign_by_id(struct iotsafe *card, struct iotsafe_id id,
	const unsigned char digest[IOTSAFE_DIGEST_LEN], unsigned char sig[IOTSAFE_SIG_LEN])
{
	struct key_arg arg = { .id = id, .in = digest, .out = sig };

	return dev__run(card, sign_op, &arg);
}

enum iotsafe_error iotsafe_sign(struct iotsafe *card, unsigned char id,
	const unsigned char digest[IOTSAFE_DIGEST_LEN], unsigned char sig[IOTSAFE_SIG_LEN])
{
	return iotsafe_sign_by_id(card, (struct iotsafe_id){ &id, 1 }, digest, sig);
}

static enum rc ecdh_op(struct iotsafe *card, void *arg, struct diag *d)
{
	struct key_arg *k = arg;

	return dev__core(
		card, iotsafe_core_ecdh(&card->core, k->id, k->peer_id, k->in, k->out), k->id, d);
}

enum iotsafe_error iotsafe_ecdh_by_id(struct iotsafe *card, struct iotsafe_id id,
	struct iotsafe_id peer_id, const unsigned char peer[IOTSAFE_POINT_LEN],
	unsigned char secret[IOTSAFE_SECRET_LEN])
{
	struct key_arg arg = { .id = id, .peer_id = peer_id, .in = peer, .out = secret };

	return dev__run(card, ecdh_op, &arg);
}

enum iotsafe_error iotsafe_ecdh(struct iotsafe *card, unsigned char id, unsigned char peer_id,
	const unsigned char peer[IOTSAFE_POINT_LEN], unsigned char secret[IOTSAFE_SECRET_LEN])
{
	return iotsafe_ecdh_by_id(card, (struct iotsafe_id){ &id, 1 },
		(struct iotsafe_id){ &peer_id, 1 }, peer, secret);
}

struct random_arg {
	uint8_t *out;
	size_t len;
};

static enum rc random_op(struct iotsafe *card, void *arg, struct diag *d)
{
	struct random_arg *r = arg;

	return dev__core(card, iotsafe_core_random(&card->core, r->out, r->len), DEV_NO_ID, d);
}

enum iotsafe_error iotsafe_random(struct iotsafe *card, unsigned char *out, size_t len)
{
	struct random_arg arg = { .out = out, .len = len };

	return dev__run(card, random_op, &arg);
}
