/* SPDX-License-Identifier: Apache-2.0 */
#include "http/head.h"

#include "base/str.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* Where a head is being read, and what was wrong with it. */
struct reader {
	struct cur line; /* rest of the line at hand */
	struct http_head *head;
	unsigned status;
	const char *why;
	unsigned seen; /* enum seen */
};

enum seen {
	SEEN_HOST = 1,
	SEEN_LENGTH = 2,
	SEEN_CODING = 4,
	SEEN_TYPE = 8,
	SEEN_KEY = 16,
	SEEN_EXPECT = 32,
	SEEN_CONNECTION = 64,
	SEEN_CASE = 128,
	SEEN_WHY = 256
};

static bool refuse(struct reader *r, unsigned status, const char *why)
{
	r->status = status;
	r->why = why;
	return false;
}

/* RFC 9110 section 5.6.2. */
static bool is_token_char(int ch)
{
	return ch > 0x20 && ch < 0x7f && !strchr("\"(),/:;<=>?@[\\]{}", ch);
}

/* Takes characters up to `stop`, which is taken too. RC_MALFORMED when it is not there. */
static bool take_until(struct cur *line, char stop, const char **text, size_t *len)
{
	const uint8_t *end = line->left ? memchr(line->at, stop, line->left) : NULL;

	if (!end)
		return false;
	*text = (const char *)line->at;
	*len = (size_t)(end - line->at);
	cur_skip(line, *len + 1);
	return true;
}

static bool copy_text(char *out, size_t cap, const char *text, size_t len)
{
	if (len >= cap)
		return false;
	memcpy(out, text, len);
	out[len] = '\0';
	return true;
}

/* Origin form only (RFC 9112 section 3.2.1): we are not a proxy. */
static bool read_target(struct reader *r, const char *text, size_t len)
{
	const char *mark = memchr(text, '?', len);
	size_t path_len = mark ? (size_t)(mark - text) : len;

	if (len >= HTTP_TARGET_MAX)
		return refuse(r, 414, "the request target is too long");
	if (!len || text[0] != '/')
		return refuse(r, 400, "the request target must be a path");
	for (size_t i = 0; i < len; i++)
		if (text[i] <= 0x20 || text[i] >= 0x7f || text[i] == '#')
			return refuse(r, 400, "the request target holds a forbidden character");
	r->head->has_query = mark != NULL;
	if (!copy_text(r->head->path, sizeof(r->head->path), text, path_len) ||
		(mark && !copy_text(r->head->query, sizeof(r->head->query), mark + 1,
				 len - path_len - 1)))
		return refuse(r, 414, "the request target is too long");
	return true;
}

static bool read_request_line(struct reader *r)
{
	const char *text;
	size_t len;

	if (!take_until(&r->line, ' ', &text, &len) || !len)
		return refuse(r, 400, "malformed request line");
	for (size_t i = 0; i < len; i++)
		if (!is_token_char(text[i]))
			return refuse(r, 400, "malformed method");
	if (!copy_text(r->head->method, sizeof(r->head->method), text, len))
		return refuse(r, 501, "unknown method");
	if (!take_until(&r->line, ' ', &text, &len))
		return refuse(r, 400, "malformed request line");
	if (!read_target(r, text, len))
		return false;
	if (r->line.left != 8 || memcmp(r->line.at, "HTTP/", 5) != 0)
		return refuse(r, 400, "malformed request line");
	r->head->http_1_1 = memcmp(r->line.at, "HTTP/1.1", 8) == 0;
	r->head->keep_alive = r->head->http_1_1;
	if (!r->head->http_1_1 && memcmp(r->line.at, "HTTP/1.0", 8) != 0)
		return refuse(r, 505, "only HTTP/1.1 is spoken here");
	return true;
}

/* A field that must not come twice: two values are two meanings. */
static bool once(struct reader *r, enum seen which)
{
	if (r->seen & which)
		return refuse(r, 400, "a header field stands twice");
	r->seen |= which;
	return true;
}

static bool read_length(struct reader *r, const char *value)
{
	if (!once(r, SEEN_LENGTH))
		return false;
	if (u64_read(value, 0, INT64_MAX, &r->head->content_length) != RC_OK)
		return refuse(r, 400, "malformed Content-Length");
	r->head->has_length = true;
	return true;
}

static bool read_coding(struct reader *r, const char *value)
{
	if (!once(r, SEEN_CODING))
		return false;
	if (strcasecmp(value, "chunked") != 0)
		return refuse(r, 501, "unknown Transfer-Encoding");
	r->head->chunked = true;
	return true;
}

/* RFC 9112 section 9.3; options other than close mean nothing here. */
static void read_connection(struct reader *r, const char *value)
{
	for (const char *at = value; *at;) {
		size_t len;
		at += strspn(at, ", \t");
		len = strcspn(at, ", \t");
		if (len == 5 && strncasecmp(at, "close", 5) == 0)
			r->head->keep_alive = false;
		at += len;
	}
}

