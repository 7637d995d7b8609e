/* SPDX-License-Identifier: Apache-2.0 */
/* A card's state as it might lie on a damaged disk, sealed under a key of zeros, and what is under
 * the seal: refused, or taken and written back alike. */
#include "card/internal.h"
#include "fuzz.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static uint8_t again[1u << 17];
	static uint8_t seal[CARD_SEAL_KEY_LEN];
	static struct card card;
	struct put p = put_init(again, sizeof(again));

	memcpy(card.iccid, "\x98\x21\x32\x20\x00\x30\x01\x01\x00\xf8", sizeof(card.iccid));
	card.seal = seal;
	if (card__keys_parse(cur_init(data, size), &card.state) == RC_OK && size == 0)
		abort();
	card__state_wipe(&card.state);
	if (card__state_parse(&card, data, size, &card.state) != RC_OK)
		return 0;
	if (card__state_write(&card, &p) == RC_OK && p.len > size)
		abort();
	card__state_wipe(&card.state);
	return 0;
}
