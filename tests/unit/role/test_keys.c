/* SPDX-License-Identifier: Apache-2.0 */
/* The role over real links and threads; only the supervisor's side of role.h is played here. */
#include "../ca/fixture.h"
#include "base/cbor.h"
#include "base/ident.h"
#include "base/str.h"
#include "ca/csr.h"
#include "ca/keyfile.h"
#include "ca/node.h"
#include "ca/seal.h"
#include "keys.pb-c.h"
#include "payload/payload.h"
#include "role/keys_internal.h"

#include <arpa/inet.h>
#include <openssl/ecdsa.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

struct test_role {
	struct role role;
	struct config config;
	struct clock clock;
	int core[2], zone[2]; /* [0] here, [1] the role's */
	pthread_t thread;
	enum rc rc;
	char keys[128], ca[128];
	struct {
		const char *prefix;
		role_link_fn *fn;
		void *user;
	} on_link[2];
	int links;
	struct event *stop;
	int stop_pipe[2];
};

static int64_t fixed_now(const struct clock *self)
{
	(void)self;
	return TEST_NOW;
}

static struct test_role *of(struct role *role)
{
	return (struct test_role *)(void *)role;
}

enum rc role_on_link(struct role *role, const char *prefix, role_link_fn *fn, void *user)
{
	struct test_role *t = of(role);

	t->on_link[t->links].prefix = prefix;
	t->on_link[t->links].fn = fn;
	t->on_link[t->links++].user = user;
	return RC_OK;
}

enum rc role_confine(struct role *role, struct diag *d)
{
	(void)role;
	(void)d;
	return RC_OK;
}

void role_on_metrics(struct role *role, role_metrics_fn *fn, void *user)
{
	(void)role;
	(void)fn;
	(void)user;
}

void role_metric(struct role_metrics *m, const char *name, double value)
{
	(void)m;
	(void)name;
	(void)value;
}

enum rc role_ready(struct role *role)
{
	(void)role;
	return RC_OK;
}

void role_leave(struct role *role)
{
	event_base_loopbreak(role->base);
}

static void on_stop(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	role_leave(arg);
}

enum rc role_loop(struct role *role)
{
	struct test_role *t = of(role);

	t->stop = event_new(role->base, t->stop_pipe[0], EV_READ, on_stop, role);
	event_add(t->stop, NULL);
	for (int i = 0; i < t->links; i++) {
		bool core = strcmp(t->on_link[i].prefix, "core") == 0;
		t->on_link[i].fn(role, t->on_link[i].prefix, core ? t->core[1] : t->zone[1],
			t->on_link[i].user);
	}
	event_base_dispatch(role->base);
	event_free(t->stop);
	return RC_OK;
}

static void *run(void *arg)
{
	struct test_role *t = arg;

	t->rc = role_keys_run(&t->role);
	return NULL;
}

static void start_node(struct test_role *t, const struct fixture *f, char *node)
{
	static const struct log quiet = { .fd = -1 };
	static char zone[] = TEST_ZONE, none[] = "";

	*t = (struct test_role){ 0 };
	assert_rc(RC_OK, str_format(t->keys, sizeof(t->keys), "%s/keys", f->dir));
	assert_rc(RC_OK, str_format(t->ca, sizeof(t->ca), "%s/ca", f->dir));
	t->config.registry.zone = zone;
	t->config.keys.folder = t->keys;
	t->config.keys.ca_folder = t->ca;
	t->config.keys.threads = 2;
	t->config.node.name = node ? node : none;
	t->clock.unix_s = fixed_now;
	t->role.base = event_base_new();
	t->role.config = &t->config;
	t->role.log = &quiet;
	t->role.clock = &t->clock;
	t->role.kind = ROLE_KEYS;
	assert_int_equal(0, socketpair(AF_UNIX, SOCK_STREAM, 0, t->core));
	assert_int_equal(0, socketpair(AF_UNIX, SOCK_STREAM, 0, t->zone));
	assert_int_equal(0, evutil_make_socket_nonblocking(t->core[1]));
	assert_int_equal(0, evutil_make_socket_nonblocking(t->zone[1]));
	assert_int_equal(0, pipe(t->stop_pipe));
	assert_int_equal(0, pthread_create(&t->thread, NULL, run, t));
}

