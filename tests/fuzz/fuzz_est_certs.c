/* SPDX-License-Identifier: Apache-2.0 */
#include "fuzz.h"

#include "asp/services/internal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	STACK_OF(X509) *certs = NULL;
	struct diag d = { 0 };

	if (svc__est_certs((const char *)data, size, &certs, &d) == RC_OK)
		sk_X509_pop_free(certs, X509_free);
	return 0;
}
