/* SPDX-License-Identifier: Apache-2.0 */
#include "device/device__.h"

#include "base/ident.h"
#include "base/str.h"

#include <glob.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define TIMEOUT_MS	    5000
#define DISCOVER_TIMEOUT_MS 500
#define RESET_TIMEOUT_MS    60000
#define RESET_FRESH_MS	    1000
#define RESET_PAUSE_MS	    30000 /* between two that nobody asked for */

/* id, text */
static const char *const ERROR_TEXTS[] = {
	[IOTSAFE_OK] = "ok",
	[IOTSAFE_EINVAL] = "wrong argument",
	[IOTSAFE_ENOCARD] = "no card",
	[IOTSAFE_ETIMEOUT] = "the card did not answer in time",
	[IOTSAFE_EPROTO] = "the card's answer makes no sense",
	[IOTSAFE_ENOTFOUND] = "no such applet or object",
	[IOTSAFE_EDENIED] = "refused by the card",
	[IOTSAFE_ECARD] = "error of the card",
	[IOTSAFE_ETOOLARGE] = "too large",
	[IOTSAFE_ECRYPTO] = "error of the crypto library",
	[IOTSAFE_ENOMEM] = "out of memory",
};

const char *iotsafe_error_text(enum iotsafe_error error)
{
	return (unsigned)error < ARRAY_LEN(ERROR_TEXTS) ? ERROR_TEXTS[error] : "unknown error";
}

const char *iotsafe_last_error(const struct iotsafe *card)
{
	return card->last.text;
}

const char *iotsafe_name(const struct iotsafe *card)
{
	return card->name;
}

unsigned char iotsafe_container(unsigned slot, unsigned n)
{
	return slot == 1 ? (unsigned char)n : (unsigned char)(slot << 4 | n);
}

enum iotsafe_error dev__error(enum rc rc)
{
	static const struct {
		enum rc rc;
		enum iotsafe_error error;
	} map[] = {
		{ RC_OK, IOTSAFE_OK },
		{ RC_RANGE, IOTSAFE_EINVAL },
		{ RC_CLOSED, IOTSAFE_ENOCARD },
		{ RC_UNAVAILABLE, IOTSAFE_ENOCARD },
		{ RC_IO, IOTSAFE_ENOCARD },
		{ RC_TIMEOUT, IOTSAFE_ETIMEOUT },
		{ RC_MALFORMED, IOTSAFE_EPROTO },
		{ RC_NOT_FOUND, IOTSAFE_ENOTFOUND },
		{ RC_DENIED, IOTSAFE_EDENIED },
		{ RC_TOO_LARGE, IOTSAFE_ETOOLARGE },
		{ RC_CRYPTO, IOTSAFE_ECRYPTO },
		{ RC_NOMEM, IOTSAFE_ENOMEM },
	};

	for (size_t i = 0; i < ARRAY_LEN(map); i++)
		if (map[i].rc == rc)
			return map[i].error;
	return IOTSAFE_ECARD;
}

/* The link open and ours alone, or neither. */
static enum rc take_link(struct iotsafe *card, struct diag *d)
{
	enum rc rc = RC_OK;

	if (card->link.fd < 0) {
		card->selected = false;
		card->core.channel = 0;
		rc = card->link.ops->open(&card->link, d);
	}
	if (rc == RC_OK)
		rc = card->link.ops->lock(&card->link, dev__now_ms() + card->timeout_ms, d);
	return rc;
}

/* The applet selected on a channel of ours. Where the selection was lost, the channel may still be
 * there; where it is not (the modem was reset), another is opened. */
static enum rc ready(struct iotsafe *card, struct diag *d)
{
	enum rc rc = RC_CLOSED;

	if (card->selected && card->core.channel > 0)
		return RC_OK;
	if (card->selected || card->core.channel > 0)
		rc = dev__core(card, iotsafe_core_select(&card->core), DEV_NO_ID, d);
	if (rc == RC_CLOSED && card->link.fd >= 0)
		rc = dev__core(card, iotsafe_core_open(&card->core), DEV_NO_ID, d);
	card->selected = rc == RC_OK;
	return rc;
}

