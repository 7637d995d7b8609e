/* SPDX-License-Identifier: Apache-2.0 */
#include "fixture.h"
#include "base/str.h"
#include "ca/csr.h"

#include <ftw.h>
#include <openssl/pem.h>
#include <openssl/x509_vfy.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

int fixture_setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	struct diag d = { 0 };
	char keys[128], ca[128];

	assert_non_null(f);
	assert_rc(RC_OK, str_copy(f->folder, sizeof(f->folder), "/tmp/test-ca-XXXXXX"));
	assert_non_null(mkdtemp(f->folder));
	assert_rc(RC_OK, str_format(f->dir, sizeof(f->dir), "%s/registry", f->folder));
	struct ca_init_params p = { .dir = f->dir, .zone = TEST_ZONE, .now = TEST_NOW };
	if (ca_init(&p, &f->result, &d) != RC_OK)
		fail_msg("%s", d.text);
	assert_rc(RC_OK, ca_crypt_new(&f->x, &d));
	assert_rc(RC_OK, str_format(keys, sizeof(keys), "%s/keys", f->dir));
	assert_rc(RC_OK, str_format(ca, sizeof(ca), "%s/ca", f->dir));
	if (ca_keyring_load(&f->ring, f->x, keys, ca, TEST_ZONE, &d) != RC_OK)
		fail_msg("%s", d.text);
	*state = f;
	return 0;
}

static int remove_entry(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

int fixture_teardown(void **state)
{
	struct fixture *f = *state;

	ca_keyring_free(&f->ring);
	ca_crypt_free(f->x);
	(void)nftw(f->folder, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
	free(f);
	return 0;
}

void fixture_csr(struct fixture *f, const char *name, struct ca_key *key, uint8_t *csr, size_t *len)
{
	struct ca_key own = { 0 };
	struct diag d;

	assert_rc(RC_OK, ca_key_new(&own, &d));
	assert_rc(RC_OK, ca_csr_write(f->x, &own, name, NULL, csr, len, &d));
	if (key)
		*key = own;
	else
		ca_key_free(&own);
}

struct ca_device_order fixture_order(const uint8_t *csr, size_t len)
{
	return (struct ca_device_order){
		.csr = csr,
		.csr_len = len,
		.owner_name = TEST_NAME,
		.asp = "parkoserv",
		.service = "meters",
		.eid = "89049032123451234512345678901235",
		.not_before = TEST_NOW - 3600,
		.not_after = TEST_NOW + 90 * TEST_DAY,
	};
}

X509 *fixture_x509(const uint8_t *der, size_t len)
{
	const uint8_t *at = der;
	X509 *x = d2i_X509(NULL, &at, (long)len);

	assert_non_null(x);
	assert_ptr_equal(at, der + len);
	return x;
}

X509 *fixture_pem(const struct fixture *f, const char *name)
{
	char path[160];

	assert_rc(RC_OK, str_format(path, sizeof(path), "%s/%s", f->dir, name));
	FILE *file = fopen(path, "r");
	assert_non_null(file);
	X509 *x = PEM_read_X509(file, NULL, NULL, NULL);
	fclose(file);
	assert_non_null(x);
	return x;
}

int fixture_verify(X509 *leaf, X509 *intermediate, X509 *anchor, int64_t when)
{
	X509_STORE *store = X509_STORE_new();
	X509_STORE_CTX *ctx = X509_STORE_CTX_new();
	STACK_OF(X509) *chain = sk_X509_new_null();

	assert_true(store && ctx && chain);
	X509_STORE_add_cert(store, anchor);
	if (intermediate)
		sk_X509_push(chain, intermediate);
	X509_STORE_CTX_init(ctx, store, leaf, chain);
	X509_STORE_CTX_set_time(ctx, 0, (time_t)when);
	X509_STORE_CTX_set_flags(ctx, X509_V_FLAG_X509_STRICT | X509_V_FLAG_CHECK_SS_SIGNATURE);
	int ok = X509_verify_cert(ctx);
	sk_X509_free(chain);
	X509_STORE_CTX_free(ctx);
	X509_STORE_free(store);
	return ok;
}
