/* SPDX-License-Identifier: Apache-2.0 */
#include "device/record.h"

#include "base/str.h"

#include <openssl/x509_vfy.h>
#include <stdlib.h>
#include <string.h>

#define USAGE_DANE_TA 2
#define USAGE_DANE_EE 3

const char *record_text(enum record_verdict v)
{
	switch (v) {
	case RECORD_ATTESTED: return "attested";
	case RECORD_ABSENT: return "absent";
	case RECORD_SUPERSEDED: return "superseded";
	case RECORD_CANNOT_TELL: break;
	}
	return "cannot_tell";
}

static enum rc convert_resolver(const struct payload_resolver *from, struct dane_resolver *to)
{
	enum rc rc = payload_text_copy(from->name, to->name, sizeof(to->name));

	if (rc != RC_OK || from->addr.len > sizeof(to->addr) || from->pins_len > DANE_PINS_MAX)
		return rc == RC_OK ? RC_TOO_LARGE : rc;
	memcpy(to->addr, from->addr.at, from->addr.len);
	to->addr_len = from->addr.len;
	to->port = from->port;
	to->n_pins = from->pins_len;
	for (size_t i = 0; i < from->pins_len; i++)
		memcpy(to->pins[i], from->pins[i], PAYLOAD_HASH_LEN);
	return RC_OK;
}

/* An anchor whose digest this machine does not know is passed over: others may stand beside it. */
static bool convert_anchor(const struct payload_anchor *from, struct dane_anchor *to)
{
	if (from->digest.len > sizeof(to->digest) ||
		(from->digest_type != 2 && from->digest_type != 4) ||
		payload_text_copy(from->name, to->name, sizeof(to->name)) != RC_OK)
		return false;
	to->tag = from->tag;
	to->algorithm = from->alg;
	to->digest_type = from->digest_type;
	memcpy(to->digest, from->digest.at, from->digest.len);
	to->digest_len = from->digest.len;
	return true;
}

enum rc record_open(const struct payload *p, unsigned timeout_ms, struct dane **out, struct diag *d)
{
	struct dane_anchor anchors[PAYLOAD_ANCHORS_MAX] = { 0 };
	struct dane_resolver resolvers[PAYLOAD_RESOLVERS_MAX] = { 0 };
	struct dane_options o = {
		.anchors = anchors, .resolvers = resolvers, .timeout_ms = timeout_ms
	};

	for (size_t i = 0; i < p->anchors_len && o.n_anchors < DANE_ANCHORS_MAX; i++)
		if (convert_anchor(&p->anchors[i], &anchors[o.n_anchors]))
			o.n_anchors++;
	for (size_t i = 0; i < p->resolvers_len && o.n_resolvers < DANE_RESOLVERS_MAX; i++) {
		enum rc rc = convert_resolver(&p->resolvers[i], &resolvers[o.n_resolvers]);
		if (rc != RC_OK)
			return diag_set(d, rc, "resolver %zu of the payload", i);
		o.n_resolvers++;
	}
	return dane_new(&o, out, d);
}

enum record_verdict record_check(
	struct dane *dane, const char *owner, const uint8_t cert_sha256[32], struct diag *why)
{
	struct dane_answer *a = calloc(1, sizeof(*a));
	enum record_verdict v = RECORD_CANNOT_TELL;

	if (!a) {
		(void)diag_set(why, RC_NOMEM, "out of memory");
		return v;
	}
	dane_lookup(dane, owner, DANE_TYPE_CERT, a);
	(void)diag_set(why, RC_OK, "%s CERT: %s: %s", owner, dane_status_text(a->status), a->why);
	switch (a->status) {
	case DANE_SECURE:
		v = RECORD_SUPERSEDED;
		for (size_t i = 0; i < a->n_rrs; i++)
			if (dane_cert_match(&a->rrs[i], cert_sha256))
				v = RECORD_ATTESTED;
		break;
	case DANE_NXDOMAIN:
	case DANE_NODATA: v = RECORD_ABSENT; break;
	case DANE_INSECURE:
	case DANE_BOGUS:
	case DANE_UNREACHABLE: break;
	}
	free(a);
	return v;
}

