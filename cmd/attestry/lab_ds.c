/* SPDX-License-Identifier: Apache-2.0 */
/* attestry lab keep-ds: whoever keeps our DS at the parent. It takes what our CDS asks for, when
 * that validates from the root down, and nothing else (RFC 7344 section 6). */
#include "lab.h"
#include "resolver.h"

#include "base/file.h"
#include "base/str.h"
#include "tool.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SAID_MAX  4096
#define TYPE_CDS  59
#define LOOK_S	  1
#define DS_MAX	  8
#define DS_TEXT	  140
#define DIGEST_AT 4 /* behind tag, algorithm and digest type */

struct ds_set {
	size_t count;
	char text[DS_MAX][DS_TEXT];
};

static int by_text(const void *a, const void *b)
{
	return strcmp(a, b);
}

/* What CDS asks for; nothing unless it validates from the root down. */
static bool read_cds(struct dane *dane, const char *zone, struct ds_set *out)
{
	static struct dane_answer a;

	memset(out, 0, sizeof(*out));
	dane_lookup(dane, zone, TYPE_CDS, &a);
	if (a.status != DANE_SECURE || a.n_rrs == 0 || a.n_rrs > DS_MAX)
		return false;
	for (size_t i = 0; i < a.n_rrs; i++) {
		const uint8_t *p = a.rrs[i].rdata;
		char hex[2 * 48 + 1];

		if (a.rrs[i].len <= DIGEST_AT || a.rrs[i].len > DIGEST_AT + 48)
			return false;
		hex_write(p + DIGEST_AT, a.rrs[i].len - (size_t)DIGEST_AT, hex);
		if (str_format(out->text[out->count++], DS_TEXT, "%u %u %u %s",
			    (unsigned)p[0] << 8 | p[1], p[2], p[3], hex) != RC_OK)
			return false;
	}
	qsort(out->text, out->count, DS_TEXT, by_text);
	return true;
}

static bool knotc(const char *conf, const char *const words[], size_t n)
{
	char *argv[16] = { "/usr/sbin/knotc", "-c", (char *)(uintptr_t)conf, "-b" };
	char said[SAID_MAX];

	for (size_t i = 0; i < n; i++)
		argv[4 + i] = (char *)(uintptr_t)words[i];
	return tool_run(argv, said, sizeof(said)) == 0;
}

static bool set_ds(const char *conf, const char *zone, const struct ds_set *set)
{
	const char *parent = strchr(zone, '.') + 1;
	char owner[DANE_NAME_MAX + 1];
	bool ok = str_format(owner, sizeof(owner), "%s.", zone) == RC_OK;

	ok = ok && knotc(conf, (const char *const[]){ "zone-begin", parent }, 2);
	(void)(ok && knotc(conf, (const char *const[]){ "zone-unset", parent, owner, "DS" }, 4));
	for (size_t i = 0; ok && i < set->count; i++) {
		char ds[DS_TEXT];
		char *save = NULL, *word[4];

		memcpy(ds, set->text[i], sizeof(ds));
		for (unsigned w = 0; w < 4; w++)
			word[w] = strtok_r(w ? NULL : ds, " ", &save);
		ok = knotc(conf,
			(const char *const[]){ "zone-set", parent, owner, LAB_DS_TTL, "DS", word[0],
				word[1], word[2], word[3] },
			9);
	}
	if (ok && knotc(conf, (const char *const[]){ "zone-commit", parent }, 2))
		return true;
	(void)knotc(conf, (const char *const[]){ "zone-abort", parent }, 2);
	return false;
}

/* The zone's own anchors, for those in the lab who do not start at the root. */
static bool write_anchors(const char *lab, const char *zone, const struct ds_set *set)
{
	char path[PATH_MAX], text[DS_MAX * (DANE_NAME_MAX + DS_TEXT)];
	size_t len = 0;
	enum rc rc = str_format(path, sizeof(path), "%s/trust-anchor.ds", lab);

	for (size_t i = 0; rc == RC_OK && i < set->count; i++) {
		rc = str_format(
			text + len, sizeof(text) - len, "%s. IN DS %s\n", zone, set->text[i]);
		len += rc == RC_OK ? strlen(text + len) : 0;
	}
	return rc == RC_OK && file_write_atomic(path, text, len, 0644, NULL) == RC_OK;
}

int lab_keep_ds(struct cli *cli)
{
	char dir[PATH_MAX], conf[PATH_MAX];
	struct ds_set there = { 0 }, wanted;
	struct resolver r;
	struct dane *dane = NULL;
	int code = EXIT_USAGE;

	if (str_format(dir, sizeof(dir), "%s/resolver", cli->args[0]) == RC_OK &&
		str_format(conf, sizeof(conf), "%s/parent/knot.conf", cli->args[0]) == RC_OK)
		code = resolver_open(cli, dir, &r);
	if (code == EXIT_DONE)
		code = resolver_dane(&r, &dane);
	while (code == EXIT_DONE) {
		if (read_cds(dane, r.zone, &wanted) &&
			memcmp(&wanted, &there, sizeof(there)) != 0 &&
			set_ds(conf, r.zone, &wanted) &&
			write_anchors(cli->args[0], r.zone, &wanted)) {
			there = wanted;
			printf("DS set count=%zu\n", there.count);
			(void)fflush(stdout);
		}
		(void)sleep(LOOK_S);
	}
	dane_free(dane);
	return code;
}
