/* SPDX-License-Identifier: Apache-2.0 */
#include "zone/export.h"

#include "base/str.h"
#include "zone/db.h"
#include "zone/rec.h"

#include <arpa/inet.h>
#include <string.h>
#include <time.h>

struct text {
	FILE *to;
	const struct zone_state *state;
	char origin[ZONE_TEXT_MAX];
	char owner[ZONE_TEXT_MAX];
	uint8_t labels; /* of the owner */
	uint64_t records;
};

static const char *type_name(unsigned type, char room[16])
{
	static const struct {
		unsigned type;
		const char *name;
	} names[] = { { RR_A, "A" }, { RR_NS, "NS" }, { RR_SOA, "SOA" }, { RR_AAAA, "AAAA" },
		{ RR_CERT, "CERT" }, { RR_RRSIG, "RRSIG" }, { RR_NSEC, "NSEC" },
		{ RR_DNSKEY, "DNSKEY" }, { RR_TLSA, "TLSA" }, { RR_CDS, "CDS" },
		{ RR_CDNSKEY, "CDNSKEY" } };

	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (names[i].type == type)
			return names[i].name;
	snprintf(room, 16, "TYPE%u", type); /* RFC 3597 */
	return room;
}

static void head(struct text *t, uint32_t ttl, unsigned type)
{
	char room[16];

	fprintf(t->to, "%s %u IN %s", t->owner, ttl, type_name(type, room));
	t->records++;
}

static void put_hex(struct text *t, const uint8_t *p, size_t len)
{
	for (size_t i = 0; i < len; i++)
		fprintf(t->to, "%02x", p[i]);
}

static void put_base64(struct text *t, const uint8_t *p, size_t len)
{
	char buf[B64_LEN(384)];

	/* In pieces of a multiple of three octets: the pieces join. */
	while (len > 0) {
		size_t n = len > 384 ? 384 : len;

		b64_write(p, n, buf);
		fputs(buf, t->to);
		p += n;
		len -= n;
	}
}

static bool put_name(struct text *t, struct cur *c)
{
	struct zone_name name;
	char text[ZONE_TEXT_MAX];

	if (zone_name_parse(c, &name) != RC_OK)
		return false;
	zone_name_to_text(&name, text);
	fprintf(t->to, " %s", text);
	return true;
}

/* RFC 3597 section 5: any RDATA. */
static void put_opaque(struct text *t, const uint8_t *p, size_t len)
{
	fprintf(t->to, " \\# %zu ", len);
	put_hex(t, p, len);
}

static bool put_soa(struct text *t, struct cur *c)
{
	if (!put_name(t, c) || !put_name(t, c))
		return false;
	for (int i = 0; i < 5; i++)
		fprintf(t->to, " %u", cur_u32(c));
	return cur_done(c);
}

static bool put_rdata(struct text *t, unsigned type, const uint8_t *p, size_t len)
{
	struct cur c = cur_init(p, len);
	char addr[INET6_ADDRSTRLEN];

	switch (type) {
	case RR_A:
	case RR_AAAA:
		if (len != (type == RR_A ? 4u : 16u))
			return false;
		fprintf(t->to, " %s",
			inet_ntop(type == RR_A ? AF_INET : AF_INET6, p, addr, sizeof(addr)));
		return true;
	case RR_NS: return put_name(t, &c) && cur_done(&c);
	case RR_SOA: return put_soa(t, &c);
	case RR_CERT:
	case RR_CDS:
		fprintf(t->to, " %u", cur_u16(&c));
		fprintf(t->to, " %u", type == RR_CERT ? cur_u16(&c) : cur_u8(&c));
		fprintf(t->to, " %u ", cur_u8(&c));
		break;
	case RR_DNSKEY:
	case RR_CDNSKEY:
		fprintf(t->to, " %u", cur_u16(&c));
		fprintf(t->to, " %u", cur_u8(&c));
		fprintf(t->to, " %u ", cur_u8(&c));
		break;
	case RR_TLSA:
		fprintf(t->to, " %u", cur_u8(&c));
		fprintf(t->to, " %u", cur_u8(&c));
		fprintf(t->to, " %u ", cur_u8(&c));
		break;
	default: put_opaque(t, p, len); return true;
	}
	if (c.bad || c.left == 0)
		return false;
	if (type == RR_TLSA || type == RR_CDS)
		put_hex(t, c.at, c.left);
	else
		put_base64(t, c.at, c.left);
	return true;
}

static void put_time(struct text *t, uint32_t when)
{
	time_t at = (time_t)when;
	struct tm tm;
	char buf[32];

	gmtime_r(&at, &tm);
	strftime(buf, sizeof(buf), "%Y%m%d%H%M%S", &tm);
	fprintf(t->to, " %s", buf);
}

static void put_rrsig(struct text *t, unsigned covered, uint32_t ttl, unsigned alg,
	const uint8_t *span, const uint8_t *sig)
{
	char room[16];

	head(t, ttl, RR_RRSIG);
	fprintf(t->to, " %s %u %u %u", type_name(covered, room), rec_alg_number(alg), t->labels,
		ttl);
	put_time(t, rec_get32(span));
	put_time(t, rec_get32(span + 4));
	fprintf(t->to, " %u %s ", rec_get16(span + 8), t->origin);
	put_base64(t, sig, RR_SIG_LEN);
	fputc('\n', t->to);
}

