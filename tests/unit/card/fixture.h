/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* A card in memory with fixed keys and a clock that the test moves. */

#include "../unit.h"
#include "base/compiler.h"
#include "base/str.h"
#include "card/internal.h"

#include <string.h>

struct fixture {
	struct clock clock;
	uint64_t now_ms;
	struct card *card;
	struct card_session *session;
	uint8_t out[CARD_RESPONSE_MAX];
	size_t len;
};

static uint64_t fixture_ms(const struct clock *clock)
{
	return *(const uint64_t *)clock->user;
}

static const uint8_t fixture_key[SCP80_KEY_LEN] = { 0x42 };
static const uint8_t fixture_seal[CARD_SEAL_KEY_LEN] = { 0x53 };

static void fixture_open(struct fixture *f, const char *preset, const char *state_path)
{
	struct card_opts opts = { .has_eid = true,
		.keys = { .kvn = 1, .kic = fixture_key, .kid = fixture_key },
		.state_path = state_path,
		.seal_key = fixture_seal };
	bool blank;

	memset(f, 0, sizeof(*f));
	f->now_ms = 1000;
	f->clock = (struct clock){ .monotonic_ms = fixture_ms, .user = &f->now_ms };
	opts.clock = &f->clock;
	assert_rc(RC_OK, ident_iccid_read("8912230200031010008f", opts.iccid));
	assert_rc(RC_OK, ident_eid_read("89049032123451234512345678901235", opts.eid));
	assert_rc(RC_OK, card_quirks_preset(&opts.quirks, preset));
	assert_rc(RC_OK, card_new(&opts, &f->card, &blank, NULL));
	assert_rc(RC_OK, card_session_new(f->card, &f->session));
}

static inline void fixture_close(struct fixture *f)
{
	card_session_free(f->session);
	card_free(f->card);
}

/* Sends hex, keeps the data, returns the status word. */
static inline unsigned apdu(struct fixture *f, const char *hex)
{
	uint8_t in[CARD_APDU_MAX + 8];
	char packed[2 * sizeof(in) + 1];
	size_t n = 0, len = 0;
	struct put out = put_init(f->out, sizeof(f->out));

	for (; *hex; hex++)
		if (*hex != ' ' && n < sizeof(packed) - 1)
			packed[n++] = *hex;
	packed[n] = '\0';
	assert_rc(RC_OK, hex_read_upto(packed, in, sizeof(in), &len));
	card_session_apdu(f->session, in, len, &out);
	assert_true(put_ok(&out) && out.len >= 2);
	f->len = out.len - 2;
	return (unsigned)f->out[f->len] << 8 | f->out[f->len + 1];
}

/* One remote command list, carried out without its packet; the first answer's status word. */
static inline unsigned remote(struct fixture *f, const struct put *list)
{
	struct put answers = put_init(f->out, REMOTE_ANSWERS_MAX);
	struct remote_answer a = { 0 };
	struct cur c;

	remote_run(cur_init(list->buf, list->len), card__remote, f->card, &answers);
	assert_true(put_ok(&answers));
	c = cur_init(f->out, answers.len);
	assert_true(remote_answer_next(&c, &a));
	f->len = a.data.left;
	memmove(f->out, a.data.at, a.data.left);
	return a.sw;
}
