/* SPDX-License-Identifier: Apache-2.0 */
#include "role/plan.h"
#include "role/start.h"
#include "proc/killpoint.h"
#include "proc/control.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum action { RUN, CHECK, SELFTEST };

struct options {
	enum action action;
	const char *config, *role, *listeners;
};

enum { OPT_CHECK = 256, OPT_HELP_CONFIG, OPT_ROLE, OPT_LISTENERS, OPT_SELFTEST };

static const struct option long_options[] = {
	{ "config", required_argument, NULL, 'c' },
	{ "check-config", no_argument, NULL, OPT_CHECK },
	{ "help-config", no_argument, NULL, OPT_HELP_CONFIG },
	{ "help", no_argument, NULL, 'h' },
	{ "version", no_argument, NULL, 'V' },
	{ "role", required_argument, NULL, OPT_ROLE },
	{ "listeners", required_argument, NULL, OPT_LISTENERS },
	{ "selftest-confinement", no_argument, NULL, OPT_SELFTEST },
	{ 0 },
};

static void usage(FILE *to)
{
	fputs("usage: attestryd --config FILE [--check-config]\n"
	      "       attestryd --help-config | --help | --version\n"
	      "\n"
	      "Runs the registry whose attestry.conf FILE is, until SIGTERM or SIGINT.\n"
	      "\n"
	      "  -c, --config FILE   the registry's configuration\n"
	      "  --check-config      read it, say what is wrong, exit 0 or 1\n"
	      "  --help-config       every setting with its bounds and default\n"
	      "  --role NAME --selftest-confinement\n"
	      "                      confine as that process is confined, try what it must\n"
	      "                      not do, print one line per attempt, exit 0 or 1\n"
	      "  --role NAME         one process of the registry; started by attestryd itself\n"
	      "  -h, --help          this text\n"
	      "  -V, --version       the version\n",
		to);
}

static struct options parse_options(int argc, char **argv)
{
	struct options o = { 0 };

	for (;;) {
		switch (getopt_long(argc, argv, "c:hV", long_options, NULL)) {
		case 'c': o.config = optarg; break;
		case 'h': usage(stdout); exit(EXIT_SUCCESS);
		case 'V': puts("attestryd " ATT_VERSION); exit(EXIT_SUCCESS);
		case OPT_CHECK: o.action = CHECK; break;
		case OPT_HELP_CONFIG: conf_help(config_table(), stdout); exit(EXIT_SUCCESS);
		case OPT_ROLE: o.role = optarg; break;
		case OPT_LISTENERS: o.listeners = optarg; break;
		case OPT_SELFTEST: o.action = SELFTEST; break;
		case -1:
			if (optind == argc && o.config && (o.action != SELFTEST || o.role))
				return o;
			/* fall through */
		default: usage(stderr); exit(2);
		}
	}
}

static enum rc run_supervisor(const struct config *config, const struct log *log, struct diag *d)
{
	struct plan *plan = malloc(sizeof(*plan));
	enum rc rc;

	if (!plan)
		return RC_NOMEM;
	rc = plan_open(plan, config, log, test_clock(), d);
	if (rc == RC_OK) {
		rc = supervisor_run(&plan->supervisor, d);
		plan_close(plan);
	}
	free(plan);
	return rc;
}

static enum rc run(const struct options *o, const struct config *config, struct diag *d)
{
	struct log log = { .fd = STDERR_FILENO,
		.min = (enum log_level)config->supervisor.log_level,
		.role = o->role ? o->role : "attestryd" };
	struct role_start start = { .config = config,
		.log = &log,
		.clock = test_clock(),
		.name = o->role,
		.listeners = o->listeners,
		.control_fd = CONTROL_FD };
	enum rc rc;

	if (o->action == SELFTEST) {
		start.control_fd = -1;
		return role_selftest(&start, d);
	}
	rc = o->role ? role_main(&start, d) : run_supervisor(config, &log, d);
	if (rc != RC_OK)
		log_write(&log, LOG_ERROR, "failed rc=\"%s\" why=\"%s\"", rc_text(rc), d->text);
	return rc;
}

int main(int argc, char **argv)
{
	struct options o = parse_options(argc, argv);
	struct config config;
	struct diag d = { 0 };
	enum rc rc = config_read(o.config, &config, &d);

	if (rc != RC_OK) {
		fprintf(stderr, "attestryd: %s\n", d.text[0] ? d.text : rc_text(rc));
		return EXIT_FAILURE;
	}
	if (o.action == CHECK)
		printf("%s: good\n", o.config);
	else
		rc = run(&o, &config, &d);
	config_free(&config);
	return rc == RC_OK ? EXIT_SUCCESS : EXIT_FAILURE;
}
