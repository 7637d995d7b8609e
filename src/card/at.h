/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The command interpreter of a modem in front of a card (ITU-T V.250, 3GPP TS 27.007 section 8.17
 * and 8.43 to 8.45): bytes from the line in, bytes for the line out. Knows only what software that
 * talks to the SIM needs; every other command answers ERROR, and what is no command nothing. */

#include "card/card.h"

#define AT_LINE_MAX 1023 /* characters of one command line; longer ones answer ERROR */
#define AT_NAME_MAX 15

enum at_form { AT_EXECUTE, AT_SET, AT_READ, AT_TEST };

/* One command line taken apart. */
struct at_command {
	char name[AT_NAME_MAX +
		  1]; /* upper case, without AT and '+': "CSIM", "^SCID"; "E", "I", "" */
	enum at_form form;
	const char *args; /* borrowed from the line: what follows '=', or the digits of "E0" */
};

/* RC_MALFORMED: not a command line. */
enum rc at_parse(const char *line, struct at_command *out) ATT_MUST_CHECK;

typedef void at_output_fn(void *user, const char *text, size_t len);

/* How a modem is: borrowed, static storage does. */
struct at_manners {
	const char *model;  /* "attestry", "bg96", "cinterion"; NULL: the first */
	bool echo;	    /* before ATE, and after a reset */
	unsigned urc_every; /* before the answer to every n-th command, an unsolicited line; 0:
			       never */
	const struct clock *clock;
};

struct at_modem {
	struct card_session *session; /* borrowed */
	struct at_manners manners;
	const struct at_model *model;
	uint64_t count;	 /* commands so far */
	bool card_hangs; /* AT+XHANG=1: card commands have no answer until a reset */
	bool silent;	 /* this command has none */
	bool hung;	 /* AT+XHANG=0,s: nothing has */
	uint64_t hung_until_ms;
	int64_t clock_offset_s; /* AT+CCLK= */
	at_output_fn *output;
	void *user;
	bool echo;
	bool cme; /* AT+CMEE: errors have numbers */
	bool overlong;
	size_t len;
	char line[AT_LINE_MAX + 1];
};

/* RC_NOT_FOUND: no such model. */
enum rc at_init(struct at_modem *modem, struct card_session *session,
	const struct at_manners *manners, at_output_fn *output, void *user) ATT_MUST_CHECK;
void at_input(struct at_modem *modem, const uint8_t *bytes, size_t len);
