/* SPDX-License-Identifier: Apache-2.0 */
/* Preloaded into a daemon of a test: a wall clock that is ATTESTRY_SKEW seconds off. */
#include <dlfcn.h>
#include <stdlib.h>
#include <sys/time.h>
#include <time.h>

typedef int clock_fn(clockid_t id, struct timespec *ts);

static time_t skew(void)
{
	const char *text = getenv("ATTESTRY_SKEW");

	return text ? (time_t)strtol(text, NULL, 10) : 0;
}

int clock_gettime(clockid_t id, struct timespec *ts)
{
	clock_fn *real;
	int err;

	*(void **)&real = dlsym(RTLD_NEXT, "clock_gettime");
	err = real(id, ts);
	if (err == 0 && id == CLOCK_REALTIME)
		ts->tv_sec += skew();
	return err;
}

time_t time(time_t *out)
{
	struct timespec ts = { 0, 0 };

	(void)clock_gettime(CLOCK_REALTIME, &ts);
	if (out)
		*out = ts.tv_sec;
	return ts.tv_sec;
}

int gettimeofday(struct timeval *restrict tv, void *restrict zone)
{
	struct timespec ts = { 0, 0 };

	(void)zone;
	(void)clock_gettime(CLOCK_REALTIME, &ts);
	tv->tv_sec = ts.tv_sec;
	tv->tv_usec = (suseconds_t)(ts.tv_nsec / 1000);
	return 0;
}
