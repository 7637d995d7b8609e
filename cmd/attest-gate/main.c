/* SPDX-License-Identifier: Apache-2.0 */
#include "gate_cmd.h"

#include "base/secret.h"

#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

static void usage(FILE *to)
{
	fputs("usage: attest-gate --config FILE\n"
	      "\n"
	      "Answers a web server's auth subrequests on a unix socket: GET /check with the\n"
	      "client's certificate in X-Client-Cert gives 204 (attested), 401 (no certificate)\n"
	      "or 403, and X-Attest-Reason, -Name, -Service, -TTL. GET /metrics is for "
	      "Prometheus.\n"
	      "Prints \"ready\"; ends on SIGTERM. FILE is JSON: socket, socket_mode (decimal),\n"
	      "zone, service, ca, anchor, resolvers [{addr, port, name, pins}], timeout_ms,\n"
	      "max_ttl_s, cache_entries, threads, feed {url, ca, cert, key, state}. See "
	      "attest-gate(8) and doc/provider.md.\n"
	      "\n"
	      "  --config FILE\n"
	      "  --quiet        log refusals of the gate itself only\n"
	      "  --help, --version\n",
		to);
}

static void on_signal(evutil_socket_t fd, short what, void *user)
{
	(void)fd;
	(void)what;
	event_base_loopexit(user, NULL);
}

static int run(const char *path, const struct log *log)
{
	struct event_base *base = event_base_new();
	struct event *term = base ? evsignal_new(base, SIGTERM, on_signal, base) : NULL;
	struct event *intr = base ? evsignal_new(base, SIGINT, on_signal, base) : NULL;
	struct gate_config config = { 0 };
	struct gate *gate = NULL;
	struct diag d = { 0 };
	enum rc rc = RC_NOMEM;

	if (term && intr && event_add(term, NULL) == 0 && event_add(intr, NULL) == 0)
		rc = gate_config_read(path, &config, &d);
	if (rc == RC_OK)
		rc = gate_new(base, &config, log, &gate, &d);
	if (rc == RC_OK) {
		puts("ready");
		fflush(stdout);
		event_base_dispatch(base);
	} else {
		fprintf(stderr, "attest-gate: %s\n", d.text[0] ? d.text : rc_text(rc));
	}
	gate_free(gate);
	gate_config_free(&config);
	if (term)
		event_free(term);
	if (intr)
		event_free(intr);
	if (base)
		event_base_free(base);
	return rc == RC_OK ? 0 : 1;
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "config", required_argument, NULL, 'c' },
		{ "quiet", no_argument, NULL, 'q' },
		{ "help", no_argument, NULL, 'h' },
		{ "version", no_argument, NULL, 'V' },
		{ 0 },
	};
	struct log log = { .fd = STDERR_FILENO, .min = LOG_INFO, .role = "attest-gate" };
	const char *config = NULL;
	int opt;

	while ((opt = getopt_long(argc, argv, "c:qhV", options, NULL)) != -1) {
		switch (opt) {
		case 'c': config = optarg; break;
		case 'q': log.min = LOG_WARNING; break;
		case 'h': usage(stdout); return 0;
		case 'V': puts("attest-gate " ATT_VERSION); return 0;
		default: usage(stderr); return 2;
		}
	}
	if (!config || optind != argc) {
		usage(stderr);
		return 2;
	}
	signal(SIGPIPE, SIG_IGN);
	if (secret_harden_process() != RC_OK) {
		fputs("attest-gate: cannot set up the process\n", stderr);
		return 1;
	}
	return run(config, &log);
}
