/* SPDX-License-Identifier: Apache-2.0 */
/* attestry asp server, attestry asp certificate: a provider's own certificates. */
#include "asp.h"

#include "base/file.h"

#include <stdlib.h>
#include <string.h>

static const struct out_col server_cols[] = {
	{ "fqdn", "FQDN", OUT_TEXT },
	{ "port", "port", OUT_TEXT },
	{ "pin", "pin (TLSA 3 1 1)", OUT_TEXT },
	{ "pinned", "devices are told", OUT_BOOL },
	{ "not_after", "not after", OUT_TIME },
	{ "next", "next pin", OUT_TEXT },
	{ "next_pinned", "devices are told it", OUT_BOOL },
	{ "behind", "devices behind", OUT_TEXT },
	{ 0 },
};

bool asp_ca(const struct cli *cli, struct attest_ca *out)
{
	*out = (struct attest_ca){ .url = cli_opt(cli, "est"),
		.ca_file = cli_opt(cli, "est-ca"),
		.cert_file = cli_opt(cli, "est-cert"),
		.key_file = cli_opt(cli, "est-key"),
		.user = cli_opt(cli, "est-user"),
		.password_file = cli_opt(cli, "est-password-file") };
	return out->url;
}

static int show(struct cli *cli, const struct attest_server *s)
{
	int code = asp_show(cli,
		json_pack("{s:s,s:i,s:s,s:b,s:b,s:s,s:b,s:I,s:I}", "fqdn", s->fqdn, "port",
			(int)s->port, "pin", s->pin, "pinned", s->pinned, "in_our_zone",
			s->in_our_zone, "next", s->next, "next_pinned", s->next_pinned, "not_after",
			(json_int_t)s->not_after, "behind", (json_int_t)s->behind),
		server_cols);

	if (s->in_our_zone)
		return code;
	/* The provider's zone is the provider's: what it is to say. */
	out_say(cli, "your zone is to say:  _%u._tcp.%s. TLSA 3 1 1 %s", s->port, s->fqdn, s->pin);
	if (*s->next)
		out_say(cli, "                      _%u._tcp.%s. TLSA 3 1 1 %s", s->port, s->fqdn,
			s->next);
	return code;
}

int asp_server(struct cli *cli)
{
	static const struct {
		const char *word;
		enum attest_error (*step)(struct attest_registry *r, const char *service,
			const struct attest_server_options *o, struct attest_server *out,
			char *error);
	} steps[] = { { "show", attest_server_show }, { "issue", attest_server_issue },
		{ "renew", attest_server_renew }, { "rotate", attest_server_rotate },
		{ "finish", attest_server_finish }, { "revoke", attest_server_revoke } };
	struct attest_server_options o = { .dir = cli->args[2] };
	struct attest_registry *r = NULL;
	char error[ATTEST_TEXT_MAX] = "";
	struct attest_server s;
	struct attest_ca ca;
	size_t i = 0;
	int code;

	while (i < ARRAY_LEN(steps) && strcmp(steps[i].word, cli->args[0]) != 0)
		i++;
	if (i == ARRAY_LEN(steps))
		return cli_usage(cli, "server: show, issue, renew, rotate, finish or revoke");
	code = asp_number(cli, "days", &o.days);
	if (code == EXIT_DONE)
		code = asp_number(cli, "wait", &o.wait_s);
	if (asp_ca(cli, &ca))
		o.ca = &ca;
	if (code == EXIT_DONE)
		code = asp_login(cli, &r);
	if (code == EXIT_DONE)
		code = asp_error(steps[i].step(r, cli->args[1], &o, &s, error), error);
	if (code == EXIT_DONE)
		code = show(cli, &s);
	attest_registry_free(r);
	return code;
}

int asp_certificate(struct cli *cli)
{
	const char *path = cli_opt(cli, "out");
	char error[ATTEST_TEXT_MAX] = "", *pem = NULL;
	unsigned char *csr = NULL;
	struct diag d = { 0 };
	struct attest_ca ca;
	size_t len = 0;
	int code;

	if (!asp_ca(cli, &ca))
		return cli_usage(cli, "which CA? give --est URL and --est-ca FILE");
	code = asp_csr(cli->args[0], &csr, &len);
	if (code == EXIT_DONE)
		code = asp_error(attest_ca_request(
					 &ca, csr, len, cli_opt(cli, "renew") != NULL, &pem, error),
			error);
	if (code == EXIT_DONE && !path)
		fputs(pem, stdout);
	else if (code == EXIT_DONE && file_write_atomic(path, pem, strlen(pem), 0644, &d) != RC_OK)
		code = cli_error(EXIT_USAGE, "%s", d.text);
	free(csr);
	free(pem);
	return code;
}
