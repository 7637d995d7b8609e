/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Answers over one UDP socket, many per system call. */

#include "zone/serve.h"

#include <event2/event.h>

struct udp;

/* Serves the bound, non-blocking socket `fd` (borrowed) from `base` out of `serve` (borrowed). */
enum rc udp_new(struct event_base *base, int fd, struct serve *serve, uint16_t udp_max,
	struct udp **out) ATT_MUST_CHECK;
void udp_free(struct udp *u);
