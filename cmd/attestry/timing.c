/* SPDX-License-Identifier: Apache-2.0 */
/* attestry zone timing: how long the past can last, computed from the settings: the worst cases of
 * a revocation and of a new name, of re-signing and of key replacement. */
#include "cli.h"

#include "role/config.h"
#include "zone/work.h"

struct times {
	int64_t ttl, negative, spread, life, infra, pass, roll;
};

struct row {
	const char *name; /* in JSON */
	int64_t seconds;
	const char *what;
};

static struct times times_of(const struct config *c)
{
	struct times t = {
		.ttl = c->zone.ttl_s,
		/* The negative TTL is the smaller of SOA TTL and minimum (RFC 2308, RFC 9077). */
		.negative = c->zone.minimum_s < c->zone.ttl_s ? c->zone.minimum_s : c->zone.ttl_s,
		.spread = c->zone.propagation_s,
		.life = c->zone.signature_s,
		.infra = c->zone.infra_signature_s,
		.pass = c->zone.signature_s / WORK_PASSES_OF_LIFE,
	};

	t.roll = c->zone.roll_time_s < t.pass ? c->zone.roll_time_s : t.pass;
	return t;
}

static void say(
	const struct cli *cli, json_t *out, const char *group, const struct row *rows, size_t n)
{
	json_t *o = json_object();

	if (!cli->json)
		printf("%s\n", group);
	for (size_t i = 0; i < n; i++) {
		json_object_set_new(o, rows[i].name, json_integer(rows[i].seconds));
		if (!cli->json)
			printf("  %8lld s  %s\n", (long long)rows[i].seconds, rows[i].what);
	}
	json_object_set_new(out, group, o);
}

int zone_timing(struct cli *cli)
{
	struct config config = { 0 };
	struct diag d = { 0 };
	char path[PATH_MAX];
	json_t *out;

	if (!cli_config_path(cli, path))
		return cli_usage(cli, "--dir DIR is missing (or --lab)");
	if (config_read(path, &config, &d) != RC_OK)
		return cli_error(EXIT_USAGE, "%s", d.text);
	const struct times t = times_of(&config);
	const struct row revocation[] = {
		{ "node", 0, "this node's own servers: an answer means that it is served" },
		{ "secondaries", t.spread, "every secondary ([zone] propagation)" },
		{ "resolver", t.spread + t.ttl, "a resolver that had the records: + TTL" },
		{ "replay", t.life,
			"who replays the signed records: life of their signatures, or notAfter" },
	};
	const struct row new_name[] = {
		{ "secondaries", t.spread, "nobody asked before" },
		{ "resolver", t.spread + t.negative,
			"a resolver that has a denial of it, or (aggressive NSEC, RFC 8198) of a "
			"neighbour" },
		{ "replay", t.infra, "who replays an old denial: life of an NSEC's signature" },
	};
	const struct row signing[] = {
		{ "pass", t.pass, "each name is looked at this often" },
		{ "outage", t.life / 2 - t.pass,
			"keys may be down this long before the first device's signature ends" },
		{ "alarm", t.life / 3, "what is left of a signature when it is an alarm" },
		{ "clock_ahead", WORK_SKEW_S, "a validator's clock may be behind by this much" },
	};
	const struct row keys[] = {
		{ "zsk_roll", 2 * (t.ttl + t.spread) + t.roll,
			"a ZSK is replaced (and the passes that look whether all is done)" },
		{ "zsk_emergency", t.ttl + t.spread,
			"without a standby key: until the next one signs; with one: 0" },
		{ "ksk_roll", 2 * (t.ttl + t.spread) + 2 * t.spread,
			"a KSK, beside what the parent takes, twice, each with its DS TTL" },
	};
	out = json_object();
	say(cli, out, "revocation", revocation, ARRAY_LEN(revocation));
	say(cli, out, "new_name", new_name, ARRAY_LEN(new_name));
	say(cli, out, "signing", signing, ARRAY_LEN(signing));
	say(cli, out, "keys", keys, ARRAY_LEN(keys));
	if (cli->json)
		out_json(out);
	json_decref(out);
	config_free(&config);
	return EXIT_DONE;
}
