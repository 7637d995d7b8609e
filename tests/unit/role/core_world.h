/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* A core on one event loop with a front, keys and a zone that the test plays. */

#include "../store/temp.h"
#include "proc/frame.h"
#include "base/arena.h"
#include "base/rng.h"
#include "keys.pb-c.h"
#include "registry.pb-c.h"
#include "role/core.h"
#include "zone.pb-c.h"

#include <openssl/evp.h>
#include <sys/socket.h>

#define REPLIES_MAX 4096

struct core_world {
	struct temp_db db;
	struct event_base *base;      /* the fakes' */
	struct event_base *core_base; /* a bench gives the core a thread of its own */
	struct core *core;
	struct log log;
	struct link *front, *keys, *zone;
	bool front_closed;
	/* what the fakes do */
	bool zone_acks;
	bool keys_answers;
	/* what they saw */
	uint64_t zone_to;    /* highest sequence sent to the zone */
	uint64_t zone_acked; /* highest sequence acknowledged */
	size_t zone_frames, zone_changes, zone_withdrawn_early;
	size_t snapshot_begin, snapshot_end, snapshot_changes;
	size_t keys_frames, certs;
	uint64_t sent;
	Registry__Reply *replies[REPLIES_MAX]; /* by request id; NULL: none yet */
	size_t reply_count;
	uint8_t operator_spki[32];
};

static inline void cw_sha(const void *p, size_t len, uint8_t out[32])
{
	EVP_Digest(p, len, out, NULL, EVP_sha256(), NULL);
}

/* ---- front ---- */

static inline void cw_on_reply(struct link *l, const uint8_t *bytes, size_t len, void *user)
{
	struct core_world *w = user;
	Registry__Reply *r = registry__reply__unpack(NULL, len, bytes);

	(void)l;
	assert_non_null(r);
	assert_true(r->id < REPLIES_MAX && !w->replies[r->id]);
	w->replies[r->id] = r;
	w->reply_count++;
}

static inline void cw_front_closed(struct link *l, enum rc why, void *user)
{
	struct core_world *w = user;

	(void)why;
	w->front_closed = true;
	w->front = NULL;
	link_free(l);
}

/* ---- keys ---- */

static inline void cw_issue(struct core_world *w, const Keys__Request *q, Keys__Reply *reply)
{
	const Keys__IssueDevice *m = q->issue_device;
	Keys__IssuedDevice out = KEYS__ISSUED_DEVICE__INIT;
	Keys__CertResult *rows = calloc(m->n_orders, sizeof(*rows));
	Keys__CertResult **list = calloc(m->n_orders, sizeof(*list));
	uint8_t(*hashes)[2][32] = calloc(m->n_orders, sizeof(*hashes));
	char(*ders)[600] = calloc(m->n_orders, sizeof(*ders));

	assert_true(rows && list && hashes && ders);
	for (size_t i = 0; i < m->n_orders; i++) {
		const Keys__CertOrder *o = m->orders[i];

		snprintf(ders[i], sizeof(ders[i]), "certificate %zu of %s for %s", ++w->certs,
			o->owner_name, o->service);
		keys__cert_result__init(&rows[i]);
		cw_sha(ders[i], sizeof(ders[i]), hashes[i][0]);
		cw_sha(o->csr.data, o->csr.len, hashes[i][1]);
		rows[i].der = (ProtobufCBinaryData){ 561, (uint8_t *)ders[i] };
		rows[i].sha256 = (ProtobufCBinaryData){ 32, hashes[i][0] };
		rows[i].spki_sha256 = (ProtobufCBinaryData){ 32, hashes[i][1] };
		list[i] = &rows[i];
	}
	out.n_results = m->n_orders;
	out.results = list;
	reply->result_case = KEYS__REPLY__RESULT_ISSUED_DEVICE;
	reply->issued_device = &out;
	assert_rc(RC_OK, link_send(w->keys, &reply->base));
	free(rows);
	free(list);
	free(hashes);
	free(ders);
}

