/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stddef.h>
#include <stdint.h>

/* Every target defines this; it returns 0. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
