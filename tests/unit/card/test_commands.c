/* SPDX-License-Identifier: Apache-2.0 */
#include "fixture.h"

#define SELECT "00A4040007A0000005590010"

static void open_card(struct fixture *f)
{
	fixture_open(f, "strict", NULL);
	assert_rc(RC_OK, card__key_generate(&f->card->state, 0x01, ALG_P256));
	assert_rc(RC_OK, card__key_generate(&f->card->state, 0x0b, ALG_P256));
	assert_rc(RC_OK, card_personalise_file(f->card, 0x06, "0123456789", 10));
	assert_int_equal(apdu(f, SELECT), 0x9000);
}

/* Commands on a card whose applet is selected on channel 0, in order of the file that answers. */
static void status_words(void **state)
{
	static const struct {
		const char *apdu;
		unsigned sw;
	} rows[] = {
		/* class and channel */
		{ "0084000008", 0x9000 },
		{ "8084000008", 0x9000 },
		{ "0184000008", 0x6881 },
		{ "4084000008", 0x6881 },
		{ "1084000008", 0x6e00 },
		{ "0C84000008", 0x6e00 },
		{ "2084000008", 0x6e00 },
		{ "00FF000000", 0x6d00 },
		{ "00", 0x6700 },
		{ "0070000101", 0x6a86 },
		{ "0070010000", 0x6a86 },
		{ "0070800000", 0x6a86 },
		{ "0070800100", 0x6881 },
		{ "0070800900", 0x6881 },
		{ "007000000100", 0x6700 },
		/* SELECT */
		{ "00A4040005A000000559", 0x9000 },
		{ "00A4040004A0000005", 0x6a82 },
		{ "00A4040008A000000559001000", 0x6a82 },
		{ "00A4040207A0000005590010", 0x6a82 },
		{ "00A4040C07A000000559001000", 0x9000 },
		{ "00A4020002ABCD", 0x6a86 },
		{ "00A40400 0F A00000003053F12401770101495341", 0x9000 },
		/* GET DATA */
		{ "00CB000044", 0x9000 },
		{ "00CB000010", 0x6c44 },
		{ "00CB000100", 0x6a86 },
		{ "00CB010000", 0x6300 },
		{ "00CB010200", 0x6a86 },
		{ "00CB020000", 0x6a86 },
		{ "00CBC1000384010100", 0x9000 },
		{ "00CBC1000384010600", 0x6a82 },
		{ "00CBC1000385010100", 0x6a80 },
		{ "00CBC2000385010500", 0x9000 },
		{ "00CBC3000383010600", 0x9000 },
		{ "00CBC300058302000600", 0x6a82 },
		{ "00CBC30004 83020006", 0x6a82 },
		{ "00CBC30004 83010600", 0x6a80 },
		{ "00CBC3000383010E00", 0x6a82 },
		{ "00CBC3000383012600", 0x6a82 },
		{ "00CBC30011 730F 7265676973747279 20726F6F742031", 0x9000 },
		{ "00CBC30011 730F 7265676973747279 20726F6F742032", 0x6a82 },
		{ "00CBC40003860101", 0x6a82 },
		{ "00CBC30000", 0x6700 },
		/* READ FILE */
		{ "00B0000003830106", 0x9000 },
		{ "00B0000A03830106", 0x6a86 },
		{ "00B0000003830102", 0x6985 },
		{ "00B0000003830101", 0x6a82 },
		{ "00B0000000", 0x6700 },
		/* keys */
		{ "00CD000003850101", 0x9000 },
		{ "00CD000003850105", 0x6985 },
		{ "00CD000003850102", 0x6a80 },
		{ "00CD010003850101", 0x6a86 },
		{ "00B9000003840104", 0x9000 },
		{ "00B9000003840101", 0x6985 },
		{ "00B900000384010B", 0x6985 },
		{ "00B9000003840105", 0x6a80 },
		{ "00B90000038401F1", 0x6985 },
		{ "0046000006840104850105", 0x6985 },
		{ "0024000003850104", 0x6985 },
		{ "0024000003850101", 0x6985 },
		{ "0024000903850105", 0x6a86 },
		{ "0024010000", 0x6985 },
		/* signatures */
		{ "002A00000D 840101 A10103 91020002 920104", 0x6a80 },
		{ "002A00000D 840101 A10104 91020001 920104", 0x6a80 },
		{ "002A00000D 840101 A10103 91020001 920101", 0x6a80 },
		{ "002A00000D 840102 A10103 91020001 920104", 0x6a80 },
		{ "002A00000D 84010B A10103 91020001 920104", 0x6985 },
		{ "002A00000D 840104 A10103 91020001 920104", 0x6985 },
		{ "002A00000D 8401F1 A10103 91020001 920104", 0x6985 },
		{ "002A000003840101", 0x6a80 },
		{ "002A020000", 0x6a86 },
		{ "002A010000", 0x6985 },
		{ "002B80000122", 0x6985 },
		{ "0084000100", 0x6a86 },
		{ "00840000", 0x6700 },
		{ "00C0000000", 0x6985 },
	};
	struct fixture f;

	(void)state;
	open_card(&f);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		unsigned sw = apdu(&f, rows[i].apdu);

		if (sw != rows[i].sw)
			print_error("%s: %04x\n", rows[i].apdu, sw);
		assert_int_equal(sw, rows[i].sw);
		if (sw != 0x9000 && sw != 0x6300)
			assert_int_equal(f.len, 0);
	}
	fixture_close(&f);
}

