/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* A registry in a database of its own, with a clock that stands still, randomness that repeats
 * and keys that make certificates out of thin air. One call = one request in one transaction. */

#include "../store/temp.h"
#include "registry/registry.h"
#include "store/audit.h"

#include <openssl/evp.h>

#define ICCID  "8912230200031010008f"
#define ICCID2 "8912230200031010009f"
#define NAME   "1." ICCID
#define CLAIM  "K7QF-2M9X"

struct world {
	struct temp_db db;
	struct registry reg;
	struct clock clock;
	struct rng rng;
	struct registry_trust trust;
	int64_t now;
	uint8_t random;
	unsigned certs;	 /* made so far */
	enum rc keys_rc; /* what keys says to orders */
	char *key;	 /* Idempotency-Key of the next calls */
	struct arena arena;
	struct registry_run run; /* of the last call */
	struct store_party caller;
};

static inline int64_t world_now(const struct clock *c)
{
	return ((struct world *)c->user)->now;
}

static inline uint64_t world_ms(const struct clock *c)
{
	return (uint64_t)((struct world *)c->user)->now * 1000u;
}

static inline enum rc world_fill(const struct rng *r, void *out, size_t len)
{
	struct world *w = r->user;

	for (size_t i = 0; i < len; i++)
		((uint8_t *)out)[i] = w->random = (uint8_t)(w->random * 5 + 17);
	return RC_OK;
}

static inline enum rc world_asp_cert(const uint8_t *der, size_t len, struct diag *d)
{
	if (len && der[0] == 0x30)
		return RC_OK;
	return diag_set(d, RC_UNSUPPORTED, "a TBSCertificate is no certificate");
}

static inline void world_open(struct world *w)
{
	*w = (struct world){ .now = 1800000000, .arena = arena_init(256 << 20) };
	w->key = (char *)(uintptr_t) "";
	w->clock = (struct clock){ world_now, world_ms, w };
	w->rng = (struct rng){ world_fill, w };
	temp_db_make(&w->db);
	w->reg = (struct registry){
		.store = temp_db_open(&w->db, true),
		.clock = &w->clock,
		.rng = &w->rng,
		.settings = { .zone = "iotregistry.example",
			.cert_s = 90 * 86400,
			.party_s = 365 * 86400,
			.auth_ttl_s = 86400,
			.job_ttl_s = 3600,
			.idem_ttl_s = 3600,
			.overlap_s = 86400 },
		.trust = &w->trust,
		.asp_cert_check = world_asp_cert,
	};
}

static inline void world_close(struct world *w)
{
	struct store_audit_report r;
	struct diag d = { "" };

	/* Whatever happened, the chain holds. */
	if (store_audit_verify(w->reg.store, &r, &d) != RC_OK)
		fail_msg("%s", d.text);
	store_close(w->reg.store);
	temp_db_remove(&w->db);
	arena_fini(&w->arena);
}

static inline void world_sha256(const void *p, size_t len, uint8_t *out)
{
	EVP_Digest(p, len, out, NULL, EVP_sha256(), NULL);
}

/* The key is a function of the CSR's first eight bytes, so two CSRs may share a key. */
static inline Keys__CertResult *world_issue(struct world *w, const Keys__CertOrder *o)
{
	Keys__CertResult *r = arena_alloc(&w->arena, sizeof(*r));
	char *der = arena_printf(
		&w->arena, "cert %u of %s for %s", ++w->certs, o->owner_name, o->service);

	keys__cert_result__init(r);
	r->rc = w->keys_rc;
	r->why = (char *)(uintptr_t) "refused by keys";
	r->der = (ProtobufCBinaryData){ strlen(der), (uint8_t *)der };
	r->sha256 = (ProtobufCBinaryData){ 32, arena_alloc(&w->arena, 32) };
	r->spki_sha256 = (ProtobufCBinaryData){ 32, arena_alloc(&w->arena, 32) };
	world_sha256(der, strlen(der), r->sha256.data);
	world_sha256(o->csr.data, o->csr.len < 8 ? o->csr.len : 8, r->spki_sha256.data);
	return r;
}

