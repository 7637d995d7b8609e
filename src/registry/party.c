/* SPDX-License-Identifier: Apache-2.0 */
#include "registry/internal.h"

#include <stdio.h>
#include <string.h>

static bool id_ok(const char *id)
{
	size_t len = strlen(id);

	for (size_t i = 0; i < len; i++) {
		char c = id[i];

		if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
			    c == '-' || c == '_'))
			return false;
	}
	return len >= 3 && len < STORE_ID_MAX;
}

static bool password_ok(const char *pw)
{
	size_t len = strlen(pw);

	for (size_t i = 0; i < len; i++) {
		if (pw[i] < '!' || pw[i] > '~')
			return false;
	}
	return len >= 8 && len <= 64;
}

static Registry__Party *party_message(struct registry_run *run, const struct store_party *p)
{
	Registry__Party *m = arena_alloc(run->arena, sizeof(*m));

	if (!m)
		return NULL;
	registry__party__init(m);
	m->id = arena_str(run->arena, p->id);
	m->name = arena_str(run->arena, p->name);
	m->created = p->created;
	m->roles = arena_array(run->arena, 32, sizeof(*m->roles));
	for (int r = 1; m->roles && r < 31; r++) {
		if (p->roles & (1u << r))
			m->roles[m->n_roles++] = (Registry__Role)r;
	}
	if (p->has_spki) {
		m->cert_spki_sha256.data = arena_dup(run->arena, p->spki, sizeof(p->spki));
		m->cert_spki_sha256.len = sizeof(p->spki);
	}
	return m;
}

static bool check_create(
	struct registry_run *run, const Registry__PartyCreate *m, struct store_party *p)
{
	if (!id_ok(m->id)) {
		reg__no(run, CODE(VALUE_SYNTAX), "id", "3 to 16 letters, digits, - or _");
		return false;
	}
	if (*m->name && !reg__text_ok(m->name, 1, STORE_NAME_MAX - 1)) {
		reg__no(run, CODE(VALUE_SYNTAX), "name", "1 to 128 bytes of text");
		return false;
	}
	for (size_t i = 0; i < m->n_roles; i++) {
		if (m->roles[i] < REGISTRY__ROLE__ROLE_OPERATOR ||
			m->roles[i] > REGISTRY__ROLE__ROLE_OWNER) {
			reg__no(run, CODE(RANGE), "roles", "no such role");
			return false;
		}
		p->roles |= 1u << m->roles[i];
	}
	if (!p->roles) {
		reg__no(run, CODE(MISSING), "roles", "a party has one role or more");
		return false;
	}
	if (!m->csr.len || m->csr.len > REGISTRY_CSR_MAX) {
		reg__no(run, m->csr.len ? CODE(RANGE) : CODE(MISSING), "csr",
			"a PKCS#10 request of at most %d bytes is needed", REGISTRY_CSR_MAX);
		return false;
	}
	if (*m->password && !password_ok(m->password)) {
		reg__no(run, CODE(VALUE_SYNTAX), "password", "8 to 64 visible ASCII characters");
		return false;
	}
	snprintf(p->id, sizeof(p->id), "%s", m->id);
	snprintf(p->name, sizeof(p->name), "%s", *m->name ? m->name : m->id);
	return true;
}

static enum rc order_party(struct registry_run *run, const Registry__PartyCreate *m)
{
	Keys__IssueParty *order = arena_alloc(run->arena, sizeof(*order));

	if (!order)
		return RC_NOMEM;
	keys__issue_party__init(order);
	order->csr = m->csr;
	order->id = m->id;
	for (size_t i = 0; i < m->n_roles; i++)
		order->ra = order->ra || m->roles[i] == REGISTRY__ROLE__ROLE_MNO;
	order->not_before = run->now - 300; /* clients' clocks */
	order->not_after = run->now + run->reg->settings.party_s;
	run->party_order = order;
	run->password_order = *m->password ? m->password : NULL;
	return RC_OK;
}

static enum rc created(
	struct registry_run *run, const struct store_party *p, const Keys__IssuedParty *cert)
{
	Registry__PartyCreated *out = arena_alloc(run->arena, sizeof(*out));

	if (!out)
		return RC_NOMEM;
	registry__party_created__init(out);
	out->party = party_message(run, p);
	out->certificate.data = arena_dup(run->arena, cert->der.data, cert->der.len);
	out->certificate.len = cert->der.len;
	if (run->reg->ca)
		out->ca = run->reg->ca->party;
	run->reply.code = CODE(OK);
	run->reply.result_case = REGISTRY__REPLY__RESULT_PARTY_CREATED;
	run->reply.party_created = out;
	return RC_OK;
}