static inline void cw_party(struct core_world *w, const Keys__Request *q, Keys__Reply *reply)
{
	Keys__IssuedParty m = KEYS__ISSUED_PARTY__INIT;
	uint8_t hash[32];

	cw_sha(q->issue_party->id, strlen(q->issue_party->id), hash);
	m.spki_sha256 = (ProtobufCBinaryData){ 32, hash };
	m.der = (ProtobufCBinaryData){ 5, (uint8_t *)(uintptr_t) "party" };
	reply->result_case = KEYS__REPLY__RESULT_ISSUED_PARTY;
	reply->issued_party = &m;
	assert_rc(RC_OK, link_send(w->keys, &reply->base));
}

static inline void cw_public(struct core_world *w, Keys__Reply *reply)
{
	static uint8_t ksk[68] = { 1, 1, 3, 13 };
	static uint8_t point[65] = { 4 };
	Keys__Public m = KEYS__PUBLIC__INIT;

	m.zone = (char *)(uintptr_t) "iotregistry.example";
	m.root = (ProtobufCBinaryData){ 4, (uint8_t *)(uintptr_t) "root" };
	m.ksk = (ProtobufCBinaryData){ sizeof(ksk), ksk };
	m.seal_point = (ProtobufCBinaryData){ sizeof(point), point };
	reply->result_case = KEYS__REPLY__RESULT_PUBLIC;
	reply->public_ = &m;
	assert_rc(RC_OK, link_send(w->keys, &reply->base));
}

static inline void cw_payload(struct core_world *w, Keys__Reply *reply)
{
	static uint8_t cose[430];
	Keys__SignedPayload m = KEYS__SIGNED_PAYLOAD__INIT;

	m.cose = (ProtobufCBinaryData){ sizeof(cose), cose };
	reply->result_case = KEYS__REPLY__RESULT_SIGNED_PAYLOAD;
	reply->signed_payload = &m;
	assert_rc(RC_OK, link_send(w->keys, &reply->base));
}

static inline void cw_on_keys(struct link *l, const uint8_t *bytes, size_t len, void *user)
{
	struct core_world *w = user;
	Keys__Request *q = keys__request__unpack(NULL, len, bytes);
	Keys__Reply reply = KEYS__REPLY__INIT;

	(void)l;
	assert_non_null(q);
	reply.id = q->id;
	w->keys_frames++;
	if (q->op_case == KEYS__REQUEST__OP_GET_PUBLIC)
		cw_public(w, &reply);
	else if (!w->keys_answers)
		;
	else if (q->op_case == KEYS__REQUEST__OP_ISSUE_DEVICE)
		cw_issue(w, q, &reply);
	else if (q->op_case == KEYS__REQUEST__OP_ISSUE_PARTY)
		cw_party(w, q, &reply);
	else if (q->op_case == KEYS__REQUEST__OP_SIGN_PAYLOAD)
		cw_payload(w, &reply);
	keys__request__free_unpacked(q, NULL);
}

/* ---- zone ---- */

static inline void cw_hello(struct core_world *w, bool have, uint64_t applied)
{
	Zone__Hello m = ZONE__HELLO__INIT;
	Zone__FromZone f = ZONE__FROM_ZONE__INIT;

	m.have = have;
	m.applied_seq = applied;
	m.zone = (char *)(uintptr_t) "iotregistry.example";
	f.op_case = ZONE__FROM_ZONE__OP_HELLO;
	f.hello = &m;
	assert_rc(RC_OK, link_send(w->zone, &f.base));
}

static inline void cw_ack(struct core_world *w, uint64_t seq)
{
	Zone__Applied m = ZONE__APPLIED__INIT;
	Zone__FromZone f = ZONE__FROM_ZONE__INIT;

	m.seq = seq;
	f.op_case = ZONE__FROM_ZONE__OP_APPLIED;
	f.applied = &m;
	w->zone_acked = seq;
	assert_rc(RC_OK, link_send(w->zone, &f.base));
}

