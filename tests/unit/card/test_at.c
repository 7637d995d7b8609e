/* SPDX-License-Identifier: Apache-2.0 */
#include "card/at.h"
#include "fixture.h"

static char said[8192];
static uint64_t now_ms;

static uint64_t at_ms(const struct clock *clock)
{
	(void)clock;
	return now_ms;
}

static int64_t at_unix(const struct clock *clock)
{
	(void)clock;
	return 1700000000 + (int64_t)(now_ms / 1000);
}

static const struct clock at_clock = { .monotonic_ms = at_ms, .unix_s = at_unix };
static const struct at_manners plain = { .clock = &at_clock };

static void listen_to(void *user, const char *text, size_t len)
{
	size_t at = strlen(said);

	(void)user;
	assert_true(at + len < sizeof(said));
	memcpy(said + at, text, len);
	said[at + len] = '\0';
}

static void lines_are_taken_apart(void **state)
{
	static const struct {
		const char *line, *name, *args;
		enum at_form form;
	} rows[] = {
		{ "AT", "", "", AT_EXECUTE },
		{ " at", "", "", AT_EXECUTE },
		{ "ATE0", "E", "0", AT_EXECUTE },
		{ "AT&F", "&F", "", AT_EXECUTE },
		{ "AT+CIMI", "CIMI", "", AT_EXECUTE },
		{ "at+csim=10,\"00\"", "CSIM", "10,\"00\"", AT_SET },
		{ "AT+CSIM=?", "CSIM", "", AT_TEST },
		{ "AT+CPIN?", "CPIN", "", AT_READ },
		{ "AT+X=", "X", "", AT_SET },
	};
	static const char *const bad[] = { "", "A", "X", "AT+", "AT+=1", "AT+CSIM!", "AT+CPIN?x",
		"ATE0;I", "AT=", "AT1", "AT+ABCDEFGHIJKLMNOP", "AT +CSIM" };
	struct at_command c;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		assert_rc(RC_OK, at_parse(rows[i].line, &c));
		assert_string_equal(c.name, rows[i].name);
		assert_string_equal(c.args, rows[i].args);
		assert_int_equal(c.form, rows[i].form);
	}
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_rc(RC_MALFORMED, at_parse(bad[i], &c));
}

static void answers_have_their_form(void **state)
{
	static const struct {
		const char *line, *answer;
	} rows[] = {
		{ "AT\r", "\r\nOK\r\n" },
		{ "AT\r\n", "\r\nOK\r\n" },
		{ "\r\n\r\n", "" },
		{ "hello\rERROR\r\n+CSIM: 4,\"9000\"\r\n", "" },
		{ "AT+CSIM=10,\"00A4000C00\"\r", "\r\n+CSIM: 4,\"9000\"\r\n\r\nOK\r\n" },
		{ "AT+CSIM= 10,\"0070000001\"\r", "\r\n+CSIM: 6,\"019000\"\r\n\r\nOK\r\n" },
		{ "AT+CSIM=10, \"0070800100\"\r", "\r\n+CSIM: 4,\"9000\"\r\n\r\nOK\r\n" },
		{ "AT+CSIM=10,0070000001\r", "\r\n+CSIM: 6,\"019000\"\r\n\r\nOK\r\n" },
		{ "AT+CSIM=9,\"0070000001\"\r", "\r\nERROR\r\n" },
		{ "AT+CSIM=10,\"0070000001\r", "\r\nERROR\r\n" },
		{ "AT+CSIM=10,\"0070000001\"x\r", "\r\nERROR\r\n" },
		{ "AT+CSIM=99999,\"00\"\r", "\r\nERROR\r\n" },
		{ "AT+CSIM=,\"00\"\r", "\r\nERROR\r\n" },
		{ "AT+CSIM=0,\"\"\r", "\r\n+CSIM: 4,\"6700\"\r\n\r\nOK\r\n" },
		{ "AT+CCHO=\"A0000002480400\"\r", "\r\n+CCHO: 2\r\n\r\nOK\r\n" },
		{ "AT+CGLA=2,10,\"0084000001\"\r", NULL },
		{ "AT+CGLA=0,10,\"0084000001\"\r", "\r\nERROR\r\n" },
		{ "AT+CGLA=20,10,\"0084000001\"\r", "\r\nERROR\r\n" },
		{ "AT+CGLA=9,10,\"0084000001\"\r", "\r\n+CGLA: 4,\"6881\"\r\n\r\nOK\r\n" },
		{ "AT+CCHC=2\r", "\r\nOK\r\n" },
		{ "AT+CCHC=2\r", "\r\nERROR\r\n" },
		{ "AT+CCID\r", "\r\n+CCID: 8912230200031010008F\r\n\r\nOK\r\n" },
		{ "AT+CIMI\r", "\r\n001010031010008\r\n\r\nOK\r\n" },
		{ "AT+CPIN?\r", "\r\n+CPIN: READY\r\n\r\nOK\r\n" },
		{ "AT+NO\r", "\r\nERROR\r\n" },
		{ "AT+CMEE=1\rAT+NO\r", "\r\nOK\r\n\r\n+CME ERROR: 4\r\n" },
		{ "ATXY\b\b\r", "\r\nOK\r\n" },
		{ "ATE1\rAT\r", "\r\nOK\r\nAT\r\r\nOK\r\n" },
	};
	struct at_modem m;
	struct fixture f;

	(void)state;
	fixture_open(&f, "devkit", NULL);
	assert_rc(RC_OK, at_init(&m, f.session, &plain, listen_to, NULL));
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		said[0] = '\0';
		at_input(&m, (const uint8_t *)rows[i].line, strlen(rows[i].line));
		if (rows[i].answer)
			assert_string_equal(said, rows[i].answer);
		else
			assert_int_equal(strncmp(said, "\r\n+CGLA: 6,\"", 12), 0);
	}
	fixture_close(&f);
}

