/* SPDX-License-Identifier: Apache-2.0 */
/* attestry payload: what a card's file 0D says, and whether it is the registry's word. */
#include "cli.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/str.h"
#include "ca/keyfile.h"
#include "payload/accept.h"
#include "payload/show.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { CERT_DER_MAX = 4096 };

static void print(const struct cli *cli, const struct payload *p)
{
	json_t *json;

	if (!cli->json) {
		payload_show(p, stdout);
		return;
	}
	json = payload_json(p);
	out_json(json);
	json_decref(json);
}

static int read_payload(const char *path, uint8_t **bytes, size_t *len, struct payload *p)
{
	struct payload_cose cose;
	struct diag d = { 0 };

	if (file_read(path, PAYLOAD_MAX, bytes, len, &d) != RC_OK)
		return cli_error(EXIT_USAGE, "%s", d.text);
	if (payload_parse(*bytes, *len, p, &cose, &d) != RC_OK)
		return cli_error(EXIT_REFUSED, "%s: %s", path, d.text);
	return EXIT_DONE;
}

static int run_show(struct cli *cli)
{
	struct payload p;
	uint8_t *bytes = NULL;
	size_t len = 0;
	int code = read_payload(cli->args[0], &bytes, &len, &p);

	if (code == EXIT_DONE)
		print(cli, &p);
	free(bytes);
	return code;
}

/* ---- verify ---- */

struct cert {
	uint8_t der[CERT_DER_MAX];
	size_t len;
};

/* DIR/<name>.pem */
static int load_cert(const char *dir, const char *name, struct cert *out)
{
	struct diag d = { 0 };
	char path[PATH_MAX];

	if (str_format(path, sizeof(path), "%s/%s.pem", dir, name) != RC_OK)
		return cli_error(EXIT_USAGE, "the path is too long");
	if (ca_pem_load(path, "CERTIFICATE", out->der, sizeof(out->der), &out->len, &d) != RC_OK)
		return cli_error(EXIT_USAGE, "%s", d.text);
	return EXIT_DONE;
}

static bool cert_there(const char *dir, const char *name)
{
	char path[PATH_MAX];

	return str_format(path, sizeof(path), "%s/%s.pem", dir, name) == RC_OK &&
	       access(path, R_OK) == 0;
}

static const char *ca_dir(const struct cli *cli, char out[PATH_MAX])
{
	const char *given = cli_opt(cli, "ca-dir"), *root = cli_lab_text(cli, "ca", "root");
	char *slash;

	if (given)
		return given;
	if (cli->dir)
		return str_format(out, PATH_MAX, "%s/ca", cli->dir) == RC_OK ? out : NULL;
	if (!root || str_copy(out, PATH_MAX, root) != RC_OK || !(slash = strrchr(out, '/')))
		return NULL;
	*slash = '\0';
	return out;
}

/* As a device would that knows nothing yet: the payload may be for any card and any slot. */
static enum rc accept_under(const uint8_t *bytes, size_t len, const struct payload *p,
	const struct cert *root, const struct cert *issuing, const struct cert *signer,
	struct diag *d)
{
	const struct payload_state none = { 0 };
	struct payload_state after;
	struct payload again;
	struct payload_context ctx = {
		.signer = { signer->der, signer->len },
		.issuing = { issuing->der, issuing->len },
		.root = { root->der, root->len },
		.has_eid = p->has_eid,
		.slot = p->slot,
		.now = (uint64_t)clock_system()->unix_s(clock_system()),
	};

	memcpy(ctx.iccid, p->iccid, sizeof(ctx.iccid));
	memcpy(ctx.eid, p->eid, sizeof(ctx.eid));
	return payload_accept(bytes, len, &ctx, &none, &again, &after, d);
}

static int run_verify(struct cli *cli)
{
	/* The former signer's are there while it is replaced. */
	static const struct {
		const char *issuing, *signer;
		bool optional;
	} kinds[] = { { "issuing", "payload", false }, { "devkit", "payload-devkit", false },
		{ "issuing", "payload-old", true }, { "devkit", "payload-old-devkit", true } };
	struct cert *certs = calloc(3, sizeof(*certs));
	char buf[PATH_MAX];
	const char *dir = ca_dir(cli, buf);
	struct diag d = { 0 }, first = { 0 };
	struct payload p;
	uint8_t *bytes = NULL;
	size_t len = 0;
	enum rc rc = RC_AUTH;
	int code = EXIT_USAGE;

	if (!certs)
		return cli_error(EXIT_UNAVAILABLE, "out of memory");
	if (!dir)
		cli_usage(cli, "--ca-dir DIR is missing (or --lab, or --dir)");
	else
		code = read_payload(cli->args[0], &bytes, &len, &p);
	if (code == EXIT_DONE)
		code = load_cert(dir, "root", &certs[0]);
	for (size_t k = 0; k < ARRAY_LEN(kinds) && code == EXIT_DONE && rc != RC_OK; k++) {
		if (kinds[k].optional && !cert_there(dir, kinds[k].signer))
			continue;
		code = load_cert(dir, kinds[k].issuing, &certs[1]);
		if (code == EXIT_DONE)
			code = load_cert(dir, kinds[k].signer, &certs[2]);
		if (code == EXIT_DONE)
			rc = accept_under(bytes, len, &p, &certs[0], &certs[1], &certs[2], &d);
		if (k == 0)
			first = d;
	}
	if (code == EXIT_DONE && rc == RC_OK)
		print(cli, &p);
	else if (code == EXIT_DONE)
		code = cli_error(EXIT_REFUSED, "%s: %s", cli->args[0], first.text);
	free(bytes);
	free(certs);
	return code;
}

const struct cmd payload_cmds[] = {
	{ "payload", "show", "FILE", 1, 1, "", CMD_LOCAL, run_show,
		"what a Registry Payload says, without asking who signed it",
		"attestry payload show 0d.cose", { { 0 } } },
	{ "payload", "verify", "FILE", 1, 1, "", CMD_LOCAL, run_verify,
		"is it the registry's word, and still good: exit 0 yes, 1 no, 2 cannot tell",
		"attestry payload verify 0d.cose --lab /tmp/lab",
		{ { "ca-dir", "DIR",
			"root.pem, issuing.pem, payload.pem, their devkit twins, "
			"payload-old.pem" } } },
	{ 0 },
};
