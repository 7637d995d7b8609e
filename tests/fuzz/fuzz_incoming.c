/* SPDX-License-Identifier: Apache-2.0 */
/* A primary's messages of any bytes. The first octet says what was asked; then messages, each with
 * two octets of length, as they come over TCP. */
#include "fuzz.h"

#include "zone/follow_node.h"
#include "zone/incoming.h"

#include <assert.h>
#include <string.h>

struct sink {
	struct incoming *in;
	bool begun, whole;
	struct follow_node node; /* every record also edits one name */
};

static enum rc on_begin(bool whole, void *user)
{
	struct sink *s = user;

	assert(!s->begun);
	s->begun = true;
	s->whole = whole;
	return RC_OK;
}

static enum rc on_record(const struct incoming_record *r, void *user)
{
	struct sink *s = user;
	uint8_t value[REC_VALUE_MAX];
	struct diag d = { 0 };
	struct zone_key next;
	size_t len = 0;
	uint32_t sum = 0;

	assert(s->begun && r->key.len > 0 && r->key.len <= ZONE_KEY_MAX);
	assert(!s->whole || !r->gone);
	for (size_t i = 0; i < r->len; i++)
		sum += r->rdata[i];
	if (follow_node_read(&s->node, &s->in->origin, r->key.bytes, r->key.len, NULL, 0, 5, 5,
		    &d) == RC_OK &&
		follow_node_edit(&s->node, r, &d) == RC_OK &&
		follow_node_write(&s->node, 5, 5, value, &len, &d) == RC_OK && len > 0)
		(void)!follow_node_next(&s->node, value, len, &next, &d);
	return sum == UINT32_MAX ? RC_MALFORMED : RC_OK;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t ask[INCOMING_ASK_MAX];
	struct incoming in;
	struct sink s = { .in = &in };
	struct incoming_sink sink = { on_begin, on_record, &s };
	struct zone_name zone;

	if (size < 1 || zone_name_from_text("iotregistry.example", &zone) != RC_OK)
		return 0;
	(void)incoming_ask(&in, &zone, 77, data[0] & 1, 1795456836, ask);
	for (size_t at = 1; size - at >= 2;) {
		size_t len = (size_t)data[at] << 8 | data[at + 1];
		struct diag d = { 0 };
		size_t tsig;

		at += 2;
		if (len > size - at)
			len = size - at;
		if (incoming_tsig_at(data + at, len, &tsig) == RC_OK)
			assert(tsig == 0 || (tsig >= DNS_HEADER_LEN && tsig < len));
		if (incoming_message(&in, data + at, len, &sink, &d) != RC_OK) {
			assert(d.text[0]);
			break;
		}
		at += len;
	}
	return 0;
}
