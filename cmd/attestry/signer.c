/* SPDX-License-Identifier: Apache-2.0 */
/* attestry signer, attestry keys renew: the key that signs Registry Payloads is replaced, the CAs'
 * certificates are renewed. Works on the registry's folder while attestryd is down; what changes
 * reaches the cards by jobs once it runs again. */
#include "cli.h"

#include "base/clock.h"
#include "base/str.h"
#include "ca/renew.h"

#include <string.h>

enum { DAYS_MAX = 36500 };

/* The registry's folder: that of its configuration. */
static int folder_of(const struct cli *cli, char out[PATH_MAX])
{
	if (!cli_config_path(cli, out))
		return cli_usage(cli, "--dir DIR is missing (or --lab)");
	*strrchr(out, '/') = '\0';
	return EXIT_DONE;
}

static int failed(enum rc rc, const struct diag *d)
{
	if (rc == RC_BUSY)
		return cli_error(EXIT_REFUSED, "%s: attestryd uses it; stop it first", d->text);
	return cli_error(
		rc == RC_STATE || rc == RC_EXISTS || rc == RC_CONFLICT ? EXIT_REFUSED : EXIT_USAGE,
		"%s", d->text[0] ? d->text : rc_text(rc));
}

static int step(struct cli *cli, enum rc (*make)(const char *dir, struct diag *d), const char *done)
{
	char dir[PATH_MAX];
	struct diag d = { 0 };
	int code = folder_of(cli, dir);
	enum rc rc;

	if (code != EXIT_DONE)
		return code;
	rc = make(dir, &d);
	if (rc != RC_OK)
		return failed(rc, &d);
	out_say(cli, "%s", done);
	return EXIT_DONE;
}

static enum rc prepare(const char *dir, struct diag *d)
{
	return ca_signer_prepare(dir, clock_system()->unix_s(clock_system()), d);
}

static int run_prepare(struct cli *cli)
{
	return step(cli, prepare,
		"made keys/payload-next.key; once attestryd runs, every card is told of it");
}

static int run_switch(struct cli *cli)
{
	return step(cli, ca_signer_switch,
		"once attestryd runs, cards that know the new signer get its certificate (0C) and "
		"payloads by it; the others are told of it first, by the former");
}

static int run_retire(struct cli *cli)
{
	return step(cli, ca_signer_retire, "the former signer is gone");
}

static int run_show(struct cli *cli)
{
	static const struct out_col cols[] = { { "spki", "signer", OUT_TEXT },
		{ "next", "next", OUT_TEXT }, { "old", "former", OUT_TEXT },
		{ "profiles", "profiles with payloads", OUT_TEXT },
		{ "known", "whose cards know the next", OUT_TEXT },
		{ "left", "whose cards lack the present", OUT_TEXT }, { 0 } };
	json_t *answer = NULL;
	int code = cli_call(cli, "GET", NULL, &answer, "/v1/signer");

	if (code == EXIT_DONE)
		out_object(cli, answer, NULL, cols);
	json_decref(answer);
	return code;
}

int keys_renew(struct cli *cli)
{
	static const char *const names[] = { [CA_RENEW_ROOT] = "root",
		[CA_RENEW_ISSUING] = "issuing",
		[CA_RENEW_DEVKIT] = "devkit" };
	const char *days_text = cli_opt(cli, "days");
	struct ca_renew_params p = { .root_key = cli_opt(cli, "root-key"),
		.cert_pem = cli_opt(cli, "cert"),
		.now = clock_system()->unix_s(clock_system()) };
	char dir[PATH_MAX];
	struct diag d = { 0 };
	uint64_t days = 0;
	size_t i = 0;
	int code = folder_of(cli, dir);
	enum rc rc;

	if (code != EXIT_DONE)
		return code;
	while (i < ARRAY_LEN(names) && strcmp(names[i], cli->args[0]) != 0)
		i++;
	if (i == ARRAY_LEN(names))
		return cli_usage(cli, "\"%s\": root, issuing or devkit", cli->args[0]);
	if (!p.root_key == !p.cert_pem)
		return cli_usage(cli, "either --root-key or --cert");
	if (days_text && u64_read(days_text, 1, DAYS_MAX, &days) != RC_OK)
		return cli_usage(cli, "--days: 1 to %d", DAYS_MAX);
	p.dir = dir;
	p.what = (enum ca_renew_what)i;
	p.days = (unsigned)days;
	rc = ca_renew(&p, &d);
	if (rc != RC_OK)
		return failed(rc, &d);
	out_say(cli, "renewed; once attestryd runs, every card gets it; providers need the new "
		     "chain.pem");
	return EXIT_DONE;
}

const struct cmd signer_cmds[] = {
	{ "signer", "show", "", 0, 0, "operator", 0, run_show,
		"who signs Registry Payloads, and how far a replacement is",
		"attestry signer show --lab /tmp/lab", { { 0 } } },
	{ "signer", "prepare", "", 0, 0, "", CMD_LOCAL, run_prepare,
		"make the next payload signer's key and certificates (attestryd is down)",
		"attestry signer prepare --dir var", { { 0 } } },
	{ "signer", "switch", "", 0, 0, "", CMD_LOCAL, run_switch,
		"put it in the present one's place (attestryd is down)",
		"attestry signer switch --dir var", { { 0 } } },
	{ "signer", "retire", "", 0, 0, "", CMD_LOCAL, run_retire,
		"delete the former one's key, when no card lacks the present one",
		"attestry signer retire --dir var", { { 0 } } },
	{ 0 },
};
