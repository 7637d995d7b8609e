/* SPDX-License-Identifier: Apache-2.0 */
#include "payload/payload__.h"

#define NAME_MAX_LEN 253 /* RFC 1035 section 2.3.4, as text */
#define LABEL_MAX    63
#define HANDLE_MAX   63
#define URL_MAX	     1024
#define PIN_DATA_MAX 4096 /* matching type 0 carries a certificate */
#define DIGEST_MAX   64
#define CA_DER_MAX   4096

struct payload_bytes payload_text(const char *text)
{
	struct payload_bytes b = { .at = (const uint8_t *)text };

	while (text && text[b.len] != '\0')
		b.len++;
	return b;
}

bool payload_text_is(struct payload_bytes a, const char *text)
{
	struct payload_bytes b = payload_text(text);
	struct cur ca = cur_init(a.at, a.len), cb = cur_init(b.at, b.len);

	return a.at && cbor_compare(&ca, &cb) == 0;
}

enum rc payload_text_copy(struct payload_bytes a, char *out, size_t cap)
{
	if (a.len >= cap)
		return RC_TOO_LARGE;
	for (size_t i = 0; i < a.len; i++) {
		if (a.at[i] == '\0')
			return RC_MALFORMED;
		out[i] = (char)a.at[i];
	}
	out[a.len] = '\0';
	return RC_OK;
}

static bool is_name_byte(uint8_t b)
{
	return (b >= 'a' && b <= 'z') || (b >= 'A' && b <= 'Z') || (b >= '0' && b <= '9') ||
	       b == '-' || b == '_';
}

/* A host name without trailing dot; upper case only where the format does not forbid it. */
static bool is_host(struct payload_bytes n)
{
	size_t label = 0;

	if (!n.at || n.len == 0 || n.len > NAME_MAX_LEN)
		return false;
	for (size_t i = 0; i < n.len; i++) {
		if (n.at[i] == '.') {
			if (label == 0)
				return false;
			label = 0;
		} else if (!is_name_byte(n.at[i]) || ++label > LABEL_MAX) {
			return false;
		}
	}
	return label > 0;
}

static bool is_name(struct payload_bytes n)
{
	for (size_t i = 0; n.at && i < n.len; i++)
		if (n.at[i] >= 'A' && n.at[i] <= 'Z')
			return false;
	return is_host(n);
}

/* Printable ASCII without spaces: what a handle or a URL may be made of (RFC 3986 section 2). */
static bool is_visible(struct payload_bytes t, size_t max)
{
	if (!t.at || t.len == 0 || t.len > max)
		return false;
	for (size_t i = 0; i < t.len; i++)
		if (t.at[i] <= ' ' || t.at[i] > '~')
			return false;
	return true;
}

static bool digest_fits(uint8_t type, size_t len)
{
	switch (type) { /* IANA "Digest Algorithms" of DS */
	case 1: return len == 20;
	case 2:
	case 3: return len == 32;
	case 4: return len == 48;
	default: return len > 0 && len <= DIGEST_MAX;
	}
}

enum rc payload__check_profile(const struct payload *p, struct diag *d)
{
	if (!is_name(p->zone))
		return diag_set(d, RC_RANGE,
			"zone: not a lower-case name without trailing dot "
			"(formats 2, key 9)");
	if (p->anchors_len == 0 || p->anchors_len > PAYLOAD_ANCHORS_MAX)
		return diag_set(d, RC_RANGE, "trust anchors: %zu, not 1..%d (formats 2, key 10)",
			p->anchors_len, PAYLOAD_ANCHORS_MAX);
	for (size_t i = 0; i < p->anchors_len; i++) {
		const struct payload_anchor *a = &p->anchors[i];
		if (!is_name(a->name) && !payload_text_is(a->name, "."))
			return diag_set(d, RC_RANGE,
				"trust anchor: not a lower-case name "
				"(formats 2, key 10)");
		if (!a->digest.at || !digest_fits(a->digest_type, a->digest.len))
			return diag_set(d, RC_RANGE,
				"trust anchor: digest of %zu bytes for type "
				"%u (formats 2, key 10)",
				a->digest.len, a->digest_type);
	}
	if (p->resolvers_len == 0 || p->resolvers_len > PAYLOAD_RESOLVERS_MAX)
		return diag_set(d, RC_RANGE, "resolvers: %zu, not 1..%d (formats 2, key 12)",
			p->resolvers_len, PAYLOAD_RESOLVERS_MAX);
	for (size_t i = 0; i < p->resolvers_len; i++) {
		const struct payload_resolver *r = &p->resolvers[i];
		if (!is_host(r->name) || r->port == 0 || !r->addr.at ||
			(r->addr.len != 4 && r->addr.len != 16))
			return diag_set(d, RC_RANGE,
				"resolver: name, address or port "
				"(formats 2, key 12)");
		if (r->pins_len == 0 || r->pins_len > PAYLOAD_RESOLVER_PINS_MAX)
			return diag_set(d, RC_RANGE,
				"resolver: %zu pins, not 1..%d "
				"(formats 2, key 12)",
				r->pins_len, PAYLOAD_RESOLVER_PINS_MAX);
	}
	return RC_OK;
}

