/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Memory that forgets: what parsers keep of a request (claim codes, transfer
 * codes, passphrases) is zeroed when it is freed, whoever frees it. */

#include <stddef.h>

#include <protobuf-c/protobuf-c.h>

void *wipe_malloc(size_t size);
void wipe_free(void *p);

/* For protobuf-c: hand it to unpack and free_unpacked alike. */
extern ProtobufCAllocator wipe_allocator;

/* Makes jansson use wiping memory from now on, process-wide: call it before the first JSON value
 * exists. */
void wipe_jansson(void);
