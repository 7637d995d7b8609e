/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Inside `attestry verify`. */

#include "cli.h"

#include "attest.h"

/* "host:port" with a port in it. */
bool verify_is_host(const char *what);
/* A TLS server against the TLSA records at _port._tcp.host. */
int verify_host(struct cli *cli, const struct attest_options *options, const char *what);