static void start(struct test_role *t, const struct fixture *f)
{
	start_node(t, f, NULL);
}

static void wait_end(struct test_role *t, enum rc want)
{
	pthread_join(t->thread, NULL);
	assert_rc(want, t->rc);
	close(t->stop_pipe[0]);
	close(t->stop_pipe[1]);
	close(t->core[0]);
	close(t->zone[0]);
	event_base_free(t->role.base);
}

static void stop(struct test_role *t)
{
	assert_int_equal(1, write(t->stop_pipe[1], "x", 1));
	wait_end(t, RC_OK);
}

static void send_request(int fd, const Keys__Request *r)
{
	size_t len = keys__request__get_packed_size(r);
	uint8_t *buf = malloc(4 + len);
	uint32_t be = htonl((uint32_t)len);

	assert_non_null(buf);
	memcpy(buf, &be, 4);
	keys__request__pack(r, buf + 4);
	assert_int_equal(4 + len, send(fd, buf, 4 + len, 0));
	free(buf);
}

static Keys__Reply *receive(int fd)
{
	uint32_t be;

	assert_int_equal(4, recv(fd, &be, 4, MSG_WAITALL));
	size_t len = ntohl(be);
	uint8_t *buf = malloc(len);
	assert_int_equal(len, recv(fd, buf, len, MSG_WAITALL));
	Keys__Reply *reply = keys__reply__unpack(NULL, len, buf);
	assert_non_null(reply);
	free(buf);
	return reply;
}

static Keys__Reply *ask(int fd, const Keys__Request *r)
{
	send_request(fd, r);
	Keys__Reply *reply = receive(fd);
	assert_int_equal(reply->id, r->id);
	return reply;
}

static void each_link_may_ask_its_own(void **state)
{
	Keys__Request r = KEYS__REQUEST__INIT;
	Keys__SignRrsets rrsets = KEYS__SIGN_RRSETS__INIT;
	Keys__IssueDevice issue = KEYS__ISSUE_DEVICE__INIT;
	Keys__GetPublic get = KEYS__GET_PUBLIC__INIT;
	struct test_role t;

	start(&t, *state);
	r.op_case = KEYS__REQUEST__OP_SIGN_RRSETS;
	r.sign_rrsets = &rrsets;
	r.id = 1;
	Keys__Reply *reply = ask(t.core[0], &r);
	assert_int_equal(reply->rc, RC_DENIED);
	keys__reply__free_unpacked(reply, NULL);
	reply = ask(t.zone[0], &r);
	assert_int_equal(reply->rc, RC_OK);
	assert_int_equal(reply->signed_rrsets->n_signatures, 0);
	keys__reply__free_unpacked(reply, NULL);
	r.op_case = KEYS__REQUEST__OP_ISSUE_DEVICE;
	r.issue_device = &issue;
	reply = ask(t.zone[0], &r);
	assert_int_equal(reply->rc, RC_DENIED);
	keys__reply__free_unpacked(reply, NULL);
	r.op_case = KEYS__REQUEST__OP_GET_PUBLIC;
	r.get_public = &get;
	reply = ask(t.zone[0], &r);
	assert_string_equal(reply->public_->zone, TEST_ZONE);
	assert_int_equal(reply->public_->ksk.len, CA_DNSKEY_LEN);
	assert_int_equal(reply->public_->seal_point.len, CA_POINT_LEN);
	keys__reply__free_unpacked(reply, NULL);
	r.op_case = KEYS__REQUEST__OP__NOT_SET;
	reply = ask(t.core[0], &r);
	assert_int_equal(reply->rc, RC_UNSUPPORTED);
	keys__reply__free_unpacked(reply, NULL);
	stop(&t);
}

#define BATCH	 100
#define REQUESTS 5

