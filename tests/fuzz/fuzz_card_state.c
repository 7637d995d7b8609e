/* SPDX-License-Identifier: Apache-2.0 */
/* A card's state as it might lie on a damaged disk: refused, or taken and written back alike. */
#include "card/internal.h"
#include "fuzz.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static uint8_t again[1u << 17];
	static struct card card;
	struct put p = put_init(again, sizeof(again));

	memcpy(card.iccid, "\x98\x21\x32\x20\x00\x30\x01\x01\x00\xf8", sizeof(card.iccid));
	if (card__state_parse(&card, data, size, &card.state) != RC_OK)
		return 0;
	if (card__state_write(&card, &p) == RC_OK && p.len > size)
		abort();
	card__state_wipe(&card.state);
	return 0;
}
