/* SPDX-License-Identifier: Apache-2.0 */
#include "mno/internal.h"
#include "../unit.h"

#include "base/str.h"

#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

#define ICCID "8912230200031010008f"
#define OWNER "1." ICCID ".iotregistry.example"
#define NONCE "00112233445566778899aabbccddeeff"

/* Just enough of a card to answer; the real one is tested end to end. */
struct card {
	uint8_t csr[363];
	bool bad_hash;
	uint16_t sw; /* for everything, unless 0 */
	unsigned writes, reads, made;
	bool open;	    /* a write is */
	uint8_t status[32]; /* of file 2 */
};

static uint16_t run(void *user, const struct remote_command *cmd, struct put *data)
{
	struct card *c = user;
	uint8_t hash[32];

	if (c->sw)
		return c->sw;
	switch (cmd->tag) {
	case REMOTE_MAKE_CSR:
		c->made++;
		assert_int_equal(strlen(OWNER), cmd->owner_name.left);
		EVP_Digest(c->csr, sizeof(c->csr), hash, NULL, EVP_sha256(), NULL);
		hash[0] ^= c->bad_hash;
		put_u16(data, sizeof(c->csr));
		put_bytes(data, hash, sizeof(hash));
		break;
	case REMOTE_READ_BLOCK:
		c->reads++;
		put_bytes(data, c->csr + cmd->offset,
			cmd->offset + cmd->len <= (int)sizeof(c->csr)
				? cmd->len
				: sizeof(c->csr) - cmd->offset);
		break;
	case REMOTE_STATUS: {
		struct remote_slot_status s = { .slot = cmd->number };

		memcpy(s.certificate, c->status, sizeof(s.certificate));
		remote_status_write(data, &s);
		break;
	}
	case REMOTE_WRITE_BEGIN: c->open = true; break;
	case REMOTE_WRITE_BLOCK: return c->open ? 0x9000 : 0x6985;
	case REMOTE_WRITE_COMMIT:
		if (!c->open)
			return 0x6985;
		c->open = false;
		c->writes++;
		break;
	default: break;
	}
	return 0x9000;
}

/* One packet to the card and back; `cut` bytes of the answers are lost. */
static void packet(struct mno_task *t, struct card *card, size_t cut)
{
	uint8_t commands[SCP80_PACKET_MAX], answers[REMOTE_ANSWERS_MAX];
	struct put p = put_init(commands, scp80_capacity(SCP80_PARTS_MAX));
	struct put a = put_init(answers, sizeof(answers));
	static const uint8_t por[] = { 1, 2, 3 };

	assert_rc(RC_OK, mno__task_next(t, &p));
	remote_run(cur_init(commands, p.len), run, card, &a);
	mno__task_answer(
		t, cur_init(answers, a.len - (cut < a.len ? cut : a.len)), por, sizeof(por));
}

static struct mno_task *task(json_t *take_job)
{
	struct mno_task *t = NULL;

	assert_rc(RC_OK, mno__task_new(take_job, &t, NULL));
	json_decref(take_job);
	return t;
}

static json_t *job(const char *kind)
{
	return json_pack("{s:s, s:s, s:s, s:i, s:s, s:s}", "id", "1", "kind", kind, "iccid", ICCID,
		"slot", 1, "owner_name", OWNER, "nonce", NONCE);
}

static json_t *install(size_t len)
{
	uint8_t data[700] = { 7 }, hash[32];
	char text[B64_LEN(sizeof(data))], hex[65];
	json_t *j = job("install");

	EVP_Digest(data, len, hash, NULL, EVP_sha256(), NULL);
	b64_write(data, len, text);
	hex_write(hash, 32, hex);
	json_object_set_new(j, "files",
		json_pack("[{s:s, s:s, s:s}, {s:s, s:s, s:s}]", "id", "02", "sha256", hex, "data",
			text, "id", "0D", "sha256", hex, "data", text));
	return j;
}

static void test_keygen(void **state)
{
	struct mno_task *t = task(job("keygen"));
	struct card card = { .csr = { 9 } };
	json_t *result;

	(void)state;
	for (unsigned i = 0; i < 5; i++) {
		assert_int_equal(MNO_RUNNING, t->outcome);
		packet(t, &card, 0);
	}
	assert_int_equal(MNO_OK, t->outcome);
	assert_int_equal(4, card.reads); /* 363 bytes in blocks of 93 */
	assert_memory_equal(card.csr, t->csr, sizeof(card.csr));
	result = mno__task_result(t);
	assert_string_equal("ok", json_string_value(json_object_get(result, "status")));
	assert_int_equal(484, json_string_length(json_object_get(result, "csr")));
	json_decref(result);
	mno__task_free(t);
}

/* In packets of two SMS, each executed, its receipt lost, and sent once more: a COMMIT that comes
 * twice finds no file open. The file begins anew, and the end is the same. */
