/* SPDX-License-Identifier: Apache-2.0 */
#include "ca/node.h"

#include "base/compiler.h"
#include "base/cur.h"
#include "base/file.h"
#include "base/put.h"
#include "base/secret.h"
#include "base/str.h"
#include "ca/seal.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PROOF_TEXT  "attestry-node-1"
#define BUNDLE_TEXT "attestry-node-keys-1"
#define HEAD_TEXT   "attestry-audit-head-1"
#define FILE_MAX_   8192
#define SIG_LEN	    64

/* ---- signatures: text | name | 0 | what ---------------------------------------------------- */

static enum rc digest_of(struct ca_crypt *x, const char *text, const char *name, const void *what,
	size_t len, uint8_t out[CA_SHA256_LEN])
{
	size_t cap = strlen(text) + strlen(name) + 2 + len;
	uint8_t *buf = malloc(cap);
	struct put p = put_init(buf, cap);
	enum rc rc = buf ? RC_OK : RC_NOMEM;

	if (rc == RC_OK) {
		put_bytes(&p, text, strlen(text) + 1);
		put_bytes(&p, name, strlen(name) + 1);
		put_bytes(&p, what, len);
		rc = put_ok(&p) ? ca_sha256(x, buf, p.len, out) : RC_INTERNAL;
	}
	free(buf);
	return rc;
}

static enum rc sign(const struct ca_key *key, const char *text, const char *name, const void *what,
	size_t len, uint8_t sig[SIG_LEN], struct diag *d)
{
	uint8_t digest[CA_SHA256_LEN];
	struct ca_crypt *x = NULL;
	enum rc rc = ca_crypt_new(&x, d);

	if (rc == RC_OK)
		rc = digest_of(x, text, name, what, len, digest);
	if (rc == RC_OK)
		rc = ca_sign_raw(x, key, digest, sig);
	ca_crypt_free(x);
	return rc;
}

/* r||s as the DER that ca_verify takes (RFC 3279 section 2.2.3). */
static size_t raw_to_der(const uint8_t sig[SIG_LEN], uint8_t der[CA_SIG_DER_MAX])
{
	uint8_t body[CA_SIG_DER_MAX];
	struct put p = put_init(body, sizeof(body));
	struct put out = put_init(der, CA_SIG_DER_MAX);

	for (int i = 0; i < 2; i++) {
		const uint8_t *v = sig + (size_t)i * 32;
		size_t n = 32;

		while (n > 1 && v[0] == 0) {
			v++;
			n--;
		}
		put_u8(&p, 0x02);
		put_u8(&p, (uint8_t)(n + (v[0] >> 7)));
		if (v[0] >> 7)
			put_u8(&p, 0);
		put_bytes(&p, v, n);
	}
	put_u8(&out, 0x30);
	put_u8(&out, (uint8_t)p.len);
	put_bytes(&out, body, p.len);
	return put_ok(&p) && put_ok(&out) ? out.len : 0;
}

static enum rc verify(const uint8_t point[CA_POINT_LEN], const char *text, const char *name,
	const void *what, size_t len, const uint8_t *sig, size_t sig_len)
{
	uint8_t digest[CA_SHA256_LEN], der[CA_SIG_DER_MAX];
	struct ca_crypt *x = NULL;
	size_t n = sig_len == SIG_LEN ? raw_to_der(sig, der) : 0;
	enum rc rc = n ? ca_crypt_new(&x, NULL) : RC_SIGNATURE;

	if (rc == RC_OK)
		rc = digest_of(x, text, name, what, len, digest);
	if (rc == RC_OK)
		rc = ca_verify(x, point, digest, der, n);
	ca_crypt_free(x);
	return rc;
}

enum rc ca_node_prove(const struct ca_key *party, const char *name,
	const uint8_t point[CA_POINT_LEN], uint8_t proof[CA_NODE_PROOF_LEN], struct diag *d)
{
	return sign(party, PROOF_TEXT, name, point, CA_POINT_LEN, proof, d);
}

enum rc ca_node_check(const uint8_t party[CA_POINT_LEN], const char *name,
	const uint8_t point[CA_POINT_LEN], const uint8_t *proof, size_t proof_len, struct diag *d)
{
	enum rc rc = verify(party, PROOF_TEXT, name, point, CA_POINT_LEN, proof, proof_len);

	return rc == RC_OK ? rc
			   : diag_set(d, RC_SIGNATURE,
				     "node %s: its key was not vouched for by this registry", name);
}

