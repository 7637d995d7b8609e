/* SPDX-License-Identifier: Apache-2.0 */
#include "card/session.h"
#include "fixture.h"

#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define ISDR   "00A4040010 A0000005591010FFFFFFFF8900000100"
#define APPLET "00A4040007A0000005590010"
#define FIRST  "982132200030010100F8"
#define SECOND "988812023000000082F0"

static int64_t unix_now(const struct clock *clock)
{
	return (int64_t)(fixture_ms(clock) / 1000);
}

struct world {
	struct fixture f; /* its card is not used */
	struct euicc *euicc;
	char path[64];
	unsigned told;
};

static void on_event(struct euicc *euicc, const struct euicc_event *event, void *user)
{
	struct world *w = user;

	assert_true(euicc == w->euicc && event->sequence > 0);
	w->told++;
}

static void add(struct world *w, const char *iccid)
{
	struct card_opts opts = { .keys = { .kvn = 1, .kic = fixture_key, .kid = fixture_key },
		.clock = &w->f.clock };
	struct card *card = NULL;
	bool blank;

	assert_rc(RC_OK, hex_read(iccid, opts.iccid, IDENT_ICCID_LEN));
	if (euicc_was_deleted(w->euicc, opts.iccid))
		return;
	assert_rc(RC_OK, card_new(&opts, &card, &blank, NULL));
	assert_rc(RC_OK, card__key_generate(&card->state, 0x01, ALG_P256));
	assert_rc(RC_OK, euicc_add(w->euicc, &card));
}

static void start(struct world *w)
{
	struct euicc_opts opts = { .has_eid = true,
		.state_path = w->path,
		.clock = &w->f.clock,
		.on_event = on_event,
		.user = w };

	assert_rc(RC_OK, ident_eid_read("89049032123451234512345678901235", opts.eid));
	assert_rc(RC_OK, euicc_new(&opts, &w->euicc, NULL));
	add(w, FIRST);
	add(w, SECOND);
	card_session_free(w->f.session);
	assert_rc(RC_OK, euicc_session_new(w->euicc, &w->f.session));
}

static void open_world(struct world *w)
{
	static const char pattern[] = "/tmp/test_euicc.XXXXXX";
	int fd;

	memset(w, 0, sizeof(*w));
	fixture_open(&w->f, "strict", NULL);
	w->f.clock.unix_s = unix_now;
	memcpy(w->path, pattern, sizeof(pattern));
	fd = mkstemp(w->path);
	assert_true(fd >= 0);
	close(fd);
	unlink(w->path);
	start(w);
}

static void restart(struct world *w)
{
	card_session_free(w->f.session);
	w->f.session = NULL;
	euicc_free(w->euicc);
	start(w);
}

static void close_world(struct world *w)
{
	card_session_free(w->f.session);
	w->f.session = NULL;
	euicc_free(w->euicc);
	card_free(w->f.card);
	unlink(w->path);
}

/* What the reader's EF_ICCID says; 6A82 where nothing is enabled. */
static unsigned iccid_is(struct world *w, const char *iccid)
{
	uint8_t want[IDENT_ICCID_LEN];
	unsigned sw = apdu(&w->f, "00A40000022FE2");

	if (sw != 0x9000)
		return sw;
	assert_int_equal(apdu(&w->f, "00B000000A"), 0x9000);
	assert_rc(RC_OK, hex_read(iccid, want, sizeof(want)));
	assert_memory_equal(w->f.out, want, sizeof(want));
	return sw;
}

/* ES10c: BF31 enable, BF32 disable, BF33 delete; the result's code. */
static unsigned es10(struct world *w, const char *tag, const char *iccid)
{
	char cmd[96];

	assert_int_equal(apdu(&w->f, ISDR), 0x9000);
	if (strcmp(tag, "BF33") == 0)
		assert_rc(
			RC_OK, str_format(cmd, sizeof(cmd), "80E291000F BF330C 5A0A%s 00", iccid));
	else
		assert_rc(RC_OK, str_format(cmd, sizeof(cmd),
					 "80E2910014 %s11 A00C5A0A%s 8101FF 00", tag, iccid));
	assert_int_equal(apdu(&w->f, cmd), 0x9000);
	assert_int_equal(w->f.len, 6);
	return w->f.out[5];
}

