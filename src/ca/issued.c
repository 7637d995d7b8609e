/* SPDX-License-Identifier: Apache-2.0 */
#include "ca/issued.h"
#include "base/cur.h"
#include "base/put.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static const char magic[16] ATT_NONSTRING = "attestry-issued1";

#define CHAIN_LEN  16
#define BODY_FIXED (1 + 8 + 8 + CA_SERIAL_LEN + 3 * CA_SHA256_LEN + 1)
#define BODY_MAX   (BODY_FIXED + CA_NAME_MAX)
#define RECORD_MAX (2 + BODY_MAX + CHAIN_LEN)
#define TABLE_MIN  1024 /* slots, a power of two */

/* A key and whose it is, both cut: 160 bits against collision by accident or search, 96 bits of a
 * name that the registry itself chose. All zero: a free slot. */
struct binding {
	uint8_t key[20];
	uint8_t name[12];
};

struct ca_issued {
	int fd;
	bool broken;
	uint64_t count;
	size_t dropped;
	uint8_t chain[CA_SHA256_LEN];
	pthread_mutex_t file_lock; /* the members above, and x_file */
	struct ca_crypt *x_file;
	struct binding *table;
	size_t slots, used;
	pthread_mutex_t table_lock; /* the table, and x_table */
	struct ca_crypt *x_table;
};

static bool slot_free(const struct binding *b)
{
	static const struct binding none;

	return memcmp(b, &none, sizeof(none)) == 0;
}

/* The slot of a key: its own, or the free one where it belongs. */
static struct binding *find(struct binding *table, size_t slots, const uint8_t key[20])
{
	size_t at;

	memcpy(&at, key, sizeof(at)); /* a hash already */
	for (at &= slots - 1; !slot_free(&table[at]); at = (at + 1) & (slots - 1))
		if (memcmp(table[at].key, key, sizeof(table[at].key)) == 0)
			break;
	return &table[at];
}

static enum rc grow(struct ca_issued *log)
{
	size_t slots = log->slots ? log->slots * 2 : TABLE_MIN;
	struct binding *table = calloc(slots, sizeof(*table));

	if (!table)
		return RC_NOMEM;
	for (size_t i = 0; i < log->slots; i++)
		if (!slot_free(&log->table[i]))
			*find(table, slots, log->table[i].key) = log->table[i];
	free(log->table);
	log->table = table;
	log->slots = slots;
	return RC_OK;
}

/* One key, one name, within a class: a device and a party do not meet by having the same text. */
enum class { CLASS_DEVICE = 'd', CLASS_B_KEY = 'b', CLASS_OTHER = '0' /* plus the profile */ };

static int class_of(enum ca_profile profile)
{
	bool device = profile == CA_DEVICE || profile == CA_DEVICE_DEVKIT;

	return device ? CLASS_DEVICE : CLASS_OTHER + (int)profile;
}

static enum rc name_hash(
	struct ca_crypt *x, int class, const char *name, size_t len, uint8_t out[CA_SHA256_LEN])
{
	uint8_t text[1 + CA_NAME_MAX];

	text[0] = (uint8_t) class;
	memcpy(text + 1, name, len);
	return ca_sha256(x, text, 1 + len, out);
}

static enum rc bind_key(struct ca_issued *log, int class, const uint8_t sha256[CA_SHA256_LEN],
	const char *name, size_t len)
{
	uint8_t hash[CA_SHA256_LEN];
	enum rc rc = name_hash(log->x_table, class, name, len, hash);

	if (rc == RC_OK && log->used + 1 > log->slots / 4 * 3)
		rc = grow(log);
	if (rc != RC_OK)
		return rc;
	struct binding *b = find(log->table, log->slots, sha256);
	if (!slot_free(b))
		return memcmp(b->name, hash, sizeof(b->name)) == 0 ? RC_OK : RC_CONFLICT;
	memcpy(b->key, sha256, sizeof(b->key));
	memcpy(b->name, hash, sizeof(b->name));
	log->used++;
	return RC_OK;
}

