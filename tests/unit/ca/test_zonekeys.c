/* SPDX-License-Identifier: Apache-2.0 */
#include "base/str.h"
#include "ca/zonekeys.h"
#include "fixture.h"

#include <string.h>
#include <unistd.h>

static void folder_of(const struct fixture *f, char out[128])
{
	assert_rc(RC_OK, str_format(out, 128, "%s/keys", f->dir));
}

static enum rc move(struct ca_zone_keys **s, const char *folder, uint16_t tag, bool ksk,
	enum ca_zone_key_state to, int64_t now)
{
	struct ca_zone_keys *next = NULL;
	struct diag d = { 0 };
	enum rc rc = ca_zone_keys_move(&next, *s, folder, TEST_ZONE, ksk, tag, to, now, &d);

	if (rc == RC_OK) {
		ca_zone_keys_unref(*s);
		*s = next;
	} else {
		assert_true(d.text[0]);
	}
	return rc;
}

static const struct ca_zone_key *find(const struct ca_zone_keys *s, uint16_t tag)
{
	for (size_t i = 0; i < s->count; i++)
		if (s->key[i].pub.tag == tag)
			return &s->key[i];
	return NULL;
}

/* The whole life of each kind; after every step the folder says the same as memory. */
static void whole_life(struct fixture *f, bool ksk)
{
	static const enum ca_zone_key_state next[] = { CA_KEY_PUBLISHED, CA_KEY_READY,
		CA_KEY_ACTIVE };
	struct ca_zone_keys *s = NULL, *made = NULL, *read = NULL;
	char folder[128], path[192];
	uint16_t old, tag;

	folder_of(f, folder);
	assert_rc(RC_OK, ca_zone_keys_load(&s, folder, TEST_ZONE, NULL));
	old = ksk ? s->zone.ksk_tag : s->zone.zsk_tag;
	assert_rc(
		RC_OK, ca_zone_keys_make(&made, s, folder, TEST_ZONE, ksk, false, TEST_NOW, NULL));
	ca_zone_keys_unref(s);
	s = made;
	tag = s->key[s->count - 1].pub.tag;
	assert_rc(RC_STATE,
		ca_zone_keys_make(&made, s, folder, TEST_ZONE, ksk, false, TEST_NOW, NULL));
	/* No step may be left out, and nobody but a successor makes the active one retire. */
	assert_rc(RC_STATE, move(&s, folder, tag, ksk, CA_KEY_ACTIVE, TEST_NOW));
	assert_rc(RC_STATE, move(&s, folder, old, ksk, CA_KEY_RETIRING, TEST_NOW));
	assert_rc(RC_STATE, move(&s, folder, old, ksk, CA_KEY_REMOVED, TEST_NOW));
	assert_rc(RC_NOT_FOUND, move(&s, folder, tag, !ksk, CA_KEY_READY, TEST_NOW));
	for (unsigned i = 0; i < ARRAY_LEN(next); i++) {
		assert_rc(RC_OK, move(&s, folder, tag, ksk, next[i], TEST_NOW + i));
		assert_rc(RC_OK, ca_zone_keys_load(&read, folder, TEST_ZONE, NULL));
		assert_int_equal(s->count, read->count);
		assert_int_equal(next[i], find(read, tag)->state);
		assert_int_equal(TEST_NOW + i, find(read, tag)->times[next[i]]);
		ca_zone_keys_unref(read);
	}
	assert_int_equal(tag, ksk ? s->zone.ksk_tag : s->zone.zsk_tag);
	assert_int_equal(CA_KEY_RETIRING, find(s, old)->state);
	assert_rc(RC_OK, str_format(path, sizeof(path), "%s/%s", folder, find(s, old)->file));
	assert_int_equal(0, access(path, F_OK));
	assert_rc(RC_OK, move(&s, folder, old, ksk, CA_KEY_RETIRED, TEST_NOW));
	assert_rc(RC_OK, move(&s, folder, old, ksk, CA_KEY_REMOVED, TEST_NOW));
	assert_null(find(s, old));
	assert_int_not_equal(0, access(path, F_OK));
	ca_zone_keys_unref(s);
}

static void lives(void **state)
{
	whole_life(*state, false);
	whole_life(*state, true);
	whole_life(*state, false);
}

