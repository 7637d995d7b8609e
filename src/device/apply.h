/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* An accepted payload as files for the programs of a device: what they need to reach the service,
 * the resolver and the Wi-Fi, without reading CBOR. All of one payload or none: the files lie in a
 * folder per payload, and DIR/current is a link that is replaced at once. */

#include "device/self.h"

/* Writes DIR/<sequence>-<hash>/ and points DIR/current at it; what is older goes. The files:
 * service.json, device.pem, ca.pem, anchors.ds (DS records), stubby.yml (the pinned resolvers), and
 * wpa_supplicant.conf (0600) where the payload has a Wi-Fi that opens. RC_MALFORMED: a text that
 * must not stand in a configuration file. */
enum rc apply_write(struct iotsafe *card, const struct self *self, const char *dir,
	struct diag *d) ATT_MUST_CHECK;

/* Removes the link and all that it pointed to: the profile was withdrawn. */
enum rc apply_remove(const char *dir, struct diag *d) ATT_MUST_CHECK;
