/* SPDX-License-Identifier: Apache-2.0 */
#include "unit.h"

#include "zone/cookie.h"
#include "zone/peers.h"
#include "zone/query.h"
#include "zone/rrl.h"
#include "zone/tsig.h"

#include <arpa/inet.h>
#include <string.h>

#define NOW 1559731985

static struct tsig_keys *keys_of(const char *text)
{
	struct tsig_keys *keys = NULL;

	assert_int_equal(tsig_keys_parse(text, &keys, NULL), RC_OK);
	return keys;
}

static size_t soa_question(uint8_t *m)
{
	static const uint8_t q[] = { 0x12, 0x34, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 7, 'e', 'x', 'a',
		'm', 'p', 'l', 'e', 0, 0, 6, 0, 1 };

	memcpy(m, q, sizeof(q));
	return sizeof(q);
}

static size_t tsig_at(const uint8_t *m, size_t len)
{
	struct query q;

	assert_int_equal(query_parse(m, len, &q), RC_OK);
	assert_false(q.malformed);
	assert_true(q.signed_request);
	return q.tsig_at;
}

static void test_both_ways(void **state)
{
	struct tsig_keys *keys = keys_of("# comment\nhmac-sha256:Xfr.1:MDEyMzQ1Njc4OWFiY2RlZg==\n");
	const struct tsig_key *key = tsig_key_find(keys, "xfr.1");
	uint8_t m[1024];
	size_t len = soa_question(m);
	struct tsig ours, theirs;

	(void)state;
	assert_non_null(key);
	assert_null(tsig_key_find(keys, "xfr"));
	tsig_start(&ours, key, 0x1234);
	len = tsig_sign(&ours, m, len, NOW);
	assert_int_equal(tsig_verify(keys, m, len, tsig_at(m, len), NOW + 299, &theirs), RC_OK);
	assert_int_equal(theirs.error, TSIG_GOOD);
	assert_ptr_equal(theirs.key, key);

	/* The answer. */
	len = soa_question(m);
	len = tsig_sign(&theirs, m, len, NOW);
	assert_int_equal(tsig_verify_answer(&ours, m, len, tsig_at(m, len), NOW), RC_OK);
	m[13] ^= 1;
	assert_int_equal(tsig_verify_answer(&ours, m, len, tsig_at(m, len), NOW), RC_DENIED);
	tsig_keys_free(keys);
}

static void test_what_is_wrong_is_said(void **state)
{
	struct tsig_keys *keys = keys_of("hmac-sha256:a:MDEyMzQ1Njc4OWFiY2RlZg==\n");
	struct tsig_keys *other = keys_of("hmac-sha256:a:MDEyMzQ1Njc4OWFiY2RlZw==\n");
	struct tsig_keys *none = keys_of("hmac-sha256:b:MDEyMzQ1Njc4OWFiY2RlZg==\n");
	uint8_t m[1024];
	size_t len = soa_question(m);
	struct tsig t, got;

	(void)state;
	tsig_start(&t, tsig_key_find(keys, "a"), 0x1234);
	len = tsig_sign(&t, m, len, NOW);
	assert_int_equal(tsig_verify(keys, m, len, tsig_at(m, len), NOW + 301, &got), RC_OK);
	assert_int_equal(got.error, TSIG_BADTIME);
	assert_non_null(got.key);
	assert_int_equal(tsig_verify(other, m, len, tsig_at(m, len), NOW, &got), RC_OK);
	assert_int_equal(got.error, TSIG_BADSIG);
	assert_null(got.key);
	assert_int_equal(tsig_verify(none, m, len, tsig_at(m, len), NOW, &got), RC_OK);
	assert_int_equal(got.error, TSIG_BADKEY);
	assert_int_equal(tsig_verify(NULL, m, len, tsig_at(m, len), NOW, &got), RC_OK);
	assert_int_equal(got.error, TSIG_BADKEY);
	for (size_t n = tsig_at(m, len); n < len; n++)
		assert_int_equal(tsig_verify(keys, m, n, tsig_at(m, len), NOW, &got), RC_MALFORMED);
	tsig_keys_free(keys);
	tsig_keys_free(other);
	tsig_keys_free(none);
}

static void test_keys_file_is_checked(void **state)
{
	static const char *const bad[] = { "hmac-md5:a:MDEyMzQ1Njc4OWFiY2RlZg==", "a:b",
		"hmac-sha256:a:", "hmac-sha256:a:MDEyMzQ1",
		"hmac-sha256:a..b:MDEyMzQ1Njc4OWFiY2RlZg==" };
	struct tsig_keys *keys = NULL;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_int_equal(tsig_keys_parse(bad[i], &keys, NULL), RC_MALFORMED);
}

