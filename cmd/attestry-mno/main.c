/* SPDX-License-Identifier: Apache-2.0 */
#include "base/secret.h"
#include "mno/mno.h"

#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <curl/curl.h>

static void usage(FILE *to)
{
	fputs("usage: attestry-mno [run] --config FILE\n"
	      "       attestry-mno status --config FILE [--json]\n"
	      "\n"
	      "The operator's gateway: takes jobs from the registry and carries them out on SIMs\n"
	      "over the air. FILE (mode 0600) is JSON: url, ca, cert, key, sms, state,\n"
	      "sims [{iccid, kic, kid, kvn}] (keys of 32, 48 or 64 hex digits: AES-128, -192, "
	      "-256),\n"
	      "and optionally por_timeout_ms, por_timeout_max_ms, por (deliver-report or submit:\n"
	      "how a card sends its receipts), tar, euicc (socket of the eUICC manager: what "
	      "happens\n"
	      "to eSIM profiles is told to the registry).\n"
	      "Instead of sms: smpp {host, port, system_id, password, source, window, "
	      "enquire_ms},\n"
	      "and a msisdn for each SIM. SIGHUP reads the SIMs anew.\n"
	      "\n"
	      "  run       serve until SIGTERM or SIGINT; prints \"ready\"\n"
	      "  status    what the state file knows about jobs\n"
	      "  -h, --help, -V, --version\n",
		to);
}

static int run(const char *config)
{
	struct log log = { .fd = STDERR_FILENO, .min = LOG_INFO, .role = "attestry-mno" };
	struct diag d = { 0 };
	enum rc rc;

	if (secret_harden_process() != RC_OK || signal(SIGPIPE, SIG_IGN) == SIG_ERR ||
		curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK) {
		fputs("attestry-mno: cannot set up the process\n", stderr);
		return EXIT_FAILURE;
	}
	rc = mno_run(config, &log, &d);
	curl_global_cleanup();
	if (rc == RC_OK)
		return EXIT_SUCCESS;
	fprintf(stderr, "attestry-mno: %s\n", d.text[0] ? d.text : rc_text(rc));
	return EXIT_FAILURE;
}

static int status(const char *config, bool as_json)
{
	struct diag d = { 0 };
	json_t *doc = NULL, *job;
	enum rc rc = mno_status(config, &doc, &d);
	size_t i;

	if (rc != RC_OK) {
		fprintf(stderr, "attestry-mno: %s\n", d.text[0] ? d.text : rc_text(rc));
		return EXIT_FAILURE;
	}
	if (as_json) {
		(void)json_dumpf(doc, stdout, JSON_INDENT(2));
		(void)putchar('\n');
	} else {
		printf("%lld SIMs, jobs: %lld open, %lld done and not posted, %lld posted\n",
			(long long)json_integer_value(json_object_get(doc, "sims")),
			(long long)json_integer_value(json_object_get(doc, "open")),
			(long long)json_integer_value(json_object_get(doc, "done")),
			(long long)json_integer_value(json_object_get(doc, "posted")));
		json_array_foreach(json_object_get(doc, "jobs"), i, job)
		{
			const char *kind = json_string_value(json_object_get(job, "kind"));
			const char *iccid = json_string_value(json_object_get(job, "iccid"));

			printf("%-5s %s %s %s\n", json_string_value(json_object_get(job, "state")),
				json_string_value(json_object_get(job, "id")), kind ? kind : "",
				iccid ? iccid : "");
		}
	}
	json_decref(doc);
	return EXIT_SUCCESS;
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "config", required_argument, NULL, 'c' },
		{ "json", no_argument, NULL, 'j' },
		{ "help", no_argument, NULL, 'h' },
		{ "version", no_argument, NULL, 'V' },
		{ 0 },
	};
	const char *config = NULL, *what = "run";
	bool as_json = false;
	int c;

	while ((c = getopt_long(argc, argv, "c:jhV", options, NULL)) != -1) {
		switch (c) {
		case 'c': config = optarg; break;
		case 'j': as_json = true; break;
		case 'h': usage(stdout); return EXIT_SUCCESS;
		case 'V': puts("attestry-mno " ATT_VERSION); return EXIT_SUCCESS;
		default: usage(stderr); return 2;
		}
	}
	if (optind < argc)
		what = argv[optind++];
	if (config && optind == argc && strcmp(what, "run") == 0)
		return run(config);
	if (config && optind == argc && strcmp(what, "status") == 0)
		return status(config, as_json);
	usage(stderr);
	return 2;
}
