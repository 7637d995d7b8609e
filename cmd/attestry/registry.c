/* SPDX-License-Identifier: Apache-2.0 */
/* attestry ca, attestry health: what the registry says of itself. */
#include "cli.h"

#include "base/file.h"
#include "base/str.h"
#include "ca/keyfile.h"

#include <string.h>

/* With --out each certificate as a PEM file. */
static int save(const char *dir, const json_t *answer, const char *member)
{
	const json_t *text = json_object_get(answer, member);
	uint8_t der[4096];
	char pem[CA_PEM_LEN(sizeof(der))], path[PATH_MAX];
	struct diag d = { 0 };
	size_t len = 0;

	if (!text)
		return EXIT_DONE;
	if (b64_read(json_string_value(text), json_string_length(text), der, sizeof(der), &len) !=
			RC_OK ||
		ca_pem_write("CERTIFICATE", der, len, pem, sizeof(pem)) != RC_OK ||
		str_format(path, sizeof(path), "%s/%s.pem", dir, member) != RC_OK)
		return cli_error(EXIT_USAGE, "%s cannot be written", member);
	if (file_write_atomic(path, pem, strlen(pem), 0644, &d) != RC_OK)
		return cli_error(EXIT_USAGE, "%s", d.text);
	return EXIT_DONE;
}

static void say_ca(const json_t *answer)
{
	const json_t *item;
	size_t i;

	printf("zone          %s\n", json_string_value(json_object_get(answer, "zone")));
	json_array_foreach(json_object_get(answer, "trust_anchors"), i, item)
		printf("trust anchor  %s\n", json_string_value(item));
	json_array_foreach(json_object_get(answer, "resolvers"), i, item) printf(
		"resolver      %s %s port %lld\n", json_string_value(json_object_get(item, "name")),
		json_string_value(json_object_get(item, "addr")),
		(long long)json_integer_value(json_object_get(item, "port")));
}

static int run_ca(struct cli *cli)
{
	static const char *const certs[] = { "root", "issuing", "devkit", "party", "payload_signer",
		"payload_signer_devkit" };
	const char *dir = cli_opt(cli, "out");
	json_t *answer = NULL;
	int code = cli_call(cli, "GET", NULL, &answer, "/v1/ca");

	if (code != EXIT_DONE)
		return code;
	for (size_t i = 0; dir && i < ARRAY_LEN(certs) && code == EXIT_DONE; i++)
		code = save(dir, answer, certs[i]);
	if (cli->json)
		out_json(answer);
	else
		say_ca(answer);
	json_decref(answer);
	return code;
}

int registry_health(struct cli *cli)
{
	static const struct out_col cols[] = { { "committed_seq", "committed", OUT_TEXT },
		{ "served_seq", "served", OUT_TEXT }, { "serial", "SOA serial", OUT_TEXT },
		{ "keys", "keys", OUT_BOOL }, { "zone", "zone", OUT_BOOL },
		{ "requests", "requests", OUT_TEXT }, { "refused", "refused", OUT_TEXT },
		{ "batches", "batches", OUT_TEXT }, { 0 } };
	json_t *answer = NULL;
	int code = cli_call(cli, "GET", NULL, &answer, "/v1/health");

	if (code != EXIT_DONE)
		return code;
	out_object(cli, answer, NULL, cols);
	if (!json_is_true(json_object_get(answer, "keys")) ||
		!json_is_true(json_object_get(answer, "zone")))
		code = cli_error(EXIT_UNAVAILABLE, "a part is down; it is being restarted");
	json_decref(answer);
	return code;
}

const struct cmd registry_cmds[] = {
	{ "ca", "show", "", 0, 0, "operator", 0, run_ca,
		"certificates, trust anchors and resolvers of the registry",
		"attestry ca show --out certs --lab /tmp/lab",
		{ { "out", "DIR", "also write root.pem, issuing.pem ... there" } } },
	{ 0 },
};
