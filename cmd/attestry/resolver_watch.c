/* SPDX-License-Identifier: Apache-2.0 */
/* attestry resolver watch and expect: the same looks again and again, with Unbound's own counts;
 * and one device's records as it should find them. */
#include "resolver.h"

#include "base/file.h"
#include "base/str.h"
#include "tool.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define STATS_MAX   65536
#define EVERY_S	    30
#define METRICS_MAX 4096

/* ---- watch ---- */

/* What Unbound counts (unbound-control(8)) and what it is called here. */
static const struct {
	const char *theirs, *ours;
} counts[] = {
	{ "total.num.queries", "queries" },
	{ "total.num.cachehits", "cache_hits" },
	{ "num.query.tls", "queries_tls" },
	{ "num.answer.secure", "answers_secure" },
	{ "num.answer.bogus", "answers_bogus" },
	{ "num.answer.rcode.SERVFAIL", "answers_servfail" },
	{ "unwanted.replies", "unwanted_replies" },
};

static void add_counts(const struct resolver *r, json_t *round)
{
	char conf[PATH_MAX];
	char *argv[] = { "/usr/sbin/unbound-control", "-c", conf, "stats_noreset", NULL };
	char *text = malloc(STATS_MAX), *line, *save = NULL;
	struct diag d = { 0 };

	if (!text || resolver_path(r, "unbound.conf", conf, &d) != RC_OK ||
		tool_run(argv, text, STATS_MAX) != 0) {
		free(text);
		return;
	}
	for (line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		char *eq = strchr(line, '=');
		uint64_t v;

		if (!eq || u64_read(eq + 1, 0, INT64_MAX, &v) != RC_OK)
			continue;
		*eq = '\0';
		for (size_t i = 0; i < ARRAY_LEN(counts); i++)
			if (strcmp(line, counts[i].theirs) == 0)
				json_object_set_new(
					round, counts[i].ours, json_integer((json_int_t)v));
	}
	free(text);
}

/* How far its zone is behind the one that this registry serves. */
static void add_lag(struct cli *cli, const struct resolver *r, json_t *round)
{
	json_t *health = NULL;
	json_int_t serial = json_integer_value(json_object_get(round, "serial"));

	if (!r->registry || serial == 0 ||
		cli_call(cli, "GET", NULL, &health, "/v1/health") != EXIT_DONE)
		return;
	json_object_set_new(round, "serials_behind",
		json_integer(
			(int32_t)((uint32_t)json_integer_value(json_object_get(health, "serial")) -
				  (uint32_t)serial)));
	json_decref(health);
}

static json_t *one_round(struct cli *cli, struct resolver *r, bool *ok)
{
	struct looks l;
	struct seen seen;
	json_t *bad = json_array(), *round, *item;
	size_t i;

	looks_begin(&l, cli);
	resolver_look_outside(r, &l, &seen);
	json_array_foreach(l.list, i, item) if (!json_is_true(json_object_get(item, "ok")))
		json_array_append(bad, json_object_get(item, "detail"));
	*ok = l.bad == 0;
	round = json_pack("{s:I,s:b,s:i,s:I,s:o}", "time", (json_int_t)time(NULL), "ok", *ok, "ms",
		(int)seen.ms, "serial", (json_int_t)seen.serial, "bad", bad);
	json_decref(l.list);
	add_lag(cli, r, round);
	add_counts(r, round);
	return round;
}

static enum rc write_metrics(const char *path, json_t *round, struct diag *d)
{
	char text[METRICS_MAX];
	const char *key;
	json_t *value;
	size_t len = 0;
	enum rc rc = RC_OK;

	json_object_foreach(round, key, value)
	{
		if (rc != RC_OK || !(json_is_integer(value) || json_is_boolean(value)))
			continue;
		rc = str_format(text + len, sizeof(text) - len, "attestry_resolver_%s %lld\n", key,
			json_is_integer(value) ? (long long)json_integer_value(value)
					       : (long long)json_is_true(value));
		len += strlen(text + len);
	}
	return rc == RC_OK ? file_write_atomic(path, text, len, 0644, d) : rc;
}

static void say_round(const struct cli *cli, json_t *round)
{
	json_t *item;
	size_t i;

	if (cli->json) {
		char *text = json_dumps(round, JSON_COMPACT);

		printf("%s\n", text ? text : "");
		free(text);
	} else {
		printf("%s  %lld ms  serial %lld  bogus %lld\n",
			json_is_true(json_object_get(round, "ok")) ? "ok " : "BAD",
			(long long)json_integer_value(json_object_get(round, "ms")),
			(long long)json_integer_value(json_object_get(round, "serial")),
			(long long)json_integer_value(json_object_get(round, "answers_bogus")));
		json_array_foreach(json_object_get(round, "bad"), i, item)
			printf("     %s\n", json_string_value(item));
	}
	(void)fflush(stdout);
}

