/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The settings of a PKCS#11 token as ca/ wants them; for role keys, and for
 * commands that make keys beside it. */

#include "ca/keyring.h"
#include "role/config.h"

/* opts.module NULL: no token is set. Borrows from the configuration. Tells the module of its own
 * configuration file by the environment. */
enum rc config_token(
	const struct config *conf, struct ca_keyring_token *out, struct diag *d) ATT_MUST_CHECK;
