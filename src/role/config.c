/* SPDX-License-Identifier: Apache-2.0 */
#include "role/config.h"
#include "base/str.h"
#include "store/store.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct conf_section sections[] = {
	{ "registry", "The registry's zone, its database, how long things live." },
	{ "keys", "Private keys and certificates." },
	{ "zone", "The signed zone." },
	{ "dns", "The authoritative name server." },
	{ "primary",
		"Where the zone comes from, when this node is a secondary: then it has no keys, "
		"no database and no interface for parties." },
	{ "https", "The JSON interface for parties, over mutual TLS." },
	{ "epp", "The Extensible Provisioning Protocol for parties, over mutual TLS." },
	{ "parent", "The zone above: where role out looks whether it has taken our DS." },
	{ "tlsa", "Providers' own zones: whether they name the services' pins (through "
		  "[resolver])." },
	{ "resolver", "The trusted resolver (DNS over TLS) that devices are told to use." },
	{ "node", "This node, where several work on one PostgreSQL database." },
	{ "supervisor", "Processes, their users and their confinement." },
};

#define MEMBER(path) offsetof(struct config, path)
#define INT(s, n, member, lo, hi, preset, unit, help)                      \
	{                                                                  \
		s, n, CONF_INT, MEMBER(member), lo, hi, preset, unit, help \
	}
#define TIME(s, n, member, lo, hi, preset, unit, help)                          \
	{                                                                       \
		s, n, CONF_DURATION, MEMBER(member), lo, hi, preset, unit, help \
	}
#define TEXT(s, n, member, lo, hi, preset, help)                              \
	{                                                                     \
		s, n, CONF_STRING, MEMBER(member), lo, hi, preset, NULL, help \
	}
#define PATH(s, n, member, preset, help)                                  \
	{                                                                 \
		s, n, CONF_PATH, MEMBER(member), 0, 0, preset, NULL, help \
	}
#define ADDR(s, n, member, preset, help)                                  \
	{                                                                 \
		s, n, CONF_ADDR, MEMBER(member), 0, 0, preset, NULL, help \
	}
#define LIST(s, n, member, preset, help)                                  \
	{                                                                 \
		s, n, CONF_LIST, MEMBER(member), 0, 0, preset, NULL, help \
	}

#define DAY (24 * 3600)