static void profiles_are_switched(void **state)
{
	struct world w;

	(void)state;
	open_world(&w);
	assert_int_equal(iccid_is(&w, FIRST), 0x9000);
	assert_int_equal(apdu(&w.f, ISDR), 0x9000);
	assert_int_equal(apdu(&w.f, "80E2910006 BF3E03 5C015A 00"), 0x9000);
	assert_memory_equal(w.f.out, "\xbf\x3e\x12\x5a\x10\x89\x04\x90", 8);
	assert_int_equal(apdu(&w.f, "80E2910003 BF2D00 00"), 0x9000);
	assert_memory_equal(w.f.out, "\xbf\x2d\x50\xa0\x4e\xe3\x25\x5a\x0a\x98", 10);
	assert_int_equal(es10(&w, "BF31", FIRST), EUICC_WRONG_STATE);
	assert_int_equal(es10(&w, "BF32", SECOND), EUICC_WRONG_STATE);
	assert_int_equal(es10(&w, "BF31", "98000000000000000000"), EUICC_NOT_FOUND);
	assert_int_equal(w.told, 0);
	/* every channel and operation of the reader is gone with the profile */
	assert_int_equal(apdu(&w.f, "0070000001"), 0x9000);
	assert_int_equal(apdu(&w.f, "01A4040007A0000005590010"), 0x9000);
	assert_int_equal(es10(&w, "BF31", SECOND), EUICC_OK);
	assert_int_equal(w.told, 2);
	assert_int_equal(apdu(&w.f, "0184000008"), 0x6881);
	assert_int_equal(iccid_is(&w, SECOND), 0x9000);
	restart(&w);
	assert_int_equal(iccid_is(&w, SECOND), 0x9000);
	/* nothing enabled: no applet, no ICCID, and the way back is still there */
	assert_int_equal(es10(&w, "BF32", SECOND), EUICC_OK);
	assert_int_equal(apdu(&w.f, APPLET), 0x6a82);
	assert_int_equal(iccid_is(&w, SECOND), 0x6a82);
	assert_null(euicc_enabled(w.euicc));
	restart(&w);
	assert_int_equal(apdu(&w.f, APPLET), 0x6a82);
	assert_int_equal(es10(&w, "BF31", FIRST), EUICC_OK);
	assert_int_equal(apdu(&w.f, APPLET), 0x9000);
	assert_int_equal(apdu(&w.f, "80E2910003 BF2D00"), 0x6985);
	close_world(&w);
}

static void deleted_is_for_ever(void **state)
{
	struct world w;

	(void)state;
	open_world(&w);
	assert_int_equal(es10(&w, "BF33", FIRST), EUICC_WRONG_STATE);
	assert_int_equal(es10(&w, "BF33", SECOND), EUICC_OK);
	assert_null(euicc_profile(w.euicc, 1));
	assert_int_equal(es10(&w, "BF33", SECOND), EUICC_NOT_FOUND);
	restart(&w);
	assert_null(euicc_profile(w.euicc, 1));
	assert_int_equal(es10(&w, "BF31", SECOND), EUICC_NOT_FOUND);
	close_world(&w);
}

static void temporary_networks_end(void **state)
{
	uint8_t first[IDENT_ICCID_LEN], second[IDENT_ICCID_LEN];
	struct world w;

	(void)state;
	open_world(&w);
	assert_rc(RC_OK, hex_read(FIRST, first, sizeof(first)));
	assert_rc(RC_OK, hex_read(SECOND, second, sizeof(second)));
	assert_int_equal(euicc_enable(w.euicc, second, EUICC_TEMPORARY_MAX + 1), EUICC_DISALLOWED);
	assert_int_equal(euicc_enable(w.euicc, second, 60), EUICC_OK);
	assert_int_equal(iccid_is(&w, SECOND), 0x9000);
	assert_int_equal(euicc_delete(w.euicc, first), EUICC_DISALLOWED);
	w.f.now_ms += 59000;
	restart(&w);
	assert_int_equal(iccid_is(&w, SECOND), 0x9000);
	w.f.now_ms += 1000;
	assert_int_equal(iccid_is(&w, FIRST), 0x9000);
	/* sooner, when the temporary one is disabled */
	assert_int_equal(euicc_enable(w.euicc, second, 60), EUICC_OK);
	assert_int_equal(euicc_disable(w.euicc, second), EUICC_OK);
	assert_int_equal(iccid_is(&w, FIRST), 0x9000);
	w.f.now_ms += 100000;
	euicc_tick(w.euicc);
	assert_int_equal(iccid_is(&w, FIRST), 0x9000);
	/* and not at all when it is enabled for good */
	assert_int_equal(euicc_enable(w.euicc, second, 60), EUICC_OK);
	assert_int_equal(euicc_enable(w.euicc, first, 0), EUICC_OK);
	assert_int_equal(euicc_enable(w.euicc, second, 0), EUICC_OK);
	w.f.now_ms += 100000;
	assert_int_equal(iccid_is(&w, SECOND), 0x9000);
	close_world(&w);
}