static inline void cw_on_zone(struct link *l, const uint8_t *bytes, size_t len, void *user)
{
	struct core_world *w = user;
	Zone__ToZone *m = zone__to_zone__unpack(NULL, len, bytes);

	(void)l;
	assert_non_null(m);
	if (m->op_case == ZONE__TO_ZONE__OP_APPLY) {
		const Zone__Apply *a = m->apply;

		/* Never a gap. */
		assert_true(a->from_seq <= w->zone_to);
		w->zone_frames++;
		w->zone_changes += a->n_changes;
		if (a->from_seq == a->to_seq)
			w->zone_withdrawn_early += a->n_changes;
		if (a->to_seq > w->zone_to)
			w->zone_to = a->to_seq;
		if (w->zone_acks)
			cw_ack(w, w->zone_to);
	} else {
		const Zone__Snapshot *s = m->snapshot;

		w->snapshot_begin += (size_t)s->begin;
		w->snapshot_end += (size_t)s->end;
		w->snapshot_changes += s->n_changes;
		if (s->end) {
			w->zone_to = s->to_seq;
			cw_ack(w, s->to_seq);
		}
	}
	zone__to_zone__free_unpacked(m, NULL);
}

static inline void cw_peer_closed(struct link *l, enum rc why, void *user)
{
	(void)l;
	(void)why;
	(void)user;
}

/* ---- life ---- */

static inline struct link *cw_link(
	struct core_world *w, const char *peer, link_message_fn *fn, link_closed_fn *closed)
{
	struct link_opts opts = { .on_message = fn, .on_closed = closed, .user = w };
	struct link *l = NULL;
	int fd[2];

	assert_int_equal(0, socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fd));
	assert_rc(RC_OK, link_new(w->base, fd[0], &opts, &l));
	assert_rc(RC_OK, core_link(w->core, peer, fd[1]));
	return l;
}

static inline void cw_front_up(struct core_world *w, const char *peer)
{
	w->front = cw_link(w, peer, cw_on_reply, cw_front_closed);
}

static inline void cw_keys_up(struct core_world *w)
{
	w->keys = cw_link(w, "keys", cw_on_keys, cw_peer_closed);
}

static inline void cw_zone_up(struct core_world *w, bool have, uint64_t applied)
{
	w->zone = cw_link(w, "zone", cw_on_zone, cw_peer_closed);
	w->zone_to = applied;
	cw_hello(w, have, applied);
}

static inline void cw_core_up(struct core_world *w)
{
	struct core_options o = { .database = w->db.path,
		.zone = "iotregistry.example",
		.clock = clock_system(),
		.rng = rng_system(),
		.log = &w->log,
		.cert_days = 90,
		.batch_max = 1000,
		.answer_wait_ms = 100,
		.auth_ttl_s = 86400,
		.job_ttl_s = 86400,
		.job_retry_s = 60,
		.idempotency_ttl_s = 3600,
		.operator_spki = w->operator_spki };
	struct diag d = { "" };

	if (core_open(w->core_base ? w->core_base : w->base, &o, &w->core, &d) != RC_OK)
		fail_msg("%s", d.text);
	assert_rc(RC_OK, core_start(w->core, &d));
}

static inline void cw_open_on(struct core_world *w, struct event_base *core_base)
{
	memset(w, 0, sizeof(*w));
	w->core_base = core_base;
	w->log = (struct log){ .fd = getenv("CORE_LOG") ? 2 : -1 };
	w->zone_acks = true;
	w->keys_answers = true;
	cw_sha("operator", 8, w->operator_spki);
	temp_db_make(&w->db);
	w->base = event_base_new();
	cw_core_up(w);
}

static inline void cw_open(struct core_world *w)
{
	cw_open_on(w, NULL);
}