static void batches_come_back_in_order(void **state)
{
	struct fixture *f = *state;
	static uint8_t csrs[BATCH][CA_CSR_MAX];
	static char names[BATCH][65];
	Keys__CertOrder orders[BATCH], *list[BATCH];
	Keys__IssueDevice issue = KEYS__ISSUE_DEVICE__INIT;
	Keys__Request r = KEYS__REQUEST__INIT;
	struct ca_key keys[BATCH];
	struct test_role t;

	for (int i = 0; i < BATCH; i++) {
		size_t len;
		snprintf(names[i], sizeof(names[i]), "1.89122302000310%05df." TEST_ZONE, i);
		fixture_csr(f, names[i], &keys[i], csrs[i], &len);
		keys__cert_order__init(&orders[i]);
		orders[i].csr = (ProtobufCBinaryData){ len, csrs[i] };
		orders[i].owner_name = names[i];
		orders[i].asp = (char *)(uintptr_t) "parkoserv";
		orders[i].service = (char *)(uintptr_t) "meters";
		orders[i].not_before = TEST_NOW;
		orders[i].not_after = TEST_NOW + 90 * TEST_DAY;
		list[i] = &orders[i];
	}
	orders[7].csr.len--;		 /* truncated */
	orders[8].csr = orders[9].csr;	 /* another's */
	orders[9].owner_name = names[8]; /* and the name crossed */
	start(&t, f);
	r.op_case = KEYS__REQUEST__OP_ISSUE_DEVICE;
	r.issue_device = &issue;
	issue.n_orders = BATCH;
	issue.orders = list;
	for (r.id = 1; r.id <= REQUESTS; r.id++)
		send_request(t.core[0], &r);
	for (uint64_t id = 1; id <= REQUESTS; id++) {
		Keys__Reply *reply = receive(t.core[0]);
		assert_int_equal(reply->id, id);
		assert_int_equal(reply->issued_device->n_results, BATCH);
		for (int i = 0; i < BATCH; i++) {
			const Keys__CertResult *c = reply->issued_device->results[i];
			if (i >= 7 && i <= 9) {
				assert_int_not_equal(c->rc, RC_OK);
				assert_true(strlen(c->why) > 10);
				continue;
			}
			if (c->rc != RC_OK)
				fail_msg("%llu/%d: %s", (unsigned long long)id, i, c->why);
			assert_memory_equal(c->spki_sha256.data, keys[i].spki_sha256, 32);
		}
		keys__reply__free_unpacked(reply, NULL);
	}
	stop(&t);
	for (int i = 0; i < BATCH; i++)
		ca_key_free(&keys[i]);
}

static void a_key_stays_with_its_name_over_restarts(void **state)
{
	struct fixture *f = *state;
	uint8_t csr[CA_CSR_MAX];
	Keys__CertOrder order = KEYS__CERT_ORDER__INIT, *list[] = { &order };
	Keys__IssueDevice issue = KEYS__ISSUE_DEVICE__INIT;
	Keys__Request r = KEYS__REQUEST__INIT;
	static char here[] = "1.8912230200031077777f." TEST_ZONE;
	static char there[] = "1.8912230200031077778f." TEST_ZONE;
	static const int want[] = { RC_OK, RC_CONFLICT, RC_OK };
	const char *cn[] = { here, there, here };
	struct ca_key key;
	struct test_role t;
	struct diag d;
	size_t len;

	assert_rc(RC_OK, ca_key_new(&key, &d));
	order.asp = order.service = (char *)(uintptr_t) "x";
	order.not_before = TEST_NOW;
	order.not_after = TEST_NOW + TEST_DAY;
	issue.n_orders = 1;
	issue.orders = list;
	r.op_case = KEYS__REQUEST__OP_ISSUE_DEVICE;
	r.issue_device = &issue;
	for (size_t i = 0; i < ARRAY_LEN(want); i++) {
		assert_rc(RC_OK, ca_csr_write(f->x, &key, cn[i], NULL, csr, &len, &d));
		order.csr = (ProtobufCBinaryData){ len, csr };
		order.owner_name = (char *)(uintptr_t)cn[i];
		start(&t, f);
		Keys__Reply *reply = ask(t.core[0], &r);
		assert_int_equal(reply->issued_device->results[0]->rc, want[i]);
		keys__reply__free_unpacked(reply, NULL);
		stop(&t);
	}
	ca_key_free(&key);
}

