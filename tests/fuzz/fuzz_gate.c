/* SPDX-License-Identifier: Apache-2.0 */
#include "fuzz.h"

#include "asp/gate.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	size_t head = gate_head_len(data, size);
	struct gate_request r;

	if (gate_request_parse(data, head ? head : size, &r) == RC_OK &&
		(head == 0 || r.path[0] != '/' || r.der_len > sizeof(r.der)))
		abort();
	return 0;
}
