/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* A registry of zone iot.example in a temporary folder, made by ca_init and loaded, and helpers to
 * make requests and to ask OpenSSL what it thinks of a certificate. */

#include "../unit.h"
#include "ca/init.h"
#include "ca/keyring.h"

#include <openssl/x509.h>

#define TEST_ZONE "iot.example"
#define TEST_NAME "1.8912230200031010008f.iot.example"
#define TEST_NOW  INT64_C(1795539600) /* 2026-11-24T17:00:00Z */
#define TEST_DAY  INT64_C(86400)

struct fixture {
	char folder[64]; /* the parent, removed in the end */
	char dir[96];	 /* the registry's folder */
	struct ca_crypt *x;
	struct ca_keyring ring;
	struct ca_init_result result;
};

/* For cmocka_unit_test_setup_teardown and groups; *state is a struct fixture. */
int fixture_setup(void **state);
int fixture_teardown(void **state);

/* A CSR for `name` by a fresh key, which goes to *key when it is not NULL. */
void fixture_csr(
	struct fixture *f, const char *name, struct ca_key *key, uint8_t *csr, size_t *len);
struct ca_device_order fixture_order(const uint8_t *csr, size_t len);

/* OpenSSL's view. */
X509 *fixture_x509(const uint8_t *der, size_t len);
X509 *fixture_pem(const struct fixture *f, const char *name);
/* Whether the chain holds at `when` under `anchor` with X509_V_FLAG_X509_STRICT. */
int fixture_verify(X509 *leaf, X509 *intermediate, X509 *anchor, int64_t when);