/* A key beside the active ones may stand in DNSKEY, a KSK in CDS too; a stranger's nowhere. */
static void what_may_be_signed(void **state)
{
	struct fixture *f = *state;
	struct ca_zone_keys *s = NULL, *made = NULL;
	struct ca_dnskey foreign;
	struct ca_zone_public other;
	struct diag d = { 0 };
	char folder[128];
	uint8_t sig[64];

	folder_of(f, folder);
	assert_rc(RC_OK, ca_zone_keys_load(&s, folder, TEST_ZONE, NULL));
	assert_rc(
		RC_OK, ca_zone_keys_make(&made, s, folder, TEST_ZONE, true, true, TEST_NOW, NULL));
	const struct ca_zone_public *p = &made->key[made->count - 1].pub;
	struct ca_bytes key = { p->rdata, CA_DNSKEY_LEN };
	struct ca_rrset set = { .owner = { made->zone.apex, made->zone.apex_len },
		.type = 48,
		.ttl = 300,
		.rdata = &key,
		.rdata_count = 1,
		.inception = (uint32_t)TEST_NOW - 60,
		.expiration = (uint32_t)TEST_NOW + 600,
		.ksk = true };
	assert_rc(RC_OK, ca_rrset_sign(f->x, &made->zone, &set, TEST_NOW, sig, &d));
	set.type = 60;
	assert_rc(RC_OK, ca_rrset_sign(f->x, &made->zone, &set, TEST_NOW, sig, &d));
	/* The set before it knows nothing of it. */
	assert_rc(RC_DENIED, ca_rrset_sign(f->x, &s->zone, &set, TEST_NOW, sig, &d));
	assert_rc(RC_OK, ca_dnskey_new(&foreign, CA_P256, NULL));
	assert_rc(RC_OK, ca_zone_public_of(&other, made->zone.apex, made->zone.apex_len, &foreign,
				 true, NULL));
	key.at = other.rdata;
	assert_rc(RC_DENIED, ca_rrset_sign(f->x, &made->zone, &set, TEST_NOW, sig, &d));
	/* A ZSK is no key for the parent. */
	key.at = made->zone.zsk_rdata;
	assert_rc(RC_DENIED, ca_rrset_sign(f->x, &made->zone, &set, TEST_NOW, sig, &d));
	ca_dnskey_free(&foreign);
	ca_zone_keys_unref(made);
	ca_zone_keys_unref(s);
}

/* Every truncation of a good file is refused, or is a good file of fewer keys. */
static void file_is_strict(void **state)
{
	static const char good[] = "attestry-zone-keys 1\n"
				   "zsk zsk.key active - 1 1 1 1 0 0\n"
				   "ksk ksk.key active - 1 1 1 1 0 0\n";
	static const char *const bad[] = {
		"attestry-zone-keys 2\n",
		"attestry-zone-keys 1\nzsk zsk.key active - 1 1 1 1 0 0\n",
		"attestry-zone-keys 1\nzsk ../z.key active - 1 1 1 1 0 0\nksk ksk.key active - 1 1 "
		"1 1 0 0\n",
		"attestry-zone-keys 1\nzsk zsk.key sleepy - 1 1 1 1 0 0\nksk ksk.key active - 1 1 "
		"1 1 0 0\n",
		"attestry-zone-keys 1\nzsk zsk.key active - 1 1 1 1 0 0 7\nksk ksk.key active - 1 "
		"1 1 1 0 0\n",
	};
	struct ca_zone_keys s;
	char text[sizeof(good)];

	(void)state;
	assert_rc(RC_OK, ca_zone_keys_parse(&s, good, NULL));
	for (size_t n = 0; n + 1 < sizeof(good) - 1; n++) {
		memcpy(text, good, n);
		text[n] = '\0';
		assert_rc(RC_MALFORMED, ca_zone_keys_parse(&s, text, NULL));
	}
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_rc(RC_MALFORMED, ca_zone_keys_parse(&s, bad[i], NULL));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(lives, fixture_setup, fixture_teardown),
		cmocka_unit_test_setup_teardown(
			what_may_be_signed, fixture_setup, fixture_teardown),
		cmocka_unit_test(file_is_strict),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