static void events_wait_for_their_reader(void **state)
{
	uint8_t iccid[2][IDENT_ICCID_LEN];
	struct world w;
	size_t n = 0;

	(void)state;
	open_world(&w);
	assert_rc(RC_OK, hex_read(FIRST, iccid[0], IDENT_ICCID_LEN));
	assert_rc(RC_OK, hex_read(SECOND, iccid[1], IDENT_ICCID_LEN));
	assert_int_equal(euicc_enable(w.euicc, iccid[1], 5), EUICC_OK);
	restart(&w);
	assert_int_equal(euicc_event(w.euicc, 0)->kind, EUICC_DISABLED);
	assert_int_equal(euicc_event(w.euicc, 1)->kind, EUICC_TEMPORARY);
	assert_int_equal(euicc_event(w.euicc, 1)->sequence, 2);
	assert_memory_equal(euicc_event(w.euicc, 1)->iccid, iccid[1], IDENT_ICCID_LEN);
	assert_null(euicc_event(w.euicc, 2));
	assert_rc(RC_OK, euicc_acknowledge(w.euicc, 1, NULL));
	restart(&w);
	assert_int_equal(euicc_event(w.euicc, 0)->kind, EUICC_TEMPORARY);
	for (size_t i = 0; i < 100; i++)
		assert_int_equal(euicc_enable(w.euicc, iccid[i % 2], 0), EUICC_OK);
	while (euicc_event(w.euicc, n))
		n++;
	assert_int_equal(n, EUICC_EVENTS_MAX);
	assert_int_equal(euicc_event(w.euicc, n - 1)->sequence, 202);
	restart(&w);
	assert_rc(RC_OK, euicc_acknowledge(w.euicc, 999, NULL));
	assert_null(euicc_event(w.euicc, 0));
	close_world(&w);
}

/* A switch that cannot be stored did not happen: a folder stands where the state would go. */
static void nothing_half_done(void **state)
{
	uint8_t second[IDENT_ICCID_LEN];
	struct world w;

	(void)state;
	open_world(&w);
	assert_rc(RC_OK, hex_read(SECOND, second, sizeof(second)));
	assert_int_equal(mkdir(w.path, 0700), 0);
	assert_int_equal(euicc_enable(w.euicc, second, 0), EUICC_FAILED);
	assert_int_equal(euicc_delete(w.euicc, second), EUICC_FAILED);
	assert_int_equal(w.told, 0);
	assert_null(euicc_event(w.euicc, 0));
	assert_int_equal(iccid_is(&w, FIRST), 0x9000);
	assert_non_null(euicc_profile(w.euicc, 1));
	assert_int_equal(rmdir(w.path), 0);
	assert_int_equal(euicc_enable(w.euicc, second, 0), EUICC_OK);
	close_world(&w);
}

static void plain_sims_have_none_of_it(void **state)
{
	struct fixture f;

	(void)state;
	fixture_open(&f, "strict", NULL);
	assert_int_equal(apdu(&f, ISDR), 0x6a82);
	fixture_close(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(profiles_are_switched),
		cmocka_unit_test(deleted_is_for_ever),
		cmocka_unit_test(temporary_networks_end),
		cmocka_unit_test(events_wait_for_their_reader),
		cmocka_unit_test(nothing_half_done),
		cmocka_unit_test(plain_sims_have_none_of_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
