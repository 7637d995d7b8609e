/* SPDX-License-Identifier: Apache-2.0 */
#include "asp/gate.h"
#include "../unit.h"

#include <string.h>

#define PEM  "-----BEGIN%20CERTIFICATE-----%0AMAMB%0A%2Fw==%0A-----END%20CERTIFICATE-----%0A"
#define GOOD "GET /check?x=1 HTTP/1.0\r\nHost: x\r\nX-Client-Cert: " PEM "\r\n\r\n"

static void test_rows(void **state)
{
	static const struct {
		enum rc rc;
		size_t der_len;
		const char *text;
	} rows[] = {
		{ RC_OK, 4, GOOD },
		{ RC_OK, 0, "GET /check HTTP/1.1\r\n\r\n" },
		{ RC_OK, 0, "GET /check HTTP/1.1\r\nX-Client-Cert:\r\n\r\n" },
		{ RC_OK, 4, "GET / HTTP/1.1\r\nx-client-CERT:\t" PEM " \r\n\r\n" },
		{ RC_OK, 0, "GET / HTTP/1.1\r\nContent-Length: 0\r\n\r\n" },
		{ RC_MALFORMED, 0, "" },
		{ RC_MALFORMED, 0, "GET /check HTTP/1.1\r\n" },
		{ RC_MALFORMED, 0, "POST /check HTTP/1.1\r\n\r\n" },
		{ RC_MALFORMED, 0, "GET check HTTP/1.1\r\n\r\n" },
		{ RC_MALFORMED, 0, "GET  HTTP/1.1\r\n\r\n" },
		{ RC_MALFORMED, 0, "GET /check HTTP/2.0\r\n\r\n" },
		{ RC_MALFORMED, 0, "GET /check HTTP/1.1 x\r\n\r\n" },
		{ RC_MALFORMED, 0, "GET / HTTP/1.1\r\nContent-Length: 1\r\n\r\nx" },
		{ RC_MALFORMED, 0, "GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n" },
		{ RC_MALFORMED, 0, "GET / HTTP/1.1\r\nno colon\r\n\r\n" },
		{ RC_MALFORMED, 0, "GET / HTTP/1.1\r\nHost: x\r\n folded\r\n\r\n" },
		{ RC_MALFORMED, 0, "GET / HTTP/1.1\r\nX-Client-Cert : x\r\n\r\n" },
		{ RC_MALFORMED, 0, "GET / HTTP/1.1\r\nHost: a\nX-Client-Cert: b\r\n\r\n" },
		/* twice: which one did the web server mean? */
		{ RC_MALFORMED, 0,
			"GET / HTTP/1.1\r\nX-Client-Cert: " PEM "\r\nX-Client-Cert: " PEM
			"\r\n\r\n" },
		{ RC_MALFORMED, 0, "GET / HTTP/1.1\r\nX-Client-Cert: x" PEM "\r\n\r\n" },
		{ RC_MALFORMED, 0, "GET / HTTP/1.1\r\nX-Client-Cert: " PEM "x\r\n\r\n" },
		{ RC_MALFORMED, 0, "GET / HTTP/1.1\r\nX-Client-Cert: " PEM PEM "\r\n\r\n" },
		{ RC_MALFORMED, 0, "GET / HTTP/1.1\r\nX-Client-Cert: " PEM "%0\r\n\r\n" },
		{ RC_MALFORMED, 0, "GET / HTTP/1.1\r\nX-Client-Cert: " PEM "%00\r\n\r\n" },
		{ RC_MALFORMED, 0,
			"GET / HTTP/1.1\r\nX-Client-Cert: -----BEGIN%20CERTIFICATE-----%0A-----END%"
			"20CERTIFICATE-----\r\n\r\n" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		const uint8_t *bytes = (const uint8_t *)rows[i].text;
		struct gate_request r;
		enum rc rc = gate_request_parse(bytes, strlen(rows[i].text), &r);

		if (rc != rows[i].rc || (rc == RC_OK && r.der_len != rows[i].der_len))
			fail_msg("row %zu: %s, %zu bytes", i, rc_text(rc), r.der_len);
	}
}

static void test_what_is_read(void **state)
{
	const uint8_t *good = (const uint8_t *)GOOD;
	struct gate_request r;

	(void)state;
	assert_int_equal(sizeof(GOOD) - 1, gate_head_len(good, sizeof(GOOD) - 1));
	assert_rc(RC_OK, gate_request_parse(good, sizeof(GOOD) - 1, &r));
	assert_string_equal("/check", r.path);
	assert_false(r.keep_alive);
	assert_memory_equal("\x30\x03\x01\xff", r.der, 4);
}

static void test_truncated(void **state)
{
	const uint8_t *good = (const uint8_t *)GOOD;
	struct gate_request r;

	(void)state;
	for (size_t n = 0; n + 1 < sizeof(GOOD); n++) {
		assert_int_equal(0, gate_head_len(good, n));
		assert_rc(RC_MALFORMED, gate_request_parse(good, n, &r));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_rows),
		cmocka_unit_test(test_what_is_read), cmocka_unit_test(test_truncated) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
