/* SPDX-License-Identifier: Apache-2.0 */
#include "ota/internal.h"

#include "base/secret.h"

#include <string.h>

/* The clear part: what may be trusted of it shows only after the checksum. */
static enum scp80_status check_clear(
	const struct scp80_receiver *rx, struct cur *c, struct scp80_command *cmd)
{
	uint16_t cpl = cur_u16(c);
	bool whole = !c->bad && cpl == c->left;
	uint8_t chl = cur_u8(c);
	uint8_t spi1 = cur_u8(c), spi2 = cur_u8(c);
	uint8_t kic = cur_u8(c), kid = cur_u8(c);

	cur_copy(c, cmd->tar, SCP80_TAR_LEN);
	if (c->bad || !whole)
		return SCP80_UNIDENTIFIED;
	if (memcmp(cmd->tar, rx->tar, SCP80_TAR_LEN) != 0)
		return SCP80_TAR_UNKNOWN;
	if (spi1 != SCP80__SPI1 || (spi2 != SCP80__SPI2 && spi2 != SCP80__SPI2_SUBMIT) ||
		(kic & 0xf) != SCP80__ALG_AES || (kid & 0xf) != SCP80__ALG_AES)
		return SCP80_LEVEL;
	if (chl != SCP80__CHL || kic >> 4 != rx->keys.kvn || kid >> 4 != rx->keys.kvn)
		return SCP80_UNIDENTIFIED;
	cmd->por_submit = spi2 == SCP80__SPI2_SUBMIT;
	return SCP80_OK;
}

static enum scp80_status check_secured(const struct scp80_receiver *rx, const uint8_t *head,
	struct cur c, struct scp80_command *cmd, bool *authentic)
{
	uint8_t cc[SCP80__CC_LEN], mac_head[SCP80__CLEAR_LEN + 6];
	const uint8_t *got_cc;
	uint8_t pad;

	memcpy(mac_head, head, SCP80__CLEAR_LEN);
	memcpy(mac_head + SCP80__CLEAR_LEN, c.at, 6); /* at least one block is there */
	cmd->counter = scp80__cur_counter(&c);
	pad = cur_u8(&c);
	got_cc = cur_bytes(&c, SCP80__CC_LEN);
	if (!got_cc || scp80__cc(&rx->keys, mac_head, sizeof(mac_head), c.at, c.left, cc) != RC_OK)
		return SCP80_UNIDENTIFIED;
	if (!mem_equal_ct(cc, got_cc, sizeof(cc)))
		return SCP80_CC_FAILED;
	*authentic = true;
	if (rx->last_counter >= SCP80_COUNTER_MAX)
		return SCP80_COUNTER_BLOCKED;
	if (cmd->counter <= rx->last_counter)
		return SCP80_COUNTER_LOW;
	if (pad >= SCP80__BLOCK || pad > c.left)
		return SCP80_UNIDENTIFIED;
	cmd->data = cur_take(&c, c.left - pad);
	return SCP80_OK;
}

enum scp80_status scp80_command_read(const struct scp80_receiver *receiver, const uint8_t *packet,
	size_t len, uint8_t *plain, struct scp80_command *out, bool *authentic)
{
	struct scp80_command cmd = { .data = cur_init(plain, 0) };
	struct cur c = cur_init(packet, len);
	enum scp80_status status;

	*authentic = false;
	status = check_clear(receiver, &c, &cmd);
	if (status == SCP80_OK && (!scp80__keys_ok(&receiver->keys) || c.left == 0))
		status = SCP80_UNIDENTIFIED;
	if (status == SCP80_OK &&
		scp80__cipher(&receiver->keys, false, c.at, c.left, plain) != RC_OK)
		status = SCP80_CIPHERING;
	if (status == SCP80_OK)
		status = check_secured(receiver, packet, cur_init(plain, c.left), &cmd, authentic);
	*out = cmd;
	return status;
}

/* UDH RPL RHL TAR, the clear part of both forms. */
static void put_clear(struct put *p, size_t rest, uint8_t rhl, const uint8_t tar[SCP80_TAR_LEN])
{
	put_u8(p, 2);
	put_u8(p, SCP80__IE_RESPONSE);
	put_u8(p, 0);
	put_u16(p, (uint16_t)(1 + SCP80_TAR_LEN + rest));
	put_u8(p, rhl);
	put_bytes(p, tar, SCP80_TAR_LEN);
}

enum rc scp80_response_write(
	const struct scp80_keys *keys, const struct scp80_response *resp, struct put *out)
{
	uint8_t ud[SCP80_UD_MAX];
	struct put p = put_init(ud, sizeof(ud));
	size_t secured = 7 + SCP80__CC_LEN + resp->data.left;
	size_t pad = (SCP80__BLOCK - secured % SCP80__BLOCK) % SCP80__BLOCK;
	uint8_t *cc = NULL, *fill = NULL;
	size_t clear;
	enum rc rc = RC_OK;

	if (resp->data.left > SCP80_RESPONSE_MAX)
		return RC_TOO_LARGE;
	if (keys && !scp80__keys_ok(keys))
		return RC_RANGE;
	if (!keys) {
		put_clear(&p, 7, SCP80__RHL_BARE, resp->tar);
		scp80__put_counter(&p, resp->counter);
		put_u8(&p, 0);
		put_u8(&p, resp->status);
		goto out;
	}
	put_clear(&p, secured + pad, SCP80__RHL, resp->tar);
	clear = p.len;
	scp80__put_counter(&p, resp->counter);
	put_u8(&p, (uint8_t)pad);
	put_u8(&p, resp->status);
	cc = put_reserve(&p, SCP80__CC_LEN);
	put_bytes(&p, resp->data.at, resp->data.left);
	fill = put_reserve(&p, pad);
	if (!put_ok(&p) || !cc || !fill)
		return RC_TOO_LARGE;
	memset(fill, 0, pad);
	/* Unlike a command's, this checksum covers the user data header (TS 31.115 section 4.3). */
	rc = scp80__cc(keys, ud, (size_t)(cc - ud), cc + SCP80__CC_LEN, resp->data.left + pad, cc);
	if (rc == RC_OK)
		rc = scp80__cipher(keys, true, ud + clear, secured + pad, ud + clear);
out:
	if (rc != RC_OK)
		return rc;
	put_bytes(out, ud, p.len);
	return put_ok(out) ? RC_OK : RC_TOO_LARGE;
}
