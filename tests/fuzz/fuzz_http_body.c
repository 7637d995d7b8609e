/* SPDX-License-Identifier: Apache-2.0 */
/* A JSON body on its way to a typed request: the first byte picks the row of the table, what
 * follows is the body. What is accepted must survive the way to core and back into JSON. */
#include "fuzz.h"

#include "http/api.h"
#include "http/wipe.h"

#include <stdlib.h>
#include <string.h>

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

static void check(const Registry__Request *request)
{
	size_t len = protobuf_c_message_get_packed_size(&request->base);
	uint8_t *bytes = malloc(len + 1);
	Registry__Request *again;
	json_t *json = NULL;

	if (!bytes || protobuf_c_message_pack(&request->base, bytes) != len)
		abort();
	again = registry__request__unpack(&wipe_allocator, len, bytes);
	if (!again || again->op_case != request->op_case ||
		reflect_write(&again->base, &json) != RC_OK)
		abort();
	json_decref(json);
	reflect_free(&again->base);
	free(bytes);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const uint8_t spki[32];
	const struct api_seal sealer = { .seal = seal };
	struct api_fault fault;
	Registry__Request *request = NULL;

	if (size < 1)
		return 0;
	const struct api_route *route = &api_routes[data[0] % api_route_count];
	struct api_input in = { .method = route->method,
		.path = route->path, /* "{id}" is as good an identifier as any */
		.content_type = "application/json",
		.body = data + 1,
		.body_len = size - 1,
		.spki_sha256 = spki,
		.peer = "fuzz" };

	if (api_read(route, &in, &sealer, &request, &fault) == RC_OK) {
		check(request);
		reflect_free(&request->base);
	} else {
		size_t len = 0;
		char *text = api_fault_write(fault.code, fault.what.why, fault.what.field, &len);
		if (!text || fault.status < 400)
			abort(); /* a refusal can always be told */
		wipe_free(text);
	}
	return 0;
}