static void rrsets_are_signed_or_all_refused(void **state)
{
	struct fixture *f = *state;
	static uint8_t owner[] = "\x03"
				 "ns1\x03"
				 "iot\x07"
				 "example";
	static uint8_t addr[4] = { 127, 0, 0, 1 };
	ProtobufCBinaryData rdata = { 4, addr };
	static Keys__Rrset sets[500];
	static Keys__Rrset *list[500];
	Keys__SignRrsets op = KEYS__SIGN_RRSETS__INIT;
	Keys__Request r = KEYS__REQUEST__INIT;
	struct test_role t;

	for (int i = 0; i < 500; i++) {
		keys__rrset__init(&sets[i]);
		sets[i].owner = (ProtobufCBinaryData){ sizeof(owner), owner };
		sets[i].type = 1;
		sets[i].ttl = (uint32_t)i;
		sets[i].n_rdata = 1;
		sets[i].rdata = &rdata;
		sets[i].inception = (uint32_t)TEST_NOW;
		sets[i].expiration = (uint32_t)TEST_NOW + 86400;
		list[i] = &sets[i];
	}
	r.op_case = KEYS__REQUEST__OP_SIGN_RRSETS;
	r.sign_rrsets = &op;
	op.n_rrsets = 500;
	op.rrsets = list;
	start(&t, f);
	Keys__Reply *reply = ask(t.zone[0], &r);
	assert_int_equal(reply->signed_rrsets->rc, RC_OK);
	assert_int_equal(reply->signed_rrsets->n_signatures, 500);
	assert_int_equal(reply->signed_rrsets->ksk_tag, f->result.ksk_tag);
	keys__reply__free_unpacked(reply, NULL);
	sets[250].type = 16;
	reply = ask(t.zone[0], &r);
	assert_int_equal(reply->signed_rrsets->rc, RC_DENIED);
	assert_int_equal(reply->signed_rrsets->n_signatures, 0);
	assert_string_equal(reply->signed_rrsets->why, "rrset: type 16 is not signed here");
	keys__reply__free_unpacked(reply, NULL);
	stop(&t);
}

/* More requests than a link may have unanswered: it is not read on until some are, none is lost. */
static void a_flood_is_answered_in_order(void **state)
{
	static uint8_t owner[] = "\x03iot\x07"
				 "example";
	static uint8_t addr[4] = { 127, 0, 0, 1 };
	ProtobufCBinaryData rdata = { 4, addr };
	Keys__Rrset set = KEYS__RRSET__INIT, *list[10];
	Keys__SignRrsets op = KEYS__SIGN_RRSETS__INIT;
	Keys__Request r = KEYS__REQUEST__INIT;
	struct test_role t;
	const uint64_t flood = 3 * KEYS_JOBS_MAX;

	set.owner = (ProtobufCBinaryData){ sizeof(owner), owner };
	set.type = 1;
	set.n_rdata = 1;
	set.rdata = &rdata;
	set.inception = (uint32_t)TEST_NOW;
	set.expiration = (uint32_t)TEST_NOW + 86400;
	for (size_t i = 0; i < ARRAY_LEN(list); i++)
		list[i] = &set;
	r.op_case = KEYS__REQUEST__OP_SIGN_RRSETS;
	r.sign_rrsets = &op;
	op.rrsets = list;
	start(&t, *state);
	for (r.id = 1; r.id <= flood; r.id++) {
		op.n_rrsets = r.id % 3 ? ARRAY_LEN(list) : 1;
		if (r.id % 50 == 0)
			r.op_case = KEYS__REQUEST__OP__NOT_SET; /* refused, in its turn */
		send_request(t.zone[0], &r);
		r.op_case = KEYS__REQUEST__OP_SIGN_RRSETS;
	}
	for (uint64_t id = 1; id <= flood; id++) {
		Keys__Reply *reply = receive(t.zone[0]);
		assert_int_equal(reply->id, id);
		assert_int_equal(reply->rc, id % 50 ? RC_OK : RC_UNSUPPORTED);
		keys__reply__free_unpacked(reply, NULL);
	}
	stop(&t);
}

