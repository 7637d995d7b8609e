/* SPDX-License-Identifier: Apache-2.0 */
/* attestry asp trust: what a provider trusts, and how that changes. */
#include "asp.h"

#include "base/file.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define UPDATE_MAX  262144
#define ANCHORS_MAX 16

static int show(struct cli *cli, const struct attest_trust *t)
{
	static const struct out_col cols[] = { { "ds", "anchor", OUT_TEXT },
		{ "state", "state", OUT_TEXT }, { "since", "since", OUT_TIME }, { 0 } };
	struct attest_anchor list[ANCHORS_MAX];
	size_t n = attest_trust_anchors(t, list, ANCHORS_MAX);
	json_t *rows = json_array(), *answer;

	for (size_t i = 0; i < n && i < ANCHORS_MAX; i++)
		json_array_append_new(
			rows, json_pack("{s:s,s:s,s:I}", "ds", list[i].ds, "state", list[i].state,
				      "since", (json_int_t)list[i].since));
	answer = json_pack(
		"{s:o,s:I}", "anchors", rows, "serial", (json_int_t)attest_trust_serial(t));
	out_list(cli, answer, "anchors", cols);
	json_decref(answer);
	return EXIT_DONE;
}

static int read_all(struct cli *cli, uint8_t **out, size_t *len)
{
	const char *path = cli_opt(cli, "file");
	struct diag d = { 0 };

	if (!path)
		return cli_usage(cli, "--file is missing: the signed text");
	if (strcmp(path, "-") == 0)
		path = "/dev/stdin";
	if (file_read(path, UPDATE_MAX, out, len, &d) != RC_OK)
		return cli_error(EXIT_USAGE, "%s", d.text);
	return EXIT_DONE;
}

static int update(struct cli *cli, struct attest_trust *t)
{
	char error[ATTEST_TEXT_MAX] = "";
	uint8_t *text = NULL;
	size_t len = 0;
	int code = read_all(cli, &text, &len);

	if (code == EXIT_DONE)
		code = asp_error(attest_trust_update(t, (const char *)text, len, error), error);
	free(text);
	if (code == EXIT_DONE)
		out_say(cli, "trusted: serial %llu; restart what reads these files",
			attest_trust_serial(t));
	return code;
}

static int follow(struct cli *cli, struct attest_trust *t)
{
	struct attest_5011 how = { 0 };
	char error[ATTEST_TEXT_MAX] = "";
	int changed = 0, code = asp_number(cli, "hold-down", &how.add_s);
	unsigned next_s = 0;

	how.remove_s = how.add_s;
	if (code == EXIT_DONE)
		code = asp_error(attest_trust_follow(t, &how, &changed, &next_s, error), error);
	if (changed)
		out_say(cli, "the anchors have changed; restart what reads anchors.ds");
	if (code == EXIT_DONE)
		out_say(cli, "look again in %u s", next_s);
	return code;
}

static int with_login(struct cli *cli, struct attest_trust *t,
	enum attest_error (*step)(struct attest_trust *t, struct attest_registry *r, char *error))
{
	struct attest_registry *r = NULL;
	char error[ATTEST_TEXT_MAX] = "";
	int code = asp_login(cli, &r);

	if (code == EXIT_DONE)
		code = asp_error(step(t, r, error), error);
	attest_registry_free(r);
	return code;
}

int asp_trust(struct cli *cli)
{
	const char *word = cli->args[0];
	char error[ATTEST_TEXT_MAX] = "";
	struct attest_trust *t = NULL;
	int code = asp_error(attest_trust_open(cli->args[1], &t, error), error);

	if (code != EXIT_DONE)
		return code;
	if (strcmp(word, "init") == 0) {
		code = with_login(cli, t, attest_trust_init);
		if (code == EXIT_DONE)
			code = with_login(cli, t, attest_trust_pins);
	} else if (strcmp(word, "pins") == 0)
		code = with_login(cli, t, attest_trust_pins);
	else if (strcmp(word, "update") == 0)
		code = update(cli, t);
	else if (strcmp(word, "follow") == 0)
		code = follow(cli, t);
	else if (strcmp(word, "show") != 0)
		code = cli_usage(cli, "trust: show, init, update, follow or pins");
	if (code == EXIT_DONE)
		code = show(cli, t);
	attest_trust_free(t);
	return code;
}
