/* SPDX-License-Identifier: Apache-2.0 */
/* attestry resolver: the trusted resolver's folder: written, and its key replaced as payloads tell
 * devices of the next one. */
#include "resolver.h"

#include "base/file.h"
#include "base/str.h"
#include "resolver_conf.h"
#include "role/config.h"
#include "server_key.h"
#include "tool.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define SETTINGS_MAX 65536

/* ---- the folder ---- */

enum rc resolver_path(
	const struct resolver *r, const char *file, char out[PATH_MAX], struct diag *d)
{
	enum rc rc = str_format(out, PATH_MAX, "%s/%s", r->dir, file);

	return rc == RC_OK ? rc : diag_set(d, rc, "%s: path too long", r->dir);
}

static enum rc take(char *out, size_t cap, const json_t *doc, const char *member)
{
	const char *text = json_string_value(json_object_get(doc, member));

	return text ? str_copy(out, cap, text) : RC_MALFORMED;
}

static enum rc read_json(struct resolver *r, struct diag *d)
{
	char path[PATH_MAX];
	uint8_t *text = NULL;
	size_t len = 0;
	json_t *doc = NULL;
	enum rc rc = resolver_path(r, "resolver.json", path, d);

	if (rc == RC_OK)
		rc = file_read(path, SETTINGS_MAX, &text, &len, d);
	if (rc != RC_OK)
		return rc;
	doc = json_loadb((const char *)text, len, 0, NULL);
	r->port = (int)json_integer_value(json_object_get(doc, "port"));
	if (take(r->zone, sizeof(r->zone), doc, "zone") != RC_OK ||
		take(r->name, sizeof(r->name), doc, "name") != RC_OK ||
		take(r->addr, sizeof(r->addr), doc, "addr") != RC_OK || r->port < 1 ||
		r->port > 65535)
		rc = diag_set(d, RC_MALFORMED, "%s: not what attestry resolver write makes", path);
	json_decref(doc);
	free(text);
	return rc;
}

/* ---- what the registry tells devices ---- */

static bool knows_registry(const struct cli *cli)
{
	return cli->lab || cli->dir || cli_opt(cli, "url");
}

static void take_pins(struct resolver *r, const json_t *entry)
{
	json_t *pin;
	size_t i;

	r->pins = 0;
	json_array_foreach(json_object_get(entry, "pins"), i,
		pin) if (r->pins < DANE_PINS_MAX && str_copy(r->pin[r->pins], sizeof(r->pin[0]),
							    json_string_value(pin)) == RC_OK)
		r->pins++;
}

static int ask_registry(struct cli *cli, struct resolver *r)
{
	json_t *answer = NULL, *entry, *list;
	int code = cli_call(cli, "GET", NULL, &answer, "/v1/ca");
	size_t i;

	if (code != EXIT_DONE)
		return code;
	r->registry = true;
	r->anchors = json_incref(json_object_get(answer, "trust_anchors"));
	if (!r->zone[0] && take(r->zone, sizeof(r->zone), answer, "zone") != RC_OK)
		code = cli_error(EXIT_USAGE, "the registry's answer names no zone");
	list = json_object_get(answer, "resolvers");
	json_array_foreach(list, i, entry)
	{
		const char *addr = json_string_value(json_object_get(entry, "addr"));

		if (addr && strcmp(addr, r->addr) == 0 &&
			json_integer_value(json_object_get(entry, "port")) == r->port) {
			take_pins(r, entry);
			r->told = true;
		}
	}
	json_decref(answer);
	return code;
}

static int own_pin(struct resolver *r)
{
	struct server_cert cert;
	struct diag d = { 0 };
	char path[PATH_MAX];

	if (resolver_path(r, "resolver.pem", path, &d) != RC_OK ||
		server_cert_read(path, &cert, &d) != RC_OK)
		return cli_error(EXIT_USAGE, "%s", d.text);
	b64_write(cert.spki, sizeof(cert.spki), r->pin[0]);
	r->pins = 1;
	return EXIT_DONE;
}

