/* SPDX-License-Identifier: Apache-2.0 */
/* attestry init: a registry's folder, with its keys, certificates and configuration. */
#include "cli.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/str.h"
#include "ca/init.h"
#include "role/config.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { SETS_MAX = 40, NAME_MAX_LEN = 64 };

/* "section.name=value" of --set, taken apart. */
struct setting {
	char section[NAME_MAX_LEN], name[NAME_MAX_LEN];
};

static int read_sets(const struct cli *cli, const char *zone, struct setting *names,
	struct conf_value *values, size_t *count)
{
	const char *text;
	size_t n = 0;

	values[n++] = (struct conf_value){ "registry", "zone", zone };
	for (size_t i = 0; (text = cli_opt_nth(cli, "set", i)); i++) {
		const char *dot = strchr(text, '.'), *eq = strchr(text, '=');
		struct setting *s = &names[n];

		if (n == SETS_MAX)
			return cli_usage(cli, "too many --set");
		if (!dot || !eq || dot > eq ||
			str_format(s->section, sizeof(s->section), "%.*s", (int)(dot - text),
				text) != RC_OK ||
			str_format(s->name, sizeof(s->name), "%.*s", (int)(eq - dot - 1),
				dot + 1) != RC_OK)
			return cli_usage(cli, "--set \"%s\": must be section.name=value", text);
		if (strcmp(s->section, "registry") == 0 && strcmp(s->name, "zone") == 0)
			return cli_usage(cli, "the zone is given by --zone");
		values[n++] = (struct conf_value){ s->section, s->name, eq + 1 };
	}
	*count = n;
	return EXIT_DONE;
}

static enum rc write_conf(
	const char *path, const struct conf_value *values, size_t count, struct diag *d)
{
	char *text = NULL;
	size_t len = 0;
	FILE *f = open_memstream(&text, &len);
	enum rc rc;

	if (!f)
		return RC_NOMEM;
	rc = conf_write(config_table(), values, count, f, d);
	if (fclose(f) != 0 && rc == RC_OK)
		rc = RC_NOMEM;
	if (rc == RC_OK)
		rc = file_write_atomic(path, text, len, 0644, d);
	free(text);
	return rc;
}

/* The settings are checked before a key is made: nothing is to be undone. */
static int check_conf(const struct conf_value *values, size_t count, const char *dir)
{
	struct config config = { 0 };
	char path[] = "/tmp/attestry-conf.XXXXXX";
	struct diag d = { 0 };
	enum rc rc;
	int fd = mkstemp(path);

	(void)dir;
	if (fd < 0)
		return cli_error(EXIT_USAGE, "/tmp: a file cannot be made");
	fclose(fdopen(fd, "w"));
	rc = write_conf(path, values, count, &d);
	if (rc == RC_OK)
		rc = config_read(path, &config, &d);
	if (rc == RC_OK)
		config_free(&config);
	remove(path);
	return rc == RC_OK ? EXIT_DONE : cli_error(EXIT_USAGE, "%s", d.text);
}

static void take_names(const struct cli *cli, const char *opt, const char *out[CA_INIT_NAMES_MAX])
{
	for (size_t i = 0; i < CA_INIT_NAMES_MAX; i++)
		out[i] = cli_opt_nth(cli, opt, i);
}

static void say_result(const struct cli *cli, const char *dir, const struct ca_init_params *p,
	const struct ca_init_result *r)
{
	char pin[2 * CA_SHA256_LEN + 1];

	hex_write(r->operator_spki_sha256, CA_SHA256_LEN, pin);
	if (cli->json) {
		json_t *json = json_pack("{s:s,s:s,s:s,s:s}", "dir", dir, "zone", p->zone, "ds",
			r->ds, "operator_spki_sha256", pin);
		out_json(json);
		json_decref(json);
		return;
	}
	printf("zone      %s\nfolder    %s\nDS        %s\noperator  %s/operator/operator.pem\n\n",
		p->zone, dir, r->ds, dir);
	if (p->root_csr)
		printf("next: have the root sign ca/issuing.csr and ca/devkit.csr, then\n"
		       "  attestry init finish %s --root FILE --issuing FILE --devkit FILE\n",
			dir);
	else
		printf("next: move %s/root/root.key to a safe place off this machine, then\n"
		       "  attestryd --config %s/attestry.conf\n"
		       "  attestry party add ID --name NAME --role asp --dir %s\n",
			dir, dir, dir);
}

