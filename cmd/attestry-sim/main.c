/* SPDX-License-Identifier: Apache-2.0 */
#include "card/quirks.h"
#include "card/sim.h"

#include "base/secret.h"

#include <event2/event.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

static void print_quirk(FILE *to, const struct card_quirk *q)
{
	fprintf(to, "  %-15s", q->name);
	for (size_t i = 0; i < CARD_QUIRK_PRESETS; i++)
		fprintf(to, " %-7s", q->values[q->presets[i]]);
	fprintf(to, " %s", q->values[0]);
	for (size_t i = 1; i < CARD_QUIRK_VALUES && q->values[i]; i++)
		fprintf(to, " | %s", q->values[i]);
	fprintf(to, "\n  %15s %s\n", "", q->help);
}

static void usage(FILE *to)
{
	size_t count = 0;
	const struct card_quirk *q = card_quirk_table(&count);

	fputs("usage: attestry-sim --config FILE [--seal-key FILE|keyring:NAME]\n"
	      "\n"
	      "SIM cards with an IoT SAFE applet, in software: each behind a modem on a\n"
	      "pseudo-terminal (AT+CSIM), a socket for raw APDUs, and the operator's short\n"
	      "message link. Prints `ready` when all of them stand; ends on SIGTERM.\n"
	      "\n"
	      "  --config FILE    JSON, not accessible to others; see doc/card.md\n"
	      "  --seal-key FROM  the key that seals private keys on disk: a file of 32 bytes, or\n"
	      "                   a key of the kernel's keyring; without it a file beside the\n"
	      "                   folder of states, `STATE.seal`, made when it is not there\n"
	      "  --verbose        log more\n"
	      "  --help           this text\n"
	      "\n"
	      "Where clients in the field differ: the values in each preset, and all values.\n"
	      "\n"
	      "  quirk          ",
		to);
	for (size_t i = 0; i < CARD_QUIRK_PRESETS; i++)
		fprintf(to, " %-7s", card_quirk_preset_name(i));
	fputs("\n", to);
	for (size_t i = 0; i < count; i++)
		print_quirk(to, &q[i]);
}

static void on_signal(evutil_socket_t fd, short what, void *user)
{
	(void)fd;
	(void)what;
	event_base_loopexit(user, NULL);
}

static int run(const struct sim_opts *opts)
{
	struct event_base *base = event_base_new();
	struct event *term = base ? evsignal_new(base, SIGTERM, on_signal, base) : NULL;
	struct event *intr = base ? evsignal_new(base, SIGINT, on_signal, base) : NULL;
	struct sim *sim = NULL;
	struct diag d = { 0 };
	enum rc rc = RC_NOMEM;

	if (term && intr && event_add(term, NULL) == 0 && event_add(intr, NULL) == 0)
		rc = sim_new(base, opts, &sim, &d);
	if (rc != RC_OK) {
		fprintf(stderr, "attestry-sim: %s\n", d.text[0] ? d.text : rc_text(rc));
	} else {
		printf("ready sims=%zu\n", sim_cards(sim));
		fflush(stdout);
		event_base_dispatch(base);
	}
	sim_free(sim);
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
		{ "seal-key", required_argument, NULL, 's' },
		{ "verbose", no_argument, NULL, 'v' },
		{ "help", no_argument, NULL, 'h' },
		{ 0 },
	};
	struct log log = { .fd = STDERR_FILENO, .min = LOG_INFO, .role = "attestry-sim" };
	struct sim_opts opts = { .clock = clock_system(), .log = &log };
	int opt;

	while ((opt = getopt_long(argc, argv, "c:s:vh", options, NULL)) != -1) {
		switch (opt) {
		case 'c': opts.config_path = optarg; break;
		case 's': opts.seal_key = optarg; break;
		case 'v': log.min = LOG_DEBUG; break;
		case 'h': usage(stdout); return 0;
		default: usage(stderr); return 2;
		}
	}
	if (!opts.config_path || optind != argc) {
		usage(stderr);
		return 2;
	}
	umask(077);
	signal(SIGPIPE, SIG_IGN);
	if (secret_harden_process() != RC_OK) {
		fputs("attestry-sim: cannot keep its memory to itself\n", stderr);
		return 1;
	}
	return run(&opts);
}
