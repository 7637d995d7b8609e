/* SPDX-License-Identifier: Apache-2.0 */
/* Further containers: RSA-2048, brainpoolP256r1, secret keys, other hashes, the three modes. */
#define OPENSSL_SUPPRESS_DEPRECATED
#include "fixture.h"

#include <openssl/sha.h>

#define SELECT "00A4040007A0000005590010"

enum { P256 = 0xa0, BRAINPOOL, RSA_KEY, PEER_BRAINPOOL, PEER_RSA, PSK, NOTE };

static void open_card(struct fixture *f)
{
	static const char *const kinds[] = { "p256", "brainpool", "rsa", "peer-brainpool",
		"peer-rsa", "secret", "file" };
	uint8_t psk[16];

	fixture_open(f, "strict", NULL);
	for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
		assert_rc(
			RC_OK, card_personalise_container(f->card, (uint8_t)(P256 + i), kinds[i]));
	for (uint8_t i = 0; i < sizeof(psk); i++)
		psk[i] = (uint8_t)(i + 1);
	assert_rc(RC_OK, card_personalise_value(f->card, PSK, psk, sizeof(psk)));
	assert_rc(RC_OK, card_personalise_value(f->card, NOTE, "note", 4));
	assert_int_equal(apdu(f, SELECT), 0x9000);
}

/* An APDU of hex head and bytes. */
static unsigned send(struct fixture *f, const char *head, const uint8_t *bytes, size_t len)
{
	char hex[2 * CARD_APDU_MAX + 1];

	assert_rc(RC_OK, str_copy(hex, sizeof(hex), head));
	hex_write(bytes, len, hex + strlen(hex));
	return apdu(f, hex);
}

/* Fetches what a 61xx announces. */
static size_t fetch(struct fixture *f, unsigned sw, uint8_t *out, size_t cap)
{
	size_t len = 0;

	while (sw >> 8 == 0x61) {
		if (len == 0)
			assert_int_equal(f->len, 0);
		sw = apdu(f, "00C0000000");
		assert_true(len + f->len <= cap && f->len <= 255);
		memcpy(out + len, f->out, f->len);
		len += f->len;
	}
	assert_int_equal(sw, 0x9000);
	return len;
}

static void rsa_goes_in_pieces(void **state)
{
	static const char *const algorithms[] = { "01", "02" };
	uint8_t object[CARD__PUBLIC_MAX], sig[300];
	struct fixture f;
	size_t len;

	(void)state;
	open_card(&f);
	len = fetch(&f, apdu(&f, "00B90000038401A2"), object, sizeof(object) + 6);
	assert_int_equal(len, 279);
	assert_memory_equal(object, "\x84\x01\xa2\x85\x01\xa2\x34\x82\x01\x0d\x49\x82", 12);
	len = fetch(&f, apdu(&f, "00CD0000038501A200"), object, sizeof(object));
	assert_int_equal(len, 273);
	for (size_t i = 0; i < ARRAY_LEN(algorithms); i++) {
		char init[64];

		assert_rc(
			RC_OK, str_format(init, sizeof(init),
				       "002A00000D 8401A2 A10101 91020001 9201%s", algorithms[i]));
		assert_int_equal(apdu(&f, init), 0x9000);
		assert_int_equal(
			fetch(&f, apdu(&f, "002B800007 9B05 68656C6C6F"), sig, sizeof(sig)), 259);
		assert_memory_equal(sig, "\x33\x01\x00", 3);
		/* the public half goes to another container: one object cut, then a head per piece
		 */
		assert_int_equal(apdu(&f, "00240000038501A4"), 0x9000);
		if (i == 0) {
			assert_int_equal(send(&f, "00D80000C8", object, 200), 0x9000);
			assert_int_equal(send(&f, "00D8800049", object + 200, 73), 0x9000);
		} else {
			uint8_t piece[256] = { 0x34, 0x81, 200 };

			memcpy(piece + 3, object + 4, 200);
			assert_int_equal(send(&f, "00D80000CB", piece, 203), 0x9000);
			piece[1] = 69;
			memcpy(piece + 2, object + 204, 69);
			assert_int_equal(send(&f, "00D8800047", piece, 71), 0x9000);
		}
		assert_rc(
			RC_OK, str_format(init, sizeof(init),
				       "002C00000D 8501A4 A10101 91020001 9201%s", algorithms[i]));
		for (int wrong = 0; wrong < 2; wrong++) {
			assert_int_equal(apdu(&f, init), 0x9000);
			assert_int_equal(apdu(&f, "002D000007 9B05 68656C6C6F"), 0x9000);
			assert_int_equal(send(&f, "002D0000FF", sig, 255), 0x9000);
			sig[258] = (uint8_t)(sig[258] ^ wrong);
			assert_int_equal(
				send(&f, "002D800004", sig + 255, 4), wrong ? 0x6d01 : 0x9000);
		}
		assert_int_equal(apdu(&f, init), 0x9000);
		assert_int_equal(apdu(&f, "002D000007 9B05 68656C6C6F"), 0x9000);
		assert_int_equal(send(&f, "002D8000FF", sig, 255), 0x6a80);
	}
	/* no other algorithm, no agreement, no short key */
	assert_int_equal(apdu(&f, "002A00000D 8401A2 A10101 91020001 920104"), 0x6a80);
	assert_int_equal(apdu(&f, "00460000068401A28501A4"), 0x6985);
	assert_int_equal(apdu(&f, "00240000038501A4"), 0x9000);
	assert_int_equal(apdu(&f, "00D880000B 3409 4907 8102FFFF 820103"), 0x6a80);
	fixture_close(&f);
}

