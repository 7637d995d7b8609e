/* SPDX-License-Identifier: Apache-2.0 */
#include "../unit.h"
#include "base/compiler.h"
#include "base/ident.h"

#include <string.h>

static const uint8_t seed_ef[] = { 0x98, 0x21, 0x32, 0x20, 0x00, 0x30, 0x01, 0x01, 0x00, 0xf8 };

static void iccid_goes_both_ways(void **state)
{
	uint8_t ef[IDENT_ICCID_LEN];
	char text[IDENT_ICCID_TEXT];

	(void)state;
	assert_rc(RC_OK, ident_iccid_read("8912230200031010008f", ef));
	assert_memory_equal(ef, seed_ef, sizeof(ef));
	assert_rc(RC_OK, ident_iccid_read("8912230200031010008F", ef));
	assert_memory_equal(ef, seed_ef, sizeof(ef));
	assert_rc(RC_OK, ident_iccid_write(ef, text));
	assert_string_equal(text, "8912230200031010008f");
	assert_rc(RC_OK, ident_iccid_read("89882113203000000280", ef));
	assert_int_equal(ef[9], 0x08);
	assert_rc(RC_OK, ident_iccid_write(ef, text));
	assert_string_equal(text, "89882113203000000280");
}

static void bad_iccids_are_refused(void **state)
{
	static const char *const bad[] = { "", "8", "8912230200031010008", "8912230200031010008ff",
		"8912230200031010008g", "891223020003101000f8", "891223020003101000ff",
		" 912230200031010008f", "8912230200031010008f ", "891223020003101000800" };
	uint8_t ef[IDENT_ICCID_LEN];
	char text[IDENT_ICCID_TEXT];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_rc(RC_MALFORMED, ident_iccid_read(bad[i], ef));
	memcpy(ef, seed_ef, sizeof(ef));
	ef[3] = 0x0a;
	assert_rc(RC_MALFORMED, ident_iccid_write(ef, text));
	memcpy(ef, seed_ef, sizeof(ef));
	ef[9] = 0x8f;
	assert_rc(RC_MALFORMED, ident_iccid_write(ef, text));
}

static void luhn_knows_real_cards(void **state)
{
	static const char *const good[] = { "8912230200031010008f", "8912230200031060003F",
		"8988211000000467285", "8949440000001155314", "8949449999999990031",
		"8988211320300000028" };
	static const char *const bad[] = { "8912230200031010009f", "8912230200031010080f", "", "f",
		"0", "89x", "89f8" };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(good); i++)
		assert_true(ident_luhn_ok(good[i]));
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_false(ident_luhn_ok(bad[i]));
}

static void eid_is_checked_modulo_97(void **state)
{
	static const char *const good[] = { "89049044900000000000000000102355",
		"89049032123451234512345678901235" };
	static const char *const bad[] = { "", "89049044900000000000000000102356",
		"8904904490000000000000000010235", "890490449000000000000000001023555",
		"8904904490000000000000000010235a" };
	uint8_t eid[IDENT_EID_LEN];
	char text[IDENT_EID_TEXT];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(good); i++) {
		assert_rc(RC_OK, ident_eid_read(good[i], eid));
		assert_int_equal(eid[0], 0x89);
		assert_rc(RC_OK, ident_eid_write(eid, text));
		assert_string_equal(text, good[i]);
	}
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_rc(RC_MALFORMED, ident_eid_read(bad[i], eid));
	eid[15] ^= 1;
	assert_rc(RC_MALFORMED, ident_eid_write(eid, text));
}

static void owner_name_goes_both_ways(void **state)
{
	char name[IDENT_OWNER_TEXT];
	struct ident_owner o;

	(void)state;
	assert_rc(RC_OK, ident_owner_name(1, "8912230200031010008F", "IoTregistry.example", name));
	assert_string_equal(name, "1.8912230200031010008f.iotregistry.example");
	assert_rc(RC_OK, ident_owner_parse(name, "iotregistry.EXAMPLE", &o));
	assert_int_equal(o.slot, 1);
	assert_string_equal(o.iccid, "8912230200031010008f");
	assert_string_equal(o.zone, "iotregistry.example");
	assert_rc(RC_OK, ident_owner_parse("9.8912230200031060003F.iotregistry.ca.", NULL, &o));
	assert_int_equal(o.slot, 9);
	assert_string_equal(o.zone, "iotregistry.ca");
	/* the longest zone that a common name holds */
	assert_rc(RC_OK, ident_owner_name(1, "8912230200031010008f",
				 "a2345678901234567890.12345678901234567890", name));
	assert_int_equal(strlen(name), IDENT_OWNER_MAX);
	assert_rc(RC_OK, ident_owner_parse(name, NULL, &o));
	assert_rc(RC_TOO_LARGE, ident_owner_name(1, "8912230200031010008f",
					"a2345678901234567890.123456789012345678901", name));
}

static void bad_owner_names_are_refused(void **state)
{
	static const char *const bad[] = { "", ".", "1", "1.8912230200031010008f",
		"1.8912230200031010008f.", "0.8912230200031010008f.example",
		"10.8912230200031010008f.example", "1.8912230200031010008.example",
		"1.8912230200031010008f.exa mple", "1.8912230200031010008f..example",
		"1.8912230200031010008f.example..", "x.1.8912230200031010008f.example" };
	char name[IDENT_OWNER_TEXT];
	struct ident_owner o;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_rc(RC_MALFORMED, ident_owner_parse(bad[i], NULL, &o));
	assert_rc(
		RC_NOT_FOUND, ident_owner_parse("1.8912230200031010008f.a.example", "example", &o));
	assert_rc(RC_RANGE, ident_owner_name(0, "8912230200031010008f", "example", name));
	assert_rc(RC_RANGE, ident_owner_name(10, "8912230200031010008f", "example", name));
	assert_rc(RC_MALFORMED, ident_owner_name(1, "8912230200031010008f", "example.", name));
	assert_rc(RC_MALFORMED, ident_owner_name(1, "8912230200031010008f", "", name));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(iccid_goes_both_ways),
		cmocka_unit_test(bad_iccids_are_refused),
		cmocka_unit_test(luhn_knows_real_cards),
		cmocka_unit_test(eid_is_checked_modulo_97),
		cmocka_unit_test(owner_name_goes_both_ways),
		cmocka_unit_test(bad_owner_names_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
