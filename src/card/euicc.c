/* SPDX-License-Identifier: Apache-2.0 */
#include "card/euicc.h"

#include "base/cbor.h"
#include "base/file.h"
#include "card/session.h"

#include <stdlib.h>
#include <string.h>

/* On disk: { 1: version, 2: EID, 3: enabled ICCID / null, 4: ICCID to return to / null, 5: when, 6:
 * last sequence, 7: [deleted ICCIDs], 8: [[sequence, time, kind, ICCID]] }. Absent: nothing ever
 * changed. */
#define VERSION	  1
#define STATE_MAX 8192

enum {
	K_VERSION = 1,
	K_EID,
	K_ENABLED,
	K_RETURN,
	K_RETURN_AT,
	K_SEQUENCE,
	K_DELETED,
	K_EVENTS,
	K_COUNT
};

struct iccid {
	uint8_t bytes[IDENT_ICCID_LEN];
};

/* All that a switch changes. */
struct switches {
	bool known; /* there is a state: else the first profile is enabled */
	bool any, returns;
	struct iccid enabled, back;
	int64_t return_at;
	uint64_t sequence;
	struct iccid deleted[EUICC_PROFILES_MAX];
	size_t deleted_count;
	struct euicc_event events[EUICC_EVENTS_MAX];
	size_t event_count;
};

struct euicc {
	struct euicc_opts opts;
	char *path;
	struct card *bare; /* what readers see while nothing is enabled */
	struct card *profiles[EUICC_PROFILES_MAX];
	size_t count;
	uint64_t generation; /* grows whenever another profile, or none, is enabled */
	struct switches now;
};

static bool same(const struct iccid *a, const uint8_t *b)
{
	return memcmp(a->bytes, b, IDENT_ICCID_LEN) == 0;
}

static void put_iccid(struct put *p, bool any, const struct iccid *iccid)
{
	if (any)
		cbor_put_bytes(p, iccid->bytes, IDENT_ICCID_LEN);
	else
		cbor_put_null(p);
}

void euicc__state_write(const struct euicc *e, struct put *p)
{
	const struct switches *s = &e->now;

	cbor_put_map(p, K_COUNT - 1);
	cbor_put_int(p, K_VERSION);
	cbor_put_uint(p, VERSION);
	cbor_put_int(p, K_EID);
	cbor_put_bytes(p, e->opts.eid, IDENT_EID_LEN);
	cbor_put_int(p, K_ENABLED);
	put_iccid(p, s->any, &s->enabled);
	cbor_put_int(p, K_RETURN);
	put_iccid(p, s->returns, &s->back);
	cbor_put_int(p, K_RETURN_AT);
	cbor_put_int(p, s->return_at);
	cbor_put_int(p, K_SEQUENCE);
	cbor_put_uint(p, s->sequence);
	cbor_put_int(p, K_DELETED);
	cbor_put_array(p, s->deleted_count);
	for (size_t i = 0; i < s->deleted_count; i++)
		put_iccid(p, true, &s->deleted[i]);
	cbor_put_int(p, K_EVENTS);
	cbor_put_array(p, s->event_count);
	for (size_t i = 0; i < s->event_count; i++) {
		cbor_put_array(p, 4);
		cbor_put_uint(p, s->events[i].sequence);
		cbor_put_int(p, s->events[i].unix_s);
		cbor_put_uint(p, s->events[i].kind);
		cbor_put_bytes(p, s->events[i].iccid, IDENT_ICCID_LEN);
	}
}

static enum rc save(const struct euicc *e, struct diag *d)
{
	uint8_t bytes[STATE_MAX];
	struct put p = put_init(bytes, sizeof(bytes));

	if (!e->path)
		return RC_OK;
	euicc__state_write(e, &p);
	if (!put_ok(&p))
		return RC_TOO_LARGE;
	return file_write_atomic(e->path, bytes, p.len, 0600, d);
}

static bool take_iccid(struct cur *c, struct iccid *out)
{
	struct cur bytes = cbor_bytes(c);

	cur_copy(&bytes, out->bytes, IDENT_ICCID_LEN);
	if (!cur_done(&bytes))
		cur_fail(c);
	return !c->bad;
}