int resolver_open(struct cli *cli, const char *dir, struct resolver *r)
{
	const char *lab = cli_opt(cli, "lab");
	struct diag d = { 0 };
	int code = EXIT_DONE;

	memset(r, 0, sizeof(*r));
	if (dir && str_copy(r->dir, sizeof(r->dir), dir) != RC_OK)
		return cli_usage(cli, "the path is too long");
	if (!r->dir[0] && (!lab || str_format(r->dir, sizeof(r->dir), "%s/resolver", lab) != RC_OK))
		return cli_usage(cli, "DIR is missing: the folder that resolver write made");
	if (read_json(r, &d) != RC_OK)
		return cli_error(EXIT_USAGE, "%s", d.text);
	if (knows_registry(cli))
		code = ask_registry(cli, r);
	if (code == EXIT_DONE && r->pins == 0)
		code = own_pin(r);
	return code;
}

void resolver_close(struct resolver *r)
{
	json_decref(r->anchors);
	r->anchors = NULL;
}

/* The folder's anchors; they are compared with the registry's in a check. */
int resolver_dane(struct resolver *r, struct dane **out)
{
	struct dane_anchor anchors[DANE_ANCHORS_MAX];
	struct dane_resolver res = { 0 };
	struct dane_options opt = { .anchors = anchors, .resolvers = &res, .n_resolvers = 1 };
	struct diag d = { 0 };
	char path[PATH_MAX];
	enum rc rc = resolver_path(r, "trust-anchor.ds", path, &d);
	json_t *line;
	size_t i;

	if (r->anchors)
		json_array_foreach(r->anchors, i, line)
		{
			if (rc == RC_OK && opt.n_anchors < DANE_ANCHORS_MAX)
				rc = dane_anchor_read(
					json_string_value(line), &anchors[opt.n_anchors++], &d);
		}
	else if (rc == RC_OK)
		rc = dane_anchors_read_file(path, anchors, &opt.n_anchors, &d);
	if (rc == RC_OK)
		rc = str_copy(res.name, sizeof(res.name), r->name);
	if (rc == RC_OK && dane_resolver_addr(&res, r->addr, (uint16_t)r->port) != RC_OK)
		rc = diag_set(&d, RC_MALFORMED, "%s: not an IP address", r->addr);
	for (size_t p = 0; rc == RC_OK && p < r->pins; p++)
		rc = dane_resolver_pin(&res, r->pin[p]);
	if (rc == RC_OK)
		rc = dane_new(&opt, out, &d);
	return rc == RC_OK ? EXIT_DONE : cli_error(EXIT_USAGE, "%s", d.text);
}

/* ---- write ---- */

/* "ADDR@PORT" or "ADDR". */
static int read_listen(struct cli *cli, struct resolver *r)
{
	const char *text = cli_opt(cli, "listen");
	const char *at = text ? strrchr(text, '@') : NULL;
	struct dane_resolver probe = { 0 };
	uint64_t port = 853;

	if (!text)
		return cli_usage(cli, "--listen ADDRESS[@PORT] is missing");
	if ((at && u64_read(at + 1, 1, 65535, &port) != RC_OK) ||
		str_format(r->addr, sizeof(r->addr), "%.*s",
			(int)(at ? at - text : (long)strlen(text)), text) != RC_OK ||
		dane_resolver_addr(&probe, r->addr, 853) != RC_OK)
		return cli_usage(cli, "--listen \"%s\": must be ADDRESS or ADDRESS@PORT", text);
	r->port = (int)port;
	return EXIT_DONE;
}

static int read_lists(struct cli *cli, struct resolver_conf *c)
{
	static const char *const loopback[] = { "127.0.0.0/8", "::1/128" };

	for (size_t i = 0; cli_opt_nth(cli, "allow", i); i++) {
		const char *net = cli_opt_nth(cli, "allow", i);

		if (c->allow_count == RESOLVER_ALLOW_MAX)
			return cli_usage(cli, "--allow: at most %u", RESOLVER_ALLOW_MAX);
		if (strspn(net, "0123456789abcdefABCDEF.:/") != strlen(net))
			return cli_usage(cli, "--allow \"%s\": must be ADDRESS/BITS", net);
		c->allow[c->allow_count++] = net;
	}
	for (size_t i = 0; c->allow_count == i && i < ARRAY_LEN(loopback); i++)
		c->allow[c->allow_count++] = loopback[i];
	for (size_t i = 0; cli_opt_nth(cli, "stub", i); i++) {
		const char *addr = cli_opt_nth(cli, "stub", i);

		if (c->stub_count == RESOLVER_STUBS_MAX)
			return cli_usage(cli, "--stub: at most %u", RESOLVER_STUBS_MAX);
		if (strspn(addr, "0123456789abcdefABCDEF.:@") != strlen(addr))
			return cli_usage(
				cli, "--stub \"%s\": must be ADDRESS or ADDRESS@PORT", addr);
		c->stub[c->stub_count++].addr = addr;
	}
	return EXIT_DONE;
}

