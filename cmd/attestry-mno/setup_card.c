/* SPDX-License-Identifier: Apache-2.0 */
#include "setup.h"

#include "base/file.h"
#include "base/str.h"
#include "ca/cert.h"
#include "ca/crypt.h"
#include "payload/payload.h"

#include <arpa/inet.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define PROFILE_MAX 4096
#define DIGEST_MAX  64

/* Files of slot 1 (formats 1); for profiles of kind devkit 07 and 0C are others. */
static const struct {
	const char *member, *file;
} certs[] = { { "root", "06.der" }, { "issuing", "07.der" }, { "payload_signer", "0C.der" },
	{ "devkit", "07-devkit.der" }, { "payload_signer_devkit", "0C-devkit.der" } };

struct card {
	uint8_t der[ARRAY_LEN(certs)][CA_CERT_MAX];
	size_t len[ARRAY_LEN(certs)];
	uint8_t digests[PAYLOAD_ANCHORS_MAX][DIGEST_MAX];
	uint8_t addrs[PAYLOAD_RESOLVERS_MAX][16];
	uint8_t pins[PAYLOAD_RESOLVERS_MAX][PAYLOAD_RESOLVER_PINS_MAX][PAYLOAD_HASH_LEN];
};

static enum rc put_file(
	const char *dir, const char *name, const void *bytes, size_t len, struct diag *d)
{
	char path[PATH_MAX];

	if (str_format(path, sizeof(path), "%s/card/%s", dir, name) != RC_OK)
		return diag_set(d, RC_RANGE, "%s: path too long", dir);
	return file_write_atomic(path, bytes, len, 0644, d);
}

/* Each must be signed by the one it hangs from: a card that carries another chain is lost. */
static enum rc check_chain(const struct card *c, struct diag *d)
{
	static const size_t parent[ARRAY_LEN(certs)] = { 0, 0, 1, 0, 3 };
	struct ca_cert parsed[ARRAY_LEN(certs)];
	struct ca_crypt *x = NULL;
	enum rc rc = ca_crypt_new(&x, d);

	for (size_t i = 0; i < ARRAY_LEN(certs) && rc == RC_OK; i++) {
		rc = ca_cert_parse(c->der[i], c->len[i], &parsed[i], d);
		if (rc == RC_OK)
			rc = ca_cert_signed_by(x, &parsed[i], &parsed[parent[i]], d);
		if (rc != RC_OK)
			diag_prefix(d, certs[i].member);
	}
	ca_crypt_free(x);
	return rc;
}

static enum rc read_certs(struct card *c, const json_t *ca, struct diag *d)
{
	for (size_t i = 0; i < ARRAY_LEN(certs); i++) {
		const char *text = json_string_value(json_object_get(ca, certs[i].member));

		if (!text ||
			b64_read(text, strlen(text), c->der[i], CA_CERT_MAX, &c->len[i]) != RC_OK)
			return diag_set(d, RC_MALFORMED, "GET /v1/ca: %s: not base64 of a DER",
				certs[i].member);
	}
	return check_chain(c, d);
}

/* "zone. [TTL] IN DS tag algorithm digest-type HEX" */
static enum rc read_anchors(struct card *c, const json_t *ca, struct payload *p, struct diag *d)
{
	const json_t *list = json_object_get(ca, "trust_anchors");
	json_t *one;
	size_t i;

	json_array_foreach(list, i, one)
	{
		struct payload_anchor *a = &p->anchors[p->anchors_len];
		const char *text = json_string_value(one);
		const char *at = text ? strstr(text, " DS ") : NULL;
		char hex[2 * DIGEST_MAX + 1];
		unsigned tag, alg, type;
		size_t len;

		if (p->anchors_len == PAYLOAD_ANCHORS_MAX || !at ||
			sscanf(at, " DS %u %u %u %128[0-9A-Fa-f]", &tag, &alg, &type, hex) != 4 ||
			tag > UINT16_MAX || alg > UINT8_MAX || type > UINT8_MAX ||
			hex_read_upto(hex, c->digests[p->anchors_len], DIGEST_MAX, &len) != RC_OK)
			return diag_set(
				d, RC_MALFORMED, "GET /v1/ca: trust_anchors[%zu]: no DS", i);
		*a = (struct payload_anchor){ .name = p->zone,
			.tag = (uint16_t)tag,
			.alg = (uint8_t)alg,
			.digest_type = (uint8_t)type,
			.digest = { c->digests[p->anchors_len], len } };
		p->anchors_len++;
	}
	return p->anchors_len ? RC_OK : diag_set(d, RC_MALFORMED, "GET /v1/ca: no trust anchor");
}