static const struct conf_row rows[] = {
	/* 41 characters: an owner name must fit the 64 octets of a CN (RFC 5280 appendix A.1). */
	TEXT("registry", "zone", registry.zone, 1, 41, NULL, "The zone, without trailing dot."),
	TEXT("registry", "database", registry.database, 1, 178, "sqlite:db/registry.db",
		"Where objects are kept: sqlite:PATH, or postgresql://USER@HOST/NAME as libpq "
		"reads it."),
	TEXT("registry", "operator_pin", registry.operator_pin, 0, 64, "",
		"SHA-256 of the first operator's key (SubjectPublicKeyInfo), 64 hex digits."),
	INT("registry", "cert_days", registry.cert_days, 1, 3650, "90", "days",
		"Life of a device certificate."),
	INT("registry", "batch_max", registry.batch_max, 1, 10000, "1000", NULL,
		"Requests that one transaction may take."),
	TIME("registry", "answer_wait", registry.answer_wait_ms, 0, 60000, "500ms", "ms",
		"How long an answer waits for the zone before it says pending."),
	TIME("registry", "auth_ttl", registry.auth_ttl_s, 60, 30 * DAY, "7d", "s",
		"Life of an authorization code unless the request says less."),
	TIME("registry", "job_ttl", registry.job_ttl_s, 1, 30 * DAY, "7d", "s",
		"Life of a job for an operator's gateway."),
	TIME("registry", "job_retry", registry.job_retry_s, 1, DAY, "60s", "s",
		"When a job without result is handed out again."),
	TIME("registry", "idempotency_ttl", registry.idempotency_ttl_s, 60, 30 * DAY, "24h", "s",
		"How long the answer to an Idempotency-Key is kept."),
	TIME("registry", "feed", registry.feed_s, 3600, 3650 * DAY, "30d", "s",
		"How long events stay in the providers' feeds."),
	INT("registry", "publish_wait", registry.publish_wait, 0, 32, "0", NULL,
		"Secondaries that must serve a change before it is answered; 0: this node is "
		"enough."),
	TIME("registry", "transfer_wait", registry.transfer_wait_s, 5, 60 * DAY, "5d", "s",
		"How long a transfer waits for the losing side before it is cancelled."),
	TIME("registry", "overlap", registry.overlap_s, 0, 30 * DAY, "72h", "s",
		"How long a renewed certificate's forerunner stays published at most; it ends "
		"sooner when the card has confirmed the new one."),
	LIST("registry", "attest_require", registry.attest_require, "",
		"Operators whose SIMs must prove their keys: mno, or mno/ICCID prefix."),
	LIST("registry", "ranges", registry.ranges, "",
		"Which ICCIDs an operator may bring: mno/ICCID prefix, none within another's; "
		"empty: those that nobody has."),

	TIME("registry", "signer_hold", registry.signer_hold_s, 0, 365 * DAY, "24h", "s",
		"After a card has confirmed that it knows the next payload signer: how long until "
		"it is given payloads by it. Its device must have looked at its payload by then."),
	{ "registry", "payload", CONF_CHOICE, MEMBER(registry.payload), 0, 0, "compact",
		"compact|full",
		"Whether payloads carry the CA certificates that cards hold anyway." },

	PATH("keys", "folder", keys.folder, "keys",
		"Private keys and the log of issued certificates; only role keys enters it."),
	PATH("keys", "ca_folder", keys.ca_folder, "ca", "The certificates of the registry's CAs."),
	INT("keys", "threads", keys.threads, 0, 256, "0", NULL,
		"Threads that sign; 0: one per core."),
	TEXT("keys", "pkcs11_module", keys.pkcs11_module, 0, 4095, "",
		"PKCS#11 module (a shared library, absolute path) for keys of the zone; empty: "
		"none."),
	TEXT("keys", "pkcs11_token", keys.pkcs11_token, 0, 32, "", "Label of the token to use."),
	PATH("keys", "pkcs11_pin", keys.pkcs11_pin, "keys/pkcs11.pin",
		"File with the token's PIN, mode 0600; no such file: no PIN."),
	{ "keys", "pkcs11_keys", CONF_CHOICE, MEMBER(keys.pkcs11_keys), 0, 0, "ksk",
		"none|ksk|both", "Which new keys of the zone are made in the token." },
	LIST("keys", "pkcs11_paths", keys.pkcs11_paths, "",
		"Folders that the module writes to: role keys may enter them."),
	TEXT("keys", "pkcs11_config", keys.pkcs11_config, 0, 4095, "",
		"The module's own configuration file (SoftHSM: SOFTHSM2_CONF); empty: its preset."),

	PATH("zone", "folder", zone.folder, "zone", "The signed zone (LMDB)."),
	TIME("zone", "ttl", zone.ttl_s, 1, DAY, "300", "s", "TTL of every record."),
	TIME("zone", "minimum", zone.minimum_s, 1, DAY, "60", "s",
		"SOA minimum: how long a denial may be cached."),
	TIME("zone", "refresh", zone.refresh_s, 10, DAY, "300", "s", "SOA refresh."),
	TIME("zone", "retry", zone.retry_s, 5, DAY, "60", "s", "SOA retry."),
	TIME("zone", "expire", zone.expire_s, 600, 90 * DAY, "7d", "s", "SOA expire."),
	TIME("zone", "signature_life", zone.signature_s, 60, 30 * DAY, "24h", "s",
		"Life of the signatures of device records; refreshed at half."),
	TIME("zone", "infra_signature_life", zone.infra_signature_s, 60, 60 * DAY, "14d", "s",
		"Life of the signatures of SOA, NSEC and DNSKEY."),
	INT("zone", "journal_mib", zone.journal_mib, 0, 65536, "64", "MiB",
		"What is kept of past changes for secondaries (IXFR)."),
	INT("zone", "map_mib", zone.map_mib, 1, 4194304, "65536", "MiB",
		"What the zone's store may grow to; a rebuild needs twice its content."),
	TEXT("zone", "hostmaster", zone.hostmaster, 0, 180, "",
		"SOA rname; empty: hostmaster in the zone."),
	TIME("zone", "zsk_life", zone.zsk_life_s, 0, 3650 * (int64_t)DAY, "90d", "s",
		"Age at which the ZSK is replaced (pre-publish); 0: only by order."),
	TIME("zone", "ksk_life", zone.ksk_life_s, 0, 3650 * (int64_t)DAY, "0", "s",
		"Age at which the KSK is replaced (double-DS); 0: only by order."),
	TIME("zone", "roll_time", zone.roll_time_s, 1, 30 * DAY, "3h", "s",
		"In which a new ZSK's signatures replace the old one's, evenly."),
	TIME("zone", "propagation", zone.propagation_s, 0, 7 * DAY, "5m", "s",
		"Until every secondary serves what this node serves; waited for in rollovers."),
	TIME("zone", "presigned_alarm", zone.presigned_alarm_s, 0, 365 * (int64_t)DAY, "30d", "s",
		"Off-line KSK: alarm when the pre-signed sets end sooner than this."),

	ADDR("dns", "listen", dns.listen, "127.0.0.1:5300", "UDP and TCP; port 0: any free one."),
	ADDR("dns", "dot", dns.dot, "127.0.0.1:8530", "DNS over TLS; empty: none."),
	PATH("dns", "dot_cert", dns.dot_cert, "tls/dot.pem", "Certificate chain, PEM."),
	PATH("dns", "dot_key", dns.dot_key, "tls/dot.key", "Its private key, PEM."),
	INT("dns", "workers", dns.workers, 0, 64, "0", NULL, "Processes; 0: one per core."),
	TEXT("dns", "ns_name", dns.ns_name, 0, 253, "", "The name server; empty: ns1 in the zone."),
	LIST("dns", "ns_addr", dns.ns_addr, "",
		"Its addresses as published; empty: the address of listen."),
	INT("dns", "udp_max", dns.udp_max, 512, 4096, "1232", "bytes", "Largest UDP answer."),
	TIME("dns", "tcp_idle", dns.tcp_idle_ms, 100, 600000, "10s", "ms",
		"An idle TCP or TLS connection is closed after this."),
	INT("dns", "tcp_clients", dns.tcp_clients, 1, 100000, "1000", NULL,
		"TCP and TLS connections of one worker."),

	INT("dns", "tcp_per_address", dns.tcp_per_address, 0, 100000, "100", NULL,
		"TCP and TLS connections of one client address with one worker; 0: no limit."),
	INT("dns", "transfers", dns.transfers, 0, 1000, "16", NULL,
		"Transfers that one worker sends at a time."),
	INT("dns", "rrl_rate", dns.rrl_rate, 0, 1000000, "1000", NULL,
		"Like answers a second to one network over UDP; 0: no limit."),
	INT("dns", "rrl_slip", dns.rrl_slip, 0, 100, "2", NULL,
		"Of the answers over the limit each so manieth is truncated, not dropped; 0: "
		"none."),
	TEXT("dns", "nsid", dns.nsid, 0, 64, "",
		"Who this server is (NSID); empty: it does not say."),
	TEXT("dns", "transfer_keys", dns.transfer_keys, 0, 180, "",
		"File of TSIG keys, lines of hmac-sha256:NAME:BASE64; empty: none."),
	LIST("dns", "secondary", dns.secondary, "",
		"Secondaries: NAME ADDRESS:PORT [key=NAME] [tls] [quiet]."),

	ADDR("primary", "addr", primary.addr, "",
		"Its ADDRESS:PORT for transfers; empty: this node is the primary."),
	TEXT("primary", "key", primary.key, 0, 253, "",
		"TSIG key out of transfer_keys that both sides sign with; empty: none."),
	TEXT("primary", "tls_name", primary.tls_name, 0, 253, "",
		"Transfers over TLS (RFC 9103), and the name in its certificate; empty: plain "
		"TCP."),
	TEXT("primary", "tls_ca", primary.tls_ca, 0, 180, "", "CA of that certificate, PEM."),
	TIME("primary", "look", primary.look_s, 1, DAY, "60s", "s",
		"How often it is asked when it says nothing (NOTIFY)."),

	ADDR("https", "listen", https.listen, "127.0.0.1:8443", "Port 0: any free one."),
	PATH("https", "cert", https.cert, "tls/https.pem", "Certificate chain, PEM."),
	PATH("https", "key", https.key, "tls/https.key", "Its private key, PEM."),
	PATH("https", "client_ca", https.client_ca, "ca/party.pem",
		"The CA of the parties' certificates."),
	TIME("https", "idle", https.idle_ms, 1000, 3600000, "60s", "ms",
		"An idle connection is closed after this."),
	INT("https", "clients", https.clients, 1, 100000, "1000", NULL, "Connections at a time."),
	INT("https", "body_max", https.body_max, 1024, 16 * 1024 * 1024, "4194304", "bytes",
		"Largest request body."),

	ADDR("epp", "listen", epp.listen, "",
		"Usually port 700; empty: no EPP; port 0: any free one."),
	PATH("epp", "cert", epp.cert, "tls/epp.pem", "Certificate chain, PEM."),
	PATH("epp", "key", epp.key, "tls/epp.key", "Its private key, PEM."),
	TEXT("epp", "server_id", epp.server_id, 0, 64, "",
		"How the server names itself in its greeting; empty: the zone."),
	INT("epp", "clients", epp.clients, 1, 100000, "1000", NULL, "Connections at a time."),
	INT("epp", "sessions", epp.sessions, 1, 10000, "64", NULL,
		"Sessions of one client at a time (2502)."),
	INT("epp", "frame_max", epp.frame_max, 4096, 1024 * 1024, "65536", "bytes",
		"Largest command, with its header."),
	INT("epp", "login_tries", epp.login_tries, 1, 100, "3", NULL,
		"Refused logins before the connection ends (2501)."),
	TIME("epp", "login_time", epp.login_ms, 100, 600000, "30s", "ms",
		"From the connection to its handshake, and from there to a login."),
	TIME("epp", "frame_time", epp.frame_ms, 100, 600000, "30s", "ms",
		"From the first octet of a frame to its last, either way."),
	TIME("epp", "idle", epp.idle_ms, 100, 24 * 3600000, "15m", "ms",
		"A session without commands ends after this."),
	TIME("epp", "session_time", epp.session_ms, 1000, 7 * 24 * 3600000, "24h", "ms",
		"A session ends after this, whatever it does."),
	INT("epp", "query_rate", epp.query_rate, 0, 1000000, "2000", NULL,
		"Queries a second of one client (2308 beyond); 0: no limit."),
	INT("epp", "transform_rate", epp.transform_rate, 0, 1000000, "1000", NULL,
		"Transforms a second of one client (2308 beyond); 0: no limit."),
	INT("epp", "check_rate", epp.check_rate, 0, 1000000, "0", NULL,
		"Checks a second of one client; 0: no limit of their own."),
	INT("epp", "info_rate", epp.info_rate, 0, 1000000, "0", NULL,
		"Infos a second of one client; 0: no limit of their own."),
	INT("epp", "poll_rate", epp.poll_rate, 0, 1000000, "0", NULL,
		"Polls a second of one client; 0: no limit of their own."),
	INT("epp", "create_rate", epp.create_rate, 0, 1000000, "0", NULL,
		"Creates a second of one client; 0: no limit of their own."),
	INT("epp", "update_rate", epp.update_rate, 0, 1000000, "0", NULL,
		"Updates a second of one client; 0: no limit of their own."),
	INT("epp", "delete_rate", epp.delete_rate, 0, 1000000, "0", NULL,
		"Deletes a second of one client; 0: no limit of their own."),
	INT("epp", "renew_rate", epp.renew_rate, 0, 1000000, "0", NULL,
		"Renews a second of one client; 0: no limit of their own."),
	INT("epp", "transfer_rate", epp.transfer_rate, 0, 1000000, "0", NULL,
		"Transfers a second of one client; 0: no limit of their own."),
	INT("epp", "login_rate", epp.login_rate, 0, 1000000, "0", NULL,
		"Logins a second of one client; 0: no limit of their own."),
	INT("epp", "refused_rate", epp.refused_rate, 1, 1000000, "50", NULL,
		"Refused commands a second of one client that go to the audit; more are counted."),

	LIST("parent", "server", parent.server, "",
		"ADDRESS:PORT of each of its name servers; empty: DS are confirmed by hand."),
	TIME("parent", "check", parent.check_s, 1, DAY, "60s", "s",
		"How often it is asked while the KSK is being replaced."),

	TEXT("tlsa", "anchor_file", tlsa.anchor_file, 0, 180, "",
		"DS or DNSKEY lines of the root (or of the zones above them); empty: not looked "
		"at."),
	TIME("tlsa", "every", tlsa.every_s, 1, 30 * DAY, "1h", "s",
		"How often a service's zone is looked at."),

	TEXT("resolver", "name", resolver.name, 0, 253, "", "Its TLS name; empty: none is told."),
	TEXT("resolver", "addr", resolver.addr, 0, 45, "", "Its IP address."),
	INT("resolver", "port", resolver.port, 1, 65535, "853", NULL, "Its port."),
	LIST("resolver", "pin", resolver.pin, "",
		"Base64 SHA-256 of its public key (SPKI); two while one rotates."),

	TEXT("node", "name", node.name, 0, 32, "",
		"Its name; empty: there is only this one. `attestry node init` sets it."),
	TIME("node", "lease", node.lease_ms, 500, 600000, "3s", "ms",
		"How long the signer may be silent before another node signs."),
	TIME("node", "anchor", node.anchor_ms, 1000, 24 * 3600000, "1h", "ms",
		"How often the end of the audit chain is signed, for the other nodes' chains."),

	INT("supervisor", "user_base", supervisor.user_base, 0, 2000000000, "0", NULL,
		"First of the user ids that the processes run as when started by root; 0: the "
		"starter's."),
	{ "supervisor", "landlock", CONF_CHOICE, MEMBER(supervisor.landlock), 0, 0, "require",
		"require|warn", "Whether to start on a kernel without Landlock." },
	PATH("supervisor", "run_folder", supervisor.run_folder, "run",
		"Process ids and chosen addresses."),
	TIME("supervisor", "heartbeat", supervisor.heartbeat_ms, 50, 60000, "1s", "ms",
		"How often each process is asked whether it lives."),
	TIME("supervisor", "heartbeat_timeout", supervisor.heartbeat_timeout_ms, 100, 600000, "10s",
		"ms", "A process that does not answer for this long is killed."),
	TIME("supervisor", "start_timeout", supervisor.start_timeout_ms, 1000, 3600000, "5m", "ms",
		"A process that is not ready after this is killed."),
	TIME("supervisor", "restart", supervisor.restart_ms, 1, 60000, "50ms", "ms",
		"Wait before a dead process is started again; doubles while it keeps dying."),
	TIME("supervisor", "restart_max", supervisor.restart_max_ms, 1, 600000, "500ms", "ms",
		"Longest such wait."),
	TIME("supervisor", "stop_timeout", supervisor.stop_timeout_ms, 100, 600000, "5s", "ms",
		"A process that has not ended this long after it was asked to is killed."),
	{ "supervisor", "log_level", CONF_CHOICE, MEMBER(supervisor.log_level), 0, 0, "info",
		"debug|info|warning|error", "Lines below this are not written." },
};