static inline void cw_close(struct core_world *w)
{
	core_close(w->core);
	link_free(w->front);
	link_free(w->keys);
	link_free(w->zone);
	for (size_t i = 0; i < REPLIES_MAX; i++) {
		if (w->replies[i])
			registry__reply__free_unpacked(w->replies[i], NULL);
	}
	event_base_free(w->base);
	temp_db_remove(&w->db);
}

/* Turns the loop until `done` or until the time is over; false then. */
static inline bool cw_until(struct core_world *w, bool (*done)(struct core_world *), int ms)
{
	uint64_t end = clock_system()->monotonic_ms(clock_system()) + (uint64_t)ms;

	while (!done(w)) {
		struct timeval tv = { 0, 2000 };

		if (clock_system()->monotonic_ms(clock_system()) > end)
			return false;
		event_base_loopexit(w->base, &tv);
		event_base_dispatch(w->base);
	}
	return true;
}

static inline bool cw_never(struct core_world *w)
{
	(void)w;
	return false;
}

static inline bool cw_answered(struct core_world *w)
{
	return w->reply_count >= w->sent;
}

/* Sends as `party`; its id is the number of requests before. */
static inline uint64_t cw_send(struct core_world *w, const char *party, Registry__Request *q)
{
	uint8_t spki[32];

	cw_sha(party, strlen(party), spki);
	q->id = w->sent++;
	q->spki_sha256 = (ProtobufCBinaryData){ 32, spki };
	assert_rc(RC_OK, link_send(w->front, &q->base));
	return q->id;
}

static inline Registry__Reply *cw_call(
	struct core_world *w, const char *party, Registry__Request *q)
{
	uint64_t id = cw_send(w, party, q);

	if (!cw_until(w, cw_answered, 5000))
		fail_msg("no answer");
	return w->replies[id];
}

#define CW_REQUEST(q, TYPE, member, m)                 \
	Registry__Request q = REGISTRY__REQUEST__INIT; \
	q.op_case = REGISTRY__REQUEST__OP_##TYPE;      \
	q.member = &(m)

static inline char *cw_str(const char *s)
{
	return (char *)(uintptr_t)s;
}

static inline void cw_add_party(struct core_world *w, const char *id, Registry__Role role)
{
	Registry__PartyCreate m = REGISTRY__PARTY_CREATE__INIT;
	CW_REQUEST(q, PARTY_CREATE, party_create, m);

	m.id = cw_str(id);
	m.n_roles = 1;
	m.roles = &role;
	m.csr = (ProtobufCBinaryData){ 3, (uint8_t *)(uintptr_t) "csr" };
	m.password = cw_str(role == REGISTRY__ROLE__ROLE_ASP ? "password1" : "");
	assert_int_equal(1000, cw_call(w, "operator", &q)->code);
}

static inline void cw_add_service(struct core_world *w, const char *asp)
{
	Registry__TlsaPin pin = REGISTRY__TLSA_PIN__INIT;
	Registry__TlsaPin *pins[] = { &pin };
	Registry__Service s = REGISTRY__SERVICE__INIT;
	Registry__ServiceCreate m = REGISTRY__SERVICE_CREATE__INIT;
	CW_REQUEST(q, SERVICE_CREATE, service_create, m);

	pin.usage = 3;
	pin.selector = 1;
	pin.matching = 1;
	pin.data = (ProtobufCBinaryData){ 32, w->operator_spki };
	s.handle = cw_str("parking");
	s.fqdn = cw_str("localhost");
	s.port = 8883;
	s.pins = pins;
	s.n_pins = 1;
	m.service = &s;
	assert_int_equal(1000, cw_call(w, asp, &q)->code);
}

