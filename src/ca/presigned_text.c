/* SPDX-License-Identifier: Apache-2.0 */
/* Pre-signed sets as text. */
#include "base/compiler.h"
#include "base/str.h"
#include "ca/presigned.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HEAD	  "attestry-offline 1"
#define LINE_MAX_ 256
#define TTL_MAX	  (7u * 86400)

struct reader {
	struct ca_presigned *p;
	bool has_zone, has_ttl, has_ksk, ended;
};

static enum rc read_zone(struct reader *r, const char *text, struct diag *d)
{
	enum rc rc = str_copy(r->p->zone, sizeof(r->p->zone), text);

	if (rc == RC_OK)
		rc = ca_name_to_wire(r->p->zone, r->p->apex, &r->p->apex_len, d);
	r->has_zone = rc == RC_OK;
	return rc;
}

static enum rc read_ksk(struct reader *r, const char *text, struct diag *d)
{
	uint8_t rdata[CA_DNSKEY_LEN];
	size_t len = 0;
	bool ksk = false;
	enum rc rc = b64_read(text, strlen(text), rdata, sizeof(rdata), &len);

	if (rc == RC_OK)
		rc = ca_dnskey_public(&r->p->ksk, rdata, len, &ksk, d);
	if (rc == RC_OK && !ksk)
		rc = diag_set(d, RC_MALFORMED, "ksk: a ZSK");
	if (rc == RC_OK)
		r->p->tag = ca_key_tag(rdata, len);
	r->has_ksk = rc == RC_OK;
	return rc;
}

/* "FROM TO", what follows it, and whether it is a span at all. */
static const char *read_span(const char *text, uint32_t *from, uint32_t *to)
{
	int n = 0;

	if (sscanf(text, "%10" SCNu32 " %10" SCNu32 "%n", from, to, &n) != 2 || n == 0 ||
		*from == 0 || *to <= *from)
		return NULL;
	return text + n;
}

static enum rc add_span(struct reader *r, const char *text)
{
	struct ca_presigned *p = r->p;
	uint32_t from, to;
	const char *rest = read_span(text, &from, &to);

	if (!rest || *rest || p->span_count == CA_PRESIGNED_SPANS)
		return RC_MALFORMED;
	p->spans[p->span_count].from = from;
	p->spans[p->span_count++].to = to;
	return RC_OK;
}

static enum rc add_set(struct reader *r, const char *text)
{
	uint64_t type;

	if (u64_read(text, 48, 60, &type) != RC_OK || (type != 48 && type != 59 && type != 60))
		return RC_MALFORMED;
	return ca_presigned_add_set(r->p, (uint16_t)type) ? RC_OK : RC_TOO_LARGE;
}

static struct ca_presigned_set *last_set(const struct reader *r)
{
	return r->p->set_count ? &r->p->sets[r->p->set_count - 1] : NULL;
}

static enum rc add_rdata(struct reader *r, const char *text)
{
	struct ca_presigned_set *s = last_set(r);
	uint8_t rdata[CA_DNSKEY_LEN];
	size_t len = 0;
	enum rc rc = s && s->sig_count == 0 ? RC_OK : RC_MALFORMED;

	if (rc == RC_OK)
		rc = b64_read(text, strlen(text), rdata, sizeof(rdata), &len);
	return rc == RC_OK ? ca_presigned_add_rdata(s, rdata, len) : rc;
}

static enum rc add_sig(struct reader *r, const char *text)
{
	struct ca_presigned_set *s = last_set(r);
	struct ca_presigned_sig g, *sigs;
	const char *rest = read_span(text, &g.from, &g.to);
	size_t len = 0;

	if (!s || s->count == 0 || !rest || *rest != ' ' || s->sig_count == CA_PRESIGNED_SPANS ||
		b64_read(rest + 1, strlen(rest + 1), g.sig, sizeof(g.sig), &len) != RC_OK ||
		len != sizeof(g.sig))
		return RC_MALFORMED;
	sigs = realloc(s->sigs, (s->sig_count + 1) * sizeof(*sigs));
	if (!sigs)
		return RC_NOMEM;
	s->sigs = sigs;
	sigs[s->sig_count++] = g;
	return RC_OK;
}

static enum rc read_ttl(struct reader *r, const char *text)
{
	uint64_t ttl;

