/* SPDX-License-Identifier: Apache-2.0 */
#include "device/device__.h"
#include "device/pkcs11/p11__.h"
#include "fuzz.h"

#include <fcntl.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* A hostile card behind libiotsafe and its PKCS#11 module. The input is the template that a caller
 * looks for (a length, a type and a value, as often as the first byte says) and then the card's
 * answers: a length and that many bytes, until nothing is left and the card is gone. */

static struct cur answers;

static enum rc talk_open(struct dev_link *l, struct diag *d)
{
	(void)d;
	l->fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	return l->fd >= 0 && answers.left > 0 ? RC_OK : RC_UNAVAILABLE;
}

static enum rc talk(struct dev_link *l, const uint8_t *apdu, size_t len,
	uint8_t reply[DEV_REPLY_MAX], size_t *reply_len, uint64_t deadline_ms, struct diag *d)
{
	size_t n = cur_u8(&answers);

	(void)apdu;
	(void)len;
	(void)deadline_ms;
	(void)d;
	if (n > answers.left)
		n = answers.left;
	if (n == 0) {
		answers.left = 0;
		dev__link_close(l);
		return RC_CLOSED;
	}
	cur_copy(&answers, reply, n);
	*reply_len = n;
	return RC_OK;
}

static enum rc talk_lock(struct dev_link *l, uint64_t deadline_ms, struct diag *d)
{
	(void)l;
	(void)deadline_ms;
	(void)d;
	return RC_OK;
}

static void talk_unlock(struct dev_link *l)
{
	(void)l;
}

static const struct dev_link_ops TALK = {
	.open = talk_open,
	.exchange = talk,
	.lock = talk_lock,
	.unlock = talk_unlock,
};

static struct iotsafe *card_new(void)
{
	struct iotsafe *card = calloc(1, sizeof(*card));

	if (!card)
		abort();
	pthread_mutex_init(&card->mutex, NULL);
	atomic_init(&card->owner, getpid());
	card->link.ops = &TALK;
	card->link.fd = -1;
	card->timeout_ms = 1000;
	card->core.exchange = dev__exchange;
	card->core.arg = card;
	return card;
}

static CK_ULONG read_template(struct cur *c, CK_ATTRIBUTE *t, CK_ULONG cap)
{
	CK_ULONG n = cur_u8(c) % (cap + 1);

	for (CK_ULONG i = 0; i < n; i++) {
		size_t len = cur_u8(c) % 80;
		t[i].type = cur_u16(c);
		t[i].pValue = (void *)(uintptr_t)cur_bytes(c, len);
		t[i].ulValueLen = t[i].pValue ? len : 0;
	}
	return n;
}

/* What PKCS#11 callers see of such a card. */
static void as_token(const CK_ATTRIBUTE *templ, CK_ULONG count)
{
	struct p11 p = { .next_handle = 1, .tokens_len = 1 };
	struct p11_token *t = &p.tokens[0];
	struct p11_value v;

	t->iotsafe = card_new();
	if (p11__token_load(&p, t) == CKR_OK) {
		for (const struct p11_object *o = t->objects; o; o = o->next) {
			(void)p11__matches(o, templ, count);
			for (CK_ATTRIBUTE_TYPE type = 0; type < 0x220; type++)
				(void)p11__attribute(o, type, &v);
		}
	}
	p11__token_gone(&p, t);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct cur c = cur_init(data, size);
	static struct iotsafe_object objects[16];
	CK_ATTRIBUTE templ[4];
	CK_ULONG count = read_template(&c, templ, 4);
	uint8_t out[600], digest[IOTSAFE_DIGEST_LEN] = { 1 }, point[IOTSAFE_POINT_LEN] = { 4 };
	size_t len = 0;
	struct iotsafe *card = card_new();

	answers = c;
	as_token(templ, count);
	answers = c;
	(void)iotsafe_list(card, objects, 16, &len);
	(void)iotsafe_read_file(card, 2, out, sizeof(out), &len);
	(void)iotsafe_sign(card, 1, digest, out);
	(void)iotsafe_ecdh(card, 0x0b, 5, point, out);
	(void)iotsafe_random(card, out, 200);
	(void)iotsafe_iccid(card, (char *)out);
	iotsafe_close(card);
	return 0;
}