enum rc reg__party_create(struct registry_run *run)
{
	const Registry__PartyCreate *m = run->request->party_create;
	const Keys__IssuedParty *cert = run->made.party;
	struct store_party p = { .created = run->now };
	struct store_party other;
	enum rc rc;

	if (!check_create(run, m, &p))
		return RC_OK;
	rc = store_party_get(run->reg->store, m->id, &other);
	if (rc == RC_OK)
		return reg__no(run, CODE(EXISTS), "id", "party %s exists", m->id);
	if (rc != RC_NOT_FOUND)
		return rc;
	if (run->planning)
		return order_party(run, m);
	if (!cert || (*m->password && !run->made.password)) {
		run->again = true;
		return RC_OK;
	}
	if (cert->rc != RC_OK || cert->spki_sha256.len != STORE_SHA256)
		return reg__no(run, CODE(VALUE_SYNTAX), "csr", "%s",
			*cert->why ? cert->why : rc_text((enum rc)cert->rc));
	p.has_spki = true;
	memcpy(p.spki, cert->spki_sha256.data, sizeof(p.spki));
	if (*m->password)
		snprintf(p.password, sizeof(p.password), "%s", run->made.password);
	rc = store_party_add(run->reg->store, &p);
	if (rc == RC_EXISTS)
		return reg__no(run, CODE(POLICY), "csr", "another party logs in with this key");
	if (rc == RC_OK)
		rc = reg__audit(run, p.id, "roles=%x", p.roles);
	return rc == RC_OK ? created(run, &p, cert) : rc;
}

enum rc reg__party_info(struct registry_run *run)
{
	const char *id = run->request->party_info->id;
	Registry__PartyData *out = arena_alloc(run->arena, sizeof(*out));
	struct store_party p = *run->caller;
	enum rc rc;

	if (!out)
		return RC_NOMEM;
	if (*id && !reg__is_caller(run, id)) {
		if (!reg__has_role(run, ROLE_BIT(OPERATOR)))
			return reg__no(run, CODE(AUTHORIZATION), "id", "not your party");
		rc = store_party_get(run->reg->store, id, &p);
		if (rc == RC_NOT_FOUND)
			return reg__no(run, CODE(NOT_FOUND), "id", "no such party");
		if (rc != RC_OK)
			return rc;
	}
	registry__party_data__init(out);
	out->party = party_message(run, &p);
	run->reply.code = CODE(OK);
	run->reply.result_case = REGISTRY__REPLY__RESULT_PARTY;
	run->reply.party = out;
	return RC_OK;
}

enum rc reg__party_list(struct registry_run *run)
{
	const Registry__PartyList *m = run->request->party_list;
	Registry__PartyListData *out = arena_alloc(run->arena, sizeof(*out));
	size_t limit = reg__limit(m->limit);
	struct store_party *list = NULL;
	size_t n = 0;
	enum rc rc = out ? store_party_list(run->reg->store, m->after, limit, run->arena, &list, &n)
			 : RC_NOMEM;

	if (rc != RC_OK)
		return rc;
	registry__party_list_data__init(out);
	out->parties = arena_array(run->arena, n, sizeof(*out->parties));
	for (size_t i = 0; out->parties && i < n; i++)
		out->parties[out->n_parties++] = party_message(run, &list[i]);
	if (n == limit)
		out->next = list[n - 1].id;
	run->reply.code = CODE(OK);
	run->reply.result_case = REGISTRY__REPLY__RESULT_PARTY_LIST;
	run->reply.party_list = out;
	return RC_OK;
}

enum rc registry_bootstrap(struct registry_run *run, const uint8_t spki[STORE_SHA256])
{
	struct store_party p = { .id = "operator",
		.name = "operator",
		.roles = ROLE_BIT(OPERATOR),
		.has_spki = true,
		.created = run->now };
	struct store_party other;
	enum rc rc = store_party_get(run->reg->store, p.id, &other);

	if (rc != RC_NOT_FOUND)
		return rc;
	memcpy(p.spki, spki, sizeof(p.spki));
	rc = store_party_add(run->reg->store, &p);
	return rc == RC_OK ? reg__audit(run, p.id, "first party of the registry") : rc;
}