static void parse_events(struct cur *c, struct switches *s)
{
	s->event_count = cbor_array(c);
	if (s->event_count > EUICC_EVENTS_MAX)
		cur_fail(c);
	for (size_t i = 0; i < s->event_count && !c->bad; i++) {
		struct euicc_event *ev = &s->events[i];
		struct iccid iccid;
		uint64_t kind;

		if (cbor_array(c) != 4)
			cur_fail(c);
		ev->sequence = cbor_uint(c);
		ev->unix_s = cbor_int(c);
		kind = cbor_uint(c);
		if (kind > EUICC_RETURNED || !take_iccid(c, &iccid)) {
			cur_fail(c);
			return;
		}
		ev->kind = (enum euicc_event_kind)kind;
		memcpy(ev->iccid, iccid.bytes, IDENT_ICCID_LEN);
	}
}

static enum rc parse_member(const struct euicc *e, struct cur *c, int64_t key, struct switches *s)
{
	struct cur bytes;

	switch (key) {
	case K_VERSION: return cbor_uint(c) == VERSION ? RC_OK : RC_UNSUPPORTED;
	case K_EID:
		bytes = cbor_bytes(c);
		if (bytes.left != IDENT_EID_LEN)
			return RC_MALFORMED;
		return memcmp(bytes.at, e->opts.eid, IDENT_EID_LEN) == 0 ? RC_OK : RC_CONFLICT;
	case K_ENABLED: s->any = !cbor_null(c) && take_iccid(c, &s->enabled); return RC_OK;
	case K_RETURN: s->returns = !cbor_null(c) && take_iccid(c, &s->back); return RC_OK;
	case K_RETURN_AT: s->return_at = cbor_int(c); return RC_OK;
	case K_SEQUENCE: s->sequence = cbor_uint(c); return RC_OK;
	case K_DELETED:
		s->deleted_count = cbor_array(c);
		if (s->deleted_count > EUICC_PROFILES_MAX)
			return RC_MALFORMED;
		for (size_t i = 0; i < s->deleted_count; i++)
			(void)take_iccid(c, &s->deleted[i]);
		return RC_OK;
	case K_EVENTS: parse_events(c, s); return RC_OK;
	default: return RC_UNSUPPORTED;
	}
}

enum rc euicc__state_parse(struct euicc *e, const uint8_t *bytes, size_t len)
{
	struct switches s = { .known = true };
	struct cbor_keys keys = { 0 };
	struct cur c = cur_init(bytes, len);
	size_t pairs = cbor_map(&c);
	enum rc rc = pairs == K_COUNT - 1 ? RC_OK : RC_MALFORMED;

	for (size_t i = 0; i < pairs && rc == RC_OK && !c.bad; i++)
		rc = parse_member(e, &c, cbor_key(&c, &keys), &s);
	if (rc == RC_OK && !cur_done(&c))
		rc = RC_MALFORMED;
	if (rc == RC_OK)
		e->now = s;
	return rc;
}

static enum rc load(struct euicc *e, struct diag *d)
{
	uint8_t *bytes = NULL;
	size_t len = 0;
	enum rc rc = file_read(e->path, STATE_MAX, &bytes, &len, d);

	if (rc == RC_NOT_FOUND)
		return RC_OK;
	if (rc == RC_OK && euicc__state_parse(e, bytes, len) != RC_OK)
		rc = diag_set(d, RC_MALFORMED, "%s: damaged, or another eUICC's", e->path);
	free(bytes);
	return rc;
}

enum rc euicc_new(const struct euicc_opts *opts, struct euicc **out, struct diag *d)
{
	struct euicc *e = calloc(1, sizeof(*e));
	enum rc rc;

	if (!e)
		return RC_NOMEM;
	e->opts = *opts;
	e->opts.state_path = NULL;
	rc = card__bare(&opts->quirks, opts->clock, &e->bare);
	if (rc == RC_OK && opts->state_path && opts->has_eid) {
		e->path = strdup(opts->state_path);
		rc = e->path ? load(e, d) : RC_NOMEM;
	}
	if (rc != RC_OK) {
		euicc_free(e);
		return rc;
	}
	*out = e;
	return RC_OK;
}

void euicc_free(struct euicc *euicc)
{
	if (!euicc)
		return;
	for (size_t i = 0; i < euicc->count; i++)
		card_free(euicc->profiles[i]);
	card_free(euicc->bare);
	free(euicc->path);
	free(euicc);
}

bool euicc_was_deleted(const struct euicc *euicc, const uint8_t iccid[IDENT_ICCID_LEN])
{
	for (size_t i = 0; i < euicc->now.deleted_count; i++)
		if (same(&euicc->now.deleted[i], iccid))
			return true;
	return false;
}