static void application_information_is_68_bytes(void **state)
{
	struct fixture f;
	struct cur c;

	(void)state;
	open_card(&f);
	assert_int_equal(apdu(&f, "00CB000044"), 0x9000);
	assert_int_equal(f.len, 0x44);
	c = cur_init(f.out, f.len);
	for (const uint8_t *tag =
			(const uint8_t *)"\x10\x11\xb1\xb2\xb3\xb4\x90\x91\x92\x93\x94\xb7";
		*tag; tag++)
		(void)tlv_expect(&c, TLV_SHORTEST, *tag);
	assert_true(cur_done(&c));
	fixture_close(&f);
}

static void the_list_can_be_read_in_any_steps(void **state)
{
	static uint8_t whole[8192], parts[8192];
	size_t whole_len = 0, n = 0;
	struct fixture f;
	struct cur c;
	unsigned sw;
	uint8_t last = 0;

	(void)state;
	open_card(&f);
	f.card->state.slots = 0x3fe;
	for (sw = apdu(&f, "00CB010000");; sw = apdu(&f, "00CB010100")) {
		memcpy(whole + whole_len, f.out, f.len);
		whole_len += f.len;
		if (sw != 0x6300)
			break;
	}
	assert_int_equal(sw, 0x9000);
	for (sw = apdu(&f, "00CB010007");; sw = apdu(&f, "00CB010107")) {
		assert_true(f.len <= 7);
		memcpy(parts + n, f.out, f.len);
		n += f.len;
		if (sw != 0x6300)
			break;
	}
	assert_int_equal(n, whole_len);
	assert_memory_equal(parts, whole, n);
	assert_int_equal(apdu(&f, "00CB010100"), 0x6985);
	c = cur_init(whole, whole_len);
	while (c.left > 0) {
		struct tlv t;

		assert_true(tlv_read(&c, TLV_SHORTEST, &t));
		assert_true(t.tag >= last && t.tag <= 0xc3 && t.value.left < 0x80);
		last = t.tag;
		assert_true(tlv_read(&t.value, TLV_SHORTEST, &t));
		assert_true(t.value.left > 0);
	}
	assert_int_equal(last, 0xc3);
	fixture_close(&f);
}

static void text_comes_in_both_ways(void **state)
{
	static const char *const ways[][4] = {
		{ "002B800007 9B05 68656C6C6F" },
		{ "002B000005 9B05 68656C", "002B800002 6C6F" },
		{ "002B000003 9B05 68", "002B000002 656C", "002B800002 6C6F" },
		{ "002B000005 9B03 68656C", "002B800004 9B02 6C6F" },
		{ "002B800008 9B8105 68656C6C6F" },
		{ "002B80000A 9B83000005 68656C6C6F" },
	};
	static const char *const bad[][2] = {
		{ "002B800005 9B05 68656C" },
		{ "002B800003 9A0168" },
		{ "002B800003 9B8400" },
		{ "002B800022 9E20 "
		  "68656C6C6F68656C6C6F68656C6C6F68656C6C6F68656C6C6F68656C6C6F6868" },
		{ "002B000003 9B0268", "002B800002 6969" },
	};
	uint8_t digest[CARD__DIGEST_LEN];
	struct fixture f;

	(void)state;
	open_card(&f);
	assert_rc(RC_OK, card__sha256("hello", 5, digest));
	for (size_t i = 0; i < ARRAY_LEN(ways); i++) {
		assert_int_equal(apdu(&f, "002A00030D 840101 A10101 91020001 920104"), 0x9000);
		for (size_t k = 0; k < 4 && ways[i][k]; k++) {
			char cmd[128];

			assert_rc(RC_OK, str_copy(cmd, sizeof(cmd), ways[i][k]));
			cmd[7] = '3';
			assert_int_equal(apdu(&f, cmd), 0x9000);
		}
		assert_int_equal(f.len, 66);
		/* done: may be closed, and opened again without */
		if (i % 2)
			assert_int_equal(apdu(&f, "002A010300"), 0x9000);
	}
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		unsigned sw = 0x9000;

		assert_int_equal(apdu(&f, "002A00000D 840101 A10101 91020001 920104"), 0x9000);
		for (size_t k = 0; k < 2 && bad[i][k]; k++)
			sw = apdu(&f, bad[i][k]);
		assert_int_equal(sw, 0x6a80);
		assert_int_equal(apdu(&f, "002A010000"), 0x9000);
	}
	fixture_close(&f);
}

