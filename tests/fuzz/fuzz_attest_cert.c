/* SPDX-License-Identifier: Apache-2.0 */
#include "asp/internal.h"
#include "fuzz.h"

#include <stdlib.h>
#include <string.h>

/* Whatever is accepted has a canonical name in the zone. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct ident_owner owner;
	struct asp_cert cert;
	char again[IDENT_OWNER_TEXT];
	struct diag d;

	if (asp__cert_read(data, size, "iotregistry.example", &cert, &d) != RC_OK)
		return 0;
	if (ident_owner_parse(cert.name, "iotregistry.example", &owner) != RC_OK ||
		ident_owner_name(owner.slot, owner.iccid, owner.zone, again) != RC_OK ||
		strcmp(again, cert.name) != 0)
		abort();
	return 0;
}
