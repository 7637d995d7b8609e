/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Inside mno/: OTA keys in a PKCS#11 token, where they stay: the token ciphers and signs. A SIM's
 * keys are its secret-key objects "ICCID.kic" and "ICCID.kid" (the ICCID as in an owner name). One
 * session; a token that has gone is opened again at the next use. */

#include "mno/internal.h"

struct mno__hsm;

/* Opens the token of that label and logs in with the first line of the PIN file (0600). */
enum rc mno__hsm_new(
	const struct mno_config *config, struct mno__hsm **out, struct diag *d) ATT_MUST_CHECK;
void mno__hsm_free(struct mno__hsm *h);
/* The operations of scp80_keys.engine; `user` of the engine is the struct mno__hsm, `which` of the
 * keys the SIM (struct mno_sim_key). */
const struct scp80_engine *mno__hsm_engine(struct mno__hsm *h);
/* Whether the token has both keys of a SIM. */
enum rc mno__hsm_has(
	struct mno__hsm *h, const struct mno_sim_key *sim, struct diag *d) ATT_MUST_CHECK;
