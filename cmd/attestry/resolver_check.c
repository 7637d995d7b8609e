/* SPDX-License-Identifier: Apache-2.0 */
/* attestry resolver check: the files as they were written, the key that devices were told, and what
 * it answers to one who believes nothing. */
#include "resolver.h"

#include "base/file.h"
#include "base/str.h"
#include "resolver_conf.h"
#include "resolver_probe.h"
#include "tool.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#define SAID_MAX       4096
#define TYPE_SOA       6
#define TYPE_DNSKEY    48
#define CERT_SOON      (30 * 86400)
#define RCODE_SERVFAIL 2

void looks_begin(struct looks *l, const struct cli *cli)
{
	*l = (struct looks){ .cli = cli, .list = json_array() };
}

void look(struct looks *l, const char *what, bool ok, const char *fmt, ...)
{
	struct diag d = { 0 };
	va_list ap;

	va_start(ap, fmt);
	if (vsnprintf(d.text, sizeof(d.text), fmt, ap) < 0)
		d.text[0] = '\0';
	va_end(ap);
	l->bad += !ok;
	json_array_append_new(
		l->list, json_pack("{s:s,s:b,s:s}", "what", what, "ok", ok, "detail", d.text));
}

static int say(const struct looks *l)
{
	json_t *item;
	size_t i;

	if (l->cli->json) {
		json_t *doc = json_pack("{s:b,s:O}", "ok", l->bad == 0, "looks", l->list);

		out_json(doc);
		json_decref(doc);
	} else {
		json_array_foreach(l->list, i, item) printf("%-4s  %-14s %s\n",
			json_is_true(json_object_get(item, "ok")) ? "ok" : "BAD",
			json_string_value(json_object_get(item, "what")),
			json_string_value(json_object_get(item, "detail")));
	}
	return l->bad ? EXIT_REFUSED : EXIT_DONE;
}

/* ---- files ---- */

static void look_setting(struct looks *l, char *conf, const struct resolver_setting *s)
{
	char said[SAID_MAX], want[128];
	char *argv[] = { "/usr/sbin/unbound-checkconf", "-o", (char *)(uintptr_t)s->name, conf,
		NULL };
	int code = tool_run(argv, said, sizeof(said));

	said[strcspn(said, "\n")] = '\0';
	if (code != 0 || str_copy(want, sizeof(want), s->value) != RC_OK || strcmp(said, want) != 0)
		look(l, "setting", false, "%s is %s, must be %s: %s", s->name, said, s->value,
			s->why);
}

static void look_settings(const struct resolver *r, struct looks *l)
{
	char conf[PATH_MAX], said[SAID_MAX];
	char *argv[] = { "/usr/sbin/unbound-checkconf", conf, NULL };
	struct diag d = { 0 };
	unsigned bad = l->bad;

	if (resolver_path(r, "unbound.conf", conf, &d) != RC_OK) {
		look(l, "configuration", false, "%s", d.text);
		return;
	}
	if (tool_run(argv, said, sizeof(said)) != 0) {
		look(l, "configuration", false, "%s", said);
		return;
	}
	for (const struct resolver_setting *s = resolver_settings; s->name; s++)
		look_setting(l, conf, s);
	if (bad == l->bad)
		look(l, "configuration", true, "%s: hardened as it was written", conf);
}

static void look_key(const struct resolver *r, struct looks *l)
{
	char path[PATH_MAX];
	struct diag d = { 0 };
	struct stat st;

	if (resolver_path(r, "resolver.key", path, &d) != RC_OK || stat(path, &st) != 0)
		look(l, "key", false, "%s: cannot be read", path);
	else
		look(l, "key", (st.st_mode & 077) == 0, "%s: mode %o%s", path,
			(unsigned)st.st_mode & 0777,
			st.st_mode & 077 ? ", others can read it: chmod 600" : "");
}

static bool same_anchor(const struct dane_anchor *a, const struct dane_anchor *b)
{
	return a->tag == b->tag && a->algorithm == b->algorithm &&
	       a->digest_type == b->digest_type && a->digest_len == b->digest_len &&
	       memcmp(a->digest, b->digest, a->digest_len) == 0 && strcmp(a->name, b->name) == 0;
}

