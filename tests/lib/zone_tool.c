/* SPDX-License-Identifier: Apache-2.0 */
/* zone_tool: makes, changes, serves and prints zones without the daemon.
 *
 *   zone_tool make DIR ZONE DEVICES [SEQ]     sorted, signed by all cores with DIR/{ksk,zsk}.pem;
 *                                             SEQ: the change sequence it says it has (DEVICES)
 *   zone_tool sample DIR ZONE SEED            a small zone with every shape a zone can have
 *   zone_tool random DIR ZONE DEVICES N       random order, then a day: N go and come, all
 *                                             is signed twice (signatures left zero)
 *   zone_tool publish DIR ZONE COUNT          publish and withdraw one by one, asking for each
 *   zone_tool batches DIR ZONE DEVICES COUNT  publish COUNT in batches, all signed, then withdraw
 *   zone_tool follow DIR ZONE COUNT COPY      COPY, made of DIR before, follows it change by change
 *   zone_tool serve DIR [CERT KEY]            UDP, TCP (and TLS) on free ports, until stdin ends
 *   zone_tool export DIR
 */
#include "zone_tool.h"

#include "base/clock.h"
#include "base/str.h"
#include "zone/export.h"

#include <openssl/ec.h>
#include <openssl/pem.h>
#include <openssl/sha.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define LIFE_S	  (14u * 24 * 3600)
#define FLUSH	  20000u
#define DAYS_90_S (90LL * 24 * 3600)

