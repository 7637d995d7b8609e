/* SPDX-License-Identifier: Apache-2.0 */
#include "fixture.h"

#include "payload/wifi__.h"

#include <stdlib.h>
#include <string.h>

static struct payload_wifi lab_wifi(void)
{
	return (struct payload_wifi){ .ssid_len = 16,
		.ssid = "Gatineau-Parking",
		.passphrase_len = 21,
		.passphrase = "correct horse battery",
		.security = PAYLOAD_WIFI_WPA3_SAE };
}

static void point_of(EVP_PKEY *key, uint8_t point[65])
{
	size_t len = 0;

	assert_int_equal(EVP_PKEY_get_octet_string_param(key, "pub", point, 65, &len), 1);
	assert_int_equal(len, 65);
}

/* Stands for the card: the B key's ECDH. */
static enum rc agree(void *user, const uint8_t peer[65], uint8_t x[32], struct diag *d)
{
	EVP_PKEY *pub = EVP_PKEY_new();
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_pkey(NULL, user, NULL);
	size_t len = 32;

	(void)d;
	assert_int_equal(EVP_PKEY_copy_parameters(pub, user), 1);
	assert_int_equal(EVP_PKEY_set1_encoded_public_key(pub, peer, 65), 1);
	assert_int_equal(EVP_PKEY_derive_init(ctx), 1);
	assert_int_equal(EVP_PKEY_derive_set_peer(ctx, pub), 1);
	assert_int_equal(EVP_PKEY_derive(ctx, x, &len), 1);
	EVP_PKEY_CTX_free(ctx);
	EVP_PKEY_free(pub);
	return RC_OK;
}

static enum rc card_is_gone(void *user, const uint8_t peer[65], uint8_t x[32], struct diag *d)
{
	(void)user;
	(void)peer;
	(void)x;
	return diag_set(d, RC_UNAVAILABLE, "card: gone");
}

static void seals_as_the_other_implementation(void **state)
{
	static const uint8_t iv[PAYLOAD__IV_LEN] = { 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11 };
	EVP_PKEY *b = fixture_key("b.key"), *eph = fixture_key("eph.key");
	struct file f = fixture_file("full.cose");
	struct payload_wifi w = lab_wifi(), opened;
	struct payload_ecdh ecdh = { .agree = agree, .user = b };
	struct payload_binding to = { .slot = 1, .sequence = 70000 };
	uint8_t buf[PAYLOAD_WIFI_MAX], point[65];
	struct put out = put_init(buf, sizeof(buf));
	struct diag d = { 0 };
	struct payload p;

	(void)state;
	assert_rc(RC_OK, payload_parse(f.bytes, f.len, &p, NULL, &d));
	memcpy(to.iccid, p.iccid, sizeof(to.iccid));
	point_of(b, point);
	assert_rc(RC_OK, payload__wifi_seal(&w, point, &to, eph, iv, &out, &d));
	assert_int_equal(out.len, p.wifi.len);
	assert_memory_equal(buf, p.wifi.at, out.len);
	assert_rc(RC_OK, payload_wifi_open(p.wifi.at, p.wifi.len, &to, &ecdh, &opened, &d));
	assert_int_equal(opened.ssid_len, w.ssid_len);
	assert_memory_equal(opened.ssid, w.ssid, w.ssid_len);
	assert_int_equal(opened.passphrase_len, w.passphrase_len);
	assert_memory_equal(opened.passphrase, w.passphrase, w.passphrase_len);
	assert_int_equal(opened.security, w.security);
	free(f.bytes);
	EVP_PKEY_free(b);
	EVP_PKEY_free(eph);
}

