/* SPDX-License-Identifier: Apache-2.0 */
#include "asp/internal.h"

#include "base/str.h"

#include <openssl/x509.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CACHE_ENTRIES	  65536
#define LOOKUP_TIMEOUT_MS 5000
#define WAIT_MS		  200
#define WAIT_MARGIN_MS	  1000

struct attest {
	char zone[IDENT_OWNER_TEXT];
	char service[ATTEST_SERVICE_MAX]; /* "": any */
	bool use_tlsa;
	unsigned wait_ms;
	unsigned lookup_timeout_ms;
	X509_STORE *store; /* NULL: names only */
	struct asp_worker *worker;
};

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
	const struct attest_options *o, struct dane_resolver *r, struct diag *d)
{
	if (!o->resolver_addr || dane_resolver_addr(r, o->resolver_addr, o->resolver_port) != RC_OK)
		return diag_set(d, RC_RANGE, "resolver: not an IP address");
	if (o->resolver_name && str_copy(r->name, sizeof(r->name), o->resolver_name) != RC_OK)
		return diag_set(d, RC_RANGE, "resolver: name too long");
	for (size_t i = 0; i < o->n_pins; i++)
		if (dane_resolver_pin(r, o->pins[i]) != RC_OK)
			return diag_set(d, RC_RANGE,
				"resolver: pin is not 32 bytes in base64, or over %d pins",
				DANE_PINS_MAX);
	return RC_OK;
}

static enum rc start(struct attest *a, const struct attest_options *o, struct diag *d)
{
	struct dane_anchor anchors[DANE_ANCHORS_MAX];
	struct dane_resolver resolver = { 0 };
	struct dane_options opt = { .anchors = anchors,
		.resolvers = &resolver,
		.n_resolvers = 1,
		.timeout_ms = a->lookup_timeout_ms };
	enum rc rc;

