/* SPDX-License-Identifier: Apache-2.0 */
/* attestry metrics, health, top: what attestryd writes to run/metrics.prom once a heartbeat, as it
 * is, over HTTP, judged, or live. A process of its own: the daemon opens no port for it. */
#include "cli.h"

#include "base/file.h"
#include "base/str.h"
#include "role/config.h"

#include <errno.h>
#include <event2/buffer.h>
#include <event2/event.h>
#include <event2/http.h>
#include <netdb.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define FILE_MAX     (1u << 20)
#define ROWS_MAX     1024
#define STALE_BEATS  5 /* heartbeats without a new file: nobody writes it any more */
#define PREFIX	     "attestry_"
#define CONTENT_TYPE "text/plain; version=0.0.4; charset=utf-8"

struct source {
	char path[PATH_MAX];
	double stale_s;
};

struct row {
	char name[64], role[64], of[64]; /* of: which one, or "" */
	double value;
};

struct sheet {
	struct row rows[ROWS_MAX];
	size_t count;
};

static int find_source(const struct cli *cli, struct source *out)
{
	struct config config = { 0 };
	struct diag d = { "" };
	char conf[PATH_MAX];
	enum rc rc;

	if (!cli_config_path(cli, conf))
		return cli_usage(cli, "--dir DIR is missing (or --lab)");
	rc = config_read(conf, &config, &d);
	if (rc == RC_OK)
		rc = str_format(out->path, sizeof(out->path), "%s/metrics.prom",
			config.supervisor.run_folder);
	out->stale_s = (double)config.supervisor.heartbeat_ms * STALE_BEATS / 1000.0;
	config_free(&config);
	return rc == RC_OK ? EXIT_DONE : cli_error(EXIT_USAGE, "%s", d.text);
}

/* NULL: there is none, or it is old: nothing runs. */
static char *read_fresh(const struct source *s, size_t *len)
{
	struct timespec now;
	uint8_t *text = NULL;
	struct stat st;
	double age;

	if (stat(s->path, &st) != 0 || clock_gettime(CLOCK_REALTIME, &now) != 0)
		return NULL;
	age = (double)(now.tv_sec - st.st_mtim.tv_sec) +
	      (double)(now.tv_nsec - st.st_mtim.tv_nsec) / 1e9;
	if (age > s->stale_s || file_read(s->path, FILE_MAX, &text, len, NULL) != RC_OK)
		return NULL;
	return (char *)text;
}

/* One line of our own writing: attestry_NAME{role="ROLE"} VALUE, or with name="OF" behind the role.
 */
static bool parse_row(const char *line, struct row *out)
{
	out->of[0] = '\0';
	return sscanf(line, PREFIX "%63[a-z0-9_]{role=\"%63[^\"]\"} %lf", out->name, out->role,
		       &out->value) == 3 ||
	       sscanf(line, PREFIX "%63[a-z0-9_]{role=\"%63[^\"]\",name=\"%63[^\"]\"} %lf",
		       out->name, out->role, out->of, &out->value) == 4;
}

static void parse_sheet(char *text, struct sheet *out)
{
	char *save = NULL;

	out->count = 0;
	for (char *line = strtok_r(text, "\n", &save); line && out->count < ROWS_MAX;
		line = strtok_r(NULL, "\n", &save)) {
		if (parse_row(line, &out->rows[out->count]))
			out->count++;
	}
}

static const struct row *find_row(const struct sheet *s, const char *name, const char *role)
{
	for (size_t i = 0; i < s->count; i++) {
		if (strcmp(s->rows[i].name, name) == 0 &&
			(!role || strcmp(s->rows[i].role, role) == 0))
			return &s->rows[i];
	}
	return NULL;
}

static double value_of(const struct sheet *s, const char *name, const char *role)
{
	const struct row *r = find_row(s, name, role);

	return r ? r->value : 0;
}

/* ---- health ------------------------------------------------------------------------------ */

struct verdict {
	bool known; /* the role asked for is one of this registry */
	bool ok;
	char why[256];
};

static void blame(struct verdict *v, const char *what, const char *role)
{
	size_t n = strlen(v->why);

	v->ok = false;
	snprintf(v->why + n, sizeof(v->why) - n, "%s%s %s", n ? ", " : "", role, what);
}

/* Of one role, or (NULL) of all and of what they need of each other. */
static struct verdict judge(const struct source *source, const char *role)
{
	struct verdict v = { .ok = true };
	struct sheet *s = calloc(1, sizeof(*s));
	size_t len = 0;
	char *text = read_fresh(source, &len);

