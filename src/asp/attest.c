/* SPDX-License-Identifier: Apache-2.0 */
#include "asp/internal.h"

#include "base/str.h"

#include <openssl/evp.h>
#include <openssl/x509.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CACHE_ENTRIES	  65536
#define LOOKUP_TIMEOUT_MS 5000
#define WAIT_MS		  200
#define WAIT_MARGIN_MS	  1000
#define THREADS		  4
#define NEWS_HOLD_S	  3600

const char *attest_reason_text(enum attest_reason reason)
{
	switch (reason) {
	case ATTEST_OK: return "ok";
	case ATTEST_UNAUTHENTICATED: return "unauthenticated";
	case ATTEST_UNKNOWN: return "unknown";
	case ATTEST_BOUND_ELSEWHERE: return "bound_elsewhere";
	case ATTEST_ABSENT: return "absent";
	case ATTEST_SUPERSEDED: return "superseded";
	case ATTEST_CANNOT_TELL: return "cannot_tell";
	}
	return "cannot_tell";
}

static enum rc read_resolver(
	const struct attest_resolver *from, struct dane_resolver *r, struct diag *d)
{
	if (!from->addr || dane_resolver_addr(r, from->addr, from->port) != RC_OK)
		return diag_set(d, RC_RANGE, "resolver: not an IP address");
	if (from->name && str_copy(r->name, sizeof(r->name), from->name) != RC_OK)
		return diag_set(d, RC_RANGE, "resolver: name too long");
	for (size_t i = 0; i < from->n_pins; i++)
		if (dane_resolver_pin(r, from->pins[i]) != RC_OK)
			return diag_set(d, RC_RANGE,
				"resolver: pin is not 32 bytes in base64, or over %d pins",
				DANE_PINS_MAX);
	return RC_OK;
}

static enum rc read_resolvers(const struct attest_options *o,
	struct dane_resolver out[DANE_RESOLVERS_MAX], size_t *n, struct diag *d)
{
	const struct attest_resolver first = { .addr = o->resolver_addr,
		.port = o->resolver_port,
		.name = o->resolver_name,
		.pins = o->pins,
		.n_pins = o->n_pins };
	enum rc rc = RC_OK;

	*n = 0;
	if (o->resolver_addr || o->n_resolvers == 0)
		rc = read_resolver(&first, &out[(*n)++], d);
	for (size_t i = 0; i < o->n_resolvers && rc == RC_OK; i++) {
		if (*n == DANE_RESOLVERS_MAX)
			return diag_set(d, RC_RANGE, "resolver: over %d", DANE_RESOLVERS_MAX);
		rc = read_resolver(&o->resolvers[i], &out[(*n)++], d);
	}
	return rc;
}

static enum rc start(struct attest *a, const struct attest_options *o, struct diag *d)
{
	struct dane_anchor anchors[DANE_ANCHORS_MAX];
	struct dane_resolver resolvers[DANE_RESOLVERS_MAX] = { 0 };
	struct dane_options opt = {
		.anchors = anchors, .resolvers = resolvers, .timeout_ms = a->lookup_timeout_ms
	};
	struct asp_worker_options w = { .dane = &opt,
		.cache_entries = o->cache_entries ? o->cache_entries : CACHE_ENTRIES,
		.threads = o->lookup_threads ? o->lookup_threads : THREADS,
		.max_ttl_s = o->max_ttl_s,
		.prefetch = o->no_prefetch == 0 };
	enum rc rc;

	if (!o->zone || o->zone[0] == '\0' || str_copy(a->zone, sizeof(a->zone), o->zone) != RC_OK)
		return diag_set(d, RC_RANGE, "zone: missing or too long");
	str_lower(a->zone);
	if (o->service && str_copy(a->service, sizeof(a->service), o->service) != RC_OK)
		return diag_set(d, RC_RANGE, "service: handle too long");
	if (!o->anchor_file)
		return diag_set(d, RC_RANGE, "trust anchor: no file");
	if (w.threads > ASP_THREADS_MAX)
		return diag_set(d, RC_RANGE, "look-up threads: over %d", ASP_THREADS_MAX);
	rc = dane_anchors_read_file(o->anchor_file, anchors, &opt.n_anchors, d);
	if (rc == RC_OK)
		rc = read_resolvers(o, resolvers, &opt.n_resolvers, d);
	if (rc == RC_OK && o->ca_file)
		rc = asp__store_new(o->ca_file, &a->store, d);
	if (rc == RC_OK && asp__seen_new(w.cache_entries, &a->seen) != RC_OK)
		rc = diag_set(d, RC_NOMEM, "no memory");
	if (rc == RC_OK && asp__ops_new(&a->ops) != RC_OK)
		rc = diag_set(d, RC_NOMEM, "no event descriptor");
	if (rc == RC_OK)
		rc = asp__worker_new(&w, &a->worker, d);
	return rc;
}

