/* SPDX-License-Identifier: Apache-2.0 */
#include "registry/internal.h"

#include <stdio.h>
#include <string.h>

#define TD_SHA256 32

/* A service and its pins as they shall stand. */
struct wanted {
	struct store_blob td; /* a new Thing Description; bytes NULL: as it was */
	struct store_service v;
	struct store_pin *pins;
	size_t pin_count;
};

/* ---- form ------------------------------------------------------------------------------- */

static bool check_pins(struct registry_run *run, const struct wanted *w)
{
	static const size_t lengths[] = { 0, 32, 64 }; /* RFC 6698 section 2.1.3 */

	if (w->pin_count < 1 || w->pin_count > REGISTRY_PINS_MAX) {
		reg__no(run, w->pin_count ? CODE(RANGE) : CODE(MISSING), "pins",
			"a service has 1 to %d TLSA pins", REGISTRY_PINS_MAX);
		return false;
	}
	for (size_t i = 0; i < w->pin_count; i++) {
		const struct store_pin *p = &w->pins[i];

		if (p->usage > 3 || p->selector > 1 || p->matching > 2) {
			reg__no(run, CODE(RANGE), "pins", "usage 0-3, selector 0-1, matching 0-2");
			return false;
		}
		if (p->matching ? p->data.len != lengths[p->matching]
				: p->data.len < 1 || p->data.len > 2048) {
			reg__no(run, CODE(VALUE_SYNTAX), "pins",
				"the data does not have the length of its matching type");
			return false;
		}
	}
	return true;
}

static bool check_asp_cert(struct registry_run *run, const struct store_blob *cert)
{
	struct diag d = { "" };

	if (!cert->len)
		return true;
	if (cert->len > REGISTRY_ASP_CERT_MAX) {
		reg__no(run, CODE(RANGE), "asp_cert", "at most %d bytes", REGISTRY_ASP_CERT_MAX);
		return false;
	}
	if (!run->reg->asp_cert_check ||
		run->reg->asp_cert_check(cert->bytes, cert->len, &d) != RC_OK) {
		reg__no(run, CODE(VALUE_SYNTAX), "asp_cert", "%s",
			*d.text ? d.text : "not an X.509 certificate");
		return false;
	}
	return true;
}

static bool check_service(struct registry_run *run, const struct wanted *w)
{
	const struct store_service *v = &w->v;

	if (!reg__host_ok(v->fqdn)) {
		reg__no(run, *v->fqdn ? CODE(VALUE_SYNTAX) : CODE(MISSING), "fqdn",
			"a host name in lower case is needed");
		return false;
	}
	if (v->port < 1 || v->port > 65535) {
		reg__no(run, CODE(RANGE), "port", "1 to 65535");
		return false;
	}
	if ((*v->td_url != '\0') != v->has_td) {
		reg__no(run, CODE(MISSING), *v->td_url ? "td" : "td_url",
			"a Thing Description has a URL, and its text or SHA-256");
		return false;
	}
	if (v->wifi_sealed.len > REGISTRY_WIFI_MAX) {
		reg__no(run, CODE(RANGE), "wifi", "too long");
		return false;
	}
	return check_pins(run, w) && check_asp_cert(run, &v->asp_cert);
}

static bool set_text(
	struct registry_run *run, const char *field, const char *from, char *to, size_t cap)
{
	if (!reg__text_ok(from, 0, cap - 1)) {
		reg__no(run, CODE(VALUE_SYNTAX), field, "text of at most %zu bytes", cap - 1);
		return false;
	}
	snprintf(to, cap, "%s", from);
	return true;
}

