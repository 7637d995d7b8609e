/* SPDX-License-Identifier: Apache-2.0 */
/* attestry asp card, attestry asp credential. */
#include "asp.h"

#include "base/file.h"
#include "base/secret.h"
#include "base/str.h"
#include "ca/csr.h"
#include "ca/keyfile.h"

#include <stdlib.h>
#include <string.h>

/* ---- card -------------------------------------------------------------------------------------
 */

static const struct out_col card_cols[] = {
	{ "name", "name", OUT_TEXT },
	{ "state", "state", OUT_TEXT },
	{ "current", "card is current", OUT_BOOL },
	{ "payload", "payload", OUT_TEXT },
	{ "wipe_pending", "wipe pending", OUT_BOOL },
	{ "key_proven", "key proven", OUT_BOOL },
	{ "maker", "proven by", OUT_TEXT },
	{ "job", "waits for job", OUT_TEXT },
	{ "job_kind", "which is to", OUT_TEXT },
	{ "job_state", "and is", OUT_TEXT },
	{ "job_reason", "because", OUT_TEXT },
	{ 0 },
};

static int show_card(struct cli *cli, const struct attest_card *c)
{
	return asp_show(cli,
		json_pack("{s:s,s:s,s:b,s:b,s:b,s:s,s:I,s:s,s:s,s:s,s:s}", "name", c->name, "state",
			c->state, "current", c->current, "wipe_pending", c->wipe_pending,
			"key_proven", c->key_proven, "maker", c->maker, "payload",
			(json_int_t)c->payload, "job", c->job, "job_kind", c->job_kind, "job_state",
			c->job_state, "job_reason", c->job_reason),
		card_cols);
}

int asp_card(struct cli *cli)
{
	static const struct {
		const char *word;
		enum attest_error (*step)(struct attest_registry *r, const char *name,
			struct attest_card *out, char *error);
	} steps[] = { { "status", attest_card_status }, { "write", attest_card_write },
		{ "block", attest_card_block }, { "unblock", attest_card_unblock } };
	const char *word = cli->args[0], *name = cli->args[1];
	bool wipe = strcmp(word, "wipe") == 0;
	struct attest_registry *r = NULL;
	char error[ATTEST_TEXT_MAX] = "";
	struct attest_card c;
	size_t i = 0;
	int code;

	while (!wipe && i < ARRAY_LEN(steps) && strcmp(steps[i].word, word) != 0)
		i++;
	if (i == ARRAY_LEN(steps))
		return cli_usage(cli, "card: status, write, block, unblock or wipe");
	code = asp_login(cli, &r);
	if (code == EXIT_DONE && wipe)
		code = asp_error(attest_card_wipe(r, name, error), error);
	else if (code == EXIT_DONE)
		code = asp_error(steps[i].step(r, name, &c, error), error);
	if (code == EXIT_DONE && !wipe)
		code = show_card(cli, &c);
	else if (code == EXIT_DONE)
		out_say(cli, "%s is deleted; the card destroys its key", name);
	attest_registry_free(r);
	return code;
}

/* ---- credential -------------------------------------------------------------------------------
 */

static const struct out_col credential_cols[] = {
	{ "name", "name", OUT_TEXT },
	{ "service", "service", OUT_TEXT },
	{ "state", "state", OUT_TEXT },
	{ "pending", "card makes its key", OUT_BOOL },
	{ "sha256", "SHA-256", OUT_HEX },
	{ "not_after", "not after", OUT_TIME },
	{ "on_card", "on the card", OUT_BOOL },
	{ 0 },
};

int asp_csr(const char *path, unsigned char **der, size_t *len)
{
	unsigned char *bytes = malloc(CA_CSR_MAX);
	struct diag d = { 0 };

	if (!bytes)
		return cli_error(EXIT_USAGE, "out of memory");
	if (ca_pem_load(path, "CERTIFICATE REQUEST", bytes, CA_CSR_MAX, len, &d) != RC_OK) {
		free(bytes);
		return cli_error(EXIT_USAGE, "%s", d.text);
	}
	*der = bytes;
	return EXIT_DONE;
}

