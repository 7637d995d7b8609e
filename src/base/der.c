/* SPDX-License-Identifier: Apache-2.0 */
#include "base/der.h"

/* X.690 section 10.1: the shortest definite form. Three octets of length are
 * more than any object here may have. */
static size_t read_len(struct cur *c)
{
	uint8_t first = cur_u8(c);
	size_t len = 0;

	if (first < 0x80)
		return first;
	if (first == 0x81)
		len = cur_u8(c);
	else if (first == 0x82)
		len = cur_u16(c);
	else if (first == 0x83)
		len = cur_u24(c);
	if (len < 0x80 || (first == 0x82 && len < 0x100) || (first == 0x83 && len < 0x10000))
		cur_fail(c);
	return len;
}

struct cur der_any(struct cur *c, uint8_t *tag)
{
	*tag = cur_u8(c);
	if ((*tag & 0x1f) == 0x1f || *tag == 0) /* multi-byte tags, end-of-contents */
		cur_fail(c);
	struct cur content = cur_take(c, read_len(c));
	if (content.bad)
		*tag = 0;
	return content;
}

struct cur der_take(struct cur *c, unsigned tag)
{
	uint8_t got;
	struct cur content = der_any(c, &got);

	if (!content.bad && got != tag) {
		cur_fail(c);
		cur_fail(&content);
	}
	return content;
}

struct cur der_whole(struct cur *c, unsigned tag)
{
	const uint8_t *start = c->at;
	struct cur content = der_take(c, tag);

	if (content.bad)
		return content;
	return cur_init(start, (size_t)(c->at - start));
}

bool der_next_is(const struct cur *c, unsigned tag)
{
	return cur_peek(c) == (int)tag;
}

bool der_equal(const struct cur *c, const void *bytes, size_t len)
{
	const uint8_t *b = bytes;

	if (c->bad || c->left != len)
		return false;
	for (size_t i = 0; i < len; i++)
		if (c->at[i] != b[i])
			return false;
	return true;
}

struct cur der_uint(struct cur *c)
{
	struct cur n = der_take(c, DER_INTEGER);
	bool bad = n.bad || n.left == 0 || (n.at[0] & 0x80);

	if (!bad && n.at[0] == 0 && n.left > 1) {
		cur_skip(&n, 1);
		bad = !(n.at[0] & 0x80); /* the sign octet was not needed */
	}
	if (bad) {
		cur_fail(c);
		cur_fail(&n);
	}
	return n;
}

struct cur der_bits(struct cur *c)
{
	struct cur bits = der_take(c, DER_BIT_STRING);

	if (cur_u8(&bits) != 0 || bits.bad) {
		cur_fail(c);
		cur_fail(&bits);
	}
	return bits;
}

/* Days since 1970-01-01 of a date of the Gregorian calendar (year >= 1950). */
static int64_t days_from_civil(int64_t y, int64_t m, int64_t day)
{
	y -= m <= 2;
	int64_t era = y / 400;
	int64_t yoe = y - era * 400;
	int64_t doy = (153 * (m + (m > 2 ? -3 : 9)) + 2) / 5 + day - 1;
	int64_t doe = yoe * 365 + yoe / 4 - yoe / 100 + doy;

	return era * 146097 + doe - 719468;
}

static void civil_from_days(int64_t days, int64_t *y, int64_t *m, int64_t *day)
{
	days += 719468;
	int64_t era = days / 146097;
	int64_t doe = days - era * 146097;
	int64_t yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
	int64_t doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
	int64_t mp = (5 * doy + 2) / 153;

	*day = doy - (153 * mp + 2) / 5 + 1;
	*m = mp < 10 ? mp + 3 : mp - 9;
	*y = yoe + era * 400 + (*m <= 2);
}

static int64_t two_digits(struct cur *c)
{
	uint8_t hi = cur_u8(c), lo = cur_u8(c);

	if (hi < '0' || hi > '9' || lo < '0' || lo > '9') {
		cur_fail(c);
		return 0;
	}
	return (hi - '0') * 10 + (lo - '0');
}

int64_t der_time(struct cur *c)
{
	uint8_t tag;
	struct cur t = der_any(c, &tag);
	int64_t y = 0, y2, m2, d2;

	if (tag == DER_GENTIME)
		y = two_digits(&t) * 100;
	else if (tag != DER_UTCTIME)
		cur_fail(&t);
	y += two_digits(&t);
	if (tag == DER_UTCTIME)
		y += y < 50 ? 2000 : 1900;
	int64_t mon = two_digits(&t), day = two_digits(&t);
	int64_t h = two_digits(&t), min = two_digits(&t), s = two_digits(&t);
	bool z = cur_u8(&t) == 'Z' && cur_done(&t);
	/* RFC 5280: GeneralizedTime only from 2050 on. */
	if (!z || mon < 1 || mon > 12 || day < 1 || h > 23 || min > 59 || s > 59 ||
		(tag == DER_GENTIME && y < 2050)) {
		cur_fail(c);
		return 0;
	}
	int64_t days = days_from_civil(y, mon, day);
	civil_from_days(days, &y2, &m2, &d2);
	if (m2 != mon || d2 != day) { /* 31 February */
		cur_fail(c);
		return 0;
	}
	return days * 86400 + h * 3600 + min * 60 + s;
}

