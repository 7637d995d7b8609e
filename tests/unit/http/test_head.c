/* SPDX-License-Identifier: Apache-2.0 */
#include "../unit.h"

#include "http/head.h"

#include <stdio.h>
#include <string.h>

#define HOST "Host: a\r\n"
#define POST "POST / HTTP/1.1\r\n" HOST
#define GET  "GET / HTTP/1.1\r\n" HOST

static const struct head_case {
	const char *bytes;
	unsigned status; /* 0: accepted */
} cases[] = {
	{ "GET /v1/ca HTTP/1.1\r\n" HOST "\r\n", 0 },
	{ "GET /v1/ca?x=1 HTTP/1.1\r\nhost:a\r\n\r\n", 0 },
	{ "GET /v1/ca HTTP/1.0\r\n\r\n", 0 },
	{ POST "Content-Length: 0\r\n\r\n", 0 },
	{ POST "Transfer-Encoding: Chunked\r\n\r\n", 0 },
	{ POST "Expect: 100-Continue\r\n\r\n", 0 },
	{ GET "X: \xe9\t\r\n\r\n", 0 },
	/* Host */
	{ "GET / HTTP/1.1\r\n\r\n", 400 },
	{ "GET / HTTP/1.1\r\nConnection: close\r\n\r\n", 400 },
	{ GET HOST "\r\n", 400 },
	{ "GET / HTTP/1.1\r\nHost: \r\n\r\n", 400 },
	/* a request in a request */
	{ POST "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n", 400 },
	{ POST "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n", 400 },
	{ POST "Content-Length: 5\r\nContent-Length: 5\r\n\r\n", 400 },
	{ POST "Content-Length: 5, 5\r\n\r\n", 400 },
	{ POST "Content-Length: +5\r\n\r\n", 400 },
	{ POST "Content-Length: 0x5\r\n\r\n", 400 },
	{ POST "Content-Length: 99999999999999999999\r\n\r\n", 400 },
	{ POST "Content-Length: \r\n\r\n", 400 },
	{ POST "Content-Length : 5\r\n\r\n", 400 },
	{ POST "Transfer-Encoding: gzip, chunked\r\n\r\n", 501 },
	{ POST "Transfer-Encoding: xchunked\r\n\r\n", 501 },
	{ POST "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n", 400 },
	{ "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", 400 },
	/* line ends */
	{ "GET / HTTP/1.1\n" HOST "\r\n\r\n", 400 },
	{ "GET / HTTP/1.1\r\nHost: a\nX: b\r\n\r\n", 400 },
	{ "GET / HTTP/1.1\r\nHost: a\rX: b\r\n\r\n", 400 },
	{ GET " folded\r\n\r\n", 400 },
	/* request lines */
	{ "GET  / HTTP/1.1\r\n" HOST "\r\n", 400 },
	{ "GET /\r\n" HOST "\r\n", 400 },
	{ "GET / HTTP/1.1 \r\n" HOST "\r\n", 400 },
	{ "GET / HTTP/2.0\r\n" HOST "\r\n", 505 },
	{ "GET / http/1.1\r\n" HOST "\r\n", 400 },
	{ "G@T / HTTP/1.1\r\n" HOST "\r\n", 400 },
	{ " / HTTP/1.1\r\n" HOST "\r\n", 400 },
	{ "ABCDEFGHIJKLMNOPQRST / HTTP/1.1\r\n" HOST "\r\n", 501 },
	{ "GET http://a/ HTTP/1.1\r\n" HOST "\r\n", 400 },
	{ "OPTIONS * HTTP/1.1\r\n" HOST "\r\n", 400 },
	{ "GET /#x HTTP/1.1\r\n" HOST "\r\n", 400 },
	{ "GET /\x80 HTTP/1.1\r\n" HOST "\r\n", 400 },
	/* fields */
	{ GET "nocolon\r\n\r\n", 400 },
	{ GET ": x\r\n\r\n", 400 },
	{ GET "X: a\x01\r\n\r\n", 400 },
	{ GET "Expect: 200-ok\r\n\r\n", 417 },
	{ GET "Idempotency-Key: a\r\nIdempotency-Key: b\r\n\r\n", 400 },
};

static void test_heads(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct http_head head;
		unsigned status = 0;
		const char *why = "";
		enum rc rc = http_head_parse((const uint8_t *)cases[i].bytes,
			strlen(cases[i].bytes), &head, &status, &why);

		if (status != cases[i].status || (rc == RC_OK) != (cases[i].status == 0))
			fail_msg("case %zu: %s -> %u %s", i, cases[i].bytes, status, why);
	}
}

