/* SPDX-License-Identifier: Apache-2.0 */
#include "payload/wifi.h"

#include "base/secret.h"
#include "payload/payload__.h"
#include "payload/wifi__.h"

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/kdf.h>
#include <openssl/rand.h>
#include <string.h>

#define COSE_ENCRYPT_TAG 96
#define COSE_IV		 5
#define COSE_EPHEMERAL	 (-1)
#define COSE_A128GCM	 1
#define KEY_TYPE	 1
#define KEY_TYPE_EC2	 2
#define KEY_CURVE	 (-1)
#define KEY_CURVE_P256	 1
#define KEY_X		 (-2)
#define KEY_Y		 (-3)
#define TAG_LEN		 16
#define CEK_LEN		 16
#define COORD_LEN	 32
#define PLAIN_MAX	 (PAYLOAD_SSID_MAX + PAYLOAD_PASSPHRASE_MAX + 16)

enum { WIFI_SSID = 1, WIFI_PASSPHRASE = 2, WIFI_SECURITY = 3 };

static const uint8_t PROTECTED[] = { 0xa1, 0x01, 0x01 };       /* {1: A128GCM} */
static const uint8_t RECIPIENT[] = { 0xa1, 0x01, 0x38, 0x18 }; /* {1: ECDH-ES + HKDF-256} */

void payload_wifi_wipe(struct payload_wifi *w)
{
	mem_wipe(w, sizeof(*w));
}

/* COSE_KDF_Context, RFC 9053 section 5.2. */
static void put_kdf_context(struct put *p)
{
	cbor_put_array(p, 4);
	cbor_put_uint(p, COSE_A128GCM);
	for (int party = 0; party < 2; party++) {
		cbor_put_array(p, 3);
		for (int i = 0; i < 3; i++)
			cbor_put_null(p);
	}
	cbor_put_array(p, 2);
	cbor_put_uint(p, CEK_LEN * 8);
	cbor_put_bytes(p, RECIPIENT, sizeof(RECIPIENT));
}

static enum rc derive(const uint8_t x[COORD_LEN], uint8_t cek[CEK_LEN])
{
	uint8_t info[32], salt[32] = { 0 };
	struct put p = put_init(info, sizeof(info));
	EVP_KDF *kdf = EVP_KDF_fetch(NULL, "HKDF", NULL);
	EVP_KDF_CTX *ctx = EVP_KDF_CTX_new(kdf);
	char digest[] = "SHA256";
	int ok;

	put_kdf_context(&p);
	OSSL_PARAM params[] = {
		OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, digest, 0),
		OSSL_PARAM_construct_octet_string(
			OSSL_KDF_PARAM_KEY, (void *)(uintptr_t)x, COORD_LEN),
		OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_SALT, salt, sizeof(salt)),
		OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_INFO, info, p.len),
		OSSL_PARAM_construct_end(),
	};
	ok = ctx && put_ok(&p) && EVP_KDF_derive(ctx, cek, CEK_LEN, params) == 1;
	EVP_KDF_CTX_free(ctx);
	EVP_KDF_free(kdf);
	return ok ? RC_OK : RC_CRYPTO;
}

/* Enc_structure, RFC 9052 section 5.3. */
static void put_aad(const struct payload_binding *to, struct put *out)
{
	static const char context[] = "Encrypt";
	uint8_t buf[32];
	struct put p = put_init(buf, sizeof(buf));

	cbor_put_array(&p, 3);
	cbor_put_bytes(&p, to->iccid, sizeof(to->iccid));
	cbor_put_uint(&p, to->slot);
	cbor_put_uint(&p, to->sequence);
	cbor_put_array(out, 3);
	cbor_put_text(out, context, sizeof(context) - 1);
	cbor_put_bytes(out, PROTECTED, sizeof(PROTECTED));
	cbor_put_bytes(out, buf, p.len);
}

static enum rc gcm(bool seal, const uint8_t cek[CEK_LEN], const uint8_t iv[PAYLOAD__IV_LEN],
	const struct payload_binding *to, const uint8_t *in, size_t len, uint8_t *out,
	uint8_t tag[TAG_LEN])
{
	uint8_t aad[64];
	struct put a = put_init(aad, sizeof(aad));
	EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
	int n = 0, end = 0, ok;

	put_aad(to, &a);
	ok = ctx && put_ok(&a) &&
	     EVP_CipherInit_ex(ctx, EVP_aes_128_gcm(), NULL, cek, iv, seal) == 1 &&
	     EVP_CipherUpdate(ctx, NULL, &n, aad, (int)a.len) == 1 &&
	     EVP_CipherUpdate(ctx, out, &n, in, (int)len) == 1 &&
	     (seal || EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_GCM_SET_TAG, TAG_LEN, tag) == 1);
	if (!ok) {
		EVP_CIPHER_CTX_free(ctx);
		return RC_CRYPTO;
	}
	ok = EVP_CipherFinal_ex(ctx, out + n, &end) == 1 &&
	     (!seal || EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_GCM_GET_TAG, TAG_LEN, tag) == 1);
	EVP_CIPHER_CTX_free(ctx);
	return ok ? RC_OK : RC_AUTH;
}