static bool pin_fits(const struct payload_pin *pin)
{
	if (pin->usage > 3 || pin->selector > 1 || !pin->data.at)
		return false;
	switch (pin->matching) { /* RFC 6698 section 2.1.3 */
	case 0: return pin->data.len > 0 && pin->data.len <= PIN_DATA_MAX;
	case 1: return pin->data.len == 32;
	case 2: return pin->data.len == 64;
	default: return false;
	}
}

static enum rc check_service(const struct payload *p, struct diag *d)
{
	if (!is_visible(p->service, HANDLE_MAX))
		return diag_set(d, RC_RANGE, "service: handle (formats 2, key 13)");
	if (!is_host(p->fqdn) || p->port == 0)
		return diag_set(d, RC_RANGE, "service: fqdn or port (formats 2, key 13)");
	if (p->url.at && !is_visible(p->url, URL_MAX))
		return diag_set(d, RC_RANGE, "service: url (formats 2, key 13)");
	if (p->pins_len == 0 || p->pins_len > PAYLOAD_PINS_MAX)
		return diag_set(d, RC_RANGE, "service: %zu pins, not 1..%d (formats 2, key 13)",
			p->pins_len, PAYLOAD_PINS_MAX);
	for (size_t i = 0; i < p->pins_len; i++)
		if (!pin_fits(&p->pins[i]))
			return diag_set(d, RC_RANGE,
				"service: pin %zu is not usable TLSA data "
				"(RFC 6698 2.1)",
				i);
	return RC_OK;
}

static enum rc check_cas(const struct payload *p, struct diag *d)
{
	if (p->cas_len > PAYLOAD_CAS_MAX)
		return diag_set(d, RC_RANGE, "CAs: %zu, not 1..%d (formats 2, key 11)", p->cas_len,
			PAYLOAD_CAS_MAX);
	for (size_t i = 0; i < p->cas_len; i++) {
		const struct payload_bytes *v = &p->cas[i].value;
		size_t max = p->cas[i].is_der ? CA_DER_MAX : PAYLOAD_HASH_LEN;
		if (!v->at || v->len == 0 || v->len > max ||
			(!p->cas[i].is_der && v->len != PAYLOAD_HASH_LEN))
			return diag_set(d, RC_RANGE, "CA: %zu bytes (formats 2, key 11)", v->len);
	}
	return RC_OK;
}

enum rc payload_check(const struct payload *p, struct diag *d)
{
	enum rc rc;

	if (p->slot < 1 || p->slot > 9)
		return diag_set(d, RC_RANGE, "slot: %u is not 1..9 (formats 2, key 7)", p->slot);
	if (p->withdrawn) {
		if (!is_name(p->zone))
			return diag_set(d, RC_RANGE,
				"zone: not a lower-case name without trailing "
				"dot (formats 2, key 9)");
		return RC_OK;
	}
	rc = payload__check_profile(p, d);
	if (rc == RC_OK)
		rc = check_cas(p, d);
	if (rc == RC_OK)
		rc = check_service(p, d);
	if (rc != RC_OK)
		return rc;
	if (p->wifi.at && p->wifi.len == 0)
		return diag_set(d, RC_RANGE, "Wi-Fi: empty (formats 2, key 14)");
	if (p->td_url.at && (!is_visible(p->td_url, URL_MAX) || !p->td_sha256))
		return diag_set(d, RC_RANGE, "Thing Description: url or hash (formats 2, key 15)");
	if (p->signers_len > PAYLOAD_SIGNERS_MAX)
		return diag_set(d, RC_RANGE, "next signers: %zu, not 1..%d (formats 2, key 16)",
			p->signers_len, PAYLOAD_SIGNERS_MAX);
	if (!p->cert_sha256)
		return diag_set(d, RC_RANGE, "certificate hash is missing (formats 2, key 17)");
	return RC_OK;
}
