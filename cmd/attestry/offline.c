/* SPDX-License-Identifier: Apache-2.0 */
/* attestry zone offline-*: a KSK that lives on another machine. There it is made and signs what
 * this one asks for; here what it signed is checked and put where role keys finds it. */
#include "cli.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/str.h"
#include "ca/zonekeys.h"
#include "role/config.h"
#include "role/keys_token.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define SPAN_DAYS  14
#define DAYS_MAX   730
#define DAY	   86400
#define SKEW	   3600
#define SPARES_MAX 12

static int failed(enum rc rc, const struct diag *d)
{
	return cli_error(rc == RC_NOT_FOUND || rc == RC_IO ? EXIT_USAGE : EXIT_REFUSED, "%s",
		d->text[0] ? d->text : rc_text(rc));
}

/* ---- on the machine without a network ---- */

static int run_key(struct cli *cli)
{
	const char *zone = cli_opt(cli, "zone"), *alg_text = cli_opt(cli, "algorithm");
	enum ca_alg alg = CA_P256;
	struct ca_dnskey key = { 0 }, pub;
	struct ca_zone_public p;
	uint8_t apex[CA_NAME_WIRE_MAX];
	char path[PATH_MAX], hex[2 * CA_SHA256_LEN + 1];
	struct diag d = { 0 };
	size_t apex_len = 0;
	enum rc rc;

	if (!zone)
		return cli_usage(cli, "--zone ZONE is missing");
	if (alg_text && !ca_alg_of_text(alg_text, &alg))
		return cli_usage(cli, "--algorithm: ed25519 or ecdsap256sha256");
	rc = ca_name_to_wire(zone, apex, &apex_len, &d);
	if (rc == RC_OK)
		rc = ca_dnskey_new(&key, alg, &d);
	if (rc == RC_OK)
		rc = ca_zone_public_of(&p, apex, apex_len, &key, true, &d);
	if (rc == RC_OK)
		rc = ca_dnskey_store(&key, cli->args[0], &d);
	if (rc == RC_OK)
		rc = str_format(path, sizeof(path), "%s.pub", cli->args[0]);
	pub = key;
	pub.where = CA_KEY_OFFLINE;
	if (rc == RC_OK)
		rc = ca_dnskey_store(&pub, path, &d);
	ca_dnskey_free(&key);
	if (rc != RC_OK)
		return failed(rc, &d);
	hex_write(p.ds_sha256, CA_SHA256_LEN, hex);
	if (cli->json)
		printf("{\"key\":\"%s\",\"public\":\"%s\",\"ds\":\"%u %u 2 %s\"}\n", cli->args[0],
			path, p.tag, ca_alg_number(alg), hex);
	else
		printf("key     %s (keep it here)\npublic  %s (for offline-request)\n"
		       "DS      %s. IN DS %u %u 2 %s\n",
			cli->args[0], path, zone, p.tag, ca_alg_number(alg), hex);
	return EXIT_DONE;
}

static enum rc read_sets(const char *path, struct ca_presigned **out, struct diag *d)
{
	uint8_t *text = NULL;
	size_t len = 0;
	enum rc rc = file_read(path, CA_PRESIGNED_FILE_MAX, &text, &len, d);

	if (rc == RC_OK) {
		rc = ca_presigned_parse(out, (const char *)text, len, d);
		if (rc != RC_OK)
			diag_prefix(d, path);
	}
	free(text);
	return rc;
}

static void put_date(char out[32], int64_t when)
{
	time_t t = (time_t)when;
	struct tm tm;

	if (!gmtime_r(&t, &tm) || strftime(out, 32, "%Y-%m-%d", &tm) == 0)
		out[0] = '\0';
}