/* Takes over what the message says; absent (default) members stay as they are. */
static bool merge(struct registry_run *run, const Registry__Service *m, struct wanted *w)
{
	struct store_service *v = &w->v;

	if ((*m->fqdn && !set_text(run, "fqdn", m->fqdn, v->fqdn, sizeof(v->fqdn))) ||
		(*m->url && !set_text(run, "url", m->url, v->url, sizeof(v->url))) ||
		(*m->td_url && !set_text(run, "td_url", m->td_url, v->td_url, sizeof(v->td_url))))
		return false;
	if (m->port)
		v->port = m->port;
	if (m->td_sha256.len) {
		if (m->td_sha256.len != TD_SHA256) {
			reg__no(run, CODE(VALUE_SYNTAX), "td_sha256", "32 bytes");
			return false;
		}
		memcpy(v->td_sha256, m->td_sha256.data, TD_SHA256);
		v->has_td = true;
	}
	if (!reg__td_take(run, m, v, &w->td))
		return false;
	if (m->publish_tlsa)
		v->publish_tlsa = true;
	if (m->asp_cert.len)
		v->asp_cert = (struct store_blob){ m->asp_cert.data, m->asp_cert.len };
	if (m->wifi_sealed.len)
		v->wifi_sealed = (struct store_blob){ m->wifi_sealed.data, m->wifi_sealed.len };
	if (m->n_pins) {
		w->pins = arena_array(run->arena, m->n_pins, sizeof(*w->pins));
		w->pin_count = w->pins ? m->n_pins : 0;
		for (size_t i = 0; i < w->pin_count; i++)
			w->pins[i] = (struct store_pin){ m->pins[i]->usage, m->pins[i]->selector,
				m->pins[i]->matching,
				{ m->pins[i]->data.data, m->pins[i]->data.len } };
	}
	return true;
}

static bool clear(struct registry_run *run, const char *field, struct wanted *w)
{
	struct store_service *v = &w->v;

	if (strcmp(field, "url") == 0)
		v->url[0] = '\0';
	else if (strcmp(field, "asp_cert") == 0)
		v->asp_cert.len = 0;
	else if (strcmp(field, "wifi") == 0 || strcmp(field, "wifi_sealed") == 0)
		v->wifi_sealed.len = 0;
	else if (strcmp(field, "publish_tlsa") == 0)
		v->publish_tlsa = false;
	else if (strcmp(field, "td_url") == 0 || strcmp(field, "td_sha256") == 0 ||
		 strcmp(field, "td") == 0) {
		v->td_url[0] = '\0';
		v->has_td = false;
	} else {
		reg__no(run, CODE(RANGE), "clear", "%.32s cannot be cleared", field);
		return false;
	}
	return true;
}

/* ---- answers ---------------------------------------------------------------------------- */

static Registry__Service *message(struct registry_run *run, const struct store_service *v,
	const struct store_pin *pins, size_t pin_count)
{
	Registry__Service *m = arena_alloc(run->arena, sizeof(*m));

	if (!m)
		return NULL;
	registry__service__init(m);
	m->handle = arena_str(run->arena, v->handle);
	m->asp = arena_str(run->arena, v->asp);
	m->fqdn = arena_str(run->arena, v->fqdn);
	m->url = arena_str(run->arena, v->url);
	m->td_url = arena_str(run->arena, v->td_url);
	m->port = v->port;
	m->publish_tlsa = v->publish_tlsa;
	m->created = v->created;
	m->wifi_set = v->wifi_sealed.len > 0;
	if (v->has_td) {
		m->td_sha256.data = arena_dup(run->arena, v->td_sha256, TD_SHA256);
		m->td_sha256.len = TD_SHA256;
	}
	m->asp_cert.data = arena_dup(run->arena, v->asp_cert.bytes, v->asp_cert.len);
	m->asp_cert.len = v->asp_cert.len;
	m->pins = arena_array(run->arena, pin_count, sizeof(*m->pins));
	for (size_t i = 0; m->pins && i < pin_count; i++) {
		Registry__TlsaPin *p = arena_alloc(run->arena, sizeof(*p));

		if (!p)
			return NULL;
		registry__tlsa_pin__init(p);
		p->usage = pins[i].usage;
		p->selector = pins[i].selector;
		p->matching = pins[i].matching;
		p->data.data = arena_dup(run->arena, pins[i].data.bytes, pins[i].data.len);
		p->data.len = pins[i].data.len;
		m->pins[m->n_pins++] = p;
	}
	return m;
}

static enum rc answer(struct registry_run *run, const struct store_service *v,
	const struct store_pin *pins, size_t pin_count)
{
	Registry__ServiceData *out = arena_alloc(run->arena, sizeof(*out));

	if (!out)
		return RC_NOMEM;
	registry__service_data__init(out);
	out->service = message(run, v, pins, pin_count);
	if (out->service && reg__describe_show(run, v, out->service) != RC_OK)
		return RC_IO;
	run->reply.code = CODE(OK);
	run->reply.result_case = REGISTRY__REPLY__RESULT_SERVICE;
	run->reply.service = out;
	return RC_OK;
}

/* ---- its records in the zone -------------------------------------------------------------- */

