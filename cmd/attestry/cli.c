/* SPDX-License-Identifier: Apache-2.0 */
/* From argv to a subcommand. */
#include "cli.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

/* Options that every subcommand has. */
static const struct cli_opt common[] = {
	{ "lab", "DIR", NULL },
	{ "dir", "DIR", NULL },
	{ "as", "PARTY", NULL },
	{ "url", "URL", NULL },
	{ "ca", "FILE", NULL },
	{ "cert", "FILE", NULL },
	{ "key", "FILE", NULL },
	{ "case", "ID", NULL },
	{ "because", "TEXT", NULL },
	{ "json", NULL, NULL },
	{ "help", NULL, NULL },
};

int cli_error(int code, const char *fmt, ...)
{
	va_list ap;

	fputs("attestry: ", stderr);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
	return code;
}

int cli_usage(const struct cli *cli, const char *fmt, ...)
{
	va_list ap;

	fputs("attestry: ", stderr);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fprintf(stderr, "\nusage: attestry %s%s%s%s%s [options]; see --help\n", cli->cmd->noun,
		cli->cmd->verb ? " " : "", cli->cmd->verb ? cli->cmd->verb : "",
		*cli->cmd->args ? " " : "", cli->cmd->args);
	return EXIT_USAGE;
}

const char *cli_opt_nth(const struct cli *cli, const char *name, size_t n)
{
	for (size_t i = 0; i < cli->given_count; i++)
		if (strcmp(cli->given[i].name, name) == 0 && n-- == 0)
			return cli->given[i].value;
	return NULL;
}

const char *cli_opt(const struct cli *cli, const char *name)
{
	const char *last = NULL, *value;

	for (size_t n = 0; (value = cli_opt_nth(cli, name, n)); n++)
		last = value;
	return last;
}

const char *cli_lab_text(const struct cli *cli, const char *a, const char *b)
{
	const json_t *at = json_object_get(cli->lab, a);

	return json_string_value(b ? json_object_get(at, b) : at);
}

const char *cli_config_path(const struct cli *cli, char out[PATH_MAX])
{
	const char *lab = cli_lab_text(cli, "config", NULL);
	int n;

	if (cli->dir)
		n = snprintf(out, PATH_MAX, "%s/attestry.conf", cli->dir);
	else if (lab)
		n = snprintf(out, PATH_MAX, "%s", lab);
	else
		return NULL;
	return n > 0 && n < PATH_MAX ? out : NULL;
}

/* ---- dispatch ---- */

/* The row of a noun and verb; *noun_known says whether the first word at least is one. A verb
 * goes before a row without verb. */
static const struct cmd *find_cmd(const char *noun, const char *verb, bool *noun_known)
{
	const struct cmd *alone = NULL;

	*noun_known = false;
	for (size_t i = 0; cli_nouns[i]; i++) {
		for (const struct cmd *c = cli_nouns[i]; c->noun; c++) {
			if (strcmp(c->noun, noun) != 0)
				continue;
			*noun_known = true;
			if (c->verb && verb && strcmp(c->verb, verb) == 0)
				return c;
			if (!c->verb)
				alone = c;
		}
	}
	return alone;
}

static const struct cli_opt *find_opt(const struct cmd *cmd, const char *name, size_t len)
{
	for (const struct cli_opt *o = cmd->opts; o->name; o++)
		if (strlen(o->name) == len && strncmp(o->name, name, len) == 0)
			return o;
	for (size_t i = 0; i < ARRAY_LEN(common); i++)
		if (strlen(common[i].name) == len && strncmp(common[i].name, name, len) == 0)
			return &common[i];
	return NULL;
}

/* One option at argv[*i]; *i moves to the last word it took. */
static int take_opt(struct cli *cli, int argc, char **argv, int *i)
{
	const char *name = argv[*i] + 2, *eq = strchr(name, '=');
	size_t len = eq ? (size_t)(eq - name) : strlen(name);
	const struct cli_opt *o = find_opt(cli->cmd, name, len);
	const char *value = "";

	if (!o)
		return cli_usage(cli, "unknown option --%.*s", (int)len, name);
	if (!o->arg && eq)
		return cli_usage(cli, "--%s takes no value", o->name);
	if (o->arg) {
		value = eq ? eq + 1 : *i + 1 < argc ? argv[++*i] : NULL;
		if (!value)
			return cli_usage(cli, "--%s needs a value: %s", o->name, o->arg);
	}
	if (cli->given_count == CLI_GIVEN_MAX)
		return cli_usage(cli, "too many options");
	cli->given[cli->given_count++] = (struct cli_given){ o->name, value };
	return EXIT_DONE;
}