static void pins_of_payload(const struct payload *p, struct record_pins *out)
{
	out->from_dns = false;
	out->len = p->pins_len;
	for (size_t i = 0; i < p->pins_len; i++)
		out->pins[i] = (struct dane_tlsa){ .usage = p->pins[i].usage,
			.selector = p->pins[i].selector,
			.matching = p->pins[i].matching,
			.data = p->pins[i].data.at,
			.len = p->pins[i].data.len };
}

enum rc record_service(
	struct dane *dane, const struct payload *p, struct record_pins *out, struct diag *d)
{
	char name[DANE_NAME_MAX];
	enum rc rc = str_format(name, sizeof(name), "_%u._tcp.%.*s._service.%.*s", p->port,
		(int)p->service.len, (const char *)p->service.at, (int)p->zone.len,
		(const char *)p->zone.at);

	if (rc != RC_OK)
		return diag_set(d, rc, "name of the service's TLSA record");
	dane_lookup(dane, name, DANE_TYPE_TLSA, &out->answer);
	if (out->answer.status == DANE_NXDOMAIN || out->answer.status == DANE_NODATA) {
		pins_of_payload(p, out);
		return RC_OK;
	}
	if (out->answer.status != DANE_SECURE)
		return diag_set(d, RC_UNAVAILABLE, "%s TLSA: %s: %s", name,
			dane_status_text(out->answer.status), out->answer.why);
	out->from_dns = true;
	out->len = 0;
	for (size_t i = 0; i < out->answer.n_rrs && out->len < PAYLOAD_PINS_MAX; i++)
		if (dane_tlsa_parse(&out->answer.rrs[i], &out->pins[out->len]) == RC_OK)
			out->len++;
	return out->len > 0 ? RC_OK : diag_set(d, RC_AUTH, "%s TLSA: no record is usable", name);
}

/* The chain down from `anchor`, with the host name in the leaf (RFC 7671 section 5.2). */
static bool chain_holds(X509 *anchor, X509 *leaf, STACK_OF(X509) * chain, const char *host)
{
	X509_STORE *store = X509_STORE_new();
	X509_STORE_CTX *ctx = X509_STORE_CTX_new();
	bool ok = store && ctx && X509_STORE_add_cert(store, anchor) == 1 &&
		  X509_STORE_CTX_init(ctx, store, leaf, chain) == 1 &&
		  X509_STORE_CTX_set_default(ctx, "ssl_server") == 1;

	if (ok) {
		X509_VERIFY_PARAM *param = X509_STORE_CTX_get0_param(ctx);
		X509_VERIFY_PARAM_set_flags(param, X509_V_FLAG_PARTIAL_CHAIN);
		ok = X509_VERIFY_PARAM_set1_host(param, host, 0) == 1 && X509_verify_cert(ctx) == 1;
	}
	X509_STORE_CTX_free(ctx);
	X509_STORE_free(store);
	return ok;
}

enum rc record_server(
	const struct record_pins *pins, STACK_OF(X509) * chain, const char *host, struct diag *d)
{
	X509 *leaf = sk_X509_num(chain) > 0 ? sk_X509_value(chain, 0) : NULL;

	if (!leaf)
		return diag_set(d, RC_AUTH, "server: no certificate");
	for (size_t i = 0; i < pins->len; i++) {
		const struct dane_tlsa *t = &pins->pins[i];
		if (t->usage == USAGE_DANE_EE && dane_tlsa_match(t, leaf))
			return RC_OK;
		for (int k = 1; t->usage == USAGE_DANE_TA && k < sk_X509_num(chain); k++)
			if (dane_tlsa_match(t, sk_X509_value(chain, k)) &&
				chain_holds(sk_X509_value(chain, k), leaf, chain, host))
				return RC_OK;
	}
	return diag_set(d, RC_AUTH,
		"server %s: its certificate matches none of the %zu pins of "
		"the %s (RFC 6698 2.1)",
		host, pins->len, pins->from_dns ? "zone" : "payload");
}
