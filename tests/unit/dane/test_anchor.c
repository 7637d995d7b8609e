/* SPDX-License-Identifier: Apache-2.0 */
#include "dane/dane.h"
#include "../unit.h"

#include <string.h>

#define IANA "E06D44B80B8F1D39A95C0B0D7C65D08458E880409BBC683457104237C7F8EC8D"
/* KSK-2017 and its DS as IANA publishes both: an independent answer. */
#define KSK                                                        \
	"AwEAAaz/tAm8yTn4Mfeh5eyI96WSVexTBAvkMgJzkKTOiW1vkIbzxeF3" \
	"+/4RgWOq7HrxRixHlFlExOLAJr5emLvN7SWXgnLh4+B5xQlNVz8Og8kv" \
	"ArMtNROxVQuCaSnIDdD5LKyWbRd2n9WGe2R8PzgCmr3EgVLrjyBxWezF" \
	"0jLHwVN8efS3rCj/EWgvIWgb9tarpVUDK/b58Da+sqqls3eNbuv7pr+e" \
	"oZG+SrDK6nWeL3c6H5Apxz7LjVc1uTIdsIXxuOLYA4/ilBmSVIzuDWfd" \
	"RUfhHdY6+cn8HFRm+2hM8AnXGXws9555KrUB5qihylGa8subX2Nn6UwN" \
	"R1AkUTV74bU="

static void test_ds(void **state)
{
	static const char *const good[] = { ". DS 20326 8 2 " IANA, ". IN DS 20326 8 2 " IANA,
		". 172800 IN DS 20326 8 2 " IANA, ". IN 172800 ds 20326 8 2 " IANA "\r\n",
		". DS 20326 8 2 ( E06D44B80B8F1D39A95C0B0D7C65D08458E880409BBC6834 "
		"57104237C7F8EC8D ) ; comment" };
	struct dane_anchor a;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(good); i++) {
		assert_rc(RC_OK, dane_anchor_read(good[i], &a, NULL));
		assert_string_equal(".", a.name);
		assert_int_equal(20326, a.tag);
		assert_int_equal(8, a.algorithm);
		assert_int_equal(32, a.digest_len);
		assert_int_equal(0xe0, a.digest[0]);
	}
}

static void test_dnskey_becomes_its_ds(void **state)
{
	struct dane_anchor ds, key;

	(void)state;
	assert_rc(RC_OK, dane_anchor_read(". DS 20326 8 2 " IANA, &ds, NULL));
	assert_rc(RC_OK, dane_anchor_read(". IN DNSKEY 257 3 8 " KSK, &key, NULL));
	assert_int_equal(ds.tag, key.tag);
	assert_memory_equal(ds.digest, key.digest, 32);
}

static void test_refusals(void **state)
{
	static const struct {
		enum rc rc;
		const char *line;
	} rows[] = { { RC_MALFORMED, "" }, { RC_MALFORMED, "." }, { RC_MALFORMED, ". A 1.2.3.4" },
		{ RC_MALFORMED, ". DS 20326 8 2" }, { RC_MALFORMED, ". DS 65536 8 2 " IANA },
		{ RC_MALFORMED, ". DS 20326 8 2 " IANA "00" },
		{ RC_MALFORMED, ". DS 20326 8 4 " IANA },
		{ RC_UNSUPPORTED, ". DS 20326 8 1 " IANA }, { RC_MALFORMED, ". DS 20326 8 2 X" },
		{ RC_MALFORMED, ". DNSKEY 257 3 8 !" },
		{ RC_MALFORMED, "a..b DS 20326 8 2 " IANA } };
	struct dane_anchor a;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct diag d = { 0 };

		assert_rc(rows[i].rc, dane_anchor_read(rows[i].line, &a, &d));
		assert_true(d.text[0] != '\0');
	}
}

static void test_resolver(void **state)
{
	struct dane_resolver r;

	(void)state;
	assert_rc(RC_OK, dane_resolver_addr(&r, "192.0.2.1", 853));
	assert_int_equal(4, r.addr_len);
	assert_rc(RC_OK, dane_resolver_addr(&r, "2001:db8::1", 853));
	assert_int_equal(16, r.addr_len);
	assert_rc(RC_MALFORMED, dane_resolver_addr(&r, "resolver.example", 853));
	assert_rc(RC_MALFORMED, dane_resolver_pin(&r, "AAAA"));
	for (size_t i = 0; i < DANE_PINS_MAX; i++)
		assert_rc(RC_OK,
			dane_resolver_pin(&r, "d4Ilb8GiSQX2txfOJdOqxuYcwD0O41BJ/ALRsSgBrB4="));
	assert_rc(RC_TOO_LARGE,
		dane_resolver_pin(&r, "d4Ilb8GiSQX2txfOJdOqxuYcwD0O41BJ/ALRsSgBrB4="));
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_ds),
		cmocka_unit_test(test_dnskey_becomes_its_ds), cmocka_unit_test(test_refusals),
		cmocka_unit_test(test_resolver) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
