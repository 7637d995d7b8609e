/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Between the two files of `iotsafe watch`: the agent, and the connections that it carries. */

#include "iotsafe_cmd.h"

#include "device/service.h"

#include <pthread.h>

#define WATCH_CARRIED_MAX 16

/* A local connection and its thread. */
struct carried {
	struct watch *watch;
	pthread_t thread;
	bool used;
	_Atomic bool ended;
	int local, remote; /* remote: -1 until it is dialled */
	SSL *ssl;
};

struct watch {
	const struct run *run;
	struct iotsafe *card; /* NULL: away */
	bool away, looked, failed;
	uint8_t seen[32]; /* what lay on the card at the last look */
	struct payload_state state;
	struct self *self, *next; /* in force (when `live`), and just read */
	bool live;
	int listener;
	struct service *service; /* proved; NULL: to be proved at the next connection */
	time_t proved;
	struct carried carried[WATCH_CARRIED_MAX];
};

/* A line on standard output. */
void watch_say(const struct watch *w, const char *event, const char *text);

/* carry.c. RC_RANGE: not ADDRESS:PORT, or it cannot be listened on. */
enum rc watch_listen(struct watch *w, const char *where, struct diag *d) ATT_MUST_CHECK;
/* Takes one connection and carries it to the service, or closes it and says why. */
void watch_accept(struct watch *w);
/* Ends all that is carried and forgets what was proved. */
void watch_cut(struct watch *w);
