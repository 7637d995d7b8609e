/* SPDX-License-Identifier: Apache-2.0 */
#include "asp/mosquitto/plugin.h"

#include "base/str.h"

#include <stdio.h>
#include <string.h>

#define GRACE_S_DEFAULT 300

enum kind { TEXT, NUMBER, PIN };

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
	{ "resolver_port", NUMBER, 0, 1, 65535 },
	{ "resolver_name", TEXT, AT(attest.resolver_name), 0, 0 },
	{ "resolver_pin", PIN, 0, 0, 0 },
	{ "wait_ms", NUMBER, AT(attest.wait_ms), 1, 10000 },
	{ "timeout_ms", NUMBER, AT(attest.lookup_timeout_ms), 100, 60000 },
	{ "grace_s", NUMBER, AT(grace_ms), 0, 86400 },
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
	if (strcmp(row->name, "resolver_port") == 0)
		s->attest.resolver_port = (uint16_t)n;
	else if (strcmp(row->name, "use_tlsa") == 0)
		s->attest.use_tlsa = (int)n;
	else if (strcmp(row->name, "grace_s") == 0)
		s->grace_ms = (unsigned)n * 1000U;
	else
		memcpy((char *)s + row->offset, &(unsigned){ (unsigned)n }, sizeof(unsigned));
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
	case PIN:
		if (s->attest.n_pins == PLUGIN_PINS_MAX)
			return RC_RANGE;
		s->pins[s->attest.n_pins++] = value;
		return RC_OK;
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
	if (!out->attest.service || !out->attest.ca_file) {
		(void)snprintf(
			error, error_cap, "plugin_opt_service and plugin_opt_ca_file are needed");
		return RC_RANGE;
	}
	if (strpbrk(out->topics, "+#")) {
		(void)snprintf(error, error_cap, "plugin_opt_topics: no wildcards");
		return RC_RANGE;
	}
	return RC_OK;
}