static void lines_are_bounded(void **state)
{
	struct at_modem m;
	struct fixture f;

	(void)state;
	fixture_open(&f, "devkit", NULL);
	assert_rc(RC_OK, at_init(&m, f.session, &plain, listen_to, NULL));
	said[0] = '\0';
	for (size_t i = 0; i < 100000; i++)
		at_input(&m, (const uint8_t *)(i == 1 ? "T" : "A"), 1);
	assert_string_equal(said, "");
	at_input(&m, (const uint8_t *)"\rAT\r", 4);
	assert_string_equal(said, "\r\nERROR\r\n\r\nOK\r\n");
	said[0] = '\0';
	at_input(&m, (const uint8_t *)"AT\0+CIMI\r", 9);
	assert_string_equal(said, "\r\nERROR\r\n");
	fixture_close(&f);
}

static const char *ask(struct at_modem *m, const char *line)
{
	said[0] = '\0';
	at_input(m, (const uint8_t *)line, strlen(line));
	return said;
}

static void models_differ(void **state)
{
	struct at_manners manners = { .model = "bg96", .clock = &at_clock };
	struct at_modem m;
	struct fixture f;

	(void)state;
	fixture_open(&f, "devkit", NULL);
	assert_rc(RC_OK, at_init(&m, f.session, &manners, listen_to, NULL));
	assert_string_equal(ask(&m, "AT+CGMI\r"), "\r\nQuectel\r\n\r\nOK\r\n");
	assert_string_equal(ask(&m, "AT+CGMM\r"), "\r\nBG96\r\n\r\nOK\r\n");
	assert_string_equal(
		ask(&m, "ATI\r"), "\r\nQuectel\r\nBG96\r\nRevision: BG96MAR02A07M1G\r\n\r\nOK\r\n");
	assert_string_equal(
		ask(&m, "AT+QCCID\r"), "\r\n+QCCID: 8912230200031010008F\r\n\r\nOK\r\n");
	manners = (struct at_manners){ .model = "cinterion", .echo = true, .clock = &at_clock };
	assert_rc(RC_OK, at_init(&m, f.session, &manners, listen_to, NULL));
	assert_string_equal(ask(&m, "AT\r"), "AT\r\r\nOK\r\n");
	assert_string_equal(ask(&m, "ATE0\r"), "ATE0\r\r\nOK\r\n");
	assert_string_equal(ask(&m, "AT+CGMM\r"), "\r\nPLS62-W\r\n\r\nOK\r\n");
	assert_string_equal(ask(&m, "AT^SCID\r"), "\r\n^SCID: 8912230200031010008F\r\n\r\nOK\r\n");
	assert_string_equal(ask(&m, "AT^\r"), "\r\nERROR\r\n");
	assert_string_equal(ask(&m, "AT+CFUN=1,1\r"), "\r\nOK\r\n\r\n^SYSSTART\r\n");
	assert_string_equal(ask(&m, "AT\r"), "AT\r\r\nOK\r\n");
	manners.model = "other";
	assert_rc(RC_NOT_FOUND, at_init(&m, f.session, &manners, listen_to, NULL));
	fixture_close(&f);
}