static void brainpool_signs_and_agrees(void **state)
{
	uint8_t point[CARD__POINT_LEN], sig[66];
	char cmd[300], hex[2 * CARD__POINT_LEN + 1];
	uint8_t shared[32];
	struct fixture f;

	(void)state;
	open_card(&f);
	assert_int_equal(apdu(&f, "00B90000038401A1"), 0x9000);
	assert_int_equal(f.len, 77);
	memcpy(point, f.out + 12, sizeof(point));
	hex_write(point, sizeof(point), hex);
	assert_int_equal(apdu(&f, "00240000038501A3"), 0x9000);
	assert_rc(RC_OK, str_format(cmd, sizeof(cmd), "00D8800047344549438641%s", hex));
	assert_int_equal(apdu(&f, cmd), 0x9000);
	assert_int_equal(apdu(&f, "00460000068401A18501A3"), 0x9000);
	assert_int_equal(f.len, 32);
	memcpy(shared, f.out, 32);
	assert_int_equal(apdu(&f, "00460000068401A18501A1"), 0x9000);
	assert_memory_equal(f.out, shared, 32);
	/* the curves do not mix */
	assert_int_equal(apdu(&f, "0024000003850105"), 0x9000);
	assert_int_equal(apdu(&f, cmd), 0x6a80);
	assert_int_equal(apdu(&f, "00B90000038401A0"), 0x9000);
	assert_int_equal(apdu(&f, "00460000068401A18501A0"), 0x6a80);
	/* SHA-384 too, where the container allows it */
	assert_int_equal(apdu(&f, "002A00000D 8401A1 A10101 91020002 920104"), 0x9000);
	assert_int_equal(apdu(&f, "002B800007 9B05 68656C6C6F"), 0x9000);
	assert_int_equal(f.len, 66);
	memcpy(sig, f.out, sizeof(sig));
	assert_int_equal(apdu(&f, "002C00000D 8501A3 A10101 91020002 920104"), 0x9000);
	assert_int_equal(send(&f, "002D800049 9B05 68656C6C6F", sig, sizeof(sig)), 0x9000);
	assert_int_equal(apdu(&f, "002C00000D 8501A3 A10101 91020004 920104"), 0x9000);
	assert_int_equal(send(&f, "002D800049 9B05 68656C6C6F", sig, sizeof(sig)), 0x6d01);
	fixture_close(&f);
}

