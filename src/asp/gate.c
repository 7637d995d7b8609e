/* SPDX-License-Identifier: Apache-2.0 */
#include "asp/gate.h"

#include "base/cur.h"
#include "base/str.h"

#include <string.h>
#include <strings.h>

#define BEGIN "-----BEGIN CERTIFICATE-----"
#define END   "-----END CERTIFICATE-----"

struct span {
	const char *at;
	size_t len;
};

size_t gate_head_len(const uint8_t *bytes, size_t len)
{
	const uint8_t *end = memmem(bytes, len, "\r\n\r\n", 4);

	return end ? (size_t)(end - bytes) + 4 : 0;
}

/* Up to CR LF, which is taken too. No bare CR, LF or NUL. */
static bool take_line(struct cur *c, struct span *line)
{
	const uint8_t *end = memmem(c->at, c->left, "\r\n", 2);

	if (!end)
		return false;
	line->at = (const char *)c->at;
	line->len = (size_t)(end - c->at);
	cur_skip(c, line->len + 2);
	for (size_t i = 0; i < line->len; i++)
		if ((unsigned char)line->at[i] < ' ' && line->at[i] != '\t')
			return false;
	return true;
}

static bool starts(struct span *s, const char *word)
{
	size_t n = strlen(word);

	if (s->len < n || memcmp(s->at, word, n) != 0)
		return false;
	s->at += n;
	s->len -= n;
	return true;
}

static bool read_request_line(struct span line, struct gate_request *out)
{
	const char *space, *query;
	size_t n;

	if (!starts(&line, "GET "))
		return false;
	space = memchr(line.at, ' ', line.len);
	n = space ? (size_t)(space - line.at) : 0;
	if (n == 0 || line.at[0] != '/')
		return false;
	query = memchr(line.at, '?', n);
	if (query)
		n = (size_t)(query - line.at);
	if (n >= sizeof(out->path))
		return false;
	memcpy(out->path, line.at, n);
	line.len -= (size_t)(space - line.at);
	line.at = space;
	out->keep_alive = line.len == 9 && memcmp(line.at, " HTTP/1.1", 9) == 0;
	return out->keep_alive || (line.len == 9 && memcmp(line.at, " HTTP/1.0", 9) == 0);
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* RFC 3986 2.1. */
static bool unescape(struct span from, char *out, size_t cap, size_t *len)
{
	size_t n = 0;

	for (size_t i = 0; i < from.len; i++) {
		char c = from.at[i];

		if (c == '%') {
			int high = i + 2 < from.len ? hex_digit(from.at[i + 1]) : -1;
			int low = i + 2 < from.len ? hex_digit(from.at[i + 2]) : -1;

			if (high < 0 || low < 0)
				return false;
			c = (char)(high << 4 | low);
			i += 2;
		}
		if (n + 1 >= cap || c == '\0')
			return false;
		out[n++] = c;
	}
	out[n] = '\0';
	*len = n;
	return true;
}

/* One certificate, nothing before it and only line ends after it. */
static bool read_pem(struct span field, struct gate_request *out)
{
	char text[GATE_HEAD_MAX], *at = text, *end;
	size_t len = 0, n = 0;

	if (!unescape(field, text, sizeof(text), &len) ||
		strncmp(text, BEGIN, sizeof(BEGIN) - 1) != 0)
		return false;
	at += sizeof(BEGIN) - 1;
	end = strstr(at, END);
	if (!end || strspn(end + sizeof(END) - 1, "\r\n") != strlen(end + sizeof(END) - 1))
		return false;
	for (char *c = at; c < end; c++)
		if (*c != '\n' && *c != '\r')
			text[n++] = *c;
	text[n] = '\0';
	return b64_read(text, n, out->der, sizeof(out->der), &out->der_len) == RC_OK &&
	       out->der_len > 0;
}

static bool is_field(const struct span *name, const char *word)
{
	return name->len == strlen(word) && strncasecmp(name->at, word, name->len) == 0;
}

static struct span trimmed(struct span s)
{
	while (s.len > 0 && (s.at[0] == ' ' || s.at[0] == '\t')) {
		s.at++;
		s.len--;
	}
	while (s.len > 0 && (s.at[s.len - 1] == ' ' || s.at[s.len - 1] == '\t'))
		s.len--;
	return s;
}

static bool read_field(struct span line, struct gate_request *out, bool *seen_cert)
{
	const char *colon = memchr(line.at, ':', line.len);
	struct span name = { line.at, colon ? (size_t)(colon - line.at) : 0 }, value;

	if (name.len == 0 || memchr(name.at, ' ', name.len) || memchr(name.at, '\t', name.len))
		return false; /* folding and spaces before the colon: RFC 9112 5 */
	value = trimmed((struct span){ colon + 1, line.len - name.len - 1 });
	if (is_field(&name, "Transfer-Encoding"))
		return false;
	if (is_field(&name, "Content-Length"))
		return value.len == 1 && value.at[0] == '0';
	if (is_field(&name, "Connection") && value.len == 5 && !strncasecmp(value.at, "close", 5))
		out->keep_alive = false;
	if (!is_field(&name, "X-Client-Cert"))
		return true;
	if (*seen_cert)
		return false;
	*seen_cert = true;
	return value.len == 0 || read_pem(value, out);
}

enum rc gate_request_parse(const uint8_t *bytes, size_t len, struct gate_request *out)
{
	struct cur c = cur_init(bytes, len);
	bool seen_cert = false;
	struct span line;

	memset(out, 0, sizeof(*out));
	if (len > GATE_HEAD_MAX || !take_line(&c, &line) || !read_request_line(line, out))
		return RC_MALFORMED;
	for (unsigned i = 0; i <= GATE_FIELDS_MAX; i++) {
		if (!take_line(&c, &line))
			return RC_MALFORMED;
		if (line.len == 0)
			return cur_done(&c) ? RC_OK : RC_MALFORMED;
		if (!read_field(line, out, &seen_cert))
			return RC_MALFORMED;
	}
	return RC_MALFORMED;
}