/* As core does it: plan, make, execute in a savepoint of a transaction. */
static inline Registry__Code world_run(struct world *w, const char *party, Registry__Request *q)
{
	const struct store_party *caller = NULL;
	const Keys__CertOrder *order = NULL;
	struct registry_made made = { 0 };
	bool keep;

	if (store_party_get(w->reg.store, party, &w->caller) == RC_OK)
		caller = &w->caller;
	q->idempotency_key = w->key;
	if (registry_op(q) && registry_op(q)->plans) {
		registry_run_init(&w->run, &w->reg, &w->arena, REGISTRY_API, caller, q);
		w->run.planning = true;
		assert_rc(RC_OK, registry_execute(&w->run));
		order = w->run.cert_order;
		if (order)
			made.cert = world_issue(w, order);
	}
	registry_run_init(&w->run, &w->reg, &w->arena, REGISTRY_API, caller, q);
	w->run.ordered = order;
	w->run.made = made;
	assert_rc(RC_OK, store_begin(w->reg.store));
	assert_rc(RC_OK, store_savepoint(w->reg.store));
	assert_rc(RC_OK, registry_execute(&w->run));
	assert_false(w->run.again);
	keep = w->run.reply.code < 2000 || w->run.keep;
	assert_rc(RC_OK, keep ? store_savepoint_release(w->reg.store)
			      : store_savepoint_rollback(w->reg.store));
	if (!keep)
		assert_rc(RC_OK, registry_refusal(&w->run));
	assert_rc(RC_OK, store_commit(w->reg.store));
	if (w->run.reply.code >= 2000)
		assert_true(strlen(w->run.reply.reason) > 0);
	return w->run.reply.code;
}

static inline ProtobufCBinaryData bytes_of(const char *text)
{
	return (ProtobufCBinaryData){ strlen(text), (uint8_t *)(uintptr_t)text };
}

static inline char *str(const char *text)
{
	return (char *)(uintptr_t)text;
}

#define WORLD_REQUEST(q, TYPE, member, m)              \
	Registry__Request q = REGISTRY__REQUEST__INIT; \
	q.op_case = REGISTRY__REQUEST__OP_##TYPE;      \
	q.member = &(m)

static inline void world_party(struct world *w, const char *id, Registry__Role role)
{
	struct store_party p = { .roles = 1u << role, .has_spki = true };

	snprintf(p.id, sizeof(p.id), "%s", id);
	world_sha256(id, strlen(id), p.spki);
	assert_rc(RC_OK, store_party_add(w->reg.store, &p));
}

static inline Registry__Code world_service(struct world *w, const char *asp, const char *handle)
{
	Registry__TlsaPin pin = REGISTRY__TLSA_PIN__INIT;
	Registry__TlsaPin *pins[] = { &pin };
	Registry__Service s = REGISTRY__SERVICE__INIT;
	Registry__ServiceCreate m = REGISTRY__SERVICE_CREATE__INIT;
	WORLD_REQUEST(q, SERVICE_CREATE, service_create, m);

	pin.usage = 3;
	pin.selector = 1;
	pin.matching = 1;
	pin.data = bytes_of("0123456789abcdef0123456789abcdef");
	s.handle = str(handle);
	s.fqdn = str("mqtt.example");
	s.port = 8883;
	s.pins = pins;
	s.n_pins = 1;
	m.service = &s;
	return world_run(w, asp, &q);
}

static inline Registry__Code world_load(
	struct world *w, const char *mno, const char *iccid, const char *owner)
{
	Registry__InventoryRow row = REGISTRY__INVENTORY_ROW__INIT;
	Registry__InventoryRow *rows[] = { &row };
	Registry__InventoryLoad m = REGISTRY__INVENTORY_LOAD__INIT;
	WORLD_REQUEST(q, INVENTORY_LOAD, inventory_load, m);
	const char *salted = "0123456789abcdef" CLAIM;
	uint8_t hash[32];

	world_sha256(salted, strlen(salted), hash);
	row.iccid = str(iccid);
	row.owner = str(owner);
	row.claim_salt = (ProtobufCBinaryData){ 16, (uint8_t *)(uintptr_t)salted };
	row.claim_sha256 = (ProtobufCBinaryData){ 32, hash };
	m.rows = rows;
	m.n_rows = 1;
	return world_run(w, mno, &q);
}

static inline Registry__Code world_register(struct world *w, const char *asp, const char *iccid,
	unsigned slot, const char *claim, const char *service)
{
	Registry__ProfileRegister m = REGISTRY__PROFILE_REGISTER__INIT;
	WORLD_REQUEST(q, PROFILE_REGISTER, profile_register, m);

	m.iccid = str(iccid);
	m.slot = slot;
	m.claim = str(claim);
	m.service = str(service);
	return world_run(w, asp, &q);
}

static inline Registry__Code world_activate(
	struct world *w, const char *asp, const char *name, const char *csr)
{
	Registry__ProfileActivate m = REGISTRY__PROFILE_ACTIVATE__INIT;
	WORLD_REQUEST(q, PROFILE_ACTIVATE, profile_activate, m);

	m.name = str(name);
	m.csr = bytes_of(csr);
	return world_run(w, asp, &q);
}

static inline Registry__Code world_deactivate(struct world *w, const char *who, const char *name)
{
	Registry__ProfileDeactivate m = REGISTRY__PROFILE_DEACTIVATE__INIT;
	WORLD_REQUEST(q, PROFILE_DEACTIVATE, profile_deactivate, m);

	m.name = str(name);
	return world_run(w, who, &q);
}