enum rc euicc_add(struct euicc *euicc, struct card **take_card)
{
	if (euicc->count + euicc->now.deleted_count >= EUICC_PROFILES_MAX)
		return RC_TOO_LARGE;
	if (!euicc->now.known && euicc->count == 0) {
		euicc->now.any = true;
		memcpy(euicc->now.enabled.bytes, card_iccid(*take_card), IDENT_ICCID_LEN);
	}
	euicc->profiles[euicc->count++] = *take_card;
	*take_card = NULL;
	return RC_OK;
}

const uint8_t *euicc_eid(const struct euicc *euicc)
{
	return euicc->opts.has_eid ? euicc->opts.eid : NULL;
}

static size_t find(const struct euicc *e, const uint8_t *iccid)
{
	size_t i = 0;

	while (i < e->count && memcmp(card_iccid(e->profiles[i]), iccid, IDENT_ICCID_LEN) != 0)
		i++;
	return i;
}

struct card *euicc_enabled(const struct euicc *euicc)
{
	return euicc->now.any ? euicc_profile(euicc, find(euicc, euicc->now.enabled.bytes)) : NULL;
}

struct card *euicc_profile(const struct euicc *euicc, size_t i)
{
	return i < euicc->count ? euicc->profiles[i] : NULL;
}

static void note(struct euicc *e, enum euicc_event_kind kind, const uint8_t *iccid)
{
	struct switches *s = &e->now;
	struct euicc_event *ev;

	if (s->event_count == EUICC_EVENTS_MAX) {
		log_write(e->opts.log, LOG_WARNING, "event lost sequence=%llu",
			(unsigned long long)s->events[0].sequence);
		memmove(s->events, s->events + 1, (--s->event_count) * sizeof(s->events[0]));
	}
	ev = &s->events[s->event_count++];
	ev->sequence = ++s->sequence;
	ev->unix_s = e->opts.clock->unix_s(e->opts.clock);
	ev->kind = kind;
	memcpy(ev->iccid, iccid, IDENT_ICCID_LEN);
}

/* Makes what `e->now` has become durable and tells it, or takes it back. */
static enum euicc_result commit(struct euicc *e, const struct switches *before)
{
	struct diag d = { 0 };

	e->now.known = true;
	if (save(e, &d) != RC_OK) {
		log_write(e->opts.log, LOG_ERROR, "switch not stored reason=\"%s\"", d.text);
		e->now = *before;
		return EUICC_FAILED;
	}
	e->generation += e->now.any != before->any || !same(&e->now.enabled, before->enabled.bytes);
	for (size_t i = 0; i < e->now.event_count; i++) {
		const struct euicc_event *ev = &e->now.events[i];

		if (ev->sequence <= before->sequence)
			continue;
		log_write(e->opts.log, LOG_INFO, "euicc event=%s sequence=%llu",
			euicc_event_text(ev->kind), (unsigned long long)ev->sequence);
		if (e->opts.on_event)
			e->opts.on_event(e, ev, e->opts.user);
	}
	return EUICC_OK;
}

static void set_enabled(struct switches *s, const uint8_t *iccid)
{
	s->any = iccid != NULL;
	if (iccid)
		memmove(s->enabled.bytes, iccid, IDENT_ICCID_LEN);
}

enum euicc_result euicc_enable(
	struct euicc *euicc, const uint8_t iccid[IDENT_ICCID_LEN], uint32_t temporary_s)
{
	struct switches before = euicc->now, *s = &euicc->now;

	if (!euicc->opts.has_eid || temporary_s > EUICC_TEMPORARY_MAX)
		return EUICC_DISALLOWED;
	if (find(euicc, iccid) == euicc->count)
		return EUICC_NOT_FOUND;
	if (s->any && same(&s->enabled, iccid))
		return EUICC_WRONG_STATE;
	if (s->any)
		note(euicc, EUICC_DISABLED, s->enabled.bytes);
	if (temporary_s > 0) {
		/* From one temporary network to another: home stays where it was. */
		if (!s->returns && s->any)
			s->back = s->enabled;
		s->returns = s->returns || s->any;
		s->return_at = euicc->opts.clock->unix_s(euicc->opts.clock) + temporary_s;
	} else {
		s->returns = false;
	}
	set_enabled(s, iccid);
	note(euicc, temporary_s > 0 ? EUICC_TEMPORARY : EUICC_ENABLED, iccid);
	return commit(euicc, &before);
}

