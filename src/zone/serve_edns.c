/* SPDX-License-Identifier: Apache-2.0 */
/* The OPT record of an answer (RFC 6891) and its options. */
#include "zone/cookie.h"
#include "zone/serve_internal.h"

#define OPT_LEN	       11u
#define OPTION_HEAD    4u
#define NSID	       3u
#define COOKIE	       10u
#define KEEPALIVE      11u
#define PADDING	       12u
#define EXTENDED_ERROR 15u
#define PADDING_BLOCK  468u /* RFC 8467 section 4.1 */

static bool sends_cookie(const struct serve *s, const struct serve_msg *m)
{
	return m->q->cookie && s->options.board && m->client->from;
}

static size_t nsid_len(const struct serve *s, const struct serve_msg *m)
{
	size_t len = m->q->nsid && s->options.nsid ? strlen(s->options.nsid) : 0;

	return len > SERVE_NSID_MAX ? SERVE_NSID_MAX : len;
}

static bool sends_keepalive(const struct serve *s, const struct serve_msg *m)
{
	return m->q->keepalive && m->client->via == SERVE_STREAM && s->options.idle_ms > 0;
}

bool serve__cookie_good(const struct serve *s, const struct serve_msg *m)
{
	if (!sends_cookie(s, m) || m->q->cookie_len == COOKIE_CLIENT_LEN)
		return false;
	for (unsigned age = 0; age < 2; age++)
		if (cookie_good(snap_secret(s->options.board, age), m->q->cookie, m->q->cookie_len,
			    m->client->from, (uint32_t)s->now_s))
			return true;
	return false;
}

/* An extended error goes with answers that hold nothing else: it needs no room. */
size_t serve__opt_room(const struct serve *s, const struct serve_msg *m)
{
	size_t nsid = nsid_len(s, m);

	return OPT_LEN + (nsid ? OPTION_HEAD + nsid : 0) +
	       (sends_cookie(s, m) ? OPTION_HEAD + COOKIE_LEN : 0) +
	       (sends_keepalive(s, m) ? OPTION_HEAD + 2 : 0);
}

static uint8_t *put_option(struct serve_msg *m, uint16_t code, size_t len)
{
	uint8_t *p = m->at;

	rec_put16(p, code);
	rec_put16(p + 2, (uint16_t)len);
	m->at += OPTION_HEAD + len;
	return p + OPTION_HEAD;
}

/* RFC 7830: only where it hides something. */
static void put_padding(struct serve_msg *m)
{
	size_t len = (size_t)(m->at - m->buf) + OPTION_HEAD;
	size_t pad = (PADDING_BLOCK - len % PADDING_BLOCK) % PADDING_BLOCK;

	if (!m->q->padding || !m->client->tls || m->q->signed_request || len + pad > SERVE_TCP_MAX)
		return;
	memset(put_option(m, PADDING, pad), 0, pad);
}

void serve__put_opt(struct serve *s, struct serve_msg *m)
{
	uint8_t *p = m->at;
	size_t nsid = nsid_len(s, m);
	uint32_t idle = s->options.idle_ms / 100;

	p[0] = 0;
	rec_put16(p + 1, RR_OPT);
	rec_put16(p + 3, s->udp_max);
	p[5] = (uint8_t)(m->rcode >> 4);
	p[6] = 0;
	rec_put16(p + 7, m->q->dnssec_ok ? 0x8000 : 0);
	m->at += OPT_LEN;
	m->count[SECTION_ADDITIONAL]++;
	if (nsid)
		memcpy(put_option(m, NSID, nsid), s->options.nsid, nsid);
	if (sends_cookie(s, m))
		cookie_make(snap_secret(s->options.board, 0), m->q->cookie, m->client->from,
			(uint32_t)s->now_s, put_option(m, COOKIE, COOKIE_LEN));
	if (sends_keepalive(s, m))
		rec_put16(put_option(m, KEEPALIVE, 2),
			(uint16_t)(idle > UINT16_MAX ? UINT16_MAX : idle));
	if (m->ede != EDE_NONE && m->rcode != DNS_NOERROR)
		rec_put16(put_option(m, EXTENDED_ERROR, 2), m->ede);
	put_padding(m);
	rec_put16(p + 9, (uint16_t)(m->at - p - OPT_LEN));
}