/* Going away in the middle, with work under way on all threads. */
static void a_peer_may_leave_and_the_role_may_stop(void **state)
{
	struct fixture *f = *state;
	Keys__CertOrder order = KEYS__CERT_ORDER__INIT, *list[64];
	Keys__IssueDevice issue = KEYS__ISSUE_DEVICE__INIT;
	Keys__Request r = KEYS__REQUEST__INIT;
	uint8_t csr[CA_CSR_MAX];
	size_t len;

	fixture_csr(f, TEST_NAME, NULL, csr, &len);
	order.csr = (ProtobufCBinaryData){ len, csr };
	order.owner_name = (char *)(uintptr_t)TEST_NAME;
	order.asp = (char *)(uintptr_t) "parkoserv";
	order.not_before = TEST_NOW;
	order.not_after = TEST_NOW + TEST_DAY;
	for (size_t i = 0; i < ARRAY_LEN(list); i++)
		list[i] = &order;
	issue.n_orders = ARRAY_LEN(list);
	issue.orders = list;
	r.op_case = KEYS__REQUEST__OP_ISSUE_DEVICE;
	r.issue_device = &issue;
	for (int leave = 0; leave < 2; leave++) {
		struct test_role t;
		start(&t, f);
		for (r.id = 1; r.id <= 10; r.id++)
			send_request(t.core[0], &r);
		Keys__Reply *reply = receive(t.core[0]);
		assert_int_equal(reply->id, 1);
		keys__reply__free_unpacked(reply, NULL);
		if (leave)
			assert_int_equal(0, shutdown(t.core[0], SHUT_RDWR));
		stop(&t);
	}
}

static void parties_and_kit_files(void **state)
{
	struct fixture *f = *state;
	Keys__Request r = KEYS__REQUEST__INIT;
	Keys__IssueParty party = KEYS__ISSUE_PARTY__INIT;
	Keys__SignKit kit = KEYS__SIGN_KIT__INIT;
	const struct ca_issuer *ca = &f->ring.authority.party;
	uint8_t csr[CA_CSR_MAX];
	struct test_role t;
	size_t len;

	fixture_csr(f, "carpark", NULL, csr, &len);
	party.csr = (ProtobufCBinaryData){ len, csr };
	party.id = (char *)(uintptr_t) "carpark";
	party.not_before = TEST_NOW;
	party.not_after = TEST_NOW + 30 * TEST_DAY;
	r.op_case = KEYS__REQUEST__OP_ISSUE_PARTY;
	r.issue_party = &party;
	start(&t, f);
	Keys__Reply *reply = ask(t.core[0], &r);
	assert_int_equal(reply->issued_party->rc, RC_OK);
	X509 *cert = fixture_x509(reply->issued_party->der.data, reply->issued_party->der.len);
	X509_free(cert);
	keys__reply__free_unpacked(reply, NULL);
	kit.url = (char *)(uintptr_t) "broker.example";
	kit.port = 8883;
	kit.asp_cert = (ProtobufCBinaryData){ ca->cert_len, (uint8_t *)(uintptr_t)ca->cert };
	r.op_case = KEYS__REQUEST__OP_SIGN_KIT;
	r.sign_kit = &kit;
	reply = ask(t.core[0], &r);
	assert_int_equal(reply->signed_kit->rc, RC_OK);
	assert_true(reply->signed_kit->file0a.len > 64);
	keys__reply__free_unpacked(reply, NULL);
	kit.asp_cert = (ProtobufCBinaryData){ len, csr };
	reply = ask(t.core[0], &r);
	assert_int_equal(reply->signed_kit->rc, RC_UNSUPPORTED);
	assert_non_null(strstr(reply->signed_kit->why, "certificate request (CSR)"));
	keys__reply__free_unpacked(reply, NULL);
	stop(&t);
}

static size_t sealed_wifi(const struct fixture *f, uint8_t *out)
{
	uint8_t plain[64];
	struct put p = put_init(plain, sizeof(plain));
	struct diag d;
	size_t len;

	cbor_put_map(&p, 3);
	cbor_put_uint(&p, 1);
	cbor_put_bytes(&p, "net", 3);
	cbor_put_uint(&p, 2);
	cbor_put_text(&p, "correct horse", 13);
	cbor_put_uint(&p, 3);
	cbor_put_uint(&p, 1);
	assert_rc(RC_OK, ca_seal(f->ring.seal.point, plain, p.len, out, &len, &d));
	return len;
}

