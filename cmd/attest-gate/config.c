/* SPDX-License-Identifier: Apache-2.0 */
#include "gate_cmd.h"

#include "base/str.h"

#include <string.h>

enum kind { TEXT, NUMBER, RESOLVERS, FEED };

struct row {
	const char *name;
	enum kind kind;
	size_t offset; /* into struct gate_config */
	json_int_t min, max;
};

#define AT(member) offsetof(struct gate_config, member)

static const struct row rows[] = {
	{ "socket", TEXT, AT(socket), 0, 0 },
	{ "socket_mode", NUMBER, AT(socket_mode), 0, 0777 },
	{ "zone", TEXT, AT(attest.zone), 0, 0 },
	{ "service", TEXT, AT(attest.service), 0, 0 },
	{ "ca", TEXT, AT(attest.ca_file), 0, 0 },
	{ "anchor", TEXT, AT(attest.anchor_file), 0, 0 },
	{ "resolvers", RESOLVERS, 0, 0, 0 },
	{ "feed", FEED, 0, 0, 0 },
	{ "timeout_ms", NUMBER, AT(attest.lookup_timeout_ms), 100, 60000 },
	{ "max_ttl_s", NUMBER, AT(attest.max_ttl_s), 1, 604800 },
	{ "cache_entries", NUMBER, AT(attest.cache_entries), 8, 100000000 },
	{ "threads", NUMBER, AT(attest.lookup_threads), 1, 16 },
};

static enum rc read_pins(
	const json_t *list, const char **pins, struct attest_resolver *r, struct diag *d)
{
	size_t i;
	json_t *one;

	json_array_foreach(list, i, one)
	{
		if (i == GATE_PINS_MAX || !json_is_string(one))
			return diag_set(d, RC_RANGE, "pins: texts, %d at most", GATE_PINS_MAX);
		pins[i] = json_string_value(one);
	}
	r->pins = pins;
	r->n_pins = json_array_size(list);
	return RC_OK;
}

static enum rc read_resolvers(const json_t *list, struct gate_config *out, struct diag *d)
{
	size_t i;
	json_t *one;

	json_array_foreach(list, i, one)
	{
		struct attest_resolver *r = &out->resolvers[i];
		const json_t *pins = json_object_get(one, "pins");
		int port = 0;

		if (i == GATE_RESOLVERS_MAX)
			return diag_set(d, RC_RANGE, "resolvers: %d at most", GATE_RESOLVERS_MAX);
		if (json_unpack(one, "{s:s,s?i,s?s,s:o!}", "addr", &r->addr, "port", &port, "name",
			    &r->name, "pins", &pins) != 0 ||
			port < 0 || port > 65535)
			return diag_set(
				d, RC_RANGE, "resolvers: addr, pins, and port, name if you like");
		r->port = (uint16_t)port;
		if (read_pins(pins, out->pins[i], r, d) != RC_OK)
			return RC_RANGE;
	}
	out->attest.resolvers = out->resolvers;
	out->attest.n_resolvers = json_array_size(list);
	return RC_OK;
}

static enum rc read_feed(json_t *from, struct attest_feed_options *out, struct diag *d)
{
	json_int_t wait = 0, hold = 0;

	if (json_unpack(from, "{s:s,s:s,s:s,s:s,s?s,s?I,s?I!}", "url", &out->url, "ca",
		    &out->ca_file, "cert", &out->cert_file, "key", &out->key_file, "state",
		    &out->state_file, "wait_s", &wait, "hold_s", &hold) != 0 ||
		wait < 0 || wait > 60 || hold < 0 || hold > 604800)
		return diag_set(d, RC_RANGE,
			"feed: url, ca, cert, key, and state, wait_s, hold_s if you like");
	out->wait_s = (unsigned)wait;
	out->hold_s = (unsigned)hold;
	return RC_OK;
}

static enum rc set(
	const struct row *row, const json_t *value, struct gate_config *out, struct diag *d)
{
	const char *text = json_string_value(value);
	json_int_t n = json_integer_value(value);

	switch (row->kind) {
	case TEXT:
		if (!text || !*text)
			return diag_set(d, RC_RANGE, "%s: a text", row->name);
		memcpy((char *)out + row->offset, &text, sizeof(text));
		return RC_OK;
	case NUMBER:
		if (!json_is_integer(value) || n < row->min || n > row->max)
			return diag_set(d, RC_RANGE, "%s: a number from %lld to %lld", row->name,
				(long long)row->min, (long long)row->max);
		memcpy((char *)out + row->offset, &(unsigned){ (unsigned)n }, sizeof(unsigned));
		return RC_OK;
	case RESOLVERS: return read_resolvers(value, out, d);
	case FEED: return read_feed((json_t *)(uintptr_t)value, &out->feed, d);
	}
	return RC_INTERNAL;
}

enum rc gate_config_read(const char *path, struct gate_config *out, struct diag *d)
{
	json_error_t e;
	const char *key;
	json_t *value;
	enum rc rc = RC_OK;

	memset(out, 0, sizeof(*out));
	out->socket_mode = 0660;
	out->json = json_load_file(path, JSON_REJECT_DUPLICATES, &e);
	if (!json_is_object(out->json))
		return diag_set(d, RC_MALFORMED, "%s: %s", path, out->json ? "no object" : e.text);
	json_object_foreach(out->json, key, value)
	{
		const struct row *row = NULL;

		for (size_t i = 0; i < ARRAY_LEN(rows); i++)
			if (strcmp(rows[i].name, key) == 0)
				row = &rows[i];
		rc = row ? set(row, value, out, d)
			 : diag_set(d, RC_RANGE, "%s: no such setting", key);
		if (rc != RC_OK)
			return rc;
	}
	if (!out->socket || !out->attest.service || !out->attest.ca_file ||
		out->attest.n_resolvers == 0)
		return diag_set(
			d, RC_RANGE, "socket, zone, service, ca, anchor and resolvers are needed");
	return RC_OK;
}

void gate_config_free(struct gate_config *config)
{
	json_decref(config->json);
	config->json = NULL;
}
