/* SPDX-License-Identifier: Apache-2.0 */
#include "base/clock.h"

#include <time.h>

static int64_t system_unix_s(const struct clock *self)
{
	(void)self;
	return (int64_t)time(NULL);
}

static uint64_t system_monotonic_ms(const struct clock *self)
{
	struct timespec ts;

	(void)self;
	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

const struct clock *clock_system(void)
{
	static const struct clock system = { system_unix_s, system_monotonic_ms, 0 };

	return &system;
}