static enum rc check_wifi(const struct payload_wifi *w, struct diag *d)
{
	bool open = w->security == PAYLOAD_WIFI_OPEN;

	if (w->ssid_len == 0 || w->ssid_len > PAYLOAD_SSID_MAX)
		return diag_set(d, RC_RANGE,
			"wifi.ssid: %zu bytes, not 1..32 (IEEE 802.11 9.4.2.2)", w->ssid_len);
	if ((unsigned)w->security > PAYLOAD_WIFI_WPA3_SAE)
		return diag_set(d, RC_RANGE, "wifi.security: not 0, 1 or 2 (formats 2)");
	if (open != (w->passphrase_len == 0) || w->passphrase_len > PAYLOAD_PASSPHRASE_MAX)
		return diag_set(d, RC_RANGE, "wifi.passphrase: %s (formats 2)",
			open ? "not for an open network" : "missing or too long");
	return RC_OK;
}

static enum rc put_plain(const struct payload_wifi *w, struct put *p)
{
	bool open = w->security == PAYLOAD_WIFI_OPEN;

	cbor_put_map(p, open ? 2 : 3);
	cbor_put_uint(p, WIFI_SSID);
	cbor_put_bytes(p, w->ssid, w->ssid_len);
	if (!open) {
		cbor_put_uint(p, WIFI_PASSPHRASE);
		cbor_put_text(p, w->passphrase, w->passphrase_len);
	}
	cbor_put_uint(p, WIFI_SECURITY);
	cbor_put_uint(p, (uint64_t)w->security);
	return put_ok(p) ? RC_OK : RC_INTERNAL;
}

enum rc payload_wifi_parse(const uint8_t *bytes, size_t len, struct payload_wifi *out)
{
	struct cur c = cur_init(bytes, len), ssid, pass = { 0 };
	struct payload_wifi w = { 0 };
	size_t pairs = cbor_map(&c);
	uint64_t security;

	if (cbor_uint(&c) != WIFI_SSID)
		cur_fail(&c);
	ssid = cbor_bytes(&c);
	if (pairs == 3) {
		if (cbor_uint(&c) != WIFI_PASSPHRASE)
			cur_fail(&c);
		pass = cbor_text(&c);
	}
	if (cbor_uint(&c) != WIFI_SECURITY)
		cur_fail(&c);
	security = cbor_uint(&c);
	if (!cur_done(&c) || pairs < 2 || pairs > 3 || security > PAYLOAD_WIFI_WPA3_SAE ||
		ssid.left > PAYLOAD_SSID_MAX || pass.left > PAYLOAD_PASSPHRASE_MAX)
		return RC_MALFORMED;
	w.security = (enum payload_security)security;
	w.ssid_len = ssid.left;
	w.passphrase_len = pass.left;
	memcpy(w.ssid, ssid.at, ssid.left);
	if (pass.left > 0)
		memcpy(w.passphrase, pass.at, pass.left);
	enum rc rc = check_wifi(&w, NULL);
	if (rc == RC_OK)
		*out = w;
	payload_wifi_wipe(&w);
	return rc == RC_OK ? RC_OK : RC_MALFORMED;
}

static enum rc ecdh(EVP_PKEY *own, const uint8_t peer[65], uint8_t x[COORD_LEN])
{
	char group[] = "prime256v1";
	OSSL_PARAM params[] = {
		OSSL_PARAM_construct_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, group, 0),
		OSSL_PARAM_construct_octet_string(
			OSSL_PKEY_PARAM_PUB_KEY, (void *)(uintptr_t)peer, 65),
		OSSL_PARAM_construct_end(),
	};
	EVP_PKEY_CTX *make = EVP_PKEY_CTX_new_from_name(NULL, "EC", NULL);
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_pkey(NULL, own, NULL);
	EVP_PKEY *key = NULL;
	size_t len = COORD_LEN;
	int ok = make && ctx && EVP_PKEY_fromdata_init(make) == 1 &&
		 EVP_PKEY_fromdata(make, &key, EVP_PKEY_PUBLIC_KEY, params) == 1 &&
		 EVP_PKEY_derive_init(ctx) == 1 && EVP_PKEY_derive_set_peer(ctx, key) == 1 &&
		 EVP_PKEY_derive(ctx, x, &len) == 1 && len == COORD_LEN;

	EVP_PKEY_free(key);
	EVP_PKEY_CTX_free(make);
	EVP_PKEY_CTX_free(ctx);
	return ok ? RC_OK : RC_CRYPTO;
}

