/* SPDX-License-Identifier: Apache-2.0 */
#include "../unit.h"
#include "base/compiler.h"
#include "base/str.h"
#include "ota/internal.h"

#include <string.h>

/* pySim's published AES-128 vectors, recomputed independently. */
#define VECTOR_COMMAND \
	"00281506192222b00011e87cceebb2d93083011ce294f93fc4d8de80da1abae8c37ca3e72ec4432e5058"
#define VECTOR_RESPONSE \
	"027100002412b00011ebc6b497e2cad7aedf36ace0e3a29b38853f0fe9ccde81913be5702b73abce1f"

static const uint8_t kic[] = { 0x20, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15 };
static const uint8_t kid[] = { 0x20, 0x11, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15 };

static uint8_t vector_kic[SCP80_KEY_LEN], vector_kid[SCP80_KEY_LEN];

static struct scp80_receiver receiver(uint64_t last)
{
	struct scp80_receiver rx = { .keys = { .kvn = 2, .kic = kic, .kid = kid },
		.last_counter = last };

	memcpy(rx.tar, scp80_tar_isa, sizeof(rx.tar));
	return rx;
}

static size_t command(uint64_t counter, const uint8_t *data, size_t len, uint8_t *packet)
{
	struct scp80_receiver rx = receiver(0);
	struct scp80_command cmd = { .counter = counter, .data = cur_init(data, len) };
	struct put p = put_init(packet, SCP80_PACKET_MAX);

	memcpy(cmd.tar, scp80_tar_isa, sizeof(cmd.tar));
	assert_rc(RC_OK, scp80_command_write(&rx.keys, &cmd, &p));
	return p.len;
}

static void vector_keys(struct scp80_keys *keys)
{
	assert_rc(RC_OK, hex_read("200102030405060708090a0b0c0d0e0f", vector_kic, 16));
	assert_rc(RC_OK, hex_read("201102030405060708090a0b0c0d0e0f", vector_kid, 16));
	*keys = (struct scp80_keys){ .kvn = 2, .kic = vector_kic, .kid = vector_kid };
}

/* The published response: ours reads it, and writes the same bytes. */
static void published_response(void **state)
{
	uint8_t ud[SCP80_UD_MAX], plain[SCP80_UD_MAX], again[SCP80_UD_MAX];
	struct put p = put_init(again, sizeof(again));
	struct scp80_response r;
	struct scp80_keys keys;
	size_t len;

	(void)state;
	vector_keys(&keys);
	assert_rc(RC_OK, hex_read_upto(VECTOR_RESPONSE, ud, sizeof(ud), &len));
	assert_rc(RC_OK, scp80_response_read(&keys, ud, len, plain, &r));
	assert_true(r.proven);
	assert_int_equal(r.status, SCP80_OK);
	assert_int_equal(r.counter, 0);
	assert_memory_equal(r.tar, "\xb0\x00\x11", 3);
	assert_int_equal(r.data.left, 3);
	assert_memory_equal(r.data.at, "\x01\x61\x32", 3);
	assert_rc(RC_OK, scp80_response_write(&keys, &r, &p));
	assert_int_equal(p.len, len);
	assert_memory_equal(again, ud, len);
}

/* The published command is of SPI 06 19 (counter unchecked): our profile refuses its level before
 * anything else, but the cipher and the checksum under it are the same. */
