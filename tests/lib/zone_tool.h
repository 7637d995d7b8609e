/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* A zone without the daemon around it: for tests and benches. */

#include "zone/bulk.h"

#include <stdio.h>

#define TOOL_ZONE_MAX 256

struct tool {
	const char *dir; /* the store, ksk.pem, zsk.pem */
	struct bulk bulk;
};

/* Keys of the folder, made when missing, and a policy for the zone. */
enum rc tool_open(struct tool *t, const char *dir, const char *zone);
void tool_close(struct tool *t);

/* The i-th of n devices, in the zone's order: spread over all ICCIDs with nine free digits. */
void tool_iccid(uint64_t i, uint64_t n, char out[21]);
/* The key and the hashes of profile `slot` of an ICCID. */
void tool_device(
	const char *iccid, unsigned slot, struct zone_key *key, uint8_t cert[32], uint8_t spki[32]);

/* Fills (or changes) a store and prints what it took as one JSON line. */
enum rc tool_publish(struct tool *t, unsigned count);
enum rc tool_load_random(struct tool *t, uint64_t devices, unsigned churn);
/* Publishes `count` in batches of a thousand, signed by all cores, each durable, beside `devices`;
 * withdraws them again. */
enum rc tool_batches(struct tool *t, uint64_t devices, unsigned count);
/* Changes the store name by name, and each time the one in `secondary` follows it by IXFR: a copy
 * of this one. */
enum rc tool_follow(struct tool *t, const char *secondary, unsigned count, struct diag *d);
/* Sorts them and prints median, p99 and maximum as one JSON line. */
void tool_print_times(double *ms, unsigned count);
/* Serves on free ports of 127.0.0.1 (prints them as JSON) until standard input ends. */
enum rc tool_serve(const char *dir, const char *dot_cert, const char *dot_key);
/* Binds an UDP socket to a free port; *port. */
int tool_udp(uint16_t *port);

double tool_seconds(void);
/* Of this process, all threads. */
double tool_cpu_seconds(void);