	if (u64_read(text, 1, TTL_MAX, &ttl) != RC_OK)
		return RC_RANGE;
	r->p->ttl = (uint32_t)ttl;
	r->has_ttl = true;
	return RC_OK;
}

static enum rc read_line(struct reader *r, const char *line, struct diag *d)
{
	const char *space = strchr(line, ' ');
	const char *value = space ? space + 1 : "";
	size_t n = space ? (size_t)(space - line) : strlen(line);

#define IS(word) (n == strlen(word) && memcmp(line, word, n) == 0)
	if (IS("zone") && !r->has_zone)
		return read_zone(r, value, d);
	if (IS("ttl") && !r->has_ttl)
		return read_ttl(r, value);
	if (IS("ksk") && !r->has_ksk)
		return read_ksk(r, value, d);
	if (IS("end") && !space && r->has_zone && r->has_ttl && r->has_ksk) {
		r->ended = true;
		return RC_OK;
	}
	if (IS("span"))
		return add_span(r, value);
	if (IS("set"))
		return add_set(r, value);
	if (IS("rdata"))
		return add_rdata(r, value);
	if (IS("sig"))
		return add_sig(r, value);
#undef IS
	return RC_MALFORMED;
}

enum rc ca_presigned_parse(struct ca_presigned **out, const char *text, size_t len, struct diag *d)
{
	struct reader r = { .p = ca_presigned_new() };
	enum rc rc = r.p ? RC_OK : RC_NOMEM;
	size_t number = 0;

	while (rc == RC_OK && len > 0) {
		char line[LINE_MAX_];
		const char *end = memchr(text, '\n', len);
		size_t n = end ? (size_t)(end - text) : len;

		number++;
		if (!end || n >= sizeof(line) || memchr(text, '\0', n) || r.ended) {
			rc = diag_set(
				d, RC_MALFORMED, "line %zu: too long, or behind the end", number);
			break;
		}
		memcpy(line, text, n);
		line[n] = '\0';
		if (number == 1)
			rc = strcmp(line, HEAD) == 0
				     ? RC_OK
				     : diag_set(d, RC_MALFORMED, "does not begin with " HEAD);
		else
			rc = read_line(&r, line, d);
		if (rc != RC_OK && number > 1)
			rc = diag_set(
				d, rc, "line %zu: %.60s: not as this format has it", number, line);
		text += n + 1;
		len -= n + 1;
	}
	if (rc == RC_OK && !r.ended)
		rc = diag_set(d, RC_MALFORMED, "does not end with \"end\": cut off");
	if (rc == RC_OK)
		*out = r.p;
	else
		ca_presigned_unref(r.p);
	return rc;
}

static void put_set(FILE *f, const struct ca_presigned_set *s)
{
	char b64[B64_LEN(CA_DNSKEY_LEN)];

	fprintf(f, "set %u\n", s->type);
	for (size_t i = 0; i < s->count; i++) {
		b64_write(s->rdata[i].at, s->rdata[i].len, b64);
		fprintf(f, "rdata %s\n", b64);
	}
	for (size_t i = 0; i < s->sig_count; i++) {
		b64_write(s->sigs[i].sig, sizeof(s->sigs[i].sig), b64);
		fprintf(f, "sig %" PRIu32 " %" PRIu32 " %s\n", s->sigs[i].from, s->sigs[i].to, b64);
	}
}

enum rc ca_presigned_text(const struct ca_presigned *p, char **out, size_t *len)
{
	uint8_t rdata[CA_DNSKEY_LEN];
	char b64[B64_LEN(CA_DNSKEY_LEN)];
	char *text = NULL;
	FILE *f = open_memstream(&text, len);

	if (!f)
		return RC_NOMEM;
	b64_write(rdata, ca_dnskey_rdata(&p->ksk, true, rdata), b64);
	fprintf(f, HEAD "\nzone %s\nttl %" PRIu32 "\nksk %s\n", p->zone, p->ttl, b64);
	for (size_t i = 0; i < p->span_count; i++)
		fprintf(f, "span %" PRIu32 " %" PRIu32 "\n", p->spans[i].from, p->spans[i].to);
	for (size_t i = 0; i < p->set_count; i++)
		put_set(f, &p->sets[i]);
	fputs("end\n", f);
	if (fclose(f) != 0) {
		free(text);
		return RC_NOMEM;
	}
	*out = text;
	return RC_OK;
}
