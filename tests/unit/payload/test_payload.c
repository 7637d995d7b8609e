/* SPDX-License-Identifier: Apache-2.0 */
#include "fixture.h"

#include "base/cbor.h"
#include "payload/sign.h"
#include "payload/wifi.h"

#include <openssl/sha.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const VECTORS[] = { "compact.cose", "full.cose", "withdrawn.cose" };

/* Everything but the signature must come out as the other implementation made it. */
static void writes_the_golden_vectors(void **state)
{
	EVP_PKEY *key = fixture_key("signer.key");

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(VECTORS); i++) {
		struct file want = fixture_file(VECTORS[i]);
		static uint8_t got[PAYLOAD_MAX];
		struct put out = put_init(got, sizeof(got));
		struct payload parsed, p;
		struct diag d = { 0 };

		assert_rc(RC_OK, payload_parse(want.bytes, want.len, &parsed, NULL, &d));
		p = i == 0   ? fixture_compact()
		    : i == 1 ? fixture_full(&parsed)
			     : fixture_withdrawn();
		if (payload_sign(&p, key, &out, &d) != RC_OK)
			fail_msg("%s: %s", VECTORS[i], d.text);
		assert_int_equal(out.len, want.len);
		assert_memory_equal(got, want.bytes, want.len - PAYLOAD_SIG_LEN);
		free(want.bytes);
	}
	EVP_PKEY_free(key);
}

static void what_was_read_writes_the_same(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(VECTORS); i++) {
		struct file f = fixture_file(VECTORS[i]);
		uint8_t *again = malloc(f.len);
		struct put out = put_init(again, f.len);
		struct payload_cose cose;
		struct payload p;
		struct diag d = { 0 };

		assert_rc(RC_OK, payload_parse(f.bytes, f.len, &p, &cose, &d));
		assert_rc(RC_OK, payload_write_map(&p, &out, &d));
		assert_int_equal(out.len, cose.map.len);
		assert_memory_equal(again, cose.map.at, out.len);
		/* One byte less of room is refused, never overrun. */
		out = put_init(again, cose.map.len - 1);
		assert_rc(RC_TOO_LARGE, payload_write_map(&p, &out, &d));
		free(again);
		free(f.bytes);
	}
}

static void every_truncation_is_refused(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(VECTORS); i++) {
		struct file f = fixture_file(VECTORS[i]);
		struct payload p;

		for (size_t cut = 0; cut < f.len; cut++) {
			/* An own allocation of just this size, so that a sanitizer sees overreads.
			 */
			uint8_t *b = malloc(cut + 1);
			memcpy(b, f.bytes, cut);
			assert_int_not_equal(payload_parse(b, cut, &p, NULL, NULL), RC_OK);
			free(b);
		}
		uint8_t *b = malloc(f.len + 1);
		memcpy(b, f.bytes, f.len);
		b[f.len] = 0;
		assert_rc(RC_MALFORMED, payload_parse(b, f.len + 1, &p, NULL, NULL));
		free(b);
		free(f.bytes);
	}
}

/* What a map may and may not hold, by changing the withdrawn one: `a9` pairs, then a tail. */
static const struct {
	const char *what;
	uint8_t pairs;
	uint8_t tail[8];
	size_t tail_len;
	enum rc rc;
} TAILS[] = {
	{ "as it is", 8, { 0 }, 0, RC_OK },
	{ "unknown positive key", 9, { 0x12, 0xf6 }, 2, RC_OK },
	{ "unknown large key", 9, { 0x19, 0x03, 0xe8, 0x80 }, 4, RC_OK },
	{ "unknown key 0 out of order", 9, { 0x00, 0x00 }, 2, RC_MALFORMED },
	{ "unknown negative key", 9, { 0x20, 0x00 }, 2, RC_UNSUPPORTED },
	{ "a key twice", 9, { 0x09, 0x00 }, 2, RC_MALFORMED },
	{ "a text key", 9, { 0x61, 'a', 0x00 }, 3, RC_MALFORMED },
	{ "unknown key, indefinite value", 9, { 0x12, 0x9f, 0xff }, 3, RC_MALFORMED },
	{ "a key of live payloads", 9, { 0x0e, 0x41, 0x00 }, 3, RC_MALFORMED },
	{ "bytes behind the map", 8, { 0x00 }, 1, RC_MALFORMED },
	{ "a pair too many promised", 9, { 0 }, 0, RC_MALFORMED },
};

