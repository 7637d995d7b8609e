/* SPDX-License-Identifier: Apache-2.0 */
#include "../unit.h"
#include "base/compiler.h"
#include "base/str.h"
#include "ota/smpp.h"

#include <string.h>

/* A deliver_sm as Net::SMPP writes it: from 14165550100 to 4711, UDHI, two octets. */
#define DELIVER                                                                        \
	"0000003800000005000000000000000700010131343136353535303130300000003437313100" \
	"407f0000000000f60002cafe"

static void known_bytes(void **state)
{
	uint8_t bytes[128];
	struct smpp_pdu pdu;
	struct smpp_message m;
	struct cur c;
	size_t len;

	(void)state;
	assert_rc(RC_OK, hex_read_upto(DELIVER, bytes, sizeof(bytes), &len));
	bytes[3] = (uint8_t)len;
	c = cur_init(bytes, len);
	assert_rc(RC_OK, smpp_read(&c, &pdu));
	assert_int_equal(0, c.left);
	assert_int_equal(SMPP_DELIVER, pdu.id);
	assert_int_equal(7, pdu.seq);
	assert_rc(RC_OK, smpp_message_read(pdu.body, &m));
	assert_string_equal("14165550100", m.from);
	assert_string_equal("4711", m.to);
	assert_int_equal(SMPP_ESM_UDHI, m.esm_class);
	assert_int_equal(0x7f, m.protocol_id);
	assert_int_equal(0xf6, m.data_coding);
	assert_int_equal(2, m.ud.left);
	assert_memory_equal("\xca\xfe", m.ud.at, 2);
}

static size_t write_submit(uint8_t *out, size_t cap, size_t ud_len)
{
	uint8_t ud[300];
	struct smpp_message m = { .from = "4711",
		.to = "14165550100",
		.esm_class = SMPP_ESM_UDHI,
		.protocol_id = 0x7f,
		.data_coding = 0xf6,
		.registered_delivery = 1,
		.ud = cur_init(ud, ud_len) };
	struct put p = put_init(out, cap);

	memset(ud, 0x5a, sizeof(ud));
	smpp_message_write(&p, SMPP_SUBMIT, 9, &m);
	return put_ok(&p) ? p.len : 0;
}

static void what_is_written_is_read(void **state)
{
	uint8_t bytes[512];

	(void)state;
	for (size_t n = 0; n <= 254; n++) {
		size_t len = write_submit(bytes, sizeof(bytes), n);
		struct cur c = cur_init(bytes, len);
		struct smpp_message m;
		struct smpp_pdu pdu;

		assert_true(len > 0);
		assert_rc(RC_OK, smpp_read(&c, &pdu));
		assert_int_equal(SMPP_SUBMIT, pdu.id);
		assert_int_equal(9, pdu.seq);
		assert_rc(RC_OK, smpp_message_read(pdu.body, &m));
		assert_string_equal("4711", m.from);
		assert_int_equal(1, m.registered_delivery);
		assert_int_equal(n, m.ud.left);
	}
	assert_int_equal(0, write_submit(bytes, sizeof(bytes), 255));
	assert_int_equal(0, write_submit(bytes, 100, 100));
}

static void truncations_and_lengths(void **state)
{
	uint8_t bytes[512];
	size_t len = write_submit(bytes, sizeof(bytes), 50);
	struct smpp_pdu pdu;
	struct smpp_message m;
	struct cur c;

	(void)state;
	for (size_t n = 0; n < len; n++) {
		c = cur_init(bytes, n);
		assert_rc(RC_TRUNCATED, smpp_read(&c, &pdu));
		assert_int_equal(n, c.left);
	}
	for (size_t n = 0; n < len - SMPP_HEAD; n++)
		assert_rc(RC_MALFORMED, smpp_message_read(cur_init(bytes + SMPP_HEAD, n), &m));
	for (size_t at = 0; at < 2; at++) {
		c = cur_init(at ? "\0\0\x10\x01\0\0\0\0" : "\0\0\0\x0f\0\0\0\0", 8);
		assert_rc(RC_MALFORMED, smpp_read(&c, &pdu));
	}
}

/* message_payload stands in for a short_message that is not there; other options are skipped. */
static void payload_option(void **state)
{
	static const uint8_t options[] = { 0x02, 0x04, 0, 1, 9, 0x04, 0x24, 0, 3, 'a', 'b', 'c' };
	uint8_t bytes[512];
	size_t len = write_submit(bytes, sizeof(bytes), 0);
	struct smpp_message m;

	(void)state;
	memcpy(bytes + len, options, sizeof(options));
	assert_rc(
		RC_OK, smpp_message_read(
			       cur_init(bytes + SMPP_HEAD, len - SMPP_HEAD + sizeof(options)), &m));
	assert_int_equal(3, m.ud.left);
	assert_memory_equal("abc", m.ud.at, 3);
	assert_rc(RC_MALFORMED,
		smpp_message_read(
			cur_init(bytes + SMPP_HEAD, len - SMPP_HEAD + sizeof(options) - 1), &m));
}

static struct smpp_message receipt(const char *text)
{
	return (struct smpp_message){ .esm_class = SMPP_ESM_RECEIPT,
		.ud = cur_init((const uint8_t *)text, strlen(text)) };
}