static enum rc chain_next(
	struct ca_issued *log, const uint8_t *body, size_t len, uint8_t out[CA_SHA256_LEN])
{
	uint8_t buf[CA_SHA256_LEN + BODY_MAX];

	memcpy(buf, log->chain, CA_SHA256_LEN);
	memcpy(buf + CA_SHA256_LEN, body, len);
	return ca_sha256(log->x_file, buf, CA_SHA256_LEN + len, out);
}

static bool all_zero(const uint8_t *at, size_t len)
{
	while (len > 0 && at[len - 1] == 0)
		len--;
	return len == 0;
}

static enum rc load_bindings(struct ca_issued *log, struct cur body)
{
	unsigned profile = cur_u8(&body);

	cur_skip(&body, 8 + 8 + CA_SERIAL_LEN);
	const uint8_t *spki = cur_bytes(&body, CA_SHA256_LEN);
	cur_skip(&body, CA_SHA256_LEN);
	const uint8_t *b_key = cur_bytes(&body, CA_SHA256_LEN);
	size_t len = cur_u8(&body);
	const char *name = (const char *)cur_bytes(&body, len);
	if (!cur_done(&body) || profile >= CA_PROFILE_COUNT || len > CA_NAME_MAX)
		return RC_CONFLICT;
	enum rc rc = bind_key(log, class_of((enum ca_profile)profile), spki, name, len);
	if (rc == RC_OK && !all_zero(b_key, CA_SHA256_LEN))
		rc = bind_key(log, CLASS_B_KEY, b_key, name, len);
	return rc;
}

/* One record at the cursor. RC_TRUNCATED: it is not all there. */
static enum rc load_record(struct ca_issued *log, struct cur *c)
{
	uint8_t next[CA_SHA256_LEN];

	if (c->left < 2)
		return RC_TRUNCATED;
	uint16_t len = cur_u16(c);
	/* Before anything else, lest a damaged length in the middle pass for a torn end. */
	if (len < BODY_FIXED || len > BODY_MAX)
		return RC_CONFLICT;
	struct cur body = cur_take(c, len);
	const uint8_t *chain = cur_bytes(c, CHAIN_LEN);
	if (!chain)
		return RC_TRUNCATED;
	enum rc rc = chain_next(log, body.at, body.left, next);
	if (rc != RC_OK)
		return rc;
	if (memcmp(next, chain, CHAIN_LEN) != 0)
		return RC_CONFLICT;
	rc = load_bindings(log, body);
	if (rc != RC_OK)
		return rc;
	memcpy(log->chain, next, sizeof(next));
	log->count++;
	return RC_OK;
}

/* Reads every record; *good becomes the offset behind the last whole one. */
static enum rc load_records(
	struct ca_issued *log, const uint8_t *bytes, size_t len, size_t *good, struct diag *d)
{
	struct cur c = cur_init(bytes, len);

	cur_skip(&c, sizeof(magic));
	*good = sizeof(magic);
	while (c.left > 0) {
		struct cur at = c;
		enum rc rc = load_record(log, &c);
		/* A file system may have extended the file before a crash kept the data. */
		if (rc == RC_TRUNCATED || (rc == RC_CONFLICT && all_zero(at.at, at.left)))
			return RC_OK;
		if (rc != RC_OK)
			return diag_set(d, rc, "record %llu at offset %zu: %s",
				(unsigned long long)log->count + 1, *good,
				rc == RC_CONFLICT ? "changed, or one before it is gone"
						  : rc_text(rc));
		*good = len - c.left;
	}
	return RC_OK;
}

static enum rc load_file(struct ca_issued *log, struct diag *d)
{
	struct stat st;
	size_t good = 0;