/* The anchors that the registry tells, or a file's. */
static int write_anchors(struct cli *cli, struct resolver *r)
{
	const char *from = cli_opt(cli, "anchors");
	struct dane_anchor anchors[DANE_ANCHORS_MAX];
	char path[PATH_MAX], text[4096] = "";
	uint8_t *bytes = NULL;
	struct diag d = { 0 };
	json_t *line;
	size_t len = 0, i, n;
	enum rc rc = resolver_path(r, "trust-anchor.ds", path, &d);

	if (rc == RC_OK && from) {
		rc = dane_anchors_read_file(from, anchors, &n, &d);
		if (rc == RC_OK)
			rc = file_read(from, sizeof(text), &bytes, &len, &d);
	} else if (rc == RC_OK) {
		json_array_foreach(r->anchors, i, line)
		{
			if (rc == RC_OK)
				rc = str_format(text + len, sizeof(text) - len, "%s\n",
					json_string_value(line));
			len = strlen(text);
		}
	}
	if (rc == RC_OK)
		rc = file_write_atomic(path, bytes ? (char *)bytes : text, len, 0644, &d);
	free(bytes);
	return rc == RC_OK ? EXIT_DONE : cli_error(EXIT_USAGE, "%s", d.text);
}

static int make_key(struct resolver *r, const char *file, char pin[45])
{
	char path[PATH_MAX], san[DANE_NAME_MAX + 80], pem[PATH_MAX];
	unsigned char spki[32];
	struct server_cert cert;
	struct diag d = { 0 };
	enum rc rc = resolver_path(r, file, path, &d);

	if (rc == RC_OK)
		rc = str_format(pem, sizeof(pem), "%s.pem", path);
	/* A key that is there stays: devices have its pin. */
	if (rc == RC_OK && access(pem, F_OK) == 0) {
		rc = server_cert_read(pem, &cert, &d);
		memcpy(spki, cert.spki, sizeof(spki));
	} else if (rc == RC_OK) {
		rc = str_format(san, sizeof(san), "DNS:%s,IP:%s", r->name, r->addr);
		if (rc == RC_OK)
			rc = server_key_make(path, r->name, san, RESOLVER_KEY_DAYS, spki, &d);
	}
	if (rc != RC_OK)
		return cli_error(EXIT_USAGE, "%s", d.text);
	b64_write(spki, sizeof(spki), pin);
	return EXIT_DONE;
}

static int write_conf(struct cli *cli, struct resolver *r, struct resolver_conf *c)
{
	char zone[DANE_NAME_MAX + 1], anchors[PATH_MAX], conf[PATH_MAX], said[2048];
	char *argv[] = { "/usr/sbin/unbound-checkconf", conf, NULL };
	struct diag d = { 0 };
	enum rc rc = str_format(zone, sizeof(zone), "%s.", r->zone);

	for (size_t i = 0; i < c->stub_count; i++)
		c->stub[i].zone = zone;
	c->dir = r->dir;
	c->addr = r->addr;
	c->port = r->port;
	c->user = cli_opt(cli, "user") ? cli_opt(cli, "user") : "";
	c->anchors = anchors;
	if (rc == RC_OK)
		rc = resolver_path(r, "trust-anchor.ds", anchors, &d);
	if (rc == RC_OK)
		rc = resolver_conf_write(c, &d);
	if (rc == RC_OK)
		rc = resolver_facts_write(r->dir, r->zone, r->name, r->addr, r->port, &d);
	if (rc == RC_OK)
		rc = resolver_path(r, "unbound.conf", conf, &d);
	if (rc != RC_OK)
		return cli_error(EXIT_USAGE, "%s", d.text);
	if (tool_run(argv, said, sizeof(said)) != 0)
		return cli_error(EXIT_REFUSED, "unbound-checkconf: %s", said);
	return EXIT_DONE;
}