static void receipts_are_read(void **state)
{
	static const struct {
		const char *text;
		enum rc rc;
		const char *id;
		enum smpp_state state;
	} rows[] = {
		{ "id:m17 sub:001 dlvrd:001 submit date:2611240010 done date:2611240011 "
		  "stat:DELIVRD err:000 text:",
			RC_OK, "m17", SMPP_DELIVERED },
		{ "id:m17 stat:UNDELIV", RC_OK, "m17", SMPP_UNDELIVERABLE },
		{ "id:m17 stat:EXPIRED err:1", RC_OK, "m17", SMPP_EXPIRED },
		{ "id:m17 stat:WHATEVER", RC_OK, "m17", SMPP_UNKNOWN },
		{ "sub:001 id:x stat:REJECTD", RC_OK, "x", SMPP_REJECTED },
		{ "id: stat:DELIVRD", RC_MALFORMED, NULL, 0 },
		{ "id:m17", RC_MALFORMED, NULL, 0 },
		{ "xid:m17 stat:DELIVRD", RC_MALFORMED, NULL, 0 },
		{ "", RC_MALFORMED, NULL, 0 },
	};
	enum smpp_state what;
	char id[SMPP_ID_MAX];
	struct smpp_message m;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		m = receipt(rows[i].text);
		assert_rc(rows[i].rc, smpp_receipt_read(&m, id, &what));
		if (rows[i].rc != RC_OK)
			continue;
		assert_string_equal(rows[i].id, id);
		assert_int_equal(rows[i].state, what);
	}
	/* An id that is too long is cut, and is nobody's. */
	char text[200] = "id:";
	memset(text + 3, '7', 100);
	memcpy(text + 103, " stat:DELIVRD", 14);
	m = receipt(text);
	assert_rc(RC_OK, smpp_receipt_read(&m, id, &what));
	assert_int_equal(SMPP_ID_MAX - 1, strlen(id));
}

/* receipted_message_id and message_state say it before any text. */
static void receipts_by_option(void **state)
{
	static const uint8_t options[] = { 0x00, 0x1e, 0, 3, 'a', '9', 0, 0x04, 0x27, 0, 1, 5 };
	uint8_t bytes[512];
	size_t len = write_submit(bytes, sizeof(bytes), 0);
	struct smpp_message m;
	enum smpp_state what;
	char id[SMPP_ID_MAX];

	(void)state;
	memcpy(bytes + len, options, sizeof(options));
	len += sizeof(options) - SMPP_HEAD;
	assert_rc(RC_OK, smpp_message_read(cur_init(bytes + SMPP_HEAD, len), &m));
	assert_rc(RC_OK, smpp_receipt_read(&m, id, &what));
	assert_string_equal("a9", id);
	assert_int_equal(SMPP_UNDELIVERABLE, what);
	bytes[SMPP_HEAD + len - 6] = 'x'; /* an id without its NUL */
	assert_rc(RC_MALFORMED, smpp_message_read(cur_init(bytes + SMPP_HEAD, len), &m));
	assert_rc(RC_OK, smpp_submit_resp_read(cur_init((const uint8_t *)"m1", 3), id));
	assert_string_equal("m1", id);
	assert_rc(RC_MALFORMED, smpp_submit_resp_read(cur_init((const uint8_t *)"m1", 2), id));
	assert_rc(RC_MALFORMED, smpp_submit_resp_read(cur_init((const uint8_t *)"", 1), id));
	assert_rc(RC_MALFORMED, smpp_submit_resp_read(cur_init((const uint8_t *)"", 0), id));
}

static void validity_is_relative(void **state)
{
	char text[SMPP_TIME_MAX];

	(void)state;
	smpp_validity(3600, text);
	assert_string_equal("000000010000000R", text);
	smpp_validity(3 * 86400 + 59, text);
	assert_string_equal("000003000059000R", text);
}

static void bare_and_bind(void **state)
{
	uint8_t bytes[128];
	struct put p = put_init(bytes, sizeof(bytes));
	struct smpp_pdu pdu;
	struct cur c;

	(void)state;
	smpp_bare_write(&p, SMPP_ENQUIRE_LINK, SMPP_OK, 1);
	smpp_bare_write(&p, SMPP_DELIVER | SMPP_RESP, SMPP_OK, 2);
	smpp_bind_write(&p, 3, "attestry", "secret");
	assert_true(put_ok(&p));
	c = cur_init(bytes, p.len);
	assert_rc(RC_OK, smpp_read(&c, &pdu));
	assert_int_equal(0, pdu.body.left);
	assert_rc(RC_OK, smpp_read(&c, &pdu));
	assert_int_equal(1, pdu.body.left);
	assert_rc(RC_OK, smpp_read(&c, &pdu));
	assert_int_equal(SMPP_BIND_TRANSCEIVER, pdu.id);
	assert_memory_equal("attestry\0secret\0OTA\0\x34\0\0\0", pdu.body.at, pdu.body.left);
	assert_int_equal(0, c.left);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(known_bytes),
		cmocka_unit_test(receipts_are_read),
		cmocka_unit_test(receipts_by_option),
		cmocka_unit_test(validity_is_relative),
		cmocka_unit_test(what_is_written_is_read),
		cmocka_unit_test(truncations_and_lengths),
		cmocka_unit_test(payload_option),
		cmocka_unit_test(bare_and_bind),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