/* What somebody with the key in hand wants to see before it signs: to standard error. */
static void say_request(const struct ca_presigned *p)
{
	char from[32] = "", to[32] = "";

	if (p->span_count) {
		put_date(from, p->spans[0].from);
		put_date(to, p->spans[p->span_count - 1].to);
	}
	fprintf(stderr, "zone %s, KSK %u, TTL %u, %zu spans from %s to %s\n", p->zone, p->tag,
		p->ttl, p->span_count, from, to);
	for (size_t i = 0; i < p->set_count; i++) {
		const struct ca_presigned_set *s = &p->sets[i];

		fprintf(stderr, "  %s",
			s->type == CA_RR_DNSKEY ? "DNSKEY"
			: s->type == CA_RR_CDS	? "CDS   "
						: "CDNSKEY");
		for (size_t k = 0; k < s->count; k++) {
			const uint8_t *r = s->rdata[k].at;

			if (s->type == CA_RR_CDS)
				fprintf(stderr, " %u", (unsigned)(r[0] << 8 | r[1]));
			else
				fprintf(stderr, " %s %u", r[1] & 1 ? "KSK" : "ZSK",
					ca_key_tag(r, s->rdata[k].len));
		}
		fputc('\n', stderr);
	}
}

static int put_text(struct cli *cli, const struct ca_presigned *p)
{
	const char *path = cli_opt(cli, "out");
	char *text = NULL;
	struct diag d = { 0 };
	size_t len = 0;
	enum rc rc = ca_presigned_text(p, &text, &len);

	if (rc == RC_OK && path)
		rc = file_write_atomic(path, text, len, 0644, &d);
	else if (rc == RC_OK && (fwrite(text, 1, len, stdout) != len || fflush(stdout) != 0))
		rc = diag_errno(&d, RC_IO, "standard output");
	free(text);
	return rc == RC_OK ? EXIT_DONE : failed(rc, &d);
}

static int run_sign(struct cli *cli)
{
	const char *key_path = cli_opt(cli, "key");
	struct ca_presigned *p = NULL;
	struct ca_dnskey key = { 0 };
	struct diag d = { 0 };
	int code = EXIT_DONE;
	enum rc rc;

	if (!key_path)
		return cli_usage(cli, "--key FILE is missing");
	rc = read_sets(cli->args[0], &p, &d);
	if (rc == RC_OK && p->span_count == 0)
		rc = diag_set(&d, RC_MALFORMED, "%s: no span: not a request", cli->args[0]);
	if (rc == RC_OK)
		rc = ca_presigned_check(p, &d);
	if (rc == RC_OK)
		rc = ca_dnskey_load(&key, key_path, NULL, &d);
	if (rc == RC_OK) {
		say_request(p);
		rc = ca_presigned_sign(p, &key, &d);
	}
	code = rc == RC_OK ? put_text(cli, p) : failed(rc, &d);
	ca_dnskey_free(&key);
	ca_presigned_unref(p);
	return code;
}

/* ---- on the registry's machine ---- */

/* A file in the folder of keys belongs to whom the folder belongs to. */
static enum rc give_to_keys(const char *folder, const char *path, struct diag *d)
{
	struct stat st;

	if (geteuid() != 0)
		return RC_OK;
	if (stat(folder, &st) != 0 || chown(path, st.st_uid, st.st_gid) != 0)
		return diag_errno(d, RC_IO, "%s", path);
	return RC_OK;
}

struct zsks {
	struct {
		uint8_t rdata[CA_DNSKEY_LEN];
		size_t len;
	} at[CA_ZONE_KEYS_MAX + CA_SPARE_MAX];
	size_t count;
};

static void add_zsk(struct zsks *z, const struct ca_dnskey *key)
{
	if (z->count < ARRAY_LEN(z->at)) {
		z->at[z->count].len = ca_dnskey_rdata(key, false, z->at[z->count].rdata);
		z->count++;
	}
}

/* The ZSKs in the order in which they will sign: those of the set, then `want` spares; what is
 * missing of these is made now. */
static enum rc gather_zsks(const struct config *c, const struct ca_zone_keys *s, unsigned want,
	struct zsks *out, struct diag *d)
{
	static const enum ca_zone_key_state order[] = { CA_KEY_RETIRED, CA_KEY_RETIRING,
		CA_KEY_ACTIVE, CA_KEY_READY, CA_KEY_PUBLISHED };
	enum rc rc = RC_OK;

