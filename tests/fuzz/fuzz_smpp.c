/* SPDX-License-Identifier: Apache-2.0 */
/* A stream from an SMS centre: every PDU whole, every message inside its body. */
#include "fuzz.h"
#include "ota/smpp.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct cur c = cur_init(data, size);
	struct smpp_message m;
	struct smpp_pdu pdu;
	char id[SMPP_ID_MAX];
	enum smpp_state state;

	while (smpp_read(&c, &pdu) == RC_OK) {
		if (pdu.body.left > SMPP_PDU_MAX - SMPP_HEAD)
			abort();
		if (smpp_message_read(pdu.body, &m) == RC_OK && m.ud.left > pdu.body.left)
			abort();
		if (smpp_message_read(pdu.body, &m) == RC_OK &&
			smpp_receipt_read(&m, id, &state) == RC_OK &&
			(!*id || !memchr(id, 0, sizeof(id)) || state < SMPP_ENROUTE ||
				state > SMPP_REJECTED))
			abort();
		(void)!smpp_submit_resp_read(pdu.body, id);
	}
	return 0;
}
