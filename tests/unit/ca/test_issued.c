/* SPDX-License-Identifier: Apache-2.0 */
#include "base/file.h"
#include "ca/issued.h"
#include "fixture.h"

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

struct log_test {
	char folder[64], path[96];
};

static int setup(void **state)
{
	struct log_test *t = calloc(1, sizeof(*t));

	snprintf(t->folder, sizeof(t->folder), "/tmp/test-issued-XXXXXX");
	assert_non_null(mkdtemp(t->folder));
	snprintf(t->path, sizeof(t->path), "%s/issued.log", t->folder);
	*state = t;
	return 0;
}

static int teardown(void **state)
{
	struct log_test *t = *state;

	(void)unlink(t->path);
	(void)rmdir(t->folder);
	free(t);
	return 0;
}

static struct ca_issued *open_log(const struct log_test *t)
{
	struct ca_issued *log = NULL;
	struct diag d = { 0 };

	if (ca_issued_open(&log, t->path, &d) != RC_OK)
		fail_msg("%s", d.text);
	return log;
}

static struct ca_issued_entry entry(unsigned n)
{
	struct ca_issued_entry e = { .profile = CA_DEVICE, .issued = 1, .not_after = 2 };

	for (size_t i = 0; i < 32; i++)
		e.spki_sha256[i] = (uint8_t)(n * 2654435761u >> (i % 4 * 8)) ^ (uint8_t)i;
	memset(e.cert_sha256, 7, sizeof(e.cert_sha256));
	memset(e.b_sha256, (int)(n % 251) + 1, sizeof(e.b_sha256));
	snprintf(e.name, sizeof(e.name), "1.%u.iot.example", n);
	return e;
}

static void append(struct ca_issued *log, unsigned from, unsigned count)
{
	struct ca_issued_entry *e = calloc(count, sizeof(*e));
	const struct ca_issued_entry **list = calloc(count, sizeof(*list));
	struct diag d = { 0 };

	for (unsigned i = 0; i < count; i++) {
		e[i] = entry(from + i);
		list[i] = &e[i];
	}
	assert_rc(RC_OK, ca_issued_append(log, list, count, &d));
	free(list);
	free(e);
}

static void remembers_over_restarts(void **state)
{
	struct ca_issued *log = open_log(*state);
	struct diag d = { 0 };
	struct stat st;

	append(log, 0, 100);
	append(log, 100, 3);
	assert_int_equal(ca_issued_count(log), 103);
	ca_issued_close(log);
	struct log_test *t = *state;
	assert_int_equal(0, stat(t->path, &st));
	assert_int_equal(st.st_mode & 07777, 0600);
	log = open_log(*state);
	assert_int_equal(ca_issued_count(log), 103);
	for (unsigned i = 0; i < 103; i++) {
		struct ca_issued_entry e = entry(i);
		assert_rc(RC_OK, ca_issued_bind(log, CA_DEVICE, e.spki_sha256, e.name, &d));
		assert_rc(RC_OK, ca_issued_bind(log, CA_DEVICE_DEVKIT, e.spki_sha256, e.name, &d));
		assert_rc(RC_CONFLICT,
			ca_issued_bind(log, CA_DEVICE, e.spki_sha256, "2.0.iot.example", &d));
		/* A party of the same text is another name. */
		assert_rc(RC_CONFLICT, ca_issued_bind(log, CA_PARTY, e.spki_sha256, e.name, &d));
		assert_true(ca_issued_has_b(log, e.b_sha256, e.name));
		assert_false(ca_issued_has_b(log, e.b_sha256, "2.0.iot.example"));
		assert_false(ca_issued_has_b(log, e.spki_sha256, e.name));
	}
	ca_issued_close(log);
}

static void one_process_at_a_time(void **state)
{
	struct ca_issued *log = open_log(*state), *second = NULL;
	struct log_test *t = *state;
	struct diag d;

	assert_rc(RC_BUSY, ca_issued_open(&second, t->path, &d));
	ca_issued_close(log);
	log = open_log(*state);
	ca_issued_close(log);
}

