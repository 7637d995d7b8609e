/* SPDX-License-Identifier: Apache-2.0 */
/* An answer of the registry's feed, doc/feed.md: believed whole or not at all. */
#include "asp/internal.h"

#include "base/str.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#define MARK_HEX   16
#define EVENTS_MAX 1000

/* "12-00112233445566ab" */
static enum rc position_number(const char *text, uint64_t *number)
{
	size_t digits = text ? strspn(text, "0123456789") : 0;
	char copy[24];
	uint8_t mark[MARK_HEX / 2];

	if (digits < 1 || digits > 19 || text[digits] != '-' ||
		strlen(text + digits + 1) != MARK_HEX ||
		hex_read(text + digits + 1, mark, sizeof(mark)) != RC_OK)
		return RC_MALFORMED;
	memcpy(copy, text, digits);
	copy[digits] = '\0';
	return u64_read(copy, 0, INT64_MAX, number);
}

static enum rc read_what(const char *word, enum attest_news *out)
{
	static const char *const words[] = { "activated", "superseded", "withdrawn" };

	for (size_t i = 0; word && i < ARRAY_LEN(words); i++)
		if (strcmp(word, words[i]) == 0) {
			*out = (enum attest_news)i;
			return RC_OK;
		}
	return RC_MALFORMED;
}

static enum rc read_event(const json_t *from, const char *zone, const char *service,
	uint64_t expected, struct asp_feed_event *out, struct diag *d)
{
	const char *name = json_string_value(json_object_get(from, "owner_name"));
	const char *whose = json_string_value(json_object_get(from, "service"));
	const char *sha256 = json_string_value(json_object_get(from, "cert_sha256"));
	const json_t *number = json_object_get(from, "position");
	struct asp_feed_event e = { 0 };

	if (!json_is_integer(number) || json_integer_value(number) <= 0 || !name ||
		read_what(json_string_value(json_object_get(from, "event")), &e.what) != RC_OK)
		return diag_set(d, RC_MALFORMED, "feed: an event without position, event or name");
	if ((uint64_t)json_integer_value(number) != expected)
		return diag_set(d, RC_CONFLICT,
			"feed: event %lld where %" PRIu64 " is due: a gap, or an old answer",
			(long long)json_integer_value(number), expected);
	if (sha256 && *sha256) {
		size_t len = 0;

		if (b64_read(sha256, strlen(sha256), e.sha256, sizeof(e.sha256), &len) != RC_OK ||
			len != sizeof(e.sha256))
			return diag_set(d, RC_MALFORMED, "feed: cert_sha256 is not 32 bytes");
		e.has_cert = true;
	}
	/* Active at another service is as good as gone from here. */
	if (e.what == ATTEST_NEWS_ACTIVATED && *service && whose && strcmp(whose, service) != 0)
		e.what = ATTEST_NEWS_SUPERSEDED;
	if (asp__owner_name(name, zone, e.name) != RC_OK)
		e.name[0] = '\0';
	*out = e;
	return RC_OK;
}

static enum rc read_all(const json_t *json, const char *after, const char *zone,
	const char *service, struct asp_feed_answer *out, struct diag *d)
{
	const char *answers = json_string_value(json_object_get(json, "after"));
	const char *position = json_string_value(json_object_get(json, "position"));
	const json_t *events = json_object_get(json, "events");
	bool at_head = strcmp(after, "head") == 0;
	uint64_t from = 0;
	enum rc rc;

	out->n = json_array_size(events);
	if (!answers || position_number(answers, &from) != RC_OK ||
		position_number(position, &out->number) != RC_OK || out->n > EVENTS_MAX ||
		(events && !json_is_array(events)))
		return diag_set(d, RC_MALFORMED, "feed: after, position or events make no sense");
	if ((!at_head && strcmp(answers, after) != 0) || out->number != from + out->n ||
		(out->n == 0 && strcmp(position, answers) != 0))
		return diag_set(d, RC_CONFLICT, "feed: an answer to another question: an old one");
	rc = str_copy(out->position, sizeof(out->position), position);
	out->events = out->n ? calloc(out->n, sizeof(*out->events)) : NULL;
	if (rc == RC_OK && out->n && !out->events)
		rc = RC_NOMEM;
	for (size_t i = 0; i < out->n && rc == RC_OK; i++)
		rc = read_event(
			json_array_get(events, i), zone, service, from + i + 1, &out->events[i], d);
	return rc;
}

enum rc asp__feed_read(const char *text, size_t len, const char *after, const char *zone,
	const char *service, struct asp_feed_answer *out, struct diag *d)
{
	struct asp_feed_answer answer = { 0 };
	json_error_t e;
	json_t *json = json_loadb(text, len, JSON_REJECT_DUPLICATES, &e);
	enum rc rc;

	if (!json_is_object(json)) {
		json_decref(json);
		return diag_set(d, RC_MALFORMED, "feed: no JSON object");
	}
	rc = read_all(json, after, zone, service, &answer, d);
	json_decref(json);
	if (rc == RC_OK)
		*out = answer;
	else
		free(answer.events);
	return rc;
}
