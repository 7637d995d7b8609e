/* SPDX-License-Identifier: Apache-2.0 */
/* Commands to a card in memory: the first two bytes choose the quirks and whether ids are other
 * cards', then APDUs follow, each behind its length (two bytes, as on the socket). */
#include "card/session.h"
#include "fuzz.h"

#include <stdlib.h>
#include <string.h>

static uint64_t no_time(const struct clock *clock)
{
	(void)clock;
	return 0;
}

static int64_t no_date(const struct clock *clock)
{
	(void)clock;
	return 0;
}

static const struct clock still = { .monotonic_ms = no_time, .unix_s = no_date };

static struct card *new_card(unsigned quirks)
{
	static const uint8_t key[SCP80_KEY_LEN], scalar[CARD__SCALAR_LEN] = { 1 };
	struct card_opts opts = {
		.iccid = { 0x98, 0x21, 0x32, 0x20, 0x00, 0x30, 0x01, 0x01, 0x00, 0xf8 },
		.keys = { .kvn = 1, .kic = key, .kid = key },
		.clock = &still,
	};
	static const struct card_name names[] = { { 0x84, 0x01, "001", 3 },
		{ 0x85, 0x01, "002", 3 }, { 0x83, 0x02, "a name of 20 bytes..", 20 } };
	static uint8_t file[600];
	struct card *card = NULL;
	size_t count = 0;
	const struct card_quirk *q = card_quirk_table(&count);
	bool blank;

	for (size_t i = 0; i < count; i++)
		if (card_quirks_set(&opts.quirks, q[i].name, q[i].values[quirks >> i & 1]) != RC_OK)
			abort();
	if (quirks >> 15) {
		memcpy(opts.names, names, sizeof(names));
		opts.name_count = ARRAY_LEN(names);
	}
	memset(file, 0x30, sizeof(file));
	if (card_new(&opts, &card, &blank, NULL) != RC_OK ||
		card__key_from_private(&card->state, 0x01, ALG_P256, scalar, sizeof(scalar)) !=
			RC_OK ||
		card_personalise_container(card, 0xa0, "brainpool") != RC_OK ||
		card_personalise_container(card, 0xa1, "peer-rsa") != RC_OK ||
		card_personalise_container(card, 0xa2, "secret") != RC_OK ||
		card_personalise_value(card, 0xa2, key, sizeof(key)) != RC_OK ||
		card_personalise_file(card, 0x02, file, sizeof(file)) != RC_OK)
		abort();
	return card;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct cur c = cur_init(data, size);
	struct card *card = new_card(cur_u16(&c));
	struct euicc_opts opts = { .has_eid = true, .clock = &still };
	struct card_session *session = NULL;
	struct euicc *euicc = NULL;

	if (euicc_new(&opts, &euicc, NULL) != RC_OK || euicc_add(euicc, &card) != RC_OK ||
		euicc_session_new(euicc, &session) != RC_OK)
		abort();
	while (c.left > 0) {
		uint8_t out[CARD_RESPONSE_MAX];
		struct put response = put_init(out, sizeof(out));
		struct cur apdu = cur_take(&c, cur_u16(&c));

		if (c.bad)
			break;
		card_session_apdu(session, apdu.at, apdu.left, &response);
		if (!put_ok(&response) || response.len < 2 || response.len > 257)
			abort();
	}
	card_session_free(session);
	euicc_free(euicc);
	return 0;
}
