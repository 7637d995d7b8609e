/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Response rate limiting over UDP: like answers to one network (IPv4 /24, IPv6 /56) come at most so
 * often a second, so that spoofed questions make no flood at somebody else. What is over the limit
 * is dropped, or, every so often, answered with TC: a real client comes back over TCP. */

#include "base/rc.h"

#include <stdint.h>
#include <sys/socket.h>

struct rrl;

enum rrl_kind { RRL_DATA, RRL_DENIAL, RRL_ERROR };
enum rrl_verdict { RRL_SEND, RRL_TRUNCATE, RRL_DROP };

/* `rate` answers a second; every `slip`th over it is truncated instead of dropped, 0: none. */
enum rc rrl_new(uint32_t rate, uint32_t slip, struct rrl **out) ATT_MUST_CHECK;
void rrl_free(struct rrl *r);
/* `name` tells answers with data apart; denials and errors count together. */
enum rrl_verdict rrl_count(struct rrl *r, const struct sockaddr *to, enum rrl_kind kind,
	const uint8_t *name, size_t name_len, uint64_t now_ms);
