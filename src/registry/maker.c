/* SPDX-License-Identifier: Apache-2.0 */
/* Makers confirm their devices: by a list that they sign (front has checked the signature against
 * the very key of the session), or by the attestation key of the device's SIM. */
#include "base/ident.h"
#include "registry/internal.h"

#include <stdio.h>
#include <string.h>

#define SIGNATURE_MAX 128 /* ECDSA, DER */
#define KEY_MAX	      200 /* SubjectPublicKeyInfo */

static bool digits(const char *text, size_t min, size_t max)
{
	size_t len = strlen(text);

	return len >= min && len <= max && strspn(text, "0123456789") == len;
}

/* What is wrong with a row in itself; NULL when nothing is. */
static const char *row_fault(const Registry__MakerRow *row, struct store_maker *m)
{
	uint8_t bytes[IDENT_EID_LEN];
	char text[IDENT_EID_TEXT];
	int given = (*row->eid != 0) + (*row->imei != 0) + (*row->iccid != 0);

	if (given != 1)
		return "one of eid, imei and iccid is needed";
	if (!reg__text_ok(row->model, 0, sizeof(m->model) - 1))
		return "model: text of at most 64 bytes";
	snprintf(m->model, sizeof(m->model), "%s", row->model);
	if (*row->eid) {
		if (ident_eid_read(row->eid, bytes) != RC_OK ||
			ident_eid_write(bytes, text) != RC_OK)
			return "eid: 32 digits whose number is 1 modulo 97 (SGP.29)";
		snprintf(m->id, sizeof(m->id), "eid:%s", text);
	} else if (*row->imei) {
		if (!digits(row->imei, 14, 16))
			return "imei: 14 to 16 digits";
		snprintf(m->id, sizeof(m->id), "imei:%s", row->imei);
	} else {
		if (ident_iccid_read(row->iccid, bytes) != RC_OK ||
			ident_iccid_write(bytes, text) != RC_OK)
			return "iccid: 19 digits and f, or 20 digits";
		snprintf(m->id, sizeof(m->id), "iccid:%s", text);
	}
	return NULL;
}

/* Nobody takes another maker's device. */
static enum rc save_row(struct registry_run *run, struct store_maker *m, const char **fault)
{
	const ProtobufCBinaryData *sig = &run->request->maker_confirm->signature;
	struct store_maker other;
	enum rc rc = store_maker_get(run->reg->store, m->id, &other);

	if (rc == RC_OK && !reg__is_caller(run, other.maker)) {
		*fault = "confirmed by another maker already";
		return RC_OK;
	}
	if (rc != RC_OK && rc != RC_NOT_FOUND)
		return rc;
	snprintf(m->maker, sizeof(m->maker), "%s", run->caller->id);
	m->confirmed = run->now;
	return store_maker_set(run->reg->store, m, (struct store_blob){ sig->data, sig->len });
}

static enum rc refuse(struct registry_run *run, Registry__InventoryData *out, size_t i,
	Registry__Code code, const char *why)
{
	Registry__RowResult *r = arena_alloc(run->arena, sizeof(*r));

	if (!r)
		return RC_NOMEM;
	registry__row_result__init(r);
	r->row = (uint32_t)i;
	r->code = code;
	r->reason = (char *)(uintptr_t)why;
	out->refused[out->n_refused++] = r;
	return RC_OK;
}

enum rc reg__maker_confirm(struct registry_run *run)
{
	const Registry__MakerConfirm *m = run->request->maker_confirm;
	Registry__InventoryData *out = arena_alloc(run->arena, sizeof(*out));
	enum rc rc = RC_OK;

	if (m->n_rows < 1 || m->n_rows > REGISTRY_ROWS_MAX)
		return reg__no(run, m->n_rows ? CODE(RANGE) : CODE(MISSING), "rows", "1 to %d rows",
			REGISTRY_ROWS_MAX);
	if (!m->signature.len || m->signature.len > SIGNATURE_MAX || m->key.len > KEY_MAX)
		return reg__no(run, CODE(MISSING), "signature", "the list is to be signed");
	if (!out)
		return RC_NOMEM;
	registry__inventory_data__init(out);
	out->refused = arena_array(run->arena, m->n_rows, sizeof(*out->refused));
	for (size_t i = 0; out->refused && i < m->n_rows && rc == RC_OK; i++) {
		struct store_maker one = { 0 };
		const char *fault = row_fault(m->rows[i], &one);
		Registry__Code code = fault ? CODE(VALUE_SYNTAX) : CODE(EXISTS);

		if (!fault)
			rc = save_row(run, &one, &fault);
		if (rc == RC_OK && fault)
			rc = refuse(run, out, i, code, fault);
		else if (rc == RC_OK)
			out->loaded++;
	}
	if (rc == RC_OK)
		rc = reg__audit(run, run->caller->id, "confirmed=%u refused=%zu", out->loaded,
			out->n_refused);
	run->reply.code = CODE(OK);
	run->reply.result_case = REGISTRY__REPLY__RESULT_INVENTORY;
	run->reply.inventory = out;
	return rc;
}

/* ---- showing ------------------------------------------------------------------------------ */

static enum rc by_list(
	struct registry_run *run, const struct store_device *d, struct store_maker *m)
{
	const char *const kinds[] = { "eid", "imei", "iccid" };
	const char *const values[] = { d->eid, d->imei, d->iccid };
	enum rc rc = RC_NOT_FOUND;
	char id[48];

	for (size_t i = 0; i < ARRAY_LEN(kinds) && rc == RC_NOT_FOUND; i++) {
		if (!*values[i])
			continue;
		snprintf(id, sizeof(id), "%s:%s", kinds[i], values[i]);
		rc = store_maker_get(run->reg->store, id, m);
	}
	return rc;
}

/* The maker that vouches for a key on the device's SIM, of whichever slot. */
static enum rc by_attestation(
	struct registry_run *run, const struct store_device *d, char maker[STORE_MAKER_MAX])
{
	int64_t ids[16];
	size_t n = 0;
	enum rc rc = store_device_profiles(run->reg->store, d->id, ARRAY_LEN(ids), ids, &n);

	maker[0] = '\0';
	for (size_t i = 0; i < n && rc == RC_OK && !*maker; i++) {
		struct store_profile_view v;

		rc = store_profile_by_id(run->reg->store, ids[i], &v);
		if (rc == RC_OK && v.p.key)
			rc = store_key_proven(run->reg->store, v.key_spki, maker);
		if (rc == RC_NOT_FOUND)
			rc = RC_OK;
	}
	return rc;
}

enum rc reg__maker_show(struct registry_run *run, const struct store_device *d, Registry__Device *m)
{
	char vouches[STORE_MAKER_MAX];
	struct store_maker found;
	enum rc rc = by_list(run, d, &found);

	if (rc == RC_OK) {
		m->maker = arena_str(run->arena, found.maker);
		m->maker_by = arena_str(run->arena, "list");
		m->model = arena_str(run->arena, found.model);
		m->maker_confirmed = found.confirmed;
		return RC_OK;
	}
	if (rc == RC_NOT_FOUND)
		rc = by_attestation(run, d, vouches);
	if (rc == RC_OK && *vouches) {
		m->maker = arena_str(run->arena, vouches);
		m->maker_by = arena_str(run->arena, "attestation");
	}
	return rc;
}
