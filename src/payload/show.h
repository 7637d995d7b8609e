/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* A Registry Payload for people and for scripts. Sealed Wi-Fi stays sealed: its length is shown. */

#include "payload/payload.h"

#include <jansson.h>
#include <stdio.h>

/* A new object; NULL without memory. */
json_t *payload_json(const struct payload *p);

/* One field per line. */
void payload_show(const struct payload *p, FILE *out);
