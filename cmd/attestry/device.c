/* SPDX-License-Identifier: Apache-2.0 */
/* attestry device: SIMs and the things they sit in. */
#include "install.h"

#include <string.h>

static const struct out_col device_cols[] = {
	{ "iccid", "ICCID", OUT_TEXT },
	{ "eid", "EID", OUT_TEXT },
	{ "imei", "IMEI", OUT_TEXT },
	{ "owner", "owner", OUT_TEXT },
	{ "mno", "operator", OUT_TEXT },
	{ "locked", "locked", OUT_BOOL },
	{ "stolen", "stolen", OUT_BOOL },
	{ "broken", "broken", OUT_BOOL },
	{ "flags.0.who", "reported by", OUT_TEXT },
	{ "flags.0.since", "since", OUT_TIME },
	{ "flags.0.reason", "reason", OUT_TEXT },
	{ "profiles", "profiles", OUT_LIST },
	{ "wipe_pending", "wipe pending", OUT_LIST },
	{ "consents", "consents", OUT_LIST },
	{ "maker", "made by", OUT_TEXT },
	{ "maker_by", "says its", OUT_TEXT },
	{ "model", "model", OUT_TEXT },
	{ "attestable", "attestable", OUT_BOOL },
	{ "move_to", "may move to", OUT_TEXT },
	{ "id", "id", OUT_TEXT },
	{ 0 },
};
static const struct out_col device_table[] = {
	{ "iccid", "ICCID", OUT_TEXT },
	{ "eid", "EID", OUT_TEXT },
	{ "owner", "owner", OUT_TEXT },
	{ "mno", "operator", OUT_TEXT },
	{ "locked", "locked", OUT_BOOL },
	{ "stolen", "stolen", OUT_BOOL },
	{ "profiles", "profiles", OUT_LIST },
	{ 0 },
};

static int run_show(struct cli *cli)
{
	json_t *answer = NULL;
	char iccid[32];
	int code = cli_iccid(cli->args[0], iccid);

	if (code == EXIT_DONE)
		code = cli_call(cli, "GET", NULL, &answer, "/v1/devices/%s", iccid);
	if (code == EXIT_DONE)
		out_object(cli, answer, "device", device_cols);
	json_decref(answer);
	return code;
}

static int run_list(struct cli *cli)
{
	json_t *answer = NULL;
	int code = cli_call_list(cli, "/v1/devices", "devices", &answer);

	if (code == EXIT_DONE)
		out_list(cli, answer, "devices", device_table);
	json_decref(answer);
	return code;
}

static int set_flag(struct cli *cli, json_t *body, const char *name)
{
	const char *value = cli_opt(cli, name);

	if (!value)
		return EXIT_DONE;
	if (strcmp(value, "yes") != 0 && strcmp(value, "no") != 0)
		return cli_usage(cli, "--%s: must be yes or no", name);
	json_object_set_new(body, name, json_boolean(*value == 'y'));
	return EXIT_DONE;
}

static void set_text(json_t *body, const char *member, const char *value)
{
	if (value)
		json_object_set_new(body, member, json_string(value));
}

static int run_set(struct cli *cli)
{
	json_t *body = json_object(), *answer = NULL;
	char iccid[32];
	int code = cli_iccid(cli->args[0], iccid);

	set_text(body, "owner", cli_opt(cli, "owner"));
	set_text(body, "add_consent", cli_opt(cli, "consent"));
	set_text(body, "rem_consent", cli_opt(cli, "withdraw-consent"));
	set_text(body, "move_to", cli_opt(cli, "move-to"));
	if (code == EXIT_DONE)
		code = set_flag(cli, body, "locked");
	if (code == EXIT_DONE)
		code = set_flag(cli, body, "stolen");
	if (code == EXIT_DONE)
		code = set_flag(cli, body, "broken");
	if (cli_opt(cli, "refresh"))
		json_object_set_new(body, "refresh", json_true());
	set_text(body, "reason", cli_opt(cli, "reason"));
	if (code == EXIT_DONE && !json_object_size(body))
		code = cli_usage(cli, "what is to be set?");
	if (code == EXIT_DONE)
		code = cli_call(cli, "PATCH", json_incref(body), &answer, "/v1/devices/%s", iccid);
	if (code == EXIT_DONE)
		out_object(cli, answer, "device", device_cols);
	json_decref(body);
	json_decref(answer);
	return code;
}

static int run_delete(struct cli *cli)
{
	json_t *answer = NULL;
	char iccid[32];
	int code = cli_iccid(cli->args[0], iccid);

	if (code == EXIT_DONE)
		code = cli_call(cli, "DELETE", NULL, &answer, "/v1/devices/%s", iccid);
	if (code == EXIT_DONE)
		out_object(cli, answer, "device", device_cols);
	json_decref(answer);
	return code;
}