static void say_written(struct cli *cli, const struct resolver *r, const char *pin)
{
	if (cli->json) {
		json_t *doc = json_pack("{s:s,s:s,s:s,s:i,s:s}", "dir", r->dir, "name", r->name,
			"addr", r->addr, "port", r->port, "pin", pin);
		out_json(doc);
		json_decref(doc);
		return;
	}
	printf("# in the registry's attestry.conf, for payloads:\n"
	       "[resolver]\nname = %s\naddr = %s\nport = %d\npin = %s\n\n"
	       "# then: unbound -d -c %s/unbound.conf; attestry resolver check %s\n",
		r->name, r->addr, r->port, pin, r->dir, r->dir);
}

static int run_write(struct cli *cli)
{
	struct resolver r = { 0 };
	struct resolver_conf c = { 0 };
	const char *name = cli_opt(cli, "name"), *zone = cli_opt(cli, "zone");
	char pin[45];
	int code = read_listen(cli, &r);

	if (code == EXIT_DONE)
		code = read_lists(cli, &c);
	if (code != EXIT_DONE)
		return code;
	if (str_copy(r.name, sizeof(r.name), name ? name : "") != RC_OK || !r.name[0] ||
		strspn(r.name, "abcdefghijklmnopqrstuvwxyz0123456789-.") != strlen(r.name))
		return cli_usage(cli, "--name NAME is missing: a host name in lower case");
	if (zone && str_copy(r.zone, sizeof(r.zone), zone) != RC_OK)
		return cli_usage(cli, "--zone is too long");
	if ((zone != NULL) != (cli_opt(cli, "anchors") != NULL))
		return cli_usage(cli, "--zone and --anchors go together; without them the registry "
				      "is asked");
	if (!zone)
		code = ask_registry(cli, &r);
	if (code == EXIT_DONE && mkdir(cli->args[0], 0755) != 0 && errno != EEXIST)
		code = cli_error(EXIT_USAGE, "%s: %s", cli->args[0], strerror(errno));
	if (code == EXIT_DONE && !realpath(cli->args[0], r.dir))
		code = cli_error(EXIT_USAGE, "%s: %s", cli->args[0], strerror(errno));
	if (code == EXIT_DONE)
		code = write_anchors(cli, &r);
	if (code == EXIT_DONE)
		code = make_key(&r, "resolver", pin);
	if (code == EXIT_DONE)
		code = write_conf(cli, &r, &c);
	if (code == EXIT_DONE)
		say_written(cli, &r, pin);
	resolver_close(&r);
	return code;
}

/* ---- rotate ---- */

/* How many devices have not yet confirmed the payload that is current now. */
static int count_behind(struct cli *cli, size_t *behind)
{
	json_t *list = NULL, *p;
	size_t i;
	int code = cli_call_list(cli, "/v1/profiles", "profiles", &list);

	*behind = 0;
	json_array_foreach(list, i, p) *behind += json_object_get(p, "certificate") &&
						  !json_is_true(json_object_get(p, "card_current"));
	json_decref(list);
	return code;
}

static bool told(const struct resolver *r, const char *pin)
{
	for (size_t i = 0; i < r->pins; i++)
		if (strcmp(r->pin[i], pin) == 0)
			return true;
	return false;
}

/* The next key takes the present one's place, once every device knows it. */
static int switch_over(struct cli *cli, struct resolver *r, const char *pin)
{
	static const char *const ends[] = { "key", "pem" };
	char from[PATH_MAX], to[PATH_MAX];
	size_t behind = 0;
	int code = EXIT_DONE;

	if (!cli_opt(cli, "force")) {
		if (!r->registry)
			return cli_usage(cli, "--lab, --dir or --url: the registry says whether "
					      "devices know the next key (or --force)");
		if (!told(r, pin))
			return cli_error(EXIT_REFUSED,
				"payloads do not tell the next pin yet: [resolver] pin = %s, %s",
				r->pins ? r->pin[0] : "...", pin);
		code = count_behind(cli, &behind);
		if (code == EXIT_DONE && behind > 0)
			return cli_error(EXIT_REFUSED,
				"%zu devices have not confirmed a payload with the next pin: wait, "
				"or --force",
				behind);
	}
	for (size_t i = 0; code == EXIT_DONE && i < ARRAY_LEN(ends); i++)
		if (str_format(from, sizeof(from), "%s/next.%s", r->dir, ends[i]) != RC_OK ||
			str_format(to, sizeof(to), "%s/resolver.%s", r->dir, ends[i]) != RC_OK ||
			/* The key may have gone before something stopped us. */
			(rename(from, to) != 0 && (i > 0 || errno != ENOENT)))
			code = cli_error(EXIT_USAGE, "%s: %s", from, strerror(errno));
	if (code == EXIT_DONE)
		out_say(cli, "restart Unbound now; then [resolver] pin = %s", pin);
	return code;
}