	if (!text || !s) {
		v.known = true;
		blame(&v, "does not run", "attestryd");
		goto out;
	}
	parse_sheet(text, s);
	for (size_t i = 0; i < s->count; i++) {
		const struct row *r = &s->rows[i];

		if (role && strcmp(r->role, role) != 0)
			continue;
		if (strcmp(r->name, "up") == 0)
			v.known = true;
		if (strcmp(r->name, "up") == 0 && r->value < 1)
			blame(&v, "is down", r->role);
		if (strcmp(r->name, "database_connected") == 0 && r->value < 1)
			blame(&v, "has no database", r->role);
		if (strcmp(r->name, "zone_connected") == 0 && r->value < 1)
			blame(&v, "has no zone", r->role);
		if (strcmp(r->name, "keys_connected") == 0 && r->value < 1)
			blame(&v, "has no keys", r->role);
	}
out:
	free(text);
	free(s);
	return v;
}

static int run_health(struct cli *cli)
{
	const char *role = cli->arg_count ? cli->args[0] : NULL;
	struct source source = { .stale_s = 0 };
	struct verdict v;
	int code;

	/* From another machine there is only the API to ask. */
	if (!role && !cli->dir && !cli->lab)
		return registry_health(cli);
	code = find_source(cli, &source);
	if (code != EXIT_DONE)
		return code;
	v = judge(&source, role);
	if (!v.known)
		return cli_error(EXIT_USAGE, "no role %s", role);
	if (cli->json) {
		json_t *json = json_pack("{s:b,s:s}", "ok", v.ok, "why", v.why);

		out_json(json);
		json_decref(json);
		return v.ok ? EXIT_DONE : EXIT_REFUSED;
	}
	printf("%s\n", v.ok ? "ok" : v.why);
	return v.ok ? EXIT_DONE : EXIT_REFUSED;
}

/* ---- metrics ----------------------------------------------------------------------------- */

static void answer(struct evhttp_request *req, int status, const char *text, size_t len)
{
	struct evbuffer *body = evbuffer_new();

	evhttp_add_header(evhttp_request_get_output_headers(req), "Content-Type", CONTENT_TYPE);
	if (body && evbuffer_add(body, text, len) == 0)
		evhttp_send_reply(req, status, NULL, body);
	else
		evhttp_send_error(req, HTTP_INTERNAL, NULL);
	if (body)
		evbuffer_free(body);
}

static void on_metrics(struct evhttp_request *req, void *user)
{
	size_t len = 0;
	char *text = read_fresh(user, &len);

	if (text)
		answer(req, HTTP_OK, text, len);
	else
		answer(req, HTTP_SERVUNAVAIL, "attestryd does not run\n", 23);
	free(text);
}

/* /healthz of all, /healthz/ROLE of one ("dns/0" as it is). */
static void on_other(struct evhttp_request *req, void *user)
{
	static const char base[] = "/healthz";
	const struct evhttp_uri *uri = evhttp_request_get_evhttp_uri(req);
	const char *path = uri ? evhttp_uri_get_path(uri) : NULL;
	const char *rest =
		path && strncmp(path, base, sizeof(base) - 1) == 0 ? path + sizeof(base) - 1 : NULL;
	struct verdict v;

	if (!rest || (*rest && *rest != '/')) {
		evhttp_send_error(req, HTTP_NOTFOUND, NULL);
		return;
	}
	v = judge(user, rest[0] && rest[1] ? rest + 1 : NULL);
	if (!v.known)
		evhttp_send_error(req, HTTP_NOTFOUND, NULL);
	else if (v.ok)
		answer(req, HTTP_OK, "ok\n", 3);
	else
		answer(req, HTTP_SERVUNAVAIL, v.why, strlen(v.why));
}

static void on_signal(evutil_socket_t sig ATT_UNUSED, short what ATT_UNUSED, void *user)
{
	event_base_loopbreak(user);
}

/* "127.0.0.1:9464", "[::1]:9464". */
static bool split_address(const char *text, char host[64], uint16_t *port)
{
	const char *colon = strrchr(text, ':');
	size_t len = colon ? (size_t)(colon - text) : 0;
	uint64_t number;

	if (!colon || u64_read(colon + 1, 0, UINT16_MAX, &number) != RC_OK)
		return false;
	if (len > 1 && text[0] == '[' && text[len - 1] == ']') {
		text++;
		len -= 2;
	}
	if (len == 0 || len >= 64)
		return false;
	memcpy(host, text, len);
	host[len] = '\0';
	*port = (uint16_t)number;
	return true;
}

