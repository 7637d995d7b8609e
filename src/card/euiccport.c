/* SPDX-License-Identifier: Apache-2.0 */
#include "card/peer.h"

#include "base/str.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#define MESSAGE_MAX 4096 /* of an order; answers fit too */

struct front_euicc {
	struct euicc *const *euiccs;
	size_t count;
	const struct log *log;
	struct peers *peers;
};

/* Takes the reference. */
static void frame(json_t *take_json, struct peer *peer, struct peers *all)
{
	uint8_t bytes[2 + 2 * MESSAGE_MAX];
	size_t len = json_dumpb(take_json, (char *)bytes + 2, sizeof(bytes) - 2, JSON_COMPACT);

	json_decref(take_json);
	if (len == 0 || len > sizeof(bytes) - 2)
		return;
	bytes[0] = (uint8_t)(len >> 8);
	bytes[1] = (uint8_t)len;
	if (peer)
		peer_send(peer, bytes, 2 + len);
	else
		peers_tell(all, bytes, 2 + len);
}

static json_t *event_json(const struct euicc *euicc, const struct euicc_event *event)
{
	char eid[IDENT_EID_TEXT] = "", iccid[IDENT_ICCID_TEXT] = "";
	const uint8_t *id = euicc_eid(euicc);

	if (!id || ident_eid_write(id, eid) != RC_OK ||
		ident_iccid_write(event->iccid, iccid) != RC_OK)
		return NULL;
	return json_pack("{s:s, s:s, s:s, s:I, s:I}", "event", euicc_event_text(event->kind), "eid",
		eid, "iccid", iccid, "sequence", (json_int_t)event->sequence, "time",
		(json_int_t)event->unix_s);
}

void front_euicc_event(
	struct front_euicc *f, const struct euicc *euicc, const struct euicc_event *event)
{
	frame(event_json(euicc, event), NULL, f->peers);
}

static const char *result_text(enum euicc_result result)
{
	switch (result) {
	case EUICC_OK: return "ok";
	case EUICC_NOT_FOUND: return "not found";
	case EUICC_WRONG_STATE: return "wrong state";
	case EUICC_DISALLOWED: return "not allowed";
	case EUICC_FAILED: break;
	}
	return "failed";
}

static struct euicc *find(const struct front_euicc *f, const char *text)
{
	uint8_t eid[IDENT_EID_LEN];

	if (!text || ident_eid_read(text, eid) != RC_OK)
		return NULL;
	for (size_t i = 0; i < f->count; i++) {
		const uint8_t *own = euicc_eid(f->euiccs[i]);

		if (own && memcmp(own, eid, IDENT_EID_LEN) == 0)
			return f->euiccs[i];
	}
	return NULL;
}

static json_t *list(const struct euicc *e)
{
	json_t *all = json_array();
	struct card *card;

	for (size_t i = 0; (card = euicc_profile(e, i)) != NULL; i++) {
		char iccid[IDENT_ICCID_TEXT];

		if (ident_iccid_write(card_iccid(card), iccid) != RC_OK)
			continue;
		json_array_append_new(all, json_pack("{s:s, s:b}", "iccid", iccid, "enabled",
						   card == euicc_enabled(e)));
	}
	return json_pack("{s:s, s:o}", "result", "ok", "profiles", all);
}

static enum euicc_result switch_profile(struct euicc *e, const char *order, json_t *json)
{
	const char *text = json_string_value(json_object_get(json, "iccid"));
	json_int_t seconds = json_integer_value(json_object_get(json, "temporary_s"));
	uint8_t iccid[IDENT_ICCID_LEN];

	if (!text || ident_iccid_read(text, iccid) != RC_OK)
		return EUICC_NOT_FOUND;
	if (strcmp(order, "disable") == 0)
		return euicc_disable(e, iccid);
	if (strcmp(order, "delete") == 0)
		return euicc_delete(e, iccid);
	if (seconds < 0 || seconds > EUICC_TEMPORARY_MAX)
		return EUICC_DISALLOWED;
	return euicc_enable(e, iccid, (uint32_t)seconds);
}

static json_t *result(const char *text)
{
	return json_pack("{s:s}", "result", text);
}

static json_t *tell_events(struct euicc *e, struct peer *peer)
{
	const struct euicc_event *event;

	for (size_t i = 0; (event = euicc_event(e, i)) != NULL; i++)
		frame(event_json(e, event), peer, NULL);
	return result("ok");
}

static json_t *carry_out(struct front_euicc *f, struct peer *peer, json_t *json)
{
	const char *order = json_string_value(json_object_get(json, "order"));
	struct euicc *e = find(f, json_string_value(json_object_get(json, "eid")));
	json_int_t sequence = json_integer_value(json_object_get(json, "sequence"));
	struct diag d = { 0 };

	if (!order)
		return result("no order");
	if (strcmp(order, "events") == 0 && !json_object_get(json, "eid")) {
		for (size_t i = 0; i < f->count; i++) {
			euicc_tick(f->euiccs[i]);
			json_decref(tell_events(f->euiccs[i], peer));
		}
		return result("ok");
	}
	if (!e)
		return result("no such eUICC");
	euicc_tick(e);
	if (strcmp(order, "list") == 0)
		return list(e);
	if (strcmp(order, "events") == 0)
		return tell_events(e, peer);
	if (strcmp(order, "acknowledge") == 0)
		return result(sequence > 0 && euicc_acknowledge(e, (uint64_t)sequence, &d) == RC_OK
				      ? "ok"
				      : "failed");
	if (strcmp(order, "enable") == 0 || strcmp(order, "disable") == 0 ||
		strcmp(order, "delete") == 0)
		return result(result_text(switch_profile(e, order, json)));
	return result("no such order");
}

static enum rc on_order(struct peer *peer, struct cur message, void *user)
{
	json_t *json =
		json_loadb((const char *)message.at, message.left, JSON_REJECT_DUPLICATES, NULL);

	if (!json_is_object(json)) {
		json_decref(json);
		return RC_MALFORMED;
	}
	frame(carry_out(user, peer, json), peer, NULL);
	json_decref(json);
	return RC_OK;
}

enum rc front_euicc_new(struct event_base *base, struct euicc *const *euiccs, size_t count,
	const char *path, const struct log *log, struct front_euicc **out, struct diag *d)
{
	struct front_euicc *f = calloc(1, sizeof(*f));
	enum rc rc;

	if (!f)
		return RC_NOMEM;
	f->euiccs = euiccs;
	f->count = count;
	f->log = log;
	rc = peers_new(base, path,
		&(struct peers_opts){
			.message_max = MESSAGE_MAX, .on_message = on_order, .user = f },
		log, &f->peers, d);
	if (rc != RC_OK) {
		free(f);
		return rc;
	}
	*out = f;
	return RC_OK;
}

void front_euicc_free(struct front_euicc *f)
{
	if (!f)
		return;
	peers_free(f->peers);
	free(f);
}