	if (fstat(log->fd, &st) != 0)
		return diag_errno(d, RC_IO, "fstat");
	size_t len = (size_t)st.st_size;
	if (len < sizeof(magic)) { /* new, or cut while it was made */
		if (ftruncate(log->fd, 0) != 0 ||
			write(log->fd, magic, sizeof(magic)) != (ssize_t)sizeof(magic) ||
			fsync(log->fd) != 0)
			return diag_errno(d, RC_IO, "write");
		return RC_OK;
	}
	uint8_t *bytes = mmap(NULL, len, PROT_READ, MAP_PRIVATE, log->fd, 0);
	if (bytes == MAP_FAILED)
		return diag_errno(d, RC_IO, "mmap");
	enum rc rc = memcmp(bytes, magic, sizeof(magic)) == 0
			     ? load_records(log, bytes, len, &good, d)
			     : diag_set(d, RC_CONFLICT, "not an issued.log");
	munmap(bytes, len);
	log->dropped = rc == RC_OK ? len - good : 0;
	if (rc == RC_OK && good < len && (ftruncate(log->fd, (off_t)good) != 0 || fsync(log->fd)))
		rc = diag_errno(d, RC_IO, "ftruncate");
	return rc;
}

enum rc ca_issued_open(struct ca_issued **out, const char *path, struct diag *d)
{
	struct ca_issued *log = calloc(1, sizeof(*log));
	enum rc rc;

	if (!log)
		return RC_NOMEM;
	pthread_mutex_init(&log->file_lock, NULL);
	pthread_mutex_init(&log->table_lock, NULL);
	log->fd = open(path, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (log->fd < 0) {
		rc = diag_errno(d, RC_IO, "open");
		goto out;
	}
	if (flock(log->fd, LOCK_EX | LOCK_NB) != 0) {
		rc = diag_errno(d, errno == EWOULDBLOCK ? RC_BUSY : RC_IO, "flock");
		goto out;
	}
	rc = ca_crypt_new(&log->x_file, d);
	if (rc == RC_OK)
		rc = ca_crypt_new(&log->x_table, d);
	if (rc == RC_OK)
		rc = load_file(log, d);
out:
	if (rc != RC_OK) {
		diag_prefix(d, path);
		ca_issued_close(log);
	} else {
		*out = log;
	}
	return rc;
}

void ca_issued_close(struct ca_issued *log)
{
	if (!log)
		return;
	if (log->fd >= 0)
		close(log->fd);
	ca_crypt_free(log->x_file);
	ca_crypt_free(log->x_table);
	free(log->table);
	pthread_mutex_destroy(&log->file_lock);
	pthread_mutex_destroy(&log->table_lock);
	free(log);
}

static enum rc bind_locked(struct ca_issued *log, int class, const uint8_t sha256[CA_SHA256_LEN],
	const char *name, const char *field, struct diag *d)
{
	size_t len = strlen(name);

	if (len > CA_NAME_MAX)
		return diag_set(d, RC_RANGE, "name: at most %d characters", CA_NAME_MAX);
	pthread_mutex_lock(&log->table_lock);
	enum rc rc = bind_key(log, class, sha256, name, len);
	pthread_mutex_unlock(&log->table_lock);
	if (rc == RC_CONFLICT)
		diag_set(d, rc, "csr: %s: this key was certified under another name (design 6)",
			field);
	return rc;
}

enum rc ca_issued_bind(struct ca_issued *log, enum ca_profile profile,
	const uint8_t spki_sha256[CA_SHA256_LEN], const char *name, struct diag *d)
{
	return bind_locked(log, class_of(profile), spki_sha256, name, "subjectPKInfo", d);
}

enum rc ca_issued_bind_b(struct ca_issued *log, const uint8_t b_sha256[CA_SHA256_LEN],
	const char *name, struct diag *d)
{
	return bind_locked(log, CLASS_B_KEY, b_sha256, name, "attributes.key-agreement", d);
}

bool ca_issued_has_b(struct ca_issued *log, const uint8_t b_sha256[CA_SHA256_LEN], const char *name)
{
	uint8_t hash[CA_SHA256_LEN];
	size_t len = strlen(name);
	bool has = false;

	if (len > CA_NAME_MAX)
		return false;
	pthread_mutex_lock(&log->table_lock);
	if (log->slots > 0 && name_hash(log->x_table, CLASS_B_KEY, name, len, hash) == RC_OK) {
		const struct binding *b = find(log->table, log->slots, b_sha256);
		has = !slot_free(b) && memcmp(b->name, hash, sizeof(b->name)) == 0;
	}
	pthread_mutex_unlock(&log->table_lock);
	return has;
}

static enum rc put_record(struct ca_issued *log, struct put *p, const struct ca_issued_entry *e)
{
	uint8_t body[BODY_MAX], next[CA_SHA256_LEN];
	struct put b = put_init(body, sizeof(body));

