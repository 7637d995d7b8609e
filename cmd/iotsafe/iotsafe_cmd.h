/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* `iotsafe`: what is on the card, for people and scripts. A table of subcommands; each returns the
 * program's exit code. */

#include "base/diag.h"
#include "iotsafe.h"

#include <jansson.h>
#include <stdbool.h>

/* Exit codes, as `attestry verify` has them. */
enum { EXIT_YES = 0, EXIT_NO = 1, EXIT_CANNOT_TELL = 2, EXIT_USAGE = 64 };

struct run {
	const char *card; /* --card, or NULL: IOTSAFE_CARD */
	bool json;
	unsigned slot;
	int argc; /* what follows the subcommand's name and the common options */
	char **argv;
};

/* Opens the card or says why not; NULL then. */
struct iotsafe *cmd_open(const struct run *run);
/* "iotsafe: WHAT: the card's sentence"; returns EXIT_NO or, for a card that is not there,
 * EXIT_CANNOT_TELL. */
int cmd_card_error(const struct iotsafe *card, enum iotsafe_error e, const char *what);
/* "iotsafe: text" in the form asked for. */
int cmd_fail(const struct run *run, int code, const char *text);
/* One or two hex digits. */
bool cmd_id(const char *text, unsigned char *id);
/* Prints and frees. */
void cmd_print(json_t *o);

int cmd_info(const struct run *run);
int cmd_objects(const struct run *run);
int cmd_read(const struct run *run);
int cmd_sign(const struct run *run);
int cmd_csr(const struct run *run);
int cmd_random(const struct run *run);
int cmd_reset(const struct run *run);
int cmd_discover(const struct run *run);
int cmd_payload(const struct run *run);
int cmd_attest(const struct run *run);
int cmd_verify_text(const struct run *run);
int cmd_connect(const struct run *run);
int cmd_doctor(const struct run *run);
