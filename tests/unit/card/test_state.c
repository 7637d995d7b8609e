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
	assert_rc(RC_OK, card__key_generate(s, 0x01));
	assert_rc(RC_OK, card__key_generate(s, 0x0b));
	assert_rc(RC_OK, card__key_generate(s, 0x04));
	assert_rc(RC_OK, card__key_generate(s, 0x91));
	assert_rc(RC_OK, card__key_generate(s, 0xf1));
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
	f.card->iccid[0] ^= 1;
	assert_rc(RC_CONFLICT, card__state_parse(f.card, buf, p.len, &got));
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
		cmocka_unit_test(small_buffers_are_noticed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
