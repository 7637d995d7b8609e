/* SPDX-License-Identifier: Apache-2.0 */
/* --help and the manual page, both from the table. */
#include "cli.h"

#include <string.h>

static const struct {
	const char *text, *help;
} connection[] = {
	{ "--lab DIR", "addresses and certificates from DIR/lab.json (or $ATTESTRY_LAB)" },
	{ "--as PARTY", "which party of the lab asks" },
	{ "--dir DIR", "a registry's own folder: asks as its operator" },
	{ "--url URL", "the registry, https://host:port (or $ATTESTRY_URL)" },
	{ "--ca FILE", "whom to trust as the registry, PEM (or $ATTESTRY_CA)" },
	{ "--cert FILE", "our certificate, PEM (or $ATTESTRY_CERT)" },
	{ "--key FILE", "its private key, PEM, mode 0600 (or $ATTESTRY_KEY)" },
};

static void name_of(const struct cmd *c, char *out, size_t cap)
{
	(void)snprintf(out, cap, "%s%s%s%s%s", c->noun, c->verb ? " " : "", c->verb ? c->verb : "",
		*c->args ? " " : "", c->args);
}

void cli_help_all(FILE *to)
{
	char name[80];

	fputs("attestry: a secure IoT registry\n\n", to);
	for (size_t i = 0; cli_nouns[i]; i++)
		for (const struct cmd *c = cli_nouns[i]; c->noun; c++) {
			if (c->traits & CMD_HIDDEN)
				continue;
			name_of(c, name, sizeof(name));
			fprintf(to, "  %-36s %s\n", name, c->help);
		}
	fputs("\nEach has --help with an example, and --json.\n"
	      "Exit codes: 0 done, 1 refused, 2 wrong usage or cannot tell, 3 nobody answers.\n",
		to);
}

void cli_help_noun(FILE *to, const char *noun)
{
	char name[80];

	for (size_t i = 0; cli_nouns[i]; i++)
		for (const struct cmd *c = cli_nouns[i]; c->noun; c++) {
			if (strcmp(c->noun, noun) != 0)
				continue;
			name_of(c, name, sizeof(name));
			fprintf(to, "  attestry %-36s %s\n", name, c->help);
		}
}

void cli_help_cmd(FILE *to, const struct cmd *cmd)
{
	char name[80];

	name_of(cmd, name, sizeof(name));
	fprintf(to, "usage: attestry %s [options]\n\n%s\n", name, cmd->help);
	if (cmd->opts[0].name)
		fputs("\noptions:\n", to);
	for (const struct cli_opt *o = cmd->opts; o->name; o++) {
		(void)snprintf(name, sizeof(name), "--%s%s%s", o->name, o->arg ? " " : "",
			o->arg ? o->arg : "");
		fprintf(to, "  %-24s %s\n", name, o->help);
	}
	if (!(cmd->traits & CMD_LOCAL)) {
		fputs("\nconnection:\n", to);
		for (size_t i = 0; i < ARRAY_LEN(connection); i++)
			fprintf(to, "  %-24s %s%s%s%s\n", connection[i].text, connection[i].help,
				i == 1 ? " (default: " : "", i == 1 ? cmd->party : "",
				i == 1 ? ")" : "");
	}
	fprintf(to, "  %-24s %s\n\nexample:\n  %s\n", "--json", "JSON instead of text",
		cmd->example);
}

/* ---- attestry(1) ---- */

static void manual_cmd(FILE *to, const struct cmd *c)
{
	bool stop = c->help[strlen(c->help) - 1] == '.';

	fprintf(to, ".It Cm %s%s%s%s%s\n%s%s\n", c->noun, c->verb ? " " : "",
		c->verb ? c->verb : "", *c->args ? " Ar " : "", c->args, c->help, stop ? "" : ".");
	if (c->opts[0].name)
		fputs(".Bl -tag -width Ds -compact\n", to);
	for (const struct cli_opt *o = c->opts; o->name; o++)
		fprintf(to, ".It Fl -%s%s%s\n%s.\n", o->name, o->arg ? " Ar " : "",
			o->arg ? o->arg : "", o->help);
	if (c->opts[0].name)
		fputs(".El\n", to);
	fprintf(to, ".Dl %s\n", c->example);
}

void cli_manual(FILE *to)
{
	fputs(".\\\" Made by: attestry --manual\n.Dd November 23, 2026\n.Dt ATTESTRY 1\n.Os\n"
	      ".Sh NAME\n.Nm attestry\n.Nd the secure IoT registry's command\n"
	      ".Sh SYNOPSIS\n.Nm\n.Ar noun\n.Op Ar verb\n.Op Ar options\n.Sh DESCRIPTION\n"
	      "Registers, activates, moves and deletes device profiles, and runs what belongs to\n"
	      "a registry. These options belong to every command that asks a registry:\n"
	      ".Bl -tag -width Ds\n",
		to);
	for (size_t i = 0; i < ARRAY_LEN(connection); i++)
		fprintf(to, ".It Li %s\n%s.\n", connection[i].text, connection[i].help);
	fputs(".It Li --json\nJSON instead of text.\n.El\n.Sh COMMANDS\n.Bl -tag -width Ds\n", to);
	for (size_t i = 0; cli_nouns[i]; i++)
		for (const struct cmd *c = cli_nouns[i]; c->noun; c++)
			if (!(c->traits & CMD_HIDDEN))
				manual_cmd(to, c);
	fputs(".El\n.Sh EXIT STATUS\n0: done. 1: refused. 2: wrong usage, or it cannot be told.\n"
	      "3: nobody answers; try again later.\n"
	      ".Sh SEE ALSO\n.Xr attestryd 8 ,\n.Xr attestry-mno 1 ,\n.Xr iotsafe 1\n",
		to);
}
