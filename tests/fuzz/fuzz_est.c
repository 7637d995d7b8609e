/* SPDX-License-Identifier: Apache-2.0 */
/* EST bodies. What is taken is what OpenSSL reads in it, and reads again alike. */
#include "fuzz.h"
#include "http/est.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char zone[] = "iotregistry.example";
	struct enrol_csr csr, again;
	struct est_fault f;
	struct diag d;

	if (!est_read("application/pkcs10", data, size, zone, &csr, &f)) {
		if (f.status < 400 || !f.why.text[0])
			abort();
		return 0;
	}
	if (csr.len > ENROL_CSR_MAX || !csr.name[0] ||
		enrol_csr_read(csr.der, csr.len, zone, &again, &d) != RC_OK ||
		strcmp(csr.name, again.name) != 0)
		abort();
	return 0;
}