static int run_rotate(struct cli *cli)
{
	struct resolver r;
	char path[PATH_MAX], now[45], pin[45];
	struct diag d = { 0 };
	bool there;
	int code = resolver_open(cli, cli->arg_count ? cli->args[0] : NULL, &r);

	if (code == EXIT_DONE && resolver_path(&r, "next.pem", path, &d) != RC_OK)
		code = cli_error(EXIT_USAGE, "%s", d.text);
	there = code == EXIT_DONE && access(path, F_OK) == 0;
	if (code == EXIT_DONE && cli_opt(cli, "switch") && !there)
		code = cli_error(EXIT_REFUSED, "there is no next key: first without --switch");
	if (code == EXIT_DONE)
		code = make_key(&r, "resolver", now);
	if (code == EXIT_DONE)
		code = make_key(&r, "next", pin);
	if (code == EXIT_DONE && cli->json) {
		json_t *doc = json_pack("{s:s,s:s}", "pin", now, "next", pin);
		out_json(doc);
		json_decref(doc);
	}
	if (code == EXIT_DONE && cli_opt(cli, "switch"))
		code = switch_over(cli, &r, pin);
	else if (code == EXIT_DONE)
		out_say(cli,
			"[resolver] pin = %s, %s\n"
			"in attestry.conf, and core started again: every device gets a payload "
			"with "
			"both.\nThen: attestry resolver rotate %s --switch",
			now, pin, r.dir);
	resolver_close(&r);
	return code;
}

const struct cmd resolver_cmds[] = {
	{ "resolver", "write", "DIR", 1, 1, "operator", 0, run_write,
		"write a hardened Unbound for devices: key, pin, anchors, configuration",
		"attestry resolver write /srv/resolver --listen 192.0.2.53 --name dns.example.net "
		"--allow 10.0.0.0/8 --dir /srv/registry",
		{ { "listen", "ADDRESS[@PORT]", "where devices reach it over TLS (port 853)" },
			{ "name", "NAME", "its TLS name" },
			{ "allow", "ADDRESS/BITS",
				"who may ask; repeatable; without: this machine" },
			{ "stub", "ADDRESS[@PORT]",
				"a name server of the zone, asked directly; repeatable" },
			{ "zone", "ZONE", "the zone, where the registry is not asked" },
			{ "anchors", "FILE", "its DS records, or the root's" },
			{ "user", "NAME", "to run as; without: whoever starts it" } } },
	{ "resolver", "check", "[DIR]", 0, 1, "operator", 0, resolver_check,
		"look at a resolver's files, and at what it answers",
		"attestry resolver check --lab /tmp/lab", { { 0 } } },
	{ "resolver", "watch", "[DIR]", 0, 1, "operator", 0, resolver_watch,
		"look again and again: what is wrong, how fast, how far behind",
		"attestry resolver watch --lab /tmp/lab --count 1",
		{ { "every", "SECONDS", "between two looks (30)" },
			{ "count", "N", "end after so many" },
			{ "metrics", "FILE", "write the figures there for Prometheus" } } },
	{ "resolver", "expect", "NAME [DIR]", 1, 2, "operator", 0, resolver_expect,
		"what a device should see there, and whether it does",
		"attestry resolver expect 1.8912230200031010008f --lab /tmp/lab", { { 0 } } },
	{ "resolver", "rotate", "[DIR]", 0, 1, "operator", 0, run_rotate,
		"make the next key and pin; with --switch use it once every device knows it",
		"attestry resolver rotate --lab /tmp/lab",
		{ { "switch", NULL, "the next key takes the present one's place" },
			{ "force", NULL, "though devices do not know it" } } },
	{ 0 },
};
