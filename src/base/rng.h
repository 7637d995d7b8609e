/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Randomness as an interface, so that a test can make it repeat. */

#include "base/rc.h"

#include <stddef.h>

struct rng {
	enum rc (*fill)(const struct rng *self, void *out, size_t len);
	void *user; /* for the implementation */
};

/* The kernel's generator; static storage, never freed. */
const struct rng *rng_system(void);
