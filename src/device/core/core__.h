/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Between the files of device/core only, which a microcontroller compiles: no libc header, no
 * allocation. */

#include "base/cur.h"
#include "base/rc.h"
#include "iotsafe_core.h"

#define CORE_NO_LE (-1)
#define CORE_SW_OK 0x9000
/* Class bits, INS, P1 and P2 as one number. */
#define CORE_HEADER(ins, p1, p2) ((uint32_t)(ins) << 16 | (uint32_t)(p1) << 8 | (uint32_t)(p2))
#define CORE_PROPRIETARY	 0x80000000U /* class 8X instead of 0X */

void core__copy(unsigned char *to, const unsigned char *from, size_t len);

/* Sends CLA(channel) INS P1 P2 [Lc data] [Le], follows 61xx and 6Cxx; the answer is core->answer
 * and core->sw. IOTSAFE_OK whatever SW came. */
enum iotsafe_error core__command(struct iotsafe_core *core, uint32_t header,
	const unsigned char *data, size_t len, int le) ATT_MUST_CHECK;
/* IOTSAFE_OK for 9000; else what the status word means. IOTSAFE_ENOCARD when channel or selection
 * are lost: open again. `what` names the command in messages. */
enum iotsafe_error core__status(struct iotsafe_core *core, const char *what) ATT_MUST_CHECK;
/* Both. */
enum iotsafe_error core__ask(struct iotsafe_core *core, uint32_t header, const unsigned char *data,
	size_t len, int le, const char *what) ATT_MUST_CHECK;
/* The answer makes no sense. */
enum iotsafe_error core__nonsense(struct iotsafe_core *core, const char *what);

/* Pure parsers, fuzzed. Object structures, wrapped in C1..C4 or bare: writes at most `cap`, *count
 * is their number. */
enum rc dev__objects_parse(const uint8_t *bytes, size_t len, struct iotsafe_object *out, size_t cap,
	size_t *count) ATT_MUST_CHECK;
/* GET DATA 00. Tags in any order, unknown ones skipped. */
enum rc dev__applet_parse(
	const uint8_t *bytes, size_t len, struct iotsafe_applet *out) ATT_MUST_CHECK;
/* 34 45 49 43 86 41 04..., or the bare point. */
enum rc dev__point_parse(
	const uint8_t *bytes, size_t len, uint8_t point[IOTSAFE_POINT_LEN]) ATT_MUST_CHECK;
/* 33 40 ... or 33 00 40 .... */
enum rc dev__signature_parse(
	const uint8_t *bytes, size_t len, uint8_t sig[IOTSAFE_SIG_LEN]) ATT_MUST_CHECK;
