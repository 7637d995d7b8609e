/* SPDX-License-Identifier: Apache-2.0 */
#include "asp/mosquitto/plugin.h"

#include "base/str.h"

#include <stdio.h>
#include <string.h>

#define GRACE_S_DEFAULT 300

enum kind { TEXT, NUMBER, PORT, PIN };

/* plugin_opt_<name>; `offset` into struct settings. */
struct row {
	const char *name;
	enum kind kind;
	size_t offset;
	uint64_t min, max;
};

#define AT(member) offsetof(struct settings, member)

/* The broker 2.0.11 refuses names under three characters: hence "ca_file". */
static const struct row rows[] = {
	{ "service", TEXT, AT(attest.service), 0, 0 },
	{ "zone", TEXT, AT(attest.zone), 0, 0 },
	{ "ca_file", TEXT, AT(attest.ca_file), 0, 0 },
	{ "anchor", TEXT, AT(attest.anchor_file), 0, 0 },
	{ "resolver", TEXT, AT(attest.resolver_addr), 0, 0 },
	{ "resolver_addr", TEXT, AT(attest.resolver_addr), 0, 0 },
	{ "resolver_port", PORT, AT(attest.resolver_port), 1, 65535 },
	{ "resolver_name", TEXT, AT(attest.resolver_name), 0, 0 },
	{ "resolver_pin", PIN, AT(pins), 0, 0 },
	{ "resolver2_addr", TEXT, AT(second.addr), 0, 0 },
	{ "resolver2_port", PORT, AT(second.port), 1, 65535 },
	{ "resolver2_name", TEXT, AT(second.name), 0, 0 },
	{ "resolver2_pin", PIN, AT(second_pins), 0, 0 },
	{ "max_ttl_s", NUMBER, AT(attest.max_ttl_s), 1, 604800 },
	{ "wait_ms", NUMBER, AT(attest.wait_ms), 1, 10000 },
	{ "timeout_ms", NUMBER, AT(attest.lookup_timeout_ms), 100, 60000 },
	{ "grace_s", NUMBER, AT(grace_ms), 0, 86400 },
	{ "feed_url", TEXT, AT(feed.url), 0, 0 },
	{ "feed_ca_file", TEXT, AT(feed.ca_file), 0, 0 },
	{ "feed_cert_file", TEXT, AT(feed.cert_file), 0, 0 },
	{ "feed_key_file", TEXT, AT(feed.key_file), 0, 0 },
	{ "feed_state_file", TEXT, AT(feed.state_file), 0, 0 },
	{ "feed_wait_s", NUMBER, AT(feed.wait_s), 1, 60 },
	{ "feed_hold_s", NUMBER, AT(feed.hold_s), 1, 604800 },
	{ "metrics_file", TEXT, AT(metrics_file), 0, 0 },
	{ "use_tlsa", NUMBER, 0, 0, 1 },
	{ "topics", TEXT, AT(topics), 0, 0 },
};

static const struct row *find(const char *name)
{
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		if (strcmp(rows[i].name, name) == 0)
			return &rows[i];
	return NULL;
}

static enum rc set_number(const struct row *row, uint64_t n, struct settings *s)
{
	if (strcmp(row->name, "use_tlsa") == 0)
		s->attest.use_tlsa = (int)n;
	else if (strcmp(row->name, "grace_s") == 0)
		s->grace_ms = (unsigned)n * 1000U;
	else
		memcpy((char *)s + row->offset, &(unsigned){ (unsigned)n }, sizeof(unsigned));
	return RC_OK;
}

static enum rc add_pin(const char *value, const char **pins, size_t *n)
{
	if (*n == PLUGIN_PINS_MAX)
		return RC_RANGE;
	pins[(*n)++] = value;
	return RC_OK;
}

static enum rc set(const struct row *row, const char *value, struct settings *s)
{
	uint64_t n = 0;

	switch (row->kind) {
	case TEXT:
		memcpy((char *)s + row->offset, &value, sizeof(value));
		return value[0] ? RC_OK : RC_RANGE;
	case NUMBER:
		if (u64_read(value, row->min, row->max, &n) != RC_OK)
			return RC_RANGE;
		return set_number(row, n, s);
	case PORT:
		if (u64_read(value, row->min, row->max, &n) != RC_OK)
			return RC_RANGE;
		memcpy((char *)s + row->offset, &(uint16_t){ (uint16_t)n }, sizeof(uint16_t));
		return RC_OK;
	case PIN:
		return add_pin(value, (const char **)(void *)((char *)s + row->offset),
			row->offset == AT(pins) ? &s->attest.n_pins : &s->second.n_pins);
	}
	return RC_INTERNAL;
}

enum rc settings_read(const struct mosquitto_opt *options, int count, struct settings *out,
	char *error, size_t error_cap)
{
	memset(out, 0, sizeof(*out));
	out->topics = "meters";
	out->grace_ms = GRACE_S_DEFAULT * 1000U;
	for (int i = 0; i < count; i++) {
		const struct row *row = find(options[i].key);

		if (!row || set(row, options[i].value, out) != RC_OK) {
			(void)snprintf(error, error_cap, "plugin_opt_%s: %s", options[i].key,
				row ? "value not usable" : "no such option");
			return RC_RANGE;
		}
	}
	out->attest.pins = out->pins;
	out->second.pins = out->second_pins;
	out->attest.resolvers = &out->second;
	out->attest.n_resolvers =
		out->second.addr || out->second.n_pins > 0 || out->second.port ? 1 : 0;
	if (!out->attest.service || !out->attest.ca_file) {
		(void)snprintf(
			error, error_cap, "plugin_opt_service and plugin_opt_ca_file are needed");
		return RC_RANGE;
	}
	if ((out->feed.url || out->feed.ca_file || out->feed.cert_file || out->feed.key_file ||
		    out->feed.state_file) &&
		!(out->feed.url && out->feed.ca_file && out->feed.cert_file &&
			out->feed.key_file)) {
		(void)snprintf(error, error_cap,
			"plugin_opt_feed_url, feed_ca_file, feed_cert_file and feed_key_file go "
			"together");
		return RC_RANGE;
	}
	if (strpbrk(out->topics, "+#")) {
		(void)snprintf(error, error_cap, "plugin_opt_topics: no wildcards");
		return RC_RANGE;
	}
	return RC_OK;
}
