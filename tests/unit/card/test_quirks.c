/* SPDX-License-Identifier: Apache-2.0 */
#include "fixture.h"

#define SELECT "00A4040007A0000005590010"
#define INIT   "002A00000D 840101 A10103 91020001 920104"
#define DIGEST "9E20 0101010101010101010101010101010101010101010101010101010101010101"

static void open_card(struct fixture *f, const char *preset, const char *quirk, bool on)
{
	fixture_open(f, preset, NULL);
	if (quirk)
		assert_rc(RC_OK, card_quirks_set(&f->card->quirks, quirk, on));
	assert_rc(RC_OK, card__key_generate(&f->card->state, 0x01));
	assert_rc(RC_OK, card_personalise_file(f->card, 0x06, "0123456789", 10));
	assert_int_equal(apdu(f, SELECT), 0x9000);
}

/* Each switch, off and on: the command that shows it and the two status words. */
static void each_switch_does_what_it_says(void **state)
{
	static const struct {
		const char *quirk, *before, *shows;
		unsigned off, on;
		size_t off_len, on_len;
	} rows[] = {
		{ "auto-open", NULL, "01A4040007A0000005590010", 0x6881, 0x9000, 0, 0 },
		{ "surplus-le", NULL, "00B0000003830106 0005", 0x6700, 0x9000, 0, 5 },
		{ "last-block-any", INIT, "002B900022" DIGEST, 0x6a86, 0x9000, 0, 66 },
		{ "reopen-busy", INIT, INIT, 0x6985, 0x9000, 0, 0 },
		{ "read-past-end-zeros", NULL, "00B0000A03830106", 0x6a86, 0x9000, 0, 255 },
		{ "long-signature", INIT, "002B800022" DIGEST, 0x9000, 0x9000, 66, 67 },
		{ "chain-61xx", INIT, "002B800022" DIGEST, 0x9000, 0x6142, 66, 0 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		for (int on = 0; on < 2; on++) {
			struct fixture f;

			open_card(&f, "strict", rows[i].quirk, on);
			if (rows[i].before)
				assert_int_equal(apdu(&f, rows[i].before), 0x9000);
			assert_int_equal(apdu(&f, rows[i].shows), on ? rows[i].on : rows[i].off);
			assert_int_equal(f.len, on ? rows[i].on_len : rows[i].off_len);
			fixture_close(&f);
		}
}

static void chained_answers_are_fetched(void **state)
{
	struct fixture f;

	(void)state;
	open_card(&f, "strict", "chain-61xx", true);
	assert_int_equal(apdu(&f, INIT), 0x9000);
	assert_int_equal(apdu(&f, "002B800022" DIGEST), 0x6142);
	assert_int_equal(apdu(&f, "80C0000010"), 0x6132);
	assert_int_equal(f.len, 16);
	assert_memory_equal(f.out, "\x33\x40", 2);
	assert_int_equal(apdu(&f, "00C0000000"), 0x9000);
	assert_int_equal(f.len, 50);
	assert_int_equal(apdu(&f, "00C0000000"), 0x6985);
	/* GET DATA answers at once: a client does not follow 61xx there */
	assert_int_equal(apdu(&f, "00CBC1000384010100"), 0x9000);
	assert_true(f.len > 20);
	fixture_close(&f);
}

static void idle_channels_are_reclaimed(void **state)
{
	struct fixture f;

	(void)state;
	open_card(&f, "strict", "reclaim", true);
	for (unsigned i = 1; i <= 3; i++) {
		assert_int_equal(apdu(&f, "0070000001"), 0x9000);
		assert_int_equal(f.out[0], i);
		f.now_ms += 1000;
	}
	assert_int_equal(apdu(&f, "0070000001"), 0x6a81);
	f.now_ms += 28000;
	assert_int_equal(apdu(&f, "02A4040007A0000005590010"), 0x9000);
	assert_int_equal(apdu(&f, "0070000001"), 0x9000);
	assert_int_equal(f.out[0], 1);
	assert_int_equal(apdu(&f, "0070000001"), 0x6a81);
	fixture_close(&f);
}

static void presets_and_names(void **state)
{
	struct card_quirks q;

	(void)state;
	assert_rc(RC_OK, card_quirks_preset(&q, "strict"));
	assert_false(q.auto_open || q.zeros_past_end || q.surplus_le);
	assert_rc(RC_OK, card_quirks_preset(&q, "devkit"));
	assert_true(q.auto_open && q.zeros_past_end && q.surplus_le && !q.long_signature);
	assert_rc(RC_NOT_FOUND, card_quirks_preset(&q, "other"));
	assert_rc(RC_NOT_FOUND, card_quirks_set(&q, "other", true));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_switch_does_what_it_says),
		cmocka_unit_test(chained_answers_are_fetched),
		cmocka_unit_test(idle_channels_are_reclaimed),
		cmocka_unit_test(presets_and_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
