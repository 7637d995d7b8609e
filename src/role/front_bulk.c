/* SPDX-License-Identifier: Apache-2.0 */
#include "role/front_bulk.h"

#include "base/secret.h"
#include "base/str.h"
#include "http/rows.h"
#include "http/wipe.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum {
	WINDOW = 64,	 /* rows that are with core */
	LINES_MAX = 1001 /* 1000 rows and a heading */
};

const char front_bulk_mark[] = "bulk";

struct kind {
	const char *name;
	const char *path; /* the route of one row; %s is the profile's name */
	bool wrap;	  /* the row goes into a list "rows" */
};

static const struct kind kinds[] = {
	{ "inventory", "/v1/inventory", true },
	{ "register", "/v1/profiles", false },
	{ "activate", "/v1/profiles/%s/activate", false },
	{ "transfer", "/v1/profiles/%s/transfer", false },
	{ "deactivate", "/v1/profiles/%s/deactivate", false },
};

struct bulk;

/* A row that is with core. */
struct slot {
	struct bulk *bulk; /* NULL: free */
	size_t row;
};

struct bulk {
	struct front_bulks *all;
	struct bulk *next;
	struct http_conn *conn; /* NULL: it went away */
	const struct kind *kind;
	char *text;
	size_t len;
	struct rows rows;
	size_t count, refused, in_flight;
	bool pumping, at_end;
	Registry__Request *held; /* read, but core could not take it yet */
	size_t held_row;
	json_t *results;
	char key[HTTP_KEY_MAX], case_id[HTTP_CASE_MAX], why[HTTP_WHY_MAX], peer[64];
	uint8_t spki[TLS_SPKI_LEN];
	struct slot slots[WINDOW];
};

struct front_bulks {
	struct front_core *core;
	struct bulk *list;
};

enum rc front_bulks_new(struct front_bulks **out, struct front_core *core)
{
	struct front_bulks *all = calloc(1, sizeof(*all));

	if (!all)
		return RC_NOMEM;
	all->core = core;
	*out = all;
	return RC_OK;
}

static void bulk_free(struct bulk *b)
{
	struct bulk **at = &b->all->list;

	while (*at && *at != b)
		at = &(*at)->next;
	if (*at)
		*at = b->next;
	reflect_free(b->held ? &b->held->base : NULL);
	json_decref(b->results);
	if (b->text)
		mem_wipe(b->text, b->len); /* claim and transfer codes */
	free(b->text);
	free(b);
}

void front_bulks_free(struct front_bulks *all)
{
	if (!all)
		return;
	while (all->list)
		bulk_free(all->list);
	free(all);
}

/* ---- results ---- */

static void result(struct bulk *b, size_t row, unsigned code, const char *why, const char *field,
	const char *name)
{
	json_t *o = json_pack("{s:I, s:i}", "row", (json_int_t)row, "code", (int)code);

	if (o && *why)
		(void)json_object_set_new(o, "reason", json_string(why));
	if (o && *field)
		(void)json_object_set_new(o, "field", json_string(field));
	if (o && *name)
		(void)json_object_set_new(o, "name", json_string(name));
	b->refused += code >= REGISTRY__CODE__CODE_UNKNOWN_COMMAND;
	(void)json_array_set_new(b->results, row - 1, o ? o : json_null());
}

static void result_of(struct bulk *b, size_t row, const Registry__Reply *reply)
{
	const char *name = "";

	if (reply->result_case == REGISTRY__REPLY__RESULT_INVENTORY &&
		reply->inventory->n_refused) {
		const Registry__RowResult *r = reply->inventory->refused[0];

		result(b, row, (unsigned)r->code, r->reason, "", "");
		return;
	}
	if (reply->result_case == REGISTRY__REPLY__RESULT_PROFILE && reply->profile->profile)
		name = reply->profile->profile->name;
	result(b, row, (unsigned)reply->code, reply->reason, reply->field, name);
}

static void finish(struct bulk *b)
{
	json_t *answer = json_pack("{s:I, s:I, s:O}", "done", (json_int_t)(b->count - b->refused),
		"refused", (json_int_t)b->refused, "results", b->results);
	char *text = answer ? json_dumps(answer, JSON_COMPACT) : NULL;
	struct http_conn *conn = b->conn;

	json_decref(answer);
	bulk_free(b);
	if (conn)
		http_reply(conn, text ? 200 : 500, text, text ? strlen(text) : 0, NULL);
	wipe_free(text);
}

/* ---- one row ---- */

