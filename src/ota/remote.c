/* SPDX-License-Identifier: Apache-2.0 */
#include "ota/remote.h"

#include "base/tlv.h"

#include <openssl/evp.h>

#include <string.h>

/* Members of a command's value, formats.md section 3. */
#define M_NUMBER 0x80 /* slot, state, offset or total length */
#define M_BYTES	 0x81
#define M_HASH	 0x82
#define M_FILE	 0x83
#define M_KEY	 0x84
#define M_OWNER	 0xd8
#define M_NONCE	 0xd9

static void put_u8_member(struct put *p, uint8_t tag, uint8_t v)
{
	tlv_put(p, tag, &v, 1);
}

static void put_u16_member(struct put *p, uint8_t tag, uint16_t v)
{
	uint8_t b[2] = { (uint8_t)(v >> 8), (uint8_t)v };

	tlv_put(p, tag, b, sizeof(b));
}

/* A command whose only member is one byte. */
static void put_simple(struct put *p, uint8_t tag, uint8_t member, unsigned v)
{
	size_t mark = tlv_open(p, tag);

	put_u8_member(p, member, (uint8_t)v);
	tlv_close(p, mark);
}

void remote_put_create_slot(struct put *p, unsigned slot)
{
	put_simple(p, REMOTE_CREATE_SLOT, M_NUMBER, slot);
}

void remote_put_generate_key(struct put *p, uint8_t id)
{
	put_simple(p, REMOTE_GENERATE_KEY, M_KEY, id);
}

void remote_put_make_csr(
	struct put *p, uint8_t id, const char *owner_name, const uint8_t nonce[REMOTE_NONCE_LEN])
{
	size_t mark = tlv_open(p, REMOTE_MAKE_CSR);

	put_u8_member(p, M_KEY, id);
	tlv_put(p, M_OWNER, owner_name, strlen(owner_name));
	tlv_put(p, M_NONCE, nonce, REMOTE_NONCE_LEN);
	tlv_close(p, mark);
}

void remote_put_read_block(struct put *p, uint8_t id, uint16_t offset, uint8_t len)
{
	size_t mark = tlv_open(p, REMOTE_READ_BLOCK);

	put_u8_member(p, M_FILE, id);
	put_u16_member(p, M_NUMBER, offset);
	put_u8_member(p, M_BYTES, len);
	tlv_close(p, mark);
}

void remote_put_write_begin(
	struct put *p, uint8_t id, uint16_t total, const uint8_t sha256[REMOTE_HASH_LEN])
{
	size_t mark = tlv_open(p, REMOTE_WRITE_BEGIN);

	put_u8_member(p, M_FILE, id);
	put_u16_member(p, M_NUMBER, total);
	tlv_put(p, M_HASH, sha256, REMOTE_HASH_LEN);
	tlv_close(p, mark);
}

void remote_put_write_block(struct put *p, uint16_t offset, const void *bytes, size_t len)
{
	size_t mark = tlv_open(p, REMOTE_WRITE_BLOCK);

	put_u16_member(p, M_NUMBER, offset);
	tlv_put(p, M_BYTES, bytes, len);
	tlv_close(p, mark);
}

void remote_put_write_commit(struct put *p, uint8_t id)
{
	put_simple(p, REMOTE_WRITE_COMMIT, M_FILE, id);
}

void remote_put_key_state(struct put *p, uint8_t id, enum remote_key_state state)
{
	size_t mark = tlv_open(p, REMOTE_KEY_STATE);

	put_u8_member(p, M_KEY, id);
	put_u8_member(p, M_NUMBER, (uint8_t)state);
	tlv_close(p, mark);
}

void remote_put_delete_file(struct put *p, uint8_t id)
{
	put_simple(p, REMOTE_DELETE_FILE, M_FILE, id);
}

void remote_put_wipe_slot(struct put *p, unsigned slot)
{
	put_simple(p, REMOTE_WIPE_SLOT, M_NUMBER, slot);
}

void remote_put_status(struct put *p, unsigned slot)
{
	put_simple(p, REMOTE_STATUS, M_NUMBER, slot);
}

#define BEGIN_SIZE  43
#define COMMIT_SIZE 5

enum rc remote_write_init(struct remote_write *w, uint8_t id, const void *bytes, size_t len)
{
	struct remote_write n = { .id = id, .bytes = bytes, .len = len };

	if (len > REMOTE_FILE_MAX)
		return RC_TOO_LARGE;
	if (EVP_Digest(bytes, len, n.sha256, NULL, EVP_sha256(), NULL) != 1)
		return RC_CRYPTO;
	*w = n;
	return RC_OK;
}

static size_t block_size(size_t len)
{
	return tlv_size(4 + tlv_size(len));
}

bool remote_write_fill(struct remote_write *w, struct put *p)
{
	size_t room = p->cap - p->len;

	if (!w->begun) {
		if (room < BEGIN_SIZE + block_size(1))
			return false;
		remote_put_write_begin(p, w->id, (uint16_t)w->len, w->sha256);
		w->begun = true;
	}
	while (w->done < w->len) {
		size_t n = w->len - w->done;

		room = p->cap - p->len;
		while (n > 0 && block_size(n) > room) {
			size_t over = block_size(n) - room;

			n -= over < n ? over : n;
		}
		if (n == 0)
			return false;
		remote_put_write_block(p, (uint16_t)w->done, w->bytes + w->done, n);
		w->done += n;
	}
	if (p->cap - p->len < COMMIT_SIZE)
		return false;
	remote_put_write_commit(p, w->id);
	w->committed = true;
	return true;
}

bool remote_answer_next(struct cur *c, struct remote_answer *out)
{
	struct remote_answer a;
	struct tlv t;

	if (c->left == 0 || !tlv_read(c, TLV_SHORTEST, &t))
		return false;
	a.tag = t.tag;
	a.sw = cur_u16(&t.value);
	a.data = t.value;
	if (t.value.bad) {
		cur_fail(c);
		return false;
	}
	*out = a;
	return true;
}

enum rc remote_csr_read(struct cur data, struct remote_csr *out)
{
	struct remote_csr csr;

	csr.len = cur_u16(&data);
	cur_copy(&data, csr.sha256, REMOTE_HASH_LEN);
	if (!cur_done(&data))
		return RC_MALFORMED;
	*out = csr;
	return RC_OK;
}

enum rc remote_status_read(struct cur data, struct remote_slot_status *out)
{
	struct remote_slot_status s;

	s.slot = cur_u8(&data);
	s.key1 = cur_u8(&data);
	s.keyb = cur_u8(&data);
	cur_copy(&data, s.certificate, REMOTE_HASH_LEN);
	cur_copy(&data, s.payload, REMOTE_HASH_LEN);
	if (!cur_done(&data))
		return RC_MALFORMED;
	*out = s;
	return RC_OK;
}

void remote_status_write(struct put *p, const struct remote_slot_status *status)
{
	put_u8(p, status->slot);
	put_u8(p, status->key1);
	put_u8(p, status->keyb);
	put_bytes(p, status->certificate, REMOTE_HASH_LEN);
	put_bytes(p, status->payload, REMOTE_HASH_LEN);
}
