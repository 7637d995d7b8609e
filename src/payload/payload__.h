/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Between the files of payload/ only. */

#include "base/cbor.h"
#include "payload/payload.h"

/* Map keys, formats.md section 2. */
enum {
	KEY_VERSION = 1,
	KEY_SEQUENCE = 2,
	KEY_ISSUED = 3,
	KEY_EXPIRES = 4,
	KEY_ICCID = 5,
	KEY_EID = 6,
	KEY_SLOT = 7,
	KEY_STATUS = 8,
	KEY_ZONE = 9,
	KEY_ANCHORS = 10,
	KEY_CAS = 11,
	KEY_RESOLVERS = 12,
	KEY_SERVICE = 13,
	KEY_WIFI = 14,
	KEY_TD = 15,
	KEY_SIGNERS = 16,
	KEY_CERT = 17
};

#define PAYLOAD_VERSION 1

/* Zone, anchors and resolvers: what payload and registry profile share. */
enum rc payload__check_profile(const struct payload *p, struct diag *d) ATT_MUST_CHECK;