static void zone_name(const struct store_service *v, struct store_change *c)
{
	snprintf(c->name, sizeof(c->name), "_%u._tcp.%s._service", v->port, v->handle);
}

/* The TLSA rdata of the pins, packed as the lists of a zone.Change. */
static enum rc records(
	struct arena *a, const struct store_pin *pins, size_t pin_count, struct store_blob *out)
{
	Zone__Change m = ZONE__CHANGE__INIT;
	uint8_t *bytes;

	m.tlsa = arena_array(a, pin_count, sizeof(*m.tlsa));
	for (size_t i = 0; m.tlsa && i < pin_count; i++) {
		uint8_t *rdata = arena_alloc(a, 3 + pins[i].data.len);

		if (!rdata)
			return RC_NOMEM;
		rdata[0] = (uint8_t)pins[i].usage;
		rdata[1] = (uint8_t)pins[i].selector;
		rdata[2] = (uint8_t)pins[i].matching;
		memcpy(rdata + 3, pins[i].data.bytes, pins[i].data.len);
		m.tlsa[m.n_tlsa++] = (ProtobufCBinaryData){ 3 + pins[i].data.len, rdata };
	}
	out->len = zone__change__get_packed_size(&m);
	bytes = arena_alloc(a, out->len);
	if (!bytes)
		return RC_NOMEM;
	zone__change__pack(&m, bytes);
	out->bytes = bytes;
	return RC_OK;
}

static enum rc publish(
	struct registry_run *run, const struct wanted *now, const struct store_service *before)
{
	struct store_change c = { 0 };
	enum rc rc;

	if (before && before->publish_tlsa &&
		(!now->v.publish_tlsa || before->port != now->v.port)) {
		struct store_change gone = { .withdrawn = true };

		zone_name(before, &gone);
		rc = reg__change(run, &gone);
		if (rc != RC_OK)
			return rc;
	}
	if (!now->v.publish_tlsa)
		return RC_OK;
	zone_name(&now->v, &c);
	rc = records(run->arena, now->pins, now->pin_count, &c.records);
	return rc == RC_OK ? reg__change(run, &c) : rc;
}

/* ---- what its provider hears when the operator changes it ---------------------------------- */

static enum rc shoot(struct registry_run *run, const struct wanted *w, struct store_blob *out)
{
	if (reg__is_caller(run, w->v.asp))
		return RC_OK;
	return reg__shoot_service(run, message(run, &w->v, w->pins, w->pin_count), out);
}

static enum rc tell(
	struct registry_run *run, const struct wanted *w, const char *event, struct reg__tale *t)
{
	enum rc rc = shoot(run, w, &t->after);

	return rc == RC_OK
		       ? reg__tell(run, w->v.asp, event, w->v.handle, t, "by %s", run->caller->id)
		       : rc;
}

/* ---- operations --------------------------------------------------------------------------- */

enum rc reg__service_create(struct registry_run *run)
{
	const Registry__Service *m = run->request->service_create->service;
	struct wanted w = { .v = { .created = run->now } };
	struct store_party asp;
	const char *owner;
	enum rc rc;

	if (!m)
		return reg__no(run, CODE(MISSING), "service", "nothing given");
	owner = *m->asp ? m->asp : run->caller->id;
	if (!reg__handle_ok(m->handle))
		return reg__no(run, *m->handle ? CODE(VALUE_SYNTAX) : CODE(MISSING), "handle",
			"1 to 32 of a-z, 0-9 and -");
	if (!reg__is_caller(run, owner) && !reg__has_role(run, ROLE_BIT(OPERATOR)))
		return reg__no(run, CODE(AUTHORIZATION), "asp", "services are made for oneself");
	rc = store_party_get(run->reg->store, owner, &asp);
	if (rc == RC_NOT_FOUND || (rc == RC_OK && !(asp.roles & ROLE_BIT(ASP))))
		return reg__no(run, CODE(ASSOCIATION_PROHIBITS), "asp", "no such ASP");
	if (rc != RC_OK)
		return rc;
	snprintf(w.v.handle, sizeof(w.v.handle), "%s", m->handle);
	snprintf(w.v.asp, sizeof(w.v.asp), "%s", asp.id);
	if (!merge(run, m, &w) || !check_service(run, &w))
		return RC_OK;
	rc = store_service_add(run->reg->store, &w.v, w.pins, w.pin_count);
	if (rc == RC_EXISTS)
		return reg__no(run, CODE(EXISTS), "handle",
			"service %s exists, or did: handles do not come back", m->handle);
	if (rc == RC_OK)
		rc = reg__describe_save(run, &w.v, &w.td, true);
	if (rc == RC_OK)
		rc = publish(run, &w, NULL);
	if (rc == RC_OK)
		rc = reg__audit(
			run, w.v.handle, "asp=%s fqdn=%s port=%u", w.v.asp, w.v.fqdn, w.v.port);
	if (rc == RC_OK)
		rc = tell(run, &w, "service.created", &(struct reg__tale){ 0 });
	return rc == RC_OK ? answer(run, &w.v, w.pins, w.pin_count) : rc;
}