	for (size_t o = 0; o < ARRAY_LEN(order); o++)
		for (size_t i = 0; i < s->count; i++)
			if (!s->key[i].pub.ksk && s->key[i].state == order[o])
				add_zsk(out, &s->key[i].key);
	for (unsigned i = 1; rc == RC_OK && i <= want; i++) {
		char path[PATH_MAX], name[CA_ZONE_KEY_FILE_MAX];
		struct ca_dnskey key = { 0 };

		rc = str_format(name, sizeof(name), CA_SPARE_FORM, i);
		if (rc == RC_OK)
			rc = str_format(path, sizeof(path), "%s/%s", c->keys.folder, name);
		if (rc == RC_OK && access(path, F_OK) == 0) {
			rc = ca_dnskey_load(&key, path, s->token.token, d);
		} else if (rc == RC_OK) {
			rc = ca_zone_key_new(&key, s, false, d);
			if (rc == RC_OK)
				rc = ca_dnskey_store(&key, path, d);
			if (rc == RC_OK)
				rc = give_to_keys(c->keys.folder, path, d);
		}
		if (rc == RC_OK)
			add_zsk(out, &key);
		ca_dnskey_free(&key);
	}
	return rc;
}

static enum rc add_ksk(
	const struct ca_presigned *p, struct ca_presigned_set *set, const struct ca_dnskey *k)
{
	uint8_t ds[4 + CA_SHA256_LEN];
	struct ca_zone_public pub;
	enum rc rc = ca_zone_public_of(&pub, p->apex, p->apex_len, k, true, NULL);

	if (rc != RC_OK || set->type != CA_RR_CDS)
		return rc != RC_OK ? rc : ca_presigned_add_rdata(set, pub.rdata, pub.rdata_len);
	ds[0] = (uint8_t)(pub.tag >> 8);
	ds[1] = (uint8_t)pub.tag;
	ds[2] = (uint8_t)ca_alg_number(k->alg);
	ds[3] = 2;
	memcpy(ds + 4, pub.ds_sha256, CA_SHA256_LEN);
	return ca_presigned_add_rdata(set, ds, sizeof(ds));
}

/* KSKs that may stand beside the one that signs: those of the set, for as long as its own rollover
 * takes, and the one that shall follow it. */
struct ksks {
	const struct ca_dnskey *at[CA_ZONE_KEYS_MAX + 1];
	size_t count;
};

static enum rc add_ksks(
	const struct ca_presigned *p, struct ca_presigned_set *set, const struct ksks *others)
{
	enum rc rc = add_ksk(p, set, &p->ksk);

	for (size_t i = 0; rc == RC_OK && i < others->count; i++)
		rc = add_ksk(p, set, others->at[i]);
	return rc;
}

/* DNSKEY with each ZSK alone and with its successor; CDS and CDNSKEY. */
static enum rc add_sets(struct ca_presigned *p, const struct zsks *z, const struct ksks *others)
{
	enum rc rc = RC_OK;

	for (size_t i = 0; i < z->count; i++)
		for (size_t both = 0; rc == RC_OK && both < 2 && i + both < z->count; both++) {
			struct ca_presigned_set *set = ca_presigned_add_set(p, CA_RR_DNSKEY);

			rc = set ? add_ksks(p, set, others) : RC_TOO_LARGE;
			for (size_t k = i; rc == RC_OK && k <= i + both; k++)
				rc = ca_presigned_add_rdata(set, z->at[k].rdata, z->at[k].len);
		}
	for (unsigned type = CA_RR_CDS; rc == RC_OK && type <= CA_RR_CDNSKEY; type++) {
		struct ca_presigned_set *set = ca_presigned_add_set(p, (uint16_t)type);

		rc = set ? add_ksks(p, set, others) : RC_TOO_LARGE;
	}
	return rc;
}

static void gather_ksks(const struct ca_zone_keys *s, const struct ca_presigned *p,
	const struct ca_dnskey *next, struct ksks *out)
{
	for (size_t i = 0; i < s->count; i++)
		if (s->key[i].pub.ksk && s->key[i].pub.tag != p->tag)
			out->at[out->count++] = &s->key[i].key;
	if (next->pub_len)
		out->at[out->count++] = next;
}

