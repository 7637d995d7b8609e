/* SPDX-License-Identifier: Apache-2.0 */
#include "unit.h"

#include "zone/name.h"

#include <string.h>

static uint64_t seed = 0x9e3779b97f4a7c15u;

static uint32_t rnd(uint32_t below)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return (uint32_t)(seed >> 33) % below;
}

/* Octets that break naive separators and foldings. */
static uint8_t hostile_octet(void)
{
	static const uint8_t pool[] = { 0, 1, 2, '*', '-', '.', 'A', 'Z', 'a', 'z', '[', '@', '`',
		'{', '_', '0', '9', 0x7f, 0x80, 0xff, 0xc1, 0xe1 };

	return rnd(4) ? pool[rnd(sizeof(pool))] : (uint8_t)rnd(256);
}

static void random_name(struct zone_name *n, unsigned max_labels, unsigned max_label)
{
	unsigned labels = rnd(max_labels + 1);

	n->len = 0;
	for (unsigned i = 0; i < labels; i++) {
		unsigned l = 1 + rnd(max_label);

		if (n->len + 1 + l + 1 > ZONE_NAME_MAX)
			break;
		n->wire[n->len++] = (uint8_t)l;
		for (unsigned k = 0; k < l; k++)
			n->wire[n->len++] = hostile_octet();
	}
	n->wire[n->len++] = 0;
}

static uint8_t fold(uint8_t c)
{
	return c >= 'A' && c <= 'Z' ? (uint8_t)(c + 32) : c;
}

/* RFC 4034 section 6.1, word for word. */
static int reference_cmp(const struct zone_name *a, const struct zone_name *b)
{
	const uint8_t *la[128], *lb[128];
	int na = 0, nb = 0;

	for (const uint8_t *w = a->wire; *w; w += 1 + *w)
		la[na++] = w;
	for (const uint8_t *w = b->wire; *w; w += 1 + *w)
		lb[nb++] = w;
	while (na > 0 && nb > 0) {
		const uint8_t *x = la[--na], *y = lb[--nb];

		for (unsigned i = 1; i <= x[0] && i <= y[0]; i++)
			if (fold(x[i]) != fold(y[i]))
				return fold(x[i]) < fold(y[i]) ? -1 : 1;
		if (x[0] != y[0])
			return x[0] < y[0] ? -1 : 1;
	}
	return (na > 0) - (nb > 0);
}

static int sign_of(int v)
{
	return (v > 0) - (v < 0);
}

static void test_order(void **state)
{
	(void)state;
	for (int i = 0; i < 200000; i++) {
		struct zone_name a, b;
		struct zone_key ka, kb;

		random_name(&a, 4, 3);
		random_name(&b, 4, 3);
		if (rnd(3) == 0) { /* neighbours: a common tail */
			struct zone_name t;

			random_name(&t, 2, 4);
			if (zone_name_join(&t, &a, &b) != RC_OK)
				continue;
		}
		zone_key_write(a.wire, a.len - 1u, &ka);
		zone_key_write(b.wire, b.len - 1u, &kb);
		assert_int_equal(reference_cmp(&a, &b),
			sign_of(zone_key_cmp(ka.bytes, ka.len, kb.bytes, kb.len)));
	}
}

static void test_key_and_back(void **state)
{
	struct zone_name origin;

	(void)state;
	assert_rc(RC_OK, zone_name_from_text("zone.example", &origin));
	for (int i = 0; i < 100000; i++) {
		struct zone_name rel, whole, back;
		struct zone_key k;

		random_name(&rel, 6, rnd(2) ? 63 : 5);
		if (zone_name_join(&rel, &origin, &whole) != RC_OK)
			continue;
		assert_int_equal(rel.len - 1, zone_name_below(whole.wire, whole.len, &origin));
		zone_key_write(whole.wire, rel.len - 1u, &k);
		assert_rc(RC_OK, zone_key_name(k.bytes, k.len, &origin, &back));
		zone_name_lower(&whole);
		assert_int_equal(whole.len, back.len);
		assert_memory_equal(whole.wire, back.wire, whole.len);
	}
}

static void test_below(void **state)
{
	(void)state;
	for (int i = 0; i < 100000; i++) {
		struct zone_name top, front, sub;
		struct zone_key kt, ks;

		random_name(&top, 3, 3);
		random_name(&front, 2, 3);
		if (zone_name_join(&front, &top, &sub) != RC_OK)
			continue;
		zone_key_write(top.wire, top.len - 1u, &kt);
		zone_key_write(sub.wire, sub.len - 1u, &ks);
		assert_int_equal(
			front.len > 1, zone_key_is_below(ks.bytes, ks.len, kt.bytes, kt.len));
	}
}

static void test_text(void **state)
{
	static const char *const refused[] = { "a..b", ".a", "a\\", "a\\25", "a\\256", "\\99" };
	char text[ZONE_TEXT_MAX];

	(void)state;
	for (int i = 0; i < 50000; i++) {
		struct zone_name n, back;

		random_name(&n, 5, 20);
		zone_name_to_text(&n, text);
		assert_rc(RC_OK, zone_name_from_text(text, &back));
		assert_int_equal(n.len, back.len);
		assert_memory_equal(n.wire, back.wire, n.len);
	}
	for (size_t i = 0; i < ARRAY_LEN(refused); i++) {
		struct zone_name n;

		assert_rc(RC_MALFORMED, zone_name_from_text(refused[i], &n));
	}
}

static void test_limits(void **state)
{
	char label[65] = { 0 };
	char text[300] = { 0 };
	struct zone_name n;

	(void)state;
	memset(label, 'a', 64);
	assert_rc(RC_TOO_LARGE, zone_name_from_text(label, &n));
	label[63] = 0;
	assert_rc(RC_OK, zone_name_from_text(label, &n));
	for (int i = 0; i < 127; i++) {
		text[2 * i] = 'x';
		text[2 * i + 1] = '.';
	}
	assert_rc(RC_OK, zone_name_from_text(text, &n));
	assert_int_equal(255, n.len);
	text[254] = 'y';
	assert_rc(RC_TOO_LARGE, zone_name_from_text(text, &n));
}

/* Every truncation of a good name is refused, and so are pointers and reserved label types. */
static void test_wire(void **state)
{
	static const uint8_t bad[][2] = { { 0xc0, 0x0c }, { 0x40, 0 }, { 0x80, 0 } };
	struct zone_name n, out;
	struct cur c;

	(void)state;
	assert_rc(RC_OK, zone_name_from_text("1.8912230200031010008f.iotregistry.example", &n));
	for (size_t cut = 0; cut < n.len; cut++) {
		c = cur_init(n.wire, cut);
		assert_rc(RC_MALFORMED, zone_name_parse(&c, &out));
	}
	c = cur_init(n.wire, n.len);
	assert_rc(RC_OK, zone_name_parse(&c, &out));
	assert_true(cur_done(&c));
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		c = cur_init(bad[i], 2);
		assert_rc(RC_MALFORMED, zone_name_parse(&c, &out));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_order),
		cmocka_unit_test(test_key_and_back),
		cmocka_unit_test(test_below),
		cmocka_unit_test(test_text),
		cmocka_unit_test(test_limits),
		cmocka_unit_test(test_wire),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
