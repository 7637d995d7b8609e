/* SPDX-License-Identifier: Apache-2.0 */

/* Validated look-ups from the command line, for the end-to-end tests:
 * dane_ask ANCHORS ADDR PORT PIN TIMEOUT_MS NAME... prints a line per name:
 * "STATUS TTL COUNT WHY". */

#include "base/str.h"
#include "dane/dane.h"

#include <stdio.h>

static int ask_all(const struct dane_options *opt, char **names)
{
	struct diag d = { 0 };
	struct dane *dane = NULL;

	if (dane_new(opt, &dane, &d) != RC_OK) {
		fprintf(stderr, "%s\n", d.text);
		return 2;
	}
	for (; *names; names++) {
		struct dane_answer a;

		dane_lookup(dane, *names, DANE_TYPE_CERT, &a);
		printf("%s %u %zu %s\n", dane_status_text(a.status), a.ttl_s, a.n_rrs, a.why);
		fflush(stdout);
	}
	dane_free(dane);
	return 0;
}

int main(int argc, char **argv)
{
	struct dane_anchor anchors[DANE_ANCHORS_MAX];
	struct dane_resolver r = { 0 };
	struct dane_options opt = { .anchors = anchors, .resolvers = &r, .n_resolvers = 1 };
	struct diag d = { 0 };
	uint64_t port, timeout_ms;

	if (argc < 7 || u64_read(argv[3], 1, 65535, &port) != RC_OK ||
		u64_read(argv[5], 1, 60000, &timeout_ms) != RC_OK ||
		dane_anchors_read_file(argv[1], anchors, &opt.n_anchors, &d) != RC_OK ||
		dane_resolver_addr(&r, argv[2], (uint16_t)port) != RC_OK ||
		dane_resolver_pin(&r, argv[4]) != RC_OK) {
		fprintf(stderr, "usage: dane_ask ANCHORS ADDR PORT PIN TIMEOUT_MS NAME... %s\n",
			d.text);
		return 2;
	}
	opt.timeout_ms = (unsigned)timeout_ms;
	return ask_all(&opt, argv + 6);
}