/* Under the link's lock. The channel is gone afterwards. */
static enum rc reset(struct iotsafe *card, struct diag *d)
{
	const char *program = card->reset == DEV_RESET_PROGRAM ? card->reset_program : NULL;
	enum rc rc;

	if (!card->link.ops->reset)
		return diag_set(d, RC_RANGE, "card %s: cannot be reset", card->name);
	card->selected = false;
	card->core.channel = 0;
	rc = card->link.ops->reset(&card->link, program, dev__now_ms() + RESET_TIMEOUT_MS, d);
	card->reset_ms = dev__now_ms();
	return rc;
}

static bool may_reset(const struct iotsafe *card)
{
	return card->reset != DEV_RESET_NOT && card->link.ops->reset && card->link.fd >= 0 &&
	       (card->reset_ms == 0 || dev__now_ms() - card->reset_ms > RESET_PAUSE_MS);
}

/* A child of fork() has a copy of the handle. Its descriptor would share the parent's flock, and
 * its channel is the parent's: it lets go of both and opens its own. The mutex may be held by a
 * thread that the child does not have. */
static void follow_fork(struct iotsafe *card)
{
	pid_t me = getpid(), was = atomic_load(&card->owner);

	if (was == me || !atomic_compare_exchange_strong(&card->owner, &was, me))
		return;
	pthread_mutex_init(&card->mutex, NULL);
	dev__link_close(&card->link);
	card->selected = false;
	card->core.channel = 0;
}

enum iotsafe_error dev__run(struct iotsafe *card,
	enum rc (*op)(struct iotsafe *card, void *arg, struct diag *d), void *arg)
{
	struct diag d = { 0 };
	enum rc rc = RC_CLOSED;

	follow_fork(card);
	pthread_mutex_lock(&card->mutex);
	for (int tries = 0; tries < 2 && rc == RC_CLOSED; tries++) {
		rc = take_link(card, &d);
		if (rc != RC_OK)
			break;
		card->d = &d;
		card->link_rc = RC_OK;
		card->deadline_ms =
			dev__now_ms() + (uint64_t)card->timeout_ms * DEV_OPERATION_TIMEOUTS;
		rc = ready(card, &d);
		if (rc == RC_OK)
			rc = op(card, arg, &d);
		if (rc == RC_TIMEOUT && may_reset(card) && reset(card, &d) == RC_OK)
			rc = RC_CLOSED; /* it is there again: once more */
		if (rc == RC_CLOSED)
			card->selected = false;
		card->link.ops->unlock(&card->link);
	}
	card->last = rc == RC_OK ? (struct diag){ 0 } : d;
	card->d = NULL;
	pthread_mutex_unlock(&card->mutex);
	return dev__error(rc);
}

static enum rc parse_name(struct iotsafe *card, const char *name, struct diag *d)
{
	static const struct {
		const char *prefix;
		const struct dev_link_ops *ops;
	} kinds[] = { { "tty:", &dev__tty }, { "socket:", &dev__socket }, { "pcsc:", &dev__pcsc } };

	if (!name || !*name)
		return diag_set(d, RC_RANGE, "card: not named (set IOTSAFE_CARD=tty:PATH)");
	for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
		size_t n = strlen(kinds[i].prefix);
		if (strncmp(name, kinds[i].prefix, n) != 0)
			continue;
		card->link.ops = kinds[i].ops;
		if (str_copy(card->link.path, sizeof(card->link.path), name + n) != RC_OK ||
			str_copy(card->name, sizeof(card->name), name) != RC_OK)
			return diag_set(d, RC_RANGE, "card: path too long");
		return RC_OK;
	}
	return diag_set(
		d, RC_RANGE, "card %.80s: none of tty:PATH, pcsc:READER, socket:PATH", name);
}

