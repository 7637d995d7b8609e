/* SPDX-License-Identifier: Apache-2.0 */
#include "../unit.h"

#include "base/compiler.h"
#include "fake.h"
#include "iotsafe.h"

#include <openssl/bn.h>
#include <openssl/ecdsa.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static uint8_t long_file[1300];

static struct fake *fake_new(bool modem)
{
	struct fake *f = calloc(1, sizeof(*f));
	static const uint8_t iccid[] = { 0x98, 0x21, 0x32, 0x20, 0, 0x30, 1, 1, 0, 0xf8 };

	for (size_t i = 0; i < sizeof(long_file); i++)
		long_file[i] = (uint8_t)(i * 31);
	f->modem = modem;
	f->sign_key = EVP_EC_gen("P-256");
	f->agree_key = EVP_EC_gen("P-256");
	f->files[0] = (struct fake_file){ .id = 2, .bytes = long_file, .len = sizeof(long_file) };
	f->files[1] = (struct fake_file){ .id = 3, .bytes = long_file, .len = 255 };
	f->files[2] = (struct fake_file){ .id = 7, .bytes = long_file, .len = 0 };
	f->files_len = 3;
	memcpy(f->iccid, iccid, sizeof(iccid));
	return f;
}

static void fake_free(struct fake *f)
{
	fake_stop(f);
	EVP_PKEY_free(f->sign_key);
	EVP_PKEY_free(f->agree_key);
	free(f);
}

static struct iotsafe *open_card(const struct fake *f, unsigned timeout_ms)
{
	struct iotsafe_options o = { .card = f->card, .timeout_ms = timeout_ms };
	struct iotsafe *card = NULL;
	char error[IOTSAFE_ERROR_MAX] = "";

	if (iotsafe_open(&o, &card, error, sizeof(error)) != IOTSAFE_OK)
		fail_msg("%s: %s", f->card, error);
	return card;
}

static bool verifies(EVP_PKEY *key, const uint8_t digest[32], const uint8_t raw[64])
{
	ECDSA_SIG *sig = ECDSA_SIG_new();
	uint8_t der[80], *at = der;
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_pkey(NULL, key, NULL);
	int len, ok;

	ECDSA_SIG_set0(sig, BN_bin2bn(raw, 32, NULL), BN_bin2bn(raw + 32, 32, NULL));
	len = i2d_ECDSA_SIG(sig, &at);
	EVP_PKEY_verify_init(ctx);
	ok = EVP_PKEY_verify(ctx, der, (size_t)len, digest, 32);
	EVP_PKEY_CTX_free(ctx);
	ECDSA_SIG_free(sig);
	return ok == 1;
}

/* Everything once, over one card. */
static void use(struct fake *f)
{
	struct iotsafe *card = open_card(f, 2000);
	struct iotsafe_object objects[8], info;
	uint8_t buf[2000], point[65], want[65], digest[32] = { 7, 1 }, sig[64], x[32], y[32];
	char iccid[IOTSAFE_ICCID_TEXT];
	size_t n = 0, len = 0;

	assert_int_equal(iotsafe_list(card, objects, 8, &n), IOTSAFE_OK);
	assert_int_equal(n, 5);
	assert_int_equal(objects[0].type, IOTSAFE_PRIVATE_KEY);
	assert_int_equal(objects[0].key_type, 0x13);
	assert_int_equal(objects[2].type, IOTSAFE_FILE);
	assert_int_equal(objects[2].size, sizeof(long_file));
	assert_string_equal(objects[2].label, "file");
	assert_int_equal(iotsafe_list(card, objects, 2, &n), IOTSAFE_ETOOLARGE);
	assert_int_equal(n, 5);
	assert_int_equal(iotsafe_file_info(card, 3, &info), IOTSAFE_OK);
	assert_int_equal(info.size, 255);
	assert_int_equal(iotsafe_file_info(card, 9, &info), IOTSAFE_ENOTFOUND);
	assert_int_equal(iotsafe_read_file(card, 2, buf, sizeof(buf), &len), IOTSAFE_OK);
	assert_int_equal(len, sizeof(long_file));
	assert_memory_equal(buf, long_file, len);
	assert_int_equal(iotsafe_read_file(card, 2, buf, 1299, &len), IOTSAFE_ETOOLARGE);
	assert_int_equal(iotsafe_read_file(card, 7, buf, sizeof(buf), &len), IOTSAFE_OK);
	assert_int_equal(len, 0);
	assert_int_equal(iotsafe_public_key(card, 1, point), IOTSAFE_OK);
	EVP_PKEY_get_octet_string_param(f->sign_key, "pub", want, 65, &len);
	assert_memory_equal(point, want, 65);
	assert_int_equal(iotsafe_sign(card, 1, digest, sig), IOTSAFE_OK);
	assert_true(verifies(f->sign_key, digest, sig));
	assert_int_equal(iotsafe_random(card, buf, 300), IOTSAFE_OK);
	assert_int_equal(iotsafe_ecdh(card, 0x0b, 5, want, x), IOTSAFE_OK);
	assert_int_equal(iotsafe_ecdh(card, 0x0b, 5, want, y), IOTSAFE_OK);
	assert_memory_equal(x, y, 32);
	assert_int_equal(iotsafe_iccid(card, iccid), IOTSAFE_OK);
	assert_string_equal(iccid, "8912230200031010008f");
	/* The applet is still there after the file system was visited. */
	assert_int_equal(iotsafe_sign(card, 1, digest, sig), IOTSAFE_OK);
	iotsafe_close(card);
}