/* Whatever a crash leaves of the last record, all before it stands and the log goes on. */
static void torn_tails_are_dropped(void **state)
{
	struct log_test *t = *state;
	struct ca_issued *log = open_log(t);
	struct stat one, two;

	append(log, 0, 5);
	assert_int_equal(0, stat(t->path, &one));
	append(log, 5, 1);
	assert_int_equal(0, stat(t->path, &two));
	ca_issued_close(log);
	for (off_t cut = two.st_size - 1; cut >= one.st_size; cut -= 3) {
		assert_int_equal(0, truncate(t->path, cut));
		log = open_log(t);
		assert_int_equal(ca_issued_count(log), 5);
		append(log, 5, 1);
		ca_issued_close(log);
		assert_int_equal(0, truncate(t->path, one.st_size));
		assert_int_equal(0, truncate(t->path, one.st_size + 100)); /* zeros */
		log = open_log(t);
		assert_int_equal(ca_issued_count(log), 5);
		append(log, 5, 1);
		ca_issued_close(log);
		log = open_log(t);
		assert_int_equal(ca_issued_count(log), 6);
		ca_issued_close(log);
	}
	/* Cut in the file's own head: as if it had never been made. */
	assert_int_equal(0, truncate(t->path, 9));
	log = open_log(t);
	assert_int_equal(ca_issued_count(log), 0);
	ca_issued_close(log);
}

static void a_changed_record_is_found(void **state)
{
	struct log_test *t = *state;
	struct ca_issued *log = open_log(t);
	struct diag d = { 0 };
	struct stat st;

	struct stat before;
	append(log, 0, 3);
	assert_int_equal(0, stat(t->path, &before));
	append(log, 3, 1);
	ca_issued_close(log);
	assert_int_equal(0, stat(t->path, &st));
	int fd = open(t->path, O_RDWR);
	for (off_t at = 0; at < st.st_size; at++) {
		uint8_t b;
		if (at == before.st_size + 1) /* the last record's length: like a torn tail */
			continue;
		assert_int_equal(1, pread(fd, &b, 1, at));
		b ^= 0x01;
		assert_int_equal(1, pwrite(fd, &b, 1, at));
		if (ca_issued_open(&log, t->path, &d) != RC_CONFLICT)
			fail_msg("offset %ld", (long)at);
		b ^= 0x01;
		assert_int_equal(1, pwrite(fd, &b, 1, at));
	}
	close(fd);
	log = open_log(t);
	ca_issued_close(log);
}

/* A full disk: the batch is refused, and so is all after it until somebody reads the file again. */
static void a_failed_append_ends_the_log(void **state)
{
	struct log_test *t = *state;
	struct ca_issued *log = open_log(t);
	struct ca_issued_entry e = entry(9);
	const struct ca_issued_entry *list[] = { &e };
	struct rlimit old, small;
	struct diag d = { 0 };
	struct stat st;

	append(log, 0, 5);
	assert_int_equal(0, stat(t->path, &st));
	signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(0, getrlimit(RLIMIT_FSIZE, &old));
	small = old;
	small.rlim_cur = (rlim_t)st.st_size + 20;
	assert_int_equal(0, setrlimit(RLIMIT_FSIZE, &small));
	assert_rc(RC_IO, ca_issued_append(log, list, 1, &d));
	assert_int_equal(0, setrlimit(RLIMIT_FSIZE, &old));
	assert_rc(RC_STATE, ca_issued_append(log, list, 1, &d));
	assert_int_equal(ca_issued_count(log), 5);
	ca_issued_close(log);
	log = open_log(t);
	assert_int_equal(ca_issued_count(log), 5);
	assert_int_equal(ca_issued_dropped(log), 20);
	append(log, 5, 1);
	ca_issued_close(log);
	log = open_log(t);
	assert_int_equal(ca_issued_count(log), 6);
	assert_int_equal(ca_issued_dropped(log), 0);
	ca_issued_close(log);
}

static void the_table_grows(void **state)
{
	struct ca_issued *log = open_log(*state);
	struct diag d = { 0 };

	for (unsigned i = 0; i < 20000; i++) {
		struct ca_issued_entry e = entry(i);
		assert_rc(RC_OK, ca_issued_bind(log, CA_DEVICE, e.spki_sha256, e.name, &d));
	}
	assert_int_equal(ca_issued_keys(log), 20000);
	for (unsigned i = 0; i < 20000; i++) {
		struct ca_issued_entry e = entry(i);
		assert_rc(RC_OK, ca_issued_bind(log, CA_DEVICE, e.spki_sha256, e.name, &d));
		assert_rc(RC_CONFLICT, ca_issued_bind(log, CA_DEVICE, e.spki_sha256, "x", &d));
	}
	ca_issued_close(log);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(remembers_over_restarts, setup, teardown),
		cmocka_unit_test_setup_teardown(one_process_at_a_time, setup, teardown),
		cmocka_unit_test_setup_teardown(torn_tails_are_dropped, setup, teardown),
		cmocka_unit_test_setup_teardown(a_changed_record_is_found, setup, teardown),
		cmocka_unit_test_setup_teardown(a_failed_append_ends_the_log, setup, teardown),
		cmocka_unit_test_setup_teardown(the_table_grows, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