static void published_command(void **state)
{
	uint8_t packet[64], plain[64], head[16], cc[SCP80__CC_LEN];
	struct scp80_receiver rx = { .tar = { 0xb0, 0x00, 0x11 } };
	struct scp80_command cmd;
	bool authentic;
	size_t len;

	(void)state;
	vector_keys(&rx.keys);
	assert_rc(RC_OK, hex_read_upto(VECTOR_COMMAND, packet, sizeof(packet), &len));
	assert_int_equal(
		SCP80_LEVEL, scp80_command_read(&rx, packet, len, plain, &cmd, &authentic));
	assert_false(authentic);

	assert_rc(RC_OK, scp80__cipher(&rx.keys, false, packet + 10, len - 10, plain));
	assert_memory_equal(plain,
		"\x00\x00\x00\x00\x00\x0b"
		"\xec\xba\xb1\xf8\xf5\x55\x02\xc5"
		"\x00\xa4\x00\x04\x02\x3f\x00",
		6 + 8 + 7);
	memcpy(head, packet, 10);
	memcpy(head + 10, plain, 6);
	assert_rc(RC_OK, scp80__cc(&rx.keys, head, sizeof(head), plain + 14, len - 10 - 14, cc));
	assert_memory_equal(cc, plain + 6, sizeof(cc));
	assert_rc(RC_OK, scp80__cipher(&rx.keys, true, plain, len - 10, plain));
	assert_memory_equal(plain, packet + 10, len - 10);
}

/* Our profile's own vector, made by the second implementation (tests/lib/ota.py): STATUS of slot 1
 * under counter 01 02 03 04 05, and an answer to it. */
static void vector_of_the_profile(void **state)
{
	static const char command_hex[] =
		"00281516192222495341f116ce92cd14481c2f60114db41b1dd0bb2e25293d462a59042124587af8c0"
		"fd";
	static const char response_hex[] = "027100002412495341b25af6f542bd52f48679b5cb3f2de8e54a3b2"
					   "c7d21a5e6de4f307f57524b8cc5";
	struct scp80_receiver rx = { .tar = { 'I', 'S', 'A' }, .last_counter = 0x0102030404 };
	uint8_t bytes[64], plain[SCP80_UD_MAX], again[64];
	struct put p = put_init(again, sizeof(again));
	struct scp80_command cmd;
	struct scp80_response r;
	bool authentic;
	size_t len;

	(void)state;
	vector_keys(&rx.keys);
	assert_rc(RC_OK, hex_read_upto(command_hex, bytes, sizeof(bytes), &len));
	assert_int_equal(SCP80_OK, scp80_command_read(&rx, bytes, len, plain, &cmd, &authentic));
	assert_int_equal(cmd.counter, 0x0102030405);
	assert_int_equal(cmd.data.left, 5);
	assert_memory_equal(cmd.data.at, "\xdc\x03\x80\x01\x01", 5);
	assert_rc(RC_OK, scp80_command_write(&rx.keys, &cmd, &p));
	assert_int_equal(p.len, len);
	assert_memory_equal(again, bytes, len);

	p = put_init(again, sizeof(again));
	assert_rc(RC_OK, hex_read_upto(response_hex, bytes, sizeof(bytes), &len));
	assert_rc(RC_OK, scp80_response_read(&rx.keys, bytes, len, plain, &r));
	assert_true(r.proven);
	assert_int_equal(r.counter, 0x0102030405);
	assert_memory_equal(r.data.at, "\xd0\x02\x90\x00", r.data.left);
	assert_rc(RC_OK, scp80_response_write(&rx.keys, &r, &p));
	assert_int_equal(p.len, len);
	assert_memory_equal(again, bytes, len);
}

/* The longer keys and the other way of the receipt, made by the second implementation
 * (tests/lib/ota.py): STATUS of slot 1 under counter 01 02 03 04 05, and an answer to it. */
