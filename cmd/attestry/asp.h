/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* attestry asp: a provider's middleware at a prompt. Every step is one of attest_services.h. */

#include "attest_services.h"
#include "cli.h"

/* Says what went wrong; the exit code. */
int asp_error(enum attest_error e, const char *error);
int asp_login(struct cli *cli, struct attest_registry **out);
/* 0 when the option was not given. */
int asp_number(struct cli *cli, const char *opt, unsigned *out);
int asp_show(struct cli *cli, json_t *take, const struct out_col *cols);
/* From the options --est...; false: none is named. */
bool asp_ca(const struct cli *cli, struct attest_ca *out);
/* A request in a PEM file, DER into new memory. */
int asp_csr(const char *path, unsigned char **der, size_t *len);

int asp_card(struct cli *cli); /* asp_device.c */
int asp_credential(struct cli *cli);
int asp_server(struct cli *cli); /* asp_server.c */
int asp_certificate(struct cli *cli);
int asp_trust(struct cli *cli); /* asp_trust.c */