static void put_device_rrsigs(struct text *t, const uint8_t *v, uint16_t type)
{
	for (unsigned a = 0; a < REC_ALGS; a++) {
		struct rec_at at = rec_data_at(v, a, type);

		if (rec_form_has(rec_form(v), a))
			put_rrsig(t, type, t->state->ttl, a, v + at.span, v + at.sig);
	}
}

static void put_device(struct text *t, const uint8_t *v)
{
	uint8_t cert[RR_CERT_LEN];
	uint8_t tlsa[2][RR_TLSA_LEN];
	uint32_t ttl = t->state->ttl;

	rec_device_cert(v, cert);
	rec_device_tlsa(v, tlsa);
	head(t, ttl, RR_CERT);
	(void)put_rdata(t, RR_CERT, cert, sizeof(cert));
	fputc('\n', t->to);
	put_device_rrsigs(t, v, RR_CERT);
	for (unsigned i = 0; i < 2; i++) {
		head(t, ttl, RR_TLSA);
		(void)put_rdata(t, RR_TLSA, tlsa[i], RR_TLSA_LEN);
		fputc('\n', t->to);
	}
	put_device_rrsigs(t, v, RR_TLSA);
}

static bool put_general(struct text *t, const uint8_t *v, size_t len)
{
	struct rec_iter it = rec_iter_init(v, len);
	struct rec_view view;

	while (rec_iter_next(&it, &view)) {
		const uint8_t *p = view.rdata;

		for (unsigned i = 0; i < view.count; i++, p += 2 + rec_get16(p)) {
			head(t, view.ttl, view.type);
			if (!put_rdata(t, view.type, p + 2, rec_get16(p)))
				return false;
			fputc('\n', t->to);
		}
		for (unsigned a = 0; a < REC_ALGS; a++)
			if (rec_form_has(view.form, a))
				put_rrsig(t, view.type, view.ttl, a, rec_view_sig(&view, a),
					rec_view_sig(&view, a) + RR_SPAN_LEN);
	}
	return true;
}

static void put_nsec(struct text *t, const uint8_t *v, size_t len, const struct zone_name *next)
{
	uint8_t bitmap[REC_BITMAP_MAX];
	size_t n = rec_bitmap(v, len, bitmap);
	char text[ZONE_TEXT_MAX];
	char room[16];

	zone_name_to_text(next, text);
	head(t, t->state->minimum, RR_NSEC);
	fprintf(t->to, " %s", text);
	for (unsigned type = 0; type < (n - 2) * 8; type++)
		if (bitmap[2 + type / 8] & (0x80 >> type % 8))
			fprintf(t->to, " %s", type_name(type, room));
	fputc('\n', t->to);
	for (unsigned a = 0; a < REC_ALGS; a++)
		if (rec_form_has(rec_form(v), a))
			put_rrsig(t, RR_NSEC, t->state->minimum, a, v + rec_nsec_at(v, a).span,
				v + rec_nsec_at(v, a).sig);
}

static enum rc put_all(struct text *t, MDB_cursor *c)
{
	const struct zone_name *origin = &t->state->origin;
	struct zone_name name = *origin;
	MDB_val k, v;
	int r = mdb_cursor_get(c, &k, &v, MDB_FIRST);

	while (r == 0) {
		const uint8_t *value = v.mv_data;
		size_t len = v.mv_size;
		struct zone_name next = *origin;

		if (!rec_is_sane(value, len) ||
			zone_key_name(k.mv_data, k.mv_size, origin, &name) != RC_OK)
			return RC_MALFORMED;
		zone_name_to_text(&name, t->owner);
		t->labels = (uint8_t)zone_name_labels(name.wire);
		if (value[REC_KIND] == REC_DEVICE)
			put_device(t, value);
		else if (!put_general(t, value, len))
			return RC_MALFORMED;
		r = mdb_cursor_get(c, &k, &v, MDB_NEXT);
		if (r == 0 && zone_key_name(k.mv_data, k.mv_size, origin, &next) != RC_OK)
			return RC_MALFORMED;
		put_nsec(t, value, len, &next);
		if (ferror(t->to))
			return RC_IO;
	}
	return r == MDB_NOTFOUND ? RC_OK : RC_IO;
}

enum rc zone_export(const char *dir, FILE *to, uint64_t *records, struct diag *d)
{
	struct zone_state state;
	struct text t = { .to = to, .state = &state };
	struct zone_db *db = NULL;
	MDB_cursor *c = NULL;
	MDB_txn *txn = NULL;
	enum rc rc = zone_db_open(dir, ZONE_DB_READ, 0, &db, d);

	if (rc != RC_OK)
		return rc;
	rc = zone_db_error(mdb_txn_begin(db->env, NULL, MDB_RDONLY, &txn), d, "read");
	if (rc == RC_OK)
		rc = zone_db_state_get(db, txn, &state);
	if (rc == RC_OK && !state.have)
		rc = diag_set(d, RC_NOT_FOUND, "%s: no zone yet", dir);
	if (rc == RC_OK)
		rc = zone_db_error(mdb_cursor_open(txn, db->names[state.active], &c), d, "cursor");
	if (rc == RC_OK) {
		zone_name_to_text(&state.origin, t.origin);
		rc = put_all(&t, c);
		if (rc == RC_OK && fflush(to) != 0)
			rc = diag_errno(d, RC_IO, "write");
		else if (rc != RC_OK)
			diag_set(d, rc, "%s: %s", dir, rc_text(rc));
	}
	if (rc == RC_OK && records)
		*records = t.records;
	if (c)
		mdb_cursor_close(c);
	if (txn)
		mdb_txn_abort(txn);
	zone_db_close(db);
	return rc;
}
