/* SPDX-License-Identifier: Apache-2.0 */
#include "setup.h"

#include "base/secret.h"
#include "mno/mno.h"

#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <curl/curl.h>

#define EXIT_WAITING 3 /* setup: for the certificate */

static void usage(FILE *to)
{
	fputs("usage: attestry-mno [run] --config FILE\n"
	      "       attestry-mno status --config FILE [--json]\n"
	      "       attestry-mno inventory --config FILE [--claims-out FILE] [--json]\n"
	      "       attestry-mno seal --sims FILE --key FILE --out FILE\n"
	      "       attestry-mno setup DIR --id PARTY --url URL --ca FILE (--sms SOCKET | --smpp "
	      "FILE)\n"
	      "                    [--epp FILE] [--sims FILE] [--operator-cert FILE --operator-key "
	      "FILE]\n"
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
	      "and a msisdn for each SIM. epp {host, port, id, password, poll_ms}: jobs come from "
	      "the\n"
	      "registry's EPP queue; url is not needed then. SIGHUP reads the SIMs anew.\n"
	      "\n"
	      "  run       serve until SIGTERM or SIGINT; prints \"ready\"\n"
	      "  status    every job's step, tries and silence; what waits to be posted\n"
	      "  inventory loads the configuration's SIMs into the registry: a row's eid, owner, "
	      "imei,\n"
	      "            attest_cert, and its claim as a salted hash; --claims-out makes a code "
	      "for\n"
	      "            each row without one and writes them down first (0600)\n"
	      "  seal      a list of SIMs into a file that only --key opens (32 bytes; made when\n"
	      "            it is not there): sims_sealed and sims_key in the configuration\n"
	      "  setup     the trusted connection to a registry, from nothing: key and request,\n"
	      "            certificate (made at once with the registry's operator's certificate,\n"
	      "            else printed what to ask for, and run again), roots and resolver pin "
	      "for\n"
	      "            the cards (DIR/card/), configuration DIR/mno.json. FILEs of --smpp,\n"
	      "            --epp and --sims are JSON of mode 0600, as those members of the "
	      "configuration.\n"
	      "            Ends with 3 while the certificate is missing.\n"
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

static const char *text_of(const json_t *job, const char *name)
{
	const char *text = json_string_value(json_object_get(job, name));

	return text ? text : "";
}

static void show_job(const json_t *job)
{
	long long until = json_integer_value(json_object_get(job, "not_after"));

	if (strcmp(text_of(job, "state"), "open") != 0) {
		printf("%-6s %-8s waits to be posted%s%s\n", text_of(job, "state"),
			text_of(job, "id"), *text_of(job, "reason") ? ": " : "",
			text_of(job, "reason"));
		return;
	}
	printf("open   %-8s %-7s %s slot %lld: %s; try %lld, no answer for %lld s",
		text_of(job, "id"), text_of(job, "kind"), text_of(job, "iccid"),
		(long long)json_integer_value(json_object_get(job, "slot")), text_of(job, "step"),
		(long long)json_integer_value(json_object_get(job, "tries")),
		(long long)json_integer_value(json_object_get(job, "since")));
	if (until)
		printf(", ends in %lld s", until - (long long)time(NULL));
	(void)putchar('\n');
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
			show_job(job);
		}
	}
	json_decref(doc);
	return EXIT_SUCCESS;
}

static int setup(const struct setup *s)
{
	struct diag d = { 0 };
	bool waiting = false;
	enum rc rc;

	if (!s->id || !s->url || !s->ca || (s->sms && s->smpp) ||
		!s->operator_cert != !s->operator_key) {
		usage(stderr);
		return 2;
	}
	(void)umask(077);
	if (secret_harden_process() != RC_OK || signal(SIGPIPE, SIG_IGN) == SIG_ERR ||
		curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK) {
		fputs("attestry-mno: cannot set up the process\n", stderr);
		return EXIT_FAILURE;
	}
	rc = setup_run(s, &waiting, &d);
	curl_global_cleanup();
	if (rc == RC_OK)
		return waiting ? EXIT_WAITING : EXIT_SUCCESS;
	fprintf(stderr, "attestry-mno: setup: %s\n", d.text[0] ? d.text : rc_text(rc));
	return EXIT_FAILURE;
}

