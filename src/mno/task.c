/* SPDX-License-Identifier: Apache-2.0 */
#include "mno/internal.h"

#include "base/str.h"

#include <openssl/evp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define N_KEY	    0x1 /* numbers of formats.md section 1 */
#define N_CERT	    0x2
#define N_AGREEMENT 0xb
#define N_PAYLOAD   0xd
#define SW_OK	    0x9000
#define SW_STATE    0x6985
#define SW_HASH	    0x6400
#define CSR_TRIES   3
#define WRITE_TRIES 32 /* on bad air the receipt of a COMMIT may be lost again and again */

static const char *const kinds[MNO_KINDS] = { "keygen", "install", "block", "unblock", "wipe",
	"status" };

const char *mno__kind_text(enum mno_kind kind)
{
	return kind < MNO_KINDS ? kinds[kind] : "?";
}

static uint8_t container(unsigned slot, unsigned n)
{
	return (uint8_t)(slot == 1 ? n : slot << 4 | n);
}

void mno__task_fail(struct mno_task *t, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(t->reason, sizeof(t->reason), fmt, ap);
	va_end(ap);
	t->outcome = MNO_FAILED;
}

static bool read_b64(const json_t *j, const char *name, uint8_t *out, size_t cap, size_t *len)
{
	const json_t *v = json_object_get(j, name);

	return json_is_string(v) &&
	       b64_read(json_string_value(v), json_string_length(v), out, cap, len) == RC_OK;
}

static bool read_file(const json_t *j, struct mno_file *f)
{
	const char *id = json_string_value(json_object_get(j, "id"));
	const char *hash = json_string_value(json_object_get(j, "sha256"));
	uint8_t given[REMOTE_HASH_LEN];

	f->data = malloc(MNO_FILE_MAX);
	if (!f->data || !id || hex_read(id, &f->id, 1) != RC_OK ||
		!read_b64(j, "data", f->data, MNO_FILE_MAX, &f->len) || f->len == 0 ||
		EVP_Digest(f->data, f->len, f->sha256, NULL, EVP_sha256(), NULL) != 1)
		return false;
	return hash && hex_read(hash, given, sizeof(given)) == RC_OK &&
	       memcmp(given, f->sha256, sizeof(given)) == 0;
}

static bool read_files(struct mno_task *t, const json_t *job)
{
	const json_t *files = json_object_get(job, "files");

	if (json_array_size(files) == 0 || json_array_size(files) > MNO_FILES_MAX)
		return false;
	for (size_t i = 0; i < json_array_size(files); i++) {
		t->n_files++;
		if (!read_file(json_array_get(files, i), &t->files[i]))
			return false;
	}
	return true;
}

static bool read_kind(const json_t *job, enum mno_kind *kind)
{
	const char *text = json_string_value(json_object_get(job, "kind"));

	for (int k = 0; text && k < MNO_KINDS; k++) {
		if (strcmp(text, kinds[k]) == 0) {
			*kind = (enum mno_kind)k;
			return true;
		}
	}
	return false;
}

/* int64 is a string in protobuf's JSON, a number in formats.md: both are taken. */
static int64_t read_int(const json_t *job, const char *name)
{
	const json_t *v = json_object_get(job, name);
	uint64_t n = 0;

	if (json_is_string(v) && u64_read(json_string_value(v), 0, INT64_MAX, &n) == RC_OK)
		return (int64_t)n;
	return json_integer_value(v);
}

/* What the kind needs; RC_MALFORMED otherwise. */
static enum rc read_job(struct mno_task *t, const json_t *job, struct diag *d)
{
	const char *iccid = json_string_value(json_object_get(job, "iccid"));
	const char *owner = json_string_value(json_object_get(job, "owner_name"));
	const char *nonce = json_string_value(json_object_get(job, "nonce"));
	int64_t slot = read_int(job, "slot"), attempt = read_int(job, "attempt");
	uint8_t ef[IDENT_ICCID_LEN];

	if (!read_kind(job, &t->kind))
		return diag_set(d, RC_UNSUPPORTED, "kind: none we know");
	if (!iccid || ident_iccid_read(iccid, ef) != RC_OK ||
		ident_iccid_write(ef, t->iccid) != RC_OK)
		return diag_set(d, RC_MALFORMED, "iccid: not an ICCID");
	if (slot < IDENT_SLOT_MIN || slot > IDENT_SLOT_MAX)
		return diag_set(d, RC_MALFORMED, "slot: not 1..9");
	t->slot = (unsigned)slot;
	t->attempt = attempt > 0 && attempt < 1000000 ? (unsigned)attempt : 1;
	t->not_after = read_int(job, "not_after");
	t->look_first = t->attempt > 1;
	if (t->kind == MNO_KEYGEN &&
		(!owner || str_copy(t->owner_name, sizeof(t->owner_name), owner) != RC_OK))
		return diag_set(d, RC_MALFORMED, "owner_name: missing or too long");
	if (t->kind == MNO_KEYGEN &&
		(!nonce || hex_read(nonce, t->nonce, sizeof(t->nonce)) != RC_OK))
		return diag_set(d, RC_MALFORMED, "nonce: not 16 bytes in hex");
	if (t->kind == MNO_INSTALL && !read_files(t, job))
		return diag_set(d, RC_MALFORMED, "files: id, data or sha256 wrong, or too many");
	return RC_OK;
}