/* Each anchor that devices are told stands in the file, unless it trusts a zone above. */
static void look_anchors(const struct resolver *r, struct looks *l)
{
	struct dane_anchor have[DANE_ANCHORS_MAX], want;
	char path[PATH_MAX];
	struct diag d = { 0 };
	size_t n = 0, missing = 0, i;
	json_t *line;

	if (resolver_path(r, "trust-anchor.ds", path, &d) != RC_OK ||
		dane_anchors_read_file(path, have, &n, &d) != RC_OK) {
		look(l, "anchors", false, "%s", d.text);
		return;
	}
	if (n > 0 && !str_equal_nocase(have[0].name, r->zone)) {
		look(l, "anchors", true, "trusts %s and the parents from there on", have[0].name);
		return;
	}
	json_array_foreach(r->anchors, i, line)
	{
		bool found = false;

		if (dane_anchor_read(json_string_value(line), &want, &d) != RC_OK) {
			look(l, "anchors", false, "the registry's: %s", d.text);
			return;
		}
		for (size_t a = 0; a < n; a++)
			found = found || same_anchor(&have[a], &want);
		missing += !found;
	}
	if (missing)
		look(l, "anchors", false,
			"%zu of the registry's anchors are not in %s: resolver write again, and "
			"restart Unbound",
			missing, path);
	else
		look(l, "anchors", true, "%zu of %s", n, r->zone);
}

/* ---- from outside ---- */

static void look_cert(const struct resolver *r, struct looks *l, const struct probe *p)
{
	char pin[45];
	bool told = false;
	long long left = p->not_after - (long long)time(NULL);

	b64_write(p->spki, sizeof(p->spki), pin);
	for (size_t i = 0; i < r->pins; i++)
		told = told || strcmp(pin, r->pin[i]) == 0;
	if (r->registry && !r->told)
		look(l, "pin", false,
			"%s: the registry tells devices of no resolver at this address", pin);
	else
		look(l, "pin", told, "%s%s", pin,
			told ? r->registry ? ", as payloads tell devices" : ", as its files have it"
			: r->registry
				? ": not what payloads tell devices: they refuse this resolver"
				: ": not that of its files: restart Unbound");
	look(l, "certificate", left > CERT_SOON, "%lld days left", left / 86400);
}

static void look_zone(struct resolver *r, struct looks *l)
{
	static struct dane_answer a; /* large; one at a time */
	struct dane *dane = NULL;
	char name[DANE_NAME_MAX];

	if (resolver_dane(r, &dane) != EXIT_DONE) {
		look(l, "zone", false, "cannot be asked");
		return;
	}
	dane_lookup(dane, r->zone, TYPE_DNSKEY, &a);
	look(l, "zone", a.status == DANE_SECURE, "%s: %s", r->zone, a.why);
	if (str_format(name, sizeof(name), "0.%s", r->zone) == RC_OK) {
		dane_lookup(dane, name, DANE_TYPE_CERT, &a);
		look(l, "denial", a.status == DANE_NXDOMAIN, "%s: %s", name, a.why);
	}
	dane_free(dane);
}

void resolver_look_outside(struct resolver *r, struct looks *l, struct seen *seen)
{
	struct probe p;
	struct diag d = { 0 };

	*seen = (struct seen){ 0 };
	if (probe_tls(r->addr, r->port, r->name, r->zone, TYPE_SOA, &p, &d) != RC_OK) {
		look(l, "answers", false, "%s", d.text);
		return;
	}
	*seen = (struct seen){ p.serial, p.ms };
	look(l, "answers", p.rcode == 0, "%s port %d: %s, %u ms%s", r->addr, r->port, p.tls, p.ms,
		p.rcode == RCODE_SERVFAIL ? ": SERVFAIL: what it was given does not validate"
		: p.rcode		  ? ": an error"
					  : "");
	look(l, "validates", p.validated, "%s",
		p.validated ? "AD is set for the zone"
			    : "AD is not set: it does not validate the zone");
	look_cert(r, l, &p);
	look_zone(r, l);
}

static void look_clear(const struct resolver *r, struct looks *l)
{
	static const int ports[] = { 0, 53 };

	for (size_t i = 0; i < ARRAY_LEN(ports); i++) {
		int port = ports[i] ? ports[i] : r->port;
		bool udp = probe_answers_clear(r->addr, port, false);
		bool tcp = probe_answers_clear(r->addr, port, true);

		look(l, "clear", !udp && !tcp, "port %d: %s", port,
			udp || tcp ? "answers without TLS" : "no answer without TLS");
	}
}

int resolver_check(struct cli *cli)
{
	struct resolver r;
	struct looks l;
	struct seen seen;
	int code = resolver_open(cli, cli->arg_count ? cli->args[0] : NULL, &r);

	looks_begin(&l, cli);
	if (code == EXIT_DONE) {
		look_settings(&r, &l);
		look_key(&r, &l);
		look_anchors(&r, &l);
		resolver_look_outside(&r, &l, &seen);
		look_clear(&r, &l);
		code = say(&l);
	}
	json_decref(l.list);
	resolver_close(&r);
	return code;
}
