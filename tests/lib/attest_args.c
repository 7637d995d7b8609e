/* SPDX-License-Identifier: Apache-2.0 */
#include "attest_args.h"

#include "base/str.h"

#include <stdio.h>
#include <string.h>

struct attest *attest_args(int argc, char **argv)
{
	struct attest_resolver more = { .addr = NULL };
	const char *pins[2] = { 0 };
	struct attest_options o = { .resolver_addr = "127.0.0.1", .pins = pins, .n_pins = 1 };
	struct attest_feed_options feed = { 0 };
	char error[ATTEST_TEXT_MAX];
	struct attest *a = NULL;

	for (int i = 1; i < argc; i++) {
		char *value = strchr(argv[i], '=');
		uint64_t n = 0;

		if (!value)
			continue;
		*value++ = '\0';
		(void)!u64_read(value, 0, 1000000000, &n);
		if (strcmp(argv[i], "zone") == 0)
			o.zone = value;
		else if (strcmp(argv[i], "ca") == 0)
			o.ca_file = value;
		else if (strcmp(argv[i], "anchor") == 0)
			o.anchor_file = value;
		else if (strcmp(argv[i], "service") == 0)
			o.service = value;
		else if (strcmp(argv[i], "pin") == 0)
			pins[0] = value;
		else if (strcmp(argv[i], "port") == 0)
			o.resolver_port = (uint16_t)n;
		else if (strcmp(argv[i], "port2") == 0)
			more.port = (uint16_t)n;
		else if (strcmp(argv[i], "feed_url") == 0)
			feed.url = value;
		else if (strcmp(argv[i], "feed_ca") == 0)
			feed.ca_file = value;
		else if (strcmp(argv[i], "feed_cert") == 0)
			feed.cert_file = value;
		else if (strcmp(argv[i], "feed_key") == 0)
			feed.key_file = value;
		else if (strcmp(argv[i], "feed_state") == 0)
			feed.state_file = value;
		else if (strcmp(argv[i], "pin2") == 0)
			pins[1] = value;
		else if (strcmp(argv[i], "wait_ms") == 0)
			o.wait_ms = (unsigned)n;
		else if (strcmp(argv[i], "timeout_ms") == 0)
			o.lookup_timeout_ms = (unsigned)n;
		else if (strcmp(argv[i], "threads") == 0)
			o.lookup_threads = (unsigned)n;
		else if (strcmp(argv[i], "max_ttl_s") == 0)
			o.max_ttl_s = (unsigned)n;
		else if (strcmp(argv[i], "cache") == 0)
			o.cache_entries = (unsigned)n;
		else if (strcmp(argv[i], "tlsa") == 0)
			o.use_tlsa = (int)n;
		else if (strcmp(argv[i], "no_prefetch") == 0)
			o.no_prefetch = (int)n;
	}
	more.addr = "127.0.0.1";
	more.pins = &pins[1];
	more.n_pins = 1;
	o.resolvers = &more;
	o.n_resolvers = pins[1] ? 1 : 0;
	if (attest_new(&o, &a, error, sizeof(error)) != ATTEST_SUCCESS)
		fprintf(stderr, "%s\n", error);
	if (a && feed.url && attest_feed_start(a, &feed, error, sizeof(error)) != ATTEST_SUCCESS) {
		fprintf(stderr, "%s\n", error);
		attest_free(a);
		a = NULL;
	}
	return a;
}