static void opens_only_where_it_was_sealed_to(void **state)
{
	EVP_PKEY *b = fixture_key("b.key"), *other = fixture_key("eph.key");
	struct payload_ecdh ecdh = { .agree = agree, .user = b };
	struct payload_binding to = { .iccid = { 1 }, .slot = 1, .sequence = 5 }, wrong;
	struct payload_wifi w = { .ssid_len = 4, .ssid = "open" }, out;
	uint8_t buf[PAYLOAD_WIFI_MAX], point[65];
	struct put s = put_init(buf, sizeof(buf));
	struct diag d = { 0 };

	(void)state;
	point_of(b, point);
	assert_rc(RC_OK, payload_wifi_seal(&w, point, &to, &s, &d));
	assert_rc(RC_OK, payload_wifi_open(buf, s.len, &to, &ecdh, &out, &d));
	assert_int_equal(out.passphrase_len, 0);
	wrong = to;
	wrong.sequence = 6;
	assert_rc(RC_AUTH, payload_wifi_open(buf, s.len, &wrong, &ecdh, &out, &d));
	wrong = to;
	wrong.slot = 2;
	assert_rc(RC_AUTH, payload_wifi_open(buf, s.len, &wrong, &ecdh, &out, &d));
	wrong = to;
	wrong.iccid[0] = 2;
	assert_rc(RC_AUTH, payload_wifi_open(buf, s.len, &wrong, &ecdh, &out, &d));
	ecdh.user = other;
	assert_rc(RC_AUTH, payload_wifi_open(buf, s.len, &to, &ecdh, &out, &d));
	ecdh.agree = card_is_gone;
	assert_rc(RC_UNAVAILABLE, payload_wifi_open(buf, s.len, &to, &ecdh, &out, &d));
	assert_string_equal(d.text, "card: gone");
	EVP_PKEY_free(b);
	EVP_PKEY_free(other);
}

static void every_change_is_refused(void **state)
{
	EVP_PKEY *b = fixture_key("b.key");
	struct payload_ecdh ecdh = { .agree = agree, .user = b };
	struct payload_binding to = { .slot = 1 };
	struct payload_wifi w = lab_wifi(), out;
	uint8_t buf[PAYLOAD_WIFI_MAX], point[65];
	struct put s = put_init(buf, sizeof(buf));

	(void)state;
	point_of(b, point);
	assert_rc(RC_OK, payload_wifi_seal(&w, point, &to, &s, NULL));
	for (size_t i = 0; i < s.len; i++) {
		assert_int_not_equal(payload_wifi_open(buf, i, &to, &ecdh, &out, NULL), RC_OK);
		/* -P has P's x: the sign of y, last but one, changes nothing that ECDH sees. */
		if (i == s.len - 2)
			continue;
		buf[i] ^= 1;
		assert_int_not_equal(payload_wifi_open(buf, s.len, &to, &ecdh, &out, NULL), RC_OK);
		buf[i] ^= 1;
	}
	assert_rc(RC_OK, payload_wifi_open(buf, s.len, &to, &ecdh, &out, NULL));
	EVP_PKEY_free(b);
}

static void refuses_to_seal_nonsense(void **state)
{
	struct payload_binding to = { .slot = 1 };
	struct payload_wifi w = lab_wifi();
	uint8_t buf[PAYLOAD_WIFI_MAX], point[65] = { 4, 1, 2, 3 };
	struct put s = put_init(buf, sizeof(buf));

	(void)state;
	assert_rc(RC_CRYPTO, payload_wifi_seal(&w, point, &to, &s, NULL));
	w.ssid_len = 0;
	assert_rc(RC_RANGE, payload_wifi_seal(&w, point, &to, &s, NULL));
	w = lab_wifi();
	w.security = PAYLOAD_WIFI_OPEN;
	assert_rc(RC_RANGE, payload_wifi_seal(&w, point, &to, &s, NULL));
	w.passphrase_len = 0;
	w.security = PAYLOAD_WIFI_WPA2_PSK;
	assert_rc(RC_RANGE, payload_wifi_seal(&w, point, &to, &s, NULL));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(seals_as_the_other_implementation),
		cmocka_unit_test(opens_only_where_it_was_sealed_to),
		cmocka_unit_test(every_change_is_refused),
		cmocka_unit_test(refuses_to_seal_nonsense),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
