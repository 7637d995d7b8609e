/* SPDX-License-Identifier: Apache-2.0 */
#include "card/internal.h"

#include "base/str.h"

#include <string.h>

#define GENERAL	    0x01
#define CERTIFICATE 0x02
#define SHA256_ONLY 0x0001
#define ALL_HASHES  0x0007

#define FILE_ROW(number, what, goes, text)                                           \
	{                                                                            \
		.n = (number), .is_file = true, .persistent = true, .wiped = (goes), \
		.usage = (what), .label = (text)                                     \
	}

/* A further container: generated, or put, by the device. */
#define PAIR_ROW(number, text, kind, stays, what, private_text, public_text)           \
	{                                                                              \
		.n = (number), .name = (text), .has_private = true, .alg = (kind),     \
		.hashes = ALL_HASHES, .device_may_use = true, .device_may_make = true, \
		.persistent = (stays), .functions = (what), .label = (private_text),   \
		.public_label = (public_text)                                          \
	}
#define PEER_ROW(number, text, kind, what, public_text)                               \
	{                                                                             \
		.n = (number), .name = (text), .alg = (kind), .hashes = ALL_HASHES,   \
		.device_may_use = true, .device_may_make = true, .functions = (what), \
		.public_label = (public_text)                                         \
	}

/* Functions of a key, tag 61: 01 signature, 02 generation, 04 agreement, 08 derivation. */
static const struct card__kind kinds[] = {
	{ .n = N_SIGN,
		.has_private = true,
		.hashes = SHA256_ONLY,
		.device_may_use = true,
		.persistent = true,
		.wiped = true,
		.functions = 0x01,
		.label = "client key",
		.public_label = "client public key" },
	FILE_ROW(N_DEVICE_CERT, CERTIFICATE, true, "client certificate"),
	FILE_ROW(N_ASP_CERT, CERTIFICATE, true, "ASP certificate"),
	{ .n = N_EPHEMERAL,
		.has_private = true,
		.hashes = SHA256_ONLY,
		.device_may_use = true,
		.device_may_make = true,
		.wiped = true,
		.functions = 0x06,
		.label = "ephemeral key",
		.public_label = "ephemeral public key" },
	{ .n = N_PEER,
		.hashes = SHA256_ONLY,
		.device_may_use = true,
		.device_may_make = true,
		.wiped = true,
		.functions = 0x05,
		.public_label = "peer public key" },
	FILE_ROW(N_ROOT, CERTIFICATE, false, "registry root"),
	FILE_ROW(N_ISSUING, CERTIFICATE, false, "issuing CA"),
	FILE_ROW(N_ENDPOINT, GENERAL, true, "endpoint"),
	FILE_ROW(N_ENDPOINT_SIG, GENERAL, true, "endpoint signature"),
	FILE_ROW(N_ASP_SIG, GENERAL, true, "ASP signature"),
	{ .n = N_AGREEMENT,
		.has_private = true,
		.hashes = SHA256_ONLY,
		.device_may_use = true,
		.persistent = true,
		.wiped = true,
		.functions = 0x04,
		.label = "agreement key",
		.public_label = "agreement public key" },
	FILE_ROW(N_SIGNER, CERTIFICATE, false, "payload signer"),
	FILE_ROW(N_PAYLOAD, GENERAL, true, "registry payload"),
	/* A device that could sign with this key could attest what it liked. */
	{ .n = N_ATTESTATION,
		.has_private = true,
		.hashes = SHA256_ONLY,
		.persistent = true,
		.functions = 0x01,
		.label = "attestation key",
		.public_label = "attestation public key" },
	FILE_ROW(N_ATTESTATION_CERT, CERTIFICATE, false, "attestation certificate"),
	FILE_ROW(N_REGISTRY, GENERAL, false, "registry profile"),
	PAIR_ROW(N_EXTRA_P256, "p256", ALG_P256, true, 0x07, "P-256 key", "P-256 public key"),
	PAIR_ROW(N_EXTRA_BRAINPOOL, "brainpool", ALG_BRAINPOOL, true, 0x07, "brainpool key",
		"brainpool public key"),
	PAIR_ROW(N_EXTRA_RSA, "rsa", ALG_RSA, true, 0x03, "RSA key", "RSA public key"),
	PAIR_ROW(N_EXTRA_P256_VOLATILE, "p256-volatile", ALG_P256, false, 0x07,
		"volatile P-256 key", "volatile P-256 public key"),
	PAIR_ROW(N_EXTRA_BRAINPOOL_VOLATILE, "brainpool-volatile", ALG_BRAINPOOL, false, 0x07,
		"volatile brainpool key", "volatile brainpool pub. key"),
	PEER_ROW(N_EXTRA_PEER, "peer-p256", ALG_P256, 0x05, "P-256 peer"),
	PEER_ROW(N_EXTRA_PEER_BRAINPOOL, "peer-brainpool", ALG_BRAINPOOL, 0x05, "brainpool peer"),
	PEER_ROW(N_EXTRA_PEER_RSA, "peer-rsa", ALG_RSA, 0x01, "RSA peer"),
	{ .n = N_EXTRA_SECRET,
		.name = "secret",
		.is_secret = true,
		.alg = ALG_SECRET,
		.device_may_use = true,
		.persistent = true,
		.functions = 0x08,
		.label = "secret key" },
	{ .n = N_EXTRA_FILE,
		.name = "file",
		.is_file = true,
		.persistent = true,
		.usage = GENERAL,
		.label = "file" },
};

