/* SPDX-License-Identifier: Apache-2.0 */
#include "fixture.h"

#include <sys/stat.h>
#include <unistd.h>

static uint8_t list_bytes[1024];

static struct put list(void)
{
	return put_init(list_bytes, sizeof(list_bytes));
}

static const uint8_t nonce[REMOTE_NONCE_LEN] = { 1 };

static void containers_are_what_the_table_says(void **state)
{
	struct fixture f;

	(void)state;
	fixture_open(&f, "strict", NULL);
	for (unsigned id = 0; id < 256; id++) {
		unsigned n = id < 0x10 ? id : id & 0xf;
		bool slot1 = id >= 0x01 && id <= 0x0d;
		bool key = slot1 && (n == 1 || n == 0xb);
		bool volatile_key = slot1 && (n == 4 || n == 5);
		bool file = (slot1 && !key && !volatile_key) || id == 0xf2 || id == 0xf3;
		struct put p = list();
		unsigned sw;

		remote_put_generate_key(&p, (uint8_t)id);
		sw = remote(&f, &p);
		assert_int_equal(sw, key				  ? 0x9000
				     : file || volatile_key || id == 0xf1 ? 0x6a80
									  : 0x6a82);
		p = list();
		remote_put_delete_file(&p, (uint8_t)id);
		sw = remote(&f, &p);
		assert_int_equal(sw, file				 ? 0x9000
				     : key || volatile_key || id == 0xf1 ? 0x6a80
									 : 0x6a82);
	}
	fixture_close(&f);
}

static unsigned one_u8(struct fixture *f, void (*put)(struct put *, unsigned), unsigned v)
{
	struct put p = list();

	put(&p, v);
	return remote(f, &p);
}

static unsigned csr(struct fixture *f, uint8_t id, const char *name)
{
	struct put p = list();

	remote_put_make_csr(&p, id, name, nonce);
	return remote(f, &p);
}

static unsigned generate(struct fixture *f, uint8_t id)
{
	struct put p = list();

	remote_put_generate_key(&p, id);
	return remote(f, &p);
}

static unsigned key_state(struct fixture *f, uint8_t id, enum remote_key_state s)
{
	struct put p = list();

	remote_put_key_state(&p, id, s);
	return remote(f, &p);
}

static void csr_needs_its_keys_and_a_name(void **state)
{
	char name[IDENT_OWNER_MAX + 2];
	struct remote_csr got;
	struct fixture f;

	(void)state;
	fixture_open(&f, "strict", NULL);
	assert_int_equal(csr(&f, 0x01, "1.x"), 0x6985);
	assert_int_equal(generate(&f, 0x01), 0x9000);
	assert_int_equal(csr(&f, 0x01, "1.x"), 0x6985);
	assert_int_equal(generate(&f, 0x0b), 0x9000);
	assert_int_equal(csr(&f, 0x0b, "1.x"), 0x6a80);
	assert_int_equal(csr(&f, 0xf1, "1.x"), 0x6a80);
	assert_int_equal(csr(&f, 0x21, "2.x"), 0x6a82);
	assert_int_equal(csr(&f, 0x01, ""), 0x6a80);
	assert_int_equal(csr(&f, 0x01, "a b"), 0x6a80);
	assert_int_equal(csr(&f, 0x01, "caf\xc3\xa9"), 0x6a80);
	memset(name, 'a', sizeof(name));
	name[IDENT_OWNER_MAX + 1] = '\0';
	assert_int_equal(csr(&f, 0x01, name), 0x6a80);
	name[IDENT_OWNER_MAX] = '\0';
	assert_rc(RC_OK, card__key_generate(&f.card->state, CARD_ID_ATTESTATION, ALG_P256));
	assert_int_equal(csr(&f, 0x01, name), 0x9000);
	assert_rc(RC_OK, remote_csr_read(cur_init(f.out, f.len), &got));
	assert_int_equal(got.len, f.card->state.transfer.len);
	assert_true(got.len <= 590);
	fixture_close(&f);
}

