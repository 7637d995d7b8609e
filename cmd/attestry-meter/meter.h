/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* A parking meter: the sample device. It believes its Registry Payload, checks its own record and
 * its provider's, and publishes over mutual TLS with the key on the card, which it never holds. */

#include "device/record.h"
#include "device/self.h"

#include <jansson.h>
#include <mosquitto.h>
#include <openssl/ssl.h>
#include <stdint.h>

struct options {
	const char *card;  /* NULL: IOTSAFE_CARD */
	const char *state; /* folder for the acceptance state; NULL: kept in memory */
	unsigned slot;
	unsigned wait_s; /* how long to wait for the first message; 0: for ever */
	unsigned interval_s;
	unsigned poll_s;
	bool once, json;
};

/* Where an attempt ended, and why: one of formats.md section 6 or a word of our own. */
struct refusal {
	const char *step;
	const char *reason;
	bool again; /* waiting may help */
	struct diag why;
};

/* A step as it was last reported. */
struct said {
	const char *step; /* static text; NULL: free */
	char *text;
};

#define SAID_MAX 8

struct meter {
	struct options opt;
	struct iotsafe *card;
	struct self self;
	struct self next; /* what was found on the card while a session was up */
	struct payload_state state;
	struct record_pins pins;
	char service[64], host[DANE_NAME_MAX];
	SSL_CTX *ctx;
	struct mosquitto *mosq;
	bool connected, acked, ended; /* set by libmosquitto's callbacks */
	int reason;		      /* MQTT's, of the last connect, publish or disconnect */
	struct diag server;	      /* why the server was refused, or empty */
	bool published;		      /* at least once in this run */
	unsigned long readings;
	struct said said[SAID_MAX];
	char last_refusal[DIAG_TEXT_MAX + 64];
};

/* Set by SIGINT and SIGTERM. */
bool meter_stopped(void);

/* report.c: one line per step. Takes `fields` (an object, or NULL). */
void report(const struct meter *m, const char *step, json_t *fields);
/* The same, unless it was the last word on this step already: attempts repeat themselves. */
void report_new(struct meter *m, const char *step, json_t *fields);
/* From here everything is news again. */
void report_forget(struct meter *m);
void report_refusal(struct meter *m, const struct refusal *r);

/* identity.c: payload, key, record and service; each reports itself. */
bool meter_identity(struct meter *m, struct refusal *r);

/* What the card says while a session is up. *d says why. */
enum meter_news {
	NEWS_NONE,
	NEWS_ELSEWHERE, /* another payload, accepted: connect anew */
	NEWS_WITHDRAWN, /* withdrawn or wiped: send nothing more */
	NEWS_REFUSED,	/* another payload that is not to be believed, or not yet whole */
	NEWS_CARD	/* the card does not answer */
};
enum meter_news meter_news(struct meter *m, struct diag *d);

/* broker.c: connects, publishes; stays until disconnected unless `once`. */
bool meter_broker(struct meter *m, struct refusal *r);
