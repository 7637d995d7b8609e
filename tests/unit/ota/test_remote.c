/* SPDX-License-Identifier: Apache-2.0 */
#include "../unit.h"
#include "base/compiler.h"
#include "ota/remote.h"
#include "ota/scp80.h"

#include <string.h>

/* A card that keeps one file and answers what it is told to. */
struct fake {
	uint8_t file[2000];
	size_t total;
	bool committed;
	unsigned runs;
	uint16_t sw;
	size_t answer;
	struct remote_command last;
};

static uint16_t fake_run(void *card, const struct remote_command *cmd, struct put *data)
{
	static const uint8_t zeros[REMOTE_ANSWERS_MAX];
	struct fake *f = card;
	struct cur bytes = cmd->data;

	f->runs++;
	f->last = *cmd;
	if (cmd->tag == REMOTE_WRITE_BEGIN)
		f->total = cmd->offset;
	if (cmd->tag == REMOTE_WRITE_BLOCK)
		cur_copy(&bytes, f->file + cmd->offset, bytes.left);
	if (cmd->tag == REMOTE_WRITE_COMMIT)
		f->committed = true;
	put_bytes(data, zeros, f->answer);
	return f->sw;
}

static size_t run(struct fake *f, const void *list, size_t len, uint8_t *answers)
{
	struct put out = put_init(answers, REMOTE_ANSWERS_MAX);

	remote_run(cur_init(list, len), fake_run, f, &out);
	assert_true(put_ok(&out));
	return out.len;
}

static void bytes_are_those_of_the_format(void **state)
{
	static const uint8_t nonce[REMOTE_NONCE_LEN] = { 1 }, hash[REMOTE_HASH_LEN] = { 2 };
	uint8_t buf[256];
	struct put p = put_init(buf, sizeof(buf));

	(void)state;
	remote_put_create_slot(&p, 2);
	assert_memory_equal(buf, "\xd0\x03\x80\x01\x02", p.len);
	p.len = 0;
	remote_put_generate_key(&p, 0x2b);
	assert_memory_equal(buf, "\xd1\x03\x84\x01\x2b", p.len);
	p.len = 0;
	remote_put_make_csr(&p, 1, "1.x", nonce);
	assert_int_equal(p.len, 2 + 3 + 5 + 18);
	assert_memory_equal(buf, "\xd2\x1a\x84\x01\x01\xd8\x03\x31\x2e\x78\xd9\x10\x01", 13);
	p.len = 0;
	remote_put_read_block(&p, REMOTE_BUFFER, 0x5d, 0x5d);
	assert_memory_equal(buf, "\xd3\x0a\x83\x01\x00\x80\x02\x00\x5d\x81\x01\x5d", p.len);
	p.len = 0;
	remote_put_write_begin(&p, 0x0d, 438, hash);
	assert_int_equal(p.len, 43);
	assert_memory_equal(buf, "\xd4\x29\x83\x01\x0d\x80\x02\x01\xb6\x82\x20\x02", 12);
	p.len = 0;
	remote_put_write_block(&p, 3, "ab", 2);
	assert_memory_equal(buf, "\xd5\x08\x80\x02\x00\x03\x81\x02\x61\x62", p.len);
	p.len = 0;
	remote_put_write_commit(&p, 0x0d);
	assert_memory_equal(buf, "\xd6\x03\x83\x01\x0d", p.len);
	p.len = 0;
	remote_put_key_state(&p, 1, REMOTE_KEY_NONE);
	assert_memory_equal(buf, "\xd7\x06\x84\x01\x01\x80\x01\xff", p.len);
	p.len = 0;
	remote_put_delete_file(&p, 2);
	remote_put_wipe_slot(&p, 1);
	remote_put_status(&p, 1);
	assert_memory_equal(
		buf, "\xda\x03\x83\x01\x02\xdb\x03\x80\x01\x01\xdc\x03\x80\x01\x01", p.len);
}

