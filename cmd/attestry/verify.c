/* SPDX-License-Identifier: Apache-2.0 */
/* attestry verify: is a device's certificate good, is a name alive: as any provider would ask. */
#include "verify.h"

#include "base/file.h"
#include "base/str.h"
#include "ca/keyfile.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum { CERT_MAX = 65536 };

/* Where the answers come from; texts are borrowed or lie in here. */
struct source {
	struct attest_options options;
	const char *pin;
	char chain[32]; /* /proc/self/fd/N: the CAs in one file */
	int chain_fd;
	char addr[64], anchor[PATH_MAX];
};

static const char *pick(const struct cli *cli, const char *opt, const char *a, const char *b)
{
	const char *value = cli_opt(cli, opt);

	return value ? value : cli_lab_text(cli, a, b);
}

static bool append_file(int fd, const char *path)
{
	uint8_t *bytes = NULL;
	size_t len = 0;
	bool ok = file_read(path, CERT_MAX, &bytes, &len, NULL) == RC_OK &&
		  write(fd, bytes, len) == (ssize_t)len;

	free(bytes);
	return ok;
}

/* libattest takes one file of CAs; a lab has three. */
static int make_chain(struct cli *cli, struct source *s)
{
	static const char *const parts[] = { "issuing", "devkit", "root" };
	const char *given = cli_opt(cli, "chain");

	if (given) {
		s->options.ca_file = given;
		return EXIT_DONE;
	}
	s->chain_fd = memfd_create("chain", MFD_CLOEXEC);
	if (s->chain_fd < 0)
		return cli_error(EXIT_USAGE, "memfd_create failed");
	for (size_t i = 0; i < ARRAY_LEN(parts); i++) {
		const char *path = cli_lab_text(cli, "ca", parts[i]);
		if (path && !append_file(s->chain_fd, path))
			return cli_error(EXIT_USAGE, "%s: cannot be read", path);
	}
	(void)snprintf(s->chain, sizeof(s->chain), "/proc/self/fd/%d", s->chain_fd);
	s->options.ca_file = s->chain;
	return EXIT_DONE;
}

/* "127.0.0.1@853" or "::1@853". */
static int set_resolver(struct cli *cli, struct source *s)
{
	const char *given = cli_opt(cli, "resolver"), *at = given ? strrchr(given, '@') : NULL;
	const json_t *dot = json_object_get(json_object_get(cli->lab, "resolver"), "dot");
	uint64_t port = 853;

	if (given) {
		if ((at && u64_read(at + 1, 1, 65535, &port) != RC_OK) ||
			str_format(s->addr, sizeof(s->addr), "%.*s",
				(int)(at ? at - given : (long)strlen(given)), given) != RC_OK)
			return cli_usage(cli, "--resolver: must be ADDRESS or ADDRESS@PORT");
		s->options.resolver_addr = s->addr;
	} else {
		s->options.resolver_addr = cli_lab_text(cli, "resolver", "addr");
		if (json_is_integer(dot))
			port = (uint64_t)json_integer_value(dot);
	}
	s->options.resolver_port = (uint16_t)port;
	s->options.resolver_name = cli_opt(cli, "resolver-name");
	s->pin = pick(cli, "resolver-pin", "resolver", "pin");
	s->options.pins = &s->pin;
	s->options.n_pins = s->pin ? 1 : 0;
	return EXIT_DONE;
}

static int find_source(struct cli *cli, struct source *s)
{
	int code;

	s->chain_fd = -1;
	s->options.zone = pick(cli, "zone", "zone", NULL);
	s->options.service = cli_opt(cli, "service");
	s->options.anchor_file = pick(cli, "trust-anchor", "trust_anchor", NULL);
	code = set_resolver(cli, s);
	if (code == EXIT_DONE && (!s->options.zone || !s->options.anchor_file ||
					 !s->options.resolver_addr || !s->pin))
		code = cli_usage(cli, "give --lab, or --zone, --trust-anchor, --resolver and "
				      "--resolver-pin");
	return code;
}

/* Who vouches that the key lives on the SIM; the registry knows, the DNS does not say. */
static int ask_proof(struct cli *cli, const char *name, char *maker, size_t cap)
{
	json_t *answer = NULL;
	const json_t *profile;
	const char *by;
	int code = cli_call(cli, "GET", NULL, &answer, "/v1/profiles/%s", name);

	profile = json_object_get(answer, "profile");
	by = json_string_value(json_object_get(profile, "attested_by"));
	if (code == EXIT_DONE && by && str_copy(maker, cap, by) != RC_OK)
		code = cli_error(EXIT_USAGE, "the maker's name is too long");
	json_decref(answer);
	return code;
}