static int write_cert(const char *path, const struct attest_credential *c)
{
	char pem[CA_PEM_LEN(ATTEST_CERT_MAX)];
	struct diag d = { 0 };

	if (!c->cert_len)
		return cli_error(EXIT_REFUSED, "%s: there is no certificate yet", c->name);
	if (ca_pem_write("CERTIFICATE", c->cert, c->cert_len, pem, sizeof(pem)) != RC_OK ||
		file_write_atomic(path, pem, strlen(pem), 0644, &d) != RC_OK)
		return cli_error(EXIT_USAGE, "%s: %s", path, d.text);
	return EXIT_DONE;
}

static int show_credential(struct cli *cli, const struct attest_credential *c)
{
	const char *path = cli_opt(cli, "out");
	char sha256[B64_LEN(32)] = "";
	int code = path ? write_cert(path, c) : EXIT_DONE;

	if (c->cert_len)
		b64_write(c->sha256, sizeof(c->sha256), sha256);
	if (code == EXIT_DONE)
		code = asp_show(cli,
			json_pack("{s:s,s:s,s:s,s:b,s:b,s:I,s:s}", "name", c->name, "service",
				c->service, "state", c->state, "pending", c->pending, "on_card",
				c->on_card, "not_after", (json_int_t)c->not_after, "sha256",
				sha256),
			credential_cols);
	return code;
}

/* The step itself; ATTEST_EINVAL with a sentence for a word that is none. */
static enum attest_error do_step(struct cli *cli, struct attest_registry *r,
	const struct attest_issue *issue, struct attest_credential *c, char *error)
{
	const char *word = cli->args[0], *name = issue->name;

	if (strcmp(word, "show") == 0)
		return attest_credential_get(r, name, c, error);
	if (strcmp(word, "issue") == 0)
		return attest_credential_issue(r, issue, c, error);
	if (strcmp(word, "renew") == 0)
		return attest_credential_renew(r, name, c, error);
	if (strcmp(word, "rotate") == 0)
		return attest_credential_rotate(r, issue, c, error);
	if (strcmp(word, "revoke") == 0)
		return attest_credential_revoke(r, name, cli_opt(cli, "for-good") != NULL, error);
	(void)snprintf(error, ATTEST_TEXT_MAX,
		"credential: show, issue, renew, rotate or revoke, not %.32s", word);
	return ATTEST_EINVAL;
}

int asp_credential(struct cli *cli)
{
	struct attest_issue issue = { .name = cli->args[1], .service = cli_opt(cli, "service") };
	struct attest_credential *c = calloc(1, sizeof(*c));
	char error[ATTEST_TEXT_MAX] = "", claim[CLI_CODE_MAX] = "";
	struct attest_registry *r = NULL;
	unsigned char *csr = NULL;
	unsigned wait_s = 0;
	int code = c ? asp_number(cli, "wait", &wait_s) : EXIT_USAGE;

	if (code == EXIT_DONE)
		code = cli_read_code(cli, "claim-file", claim);
	if (code == EXIT_DONE && cli_opt(cli, "csr"))
		code = asp_csr(cli_opt(cli, "csr"), &csr, &issue.csr_len);
	issue.csr = csr;
	issue.claim = *claim ? claim : NULL;
	if (code == EXIT_DONE)
		code = asp_login(cli, &r);
	if (code == EXIT_DONE)
		code = asp_error(do_step(cli, r, &issue, c, error), error);
	if (code == EXIT_DONE && wait_s)
		code = asp_error(attest_credential_wait(r, issue.name, wait_s, c, error), error);
	if (code == EXIT_DONE && *c->name)
		code = show_credential(cli, c);
	else if (code == EXIT_DONE)
		out_say(cli, "%s is revoked", issue.name);
	mem_wipe(claim, sizeof(claim));
	attest_registry_free(r);
	free(csr);
	free(c);
	return code;
}
