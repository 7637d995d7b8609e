/* SPDX-License-Identifier: Apache-2.0 */
#include "ota/internal.h"

#include "base/secret.h"

#include <string.h>

enum rc scp80_command_write(
	const struct scp80_keys *keys, const struct scp80_command *cmd, struct put *out)
{
	uint8_t packet[SCP80_PACKET_MAX];
	struct put p = put_init(packet, sizeof(packet));
	size_t secured = 6 + SCP80__CC_LEN + cmd->data.left;
	size_t pad = (SCP80__BLOCK - secured % SCP80__BLOCK) % SCP80__BLOCK;
	size_t total = SCP80__CLEAR_LEN + secured + pad;
	uint8_t *cc, *fill;
	enum rc rc;

	if (!scp80__keys_ok(keys) || cmd->counter > SCP80_COUNTER_MAX)
		return RC_RANGE;
	if (cmd->data.left > SCP80_PACKET_MAX || total > SCP80_PACKET_MAX)
		return RC_TOO_LARGE;
	put_u16(&p, (uint16_t)(total - 2));
	put_u8(&p, SCP80__CHL);
	put_u8(&p, SCP80__SPI1);
	put_u8(&p, cmd->por_submit ? SCP80__SPI2_SUBMIT : SCP80__SPI2);
	put_u8(&p, scp80__key_octet(keys->kvn));
	put_u8(&p, scp80__key_octet(keys->kvn));
	put_bytes(&p, cmd->tar, SCP80_TAR_LEN);
	scp80__put_counter(&p, cmd->counter);
	put_u8(&p, (uint8_t)pad);
	cc = put_reserve(&p, SCP80__CC_LEN);
	put_bytes(&p, cmd->data.at, cmd->data.left);
	fill = put_reserve(&p, pad);
	if (!put_ok(&p) || !cc || !fill)
		return RC_TOO_LARGE;
	memset(fill, 0, pad);
	rc = scp80__cc(
		keys, packet, (size_t)(cc - packet), cc + SCP80__CC_LEN, cmd->data.left + pad, cc);
	if (rc == RC_OK)
		rc = scp80__cipher(keys, true, packet + SCP80__CLEAR_LEN, total - SCP80__CLEAR_LEN,
			packet + SCP80__CLEAR_LEN);
	if (rc != RC_OK)
		return rc;
	put_bytes(out, packet, total);
	return put_ok(out) ? RC_OK : RC_TOO_LARGE;
}

/* CNTR PCNTR STS, and CC where protected; what is left is data and padding. */
static enum rc read_secured(const struct scp80_keys *keys, const uint8_t *head, size_t head_len,
	struct cur c, struct scp80_response *r)
{
	uint8_t cc[SCP80__CC_LEN], mac_head[SCP80__BLOCK];
	struct put p = put_init(mac_head, sizeof(mac_head));
	const uint8_t *got_cc;
	uint8_t pad;
	enum rc rc;

	put_bytes(&p, head, head_len);
	put_bytes(&p, c.at, c.left < 7 ? c.left : 7);
	r->counter = scp80__cur_counter(&c);
	pad = cur_u8(&c);
	r->status = cur_u8(&c);
	got_cc = cur_bytes(&c, SCP80__CC_LEN);
	if (c.bad || !put_ok(&p))
		return RC_MALFORMED;
	rc = scp80__cc(keys, mac_head, p.len, c.at, c.left, cc);
	if (rc != RC_OK)
		return rc;
	if (!mem_equal_ct(cc, got_cc, sizeof(cc)))
		return RC_SIGNATURE;
	if (pad >= SCP80__BLOCK || pad > c.left)
		return RC_MALFORMED;
	r->data = cur_take(&c, c.left - pad);
	r->proven = true;
	return RC_OK;
}

static enum rc read_bare(struct cur c, struct scp80_response *r)
{
	r->counter = scp80__cur_counter(&c);
	cur_skip(&c, 1); /* PCNTR has nothing to count here */
	r->status = cur_u8(&c);
	if (c.bad)
		return RC_MALFORMED;
	return r->status == SCP80_OK ? RC_SIGNATURE : RC_OK;
}

enum rc scp80_response_read(const struct scp80_keys *keys, const uint8_t *ud, size_t ud_len,
	uint8_t *plain, struct scp80_response *out)
{
	static const uint8_t udh[SCP80__UDH_LEN] = { 2, SCP80__IE_RESPONSE, 0 };
	struct scp80_response r = { .data = cur_init(plain, 0) };
	struct cur c = cur_init(ud, ud_len);
	const uint8_t *head = cur_bytes(&c, SCP80__UDH_LEN);
	uint16_t rpl = cur_u16(&c);
	uint8_t rhl;
	enum rc rc;

	if (!scp80__keys_ok(keys))
		return RC_RANGE;
	if (ud_len > SCP80_UD_MAX || c.bad || memcmp(head, udh, sizeof(udh)) != 0 || rpl != c.left)
		return RC_MALFORMED;
	rhl = cur_u8(&c);
	cur_copy(&c, r.tar, SCP80_TAR_LEN);
	if (c.bad)
		return RC_MALFORMED;
	if (rhl == SCP80__RHL_BARE) {
		rc = read_bare(c, &r);
	} else if (rhl == SCP80__RHL && c.left > 0 && c.left % SCP80__BLOCK == 0) {
		size_t len = c.left;

		rc = scp80__cipher(keys, false, c.at, len, plain);
		if (rc == RC_OK)
			rc = read_secured(keys, ud, ud_len - len, cur_init(plain, len), &r);
	} else {
		rc = RC_MALFORMED;
	}
	if (rc == RC_OK)
		*out = r;
	return rc;
}