	if (!o->zone || o->zone[0] == '\0' || str_copy(a->zone, sizeof(a->zone), o->zone) != RC_OK)
		return diag_set(d, RC_RANGE, "zone: missing or too long");
	str_lower(a->zone);
	if (o->service && str_copy(a->service, sizeof(a->service), o->service) != RC_OK)
		return diag_set(d, RC_RANGE, "service: handle too long");
	if (!o->anchor_file)
		return diag_set(d, RC_RANGE, "trust anchor: no file");
	rc = dane_anchors_read_file(o->anchor_file, anchors, &opt.n_anchors, d);
	if (rc == RC_OK)
		rc = read_resolver(o, &resolver, d);
	if (rc == RC_OK && o->ca_file)
		rc = asp__store_new(o->ca_file, &a->store, d);
	if (rc == RC_OK)
		rc = asp__worker_new(&opt, a->use_tlsa,
			o->cache_entries ? o->cache_entries : CACHE_ENTRIES, &a->worker, d);
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
	asp__worker_free(attest->worker);
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

static void describe(const struct attest *a, const struct asp_answer *ans, struct attest_result *r)
{
	const char *type = a->use_tlsa ? "TLSA" : "CERT";
	char digest[B64_LEN(32)];

	if (ans->status == DANE_SECURE && ans->n_digests > 0) {
		b64_write(ans->digests[0], 32, digest);
		note(r->answered, sizeof(r->answered), "%u %s, SHA-256 %s%s", ans->n_records, type,
			digest, ans->n_digests > 1 ? ", ..." : "");
	} else if (ans->status == DANE_SECURE) {
		note(r->answered, sizeof(r->answered), "%u %s, none of a kind that counts",
			ans->n_records, type);
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

/* Asks; true when there is an answer. Otherwise the result says why not. */
static bool ask(struct attest *a, unsigned wait_ms, bool fresh, struct asp_answer *ans,
	struct attest_result *r)
{
	bool cached = false;
	enum rc rc = asp__worker_ask(a->worker, r->name, wait_ms, fresh, ans, &cached);

	note(r->asked, sizeof(r->asked), "%s %s", r->name, a->use_tlsa ? "TLSA" : "CERT");
	r->cached = cached;
	if (rc == RC_OK) {
		describe(a, ans, r);
		if (ans->status <= DANE_NODATA) {
			const struct clock *c = clock_system();
			uint64_t now = c->monotonic_ms(c);

			r->ttl_s =
				ans->until_ms > now ? (uint32_t)((ans->until_ms - now) / 1000) : 0;
		}
		return true;
	}
	if (rc == RC_BUSY)
		say(r, ATTEST_CANNOT_TELL, "too many look-ups are waiting");
	else
		say(r, ATTEST_CANNOT_TELL, "no answer from the resolver within %u ms", wait_ms);
	return false;
}

static enum attest_reason judge(
	const struct asp_answer *ans, const struct asp_cert *cert, struct attest_result *r)
{
	switch (ans->status) {
	case DANE_SECURE: break;
	case DANE_NXDOMAIN: return say(r, ATTEST_ABSENT, "the registry denies the name");
	case DANE_NODATA: return say(r, ATTEST_ABSENT, "the registry has no record at the name");
	case DANE_INSECURE: return say(r, ATTEST_CANNOT_TELL, "answer insecure: %s", ans->why);
	case DANE_BOGUS: return say(r, ATTEST_CANNOT_TELL, "answer bogus: %s", ans->why);
	case DANE_UNREACHABLE: return say(r, ATTEST_CANNOT_TELL, "%s", ans->why);
	}
	if (!cert)
		return say(r, ATTEST_OK, "registered and active");
	for (size_t i = 0; i < ans->n_digests; i++)
		if (memcmp(ans->digests[i], cert->sha256, sizeof(cert->sha256)) == 0)
			return say(r, ATTEST_OK, "the registry names this certificate");
	return say(r, ATTEST_SUPERSEDED, "the registry names another certificate");
}

static enum attest_reason check(struct attest *a, const unsigned char *der, size_t len,
	unsigned wait_ms, bool fresh, struct attest_result *r)
{
	struct asp_cert cert;
	struct asp_answer ans;
	struct diag d = { 0 };

	memset(r, 0, sizeof(*r));
	if (!der || len == 0)
		return say(r, ATTEST_UNAUTHENTICATED, "no certificate");
	if (!a->store)
		return say(r, ATTEST_CANNOT_TELL, "no issuing CA was configured");
	if (asp__cert_chain(a->store, der, len, &d) != RC_OK ||
		asp__cert_read(der, len, a->zone, &cert, &d) != RC_OK)
		return say(r, ATTEST_UNKNOWN, "%s", d.text);
	memcpy(r->name, cert.name, sizeof(cert.name));
	memcpy(r->service, cert.service, sizeof(cert.service));
	if (a->service[0] && !str_equal_nocase(a->service, cert.service))
		return say(r, cert.service[0] ? ATTEST_BOUND_ELSEWHERE : ATTEST_UNKNOWN,
			"the certificate names %s%s", cert.service[0] ? "service " : "no service",
			cert.service);
	if (!ask(a, wait_ms, fresh, &ans, r))
		return r->reason;
	return judge(&ans, &cert, r);
}

enum attest_reason attest_check(
	struct attest *attest, const unsigned char *der, size_t len, struct attest_result *result)
{
	return check(attest, der, len, attest->wait_ms, false, result);
}

enum attest_reason attest_check_now(
	struct attest *attest, const unsigned char *der, size_t len, struct attest_result *result)
{
	return check(attest, der, len, 0, false, result);
}

enum attest_reason attest_check_wait(struct attest *attest, const unsigned char *der, size_t len,
	int fresh, struct attest_result *result)
{
	return check(
		attest, der, len, attest->lookup_timeout_ms + WAIT_MARGIN_MS, fresh != 0, result);
}

enum attest_reason attest_verify_name(
	struct attest *attest, const char *name, struct attest_result *result)
{
	struct attest_result *r = result;
	struct ident_owner owner;
	struct asp_answer ans;

	memset(r, 0, sizeof(*r));
	if (ident_owner_parse(name, attest->zone, &owner) != RC_OK ||
		ident_owner_name(owner.slot, owner.iccid, owner.zone, r->name) != RC_OK)
		return say(r, ATTEST_UNKNOWN, "not an owner name of %s", attest->zone);
	if (!ask(attest, attest->lookup_timeout_ms + WAIT_MARGIN_MS, true, &ans, r))
		return r->reason;
	return judge(&ans, NULL, r);
}
