/* SPDX-License-Identifier: Apache-2.0 */
/* An off-line KSK's work from the request to the signature that is served. */
#include "base/str.h"
#include "ca/zonekeys.h"
#include "fixture.h"

#include <stdlib.h>
#include <string.h>

#define DAY 86400

/* A request of one DNSKEY set (KSK and ZSK), its CDS and CDNSKEY, for two spans that overlap. */
static struct ca_presigned *request(const struct fixture *f, const struct ca_dnskey *ksk)
{
	const struct ca_zone *z = &f->ring.zone;
	struct ca_presigned *p = ca_presigned_new();
	struct ca_presigned_set *s;
	struct ca_zone_public pub;
	uint8_t ds[36];

	assert_non_null(p);
	assert_rc(RC_OK, str_copy(p->zone, sizeof(p->zone), TEST_ZONE));
	assert_rc(RC_OK, ca_name_to_wire(TEST_ZONE, p->apex, &p->apex_len, NULL));
	p->ttl = 300;
	p->ksk = *ksk;
	p->ksk.where = CA_KEY_OFFLINE;
	p->ksk.pkey = NULL;
	assert_rc(RC_OK, ca_zone_public_of(&pub, p->apex, p->apex_len, ksk, true, NULL));
	p->tag = pub.tag;
	for (unsigned i = 0; i < 2; i++) {
		p->spans[i].from = (uint32_t)(TEST_NOW - 3600 + i * 7 * DAY);
		p->spans[i].to = p->spans[i].from + 14 * DAY;
	}
	p->span_count = 2;
	s = ca_presigned_add_set(p, CA_RR_DNSKEY);
	assert_rc(RC_OK, ca_presigned_add_rdata(s, pub.rdata, pub.rdata_len));
	assert_rc(RC_OK, ca_presigned_add_rdata(s, z->zsk_rdata, z->zsk_len));
	assert_rc(RC_OK, ca_presigned_add_rdata(s, z->zsk_rdata, z->zsk_len));
	assert_int_equal(2, s->count);
	s = ca_presigned_add_set(p, CA_RR_CDNSKEY);
	assert_rc(RC_OK, ca_presigned_add_rdata(s, pub.rdata, pub.rdata_len));
	ds[0] = (uint8_t)(pub.tag >> 8);
	ds[1] = (uint8_t)pub.tag;
	ds[2] = (uint8_t)ca_alg_number(ksk->alg);
	ds[3] = 2;
	memcpy(ds + 4, pub.ds_sha256, 32);
	s = ca_presigned_add_set(p, CA_RR_CDS);
	assert_rc(RC_OK, ca_presigned_add_rdata(s, ds, sizeof(ds)));
	return p;
}

static struct ca_presigned *again(const struct ca_presigned *p)
{
	struct ca_presigned *q = NULL;
	struct diag d = { 0 };
	char *text = NULL;
	size_t len = 0;

	assert_rc(RC_OK, ca_presigned_text(p, &text, &len));
	assert_rc(RC_OK, ca_presigned_parse(&q, text, len, &d));
	free(text);
	return q;
}

