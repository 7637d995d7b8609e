/* SPDX-License-Identifier: Apache-2.0 */
/* attestry lab up, status, down. */
#include "cli.h"
#include "base/str.h"
#include "lab.h"

static int run_up(struct cli *cli)
{
	struct diag d = { 0 };
	struct lab_options o = { .database = cli_opt(cli, "database"),
		.empty = cli_opt(cli, "empty") != NULL,
		.quiet = cli->json };
	const char *nodes = cli_opt(cli, "nodes");
	uint64_t n = 0;
	enum rc rc;

	if (nodes && u64_read(nodes, 1, LAB_NODES_MAX, &n) != RC_OK)
		return cli_usage(cli, "--nodes: 1 to %d", LAB_NODES_MAX);
	o.nodes = (int)n;
	rc = lab_up(cli->args[0], &o, &d);

	if (rc == RC_EXISTS)
		return cli_error(EXIT_REFUSED, "%s", d.text);
	if (rc != RC_OK)
		return cli_error(EXIT_UNAVAILABLE, "%s; logs are in %s/log", d.text, cli->args[0]);
	if (cli->json)
		printf("{\"dir\": \"%s\"}\n", cli->args[0]);
	else
		printf("\nnext: attestry lab status %s, or any subcommand with --lab %s\n",
			cli->args[0], cli->args[0]);
	return EXIT_DONE;
}

static int run_status(struct cli *cli)
{
	struct diag d = { 0 };
	bool all_up = false;

	if (lab_status(cli->args[0], cli->json, &all_up, &d) != RC_OK)
		return cli_error(EXIT_USAGE, "%s", d.text);
	return all_up ? EXIT_DONE : EXIT_REFUSED;
}

static int run_down(struct cli *cli)
{
	struct diag d = { 0 };

	if (lab_down(cli->args[0], &d) != RC_OK)
		return cli_error(EXIT_USAGE, "%s", d.text);
	return EXIT_DONE;
}

const struct cmd lab_cmds[] = {
	{ "lab", "up", "DIR", 1, 1, NULL, CMD_LOCAL, run_up,
		"start a registry, providers, an operator, SIMs and a device on this machine",
		"attestry lab up /tmp/lab",
		{ { "empty", NULL, "stop before any device is registered" },
			{ "database", "URL", "an empty PostgreSQL database instead of SQLite" },
			{ "nodes", "N", "so many nodes on one PostgreSQL database" } } },
	{ "lab", "status", "DIR", 1, 1, NULL, CMD_LOCAL, run_status,
		"show what of a lab runs, and where; exit 1 when a part has ended",
		"attestry lab status /tmp/lab", { { 0 } } },
	{ "lab", "down", "DIR", 1, 1, NULL, CMD_LOCAL, run_down, "end every process of a lab",
		"attestry lab down /tmp/lab", { { 0 } } },
	{ "lab", "keep-ds", "DIR", 1, 1, NULL, CMD_LOCAL | CMD_HIDDEN, lab_keep_ds,
		"keep our DS at the lab's parent as our CDS asks", NULL, { { 0 } } },
	{ 0 },
};
