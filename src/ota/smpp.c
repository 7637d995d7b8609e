/* SPDX-License-Identifier: Apache-2.0 */
#include "ota/smpp.h"

#include <stdio.h>
#include <string.h>

#define INTERFACE_VERSION   0x34
#define TON_INTERNATIONAL   1
#define NPI_ISDN	    1
#define TLV_MESSAGE_PAYLOAD 0x0424
#define TLV_RECEIPTED_ID    0x001e
#define TLV_MESSAGE_STATE   0x0427
#define SHORT_MAX	    254

/* A C-octet string with its NUL in at most `cap` octets. */
static void cur_text(struct cur *c, char *out, size_t cap)
{
	size_t n = 0;

	while (n < cap) {
		uint8_t b = cur_u8(c);

		if (c->bad)
			return;
		out[n++] = (char)b;
		if (b == 0)
			return;
	}
	c->bad = true;
}

static void put_text(struct put *p, const char *text)
{
	put_bytes(p, text, strlen(text) + 1);
}

enum rc smpp_read(struct cur *c, struct smpp_pdu *out)
{
	struct cur at = *c;
	struct smpp_pdu pdu;
	uint32_t len;

	if (c->left < 4)
		return RC_TRUNCATED;
	len = cur_u32(&at);
	if (len < SMPP_HEAD || len > SMPP_PDU_MAX)
		return RC_MALFORMED;
	if (c->left < len)
		return RC_TRUNCATED;
	pdu.id = cur_u32(&at);
	pdu.status = cur_u32(&at);
	pdu.seq = cur_u32(&at);
	pdu.body = cur_take(&at, len - SMPP_HEAD);
	*c = at;
	*out = pdu;
	return RC_OK;
}

/* Optional parameters, section 5.3: those that matter here. */
static void read_options(struct cur *c, struct smpp_message *m)
{
	while (c->left > 0 && !c->bad) {
		uint16_t tag = cur_u16(c);
		uint16_t len = cur_u16(c);
		struct cur value = cur_take(c, len);

		if (tag == TLV_MESSAGE_PAYLOAD && m->ud.left == 0)
			m->ud = value;
		if (tag == TLV_RECEIPTED_ID && !*m->receipted)
			cur_text(&value, m->receipted, sizeof(m->receipted));
		if (tag == TLV_MESSAGE_STATE)
			m->state = cur_u8(&value);
		if (value.bad)
			c->bad = true;
	}
}

enum rc smpp_message_read(struct cur body, struct smpp_message *out)
{
	struct smpp_message m = { .ud = cur_init(NULL, 0) };
	char scrap[32];

	cur_text(&body, scrap, 6); /* service_type */
	cur_skip(&body, 2);	   /* ton, npi */
	cur_text(&body, m.from, sizeof(m.from));
	cur_skip(&body, 2);
	cur_text(&body, m.to, sizeof(m.to));
	m.esm_class = cur_u8(&body);
	m.protocol_id = cur_u8(&body);
	cur_skip(&body, 1);	    /* priority_flag */
	cur_text(&body, scrap, 17); /* schedule_delivery_time */
	cur_text(&body, scrap, 17); /* validity_period */
	m.registered_delivery = cur_u8(&body);
	cur_skip(&body, 1); /* replace_if_present_flag */
	m.data_coding = cur_u8(&body);
	cur_skip(&body, 1); /* sm_default_msg_id */
	m.ud = cur_take(&body, cur_u8(&body));
	read_options(&body, &m);
	if (!cur_done(&body))
		return RC_MALFORMED;
	*out = m;
	return RC_OK;
}

enum rc smpp_submit_resp_read(struct cur body, char id[SMPP_ID_MAX])
{
	char text[SMPP_ID_MAX];

	cur_text(&body, text, sizeof(text));
	if (body.bad || !*text)
		return RC_MALFORMED;
	memcpy(id, text, sizeof(text));
	return RC_OK;
}

/* What follows `name` in "id:0123 sub:001 ... stat:DELIVRD err:000 ...", up to the next space. */
static bool field(const struct smpp_message *m, const char *name, char *out, size_t cap)
{
	size_t len = strlen(name), n = 0;

	for (size_t at = 0; at + len <= m->ud.left; at++) {
		if (memcmp(m->ud.at + at, name, len) != 0 || (at > 0 && m->ud.at[at - 1] != ' '))
			continue;
		for (at += len; at < m->ud.left && m->ud.at[at] > ' ' && n < cap - 1; at++)
			out[n++] = (char)m->ud.at[at];
		out[n] = '\0';
		return n > 0;
	}
	return false;
}

