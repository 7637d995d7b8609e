/* SPDX-License-Identifier: Apache-2.0 */
#include "base/rng.h"

#include <errno.h>
#include <stdint.h>
#include <sys/random.h>

static enum rc fill_system(const struct rng *self ATT_UNUSED, void *out, size_t len)
{
	uint8_t *at = out;

	while (len > 0) {
		ssize_t n = getrandom(at, len, 0);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return RC_IO;
		at += n;
		len -= (size_t)n;
	}
	return RC_OK;
}

const struct rng *rng_system(void)
{
	static const struct rng system_rng = { .fill = fill_system };

	return &system_rng;
}