static void every_habit_of_cards_and_modems(void **state)
{
	(void)state;
	for (unsigned habit = 0; habit < 20; habit++) {
		struct fake *f = fake_new(habit % 2 == 1);
		switch (habit / 2) {
		case 1: f->use_61 = true; break;
		case 2: f->long_sig = true; break;
		case 3: f->no_channels = true; break;
		case 4: f->stuck_session = true; break;
		case 5: f->list_in_parts = true; break;
		case 6: f->echo = f->noise = true; break;
		case 7: f->no_quotes = f->no_ccid = true; break;
		case 9: f->stuck_session = f->stuck_hard = true; break;
		case 8:
			f->use_61 = f->echo = f->noise = f->list_in_parts = f->no_ccid = true;
			break;
		default: break;
		}
		fake_start(f);
		use(f);
		fake_free(f);
	}
}

static void a_blocked_key_is_told_apart(void **state)
{
	struct fake *f = fake_new(true);
	uint8_t digest[32] = { 0 }, sig[64], point[65];

	(void)state;
	fake_start(f);
	struct iotsafe *card = open_card(f, 2000);
	atomic_store(&f->blocked, true);
	assert_int_equal(iotsafe_sign(card, 1, digest, sig), IOTSAFE_EDENIED);
	assert_non_null(strstr(iotsafe_last_error(card), "6985"));
	assert_int_equal(iotsafe_public_key(card, 8, point), IOTSAFE_ENOTFOUND);
	atomic_store(&f->blocked, false);
	assert_int_equal(iotsafe_sign(card, 1, digest, sig), IOTSAFE_OK);
	assert_string_equal(iotsafe_last_error(card), "");
	iotsafe_close(card);
	fake_free(f);
}

/* The modem is reset behind our back: the next operation opens a channel again. */
static void a_reset_is_survived(void **state)
{
	(void)state;
	for (int modem = 0; modem < 2; modem++) {
		struct fake *f = fake_new(modem == 1);
		uint8_t digest[32] = { 0 }, sig[64];
		fake_start(f);
		struct iotsafe *card = open_card(f, 2000);
		for (int i = 0; i < 5; i++) {
			atomic_store(&f->reset, true);
			assert_int_equal(iotsafe_sign(card, 1, digest, sig), IOTSAFE_OK);
		}
		iotsafe_close(card);
		fake_free(f);
	}
}

static void the_eid_is_asked_where_it_is(void **state)
{
	(void)state;
	for (int kind = 0; kind < 3; kind++) {
		struct fake *f = fake_new(kind == 0);
		char eid[IOTSAFE_EID_TEXT] = "";
		uint8_t digest[32] = { 0 }, sig[64];
		f->no_euicc = kind == 2;
		f->m2m_euicc = kind == 1;
		fake_start(f);
		struct iotsafe *card = open_card(f, 2000);
		if (kind < 2) {
			assert_int_equal(iotsafe_eid(card, eid), IOTSAFE_OK);
			assert_string_equal(eid, "89049032123451234512345678901235");
		} else {
			assert_int_equal(iotsafe_eid(card, eid), IOTSAFE_ENOTFOUND);
			assert_non_null(strstr(iotsafe_last_error(card), "6A82"));
		}
		/* The applet is selected again. */
		assert_int_equal(iotsafe_sign(card, 1, digest, sig), IOTSAFE_OK);
		iotsafe_close(card);
		fake_free(f);
	}
}