enum attest_error attest_new(
	const struct attest_options *options, struct attest **out, char *error, size_t error_cap)
{
	struct attest *a = calloc(1, sizeof(*a));
	struct diag d = { 0 };
	enum rc rc = RC_NOMEM;

	if (a) {
		a->use_tlsa = options->use_tlsa != 0;
		a->wait_ms = options->wait_ms ? options->wait_ms : WAIT_MS;
		a->lookup_timeout_ms =
			options->lookup_timeout_ms ? options->lookup_timeout_ms : LOOKUP_TIMEOUT_MS;
		rc = start(a, options, &d);
	}
	if (error && error_cap > 0)
		(void)snprintf(error, error_cap, "%s", d.text);
	if (rc != RC_OK) {
		attest_free(a);
		return rc == RC_NOMEM			      ? ATTEST_ENOMEM
		       : rc == RC_CRYPTO || rc == RC_INTERNAL ? ATTEST_ESYSTEM
							      : ATTEST_EINVAL;
	}
	*out = a;
	return ATTEST_SUCCESS;
}

void attest_free(struct attest *attest)
{
	if (!attest)
		return;
	attest_feed_stop(attest);
	asp__worker_free(attest->worker);
	asp__ops_free(attest->ops);
	asp__hooks_free(attest->hooks);
	asp__seen_free(attest->seen);
	X509_STORE_free(attest->store);
	free(attest);
}

/* printf into a field of the result; cut when too long, which a text for people may be. */
static void note(char *out, size_t cap, const char *fmt, ...) ATT_PRINTF(3, 4);

static void note(char *out, size_t cap, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(out, cap, fmt, ap);
	va_end(ap);
}

static enum attest_reason say(
	struct attest_result *r, enum attest_reason reason, const char *fmt, ...) ATT_PRINTF(3, 4);

static enum attest_reason say(
	struct attest_result *r, enum attest_reason reason, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(r->text, sizeof(r->text), fmt, ap);
	va_end(ap);
	r->reason = reason;
	return reason;
}

static const char *type_text(uint16_t type)
{
	return type == DANE_TYPE_TLSA ? "TLSA" : "CERT";
}

uint16_t asp__type(const struct attest *a, const char *client_name)
{
	return a->use_tlsa || client_name ? DANE_TYPE_TLSA : DANE_TYPE_CERT;
}

static void describe(uint16_t type, const struct asp_answer *ans, struct attest_result *r)
{
	char digest[B64_LEN(32)];

	if (ans->status == DANE_SECURE && ans->n_digests > 0) {
		b64_write(ans->digests[0], 32, digest);
		note(r->answered, sizeof(r->answered), "%u %s, SHA-256 %s%s", ans->n_records,
			type_text(type), digest, ans->n_digests > 1 ? ", ..." : "");
	} else if (ans->status == DANE_SECURE) {
		note(r->answered, sizeof(r->answered), "%u %s, none of a kind that counts",
			ans->n_records, type_text(type));
	} else if (ans->status == DANE_NXDOMAIN) {
		note(r->answered, sizeof(r->answered), "no such name (NXDOMAIN)");
	} else if (ans->status == DANE_NODATA) {
		note(r->answered, sizeof(r->answered), "no such record (NODATA)");
	} else {
		note(r->answered, sizeof(r->answered), "nothing usable (%s)",
			dane_status_text(ans->status));
	}
	note(r->proved, sizeof(r->proved), "%s", ans->why);
}

static uint32_t left_s(const struct asp_answer *ans)
{
	const struct clock *c = clock_system();
	uint64_t now = c->monotonic_ms(c);

	if (ans->status > DANE_NODATA || ans->until_ms <= now)
		return 0;
	return (uint32_t)((ans->until_ms - now) / 1000);
}

