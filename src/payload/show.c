/* SPDX-License-Identifier: Apache-2.0 */
#include "payload/show.h"

#include "base/ident.h"
#include "base/str.h"

#include <arpa/inet.h>
#include <inttypes.h>
#include <string.h>
#include <time.h>

#define HEX_SHOWN 64 /* bytes of a value before it is cut */

static json_t *text(struct payload_bytes t)
{
	return t.at ? json_stringn((const char *)t.at, t.len) : json_null();
}

static json_t *hex(const uint8_t *bytes, size_t len)
{
	char buf[2 * HEX_SHOWN + 1];
	size_t n = len < HEX_SHOWN ? len : HEX_SHOWN;

	if (!bytes)
		return json_null();
	hex_write(bytes, n, buf);
	return n == len ? json_string(buf) : json_sprintf("%s...(%zu bytes)", buf, len);
}

static json_t *hex_of(struct payload_bytes b)
{
	return hex(b.at, b.len);
}

static json_t *number(uint64_t v)
{
	return json_integer(v > INT64_MAX ? INT64_MAX : (json_int_t)v);
}

static json_t *hashes(const uint8_t *const *list, size_t len)
{
	json_t *a = json_array();

	for (size_t i = 0; i < len; i++)
		json_array_append_new(a, hex(list[i], PAYLOAD_HASH_LEN));
	return a;
}

static const char *addr_text(const struct payload_resolver *r, char out[INET6_ADDRSTRLEN])
{
	if (!inet_ntop(r->addr.len == 4 ? AF_INET : AF_INET6, r->addr.at, out, INET6_ADDRSTRLEN))
		return "?";
	return out;
}

static json_t *anchors(const struct payload *p)
{
	json_t *a = json_array();

	for (size_t i = 0; i < p->anchors_len; i++) {
		const struct payload_anchor *t = &p->anchors[i];
		json_array_append_new(a, json_pack("{so si si si so}", "name", text(t->name), "tag",
						 t->tag, "algorithm", t->alg, "digest_type",
						 t->digest_type, "digest", hex_of(t->digest)));
	}
	return a;
}

static json_t *cas(const struct payload *p)
{
	json_t *a = json_array();

	for (size_t i = 0; i < p->cas_len; i++)
		json_array_append_new(a, json_pack("{so}", p->cas[i].is_der ? "der" : "sha256",
						 hex_of(p->cas[i].value)));
	return a;
}

static json_t *resolvers(const struct payload *p)
{
	json_t *a = json_array();

	for (size_t i = 0; i < p->resolvers_len; i++) {
		const struct payload_resolver *r = &p->resolvers[i];
		char addr[INET6_ADDRSTRLEN];
		json_array_append_new(a, json_pack("{so ss si so}", "name", text(r->name), "addr",
						 addr_text(r, addr), "port", r->port, "pins",
						 hashes(r->pins, r->pins_len)));
	}
	return a;
}

static json_t *service(const struct payload *p)
{
	json_t *a = json_array();

	for (size_t i = 0; i < p->pins_len; i++) {
		const struct payload_pin *t = &p->pins[i];
		json_array_append_new(
			a, json_pack("{si si si so}", "usage", t->usage, "selector", t->selector,
				   "matching", t->matching, "data", hex_of(t->data)));
	}
	return json_pack("{so so si so so}", "handle", text(p->service), "fqdn", text(p->fqdn),
		"port", p->port, "url", text(p->url), "pins", a);
}

json_t *payload_json(const struct payload *p)
{
	char iccid[IDENT_ICCID_TEXT] = "";
	json_t *o = json_object();

	if (ident_iccid_write(p->iccid, iccid) == RC_OK)
		json_object_set_new(o, "iccid", json_string(iccid));
	else
		json_object_set_new(o, "iccid", hex(p->iccid, sizeof(p->iccid)));
	json_object_set_new(o, "version", json_integer(1));
	json_object_set_new(o, "sequence", number(p->sequence));
	json_object_set_new(o, "issued", number(p->issued));
	json_object_set_new(o, "expires", number(p->expires));
	if (p->has_eid)
		json_object_set_new(o, "eid", hex(p->eid, sizeof(p->eid)));
	json_object_set_new(o, "slot", json_integer(p->slot));
	json_object_set_new(o, "status", json_string(p->withdrawn ? "withdrawn" : "live"));
	json_object_set_new(o, "zone", text(p->zone));
	if (p->withdrawn)
		return o;
	json_object_set_new(
		o, "form", json_string(p->cas_len > 0 && p->cas[0].is_der ? "full" : "compact"));
	json_object_set_new(o, "trust_anchors", anchors(p));
	if (p->cas_len > 0)
		json_object_set_new(o, "cas", cas(p));
	json_object_set_new(o, "resolvers", resolvers(p));
	json_object_set_new(o, "service", service(p));
	if (p->wifi.at)
		json_object_set_new(o, "wifi_sealed_bytes", number(p->wifi.len));
	if (p->td_url.at)
		json_object_set_new(o, "thing_description",
			json_pack("{so so}", "url", text(p->td_url), "sha256",
				hex(p->td_sha256, PAYLOAD_HASH_LEN)));
	if (p->signers_len > 0)
		json_object_set_new(o, "next_signers", hashes(p->signers, p->signers_len));
	json_object_set_new(o, "certificate_sha256", hex(p->cert_sha256, PAYLOAD_HASH_LEN));
	return o;
}

static void show_time(const char *label, uint64_t at, FILE *out)
{
	time_t t = (time_t)at;
	struct tm tm;
	char buf[32];

	if (at > INT32_MAX * UINT64_C(4) || !gmtime_r(&t, &tm) ||
		strftime(buf, sizeof(buf), "%Y-%m-%dT%H:%M:%SZ", &tm) == 0)
		fprintf(out, "%-18s %" PRIu64 "\n", label, at);
	else
		fprintf(out, "%-18s %s\n", label, buf);
}

static void show_value(const char *label, const json_t *v, FILE *out);

static void show_list(const char *label, const json_t *list, FILE *out)
{
	size_t i;
	json_t *item;

	json_array_foreach(list, i, item) show_value(i == 0 ? label : "", item, out);
}

/* A nested object on one line: `name=value name=value`. */
static void show_object(const json_t *o, FILE *out)
{
	const char *key, *sep = "";
	json_t *v;

	json_object_foreach((json_t *)(uintptr_t)o, key, v)
	{
		char *s = json_dumps(v, JSON_ENCODE_ANY | JSON_COMPACT);
		fprintf(out, "%s%s=%s", sep, key, s ? s : "?");
		free(s);
		sep = " ";
	}
	fputc('\n', out);
}

static void show_value(const char *label, const json_t *v, FILE *out)
{
	if (json_is_array(v)) {
		show_list(label, v, out);
		return;
	}
	fprintf(out, "%-18s ", label);
	if (json_is_object(v))
		show_object(v, out);
	else if (json_is_string(v))
		fprintf(out, "%s\n", json_string_value(v));
	else
		fprintf(out, "%" JSON_INTEGER_FORMAT "\n", json_integer_value(v));
}

void payload_show(const struct payload *p, FILE *out)
{
	json_t *o = payload_json(p);
	const char *key;
	json_t *v;

	json_object_foreach(o, key, v)
	{
		if (strcmp(key, "issued") == 0)
			show_time(key, p->issued, out);
		else if (strcmp(key, "expires") == 0)
			show_time(key, p->expires, out);
		else
			show_value(key, v, out);
	}
	json_decref(o);
}