	put_u8(&b, (uint8_t)e->profile);
	put_u64(&b, (uint64_t)e->issued);
	put_u64(&b, (uint64_t)e->not_after);
	put_bytes(&b, e->serial, sizeof(e->serial));
	put_bytes(&b, e->spki_sha256, sizeof(e->spki_sha256));
	put_bytes(&b, e->cert_sha256, sizeof(e->cert_sha256));
	put_bytes(&b, e->b_sha256, sizeof(e->b_sha256));
	put_u8(&b, (uint8_t)strlen(e->name));
	put_str(&b, e->name);
	enum rc rc = put_ok(&b) ? chain_next(log, body, b.len, next) : RC_RANGE;
	if (rc != RC_OK)
		return rc;
	memcpy(log->chain, next, sizeof(next));
	put_u16(p, (uint16_t)b.len);
	put_bytes(p, body, b.len);
	put_bytes(p, next, CHAIN_LEN);
	return RC_OK;
}

static enum rc write_all(int fd, const uint8_t *bytes, size_t len)
{
	while (len > 0) {
		ssize_t n = write(fd, bytes, len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return RC_IO;
		bytes += n;
		len -= (size_t)n;
	}
	return RC_OK;
}

enum rc ca_issued_append(struct ca_issued *log, const struct ca_issued_entry *const *entries,
	size_t count, struct diag *d)
{
	uint8_t *buf = count > 0 ? malloc(count * RECORD_MAX) : NULL;
	struct put p = put_init(buf, count * RECORD_MAX);
	enum rc rc = RC_OK;

	if (count == 0)
		return RC_OK;
	if (!buf)
		return RC_NOMEM;
	pthread_mutex_lock(&log->file_lock);
	if (log->broken)
		rc = RC_STATE;
	for (size_t i = 0; rc == RC_OK && i < count; i++)
		rc = put_record(log, &p, entries[i]);
	if (rc == RC_OK)
		rc = write_all(log->fd, buf, p.len);
	if (rc == RC_OK && fdatasync(log->fd) != 0)
		rc = RC_IO;
	if (rc == RC_OK)
		log->count += count;
	else
		log->broken = true;
	pthread_mutex_unlock(&log->file_lock);
	free(buf);
	if (rc == RC_IO)
		return diag_errno(d, rc, "issued.log: append");
	if (rc != RC_OK)
		return diag_set(d, rc, "issued.log: append: %s", rc_text(rc));
	return RC_OK;
}

uint64_t ca_issued_count(struct ca_issued *log)
{
	pthread_mutex_lock(&log->file_lock);
	uint64_t n = log->count;
	pthread_mutex_unlock(&log->file_lock);
	return n;
}

size_t ca_issued_dropped(const struct ca_issued *log)
{
	return log->dropped;
}

uint64_t ca_issued_keys(struct ca_issued *log)
{
	pthread_mutex_lock(&log->table_lock);
	uint64_t n = log->used;
	pthread_mutex_unlock(&log->table_lock);
	return n;
}