/* The feed only takes trust away. */
static bool refused_by_news(struct attest *a, const struct asp_cert *cert, struct attest_result *r)
{
	struct asp_answer news;

	if (!asp__worker_noted(a->worker, cert->name, &news))
		return false;
	note(r->proved, sizeof(r->proved), "the registry's feed");
	if (news.status == DANE_NXDOMAIN) {
		say(r, ATTEST_ABSENT, "withdrawn by the registry a moment ago");
		return true;
	}
	if (news.n_digests > 0 && memcmp(news.digests[0], cert->sha256, 32) == 0)
		return false;
	say(r, ATTEST_SUPERSEDED, "the registry has just named another certificate");
	return true;
}

static enum attest_reason no_proof(const struct asp_answer *ans, struct attest_result *r)
{
	switch (ans->status) {
	case DANE_NXDOMAIN:
		return say(r, ATTEST_ABSENT,
			"the registry denies the name: revoked, deactivated or never registered");
	case DANE_NODATA:
		return say(r, ATTEST_ABSENT,
			"the registry has no record at the name: revoked, deactivated or never "
			"registered");
	case DANE_INSECURE:
		return say(r, ATTEST_CANNOT_TELL,
			"cannot tell: answer insecure (%s): check zone and trust anchor", ans->why);
	case DANE_BOGUS:
		return say(r, ATTEST_CANNOT_TELL,
			"cannot tell: answer bogus (%s): check clock and trust anchor; or somebody "
			"lies",
			ans->why);
	case DANE_SECURE:
	case DANE_UNREACHABLE: break;
	}
	return say(r, ATTEST_CANNOT_TELL,
		"cannot tell: resolver unreachable (%s): check address, port and pin", ans->why);
}

enum attest_reason asp__judge(struct attest *a, uint16_t type, const char *asked, enum rc rc,
	const struct asp_answer *ans, bool cached, const struct asp_cert *cert,
	struct attest_result *r)
{
	note(r->asked, sizeof(r->asked), "%s %s", asked, type_text(type));
	r->cached = cached;
	if (rc == RC_BUSY)
		return say(r, ATTEST_CANNOT_TELL, "cannot tell: too many look-ups are waiting");
	if (rc != RC_OK)
		return say(r, ATTEST_CANNOT_TELL,
			"cannot tell yet: no answer from the resolver in time; it serves the next "
			"try");
	describe(type, ans, r);
	r->ttl_s = left_s(ans);
	if (cert && refused_by_news(a, cert, r))
		return r->reason;
	if (ans->status != DANE_SECURE)
		return no_proof(ans, r);
	if (!cert)
		return say(r, ATTEST_OK, "registered and active");
	for (size_t i = 0; i < ans->n_digests; i++)
		if (memcmp(ans->digests[i], cert->sha256, sizeof(cert->sha256)) == 0)
			return say(r, ATTEST_OK, "the registry names this certificate");
	return say(r, ATTEST_SUPERSEDED,
		"the registry names another certificate: the device must use its newest");
}

/* Chain and names, or what was found of the very same bytes before. */
static enum rc read_cert(struct attest *a, const unsigned char *der, size_t len,
	struct asp_cert *out, struct diag *d)
{
	const struct clock *c = clock_system();
	int64_t now = c->unix_s(c), until = 0;
	uint8_t sha256[32];
	enum rc rc;

	if (len > ASP_CERT_MAX || EVP_Digest(der, len, sha256, NULL, EVP_sha256(), NULL) != 1)
		return diag_set(d, RC_MALFORMED, "certificate: does not parse");
	if (asp__seen_get(a->seen, sha256, now, out))
		return RC_OK;
	rc = asp__cert_chain(a->store, der, len, &until, d);
	if (rc == RC_OK)
		rc = asp__cert_read(der, len, a->zone, out, d);
	if (rc == RC_OK && until > now)
		asp__seen_put(a->seen, out, now, until);
	return rc;
}

enum attest_reason asp__local(struct attest *a, const unsigned char *der, size_t len,
	const char *client_name, struct asp_cert *cert, char ask[ASP_NAME_TEXT],
	struct attest_result *r)
{
	struct diag d = { 0 };