static int run_auth(struct cli *cli)
{
	static const struct out_col cols[] = { { "code", "code", OUT_TEXT },
		{ "expires", "expires", OUT_TIME }, { 0 } };
	json_t *answer = NULL;
	char iccid[32];
	int code = cli_iccid(cli->args[0], iccid);

	if (code == EXIT_DONE)
		code = cli_call(cli, "POST", json_object(), &answer, "/v1/devices/%s/auth", iccid);
	if (code == EXIT_DONE)
		out_object(cli, answer, NULL, cols);
	json_decref(answer);
	return code;
}

static int run_move(struct cli *cli)
{
	json_t *body = json_object(), *answer = NULL;
	char iccid[32], to[32], secret[CLI_CODE_MAX] = "";
	int code = cli_iccid(cli->args[0], iccid);

	if (code == EXIT_DONE)
		code = cli_iccid(cli->args[1], to);
	if (code == EXIT_DONE)
		code = cli_read_code(cli, "code-file", secret);
	set_text(body, "new_iccid", to);
	set_text(body, "code", *secret ? secret : NULL);
	if (code == EXIT_DONE)
		code = cli_call(
			cli, "POST", json_incref(body), &answer, "/v1/devices/%s/transfer", iccid);
	if (code == EXIT_DONE)
		out_object(cli, answer, "device", device_cols);
	json_decref(body);
	json_decref(answer);
	return code;
}

static int run_event(struct cli *cli)
{
	json_t *answer = NULL;
	char iccid[32];
	int code = cli_iccid(cli->args[0], iccid);

	if (code == EXIT_DONE)
		code = cli_call(cli, "POST", json_pack("{s:s}", "event", cli->args[1]), &answer,
			"/v1/devices/%s/event", iccid);
	if (code == EXIT_DONE)
		out_object(cli, answer, "device", device_cols);
	json_decref(answer);
	return code;
}

const struct cmd device_cmds[] = {
	{ "device", "show", "ICCID", 1, 1, "mno", 0, run_show, "show a device",
		"attestry device show 8912230200031010008F --lab /tmp/lab", { { 0 } } },
	{ "device", "list", "", 0, 0, "mno", 0, run_list, "list devices",
		"attestry device list --lab /tmp/lab --as gatineau", { { 0 } } },
	{ "device", "set", "ICCID", 1, 1, "gatineau", 0, run_set,
		"owner, locks, flags and consents of a device",
		"attestry device set 8912230200031010008F --stolen yes --lab /tmp/lab",
		{ { "owner", "PARTY", "the new owner" },
			{ "locked", "yes|no", "nobody transfers a locked device's profiles" },
			{ "stolen", "yes|no",
				"turned off at once, and stays so until it is found" },
			{ "broken", "yes|no",
				"turned off at once; may be moved to another SIM, or removed" },
			{ "reason", "TEXT", "why, for those who read it later" },
			{ "consent", "ASP", "this provider may register without claim code" },
			{ "withdraw-consent", "ASP", "and this one no longer" },
			{ "move-to", "MNO", "this operator may take the device over" },
			{ "refresh", NULL,
				"send the registry's CAs and payload signer to its card "
				"again" } } },
	{ "device", "delete", "ICCID", 1, 1, "mno", 0, run_delete,
		"give a device up that has no profiles: the end of the operator's stewardship",
		"attestry device delete 8912230200031010008F --lab /tmp/lab", { { 0 } } },
	{ "device", "auth", "ICCID", 1, 1, "gatineau", 0, run_auth,
		"make a code with which another operator takes the device over",
		"attestry device auth 8912230200031010008F --lab /tmp/lab", { { 0 } } },
	{ "device", "move", "ICCID NEW-ICCID", 2, 2, "mno", 0, run_move,
		"take a device over with a new SIM: new names, new keys, the same history",
		"attestry device move 8912230200031010008F 8912230200031010032F --code-file code "
		"--lab /tmp/lab",
		{ { "code-file", "FILE",
			"with the code from the owner; not needed when the present operator "
			"agrees" } } },
	{ "device", "event", "ICCID enabled|disabled|deleted", 2, 2, "mno", 0, run_event,
		"what the eSIM's manager says; suspends, resumes or ends its profiles",
		"attestry device event 8912230200031010008F disabled --lab /tmp/lab", { { 0 } } },
	{ "device", "install", "ICCID", 1, 1, "mno", 0, device_install,
		"for installers: is it live, and what is to be done (exit 0 live, 1 not)",
		"attestry device install 8912230200031010008F --qr --html label.html --lab "
		"/tmp/lab",
		{ { "qr", NULL, "the same as a QR code on the terminal" },
			{ "html", "FILE", "a page with text and QR code, to show or print" } } },
	{ 0 },
};
