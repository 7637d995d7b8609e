/* SPDX-License-Identifier: Apache-2.0 */
#include "dane/internal.h"

#include <openssl/rand.h>
#include <stdlib.h>
#include <string.h>

#define TIMEOUT_MS_DEFAULT 5000
#define ASK_MAX		   640

const char *dane_status_text(enum dane_status status)
{
	switch (status) {
	case DANE_SECURE: return "secure";
	case DANE_NXDOMAIN: return "nxdomain";
	case DANE_NODATA: return "nodata";
	case DANE_INSECURE: return "insecure";
	case DANE_BOGUS: return "bogus";
	case DANE_UNREACHABLE: return "unreachable";
	}
	return "?";
}

static enum rc check_options(const struct dane_options *opt, struct diag *d)
{
	if (opt->n_anchors == 0 || opt->n_anchors > DANE_ANCHORS_MAX)
		return diag_set(
			d, RC_RANGE, "anchors: %zu is not 1..%d", opt->n_anchors, DANE_ANCHORS_MAX);
	if (opt->n_resolvers == 0 || opt->n_resolvers > DANE_RESOLVERS_MAX)
		return diag_set(d, RC_RANGE, "resolvers: %zu is not 1..%d", opt->n_resolvers,
			DANE_RESOLVERS_MAX);
	for (size_t i = 0; i < opt->n_anchors; i++) {
		struct dane_name name;

		if (dane__name_parse(opt->anchors[i].name, &name) != RC_OK)
			return diag_set(d, RC_RANGE, "anchors: not a zone's name");
	}
	for (size_t i = 0; i < opt->n_resolvers; i++) {
		const struct dane_resolver *r = &opt->resolvers[i];

		if (r->n_pins == 0 || r->n_pins > DANE_PINS_MAX)
			return diag_set(d, RC_RANGE, "resolvers: %zu pins are not 1..%d", r->n_pins,
				DANE_PINS_MAX);
		if (r->addr_len != 4 && r->addr_len != 16)
			return diag_set(d, RC_RANGE, "resolvers: no address");
	}
	return RC_OK;
}

enum rc dane_new(const struct dane_options *opt, struct dane **out, struct diag *d)
{
	enum rc rc = check_options(opt, d);
	struct dane *dane = NULL;

	if (rc != RC_OK)
		return rc;
	dane = calloc(1, sizeof(*dane));
	if (!dane)
		return diag_set(d, RC_NOMEM, "dane: no memory");
	rc = dane__dot_init(&dane->dot, d);
	if (rc != RC_OK) {
		free(dane);
		return rc;
	}
	memcpy(dane->anchors, opt->anchors, opt->n_anchors * sizeof(*opt->anchors));
	dane->n_anchors = opt->n_anchors;
	memcpy(dane->resolvers, opt->resolvers, opt->n_resolvers * sizeof(*opt->resolvers));
	dane->n_resolvers = opt->n_resolvers;
	dane->timeout_ms = opt->timeout_ms ? opt->timeout_ms : TIMEOUT_MS_DEFAULT;
	dane->clock = opt->clock ? opt->clock : clock_system();
	*out = dane;
	return RC_OK;
}

void dane_free(struct dane *dane)
{
	if (!dane)
		return;
	dane__dot_fini(&dane->dot);
	for (size_t i = 0; i < DANE_ZONES_MAX; i++)
		dane__keys_free(&dane->zones[i]);
	free(dane);
}

void dane__msg_free(struct dane_msg *msg)
{
	if (msg)
		free(msg->owned);
	free(msg);
}

/* One question to one resolver. */
static enum rc ask_one(struct dane *dane, size_t index, uint64_t deadline_ms,
	const struct dane_name *name, uint16_t type, bool cd, struct dane_msg *msg, struct diag *d)
{
	uint8_t ask[ASK_MAX], *bytes = NULL;
	size_t ask_len = 0, len = 0;
	uint16_t id = 0;
	enum rc rc;

	if (RAND_bytes((uint8_t *)&id, sizeof(id)) != 1)
		return diag_set(d, RC_CRYPTO, "no random bytes");
	rc = dane__msg_ask(name, type, id, cd, ask, sizeof(ask), &ask_len);
	if (rc != RC_OK)
		return rc;
	rc = dane->ask ? dane->ask(dane->ask_user, ask, ask_len, &bytes, &len)
		       : dane__dot_exchange(&dane->dot, &dane->resolvers[index], index, dane->clock,
				 deadline_ms, ask, ask_len, &bytes, &len, d);
	if (rc != RC_OK)
		return rc;
	free(msg->owned);
	msg->owned = bytes;
	rc = dane__msg_parse(bytes, len, name, type, id, msg, d);
	if (rc == RC_OK && msg->truncated)
		rc = diag_set(d, RC_MALFORMED, "answer: truncated");
	if (rc != RC_OK)
		dane__dot_close(&dane->dot);
	return rc;
}

enum rc dane__ask(struct dane *dane, const struct dane_name *name, uint16_t type,
	uint64_t deadline_ms, struct dane_msg **out, struct diag *d)
{
	struct dane_msg *msg = calloc(1, sizeof(*msg));
	enum rc rc = RC_UNAVAILABLE;

	if (!msg)
		return diag_set(d, RC_NOMEM, "dane: no memory");
	for (size_t i = 0; i < dane->n_resolvers && rc != RC_OK; i++) {
		size_t at = (dane->preferred + i) % dane->n_resolvers;
		uint64_t now = dane->clock->monotonic_ms(dane->clock);
		uint64_t left = deadline_ms > now ? deadline_ms - now : 0;
		uint64_t until = now + left / (dane->n_resolvers - i);

		rc = ask_one(dane, at, until, name, type, false, msg, d);
		if (rc == RC_OK && msg->rcode == DANE_RCODE_SERVFAIL)
			rc = ask_one(dane, at, until, name, type, true, msg, d);
		if (rc == RC_OK && msg->rcode != DANE_RCODE_NOERROR &&
			msg->rcode != DANE_RCODE_NXDOMAIN)
			rc = diag_set(d, RC_UNAVAILABLE, "resolver: answers RCODE %u", msg->rcode);
		if (rc == RC_OK && i > 0)
			dane->preferred = at;
	}
	if (rc != RC_OK) {
		dane__msg_free(msg);
		return rc;
	}
	*out = msg;
	return RC_OK;
}

void dane_lookup(struct dane *dane, const char *name, uint16_t type, struct dane_answer *out)
{
	uint64_t deadline_ms = dane->clock->monotonic_ms(dane->clock) + dane->timeout_ms;
	struct dane_msg *msg = NULL;
	struct dane_name wire;
	struct diag why = { 0 };

	memset(out, 0, sizeof(*out));
	out->status = DANE_UNREACHABLE;
	if (dane__name_parse(name, &wire) != RC_OK) {
		diag_set(&why, RC_MALFORMED, "not a name that can be asked for");
	} else if (!dane__anchored(dane, &wire)) { /* nothing could be proved: nothing is asked */
		out->status = DANE_INSECURE;
		diag_set(&why, RC_NOT_FOUND, "no trust anchor above the name");
	} else if (dane__ask(dane, &wire, type, deadline_ms, &msg, &why) == RC_OK) {
		dane__validate(dane, msg, &wire, type, deadline_ms, out);
	}
	if (!msg)
		memcpy(out->why, why.text, sizeof(out->why));
	dane__msg_free(msg);
}