static void test_what_a_head_says(void **state)
{
	static const char text[] = "PATCH /v1/services/x?a=b&c=d HTTP/1.1\r\n" HOST
				   "content-type:  application/json \r\n"
				   "Content-Length: 17\r\nidempotency-key: k-1\r\n"
				   "Connection: foo, CLOSE\r\nExpect: 100-continue\r\n\r\n";
	const uint8_t *bytes = (const uint8_t *)text;
	struct http_head h;
	unsigned status;
	const char *why;
	size_t len = 0, whole = sizeof(text) - 1;

	(void)state;
	assert_rc(RC_OK, http_head_end(bytes, whole, &len));
	assert_int_equal(whole, len);
	assert_rc(RC_OK, http_head_parse(bytes, len, &h, &status, &why));
	assert_string_equal("PATCH", h.method);
	assert_string_equal("/v1/services/x", h.path);
	assert_string_equal("a=b&c=d", h.query);
	assert_string_equal("application/json", h.content_type);
	assert_string_equal("k-1", h.idempotency_key);
	assert_true(h.has_query && h.has_length && h.content_length == 17 && !h.keep_alive &&
		    h.expect_continue && !h.chunked);
	/* No truncation is a head. */
	for (size_t cut = 0; cut < whole; cut++) {
		assert_rc(RC_TRUNCATED, http_head_end(bytes, cut, &len));
		assert_rc(RC_MALFORMED, http_head_parse(bytes, cut, &h, &status, &why));
	}
}

static void test_limits(void **state)
{
	static uint8_t big[2 * HTTP_HEAD_MAX];
	char *text = (char *)big;
	struct http_head h;
	unsigned status = 0;
	const char *why;
	size_t len, n;

	(void)state;
	memset(big, 'a', sizeof(big));
	assert_rc(RC_TRUNCATED, http_head_end(big, HTTP_HEAD_MAX - 1, &len));
	assert_rc(RC_TOO_LARGE, http_head_end(big, sizeof(big), &len));
	n = (size_t)snprintf(text, sizeof(big), GET);
	for (int i = 0; i < HTTP_FIELDS_MAX; i++)
		n += (size_t)snprintf(text + n, sizeof(big) - n, "X: y\r\n");
	n += (size_t)snprintf(text + n, sizeof(big) - n, "\r\n");
	assert_rc(RC_MALFORMED, http_head_parse(big, n, &h, &status, &why));
	assert_int_equal(431, status);
	n = (size_t)snprintf(text, sizeof(big), "GET /%02000d HTTP/1.1\r\n" HOST "\r\n", 1);
	assert_rc(RC_MALFORMED, http_head_parse(big, n, &h, &status, &why));
	assert_int_equal(414, status);
}

static const struct chunk_case {
	const char *in;
	enum rc rc;
	const char *body;
} chunk_cases[] = {
	{ "0\r\n\r\n", RC_OK, "" },
	{ "3\r\nabc\r\n0\r\n\r\n", RC_OK, "abc" },
	{ "A\r\n0123456789\r\n1\r\nx\r\n0\r\n\r\n", RC_OK, "0123456789x" },
	{ "11\r\n0123456789abcdefg\r\n0\r\n\r\n", RC_TOO_LARGE, NULL },
	{ "ffffffffffffffff\r\na", RC_TOO_LARGE, NULL },
	{ "00000000000000000\r\n", RC_MALFORMED, NULL },
	{ "3;ext\r\nabc\r\n0\r\n\r\n", RC_MALFORMED, NULL },
	{ "3\nabc", RC_MALFORMED, NULL },
	{ "\r\n", RC_MALFORMED, NULL },
	{ "g\r\n", RC_MALFORMED, NULL },
	{ "3\r\nabcd\r\n", RC_MALFORMED, NULL },
	{ "0\r\nTrailer: x\r\n\r\n", RC_MALFORMED, NULL },
};

static void check_chunks(const struct chunk_case *k, size_t step)
{
	struct http_chunks c = { 0 };
	struct buf in = { 0 }, body = { 0 };
	enum rc rc = RC_TRUNCATED;

	for (const char *at = k->in; *at && rc == RC_TRUNCATED;) {
		size_t n = strnlen(at, step);
		assert_rc(RC_OK, buf_add(&in, at, n));
		at += n;
		rc = http_chunks_read(&c, &in, &body, 16);
	}
	if (rc != k->rc)
		fail_msg("%s in steps of %zu: %s", k->in, step, rc_text(rc));
	if (rc == RC_OK) {
		assert_int_equal(strlen(k->body), buf_len(&body));
		if (buf_len(&body))
			assert_memory_equal(k->body, buf_at(&body), buf_len(&body));
	}
	buf_free(&in);
	buf_free(&body);
}

/* However the bytes are cut into pieces, the outcome is the same. */
static void test_chunks(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(chunk_cases); i++)
		for (size_t step = 1; step <= strlen(chunk_cases[i].in); step++)
			check_chunks(&chunk_cases[i], step);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_heads),
		cmocka_unit_test(test_what_a_head_says),
		cmocka_unit_test(test_limits),
		cmocka_unit_test(test_chunks),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