static void head_bytes(uint64_t seq, const uint8_t hash[CA_SHA256_LEN], uint8_t out[40])
{
	struct put p = put_init(out, 40);

	put_u64(&p, seq);
	put_bytes(&p, hash, CA_SHA256_LEN);
}

enum rc ca_node_sign_head(const struct ca_key *node_key, const char *name, uint64_t seq,
	const uint8_t hash[CA_SHA256_LEN], uint8_t sig[64], struct diag *d)
{
	uint8_t what[40];

	head_bytes(seq, hash, what);
	return sign(node_key, HEAD_TEXT, name, what, sizeof(what), sig, d);
}

enum rc ca_node_check_head(const uint8_t point[CA_POINT_LEN], const char *name, uint64_t seq,
	const uint8_t hash[CA_SHA256_LEN], const uint8_t *sig, size_t sig_len)
{
	uint8_t what[40];

	head_bytes(seq, hash, what);
	return verify(point, HEAD_TEXT, name, what, sizeof(what), sig, sig_len);
}

/* ---- which files ---------------------------------------------------------------------------- */

static bool ends_with(const char *name, const char *end)
{
	size_t n = strlen(name), m = strlen(end);

	return n > m && strcmp(name + n - m, end) == 0;
}

static bool is_zone_key(const char *name)
{
	return (strncmp(name, "ksk", 3) == 0 || strncmp(name, "zsk", 3) == 0) &&
	       ends_with(name, ".key");
}