static void fill_payload(
	Keys__SignPayload *op, Keys__Anchor **anchors, Keys__Resolver **resolvers, uint8_t *iccid)
{
	static uint8_t hash[32] = { 1 }, addr[4] = { 127, 0, 0, 1 };
	static ProtobufCBinaryData pin = { 32, hash };

	keys__sign_payload__init(op);
	keys__anchor__init(anchors[0]);
	keys__resolver__init(resolvers[0]);
	anchors[0]->name = op->zone = (char *)(uintptr_t)TEST_ZONE;
	anchors[0]->tag = 1;
	anchors[0]->alg = 13;
	anchors[0]->digest_type = 2;
	anchors[0]->digest = (ProtobufCBinaryData){ 32, hash };
	resolvers[0]->name = (char *)(uintptr_t) "resolver.example";
	resolvers[0]->addr = (ProtobufCBinaryData){ 4, addr };
	resolvers[0]->port = 853;
	resolvers[0]->n_pins = 1;
	resolvers[0]->pins = &pin;
	op->sequence = 5;
	op->issued = TEST_NOW;
	op->expires = TEST_NOW + 90 * TEST_DAY;
	op->iccid = (ProtobufCBinaryData){ 10, iccid };
	op->slot = 1;
	op->n_anchors = op->n_resolvers = 1;
	op->anchors = anchors;
	op->resolvers = resolvers;
	op->service = (char *)(uintptr_t) "meters";
	op->fqdn = (char *)(uintptr_t) "broker.example";
	op->port = 8883;
	static Keys__Pin one = KEYS__PIN__INIT;
	static Keys__Pin *pins[] = { &one };
	one.usage = 3;
	one.selector = one.matching = 1;
	one.data = (ProtobufCBinaryData){ 32, hash };
	op->n_pins = 1;
	op->pins = pins;
	op->cert_sha256 = (ProtobufCBinaryData){ 32, hash };
}

static void payloads_and_wifi_only_to_a_known_b_key(void **state)
{
	struct fixture *f = *state;
	static char name[] = "1.8912230200031066666f." TEST_ZONE;
	uint8_t iccid[10], csr[CA_CSR_MAX], sealed[256];
	Keys__Anchor anchor, *anchors[] = { &anchor };
	Keys__Resolver resolver, *resolvers[] = { &resolver };
	Keys__SignPayload op;
	Keys__CertOrder order = KEYS__CERT_ORDER__INIT, *orders[] = { &order };
	Keys__IssueDevice issue = KEYS__ISSUE_DEVICE__INIT;
	Keys__Request r = KEYS__REQUEST__INIT;
	struct ca_key key, b;
	struct test_role t;
	struct diag d;
	size_t len;

	assert_rc(RC_OK, ident_iccid_read("8912230200031066666f", iccid));
	assert_rc(RC_OK, ca_key_new(&key, &d));
	assert_rc(RC_OK, ca_key_new(&b, &d));
	assert_rc(RC_OK, ca_csr_write(f->x, &key, name, b.point, csr, &len, &d));
	fill_payload(&op, anchors, resolvers, iccid);
	op.wifi_sealed = (ProtobufCBinaryData){ sealed_wifi(f, sealed), sealed };
	op.b_point = (ProtobufCBinaryData){ CA_POINT_LEN, b.point };
	start(&t, f);
	r.op_case = KEYS__REQUEST__OP_SIGN_PAYLOAD;
	r.sign_payload = &op;
	Keys__Reply *reply = ask(t.core[0], &r);
	assert_int_equal(reply->signed_payload->rc, RC_DENIED); /* no such request was seen */
	keys__reply__free_unpacked(reply, NULL);

	order.csr = (ProtobufCBinaryData){ len, csr };
	order.owner_name = name;
	order.asp = (char *)(uintptr_t) "parkoserv";
	order.not_before = TEST_NOW;
	order.not_after = TEST_NOW + TEST_DAY;
	issue.n_orders = 1;
	issue.orders = orders;
	r.op_case = KEYS__REQUEST__OP_ISSUE_DEVICE;
	r.issue_device = &issue;
	reply = ask(t.core[0], &r);
	assert_int_equal(reply->issued_device->results[0]->rc, RC_OK);
	assert_int_equal(reply->issued_device->results[0]->b_point.len, CA_POINT_LEN);
	keys__reply__free_unpacked(reply, NULL);

	r.op_case = KEYS__REQUEST__OP_SIGN_PAYLOAD;
	r.sign_payload = &op;
	reply = ask(t.core[0], &r);
	assert_string_equal(reply->signed_payload->why, "");
	assert_int_equal(reply->signed_payload->rc, RC_OK);
	struct payload p;
	assert_rc(RC_OK, payload_parse(reply->signed_payload->cose.data,
				 reply->signed_payload->cose.len, &p, NULL, &d));
	assert_non_null(p.wifi.at);
	assert_int_equal(p.sequence, 5);
	keys__reply__free_unpacked(reply, NULL);
	op.slot = 2; /* the same B key for another slot */
	reply = ask(t.core[0], &r);
	assert_int_equal(reply->signed_payload->rc, RC_DENIED);
	keys__reply__free_unpacked(reply, NULL);
	stop(&t);
	ca_key_free(&key);
	ca_key_free(&b);
}