static const struct conf_table table = { .sections = sections,
	.section_count = ARRAY_LEN(sections),
	.rows = rows,
	.row_count = ARRAY_LEN(rows) };

const struct conf_table *config_table(void)
{
	return &table;
}

/* Labels of lower-case letters, digits and hyphens (RFC 1123 section 2.1). */
static bool is_zone_name(const char *name)
{
	size_t label = 0;

	for (const char *p = name;; p++) {
		if (*p == '.' || *p == '\0') {
			if (label == 0 || label > 63 || p[-1] == '-')
				return false;
			if (*p == '\0')
				return true;
			label = 0;
			continue;
		}
		if (!(islower((unsigned char)*p) || isdigit((unsigned char)*p) ||
			    (*p == '-' && label > 0)))
			return false;
		label++;
	}
}

static bool is_range(const char *row)
{
	const char *prefix = strchr(row, '/');

	return prefix && prefix - row >= 3 && prefix - row <= 16 && prefix[1] &&
	       strspn(prefix + 1, "0123456789") == strlen(prefix + 1);
}

/* An ICCID is within the ranges of one operator. */
static enum rc check_ranges(const struct conf_list *list, struct diag *d)
{
	for (size_t i = 0; i < list->count; i++) {
		const char *a = list->items[i], *a_prefix = strchr(a, '/');

		if (!is_range(a))
			return diag_set(d, RC_MALFORMED,
				"[registry] ranges: \"%s\" is not an operator's id, /, and digits",
				a);
		for (size_t k = 0; k < i; k++) {
			const char *b = list->items[k], *b_prefix = strchr(b, '/');
			size_t a_len = strlen(a_prefix), b_len = strlen(b_prefix);

			if (a_prefix - a == b_prefix - b &&
				memcmp(a, b, (size_t)(a_prefix - a)) == 0)
				continue;
			if (strncmp(a_prefix, b_prefix, a_len < b_len ? a_len : b_len) == 0)
				return diag_set(
					d, RC_CONFLICT, "[registry] ranges: %s overlaps %s", a, b);
		}
	}
	return RC_OK;
}