static bool belongs(const char *name, enum ca_bundle_what what)
{
	if (strlen(name) > 31 || name[0] == '.' ||
		strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-.") != strlen(name))
		return false;
	if (is_zone_key(name) || strcmp(name, "zone-keys") == 0)
		return true;
	return what == CA_BUNDLE_ALL && ends_with(name, ".key") &&
	       strcmp(name, CA_NODE_KEY_FILE) != 0;
}

/* version (8) | count (1) | each: name length (1), name, length (2), bytes */
static enum rc put_file(struct put *p, const char *folder, const char *name, struct diag *d)
{
	struct secret bytes = { 0 };
	char path[PATH_MAX];
	enum rc rc = str_format(path, sizeof(path), "%s/%s", folder, name);

	if (rc == RC_OK)
		rc = secret_read_file(&bytes, path, FILE_MAX_);
	if (rc == RC_OK) {
		put_u8(p, (uint8_t)strlen(name));
		put_bytes(p, name, strlen(name));
		put_u16(p, (uint16_t)bytes.len);
		put_bytes(p, bytes.bytes, bytes.len);
		rc = put_ok(p) ? RC_OK : RC_TOO_LARGE;
	}
	secret_free(&bytes);
	return rc == RC_OK ? rc : diag_set(d, rc, "%s: %s", path, rc_text(rc));
}

static enum rc gather(const char *folder, enum ca_bundle_what what, uint64_t version, struct put *p,
	struct diag *d)
{
	DIR *dir = opendir(folder);
	struct dirent *e;
	uint8_t *count;
	enum rc rc = RC_OK;

	if (!dir)
		return diag_errno(d, RC_IO, "%s", folder);
	put_u64(p, version);
	count = p->buf + p->len;
	put_u8(p, 0);
	while (rc == RC_OK && (e = readdir(dir))) {
		if (!belongs(e->d_name, what))
			continue;
		rc = *count == CA_BUNDLE_FILES
			     ? diag_set(d, RC_TOO_LARGE, "%s: too many keys", folder)
			     : put_file(p, folder, e->d_name, d);
		(*count)++;
	}
	closedir(dir);
	return rc;
}

enum rc ca_bundle_seal(const char *folder, enum ca_bundle_what what, uint64_t version,
	const struct ca_key *party, const char *node, const uint8_t point[CA_POINT_LEN],
	uint8_t **out, size_t *len, struct diag *d)
{
	struct secret plain = { 0 };
	uint8_t *buf = malloc(CA_SEAL_PLAIN_MAX + CA_SEAL_OVERHEAD + SIG_LEN);
	struct put p;
	size_t n = 0;
	enum rc rc = buf ? secret_new(&plain, CA_SEAL_PLAIN_MAX) : RC_NOMEM;

	if (rc == RC_OK) {
		p = put_init(plain.bytes, plain.len);
		rc = gather(folder, what, version, &p, d);
	}
	if (rc == RC_OK)
		rc = ca_seal(point, plain.bytes, p.len, buf, &n, d);
	if (rc == RC_OK)
		rc = sign(party, BUNDLE_TEXT, node, buf, n, buf + n, d);
	secret_free(&plain);
	if (rc != RC_OK) {
		free(buf);
		return rc;
	}
	*out = buf;
	*len = n + SIG_LEN;
	return RC_OK;
}

/* ---- taking --------------------------------------------------------------------------------- */

enum rc ca_bundle_parse(const uint8_t *plain, size_t len, enum ca_bundle_what what,
	uint64_t *version, struct ca_bundle_file files[CA_BUNDLE_FILES], size_t *count)
{
	struct cur c = cur_init(plain, len);
	uint64_t v = cur_u64(&c);
	uint8_t n = cur_u8(&c);

	if (n > CA_BUNDLE_FILES)
		return RC_MALFORMED;
	for (uint8_t i = 0; i < n; i++) {
		struct ca_bundle_file *f = &files[i];
		size_t name_len = cur_u8(&c);
		const uint8_t *name = cur_bytes(&c, name_len);

		if (c.bad || name_len >= sizeof(f->name) || memchr(name, 0, name_len))
			return RC_MALFORMED;
		memcpy(f->name, name, name_len);
		f->name[name_len] = '\0';
		f->len = cur_u16(&c);
		f->bytes = cur_bytes(&c, f->len);
		if (c.bad || !belongs(f->name, what))
			return RC_MALFORMED;
	}
	if (!cur_done(&c))
		return RC_MALFORMED;
	*version = v;
	*count = n;
	return RC_OK;
}

static bool named(const struct ca_bundle_file *files, size_t count, const char *name)
{
	for (size_t i = 0; i < count; i++)
		if (strcmp(files[i].name, name) == 0)
			return true;
	return false;
}

static enum rc write_file(const char *folder, const struct ca_bundle_file *f, struct diag *d)
{
	char path[PATH_MAX];
	enum rc rc = str_format(path, sizeof(path), "%s/%s", folder, f->name);

	return rc == RC_OK ? file_write_atomic(path, f->bytes, f->len, 0600, d) : rc;
}

/* Keys that came to their end elsewhere. */
static void remove_others(const char *folder, const struct ca_bundle_file *files, size_t count)
{
	DIR *dir = opendir(folder);
	struct dirent *e;

	while (dir && (e = readdir(dir)))
		if (is_zone_key(e->d_name) && !named(files, count, e->d_name))
			(void)unlinkat(dirfd(dir), e->d_name, 0);
	if (dir)
		closedir(dir);
}

/* The file that names the others last: until then the old set is whole. */
static enum rc write_all(
	const char *folder, const struct ca_bundle_file *files, size_t count, struct diag *d)
{
	enum rc rc = RC_OK;

	for (size_t i = 0; rc == RC_OK && i < count; i++)
		if (strcmp(files[i].name, "zone-keys") != 0)
			rc = write_file(folder, &files[i], d);
	for (size_t i = 0; rc == RC_OK && i < count; i++)
		if (strcmp(files[i].name, "zone-keys") == 0)
			rc = write_file(folder, &files[i], d);
	if (rc == RC_OK)
		remove_others(folder, files, count);
	return rc;
}

enum rc ca_bundle_open(const char *folder, enum ca_bundle_what what, const struct ca_key *node_key,
	const uint8_t party[CA_POINT_LEN], const char *node, uint64_t least, const uint8_t *bytes,
	size_t len, uint64_t *version, struct diag *d)
{
	struct ca_bundle_file files[CA_BUNDLE_FILES];
	struct secret plain = { 0 };
	size_t count = 0;
	enum rc rc = RC_MALFORMED;

	if (len < CA_SEAL_OVERHEAD + SIG_LEN)
		return diag_set(d, rc, "keys for node %s: too short", node);
	rc = verify(party, BUNDLE_TEXT, node, bytes, len - SIG_LEN, bytes + len - SIG_LEN, SIG_LEN);
	if (rc != RC_OK)
		return diag_set(d, RC_SIGNATURE,
			"keys for node %s: not sealed by a node of this registry", node);
	rc = ca_open(node_key, bytes, len - SIG_LEN, &plain, d);
	if (rc == RC_OK)
		rc = ca_bundle_parse(plain.bytes, plain.len, what, version, files, &count);
	if (rc == RC_MALFORMED)
		diag_set(d, rc, "keys for node %s: not such a bundle", node);
	if (rc == RC_OK && *version < least)
		rc = diag_set(d, RC_STATE, "keys for node %s: older than its own", node);
	if (rc == RC_OK)
		rc = write_all(folder, files, count, d);
	secret_free(&plain);
	return rc;
}