static int say(struct cli *cli, const struct attest_result *r, const char *maker)
{
	if (cli->json) {
		json_t *json = json_pack("{s:s,s:s,s:s,s:s,s:s,s:s,s:s}", "reason",
			attest_reason_text(r->reason), "name", r->name, "service", r->service,
			"asked", r->asked, "answered", r->answered, "proved", r->proved, "text",
			r->text);
		if (maker)
			json_object_set_new(json, "key_proven_by", json_string(maker));
		out_json(json);
		json_decref(json);
	} else {
		printf("%s\n", r->reason == ATTEST_OK ? "attested" : attest_reason_text(r->reason));
		if (*r->name)
			printf("name      %s\n", r->name);
		if (*r->service)
			printf("service   %s\n", r->service);
		if (*r->asked)
			printf("asked     %s\n", r->asked);
		if (*r->answered)
			printf("answered  %s\n", r->answered);
		if (*r->proved)
			printf("proved    %s\n", r->proved);
		if (maker)
			printf("key       %s%s\n",
				*maker ? "lives on the SIM, says maker "
				       : "not proven to live on the SIM",
				maker);
		if (*r->text)
			printf("%s\n", r->text);
	}
	if (r->reason == ATTEST_OK)
		return EXIT_DONE;
	return r->reason == ATTEST_CANNOT_TELL ? EXIT_USAGE : EXIT_REFUSED;
}

/* PEM or DER. */
static int read_cert(const char *path, uint8_t **der, size_t *len)
{
	struct diag d = { 0 };
	uint8_t *bytes = NULL, *out;
	size_t n = 0;
	enum rc rc = RC_OK;

	if (file_read(path, CERT_MAX, &bytes, &n, &d) != RC_OK)
		return cli_error(EXIT_USAGE, "%s", d.text);
	out = bytes;
	if (n && bytes[0] != 0x30) {
		out = malloc(n);
		rc = out ? ca_pem_read((const char *)bytes, n, "CERTIFICATE", out, n, len, &d)
			 : RC_NOMEM;
		free(bytes);
	} else {
		*len = n;
	}
	if (rc != RC_OK) {
		free(out);
		return cli_error(EXIT_USAGE, "%s: %s", path, d.text);
	}
	*der = out;
	return EXIT_DONE;
}

static int ask(struct cli *cli, struct attest *attest, const char *what, const char *zone)
{
	struct attest_result result = { 0 };
	char name[64], owner[ATTEST_NAME_MAX], maker[64] = "";
	bool proof = cli_opt(cli, "proof") != NULL;
	struct stat st;
	uint8_t *der = NULL;
	size_t len = 0;
	int code;

	if (stat(what, &st) == 0 && S_ISREG(st.st_mode)) {
		code = read_cert(what, &der, &len);
		if (code == EXIT_DONE)
			(void)attest_check_wait(attest, der, len, 1, &result);
		free(der);
	} else {
		code = cli_profile_name(cli, what, name);
		if (code == EXIT_DONE &&
			str_format(owner, sizeof(owner), "%s.%s", name, zone) != RC_OK)
			code = cli_usage(cli, "the name is too long");
		if (code == EXIT_DONE)
			(void)attest_verify_name(attest, owner, &result);
		if (code == EXIT_DONE && proof)
			code = ask_proof(cli, name, maker, sizeof(maker));
	}
	return code == EXIT_DONE ? say(cli, &result, proof ? maker : NULL) : code;
}

static int run_verify(struct cli *cli)
{
	struct source s = { 0 };
	struct attest *attest = NULL;
	char error[ATTEST_TEXT_MAX] = "";
	int code = find_source(cli, &s);

	if (code == EXIT_DONE && verify_is_host(cli->args[0]))
		return verify_host(cli, &s.options, cli->args[0]);
	if (code == EXIT_DONE)
		code = make_chain(cli, &s);
	if (code == EXIT_DONE &&
		attest_new(&s.options, &attest, error, sizeof(error)) != ATTEST_SUCCESS)
		code = cli_error(EXIT_USAGE, "%s", error);
	if (code == EXIT_DONE)
		code = ask(cli, attest, cli->args[0], s.options.zone);
	attest_free(attest);
	if (s.chain_fd >= 0)
		close(s.chain_fd);
	return code;
}

const struct cmd verify_cmds[] = {
	{ "verify", NULL, "NAME|CERT|HOST:PORT", 1, 1, "operator", 0, run_verify,
		"ask the DNS: exit 0 attested, 1 refused, 2 cannot tell",
		"attestry verify 1.8912230200031010008F --lab /tmp/lab",
		{ { "service", "HANDLE", "the certificate must name this service" },
			{ "zone", "ZONE", "the registry's zone" },
			{ "trust-anchor", "FILE", "DS or DNSKEY lines" },
			{ "resolver", "ADDRESS@PORT", "a resolver that speaks DNS over TLS" },
			{ "resolver-pin", "BASE64", "SHA-256 of its public key" },
			{ "resolver-name", "NAME", "sent as SNI" },
			{ "connect", "ADDRESS@PORT",
				"HOST:PORT: where it is, in place of its address in the DNS" },
			{ "chain", "FILE", "issuing CAs and root, PEM" },
			{ "proof", NULL,
				"ask the registry too whether the key is proven to live on the "
				"SIM" } } },
	{ 0 },
};