static void from_request_to_signature(void **state)
{
	struct fixture *f = *state;

	for (unsigned alg = 0; alg < CA_ALGS; alg++) {
		struct ca_bytes rdata[2];
		struct ca_dnskey ksk;
		struct ca_presigned *p, *q, *signed_;
		uint32_t from, next, end;

		assert_rc(RC_OK, ca_dnskey_new(&ksk, (enum ca_alg)alg, NULL));
		p = request(f, &ksk);
		q = again(p); /* as it comes to the other machine */
		assert_rc(RC_OK, ca_presigned_check(q, NULL));
		assert_rc(RC_OK, ca_presigned_sign(q, &ksk, NULL));
		signed_ = again(q); /* and back */
		assert_rc(RC_OK, ca_presigned_verify(signed_, NULL));
		struct ca_rrset r = { .type = CA_RR_DNSKEY,
			.ttl = 300,
			.rdata = rdata,
			.rdata_count = 2,
			.alg = (enum ca_alg)alg };
		for (unsigned i = 0; i < 2; i++)
			rdata[i] = (struct ca_bytes){ signed_->sets[0].rdata[i].at,
				signed_->sets[0].rdata[i].len };
		/* The span that ends last is taken; none before, none after. */
		assert_int_equal(p->spans[0].from, ca_presigned_find(signed_, &r, TEST_NOW)->from);
		assert_int_equal(
			p->spans[1].from, ca_presigned_find(signed_, &r, TEST_NOW + 8 * DAY)->from);
		assert_null(ca_presigned_find(signed_, &r, TEST_NOW - DAY));
		assert_null(ca_presigned_find(signed_, &r, TEST_NOW + 21 * DAY));
		/* Another TTL, or one record less, is another set. */
		r.ttl = 301;
		assert_null(ca_presigned_find(signed_, &r, TEST_NOW));
		r.ttl = 300;
		r.rdata_count = 1;
		assert_null(ca_presigned_find(signed_, &r, TEST_NOW));
		ca_presigned_times(signed_, TEST_NOW, &from, &next, &end);
		assert_int_equal(p->spans[0].from, from);
		assert_int_equal(p->spans[1].from, next);
		assert_int_equal(p->spans[1].to, end);
		/* One bit of one signature. */
		signed_->sets[1].sigs[1].sig[5] ^= 1;
		assert_rc(RC_SIGNATURE, ca_presigned_verify(signed_, NULL));
		ca_presigned_unref(p);
		ca_presigned_unref(q);
		ca_presigned_unref(signed_);
		ca_dnskey_free(&ksk);
	}
}

/* What a thief of the on-line machine might put before whoever holds the KSK. */
static void what_a_holder_refuses(void **state)
{
	struct fixture *f = *state;
	struct ca_dnskey ksk, other;
	struct ca_presigned *p;
	struct diag d = { 0 };
	uint8_t ds[36] = { 0, 1, 13, 2 };

	assert_rc(RC_OK, ca_dnskey_new(&ksk, CA_P256, NULL));
	assert_rc(RC_OK, ca_dnskey_new(&other, CA_P256, NULL));
	p = request(f, &ksk);
	assert_rc(RC_CONFLICT, ca_presigned_sign(p, &other, &d));
	p->spans[1].to = p->spans[1].from + 61 * DAY;
	assert_rc(RC_DENIED, ca_presigned_check(p, &d));
	ca_presigned_unref(p);
	/* A DS that is no key's of the request. */
	p = request(f, &ksk);
	assert_rc(RC_OK, ca_presigned_add_rdata(&p->sets[2], ds, sizeof(ds)));
	assert_rc(RC_DENIED, ca_presigned_check(p, &d));
	ca_presigned_unref(p);
	/* DNSKEY without the KSK itself. */
	p = request(f, &ksk);
	p->ksk = other;
	p->ksk.where = CA_KEY_OFFLINE;
	assert_rc(RC_DENIED, ca_presigned_check(p, &d));
	ca_presigned_unref(p);
	/* A ZSK for the parent. */
	p = request(f, &ksk);
	assert_rc(RC_OK,
		ca_presigned_add_rdata(&p->sets[1], f->ring.zone.zsk_rdata, f->ring.zone.zsk_len));
	assert_rc(RC_DENIED, ca_presigned_check(p, &d));
	ca_presigned_unref(p);
	ca_dnskey_free(&ksk);
	ca_dnskey_free(&other);
}

static void every_truncation_is_refused(void **state)
{
	struct fixture *f = *state;
	struct ca_presigned *p, *q = NULL;
	struct ca_dnskey ksk;
	char *text = NULL;
	size_t len = 0;

	assert_rc(RC_OK, ca_dnskey_new(&ksk, CA_ED25519, NULL));
	p = request(f, &ksk);
	assert_rc(RC_OK, ca_presigned_sign(p, &ksk, NULL));
	assert_rc(RC_OK, ca_presigned_text(p, &text, &len));
	for (size_t n = 0; n < len; n++) {
		struct diag d = { 0 };

		assert_int_not_equal(RC_OK, ca_presigned_parse(&q, text, n, &d));
		assert_true(d.text[0]);
	}
	free(text);
	ca_presigned_unref(p);
	ca_dnskey_free(&ksk);
}