	memset(r, 0, sizeof(*r));
	if (!der || len == 0)
		return say(r, ATTEST_UNAUTHENTICATED, "no certificate");
	if (!a->store)
		return say(r, ATTEST_CANNOT_TELL, "no issuing CA was configured");
	if (read_cert(a, der, len, cert, &d) != RC_OK)
		return say(r, ATTEST_UNKNOWN, "%s", d.text);
	memcpy(r->name, cert->name, sizeof(cert->name));
	memcpy(r->service, cert->service, sizeof(cert->service));
	if (a->service[0] && !str_equal_nocase(a->service, cert->service))
		return say(r, cert->service[0] ? ATTEST_BOUND_ELSEWHERE : ATTEST_UNKNOWN,
			"the certificate names %s%s", cert->service[0] ? "service " : "no service",
			cert->service);
	if (!client_name) {
		memcpy(ask, cert->name, sizeof(cert->name));
	} else if (asp__dance_name(client_name, cert, a->zone, ask, &d) != RC_OK) {
		return say(r, ATTEST_UNKNOWN, "%s", d.text);
	}
	(void)refused_by_news(a, cert, r);
	return r->reason;
}

static enum attest_reason check(struct attest *a, const unsigned char *der, size_t len,
	const char *client_name, unsigned wait_ms, bool fresh, struct attest_result *r)
{
	char asked[ASP_NAME_TEXT];
	struct asp_cert cert;
	struct asp_answer ans;
	bool cached = false;
	uint16_t type = asp__type(a, client_name);

	if (asp__local(a, der, len, client_name, &cert, asked, r) == ATTEST_OK) {
		enum rc rc = asp__worker_ask(a->worker, asked, type, wait_ms, fresh, &ans, &cached);

		(void)asp__judge(a, type, asked, rc, &ans, cached, &cert, r);
	}
	asp__worker_count(a->worker, r->reason);
	return r->reason;
}

enum attest_reason attest_check(
	struct attest *attest, const unsigned char *der, size_t len, struct attest_result *result)
{
	return check(attest, der, len, NULL, attest->wait_ms, false, result);
}

enum attest_reason attest_check_now(
	struct attest *attest, const unsigned char *der, size_t len, struct attest_result *result)
{
	return check(attest, der, len, NULL, 0, false, result);
}

enum attest_reason attest_check_wait(struct attest *attest, const unsigned char *der, size_t len,
	int fresh, struct attest_result *result)
{
	return check(attest, der, len, NULL, attest->lookup_timeout_ms + WAIT_MARGIN_MS, fresh != 0,
		result);
}

enum attest_reason attest_check_local(
	struct attest *attest, const unsigned char *der, size_t len, struct attest_result *result)
{
	char asked[ASP_NAME_TEXT];
	struct asp_cert cert;

	return asp__local(attest, der, len, NULL, &cert, asked, result);
}

enum attest_reason attest_check_dance(struct attest *attest, const unsigned char *der, size_t len,
	const char *client_name, struct attest_result *result)
{
	return check(
		attest, der, len, client_name ? client_name : "", attest->wait_ms, false, result);
}

enum attest_reason attest_verify_name(
	struct attest *attest, const char *name, struct attest_result *result)
{
	struct attest_result *r = result;
	uint16_t type = asp__type(attest, NULL);
	struct asp_answer ans;
	bool cached = false;
	enum rc rc;

	memset(r, 0, sizeof(*r));
	if (asp__owner_name(name, attest->zone, r->name) != RC_OK)
		return say(r, ATTEST_UNKNOWN, "not an owner name of %s", attest->zone);
	rc = asp__worker_ask(attest->worker, r->name, type,
		attest->lookup_timeout_ms + WAIT_MARGIN_MS, true, &ans, &cached);
	return asp__judge(attest, type, r->name, rc, &ans, cached, NULL, r);
}

enum attest_error attest_news(struct attest *attest, enum attest_news what, const char *name,
	const unsigned char *sha256, unsigned hold_s)
{
	char canonical[IDENT_OWNER_TEXT];

	if (asp__owner_name(name, attest->zone, canonical) != RC_OK)
		return ATTEST_EINVAL;
	asp__worker_news(attest->worker, what, canonical, sha256, hold_s ? hold_s : NEWS_HOLD_S);
	return ATTEST_SUCCESS;
}
