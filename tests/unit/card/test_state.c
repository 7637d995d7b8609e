/* SPDX-License-Identifier: Apache-2.0 */
#include "fixture.h"

#include "base/cbor.h"

static void fill(struct fixture *f)
{
	struct card__state *s;

	fixture_open(f, "strict", NULL);
	s = &f->card->state;
	s->counter = 0x123456789a;
	s->slots = 1u << 1 | 1u << 9;
	assert_rc(RC_OK, card__key_generate(s, 0x01, ALG_P256));
	assert_rc(RC_OK, card__key_generate(s, 0x0b, ALG_P256));
	assert_rc(RC_OK, card__key_generate(s, 0x04, ALG_P256));
	assert_rc(RC_OK, card__key_generate(s, 0x91, ALG_P256));
	assert_rc(RC_OK, card__key_generate(s, 0xf1, ALG_P256));
	s->keys[0x91]->blocked = true;
	assert_rc(RC_OK, card__file_set(&s->files[0x06], "root", 4));
	assert_rc(RC_OK, card__file_set(&s->files[0x9d], "", 0));
	assert_rc(RC_OK, card__file_set(&s->transfer, "csr", 3));
	s->write.open = true;
	s->write.id = 0x02;
	memset(s->write.sha256, 7, sizeof(s->write.sha256));
	assert_rc(RC_OK, card__file_set(&s->write.shadow, "shadow", 6));
}

static void state_goes_through_the_disk_form(void **state)
{
	uint8_t buf[2048];
	struct put p = put_init(buf, sizeof(buf));
	struct card__state got;
	struct fixture f;

	(void)state;
	fill(&f);
	assert_rc(RC_OK, card__state_write(f.card, &p));
	assert_rc(RC_OK, card__state_parse(f.card, buf, p.len, &got));
	assert_int_equal(got.counter, 0x123456789a);
	assert_int_equal(got.slots, f.card->state.slots);
	for (unsigned i = 0; i < 256; i++) {
		const struct card__key *a = f.card->state.keys[i], *b = got.keys[i];

		if (i == 0x04) { /* volatile */
			assert_null(b);
			continue;
		}
		assert_int_equal(a != NULL, b != NULL);
		if (a) {
			assert_memory_equal(a->point, b->point, sizeof(a->point));
			assert_int_equal(a->blocked, b->blocked);
		}
	}
	assert_memory_equal(got.files[0x06].bytes, "root", 4);
	assert_non_null(got.files[0x9d].bytes);
	assert_null(got.files[0x02].bytes);
	assert_memory_equal(got.transfer.bytes, "csr", 3);
	assert_true(got.write.open);
	assert_int_equal(got.write.id, 0x02);
	assert_memory_equal(got.write.shadow.bytes, "shadow", 6);
	card__state_wipe(&got);
	for (size_t cut = 0; cut < p.len; cut++)
		assert_int_not_equal(RC_OK, card__state_parse(f.card, buf, cut, &got));
	/* any byte changed, and the sealed part beside the rest of another state */
	for (size_t i = 0; i < p.len; i++) {
		buf[i] ^= 1;
		assert_int_not_equal(RC_OK, card__state_parse(f.card, buf, p.len, &got));
		buf[i] ^= 1;
	}
	f.card->iccid[0] ^= 1;
	assert_rc(RC_CONFLICT, card__state_parse(f.card, buf, p.len, &got));
	fixture_close(&f);
}

static bool holds(const uint8_t *in, size_t len, const uint8_t *what, size_t what_len)
{
	for (size_t i = 0; i + what_len <= len; i++)
		if (memcmp(in + i, what, what_len) == 0)
			return true;
	return false;
}

static void the_state_alone_has_no_key(void **state)
{
	static const uint8_t ids[] = { 0x01, 0x0b, 0x91, 0xf1 };
	uint8_t buf[2048], scalar[CARD__SCALAR_LEN];
	struct put p = put_init(buf, sizeof(buf)), s;
	struct card__state got;
	struct fixture f;

	(void)state;
	fill(&f);
	assert_rc(RC_OK, card__state_write(f.card, &p));
	for (size_t i = 0; i < ARRAY_LEN(ids); i++) {
		s = put_init(scalar, sizeof(scalar));
		assert_rc(RC_OK, card__key_private(f.card->state.keys[ids[i]], &s));
		assert_false(holds(buf, p.len, scalar, sizeof(scalar)));
	}
	f.card->seal[0] ^= 1;
	assert_rc(RC_SIGNATURE, card__state_parse(f.card, buf, p.len, &got));
	f.card->seal[0] ^= 1;
	assert_rc(RC_OK, card__state_parse(f.card, buf, p.len, &got));
	card__state_wipe(&got);
	fixture_close(&f);
}

/* Keys of every algorithm, and further containers. */
static void every_algorithm_goes_through(void **state)
{
	static const char *const kinds[] = { "p256", "brainpool", "rsa", "secret", "p256-volatile",
		"file" };
	uint8_t buf[4096], a[CARD__PRIVATE_MAX], b[CARD__PRIVATE_MAX];
	struct put p = put_init(buf, sizeof(buf));
	struct card__state got;
	struct fixture f;

	(void)state;
	fixture_open(&f, "strict", NULL);
	for (uint8_t i = 0; i < ARRAY_LEN(kinds); i++)
		assert_rc(RC_OK, card_personalise_container(f.card, (uint8_t)(0xa0 + i), kinds[i]));
	for (uint8_t i = 0; i < 3; i++)
		assert_rc(RC_OK,
			card__key_generate(&f.card->state, (uint8_t)(0xa0 + i), (enum card__alg)i));
	assert_rc(RC_OK, card_personalise_value(f.card, 0xa3, "a secret", 8));
	assert_rc(RC_OK, card__key_generate(&f.card->state, 0xa4, ALG_P256));
	assert_rc(RC_OK, card__state_write(f.card, &p));
	assert_false(holds(buf, p.len, (const uint8_t *)"a secret", 8));
	assert_rc(RC_OK, card__state_parse(f.card, buf, p.len, &got));
	assert_memory_equal(got.extra, f.card->state.extra, sizeof(got.extra));
	for (uint8_t id = 0xa0; id < 0xa4; id++) {
		struct put x = put_init(a, sizeof(a)), y = put_init(b, sizeof(b));

		assert_rc(RC_OK, card__key_private(f.card->state.keys[id], &x));
		assert_rc(RC_OK, card__key_private(got.keys[id], &y));
		assert_int_equal(x.len, y.len);
		assert_memory_equal(a, b, x.len);
	}
	assert_null(got.keys[0xa4]);
	card__state_wipe(&got);
	fixture_close(&f);
}

static void small_buffers_are_noticed(void **state)
{
	uint8_t buf[2048];
	struct put p;
	struct fixture f;

	(void)state;
	fill(&f);
	p = put_init(buf, 100);
	assert_rc(RC_TOO_LARGE, card__state_write(f.card, &p));
	fixture_close(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(state_goes_through_the_disk_form),
		cmocka_unit_test(the_state_alone_has_no_key),
		cmocka_unit_test(every_algorithm_goes_through),
		cmocka_unit_test(small_buffers_are_noticed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
