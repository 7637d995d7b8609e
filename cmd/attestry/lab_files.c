/* SPDX-License-Identifier: Apache-2.0 */
/* The configuration files of the lab's parts, and lab.json. */
#include "lab.h"
#include "base/file.h"
#include "base/str.h"
#include "resolver_conf.h"

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
static enum rc add_servers(const struct lab *lab, struct resolver_conf *c, const char *zone,
	char addr[RESOLVER_STUBS_MAX][32])
{
	enum rc rc = RC_OK;

	for (int i = 0; rc == RC_OK && i <= LAB_NODES_MAX; i++) {
		int port = i == 0		 ? lab->dns
			   : i < lab->node_count ? lab->nodes[i].dns
			   : i == LAB_NODES_MAX	 ? lab->secondary
						 : 0;

		if (port == 0)
			continue;
		rc = str_format(addr[c->stub_count], sizeof(addr[0]), "127.0.0.1@%d", port);
		c->stub[c->stub_count] = (struct resolver_stub){ zone, addr[c->stub_count] };
		c->stub_count++;
	}
	return rc;
}

enum rc lab_write_resolver(const struct lab *lab, struct diag *d)
{
	char dir[PATH_MAX], anchors[PATH_MAX], above[64], zone[64], parent[64];
	char addr[RESOLVER_STUBS_MAX][32];
	struct resolver_conf c = { .dir = dir,
		.addr = "127.0.0.1",
		.port = lab->resolver,
		.user = "",
		.anchors = anchors,
		.allow = { "127.0.0.0/8" },
		.allow_count = 1,
		.stub = { { ".", above }, { parent, above } },
		.stub_count = 2 };
	enum rc rc = lab_path(lab, dir, "resolver");

	if (rc == RC_OK)
		rc = lab_path(lab, anchors, "resolver/trust-anchor.ds");
	if (rc == RC_OK)
		rc = str_format(above, sizeof(above), "127.0.0.1@%d", lab->parent);
	if (rc == RC_OK)
		rc = str_format(zone, sizeof(zone), "%s.", lab->zone);
	if (rc == RC_OK)
		rc = str_format(parent, sizeof(parent), "%s.", strchr(lab->zone, '.') + 1);
	if (rc == RC_OK)
		rc = add_servers(lab, &c, zone, addr);
	if (rc == RC_OK)
		rc = resolver_conf_write(&c, d);
	return rc == RC_OK ? resolver_facts_write(
				     dir, lab->zone, "localhost", "127.0.0.1", lab->resolver, d)
			   : rc;
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
		"plugin_opt_anchor %s/resolver/trust-anchor.ds\n"
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
	json_object_set_new(doc, "parent",
		json_pack("{s:s, s:i, s:o, s:o}", "addr", "127.0.0.1", "dns", lab->parent,
			"root_anchor", join(lab, "resolver/trust-anchor.ds"), "config",
			join(lab, "parent/knot.conf")));
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