static const struct card__kind *kind_of(uint8_t n)
{
	for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
		if (kinds[i].n == n)
			return &kinds[i];
	return NULL;
}

const struct card__kind *card__kind_named(const char *name)
{
	for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
		if (kinds[i].name && strcmp(kinds[i].name, name) == 0)
			return &kinds[i];
	return NULL;
}

bool card__kind_is(const struct card__kind *kind, uint8_t type)
{
	switch (type) {
	case 3: return kind->is_file;
	case 4: return kind->has_private;
	case 5: return !kind->is_file && !kind->is_secret;
	case 6: return kind->is_secret;
	default: return false;
	}
}

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

	if (id >= CARD_EXTRA_MIN && id <= CARD_EXTRA_MAX)
		return card->state.extra[id] ? kind_of(card->state.extra[id]) : NULL;
	if (slot == 0 ? id < 0xf0 : !card__slot_exists(card, slot))
		return NULL;
	return kind_of(n);
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
	if (kind->name)
		rc = str_format(out, CARD__LABEL_MAX, "%s %02x", text, id);
	else if (slot == 0)
		rc = str_copy(out, CARD__LABEL_MAX, text);
	else
		rc = str_format(out, CARD__LABEL_MAX, "%s %u", text, slot);
	if (rc != RC_OK)
		out[0] = '\0';
}

static const struct card_name *name_of(const struct card *card, uint8_t tag, uint8_t id)
{
	for (size_t i = 0; i < card->name_count; i++)
		if (card->names[i].tag == tag && card->names[i].container == id)
			return &card->names[i];
	return NULL;
}

void card__id_put(struct put *p, const struct card *card, uint8_t tag, uint8_t id)
{
	const struct card_name *name = name_of(card, tag, id);

	if (name)
		tlv_put(p, tag, name->bytes, name->len);
	else
		tlv_put(p, tag, &id, 1);
}

/* Ids are matched whole: one that is longer, or shorter, is the id of something else. */
enum rc card__by_id(const struct card *card, uint8_t tag, struct cur name, uint8_t *id)
{
	const struct card__kind *kind;
	uint8_t found = 0;

	for (size_t i = 0; i < card->name_count && !found; i++) {
		const struct card_name *n = &card->names[i];

		if (n->tag == tag && n->len == name.left && memcmp(n->bytes, name.at, n->len) == 0)
			found = n->container;
	}
	if (!found && name.left == 1 && !name_of(card, tag, name.at[0]))
		found = name.at[0];
	kind = found ? card__container(card, found) : NULL;
	if (!kind || !card__kind_is(kind, tag & 0xf))
		return RC_NOT_FOUND;
	*id = found;
	return RC_OK;
}

enum rc card__by_label(const struct card *card, uint8_t what, struct cur label, uint8_t *id)
{
	for (unsigned i = 1; i < 256; i++) {
		const struct card__kind *kind = card__container(card, (uint8_t)i);
		char text[CARD__LABEL_MAX];

		if (!kind || !card__kind_is(kind, what & 0xf))
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