static void the_card_reads_what_is_built(void **state)
{
	static const uint8_t nonce[REMOTE_NONCE_LEN] = { 7 };
	uint8_t buf[256], answers[REMOTE_ANSWERS_MAX];
	struct put p = put_init(buf, sizeof(buf));
	struct fake f = { .sw = 0x9000, .answer = 34 };
	struct remote_answer a;
	struct remote_csr csr;
	struct cur c;

	(void)state;
	remote_put_make_csr(&p, 1, "1.8912230200031010008f.example", nonce);
	c = cur_init(answers, run(&f, buf, p.len, answers));
	assert_int_equal(f.runs, 1);
	assert_int_equal(f.last.id, 1);
	assert_int_equal(f.last.owner_name.left, 30);
	assert_memory_equal(f.last.nonce, nonce, sizeof(nonce));
	assert_true(remote_answer_next(&c, &a));
	assert_int_equal(a.tag, REMOTE_MAKE_CSR);
	assert_int_equal(a.sw, 0x9000);
	assert_rc(RC_OK, remote_csr_read(a.data, &csr));
	assert_false(remote_answer_next(&c, &a));
	assert_false(c.bad);
	for (size_t cut = 1; cut < p.len; cut++) {
		size_t n = run(&f, buf, cut, answers);

		assert_int_equal(n, 4);
		assert_int_equal(answers[2], 0x67);
	}
	assert_int_equal(f.runs, 1);
}

static void faults_have_their_status(void **state)
{
	static const struct {
		const char *list;
		size_t len;
		uint16_t sw;
	} rows[] = {
		{ "\xd0\x03\x80\x01\x01", 5, 0x9000 },
		{ "\xd9\x03\x80\x01\x01", 5, 0x6d00 },
		{ "\x00\x00", 2, 0x6d00 },
		{ "\xd0\x03\x84\x01\x01", 5, 0x6a80 },
		{ "\xd0\x03\x80\x02\x01", 5, 0x6a80 },
		{ "\xd0\x04\x80\x01\x01\x00", 6, 0x6a80 },
		{ "\xd0\x81\x03\x80\x01\x01", 6, 0x6700 },
		{ "\xd0\x04\x80\x01\x01", 5, 0x6700 },
		{ "\xd0", 1, 0x6700 },
		{ "\xd7\x06\x84\x01\x01\x80\x01\x02", 8, 0x6a80 },
		{ "\xd3\x0a\x83\x01\x00\x80\x02\x00\x00\x81\x01\x5d", 12, 0x9000 },
		{ "\xd3\x0a\x83\x01\x00\x80\x02\x00\x00\x81\x01\x5e", 12, 0x6a80 },
		{ "\xd3\x0a\x83\x01\x00\x80\x02\x00\x00\x81\x01\x00", 12, 0x6a80 },
		{ "\xd4\x2a\x83\x01\x02\x80\x03\x01\x00\x00\x82\x20"
		  "0123456789abcdef0123456789abcdef",
			44, 0x6a84 },
	};
	uint8_t answers[REMOTE_ANSWERS_MAX];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct fake f = { .sw = 0x9000 };
		size_t n = run(&f, rows[i].list, rows[i].len, answers);

		assert_int_equal(n, 4);
		assert_int_equal(answers[2] << 8 | answers[3], rows[i].sw);
		assert_int_equal(f.runs, rows[i].sw == 0x9000);
	}
	assert_int_equal(run(&(struct fake){ 0 }, "", 0, answers), 0);
}

static void a_list_stops_at_the_first_failure(void **state)
{
	uint8_t buf[256], answers[REMOTE_ANSWERS_MAX];
	struct put p = put_init(buf, sizeof(buf));
	struct fake f = { .sw = 0x6985, .answer = 5 };

	(void)state;
	remote_put_status(&p, 1);
	remote_put_status(&p, 2);
	assert_int_equal(run(&f, buf, p.len, answers), 4); /* and no data with a failure */
	assert_int_equal(f.runs, 1);
}