static enum rc parse_reset(struct iotsafe *card, const char *how, struct diag *d)
{
	if (!how || !*how)
		return RC_OK;
	if (strcmp(how, "at") == 0) {
		card->reset = DEV_RESET_AT;
		return RC_OK;
	}
	if (how[0] != '/' ||
		str_copy(card->reset_program, sizeof(card->reset_program), how) != RC_OK)
		return diag_set(d, RC_RANGE,
			"reset %.80s: neither at nor the absolute path of a program", how);
	card->reset = DEV_RESET_PROGRAM;
	return RC_OK;
}

static enum rc no_op(struct iotsafe *card, void *arg, struct diag *d)
{
	(void)card;
	(void)arg;
	(void)d;
	return RC_OK;
}

enum iotsafe_error iotsafe_open(
	const struct iotsafe_options *options, struct iotsafe **out, char *error, size_t error_cap)
{
	static const struct iotsafe_options none = { 0 };
	const struct iotsafe_options *o = options ? options : &none;
	struct iotsafe *card = calloc(1, sizeof(*card));
	enum iotsafe_error e = IOTSAFE_EINVAL;
	struct diag d = { 0 };

	if (!card)
		return IOTSAFE_ENOMEM;
	pthread_mutex_init(&card->mutex, NULL);
	atomic_init(&card->owner, getpid());
	card->link.fd = -1;
	card->core.exchange = dev__exchange;
	card->core.arg = card;
	card->timeout_ms = o->timeout_ms ? o->timeout_ms : TIMEOUT_MS;
	if (parse_name(card, o->card ? o->card : getenv("IOTSAFE_CARD"), &d) != RC_OK)
		goto out;
	if (parse_reset(card, o->reset ? o->reset : secure_getenv("IOTSAFE_RESET"), &d) != RC_OK)
		goto out;
	if (o->aid && (o->aid_len < 5 || o->aid_len > sizeof(card->core.aid))) {
		(void)diag_set(
			&d, RC_RANGE, "AID: %zu bytes, not 5..16 (ISO 7816-4 8.2.1.2)", o->aid_len);
		goto out;
	}
	if (o->aid) {
		memcpy(card->core.aid, o->aid, o->aid_len);
		card->core.aid_len = o->aid_len;
	}
	e = dev__run(card, no_op, NULL);
	d = card->last;
	if (e == IOTSAFE_OK) {
		*out = card;
		card = NULL;
	}
out:
	if (error && error_cap > 0 && e != IOTSAFE_OK)
		(void)!str_format(error, error_cap, "%s", d.text);
	iotsafe_close(card);
	return e;
}

void iotsafe_close(struct iotsafe *card)
{
	if (!card)
		return;
	follow_fork(card);
	if (card->ssl_free)
		card->ssl_free(card);
	if (card->link.fd >= 0 && card->link.ops->lock(&card->link,
					  dev__now_ms() + card->timeout_ms, NULL) == RC_OK) {
		if (card->selected) {
			card->deadline_ms = 0;
			iotsafe_core_close(&card->core);
		}
		card->link.ops->unlock(&card->link);
	}
	dev__link_close(&card->link);
	pthread_mutex_destroy(&card->mutex);
	free(card);
}

static enum rc iccid_op(struct iotsafe *card, void *arg, struct diag *d)
{
	uint8_t ef[IOTSAFE_ICCID_LEN];
	char *out = arg;
	enum rc rc;

	if (card->link.ops->iccid && card->link.ops->iccid(&card->link, out,
					     dev__now_ms() + card->timeout_ms, d) == RC_OK)
		return RC_OK;
	rc = dev__core(card, iotsafe_core_iccid(&card->core, ef), DEV_NO_ID, d);
	if (rc == RC_OK && ident_iccid_write(ef, out) != RC_OK)
		rc = diag_set(d, RC_MALFORMED, "EF_ICCID: not an ICCID");
	return rc;
}

enum iotsafe_error iotsafe_iccid(struct iotsafe *card, char out[IOTSAFE_ICCID_TEXT])
{
	char text[IOTSAFE_ICCID_TEXT] = "";
	enum iotsafe_error e = dev__run(card, iccid_op, text);

