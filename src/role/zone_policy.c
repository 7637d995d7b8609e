/* SPDX-License-Identifier: Apache-2.0 */
/* The zone's own facts: from the configuration and from keys. */
#include "base/str.h"
#include "role/zone_internal.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>

static enum rc read_name(const char *what, const char *text, struct zone_name *out, struct diag *d)
{
	enum rc rc = zone_name_from_text(text, out);

	if (rc != RC_OK)
		return diag_set(d, rc, "%s: not a domain name (RFC 1035 section 2.3.1)", what);
	zone_name_lower(out);
	return RC_OK;
}

/* "label.<zone>" unless the setting says something else. */
static enum rc read_name_or(const char *what, const char *text, const char *label, const char *zone,
	struct zone_name *out, struct diag *d)
{
	char preset[ZONE_TEXT_MAX];
	enum rc rc;

	if (text && text[0])
		return read_name(what, text, out, d);
	rc = str_format(preset, sizeof(preset), "%s.%s", label, zone);
	return rc == RC_OK ? read_name(what, preset, out, d) : rc;
}

static enum rc add_address(struct zone_policy *p, const char *text, struct diag *d)
{
	unsigned i = p->ns_addrs;

	if (i == WORK_NS_ADDR_MAX)
		return diag_set(
			d, RC_TOO_LARGE, "[dns] ns_addr: more than %u addresses", WORK_NS_ADDR_MAX);
	if (inet_pton(AF_INET, text, p->ns_addr[i]) == 1)
		p->ns_addr_len[i] = 4;
	else if (inet_pton(AF_INET6, text, p->ns_addr[i]) == 1)
		p->ns_addr_len[i] = 16;
	else
		return diag_set(d, RC_MALFORMED, "[dns] ns_addr: not an IP address: %s", text);
	p->ns_addrs++;
	return RC_OK;
}

static void listen_address(struct zone_policy *p, const struct conf_addr *a)
{
	const struct sockaddr_in *v4 = (const void *)&a->sa;
	const struct sockaddr_in6 *v6 = (const void *)&a->sa;

	if (a->len == 0)
		return;
	if (a->sa.ss_family == AF_INET) {
		memcpy(p->ns_addr[0], &v4->sin_addr, 4);
		p->ns_addr_len[0] = 4;
	} else {
		memcpy(p->ns_addr[0], &v6->sin6_addr, 16);
		p->ns_addr_len[0] = 16;
	}
	p->ns_addrs = 1;
}

/* "hostmaster@example.org" or a name; dots before the @ are part of the first label (RFC 1035
 * section 8). */
static enum rc read_rname(const char *text, const char *zone, struct zone_name *out, struct diag *d)
{
	char name[ZONE_TEXT_MAX];
	const char *at = text ? strchr(text, '@') : NULL;
	size_t n = 0;

	if (!at)
		return read_name_or("[zone] hostmaster", text, "hostmaster", zone, out, d);
	for (const char *p = text; p < at && n + 2 < sizeof(name); p++) {
		if (*p == '.')
			name[n++] = '\\';
		name[n++] = *p;
	}
	if (str_format(name + n, sizeof(name) - n, ".%s", at + 1) != RC_OK)
		return diag_set(d, RC_TOO_LARGE, "[zone] hostmaster");
	return read_name("[zone] hostmaster", name, out, d);
}

static bool alg_of(unsigned number, unsigned *out)
{
	*out = number == RR_ALG_ED25519 ? REC_ED25519 : REC_P256;
	return number == RR_ALG_ED25519 || number == RR_ALG_P256;
}

/* What is published of each key, and which of them sign. */
static enum rc read_keys(struct zone_policy *p, const Keys__Public *pub, struct diag *d)
{
	p->form = pub->form & (REC_FORM_P256 | REC_FORM_ED);
	/* 1: no set is good now, so none is due. */
	if (pub->presigned)
		p->presigned = pub->presigned->from ? pub->presigned->from : WORK_NOT_PRESIGNED;
	if (pub->n_zone_keys > WORK_KEYS_MAX)
		return diag_set(d, RC_TOO_LARGE, "keys: more than %u keys", WORK_KEYS_MAX);
	for (size_t i = 0; i < pub->n_zone_keys; i++) {
		const Keys__ZoneKey *k = pub->zone_keys[i];
		struct work_key *out = &p->key[p->keys];

		unsigned alg;

		if (k->rdata.len > DNSKEY_LEN || k->rdata.len < 4 || k->n_times != ZONE_KEY_TIMES ||
			!alg_of(k->algorithm, &alg))
			return diag_set(d, RC_MALFORMED, "keys: key %u", k->tag);
		if (k->state == KEYS__ZONE_KEY_STATE__KEY_ACTIVE)
			(k->ksk ? p->tags.ksk : p->tags.zsk)[alg] = (uint16_t)k->tag;
		if (!k->in_dnskey)
			continue;
		memcpy(out->rdata, k->rdata.data, k->rdata.len);
		out->len = (uint16_t)k->rdata.len;
		out->cds = k->in_cds;
		p->keys++;
	}
	return RC_OK;
}

enum rc zone__policy_read(const struct config *config, const Keys__Public *pub,
	struct zone_policy *out, struct diag *d)
{
	struct zone_policy p = { 0 };
	const char *zone = config->registry.zone;
	enum rc rc = read_name("[registry] zone", zone, &p.origin, d);

	if (rc == RC_OK && !str_equal_nocase(zone, pub->zone))
		rc = diag_set(d, RC_CONFLICT, "keys holds the keys of another zone: %s", pub->zone);
	if (rc == RC_OK)
		rc = read_name_or("[dns] ns_name", config->dns.ns_name, "ns1", zone, &p.ns_name, d);
	if (rc == RC_OK)
		rc = read_rname(config->zone.hostmaster, zone, &p.rname, d);
	for (size_t i = 0; rc == RC_OK && i < config->dns.ns_addr.count; i++)
		if (config->dns.ns_addr.items[i][0])
			rc = add_address(&p, config->dns.ns_addr.items[i], d);
	if (rc != RC_OK)
		return rc;
	if (p.ns_addrs == 0)
		listen_address(&p, &config->dns.listen);
	rc = read_keys(&p, pub, d);
	if (rc != RC_OK)
		return rc;
	p.ttl = (uint32_t)config->zone.ttl_s;
	p.minimum = (uint32_t)config->zone.minimum_s;
	/* The negative TTL is the smaller of SOA TTL and minimum (RFC 9077). */
	if (p.minimum > p.ttl)
		p.minimum = p.ttl;
	p.refresh = (uint32_t)config->zone.refresh_s;
	p.retry = (uint32_t)config->zone.retry_s;
	p.expire = (uint32_t)config->zone.expire_s;
	p.signature_s = (uint32_t)config->zone.signature_s;
	p.infra_signature_s = (uint32_t)config->zone.infra_signature_s;
	*out = p;
	return RC_OK;
}