/* Back to the profile before the temporary one. */
static enum euicc_result go_back(struct euicc *e)
{
	struct switches before = e->now, *s = &e->now;

	note(e, EUICC_DISABLED, s->enabled.bytes);
	s->returns = false;
	set_enabled(s, s->back.bytes);
	note(e, EUICC_RETURNED, s->enabled.bytes);
	return commit(e, &before);
}

enum euicc_result euicc_disable(struct euicc *euicc, const uint8_t iccid[IDENT_ICCID_LEN])
{
	struct switches before = euicc->now, *s = &euicc->now;

	if (!euicc->opts.has_eid)
		return EUICC_DISALLOWED;
	if (find(euicc, iccid) == euicc->count)
		return EUICC_NOT_FOUND;
	if (!s->any || !same(&s->enabled, iccid))
		return EUICC_WRONG_STATE;
	if (s->returns)
		return go_back(euicc);
	set_enabled(s, NULL);
	note(euicc, EUICC_DISABLED, iccid);
	return commit(euicc, &before);
}

enum euicc_result euicc_delete(struct euicc *euicc, const uint8_t iccid[IDENT_ICCID_LEN])
{
	struct switches before = euicc->now, *s = &euicc->now;
	size_t i = find(euicc, iccid);
	enum euicc_result result;

	if (!euicc->opts.has_eid)
		return EUICC_DISALLOWED;
	if (i == euicc->count)
		return EUICC_NOT_FOUND;
	if (s->any && same(&s->enabled, iccid))
		return EUICC_WRONG_STATE;
	if (s->returns && same(&s->back, iccid))
		return EUICC_DISALLOWED; /* somebody is to come back to it */
	memcpy(s->deleted[s->deleted_count++].bytes, iccid, IDENT_ICCID_LEN);
	note(euicc, EUICC_DELETED, s->deleted[s->deleted_count - 1].bytes);
	result = commit(euicc, &before);
	if (result != EUICC_OK)
		return result;
	/* From here on it is gone, whatever happens to its file: that is removed again at start. */
	card_erase(euicc->profiles[i]);
	card_free(euicc->profiles[i]);
	euicc->count--;
	memmove(&euicc->profiles[i], &euicc->profiles[i + 1],
		(euicc->count - i) * sizeof(euicc->profiles[0]));
	return EUICC_OK;
}

void euicc_tick(struct euicc *euicc)
{
	if (euicc->now.returns &&
		euicc->opts.clock->unix_s(euicc->opts.clock) >= euicc->now.return_at)
		(void)go_back(euicc);
}

const struct euicc_event *euicc_event(const struct euicc *euicc, size_t i)
{
	return i < euicc->now.event_count ? &euicc->now.events[i] : NULL;
}

const char *euicc_event_text(enum euicc_event_kind kind)
{
	switch (kind) {
	case EUICC_ENABLED: return "enabled";
	case EUICC_DISABLED: return "disabled";
	case EUICC_DELETED: return "deleted";
	case EUICC_TEMPORARY: return "temporary";
	case EUICC_RETURNED: return "returned";
	}
	return "unknown";
}

enum rc euicc_acknowledge(struct euicc *euicc, uint64_t sequence, struct diag *d)
{
	struct switches before = euicc->now, *s = &euicc->now;
	size_t n = 0;
	enum rc rc;

	while (n < s->event_count && s->events[n].sequence <= sequence)
		n++;
	if (n == 0)
		return RC_OK;
	s->event_count -= n;
	memmove(s->events, s->events + n, s->event_count * sizeof(s->events[0]));
	rc = save(euicc, d);
	if (rc != RC_OK)
		euicc->now = before;
	return rc;
}

enum rc euicc_session_new(struct euicc *euicc, struct card_session **out)
{
	struct card *card = euicc_enabled(euicc);
	enum rc rc = card_session_new(card ? card : euicc->bare, out);

	if (rc == RC_OK) {
		(*out)->euicc = euicc;
		(*out)->generation = euicc->generation;
	}
	return rc;
}

/* A switch since the last command resets the reader, as the REFRESH of a real card does. */
void euicc__follow(struct card_session *s)
{
	struct card *card;

	if (!s->euicc)
		return;
	euicc_tick(s->euicc);
	if (s->generation == s->euicc->generation)
		return;
	card = euicc_enabled(s->euicc);
	s->card = card ? card : s->euicc->bare;
	s->generation = s->euicc->generation;
	card_session_reset(s);
}
