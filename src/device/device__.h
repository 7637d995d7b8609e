/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Between the files of device/ only. Inside, everything is `enum rc` and `struct diag`; the public
 * functions turn them into iotsafe_error at the edge. Nothing is allocated from a length that a
 * card or a modem states. */

#include "base/cur.h"
#include "base/diag.h"
#include "iotsafe.h"

#include <pthread.h>
#include <sys/types.h>

/* One exchange: 5 + 255 + 1 bytes out, 256 + 2 bytes back. */
#define DEV_APDU_MAX  261
#define DEV_REPLY_MAX 258
/* Data of one command with all its GET RESPONSE steps. */
#define DEV_ANSWER_MAX 1024
/* A slot has 14 objects, there are 9, each takes up to 128 bytes: more is not a list. */
#define DEV_LIST_MAX 16384
/* "+CSIM: 516,"" and 516 digits fit; longer lines are noise. */
#define DEV_LINE_MAX 640
/* What a modem may say between command and result before it is taken for broken. */
#define DEV_NOISE_MAX 16384
#define DEV_PATH_MAX  240
/* A whole operation, in time-outs of one exchange: a card that is slow but never silent must not
 * hold its caller, and with it everybody who waits for the modem, for ever. */
#define DEV_OPERATION_TIMEOUTS 12

struct dev_link;

/* A way to the card. Each call ends by `deadline_ms` of the monotonic clock. RC_CLOSED: it is gone;
 * RC_TIMEOUT; RC_MALFORMED. */
struct dev_link_ops {
	enum rc (*open)(struct dev_link *l, struct diag *d);
	void (*close)(struct dev_link *l); /* NULL: fd is all there is */
	enum rc (*exchange)(struct dev_link *l, const uint8_t *apdu, size_t len,
		uint8_t reply[DEV_REPLY_MAX], size_t *reply_len, uint64_t deadline_ms,
		struct diag *d);
	/* Keeps other processes out for one operation. */
	enum rc (*lock)(struct dev_link *l, uint64_t deadline_ms, struct diag *d);
	void (*unlock)(struct dev_link *l);
	/* The modem's own idea of the ICCID; NULL where there is no modem. */
	enum rc (*iccid)(struct dev_link *l, char out[IOTSAFE_ICCID_TEXT], uint64_t deadline_ms,
		struct diag *d);
};

struct dev_link {
	const struct dev_link_ops *ops;
	char path[DEV_PATH_MAX];
	int fd;		       /* -1: closed */
	void *state;	       /* of pcsc.c */
	bool dirty;	       /* an exchange was cut short: late answers may still come */
	char in[DEV_LINE_MAX]; /* tty: bytes read beyond the last line */
	size_t in_len;
};

extern const struct dev_link_ops dev__tty;
extern const struct dev_link_ops dev__socket;
extern const struct dev_link_ops dev__pcsc;
/* Each PC/SC reader of this machine; none where there is no PC/SC. */
void dev__pcsc_each(void (*each)(void *arg, const char *reader), void *arg);

struct iotsafe {
	pthread_mutex_t mutex;
	_Atomic pid_t owner; /* a forked child shares neither the modem's lock nor the channel */
	struct dev_link link;
	char name[DEV_PATH_MAX + 8];
	unsigned timeout_ms;
	uint64_t deadline_ms; /* of the operation that runs */
	bool selected;	      /* channel open and applet selected on it */
	uint8_t channel;      /* 0: no other was free, select before each operation */
	uint8_t aid[16];
	size_t aid_len; /* 0: not known yet */
	struct diag last;
	char iccid[IOTSAFE_ICCID_TEXT]; /* "" until it was read */
	OSSL_LIB_CTX *libctx;		/* of ssl.c; NULL until needed */
	OSSL_PROVIDER *base, *own;
	void (*ssl_free)(struct iotsafe *card); /* set with libctx: who has no TLS links none */
};

/* A command and, with it, what came back. */
struct dev_answer {
	uint8_t data[DEV_ANSWER_MAX];
	size_t len;
	uint16_t sw;
};

#define DEV_NO_LE (-1)

/* Sends CLA(channel) INS P1 P2 [Lc data] [Le], follows 61xx and 6Cxx. RC_OK whatever SW came. */
enum rc dev__command(struct iotsafe *card, uint32_t header, const uint8_t *data, size_t len, int le,
	struct dev_answer *out, struct diag *d) ATT_MUST_CHECK;
/* INS P1 P2 as one number, for dev__command. */
#define DEV_HEADER(ins, p1, p2) ((uint32_t)(ins) << 16 | (uint32_t)(p1) << 8 | (uint32_t)(p2))

/* RC_OK for 9000; else what the status word means, with `what` in the text. RC_CLOSED when the
 * channel or the selection is lost, so that dev__run tries once more. */
enum rc dev__status(uint16_t sw, const char *what, struct diag *d) ATT_MUST_CHECK;

/* Runs `op` under both locks with the applet selected; once more when the channel was lost. */
enum iotsafe_error dev__run(struct iotsafe *card,
	enum rc (*op)(struct iotsafe *card, void *arg, struct diag *d), void *arg);

enum rc dev__open_channel(struct iotsafe *card, struct diag *d) ATT_MUST_CHECK;
void dev__close_channel(struct iotsafe *card);
enum rc dev__select(struct iotsafe *card, struct diag *d) ATT_MUST_CHECK;
enum iotsafe_error dev__error(enum rc rc);
void dev__link_close(struct dev_link *l);

/* Time and waiting, for the links. */
uint64_t dev__now_ms(void);
/* Waits for POLLIN or POLLOUT. RC_TIMEOUT, RC_CLOSED. */
enum rc dev__wait(int fd, short events, uint64_t deadline_ms) ATT_MUST_CHECK;
enum rc dev__write_all(int fd, const void *bytes, size_t len, uint64_t deadline_ms) ATT_MUST_CHECK;

/* Pure parsers, fuzzed. A modem's line: */
enum dev_line { DEV_LINE_NOISE, DEV_LINE_OK, DEV_LINE_ERROR, DEV_LINE_CSIM, DEV_LINE_BAD_CSIM };
enum dev_line dev__line_parse(
	const char *line, size_t len, uint8_t reply[DEV_REPLY_MAX], size_t *reply_len);
/* An ICCID in a modem's line ("+CCID: 8912...", bare digits). */
bool dev__line_iccid(const char *line, size_t len, char out[IOTSAFE_ICCID_TEXT]);
/* Object structures, wrapped in C1..C4 or bare. Writes at most `cap`; *count is their number. */
enum rc dev__objects_parse(const uint8_t *bytes, size_t len, struct iotsafe_object *out, size_t cap,
	size_t *count) ATT_MUST_CHECK;
/* 34 45 49 43 86 41 04..., or the bare point. */
enum rc dev__point_parse(
	const uint8_t *bytes, size_t len, uint8_t point[IOTSAFE_POINT_LEN]) ATT_MUST_CHECK;
/* 33 40 ... or 33 00 40 .... */
enum rc dev__signature_parse(
	const uint8_t *bytes, size_t len, uint8_t sig[IOTSAFE_SIG_LEN]) ATT_MUST_CHECK;