static bool name_ok(const char *name)
{
	return *name && strlen(name) <= 64 &&
	       strspn(name, "0123456789.abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-") ==
		       strlen(name);
}

/* "1.8912..." as ICCID and slot; CSV has texts only, and the slot is a number. */
static void split_name(json_t *row)
{
	const char *name = json_string_value(json_object_get(row, "name"));
	const char *slot = json_string_value(json_object_get(row, "slot"));
	uint64_t n;

	if (slot && u64_read(slot, 0, 99, &n) == RC_OK)
		(void)json_object_set_new(row, "slot", json_integer((json_int_t)n));
	if (!name || name[0] < '1' || name[0] > '9' || name[1] != '.')
		return;
	(void)json_object_set_new(row, "slot", json_integer(name[0] - '0'));
	(void)json_object_set_new(row, "iccid", json_string(name + 2));
	(void)json_object_del(row, "name");
}

static bool no(struct bulk *b, size_t row, unsigned code, const char *field, const char *why)
{
	result(b, row, code, why, field, "");
	return false;
}

static bool read_as(struct bulk *b, size_t row, const char *path, const char *key, json_t *body,
	Registry__Request **out)
{
	char *text = json_dumps(body, JSON_COMPACT);
	struct api_fault fault = { 0 };
	const struct api_route *route = api_find("POST", path, &fault);
	struct api_input in = { .method = "POST",
		.path = path,
		.content_type = "application/json",
		.idempotency_key = key,
		.case_id = b->case_id,
		.why = b->why,
		.body = (const uint8_t *)text,
		.body_len = text ? strlen(text) : 0,
		.spki_sha256 = b->spki,
		.peer = b->peer };
	bool ok = text && route && api_read(route, &in, NULL, out, &fault) == RC_OK;

	wipe_free(text);
	return ok || no(b, row, fault.code ? fault.code : REGISTRY__CODE__CODE_FAILED,
			     fault.what.field, fault.what.why);
}

/* The request of one row. False: it is refused already. */
static bool request_of(struct bulk *b, size_t row, json_t *object, Registry__Request **out)
{
	const char *own = json_string_value(json_object_get(object, "key"));
	char key[2 * HTTP_KEY_MAX], path[160];
	json_t *name = json_incref(json_object_get(object, "name")), *body = object;
	bool named = strstr(b->kind->path, "%s") != NULL, ok;

	if (own)
		(void)snprintf(key, sizeof(key), "%.79s", own);
	else
		(void)snprintf(key, sizeof(key), "%s.%zu", b->key, row);
	ok = own || b->key[0] ||
	     no(b, row, REGISTRY__CODE__CODE_MISSING, "key",
		     "a row needs a key of its own, or the batch an Idempotency-Key");
	(void)json_object_del(object, "key");
	if (ok && named) {
		(void)json_object_del(object, "name");
		ok = (json_is_string(name) && name_ok(json_string_value(name))) ||
		     no(b, row, REGISTRY__CODE__CODE_VALUE_SYNTAX, "name",
			     "a profile's name is needed");
		if (ok)
			(void)snprintf(path, sizeof(path), b->kind->path, json_string_value(name));
	} else {
		(void)snprintf(path, sizeof(path), "%s", b->kind->path);
		split_name(object);
	}
	if (ok && b->kind->wrap)
		body = json_pack("{s:[O]}", "rows", object);
	ok = ok && body && read_as(b, row, path, key, body, out);
	if (body != object)
		json_decref(body);
	json_decref(name);
	return ok;
}

/* The next row that is to be asked about; false: there is none. */
static bool next_request(struct bulk *b)
{
	while (!b->held) {
		json_t *object = NULL;
		struct diag d = { 0 };
		enum rc rc = rows_next(&b->rows, &object, &d);

		if (rc == RC_NOT_FOUND) {
			b->at_end = true;
			return false;
		}
		b->held_row = ++b->count;
		(void)json_array_append_new(b->results, json_null());
		if (rc != RC_OK)
			(void)no(b, b->held_row, REGISTRY__CODE__CODE_SYNTAX, "", d.text);
		else if (!request_of(b, b->held_row, object, &b->held))
			b->held = NULL;
		json_decref(object);
	}
	return true;
}

static struct slot *free_slot(struct bulk *b)
{
	for (size_t i = 0; i < WINDOW; i++)
		if (!b->slots[i].bulk)
			return &b->slots[i];
	return NULL;
}

