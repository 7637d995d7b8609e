/* SPDX-License-Identifier: Apache-2.0 */
#include "base/compiler.h"
#include "device/ssl__.h"

/* What OpenSSL looks for in iotsafe.so. */
ATT_PUBLIC OSSL_provider_init_fn OSSL_provider_init;

int OSSL_provider_init(const OSSL_CORE_HANDLE *core, const OSSL_DISPATCH *in,
	const OSSL_DISPATCH **out, void **provctx)
{
	return dev__provider_init(core, in, out, provctx);
}
