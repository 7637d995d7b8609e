/* SPDX-License-Identifier: Apache-2.0 */

/* The peer of libattest's look-ups: libunbound in process, validating, asking the zone's server
 * itself (Debian's has no TLS). ub_ask ANCHOR ZONE ADDR@PORT ROUNDS NAME... prints a line of JSON
 * per round: microseconds per look-up. */

#include "asks.h"

#include <unbound.h>

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
	print_round(took, n, secure);
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