/* --next: the public part of another off-line KSK, or one that is made here now. */
static enum rc next_ksk(struct cli *cli, const struct config *c, const struct ca_zone_keys *s,
	struct ca_dnskey *out, struct diag *d)
{
	const char *next = cli_opt(cli, "next");
	char path[PATH_MAX];
	enum rc rc;

	if (!next)
		return RC_OK;
	rc = str_format(path, sizeof(path), "%s/" CA_NEXT_KSK, c->keys.folder);
	if (rc == RC_OK)
		rc = strcmp(next, "online") == 0 ? ca_zone_key_new(out, s, true, d)
						 : ca_dnskey_load(out, next, NULL, d);
	if (rc == RC_OK && strcmp(next, "online") != 0 && out->where != CA_KEY_OFFLINE)
		rc = diag_set(d, RC_DENIED, "%s: a private key: give its .pub", next);
	if (rc == RC_OK)
		(void)unlink(path);
	if (rc == RC_OK)
		rc = ca_dnskey_store(out, path, d);
	return rc == RC_OK ? give_to_keys(c->keys.folder, path, d) : rc;
}

static void add_spans(struct ca_presigned *p, int64_t now, int64_t days)
{
	/* Each begins when the one before is at half: a span that is missed costs nothing. */
	for (int64_t at = now - SKEW; at < now + days * DAY && p->span_count < CA_PRESIGNED_SPANS;
		at += SPAN_DAYS * DAY / 2) {
		p->spans[p->span_count].from = (uint32_t)at;
		p->spans[p->span_count++].to = (uint32_t)(at + SPAN_DAYS * (int64_t)DAY);
	}
}

static enum rc build(struct cli *cli, const struct config *c, const struct ca_zone_keys *s,
	struct ca_presigned *p, uint64_t days, uint64_t spares, struct diag *d)
{
	const char *path = cli_opt(cli, "ksk");
	struct zsks z = { .count = 0 };
	struct ksks others = { .count = 0 };
	struct ca_dnskey next = { 0 };
	enum rc rc = str_copy(p->zone, sizeof(p->zone), c->registry.zone);

	memcpy(p->apex, s->zone.apex, sizeof(p->apex));
	p->apex_len = s->zone.apex_len;
	p->ttl = (uint32_t)c->zone.ttl_s;
	if (rc == RC_OK && path)
		rc = ca_dnskey_load(&p->ksk, path, NULL, d);
	else if (rc == RC_OK && ca_zone_keys_offline(s))
		p->ksk = s->zone.sign[s->zone.alg][true];
	else if (rc == RC_OK)
		rc = diag_set(d, RC_RANGE, "--ksk FILE.pub is missing: no KSK is off-line yet");
	if (rc == RC_OK && p->ksk.where != CA_KEY_OFFLINE)
		rc = diag_set(d, RC_DENIED, "%s: a private key: give its .pub", path ? path : "");
	if (rc == RC_OK && p->ksk.alg != s->zone.alg)
		rc = diag_set(d, RC_CONFLICT, "%s: of another algorithm than the zone's", path);
	if (rc == RC_OK) {
		uint8_t rdata[CA_DNSKEY_LEN];

		p->tag = ca_key_tag(rdata, ca_dnskey_rdata(&p->ksk, true, rdata));
		rc = gather_zsks(c, s, (unsigned)spares, &z, d);
	}
	if (rc == RC_OK)
		rc = next_ksk(cli, c, s, &next, d);
	if (rc == RC_OK)
		rc = add_sets(p, &z, &others);
	gather_ksks(s, p, &next, &others);
	if (rc == RC_OK && others.count > 0)
		rc = add_sets(p, &z, &others);
	ca_dnskey_free(&next);
	add_spans(p, clock_system()->unix_s(clock_system()), (int64_t)days);
	return rc;
}

/* The registry's settings and keys as they stand in its folder. */
static enum rc open_keys(const char *config_path, struct config *c, struct ca_token **token,
	struct ca_zone_keys **keys, struct diag *d)
{
	struct ca_keyring_token t;
	struct ca_zone_token zt = { 0 };
	enum rc rc = config_read(config_path, c, d);

