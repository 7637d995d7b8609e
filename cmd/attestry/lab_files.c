/* SPDX-License-Identifier: Apache-2.0 */
/* The configuration files of the lab's parts, and lab.json. */
#include "lab.h"
#include "base/file.h"
#include "base/str.h"

#include <pwd.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum rc lab_path(const struct lab *lab, char out[PATH_MAX], const char *fmt, ...)
{
	va_list ap;
	size_t len = strlen(lab->dir);
	int n;

	memcpy(out, lab->dir, len);
	out[len++] = '/';
	va_start(ap, fmt);
	n = vsnprintf(out + len, PATH_MAX - len, fmt, ap);
	va_end(ap);
	return n < 0 || (size_t)n >= PATH_MAX - len ? RC_TOO_LARGE : RC_OK;
}

enum rc lab_write(const struct lab *lab, const char *name, unsigned mode, struct diag *d,
	const char *fmt, ...)
{
	char path[PATH_MAX];
	char *text = NULL;
	va_list ap;
	enum rc rc = lab_path(lab, path, "%s", name);

	if (rc != RC_OK)
		return diag_set(d, rc, "%s: path too long", name);
	va_start(ap, fmt);
	int n = vasprintf(&text, fmt, ap);
	va_end(ap);
	if (n < 0)
		return RC_NOMEM;
	rc = file_write_atomic(path, text, (size_t)n, (mode_t)mode, d);
	free(text);
	return rc;
}

static const char *user_name(void)
{
	const struct passwd *pw = getpwuid(geteuid());

	return pw ? pw->pw_name : "nobody";
}

/* Every node's name server, and the secondary: the zone is there while one of them is. */
static enum rc stub_addresses(const struct lab *lab, char *out, size_t cap)
{
	size_t n = 0;
	enum rc rc = str_format(out, cap, "  stub-addr: 127.0.0.1@%d\n", lab->dns);

	for (int i = 1; rc == RC_OK && i < lab->node_count; i++) {
		n = strlen(out);
		rc = str_format(out + n, cap - n, "  stub-addr: 127.0.0.1@%d\n", lab->nodes[i].dns);
	}
	n = strlen(out);
	if (rc == RC_OK && lab->secondary)
		rc = str_format(out + n, cap - n, "  stub-addr: 127.0.0.1@%d\n", lab->secondary);
	return rc;
}

enum rc lab_write_resolver(const struct lab *lab, struct diag *d)
{
	char stubs[(LAB_NODES_MAX + 1) * 40];
	enum rc rc = stub_addresses(lab, stubs, sizeof(stubs));

	if (rc != RC_OK)
		return rc;
	return lab_write(lab, "resolver/unbound.conf", 0644, d,
		"# The trusted resolver of devices and providers: DNS over TLS only.\n"
		"server:\n"
		"  username: \"\"\n"
		"  chroot: \"\"\n"
		"  directory: \"%s/resolver\"\n"
		"  pidfile: \"%s/resolver/unbound.pid\"\n"
		"  use-syslog: no\n"
		"  logfile: \"\"\n"
		"  verbosity: 1\n"
		"  log-servfail: yes\n"
		"  do-ip6: no\n"
		"  num-threads: 1\n"
		"  interface: 127.0.0.1@%d\n"
		"  tls-port: %d\n"
		"  tls-service-key: \"%s/resolver/resolver.key\"\n"
		"  tls-service-pem: \"%s/resolver/resolver.pem\"\n"
		"  access-control: 127.0.0.0/8 allow\n"
		"  do-not-query-localhost: no\n"
		"  module-config: \"validator iterator\"\n"
		"  trust-anchor-file: \"%s/trust-anchor.ds\"\n"
		"  harden-glue: yes\n"
		"  harden-dnssec-stripped: yes\n"
		"  harden-below-nxdomain: yes\n"
		"  harden-algo-downgrade: yes\n"
		"  qname-minimisation: yes\n"
		"  aggressive-nsec: no\n"
		"  minimal-responses: yes\n"
		"  hide-identity: yes\n"
		"  hide-version: yes\n"
		"stub-zone:\n"
		"  name: \"%s.\"\n"
		"%s"
		"remote-control:\n"
		"  control-enable: no\n",
		lab->dir, lab->dir, lab->resolver, lab->resolver, lab->dir, lab->dir, lab->dir,
		lab->zone, stubs);
}

enum rc lab_write_broker(const struct lab *lab, const struct lab_service *s, struct diag *d)
{
	char name[64];
	enum rc rc = str_format(name, sizeof(name), "services/%s.conf", s->handle);