static void maps_are_held_to_the_rules(void **state)
{
	uint8_t map[128];
	struct payload p = fixture_withdrawn(), out;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(TAILS); i++) {
		struct put w = put_init(map, sizeof(map));
		assert_rc(RC_OK, payload_write_map(&p, &w, NULL));
		assert_int_equal(map[0], 0xa8);
		map[0] = 0xa0 | TAILS[i].pairs;
		put_bytes(&w, TAILS[i].tail, TAILS[i].tail_len);
		enum rc rc = payload_map_parse(map, w.len, &out, NULL);
		if (rc != TAILS[i].rc)
			fail_msg("%s: %s", TAILS[i].what, rc_text(rc));
	}
}

static void unsorted_lists_are_refused(void **state)
{
	struct file f = fixture_file("full.cose");
	struct payload p, out;
	struct payload_cose c;

	(void)state;
	assert_rc(RC_OK, payload_parse(f.bytes, f.len, &p, &c, NULL));
	/* Swap the two hashes of key 16 where they stand. */
	uint8_t *a = (uint8_t *)(uintptr_t)p.signers[0], *b = (uint8_t *)(uintptr_t)p.signers[1];
	for (size_t i = 0; i < PAYLOAD_HASH_LEN; i++) {
		uint8_t t = a[i];
		a[i] = b[i];
		b[i] = t;
	}
	assert_rc(RC_MALFORMED, payload_parse(f.bytes, f.len, &out, NULL, NULL));
	/* The same hash twice. */
	memcpy(a, b, PAYLOAD_HASH_LEN);
	assert_rc(RC_MALFORMED, payload_parse(f.bytes, f.len, &out, NULL, NULL));
	free(f.bytes);
}

static void fields_out_of_range_are_not_written(void **state)
{
	static const uint8_t short_pin[] = { 1, 2, 3 };
	uint8_t buf[1024];
	struct put w = put_init(buf, sizeof(buf));
	struct payload p = fixture_compact();

	(void)state;
	p.slot = 10;
	assert_rc(RC_RANGE, payload_write_map(&p, &w, NULL));
	p = fixture_compact();
	p.zone = payload_text("IOTregistry.example");
	assert_rc(RC_RANGE, payload_write_map(&p, &w, NULL));
	p.zone = payload_text("iotregistry.example.");
	assert_rc(RC_RANGE, payload_write_map(&p, &w, NULL));
	p = fixture_compact();
	p.pins_len = 0;
	assert_rc(RC_RANGE, payload_write_map(&p, &w, NULL));
	p = fixture_compact();
	p.pins[0].data = (struct payload_bytes){ .at = short_pin, .len = sizeof(short_pin) };
	assert_rc(RC_RANGE, payload_write_map(&p, &w, NULL));
	p = fixture_compact();
	p.resolvers_len = 0;
	assert_rc(RC_RANGE, payload_write_map(&p, &w, NULL));
	assert_int_equal(w.len, 0);
}