/* Reads a service that the caller may see; false: refused, or failed with *rc set. */
static bool get_service(struct registry_run *run, const char *handle, struct wanted *w, enum rc *rc)
{
	*rc = store_service_get(run->reg->store, handle, run->arena, &w->v);
	if (*rc == RC_NOT_FOUND) {
		*rc = reg__no(run, *handle ? CODE(NOT_FOUND) : CODE(MISSING), "handle",
			"no such service");
		return false;
	}
	if (*rc == RC_OK && !reg__is_caller(run, w->v.asp) &&
		!reg__has_role(run, ROLE_BIT(OPERATOR))) {
		reg__no(run, CODE(AUTHORIZATION), "handle", "not your service");
		return false;
	}
	if (*rc == RC_OK)
		*rc = store_service_pins(
			run->reg->store, handle, run->arena, &w->pins, &w->pin_count);
	return *rc == RC_OK;
}

enum rc reg__service_update(struct registry_run *run)
{
	const Registry__ServiceUpdate *m = run->request->service_update;
	struct store_service before;
	struct reg__tale t = { 0 };
	struct wanted w = { 0 };
	enum rc rc;

	if (!m->service)
		return reg__no(run, CODE(MISSING), "service", "nothing given");
	if (!get_service(run, m->service->handle, &w, &rc))
		return rc;
	before = w.v;
	rc = shoot(run, &w, &t.before);
	if (rc != RC_OK)
		return rc;
	for (size_t i = 0; i < m->n_clear; i++) {
		if (!clear(run, m->clear[i], &w))
			return RC_OK;
	}
	if (!merge(run, m->service, &w) || !check_service(run, &w))
		return RC_OK;
	rc = store_service_save(run->reg->store, &w.v, w.pins, w.pin_count);
	if (rc == RC_OK)
		rc = reg__describe_save(run, &w.v, &w.td,
			m->service->n_pins || before.port != w.v.port ||
				strcmp(before.fqdn, w.v.fqdn) != 0);
	if (rc == RC_OK)
		rc = publish(run, &w, &before);
	/* Every device of the service must hear where it is now. */
	if (rc == RC_OK)
		rc = store_profile_due_service(run->reg->store, w.v.handle);
	run->install = true;
	if (rc == RC_OK)
		rc = reg__audit(run, w.v.handle, "fqdn=%s port=%u", w.v.fqdn, w.v.port);
	if (rc == RC_OK)
		rc = tell(run, &w, "service.updated", &t);
	return rc == RC_OK ? answer(run, &w.v, w.pins, w.pin_count) : rc;
}

/* Only what no profile is bound to. The handle stays taken: certificates name it. */
enum rc reg__service_delete(struct registry_run *run)
{
	const char *handle = run->request->service_delete->handle;
	struct reg__tale t = { 0 };
	struct store_change gone = { .withdrawn = true };
	struct wanted w = { 0 };
	enum rc rc;

	if (!get_service(run, handle, &w, &rc))
		return rc;
	rc = store_service_bound(run->reg->store, handle);
	if (rc == RC_OK)
		return reg__no(run, CODE(ASSOCIATION_PROHIBITS), "handle",
			"profiles are bound to it: move or delete them first");
	if (rc == RC_NOT_FOUND)
		rc = shoot(run, &w, &t.before);
	if (rc == RC_OK && w.v.publish_tlsa) {
		zone_name(&w.v, &gone);
		rc = reg__change(run, &gone);
	}
	if (rc == RC_OK)
		rc = store_service_delete(run->reg->store, handle, run->now);
	if (rc == RC_OK)
		rc = reg__audit(run, handle, "deleted");
	if (rc == RC_OK)
		rc = reg__tell(run, w.v.asp, "service.deleted", handle, &t, "deleted by %s",
			run->caller->id);
	run->reply.code = CODE(OK);
	return rc;
}

