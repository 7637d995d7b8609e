/* SPDX-License-Identifier: Apache-2.0 */
#include "ota/remote.h"

#include "base/tlv.h"

#define SW_OK	     0x9000
#define SW_LENGTH    0x6700
#define SW_DATA	     0x6a80
#define SW_NO_MEMORY 0x6a84
#define SW_UNKNOWN   0x6d00
#define ANSWER_HEAD  4 /* tag, length, SW */

typedef uint16_t parse_fn(struct cur *value, struct remote_command *cmd);

/* One member of exactly `len` bytes. */
static const uint8_t *member(struct cur *v, uint8_t tag, size_t len)
{
	struct cur m = tlv_expect(v, TLV_SHORTEST, tag);
	const uint8_t *at = cur_bytes(&m, len);

	if (!cur_done(&m)) {
		cur_fail(v);
		return NULL;
	}
	return at;
}

static uint8_t member_u8(struct cur *v, uint8_t tag)
{
	const uint8_t *at = member(v, tag, 1);

	return at ? at[0] : 0;
}

static uint16_t member_u16(struct cur *v, uint8_t tag)
{
	const uint8_t *at = member(v, tag, 2);

	struct cur c = cur_init(at, at ? 2 : 0);

	return at ? cur_u16(&c) : 0;
}

static uint16_t parse_number(struct cur *v, struct remote_command *cmd)
{
	cmd->number = member_u8(v, 0x80);
	return SW_OK;
}

static uint16_t parse_key(struct cur *v, struct remote_command *cmd)
{
	cmd->id = member_u8(v, 0x84);
	return SW_OK;
}

static uint16_t parse_file(struct cur *v, struct remote_command *cmd)
{
	cmd->id = member_u8(v, 0x83);
	return SW_OK;
}

static uint16_t parse_csr(struct cur *v, struct remote_command *cmd)
{
	cmd->id = member_u8(v, 0x84);
	cmd->owner_name = tlv_expect(v, TLV_SHORTEST, 0xd8);
	cmd->nonce = member(v, 0xd9, REMOTE_NONCE_LEN);
	return SW_OK;
}

static uint16_t parse_read(struct cur *v, struct remote_command *cmd)
{
	cmd->id = member_u8(v, 0x83);
	cmd->offset = member_u16(v, 0x80);
	cmd->len = member_u8(v, 0x81);
	if (!v->bad && (cmd->len == 0 || cmd->len > REMOTE_BLOCK_MAX))
		return SW_DATA;
	return SW_OK;
}

static uint16_t parse_begin(struct cur *v, struct remote_command *cmd)
{
	struct cur total;

	cmd->id = member_u8(v, 0x83);
	total = tlv_expect(v, TLV_SHORTEST, 0x80);
	cmd->sha256 = member(v, 0x82, REMOTE_HASH_LEN);
	/* A length that needs more than two bytes is a file too large, not a bad command. */
	while (total.left > 2 && cur_peek(&total) == 0)
		cur_skip(&total, 1);
	if (!v->bad && total.left > 2)
		return SW_NO_MEMORY;
	cmd->offset = cur_u16(&total);
	if (!cur_done(&total))
		cur_fail(v);
	return SW_OK;
}

static uint16_t parse_block(struct cur *v, struct remote_command *cmd)
{
	cmd->offset = member_u16(v, 0x80);
	cmd->data = tlv_expect(v, TLV_SHORTEST, 0x81);
	return SW_OK;
}

static uint16_t parse_state(struct cur *v, struct remote_command *cmd)
{
	cmd->id = member_u8(v, 0x84);
	cmd->number = member_u8(v, 0x80);
	if (!v->bad && cmd->number != REMOTE_KEY_BLOCKED && cmd->number != REMOTE_KEY_ACTIVE &&
		cmd->number != REMOTE_KEY_NONE)
		return SW_DATA;
	return SW_OK;
}

/* The one table of commands: tag, parser of its value, most data of its answer. */
static const struct row {
	uint8_t tag;
	parse_fn *parse;
	size_t answer_max; /* READ BLOCK: what it asks for */
} rows[] = {
	{ REMOTE_CREATE_SLOT, parse_number, 0 },
	{ REMOTE_GENERATE_KEY, parse_key, 0 },
	{ REMOTE_MAKE_CSR, parse_csr, 2 + REMOTE_HASH_LEN },
	{ REMOTE_READ_BLOCK, parse_read, 0 },
	{ REMOTE_WRITE_BEGIN, parse_begin, 0 },
	{ REMOTE_WRITE_BLOCK, parse_block, 0 },
	{ REMOTE_WRITE_COMMIT, parse_file, 0 },
	{ REMOTE_KEY_STATE, parse_state, 0 },
	{ REMOTE_DELETE_FILE, parse_file, 0 },
	{ REMOTE_WIPE_SLOT, parse_number, 0 },
	{ REMOTE_STATUS, parse_number, REMOTE_STATUS_LEN },
};

static const struct row *find_row(uint8_t tag)
{
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		if (rows[i].tag == tag)
			return &rows[i];
	return NULL;
}

static uint16_t run_one(struct tlv t, size_t room, remote_run_fn *run, void *card, struct put *data)
{
	struct remote_command cmd = { .tag = t.tag };
	const struct row *row = find_row(t.tag);
	uint16_t sw;

	if (!row)
		return SW_UNKNOWN;
	sw = row->parse(&t.value, &cmd);
	if (!cur_done(&t.value))
		return SW_DATA;
	if (sw != SW_OK)
		return sw;
	if (ANSWER_HEAD + row->answer_max + cmd.len > room)
		return SW_LENGTH;
	sw = run(card, &cmd, data);
	if (sw != SW_OK)
		data->len = 0;
	return sw;
}

void remote_run(struct cur commands, remote_run_fn *run, void *card, struct put *answers)
{
	size_t room = REMOTE_ANSWERS_MAX;
	uint16_t sw = SW_OK;

	while (commands.left > 0 && sw == SW_OK && room >= ANSWER_HEAD) {
		uint8_t bytes[REMOTE_ANSWERS_MAX];
		struct put data = put_init(bytes, sizeof(bytes));
		struct tlv t = { .tag = (uint8_t)cur_peek(&commands) };

		if (tlv_read(&commands, TLV_SHORTEST, &t))
			sw = run_one(t, room, run, card, &data);
		else
			sw = SW_LENGTH;
		tlv_put_head(answers, t.tag, 2 + data.len);
		put_u16(answers, sw);
		put_bytes(answers, bytes, data.len);
		room -= ANSWER_HEAD + data.len;
	}
}