static void test_lost_receipts_of_small_packets(void **state)
{
	struct mno_task *t = task(install(600));
	struct card card = { 0 };
	unsigned packets = 0;

	(void)state;
	while (t->outcome == MNO_RUNNING && packets++ < 100) {
		uint8_t commands[SCP80_PACKET_MAX], answers[REMOTE_ANSWERS_MAX];
		struct put p = put_init(commands, scp80_capacity(2));
		static const uint8_t por[] = { 1 };

		assert_rc(RC_OK, mno__task_next(t, &p));
		for (unsigned i = 0; i < (packets < 8 ? 2 : 1); i++) {
			struct put a = put_init(answers, sizeof(answers));

			remote_run(cur_init(commands, p.len), run, &card, &a);
			if (i + 1 == (packets < 8 ? 2 : 1))
				mno__task_answer(t, cur_init(answers, a.len), por, sizeof(por));
		}
	}
	assert_int_equal(MNO_OK, t->outcome);
	assert_true(t->begun_anew > 0);
	mno__task_free(t);
	/* A card that always says so is given up. */
	t = task(install(600));
	card.sw = 0x6985;
	t->look_first = false;
	for (packets = 0; t->outcome == MNO_RUNNING && packets < 100; packets++)
		packet(t, &card, 0);
	assert_int_equal(MNO_FAILED, t->outcome);
	mno__task_free(t);
}

/* Another size of packet for the same step carries the same file from the same place. */
static void test_a_step_anew(void **state)
{
	struct mno_task *t = task(install(600));
	uint8_t big[SCP80_PACKET_MAX], small[SCP80_PACKET_MAX];
	struct put p = put_init(big, scp80_capacity(16)), q = put_init(small, scp80_capacity(2));

	(void)state;
	assert_rc(RC_OK, mno__task_next(t, &p));
	assert_true(t->write.committed);
	assert_rc(RC_OK, mno__task_anew(t, &q));
	assert_false(t->write.committed);
	assert_true(q.len <= scp80_capacity(2) && q.len < p.len);
	assert_memory_equal(big, small, 30); /* the same BEGIN */
	mno__task_free(t);
}

static void test_wrong_hash_is_tried_thrice(void **state)
{
	struct mno_task *t = task(job("keygen"));
	struct card card = { .bad_hash = true };

	(void)state;
	for (unsigned i = 0; i < 15; i++) {
		assert_int_equal(MNO_RUNNING, t->outcome);
		packet(t, &card, 0);
	}
	assert_int_equal(MNO_FAILED, t->outcome);
	assert_int_equal(3, card.made);
	mno__task_free(t);
}

/* Stopped after any packet: a new process goes on where this one was. */
static void test_resume(void **state)
{
	struct card card = { .csr = { 9 } };
	struct mno_task *t = task(job("keygen")), *again;
	json_t *progress;

	(void)state;
	for (unsigned i = 0; i < 5; i++) {
		packet(t, &card, 0);
		if (t->outcome != MNO_RUNNING)
			break;
		progress = mno__task_progress(t);
		again = task(job("keygen"));
		mno__task_resume(again, progress);
		json_decref(progress);
		mno__task_free(t);
		t = again;
	}
	assert_int_equal(MNO_OK, t->outcome);
	assert_int_equal(1, card.made);
	assert_memory_equal(card.csr, t->csr, sizeof(card.csr));
	mno__task_free(t);
}

static void test_install(void **state)
{
	struct mno_task *t = task(install(561));
	struct card card = { 0 };
	json_t *result;

	(void)state;
	packet(t, &card, 0);
	assert_int_equal(MNO_RUNNING, t->outcome);
	packet(t, &card, 0);
	assert_int_equal(MNO_OK, t->outcome);
	assert_int_equal(2, card.writes);
	result = mno__task_result(t);
	assert_int_equal(2, json_array_size(json_object_get(result, "receipts")));
	json_decref(result);
	mno__task_free(t);
}

/* A later attempt asks first what is there. */
static void test_install_again(void **state)
{
	json_t *j = install(561);
	struct mno_task *t;
	struct card card = { 0 };

	(void)state;
	json_object_set_new(j, "attempt", json_integer(2));
	t = task(j);
	memcpy(card.status, t->files[0].sha256, sizeof(card.status));
	packet(t, &card, 0);
	assert_true(t->files[0].done && !t->files[1].done);
	packet(t, &card, 0);
	assert_int_equal(MNO_OK, t->outcome);
	assert_int_equal(1, card.writes);
	mno__task_free(t);
}

static void test_refusals_and_cut_answers(void **state)
{
	static const char *const kinds[] = { "keygen", "block", "unblock", "wipe", "status" };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
		struct card refusing = { .sw = 0x6985 }, good = { 0 };
		struct mno_task *t = task(job(kinds[i]));

		packet(t, &refusing, 0);
		assert_int_equal(MNO_FAILED, t->outcome);
		assert_non_null(strstr(t->reason, "6985"));
		mno__task_free(t);
		for (size_t cut = 1; cut < REMOTE_ANSWERS_MAX; cut++) {
			t = task(job(kinds[i]));
			packet(t, &good, cut);
			assert_int_equal(MNO_FAILED, t->outcome);
			mno__task_free(t);
		}
	}
}

static void test_jobs_without_an_id(void **state)
{
	static const char *const ids[] = { "", "a/b", "a?b", "a b" };
	struct mno_task *t = NULL;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(ids); i++) {
		json_t *j = job("status");

		json_object_set_new(j, "id", json_string(ids[i]));
		assert_rc(RC_MALFORMED, mno__task_new(j, &t, NULL));
		json_decref(j);
	}
	assert_rc(RC_MALFORMED, mno__task_new(NULL, &t, NULL));
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_keygen),
		cmocka_unit_test(test_lost_receipts_of_small_packets),
		cmocka_unit_test(test_a_step_anew),
		cmocka_unit_test(test_wrong_hash_is_tried_thrice), cmocka_unit_test(test_resume),
		cmocka_unit_test(test_install), cmocka_unit_test(test_install_again),
		cmocka_unit_test(test_refusals_and_cut_answers),
		cmocka_unit_test(test_jobs_without_an_id) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