/* What no single row can say. */
static enum rc check(const struct config *c, struct diag *d)
{
	char path[4096];
	enum rc rc;

	if (!is_zone_name(c->registry.zone))
		return diag_set(d, RC_MALFORMED,
			"[registry] zone: \"%s\" is not a lower-case name without trailing dot",
			c->registry.zone);
	if (c->dns.listen.len == 0)
		return diag_set(d, RC_MALFORMED, "[dns] listen: is empty");
	if (c->https.listen.len == 0)
		return diag_set(d, RC_MALFORMED, "[https] listen: is empty");
	if (c->primary.tls_name[0] && !c->primary.tls_ca[0])
		return diag_set(d, RC_MALFORMED, "[primary] tls_name: needs tls_ca beside it");
	if (c->primary.key[0] && !c->dns.transfer_keys[0])
		return diag_set(d, RC_MALFORMED, "[primary] key: needs [dns] transfer_keys");
	if (c->node.name[0] && !config_is_postgres(c))
		return diag_set(d, RC_MALFORMED,
			"[node] name: several nodes want [registry] database = postgresql://...");
	if (strspn(c->node.name, "abcdefghijklmnopqrstuvwxyz0123456789-") != strlen(c->node.name))
		return diag_set(
			d, RC_MALFORMED, "[node] name: lower-case letters, digits, hyphens");
	if (c->supervisor.heartbeat_timeout_ms < 2 * c->supervisor.heartbeat_ms)
		return diag_set(
			d, RC_RANGE, "[supervisor] heartbeat_timeout: is not twice the heartbeat");
	if (c->resolver.name[0] && (!c->resolver.addr[0] || c->resolver.pin.count == 0))
		return diag_set(d, RC_MALFORMED, "[resolver] name: needs addr and pin beside it");
	rc = check_ranges(&c->registry.ranges, d);
	return rc == RC_OK ? config_database(c, path, sizeof(path), d) : rc;
}