/* What the host hashed and the card finishes is what the card alone would have hashed. */
static void the_last_block(void **state)
{
	static const struct {
		const char *hash;
		size_t whole, rest;
	} rows[] = { { "0001", 0, 5 }, { "0001", 64, 5 }, { "0001", 128, 0 }, { "0001", 64, 64 },
		{ "0002", 128, 7 }, { "0004", 128, 100 }, { "0004", 0, 0 } };
	uint8_t text[256], in[255], sig[66];
	struct fixture f;

	(void)state;
	open_card(&f);
	assert_int_equal(apdu(&f, "00B90000038401A0"), 0x9000);
	for (size_t i = 0; i < sizeof(text); i++)
		text[i] = (uint8_t)i;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		bool wide = rows[i].hash[3] != '1';
		struct put p = put_init(in, sizeof(in)), state_of;
		uint8_t bytes[64];
		char init[64], head[16];
		SHA256_CTX c;
		SHA512_CTX w;

		SHA256_Init(&c);
		SHA256_Update(&c, text, rows[i].whole);
		rows[i].hash[3] == '2' ? SHA384_Init(&w) : SHA512_Init(&w);
		SHA512_Update(&w, text, rows[i].whole);
		state_of = put_init(bytes, sizeof(bytes));
		for (size_t k = 0; k < 8; k++)
			wide ? put_u64(&state_of, w.h[k]) : put_u32(&state_of, c.h[k]);
		tlv_put(&p, 0x9a, text + rows[i].whole, rows[i].rest);
		tlv_put(&p, 0x9c, bytes, state_of.len);
		tlv_put(&p, 0x9d, (uint8_t[]){ 0, 0, 0, (uint8_t)rows[i].whole }, 4);
		assert_rc(RC_OK, str_format(init, sizeof(init),
					 "002A00000D 8401A0 A10102 9102%s 920104", rows[i].hash));
		assert_int_equal(apdu(&f, init), 0x9000);
		assert_rc(RC_OK, str_format(head, sizeof(head), "002B8000%02zx", p.len));
		assert_int_equal(send(&f, head, in, p.len), 0x9000);
		memcpy(sig, f.out, sizeof(sig));
		assert_rc(RC_OK, str_format(init, sizeof(init),
					 "002C00000D 8501A0 A10101 9102%s 920104", rows[i].hash));
		assert_int_equal(apdu(&f, init), 0x9000);
		p = put_init(in, sizeof(in));
		tlv_put(&p, 0x9b, text, rows[i].whole + rows[i].rest);
		assert_rc(RC_OK, str_format(head, sizeof(head), "002D0000%02zx", p.len));
		if (put_ok(&p) && p.len > 0)
			assert_int_equal(send(&f, head, in, p.len), 0x9000);
		assert_int_equal(send(&f, "002D800042", sig, sizeof(sig)), 0x9000);
	}
	/* no whole number of blocks, a state too short, a member missing, two blocks */
	assert_int_equal(apdu(&f, "002A00000D 8401A0 A10102 91020001 920104"), 0x9000);
	assert_int_equal(apdu(&f, "002B800008 9A00 9D0400000040"), 0x6a80);
	assert_int_equal(apdu(&f, "002A00000D 8401A0 A10102 91020001 920104"), 0x9000);
	assert_int_equal(apdu(&f, "002B80000A 9A00 9C00 9D0400000040"), 0x6a80);
	assert_int_equal(apdu(&f, "002A00000D 8401A0 A10102 91020001 920104"), 0x9000);
	assert_int_equal(send(&f, "002B80002A 9A00 9D0400000041 9C20", text, 32), 0x6a80);
	fixture_close(&f);
}

static void secrets_derive(void **state)
{
	static const char seed[] = "D22D 6d617374657220736563726574"
				   "000102030405060708090a0b0c0d0e0f"
				   "101112131415161718191a1b1c1d1e1f D30130";
	static const struct {
		const char *head, *tail, *want;
	} rows[] = {
		/* RFC 4279, RFC 5489: computed apart, with Python's hmac */
		{ "0048010035 8601A5", seed,
			"7aaf07ce515c1e6e5a2d45cff048dbded80f7920d6e7da18d2b5741aa3dab0b5"
			"c53696e34173398153d6bbd5c47bbe74" },
		{ "0048020057 8601A5 D420"
		  "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
			seed,
			"ea52fa445cece654a9d9fece8b09a2b0ea75dd0213de376d8c1cabb1489844bd"
			"0da15b408b9d1b70cd4af1b386895aa7" },
		{ "004A01000D 8601A5 D504 73616c74", "91020001",
			"525bc0b0a92a19cfbddbb6b0fc4e5ae5478b1c71e7deb321782a2439c64f2de7" },
		/* RFC 5869 appendix A.1: the expand step */
		{ "004A000135 D120 077709362c2e32df0ddc3f0dc47bba63"
		  "90b6c73bb50f9c3122ec844ad7c2b3e5 D20A f0f1f2f3f4f5f6f7f8f9",
			"D3012A 91020001",
			"3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf"
			"34007208d5b887185865" },
	};
	struct fixture f;

	(void)state;
	open_card(&f);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		uint8_t want[64];
		char cmd[400];
		size_t len = 0;

		assert_rc(RC_OK, str_format(cmd, sizeof(cmd), "%s %s", rows[i].head, rows[i].tail));
		assert_int_equal(apdu(&f, cmd), 0x9000);
		assert_rc(RC_OK, hex_read_upto(rows[i].want, want, sizeof(want), &len));
		assert_int_equal(f.len, len);
		assert_memory_equal(f.out, want, len);
	}
	assert_int_equal(
		apdu(&f, "0048010014 760D 736563726574206b65792061 35 D20161 D30101"), 0x6a80);
	assert_int_equal(
		apdu(&f, "0048010015 760D 736563726574206b6579206135 D20161 D30101"), 0x9000);
	/* a stored secret too short for a pseudo-random key, no secret, a blocked one, wrong modes
	 */
	assert_int_equal(apdu(&f, "004A01010D 8601A5 D20161 D30110 91020001"), 0x6a80);
	assert_int_equal(apdu(&f, "0048010009 8601A6 D20161 D30101"), 0x6a80);
	f.card->state.keys[PSK]->blocked = true;
	assert_int_equal(apdu(&f, "0048010009 8601A5 D20161 D30101"), 0x6985);
	assert_int_equal(apdu(&f, "0048030009 8601A5 D20161 D30101"), 0x6a86);
	assert_int_equal(apdu(&f, "004A02000D 8601A5 D50461616161 91020001"), 0x6a86);
	fixture_close(&f);
}

