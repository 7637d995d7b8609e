/* SPDX-License-Identifier: Apache-2.0 */
/* Bytes from the line into the modem. Every line must be answered, and by text only. */
#include "card/at.h"
#include "fuzz.h"

#include <stdlib.h>

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
static const struct at_manners manners = { .model = "bg96", .urc_every = 3, .clock = &still };

static void on_output(void *user, const char *text, size_t len)
{
	size_t *total = user;

	if (len == 0 || !text)
		abort();
	*total += len;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const uint8_t key[SCP80_KEY_LEN];
	struct card_opts opts = {
		.iccid = { 0x98, 0x21, 0x32, 0x20, 0x00, 0x30, 0x01, 0x01, 0x00, 0xf8 },
		.keys = { .kvn = 1, .kic = key, .kid = key },
		.clock = &still,
	};
	struct card_session *session = NULL;
	struct card *card = NULL;
	struct at_modem modem;
	size_t total = 0;
	bool blank;

	if (card_quirks_preset(&opts.quirks, "devkit") != RC_OK ||
		card_new(&opts, &card, &blank, NULL) != RC_OK ||
		card_session_new(card, &session) != RC_OK)
		abort();
	if (at_init(&modem, session, &manners, on_output, &total) != RC_OK)
		abort();
	at_input(&modem, data, size);
	modem.hung = false; /* time stands still here */
	total = 0;
	at_input(&modem, (const uint8_t *)"\rAT\r", 4);
	if (total == 0)
		abort();
	card_session_free(session);
	card_free(card);
	return 0;
}
