/* SPDX-License-Identifier: Apache-2.0 */
#include "fixture.h"
#include "base/cbor.h"
#include "base/ident.h"
#include "base/str.h"
#include "ca/attest.h"
#include "ca/keyfile.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define EID "89049032123451234512345678901235"

static const uint8_t nonce[CA_NONCE_LEN] = { 1, 2, 3, 4 };

/* A maker, its card, and a CSR that the card attests. */
struct bench {
	struct fixture *f;
	struct ca_key maker_key, card_key, device_key;
	struct ca_issuer maker;
	struct ca_makers makers;
	uint8_t f2[CA_CERT_MAX], statement[200], sig[64];
	size_t f2_len;
	struct ca_csr csr;
	struct ca_attest_order order;
};

static void make_certs(struct bench *b)
{
	struct ca_cert_spec ca = { .profile = CA_ROOT,
		.cn = "Card maker",
		.not_before = TEST_NOW - TEST_DAY,
		.not_after = TEST_NOW + 1000 * TEST_DAY,
		.spki = b->maker_key.spki };
	struct ca_cert_spec card = { .profile = CA_PARTY,
		.cn = "card 1",
		.not_before = TEST_NOW - TEST_DAY,
		.not_after = TEST_NOW + 500 * TEST_DAY,
		.spki = b->card_key.spki };
	char dir[120], path[160], pem[4096];
	uint8_t der[CA_CERT_MAX];
	struct diag d = { 0 };
	size_t len = 0;

	assert_rc(RC_OK, ca_serial_next(ca.serial));
	assert_rc(RC_OK, ca_serial_next(card.serial));
	assert_rc(RC_OK, ca_cert_write_self(b->f->x, &b->maker_key, &ca, der, &len, &d));
	assert_rc(RC_OK, ca_issuer_init(&b->maker, &b->maker_key, der, len, &d));
	if (ca_cert_write(b->f->x, &b->maker, &card, b->f2, &b->f2_len, &d) != RC_OK)
		fail_msg("%s", d.text);
	assert_rc(RC_OK, str_format(dir, sizeof(dir), "%s/makers", b->f->folder));
	(void)mkdir(dir, 0700);
	assert_rc(RC_OK, str_format(path, sizeof(path), "%s/gemcard.pem", dir));
	FILE *file = fopen(path, "w");
	char text[B64_LEN(CA_CERT_MAX)];
	b64_write(der, len, text);
	size_t n = 0;
	n += (size_t)snprintf(pem, sizeof(pem), "-----BEGIN CERTIFICATE-----\n");
	for (size_t at = 0; at < strlen(text); at += 64)
		n += (size_t)snprintf(pem + n, sizeof(pem) - n, "%.64s\n", text + at);
	(void)snprintf(pem + n, sizeof(pem) - n, "-----END CERTIFICATE-----\n");
	assert_non_null(file);
	assert_true(fputs(pem, file) >= 0);
	assert_int_equal(0, fclose(file));
	if (ca_makers_load(&b->makers, dir, &d) != RC_OK)
		fail_msg("%s", d.text);
}

/* What the card says of `key`; then signed by `by`. */
static void attest(struct bench *b, const char *iccid, bool with_eid, uint64_t container,
	const struct ca_key *key, const uint8_t *job, const struct ca_key *by)
{
	struct put p = put_init(b->statement, sizeof(b->statement));
	uint8_t ef[IDENT_ICCID_LEN], eid[IDENT_EID_LEN], digest[CA_SHA256_LEN];

	assert_rc(RC_OK, ident_iccid_read(iccid, ef));
	assert_rc(RC_OK, ident_eid_read(EID, eid));
	cbor_put_array(&p, 6);
	cbor_put_text(&p, "attestry-attest-1", 17);
	cbor_put_bytes(&p, ef, sizeof(ef));
	if (with_eid)
		cbor_put_bytes(&p, eid, sizeof(eid));
	else
		cbor_put_null(&p);
	cbor_put_uint(&p, container);
	cbor_put_bytes(&p, key->spki_sha256, CA_SHA256_LEN);
	cbor_put_bytes(&p, job, CA_NONCE_LEN);
	assert_true(put_ok(&p));
	assert_rc(RC_OK, ca_sha256(b->f->x, b->statement, p.len, digest));
	assert_rc(RC_OK, ca_sign_raw(b->f->x, by, digest, b->sig));
	b->csr = (struct ca_csr){ .spki = b->device_key.spki,
		.attest = b->statement,
		.attest_len = p.len,
		.attest_sig = b->sig };
	b->order = (struct ca_attest_order){ .owner_name = TEST_NAME,
		.zone = TEST_ZONE,
		.eid = EID,
		.nonce = nonce,
		.cert = b->f2,
		.cert_len = b->f2_len };
}

static void good(struct bench *b)
{
	attest(b, "8912230200031010008f", true, 1, &b->device_key, nonce, &b->card_key);
}

static void open_bench(struct bench *b, void **state)
{
	struct diag d = { 0 };

	*b = (struct bench){ .f = *state };
	assert_rc(RC_OK, ca_key_new(&b->maker_key, &d));
	assert_rc(RC_OK, ca_key_new(&b->card_key, &d));
	assert_rc(RC_OK, ca_key_new(&b->device_key, &d));
	make_certs(b);
	good(b);
}

