/* SPDX-License-Identifier: Apache-2.0 */
#include "card/sealkey.h"

#include "base/file.h"
#include "base/str.h"
#include "card/card.h"

#include <limits.h>
#include <linux/keyctl.h>
#include <openssl/rand.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define KEYRING "keyring:"

static enum rc from_keyring(const char *name, struct secret *out, struct diag *d)
{
	long id = syscall(SYS_request_key, "user", name, NULL, 0);
	struct secret s = { 0 };
	enum rc rc;

	if (id < 0)
		return diag_errno(d, RC_NOT_FOUND, "keyring:%s", name);
	rc = secret_new(&s, CARD_SEAL_KEY_LEN);
	if (rc != RC_OK)
		return rc;
	if (syscall(SYS_keyctl, KEYCTL_READ, id, s.bytes, s.len) != CARD_SEAL_KEY_LEN) {
		secret_free(&s);
		return diag_set(d, RC_RANGE, "keyring:%s: not a readable key of %d bytes", name,
			CARD_SEAL_KEY_LEN);
	}
	*out = s;
	return RC_OK;
}

static enum rc from_file(const char *path, struct secret *out, struct diag *d)
{
	enum rc rc = secret_read_file(out, path, CARD_SEAL_KEY_LEN);

	if (rc == RC_OK && out->len != CARD_SEAL_KEY_LEN) {
		secret_free(out);
		rc = RC_RANGE;
	}
	if (rc == RC_DENIED)
		return diag_set(d, rc, "%s: a key that others can read (chmod 600)", path);
	if (rc == RC_RANGE || rc == RC_TOO_LARGE)
		return diag_set(d, rc, "%s: not a key of %d bytes", path, CARD_SEAL_KEY_LEN);
	if (rc != RC_OK)
		return diag_set(d, rc, "%s: %s", path, rc_text(rc));
	return RC_OK;
}

static enum rc make_file(const char *path, struct diag *d)
{
	uint8_t key[CARD_SEAL_KEY_LEN];
	enum rc rc = RC_CRYPTO;

	if (RAND_bytes(key, sizeof(key)) == 1)
		rc = file_write_atomic(path, key, sizeof(key), 0600, d);
	mem_wipe(key, sizeof(key));
	return rc;
}

enum rc sealkey_open(const char *source, const char *state_dir, struct secret *out, struct diag *d)
{
	char path[PATH_MAX];
	enum rc rc;

	if (source && strncmp(source, KEYRING, strlen(KEYRING)) == 0)
		return from_keyring(source + strlen(KEYRING), out, d);
	if (source)
		return from_file(source, out, d);
	rc = str_format(path, sizeof(path), "%s.seal", state_dir);
	if (rc == RC_OK && access(path, F_OK) != 0)
		rc = make_file(path, d);
	return rc == RC_OK ? from_file(path, out, d) : rc;
}
