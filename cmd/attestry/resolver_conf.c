/* SPDX-License-Identifier: Apache-2.0 */
#include "resolver_conf.h"

#include "base/file.h"
#include "base/str.h"

#include <jansson.h>
#include <limits.h>
#include <stdio.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

const struct resolver_setting resolver_settings[] = {
	{ "module-config", "validator iterator", "every answer is validated" },
	{ "val-permissive-mode", "no", "what is bogus is not passed on" },
	{ "do-udp", "no", "devices are answered over TLS only" },
	{ "harden-dnssec-stripped", "yes", "a missing signature is bogus, not insecure" },
	{ "harden-algo-downgrade", "yes", "every algorithm that the DS name must be good" },
	{ "harden-glue", "yes", "no records from outside a server's zone" },
	{ "harden-below-nxdomain", "yes", "RFC 8020" },
	{ "harden-large-queries", "yes", "no oversized questions" },
	{ "aggressive-nsec", "no", "a new device is not denied by its neighbour's absence" },
	{ "serve-expired", "no", "a revoked device is not answered for from an old cache" },
	{ "prefetch", "no", "who asks for what is told to nobody twice" },
	{ "qname-minimisation", "yes", "other servers see no whole names (RFC 9156)" },
	{ "minimal-responses", "yes", "short answers" },
	{ "deny-any", "yes", "RFC 8482" },
	{ "hide-identity", "yes", "nothing about this machine" },
	{ "hide-version", "yes", "nothing about this program" },
	{ "pad-responses", "yes", "lengths say less (RFC 7830)" },
	{ "log-queries", "no", "who asks for whom is nobody's business" },
	{ "log-replies", "no", "the same" },
	{ "unwanted-reply-threshold", "1000000", "forged answers empty the cache" },
	{ NULL, NULL, NULL },
};

static void write_setting(FILE *f, const struct resolver_setting *s)
{
	bool words = strchr(s->value, ' ') != NULL;

	fprintf(f, "  %s: %s%s%s\n", s->name, words ? "\"" : "", s->value, words ? "\"" : "");
}

static void write_server(FILE *f, const struct resolver_conf *c)
{
	fprintf(f,
		"# The trusted resolver of devices and providers: DNS over TLS only.\n"
		"# Written by attestry resolver write; attestry resolver check says whether it is "
		"still so.\n"
		"server:\n"
		"  username: \"%s\"\n"
		"  chroot: \"\"\n"
		"  directory: \"%s\"\n"
		"  pidfile: \"%s/unbound.pid\"\n"
		"  use-syslog: no\n"
		"  logfile: \"\"\n"
		"  verbosity: 1\n"
		"  val-log-level: 2\n"
		"  log-servfail: yes\n"
		"  num-threads: 1\n"
		"  interface: %s@%d\n"
		"  tls-port: %d\n"
		"  tls-service-key: \"%s/resolver.key\"\n"
		"  tls-service-pem: \"%s/resolver.pem\"\n"
		"  incoming-num-tcp: 100\n"
		"  udp-upstream-without-downstream: yes\n"
		"  extended-statistics: yes\n"
		"  do-not-query-localhost: no\n"
		"  trust-anchor-file: \"%s\"\n"
		"  trust-anchor-signaling: no\n",
		c->user, c->dir, c->dir, c->addr, c->port, c->port, c->dir, c->dir, c->anchors);
	for (size_t i = 0; i < c->allow_count; i++)
		fprintf(f, "  access-control: %s allow\n", c->allow[i]);
	for (const struct resolver_setting *s = resolver_settings; s->name; s++)
		write_setting(f, s);
}

enum rc resolver_conf_write(const struct resolver_conf *c, struct diag *d)
{
	char path[PATH_MAX];
	char *text = NULL;
	size_t len = 0;
	FILE *f = open_memstream(&text, &len);
	enum rc rc = str_format(path, sizeof(path), "%s/unbound.conf", c->dir);

	if (!f)
		return RC_NOMEM;
	write_server(f, c);
	for (size_t i = 0; i < c->stub_count; i++) {
		if (i == 0 || strcmp(c->stub[i].zone, c->stub[i - 1].zone) != 0)
			fprintf(f, "stub-zone:\n  name: \"%s\"\n", c->stub[i].zone);
		fprintf(f, "  stub-addr: %s\n", c->stub[i].addr);
	}
	fprintf(f,
		"remote-control:\n"
		"  control-enable: yes\n"
		"  control-use-cert: no\n"
		"  control-interface: \"%s/control.sock\"\n",
		c->dir);
	if (fclose(f) != 0 && rc == RC_OK)
		rc = RC_NOMEM;
	if (rc == RC_OK)
		rc = file_write_atomic(path, text, len, 0644, d);
	free(text);
	return rc;
}

enum rc resolver_facts_write(const char *dir, const char *zone, const char *name, const char *addr,
	int port, struct diag *d)
{
	char path[PATH_MAX];
	json_t *doc = json_pack(
		"{s:s,s:s,s:s,s:i}", "zone", zone, "name", name, "addr", addr, "port", port);
	char *text = doc ? json_dumps(doc, JSON_INDENT(2)) : NULL;
	enum rc rc = text ? str_format(path, sizeof(path), "%s/resolver.json", dir) : RC_NOMEM;

	if (rc == RC_OK)
		rc = file_write_atomic(path, text, strlen(text), 0644, d);
	free(text);
	json_decref(doc);
	return rc;
}
