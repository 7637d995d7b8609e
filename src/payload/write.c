/* SPDX-License-Identifier: Apache-2.0 */
#include "payload/payload__.h"

#define LIST_MAX 8

/* An array whose entries stand in bytewise order: each is written behind the others, then moved
 * to its place. Fewer than 24 entries, so the array's head is one byte. */
struct list {
	struct put *out;
	size_t head;
	size_t count;
	size_t starts[LIST_MAX + 1];
};

static struct list list_begin(struct put *out)
{
	struct list l = { .out = out, .head = out->len };

	cbor_put_array(out, 0);
	l.starts[0] = out->len;
	return l;
}

static void reverse(uint8_t *at, size_t len)
{
	for (size_t i = 0; i < len / 2; i++) {
		uint8_t b = at[i];
		at[i] = at[len - 1 - i];
		at[len - 1 - i] = b;
	}
}

/* Settles the entry that was just written; one that is there already is taken back. */
static void list_settle(struct list *l)
{
	struct put *out = l->out;
	size_t from = l->starts[l->count], len, place = 0;
	int order = 1;

	if (out->bad)
		return;
	len = out->len - from;
	struct cur fresh = cur_init(out->buf + from, len);
	for (; place < l->count; place++) {
		struct cur old = cur_init(
			out->buf + l->starts[place], l->starts[place + 1] - l->starts[place]);
		order = cbor_compare(&fresh, &old);
		if (order <= 0)
			break;
	}
	if (order == 0 && place < l->count) {
		out->len = from;
		return;
	}
	/* Rotate [place .. from) with [from .. end) by three reversals. */
	size_t at = l->starts[place];
	reverse(out->buf + at, from - at);
	reverse(out->buf + from, len);
	reverse(out->buf + at, out->len - at);
	for (size_t i = ++l->count; i > place; i--)
		l->starts[i] = l->starts[i - 1] + len;
	out->buf[l->head]++;
}

static void put_bstr(struct put *out, struct payload_bytes b)
{
	cbor_put_bytes(out, b.at, b.len);
}

static void put_tstr(struct put *out, struct payload_bytes t)
{
	cbor_put_text(out, (const char *)t.at, t.len);
}

static void write_anchors(const struct payload *p, struct put *out)
{
	cbor_put_uint(out, KEY_ANCHORS);
	struct list l = list_begin(out);
	for (size_t i = 0; i < p->anchors_len; i++) {
		const struct payload_anchor *a = &p->anchors[i];
		cbor_put_array(out, 5);
		put_tstr(out, a->name);
		cbor_put_uint(out, a->tag);
		cbor_put_uint(out, a->alg);
		cbor_put_uint(out, a->digest_type);
		put_bstr(out, a->digest);
		list_settle(&l);
	}
}

static void write_cas(const struct payload *p, struct put *out)
{
	if (p->cas_len == 0)
		return;
	cbor_put_uint(out, KEY_CAS);
	cbor_put_array(out, p->cas_len);
	for (size_t i = 0; i < p->cas_len; i++) {
		cbor_put_array(out, 2);
		cbor_put_uint(out, p->cas[i].is_der);
		put_bstr(out, p->cas[i].value);
	}
}

static void write_hashes(const uint8_t *const *hashes, size_t len, struct put *out)
{
	struct list l = list_begin(out);

	for (size_t i = 0; i < len; i++) {
		cbor_put_bytes(out, hashes[i], PAYLOAD_HASH_LEN);
		list_settle(&l);
	}
}

static void write_resolvers(const struct payload *p, struct put *out)
{
	cbor_put_uint(out, KEY_RESOLVERS);
	cbor_put_array(out, p->resolvers_len);
	for (size_t i = 0; i < p->resolvers_len; i++) {
		const struct payload_resolver *r = &p->resolvers[i];
		cbor_put_array(out, 4);
		put_tstr(out, r->name);
		put_bstr(out, r->addr);
		cbor_put_uint(out, r->port);
		write_hashes(r->pins, r->pins_len, out);
	}
}

