/* SPDX-License-Identifier: Apache-2.0 */
#include "card/internal.h"

#include "card/sw.h"

#include <stdlib.h>
#include <string.h>

static uint16_t sw_of(enum rc rc)
{
	if (rc == RC_OK)
		return SW_OK;
	return rc == RC_NOMEM || rc == RC_TOO_LARGE ? SW_NO_MEMORY : SW_INTERNAL;
}

/* The file container that a command names: 6A82 where there is none, 6A80 for a key's. */
static uint16_t file_container(const struct card *card, uint8_t id)
{
	const struct card__kind *kind = card__container(card, id);

	if (!kind)
		return SW_NOT_FOUND;
	return kind->is_file ? SW_OK : SW_DATA;
}

/* The same for a persistent key of a slot: the card's own and volatile ones are out of reach. */
static uint16_t key_container(const struct card *card, uint8_t id)
{
	const struct card__kind *kind = card__container(card, id);

	if (!kind)
		return SW_NOT_FOUND;
	if (kind->is_file || !kind->has_private || !kind->persistent || card__slot_of(id) == 0)
		return SW_DATA;
	return SW_OK;
}

static uint16_t create_slot(struct card *card, const struct remote_command *cmd)
{
	if (cmd->number < IDENT_SLOT_MIN || cmd->number > IDENT_SLOT_MAX)
		return SW_DATA;
	card->state.slots = (uint16_t)(card->state.slots | 1u << cmd->number);
	return SW_OK;
}

static uint16_t generate_key(struct card *card, const struct remote_command *cmd)
{
	uint16_t sw = key_container(card, cmd->id);

	if (sw != SW_OK || card->state.keys[cmd->id])
		return sw;
	return sw_of(card__key_generate(&card->state, cmd->id, ALG_P256));
}

static bool is_name(struct cur name)
{
	if (name.left == 0 || name.left > IDENT_OWNER_MAX)
		return false;
	while (name.left > 0) {
		uint8_t ch = cur_u8(&name);

		if (ch < 0x21 || ch > 0x7e)
			return false;
	}
	return true;
}

static uint16_t make_csr(struct card *card, const struct remote_command *cmd, struct put *data)
{
	uint8_t bytes[CARD__CSR_MAX], hash[CARD__DIGEST_LEN];
	struct put p = put_init(bytes, sizeof(bytes));
	unsigned slot = card__slot_of(cmd->id);
	enum rc rc;

	if (slot == 0 || cmd->id != card__id(slot, N_SIGN) || !is_name(cmd->owner_name))
		return SW_DATA;
	if (!card__slot_exists(card, slot))
		return SW_NOT_FOUND;
	rc = card__csr_write(card, slot, cmd->owner_name, cmd->nonce, &p);
	if (rc == RC_STATE)
		return SW_CONDITIONS;
	if (rc == RC_OK)
		rc = card__sha256(bytes, p.len, hash);
	if (rc == RC_OK)
		rc = card__file_set(&card->state.transfer, bytes, p.len);
	put_u16(data, (uint16_t)p.len);
	put_bytes(data, hash, sizeof(hash));
	return sw_of(rc);
}

static uint16_t read_block(struct card *card, const struct remote_command *cmd, struct put *data)
{
	const struct card__file *file = &card->state.transfer;
	uint16_t sw = SW_OK;
	size_t n;

	if (cmd->id != REMOTE_BUFFER) {
		sw = file_container(card, cmd->id);
		file = &card->state.files[cmd->id];
	}
	if (sw != SW_OK || cmd->offset >= file->len)
		return sw;
	n = file->len - cmd->offset;
	put_bytes(data, file->bytes + cmd->offset, n < cmd->len ? n : cmd->len);
	return SW_OK;
}

static uint16_t write_begin(struct card *card, const struct remote_command *cmd)
{
	struct card__write *w = &card->state.write;
	uint16_t sw = file_container(card, cmd->id);
	size_t total = cmd->offset;
	uint8_t *bytes;

	if (sw != SW_OK)
		return sw;
	if (card__used(&card->state) - w->shadow.len + total > CARD_STORE_MAX)
		return SW_NO_MEMORY;
	bytes = calloc(1, total > 0 ? total : 1);
	if (!bytes)
		return SW_NO_MEMORY;
	card__file_drop(&w->shadow);
	w->shadow = (struct card__file){ .bytes = bytes, .len = total };
	w->open = true;
	w->id = cmd->id;
	memcpy(w->sha256, cmd->sha256, sizeof(w->sha256));
	return SW_OK;
}

static uint16_t write_block(struct card *card, const struct remote_command *cmd)
{
	struct card__write *w = &card->state.write;
	struct cur data = cmd->data;

	if (!w->open || cmd->offset > w->shadow.len || data.left > w->shadow.len - cmd->offset)
		return SW_CONDITIONS;
	cur_copy(&data, w->shadow.bytes + cmd->offset, data.left);
	return SW_OK;
}

/* COMMIT again after a COMMIT whose receipt was lost: the file is already what BEGIN announced, and
 * the write stays known as done until the next BEGIN. */