	if (rc != RC_OK)
		return rc;
	return lab_write(lab, name, 0644, d,
		"# %s's broker: mutual TLS with devices of the registry, each checked by one\n"
		"# DNSSEC query (see attest_mosquitto).\n"
		"user %s\n"
		"persistence false\n"
		"log_dest stderr\n"
		"log_timestamp_format %%Y-%%m-%%dT%%H:%%M:%%S\n"
		"listener %d 127.0.0.1\n"
		"allow_anonymous false\n"
		"cafile %s/services/devices.pem\n"
		"certfile %s/services/%s.pem\n"
		"keyfile %s/services/%s.key\n"
		"require_certificate true\n"
		"use_identity_as_username false\n"
		"plugin %s/attest_mosquitto.so\n"
		"plugin_opt_service %s\n"
		"plugin_opt_zone %s\n"
		"plugin_opt_ca_file %s/services/devices.pem\n"
		"plugin_opt_anchor %s/trust-anchor.ds\n"
		"plugin_opt_resolver_addr 127.0.0.1\n"
		"plugin_opt_resolver_port %d\n"
		"plugin_opt_resolver_name localhost\n"
		"plugin_opt_resolver_pin %s\n",
		s->name, user_name(), s->port, lab->dir, lab->dir, s->handle, lab->dir, s->handle,
		lab->programs, s->handle, lab->zone, lab->dir, lab->dir, lab->resolver,
		lab->resolver_pin);
}

static enum rc dump(
	const struct lab *lab, const char *name, unsigned mode, json_t *take_doc, struct diag *d)
{
	char *text = take_doc ? json_dumps(take_doc, JSON_INDENT(2)) : NULL;
	enum rc rc = text ? lab_write(lab, name, mode, d, "%s\n", text) : RC_NOMEM;

	free(text);
	json_decref(take_doc);
	return rc;
}

static json_t *join(const struct lab *lab, const char *name)
{
	return json_sprintf("%s/%s", lab->dir, name);
}

/* The last SIM holds the eSIM of another network too, which nobody has told the registry of. */
static void add_second_network(json_t *sim)
{
	static const char *const moved[] = { "iccid", "kic", "kid", "kvn", "files" };
	json_t *first = json_object(), *other = NULL;

	for (size_t i = 0; i < ARRAY_LEN(moved); i++) {
		json_object_set(first, moved[i], json_object_get(sim, moved[i]));
		json_object_del(sim, moved[i]);
	}
	other = json_pack("{s:s, s:O, s:O, s:i, s:s}", "iccid", LAB_OTHER_NETWORK, "kic",
		json_object_get(first, "kic"), "kid", json_object_get(first, "kid"), "kvn", 1,
		"imsi", "001010000000001");
	json_object_set_new(sim, "profiles", json_pack("[o, o]", first, other));
}

enum rc lab_write_sims(const struct lab *lab, struct diag *d)
{
	json_t *sims = json_array();

	for (size_t i = 0; i < LAB_SIMS; i++) {
		const struct lab_sim *s = &lab->sims[i];
		json_array_append_new(sims,
			json_pack("{s:s, s:s, s:s, s:s, s:i, s:o, s:o, s:{s:o, s:o, s:o, s:o, s:o, "
				  "s:o}}",
				"iccid", s->iccid, "eid", s->eid, "kic", s->kic, "kid", s->kid,
				"kvn", 1, "modem",
				json_sprintf("%s/sims/modem%zu", lab->dir, i + 1), "socket",
				json_sprintf("%s/sims/card%zu.sock", lab->dir, i + 1), "files",
				"06", join(lab, "sims/root.der"), "07",
				join(lab, "sims/issuing.der"), "0C", join(lab, "sims/payload.der"),
				"F3", join(lab, "sims/registry-profile.cbor"), "F1",
				json_sprintf("%s/sims/f1-%zu.key", lab->dir, i + 1), "F2",
				json_sprintf("%s/sims/f2-%zu.der", lab->dir, i + 1)));
	}
	add_second_network(json_array_get(sims, LAB_SIMS - 1));
	return dump(lab, "sims/sim.json", 0600,
		json_pack("{s:o, s:o, s:o, s:s, s:o}", "euicc", join(lab, "sims/euicc.sock"),
			"state", join(lab, "sims/state"), "sms", join(lab, "sims/sms.sock"),
			"preset", "devkit", "sims", sims),
		d);
}

enum rc lab_write_mno(const struct lab *lab, struct diag *d)
{
	json_t *sims = json_array();