static bool copy_scalar(struct cur *sig, uint8_t out[32])
{
	struct cur n = der_uint(sig);
	size_t pad = 32 - n.left;
	uint8_t any = 0;

	if (n.bad || n.left > 32)
		return false;
	for (size_t i = 0; i < 32; i++) {
		out[i] = i < pad ? 0 : n.at[i - pad];
		any |= out[i];
	}
	return any != 0;
}

bool der_ecdsa_read(const uint8_t *der, size_t len, uint8_t raw[64])
{
	struct cur c = cur_init(der, len);
	struct cur sig = der_take(&c, DER_SEQUENCE);

	return copy_scalar(&sig, raw) && copy_scalar(&sig, raw + 32) && cur_done(&sig) &&
	       cur_done(&c);
}

size_t der_open(struct put *p, unsigned tag)
{
	put_u8(p, (uint8_t)tag);
	put_u8(p, 0);
	return p->len;
}

void der_close(struct put *p, size_t mark)
{
	if (p->bad)
		return;
	size_t len = p->len - mark;
	size_t extra = len < 0x80 ? 0 : len < 0x100 ? 1 : len < 0x10000 ? 2 : 3;

	if (len > 0xffffff || !put_reserve(p, extra)) {
		p->bad = true;
		return;
	}
	if (extra > 0)
		for (size_t i = len; i-- > 0;)
			p->buf[mark + extra + i] = p->buf[mark + i];
	p->buf[mark - 1] = extra == 0 ? (uint8_t)len : (uint8_t)(0x80 | extra);
	for (size_t i = 0; i < extra; i++)
		p->buf[mark + i] = (uint8_t)(len >> (8 * (extra - 1 - i)));
}

void der_put(struct put *p, unsigned tag, const void *bytes, size_t len)
{
	size_t mark = der_open(p, tag);

	put_bytes(p, bytes, len);
	der_close(p, mark);
}

void der_put_str(struct put *p, unsigned tag, const char *text)
{
	size_t mark = der_open(p, tag);

	put_str(p, text);
	der_close(p, mark);
}

void der_put_uint(struct put *p, const uint8_t *be, size_t len)
{
	while (len > 0 && *be == 0) {
		be++;
		len--;
	}
	size_t mark = der_open(p, DER_INTEGER);
	if (len == 0 || (*be & 0x80))
		put_u8(p, 0);
	put_bytes(p, be, len);
	der_close(p, mark);
}

void der_put_bits(struct put *p, const void *bytes, size_t len)
{
	size_t mark = der_open(p, DER_BIT_STRING);

	put_u8(p, 0);
	put_bytes(p, bytes, len);
	der_close(p, mark);
}

static void put_two(struct put *p, int64_t n)
{
	put_u8(p, (uint8_t)('0' + n / 10));
	put_u8(p, (uint8_t)('0' + n % 10));
}

void der_put_time(struct put *p, int64_t unix_s)
{
	int64_t y, m, day, of_day;

	if (unix_s < -631152000 || unix_s > 253402300799) { /* 1950-01-01 .. 9999-12-31 */
		p->bad = true;
		return;
	}
	of_day = (unix_s % 86400 + 86400) % 86400;
	civil_from_days((unix_s - of_day) / 86400, &y, &m, &day);
	size_t mark = der_open(p, y < 2050 ? DER_UTCTIME : DER_GENTIME);
	if (y >= 2050)
		put_two(p, y / 100);
	put_two(p, y % 100);
	put_two(p, m);
	put_two(p, day);
	put_two(p, of_day / 3600);
	put_two(p, of_day / 60 % 60);
	put_two(p, of_day % 60);
	put_u8(p, 'Z');
	der_close(p, mark);
}

size_t der_ecdsa_write(const uint8_t raw[64], uint8_t der[DER_ECDSA_MAX])
{
	struct put p = put_init(der, DER_ECDSA_MAX);
	size_t mark = der_open(&p, DER_SEQUENCE);

	der_put_uint(&p, raw, 32);
	der_put_uint(&p, raw + 32, 32);
	der_close(&p, mark);
	return p.len;
}
