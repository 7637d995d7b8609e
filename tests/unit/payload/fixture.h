/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The golden vectors of tests/data/payload/make.py, as files and as the structs they came from. */

#include "../unit.h"
#include "payload/payload.h"

#include <openssl/evp.h>

#define FIXTURE_ISSUED	UINT64_C(1795452000)
#define FIXTURE_EXPIRES (FIXTURE_ISSUED + UINT64_C(90) * 86400)

struct file {
	uint8_t *bytes;
	size_t len;
};

/* tests/data/payload/<name>; free with free(). */
struct file fixture_file(const char *name);
EVP_PKEY *fixture_key(const char *name);

/* `full` needs the Wi-Fi and CA bytes of its file: they are borrowed from `parsed`. */
struct payload fixture_compact(void);
struct payload fixture_full(const struct payload *parsed);
struct payload fixture_withdrawn(void);