static bool read_resolver(struct card *c, const json_t *in, struct payload *p)
{
	size_t n = p->resolvers_len;
	struct payload_resolver *r = &p->resolvers[n];
	const char *name = json_string_value(json_object_get(in, "name"));
	const char *addr = json_string_value(json_object_get(in, "addr"));
	json_int_t port = json_integer_value(json_object_get(in, "port"));
	json_t *pin;
	size_t i, len;
	int family = addr && strchr(addr, ':') ? AF_INET6 : AF_INET;

	if (n == PAYLOAD_RESOLVERS_MAX || !name || !addr || port < 1 || port > 65535 ||
		inet_pton(family, addr, c->addrs[n]) != 1)
		return false;
	*r = (struct payload_resolver){ .name = payload_text(name),
		.addr = { c->addrs[n], family == AF_INET ? 4 : 16 },
		.port = (uint16_t)port };
	json_array_foreach(json_object_get(in, "pins"), i, pin)
	{
		const char *text = json_string_value(pin);

		if (i == PAYLOAD_RESOLVER_PINS_MAX || !text ||
			b64_read(text, strlen(text), c->pins[n][i], PAYLOAD_HASH_LEN, &len) !=
				RC_OK ||
			len != PAYLOAD_HASH_LEN)
			return false;
		r->pins[r->pins_len++] = c->pins[n][i];
		printf("resolver      %s %s port %d pin %s\n", name, addr, (int)port, text);
	}
	p->resolvers_len++;
	return r->pins_len > 0;
}

/* F3: zone, trust anchors, resolvers with their pins. */
static enum rc write_profile(struct card *c, const char *dir, const json_t *ca, struct diag *d)
{
	uint8_t buf[PROFILE_MAX];
	struct put out = put_init(buf, sizeof(buf));
	const char *zone = json_string_value(json_object_get(ca, "zone"));
	struct payload p = { .zone = payload_text(zone) };
	json_t *one;
	size_t i;
	enum rc rc = zone ? read_anchors(c, ca, &p, d)
			  : diag_set(d, RC_MALFORMED, "GET /v1/ca: no zone");

	json_array_foreach(json_object_get(ca, "resolvers"), i,
		one) if (rc == RC_OK && !read_resolver(c, one, &p)) rc =
		diag_set(d, RC_MALFORMED, "GET /v1/ca: resolvers[%zu]", i);
	if (rc == RC_OK && p.resolvers_len == 0)
		rc = diag_set(d, RC_STATE,
			"the registry names no resolver yet: [resolver] in its configuration");
	if (rc == RC_OK)
		rc = payload_profile_write(&p, &out, d);
	return rc == RC_OK ? put_file(dir, "F3.cbor", buf, out.len, d) : rc;
}

enum rc setup_card(const char *dir, const json_t *ca, struct diag *d)
{
	struct card *c = calloc(1, sizeof(*c));
	char path[PATH_MAX];
	enum rc rc = c ? read_certs(c, ca, d) : diag_set(d, RC_NOMEM, "no memory");

	if (rc == RC_OK && str_format(path, sizeof(path), "%s/card", dir) != RC_OK)
		rc = diag_set(d, RC_RANGE, "%s: path too long", dir);
	if (rc == RC_OK && mkdir(path, 0755) != 0 && errno != EEXIST)
		rc = diag_errno(d, RC_IO, "%s", path);
	for (size_t i = 0; i < ARRAY_LEN(certs) && rc == RC_OK; i++)
		rc = put_file(dir, certs[i].file, c->der[i], c->len[i], d);
	if (rc == RC_OK)
		rc = write_profile(c, dir, ca, d);
	if (rc == RC_OK)
		printf("for cards     %s: 06.der 07.der 0C.der F3.cbor (devkit: 07, 0C)\n", path);
	free(c);
	return rc;
}