static void put_cose(const uint8_t iv[PAYLOAD__IV_LEN], const uint8_t *sealed, size_t sealed_len,
	const uint8_t eph[65], struct put *out)
{
	cbor_put_tag(out, COSE_ENCRYPT_TAG);
	cbor_put_array(out, 4);
	cbor_put_bytes(out, PROTECTED, sizeof(PROTECTED));
	cbor_put_map(out, 1);
	cbor_put_uint(out, COSE_IV);
	cbor_put_bytes(out, iv, PAYLOAD__IV_LEN);
	cbor_put_bytes(out, sealed, sealed_len);
	cbor_put_array(out, 1);
	cbor_put_array(out, 3);
	cbor_put_bytes(out, RECIPIENT, sizeof(RECIPIENT));
	cbor_put_map(out, 1);
	cbor_put_int(out, COSE_EPHEMERAL);
	cbor_put_map(out, 4);
	cbor_put_uint(out, KEY_TYPE);
	cbor_put_uint(out, KEY_TYPE_EC2);
	cbor_put_int(out, KEY_CURVE);
	cbor_put_uint(out, KEY_CURVE_P256);
	cbor_put_int(out, KEY_X);
	cbor_put_bytes(out, eph + 1, COORD_LEN);
	cbor_put_int(out, KEY_Y);
	cbor_put_bool(out, eph[64] & 1);
	cbor_put_bytes(out, NULL, 0);
}

enum rc payload__wifi_seal(const struct payload_wifi *w, const uint8_t b_point[65],
	const struct payload_binding *to, EVP_PKEY *eph, const uint8_t iv[PAYLOAD__IV_LEN],
	struct put *out, struct diag *d)
{
	uint8_t plain[PLAIN_MAX], sealed[PLAIN_MAX + TAG_LEN], point[65], x[COORD_LEN],
		cek[CEK_LEN];
	struct put p = put_init(plain, sizeof(plain));
	size_t len = 0;
	enum rc rc = check_wifi(w, d);

	if (rc == RC_OK)
		rc = put_plain(w, &p);
	if (rc == RC_OK && (EVP_PKEY_get_octet_string_param(eph, OSSL_PKEY_PARAM_PUB_KEY, point,
				    sizeof(point), &len) != 1 ||
				   len != sizeof(point)))
		rc = RC_CRYPTO;
	if (rc == RC_OK)
		rc = ecdh(eph, b_point, x);
	if (rc == RC_OK)
		rc = derive(x, cek);
	if (rc == RC_OK)
		rc = gcm(true, cek, iv, to, plain, p.len, sealed, sealed + p.len);
	if (rc == RC_OK) {
		put_cose(iv, sealed, p.len + TAG_LEN, point, out);
		rc = put_ok(out) ? RC_OK : RC_TOO_LARGE;
	}
	mem_wipe(plain, sizeof(plain));
	mem_wipe(x, sizeof(x));
	mem_wipe(cek, sizeof(cek));
	return rc;
}

enum rc payload_wifi_seal(const struct payload_wifi *w, const uint8_t b_point[65],
	const struct payload_binding *to, struct put *out, struct diag *d)
{
	uint8_t iv[PAYLOAD__IV_LEN];
	EVP_PKEY *eph = EVP_EC_gen("P-256");
	enum rc rc = RC_CRYPTO;

	if (eph && RAND_bytes(iv, sizeof(iv)) == 1)
		rc = payload__wifi_seal(w, b_point, to, eph, iv, out, d);
	EVP_PKEY_free(eph);
	return rc;
}

/* A COSE_Encrypt taken apart. */
struct sealed {
	const uint8_t *iv;
	struct cur text; /* ciphertext and tag */
	const uint8_t *x;
	bool y_odd;
};

static void expect_bytes(struct cur *c, const uint8_t *bytes, size_t len)
{
	struct cur b = cbor_bytes(c);

	if (b.left != len || (len > 0 && memcmp(b.at, bytes, len) != 0))
		cur_fail(c);
}

static void expect(struct cur *c, bool ok)
{
	if (!ok)
		cur_fail(c);
}

