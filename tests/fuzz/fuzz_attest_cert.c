/* SPDX-License-Identifier: Apache-2.0 */
#include "asp/internal.h"
#include "fuzz.h"

#include <stdlib.h>
#include <string.h>

/* Whatever is accepted has a name in the zone, with an ICCID or an opaque label, in its canonical
 * form. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct asp_cert cert;
	char again[IDENT_OWNER_TEXT];
	struct diag d;

	if (asp__cert_read(data, size, "iotregistry.example", &cert, &d) != RC_OK)
		return 0;
	if (asp__owner_name(cert.name, "iotregistry.example", again) != RC_OK ||
		strcmp(again, cert.name) != 0)
		abort();
	return 0;
}
