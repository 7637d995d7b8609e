/* SPDX-License-Identifier: Apache-2.0 */
/* RFC 5011 section 4.2, a row of its table after the other. */
#include "asp/services/internal.h"
#include "../unit.h"

#include <string.h>

#define DAY    86400
#define ADD    (30 * DAY)
#define REMOVE (30 * DAY)

/* Key n of a zone. */
static struct dane_zonekey key(unsigned n)
{
	struct dane_zonekey k = { .self_signed = true };

	memcpy(k.ds.name, "a.example", 10);
	k.ds.tag = (uint16_t)(1000 + n);
	k.ds.algorithm = 13;
	k.ds.digest_type = 2;
	k.ds.digest_len = 32;
	k.ds.digest[0] = (uint8_t)n;
	return k;
}

/* What a look shows: letters are keys, upper case revoked; '!' first: not proved; '~' before a
 * letter: it has not signed. */
static struct dane_keyset seen(const char *text)
{
	struct dane_keyset s = { .proved = *text != '!' };

	for (const char *at = text + (*text == '!'); *at; at++) {
		bool unsigned_ = *at == '~';
		struct dane_zonekey *k = &s.keys[s.n++];

		at += unsigned_;
		*k = key((unsigned)(*at | 32));
		k->revoked = !(*at & 32);
		k->self_signed = !unsigned_;
	}
	return s;
}

/* "a=valid b=pending", in the list's order. */
static void assert_states(const struct svc_anchors *a, const char *expected)
{
	char text[256] = "";

	for (size_t i = 0; i < a->n; i++) {
		size_t at = strlen(text);

		(void)snprintf(text + at, sizeof(text) - at, "%s%c=%s", i ? " " : "",
			a->list[i].ds.digest[0], svc__state_words[a->list[i].state]);
	}
	assert_string_equal(expected, text);
}

struct step {
	int64_t at;
	const char *seen;
	bool changed;
	const char *states;
};

static void run(const struct step *steps, size_t n)
{
	struct svc_anchors a = { .n = 1 };

	a.list[0] = (struct svc_anchor){ .ds = key('a').ds, .state = SVC_VALID };
	for (size_t i = 0; i < n; i++) {
		struct dane_keyset s = seen(steps[i].seen);
		bool changed = svc__anchors_follow(&a, &s, steps[i].at, ADD, REMOVE);

		assert_states(&a, steps[i].states);
		assert_int_equal(steps[i].changed, changed);
	}
}

static void test_a_new_key_waits(void **state)
{
	static const struct step steps[] = {
		{ 0, "a", false, "a=valid" }, { DAY, "ab", false, "a=valid b=pending" },
		{ DAY + ADD - 1, "ab", false, "a=valid b=pending" },
		{ DAY + ADD, "ab", true, "a=valid b=valid" },
		{ DAY + ADD, "b", false, "a=missing b=valid" }, /* which still counts */
	};

	(void)state;
	run(steps, ARRAY_LEN(steps));
}

static void test_a_key_that_goes_begins_anew(void **state)
{
	static const struct step steps[] = {
		{ 0, "ab", false, "a=valid b=pending" },
		{ DAY, "a", false, "a=valid" },
		{ ADD, "ab", false, "a=valid b=pending" },
		{ ADD + DAY, "ab", false, "a=valid b=pending" },
		{ 2 * ADD, "ab", true, "a=valid b=valid" },
	};

	(void)state;
	run(steps, ARRAY_LEN(steps));
}

static void test_nothing_unproved_is_believed(void **state)
{
	static const struct step steps[] = {
		{ 0, "!ab", false, "a=valid" },
		{ 0, "!b", false, "a=valid" },
		{ 0, "ab", false, "a=valid b=pending" },
		{ ADD, "!ab", false, "a=valid b=pending" }, /* ripe, but nobody vouches now */
		{ ADD, "!a", false, "a=valid b=pending" },  /* nor takes it away */
		{ ADD, "!", false, "a=valid b=pending" },
		{ ADD, "ab", true, "a=valid b=valid" },
	};

	(void)state;
	run(steps, ARRAY_LEN(steps));
}

static void test_a_revoked_key_is_gone_for_good(void **state)
{
	static const struct step steps[] = {
		{ 0, "ab", false, "a=valid b=pending" },
		{ ADD, "ab", true, "a=valid b=valid" },
		{ ADD, "~Ab", false, "a=valid b=valid" },      /* the bit alone is no revocation */
		{ ADD, "!A", true, "a=revoked b=valid" },      /* its own signature is enough */
		{ ADD + 1, "ab", false, "a=revoked b=valid" }, /* it does not come back */
		{ ADD + REMOVE, "Ab", false, "a=revoked b=valid" },
		{ ADD + REMOVE, "b", false, "b=valid" },
	};

	(void)state;
	run(steps, ARRAY_LEN(steps));
}

static void test_a_pending_key_that_is_revoked(void **state)
{
	static const struct step steps[] = {
		{ 0, "ab", false, "a=valid b=pending" },
		{ DAY, "aB", false, "a=valid" },
		{ ADD, "aB", false, "a=valid" },
	};

	(void)state;
	run(steps, ARRAY_LEN(steps));
}

static void test_other_zones_stay(void **state)
{
	struct svc_anchors a = { .n = 2 };
	struct dane_keyset s = seen("A");

	(void)state;
	a.list[0] = (struct svc_anchor){ .ds = key('a').ds, .state = SVC_VALID };
	a.list[1] = (struct svc_anchor){ .ds = key('b').ds, .state = SVC_VALID };
	memcpy(a.list[1].ds.name, "b.example", 10);
	assert_true(svc__anchors_follow(&a, &s, 1, ADD, REMOVE));
	assert_states(&a, "a=revoked b=valid");
}

static void test_the_list_does_not_overflow(void **state)
{
	struct svc_anchors a = { .n = 1 };

	(void)state;
	a.list[0] = (struct svc_anchor){ .ds = key('a').ds, .state = SVC_VALID };
	for (unsigned i = 0; i < 4; i++) {
		struct dane_keyset s = { .proved = true, .n = DANE_ZONEKEYS_MAX };

		for (unsigned k = 0; k < DANE_ZONEKEYS_MAX; k++) {
			s.keys[k] = key(i * DANE_ZONEKEYS_MAX + k);
			s.keys[k].revoked = false;
		}
		(void)svc__anchors_follow(&a, &s, 0, ADD, REMOVE);
		assert_in_range(a.n, 1, SVC_ANCHORS_MAX);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_new_key_waits),
		cmocka_unit_test(test_a_key_that_goes_begins_anew),
		cmocka_unit_test(test_nothing_unproved_is_believed),
		cmocka_unit_test(test_a_revoked_key_is_gone_for_good),
		cmocka_unit_test(test_a_pending_key_that_is_revoked),
		cmocka_unit_test(test_other_zones_stay),
		cmocka_unit_test(test_the_list_does_not_overflow),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