static void keys_come_and_go(void **state)
{
	struct fixture f;
	uint8_t point[CARD__POINT_LEN];

	(void)state;
	fixture_open(&f, "strict", NULL);
	assert_int_equal(key_state(&f, 0x01, REMOTE_KEY_BLOCKED), 0x6985);
	assert_int_equal(key_state(&f, 0x01, REMOTE_KEY_ACTIVE), 0x6985);
	assert_int_equal(key_state(&f, 0x01, REMOTE_KEY_NONE), 0x9000);
	assert_int_equal(key_state(&f, 0x04, REMOTE_KEY_NONE), 0x6a80);
	assert_int_equal(key_state(&f, 0xf1, REMOTE_KEY_NONE), 0x6a80);
	assert_int_equal(key_state(&f, 0x02, REMOTE_KEY_NONE), 0x6a80);
	assert_int_equal(key_state(&f, 0x21, REMOTE_KEY_NONE), 0x6a82);
	assert_int_equal(generate(&f, 0x01), 0x9000);
	memcpy(point, f.card->state.keys[1]->point, sizeof(point));
	assert_int_equal(key_state(&f, 0x01, REMOTE_KEY_BLOCKED), 0x9000);
	assert_int_equal(generate(&f, 0x01), 0x9000);
	assert_true(f.card->state.keys[1]->blocked);
	assert_memory_equal(f.card->state.keys[1]->point, point, sizeof(point));
	assert_int_equal(key_state(&f, 0x01, REMOTE_KEY_NONE), 0x9000);
	assert_int_equal(generate(&f, 0x01), 0x9000);
	assert_memory_not_equal(f.card->state.keys[1]->point, point, sizeof(point));
	fixture_close(&f);
}

static void slots_are_made_and_wiped(void **state)
{
	struct remote_slot_status s;
	struct fixture f;

	(void)state;
	fixture_open(&f, "strict", NULL);
	assert_int_equal(one_u8(&f, remote_put_create_slot, 0), 0x6a80);
	assert_int_equal(one_u8(&f, remote_put_create_slot, 10), 0x6a80);
	assert_int_equal(one_u8(&f, remote_put_wipe_slot, 9), 0x6a82);
	assert_int_equal(one_u8(&f, remote_put_status, 9), 0x6a82);
	for (unsigned slot = 1; slot <= 9; slot++)
		assert_int_equal(one_u8(&f, remote_put_create_slot, slot), 0x9000);
	for (unsigned n = 1; n <= 0xd; n++) {
		uint8_t id = card__id(9, (uint8_t)n);

		if (card_personalise_file(f.card, id, "x", 1) != RC_OK)
			assert_rc(RC_OK, card__key_generate(&f.card->state, id, ALG_P256));
	}
	assert_int_equal(generate(&f, 0x01), 0x9000);
	assert_rc(RC_OK, card_personalise_file(f.card, 0xf3, "x", 1));
	assert_int_equal(one_u8(&f, remote_put_status, 9), 0x9000);
	assert_rc(RC_OK, remote_status_read(cur_init(f.out, f.len), &s));
	assert_int_equal(s.slot, 9);
	assert_int_equal(s.key1, REMOTE_KEY_ACTIVE);
	for (int again = 0; again < 2; again++) {
		assert_int_equal(one_u8(&f, remote_put_wipe_slot, 9), 0x9000);
		for (unsigned n = 1; n <= 0xd; n++) {
			uint8_t id = card__id(9, (uint8_t)n);

			assert_null(f.card->state.keys[id]);
			assert_int_equal(f.card->state.files[id].bytes != NULL,
				n == 6 || n == 7 || n == 0xc);
		}
	}
	assert_non_null(f.card->state.keys[1]);
	assert_non_null(f.card->state.files[0xf3].bytes);
	assert_true(card__slot_exists(f.card, 9));
	fixture_close(&f);
}

static unsigned begin(struct fixture *f, uint8_t id, const void *bytes, size_t len)
{
	uint8_t hash[REMOTE_HASH_LEN];
	struct put p = list();

	assert_rc(RC_OK, card__sha256(bytes, len, hash));
	remote_put_write_begin(&p, id, (uint16_t)len, hash);
	return remote(f, &p);
}

static unsigned block(struct fixture *f, uint16_t offset, const void *bytes, size_t len)
{
	struct put p = list();

	remote_put_write_block(&p, offset, bytes, len);
	return remote(f, &p);
}

static unsigned commit(struct fixture *f, uint8_t id)
{
	struct put p = list();

	remote_put_write_commit(&p, id);
	return remote(f, &p);
}

