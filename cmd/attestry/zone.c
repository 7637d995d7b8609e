/* SPDX-License-Identifier: Apache-2.0 */
/* attestry zone: the signed zone, and the trust anchors that validators need. */
#include "cli.h"

#include "base/str.h"
#include "role/config.h"
#include "zone/export.h"

#include <string.h>
#include <time.h>

static int run_export(struct cli *cli)
{
	const char *folder = cli_opt(cli, "folder");
	struct config config = { 0 };
	struct diag d = { 0 };
	char path[PATH_MAX];
	uint64_t records = 0;
	enum rc rc = RC_OK;

	if (!folder && !cli_config_path(cli, path))
		return cli_usage(cli, "--folder DIR is missing (or --lab, or --dir)");
	if (!folder)
		rc = config_read(path, &config, &d);
	if (rc == RC_OK)
		rc = zone_export(folder ? folder : config.zone.folder, stdout, &records, &d);
	config_free(&config);
	if (rc != RC_OK)
		return cli_error(rc == RC_NOT_FOUND ? EXIT_UNAVAILABLE : EXIT_USAGE, "%s", d.text);
	return EXIT_DONE;
}

static int run_anchors(struct cli *cli)
{
	json_t *answer = NULL, *item;
	size_t i;
	int code = cli_call(cli, "GET", NULL, &answer, "/v1/ca");

	if (code != EXIT_DONE)
		return code;
	json_t *anchors = json_object_get(answer, "trust_anchors");
	if (cli->json)
		out_json(anchors);
	else
		json_array_foreach(anchors, i, item) printf("%s\n", json_string_value(item));
	json_decref(answer);
	return code;
}

static void say_number(const json_t *answer, const char *member, const char *title)
{
	const json_t *v = json_object_get(answer, member);

	if (json_is_string(v) && json_string_length(v) > 0)
		printf("%s: %s\n", title, json_string_value(v));
	else if (json_is_integer(v) && json_integer_value(v) > 0)
		printf("%s: %lld\n", title, (long long)json_integer_value(v));
	else if (json_is_true(v))
		printf("%s\n", title);
}

static void say_orders(const json_t *answer)
{
	json_t *order;
	size_t i;

	json_array_foreach(json_object_get(answer, "orders"), i, order)
		printf("ordered, not begun: %s\n", json_string_value(order));
}

static void say_presigned(const json_t *answer)
{
	time_t end = (time_t)json_integer_value(json_object_get(answer, "presigned_end"));
	struct tm tm;
	char text[32];

	if (end == 0 || !gmtime_r(&end, &tm))
		return;
	(void)strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &tm);
	printf("%spre-signed DNSKEY sets end %s\n",
		json_is_true(json_object_get(answer, "presigned_alarm")) ? "ALARM: " : "", text);
}

static int run_keys(struct cli *cli)
{
	static const struct out_col cols[] = { { "kind", "kind", OUT_TEXT },
		{ "tag", "tag", OUT_TEXT }, { "algorithm", "algorithm", OUT_TEXT },
		{ "where", "where", OUT_TEXT }, { "state", "state", OUT_TEXT },
		{ "standby", "standby", OUT_BOOL }, { "created", "made", OUT_TIME },
		{ "published", "published", OUT_TIME }, { "ready", "ready", OUT_TIME },
		{ "active", "active", OUT_TIME }, { "retiring", "retiring", OUT_TIME },
		{ "retired", "retired", OUT_TIME }, { "ds", "DS", OUT_TEXT }, { 0 } };
	json_t *answer = NULL;
	int code = cli_call(cli, "GET", NULL, &answer, "/v1/zone/keys");

	if (code != EXIT_DONE)
		return code;
	if (cli->json) {
		out_json(answer);
	} else {
		out_list(cli, answer, "keys", cols);
		say_number(answer, "zsk_waits", "ZSK rollover waits for");
		say_number(answer, "ksk_waits", "KSK rollover waits for");
		say_number(answer, "algorithm_to", "algorithm rollover to");
		say_number(answer, "algorithm_phase", "  phase");
		say_number(answer, "algorithm_waits", "  waits for");
		say_orders(answer);
		say_presigned(answer);
		say_number(answer, "foreign", "signatures by another than the active key");
		say_number(answer, "late", "ALARM: signatures past two thirds of their life");
		say_number(answer, "clock_jumped",
			"The clock jumped: nothing moves until caches are certain again.");
	}
	json_decref(answer);
	return code;
}

static int order(struct cli *cli, const char *action)
{
	json_t *answer = NULL;
	int code = cli_call(cli, "POST",
		json_pack("{s:s,s:s}", "kind", cli->args[0], "action", action), &answer,
		"/v1/zone/keys");

	json_decref(answer);
	if (code == EXIT_DONE)
		out_say(cli, "ordered; attestry zone keys shows how far it is");
	return code;
}

static int run_roll(struct cli *cli)
{
	const char *to = cli_opt(cli, "to");

	if (cli_opt(cli, "emergency") && cli_opt(cli, "standby"))
		return cli_usage(cli, "either --emergency or --standby");
	if ((strcmp(cli->args[0], "algorithm") == 0) != (to != NULL))
		return cli_usage(cli, "--to goes with algorithm, and algorithm with --to");
	if (to)
		return order(cli, to);
	return order(cli, cli_opt(cli, "emergency") ? "emergency"
			  : cli_opt(cli, "standby") ? "standby"
						    : "roll");
}

static int run_confirm(struct cli *cli)
{
	return order(cli, "confirm");
}

const struct cmd zone_cmds[] = {
	{ "zone", "export", "", 0, 0, "operator", CMD_LOCAL, run_export,
		"write the whole signed zone as text",
		"attestry zone export --lab /tmp/lab > zone.txt",
		{ { "folder", "DIR", "the zone's folder" } } },
	{ "zone", "timing", "", 0, 0, "operator", CMD_LOCAL, zone_timing,
		"how long the past can last: worst cases computed from the settings",
		"attestry zone timing --lab /tmp/lab", { { 0 } } },
	{ "zone", "anchors", "", 0, 0, "operator", 0, run_anchors,
		"the zone's trust anchors: DS for the parent, and for validators",
		"attestry zone anchors --lab /tmp/lab > trust-anchor.ds", { { 0 } } },
	{ "zone", "keys", "", 0, 0, "operator", 0, run_keys,
		"the zone's keys: states, times, and what a rollover waits for",
		"attestry zone keys --lab /tmp/lab", { { 0 } } },
	{ "zone", "roll", "ksk|zsk|algorithm", 1, 1, "operator", 0, run_roll,
		"replace a key of the zone: ZSK by pre-publish, KSK by double-DS; or both keys by "
		"another algorithm",
		"attestry zone roll zsk --lab /tmp/lab",
		{ { "to", "ALGORITHM", "ed25519 or ecdsap256sha256" },
			{ "emergency", NULL,
				"signatures anew at full speed; a standby key is used at once" },
			{ "standby", NULL, "only make the next key ready, and keep it" } } },
	{ "zone", "confirm", "ksk", 1, 1, "operator", 0, run_confirm,
		"the parent's DS were looked at by hand: they are what CDS asks for",
		"attestry zone confirm ksk --lab /tmp/lab", { { 0 } } },
	{ 0 },
};