/* RFC 9018 appendix A.1 and A.3: the first and the renewed server cookie. */
static void test_cookie_of_the_rfc(void **state)
{
	static const uint8_t secret[16] = { 0xe5, 0xe9, 0x73, 0xe5, 0xa6, 0xb2, 0xa4, 0x3f, 0x48,
		0xe7, 0xdc, 0x84, 0x9e, 0x37, 0xbf, 0xcf };
	static const uint8_t want[COOKIE_LEN] = { 0x24, 0x64, 0xc4, 0xab, 0xcf, 0x10, 0xc9, 0x57,
		0x01, 0x00, 0x00, 0x00, 0x5c, 0xf7, 0x9f, 0x11, 0x1f, 0x81, 0x30, 0xc3, 0xee, 0xe2,
		0x94, 0x80 };
	struct sockaddr_in from = { .sin_family = AF_INET };
	uint8_t got[COOKIE_LEN];

	(void)state;
	inet_pton(AF_INET, "198.51.100.100", &from.sin_addr);
	cookie_make(secret, want, (const struct sockaddr *)&from, 1559731985, got);
	assert_memory_equal(got, want, COOKIE_LEN);
	assert_true(cookie_good(
		secret, got, COOKIE_LEN, (const struct sockaddr *)&from, 1559731985 + 3600));
	assert_false(cookie_good(
		secret, got, COOKIE_LEN, (const struct sockaddr *)&from, 1559731985 + 3601));
	assert_false(cookie_good(
		secret, got, COOKIE_LEN, (const struct sockaddr *)&from, 1559731985 - 301));
	from.sin_addr.s_addr ^= htonl(1);
	assert_false(
		cookie_good(secret, got, COOKIE_LEN, (const struct sockaddr *)&from, 1559731985));
}

static void test_limit(void **state)
{
	struct sockaddr_in a = { .sin_family = AF_INET }, same = a, other = a;
	struct rrl *r = NULL;
	unsigned sent = 0, cut = 0, dropped = 0;

	(void)state;
	inet_pton(AF_INET, "192.0.2.1", &a.sin_addr);
	inet_pton(AF_INET, "192.0.2.200", &same.sin_addr);
	inet_pton(AF_INET, "198.51.100.1", &other.sin_addr);
	assert_int_equal(rrl_new(10, 2, &r), RC_OK);
	for (unsigned i = 0; i < 30; i++) {
		const struct sockaddr_in *from = i % 2 ? &a : &same;
		enum rrl_verdict v = rrl_count(r, (const struct sockaddr *)from, RRL_DENIAL,
			(const uint8_t *)"\001x", 3, 1000);

		sent += v == RRL_SEND;
		cut += v == RRL_TRUNCATE;
		dropped += v == RRL_DROP;
	}
	assert_int_equal(sent, 10);
	assert_int_equal(cut, 10);
	assert_int_equal(dropped, 10);
	assert_int_equal(rrl_count(r, (const struct sockaddr *)&other, RRL_DENIAL,
				 (const uint8_t *)"\001x", 3, 1000),
		RRL_SEND);
	/* A tenth of a second later there is credit for one. */
	assert_int_equal(rrl_count(r, (const struct sockaddr *)&a, RRL_DENIAL,
				 (const uint8_t *)"\001x", 3, 1100),
		RRL_SEND);
	assert_int_not_equal(rrl_count(r, (const struct sockaddr *)&a, RRL_DENIAL,
				     (const uint8_t *)"\001x", 3, 1100),
		RRL_SEND);
	rrl_free(r);
}

static void test_secondaries_are_read(void **state)
{
	static const char *const good[] = { "one 192.0.2.1:53 key=a tls",
		"two [2001:db8::1]:53 quiet" };
	static const char *const bad[] = { "one", "one x:1", "one 192.0.2.1:53 key=b",
		"one 192.0.2.1:53 fast" };
	struct tsig_keys *keys = keys_of("hmac-sha256:a:MDEyMzQ1Njc4OWFiY2RlZg==\n");
	const struct tsig_key *a = tsig_key_find(keys, "a");
	struct sockaddr_in from = { .sin_family = AF_INET, .sin_port = 99 };
	const struct sockaddr *sa = (const struct sockaddr *)&from;
	struct peers p;

	(void)state;
	assert_int_equal(peers_read(good, 2, keys, true, &p, NULL), RC_OK);
	inet_pton(AF_INET, "192.0.2.1", &from.sin_addr);
	assert_true(peers_may_transfer(&p, sa, a, true));
	assert_false(peers_may_transfer(&p, sa, a, false));
	assert_false(peers_may_transfer(&p, sa, NULL, true));
	inet_pton(AF_INET, "192.0.2.2", &from.sin_addr);
	assert_false(peers_may_transfer(&p, sa, a, true));
	assert_false(peers_may_transfer(&p, NULL, a, true));
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_int_not_equal(peers_read(&bad[i], 1, keys, true, &p, NULL), RC_OK);
	tsig_keys_free(keys);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_both_ways),
		cmocka_unit_test(test_what_is_wrong_is_said),
		cmocka_unit_test(test_keys_file_is_checked),
		cmocka_unit_test(test_cookie_of_the_rfc),
		cmocka_unit_test(test_limit),
		cmocka_unit_test(test_secondaries_are_read),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
