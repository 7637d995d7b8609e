/* SPDX-License-Identifier: Apache-2.0 */
#include "store/engine.h"

#include <string.h>

/* The columns of ST__SERVICE; blobs only with an arena. */
static void read_service(struct st__q *q, struct arena *a, struct store_service *v)
{
	*v = (struct store_service){ 0 };
	st__col_text(q, 0, v->handle, sizeof(v->handle));
	st__col_text(q, 1, v->asp, sizeof(v->asp));
	st__col_text(q, 2, v->fqdn, sizeof(v->fqdn));
	v->port = (uint32_t)st__col_int(q, 3);
	st__col_text(q, 4, v->url, sizeof(v->url));
	st__col_text(q, 5, v->td_url, sizeof(v->td_url));
	v->has_td = st__col_fixed(q, 6, v->td_sha256, sizeof(v->td_sha256));
	v->publish_tlsa = st__col_int(q, 7) != 0;
	v->created = st__col_int(q, 8);
	if (a) {
		v->asp_cert = st__col_blob(q, 9, a);
		v->wifi_sealed = st__col_blob(q, 10, a);
	}
}

static void bind_blob(struct st__q *q, const struct store_blob *b)
{
	st__blob(q, b->len ? b->bytes : NULL, b->len);
}

static enum rc put_pins(
	struct store *s, const char *handle, const struct store_pin *pins, size_t pin_count)
{
	enum rc rc = RC_OK;

	for (size_t i = 0; i < pin_count && rc == RC_OK; i++) {
		struct st__q q = st__start(s, ST__PIN_ADD);

		st__text(&q, handle);
		st__int(&q, (int64_t)i);
		st__int(&q, pins[i].usage);
		st__int(&q, pins[i].selector);
		st__int(&q, pins[i].matching);
		st__blob(&q, pins[i].data.bytes, pins[i].data.len);
		rc = st__run(&q);
	}
	return rc;
}

enum rc store_service_add(struct store *s, const struct store_service *v,
	const struct store_pin *pins, size_t pin_count)
{
	struct st__q q = st__start(s, ST__SERVICE_ADD);
	enum rc rc;

	st__text(&q, v->handle);
	st__text(&q, v->asp);
	st__text(&q, v->fqdn);
	st__int(&q, v->port);
	st__text(&q, v->url);
	st__text(&q, v->td_url);
	st__blob(&q, v->has_td ? v->td_sha256 : NULL, sizeof(v->td_sha256));
	st__int(&q, v->publish_tlsa);
	st__int(&q, v->created);
	bind_blob(&q, &v->asp_cert);
	bind_blob(&q, &v->wifi_sealed);
	rc = st__run(&q);
	return rc == RC_OK ? put_pins(s, v->handle, pins, pin_count) : rc;
}

enum rc store_service_save(struct store *s, const struct store_service *v,
	const struct store_pin *pins, size_t pin_count)
{
	struct st__q q = st__start(s, ST__SERVICE_SAVE);
	enum rc rc;

	st__text(&q, v->handle);
	st__text(&q, v->fqdn);
	st__int(&q, v->port);
	st__text(&q, v->url);
	st__text(&q, v->td_url);
	st__blob(&q, v->has_td ? v->td_sha256 : NULL, sizeof(v->td_sha256));
	st__int(&q, v->publish_tlsa);
	bind_blob(&q, &v->asp_cert);
	bind_blob(&q, &v->wifi_sealed);
	rc = st__run(&q);
	if (rc != RC_OK)
		return rc;
	q = st__start(s, ST__PIN_DROP);
	st__text(&q, v->handle);
	rc = st__run(&q);
	return rc == RC_OK ? put_pins(s, v->handle, pins, pin_count) : rc;
}

enum rc store_service_get(
	struct store *s, const char *handle, struct arena *a, struct store_service *out)
{
	struct st__q q = st__start(s, ST__SERVICE_GET);
	struct store_service v;
	bool found;
	enum rc rc;

	st__text(&q, handle);
	found = st__row(&q);
	if (found)
		read_service(&q, a, &v);
	rc = st__end_one(&q, found);
	if (rc == RC_OK)
		*out = v;
	return rc;
}

enum rc store_service_pins(
	struct store *s, const char *handle, struct arena *a, struct store_pin **out, size_t *n)
{
	struct st__q q = st__start(s, ST__PIN_LIST);
	struct st__list l = { 0 };

	st__text(&q, handle);
	while (st__row(&q)) {
		struct store_pin *p = st__list_add(&l, sizeof(*p), a, &q);

		if (!p)
			continue;
		p->usage = (uint32_t)st__col_int(&q, 0);
		p->selector = (uint32_t)st__col_int(&q, 1);
		p->matching = (uint32_t)st__col_int(&q, 2);
		p->data = st__col_blob(&q, 3, a);
	}
	*out = (struct store_pin *)(void *)l.items;
	*n = l.n;
	return st__end(&q);
}

enum rc store_service_list(struct store *s, const char *asp, const char *after, size_t limit,
	struct arena *a, struct store_service **out, size_t *n)
{
	struct st__q q = st__start(s, *asp ? ST__SERVICE_LIST_ASP : ST__SERVICE_LIST);
	struct st__list l = { 0 };

	st__text(&q, after);
	st__int(&q, (int64_t)limit);
	if (*asp)
		st__text(&q, asp);
	while (st__row(&q)) {
		struct store_service *v = st__list_add(&l, sizeof(*v), a, &q);

		if (v)
			read_service(&q, NULL, v);
	}
	*out = (struct store_service *)(void *)l.items;
	*n = l.n;
	return st__end(&q);
}

enum rc store_service_delete(struct store *s, const char *handle, int64_t now)
{
	struct st__q q = st__start(s, ST__SERVICE_DELETE);

	st__text(&q, handle);
	st__int(&q, now);
	return st__run(&q);
}

static enum rc any(struct store *s, enum st__sql sql, const char *handle)
{
	struct st__q q = st__start(s, sql);
	int64_t one;

	st__text(&q, handle);
	return st__run_int(&q, &one);
}

enum rc store_service_taken(struct store *s, const char *handle)
{
	return any(s, ST__SERVICE_TAKEN, handle);
}

enum rc store_service_bound(struct store *s, const char *handle)
{
	return any(s, ST__SERVICE_BOUND, handle);
}
