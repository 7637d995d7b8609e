/* SPDX-License-Identifier: Apache-2.0 */
/* core: the database and every rule. Its links come from keys, zone, front-* and out. */
#include "role/core.h"
#include "base/rng.h"
#include "base/str.h"
#include "role/role.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

#define PINS_MAX 8

/* What core_options borrows. */
struct borrowed {
	char database[CONFIG_DATABASE_MAX];
	uint8_t pins[PINS_MAX][32];
	uint8_t operator_spki[32];
};

static enum rc read_resolver(
	const struct config *c, struct borrowed *b, struct core_resolver *out, struct diag *d)
{
	const char *addr = c->resolver.addr;

	if (!addr || !*addr)
		return RC_OK;
	out->name = c->resolver.name;
	out->addr_text = addr;
	out->port = (uint16_t)c->resolver.port;
	out->addr_len = inet_pton(AF_INET, addr, out->addr) == 1    ? 4
			: inet_pton(AF_INET6, addr, out->addr) == 1 ? 16
								    : 0;
	if (!out->addr_len)
		return diag_set(d, RC_MALFORMED, "resolver.addr: not an address");
	for (size_t i = 0; i < c->resolver.pin.count; i++) {
		const char *pin = c->resolver.pin.items[i];
		size_t len = 0;

		if (i == PINS_MAX || b64_read(pin, strlen(pin), b->pins[i], 32, &len) != RC_OK ||
			len != 32)
			return diag_set(d, RC_MALFORMED,
				"resolver.pin: at most %d, each 32 bytes as base64", PINS_MAX);
		out->pin_count++;
	}
	out->pins = (const uint8_t(*)[32])b->pins;
	return RC_OK;
}

/* Whom a new registry obeys first; an old one knows its parties. */
static enum rc read_operator(
	const struct config *c, struct borrowed *b, struct core_options *o, struct diag *d)
{
	const char *pin = c->registry.operator_pin;

	if (!pin || !*pin)
		return RC_OK;
	if (strlen(pin) != 64 || hex_read(pin, b->operator_spki, 32) != RC_OK)
		return diag_set(d, RC_MALFORMED, "registry.operator_pin: 64 hex digits");
	o->operator_spki = b->operator_spki;
	return RC_OK;
}

static enum rc read_options(
	struct role *role, struct borrowed *b, struct core_options *o, struct diag *d)
{
	const struct config *c = role->config;
	enum rc rc = config_database(c, b->database, sizeof(b->database), d);

	if (rc != RC_OK)
		return rc;
	*o = (struct core_options){
		.database = b->database,
		.zone = c->registry.zone,
		.clock = role->clock,
		.rng = rng_system(),
		.log = role->log,
		.cert_days = c->registry.cert_days,
		.attest_require = (const char *const *)c->registry.attest_require.items,
		.attest_require_count = c->registry.attest_require.count,
		.ranges = (const char *const *)c->registry.ranges.items,
		.range_count = c->registry.ranges.count,
		.signer_hold_s = c->registry.signer_hold_s,
		.payload_full = c->registry.payload == CONFIG_PAYLOAD_FULL,
		.batch_max = c->registry.batch_max,
		.answer_wait_ms = c->registry.answer_wait_ms,
		.auth_ttl_s = c->registry.auth_ttl_s,
		.job_ttl_s = c->registry.job_ttl_s,
		.job_retry_s = c->registry.job_retry_s,
		.idempotency_ttl_s = c->registry.idempotency_ttl_s,
		.transfer_wait_s = c->registry.transfer_wait_s,
		.node = c->node.name,
		.lease_ms = c->node.lease_ms,
		.anchor_ms = c->node.anchor_ms,
		.feed_s = c->registry.feed_s,
		.tlsa_every_s = c->tlsa.anchor_file[0] ? c->tlsa.every_s : 0,
		.publish_wait = c->registry.publish_wait,
		.overlap_s = c->registry.overlap_s,
		.hold_s = c->zone.ttl_s,
	};
	rc = read_operator(c, b, o, d);
	return rc == RC_OK ? read_resolver(c, b, &o->resolver, d) : rc;
}

static void on_link(struct role *role, const char *peer, int take_fd, void *user)
{
	enum rc rc = core_link(user, peer, take_fd);

	if (rc != RC_OK)
		log_write(role->log, LOG_ERROR, "link peer=%s why=%s", peer, rc_text(rc));
}

static void put_metric(void *to, const char *name, const char *of, double value)
{
	role_metric_of(to, name, of, value);
}

static void on_metrics(struct role_metrics *m, void *user)
{
	core_metrics(user, put_metric, m);
}

static enum rc take_links(struct role *role, struct core *core)
{
	static const char *const peers[] = { "keys", "zone", "front-", "out" };
	enum rc rc = RC_OK;

	for (size_t i = 0; i < ARRAY_LEN(peers) && rc == RC_OK; i++)
		rc = role_on_link(role, peers[i], on_link, core);
	return rc;
}

enum rc role_core_run(struct role *role)
{
	struct borrowed *b = calloc(1, sizeof(*b));
	struct core_options options;
	struct core *core = NULL;
	struct diag d = { "" };
	enum rc rc = b ? read_options(role, b, &options, &d) : RC_NOMEM;

	if (rc == RC_OK)
		rc = core_open(role->base, &options, &core, &d);
	if (rc == RC_OK)
		role_on_metrics(role, on_metrics, core);
	if (rc == RC_OK)
		rc = take_links(role, core);
	if (rc == RC_OK)
		rc = role_confine(role, &d);
	if (rc == RC_OK)
		rc = core_start(core, &d);
	if (rc == RC_OK && !options.resolver.addr_len)
		log_write(role->log, LOG_WARNING,
			"no resolver set: devices get certificates, but no Registry Payload names "
			"a "
			"resolver to ask; `attestry resolver write` makes one, then [resolver] in "
			"attestry.conf");
	if (rc == RC_OK)
		rc = role_ready(role);
	if (rc == RC_OK)
		rc = role_loop(role);
	else
		log_write(role->log, LOG_ERROR, "start why=\"%s\"", *d.text ? d.text : rc_text(rc));
	core_close(core);
	free(b);
	return rc;
}
