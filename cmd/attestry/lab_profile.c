/* SPDX-License-Identifier: Apache-2.0 */
/* What the operator writes on a SIM before it is used: the registry profile (card file F3). */
#include "lab.h"
#include "base/file.h"
#include "base/str.h"
#include "payload/payload.h"

#include <stdio.h>
#include <string.h>

#define PROFILE_MAX 1024
#define DIGEST_MAX  64

/* "zone. [TTL] IN DS tag algorithm digest-type HEX" */
static enum rc read_ds(
	const char *ds, struct payload_anchor *anchor, uint8_t digest[DIGEST_MAX], struct diag *d)
{
	unsigned tag, alg, type;
	char hex[2 * DIGEST_MAX + 1];
	const char *at = strstr(ds, " DS ");
	size_t len;

	if (!at || sscanf(at, " DS %u %u %u %128[0-9A-Fa-f]", &tag, &alg, &type, hex) != 4 ||
		tag > UINT16_MAX || alg > UINT8_MAX || type > UINT8_MAX ||
		hex_read_upto(hex, digest, DIGEST_MAX, &len) != RC_OK)
		return diag_set(d, RC_MALFORMED, "trust anchor is not a DS line: %s", ds);
	anchor->tag = (uint16_t)tag;
	anchor->alg = (uint8_t)alg;
	anchor->digest_type = (uint8_t)type;
	anchor->digest = (struct payload_bytes){ .at = digest, .len = len };
	return RC_OK;
}

enum rc lab_write_registry_profile(const struct lab *lab, const char *ds, struct diag *d)
{
	static const uint8_t loopback[] = { 127, 0, 0, 1 };
	uint8_t digest[DIGEST_MAX], pin[32], buf[PROFILE_MAX];
	char path[PATH_MAX];
	size_t pin_len;
	struct put out = put_init(buf, sizeof(buf));
	struct payload p = {
		.zone = payload_text(lab->zone), .anchors_len = 1, .resolvers_len = 1
	};
	enum rc rc = read_ds(ds, &p.anchors[0], digest, d);

	if (rc == RC_OK)
		rc = b64_read(
			lab->resolver_pin, strlen(lab->resolver_pin), pin, sizeof(pin), &pin_len);
	if (rc != RC_OK)
		return rc;
	p.anchors[0].name = payload_text(lab->zone);
	p.resolvers[0] = (struct payload_resolver){
		.name = payload_text("localhost"),
		.addr = { .at = loopback, .len = sizeof(loopback) },
		.port = (uint16_t)lab->resolver,
		.pins_len = 1,
		.pins = { pin },
	};
	rc = payload_profile_write(&p, &out, d);
	if (rc == RC_OK)
		rc = lab_path(lab, path, "sims/registry-profile.cbor");
	return rc == RC_OK ? file_write_atomic(path, buf, out.len, 0644, d) : rc;
}