	for (size_t i = 0; i < LAB_SIMS; i++)
		json_array_append_new(
			sims, json_pack("{s:s, s:s, s:s, s:i}", "iccid", lab->sims[i].iccid, "kic",
				      lab->sims[i].kic, "kid", lab->sims[i].kid, "kvn", 1));
	return dump(lab, "mno/mno.json", 0600,
		json_pack("{s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "euicc",
			join(lab, "sims/euicc.sock"), "url",
			/* Of several nodes the last: any will do. */
			json_sprintf("https://localhost:%d",
				lab->node_count > 1 ? lab->nodes[lab->node_count - 1].https
						    : lab->https),
			"ca", join(lab, "registry/ca/party.pem"), "cert",
			join(lab, "parties/mno.pem"), "key", join(lab, "parties/mno.key"), "sms",
			join(lab, "sims/sms.sock"), "state", join(lab, "mno/state.db"), "sims",
			sims),
		d);
}

static json_t *services_json(const struct lab *lab)
{
	json_t *services = json_object();

	for (size_t i = 0; i < LAB_SERVICES; i++) {
		const struct lab_service *s = &lab->services[i];
		json_object_set_new(services, s->handle,
			json_pack("{s:s, s:s, s:i, s:o}", "handle", s->handle, "fqdn", "localhost",
				"port", s->port, "log",
				json_sprintf("%s/log/%s.log", lab->dir, s->handle)));
	}
	return services;
}

static json_t *sims_json(const struct lab *lab)
{
	json_t *sims = json_array();

	for (size_t i = 0; i < LAB_SIMS; i++)
		json_array_append_new(
			sims, json_pack("{s:s, s:s, s:s, s:o, s:o}", "iccid", lab->sims[i].iccid,
				      "eid", lab->sims[i].eid, "claim", lab->sims[i].claim, "modem",
				      json_sprintf("%s/sims/modem%zu", lab->dir, i + 1), "socket",
				      json_sprintf("%s/sims/card%zu.sock", lab->dir, i + 1)));
	json_object_set_new(json_array_get(sims, LAB_SIMS - 1), "esims",
		json_pack("[s, s]", lab->sims[LAB_SIMS - 1].iccid, LAB_OTHER_NETWORK));
	return sims;
}

enum rc lab_write_json(const struct lab *lab, json_t *parties, struct diag *d)
{
	json_t *doc =
		json_pack("{s:i, s:s, s:i}", "version", 1, "zone", lab->zone, "ttl", lab->ttl);

	if (!doc)
		return RC_NOMEM;
	json_object_set_new(doc, "dns",
		json_pack("{s:s, s:i, s:i, s:i, s:o}", "addr", "127.0.0.1", "udp", lab->dns, "tcp",
			lab->dns, "dot", lab->dot, "dot_ca", join(lab, "registry/ca/party.pem")));
	json_object_set_new(doc, "resolver",
		json_pack("{s:s, s:i, s:o, s:s}", "addr", "127.0.0.1", "dot", lab->resolver, "ca",
			join(lab, "resolver/resolver.pem"), "pin", lab->resolver_pin));
	json_object_set_new(doc, "trust_anchor", join(lab, "trust-anchor.ds"));
	json_object_set_new(doc, "ca",
		json_pack("{s:o, s:o, s:o}", "root", join(lab, "registry/ca/root.pem"), "issuing",
			join(lab, "registry/ca/issuing.pem"), "devkit",
			join(lab, "registry/ca/devkit.pem")));
	json_object_set_new(doc, "https",
		json_pack("{s:o, s:o}", "url", json_sprintf("https://localhost:%d", lab->https),
			"ca", join(lab, "registry/ca/party.pem")));
	json_object_set_new(doc, "epp",
		json_pack("{s:s, s:i, s:o}", "addr", "127.0.0.1", "port", lab->epp, "ca",
			join(lab, "registry/ca/party.pem")));
	json_object_set(doc, "parties", parties);
	json_object_set_new(doc, "services", services_json(lab));
	json_object_set_new(doc, "sims", sims_json(lab));
	json_object_set_new(doc, "mno",
		json_pack("{s:o, s:o}", "socket", join(lab, "sims/sms.sock"), "euicc",
			join(lab, "sims/euicc.sock")));
	json_object_set_new(doc, "db",
		lab->database ? json_string(lab->database) : join(lab, "registry/db/registry.db"));
	json_object_set_new(doc, "config", join(lab, "registry/attestry.conf"));
	if (lab->node_count)
		json_object_set_new(doc, "nodes", lab_nodes_json(lab));
	if (lab->secondary)
		json_object_set_new(doc, "secondary",
			json_pack("{s:s, s:i, s:o}", "addr", "127.0.0.1", "udp", lab->secondary,
				"log", join(lab, "log/knot.log")));
	json_object_set(doc, "pids", lab->pids);
	return dump(lab, "lab.json", 0600, doc, d);
}
