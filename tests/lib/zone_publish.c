/* SPDX-License-Identifier: Apache-2.0 */
/* What changes cost: a writer with keys of its own, and a dns process beside it that gets its
 * snapshots as the real one does. */
#include "zone_tool.h"

#include "base/clock.h"
#include "zone/batch.h"
#include "zone/sweep.h"
#include "zone/udp.h"

#include <arpa/inet.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define UDP_MAX	   1232
#define RANDOM_TXN 1000u
#define SWEEP_TAKE 256u
#define HOURS	   24u

struct writer {
	struct tool *t;
	struct zone_db *db;
	struct signer *signer;
	struct snap_writer *snaps;
	pid_t dns;
	int ask;
	struct sockaddr_in to;
	int64_t ahead; /* of the clock: a day in minutes */
};

static int64_t now_of(const struct writer *w)
{
	return clock_system()->unix_s(clock_system()) + w->ahead;
}

/* ---- the dns process */

static void dns_main(const char *dir, int link, int udp)
{
	struct event_base *base = event_base_new();
	const struct snap_board *board;
	struct snap_slot *slot;
	struct snap_reader reader;
	struct zone_db *db;
	struct serve *serve;
	struct udp *u;
	struct pollfd p = { .fd = link, .events = POLLIN };

	poll(&p, 1, 5000);
	if (snap_reader_attach(link, &board, &slot, NULL) != RC_OK ||
		zone_db_open(dir, ZONE_DB_SERVE, 0, &db, NULL) != RC_OK ||
		snap_reader_init(&reader, db, board, slot) != RC_OK ||
		serve_new(&reader, UDP_MAX, &serve) != RC_OK ||
		udp_new(base, udp, serve, UDP_MAX, &u) != RC_OK)
		_exit(1);
	event_base_dispatch(base);
	_exit(0);
}

static enum rc start_dns(struct writer *w)
{
	uint16_t port;
	int udp = tool_udp(&port);
	int pair[2];

	if (udp < 0 || socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0)
		return RC_IO;
	w->dns = fork();
	if (w->dns == 0)
		dns_main(w->t->dir, pair[1], udp);
	close(pair[1]);
	close(udp);
	w->ask = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	w->to = (struct sockaddr_in){ .sin_family = AF_INET,
		.sin_port = htons(port),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	return snap_writer_greet(w->snaps, 0, pair[0]);
}

/* Asks for CERT at a device; the RCODE, or -1. */
static int ask(struct writer *w, const struct zone_key *key)
{
	static const uint8_t tail[] = { 0, 37, 0, 1, 0, 0, 41, 4, 208, 0, 0, 128, 0, 0, 0 };
	uint8_t q[512] = { 0x12, 0x34, 0, 0, 0, 1, 0, 0, 0, 0, 0, 1 };
	uint8_t answer[UDP_MAX];
	struct pollfd p = { .fd = w->ask, .events = POLLIN };
	struct zone_name name;
	ssize_t n;

	if (zone_key_name(key->bytes, key->len, &w->t->bulk.policy.origin, &name) != RC_OK)
		return -1;
	memcpy(q + 12, name.wire, name.len);
	memcpy(q + 12 + name.len, tail, sizeof(tail));
	n = sendto(w->ask, q, 12u + name.len + sizeof(tail), 0, (struct sockaddr *)&w->to,
		sizeof(w->to));
	if (n < 0 || poll(&p, 1, 2000) != 1)
		return -1;
	n = recv(w->ask, answer, sizeof(answer), 0);
	return n < 12 ? -1 : answer[3] & 15;
}

/* ---- the writer */

enum signing { SIGN_ZEROES, SIGN_HERE, SIGN_THREADS };

static enum rc sign_batch(
	struct writer *w, const struct work *work, uint8_t *sigs, enum signing how)
{
	enum rc rc = RC_OK;

	if (how == SIGN_THREADS)
		return bulk_sign(&w->t->bulk, work, sigs);
	if (how == SIGN_ZEROES)
		memset(sigs, 0, work->count * RR_SIG_LEN);
	for (size_t i = 0; how == SIGN_HERE && rc == RC_OK && i < work->count; i++)
		rc = signer_sign(w->signer, &work->sets[i], sigs + i * RR_SIG_LEN);
	return rc;
}

static enum rc apply(struct writer *w, struct batch *b, enum signing how, struct diag *d)
{
	const struct work_tags tags = { { bulk_tag(&w->t->bulk, false) },
		{ bulk_tag(&w->t->bulk, true) } };
	const struct work *work;
	uint8_t *sigs = NULL;
	uint32_t serial;
	enum rc rc = batch_prepare(b, &work, d);

	if (rc == RC_OK) {
		sigs = malloc(work->count * RR_SIG_LEN);
		rc = sigs ? sign_batch(w, work, sigs, how) : RC_NOMEM;
	}
	if (rc == RC_OK)
		rc = batch_commit(b, sigs, &tags, 1, &serial, d);
	if (rc == RC_OK && w->snaps)
		rc = snap_writer_publish(w->snaps);
	free(sigs);
	batch_free(b);
	return rc;
}

static enum rc change_one(struct writer *w, const char *iccid, bool there, struct diag *d)
{
	struct batch *b;
	struct zone_key key;
	uint8_t cert[32];
	uint8_t spki[32];
	enum rc rc = batch_new(w->db, &w->t->bulk.policy, now_of(w), &b);