/* No certificate leaves that is not in the log: the role ends instead. */
static void a_full_disk_ends_the_role(void **state)
{
	struct fixture *f = *state;
	static char name[] = "1.8912230200031055555f." TEST_ZONE;
	Keys__CertOrder order = KEYS__CERT_ORDER__INIT, *orders[] = { &order };
	Keys__IssueDevice issue = KEYS__ISSUE_DEVICE__INIT;
	Keys__Request r = KEYS__REQUEST__INIT;
	struct rlimit old, small;
	struct test_role t;
	uint8_t csr[CA_CSR_MAX], byte;
	size_t len;

	fixture_csr(f, name, NULL, csr, &len);
	order.csr = (ProtobufCBinaryData){ len, csr };
	order.owner_name = name;
	order.asp = (char *)(uintptr_t) "parkoserv";
	order.not_before = TEST_NOW;
	order.not_after = TEST_NOW + TEST_DAY;
	issue.n_orders = 1;
	issue.orders = orders;
	r.op_case = KEYS__REQUEST__OP_ISSUE_DEVICE;
	r.issue_device = &issue;
	signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(0, getrlimit(RLIMIT_FSIZE, &old));
	start(&t, f);
	Keys__Request first = KEYS__REQUEST__INIT;
	Keys__GetPublic get = KEYS__GET_PUBLIC__INIT;
	first.op_case = KEYS__REQUEST__OP_GET_PUBLIC;
	first.get_public = &get;
	keys__reply__free_unpacked(ask(t.core[0], &first), NULL); /* it has opened its log */
	small = old;
	small.rlim_cur = 10;
	assert_int_equal(0, setrlimit(RLIMIT_FSIZE, &small));
	send_request(t.core[0], &r);
	assert_int_equal(0, recv(t.core[0], &byte, 1, 0));
	assert_int_equal(0, setrlimit(RLIMIT_FSIZE, &old));
	wait_end(&t, RC_IO);
}

static void garbage_ends_the_link(void **state)
{
	struct test_role t;
	uint8_t byte;

	start(&t, *state);
	assert_int_equal(8, send(t.core[0], "\0\0\0\4\xff\xff\xff\xff", 8, 0));
	assert_int_equal(0, recv(t.core[0], &byte, 1, 0));
	stop(&t);
}

/* ---- several nodes ---- */

static Keys__Reply *ask_seal(
	struct test_role *t, Keys__NodeInfo **nodes, size_t count, uint64_t version)
{
	Keys__Request r = KEYS__REQUEST__INIT;
	Keys__SealZoneKeys seal = KEYS__SEAL_ZONE_KEYS__INIT;

	seal.version = version;
	seal.n_nodes = count;
	seal.nodes = nodes;
	r.op_case = KEYS__REQUEST__OP_SEAL_ZONE_KEYS;
	r.seal_zone_keys = &seal;
	return ask(t->core[0], &r);
}

static Keys__Reply *ask_open(struct test_role *t, ProtobufCBinaryData body)
{
	Keys__Request r = KEYS__REQUEST__INIT;
	Keys__OpenZoneKeys open = KEYS__OPEN_ZONE_KEYS__INIT;

	open.body = body;
	r.op_case = KEYS__REQUEST__OP_OPEN_ZONE_KEYS;
	r.open_zone_keys = &open;
	return ask(t->core[0], &r);
}