	if (e == IOTSAFE_OK)
		memcpy(out, text, sizeof(text));
	return e;
}

static enum rc eid_op(struct iotsafe *card, void *arg, struct diag *d)
{
	uint8_t eid[IOTSAFE_EID_LEN];
	enum rc rc = dev__core(card, iotsafe_core_eid(&card->core, eid), DEV_NO_ID, d);

	if (rc == RC_OK && ident_eid_write(eid, arg) != RC_OK)
		rc = diag_set(d, RC_MALFORMED, "GetEID: not an EID");
	return rc;
}

enum iotsafe_error iotsafe_eid(struct iotsafe *card, char out[IOTSAFE_EID_TEXT])
{
	char text[IOTSAFE_EID_TEXT] = "";
	enum iotsafe_error e = dev__run(card, eid_op, text);

	if (e == IOTSAFE_OK)
		memcpy(out, text, sizeof(text));
	return e;
}

enum iotsafe_error iotsafe_reset(struct iotsafe *card)
{
	struct diag d = { 0 };
	enum rc rc;

	follow_fork(card);
	pthread_mutex_lock(&card->mutex);
	rc = take_link(card, &d);
	if (rc == RC_OK) {
		/* Opening it may just have done it. */
		if (card->reset_ms == 0 || dev__now_ms() - card->reset_ms > RESET_FRESH_MS)
			rc = reset(card, &d);
		card->link.ops->unlock(&card->link);
	}
	card->last = rc == RC_OK ? (struct diag){ 0 } : d;
	pthread_mutex_unlock(&card->mutex);
	return dev__error(rc);
}

static bool try_card(const char *name, unsigned timeout_ms, struct iotsafe_found *out)
{
	struct iotsafe_options o = { .card = name, .timeout_ms = timeout_ms };
	struct iotsafe *card = NULL;

	if (iotsafe_open(&o, &card, NULL, 0) != IOTSAFE_OK)
		return false;
	*out = (struct iotsafe_found){ 0 };
	(void)!str_copy(out->card, sizeof(out->card), name);
	if (iotsafe_iccid(card, out->iccid) != IOTSAFE_OK)
		out->iccid[0] = '\0';
	iotsafe_close(card);
	return true;
}

struct discovery {
	struct iotsafe_found *out;
	size_t cap, count;
	unsigned timeout_ms;
	const char *named; /* tried already */
};

static void consider(struct discovery *y, const char *kind, const char *path)
{
	struct iotsafe_found found;
	char name[sizeof(found.card)];

	if (str_format(name, sizeof(name), "%s%s", kind, path) != RC_OK)
		return;
	if (y->named && strcmp(y->named, name) == 0)
		return;
	if (!try_card(name, y->timeout_ms, &found))
		return;
	if (y->count < y->cap)
		y->out[y->count] = found;
	y->count++;
}

static void consider_reader(void *arg, const char *reader)
{
	consider(arg, "pcsc:", reader);
}

size_t iotsafe_discover(struct iotsafe_found *out, size_t cap, unsigned timeout_ms)
{
	static const char *const patterns[] = { "/dev/ttyUSB*", "/dev/ttyACM*", "/dev/ttyMODEM*" };
	struct discovery y = {
		.out = out, .cap = cap, .timeout_ms = timeout_ms ? timeout_ms : DISCOVER_TIMEOUT_MS
	};
	const char *named = getenv("IOTSAFE_CARD");
	glob_t g = { 0 };

	if (named)
		consider(&y, "", named);
	y.named = named;
	for (size_t i = 0; i < ARRAY_LEN(patterns); i++)
		(void)glob(patterns[i], i == 0 ? 0 : GLOB_APPEND, NULL, &g);
	for (size_t i = 0; i < g.gl_pathc; i++)
		consider(&y, "tty:", g.gl_pathv[i]);
	globfree(&g);
	dev__pcsc_each(consider_reader, &y);
	return y.count;
}
