/* SPDX-License-Identifier: Apache-2.0 */
/* Proofs that keys live on SIMs: who must bring one, what an order says of it, what is kept. */
#include "registry/internal.h"

#include <string.h>

bool reg__attest_required(const struct registry_run *run, const struct store_profile_view *v)
{
	const struct registry_settings *s = &run->reg->settings;

	for (size_t i = 0; i < s->attest_require_count; i++) {
		if (reg__range_covers(s->attest_require[i], v->mno, v->iccid))
			return true;
	}
	return false;
}

/* A stored CSR is of a key whose proof was looked at when it came. */
enum rc reg__attest_order(struct registry_run *run, const struct store_profile_view *v,
	const struct reg__csr *csr, Keys__CertOrder *o)
{
	struct store_blob cert;
	enum rc rc;

	if (csr->stored)
		return RC_OK;
	o->attest_require = reg__attest_required(run, v);
	if (!csr->nonce)
		return RC_OK;
	/* The order outlives the job that was read. */
	o->nonce = (ProtobufCBinaryData){ STORE_NONCE,
		arena_dup(run->arena, csr->nonce, STORE_NONCE) };
	if (!o->nonce.data)
		return RC_NOMEM;
	rc = store_attest_get(run->reg->store, v->p.device, run->arena, &cert);
	if (rc == RC_OK)
		o->attest_cert =
			(ProtobufCBinaryData){ cert.len, (uint8_t *)(uintptr_t)cert.bytes };
	return rc == RC_NOT_FOUND ? RC_OK : rc;
}

enum rc reg__attest_keep(
	struct registry_run *run, const struct store_profile_view *v, const Keys__CertResult *r)
{
	enum rc rc = RC_OK;

	if (*r->maker && strlen(r->maker) < STORE_MAKER_MAX) {
		rc = store_key_prove(run->reg->store, v->key_spki, r->maker, run->now);
		if (rc == RC_OK)
			rc = reg__audit(run, reg__profile_name(run, v),
				"the key lives on the SIM, says maker %.63s", r->maker);
	} else if (*r->attest_why) {
		rc = reg__audit(
			run, reg__profile_name(run, v), "key not proven: %.200s", r->attest_why);
	}
	return rc;
}

enum rc reg__attest_show(
	struct registry_run *run, const struct store_profile_view *v, Registry__Profile *m)
{
	char maker[STORE_MAKER_MAX];
	enum rc rc;

	if (!v->p.key)
		return RC_OK;
	rc = store_key_proven(run->reg->store, v->key_spki, maker);
	if (rc == RC_NOT_FOUND)
		return RC_OK;
	if (rc == RC_OK) {
		m->attested = true;
		m->attested_by = arena_str(run->arena, maker);
	}
	return rc;
}
