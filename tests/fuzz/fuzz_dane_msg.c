/* SPDX-License-Identifier: Apache-2.0 */
#include "dane/internal.h"
#include "fuzz.h"

#include <stdlib.h>

/* The question that the message claims to answer is asked, so that parsing goes on. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct dane_msg msg;
	struct cur c = cur_init(data, size);
	const struct dane_rec *nsecs[4];
	struct dane_name name;
	struct diag d;
	uint16_t id = cur_u16(&c), type;
	size_t n = 0;

	cur_skip(&c, 10);
	if (c.bad)
		return 0;
	dane__name_read(&c, data, size, &name);
	type = cur_u16(&c);
	if (dane__msg_parse(data, size, &name, type, id, &msg, &d) != RC_OK)
		return 0;
	for (size_t i = 0; i < msg.n_recs; i++) {
		struct dane_rr rr = { msg.recs[i].rdata, msg.recs[i].len };
		struct dane_key key;
		struct dane_tlsa tlsa;
		struct dane_sig sig;

		(void)!dane__sig_parse(&msg.recs[i], &sig);
		(void)!dane_tlsa_parse(&rr, &tlsa);
		(void)!dane_cert_match(&rr, (const uint8_t[32]){ 0 });
		if (dane__key_load(rr.rdata, rr.len, &key) == RC_OK)
			EVP_PKEY_free(key.pkey);
		if (msg.recs[i].type == DANE_TYPE_NSEC && n < ARRAY_LEN(nsecs))
			nsecs[n++] = &msg.recs[i];
	}
	if (n > 0)
		(void)!dane__nsec_proves(nsecs, n, &nsecs[0]->owner, &name, type);
	return 0;
}