enum rc reg__service_info(struct registry_run *run)
{
	struct wanted w = { 0 };
	enum rc rc;

	if (!get_service(run, run->request->service_info->handle, &w, &rc))
		return rc;
	return answer(run, &w.v, w.pins, w.pin_count);
}

enum rc reg__service_list(struct registry_run *run)
{
	const Registry__ServiceList *m = run->request->service_list;
	Registry__ServiceListData *out = arena_alloc(run->arena, sizeof(*out));
	bool all = reg__has_role(run, ROLE_BIT(OPERATOR));
	size_t limit = reg__limit(m->limit);
	struct store_service *list = NULL;
	size_t n = 0;
	enum rc rc = out ? store_service_list(run->reg->store, all ? "" : run->caller->id, m->after,
				   limit, run->arena, &list, &n)
			 : RC_NOMEM;

	if (rc != RC_OK)
		return rc;
	registry__service_list_data__init(out);
	out->services = arena_array(run->arena, n, sizeof(*out->services));
	for (size_t i = 0; out->services && i < n; i++) {
		struct store_pin *pins;
		size_t pin_count;

		rc = store_service_pins(
			run->reg->store, list[i].handle, run->arena, &pins, &pin_count);
		if (rc != RC_OK)
			return rc;
		out->services[out->n_services] = message(run, &list[i], pins, pin_count);
		if (!out->services[out->n_services])
			return RC_NOMEM;
		rc = reg__describe_show(run, &list[i], out->services[out->n_services++]);
		if (rc != RC_OK)
			return rc;
	}
	if (n == limit)
		out->next = list[n - 1].handle;
	run->reply.code = CODE(OK);
	run->reply.result_case = REGISTRY__REPLY__RESULT_SERVICE_LIST;
	run->reply.service_list = out;
	return RC_OK;
}

bool reg__own_service(struct registry_run *run, const char *handle, int kind, enum rc *rc)
{
	struct store_service v;

	*rc = store_service_get(run->reg->store, handle,
		kind == REGISTRY__CERT_KIND__KIND_DEVKIT ? run->arena : NULL, &v);
	if (*rc == RC_NOT_FOUND) {
		*rc = reg__no(run, *handle ? CODE(ASSOCIATION_PROHIBITS) : CODE(MISSING), "service",
			"no such service");
		return false;
	}
	if (*rc != RC_OK)
		return false;
	if (!reg__is_caller(run, v.asp)) {
		reg__no(run, CODE(AUTHORIZATION), "service", "not your service");
		return false;
	}
	if (kind == REGISTRY__CERT_KIND__KIND_DEVKIT && !v.asp_cert.len) {
		reg__no(run, CODE(POLICY), "kind",
			"kind devkit needs a service with an ASP certificate");
		return false;
	}
	return true;
}

/* ---- for a rebuild of the zone ------------------------------------------------------------ */

enum rc registry_zone_fixed(
	struct registry *reg, struct arena *arena, struct store_change **out, size_t *n)
{
	struct store_change *list = arena_array(arena, 1, sizeof(*list));
	struct store_service *services = NULL;
	const char *after = "";
	size_t count = 0;
	size_t page;
	enum rc rc;

	if (!list)
		return RC_NOMEM;
	rc = store_setting_get(reg->store, "apex", arena, &list[0].records);
	if (rc == RC_OK)
		count = 1;
	else if (rc != RC_NOT_FOUND)
		return rc;
	do {
		struct store_change *more;

		rc = store_service_list(
			reg->store, "", after, REGISTRY_LIST_MAX, arena, &services, &page);
		if (rc != RC_OK)
			return rc;
		more = arena_array(arena, count + page + 1, sizeof(*more));
		if (!more)
			return RC_NOMEM;
		memcpy(more, list, count * sizeof(*more));
		list = more;
		for (size_t i = 0; i < page; i++) {
			struct store_pin *pins;
			size_t pin_count;

			if (!services[i].publish_tlsa)
				continue;
			rc = store_service_pins(
				reg->store, services[i].handle, arena, &pins, &pin_count);
			zone_name(&services[i], &list[count]);
			if (rc == RC_OK)
				rc = records(arena, pins, pin_count, &list[count].records);
			if (rc != RC_OK)
				return rc;
			count++;
		}
		after = page ? services[page - 1].handle : after;
	} while (page == REGISTRY_LIST_MAX);
	*out = list;
	*n = count;
	return RC_OK;
}
