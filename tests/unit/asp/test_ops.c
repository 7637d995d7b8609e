/* SPDX-License-Identifier: Apache-2.0 */
#include "asp/internal.h"
#include "../unit.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define ZONE "iotregistry.example"
#define NAME "1.8912230200031010008f." ZONE

/* A context whose resolver nobody listens at: what needs no answer can be seen without one. */
static struct attest *make(void)
{
	static const char ds[] =
		ZONE ". IN DS 1 13 2 "
		     "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"
		     "\n";
	const char *pin = "d4Ilb8GiSQX2txfOJdOqxuYcwD0O41BJ/ALRsSgBrB4=";
	char path[] = "/tmp/attest-test-XXXXXX";
	int fd = mkstemp(path);
	struct attest_options o = { .zone = ZONE,
		.anchor_file = path,
		.resolver_addr = "127.0.0.1",
		.resolver_port = 1,
		.pins = &pin,
		.n_pins = 1,
		.lookup_timeout_ms = 300 };
	struct attest *a = NULL;
	char error[ATTEST_TEXT_MAX];

	assert_true(fd >= 0 && write(fd, ds, sizeof(ds) - 1) == (ssize_t)sizeof(ds) - 1);
	close(fd);
	if (attest_new(&o, &a, error, sizeof(error)) != ATTEST_SUCCESS)
		fail_msg("%s", error);
	unlink(path);
	return a;
}

struct seen {
	unsigned n;
	enum attest_reason reason;
	struct attest_op *cancel; /* by the first */
};

static void ended(struct attest_op *op, const struct attest_result *r, void *user)
{
	struct seen *s = user;

	(void)op;
	s->n++;
	s->reason = r->reason;
	attest_cancel(s->cancel);
	s->cancel = NULL;
}

static void test_never_from_start(void **state)
{
	struct attest *a = make();
	struct pollfd fd = { .fd = attest_fd(a), .events = POLLIN };
	struct seen s = { 0 };

	(void)state;
	assert_int_equal(0, attest_dispatch(a));
	assert_int_equal(ATTEST_SUCCESS, attest_check_start(a, NULL, 0, NULL, ended, &s, NULL));
	assert_int_equal(0, s.n);
	assert_int_equal(1, poll(&fd, 1, 5000));
	assert_int_equal(1, attest_dispatch(a));
	assert_int_equal(1, s.n);
	assert_int_equal(ATTEST_UNAUTHENTICATED, s.reason);
	assert_int_equal(0, poll(&fd, 1, 0));
	attest_free(a);
}

/* Before it ended, after it ended, and by another of the same round. */
static void test_cancel(void **state)
{
	struct attest *a = make();
	struct attest_op *op = NULL;
	struct seen s = { 0 };

	(void)state;
	assert_int_equal(ATTEST_SUCCESS, attest_check_start(a, NULL, 0, NULL, ended, &s, &op));
	attest_cancel(op);
	attest_cancel(NULL);
	assert_int_equal(0, attest_dispatch(a));
	assert_int_equal(ATTEST_SUCCESS, attest_check_start(a, NULL, 0, NULL, ended, &s, NULL));
	assert_int_equal(
		ATTEST_SUCCESS, attest_check_start(a, NULL, 0, NULL, ended, &s, &s.cancel));
	assert_int_equal(1, attest_dispatch(a));
	assert_int_equal(1, s.n);
	/* One that nobody dispatches any more is dropped with the context. */
	assert_int_equal(ATTEST_SUCCESS, attest_check_start(a, NULL, 0, NULL, ended, &s, NULL));
	attest_free(a);
	assert_int_equal(1, s.n);
}

static void test_nobody_listens(void **state)
{
	struct attest *a = make();
	struct attest_result r;
	struct attest_metrics m;

	(void)state;
	assert_int_equal(ATTEST_CANNOT_TELL, attest_verify_name(a, NAME, &r));
	assert_non_null(strstr(r.text, "resolver unreachable"));
	assert_string_equal(NAME " CERT", r.asked);
	assert_int_equal(ATTEST_UNKNOWN, attest_verify_name(a, "1.2.other.example", &r));
	attest_metrics(a, &m);
	assert_int_equal(1, m.lookups);
	assert_int_equal(1, m.unreachable);
	attest_free(a);
}

static void test_metrics_are_cut(void **state)
{
	struct attest *a = make();
	char whole[8192], part[100];
	size_t len = attest_metrics_text(a, whole, sizeof(whole));

	(void)state;
	assert_int_equal(strlen(whole), len);
	assert_int_equal(len, attest_metrics_text(a, part, sizeof(part)));
	assert_int_equal(sizeof(part) - 1, strlen(part));
	assert_memory_equal(whole, part, sizeof(part) - 1);
	assert_int_equal(len, attest_metrics_text(a, NULL, 0));
	attest_free(a);
}

static void test_dance_names(void **state)
{
	static const struct {
		enum rc rc;
		const char *sent, *asked;
	} rows[] = {
		{ RC_OK, NAME, NAME },
		{ RC_OK, "1.8912230200031010008F.IOTregistry.example", NAME },
		{ RC_OK, "8912230200031010008f._device." ZONE,
			"8912230200031010008f._device." ZONE },
		{ RC_OK, "8912230200031010008F._Device." ZONE,
			"8912230200031010008f._device." ZONE },
		{ RC_DENIED, "", NULL },
		{ RC_DENIED, NAME ".", NULL }, /* draft: no trailing dot */
		{ RC_DENIED, "2.8912230200031010008f." ZONE, NULL },
		{ RC_DENIED, "8912230200031010016f._device." ZONE, NULL },
		{ RC_DENIED, "x." NAME, NULL },
		{ RC_DENIED, "*._device." ZONE, NULL },
		{ RC_DENIED, "8912230200031010008f._device.other.example", NULL },
	};
	const struct asp_cert cert = { .name = NAME };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		char out[ASP_NAME_TEXT] = "";

		assert_rc(rows[i].rc, asp__dance_name(rows[i].sent, &cert, ZONE, out, NULL));
		assert_string_equal(rows[i].asked ? rows[i].asked : "", out);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_never_from_start),
		cmocka_unit_test(test_cancel), cmocka_unit_test(test_nobody_listens),
		cmocka_unit_test(test_metrics_are_cut), cmocka_unit_test(test_dance_names) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
