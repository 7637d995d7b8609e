/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Between the files of device/ only. Inside, everything is `enum rc` and `struct diag`; the public
 * functions turn them into iotsafe_error at the edge. Nothing is allocated from a length that a
 * card or a modem states. */

#include "base/cur.h"
#include "base/diag.h"
#include "device/core/core__.h"
#include "iotsafe.h"

#include <pthread.h>
#include <sys/types.h>

#define DEV_APDU_MAX  IOTSAFE_APDU_MAX
#define DEV_REPLY_MAX IOTSAFE_REPLY_MAX
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
	/* Starts modem or card again, under the lock: by `program` (NULL: by its own command), and
	 * waits until the card answers. NULL where nothing can be reset. */
	enum rc (*reset)(
		struct dev_link *l, const char *program, uint64_t deadline_ms, struct diag *d);
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
	/* The applet's commands. core.channel 0: no other was free, select before each operation.
	 */
	struct iotsafe_core core;
	struct diag *d;	 /* of the operation that runs */
	enum rc link_rc; /* why the last exchange failed; *d says more */
	enum { DEV_RESET_NOT, DEV_RESET_AT, DEV_RESET_PROGRAM } reset; /* when it hangs */
	char reset_program[DEV_PATH_MAX];
	uint64_t reset_ms; /* when the last one was; 0: never */
	struct diag last;
	char iccid[IOTSAFE_ICCID_TEXT]; /* "" until it was read */
	OSSL_LIB_CTX *libctx;		/* of ssl.c; NULL until needed */
	OSSL_PROVIDER *base, *own;
	void (*ssl_free)(struct iotsafe *card); /* set with libctx: who has no TLS links none */
};

/* Runs `op` under both locks with the applet selected; once more when the channel was lost. */
enum iotsafe_error dev__run(struct iotsafe *card,
	enum rc (*op)(struct iotsafe *card, void *arg, struct diag *d), void *arg);

/* The core's exchange: over the link, within time-out and deadline. */
enum iotsafe_error dev__exchange(
	void *arg, const uint8_t *apdu, size_t len, uint8_t *reply, size_t *reply_len);
/* What a call of the core came to, with a sentence: RC_CLOSED when the channel or the selection is
 * lost, so that dev__run tries once more. `id` (at NULL: none) names the object. */
enum rc dev__core(struct iotsafe *card, enum iotsafe_error e, struct iotsafe_id id,
	struct diag *d) ATT_MUST_CHECK;
#define DEV_NO_ID ((struct iotsafe_id){ NULL, 0 })
enum iotsafe_error dev__error(enum rc rc);
void dev__link_close(struct dev_link *l);

/* Time and waiting, for the links. */
uint64_t dev__now_ms(void);
/* Waits for POLLIN or POLLOUT. RC_TIMEOUT, RC_CLOSED. */
enum rc dev__wait(int fd, short events, uint64_t deadline_ms) ATT_MUST_CHECK;
enum rc dev__write_all(int fd, const void *bytes, size_t len, uint64_t deadline_ms) ATT_MUST_CHECK;

/* An ICCID in a modem's line ("+CCID: 8912...", bare digits). */
bool dev__line_iccid(const char *line, size_t len, char out[IOTSAFE_ICCID_TEXT]);
