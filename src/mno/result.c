/* SPDX-License-Identifier: Apache-2.0 */
#include "mno/internal.h"

#include "base/str.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static json_t *b64_json(const uint8_t *bytes, size_t len)
{
	char *text = malloc(B64_LEN(len));
	json_t *j = NULL;

	if (text) {
		b64_write(bytes, len, text);
		j = json_string(text);
	}
	free(text);
	return j;
}

static json_t *receipt(uint8_t id, const uint8_t *por, size_t len)
{
	char hex[3];
	json_t *j = json_object();

	hex_write(&id, 1, hex);
	for (char *c = hex; *c; c++)
		*c = *c >= 'a' ? (char)(*c - 32) : *c;
	json_object_set_new(j, "id", json_string(hex));
	json_object_set_new(j, "por", b64_json(por, len));
	return j;
}

json_t *mno__task_result(const struct mno_task *t)
{
	json_t *j = json_object(), *receipts = json_array();

	json_object_set_new(j, "status", json_string(t->outcome == MNO_OK ? "ok" : "failed"));
	if (t->outcome != MNO_OK)
		json_object_set_new(j, "reason", json_string(t->reason));
	if (t->outcome == MNO_OK && t->kind == MNO_KEYGEN)
		json_object_set_new(j, "csr", b64_json(t->csr, t->csr_len));
	if (t->have_status)
		json_object_set_new(j, "card_status", b64_json(t->status, sizeof(t->status)));
	for (size_t i = 0; i < t->n_files; i++)
		if (t->files[i].done)
			json_array_append_new(receipts,
				receipt(t->files[i].id, t->files[i].por, t->files[i].por_len));
	if (t->n_files == 0 && t->por_len > 0 && t->outcome == MNO_OK)
		json_array_append_new(
			receipts, receipt(t->slot == 1 ? 1 : (uint8_t)(t->slot << 4 | 1), t->por,
					  t->por_len));
	if (json_array_size(receipts) > 0)
		json_object_set(j, "receipts", receipts);
	json_decref(receipts);
	return j;
}

json_t *mno__task_progress(const struct mno_task *t)
{
	json_t *j = json_object(), *files = json_array();

	if (t->csr_len > 0) {
		json_object_set_new(j, "csr_len", json_integer((json_int_t)t->csr_len));
		json_object_set_new(
			j, "csr_sha256", b64_json(t->csr_sha256, sizeof(t->csr_sha256)));
		json_object_set_new(j, "csr", b64_json(t->csr, t->csr_have));
		json_object_set_new(j, "csr_made", json_integer(t->csr_made));
	}
	for (size_t i = 0; i < t->n_files; i++)
		json_array_append_new(
			files, t->files[i].done ? b64_json(t->files[i].por, t->files[i].por_len)
						: json_null());
	json_object_set_new(j, "files", files);
	if (t->writing) /* for people: after a restart the file begins anew */
		json_object_set_new(j, "writing",
			json_pack("{s:i, s:I, s:I}", "id", t->write.id, "done",
				(json_int_t)t->write.done, "of", (json_int_t)t->write.len));
	return j;
}

void mno__task_step(const struct mno_task *t, const json_t *progress, char *out, size_t cap)
{
	const json_t *w = json_object_get(progress, "writing");
	size_t done = 0;

	for (size_t i = 0; i < t->n_files; i++)
		done += t->files[i].done;
	if (t->kind == MNO_KEYGEN && t->csr_len == 0)
		(void)snprintf(out, cap, "the card makes its keys and a CSR");
	else if (t->kind == MNO_KEYGEN)
		(void)snprintf(out, cap, "CSR: %zu of %zu bytes read", t->csr_have, t->csr_len);
	else if (t->kind == MNO_INSTALL && w)
		(void)snprintf(out, cap, "%zu of %zu files, %02X: %lld of %lld bytes", done,
			t->n_files, (unsigned)json_integer_value(json_object_get(w, "id")),
			(long long)json_integer_value(json_object_get(w, "done")),
			(long long)json_integer_value(json_object_get(w, "of")));
	else if (t->kind == MNO_INSTALL)
		(void)snprintf(out, cap, "%zu of %zu files", done, t->n_files);
	else
		(void)snprintf(out, cap, "sent, no receipt yet");
}

static bool get_b64(const json_t *v, uint8_t *out, size_t cap, size_t *len)
{
	return json_is_string(v) &&
	       b64_read(json_string_value(v), json_string_length(v), out, cap, len) == RC_OK;
}

/* A file that was on its way starts anew: the card drops a half-written one at the next BEGIN. It
 * may have committed it just before we stopped, so an install asks first. */
void mno__task_resume(struct mno_task *t, const json_t *progress)
{
	json_int_t len = json_integer_value(json_object_get(progress, "csr_len"));
	const json_t *files = json_object_get(progress, "files");
	size_t n = 0, hash = 0;

	if (len > 0 && len <= MNO_CSR_MAX &&
		get_b64(json_object_get(progress, "csr"), t->csr, (size_t)len, &n) &&
		get_b64(json_object_get(progress, "csr_sha256"), t->csr_sha256,
			sizeof(t->csr_sha256), &hash) &&
		hash == sizeof(t->csr_sha256) && n < (size_t)len) {
		t->csr_len = (size_t)len;
		t->csr_have = n;
		t->csr_made = (unsigned)json_integer_value(json_object_get(progress, "csr_made"));
	}
	for (size_t i = 0; i < t->n_files; i++)
		if (get_b64(json_array_get(files, i), t->files[i].por, sizeof(t->files[i].por),
			    &t->files[i].por_len))
			t->files[i].done = true;
	t->look_first = t->kind == MNO_INSTALL;
}
