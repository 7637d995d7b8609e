/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Time as an interface, so that a test can hold it still. */

#include <stdint.h>

struct clock {
	int64_t (*unix_s)(const struct clock *self);	    /* seconds since 1970 */
	uint64_t (*monotonic_ms)(const struct clock *self); /* never goes back */
	void *user;					    /* for the implementation */
};

/* The system's clock; static storage, never freed. */
const struct clock *clock_system(void);
