/* SPDX-License-Identifier: Apache-2.0 */
/* attestry zone: the trust anchors that validators need. */
#include "cli.h"

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
	{ "zone", "keys", "", 0, 0, "operator", 0, run_keys,
		"the zone's trust anchors: DS for the parent, and for validators",
		"attestry zone keys --lab /tmp/lab > trust-anchor.ds", { { 0 } } },
	{ 0 },
};