static void writes_show_only_after_commit(void **state)
{
	struct fixture f;

	(void)state;
	fixture_open(&f, "strict", NULL);
	assert_int_equal(block(&f, 0, "x", 1), 0x6985);
	assert_int_equal(commit(&f, 0x02), 0x6985);
	assert_int_equal(begin(&f, 0x01, "x", 1), 0x6a80);
	assert_int_equal(begin(&f, 0x22, "x", 1), 0x6a82);
	assert_int_equal(begin(&f, 0x02, "hello", 5), 0x9000);
	assert_int_equal(commit(&f, 0x02), 0x6400);
	assert_int_equal(block(&f, 3, "lo", 2), 0x9000);
	assert_int_equal(block(&f, 4, "lo", 2), 0x6985);
	assert_int_equal(block(&f, 65535, "l", 1), 0x6985);
	assert_int_equal(block(&f, 5, "", 0), 0x9000);
	assert_int_equal(block(&f, 0, "hel", 3), 0x9000);
	assert_null(f.card->state.files[2].bytes);
	assert_int_equal(commit(&f, 0x03), 0x6985);
	assert_int_equal(commit(&f, 0x02), 0x9000);
	assert_int_equal(commit(&f, 0x02), 0x9000);
	assert_memory_equal(f.card->state.files[2].bytes, "hello", 5);
	assert_int_equal(block(&f, 0, "x", 1), 0x6985);
	/* a new BEGIN drops the open one */
	assert_int_equal(begin(&f, 0x02, "other", 5), 0x9000);
	assert_int_equal(begin(&f, 0x03, "", 0), 0x9000);
	assert_int_equal(commit(&f, 0x02), 0x6985);
	assert_int_equal(commit(&f, 0x03), 0x9000);
	assert_non_null(f.card->state.files[3].bytes);
	assert_int_equal(f.card->state.files[3].len, 0);
	/* a wipe drops a write into its slot */
	assert_int_equal(begin(&f, 0x02, "other", 5), 0x9000);
	assert_int_equal(block(&f, 0, "other", 5), 0x9000);
	assert_int_equal(one_u8(&f, remote_put_wipe_slot, 1), 0x9000);
	assert_int_equal(commit(&f, 0x02), 0x6985);
	fixture_close(&f);
}

static void space_is_bounded(void **state)
{
	static const uint8_t big[REMOTE_FILE_MAX];
	unsigned sw = 0x9000, files = 0;
	struct fixture f;

	(void)state;
	fixture_open(&f, "strict", NULL);
	for (unsigned slot = 1; slot <= 9 && sw == 0x9000; slot++) {
		assert_int_equal(one_u8(&f, remote_put_create_slot, slot), 0x9000);
		for (uint8_t n = 6; n <= 0xa && sw == 0x9000; n++) {
			sw = begin(&f, card__id(slot, n), big, sizeof(big));
			if (sw == 0x9000)
				assert_int_equal(commit(&f, card__id(slot, n)), 0x9000);
			files += sw == 0x9000;
		}
	}
	assert_int_equal(sw, 0x6a84);
	assert_int_equal(files, CARD_STORE_MAX / REMOTE_FILE_MAX);
	fixture_close(&f);
}

static enum rc send_list(
	struct fixture *f, uint64_t counter, const struct put *p, struct scp80_response *resp)
{
	static uint8_t plain[SCP80_UD_MAX];
	struct scp80_keys keys = { .kvn = 1, .kic = fixture_key, .kid = fixture_key };
	struct scp80_command cmd = {
		.tar = { 'I', 'S', 'A' }, .counter = counter, .data = cur_init(p->buf, p->len)
	};
	struct concat_sms sms[SCP80_PARTS_MAX];
	uint8_t packet[SCP80_PACKET_MAX], ud[SCP80_UD_MAX];
	struct put out = put_init(packet, sizeof(packet)), reply = put_init(ud, sizeof(ud));
	size_t n;
	enum rc rc = RC_TRUNCATED;

	assert_rc(RC_OK, scp80_command_write(&keys, &cmd, &out));
	assert_rc(RC_OK, concat_split(packet, out.len, (uint8_t)counter, sms, &n));
	for (size_t i = 0; i < n && rc == RC_TRUNCATED; i++)
		rc = card_sms(f->card, sms[i].ud, sms[i].len, &reply);
	if (rc == RC_OK)
		assert_rc(RC_OK, scp80_response_read(&keys, ud, reply.len, plain, resp));
	return rc;
}

