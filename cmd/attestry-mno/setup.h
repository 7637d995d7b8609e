/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* attestry-mno setup: the operator's trusted connection to a registry, from nothing to a
 * configuration that works. Every step looks first at what is there already, so the same command
 * goes on where the last one stopped. No secret is an argument or is printed. */

#include "base/diag.h"

#include <jansson.h>
#include <stdbool.h>

struct setup {
	const char *dir, *id, *url, *ca;
	const char *sms, *smpp, *epp, *sims;	  /* all but sms: 0600 JSON files; NULL: none */
	const char *operator_cert, *operator_key; /* NULL: the registry's operator is another */
};

/* *waiting (with RC_OK): the certificate is not there yet, and what to do has been printed. */
enum rc setup_run(const struct setup *s, bool *waiting, struct diag *d) ATT_MUST_CHECK;

/* setup_card.c: what SIMs are personalised with, from the registry's answer to GET /v1/ca, into
 * DIR/card/. Refuses an answer without a resolver or with certificates that do not belong
 * together. */
enum rc setup_card(const char *dir, const json_t *ca, struct diag *d) ATT_MUST_CHECK;