static int run_init(struct cli *cli)
{
	const char *dir = cli->args[0];
	struct setting names[SETS_MAX];
	struct conf_value values[SETS_MAX + 1];
	char pin[2 * CA_SHA256_LEN + 1];
	struct ca_init_params p = { .dir = dir,
		.zone = cli_opt(cli, "zone"),
		.now = clock_system()->unix_s(clock_system()),
		.root_csr = cli_opt(cli, "root-csr") != NULL };
	struct ca_init_result result;
	struct diag d = { 0 };
	char path[PATH_MAX];
	size_t count = 0;
	int code;

	if (!p.zone)
		return cli_usage(cli, "--zone is missing");
	if (str_format(path, sizeof(path), "%s/attestry.conf", dir) != RC_OK)
		return cli_usage(cli, "the path is too long");
	code = read_sets(cli, p.zone, names, values, &count);
	if (code == EXIT_DONE)
		code = check_conf(values, count, dir);
	if (code != EXIT_DONE)
		return code;
	take_names(cli, "https-name", p.https_names);
	take_names(cli, "dot-name", p.dot_names);
	take_names(cli, "ip", p.ips);
	if (ca_init(&p, &result, &d) != RC_OK)
		return cli_error(EXIT_REFUSED, "%s", d.text);
	hex_write(result.operator_spki_sha256, CA_SHA256_LEN, pin);
	values[count++] = (struct conf_value){ "registry", "operator_pin", pin };
	if (write_conf(path, values, count, &d) != RC_OK)
		return cli_error(EXIT_REFUSED, "%s", d.text);
	say_result(cli, dir, &p, &result);
	return EXIT_DONE;
}

static int run_finish(struct cli *cli)
{
	struct ca_init_finish_params p = { .dir = cli->args[0],
		.root_pem = cli_opt(cli, "root"),
		.issuing_pem = cli_opt(cli, "issuing"),
		.devkit_pem = cli_opt(cli, "devkit"),
		.now = clock_system()->unix_s(clock_system()) };
	struct diag d = { 0 };

	if (!p.root_pem || !p.issuing_pem || !p.devkit_pem)
		return cli_usage(cli, "--root, --issuing and --devkit are needed");
	if (ca_init_finish(&p, &d) != RC_OK)
		return cli_error(EXIT_REFUSED, "%s", d.text);
	out_say(cli, "next: attestryd --config %s/attestry.conf", p.dir);
	return EXIT_DONE;
}

const struct cmd init_cmds[] = {
	{ "init", NULL, "DIR", 1, 1, "operator", CMD_LOCAL, run_init,
		"make a registry: keys, certificates, configuration",
		"attestry init /srv/registry --zone iotregistry.example",
		{ { "zone", "ZONE", "the zone, lower case, at most 41 characters" },
			{ "root-csr", NULL, "the root key is elsewhere: leave requests for it" },
			{ "set", "SECTION.NAME=VALUE",
				"a setting other than its default; repeatable" },
			{ "https-name", "NAME", "a further name of the HTTPS server; repeatable" },
			{ "dot-name", "NAME", "a name of the DNS-over-TLS server; repeatable" },
			{ "ip", "ADDRESS", "a further address of both; repeatable" } } },
	{ "init", "finish", "DIR", 1, 1, "operator", CMD_LOCAL, run_finish,
		"take the certificates that an air-gapped root has signed",
		"attestry init finish /srv/registry --root root.pem --issuing issuing.pem "
		"--devkit devkit.pem",
		{ { "root", "FILE", "the root's certificate, PEM" },
			{ "issuing", "FILE", "the issuing CA's certificate, PEM" },
			{ "devkit", "FILE", "the devkit issuing CA's certificate, PEM" } } },
	{ 0 },
};