/* A modem whose SIM interface hangs: without the option the time-out is told, with it the modem is
 * reset, once, and the operation done again. */
static void a_hung_modem_is_reset(void **state)
{
	struct fake *f = fake_new(true);
	uint8_t digest[32] = { 0 }, sig[64];
	struct iotsafe *card = NULL;

	(void)state;
	fake_start(f);
	card = open_card(f, 200);
	atomic_store(&f->hang, true);
	assert_int_equal(iotsafe_sign(card, 1, digest, sig), IOTSAFE_ETIMEOUT);
	assert_int_equal(atomic_load(&f->resets), 0);
	assert_int_equal(iotsafe_reset(card), IOTSAFE_OK);
	assert_int_equal(atomic_load(&f->resets), 1);
	assert_int_equal(iotsafe_sign(card, 1, digest, sig), IOTSAFE_OK);
	iotsafe_close(card);
	struct iotsafe_options o = { .card = f->card, .timeout_ms = 200, .reset = "at" };
	atomic_store(&f->hang, true);
	assert_int_equal(iotsafe_open(&o, &card, NULL, 0), IOTSAFE_OK);
	assert_int_equal(atomic_load(&f->resets), 2);
	assert_int_equal(iotsafe_sign(card, 1, digest, sig), IOTSAFE_OK);
	atomic_store(&f->hang, true); /* too soon: not again */
	assert_int_equal(iotsafe_sign(card, 1, digest, sig), IOTSAFE_ETIMEOUT);
	assert_int_equal(atomic_load(&f->resets), 2);
	iotsafe_close(card);
	fake_free(f);
	f = fake_new(false);
	fake_start(f);
	card = open_card(f, 200);
	assert_int_equal(iotsafe_reset(card), IOTSAFE_EINVAL);
	iotsafe_close(card);
	o = (struct iotsafe_options){ .card = f->card, .reset = "gently" };
	assert_int_equal(iotsafe_open(&o, &card, NULL, 0), IOTSAFE_EINVAL);
	fake_free(f);
}

/* The program that is to pulse the reset line gets the device's name; one that fails says so. */
static void a_program_resets_the_modem(void **state)
{
	static const char *const programs[] = { "/bin/false", "/nonexistent" };
	struct fake *f = fake_new(true);
	struct iotsafe *card = NULL;
	char error[IOTSAFE_ERROR_MAX] = "";

	(void)state;
	fake_start(f);
	struct iotsafe_options o = { .card = f->card, .timeout_ms = 200, .reset = "/bin/true" };
	assert_int_equal(iotsafe_open(&o, &card, NULL, 0), IOTSAFE_OK);
	assert_int_equal(iotsafe_reset(card), IOTSAFE_OK);
	assert_int_equal(atomic_load(&f->resets), 0);
	iotsafe_close(card);
	for (size_t i = 0; i < ARRAY_LEN(programs); i++) {
		atomic_store(&f->hang, true);
		o.reset = programs[i];
		assert_int_not_equal(iotsafe_open(&o, &card, error, sizeof(error)), IOTSAFE_OK);
		assert_non_null(strstr(error, programs[i]));
	}
	fake_free(f);
}