static void vectors_of_longer_keys(void **state)
{
	static const struct {
		size_t key_len;
		bool submit;
		const char *command, *response;
	} rows[] = {
		{ 24, false,
			"002815161922224953418ef51bf44bd68bd7f6b89985d3f98a9e47876dc013aabea8ae"
			"65d13411586971",
			"027100002412495341083b7f8f25c44890ca6036a069e2895131569353e995a39e4b2e"
			"49cf910f0a9f" },
		{ 24, true,
			"00281516392222495341ad3e2c612c7d6692acd49893f5c4219e31f692dc386bed2769"
			"1fc54e9f503f90",
			"027100002412495341083b7f8f25c44890ca6036a069e2895131569353e995a39e4b2e"
			"49cf910f0a9f" },
		{ 32, false,
			"002815161922224953411c187178d7600c787f0145c61c988c07351505467c7d6bf73e"
			"ecd4fae7c4fb19",
			"02710000241249534163fdb4593ed8994a9984c2af2db8f8a0e18f531275edadffb791"
			"328044b6fef6" },
		{ 32, true,
			"00281516392222495341140c76612735ab3b79e18579e0259ed6dc32947c37df78fe9a"
			"700e0693d2e0ad",
			"02710000241249534163fdb4593ed8994a9984c2af2db8f8a0e18f531275edadffb791"
			"328044b6fef6" },
	};
	uint8_t long_kic[SCP80_KEY_MAX], long_kid[SCP80_KEY_MAX], bytes[64], again[64];
	uint8_t plain[SCP80_UD_MAX];

	(void)state;
	for (size_t i = 0; i < SCP80_KEY_MAX; i++) {
		long_kic[i] = (uint8_t)(0x20 + i);
		long_kid[i] = (uint8_t)(0x60 + i);
	}
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct scp80_receiver rx = { .keys = { .kvn = 2,
						     .kic = long_kic,
						     .kid = long_kid,
						     .len = rows[i].key_len },
			.tar = { 'I', 'S', 'A' } };
		struct put p = put_init(again, sizeof(again));
		struct scp80_command cmd;
		struct scp80_response r;
		bool authentic;
		size_t len;

		assert_rc(RC_OK, hex_read_upto(rows[i].command, bytes, sizeof(bytes), &len));
		assert_int_equal(
			SCP80_OK, scp80_command_read(&rx, bytes, len, plain, &cmd, &authentic));
		assert_int_equal(cmd.counter, 0x0102030405);
		assert_int_equal(cmd.por_submit, rows[i].submit);
		assert_memory_equal(cmd.data.at, "\xdc\x03\x80\x01\x01", cmd.data.left);
		assert_rc(RC_OK, scp80_command_write(&rx.keys, &cmd, &p));
		assert_int_equal(p.len, len);
		assert_memory_equal(again, bytes, len);
		rx.keys.len = 16;
		assert_int_equal(SCP80_CC_FAILED,
			scp80_command_read(&rx, bytes, len, plain, &cmd, &authentic));
		rx.keys.len = 20;
		assert_int_equal(SCP80_UNIDENTIFIED,
			scp80_command_read(&rx, bytes, len, plain, &cmd, &authentic));

		rx.keys.len = rows[i].key_len;
		p = put_init(again, sizeof(again));
		assert_rc(RC_OK, hex_read_upto(rows[i].response, bytes, sizeof(bytes), &len));
		assert_rc(RC_OK, scp80_response_read(&rx.keys, bytes, len, plain, &r));
		assert_true(r.proven);
		assert_memory_equal(r.data.at, "\xd0\x02\x90\x00", r.data.left);
		assert_rc(RC_OK, scp80_response_write(&rx.keys, &r, &p));
		assert_int_equal(p.len, len);
		assert_memory_equal(again, bytes, len);
	}
}

/* Whatever a packet asks for below the profile is refused, and the receipt of the refusal shows
 * that it proves nothing. */
static void lower_levels_are_refused(void **state)
{
	uint8_t packet[SCP80_PACKET_MAX], plain[SCP80_PACKET_MAX];
	struct scp80_receiver rx = receiver(0);
	size_t len = command(1, (const uint8_t *)"x", 1, packet);
	struct scp80_command cmd;
	bool authentic;

	(void)state;
	for (unsigned spi1 = 0; spi1 < 256; spi1++) {
		for (unsigned spi2 = 0; spi2 < 256; spi2++) {
			if (spi1 == 0x16 && (spi2 == 0x19 || spi2 == 0x39))
				continue;
			packet[3] = (uint8_t)spi1;
			packet[4] = (uint8_t)spi2;
			assert_int_equal(SCP80_LEVEL,
				scp80_command_read(&rx, packet, len, plain, &cmd, &authentic));
			assert_false(authentic);
		}
	}
}