static const uint8_t *take_exact(struct cur *c, size_t len)
{
	struct cur b = cbor_bytes(c);

	expect(c, b.left == len);
	return c->bad ? NULL : b.at;
}

static enum rc parse_cose(const uint8_t *bytes, size_t len, struct sealed *out)
{
	struct cur c = cur_init(bytes, len);

	expect(&c, cbor_tag(&c) == COSE_ENCRYPT_TAG);
	expect(&c, cbor_array(&c) == 4);
	expect_bytes(&c, PROTECTED, sizeof(PROTECTED));
	expect(&c, cbor_map(&c) == 1);
	expect(&c, cbor_int(&c) == COSE_IV);
	out->iv = take_exact(&c, PAYLOAD__IV_LEN);
	out->text = cbor_bytes(&c);
	expect(&c, out->text.left > TAG_LEN && out->text.left <= PLAIN_MAX + TAG_LEN);
	expect(&c, cbor_array(&c) == 1);
	expect(&c, cbor_array(&c) == 3);
	expect_bytes(&c, RECIPIENT, sizeof(RECIPIENT));
	expect(&c, cbor_map(&c) == 1);
	expect(&c, cbor_int(&c) == COSE_EPHEMERAL);
	expect(&c, cbor_map(&c) == 4);
	expect(&c, cbor_int(&c) == KEY_TYPE);
	expect(&c, cbor_int(&c) == KEY_TYPE_EC2);
	expect(&c, cbor_int(&c) == KEY_CURVE);
	expect(&c, cbor_int(&c) == KEY_CURVE_P256);
	expect(&c, cbor_int(&c) == KEY_X);
	out->x = take_exact(&c, COORD_LEN);
	expect(&c, cbor_int(&c) == KEY_Y);
	out->y_odd = cbor_bool(&c);
	expect_bytes(&c, NULL, 0);
	return cur_done(&c) ? RC_OK : RC_MALFORMED;
}

/* The card's PUT PUBLIC KEY takes the whole point. */
static enum rc decompress(const uint8_t x[COORD_LEN], bool y_odd, uint8_t point[65])
{
	EC_GROUP *group = EC_GROUP_new_by_curve_name(NID_X9_62_prime256v1);
	EC_POINT *p = group ? EC_POINT_new(group) : NULL;
	uint8_t packed[1 + COORD_LEN];
	int ok;

	packed[0] = y_odd ? POINT_CONVERSION_COMPRESSED + 1 : POINT_CONVERSION_COMPRESSED;
	memcpy(packed + 1, x, COORD_LEN);
	ok = p && EC_POINT_oct2point(group, p, packed, sizeof(packed), NULL) == 1 &&
	     EC_POINT_point2oct(group, p, POINT_CONVERSION_UNCOMPRESSED, point, 65, NULL) == 65;
	EC_POINT_free(p);
	EC_GROUP_free(group);
	return ok ? RC_OK : RC_MALFORMED;
}

enum rc payload_wifi_open(const uint8_t *bytes, size_t len, const struct payload_binding *to,
	const struct payload_ecdh *ecdh_of_card, struct payload_wifi *out, struct diag *d)
{
	uint8_t point[65], x[COORD_LEN] = { 0 }, cek[CEK_LEN], plain[PLAIN_MAX], tag[TAG_LEN];
	struct sealed s = { 0 };
	enum rc rc = parse_cose(bytes, len, &s);

	if (rc == RC_OK)
		rc = decompress(s.x, s.y_odd, point);
	if (rc != RC_OK)
		return diag_set(d, rc, "Wi-Fi: not a COSE_Encrypt of formats 2");
	rc = ecdh_of_card->agree(ecdh_of_card->user, point, x, d);
	if (rc != RC_OK)
		goto out;
	size_t plain_len = s.text.left - TAG_LEN;
	memcpy(tag, s.text.at + plain_len, TAG_LEN);
	rc = derive(x, cek);
	if (rc == RC_OK)
		rc = gcm(false, cek, s.iv, to, s.text.at, plain_len, plain, tag);
	if (rc == RC_AUTH)
		diag_set(d, rc, "Wi-Fi: not sealed to this card, slot and sequence (formats 2)");
	if (rc == RC_OK) {
		rc = payload_wifi_parse(plain, plain_len, out);
		if (rc != RC_OK)
			diag_set(d, rc, "Wi-Fi: opened, but not the map of formats 2");
	}
out:
	mem_wipe(plain, sizeof(plain));
	mem_wipe(x, sizeof(x));
	mem_wipe(cek, sizeof(cek));
	return rc;
}