/* RFC 5869 appendix A.1 (the extract step), and the known TLS 1.2 PRF vector for SHA-256. */
static void keys_are_derived(void **state)
{
	uint8_t want[100];
	struct fixture f;

	(void)state;
	open_card(&f);
	assert_int_equal(apdu(&f, "004A00002B D116 0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b"
				  "D50D 000102030405060708090a0b0c 91020001"),
		0x9000);
	assert_int_equal(f.len, 32);
	assert_rc(
		RC_OK, hex_read("077709362c2e32df0ddc3f0dc47bba6390b6c73bb50f9c3122ec844ad7c2b3e5",
			       want, 32));
	assert_memory_equal(f.out, want, 32);
	assert_int_equal(apdu(&f, "004A000008 D100 D500 91020002"), 0x9000);
	assert_int_equal(f.len, 48);
	assert_int_equal(apdu(&f, "004A000008 D100 D500 91020008"), 0x6a80);
	assert_int_equal(apdu(&f, "004A020008 D100 D500 91020001"), 0x6a86);

	assert_int_equal(apdu(&f, "0048000031 D110 9bbe436ba940f017b17652849a71db35 D21A "
				  "74657374206c6162656c a0ba9f936cda311827a6f796ffd5198c D30164"),
		0x9000);
	assert_int_equal(f.len, 100);
	assert_rc(RC_OK, hex_read("e3f229ba727be17b8d122620557cd453c2aab21d07c3d495329b52d4e61edb5a"
				  "6b301791e90d35c9c9a46b4e14baf9af0fa022f7077def17abfd3797c0564bab"
				  "4fbc91666e9def9b97fce34f796789baa48082d122ee42c5a72e5a5110fff701"
				  "87347b66",
				 want, 100));
	assert_memory_equal(f.out, want, 100);
	assert_int_equal(apdu(&f, "0048000009 D10101 D20102 D30100"), 0x6a80);
	fixture_close(&f);
}

static void signatures_are_checked(void **state)
{
	static const char init[] = "002C00000D 850101 A10101 91020001 920104";
	char sig[2 * CARD__SIG_LEN + 1], cmd[256];
	struct fixture f;

	(void)state;
	open_card(&f);
	assert_int_equal(apdu(&f, "002A00000D 840101 A10101 91020001 920104"), 0x9000);
	assert_int_equal(apdu(&f, "002B800007 9B05 68656C6C6F"), 0x9000);
	hex_write(f.out + 2, CARD__SIG_LEN, sig);
	/* both forms of the length, text cut in two, both session spaces apart */
	assert_int_equal(apdu(&f, init), 0x9000);
	assert_rc(RC_OK, str_format(cmd, sizeof(cmd), "002D800049 9B05 68656C6C6F 3340 %s", sig));
	assert_int_equal(apdu(&f, cmd), 0x9000);
	assert_int_equal(f.len, 0);
	assert_int_equal(apdu(&f, init), 0x9000);
	assert_int_equal(apdu(&f, "002D000004 9B05 6865"), 0x9000);
	assert_rc(RC_OK, str_format(cmd, sizeof(cmd), "002D800046 6C6C6F 330040 %s", sig));
	assert_int_equal(apdu(&f, cmd), 0x9000);
	/* wrong: the text, the key, the form */
	assert_int_equal(apdu(&f, init), 0x9000);
	assert_rc(RC_OK, str_format(cmd, sizeof(cmd), "002D800049 9B05 68656C6C70 3340 %s", sig));
	assert_int_equal(apdu(&f, cmd), 0x6d01);
	assert_int_equal(apdu(&f, cmd), 0x6985);
	assert_int_equal(apdu(&f, "002C00000D 85010B A10101 91020001 920104"), 0x9000);
	cmd[25] = 'F';
	assert_int_equal(apdu(&f, cmd), 0x6d01);
	assert_int_equal(apdu(&f, init), 0x9000);
	assert_int_equal(apdu(&f, "002D800007 9B05 68656C6C6F"), 0x6a80);
	assert_int_equal(apdu(&f, "002C00000D 850105 A10101 91020001 920104"), 0x6985);
	assert_int_equal(apdu(&f, "002C00000D 840101 A10101 91020001 920104"), 0x6a80);
	assert_int_equal(apdu(&f, "002C010000"), 0x6985);
	fixture_close(&f);
}