static void command_goes_through(void **state)
{
	uint8_t data[600], packet[SCP80_PACKET_MAX], plain[SCP80_PACKET_MAX];
	struct scp80_receiver rx = receiver(6);
	struct scp80_command cmd;
	bool authentic;

	(void)state;
	for (size_t i = 0; i < sizeof(data); i++)
		data[i] = (uint8_t)(i * 7);
	for (size_t n = 0; n <= sizeof(data); n += 13) {
		size_t len = command(7, data, n, packet);

		assert_int_equal((len - 10) % 16, 0);
		assert_int_equal(
			SCP80_OK, scp80_command_read(&rx, packet, len, plain, &cmd, &authentic));
		assert_true(authentic);
		assert_int_equal(cmd.counter, 7);
		assert_int_equal(cmd.data.left, n);
		assert_memory_equal(cmd.data.at, data, n);
	}
}

static void capacity_matches_the_packets(void **state)
{
	static const size_t want[] = { 0, 98, 242, 370, 498, 642 };
	uint8_t packet[SCP80_PACKET_MAX], data[SCP80_PACKET_MAX] = { 0 };

	(void)state;
	for (unsigned n = 0; n < ARRAY_LEN(want); n++)
		assert_int_equal(scp80_capacity(n), want[n]);
	assert_int_equal(scp80_capacity(SCP80_PARTS_MAX + 1), 0);
	assert_true(command(1, data, scp80_capacity(1), packet) <= SCP80_UD_MAX - 3);
	for (unsigned n = 2; n <= SCP80_PARTS_MAX; n++) {
		size_t room = SCP80_FIRST_MAX + (n - 1) * (size_t)SCP80_NEXT_MAX;

		assert_true(command(1, data, scp80_capacity(n), packet) <= room);
		if (n < SCP80_PARTS_MAX)
			assert_true(command(1, data, scp80_capacity(n) + 1, packet) > room);
	}
}

static void counter_must_grow(void **state)
{
	static const struct {
		uint64_t last, sent;
		enum scp80_status status;
	} rows[] = { { 0, 1, SCP80_OK }, { 5, 6, SCP80_OK }, { 5, 1000, SCP80_OK },
		{ 0, 0, SCP80_COUNTER_LOW }, { 5, 5, SCP80_COUNTER_LOW },
		{ 5, 4, SCP80_COUNTER_LOW }, { SCP80_COUNTER_MAX - 1, SCP80_COUNTER_MAX, SCP80_OK },
		{ SCP80_COUNTER_MAX, SCP80_COUNTER_MAX, SCP80_COUNTER_BLOCKED } };
	uint8_t packet[SCP80_PACKET_MAX], plain[SCP80_PACKET_MAX];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct scp80_receiver rx = receiver(rows[i].last);
		size_t len = command(rows[i].sent, (const uint8_t *)"x", 1, packet);
		struct scp80_command cmd;
		bool authentic;

		assert_int_equal(rows[i].status,
			scp80_command_read(&rx, packet, len, plain, &cmd, &authentic));
		assert_true(authentic);
		assert_int_equal(cmd.counter, rows[i].sent);
	}
}