int resolver_watch(struct cli *cli)
{
	const char *metrics = cli_opt(cli, "metrics");
	uint64_t every = EVERY_S, count = UINT64_MAX;
	struct resolver r;
	struct diag d = { 0 };
	bool ok = true;
	int code;

	if ((cli_opt(cli, "every") && u64_read(cli_opt(cli, "every"), 1, 86400, &every) != RC_OK) ||
		(cli_opt(cli, "count") &&
			u64_read(cli_opt(cli, "count"), 1, UINT32_MAX, &count) != RC_OK))
		return cli_usage(cli, "--every: 1 to 86400 seconds; --count: 1 or more");
	code = resolver_open(cli, cli->arg_count ? cli->args[0] : NULL, &r);
	for (uint64_t i = 0; code == EXIT_DONE && i < count; i++) {
		json_t *round;

		if (i > 0)
			(void)sleep((unsigned)every);
		round = one_round(cli, &r, &ok);
		say_round(cli, round);
		if (metrics && write_metrics(metrics, round, &d) != RC_OK)
			code = cli_error(EXIT_USAGE, "%s", d.text);
		json_decref(round);
	}
	resolver_close(&r);
	return code == EXIT_DONE && !ok ? EXIT_REFUSED : code;
}

/* ---- expect ---- */

struct expected {
	char name[DANE_NAME_MAX]; /* in the DNS */
	char state[32];
	bool there;
	uint8_t cert[32];
};

static int ask_profile(struct cli *cli, struct expected *e)
{
	char name[64];
	json_t *answer = NULL;
	const json_t *p, *cert;
	const char *owner, *hash, *state;
	size_t len = 0;
	int code = cli_profile_name(cli, cli->args[0], name);

	if (code == EXIT_DONE)
		code = cli_call(cli, "GET", NULL, &answer, "/v1/profiles/%s", name);
	if (code != EXIT_DONE)
		return code;
	p = json_object_get(answer, "profile");
	cert = json_object_get(p, "certificate");
	owner = json_string_value(json_object_get(p, "owner_name"));
	state = json_string_value(json_object_get(p, "state"));
	hash = json_string_value(json_object_get(cert, "sha256"));
	e->there = state && strcmp(state, "activated") == 0;
	if (!owner || !state || str_copy(e->name, sizeof(e->name), owner) != RC_OK ||
		str_copy(e->state, sizeof(e->state), state) != RC_OK ||
		(e->there && (!hash || b64_read(hash, strlen(hash), e->cert, sizeof(e->cert),
					       &len) != RC_OK)))
		code = cli_error(EXIT_USAGE, "the registry's answer has no owner name or state");
	json_decref(answer);
	return code;
}

static void say_how(const struct cli *cli, const struct resolver *r)
{
	json_t *line;
	size_t i;

	if (cli->json)
		return;
	printf("ask      %s port %d, TLS name %s\n", r->addr, r->port, r->name);
	for (i = 0; i < r->pins; i++)
		printf("pin      %s\n", r->pin[i]);
	json_array_foreach(r->anchors, i, line) printf("anchor   %s\n", json_string_value(line));
}

static bool has_cert(const struct dane_answer *a, const uint8_t sha256[32])
{
	for (size_t i = 0; i < a->n_rrs; i++)
		if (dane_cert_match(&a->rrs[i], sha256))
			return true;
	return false;
}

int resolver_expect(struct cli *cli)
{
	static struct dane_answer a;
	struct resolver r;
	struct expected e = { 0 };
	struct dane *dane = NULL;
	char hex[65], want[160], seen[64 + DIAG_TEXT_MAX];
	bool as_expected;
	int code = resolver_open(cli, cli->arg_count > 1 ? cli->args[1] : NULL, &r);

	if (code == EXIT_DONE)
		code = ask_profile(cli, &e);
	if (code == EXIT_DONE)
		code = resolver_dane(&r, &dane);
	if (code != EXIT_DONE)
		goto out;
	dane_lookup(dane, e.name, DANE_TYPE_CERT, &a);
	as_expected = e.there ? a.status == DANE_SECURE && has_cert(&a, e.cert)
			      : a.status == DANE_NXDOMAIN || a.status == DANE_NODATA;
	hex_write(e.cert, sizeof(e.cert), hex);
	if (str_format(want, sizeof(want), "%s%s",
		    e.there ? "secure, CERT 1 1 0 " : "nxdomain, proved",
		    e.there ? hex : "") != RC_OK ||
		str_format(seen, sizeof(seen), "%s, for %u s more (%s)", dane_status_text(a.status),
			a.ttl_s, a.why) != RC_OK)
		want[0] = seen[0] = '\0';
	say_how(cli, &r);
	if (cli->json) {
		json_t *doc = json_pack("{s:s,s:s,s:s,s:s,s:i,s:b}", "name", e.name, "state",
			e.state, "expected", want, "seen", dane_status_text(a.status), "ttl",
			(int)a.ttl_s, "ok", as_expected);
		out_json(doc);
		json_decref(doc);
	} else {
		printf("name     %s, %s\nexpect   %s\nseen     %s\n", e.name, e.state, want, seen);
	}
	if (!as_expected)
		code = cli_error(EXIT_REFUSED, "a device does not see what the registry says");
out:
	dane_free(dane);
	resolver_close(&r);
	return code;
}