static void check_head(struct test_role *t, const struct ca_key *node)
{
	static uint8_t hash[CA_SHA256_LEN] = { 5 };
	Keys__Request r = KEYS__REQUEST__INIT;
	Keys__SignHead head = KEYS__SIGN_HEAD__INIT;
	Keys__Reply *reply;

	head.seq = 3;
	head.hash = (ProtobufCBinaryData){ sizeof(hash), hash };
	r.op_case = KEYS__REQUEST__OP_SIGN_HEAD;
	r.sign_head = &head;
	reply = ask(t->core[0], &r);
	assert_rc(RC_OK,
		ca_node_check_head(node->point, "a", 3, hash, reply->signed_head->signature.data,
			reply->signed_head->signature.len));
	keys__reply__free_unpacked(reply, NULL);
	head.hash.len--;
	reply = ask(t->core[0], &r);
	assert_rc(RC_MALFORMED, reply->rc);
	keys__reply__free_unpacked(reply, NULL);
}

/* Seals to itself and to a node that nobody vouches for; takes what it sealed, but nothing older.
 */
static void keys_go_to_nodes_that_are_vouched_for(void **state)
{
	const struct fixture *f = *state;
	static char a[] = "a", b[] = "b";
	Keys__NodeInfo info[2], *list[] = { &info[0], &info[1] };
	uint8_t proof[CA_NODE_PROOF_LEN];
	struct ca_key node;
	struct test_role t;
	char path[160];
	struct diag d;

	assert_rc(RC_OK, ca_key_new(&node, &d));
	assert_rc(RC_OK, str_format(path, sizeof(path), "%s/keys/" CA_NODE_KEY_FILE, f->dir));
	assert_rc(RC_OK, ca_key_store(&node, path, &d));
	assert_rc(RC_OK, ca_node_prove(&f->ring.party, a, node.point, proof, &d));
	for (int i = 0; i < 2; i++) {
		keys__node_info__init(&info[i]);
		info[i].name = i ? b : a;
		info[i].point = (ProtobufCBinaryData){ CA_POINT_LEN, node.point };
		info[i].proof = (ProtobufCBinaryData){ sizeof(proof), proof };
	}
	start_node(&t, f, a);
	Keys__Reply *six = ask_seal(&t, list, 2, 6), *seven = ask_seal(&t, list, 2, 7);
	assert_int_equal(six->sealed_zone_keys->n_bodies, 2);
	assert_true(six->sealed_zone_keys->bodies[0].len > 500);
	assert_int_equal(six->sealed_zone_keys->bodies[1].len, 0);
	Keys__Reply *reply = ask_seal(&t, list, 2, 5); /* others have newer ones */
	assert_rc(RC_RANGE, reply->rc);
	keys__reply__free_unpacked(reply, NULL);
	check_head(&t, &node);
	stop(&t);
	start_node(&t, f, a); /* the version is on disk */
	reply = ask_open(&t, six->sealed_zone_keys->bodies[0]);
	assert_rc(RC_STATE, reply->rc);
	keys__reply__free_unpacked(reply, NULL);
	reply = ask_open(&t, seven->sealed_zone_keys->bodies[0]);
	assert_int_equal(reply->public_->keys_version, 7);
	keys__reply__free_unpacked(reply, NULL);
	stop(&t);
	start(&t, f); /* this is no node */
	reply = ask_open(&t, seven->sealed_zone_keys->bodies[0]);
	assert_rc(RC_DENIED, reply->rc);
	keys__reply__free_unpacked(reply, NULL);
	stop(&t);
	keys__reply__free_unpacked(six, NULL);
	keys__reply__free_unpacked(seven, NULL);
	assert_int_equal(0, unlink(path));
	ca_key_free(&node);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_link_may_ask_its_own),
		cmocka_unit_test(batches_come_back_in_order),
		cmocka_unit_test(a_key_stays_with_its_name_over_restarts),
		cmocka_unit_test(rrsets_are_signed_or_all_refused),
		cmocka_unit_test(a_flood_is_answered_in_order),
		cmocka_unit_test(a_peer_may_leave_and_the_role_may_stop),
		cmocka_unit_test(parties_and_kit_files),
		cmocka_unit_test(payloads_and_wifi_only_to_a_known_b_key),
		cmocka_unit_test(a_full_disk_ends_the_role),
		cmocka_unit_test(garbage_ends_the_link),
		cmocka_unit_test(keys_go_to_nodes_that_are_vouched_for),
	};
	return cmocka_run_group_tests(tests, fixture_setup, fixture_teardown);
}
