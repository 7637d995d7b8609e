/* SPDX-License-Identifier: Apache-2.0 */
/* A frame of the registry's EPP server, as the operator's gateway reads it: whatever it says, a job
 * of it is one that the gateway's reader of jobs survives. */
#include "fuzz.h"
#include "mno/epp.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct mno__epp_answer a = { 0 };
	struct mno_task *t = NULL;
	struct xml *x = NULL;
	struct diag d = { 0 };

	if (xml_new(&x, 1) != RC_OK)
		abort();
	if (mno__epp_read(x, (const char *)data, size, &a, &d) == RC_OK) {
		if (a.code < 1000 || a.code > 2999 || !memchr(a.text, 0, sizeof(a.text)))
			abort();
		if (a.job && mno__task_new(a.job, &t, &d) == RC_OK)
			mno__task_free(t);
		json_decref(a.job);
	}
	xml_free(x);
	return 0;
}
