/* SPDX-License-Identifier: Apache-2.0 */
/* What the card writes, the registry's own reader takes: the two were written apart from formats.md
 * section 3. */
#include "base/cbor.h"
#include "base/der.h"
#include "ca/csr.h"
#include "fixture.h"

#define NAME "1.8912230200031010008f.iotregistry.example"

static const uint8_t nonce[REMOTE_NONCE_LEN] = { 0xa1, 2, 3 };

static void check_attestation(const struct fixture *f, const struct ca_csr *csr)
{
	struct cur c = cur_init(csr->attest, csr->attest_len), v;
	uint8_t hash[CARD__DIGEST_LEN];
	EVP_PKEY *f1 = f->card->state.keys[CARD_ID_ATTESTATION]->pkey;
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new(f1, NULL);
	uint8_t der[DER_ECDSA_MAX];
	size_t der_len = der_ecdsa_write(csr->attest_sig, der);

	assert_int_equal(cbor_array(&c), 6);
	v = cbor_text(&c);
	assert_int_equal(v.left, 17);
	assert_memory_equal(v.at, "attestry-attest-1", 17);
	v = cbor_bytes(&c);
	assert_int_equal(v.left, IDENT_ICCID_LEN);
	assert_memory_equal(v.at, f->card->iccid, v.left);
	v = cbor_bytes(&c);
	assert_int_equal(v.left, IDENT_EID_LEN);
	assert_int_equal(cbor_uint(&c), 0x21);
	v = cbor_bytes(&c);
	assert_rc(RC_OK, card__sha256(csr->spki, CA_SPKI_LEN, hash));
	assert_int_equal(v.left, sizeof(hash));
	assert_memory_equal(v.at, hash, sizeof(hash));
	v = cbor_bytes(&c);
	assert_int_equal(v.left, sizeof(nonce));
	assert_memory_equal(v.at, nonce, sizeof(nonce));
	assert_true(cur_done(&c));
	assert_rc(RC_OK, card__sha256(csr->attest, csr->attest_len, hash));
	assert_non_null(ctx);
	assert_int_equal(EVP_PKEY_verify_init(ctx), 1);
	assert_int_equal(EVP_PKEY_verify(ctx, der, der_len, hash, sizeof(hash)), 1);
	EVP_PKEY_CTX_free(ctx);
}

static void the_registry_reads_it(void **state)
{
	struct ca_crypt *x = NULL;
	struct fixture f;

	(void)state;
	assert_rc(RC_OK, ca_crypt_new(&x, NULL));
	fixture_open(&f, "strict", NULL);
	f.card->state.slots = 1u << 2;
	assert_rc(RC_OK, card__key_generate(&f.card->state, 0x21, ALG_P256));
	assert_rc(RC_OK, card__key_generate(&f.card->state, 0x2b, ALG_P256));
	for (int attested = 0; attested < 2; attested++) {
		uint8_t der[CARD__CSR_MAX];
		struct put p = put_init(der, sizeof(der));
		struct ca_csr csr;
		struct diag d = { 0 };

		if (attested)
			assert_rc(RC_OK,
				card__key_generate(&f.card->state, CARD_ID_ATTESTATION, ALG_P256));
		assert_rc(
			RC_OK, card__csr_write(f.card, 2, cur_init(NAME, strlen(NAME)), nonce, &p));
		assert_rc(RC_OK, ca_csr_parse(der, p.len, &csr, &d));
		assert_string_equal(csr.name, NAME);
		assert_non_null(csr.b_point);
		assert_memory_equal(csr.b_point, f.card->state.keys[0x2b]->point, CARD__POINT_LEN);
		assert_int_equal(csr.attest != NULL, attested);
		assert_rc(RC_OK, ca_csr_verify(x, &csr, &d));
		if (attested)
			check_attestation(&f, &csr);
		der[p.len - 1] ^= 1;
		if (ca_csr_parse(der, p.len, &csr, &d) == RC_OK)
			assert_int_not_equal(RC_OK, ca_csr_verify(x, &csr, &d));
	}
	fixture_close(&f);
	ca_crypt_free(x);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(the_registry_reads_it) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