/* A pair of another algorithm comes and the old one goes; after each phase the folder says the same
 * as memory, and DNSKEY and CDS hold what the phase says. */
static void algorithm_life(void **state)
{
	static const struct {
		unsigned dnskeys, cds, signers;
	} want[CA_ALG_PHASES] = { { 2, 1, 1 }, { 2, 1, 2 }, { 4, 1, 2 }, { 4, 2, 2 }, { 4, 1, 2 },
		{ 2, 1, 2 }, { 2, 1, 1 } };
	struct fixture *f = *state;
	struct ca_zone_keys *s = NULL, *next = NULL, *read = NULL;
	struct diag d = { 0 };
	char folder[128];

	assert_rc(RC_OK, str_format(folder, sizeof(folder), "%s/keys", f->dir));
	assert_rc(RC_OK, ca_zone_keys_load(&s, folder, TEST_ZONE, NULL));
	assert_rc(RC_STATE, ca_zone_keys_alg_next(&next, s, folder, TEST_ZONE, TEST_NOW, &d));
	assert_rc(RC_STATE,
		ca_zone_keys_alg_begin(&next, s, folder, TEST_ZONE, CA_P256, TEST_NOW, &d));
	assert_rc(RC_OK,
		ca_zone_keys_alg_begin(&next, s, folder, TEST_ZONE, CA_ED25519, TEST_NOW, &d));
	for (unsigned phase = CA_ALG_SIGNING; phase <= CA_ALG_PHASES; phase++) {
		unsigned dnskeys = 0, cds = 0, signers = 0;

		ca_zone_keys_unref(s);
		s = next;
		assert_int_equal(phase % CA_ALG_PHASES, s->roll.phase);
		assert_rc(RC_OK, ca_zone_keys_load(&read, folder, TEST_ZONE, &d));
		assert_int_equal(s->roll.phase, read->roll.phase);
		assert_int_equal(s->zone.alg, read->zone.alg);
		assert_int_equal(s->zone.ksk_tag, read->zone.ksk_tag);
		for (size_t i = 0; i < read->count; i++) {
			dnskeys += ca_zone_key_in_dnskey(read, &read->key[i]);
			cds += ca_zone_key_in_cds(read, &read->key[i]);
		}
		for (unsigned a = 0; a < CA_ALGS; a++)
			signers += ca_zone_keys_signs(read, (enum ca_alg)a);
		assert_int_equal(want[phase % CA_ALG_PHASES].dnskeys, dnskeys);
		assert_int_equal(want[phase % CA_ALG_PHASES].cds, cds);
		assert_int_equal(want[phase % CA_ALG_PHASES].signers, signers);
		assert_int_equal(phase >= CA_ALG_WITHDRAWING ? CA_ED25519 : CA_P256, s->zone.alg);
		ca_zone_keys_unref(read);
		if (phase == CA_ALG_PHASES)
			break;
		/* No other key moves meanwhile. */
		assert_rc(RC_STATE,
			ca_zone_keys_make(&next, s, folder, TEST_ZONE, false, false, TEST_NOW, &d));
		assert_rc(RC_OK,
			ca_zone_keys_alg_next(&next, s, folder, TEST_ZONE, TEST_NOW + phase, &d));
	}
	assert_int_equal(2, s->count);
	ca_zone_keys_unref(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
			from_request_to_signature, fixture_setup, fixture_teardown),
		cmocka_unit_test_setup_teardown(
			what_a_holder_refuses, fixture_setup, fixture_teardown),
		cmocka_unit_test_setup_teardown(
			every_truncation_is_refused, fixture_setup, fixture_teardown),
		cmocka_unit_test_setup_teardown(algorithm_life, fixture_setup, fixture_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
