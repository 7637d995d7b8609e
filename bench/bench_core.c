/* SPDX-License-Identifier: Apache-2.0 */
/* CPU of core itself per activation: keys and the zone are played at no cost of
 * core's, `in flight` requests are under way at any time.
 *
 *   bench_core [COUNT [IN_FLIGHT]]
 */
#include "../tests/unit/role/core_world.h"

#include <pthread.h>
#include <time.h>

static double cpu_us(pthread_t thread)
{
	struct timespec ts;
	clockid_t id;

	if (pthread_getcpuclockid(thread, &id) != 0 || clock_gettime(id, &ts) != 0)
		return 0;
	return (double)ts.tv_sec * 1e6 + (double)ts.tv_nsec / 1e3;
}

static double wall_us(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec * 1e6 + (double)ts.tv_nsec / 1e3;
}

static void *run_core(void *user)
{
	event_base_loop(user, EVLOOP_NO_EXIT_ON_EMPTY);
	return NULL;
}

static size_t window;

static bool room(struct core_world *w)
{
	return w->sent - w->reply_count < window;
}

/* Replies are not kept: ids wrap. */
static void forget(struct core_world *w)
{
	for (size_t i = 0; i < REPLIES_MAX; i++) {
		if (w->replies[i] && w->replies[i]->code >= 2000)
			printf("refused %d %s\n", w->replies[i]->code, w->replies[i]->reason);
		if (w->replies[i])
			registry__reply__free_unpacked(w->replies[i], NULL);
		w->replies[i] = NULL;
	}
	w->sent = 0;
	w->reply_count = 0;
}

typedef uint64_t step_fn(struct core_world *w, unsigned sim);

static uint64_t activate(struct core_world *w, unsigned sim)
{
	return cw_activate(w, sim, true);
}

static void phase(
	struct core_world *w, pthread_t core, const char *name, step_fn *step, unsigned count)
{
	double cpu = cpu_us(core);
	double wall = wall_us();
	size_t frames = w->zone_frames;

	for (unsigned i = 0; i < count; i++) {
		if (w->sent == REPLIES_MAX) {
			cw_all_answered(w);
			forget(w);
		}
		if (!cw_until(w, room, 20000))
			fail_msg("stuck");
		step(w, i);
	}
	cw_all_answered(w);
	printf("%-12s %7u requests  %6.1f us CPU of core each  %6.0f/s  %.1f per zone frame\n",
		name, count, (cpu_us(core) - cpu) / count, count / (wall_us() - wall) * 1e6,
		w->zone_frames > frames ? (double)count / (double)(w->zone_frames - frames) : 0.0);
	forget(w);
}

int main(int argc, char **argv)
{
	unsigned count = argc > 1 ? (unsigned)strtoul(argv[1], NULL, 10) : 20000;
	struct core_world w;
	pthread_t core;

	window = argc > 2 ? strtoul(argv[2], NULL, 10) : 128;
	cw_open_on(&w, event_base_new());
	cw_keys_up(&w);
	cw_zone_up(&w, true, 0);
	cw_front_up(&w, "front-api");
	if (pthread_create(&core, NULL, run_core, w.core_base) != 0)
		return 1;
	cw_people(&w);
	for (unsigned i = 0; i < count; i += 1000)
		cw_add_sims(&w, i, count - i < 1000 ? count - i : 1000);
	forget(&w);
	phase(&w, core, "register", cw_register, count);
	phase(&w, core, "activate", activate, count);
	phase(&w, core, "again", activate, count);
	phase(&w, core, "deactivate", cw_deactivate, count);
	fflush(stdout);
	/* The core's thread ends with the process. */
	temp_db_remove(&w.db);
	_exit(0);
}