/* Tag 4A of what GET DATA says about the container in `f->out`. */
static unsigned activity(const struct fixture *f)
{
	for (size_t i = 0; i + 2 < f->len; i++)
		if (f->out[i] == 0x4a && f->out[i + 1] == 0x01)
			return f->out[i + 2];
	return 0xff;
}

static void what_is_made_or_put_becomes_active(void **state)
{
	static const char *const looks[] = { "00CBC1000384010400", "00CBC2000385010400",
		"00CBC2000385010500" };
	char put[160], point[2 * CARD__POINT_LEN + 1];
	struct fixture f;

	(void)state;
	open_card(&f);
	for (size_t i = 0; i < ARRAY_LEN(looks); i++) {
		assert_int_equal(apdu(&f, looks[i]), 0x9000);
		assert_int_equal(activity(&f), 0);
	}
	assert_int_equal(apdu(&f, "00B900000384010400"), 0x9000);
	hex_write(f.card->state.keys[0x0b]->point, CARD__POINT_LEN, point);
	assert_rc(RC_OK, str_format(put, sizeof(put), "00D8800047344549438641%s", point));
	assert_int_equal(apdu(&f, "0024000003850105"), 0x9000);
	assert_int_equal(apdu(&f, put), 0x9000);
	for (size_t i = 0; i < ARRAY_LEN(looks); i++) {
		assert_int_equal(apdu(&f, looks[i]), 0x9000);
		assert_int_equal(activity(&f), 1);
	}
	fixture_close(&f);
}

static void points_off_the_curve_are_refused(void **state)
{
	struct fixture f;
	char good[160], point[2 * CARD__POINT_LEN + 1];

	(void)state;
	open_card(&f);
	hex_write(f.card->state.keys[0x0b]->point, CARD__POINT_LEN, point);
	assert_rc(RC_OK, str_format(good, sizeof(good), "00D8800047344549438641%s", point));
	assert_int_equal(apdu(&f, "0024000003850105"), 0x9000);
	assert_int_equal(apdu(&f, good), 0x9000);
	assert_int_equal(apdu(&f, "004600000684010B850105"), 0x9000);
	assert_int_equal(f.len, 32);
	good[strlen(good) - 1] = good[strlen(good) - 1] == '0' ? '1' : '0';
	assert_int_equal(apdu(&f, "0024000003850105"), 0x9000);
	assert_int_equal(apdu(&f, good), 0x6a80);
	assert_int_equal(apdu(&f, good), 0x6985);
	fixture_close(&f);
}

static void blocked_keys_do_nothing(void **state)
{
	struct fixture f;

	(void)state;
	open_card(&f);
	assert_int_equal(apdu(&f, "002A00000D 840101 A10101 91020001 920104"), 0x9000);
	f.card->state.keys[0x01]->blocked = true;
	f.card->state.keys[0x0b]->blocked = true;
	assert_int_equal(apdu(&f, "002B800003 9B0168"), 0x6985);
	assert_int_equal(apdu(&f, "002A00000D 840101 A10101 91020001 920104"), 0x6985);
	assert_rc(RC_OK,
		card__key_from_point(&f.card->state, 0x05, ALG_P256, f.card->state.keys[1]->point));
	assert_int_equal(apdu(&f, "004600000684010B850105"), 0x6985);
	assert_int_equal(apdu(&f, "00CBC1000384010100"), 0x9000);
	fixture_close(&f);
}

/* A key destroyed by the operator while a device is in the middle of an operation. */
static void keys_may_go_at_any_time(void **state)
{
	struct fixture f;

	(void)state;
	open_card(&f);
	assert_int_equal(apdu(&f, "002A00000D 840101 A10101 91020001 920104"), 0x9000);
	assert_int_equal(apdu(&f, "002B000003 9B0168"), 0x9000);
	card__key_drop(&f.card->state, 0x01);
	assert_int_equal(apdu(&f, "002B800003 9B0168"), 0x6985);
	card_session_reset(f.session);
	assert_int_equal(apdu(&f, "002A010000"), 0x6985);
	fixture_close(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(status_words),
		cmocka_unit_test(application_information_is_68_bytes),
		cmocka_unit_test(the_list_can_be_read_in_any_steps),
		cmocka_unit_test(text_comes_in_both_ways),
		cmocka_unit_test(keys_are_derived),
		cmocka_unit_test(signatures_are_checked),
		cmocka_unit_test(what_is_made_or_put_becomes_active),
		cmocka_unit_test(points_off_the_curve_are_refused),
		cmocka_unit_test(blocked_keys_do_nothing),
		cmocka_unit_test(keys_may_go_at_any_time),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
