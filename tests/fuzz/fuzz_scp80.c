/* SPDX-License-Identifier: Apache-2.0 */
/* Both ends of SCP80. The first byte chooses: messages into the card, user data as a receipt, a
 * command list wrapped into a good packet (so that what lies behind the checksum is reached), or
 * frames of the short message link. */
#include "card/card.h"
#include "fuzz.h"
#include "ota/concat.h"
#include "ota/remote.h"
#include "ota/smslink.h"

#include <stdlib.h>
#include <string.h>

static const uint8_t key[SCP80_KEY_LEN] = { 7 };
static const struct scp80_keys keys = { .kvn = 1, .kic = key, .kid = key };

static uint64_t no_time(const struct clock *clock)
{
	(void)clock;
	return 0;
}

static const struct clock still = { .monotonic_ms = no_time };

static struct card *new_card(void)
{
	struct card_opts opts = {
		.iccid = { 0x98, 0x21, 0x32, 0x20, 0x00, 0x30, 0x01, 0x01, 0x00, 0xf8 },
		.keys = keys,
		.clock = &still,
	};
	struct card *card = NULL;
	bool blank;

	if (card_new(&opts, &card, &blank, NULL) != RC_OK)
		abort();
	return card;
}

/* Messages, each behind a length byte. Without the keys nothing may ever be proven. */
static void into_the_card(struct cur c)
{
	struct card *card = new_card();

	while (c.left > 0) {
		struct cur ud = cur_take(&c, cur_u8(&c));
		uint8_t bytes[SCP80_UD_MAX], plain[SCP80_UD_MAX];
		struct put reply = put_init(bytes, sizeof(bytes));
		struct scp80_response resp;

		if (c.bad || card_sms(card, ud.at, ud.left, &reply) != RC_OK)
			continue;
		if (scp80_response_read(&keys, bytes, reply.len, plain, &resp) != RC_OK)
			abort();
	}
	card_free(card);
}

static void as_a_receipt(struct cur c)
{
	uint8_t plain[SCP80_UD_MAX];
	struct scp80_response resp;
	struct remote_answer a;
	struct remote_csr csr;
	struct remote_slot_status status;

	if (scp80_response_read(&keys, c.at, c.left, plain, &resp) == RC_OK && resp.status == 0 &&
		!resp.proven)
		abort();
	while (remote_answer_next(&c, &a)) {
		(void)!remote_csr_read(a.data, &csr);
		(void)!remote_status_read(a.data, &status);
	}
}

static void behind_the_checksum(struct cur c)
{
	struct scp80_command cmd = { .tar = { 'I', 'S', 'A' }, .counter = 1, .data = c };
	uint8_t packet[SCP80_PACKET_MAX], bytes[SCP80_UD_MAX], plain[SCP80_UD_MAX];
	struct put p = put_init(packet, sizeof(packet)), reply = put_init(bytes, sizeof(bytes));
	struct concat_sms sms[SCP80_PARTS_MAX];
	struct scp80_response resp;
	enum rc rc = RC_TRUNCATED;
	struct card *card;
	size_t n = 0;

	if (scp80_command_write(&keys, &cmd, &p) != RC_OK)
		return;
	if (concat_split(packet, p.len, 1, sms, &n) != RC_OK)
		abort();
	card = new_card();
	for (size_t i = n; i > 0; i--)
		rc = card_sms(card, sms[i - 1].ud, sms[i - 1].len, &reply);
	if (rc != RC_OK || scp80_response_read(&keys, bytes, reply.len, plain, &resp) != RC_OK ||
		!resp.proven || resp.status != SCP80_OK || resp.data.left > REMOTE_ANSWERS_MAX)
		abort();
	card_free(card);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct cur c = cur_init(data, size);
	struct smslink_frame f;

	switch (cur_u8(&c) & 3) {
	case 0: into_the_card(c); break;
	case 1: as_a_receipt(c); break;
	case 2: behind_the_checksum(c); break;
	default:
		while (smslink_read(&c, &f) == RC_OK)
			if (f.ud.left > SCP80_UD_MAX)
				abort();
		break;
	}
	return 0;
}