static inline Registry__Code world_delete(struct world *w, const char *who, const char *name)
{
	Registry__ProfileDelete m = REGISTRY__PROFILE_DELETE__INIT;
	WORLD_REQUEST(q, PROFILE_DELETE, profile_delete, m);

	m.name = str(name);
	return world_run(w, who, &q);
}

static inline Registry__Code world_auth(
	struct world *w, const char *who, const char *name, char code[64])
{
	Registry__ProfileSetAuth m = REGISTRY__PROFILE_SET_AUTH__INIT;
	WORLD_REQUEST(q, PROFILE_SET_AUTH, profile_set_auth, m);

	m.name = str(name);
	if (world_run(w, who, &q) == 1000)
		snprintf(code, 64, "%s", w->run.reply.auth->code);
	return w->run.reply.code;
}

static inline Registry__Code world_transfer(
	struct world *w, const char *asp, const char *name, const char *code, const char *service)
{
	Registry__ProfileTransfer m = REGISTRY__PROFILE_TRANSFER__INIT;
	WORLD_REQUEST(q, PROFILE_TRANSFER, profile_transfer, m);

	m.name = str(name);
	m.code = str(code);
	m.service = str(service);
	return world_run(w, asp, &q);
}

static inline Registry__Code world_result(
	struct world *w, const char *mno, int64_t job, const char *status, const char *csr)
{
	Registry__JobResult m = REGISTRY__JOB_RESULT__INIT;
	WORLD_REQUEST(q, JOB_RESULT, job_result, m);
	char id[24];

	snprintf(id, sizeof(id), "%lld", (long long)job);
	m.id = id;
	m.status = str(status);
	m.csr = bytes_of(csr);
	return world_run(w, mno, &q);
}

static inline struct store_profile_view world_view(
	struct world *w, const char *iccid, unsigned slot)
{
	struct store_profile_view v;

	assert_rc(RC_OK, store_profile_get(w->reg.store, iccid, slot, &v));
	return v;
}

/* The oldest open job of a profile, 0 when none. */
static inline int64_t world_job(struct world *w, const char *iccid, unsigned slot)
{
	int64_t id = 0;
	size_t n = 0;

	assert_rc(RC_OK,
		store_job_of_profile(w->reg.store, world_view(w, iccid, slot).p.id, &id, 1, &n));
	return n ? id : 0;
}

/* Signs the payloads that are due, as core does after an answer. */
static inline void world_install(struct world *w)
{
	int64_t ids[64];
	size_t n;

	assert_rc(RC_OK, store_profile_due(w->reg.store, 0, 64, ids, &n));
	for (size_t i = 0; i < n; i++) {
		Keys__SignedPayload made = KEYS__SIGNED_PAYLOAD__INIT;
		struct registry_install basis;
		Keys__SignPayload *payload;
		Keys__SignKit *kit;

		registry_run_init(&w->run, &w->reg, &w->arena, REGISTRY_OUT, NULL, NULL);
		assert_rc(RC_OK, registry_install_prepare(&w->run, ids[i], &basis, &payload, &kit));
		made.cose = bytes_of("cose");
		assert_rc(RC_OK, store_begin(w->reg.store));
		assert_rc(RC_OK, registry_install_open(&w->run, &basis, &made, NULL));
		assert_rc(RC_OK, store_commit(w->reg.store));
	}
}

static inline void world_sweep(struct world *w)
{
	bool more;

	registry_run_init(&w->run, &w->reg, &w->arena, REGISTRY_OUT, NULL, NULL);
	assert_rc(RC_OK, store_begin(w->reg.store));
	assert_rc(RC_OK, registry_sweep(&w->run, 100, &more));
	assert_rc(RC_OK, store_commit(w->reg.store));
}

/* The operator, two providers with a service each, two MNOs, an owner, one SIM. */
static inline void world_people(struct world *w)
{
	world_party(w, "operator", REGISTRY__ROLE__ROLE_OPERATOR);
	world_party(w, "parkoserv", REGISTRY__ROLE__ROLE_ASP);
	world_party(w, "carparkserv", REGISTRY__ROLE__ROLE_ASP);
	world_party(w, "mno", REGISTRY__ROLE__ROLE_MNO);
	world_party(w, "mno2", REGISTRY__ROLE__ROLE_MNO);
	world_party(w, "gatineau", REGISTRY__ROLE__ROLE_OWNER);
	assert_int_equal(1000, world_service(w, "parkoserv", "parking"));
	assert_int_equal(1000, world_service(w, "carparkserv", "carpark"));
	assert_int_equal(1000, world_load(w, "mno", ICCID, "gatineau"));
}