static void write_service(const struct payload *p, struct put *out)
{
	cbor_put_uint(out, KEY_SERVICE);
	cbor_put_array(out, 5);
	put_tstr(out, p->service);
	put_tstr(out, p->fqdn);
	cbor_put_uint(out, p->port);
	if (p->url.at)
		put_tstr(out, p->url);
	else
		cbor_put_null(out);
	struct list l = list_begin(out);
	for (size_t i = 0; i < p->pins_len; i++) {
		const struct payload_pin *pin = &p->pins[i];
		cbor_put_array(out, 4);
		cbor_put_uint(out, pin->usage);
		cbor_put_uint(out, pin->selector);
		cbor_put_uint(out, pin->matching);
		put_bstr(out, pin->data);
		list_settle(&l);
	}
}

/* Keys 1 to 8, and the map's head before them. */
static void write_head(const struct payload *p, size_t pairs, struct put *out)
{
	cbor_put_map(out, pairs);
	cbor_put_uint(out, KEY_VERSION);
	cbor_put_uint(out, PAYLOAD_VERSION);
	cbor_put_uint(out, KEY_SEQUENCE);
	cbor_put_uint(out, p->sequence);
	cbor_put_uint(out, KEY_ISSUED);
	cbor_put_uint(out, p->issued);
	cbor_put_uint(out, KEY_EXPIRES);
	cbor_put_uint(out, p->expires);
	cbor_put_uint(out, KEY_ICCID);
	cbor_put_bytes(out, p->iccid, sizeof(p->iccid));
	if (p->has_eid) {
		cbor_put_uint(out, KEY_EID);
		cbor_put_bytes(out, p->eid, sizeof(p->eid));
	}
	cbor_put_uint(out, KEY_SLOT);
	cbor_put_uint(out, p->slot);
	cbor_put_uint(out, KEY_STATUS);
	cbor_put_uint(out, p->withdrawn);
}

static void write_zone(const struct payload *p, struct put *out)
{
	cbor_put_uint(out, KEY_ZONE);
	put_tstr(out, p->zone);
}

static size_t count_pairs(const struct payload *p)
{
	size_t n = 8 + (p->has_eid ? 1 : 0); /* 1-5, 7-9 */

	if (p->withdrawn)
		return n;
	return n + 4 + (p->cas_len > 0) + (p->wifi.at != NULL) + (p->td_url.at != NULL) +
	       (p->signers_len > 0);
}

enum rc payload_write_map(const struct payload *p, struct put *out, struct diag *d)
{
	enum rc rc = payload_check(p, d);

	if (rc != RC_OK)
		return rc;
	write_head(p, count_pairs(p), out);
	write_zone(p, out);
	if (p->withdrawn)
		goto done;
	write_anchors(p, out);
	write_cas(p, out);
	write_resolvers(p, out);
	write_service(p, out);
	if (p->wifi.at) {
		cbor_put_uint(out, KEY_WIFI);
		put_bstr(out, p->wifi);
	}
	if (p->td_url.at) {
		cbor_put_uint(out, KEY_TD);
		cbor_put_array(out, 2);
		put_tstr(out, p->td_url);
		cbor_put_bytes(out, p->td_sha256, PAYLOAD_HASH_LEN);
	}
	if (p->signers_len > 0) {
		cbor_put_uint(out, KEY_SIGNERS);
		write_hashes(p->signers, p->signers_len, out);
	}
	cbor_put_uint(out, KEY_CERT);
	cbor_put_bytes(out, p->cert_sha256, PAYLOAD_HASH_LEN);
done:
	return put_ok(out) ? RC_OK
			   : diag_set(d, RC_TOO_LARGE, "payload: larger than %zu bytes", out->cap);
}

enum rc payload_profile_write(const struct payload *p, struct put *out, struct diag *d)
{
	enum rc rc = payload__check_profile(p, d);

	if (rc != RC_OK)
		return rc;
	cbor_put_map(out, 3);
	write_zone(p, out);
	write_anchors(p, out);
	write_resolvers(p, out);
	return put_ok(out) ? RC_OK
			   : diag_set(d, RC_TOO_LARGE, "registry profile: larger than %zu bytes",
				     out->cap);
}
