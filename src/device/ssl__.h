/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Between libiotsafe and its OpenSSL provider. */

#include "iotsafe.h"

#include <openssl/core.h>
#include <stdbool.h>

/* The provider's entry, for OSSL_PROVIDER_add_builtin and for the loadable module. */
OSSL_provider_init_fn dev__provider_init;

#define DEV_PROVIDER "iotsafe"
/* For EVP_PKEY_fromdata within one process: an open card (octet pointer) and a key's id. */
#define DEV_PARAM_CARD "iotsafe-card"
#define DEV_PARAM_ID   "iotsafe-id"

/* Lets a context of ours answer a server that asks for the owner name (dane_clientid). */
bool dev__clientid(SSL_CTX *ctx);