static bool say_port(struct evhttp_bound_socket *bound)
{
	struct sockaddr_storage sa;
	socklen_t len = sizeof(sa);
	char host[64], port[16];

	if (getsockname(evhttp_bound_socket_get_fd(bound), (struct sockaddr *)&sa, &len) != 0 ||
		getnameinfo((struct sockaddr *)&sa, len, host, sizeof(host), port, sizeof(port),
			NI_NUMERICHOST | NI_NUMERICSERV) != 0)
		return false;
	printf("serving http://%s:%s/metrics and /healthz\n", host, port);
	fflush(stdout);
	return true;
}

static int serve(const struct cli *cli, struct source *source, const char *address)
{
	struct event_base *base = event_base_new();
	struct evhttp *http = base ? evhttp_new(base) : NULL;
	struct event *stop = base ? evsignal_new(base, SIGTERM, on_signal, base) : NULL;
	struct evhttp_bound_socket *bound = NULL;
	char host[64];
	uint16_t port = 0;
	int code = EXIT_UNAVAILABLE;

	if (!split_address(address, host, &port)) {
		code = cli_usage(cli, "--listen: not ADDRESS:PORT");
		goto out;
	}
	if (http && stop) {
		evhttp_set_allowed_methods(http, EVHTTP_REQ_GET | EVHTTP_REQ_HEAD);
		evhttp_set_max_body_size(http, 0);
		evhttp_set_max_headers_size(http, 8192);
		evhttp_set_timeout(http, 10);
		evhttp_set_cb(http, "/metrics", on_metrics, source);
		evhttp_set_gencb(http, on_other, source);
		bound = evhttp_bind_socket_with_handle(http, host, port);
	}
	if (!bound || event_add(stop, NULL) != 0 || !say_port(bound)) {
		cli_error(code, "%s: %s", address, strerror(errno));
		goto out;
	}
	event_base_dispatch(base);
	code = EXIT_DONE;
out:
	if (stop)
		event_free(stop);
	if (http)
		evhttp_free(http);
	if (base)
		event_base_free(base);
	return code;
}

static int run_metrics(struct cli *cli)
{
	const char *address = cli_opt(cli, "listen");
	struct source source = { .stale_s = 0 };
	size_t len = 0;
	char *text;
	int code = find_source(cli, &source);

	if (code != EXIT_DONE)
		return code;
	if (address)
		return serve(cli, &source, address);
	text = read_fresh(&source, &len);
	if (!text)
		return cli_error(EXIT_UNAVAILABLE, "attestryd does not run");
	fwrite(text, 1, len, stdout);
	free(text);
	return EXIT_DONE;
}

/* ---- top --------------------------------------------------------------------------------- */

static double rate(const struct sheet *now, const struct sheet *before, const char *name,
	const char *role, double seconds)
{
	double grown = value_of(now, name, role) - value_of(before, name, role);

	return grown > 0 && seconds > 0 ? grown / seconds : 0;
}

static double value_of_one(const struct sheet *s, const char *name, const char *of)
{
	for (size_t i = 0; i < s->count; i++) {
		if (strcmp(s->rows[i].name, name) == 0 && strcmp(s->rows[i].of, of) == 0)
			return s->rows[i].value;
	}
	return 0;
}

static void show_secondaries(const struct sheet *now)
{
	bool any = false;

	for (size_t i = 0; i < now->count; i++) {
		const struct row *r = &now->rows[i];

		if (strcmp(r->name, "secondary_current") != 0)
			continue;
		if (!any)
			printf("\n%-20s %-8s %10s %10s\n", "secondary", "state", "lag s",
				"silent s");
		any = true;
		printf("%-20s %-8s %10.3f %10.0f\n", r->of, r->value > 0 ? "current" : "BEHIND",
			value_of_one(now, "secondary_lag_seconds", r->of),
			value_of_one(now, "secondary_silent_seconds", r->of));
	}
}

static void show_node(const struct sheet *now)
{
	if (find_row(now, "node_signs", "core"))
		printf("node %s  %.0f deltas behind  heard the database %.1f s ago  token %.0f\n",
			value_of(now, "node_signs", "core") > 0 ? "SIGNS" : "follows",
			value_of(now, "node_behind_deltas", "core"),
			value_of(now, "node_heard_seconds", "core"),
			value_of(now, "node_lease_token", "core"));
	printf("KSK %.1f days old  ZSK %.1f days old\n\n",
		value_of(now, "ksk_age_seconds", "keys") / 86400,
		value_of(now, "zsk_age_seconds", "keys") / 86400);
}

