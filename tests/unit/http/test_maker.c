/* SPDX-License-Identifier: Apache-2.0 */
#include "../unit.h"
#include "http/maker.h"

#include <openssl/evp.h>
#include <openssl/x509.h>
#include <stdlib.h>
#include <string.h>

struct maker {
	EVP_PKEY *key;
	uint8_t *spki;
	size_t spki_len;
	uint8_t sha256[32];
};

static struct maker make(void)
{
	struct maker m = { .key = EVP_EC_gen("P-256") };
	int len;

	assert_non_null(m.key);
	len = i2d_PUBKEY(m.key, &m.spki);
	assert_true(len > 0);
	m.spki_len = (size_t)len;
	EVP_Digest(m.spki, m.spki_len, m.sha256, NULL, EVP_sha256(), NULL);
	return m;
}

static void sign(const struct maker *m, Registry__MakerConfirm *c, uint8_t sig[80])
{
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	char *text = NULL;
	size_t len = 0, sig_len = 80;

	assert_rc(RC_OK, maker_text(c, &text, &len));
	assert_int_equal(1, EVP_DigestSignInit(ctx, NULL, EVP_sha256(), NULL, m->key));
	assert_int_equal(1, EVP_DigestSign(ctx, sig, &sig_len, (uint8_t *)text, len));
	EVP_MD_CTX_free(ctx);
	free(text);
	c->signature = (ProtobufCBinaryData){ sig_len, sig };
	c->key = (ProtobufCBinaryData){ m->spki_len, m->spki };
}

static void test_signed_list(void **state)
{
	struct maker m = make(), other = make();
	Registry__MakerRow a = REGISTRY__MAKER_ROW__INIT, b = REGISTRY__MAKER_ROW__INIT;
	Registry__MakerRow *rows[] = { &a, &b };
	Registry__MakerConfirm c = REGISTRY__MAKER_CONFIRM__INIT;
	uint8_t sig[80];
	struct diag d = { "" };
	char *text = NULL, eid[] = "89049032123451234512345678901235", imei[] = "490154203237518",
	     model[] = "PM-1", bad[] = "PM,1";
	size_t len = 0;

	(void)state;
	a.eid = eid;
	a.model = model;
	b.imei = imei;
	c.rows = rows;
	c.n_rows = 2;
	assert_rc(RC_OK, maker_text(&c, &text, &len));
	assert_string_equal("attestry-maker-1\n89049032123451234512345678901235,,,PM-1\n"
			    ",490154203237518,,\n",
		text);
	free(text);
	sign(&m, &c, sig);
	assert_rc(RC_OK, maker_check(&c, m.sha256, &d));
	/* Of another login, another list, another order, another key. */
	assert_rc(RC_AUTH, maker_check(&c, other.sha256, &d));
	c.n_rows = 1;
	assert_rc(RC_AUTH, maker_check(&c, m.sha256, &d));
	assert_non_null(strstr(d.text, "signature"));
	c.n_rows = 2;
	rows[0] = &b;
	rows[1] = &a;
	assert_rc(RC_AUTH, maker_check(&c, m.sha256, &d));
	rows[0] = &a;
	rows[1] = &b;
	for (size_t i = 0; i < c.signature.len; i++) {
		Registry__MakerConfirm cut = c;

		cut.signature.len = i;
		assert_rc(RC_AUTH, maker_check(&cut, m.sha256, &d));
	}
	c.key = (ProtobufCBinaryData){ other.spki_len, other.spki };
	assert_rc(RC_AUTH, maker_check(&c, m.sha256, &d));
	c.key.len = 0;
	assert_rc(RC_AUTH, maker_check(&c, m.sha256, &d));
	/* Nothing that could make one line look like another. */
	a.model = bad;
	assert_rc(RC_MALFORMED, maker_text(&c, &text, &len));
	EVP_PKEY_free(m.key);
	EVP_PKEY_free(other.key);
	OPENSSL_free(m.spki);
	OPENSSL_free(other.spki);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_signed_list),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
