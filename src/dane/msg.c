/* SPDX-License-Identifier: Apache-2.0 */
#include "dane/internal.h"

#include <string.h>

#define CLASS_IN    1
#define FLAG_QR	    0x8000U
#define FLAG_TC	    0x0200U
#define FLAG_RD	    0x0100U
#define FLAG_CD	    0x0010U
#define OPCODE	    0x7800U
#define PAD_BLOCK   128 /* RFC 8467 4.1: queries */
#define OPT_PAD	    12
#define EDNS_DO	    0x8000U
#define EDNS_SIZE   1232 /* of no effect over TLS; what careful clients say */
#define OPT_HEAD    11
#define OPTION_HEAD 4

enum rc dane__msg_ask(const struct dane_name *name, uint16_t type, uint16_t id, bool cd,
	uint8_t *out, size_t cap, size_t *len)
{
	struct put p = put_init(out, cap);
	size_t pad;

	put_u16(&p, id);
	put_u16(&p, (uint16_t)(FLAG_RD | (cd ? FLAG_CD : 0)));
	put_u16(&p, 1);
	put_u16(&p, 0);
	put_u16(&p, 0);
	put_u16(&p, 1);
	put_bytes(&p, name->wire, name->len);
	put_u16(&p, type);
	put_u16(&p, CLASS_IN);
	pad = PAD_BLOCK - (p.len + OPT_HEAD + OPTION_HEAD) % PAD_BLOCK;
	pad = pad == PAD_BLOCK ? 0 : pad;
	put_u8(&p, 0); /* OPT, RFC 6891 6.1.2 */
	put_u16(&p, DANE_TYPE_OPT);
	put_u16(&p, EDNS_SIZE);
	put_u32(&p, EDNS_DO);
	put_u16(&p, (uint16_t)(OPTION_HEAD + pad));
	put_u16(&p, OPT_PAD);
	put_u16(&p, (uint16_t)pad);
	for (size_t i = 0; i < pad; i++)
		put_u8(&p, 0);
	if (!put_ok(&p))
		return RC_TOO_LARGE;
	*len = p.len;
	return RC_OK;
}

/* Records of a class other than IN and OPT are passed over. */
static enum rc read_section(
	struct cur *c, struct dane_msg *m, unsigned count, bool authority, struct diag *d)
{
	for (unsigned i = 0; i < count && !c->bad; i++) {
		struct dane_rec rec = { .authority = authority };
		uint16_t class;

		dane__name_read(c, m->bytes, m->len, &rec.owner);
		rec.type = cur_u16(c);
		class = cur_u16(c);
		rec.ttl = cur_u32(c);
		rec.len = cur_u16(c);
		rec.rdata = cur_bytes(c, rec.len);
		if (c->bad)
			break;
		if (rec.ttl > INT32_MAX) /* RFC 2181 8 */
			rec.ttl = 0;
		if (class != CLASS_IN || rec.type == DANE_TYPE_OPT)
			continue;
		if (m->n_recs == DANE_MSG_RRS)
			return diag_set(d, RC_TOO_LARGE, "answer: over %d records", DANE_MSG_RRS);
		m->recs[m->n_recs++] = rec;
	}
	return c->bad ? diag_set(d, RC_MALFORMED, "answer: a record does not parse") : RC_OK;
}

enum rc dane__msg_parse(const uint8_t *bytes, size_t len, const struct dane_name *name,
	uint16_t type, uint16_t id, struct dane_msg *out, struct diag *d)
{
	struct cur c = cur_init(bytes, len);
	struct dane_name asked = { 0 };
	unsigned got_id = cur_u16(&c), flags = cur_u16(&c);
	unsigned questions = cur_u16(&c), answers = cur_u16(&c), authority = cur_u16(&c);
	enum rc rc;

	(void)cur_u16(&c); /* additional: nothing there counts */
	if (c.bad || got_id != id || !(flags & FLAG_QR) || (flags & OPCODE) || questions != 1)
		return diag_set(d, RC_MALFORMED, "answer: not to our question (RFC 1035 4.1.1)");
	dane__name_read(&c, bytes, len, &asked);
	if (cur_u16(&c) != type || cur_u16(&c) != CLASS_IN || c.bad ||
		!dane__name_equal(&asked, name))
		return diag_set(d, RC_MALFORMED, "answer: to another question");
	out->rcode = flags & 0x0f;
	out->truncated = (flags & FLAG_TC) != 0;
	out->bytes = bytes;
	out->len = len;
	out->n_recs = 0;
	rc = read_section(&c, out, answers, false, d);
	if (rc == RC_OK)
		rc = read_section(&c, out, authority, true, d);
	return rc;
}