	if (rc != RC_OK)
		return rc;
	tool_device(iccid, 2, &key, cert, spki);
	rc = there ? batch_device(b, &key, cert, spki, now_of(w) + 7776000)
		   : batch_withdraw(b, &key);
	return rc == RC_OK ? apply(w, b, SIGN_HERE, d) : rc;
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a;
	double y = *(const double *)b;

	return (x > y) - (x < y);
}

static enum rc publish_all(struct writer *w, unsigned count, double *ms, struct diag *d)
{
	enum rc rc = RC_OK;

	srandom(7);
	for (unsigned i = 0; rc == RC_OK && i < count; i++) {
		bool there = i % 2 == 0;
		char iccid[21];
		struct zone_key key;
		uint8_t unused[32];
		double start;

		/* The same name comes and goes. */
		if (there)
			srandom(i / 2 + 1);
		tool_iccid((uint64_t)random() % 1000000, 1000000, iccid);
		if (there)
			srandom(i / 2 + 1);
		tool_device(iccid, 2, &key, unused, unused);
		start = tool_seconds();
		rc = change_one(w, iccid, there, d);
		if (rc == RC_OK && ask(w, &key) != (there ? 0 : 3)) {
			/* Slot 1 may be there: then the name above is no reason for NXDOMAIN. */
			rc = RC_INTERNAL;
			fprintf(stderr, "publish: answer of %s does not show the change\n", iccid);
		}
		ms[i] = (tool_seconds() - start) * 1000;
	}
	return rc;
}

void tool_print_times(double *ms, unsigned count)
{
	if (count == 0)
		return;
	qsort(ms, count, sizeof(*ms), by_value);
	printf("{\"count\": %u, \"median_ms\": %.3f, \"p99_ms\": %.3f, \"max_ms\": %.3f}\n", count,
		ms[count / 2], ms[count * 99 / 100], ms[count - 1]);
}

enum rc tool_publish(struct tool *t, unsigned count)
{
	struct writer w = { .t = t };
	struct diag d = { 0 };
	double *ms = calloc(count ? count : 1, sizeof(*ms));
	enum rc rc = ms ? zone_db_open(t->dir, ZONE_DB_WRITE, 0, &w.db, &d) : RC_NOMEM;

	if (rc == RC_OK)
		rc = signer_new(&t->bulk.policy.origin, t->bulk.ksk, t->bulk.zsk, &w.signer);
	if (rc == RC_OK)
		rc = snap_writer_new(w.db, 1, &w.snaps, &d);
	if (rc == RC_OK)
		rc = start_dns(&w);
	if (rc == RC_OK)
		rc = publish_all(&w, count, ms, &d);
	if (rc == RC_OK)
		tool_print_times(ms, count);
	if (d.text[0])
		fprintf(stderr, "publish: %s\n", d.text);
	if (w.dns > 0) {
		kill(w.dns, SIGKILL);
		waitpid(w.dns, NULL, 0);
	}
	snap_writer_free(w.snaps);
	signer_free(w.signer);
	zone_db_close(w.db);
	free(ms);
	return rc;
}

/* ---- random order: what the store takes when names come as they come */

static void shuffle(uint32_t *order, uint64_t n)
{
	uint64_t state = 88172645463325252ull;

	for (uint64_t i = 0; i < n; i++)
		order[i] = (uint32_t)i;
	for (uint64_t i = n; i > 1; i--) {
		uint64_t k;
		uint32_t tmp;

		state ^= state << 13;
		state ^= state >> 7;
		state ^= state << 17;
		k = state % i;
		tmp = order[i - 1];
		order[i - 1] = order[k];
		order[k] = tmp;
	}
}

static enum rc empty_zone(struct writer *w, struct diag *d)
{
	struct rebuild *r = NULL;
	enum rc rc = rebuild_new(w->db, &w->t->bulk.policy, now_of(w), &r, d);

	if (rc == RC_OK)
		rc = bulk_finish(&w->t->bulk, r, 1, d);
	rebuild_free(r);
	return rc;
}

struct load {
	const uint32_t *order;
	uint64_t n, count;
	unsigned slot, size; /* of a batch */
	bool withdraw;
	enum signing how;
};

static enum rc load(struct writer *w, const struct load *l, struct diag *d)
{
	enum rc rc = RC_OK;

