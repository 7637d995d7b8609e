/* SPDX-License-Identifier: Apache-2.0 */
/* An RRset as the zone asks to have it signed: type (2), KSK (1), then length-prefixed (1) owner
 * and rdata. */
#include "base/cur.h"
#include "ca/rrsign.h"
#include "fuzz.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct ca_key ksk, zsk;
	static struct ca_crypt *x;
	static struct ca_zone zone;
	struct ca_bytes rdata[CA_RR_COUNT_MAX];
	struct cur c = cur_init(data, size);
	struct diag d;
	uint8_t sig[64];

	if (!x && (ca_crypt_new(&x, &d) != RC_OK || ca_key_new(&ksk, &d) != RC_OK ||
			  ca_key_new(&zsk, &d) != RC_OK ||
			  ca_zone_init(&zone, "iot.example", &ksk, &zsk, &d) != RC_OK))
		abort();
	struct ca_rrset set = { .type = cur_u16(&c), .rdata = rdata };
	set.ksk = cur_u8(&c) & 1;
	set.owner.len = cur_u8(&c);
	set.owner.at = cur_bytes(&c, set.owner.len);
	set.inception = 1000000;
	set.expiration = 1086400;
	while (!c.bad && c.left > 0 && set.rdata_count < CA_RR_COUNT_MAX) {
		struct ca_bytes *r = &rdata[set.rdata_count];
		r->len = cur_u8(&c);
		r->at = cur_bytes(&c, r->len);
		set.rdata_count += !c.bad;
	}
	if (set.owner.at)
		(void)!ca_rrset_sign(x, &zone, &set, 1000100, sig, &d);
	return 0;
}