double tool_seconds(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

double tool_cpu_seconds(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static EVP_PKEY *key_of(const char *dir, const char *name)
{
	char path[512];
	EVP_PKEY *key = NULL;
	FILE *f;

	if (str_format(path, sizeof(path), "%s/%s", dir, name) != RC_OK)
		return NULL;
	f = fopen(path, "r");
	if (f) {
		key = PEM_read_PrivateKey(f, NULL, NULL, NULL);
	} else {
		key = EVP_EC_gen("P-256");
		f = fopen(path, "w");
		if (f && key && !PEM_write_PrivateKey(f, key, NULL, NULL, 0, NULL, NULL)) {
			EVP_PKEY_free(key);
			key = NULL;
		}
	}
	if (f)
		fclose(f);
	return key;
}

enum rc tool_open(struct tool *t, const char *dir, const char *zone)
{
	memset(t, 0, sizeof(*t));
	mkdir(dir, 0755);
	t->dir = dir;
	t->bulk.threads = (unsigned)sysconf(_SC_NPROCESSORS_ONLN);
	t->bulk.ksk = key_of(dir, "ksk.pem");
	t->bulk.zsk = key_of(dir, "zsk.pem");
	if (!t->bulk.ksk || !t->bulk.zsk)
		return RC_CRYPTO;
	return bulk_policy(&t->bulk, zone, LIFE_S);
}

void tool_close(struct tool *t)
{
	EVP_PKEY_free(t->bulk.ksk);
	EVP_PKEY_free(t->bulk.zsk);
}

void tool_iccid(uint64_t i, uint64_t n, char out[21])
{
	uint64_t step = n ? 1000000000ull / n : 1;
	uint64_t at = i * step + (i * 2654435761u >> 7) % (step ? step : 1);

	snprintf(out, 21, "8912230200%09lluf", (unsigned long long)(at % 1000000000ull));
}

void tool_device(
	const char *iccid, unsigned slot, struct zone_key *key, uint8_t cert[32], uint8_t spki[32])
{
	char text[64];
	struct zone_name name;

	snprintf(text, sizeof(text), "%u.%s", slot, iccid);
	if (zone_name_from_text(text, &name) != RC_OK)
		abort();
	zone_key_write(name.wire, name.len - 1u, key);
	SHA256((const uint8_t *)text, strlen(text), cert);
	SHA256(cert, 32, spki);
}

static int64_t now_s(void)
{
	return clock_system()->unix_s(clock_system());
}

/* ---- make */

static enum rc make(struct tool *t, uint64_t n, uint64_t seq, struct diag *d)
{
	struct zone_db *db = NULL;
	struct rebuild *r = NULL;
	enum rc rc = zone_db_open(t->dir, ZONE_DB_BULK, 0, &db, d);

	if (rc == RC_OK)
		rc = rebuild_new(db, &t->bulk.policy, now_s(), &r, d);
	if (rc == RC_OK)
		rebuild_expect_sorted(r);
	for (uint64_t i = 0; rc == RC_OK && i < n; i++) {
		struct zone_key key;
		uint8_t cert[32];
		uint8_t spki[32];
		char iccid[21];

		tool_iccid(i, n, iccid);
		tool_device(iccid, 1, &key, cert, spki);
		rc = rebuild_device(r, &key, cert, spki, now_s() + DAYS_90_S);
		if (rc == RC_OK && i % FLUSH == FLUSH - 1)
			rc = rebuild_flush(r, d);
	}
	if (rc == RC_OK)
		rc = bulk_finish(&t->bulk, r, seq, d);
	rebuild_free(r);
	if (db && mdb_env_sync(db->env, 1) != 0)
		rc = RC_IO;
	zone_db_close(db);
	return rc;
}

/* ---- sample: devices next to each other and far apart, several slots, deep service names */

static enum rc add_tlsa(
	struct rebuild *r, const char *text, const struct zone_key *apex, uint16_t n)
{
	uint8_t rdata[4][RR_TLSA_LEN];
	const uint8_t *list[4];
	uint16_t len[4];
	static const uint8_t cert[RR_TLSA_LEN] = { 0, 1, 0, 0, 0, 0x30 };
	const uint8_t *cert_list[1] = { cert };
	struct work_set sets[2];
	struct zone_name name;
	struct zone_key key;

	for (uint16_t i = 0; i < n; i++) {
		memset(rdata[i], 0x11 * (i + 1), RR_TLSA_LEN);
		rdata[i][0] = (uint8_t)(i % 4);
		rdata[i][1] = i & 1;
		rdata[i][2] = 1;
		list[i] = rdata[i];
		len[i] = RR_TLSA_LEN;
	}
	sets[0] = (struct work_set){ RR_TLSA, n, list, len };
	sets[1] = (struct work_set){ RR_CERT, 1, cert_list, len };
	if (apex)
		return rebuild_sets(r, apex, sets, 2);
	if (zone_name_from_text(text, &name) != RC_OK)
		return RC_MALFORMED;
	zone_key_write(name.wire, name.len - 1u, &key);
	return rebuild_sets(r, &key, sets, 1);
}

static enum rc sample_devices(struct rebuild *r, unsigned seed)
{
	enum rc rc = RC_OK;

	srandom(seed);
	for (unsigned i = 0; rc == RC_OK && i < 200; i++) {
		char iccid[21];
		unsigned slots = random() % 5 == 0 ? 1u + (unsigned)random() % 9 : 1;

		tool_iccid(i * 3 + (uint64_t)random() % 3, 600, iccid);
		for (unsigned s = 0; rc == RC_OK && s < slots; s++) {
			struct zone_key key;
			uint8_t cert[32];
			uint8_t spki[32];

			tool_device(iccid, 1 + (unsigned)random() % 9, &key, cert, spki);
			rc = rebuild_device(r, &key, cert, spki, now_s() + DAYS_90_S);
		}
	}
	return rc;
}

static enum rc sample(struct tool *t, unsigned seed, struct diag *d)
{
	static const char *const names[] = { "_8883._tcp.parkoserv._service",
		"_443._tcp.carparkserv._service", "_443._tcp.parkoserv._service",
		"zz\\000top._service", "_443._udp.sub.deep.er._service" };
	static const struct zone_key apex = { .len = 1 };
	struct zone_db *db = NULL;
	struct rebuild *r = NULL;
	enum rc rc = zone_db_open(t->dir, ZONE_DB_BULK, 0, &db, d);

	if (rc == RC_OK)
		rc = rebuild_new(db, &t->bulk.policy, now_s(), &r, d);
	if (rc == RC_OK)
		rc = sample_devices(r, seed);
	for (uint16_t i = 0; rc == RC_OK && i < ARRAY_LEN(names); i++)
		rc = add_tlsa(r, names[i], NULL, (uint16_t)(1 + i % 3));
	if (rc == RC_OK)
		rc = add_tlsa(r, "", &apex, 3);
	if (rc == RC_OK)
		rc = bulk_finish(&t->bulk, r, 1, d);
	rebuild_free(r);
	zone_db_close(db);
	return rc;
}

static enum rc with_zone(int argc, char **argv, struct diag *d)
{
	double start = tool_seconds();
	uint64_t n = 0;
	uint64_t churn = 0;
	struct tool t;
	enum rc rc = tool_open(&t, argv[2], argv[3]);

	if (rc == RC_OK)
		rc = u64_read(argv[4], 0, 100000000, &n);
	if (rc == RC_OK && argc > 5 && strcmp(argv[1], "follow") != 0)
		rc = u64_read(argv[5], 0, 100000000, &churn);
	if (rc == RC_OK && strcmp(argv[1], "make") == 0)
		rc = make(&t, n, argc > 5 ? churn : n, d);
	else if (rc == RC_OK && strcmp(argv[1], "sample") == 0)
		rc = sample(&t, (unsigned)n, d);
	else if (rc == RC_OK && strcmp(argv[1], "publish") == 0)
		rc = tool_publish(&t, (unsigned)n);
	else if (rc == RC_OK && strcmp(argv[1], "random") == 0)
		rc = tool_load_random(&t, n, (unsigned)churn);
	else if (rc == RC_OK && strcmp(argv[1], "batches") == 0)
		rc = tool_batches(&t, n, (unsigned)churn);
	else if (rc == RC_OK && argc > 5 && strcmp(argv[1], "follow") == 0)
		rc = tool_follow(&t, argv[5], (unsigned)n, d);
	else if (rc == RC_OK)
		rc = RC_UNSUPPORTED;
	tool_close(&t);
	fprintf(stderr, "zone_tool %s: %.1f s\n", argv[1], tool_seconds() - start);
	return rc;
}

int main(int argc, char **argv)
{
	struct diag d = { 0 };
	enum rc rc = RC_UNSUPPORTED;

	if (argc >= 5 && strcmp(argv[1], "serve") != 0)
		rc = with_zone(argc, argv, &d);
	if (argc == 3 && strcmp(argv[1], "serve") == 0)
		rc = tool_serve(argv[2], NULL, NULL);
	else if (argc == 5 && strcmp(argv[1], "serve") == 0)
		rc = tool_serve(argv[2], argv[3], argv[4]);
	else if (argc == 3 && strcmp(argv[1], "export") == 0)
		rc = zone_export(argv[2], stdout, NULL, &d);
	if (rc != RC_OK)
		fprintf(stderr, "zone_tool: %s\n", d.text[0] ? d.text : rc_text(rc));
	return rc == RC_OK ? 0 : 1;
}
