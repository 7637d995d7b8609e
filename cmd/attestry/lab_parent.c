/* SPDX-License-Identifier: Apache-2.0 */
/* The zones above ours: a private root and the parent, on Knot. */
#include "lab.h"

#include "base/str.h"
#include "tool.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define SAID_MAX 4096
#define DS_TEXT	 140

static const char *parent_of(const struct lab *lab)
{
	return strchr(lab->zone, '.') + 1;
}

static enum rc keymgr(const struct lab *lab, const char *zone, const char *const words[], size_t n,
	char said[SAID_MAX], struct diag *d)
{
	char conf[PATH_MAX];
	char *argv[10] = { "/usr/sbin/keymgr", "-c", conf, (char *)(uintptr_t)zone };
	enum rc rc = lab_path(lab, conf, "parent/knot.conf");

	for (size_t i = 0; i < n; i++)
		argv[4 + i] = (char *)(uintptr_t)words[i];
	if (rc == RC_OK && tool_run(argv, said, SAID_MAX) != 0)
		rc = diag_set(d, RC_UNAVAILABLE, "keymgr %s: %s", zone, said);
	return rc;
}

/* Makes a zone's key; its DS with SHA-256 as "tag 13 2 HEX". */
static enum rc make_key(const struct lab *lab, const char *zone, char ds[DS_TEXT], struct diag *d)
{
	/* One key for both: nothing is rolled over up there. */
	static const char *const generate[] = { "generate", "algorithm=13", "ksk=yes", "zsk=yes" };
	static const char *const show[] = { "ds" };
	char said[SAID_MAX];
	const char *at;
	unsigned tag;
	char hex[65];
	enum rc rc = keymgr(lab, zone, generate, ARRAY_LEN(generate), said, d);

	if (rc == RC_OK)
		rc = keymgr(lab, zone, show, ARRAY_LEN(show), said, d);
	if (rc != RC_OK)
		return rc;
	for (at = strstr(said, " DS "); at; at = strstr(at + 1, " DS "))
		if (sscanf(at, " DS %u 13 2 %64[0-9a-fA-F]", &tag, hex) == 2)
			return str_format(ds, DS_TEXT, "%u 13 2 %s", tag, hex);
	return diag_set(d, RC_MALFORMED, "keymgr ds: %s", said);
}

static enum rc write_conf(const struct lab *lab, struct diag *d)
{
	return lab_write(lab, "parent/knot.conf", 0644, d,
		"# The zones above the registry's: a private root, and its parent.\n"
		"server:\n"
		"  listen: 127.0.0.1@%d\n"
		"  rundir: %s/parent\n"
		"log:\n"
		"  - target: stdout\n"
		"    any: info\n"
		"database:\n"
		"  storage: %s/parent\n"
		"policy:\n"
		"  - id: p\n"
		"    algorithm: ecdsap256sha256\n"
		"    single-type-signing: on\n"
		"    dnskey-ttl: 60\n"
		"template:\n"
		"  - id: default\n"
		"    storage: %s/parent\n"
		"    dnssec-signing: on\n"
		"    dnssec-policy: p\n"
		"    zonefile-sync: -1\n"
		"    zonefile-load: difference-no-serial\n"
		"    journal-content: all\n"
		"zone:\n"
		"  - domain: %s\n"
		"    file: parent.zone\n"
		"  - domain: .\n"
		"    file: root.zone\n",
		lab->parent, lab->dir, lab->dir, lab->dir, parent_of(lab));
}

#define SOA "$TTL 60\n@ SOA ns.%s. host.%s. 1 3600 600 86400 5\n@ NS ns.%s.\n"

static enum rc write_zones(
	const struct lab *lab, const char *ours, char root_ds[DS_TEXT], struct diag *d)
{
	const char *parent = parent_of(lab);
	char ds[DS_TEXT];
	enum rc rc = make_key(lab, parent, ds, d);

	if (rc == RC_OK)
		rc = lab_write(lab, "parent/parent.zone", 0644, d,
			"$ORIGIN %s.\n" SOA "ns A 127.0.0.1\n%s. NS ns1.%s.\nns1.%s. A 127.0.0.1\n"
			"%s. " LAB_DS_TTL " DS %s\n",
			parent, parent, parent, parent, lab->zone, lab->zone, lab->zone, lab->zone,
			ours);
	if (rc == RC_OK)
		rc = make_key(lab, ".", root_ds, d);
	if (rc == RC_OK)
		rc = lab_write(lab, "parent/root.zone", 0644, d,
			"$ORIGIN .\n" SOA "%s. NS ns.%s.\nns.%s. A 127.0.0.1\n%s. DS %s\n", parent,
			parent, parent, parent, parent, parent, parent, ds);
	return rc;
}

static enum rc start_knot(struct lab *lab, struct diag *d)
{
	char conf[PATH_MAX];
	char *argv[] = { "/usr/sbin/knotd", "-c", conf, NULL };
	pid_t pid;
	enum rc rc = lab_path(lab, conf, "parent/knot.conf");

	return rc == RC_OK ? lab_start(lab, "knot-parent", "server started", &pid, argv, d) : rc;
}

enum rc lab_start_parent(struct lab *lab, const char *ds, struct diag *d)
{
	char folder[PATH_MAX], root_ds[DS_TEXT];
	const char *ours = strstr(ds, " DS ");
	enum rc rc = ours ? lab_path(lab, folder, "parent")
			  : diag_set(d, RC_MALFORMED, "trust anchor is not a DS line: %s", ds);

	if (rc == RC_OK && mkdir(folder, 0711) != 0)
		rc = diag_errno(d, RC_IO, "%s", folder);
	if (rc == RC_OK)
		rc = write_conf(lab, d);
	if (rc == RC_OK)
		rc = write_zones(lab, ours + 4, root_ds, d);
	if (rc == RC_OK)
		rc = lab_write(lab, "resolver/trust-anchor.ds", 0644, d, ". IN DS %s\n", root_ds);
	return rc == RC_OK ? start_knot(lab, d) : rc;
}

enum rc lab_start_ds_keeper(struct lab *lab, struct diag *d)
{
	char self[PATH_MAX];
	char *argv[] = { self, "lab", "keep-ds", lab->dir, NULL };
	pid_t pid;
	enum rc rc = str_format(self, sizeof(self), "%s/attestry", lab->programs);

	return rc == RC_OK ? lab_start(lab, "ds-keeper", NULL, &pid, argv, d) : rc;
}