static int parse(struct cli *cli, int argc, char **argv, int from)
{
	bool words_only = false;
	int code = EXIT_DONE;

	for (int i = from; i < argc && code == EXIT_DONE; i++) {
		if (!words_only && strcmp(argv[i], "--") == 0)
			words_only = true;
		else if (!words_only && strcmp(argv[i], "-h") == 0)
			cli->given[cli->given_count++] = (struct cli_given){ "help", "" };
		else if (!words_only && strncmp(argv[i], "--", 2) == 0)
			code = take_opt(cli, argc, argv, &i);
		else if (!words_only && argv[i][0] == '-' && argv[i][1])
			code = cli_usage(cli, "unknown option %s", argv[i]);
		else if (cli->arg_count == CLI_ARGS_MAX)
			code = cli_usage(cli, "too many words");
		else
			cli->args[cli->arg_count++] = argv[i];
	}
	return code;
}

static int load_lab(struct cli *cli)
{
	const char *dir = cli_opt(cli, "lab");
	char path[PATH_MAX];
	json_error_t e;

	if (!dir && !cli_opt(cli, "url") && !cli_opt(cli, "dir"))
		dir = getenv("ATTESTRY_LAB");
	/* `lab` makes its folder itself. */
	if (!dir || !*dir || cli->cmd == NULL || strcmp(cli->cmd->noun, "lab") == 0)
		return EXIT_DONE;
	int n = snprintf(path, sizeof(path), "%s/lab.json", dir);
	if (n < 0 || (size_t)n >= sizeof(path))
		return cli_error(EXIT_USAGE, "--lab: the path is too long");
	cli->lab = json_load_file(path, JSON_REJECT_DUPLICATES, &e);
	if (!cli->lab)
		return cli_error(EXIT_USAGE, "%s: %s; start one with: attestry lab up %s", path,
			e.text, dir);
	return EXIT_DONE;
}

static int run_cmd(struct cli *cli, int argc, char **argv, int from)
{
	int code = parse(cli, argc, argv, from);

	if (code != EXIT_DONE)
		return code;
	if (cli_opt(cli, "help")) {
		cli_help_cmd(stdout, cli->cmd);
		return EXIT_DONE;
	}
	if (cli->arg_count < cli->cmd->min_args)
		return cli_usage(cli, "%s is missing", cli->cmd->args);
	if (cli->arg_count > cli->cmd->max_args)
		return cli_usage(cli, "\"%s\" is one word too many", cli->args[cli->cmd->max_args]);
	cli->json = cli_opt(cli, "json") != NULL;
	cli->dir = cli_opt(cli, "dir");
	code = load_lab(cli);
	if (code == EXIT_DONE)
		code = cli->cmd->run(cli);
	return code;
}

int cli_main(int argc, char **argv)
{
	struct cli cli = { .program_path = argv[0] };
	const char *noun = argc > 1 ? argv[1] : "--help", *verb = argc > 2 ? argv[2] : NULL;
	bool noun_known;
	int code;

	if (strcmp(noun, "--help") == 0 || strcmp(noun, "-h") == 0 || strcmp(noun, "help") == 0) {
		cli_help_all(stdout);
		return argc > 1 ? EXIT_DONE : EXIT_USAGE;
	}
	if (strcmp(noun, "--version") == 0) {
		printf("attestry %s\n", ATT_VERSION);
		return EXIT_DONE;
	}
	if (strcmp(noun, "--manual") == 0) {
		cli_manual(stdout);
		return EXIT_DONE;
	}
	cli.cmd = find_cmd(noun, verb, &noun_known);
	if (!noun_known)
		return cli_error(EXIT_USAGE, "no subcommand \"%s\"; see: attestry --help", noun);
	if (!cli.cmd) {
		bool asked = verb && (strcmp(verb, "--help") == 0 || strcmp(verb, "-h") == 0);
		if (verb && !asked)
			cli_error(EXIT_USAGE, "\"attestry %s\" has no \"%s\"", noun, verb);
		cli_help_noun(asked ? stdout : stderr, noun);
		return asked ? EXIT_DONE : EXIT_USAGE;
	}
	code = run_cmd(&cli, argc, argv, cli.cmd->verb ? 3 : 2);
	cli_disconnect(&cli);
	json_decref(cli.lab);
	if (fflush(stdout) != 0 && code == EXIT_DONE)
		code = cli_error(EXIT_USAGE, "cannot write to standard output");
	return code;
}