	if (rc == RC_OK)
		rc = config_token(c, &t, d);
	if (rc == RC_OK && t.opts.module)
		rc = ca_token_open(token, &t.opts, d);
	if (rc != RC_OK)
		return rc;
	zt.token = *token;
	memcpy(zt.makes, t.makes, sizeof(zt.makes));
	return ca_zone_keys_load_with(keys, c->keys.folder, c->registry.zone, &zt, d);
}

static int run_request(struct cli *cli)
{
	const char *days_text = cli_opt(cli, "days"), *spares_text = cli_opt(cli, "zsks");
	uint64_t days = 180, spares = 2;
	struct ca_presigned *p = ca_presigned_new();
	struct ca_zone_keys *keys = NULL;
	struct ca_token *token = NULL;
	struct config config = { 0 };
	char path[PATH_MAX];
	struct diag d = { 0 };
	int code;
	enum rc rc = p ? RC_OK : RC_NOMEM;

	if (!cli_config_path(cli, path))
		return cli_usage(cli, "--dir DIR is missing (or --lab)");
	if (days_text && u64_read(days_text, 1, DAYS_MAX, &days) != RC_OK)
		return cli_usage(cli, "--days: 1 to %d", DAYS_MAX);
	if (spares_text && u64_read(spares_text, 0, SPARES_MAX, &spares) != RC_OK)
		return cli_usage(cli, "--zsks: 0 to %d", SPARES_MAX);
	if (rc == RC_OK)
		rc = open_keys(path, &config, &token, &keys, &d);
	if (rc == RC_OK)
		rc = build(cli, &config, keys, p, days, spares, &d);
	code = rc == RC_OK ? put_text(cli, p) : failed(rc, &d);
	ca_zone_keys_unref(keys);
	ca_token_close(token);
	config_free(&config);
	ca_presigned_unref(p);
	return code;
}

static enum rc check_import(
	const struct config *c, const struct ca_presigned *p, int64_t now, struct diag *d)
{
	uint32_t from, next, end;

	if (strcmp(p->zone, c->registry.zone) != 0)
		return diag_set(d, RC_CONFLICT, "zone: %s, not %s", p->zone, c->registry.zone);
	if (p->ttl != (uint32_t)c->zone.ttl_s)
		return diag_set(d, RC_CONFLICT,
			"ttl: %u, but [zone] ttl is %lld: signatures cover the TTL", p->ttl,
			(long long)c->zone.ttl_s);
	for (size_t i = 0; i < p->set_count; i++)
		if (p->sets[i].sig_count == 0)
			return diag_set(d, RC_MALFORMED,
				"set %zu has no signature: a request, not what the KSK made of it",
				i + 1);
	ca_presigned_times(p, now, &from, &next, &end);
	if (end <= now || (from == 0 && next == 0))
		return diag_set(d, RC_RANGE, "all its signatures have ended");
	return ca_presigned_verify(p, d);
}

/* The public key becomes the next KSK's when the zone does not have it yet. */
static enum rc put_ksk(const struct config *c, const struct ca_zone_keys *s,
	const struct ca_presigned *p, bool *is_new, struct diag *d)
{
	char path[PATH_MAX];
	enum rc rc;

	*is_new = true;
	for (size_t i = 0; i < s->count; i++)
		if (s->key[i].pub.ksk && s->key[i].pub.tag == p->tag)
			*is_new = false;
	if (!*is_new)
		return RC_OK;
	rc = str_format(path, sizeof(path), "%s/" CA_NEXT_KSK, c->keys.folder);
	if (rc == RC_OK)
		(void)unlink(path);
	if (rc == RC_OK)
		rc = ca_dnskey_store(&p->ksk, path, d);
	return rc == RC_OK ? give_to_keys(c->keys.folder, path, d) : rc;
}

static enum rc put_sets(const struct config *c, const struct ca_presigned *p, struct diag *d)
{
	char path[PATH_MAX];
	char *text = NULL;
	size_t len = 0;
	enum rc rc = str_format(path, sizeof(path), "%s/" CA_PRESIGNED_FILE, c->keys.folder);