/* A file that may be left out: empty stays empty. */
static enum rc absolute(char **path, const char *dir)
{
	char *whole;

	if (!(*path)[0] || (*path)[0] == '/')
		return RC_OK;
	if (asprintf(&whole, "%s/%s", dir, *path) < 0)
		return RC_NOMEM;
	free(*path);
	*path = whole;
	return RC_OK;
}

enum rc config_read(const char *path, struct config *out, struct diag *d)
{
	struct config c = { 0 };
	enum rc rc = conf_read_file(&table, path, &c, d);

	if (rc != RC_OK)
		return rc;
	c.file = realpath(path, NULL);
	c.dir = c.file ? strdup(c.file) : NULL;
	if (!c.dir) {
		rc = RC_NOMEM;
		goto out;
	}
	*strrchr(c.dir, '/') = '\0';
	rc = absolute(&c.dns.transfer_keys, c.dir);
	if (rc == RC_OK)
		rc = absolute(&c.primary.tls_ca, c.dir);
	if (rc == RC_OK)
		rc = absolute(&c.tlsa.anchor_file, c.dir);
	if (rc == RC_OK)
		rc = check(&c, d);
	if (rc != RC_OK) {
		diag_prefix(d, path);
		goto out;
	}
	*out = c;
	c = (struct config){ 0 };
out:
	config_free(&c);
	return rc;
}

