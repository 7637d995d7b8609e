/* SPDX-License-Identifier: Apache-2.0 */
/* attestry job, attestry poll: what waits for an operator's gateway, and for a party's eyes. */
#include "cli.h"

#include "base/str.h"

#include <string.h>

static const struct out_col job_cols[] = {
	{ "id", "id", OUT_TEXT },
	{ "kind", "kind", OUT_TEXT },
	{ "iccid", "ICCID", OUT_TEXT },
	{ "slot", "slot", OUT_TEXT },
	{ "state", "state", OUT_TEXT },
	{ "attempt", "attempt", OUT_TEXT },
	{ "not_after", "not after", OUT_TIME },
	{ "cause", "because", OUT_TEXT },
	{ "reason", "reason", OUT_TEXT },
	{ 0 },
};
static const struct out_col receipt_cols[] = {
	{ "id", "file", OUT_TEXT },
	{ "received", "received", OUT_TIME },
	{ "por", "receipt", OUT_HEX },
	{ 0 },
};

static int run_list(struct cli *cli)
{
	json_t *answer = NULL;
	int code = cli_call(cli, "GET", NULL, &answer, "/v1/jobs?limit=100");

	if (code == EXIT_DONE)
		out_list(cli, answer, "jobs", job_cols);
	json_decref(answer);
	return code;
}

static int run_show(struct cli *cli)
{
	json_t *answer = NULL;
	int code = cli_call(cli, "GET", NULL, &answer, "/v1/jobs/%s", cli->args[0]);

	if (code == EXIT_DONE)
		out_object(cli, answer, "job", job_cols);
	if (code == EXIT_DONE && !cli->json &&
		json_object_get(json_object_get(answer, "job"), "receipts"))
		out_list(cli, json_object_get(answer, "job"), "receipts", receipt_cols);
	json_decref(answer);
	return code;
}

const struct cmd job_cmds[] = {
	{ "job", "list", "", 0, 0, "mno", 0, run_list,
		"open jobs for the operator's gateway (asking takes them)",
		"attestry job list --lab /tmp/lab", { { 0 } } },
	{ "job", "show", "ID", 1, 1, "mno", 0, run_show, "show a job",
		"attestry job show ID --lab /tmp/lab", { { 0 } } },
	{ 0 },
};

static int run_poll(struct cli *cli)
{
	static const struct out_col cols[] = { { "count", "waiting", OUT_TEXT },
		{ "message.id", "message", OUT_TEXT }, { "message.date", "date", OUT_TIME },
		{ "message.event", "event", OUT_TEXT }, { "message.name", "name", OUT_TEXT },
		{ "message.text", "text", OUT_TEXT }, { 0 } };
	const char *wait = cli_opt(cli, "wait");
	json_t *answer = NULL, *gone = NULL;
	uint64_t wait_s = 0;
	char id[32];
	int code = EXIT_DONE;

	if (wait && u64_read(wait, 0, 60, &wait_s) != RC_OK)
		return cli_usage(cli, "--wait: must be 0 to 60 seconds");
	char number[24];
	(void)snprintf(number, sizeof(number), "%llu", (unsigned long long)wait_s);
	code = cli_call(cli, "GET", NULL, &answer, "/v1/poll?wait=%s", number);
	if (code != EXIT_DONE)
		return code;
	out_object(cli, answer, NULL, cols);
	const json_t *message = json_object_get(answer, "message");
	if (cli_opt(cli, "ack") && message) {
		(void)snprintf(id, sizeof(id), "%lld",
			(long long)json_integer_value(json_object_get(message, "id")));
		code = cli_call(cli, "DELETE", NULL, &gone, "/v1/poll/%s", id);
	}
	json_decref(answer);
	json_decref(gone);
	return code;
}

const struct cmd poll_cmds[] = {
	{ "poll", NULL, "", 0, 0, "parkoserv", 0, run_poll, "the oldest message to this party",
		"attestry poll --ack --lab /tmp/lab",
		{ { "wait", "SECONDS", "for a message, up to 60" },
			{ "ack", NULL, "and take it off the queue" } } },
	{ 0 },
};
