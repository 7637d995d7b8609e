/* SPDX-License-Identifier: Apache-2.0 */
/* attestry zone: the signed zone, and the trust anchors that validators need. */
#include "cli.h"

#include "base/str.h"
#include "role/config.h"
#include "zone/export.h"

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

static int run_keys(struct cli *cli)
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

const struct cmd zone_cmds[] = {
	{ "zone", "export", "", 0, 0, "operator", CMD_LOCAL, run_export,
		"write the whole signed zone as text",
		"attestry zone export --lab /tmp/lab > zone.txt",
		{ { "folder", "DIR", "the zone's folder" } } },
	{ "zone", "keys", "", 0, 0, "operator", 0, run_keys,
		"the zone's trust anchors: DS for the parent, and for validators",
		"attestry zone keys --lab /tmp/lab > trust-anchor.ds", { { 0 } } },
	{ 0 },
};
