/* SPDX-License-Identifier: Apache-2.0 */
#include "card/session.h"

#include <stdlib.h>
#include <string.h>

/* The applet's instructions; `with_data`: cases 3 and 4 only, or never. */
enum data_rule { DATA_NONE, DATA_NEEDED, DATA_ANY };

static const struct instruction {
	uint8_t ins;
	enum selected needs;
	enum data_rule data;
	command_fn *run;
} instructions[] = {
	{ 0x24, SELECTED_APPLET, DATA_ANY, cmd_put_public_key_init },
	{ 0xd8, SELECTED_APPLET, DATA_NEEDED, cmd_put_public_key_update },
	{ 0x2a, SELECTED_APPLET, DATA_ANY, cmd_sign_init },
	{ 0x2b, SELECTED_APPLET, DATA_NEEDED, cmd_sign_update },
	{ 0x2c, SELECTED_APPLET, DATA_ANY, cmd_verify_init },
	{ 0x2d, SELECTED_APPLET, DATA_NEEDED, cmd_verify_update },
	{ 0x46, SELECTED_APPLET, DATA_NEEDED, cmd_compute_dh },
	{ 0x48, SELECTED_APPLET, DATA_NEEDED, cmd_prf },
	{ 0x4a, SELECTED_APPLET, DATA_NEEDED, cmd_hkdf },
	{ 0x84, SELECTED_APPLET, DATA_NONE, cmd_get_random },
	{ 0xb0, SELECTED_APPLET, DATA_NEEDED, cmd_read_file },
	{ 0xb0, SELECTED_ICCID, DATA_NONE, cmd_read_binary },
	{ 0xb9, SELECTED_APPLET, DATA_NEEDED, cmd_generate_key },
	{ 0xcb, SELECTED_APPLET, DATA_ANY, cmd_get_data },
	{ 0xcd, SELECTED_APPLET, DATA_NEEDED, cmd_read_public_key },
	{ 0xe2, SELECTED_ISDR, DATA_NEEDED, cmd_es10 },
};

enum rc card_session_new(struct card *card, struct card_session **out)
{
	struct card_session *s = calloc(1, sizeof(*s));

	if (!s)
		return RC_NOMEM;
	s->card = card;
	if (!channel__open(s, 0)) {
		free(s);
		return RC_NOMEM;
	}
	*out = s;
	return RC_OK;
}

void card_session_reset(struct card_session *session)
{
	for (size_t i = 1; i < SESSION_CHANNELS; i++)
		channel__close(session, i);
	(void)channel__open(session, 0);
}

void card_session_free(struct card_session *session)
{
	if (!session)
		return;
	for (size_t i = 0; i < SESSION_CHANNELS; i++)
		channel__close(session, i);
	free(session);
}

const struct card *card_session_card(struct card_session *session)
{
	euicc__follow(session);
	return session->card;
}

static uint16_t run_instruction(struct command *cmd)
{
	const struct apdu *a = cmd->apdu;
	bool known = false;

	switch (a->ins) {
	case 0x70: return cmd_manage_channel(cmd);
	case 0xa4: return cmd_select(cmd);
	default: break;
	}
	for (size_t i = 0; i < ARRAY_LEN(instructions); i++) {
		const struct instruction *in = &instructions[i];

		known |= in->ins == a->ins;
		if (in->ins != a->ins || in->needs != cmd->channel->selected)
			continue;
		if ((in->data == DATA_NEEDED && !a->has_data) ||
			(in->data == DATA_NONE && a->has_data))
			return SW_LENGTH;
		return in->run(cmd);
	}
	/* A known command without its applet selected is out of order, not unknown. */
	return known ? SW_CONDITIONS : SW_INS;
}

/* 61xx for what waits: at most as many bytes as one answer has. */
static uint16_t more(const struct channel *ch)
{
	return (uint16_t)(SW_MORE_BYTES |
			  (ch->pending_len < SESSION_CAP ? ch->pending_len : SESSION_CAP));
}

/* GET RESPONSE: what a 61xx announced. */
static uint16_t get_response(struct channel *ch, const struct apdu *a, struct put *out)
{
	size_t most = a->has_le && a->le < SESSION_CAP ? a->le : SESSION_CAP;
	size_t n = ch->pending_len < most ? ch->pending_len : most;

	if (a->has_data)
		return SW_LENGTH;
	if (ch->pending_len == 0)
		return SW_CONDITIONS;
	put_bytes(out, ch->pending + ch->pending_at, n);
	ch->pending_at += n;
	ch->pending_len -= n;
	return ch->pending_len > 0 ? more(ch) : SW_OK;
}

/* Answers that are too long for one response, and all to commands with data where the card is like
 * that, go by 61xx; GET DATA always answers at once (one client does not follow it there). */
static uint16_t chain(const struct card *card, struct channel *ch, const struct apdu *a,
	struct put *data, uint16_t sw)
{
	bool wanted = card->quirks.case4 && a->has_data && data->len > 0 && a->ins != 0xcb;

	if (sw != SW_OK || (!wanted && data->len <= SESSION_CAP))
		return sw;
	memcpy(ch->pending, data->buf, data->len);
	ch->pending_at = 0;
	ch->pending_len = data->len;
	data->len = 0;
	return more(ch);
}

static uint16_t find_channel(struct card_session *s, const struct apdu *a, struct channel **out)
{
	size_t n = 0;

	if (!channel__of_class(a->cla, &n))
		return SW_CLA; /* chaining, secure messaging, reserved */
	if (!s->channels[n] && s->card->quirks.channel1 && a->ins == 0xa4 && a->p1 == 0x04)
		(void)channel__open(s, n);
	if (!s->channels[n])
		return SW_CHANNEL;
	*out = s->channels[n];
	return SW_OK;
}

static uint16_t process(struct card_session *s, const uint8_t *apdu, size_t len, struct put *data)
{
	struct card *card = s->card;
	struct channel *ch = NULL;
	struct apdu a;
	uint16_t sw;

	if (len > CARD_APDU_MAX || apdu_parse(apdu, len, card->quirks.lc_surplus, &a) != RC_OK)
		return SW_LENGTH;
	sw = find_channel(s, &a, &ch);
	if (sw != SW_OK)
		return sw;
	ch->used_ms = card->clock->monotonic_ms(card->clock);
	if (a.ins == 0xc0)
		return get_response(ch, &a, data);
	ch->pending_len = 0;
	sw = run_instruction(&(struct command){
		.session = s, .card = card, .channel = ch, .apdu = &a, .out = data });
	if (sw != SW_OK && sw != SW_MORE)
		data->len = 0;
	if (!put_ok(data))
		return SW_INTERNAL;
	/* A channel that has just closed itself has nothing to fetch, nor an answer. */
	if (a.ins == 0x70)
		return sw;
	/* Case 2 with a wrong Le: the right one, so that it can be asked again (ISO 7816-3). */
	if (sw == SW_OK && !a.has_data && a.has_le && data->len > a.le) {
		sw = (uint16_t)(SW_WRONG_LE | data->len);
		data->len = 0;
	}
	return chain(card, ch, &a, data, sw);
}

void card_session_apdu(
	struct card_session *session, const uint8_t *apdu, size_t len, struct put *response)
{
	uint8_t bytes[SESSION_ANSWER_MAX];
	struct put data = put_init(bytes, sizeof(bytes));
	uint16_t sw;

	euicc__follow(session);
	sw = process(session, apdu, len, &data);
	put_bytes(response, bytes, data.bad ? 0 : data.len);
	put_u16(response, sw);
	mem_wipe(bytes, sizeof(bytes));
}
