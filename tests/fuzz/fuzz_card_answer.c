/* SPDX-License-Identifier: Apache-2.0 */
#include "device/device__.h"
#include "fuzz.h"

/* Everything that libiotsafe reads from a modem or a card: the first byte chooses the reader. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct iotsafe_object objects[4];
	struct iotsafe_applet applet;
	uint8_t out[DEV_REPLY_MAX];
	char iccid[IOTSAFE_ICCID_TEXT];
	size_t n = 0;

	if (size == 0)
		return 0;
	switch (data[0]) {
	case 'l': (void)iotsafe_core_at_line((const char *)data + 1, size - 1, out, &n); break;
	case 'i': (void)dev__line_iccid((const char *)data + 1, size - 1, iccid); break;
	case 'o': (void)!dev__objects_parse(data + 1, size - 1, objects, 4, &n); break;
	case 'a': (void)!dev__applet_parse(data + 1, size - 1, &applet); break;
	case 's': (void)!dev__signature_parse(data + 1, size - 1, out); break;
	default: (void)!dev__point_parse(data + 1, size - 1, out); break;
	}
	return 0;
}