enum rc mno__task_new(const json_t *job, struct mno_task **out, struct diag *d)
{
	const char *id = json_string_value(json_object_get(job, "id"));
	struct mno_task *t = NULL;
	struct diag why = { 0 };

	if (!id || !*id || strlen(id) > MNO_ID_MAX || strpbrk(id, "/?#% "))
		return diag_set(d, RC_MALFORMED, "job: no usable id");
	t = calloc(1, sizeof(*t));
	if (!t)
		return diag_set(d, RC_NOMEM, "job: no memory");
	memcpy(t->id, id, strlen(id) + 1);
	t->source = json_deep_copy(job);
	if (!t->source) {
		free(t);
		return diag_set(d, RC_NOMEM, "job: no memory");
	}
	if (read_job(t, job, &why) != RC_OK)
		mno__task_fail(t, "job not usable: %.100s", why.text);
	*out = t;
	return RC_OK;
}

void mno__task_free(struct mno_task *t)
{
	if (!t)
		return;
	for (size_t i = 0; i < MNO_FILES_MAX; i++)
		free(t->files[i].data);
	json_decref(t->source);
	free(t);
}

static void next_keygen(struct mno_task *t, struct put *p)
{
	uint8_t id = container(t->slot, N_KEY);

	if (t->csr_len == 0) {
		if (t->slot != 1)
			remote_put_create_slot(p, t->slot);
		remote_put_generate_key(p, id);
		remote_put_generate_key(p, container(t->slot, N_AGREEMENT));
		remote_put_make_csr(p, id, t->owner_name, t->nonce);
		return;
	}
	size_t left = t->csr_len - t->csr_have;

	remote_put_read_block(p, REMOTE_BUFFER, (uint16_t)t->csr_have,
		(uint8_t)(left < REMOTE_BLOCK_MAX ? left : REMOTE_BLOCK_MAX));
}

/* Files already on the card are passed over; one file at a time, whole or in several packets. */
static enum rc next_install(struct mno_task *t, struct put *p)
{
	if (t->look_first) {
		remote_put_status(p, t->slot);
		return RC_OK;
	}
	for (size_t i = 0; i < t->n_files; i++) {
		struct mno_file *f = &t->files[i];

		if (f->done)
			continue;
		if (!t->writing) {
			enum rc rc = remote_write_init(&t->write, f->id, f->data, f->len);

			if (rc != RC_OK)
				return rc;
			t->writing = true;
		}
		(void)remote_write_fill(&t->write, p);
		return RC_OK;
	}
	return RC_STATE;
}

enum rc mno__task_anew(struct mno_task *t, struct put *p)
{
	t->write = t->mark.write;
	t->writing = t->mark.writing;
	return mno__task_next(t, p);
}

enum rc mno__task_next(struct mno_task *t, struct put *p)
{
	enum rc rc = RC_OK;

	t->mark.write = t->write;
	t->mark.writing = t->writing;
	switch (t->kind) {
	case MNO_KEYGEN: next_keygen(t, p); break;
	case MNO_INSTALL: rc = next_install(t, p); break;
	case MNO_BLOCK:
		remote_put_key_state(p, container(t->slot, N_KEY), REMOTE_KEY_BLOCKED);
		break;
	case MNO_UNBLOCK:
		remote_put_key_state(p, container(t->slot, N_KEY), REMOTE_KEY_ACTIVE);
		break;
	case MNO_WIPE: remote_put_wipe_slot(p, t->slot); break;
	case MNO_STATUS: remote_put_status(p, t->slot); break;
	case MNO_KINDS: rc = RC_INTERNAL; break;
	}
	return rc == RC_OK && !put_ok(p) ? RC_TOO_LARGE : rc;
}

static void take_csr(struct mno_task *t, struct cur data)
{
	struct remote_csr made;

	if (remote_csr_read(data, &made) != RC_OK || made.len == 0 || made.len > MNO_CSR_MAX) {
		mno__task_fail(t, "card: answer to MAKE CSR does not parse");
		return;
	}
	t->csr_len = made.len;
	t->csr_have = 0;
	t->csr_made++;
	memcpy(t->csr_sha256, made.sha256, sizeof(t->csr_sha256));
}

