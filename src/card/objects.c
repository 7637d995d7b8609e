/* SPDX-License-Identifier: Apache-2.0 */
#include "card/internal.h"

#include "base/str.h"

#include <string.h>

#define FILE_ROW(n, usage, wiped, label)                                         \
	{                                                                        \
		n, true, false, false, false, true, wiped, 0, usage, label, NULL \
	}
#define GENERAL	    0x01
#define CERTIFICATE 0x02

/* Functions of a key, tag 61: 01 signature, 02 generation, 04 agreement. */
static const struct card__kind kinds[] = {
	{ N_SIGN, false, true, true, false, true, true, 0x01, 0, "client key",
		"client public key" },
	FILE_ROW(N_DEVICE_CERT, CERTIFICATE, true, "client certificate"),
	FILE_ROW(N_ASP_CERT, CERTIFICATE, true, "ASP certificate"),
	{ N_EPHEMERAL, false, true, true, true, false, true, 0x06, 0, "ephemeral key",
		"ephemeral public key" },
	{ N_PEER, false, false, true, true, false, true, 0x05, 0, NULL, "peer public key" },
	FILE_ROW(N_ROOT, CERTIFICATE, false, "registry root"),
	FILE_ROW(N_ISSUING, CERTIFICATE, false, "issuing CA"),
	FILE_ROW(N_ENDPOINT, GENERAL, true, "endpoint"),
	FILE_ROW(N_ENDPOINT_SIG, GENERAL, true, "endpoint signature"),
	FILE_ROW(N_ASP_SIG, GENERAL, true, "ASP signature"),
	{ N_AGREEMENT, false, true, true, false, true, true, 0x04, 0, "agreement key",
		"agreement public key" },
	FILE_ROW(N_SIGNER, CERTIFICATE, false, "payload signer"),
	FILE_ROW(N_PAYLOAD, GENERAL, true, "registry payload"),
	/* A device that could sign with this key could attest what it liked. */
	{ N_ATTESTATION, false, true, false, false, true, false, 0x01, 0, "attestation key",
		"attestation public key" },
	FILE_ROW(N_ATTESTATION_CERT, CERTIFICATE, false, "attestation certificate"),
	FILE_ROW(N_REGISTRY, GENERAL, false, "registry profile"),
};

unsigned card__slot_of(uint8_t id)
{
	if (id >= 0x01 && id <= 0x0e)
		return 1;
	if (id >> 4 >= 2 && id >> 4 <= IDENT_SLOT_MAX)
		return id >> 4;
	return 0;
}

uint8_t card__id(unsigned slot, uint8_t n)
{
	return (uint8_t)(slot == 1 ? n : slot << 4 | n);
}

bool card__slot_exists(const struct card *card, unsigned slot)
{
	return slot >= IDENT_SLOT_MIN && slot <= IDENT_SLOT_MAX &&
	       (card->state.slots >> slot & 1u) != 0;
}

const struct card__kind *card__container(const struct card *card, uint8_t id)
{
	unsigned slot = card__slot_of(id);
	uint8_t n = slot == 0 ? id : id & 0xf;

	if (slot == 0 ? id < 0xf0 : !card__slot_exists(card, slot))
		return NULL;
	for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
		if (kinds[i].n == n)
			return &kinds[i];
	return NULL;
}

void card__label(
	const struct card__kind *kind, uint8_t id, bool is_public, char out[CARD__LABEL_MAX])
{
	const char *text = is_public ? kind->public_label : kind->label;
	unsigned slot = card__slot_of(id);
	enum rc rc;

	out[0] = '\0';
	if (!text)
		return;
	if (slot == 0)
		rc = str_copy(out, CARD__LABEL_MAX, text);
	else
		rc = str_format(out, CARD__LABEL_MAX, "%s %u", text, slot);
	if (rc != RC_OK)
		out[0] = '\0';
}

enum rc card__by_label(const struct card *card, uint8_t what, struct cur label, uint8_t *id)
{
	for (unsigned i = 1; i < 256; i++) {
		const struct card__kind *kind = card__container(card, (uint8_t)i);
		char text[CARD__LABEL_MAX];

		if (!kind || kind->is_file != (what == 0x73))
			continue;
		card__label(kind, (uint8_t)i, what == 0x75, text);
		if (text[0] && strlen(text) == label.left &&
			memcmp(text, label.at, label.left) == 0) {
			*id = (uint8_t)i;
			return RC_OK;
		}
	}
	return RC_NOT_FOUND;
}
