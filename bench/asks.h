/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What the peers' programs have in common: look-ups one after the other, timed, a line of JSON. */

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static inline uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static inline int by_value(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

/* Sorts `took`; `good` is how many of `n` were answered as they should. */
static inline void print_round(uint64_t *took, size_t n, size_t good)
{
	qsort(took, n, sizeof(*took), by_value);
	printf("{\"good\":%zu,\"p50_us\":%.1f,\"p99_us\":%.1f}\n", good, (double)took[n / 2] / 1e3,
		(double)took[n * 99 / 100] / 1e3);
}