static bool read_value(struct reader *r, const char *name, const char *value)
{
	struct http_head *h = r->head;
	size_t len = strlen(value);

	if (strcasecmp(name, "Host") == 0)
		return once(r, SEEN_HOST) && (len || refuse(r, 400, "Host is empty"));
	if (strcasecmp(name, "Content-Length") == 0)
		return read_length(r, value);
	if (strcasecmp(name, "Transfer-Encoding") == 0)
		return read_coding(r, value);
	if (strcasecmp(name, "Connection") == 0) {
		read_connection(r, value);
		return true;
	}
	if (strcasecmp(name, "Content-Type") == 0)
		return once(r, SEEN_TYPE) &&
		       (copy_text(h->content_type, sizeof(h->content_type), value, len) ||
			       refuse(r, 415, "Content-Type is too long"));
	if (strcasecmp(name, "Idempotency-Key") == 0) {
		h->has_idempotency_key = true;
		return once(r, SEEN_KEY) &&
		       (copy_text(h->idempotency_key, sizeof(h->idempotency_key), value, len) ||
			       refuse(r, 400, "Idempotency-Key is over 64 characters"));
	}
	if (strcasecmp(name, "Case-Id") == 0)
		return once(r, SEEN_CASE) &&
		       (copy_text(h->case_id, sizeof(h->case_id), value, len) ||
			       refuse(r, 400, "Case-Id is over 64 bytes"));
	if (strcasecmp(name, "Change-Reason") == 0)
		return once(r, SEEN_WHY) &&
		       (copy_text(h->why, sizeof(h->why), value, len) ||
			       refuse(r, 400, "Change-Reason is over 128 bytes"));
	if (strcasecmp(name, "Expect") == 0) {
		h->expect_continue = true;
		return once(r, SEEN_EXPECT) && (strcasecmp(value, "100-continue") == 0 ||
						       refuse(r, 417, "unknown expectation"));
	}
	return true;
}

static bool read_field(struct reader *r)
{
	char name[64], value[HTTP_HEAD_MAX];
	const char *text;
	size_t len;

	/* A line that begins with a space would continue the one before: RFC 9112 section 5.2
	 * lets us refuse; no space may stand before the colon: section 5.1. */
	if (!take_until(&r->line, ':', &text, &len) || !len)
		return refuse(r, 400, "malformed header field");
	for (size_t i = 0; i < len; i++)
		if (!is_token_char((unsigned char)text[i]))
			return refuse(r, 400, "malformed header field name");
	if (!copy_text(name, sizeof(name), text, len))
		return true; /* none of ours */
	text = (const char *)r->line.at;
	len = r->line.left;
	for (size_t i = 0; i < len; i++) {
		unsigned char ch = (unsigned char)text[i];
		if ((ch < 0x20 && ch != '\t') || ch == 0x7f)
			return refuse(r, 400, "a header field holds a control character");
	}
	while (len && (*text == ' ' || *text == '\t')) {
		text++;
		len--;
	}
	while (len && (text[len - 1] == ' ' || text[len - 1] == '\t'))
		len--;
	if (!copy_text(value, sizeof(value), text, len))
		return refuse(r, 431, "a header field is too long");
	return read_value(r, name, value);
}

/* What only the whole head can tell. */
static bool check_framing(struct reader *r)
{
	struct http_head *h = r->head;

	if (h->http_1_1 && !(r->seen & SEEN_HOST))
		return refuse(r, 400, "Host is missing");
	if (h->chunked && !h->http_1_1)
		return refuse(r, 400, "HTTP/1.0 has no Transfer-Encoding");
	/* RFC 9112 section 6.1: the classic way to hide a request in a body. */
	if (h->chunked && h->has_length)
		return refuse(r, 400, "Content-Length and Transfer-Encoding exclude each other");
	return true;
}

enum rc http_head_end(const uint8_t *bytes, size_t len, size_t *head_len)
{
	size_t look = len < HTTP_HEAD_MAX ? len : HTTP_HEAD_MAX;
	const uint8_t *end = look ? memmem(bytes, look, "\r\n\r\n", 4) : NULL;

	if (!end)
		return len >= HTTP_HEAD_MAX ? RC_TOO_LARGE : RC_TRUNCATED;
	*head_len = (size_t)(end - bytes) + 4;
	return RC_OK;
}

