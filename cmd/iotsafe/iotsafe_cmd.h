/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* `iotsafe`: what is on the card, for people and scripts. A table of subcommands; each returns the
 * program's exit code. */

#include "base/diag.h"
#include "iotsafe.h"

#include <jansson.h>
#include <openssl/x509.h>
#include <stdbool.h>
#include <stdio.h>

/* Exit codes, as `attestry verify` has them. */
enum { EXIT_YES = 0, EXIT_NO = 1, EXIT_CANNOT_TELL = 2, EXIT_USAGE = 64 };

struct run {
	const char *card; /* --card, or NULL: IOTSAFE_CARD */
	bool json;
	unsigned slot;
	const char *state;  /* --state: folder of what was accepted before */
	const char *apply;  /* --apply: folder of files for other programs */
	const char *hook;   /* --hook: program to run */
	const char *listen; /* --listen: ADDRESS:PORT */
	const char *every;  /* --every: seconds */
	const char *ca;	    /* --ca: PEM file */
	const char *user;   /* --user: NAME:FILE, the file holds a password */
	const char *out;    /* --out: file */
	bool once;	    /* --once */
	int argc;	    /* what follows the subcommand's name and the common options */
	char **argv;
};

/* A subcommand; of one name, as many rows as it has forms. */
struct verb {
	const char *name, *args, *what;
	int (*run)(const struct run *run);
};
void help_print(FILE *out, const struct verb *verbs, size_t count);
void help_manual(FILE *out, const struct verb *verbs, size_t count); /* iotsafe(1) */

/* Opens the card or says why not; NULL then. */
struct iotsafe *cmd_open(const struct run *run);
/* "iotsafe: WHAT: the card's sentence"; returns EXIT_NO or, for a card that is not there,
 * EXIT_CANNOT_TELL. */
int cmd_card_error(
	const struct run *run, const struct iotsafe *card, enum iotsafe_error e, const char *what);
/* "iotsafe: text" in the form asked for. */
int cmd_fail(const struct run *run, int code, const char *text);
/* One or two hex digits; of cards that have longer names, up to 40. */
bool cmd_id(const char *text, unsigned char *id);
bool cmd_long_id(const char *text, unsigned char bytes[IOTSAFE_ID_MAX], struct iotsafe_id *id);
/* A request (PKCS#10) signed by a key on the card, for the names of certificate `like` or, where
 * that is NULL, common name `cn` (NULL: none). NULL when the card or OpenSSL says no. Free with
 * X509_REQ_free. */
X509_REQ *cmd_csr_make(EVP_PKEY *key, const char *cn, const X509 *like);
#define CN_MAX 64 /* RFC 5280 appendix A.1 */
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
int cmd_watch(const struct run *run);
int cmd_enroll(const struct run *run);
int cmd_doctor(const struct run *run);
