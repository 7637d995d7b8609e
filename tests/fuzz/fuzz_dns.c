/* SPDX-License-Identifier: Apache-2.0 */
/* A question from the network in, an answer out: over a small zone of every shape, made once in a
 * folder that is removed at the end. The answer must be one that a client can walk through. */
#include "fuzz.h"

#include "zone/bulk.h"
#include "zone/query.h"
#include "zone/serve.h"

#include <openssl/ec.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct world {
	char dir[64];
	struct zone_db *db;
	struct snap_reader reader;
	struct serve *serve;
};

static void must(bool good)
{
	if (!good)
		abort();
}

static void fill(struct zone_db *db)
{
	struct bulk b = { .threads = 1 };
	struct rebuild *r = NULL;
	uint8_t hash[32] = { 1 };
	struct zone_name name;
	struct zone_key key;

	b.ksk = EVP_EC_gen("P-256");
	b.zsk = EVP_EC_gen("P-256");
	must(bulk_policy(&b, "iotregistry.example", 86400) == RC_OK);
	must(rebuild_new(db, &b.policy, 1795456836, &r, NULL) == RC_OK);
	for (unsigned i = 0; i < 20; i++) {
		char text[64];

		snprintf(text, sizeof(text), "%u.8912230200%09uf", 1 + i % 3, i / 2 * 1000);
		must(zone_name_from_text(text, &name) == RC_OK);
		zone_key_write(name.wire, name.len - 1u, &key);
		must(rebuild_device(r, &key, hash, hash, INT32_MAX) == RC_OK);
	}
	must(bulk_finish(&b, r, 1, NULL) == RC_OK);
	rebuild_free(r);
	EVP_PKEY_free(b.ksk);
	EVP_PKEY_free(b.zsk);
}

/* One file-level object: the fuzzer's entry point has no context. */
static struct world *world(void)
{
	static struct world w;

	if (w.serve)
		return &w;
	snprintf(w.dir, sizeof(w.dir), "/tmp/fuzz-dns-XXXXXX");
	must(mkdtemp(w.dir) != NULL);
	must(zone_db_open(w.dir, ZONE_DB_BULK, 0, &w.db, NULL) == RC_OK);
	fill(w.db);
	must(snap_reader_init(&w.reader, w.db, NULL, NULL) == RC_OK);
	must(serve_new(&w.reader, 1232, &w.serve) == RC_OK);
	/* The store stays open; its files need no name any more. */
	for (unsigned i = 0; i < 2; i++) {
		char path[80];

		snprintf(path, sizeof(path), "%s/%s", w.dir, i ? "lock.mdb" : "data.mdb");
		unlink(path);
	}
	rmdir(w.dir);
	return &w;
}

/* An answer is a message like any other: our own reader must take it when its QR bit is cleared. */
static void check(const uint8_t *answer, size_t len, size_t max)
{
	uint8_t *copy = malloc(len);
	struct query q;

	must(copy && len >= DNS_HEADER_LEN && len <= max);
	memcpy(copy, answer, len);
	must((copy[2] & 0x80) != 0);
	copy[2] &= 0x7f;
	must(query_parse(copy, len, &q) == RC_OK && !q.malformed);
	free(copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static uint8_t out[SERVE_TCP_MAX];
	struct world *w = world();
	size_t n;

	serve_begin(w->serve);
	n = serve_answer(w->serve, data, size, SERVE_UDP, out);
	if (n > 0)
		check(out, n, 1232);
	n = serve_answer(w->serve, data, size, SERVE_STREAM, out);
	if (n > 0)
		check(out, n, SERVE_TCP_MAX);
	serve_end(w->serve);
	return 0;
}
