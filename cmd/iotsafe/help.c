/* SPDX-License-Identifier: Apache-2.0 */
/* --help and the manual page, both from the table. */
#include "iotsafe_cmd.h"

#include <stdio.h>
#include <string.h>

void help_print(FILE *out, const struct verb *verbs, size_t count)
{
	(void)fputs("usage: iotsafe [--card NAME] [--slot N] [--json] COMMAND ...\n\n", out);
	for (size_t i = 0; i < count; i++)
		(void)fprintf(
			out, "  %-8s %-14s %s\n", verbs[i].name, verbs[i].args, verbs[i].what);
	(void)fputs("\n"
		    "  --card NAME  tty:PATH, pcsc:READER or socket:PATH (default: the\n"
		    "               environment's IOTSAFE_CARD)\n"
		    "  IOTSAFE_RESET  at, or the path of a program: how a modem that hangs is\n"
		    "               reset, by every command\n"
		    "  --slot N     profile 1..9 for info, payload and attest (default 1)\n"
		    "  --json       for scripts\n"
		    "\n"
		    "exit codes: 0 done, or attested; 1 refused; 2 cannot tell (no card, no "
		    "resolver);\n"
		    "64 wrong usage\n"
		    "\n"
		    "examples:\n"
		    "  export IOTSAFE_CARD=tty:/dev/ttyUSB2\n"
		    "  iotsafe objects\n"
		    "  iotsafe read 02 | openssl x509 -inform DER -noout -subject\n"
		    "  iotsafe payload show\n"
		    "  iotsafe attest && echo the registry vouches for this device\n",
		out);
}

/* A table's text has line breaks and blanks for --help; a macro line must not begin with a dot. */
static void flow(FILE *out, const char *text)
{
	bool blank = false;

	for (; *text; text++) {
		if (*text == ' ' || *text == '\n') {
			blank = true;
			continue;
		}
		if (blank)
			(void)fputc(' ', out);
		blank = false;
		(void)fputc(*text, out);
	}
}

void help_manual(FILE *out, const struct verb *verbs, size_t count)
{
	(void)fputs(
		".\\\" Made by: iotsafe --manual\n.Dd November 23, 2026\n.Dt IOTSAFE 1\n.Os\n"
		".Sh NAME\n.Nm iotsafe\n.Nd the IoT SAFE applet of a SIM, for people and scripts\n"
		".Sh SYNOPSIS\n.Nm\n.Op Fl -card Ar name\n.Op Fl -slot Ar n\n.Op Fl -json\n"
		".Ar command\n.Op Ar argument ...\n.Sh DESCRIPTION\n"
		"Reads what a SIM holds, lets it sign, believes or refuses its Registry Payload, "
		"and\n"
		"connects to the service that the payload names. The private key stays on the "
		"card.\n"
		"Options stand before or behind the command.\n.Bl -tag -width Ds\n"
		".It Fl -card Ar name\n.Li tty:PATH , pcsc:READER\nor\n.Li socket:PATH ;\n"
		"without it the environment's\n.Ev IOTSAFE_CARD .\n"
		".It Fl -slot Ar n\nthe profile, 1 to 9.\n"
		".It Fl -json\none JSON value a line, for scripts; errors as\n"
		".Li {\"error\": TEXT} .\n.El\n.Sh COMMANDS\n.Bl -tag -width Ds\n",
		out);
	for (size_t i = 0; i < count; i++) {
		(void)fprintf(out, ".It Cm %s%s%s\n", verbs[i].name, verbs[i].args[0] ? " Ar " : "",
			verbs[i].args);
		flow(out, verbs[i].what);
		(void)fputs(".\n", out);
	}
	(void)fputs(".El\n.Sh ENVIRONMENT\n.Bl -tag -width Ds\n"
		    ".It Ev IOTSAFE_CARD\nthe card, as in\n.Fl -card .\n"
		    ".It Ev IOTSAFE_RESET\n.Li at ,\nor the path of a program: how a modem that\n"
		    "hangs is reset. Without it a time-out is a time-out.\n.El\n"
		    ".Sh FILES\n.Bl -tag -width Ds\n"
		    ".It Pa /lib/systemd/system/iotsafe-watch.service\nthe agent as a service; it\n"
		    "reads\n.Pa /etc/default/iotsafe .\n.El\n"
		    ".Sh EXIT STATUS\n0: done, or attested. 1: refused. 2: it cannot be told: no "
		    "card,\n"
		    "no resolver. 64: wrong usage.\n"
		    ".Sh EXAMPLES\n.Bd -literal\nexport IOTSAFE_CARD=tty:/dev/ttyUSB2\n"
		    "iotsafe doctor\niotsafe read 02 | openssl x509 -inform DER -noout -subject\n"
		    "iotsafe attest && echo the registry vouches for this device\n.Ed\n"
		    ".Sh SEE ALSO\n.Xr iotsafe 3 ,\n.Xr attestry 1 ,\n.Xr attestry-sim 1\n",
		out);
}
