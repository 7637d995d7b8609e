/* SPDX-License-Identifier: Apache-2.0 */

/* The peer of libattest's look-ups: libunbound in process, validating, asking the zone's server
 * itself (Debian's has no TLS). ub_ask ANCHOR ZONE ADDR@PORT ROUNDS NAME... prints a line of JSON
 * per round: microseconds per look-up. */

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unbound.h>

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static int by_value(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

static void round_of(struct ub_ctx *ctx, char **names, size_t n, uint64_t *took)
{
	size_t secure = 0;

	for (size_t i = 0; i < n; i++) {
		struct ub_result *r = NULL;
		uint64_t began = now_ns();

		if (ub_resolve(ctx, names[i], 37, 1, &r) == 0)
			secure += r->secure && r->havedata;
		took[i] = now_ns() - began;
		ub_resolve_free(r);
	}
	qsort(took, n, sizeof(*took), by_value);
	printf("{\"secure\":%zu,\"p50_us\":%.1f,\"p99_us\":%.1f}\n", secure,
		(double)took[n / 2] / 1e3, (double)took[n * 99 / 100] / 1e3);
}

int main(int argc, char **argv)
{
	struct ub_ctx *ctx = ub_ctx_create();
	uint64_t *took = calloc((size_t)argc, sizeof(*took));

	if (argc < 6 || !ctx || !took || ub_ctx_set_option(ctx, "do-not-query-localhost:", "no") ||
		ub_ctx_set_option(ctx, "aggressive-nsec:", "no") ||
		ub_ctx_add_ta_file(ctx, argv[1]) || ub_ctx_set_stub(ctx, argv[2], argv[3], 0))
		return 2;
	for (int i = argv[4][0] - '0'; i > 0; i--)
		round_of(ctx, argv + 5, (size_t)argc - 5, took);
	ub_ctx_delete(ctx);
	free(took);
	return 0;
}