void config_free(struct config *config)
{
	conf_free(&table, config);
	free(config->dir);
	free(config->file);
	*config = (struct config){ 0 };
}

enum rc config_sqlite_path(const struct config *config, char *out, size_t cap, struct diag *d)
{
	static const char scheme[] = "sqlite:";
	const char *path = config->registry.database + sizeof(scheme) - 1;
	enum rc rc;

	if (strncmp(config->registry.database, scheme, sizeof(scheme) - 1) != 0 || !path[0])
		return diag_set(d, RC_UNSUPPORTED, "[registry] database: \"%s\" is not sqlite:PATH",
			config->registry.database);
	rc = path[0] == '/' ? str_copy(out, cap, path)
			    : str_format(out, cap, "%s/%s", config->dir, path);
	return rc == RC_OK ? rc : diag_set(d, rc, "[registry] database: path is too long");
}

bool config_is_postgres(const struct config *config)
{
	return store_is_url(config->registry.database);
}

enum rc config_database(const struct config *config, char *out, size_t cap, struct diag *d)
{
	enum rc rc;

	if (!config_is_postgres(config))
		return config_sqlite_path(config, out, cap, d);
	/* The configuration is for all to read. */
	if (strstr(config->registry.database, "password="))
		return diag_set(d, RC_DENIED,
			"[registry] database: a password does not belong here; use passfile=");
	rc = str_copy(out, cap, config->registry.database);
	return rc == RC_OK ? rc : diag_set(d, rc, "[registry] database: is too long");
}

enum rc config_database_folder(const struct config *config, char *out, size_t cap, struct diag *d)
{
	enum rc rc;

	if (config_is_postgres(config)) {
		rc = str_format(out, cap, "%s/db", config->dir);
		return rc == RC_OK ? rc : diag_set(d, rc, "[registry] database: path is too long");
	}
	rc = config_sqlite_path(config, out, cap, d);
	if (rc == RC_OK)
		*strrchr(out, '/') = '\0';
	return rc;
}