static double seconds(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void silence_ends_in_time(void **state)
{
	(void)state;
	for (int modem = 0; modem < 2; modem++) {
		struct fake *f = fake_new(modem == 1);
		uint8_t digest[32] = { 0 }, sig[64];
		fake_start(f);
		struct iotsafe *card = open_card(f, 200);
		atomic_store(&f->mute, true);
		double t = seconds();
		assert_int_equal(iotsafe_sign(card, 1, digest, sig), IOTSAFE_ETIMEOUT);
		assert_true(seconds() - t < 1.5);
		atomic_store(&f->mute, false);
		assert_int_equal(iotsafe_sign(card, 1, digest, sig), IOTSAFE_OK);
		iotsafe_close(card);
		fake_free(f);
	}
}

/* Never silent for long, and still not done: forty exchanges of 60 ms against a limit of 1.8 s. */
static void a_slow_card_does_not_hold_for_ever(void **state)
{
	struct fake *f = fake_new(false);
	uint8_t buf[40 * 127];

	(void)state;
	fake_start(f);
	struct iotsafe *card = open_card(f, 150);
	atomic_store(&f->slow_ms, 60);
	double t = seconds();
	assert_int_equal(iotsafe_random(card, buf, sizeof(buf)), IOTSAFE_ETIMEOUT);
	assert_true(seconds() - t < 3);
	iotsafe_close(card);
	fake_free(f);
}

static void a_card_that_vanishes_is_an_error(void **state)
{
	(void)state;
	for (int modem = 0; modem < 2; modem++) {
		struct fake *f = fake_new(modem == 1);
		uint8_t digest[32] = { 0 }, sig[64];
		fake_start(f);
		struct iotsafe *card = open_card(f, 500);
		atomic_store(&f->die_at_sign, modem == 1 ? 1 : 2);
		if (modem == 0) /* a socket may be opened again: the second one dies too */
			assert_int_equal(iotsafe_sign(card, 1, digest, sig), IOTSAFE_OK);
		double t = seconds();
		enum iotsafe_error e = iotsafe_sign(card, 1, digest, sig);
		if (modem == 1)
			assert_true(e == IOTSAFE_ENOCARD || e == IOTSAFE_ETIMEOUT);
		assert_true(seconds() - t < 2);
		iotsafe_close(card);
		fake_free(f);
	}
}

static void nonsense_is_refused(void **state)
{
	(void)state;
	for (int modem = 0; modem < 2; modem++) {
		struct fake *f = fake_new(modem == 1);
		uint8_t digest[32] = { 0 }, sig[64];
		fake_start(f);
		struct iotsafe *card = open_card(f, 500);
		atomic_store(&f->bad_answer, true);
		assert_int_equal(iotsafe_sign(card, 1, digest, sig), IOTSAFE_EPROTO);
		atomic_store(&f->bad_answer, false);
		assert_int_equal(iotsafe_sign(card, 1, digest, sig), IOTSAFE_OK);
		iotsafe_close(card);
		fake_free(f);
	}
}

/* Four processes on one modem, each with its own channel: nobody reads another's answer. One more
 * than there are channels, so the last one shares the basic channel. */
static void processes_share_a_modem(void **state)
{
	struct fake *f = fake_new(true);
	pid_t pids[4];

	(void)state;
	fake_start(f);
	for (size_t p = 0; p < ARRAY_LEN(pids); p++) {
		pids[p] = fork();
		assert_true(pids[p] >= 0);
		if (pids[p] > 0)
			continue;
		struct iotsafe_options o = { .card = f->card };
		struct iotsafe *card = NULL;
		uint8_t buf[1400];
		size_t len = 0;
		if (iotsafe_open(&o, &card, NULL, 0) != IOTSAFE_OK)
			_exit(1);
		for (int i = 0; i < 20; i++) {
			uint8_t id = p % 2 == 0 ? 2 : 3;
			size_t want = id == 2 ? sizeof(long_file) : 255;
			if (iotsafe_read_file(card, id, buf, sizeof(buf), &len) != IOTSAFE_OK ||
				len != want || memcmp(buf, long_file, len) != 0)
				_exit(2);
		}
		iotsafe_close(card);
		_exit(0);
	}
	for (size_t p = 0; p < ARRAY_LEN(pids); p++) {
		int status = -1;
		assert_int_equal(waitpid(pids[p], &status, 0), pids[p]);
		assert_int_equal(status, 0);
	}
	fake_free(f);
}

static void wrong_names_are_refused(void **state)
{
	static const char *const names[] = { "", "tty", "file:/dev/null", "tty:/dev/null",
		"tty:/nonexistent", "socket:/nonexistent" };
	struct iotsafe *card = NULL;
	char error[IOTSAFE_ERROR_MAX];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		struct iotsafe_options o = { .card = names[i] };
		error[0] = '\0';
		assert_int_not_equal(iotsafe_open(&o, &card, error, sizeof(error)), IOTSAFE_OK);
		assert_true(strlen(error) > 0);
	}
	assert_null(card);
	assert_int_equal(iotsafe_container(1, 2), 0x02);
	assert_int_equal(iotsafe_container(2, 0xd), 0x2d);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_habit_of_cards_and_modems),
		cmocka_unit_test(a_blocked_key_is_told_apart),
		cmocka_unit_test(a_reset_is_survived),
		cmocka_unit_test(the_eid_is_asked_where_it_is),
		cmocka_unit_test(a_hung_modem_is_reset),
		cmocka_unit_test(a_program_resets_the_modem),
		cmocka_unit_test(silence_ends_in_time),
		cmocka_unit_test(a_slow_card_does_not_hold_for_ever),
		cmocka_unit_test(a_card_that_vanishes_is_an_error),
		cmocka_unit_test(nonsense_is_refused),
		cmocka_unit_test(processes_share_a_modem),
		cmocka_unit_test(wrong_names_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