static bool committed_already(const struct card *card, uint8_t id)
{
	const struct card__write *w = &card->state.write;
	uint8_t hash[CARD__DIGEST_LEN];

	return !w->open && w->id == id && card->state.files[id].bytes &&
	       card__sha256(card->state.files[id].bytes, card->state.files[id].len, hash) ==
		       RC_OK &&
	       memcmp(hash, w->sha256, sizeof(hash)) == 0;
}

static uint16_t write_commit(struct card *card, const struct remote_command *cmd)
{
	struct card__write *w = &card->state.write;
	uint8_t hash[CARD__DIGEST_LEN];
	uint16_t sw = file_container(card, cmd->id);

	if (sw != SW_OK)
		return sw;
	if (committed_already(card, cmd->id))
		return SW_OK;
	if (!w->open || w->id != cmd->id)
		return SW_CONDITIONS;
	if (card__sha256(w->shadow.bytes, w->shadow.len, hash) != RC_OK)
		return SW_INTERNAL;
	if (memcmp(hash, w->sha256, sizeof(hash)) != 0)
		return SW_INTEGRITY;
	card__file_drop(&card->state.files[cmd->id]);
	card->state.files[cmd->id] = w->shadow;
	w->shadow = (struct card__file){ 0 };
	w->open = false;
	return SW_OK;
}

static uint16_t key_state(struct card *card, const struct remote_command *cmd)
{
	struct card__key *key = card->state.keys[cmd->id];
	uint16_t sw = key_container(card, cmd->id);

	if (sw != SW_OK)
		return sw;
	if (cmd->number == REMOTE_KEY_NONE) {
		card__key_drop(&card->state, cmd->id);
		return SW_OK;
	}
	if (!key)
		return SW_CONDITIONS;
	key->blocked = cmd->number == REMOTE_KEY_BLOCKED;
	return SW_OK;
}

static uint16_t delete_file(struct card *card, const struct remote_command *cmd)
{
	uint16_t sw = file_container(card, cmd->id);

	if (sw == SW_OK)
		card__file_drop(&card->state.files[cmd->id]);
	return sw;
}

static uint16_t wipe_slot(struct card *card, const struct remote_command *cmd)
{
	struct card__write *w = &card->state.write;

	if (!card__slot_exists(card, cmd->number))
		return SW_NOT_FOUND;
	for (unsigned n = 1; n <= 0xd; n++) {
		uint8_t id = card__id(cmd->number, (uint8_t)n);
		const struct card__kind *kind = card__container(card, id);

		if (!kind || !kind->wiped)
			continue;
		card__key_drop(&card->state, id);
		card__file_drop(&card->state.files[id]);
	}
	/* Nothing of the slot comes back by a write begun before. */
	if (card__slot_of(w->id) == cmd->number) {
		card__file_drop(&w->shadow);
		*w = (struct card__write){ 0 };
	}
	return SW_OK;
}

static uint8_t state_of(const struct card *card, uint8_t id)
{
	const struct card__key *key = card->state.keys[id];

	if (!key)
		return REMOTE_KEY_NONE;
	return key->blocked ? REMOTE_KEY_BLOCKED : REMOTE_KEY_ACTIVE;
}

static enum rc hash_of(const struct card *card, uint8_t id, uint8_t out[REMOTE_HASH_LEN])
{
	const struct card__file *file = &card->state.files[id];

	if (!file->bytes)
		return RC_OK;
	return card__sha256(file->bytes, file->len, out);
}

static uint16_t status(struct card *card, const struct remote_command *cmd, struct put *data)
{
	struct remote_slot_status s = { .slot = cmd->number };
	enum rc rc;

	if (!card__slot_exists(card, cmd->number))
		return SW_NOT_FOUND;
	s.key1 = state_of(card, card__id(s.slot, N_SIGN));
	s.keyb = state_of(card, card__id(s.slot, N_AGREEMENT));
	rc = hash_of(card, card__id(s.slot, N_DEVICE_CERT), s.certificate);
	if (rc == RC_OK)
		rc = hash_of(card, card__id(s.slot, N_PAYLOAD), s.payload);
	remote_status_write(data, &s);
	return sw_of(rc);
}

uint16_t card__remote(void *card, const struct remote_command *cmd, struct put *data)
{
	switch (cmd->tag) {
	case REMOTE_CREATE_SLOT: return create_slot(card, cmd);
	case REMOTE_GENERATE_KEY: return generate_key(card, cmd);
	case REMOTE_MAKE_CSR: return make_csr(card, cmd, data);
	case REMOTE_READ_BLOCK: return read_block(card, cmd, data);
	case REMOTE_WRITE_BEGIN: return write_begin(card, cmd);
	case REMOTE_WRITE_BLOCK: return write_block(card, cmd);
	case REMOTE_WRITE_COMMIT: return write_commit(card, cmd);
	case REMOTE_KEY_STATE: return key_state(card, cmd);
	case REMOTE_DELETE_FILE: return delete_file(card, cmd);
	case REMOTE_WIPE_SLOT: return wipe_slot(card, cmd);
	case REMOTE_STATUS: return status(card, cmd, data);
	default: return SW_INS;
	}
}