/* formats.md section 2, size goals: 438 and 582 bytes with names as long as these. */
static void compact_fits_the_messages(void **state)
{

	struct payload p = fixture_compact();
	struct payload_wifi w = { .ssid_len = 16,
		.ssid = "Gatineau-Parking",
		.passphrase_len = 21,
		.passphrase = "correct horse battery",
		.security = PAYLOAD_WIFI_WPA3_SAE };
	struct payload_binding to = { .slot = 1, .sequence = 1000 };
	uint8_t sealed[PAYLOAD_WIFI_MAX], file[1024], point[65];
	struct put s = put_init(sealed, sizeof(sealed)), out = put_init(file, sizeof(file));
	EVP_PKEY *key = fixture_key("signer.key");
	EVP_PKEY *b = fixture_key("b.key");
	size_t len = 0;

	(void)state;
	p.sequence = 1000;
	p.resolvers[0].pins_len = 1;
	assert_rc(RC_OK, payload_sign(&p, key, &out, NULL));
	print_message("compact payload: %zu bytes\n", out.len);
	assert_in_range(out.len, 1, 438);
	assert_int_equal(EVP_PKEY_get_octet_string_param(b, "pub", point, sizeof(point), &len), 1);
	assert_rc(RC_OK, payload_wifi_seal(&w, point, &to, &s, NULL));
	p.wifi = (struct payload_bytes){ .at = sealed, .len = s.len };
	out = put_init(file, sizeof(file));
	assert_rc(RC_OK, payload_sign(&p, key, &out, NULL));
	print_message("compact payload with Wi-Fi: %zu bytes\n", out.len);
	assert_in_range(out.len, 1, 582);
	EVP_PKEY_free(key);
	EVP_PKEY_free(b);
}

static void signatures_bind_map_and_kid(void **state)
{
	struct file f = fixture_file("compact.cose");
	EVP_PKEY *key = fixture_key("signer.key"), *other = fixture_key("b.key");
	struct payload_cose c;

	(void)state;
	assert_rc(RC_OK, payload_cose_parse(f.bytes, f.len, &c, NULL));
	assert_rc(RC_OK, payload_verify(&c, key, NULL));
	assert_rc(RC_SIGNATURE, payload_verify(&c, other, NULL));
	((uint8_t *)(uintptr_t)c.kid)[0] ^= 1;
	assert_rc(RC_SIGNATURE, payload_verify(&c, key, NULL));
	((uint8_t *)(uintptr_t)c.kid)[0] ^= 1;
	((uint8_t *)(uintptr_t)c.map.at)[5] ^= 1;
	assert_rc(RC_SIGNATURE, payload_verify(&c, key, NULL));
	free(f.bytes);
	EVP_PKEY_free(key);
	EVP_PKEY_free(other);
}

static void registry_profile_comes_back(void **state)
{
	struct payload p = fixture_compact(), out, nothing = { 0 };
	uint8_t buf[256];
	struct put w = put_init(buf, sizeof(buf));
	struct diag d = { 0 };

	(void)state;
	assert_rc(RC_OK, payload_profile_write(&p, &w, &d));
	assert_rc(RC_OK, payload_profile_parse(buf, w.len, &out, &d));
	assert_true(payload_text_is(out.zone, "iotregistry.example"));
	assert_int_equal(out.anchors[0].tag, 4711);
	assert_memory_equal(out.resolvers[0].pins[0], p.resolvers[0].pins[0], 32);
	for (size_t cut = 0; cut < w.len; cut++)
		assert_int_not_equal(payload_profile_parse(buf, cut, &out, NULL), RC_OK);
	/* The map of a payload is not a profile. */
	uint8_t map[1024];
	w = put_init(map, sizeof(map));
	assert_rc(RC_OK, payload_write_map(&p, &w, NULL));
	assert_rc(RC_MALFORMED, payload_profile_parse(map, w.len, &nothing, NULL));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(writes_the_golden_vectors),
		cmocka_unit_test(what_was_read_writes_the_same),
		cmocka_unit_test(every_truncation_is_refused),
		cmocka_unit_test(maps_are_held_to_the_rules),
		cmocka_unit_test(unsorted_lists_are_refused),
		cmocka_unit_test(fields_out_of_range_are_not_written),
		cmocka_unit_test(compact_fits_the_messages),
		cmocka_unit_test(signatures_bind_map_and_kid),
		cmocka_unit_test(registry_profile_comes_back),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