static void lines_come_in_between(void **state)
{
	const struct at_manners manners = { .model = "bg96", .urc_every = 2, .clock = &at_clock };
	struct at_modem m;
	struct fixture f;

	(void)state;
	fixture_open(&f, "devkit", NULL);
	assert_rc(RC_OK, at_init(&m, f.session, &manners, listen_to, NULL));
	assert_string_equal(ask(&m, "AT\r"), "\r\nOK\r\n");
	assert_string_equal(ask(&m, "AT+CSIM=10,\"0070000001\"\r"),
		"\r\n+QIND: \"csq\",20,99\r\n\r\n+CSIM: 6,\"019000\"\r\n\r\nOK\r\n");
	assert_string_equal(ask(&m, "AT\r"), "\r\nOK\r\n");
	fixture_close(&f);
}

static void the_clock_is_read_and_set(void **state)
{
	static const char *const bad[] = { "AT+CCLK=\r", "AT+CCLK=\"26/13/01,00:00:00+00\"\r",
		"AT+CCLK=\"26/1/01,00:00:00\"\r", "AT+CCLK=\"26/01/01,25:00:00\"\r",
		"AT+CCLK=\"26/01/01,23:00:0\r" };
	struct at_modem m;
	struct fixture f;

	(void)state;
	fixture_open(&f, "devkit", NULL);
	now_ms = 0;
	assert_rc(RC_OK, at_init(&m, f.session, &plain, listen_to, NULL));
	assert_string_equal(
		ask(&m, "AT+CCLK?\r"), "\r\n+CCLK: \"23/11/14,22:13:20+00\"\r\n\r\nOK\r\n");
	assert_string_equal(ask(&m, "AT+CCLK=\"26/02/03,04:05:06+00\"\r"), "\r\nOK\r\n");
	now_ms = 2000;
	assert_string_equal(
		ask(&m, "AT+CCLK?\r"), "\r\n+CCLK: \"26/02/03,04:05:08+00\"\r\n\r\nOK\r\n");
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_string_equal(ask(&m, bad[i]), "\r\nERROR\r\n");
	fixture_close(&f);
}

static void it_hangs_on_demand(void **state)
{
	struct at_modem m;
	struct fixture f;

	(void)state;
	fixture_open(&f, "devkit", NULL);
	now_ms = 0;
	assert_rc(RC_OK, at_init(&m, f.session, &plain, listen_to, NULL));
	assert_non_null(strstr(ask(&m, "AT+CSIM=10,\"0070000001\"\r"), "019000"));
	/* the card only */
	assert_string_equal(ask(&m, "AT+XHANG=1\r"), "\r\nOK\r\n");
	assert_string_equal(ask(&m, "AT+CSIM=10,\"0070000001\"\r"), "");
	assert_string_equal(ask(&m, "AT+CCID\r"), "");
	assert_string_equal(ask(&m, "AT\r"), "\r\nOK\r\n");
	assert_non_null(strstr(ask(&m, "AT+CFUN=1,1\r"), "\r\nOK\r\n"));
	assert_non_null(strstr(ask(&m, "AT+CSIM=10,\"0070000001\"\r"), "019000"));
	/* everything, for a while; then the channels are closed */
	assert_string_equal(ask(&m, "AT+XHANG=0,5\r"), "");
	now_ms = 4999;
	assert_string_equal(ask(&m, "AT\rAT+CFUN=1,1\r"), "");
	now_ms = 5000;
	assert_string_equal(ask(&m, "AT\r"), "\r\n+CPIN: READY\r\n\r\nOK\r\n");
	assert_non_null(strstr(ask(&m, "AT+CSIM=10,\"0070000001\"\r"), "019000"));
	assert_string_equal(ask(&m, "AT+XHANG\r"), "\r\nERROR\r\n");
	assert_string_equal(ask(&m, "AT+XHANG=0\r"), "\r\nERROR\r\n");
	assert_string_equal(ask(&m, "AT+XHANG=2\r"), "\r\nERROR\r\n");
	fixture_close(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lines_are_taken_apart),
		cmocka_unit_test(answers_have_their_form),
		cmocka_unit_test(lines_are_bounded),
		cmocka_unit_test(models_differ),
		cmocka_unit_test(lines_come_in_between),
		cmocka_unit_test(the_clock_is_read_and_set),
		cmocka_unit_test(it_hangs_on_demand),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
