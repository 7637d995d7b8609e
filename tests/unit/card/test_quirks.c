/* SPDX-License-Identifier: Apache-2.0 */
#include "fixture.h"

#define SELECT "00A4040007A0000005590010"
#define INIT   "002A00000D 840101 A10103 91020001 920104"
#define DIGEST "9E20 0101010101010101010101010101010101010101010101010101010101010101"

static void open_card(struct fixture *f, const char *preset, const char *quirk, const char *value)
{
	fixture_open(f, preset, NULL);
	if (quirk)
		assert_rc(RC_OK, card_quirks_set(&f->card->quirks, quirk, value));
	assert_rc(RC_OK, card__key_generate(&f->card->state, 0x01, ALG_P256));
	assert_rc(RC_OK, card_personalise_file(f->card, 0x06, "0123456789", 10));
	assert_int_equal(apdu(f, SELECT), 0x9000);
}

#define WRITING "\x00\x06"

/* Each switch and each of its values: the command that shows it, status word and length. */
static void each_switch_does_what_it_says(void **state)
{
	static const struct {
		const char *quirk, *value, *before, *shows;
		unsigned sw;
		size_t len;
	} rows[] = {
		{ "channel1", "off", NULL, "01A4040007A0000005590010", 0x6881, 0 },
		{ "channel1", "on", NULL, "01A4040007A0000005590010", 0x9000, 0 },
		{ "lc-surplus", "off", NULL, "00B0000003830106 0005", 0x6700, 0 },
		{ "lc-surplus", "on", NULL, "00B0000003830106 0005", 0x9000, 5 },
		{ "last-block-any", "off", INIT, "002B900022" DIGEST, 0x6a86, 0 },
		{ "last-block-any", "on", INIT, "002B900022" DIGEST, 0x9000, 66 },
		{ "reopen-busy", "off", INIT, INIT, 0x6985, 0 },
		{ "reopen-busy", "on", INIT, INIT, 0x9000, 0 },
		{ "read-past-end", "6A86", NULL, "00B0000A03830106", 0x6a86, 0 },
		{ "read-past-end", "6981", NULL, "00B0000A03830106", 0x6981, 0 },
		{ "read-past-end", "empty", NULL, "00B0000A03830106", 0x9000, 0 },
		{ "read-past-end", "zeros", NULL, "00B0000A03830106", 0x9000, 255 },
		{ "read-past-end", "zeros", NULL, "00B0080003830106", 0x6a86, 0 },
		{ "sig-length", "1", INIT, "002B800022" DIGEST, 0x9000, 66 },
		{ "sig-length", "2", INIT, "002B800022" DIGEST, 0x9000, 67 },
		{ "case4", "direct", INIT, "002B800022" DIGEST, 0x9000, 66 },
		{ "case4", "61xx", INIT, "002B800022" DIGEST, 0x6142, 0 },
		{ "admin-busy", "off", WRITING, "00B0000003830106", 0x9000, 10 },
		{ "admin-busy", "on", WRITING, "00B0000003830106", 0x6984, 0 },
		{ "app-info", "68", NULL, "00CB000044", 0x9000, 68 },
		{ "app-info", "orange", NULL, "00CB000044", 0x9000, 66 },
		{ "file-usage", "on", NULL, "00CBC3000383010600", 0x9000, 35 },
		{ "file-usage", "off", NULL, "00CBC3000383010600", 0x9000, 32 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct fixture f;

		open_card(&f, "strict", rows[i].quirk, rows[i].value);
		if (rows[i].before && rows[i].before[0] == '\0')
			f.card->state.write = (struct card__write){ .open = true, .id = 0x06 };
		else if (rows[i].before)
			assert_int_equal(apdu(&f, rows[i].before), 0x9000);
		print_message("%s %s\n", rows[i].quirk, rows[i].value);
		assert_int_equal(apdu(&f, rows[i].shows), rows[i].sw);
		assert_int_equal(f.len, rows[i].len);
		fixture_close(&f);
	}
}

static void tags_and_channels(void **state)
{
	struct fixture f;

	(void)state;
	open_card(&f, "strict", "app-tags", "61-6F");
	assert_int_equal(apdu(&f, "00CB000044"), 0x9000);
	assert_int_equal(f.out[49], 0x61);
	fixture_close(&f);
	open_card(&f, "strict", "app-tags", "90-93");
	assert_int_equal(apdu(&f, "00CB000044"), 0x9000);
	assert_int_equal(f.out[49], 0x90);
	fixture_close(&f);
	open_card(&f, "strict", "channels", "3");
	for (unsigned i = 1; i <= 3; i++)
		assert_int_equal(apdu(&f, "0070000001"), 0x9000);
	assert_int_equal(apdu(&f, "0070000001"), 0x6a81);
	fixture_close(&f);
	open_card(&f, "strict", "channels", "19");
	for (unsigned i = 1; i <= 19; i++) {
		assert_int_equal(apdu(&f, "0070000001"), 0x9000);
		assert_int_equal(f.out[0], i);
	}
	assert_int_equal(apdu(&f, "0070000001"), 0x6a81);
	/* each has its own selection, by either class, and closes itself or is closed */
	assert_int_equal(apdu(&f, "4084000008"), 0x6985);
	assert_int_equal(apdu(&f, "40A4040007A0000005590010"), 0x9000);
	assert_int_equal(apdu(&f, "4084000008"), 0x9000);
	assert_int_equal(apdu(&f, "C084000008"), 0x9000);
	assert_int_equal(apdu(&f, "4F84000008"), 0x6985);
	assert_int_equal(apdu(&f, "CFA4040007A0000005590010"), 0x9000);
	assert_int_equal(apdu(&f, "4F84000008"), 0x9000);
	assert_int_equal(apdu(&f, "6084000008"), 0x6e00);
	assert_int_equal(apdu(&f, "5084000008"), 0x6e00);
	assert_int_equal(apdu(&f, "4070800000"), 0x9000);
	assert_int_equal(apdu(&f, "4084000008"), 0x6881);
	assert_int_equal(apdu(&f, "0070801300"), 0x9000);
	assert_int_equal(apdu(&f, "4F84000008"), 0x6881);
	assert_int_equal(apdu(&f, "0070000001"), 0x9000);
	assert_int_equal(f.out[0], 4);
	fixture_close(&f);
}

static void chained_answers_are_fetched(void **state)
{
	struct fixture f;

	(void)state;
	open_card(&f, "strict", "case4", "61xx");
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
	open_card(&f, "strict", "reclaim", "on");
	assert_rc(RC_OK, card_quirks_set(&f.card->quirks, "channels", "3"));
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
	assert_false(q.channel1 || q.read_past_end || q.lc_surplus);
	assert_rc(RC_OK, card_quirks_preset(&q, "devkit"));
	assert_true(q.channel1 && q.read_past_end == READ_PAST_END_ZEROS && q.lc_surplus &&
		    !q.sig_length && !q.admin_busy);
	assert_rc(RC_OK, card_quirks_preset(&q, "wolfssl"));
	assert_true(q.channel1 && q.sig_length);
	assert_rc(RC_OK, card_quirks_preset(&q, "orange"));
	assert_true(q.lc_surplus && q.app_info && q.file_usage && !q.sig_length);
	assert_rc(RC_NOT_FOUND, card_quirks_preset(&q, "other"));
	assert_rc(RC_NOT_FOUND, card_quirks_set(&q, "other", "on"));
	assert_rc(RC_RANGE, card_quirks_set(&q, "case4", "on"));
	for (size_t i = 0; card_quirk_preset_name(i); i++)
		assert_rc(RC_OK, card_quirks_preset(&q, card_quirk_preset_name(i)));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_switch_does_what_it_says),
		cmocka_unit_test(tags_and_channels),
		cmocka_unit_test(chained_answers_are_fetched),
		cmocka_unit_test(idle_channels_are_reclaimed),
		cmocka_unit_test(presets_and_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