enum rc http_head_parse(
	const uint8_t *bytes, size_t len, struct http_head *out, unsigned *status, const char **why)
{
	struct reader r = { .head = out };
	struct cur all = cur_init(bytes, len);
	size_t lines = 0;
	bool ok = true, ended = false;

	memset(out, 0, sizeof(*out));
	while (ok && !ended) {
		const uint8_t *end = all.left ? memchr(all.at, '\n', all.left) : NULL;
		size_t n = end ? (size_t)(end - all.at) : 0;

		/* Only CR LF ends a line: a bare LF is an old way to smuggle. */
		if (!end || n < 1 || all.at[n - 1] != '\r' ||
			memchr(all.at, '\r', n) != all.at + n - 1) {
			ok = refuse(&r, 400, "malformed line end");
			break;
		}
		r.line = cur_take(&all, n - 1);
		cur_skip(&all, 2);
		if (!r.line.left && lines)
			ended = true;
		else if (lines++ == 0)
			ok = read_request_line(&r);
		else if (lines > HTTP_FIELDS_MAX + 1)
			ok = refuse(&r, 431, "too many header fields");
		else
			ok = read_field(&r);
	}
	ok = ok && (cur_done(&all) || refuse(&r, 400, "malformed head")) && check_framing(&r);
	if (ok)
		return RC_OK;
	*status = r.status;
	*why = r.why;
	return RC_MALFORMED;
}

/* ---- chunks ---- */

enum { CHUNK_SIZE, CHUNK_DATA, CHUNK_DATA_END, CHUNK_LAST };
enum { CHUNK_LINE_MAX = 18 }; /* sixteen digits and CR LF */

static enum rc chunk_size(struct http_chunks *c, struct buf *in)
{
	const uint8_t *at = buf_at(in);
	size_t len = buf_len(in), n = 0;
	uint64_t size = 0;

	for (; n < len && n < CHUNK_LINE_MAX - 2; n++) {
		int ch = at[n] | 0x20;
		if (at[n] >= '0' && at[n] <= '9')
			size = size << 4 | (uint64_t)(at[n] - '0');
		else if (ch >= 'a' && ch <= 'f')
			size = size << 4 | (uint64_t)(ch - 'a' + 10);
		else
			break;
	}
	if (n == len || (n && n + 1 == len && at[n] == '\r'))
		return len >= CHUNK_LINE_MAX ? RC_MALFORMED : RC_TRUNCATED;
	if (!n || at[n] != '\r' || at[n + 1] != '\n')
		return RC_MALFORMED;
	buf_drop(in, n + 2);
	c->left = size;
	c->state = size ? CHUNK_DATA : CHUNK_LAST;
	return RC_OK;
}

static enum rc take_line_end(struct buf *in)
{
	const uint8_t *at = buf_at(in);
	size_t len = buf_len(in);

	if ((len > 0 && at[0] != '\r') || (len > 1 && at[1] != '\n'))
		return RC_MALFORMED;
	if (len < 2)
		return RC_TRUNCATED;
	buf_drop(in, 2);
	return RC_OK;
}

static enum rc chunk_data(struct http_chunks *c, struct buf *in, struct buf *body, size_t max)
{
	size_t n = buf_len(in) < c->left ? buf_len(in) : (size_t)c->left;
	enum rc rc;

	if (c->left > max - buf_len(body))
		return RC_TOO_LARGE;
	rc = buf_add(body, buf_at(in), n);
	if (rc != RC_OK)
		return rc;
	buf_drop(in, n);
	c->left -= n;
	if (c->left)
		return RC_TRUNCATED;
	c->state = CHUNK_DATA_END;
	return RC_OK;
}

enum rc http_chunks_read(struct http_chunks *c, struct buf *in, struct buf *body, size_t max)
{
	enum rc rc = RC_OK;

	while (rc == RC_OK) {
		if (!buf_len(in))
			return RC_TRUNCATED;
		if (c->state == CHUNK_SIZE) {
			rc = chunk_size(c, in);
		} else if (c->state == CHUNK_DATA) {
			rc = chunk_data(c, in, body, max);
		} else if (c->state == CHUNK_DATA_END) {
			rc = take_line_end(in);
			if (rc == RC_OK)
				c->state = CHUNK_SIZE;
		} else {
			return take_line_end(in); /* a trailer would stand here */
		}
	}
	return rc;
}

const char *http_phrase(unsigned status)
{
	static const struct {
		unsigned status;
		const char *phrase;
	} map[] = {
		{ 200, "OK" },
		{ 201, "Created" },
		{ 202, "Accepted" },
		{ 400, "Bad Request" },
		{ 401, "Unauthorized" },
		{ 403, "Forbidden" },
		{ 404, "Not Found" },
		{ 405, "Method Not Allowed" },
		{ 408, "Request Timeout" },
		{ 409, "Conflict" },
		{ 413, "Content Too Large" },
		{ 414, "URI Too Long" },
		{ 415, "Unsupported Media Type" },
		{ 417, "Expectation Failed" },
		{ 422, "Unprocessable Content" },
		{ 429, "Too Many Requests" },
		{ 431, "Request Header Fields Too Large" },
		{ 500, "Internal Server Error" },
		{ 501, "Not Implemented" },
		{ 503, "Service Unavailable" },
		{ 505, "HTTP Version Not Supported" },
	};

	for (size_t i = 0; i < ARRAY_LEN(map); i++)
		if (map[i].status == status)
			return map[i].phrase;
	return "Status";
}