/* What has moved within the last second, whoever counts it. */
static void show_moving(const struct sheet *now, const struct sheet *before, double seconds)
{
	printf("\n");
	for (size_t i = 0; i < now->count; i++) {
		const struct row *r = &now->rows[i];
		size_t n = strlen(r->name);
		double per_s = rate(now, before, r->name, r->role, seconds);

		if (per_s > 0 && n > 6 && strcmp(r->name + n - 6, "_total") == 0)
			printf("%-12s %-36s %9.0f/s\n", r->role, r->name, per_s);
	}
}

static void show(const struct sheet *now, const struct sheet *before, double seconds)
{
	printf("requests %.0f/s  refused %.0f/s  batches %.0f/s  queue %.0f  unserved %.0f\n",
		rate(now, before, "requests_total", "core", seconds),
		rate(now, before, "refused_total", "core", seconds),
		rate(now, before, "batches_total", "core", seconds),
		value_of(now, "queue_requests", "core"),
		value_of(now, "unserved_requests", "core"));
	printf("zone serial %.0f  %.0f changes behind  database %s  issuing CA %.0f days left\n",
		value_of(now, "zone_serial", "core"), value_of(now, "zone_lag_changes", "core"),
		value_of(now, "database_connected", "core") > 0 ? "connected" : "LOST",
		value_of(now, "issuing_ca_seconds_left", "keys") / 86400);
	show_node(now);
	printf("%-12s %-5s %8s %7s %9s\n", "role", "state", "restarts", "CPU %", "MiB");
	for (size_t i = 0; i < now->count; i++) {
		const struct row *r = &now->rows[i];

		if (strcmp(r->name, "up") != 0)
			continue;
		printf("%-12s %-5s %8.0f %7.1f %9.1f\n", r->role, r->value > 0 ? "up" : "DOWN",
			value_of(now, "restarts_total", r->role),
			100 * rate(now, before, "cpu_seconds_total", r->role, seconds),
			value_of(now, "resident_bytes", r->role) / 1048576);
	}
	show_secondaries(now);
	show_moving(now, before, seconds);
	fflush(stdout);
}

static bool take(const struct source *source, struct sheet *out)
{
	size_t len = 0;
	char *text = read_fresh(source, &len);

	if (text)
		parse_sheet(text, out);
	free(text);
	return text != NULL;
}

static int run_top(struct cli *cli)
{
	bool once = cli_opt(cli, "once") != NULL;
	struct sheet *sheets = calloc(2, sizeof(*sheets));
	struct source source = { .stale_s = 0 };
	const struct timespec second = { 1, 0 };
	int code = sheets ? find_source(cli, &source) : EXIT_UNAVAILABLE;

	if (code == EXIT_DONE && !take(&source, &sheets[0]))
		code = cli_error(EXIT_UNAVAILABLE, "attestryd does not run");
	for (int now = 1; code == EXIT_DONE; now = !now) {
		nanosleep(&second, NULL);
		if (!take(&source, &sheets[now])) {
			code = cli_error(EXIT_UNAVAILABLE, "attestryd does not run");
			break;
		}
		if (!once && isatty(1))
			fputs("\033[H\033[2J", stdout);
		show(&sheets[now], &sheets[!now], 1.0);
		if (once)
			break;
	}
	free(sheets);
	return code;
}

const struct cmd metrics_cmds[] = {
	{ "metrics", NULL, "", 0, 0, "operator", CMD_LOCAL, run_metrics,
		"every counter and gauge in the Prometheus text format, printed or over HTTP",
		"attestry metrics --dir /srv/registry --listen 127.0.0.1:9464",
		{ { "listen", "ADDRESS:PORT",
			"answer GET /metrics, /healthz and /healthz/ROLE" } } },
	{ "health", NULL, "[ROLE]", 0, 1, "operator", 0, run_health,
		"whether the registry, or one of its roles, serves; exit 1 when not",
		"attestry health core --dir /srv/registry", { { 0 } } },
	{ "top", NULL, "", 0, 0, "operator", CMD_LOCAL, run_top,
		"rates, queues, lag and processes, every second",
		"attestry top --dir /srv/registry", { { "once", NULL, "show them once" } } },
	{ 0 },
};