	if (rc == RC_OK)
		rc = ca_presigned_text(p, &text, &len);
	if (rc == RC_OK)
		rc = file_write_atomic(path, text, len, 0600, d);
	free(text);
	return rc == RC_OK ? give_to_keys(c->keys.folder, path, d) : rc;
}

static void say_import(struct cli *cli, const struct ca_presigned *p, bool is_new, int64_t now)
{
	uint32_t from, next, end;
	char until[32];

	ca_presigned_times(p, now, &from, &next, &end);
	put_date(until, end);
	if (cli->json)
		printf("{\"ksk\":%u,\"sets\":%zu,\"end\":%u,\"new_ksk\":%s}\n", p->tag,
			p->set_count, end, is_new ? "true" : "false");
	else
		printf("KSK %u: %zu sets, signed until %s\n%s", p->tag, p->set_count, until,
			is_new ? "next: attestry zone roll ksk\n" : "");
}

static int run_import(struct cli *cli)
{
	int64_t now = clock_system()->unix_s(clock_system());
	struct ca_presigned *p = NULL;
	struct ca_zone_keys *keys = NULL;
	struct ca_token *token = NULL;
	struct config config = { 0 };
	char path[PATH_MAX];
	struct diag d = { 0 };
	bool is_new = false;
	enum rc rc;

	if (!cli_config_path(cli, path))
		return cli_usage(cli, "--dir DIR is missing (or --lab)");
	rc = open_keys(path, &config, &token, &keys, &d);
	if (rc == RC_OK)
		rc = read_sets(cli->args[0], &p, &d);
	if (rc == RC_OK)
		rc = check_import(&config, p, now, &d);
	if (rc == RC_OK)
		rc = put_sets(&config, p, &d);
	if (rc == RC_OK)
		rc = put_ksk(&config, keys, p, &is_new, &d);
	if (rc == RC_OK)
		say_import(cli, p, is_new, now);
	ca_presigned_unref(p);
	ca_zone_keys_unref(keys);
	ca_token_close(token);
	config_free(&config);
	return rc == RC_OK ? EXIT_DONE : failed(rc, &d);
}

const struct cmd offline_cmds[] = {
	{ "zone", "offline-key", "FILE", 1, 1, "", CMD_LOCAL, run_key,
		"on a machine without a network: make a KSK that stays there (FILE, and FILE.pub)",
		"attestry zone offline-key /media/safe/ksk --zone iot.example",
		{ { "zone", "ZONE", "the zone that it is for" },
			{ "algorithm", "ALGORITHM", "ecdsap256sha256 (default) or ed25519" } } },
	{ "zone", "offline-request", "", 0, 0, "", CMD_LOCAL, run_request,
		"write what an off-line KSK shall sign: DNSKEY, CDS and CDNSKEY sets for a time to "
		"come",
		"attestry zone offline-request --dir var --ksk ksk.pub --out request.txt",
		{ { "ksk", "FILE.pub", "its public key; not needed when it is the zone's already" },
			{ "days", "N", "for how long, 1 to 730; default 180" },
			{ "zsks", "N", "ZSK rollovers to make ready for, 0 to 12; default 2" },
			{ "next", "FILE.pub|online",
				"the KSK that shall follow: another off-line one, or one that is "
				"made here" },
			{ "out", "FILE", "instead of standard output" } } },
	{ "zone", "offline-sign", "REQUEST", 1, 1, "", CMD_LOCAL, run_sign,
		"on the machine with the KSK: look at a request and sign it",
		"attestry zone offline-sign request.txt --key /media/safe/ksk --out signed.txt",
		{ { "key", "FILE", "the KSK" }, { "out", "FILE", "instead of standard output" } } },
	{ "zone", "offline-import", "SIGNED", 1, 1, "", CMD_LOCAL, run_import,
		"check what the off-line KSK signed and use it from now on",
		"attestry zone offline-import signed.txt --dir var", { { 0 } } },
	{ 0 },
};