/* Hands rows to core while it takes them. The batch may be gone afterwards. */
static void pump(struct bulk *b)
{
	const char *why = "";

	if (b->pumping)
		return;
	b->pumping = true;
	while (b->conn && b->in_flight < WINDOW && next_request(b)) {
		struct slot *slot = free_slot(b);

		*slot = (struct slot){ b, b->held_row };
		b->in_flight++;
		if (!front_core_ask(b->all->core, b->held, slot, front_bulk_mark, 0, &why)) {
			slot->bulk = NULL;
			if (--b->in_flight)
				break; /* when an answer comes */
			(void)no(b, b->held_row, REGISTRY__CODE__CODE_FAILED, "", why);
		}
		reflect_free(&b->held->base);
		b->held = NULL;
	}
	b->pumping = false;
	if (!b->in_flight && (b->at_end || !b->conn))
		finish(b);
}

void front_bulk_reply(void *client, const Registry__Reply *reply, const char *why)
{
	struct slot *slot = client;
	struct bulk *b = slot->bulk;

	if (reply)
		result_of(b, slot->row, reply);
	else
		(void)no(b, slot->row, REGISTRY__CODE__CODE_FAILED, "", why);
	slot->bulk = NULL;
	b->in_flight--;
	pump(b);
}

void front_bulk_gone(struct front_bulks *all, const struct http_conn *conn)
{
	struct bulk *next;

	for (struct bulk *b = all->list; b; b = next) {
		next = b->next;
		if (b->conn != conn)
			continue;
		b->conn = NULL;
		if (!b->in_flight)
			bulk_free(b);
	}
}

/* ---- the batch ---- */

static bool is_type(const char *given, const char *type)
{
	size_t len = strlen(type);

	return strncasecmp(given, type, len) == 0 && (!given[len] || strchr("; \t", given[len]));
}

static enum rc bad(struct api_fault *f, unsigned status, const char *field, const char *why)
{
	f->status = status;
	f->code = REGISTRY__CODE__CODE_SYNTAX;
	return reflect_refuse(&f->what, field, why);
}

static size_t lines(const uint8_t *text, size_t len)
{
	size_t n = len && text[len - 1] != '\n';

	for (size_t i = 0; i < len; i++)
		n += text[i] == '\n';
	return n;
}

static enum rc fill(struct bulk *b, const struct http_request *http, bool csv, struct api_fault *f)
{
	struct diag d = { 0 };

	b->text = malloc(http->body_len + 1);
	b->results = json_array();
	if (!b->text || !b->results)
		return bad(f, 500, "", "out of memory");
	memcpy(b->text, http->body, http->body_len);
	b->text[http->body_len] = '\0';
	b->len = http->body_len;
	memcpy(b->spki, http->spki_sha256, sizeof(b->spki));
	(void)snprintf(b->peer, sizeof(b->peer), "%s", http->peer);
	(void)snprintf(b->key, sizeof(b->key), "%s", http->head->idempotency_key);
	(void)snprintf(b->case_id, sizeof(b->case_id), "%s", http->head->case_id);
	(void)snprintf(b->why, sizeof(b->why), "%s", http->head->why);
	return rows_open(&b->rows, b->text, b->len, csv, &d) == RC_OK ? RC_OK
								      : bad(f, 400, "", d.text);
}

enum rc front_bulk_start(struct front_bulks *all, struct http_conn *conn,
	const struct http_request *http, struct api_fault *fault)
{
	const char *type = http->head->content_type, *slash = strrchr(http->head->path, '/');
	bool csv = is_type(type, "text/csv");
	struct bulk *b;
	size_t k = 0;

	while (k < ARRAY_LEN(kinds) && strcmp(kinds[k].name, slash + 1) != 0)
		k++;
	if (k == ARRAY_LEN(kinds))
		return bad(fault, 404, "kind",
			"must be one of inventory register activate transfer deactivate");
	if (!csv && !is_type(type, "application/x-ndjson"))
		return bad(fault, 415, "Content-Type", "must be text/csv or application/x-ndjson");
	if (lines(http->body, http->body_len) > LINES_MAX)
		return bad(fault, 413, "", "over 1000 rows: send them in parts");
	b = calloc(1, sizeof(*b));
	if (!b)
		return bad(fault, 500, "", "out of memory");
	b->all = all;
	b->kind = &kinds[k];
	b->next = all->list;
	all->list = b;
	if (fill(b, http, csv, fault) != RC_OK) {
		bulk_free(b);
		return RC_MALFORMED;
	}
	b->conn = conn;
	pump(b);
	return RC_OK;
}