/* `count` SIMs from number `from` on, claim code "claim". */
static inline void cw_add_sims(struct core_world *w, unsigned from, unsigned count)
{
	Registry__InventoryRow *rows = calloc(count, sizeof(*rows));
	Registry__InventoryRow **list = calloc(count, sizeof(*list));
	char(*iccids)[21] = calloc(count, sizeof(*iccids));
	Registry__InventoryLoad m = REGISTRY__INVENTORY_LOAD__INIT;
	CW_REQUEST(q, INVENTORY_LOAD, inventory_load, m);
	uint8_t hash[32];

	assert_true(rows && list && iccids);
	cw_sha("0123456789abcdefclaim", 21, hash);
	for (unsigned i = 0; i < count; i++) {
		registry__inventory_row__init(&rows[i]);
		snprintf(iccids[i], sizeof(iccids[i]), "8912230200%09uf", from + i);
		rows[i].iccid = iccids[i];
		rows[i].claim_salt =
			(ProtobufCBinaryData){ 16, (uint8_t *)(uintptr_t) "0123456789abcdef" };
		rows[i].claim_sha256 = (ProtobufCBinaryData){ 32, hash };
		list[i] = &rows[i];
	}
	m.rows = list;
	m.n_rows = count;
	assert_int_equal(1000, cw_call(w, "mno", &q)->code);
	free(rows);
	free(list);
	free(iccids);
}

static inline uint64_t cw_register(struct core_world *w, unsigned sim)
{
	Registry__ProfileRegister m = REGISTRY__PROFILE_REGISTER__INIT;
	CW_REQUEST(q, PROFILE_REGISTER, profile_register, m);
	char iccid[21];

	snprintf(iccid, sizeof(iccid), "8912230200%09uf", sim);
	m.iccid = iccid;
	m.slot = 1;
	m.claim = cw_str("claim");
	m.service = cw_str("parking");
	return cw_send(w, "parkoserv", &q);
}

static inline uint64_t cw_activate(struct core_world *w, unsigned sim, bool with_csr)
{
	Registry__ProfileActivate m = REGISTRY__PROFILE_ACTIVATE__INIT;
	CW_REQUEST(q, PROFILE_ACTIVATE, profile_activate, m);
	char name[24];
	char csr[242] = { 0 };

	snprintf(name, sizeof(name), "1.8912230200%09uf", sim);
	snprintf(csr, sizeof(csr), "csr of %u", sim);
	m.name = name;
	if (with_csr)
		m.csr = (ProtobufCBinaryData){ sizeof(csr), (uint8_t *)csr };
	return cw_send(w, "parkoserv", &q);
}

static inline uint64_t cw_deactivate(struct core_world *w, unsigned sim)
{
	Registry__ProfileDeactivate m = REGISTRY__PROFILE_DEACTIVATE__INIT;
	CW_REQUEST(q, PROFILE_DEACTIVATE, profile_deactivate, m);
	char name[24];

	snprintf(name, sizeof(name), "1.8912230200%09uf", sim);
	m.name = name;
	return cw_send(w, "parkoserv", &q);
}

static inline uint64_t cw_poll(struct core_world *w, const char *party, uint32_t wait)
{
	Registry__PollRequest m = REGISTRY__POLL_REQUEST__INIT;
	CW_REQUEST(q, POLL_REQUEST, poll_request, m);

	m.wait = wait;
	return cw_send(w, party, &q);
}

static inline uint64_t cw_jobs(struct core_world *w, uint32_t wait)
{
	Registry__JobWait m = REGISTRY__JOB_WAIT__INIT;
	CW_REQUEST(q, JOB_WAIT, job_wait, m);

	m.wait = wait;
	return cw_send(w, "mno", &q);
}

static inline void cw_people(struct core_world *w)
{
	cw_add_party(w, "parkoserv", REGISTRY__ROLE__ROLE_ASP);
	cw_add_party(w, "mno", REGISTRY__ROLE__ROLE_MNO);
	cw_add_service(w, "parkoserv");
}

static inline void cw_all_answered(struct core_world *w)
{
	if (!cw_until(w, cw_answered, 20000))
		fail_msg("%zu of %zu answered", w->reply_count, (size_t)w->sent);
}
