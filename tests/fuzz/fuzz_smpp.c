/* SPDX-License-Identifier: Apache-2.0 */
/* A stream from an SMS centre: every PDU whole, every message inside its body. */
#include "fuzz.h"
#include "ota/smpp.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct cur c = cur_init(data, size);
	struct smpp_message m;
	struct smpp_pdu pdu;

	while (smpp_read(&c, &pdu) == RC_OK) {
		if (pdu.body.left > SMPP_PDU_MAX - SMPP_HEAD)
			abort();
		if (smpp_message_read(pdu.body, &m) == RC_OK && m.ud.left > pdu.body.left)
			abort();
	}
	return 0;
}