/* One protected receipt holds 97 bytes: what might not fit is not done at all. */
static void answers_never_outgrow_the_receipt(void **state)
{
	uint8_t buf[1024], answers[REMOTE_ANSWERS_MAX];
	struct put p = put_init(buf, sizeof(buf));
	struct fake f = { .sw = 0x9000, .answer = REMOTE_BLOCK_MAX };

	(void)state;
	remote_put_read_block(&p, 2, 0, REMOTE_BLOCK_MAX);
	assert_int_equal(run(&f, buf, p.len, answers), REMOTE_ANSWERS_MAX);
	remote_put_create_slot(&p, 2);
	assert_int_equal(run(&f, buf, p.len, answers), REMOTE_ANSWERS_MAX);
	assert_int_equal(f.runs, 2);

	f = (struct fake){ .sw = 0x9000 };
	p.len = 0;
	remote_put_create_slot(&p, 2);
	remote_put_read_block(&p, 2, 0, REMOTE_BLOCK_MAX);
	assert_int_equal(run(&f, buf, p.len, answers), 8);
	assert_int_equal(f.runs, 1);
	assert_int_equal(answers[6] << 8 | answers[7], 0x6700);

	f.runs = 0;
	p.len = 0;
	for (unsigned i = 0; i < 30; i++)
		remote_put_create_slot(&p, 1);
	assert_int_equal(run(&f, buf, p.len, answers), 96);
	assert_int_equal(f.runs, 24);
}

static void files_are_cut_to_fit(void **state)
{
	static const struct {
		size_t file;
		unsigned sms, packets;
	} rows[] = { { 438, 4, 1 }, { 439, 4, 2 }, { 582, 5, 1 }, { 0, 1, 1 }, { 1, 1, 1 },
		{ 438, 1, 6 }, { 1999, 3, 6 }, { 38, 1, 1 }, { 561, 5, 1 } };
	uint8_t bytes[2000], packet[SCP80_PACKET_MAX], answers[REMOTE_ANSWERS_MAX];

	(void)state;
	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)(i * 31 + i / 256);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct fake f = { .sw = 0x9000 };
		struct remote_write w;
		unsigned packets = 0;
		bool whole = false;

		assert_rc(RC_OK, remote_write_init(&w, 0x0d, bytes, rows[i].file));
		while (!whole) {
			struct put p = put_init(packet, scp80_capacity(rows[i].sms));

			whole = remote_write_fill(&w, &p);
			assert_true(put_ok(&p) && p.len > 0);
			run(&f, packet, p.len, answers);
			assert_true(++packets <= rows[i].packets);
		}
		assert_int_equal(packets, rows[i].packets);
		assert_true(w.committed && f.committed);
		assert_int_equal(f.total, rows[i].file);
		assert_memory_equal(f.file, bytes, rows[i].file);
	}
}

static void status_goes_both_ways(void **state)
{
	struct remote_slot_status s = { .slot = 1,
		.key1 = REMOTE_KEY_ACTIVE,
		.keyb = REMOTE_KEY_NONE,
		.certificate = { 1 },
		.payload = { 2 } },
				  got;
	uint8_t buf[REMOTE_STATUS_LEN];
	struct put p = put_init(buf, sizeof(buf));

	(void)state;
	remote_status_write(&p, &s);
	assert_int_equal(p.len, REMOTE_STATUS_LEN);
	assert_rc(RC_OK, remote_status_read(cur_init(buf, p.len), &got));
	assert_memory_equal(&got, &s, sizeof(s));
	for (size_t cut = 0; cut < p.len; cut++)
		assert_rc(RC_MALFORMED, remote_status_read(cur_init(buf, cut), &got));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(bytes_are_those_of_the_format),
		cmocka_unit_test(the_card_reads_what_is_built),
		cmocka_unit_test(faults_have_their_status),
		cmocka_unit_test(a_list_stops_at_the_first_failure),
		cmocka_unit_test(answers_never_outgrow_the_receipt),
		cmocka_unit_test(files_are_cut_to_fit),
		cmocka_unit_test(status_goes_both_ways),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