static void damaged_commands_are_refused(void **state)
{
	uint8_t packet[SCP80_PACKET_MAX], plain[SCP80_PACKET_MAX];
	struct scp80_receiver rx = receiver(0);
	size_t len = command(1, (const uint8_t *)"0123456789abcdef0", 17, packet);
	struct scp80_command cmd;
	bool authentic;

	(void)state;
	for (size_t cut = 0; cut < len; cut++) {
		assert_int_not_equal(
			SCP80_OK, scp80_command_read(&rx, packet, cut, plain, &cmd, &authentic));
		assert_false(authentic);
	}
	for (size_t bit = 0; bit < len * 8; bit++) {
		packet[bit / 8] ^= (uint8_t)(1u << bit % 8);
		assert_int_not_equal(
			SCP80_OK, scp80_command_read(&rx, packet, len, plain, &cmd, &authentic));
		assert_false(authentic);
		packet[bit / 8] ^= (uint8_t)(1u << bit % 8);
	}
	rx.tar[0] ^= 1;
	assert_int_equal(
		SCP80_TAR_UNKNOWN, scp80_command_read(&rx, packet, len, plain, &cmd, &authentic));
	rx.tar[0] ^= 1;
	rx.keys.kvn = 3;
	assert_int_equal(
		SCP80_UNIDENTIFIED, scp80_command_read(&rx, packet, len, plain, &cmd, &authentic));
	rx.keys.kvn = 2;
	rx.keys.kid = kic;
	assert_int_equal(
		SCP80_CC_FAILED, scp80_command_read(&rx, packet, len, plain, &cmd, &authentic));
}

static void response_is_proof_only_when_protected(void **state)
{
	struct scp80_receiver rx = receiver(0);
	struct scp80_response r = { .tar = { 0x49, 0x53, 0x41 }, .counter = 9 }, got;
	uint8_t data[SCP80_RESPONSE_MAX + 1], ud[SCP80_UD_MAX], plain[SCP80_UD_MAX];
	struct put p;

	(void)state;
	memset(data, 0xd1, sizeof(data));
	for (size_t n = 0; n <= SCP80_RESPONSE_MAX; n++) {
		p = put_init(ud, sizeof(ud));
		r.data = cur_init(data, n);
		assert_rc(RC_OK, scp80_response_write(&rx.keys, &r, &p));
		assert_true(p.len <= 128);
		assert_rc(RC_OK, scp80_response_read(&rx.keys, ud, p.len, plain, &got));
		assert_true(got.proven);
		assert_int_equal(got.counter, 9);
		assert_int_equal(got.data.left, n);
		assert_memory_equal(got.data.at, data, n);
	}
	for (size_t cut = 0; cut < p.len; cut++)
		assert_int_not_equal(RC_OK, scp80_response_read(&rx.keys, ud, cut, plain, &got));
	for (size_t bit = 0; bit < p.len * 8; bit++) {
		ud[bit / 8] ^= (uint8_t)(1u << bit % 8);
		/* Never a proof: the checksum covers the user data header too. */
		if (scp80_response_read(&rx.keys, ud, p.len, plain, &got) == RC_OK)
			assert_false(got.proven);
		ud[bit / 8] ^= (uint8_t)(1u << bit % 8);
	}
	r.data = cur_init(data, sizeof(data));
	assert_rc(RC_TOO_LARGE, scp80_response_write(&rx.keys, &r, &p));

	p = put_init(ud, sizeof(ud));
	r.status = SCP80_CC_FAILED;
	r.data = cur_init(data, 0);
	assert_rc(RC_OK, scp80_response_write(NULL, &r, &p));
	assert_memory_equal(ud, "\x02\x71\x00\x00\x0b\x0a\x49\x53\x41", 9);
	assert_rc(RC_OK, scp80_response_read(&rx.keys, ud, p.len, plain, &got));
	assert_false(got.proven);
	assert_int_equal(got.status, SCP80_CC_FAILED);
	assert_int_equal(got.data.left, 0);
	ud[p.len - 1] = SCP80_OK;
	assert_rc(RC_SIGNATURE, scp80_response_read(&rx.keys, ud, p.len, plain, &got));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(published_response),
		cmocka_unit_test(published_command),
		cmocka_unit_test(vector_of_the_profile),
		cmocka_unit_test(vectors_of_longer_keys),
		cmocka_unit_test(lower_levels_are_refused),
		cmocka_unit_test(command_goes_through),
		cmocka_unit_test(capacity_matches_the_packets),
		cmocka_unit_test(counter_must_grow),
		cmocka_unit_test(damaged_commands_are_refused),
		cmocka_unit_test(response_is_proof_only_when_protected),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
