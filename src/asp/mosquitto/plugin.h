/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* attest_mosquitto.so: a broker that lets only attested devices in, each to
 * its own topics. Everything the broker's configuration can do leads to the
 * same judge: a client is allowed nothing until its certificate was proved. */

#include "attest.h"
#include "base/rc.h"

#include <mosquitto.h>
#include <mosquitto_broker.h>
#include <mosquitto_plugin.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#define PLUGIN_PINS_MAX	   4
#define PLUGIN_CERT_MAX	   8192
#define PLUGIN_REASONS	   7
#define PLUGIN_TICK_MS	   200 /* the broker ticks more often than sessions need it */
#define PLUGIN_TICK_CHECKS 64  /* re-checks per tick: about 10 ms of a core */
#define PLUGIN_METRICS_MS  5000
#define PLUGIN_RETRY_MS	   1000 /* until a session without an answer is checked again */

/* A client that was judged. */
struct session {
	struct session *next;		/* in its bucket */
	const struct mosquitto *client; /* identity only; the broker owns it */
	char *client_id;
	char name[ATTEST_NAME_MAX];
	enum attest_reason reason; /* ATTEST_OK: may use its topics */
	uint64_t check_ms;	   /* monotonic: when to judge again */
	uint64_t grace_ms;	   /* ATTEST_OK without a new proof: until here at most */
	size_t der_len;
	uint8_t der[];
};

/* session.c: by client, so that a taken-over client id never inherits a judgement. */
struct sessions {
	size_t n;
	size_t buckets;
	struct session **table;
	size_t sweep; /* the bucket that the next tick begins with */
};
enum rc sessions_init(struct sessions *s) ATT_MUST_CHECK;
void sessions_fini(struct sessions *s);
struct session *sessions_get(struct sessions *s, const struct mosquitto *client);
/* Replaces what the client had; NULL without memory. */
struct session *sessions_put(struct sessions *s, const struct mosquitto *client,
	const char *client_id, const uint8_t *der, size_t der_len);
void sessions_drop(struct sessions *s, const struct mosquitto *client);

struct settings {
	struct attest_options attest; /* borrows from the broker's options */
	const char *pins[PLUGIN_PINS_MAX];
	struct attest_resolver second; /* asked when the first fails */
	const char *second_pins[PLUGIN_PINS_MAX];
	struct attest_feed_options feed; /* url NULL: none */
	const char *metrics_file;
	const char *topics; /* first level of the topics; "meters" */
	unsigned grace_ms;  /* a session outlives its proof so long while nobody can tell */
};

/* settings.c: every option is known and right, or the broker does not start. */
enum rc settings_read(const struct mosquitto_opt *options, int count, struct settings *out,
	char *error, size_t error_cap) ATT_MUST_CHECK;

/* feed.c: names of which the registry's feed has spoken, from its thread to the broker's. */
struct heard {
	pthread_mutex_t lock;
	bool all; /* every session is to be checked anew: events were lost, or there is no memory */
	size_t n, cap;
	char (*names)[ATTEST_NAME_MAX];
};
enum rc heard_init(struct heard *h) ATT_MUST_CHECK;
void heard_fini(struct heard *h);
void heard_add(enum attest_news what, const char *name, void *user);
/* Makes the sessions of those names due now. */
void heard_apply(struct heard *h, struct sessions *s);

struct plugin {
	mosquitto_plugin_id_t *id;
	struct attest *attest;
	struct sessions sessions;
	char *topics;
	unsigned grace_ms;
	uint64_t last_tick_ms;
	uint64_t counts[PLUGIN_REASONS]; /* judgements by reason */
	uint64_t kicked;
	struct heard heard;
	bool feed_wanted, feed_up;
	char *metrics_file;
	uint64_t metrics_ms; /* written last */
};

/* metrics.c: for Prometheus' textfile collector, every few seconds. */
void plugin_metrics(struct plugin *p, uint64_t now_ms);
