/* SPDX-License-Identifier: Apache-2.0 */
/* A whole EPP instance on its way to a typed request, and the answer: whatever comes in, what goes
 * out is well-formed and a request survives the way to core. The first byte says whether the
 * session has logged in. */
#include "fuzz.h"

#include "epp/internal.h"

#include <stdlib.h>
#include <string.h>

static bool ask(void *user, struct epp_session *s, Registry__Request *request)
{
	size_t len = registry__request__get_packed_size(request);
	uint8_t *bytes = malloc(len + 1);
	Registry__Request *again;
	Registry__Reply reply = REGISTRY__REPLY__INIT;

	(void)user;
	if (!bytes || registry__request__pack(request, bytes) != len)
		abort();
	again = registry__request__unpack(NULL, len, bytes);
	if (!again || again->op_case != request->op_case)
		abort();
	registry__request__free_unpacked(again, NULL);
	free(bytes);
	reply.code = len % 2 ? REGISTRY__CODE__CODE_OK : REGISTRY__CODE__CODE_POLICY;
	reply.reason = (char *)(uintptr_t) "because <of> \"this\" & that\x01";
	epp_reply(s, &reply);
	return true;
}

static enum rc seal(
	void *user, const uint8_t *plain, size_t len, uint8_t *out, size_t cap, size_t *out_len)
{
	(void)user;
	if (len > cap)
		return RC_TOO_LARGE;
	memcpy(out, plain, len);
	*out_len = len;
	return RC_OK;
}

static void check(const struct out *sink)
{
	struct xml *x = NULL;
	struct xml_node *root;
	struct xml_fault fault;

	if (sink->bad || !sink->len || xml_new(&x, 7) != RC_OK ||
		xml_read(x, sink->bytes, sink->len, &root, &fault) != RC_OK ||
		strcmp(root->name, "epp") != 0 || !root->first)
		abort();
	xml_free(x);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct epp_server server = { .o = { .limits = { .logins = 3, .clients_per_key = 9 },
					     .handler = { .ask = ask, .seal = seal },
					     .clock = clock_system(),
					     .rng = rng_system(),
					     .server_id = "fuzz" },
		.trid_prefix = "fuzz-" };
	struct out sink = { 0 };
	struct epp_session s = { .server = &server, .state = SESSION_OPEN, .sink = &sink };

	if (size < 1)
		return 0;
	s.logged_in = data[0] & 1;
	s.services = s.logged_in ? (1u << NS_COUNT) - 1 : 0;
	epp__frame(&s, data + 1, size - 1);
	check(&sink);
	out_free(&sink);
	epp__command_free(s.cmd);
	if (server.spare) {
		xml_free(server.spare->xml);
		free(server.spare);
	}
	return 0;
}
