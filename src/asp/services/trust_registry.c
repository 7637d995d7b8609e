/* SPDX-License-Identifier: Apache-2.0 */
/* What the registry says to a trust store over the login's TLS: the beginning, and the own pins. */
#include "asp/services/internal.h"

#include "base/hex.h"
#include "base/str.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- the beginning ----------------------------------------------------------------------------
 */

static enum rc take_cert(
	const json_t *ca, const char *member, struct svc_der *list, size_t *n, struct diag *d)
{
	const char *base64 = svc__text(ca, member);
	size_t cap = strlen(base64) + 3;

	if (!*base64)
		return RC_OK;
	list[*n].bytes = malloc(cap);
	if (!list[*n].bytes)
		return RC_NOMEM;
	if (b64_read(base64, strlen(base64), list[*n].bytes, cap, &list[*n].len) != RC_OK) {
		free(list[*n].bytes);
		return diag_set(d, RC_MALFORMED, "the registry's %s is no certificate", member);
	}
	(*n)++;
	return RC_OK;
}

static enum rc take_resolver(const json_t *one, struct svc_update *u, struct diag *d)
{
	char *line = u->resolvers[u->n_resolvers];
	const json_t *pin;
	size_t i, n;
	struct dane_resolver r;

	n = (size_t)snprintf(line, sizeof(u->resolvers[0]), "%s %lld %s ", svc__text(one, "addr"),
		(long long)json_integer_value(json_object_get(one, "port")),
		*svc__text(one, "name") ? svc__text(one, "name") : "-");
	json_array_foreach(json_object_get(one, "pins"), i, pin)
	{
		if (n < sizeof(u->resolvers[0]))
			n += (size_t)snprintf(line + n, sizeof(u->resolvers[0]) - n, "%s%s",
				i ? "," : "", json_string_value(pin));
	}
	u->n_resolvers++;
	return svc__resolver_read(line, &r, d);
}

/* GET /v1/ca, as an update with the lowest serial. */
static enum rc from_registry(const json_t *ca, struct svc_update *u, struct diag *d)
{
	const json_t *one;
	size_t i;
	enum rc rc = str_copy(u->zone, sizeof(u->zone), svc__text(ca, "zone"));

	if (rc == RC_OK)
		rc = take_cert(ca, "root", u->roots, &u->n_roots, d);
	if (rc == RC_OK)
		rc = take_cert(ca, "issuing", u->cas, &u->n_cas, d);
	if (rc == RC_OK)
		rc = take_cert(ca, "devkit", u->cas, &u->n_cas, d);
	json_array_foreach(json_object_get(ca, "trust_anchors"), i, one)
	{
		if (rc == RC_OK && u->n_anchors < DANE_ANCHORS_MAX)
			rc = dane_anchor_read(
				json_string_value(one), &u->anchors[u->n_anchors++], d);
	}
	json_array_foreach(json_object_get(ca, "resolvers"), i, one)
	{
		if (rc == RC_OK && u->n_resolvers < SVC_RESOLVERS_MAX)
			rc = take_resolver(one, u, d);
	}
	if (rc == RC_OK && (!*u->zone || !u->n_roots || !u->n_cas || !u->n_anchors))
		rc = diag_set(
			d, RC_MALFORMED, "the registry did not say all that is to be trusted");
	return rc;
}

enum attest_error attest_trust_init(
	struct attest_trust *trust, struct attest_registry *registry, char error[ATTEST_TEXT_MAX])
{
	struct svc_update *u = calloc(1, sizeof(*u));
	struct diag d = { 0 };
	json_t *answer = NULL;
	const json_t *ca;
	enum rc rc = u ? RC_OK : RC_NOMEM;

	if (*trust->zone)
		rc = diag_set(&d, RC_EXISTS,
			"there is a store of zone %s already: only signatures change it",
			trust->zone);
	if (rc == RC_OK)
		rc = svc__call(registry, "GET", "/v1/ca", NULL, &answer, NULL, &d);
	if (rc == RC_OK) {
		ca = json_object_get(answer, "ca");
		rc = from_registry(ca ? ca : answer, u, &d);
	}
	if (rc == RC_OK)
		rc = svc__trust_apply(trust, u, &d);
	json_decref(answer);
	if (u)
		svc__update_free(u);
	free(u);
	return svc__error(rc, &d, error);
}

/* ---- pins -------------------------------------------------------------------------------------
 */

static void put_pins(FILE *to, const json_t *service)
{
	const json_t *p;
	size_t i;

	json_array_foreach(json_object_get(service, "pins"), i, p)
	{
		const char *base64 = svc__text(p, "data");
		uint8_t data[512];
		char hex[2 * sizeof(data) + 1];
		size_t len = 0;

		if (b64_read(base64, strlen(base64), data, sizeof(data), &len) != RC_OK)
			continue;
		hex_write(data, len, hex);
		fprintf(to, "%s %s %lld %lld %lld %lld %s\n", svc__text(service, "handle"),
			svc__text(service, "fqdn"),
			(long long)json_integer_value(json_object_get(service, "port")),
			(long long)json_integer_value(json_object_get(p, "usage")),
			(long long)json_integer_value(json_object_get(p, "selector")),
			(long long)json_integer_value(json_object_get(p, "matching")), hex);
	}
}

enum attest_error attest_trust_pins(
	struct attest_trust *trust, struct attest_registry *registry, char error[ATTEST_TEXT_MAX])
{
	struct diag d = { 0 };
	char *text = NULL, after[128] = "", path[256];
	size_t len = 0, i;
	FILE *to = open_memstream(&text, &len);
	enum rc rc = to ? RC_OK : RC_NOMEM;

	while (rc == RC_OK) {
		json_t *answer = NULL;
		const json_t *one;

		rc = str_format(path, sizeof(path), "/v1/services?limit=100%s%s",
			*after ? "&after=" : "", after);
		if (rc == RC_OK)
			rc = svc__call(registry, "GET", path, NULL, &answer, NULL, &d);
		json_array_foreach(json_object_get(answer, "services"), i, one) put_pins(to, one);
		svc__copy(after, sizeof(after), svc__text(answer, "next"));
		json_decref(answer);
		if (!*after)
			break;
	}
	if (to && fclose(to) != 0 && rc == RC_OK)
		rc = RC_NOMEM;
	if (rc == RC_OK)
		rc = svc__trust_write(trust, "pins", text, &d);
	free(text);
	return svc__error(rc, &d, error);
}