/* The whole CSR must be the one the card announced; otherwise it was replaced while we read. */
static void take_block(struct mno_task *t, struct cur data)
{
	uint8_t sha256[REMOTE_HASH_LEN];

	if (data.left == 0 || data.left > t->csr_len - t->csr_have) {
		mno__task_fail(t, "card: READ BLOCK gave %zu bytes of %zu", data.left,
			t->csr_len - t->csr_have);
		return;
	}
	size_t n = data.left;

	cur_copy(&data, t->csr + t->csr_have, n);
	t->csr_have += n;
	if (t->csr_have < t->csr_len)
		return;
	if (EVP_Digest(t->csr, t->csr_len, sha256, NULL, EVP_sha256(), NULL) == 1 &&
		memcmp(sha256, t->csr_sha256, sizeof(sha256)) == 0) {
		t->outcome = MNO_OK;
		return;
	}
	if (t->csr_made >= CSR_TRIES)
		mno__task_fail(t, "card: CSR does not have the announced SHA-256");
	t->csr_len = t->csr_have = 0;
}

static void take_status(struct mno_task *t, struct cur data)
{
	struct remote_slot_status s;

	if (data.left != sizeof(t->status) || remote_status_read(data, &s) != RC_OK) {
		mno__task_fail(t, "card: answer to STATUS does not parse");
		return;
	}
	cur_copy(&data, t->status, sizeof(t->status));
	t->have_status = true;
	if (t->kind == MNO_STATUS)
		t->outcome = MNO_OK;
	if (t->kind != MNO_INSTALL)
		return;
	t->look_first = false;
	for (size_t i = 0; i < t->n_files; i++) {
		struct mno_file *f = &t->files[i];
		const uint8_t *there = f->id == container(t->slot, N_CERT)	? s.certificate
				       : f->id == container(t->slot, N_PAYLOAD) ? s.payload
										: NULL;

		if (there && memcmp(there, f->sha256, sizeof(f->sha256)) == 0) {
			f->done = true;
			f->por_len = t->por_len;
			memcpy(f->por, t->por, t->por_len);
		}
	}
}

static void take_commit(struct mno_task *t)
{
	for (size_t i = 0; i < t->n_files; i++) {
		struct mno_file *f = &t->files[i];

		if (f->done || f->id != t->write.id)
			continue;
		f->done = true;
		f->por_len = t->por_len;
		memcpy(f->por, t->por, t->por_len);
		break;
	}
	t->writing = false;
}

/* The card knows of no file on its way, or of another: our COMMIT was done and its receipt lost, or
 * the card has begun anew. It is asked what it has, and what it lacks starts from the beginning. */
static bool begin_anew(struct mno_task *t, const struct remote_answer *a)
{
	bool lost = (a->tag == REMOTE_WRITE_BLOCK || a->tag == REMOTE_WRITE_COMMIT) &&
		    (a->sw == SW_STATE || a->sw == SW_HASH);

	if (!lost || t->begun_anew >= WRITE_TRIES)
		return false;
	t->begun_anew++;
	t->writing = false;
	t->look_first = true;
	return true;
}

static void take_answer(struct mno_task *t, const struct remote_answer *a)
{
	if (a->sw != SW_OK) {
		mno__task_fail(t, "card: command %02X answers %04X", a->tag, a->sw);
		return;
	}
	switch (a->tag) {
	case REMOTE_MAKE_CSR: take_csr(t, a->data); break;
	case REMOTE_READ_BLOCK: take_block(t, a->data); break;
	case REMOTE_STATUS: take_status(t, a->data); break;
	case REMOTE_WRITE_COMMIT: take_commit(t); break;
	case REMOTE_KEY_STATE:
	case REMOTE_WIPE_SLOT: t->outcome = MNO_OK; break;
	default: break; /* a 9000 is all there is to know */
	}
}

/* What the packet's last command was, so that a list which broke off is not taken for a whole. */
static bool complete(const struct mno_task *t, uint8_t last)
{
	switch (t->kind) {
	case MNO_KEYGEN: return last == REMOTE_MAKE_CSR || last == REMOTE_READ_BLOCK;
	case MNO_INSTALL:
		return last == REMOTE_STATUS || last == REMOTE_WRITE_COMMIT ||
		       (t->writing && !t->write.committed && last != 0);
	case MNO_BLOCK:
	case MNO_UNBLOCK: return last == REMOTE_KEY_STATE;
	case MNO_WIPE: return last == REMOTE_WIPE_SLOT;
	case MNO_STATUS: return last == REMOTE_STATUS;
	case MNO_KINDS: break;
	}
	return false;
}

void mno__task_answer(struct mno_task *t, struct cur answers, const uint8_t *por, size_t por_len)
{
	struct remote_answer a;
	uint8_t last = 0;

	t->por_len = por_len <= sizeof(t->por) ? por_len : sizeof(t->por);
	memcpy(t->por, por, t->por_len);
	while (t->outcome != MNO_FAILED && remote_answer_next(&answers, &a)) {
		last = a.tag;
		if (begin_anew(t, &a))
			return;
		take_answer(t, &a);
	}
	if (t->outcome != MNO_FAILED && (answers.bad || !complete(t, last)))
		mno__task_fail(t, "card: its answers are not those to the commands sent");
	if (t->outcome != MNO_RUNNING || t->kind != MNO_INSTALL || t->look_first)
		return;
	for (size_t i = 0; i < t->n_files; i++)
		if (!t->files[i].done)
			return;
	t->outcome = MNO_OK;
}