	for (uint64_t i = 0; rc == RC_OK && i < l->count;) {
		struct batch *b;

		rc = batch_new(w->db, &w->t->bulk.policy, now_of(w), &b);
		for (unsigned k = 0; rc == RC_OK && k < l->size && i < l->count; k++, i++) {
			struct zone_key key;
			uint8_t cert[32];
			uint8_t spki[32];
			char iccid[21];

			tool_iccid(l->order[i % l->n], l->n, iccid);
			tool_device(iccid, l->slot, &key, cert, spki);
			rc = l->withdraw ? batch_withdraw(b, &key)
					 : batch_device(b, &key, cert, spki, now_of(w) + 7776000);
		}
		if (rc == RC_OK)
			rc = apply(w, b, l->how, d);
	}
	return rc;
}

static void print_space(struct writer *w, uint64_t n)
{
	MDB_stat s;
	MDB_txn *txn = NULL;
	struct zone_state state;
	struct stat st;
	char path[512];
	uint64_t pages;

	snprintf(path, sizeof(path), "%s/data.mdb", w->t->dir);
	if (mdb_txn_begin(w->db->env, NULL, MDB_RDONLY, &txn) != 0)
		return;
	if (zone_db_state_get(w->db, txn, &state) == RC_OK && stat(path, &st) == 0 &&
		mdb_stat(txn, w->db->names[state.active], &s) == 0) {
		pages = s.ms_branch_pages + s.ms_leaf_pages + s.ms_overflow_pages;
		printf("{\"devices\": %llu, \"live_bytes\": %.1f, \"file_bytes\": %.1f}\n",
			(unsigned long long)n, (double)(pages * s.ms_psize) / (double)n,
			(double)st.st_size / (double)n);
	}
	mdb_txn_abort(txn);
}

/* As role zone refreshes signatures: names in order, until nothing is due. */
static enum rc refresh(struct writer *w, struct diag *d)
{
	const struct sweep_limits limits = { .take = SWEEP_TAKE, .look = UINT32_MAX };
	struct sweep s = { 0 };
	enum rc rc = RC_OK;

	for (unsigned due = 1; rc == RC_OK && due > 0;) {
		struct batch *b;

		rc = batch_new(w->db, &w->t->bulk.policy, now_of(w), &b);
		if (rc != RC_OK)
			break;
		rc = sweep_step(&s, w->db, &w->t->bulk.policy, now_of(w), &limits, b, &due);
		if (rc == RC_OK && due > 0)
			rc = apply(w, b, SIGN_ZEROES, d);
		else
			batch_free(b);
	}
	return rc;
}

/* Each hour some come, as many go, and what is due is signed anew: with signatures of 24 hours,
 * everything twice. */
static enum rc one_day(struct writer *w, struct load *l, unsigned churn, struct diag *d)
{
	enum rc rc = RC_OK;

	l->count = churn / HOURS;
	for (unsigned hour = 0; rc == RC_OK && hour < HOURS; hour++) {
		w->ahead += 3600;
		l->withdraw = true;
		rc = load(w, l, d);
		l->withdraw = false;
		if (rc == RC_OK)
			rc = load(w, l, d);
		if (rc == RC_OK)
			rc = refresh(w, d);
		l->order += l->count;
	}
	return rc;
}

enum rc tool_load_random(struct tool *t, uint64_t devices, unsigned churn)
{
	struct writer w = { .t = t };
	struct diag d = { 0 };
	uint32_t *order = malloc((devices ? devices : 1) * sizeof(*order));
	struct load all = { order, devices, devices, 1, RANDOM_TXN, false, SIGN_ZEROES };
	enum rc rc = order ? zone_db_open(t->dir, ZONE_DB_BULK, 0, &w.db, &d) : RC_NOMEM;

	t->bulk.policy.signature_s = HOURS * 3600;
	if (rc == RC_OK) {
		shuffle(order, devices);
		rc = empty_zone(&w, &d);
	}
	if (rc == RC_OK)
		rc = load(&w, &all, &d);
	if (rc == RC_OK)
		rc = one_day(&w, &all, churn < devices ? churn : (unsigned)devices, &d);
	if (rc == RC_OK)
		print_space(&w, devices);
	if (d.text[0])
		fprintf(stderr, "random: %s\n", d.text);
	zone_db_close(w.db);
	free(order);
	return rc;
}

enum rc tool_batches(struct tool *t, uint64_t devices, unsigned count)
{
	struct writer w = { .t = t };
	struct diag d = { 0 };
	uint32_t *order = malloc((devices ? devices : 1) * sizeof(*order));
	struct load in = { order, devices, count, 3, RANDOM_TXN, false, SIGN_THREADS };
	struct load out = { order, devices, count, 3, RANDOM_TXN, true, SIGN_THREADS };
	enum rc rc = order ? zone_db_open(t->dir, ZONE_DB_WRITE, 0, &w.db, &d) : RC_NOMEM;
	double start;
	double cpu;

	if (rc == RC_OK) {
		shuffle(order, devices);
		start = tool_seconds();
		cpu = tool_cpu_seconds();
		rc = load(&w, &in, &d);
		if (rc == RC_OK && count > 0)
			printf("{\"count\": %u, \"per_second\": %.0f, \"cpu_us\": %.1f}\n", count,
				count / (tool_seconds() - start),
				(tool_cpu_seconds() - cpu) * 1e6 / count);
	}
	if (rc == RC_OK)
		rc = load(&w, &out, &d);
	if (d.text[0])
		fprintf(stderr, "batches: %s\n", d.text);
	zone_db_close(w.db);
	free(order);
	return rc;
}