/* What cannot be made durable must not be seen, nor be told as done. */
static void a_full_disk_changes_nothing(void **state)
{
	char dir[] = "/tmp/attestry-card-XXXXXX", path[64], gone[64];
	struct scp80_response resp;
	struct fixture f;
	struct put p = list();

	(void)state;
	assert_non_null(mkdtemp(dir));
	assert_rc(RC_OK, str_format(path, sizeof(path), "%s/state/card", dir));
	assert_rc(RC_OK, str_format(gone, sizeof(gone), "%s/gone", dir));
	path[strlen(dir) + 6] = '\0';
	assert_int_equal(mkdir(path, 0700), 0);
	path[strlen(dir) + 6] = '/';
	fixture_open(&f, "strict", path);
	remote_put_generate_key(&p, 0x01);
	assert_rc(RC_OK, send_list(&f, 1, &p, &resp));
	assert_true(resp.proven && resp.status == SCP80_OK && resp.data.left == 4);
	assert_non_null(f.card->state.keys[1]);

	path[strlen(dir) + 6] = '\0';
	assert_int_equal(rename(path, gone), 0);
	path[strlen(dir) + 6] = '/';
	p = list();
	remote_put_wipe_slot(&p, 1);
	assert_rc(RC_OK, send_list(&f, 2, &p, &resp));
	assert_int_equal(resp.status, SCP80_NO_MEMORY);
	assert_int_equal(resp.data.left, 0);
	fixture_close(&f);

	/* put back, the card is as it was before the packet */
	path[strlen(dir) + 6] = '\0';
	assert_int_equal(rename(gone, path), 0);
	path[strlen(dir) + 6] = '/';
	fixture_open(&f, "strict", path);
	assert_non_null(f.card->state.keys[1]);
	assert_int_equal(f.card->state.counter, 1);
	fixture_close(&f);
	assert_int_equal(unlink(path), 0);
	path[strlen(dir) + 6] = '\0';
	assert_int_equal(rmdir(path), 0);
	assert_int_equal(rmdir(dir), 0);
}

/* A packet is carried out once, however often its messages arrive; old parts are forgotten. */
static void packets_count_once(void **state)
{
	struct scp80_response resp;
	struct fixture f;
	struct put p = list();

	(void)state;
	fixture_open(&f, "strict", NULL);
	remote_put_create_slot(&p, 2);
	assert_rc(RC_OK, send_list(&f, 5, &p, &resp));
	assert_int_equal(resp.status, SCP80_OK);
	assert_rc(RC_OK, send_list(&f, 5, &p, &resp));
	assert_int_equal(resp.status, SCP80_COUNTER_LOW);
	assert_true(resp.proven);
	assert_rc(RC_OK, send_list(&f, 4, &p, &resp));
	assert_int_equal(resp.status, SCP80_COUNTER_LOW);
	assert_int_equal(f.card->state.counter, 5);
	fixture_close(&f);
}

/* Half a packet waits five minutes for its other half, no longer. */
static void old_parts_are_forgotten(void **state)
{
	struct scp80_keys keys = { .kvn = 1, .kic = fixture_key, .kid = fixture_key };
	static const uint64_t waits[] = { 4 * 60 * 1000, 6 * 60 * 1000 };

	(void)state;
	for (size_t w = 0; w < ARRAY_LEN(waits); w++) {
		uint8_t packet[SCP80_PACKET_MAX], ud[SCP80_UD_MAX], data[200];
		struct put out = put_init(packet, sizeof(packet)), reply = put_init(ud, sizeof(ud));
		struct put p = put_init(data, sizeof(data));
		struct scp80_command cmd = { .tar = { 'I', 'S', 'A' }, .counter = 1 };
		struct concat_sms sms[SCP80_PARTS_MAX];
		struct fixture f;
		size_t n;

		for (unsigned i = 0; i < 24; i++)
			remote_put_create_slot(&p, 1);
		cmd.data = cur_init(data, p.len);
		assert_rc(RC_OK, scp80_command_write(&keys, &cmd, &out));
		assert_rc(RC_OK, concat_split(packet, out.len, 1, sms, &n));
		assert_int_equal(n, 2);
		fixture_open(&f, "strict", NULL);
		assert_rc(RC_TRUNCATED, card_sms(f.card, sms[1].ud, sms[1].len, &reply));
		f.now_ms += waits[w];
		assert_rc(w == 0 ? RC_OK : RC_TRUNCATED,
			card_sms(f.card, sms[0].ud, sms[0].len, &reply));
		fixture_close(&f);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(containers_are_what_the_table_says),
		cmocka_unit_test(csr_needs_its_keys_and_a_name),
		cmocka_unit_test(keys_come_and_go),
		cmocka_unit_test(slots_are_made_and_wiped),
		cmocka_unit_test(writes_show_only_after_commit),
		cmocka_unit_test(space_is_bounded),
		cmocka_unit_test(a_full_disk_changes_nothing),
		cmocka_unit_test(packets_count_once),
		cmocka_unit_test(old_parts_are_forgotten),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