static void all_types_are_listed(void **state)
{
	uint8_t list[8192];
	size_t len = 0, seen[5] = { 0 };
	struct fixture f;
	struct cur c;
	struct tlv t;
	unsigned sw;

	(void)state;
	open_card(&f);
	assert_int_equal(apdu(&f, "00CBC400038601A5"), 0x9000);
	assert_memory_equal(f.out,
		"\xc4\x21\x76\x0dsecret key a5\x86\x01\xa5\x60\x01\x00\x4a\x01"
		"\x01\x4b\x01\xa0\x61\x01\x08\x94\x01\x03",
		f.len);
	assert_int_equal(apdu(&f, "00CBC400038601A0"), 0x6a82);
	assert_int_equal(apdu(&f, "00CBC100038401A2"), 0x9000);
	assert_int_equal(apdu(&f, "00CB000044"), 0x9000);
	assert_memory_equal(f.out + 46, "\xb4\x01\x01\x90\x01\x0f\x91\x02\x00\x07\x92\x01\x07", 13);
	for (sw = apdu(&f, "00CB010000");; sw = apdu(&f, "00CB010100")) {
		memcpy(list + len, f.out, f.len);
		len += f.len;
		if (sw != 0x6300)
			break;
	}
	assert_int_equal(sw, 0x9000);
	/* private, public, secret, files: the order in which one client scans */
	c = cur_init(list, len);
	for (size_t stage = 0; c.left > 0;) {
		static const uint8_t order[] = { 0xc1, 0xc2, 0xc4, 0xc3 };

		assert_true(tlv_read(&c, TLV_SHORTEST, &t));
		while (stage < 4 && order[stage] != t.tag)
			stage++;
		assert_true(stage < 4);
		seen[stage]++;
	}
	assert_int_equal(seen[0], 6);
	assert_int_equal(seen[1], 9);
	assert_int_equal(seen[2], 1);
	assert_int_equal(seen[3], 1);
	assert_int_equal(apdu(&f, "00B00000038301A6"), 0x9000);
	assert_memory_equal(f.out, "note", 4);
	fixture_close(&f);
}

static void personalisation_has_limits(void **state)
{
	struct fixture f;
	uint8_t id = 0xa7;

	(void)state;
	open_card(&f);
	assert_rc(RC_NOT_FOUND, card_personalise_container(f.card, 0xa7, "other"));
	assert_rc(RC_RANGE, card_personalise_container(f.card, 0x0e, "file"));
	assert_rc(RC_RANGE, card_personalise_value(f.card, 0x06, "x", 1));
	assert_rc(RC_RANGE, card_personalise_value(f.card, PEER_RSA, "x", 1));
	assert_rc(RC_MALFORMED, card_personalise_value(f.card, P256, "x", 1));
	assert_rc(RC_RANGE, card_personalise_value(f.card, PSK, "x", 0));
	while (card_personalise_container(f.card, id, "file") == RC_OK)
		id++;
	assert_int_equal(id, 0xa0 + CARD_EXTRA_COUNT);
	fixture_close(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(rsa_goes_in_pieces),
		cmocka_unit_test(brainpool_signs_and_agrees),
		cmocka_unit_test(the_last_block),
		cmocka_unit_test(secrets_derive),
		cmocka_unit_test(all_types_are_listed),
		cmocka_unit_test(personalisation_has_limits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