enum rc smpp_receipt_read(
	const struct smpp_message *m, char id[SMPP_ID_MAX], enum smpp_state *state)
{
	static const struct {
		const char *text;
		enum smpp_state state;
	} rows[] = { { "DELIVRD", SMPP_DELIVERED }, { "EXPIRED", SMPP_EXPIRED },
		{ "DELETED", SMPP_DELETED }, { "UNDELIV", SMPP_UNDELIVERABLE },
		{ "ACCEPTD", SMPP_ACCEPTED }, { "UNKNOWN", SMPP_UNKNOWN },
		{ "REJECTD", SMPP_REJECTED }, { "ENROUTE", SMPP_ENROUTE } };
	char text[16], of[SMPP_ID_MAX];
	enum smpp_state found = SMPP_UNKNOWN;
	bool known = m->state >= SMPP_ENROUTE && m->state <= SMPP_REJECTED;

	memcpy(of, m->receipted, sizeof(of));
	if (!*of && !field(m, "id:", of, sizeof(of)))
		return RC_MALFORMED;
	if (known)
		found = (enum smpp_state)m->state;
	else if (!field(m, "stat:", text, sizeof(text)))
		return RC_MALFORMED;
	for (size_t i = 0; i < ARRAY_LEN(rows) && !known; i++)
		if (strcmp(text, rows[i].text) == 0)
			found = rows[i].state;
	memcpy(id, of, sizeof(of));
	*state = found;
	return RC_OK;
}

void smpp_validity(unsigned seconds, char out[SMPP_TIME_MAX])
{
	unsigned days = seconds / 86400 > 99 ? 99 : seconds / 86400;

	(void)snprintf(out, SMPP_TIME_MAX, "0000%02u%02u%02u%02u000R", days, seconds / 3600 % 24,
		seconds / 60 % 60, seconds % 60);
}

/* Writes the head; the length is put right by `finish`. */
static size_t begin(struct put *p, uint32_t id, uint32_t status, uint32_t seq)
{
	size_t at = p->len;

	put_u32(p, 0);
	put_u32(p, id);
	put_u32(p, status);
	put_u32(p, seq);
	return at;
}

static void finish(struct put *p, size_t at)
{
	struct put head;

	if (!put_ok(p))
		return;
	head = put_init(p->buf + at, 4);
	put_u32(&head, (uint32_t)(p->len - at));
}

void smpp_bind_write(struct put *p, uint32_t seq, const char *system_id, const char *password)
{
	size_t at = begin(p, SMPP_BIND_TRANSCEIVER, SMPP_OK, seq);

	put_text(p, system_id);
	put_text(p, password);
	put_text(p, "OTA"); /* system_type */
	put_u8(p, INTERFACE_VERSION);
	put_u8(p, 0); /* addr_ton, addr_npi, address_range: as the SMS centre knows us */
	put_u8(p, 0);
	put_text(p, "");
	finish(p, at);
}

void smpp_message_write(struct put *p, uint32_t id, uint32_t seq, const struct smpp_message *m)
{
	size_t at = begin(p, id, SMPP_OK, seq);

	put_text(p, "");
	put_u8(p, 0); /* the source is a short code: unknown, unknown */
	put_u8(p, 0);
	put_text(p, m->from);
	put_u8(p, TON_INTERNATIONAL);
	put_u8(p, NPI_ISDN);
	put_text(p, m->to);
	put_u8(p, m->esm_class);
	put_u8(p, m->protocol_id);
	put_u8(p, 0);
	put_text(p, ""); /* at once */
	put_text(p, m->validity);
	put_u8(p, m->registered_delivery);
	put_u8(p, 0);
	put_u8(p, m->data_coding);
	put_u8(p, 0);
	if (m->ud.left > SHORT_MAX)
		(void)put_reserve(p, SIZE_MAX); /* fails for good */
	put_u8(p, (uint8_t)m->ud.left);
	put_bytes(p, m->ud.at, m->ud.left);
	finish(p, at);
}

void smpp_bare_write(struct put *p, uint32_t id, uint32_t status, uint32_t seq)
{
	size_t at = begin(p, id, status, seq);

	if (id == (SMPP_DELIVER | SMPP_RESP))
		put_text(p, "");
	finish(p, at);
}