static int inventory(const char *config, const char *claims, bool as_json)
{
	struct diag d = { 0 };
	json_t *doc = NULL, *one, *refused;
	size_t i;
	enum rc rc;

	(void)umask(077);
	if (secret_harden_process() != RC_OK || signal(SIGPIPE, SIG_IGN) == SIG_ERR ||
		curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK) {
		fputs("attestry-mno: cannot set up the process\n", stderr);
		return EXIT_FAILURE;
	}
	rc = mno_inventory(config, claims, &doc, &d);
	curl_global_cleanup();
	if (rc != RC_OK) {
		fprintf(stderr, "attestry-mno: inventory: %s\n", d.text[0] ? d.text : rc_text(rc));
		return EXIT_FAILURE;
	}
	refused = json_object_get(doc, "refused");
	if (as_json) {
		(void)json_dumpf(doc, stdout, JSON_INDENT(2));
		(void)putchar('\n');
	} else {
		printf("%lld loaded, %zu refused\n",
			(long long)json_integer_value(json_object_get(doc, "loaded")),
			json_array_size(refused));
		json_array_foreach(refused, i, one)
		{
			printf("%s: %s\n", text_of(one, "iccid"), text_of(one, "reason"));
		}
	}
	rc = json_array_size(refused) ? RC_DENIED : RC_OK;
	json_decref(doc);
	return rc == RC_OK ? EXIT_SUCCESS : EXIT_FAILURE;
}

static int seal(const char *sims, const char *key, const char *out)
{
	struct diag d = { 0 };
	enum rc rc;

	if (!sims || !key || !out) {
		usage(stderr);
		return 2;
	}
	rc = secret_harden_process();
	if (rc == RC_OK)
		rc = mno_seal_sims(sims, key, out, &d);
	if (rc == RC_OK)
		return EXIT_SUCCESS;
	fprintf(stderr, "attestry-mno: seal: %s\n", d.text[0] ? d.text : rc_text(rc));
	return EXIT_FAILURE;
}

enum option_id {
	ID = 256,
	URL,
	CA,
	SMS,
	SMPP,
	EPP,
	SIMS,
	KEY,
	OUT,
	CLAIMS_OUT,
	OPERATOR_CERT,
	OPERATOR_KEY
};

static const struct option options[] = {
	{ "config", required_argument, NULL, 'c' },
	{ "json", no_argument, NULL, 'j' },
	{ "id", required_argument, NULL, ID },
	{ "url", required_argument, NULL, URL },
	{ "ca", required_argument, NULL, CA },
	{ "sms", required_argument, NULL, SMS },
	{ "smpp", required_argument, NULL, SMPP },
	{ "epp", required_argument, NULL, EPP },
	{ "sims", required_argument, NULL, SIMS },
	{ "key", required_argument, NULL, KEY },
	{ "out", required_argument, NULL, OUT },
	{ "claims-out", required_argument, NULL, CLAIMS_OUT },
	{ "operator-cert", required_argument, NULL, OPERATOR_CERT },
	{ "operator-key", required_argument, NULL, OPERATOR_KEY },
	{ "help", no_argument, NULL, 'h' },
	{ "version", no_argument, NULL, 'V' },
	{ 0 },
};

int main(int argc, char **argv)
{
	const char *config = NULL, *what = "run";
	const char *given[OPERATOR_KEY - ID + 1] = { NULL };
	bool as_json = false;
	int c;

	while ((c = getopt_long(argc, argv, "c:jhV", options, NULL)) != -1) {
		switch (c) {
		case 'c': config = optarg; break;
		case 'j': as_json = true; break;
		case 'h': usage(stdout); return EXIT_SUCCESS;
		case 'V': puts("attestry-mno " ATT_VERSION); return EXIT_SUCCESS;
		default:
			if (c < ID || c > OPERATOR_KEY) {
				usage(stderr);
				return 2;
			}
			given[c - ID] = optarg;
		}
	}
	if (optind < argc)
		what = argv[optind++];
	if (config && optind == argc && strcmp(what, "run") == 0)
		return run(config);
	if (config && optind == argc && strcmp(what, "status") == 0)
		return status(config, as_json);
	if (config && optind == argc && strcmp(what, "inventory") == 0)
		return inventory(config, given[CLAIMS_OUT - ID], as_json);
	if (optind == argc && strcmp(what, "seal") == 0)
		return seal(given[SIMS - ID], given[KEY - ID], given[OUT - ID]);
	if (optind + 1 == argc && strcmp(what, "setup") == 0)
		return setup(&(struct setup){ .dir = argv[optind],
			.id = given[ID - ID],
			.url = given[URL - ID],
			.ca = given[CA - ID],
			.sms = given[SMS - ID],
			.smpp = given[SMPP - ID],
			.epp = given[EPP - ID],
			.sims = given[SIMS - ID],
			.operator_cert = given[OPERATOR_CERT - ID],
			.operator_key = given[OPERATOR_KEY - ID] });
	usage(stderr);
	return 2;
}