static void close_bench(struct bench *b)
{
	ca_makers_free(&b->makers);
	ca_key_free(&b->maker_key);
	ca_key_free(&b->card_key);
	ca_key_free(&b->device_key);
}

static enum rc verify(struct bench *b, const char **maker)
{
	struct diag d = { 0 };
	enum rc rc = ca_attest_verify(b->f->x, &b->makers, &b->csr, &b->order, TEST_NOW, maker, &d);

	assert_true(rc == RC_OK || d.text[0]);
	return rc;
}

static void proven(void **state)
{
	const char *maker = NULL;
	struct bench b;

	open_bench(&b, state);
	assert_rc(RC_OK, verify(&b, &maker));
	assert_string_equal("gemcard", maker);
	/* A registry that knows no EID takes the card's word for it. */
	b.order.eid = "";
	assert_rc(RC_OK, verify(&b, &maker));
	close_bench(&b);
}

static void not_of_this_order(void **state)
{
	static const uint8_t other[CA_NONCE_LEN] = { 9 };
	const char *maker = NULL;
	struct ca_key software = { 0 };
	struct diag d;
	struct bench b;

	open_bench(&b, state);
	assert_rc(RC_OK, ca_key_new(&software, &d));
	attest(&b, "8912230200031010016f", true, 1, &b.device_key, nonce, &b.card_key);
	assert_rc(RC_CONFLICT, verify(&b, &maker));
	attest(&b, "8912230200031010008f", false, 1, &b.device_key, nonce, &b.card_key);
	assert_rc(RC_CONFLICT, verify(&b, &maker));
	attest(&b, "8912230200031010008f", true, 0x21, &b.device_key, nonce, &b.card_key);
	assert_rc(RC_CONFLICT, verify(&b, &maker));
	attest(&b, "8912230200031010008f", true, 1, &b.device_key, other, &b.card_key);
	assert_rc(RC_CONFLICT, verify(&b, &maker));
	/* A software key with the statement of the card's own: of another key. */
	good(&b);
	b.csr.spki = software.spki;
	assert_rc(RC_CONFLICT, verify(&b, &maker));
	/* A statement that says the right things, signed by a key that no maker knows. */
	attest(&b, "8912230200031010008f", true, 1, &b.device_key, nonce, &software);
	assert_rc(RC_SIGNATURE, verify(&b, &maker));
	assert_null(maker);
	ca_key_free(&software);
	close_bench(&b);
}

static void no_maker_or_no_proof(void **state)
{
	const char *maker = NULL;
	struct bench b;
	size_t count;

	open_bench(&b, state);
	count = b.makers.count;
	b.makers.count = 0;
	assert_rc(RC_SIGNATURE, verify(&b, &maker));
	b.makers.count = count;
	b.order.nonce = NULL;
	assert_rc(RC_NOT_FOUND, verify(&b, &maker));
	good(&b);
	b.order.cert_len = 0;
	assert_rc(RC_NOT_FOUND, verify(&b, &maker));
	good(&b);
	b.csr.attest = NULL;
	assert_rc(RC_NOT_FOUND, verify(&b, &maker));
	/* A certificate of the registry's own is no card maker's. */
	good(&b);
	b.order.cert = b.f->ring.payload_cert;
	b.order.cert_len = b.f->ring.payload_cert_len;
	assert_int_not_equal(RC_OK, verify(&b, &maker));
	assert_null(maker);
	close_bench(&b);
}

/* Every truncation and every changed bit of a good statement is refused. */
static void damaged(void **state)
{
	const char *maker = NULL;
	struct bench b;
	size_t whole;

	open_bench(&b, state);
	whole = b.csr.attest_len;
	for (size_t n = 0; n < whole; n++) {
		b.csr.attest_len = n;
		assert_int_not_equal(RC_OK, verify(&b, &maker));
	}
	b.csr.attest_len = whole;
	for (size_t i = 0; i < whole; i++) {
		b.statement[i] ^= 1;
		assert_int_not_equal(RC_OK, verify(&b, &maker));
		b.statement[i] ^= 1;
	}
	for (size_t n = 0; n < b.f2_len; n += 7) {
		b.order.cert_len = n;
		assert_int_not_equal(RC_OK, verify(&b, &maker));
	}
	close_bench(&b);
}

/* The makers' folder: none is fine, what is no CA is not. */
static void makers_folder(void **state)
{
	struct fixture *f = *state;
	struct ca_makers makers;
	struct diag d = { 0 };
	char dir[128];

	assert_rc(RC_OK, str_format(dir, sizeof(dir), "%s/nothing", f->folder));
	assert_rc(RC_OK, ca_makers_load(&makers, dir, &d));
	assert_int_equal(0, makers.count);
	ca_makers_free(&makers);
	/* ca/ itself holds the payload signer's certificate, which is no CA's. */
	assert_rc(RC_OK, str_format(dir, sizeof(dir), "%s/ca", f->dir));
	assert_int_not_equal(RC_OK, ca_makers_load(&makers, dir, &d));
	assert_true(d.text[0] != '\0');
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(proven),
		cmocka_unit_test(not_of_this_order),
		cmocka_unit_test(no_maker_or_no_proof),
		cmocka_unit_test(damaged),
		cmocka_unit_test(makers_folder),
	};

	return cmocka_run_group_tests(tests, fixture_setup, fixture_teardown);
}
