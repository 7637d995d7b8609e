/* SPDX-License-Identifier: Apache-2.0 */
#include "../unit.h"

#include "device/record.h"
#include "fake.h"

#include <openssl/sha.h>
#include <stdlib.h>
#include <string.h>

/* A server's chain, and digests of its parts. */
struct world {
	EVP_PKEY *ca_key, *key, *other_key;
	X509 *ca, *leaf, *other;
	STACK_OF(X509) * chain;
	uint8_t leaf_cert[32], leaf_spki[32], ca_cert[32], other_cert[32];
};

static void hash_cert(X509 *x, uint8_t out[32])
{
	uint8_t *der = NULL;
	int len = i2d_X509(x, &der);

	SHA256(der, (size_t)len, out);
	OPENSSL_free(der);
}

static struct world world_new(void)
{
	struct world w = { .ca_key = EVP_EC_gen("P-256"),
		.key = EVP_EC_gen("P-256"),
		.other_key = EVP_EC_gen("P-256") };
	uint8_t *der = NULL;
	int len;

	w.ca = fake_cert(w.ca_key, "ASP CA", NULL, NULL);
	w.leaf = fake_cert(w.key, "broker.example", w.ca_key, w.ca);
	w.other = fake_cert(w.other_key, "ASP CA", NULL, NULL);
	w.chain = sk_X509_new_null();
	sk_X509_push(w.chain, w.leaf);
	sk_X509_push(w.chain, w.ca);
	hash_cert(w.leaf, w.leaf_cert);
	hash_cert(w.ca, w.ca_cert);
	hash_cert(w.other, w.other_cert);
	len = i2d_PUBKEY(w.key, &der);
	SHA256(der, (size_t)len, w.leaf_spki);
	OPENSSL_free(der);
	return w;
}

static void world_free(struct world *w)
{
	sk_X509_free(w->chain);
	X509_free(w->ca);
	X509_free(w->leaf);
	X509_free(w->other);
	EVP_PKEY_free(w->ca_key);
	EVP_PKEY_free(w->key);
	EVP_PKEY_free(w->other_key);
}

static enum rc judge(const struct world *w, uint8_t usage, uint8_t selector, const uint8_t *data,
	const char *host)
{
	struct record_pins *pins = calloc(1, sizeof(*pins));
	struct diag d = { 0 };
	enum rc rc;

	pins->len = 1;
	pins->pins[0] = (struct dane_tlsa){
		.usage = usage, .selector = selector, .matching = 1, .data = data, .len = 32
	};
	rc = record_server(pins, w->chain, host, &d);
	assert_int_equal(rc == RC_OK, d.text[0] == '\0');
	free(pins);
	return rc;
}

static void usages_mean_what_the_rfc_says(void **state)
{
	struct world w = world_new();

	(void)state;
	assert_rc(RC_OK, judge(&w, 3, 0, w.leaf_cert, "broker.example"));
	assert_rc(RC_OK, judge(&w, 3, 1, w.leaf_spki, "broker.example"));
	/* DANE-EE does not look at names (RFC 7671 5.1), and only at the leaf. */
	assert_rc(RC_OK, judge(&w, 3, 1, w.leaf_spki, "another.example"));
	assert_rc(RC_AUTH, judge(&w, 3, 0, w.ca_cert, "broker.example"));
	assert_rc(RC_AUTH, judge(&w, 3, 1, w.leaf_cert, "broker.example"));
	/* DANE-TA: a CA of the chain that really signed, and the name counts; never the leaf. */
	assert_rc(RC_OK, judge(&w, 2, 0, w.ca_cert, "broker.example"));
	assert_rc(RC_AUTH, judge(&w, 2, 0, w.ca_cert, "another.example"));
	assert_rc(RC_AUTH, judge(&w, 2, 0, w.leaf_cert, "broker.example"));
	/* PKIX usages need public CAs: unusable here. */
	assert_rc(RC_AUTH, judge(&w, 1, 0, w.leaf_cert, "broker.example"));
	assert_rc(RC_AUTH, judge(&w, 0, 0, w.ca_cert, "broker.example"));
	world_free(&w);
}

/* A CA that is merely sent along, with the right hash but without having signed the leaf. */
static void a_foreign_anchor_in_the_chain_does_not_help(void **state)
{
	struct world w = world_new();

	(void)state;
	sk_X509_push(w.chain, w.other);
	assert_rc(RC_AUTH, judge(&w, 2, 0, w.other_cert, "broker.example"));
	sk_X509_zero(w.chain);
	assert_rc(RC_AUTH, judge(&w, 3, 0, w.leaf_cert, "broker.example"));
	world_free(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(usages_mean_what_the_rfc_says),
		cmocka_unit_test(a_foreign_anchor_in_the_chain_does_not_help),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
