/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What is made anew in a registry's folder over the years: the payload signer's key, and the
 * certificates of its CAs. For `attestry`, while attestryd is down: issued.log is taken, RC_BUSY
 * when it is in use. What changes reaches the cards by itself once attestryd runs again. */

#include "ca/init.h"

/* A signer's key is replaced in three steps, so that every device hears of the next one by the one
 * that it believes: keys/payload-next.key and its certificates are made; they take the place of
 * payload.*, which becomes payload-old.*; that is taken away. RC_EXISTS, RC_STATE: not the step's
 * turn. */
enum rc ca_signer_prepare(const char *dir, int64_t now, struct diag *d) ATT_MUST_CHECK;
enum rc ca_signer_switch(const char *dir, struct diag *d) ATT_MUST_CHECK;
enum rc ca_signer_retire(const char *dir, struct diag *d) ATT_MUST_CHECK;

enum ca_renew_what { CA_RENEW_ROOT, CA_RENEW_ISSUING, CA_RENEW_DEVKIT };

/* A new certificate for a CA's present key: same name, later end. `cert_pem`: it is there already
 * (a root elsewhere signed it); else `root_key` signs. An issuing CA's payload signer gets a new
 * certificate too. */
struct ca_renew_params {
	const char *dir;
	enum ca_renew_what what;
	const char *root_key; /* PEM file */
	const char *cert_pem; /* or this */
	unsigned days;	      /* 0: as init gives */
	int64_t now;
};
enum rc ca_renew(const struct ca_renew_params *params, struct diag *d) ATT_MUST_CHECK;
