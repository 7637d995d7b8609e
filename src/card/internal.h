/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What the files of card/ share: the store behind the applet, its objects and keys. */

#include "base/tlv.h"
#include "card/card.h"
#include "ota/concat.h"
#include "ota/remote.h"

#include <openssl/evp.h>

#define CARD__POINT_LEN	  65 /* 04 X Y */
#define CARD__SCALAR_LEN  32
#define CARD__DIGEST_LEN  32
#define CARD__SIG_LEN	  64  /* r || s */
#define CARD__SIG_MAX	  256 /* RSA-2048 */
#define CARD__PUBLIC_MAX  280 /* the public key object of RSA-2048 has 273 */
#define CARD__SPKI_LEN	  91  /* SubjectPublicKeyInfo of a P-256 key */
#define CARD__CSR_MAX	  800 /* the largest (attested, 64-octet name) has 590 */
#define CARD__LABEL_MAX	  40
#define CARD__PRIVATE_MAX 1400 /* RSAPrivateKey of 2048 bits has 1,193 at most */
#define CARD__SEAL_IV	  12
#define CARD__SEAL_TAG	  16
#define CARD__SEAL_OVER	  (CARD__SEAL_IV + CARD__SEAL_TAG)

/* The number of an object within its slot, formats.md section 1. */
enum card__n {
	N_SIGN = 0x1,
	N_DEVICE_CERT = 0x2,
	N_ASP_CERT = 0x3,
	N_EPHEMERAL = 0x4,
	N_PEER = 0x5,
	N_ROOT = 0x6,
	N_ISSUING = 0x7,
	N_ENDPOINT = 0x8,
	N_ENDPOINT_SIG = 0x9,
	N_ASP_SIG = 0xa,
	N_AGREEMENT = 0xb,
	N_SIGNER = 0xc,
	N_PAYLOAD = 0xd,
	N_ATTESTATION = 0xf1, /* card level: the ids themselves */
	N_ATTESTATION_CERT = 0xf2,
	N_REGISTRY = 0xf3,
	N_EXTRA_P256 = 0xa0, /* kinds of further containers: on disk, so they keep their numbers */
	N_EXTRA_BRAINPOOL = 0xa1,
	N_EXTRA_RSA = 0xa2,
	N_EXTRA_P256_VOLATILE = 0xa3,
	N_EXTRA_BRAINPOOL_VOLATILE = 0xa4,
	N_EXTRA_PEER = 0xa5,
	N_EXTRA_PEER_BRAINPOOL = 0xa6,
	N_EXTRA_PEER_RSA = 0xa7,
	N_EXTRA_SECRET = 0xa8,
	N_EXTRA_FILE = 0xa9,
};

/* What a key container holds. The values are on disk. */
enum card__alg {
	ALG_P256 = 0,
	ALG_BRAINPOOL = 1, /* brainpoolP256r1 */
	ALG_RSA = 2,	   /* 2048 bits */
	ALG_SECRET = 3,	   /* bytes for key derivation */
};

/* What a container is for: the row of `n` in the one table of objects.c. Rows with a name are of
 * containers beyond the registry's, which a card gets at personalisation. */
struct card__kind {
	uint8_t n;
	const char *name;
	bool is_file;
	bool has_private;
	bool is_secret;
	enum card__alg alg;
	uint16_t hashes;      /* tag 91 */
	bool device_may_use;  /* private operations through APDUs */
	bool device_may_make; /* GENERATE KEY PAIR or PUT PUBLIC KEY */
	bool persistent;
	bool wiped;	   /* by WIPE SLOT */
	uint8_t functions; /* tag 61 */
	uint8_t usage;	   /* tag 21 of a file */
	const char *label; /* of the file or the private key; the slot's number is added */
	const char *public_label;
};

/* A key container that holds something. */
struct card__key {
	enum card__alg alg;
	EVP_PKEY *pkey;	      /* owned; public half only in a peer container; NULL of a secret */
	struct secret secret; /* of ALG_SECRET */
	bool blocked;
	uint8_t point[CARD__POINT_LEN]; /* of the curves */
};

/* A digest, of whichever hash. */
struct card__digest {
	const EVP_MD *md;
	uint8_t bytes[EVP_MAX_MD_SIZE];
	size_t len;
};

struct card__file {
	uint8_t *bytes; /* owned */
	size_t len;
};

/* The one open remote write: a shadow copy that readers do not see. */
struct card__write {
	bool open;
	uint8_t id;
	uint8_t sha256[CARD__DIGEST_LEN];
	struct card__file shadow;
};

/* All that one packet can change, and all that is on disk. */
struct card__state {
	uint64_t counter;   /* of the last SCP80 packet accepted */
	uint16_t slots;	    /* bit s: slot s exists */
	uint8_t extra[256]; /* 0, or the n of the kind that this further container is of */
	struct card__key *keys[256];
	struct card__file files[256]; /* bytes NULL: empty */
	struct card__file transfer;
	struct card__write write;
};

struct card {
	uint8_t iccid[IDENT_ICCID_LEN];
	char name[IDENT_ICCID_TEXT]; /* the ICCID's text, for the log */
	char imsi[16];
	bool bare;
	bool has_eid;
	uint8_t eid[IDENT_EID_LEN];
	struct secret secrets; /* the three keys below, on one page */
	uint8_t *kic, *kid;    /* key_len each */
	uint8_t *seal;	       /* CARD_SEAL_KEY_LEN: of this card */
	size_t key_len;
	unsigned kvn;
	char *state_path;
	struct card_quirks quirks;
	struct card_aid aids[CARD_AIDS_MAX];
	size_t aid_count;
	struct card_name names[CARD_NAMES_MAX];
	size_t name_count;
	const struct clock *clock;
	const struct log *log;
	struct card__state state;
	struct concat_join join;
	uint64_t join_ms; /* of the last part */
};

/* A card with no applet, no ICCID and no keys. */
enum rc card__bare(const struct card_quirks *quirks, const struct clock *clock,
	struct card **out) ATT_MUST_CHECK;

/* objects.c: containers */
/* The kind of the container with this id, when its slot exists (or it is of the card). */
const struct card__kind *card__container(const struct card *card, uint8_t id);
unsigned card__slot_of(uint8_t id); /* 0: of the card */
uint8_t card__id(unsigned slot, uint8_t n);
bool card__slot_exists(const struct card *card, unsigned slot);
void card__label(
	const struct card__kind *kind, uint8_t id, bool is_public, char out[CARD__LABEL_MAX]);
/* Whether the kind is of what a tag's low nibble names: 3 file, 4 private, 5 public, 6 secret key.
 */
bool card__kind_is(const struct card__kind *kind, uint8_t type);
const struct card__kind *card__kind_named(const char *name); /* NULL: none */
/* How readers name an object, and the object so named (RC_NOT_FOUND); `tag` is 83 to 86. */
void card__id_put(struct put *p, const struct card *card, uint8_t tag, uint8_t id);
enum rc card__by_id(
	const struct card *card, uint8_t tag, struct cur name, uint8_t *id) ATT_MUST_CHECK;
/* The object with this label: RC_NOT_FOUND. `what` is the label's tag, 73 to 76. */
enum rc card__by_label(
	const struct card *card, uint8_t what, struct cur label, uint8_t *id) ATT_MUST_CHECK;

/* state.c */
void card__state_wipe(struct card__state *state);
enum rc card__state_write(const struct card *card, struct put *p) ATT_MUST_CHECK;
enum rc card__state_parse(const struct card *card, const uint8_t *bytes, size_t len,
	struct card__state *out) ATT_MUST_CHECK;
/* Back to what is on disk: what could not be made durable must not show either. */
void card__roll_back(struct card *card);
enum rc card__load(struct card *card, bool *blank, struct diag *d) ATT_MUST_CHECK;
void card__key_drop(struct card__state *state, uint8_t id);
void card__file_drop(struct card__file *file);
/* Replaces the file's bytes with a copy. RC_NOMEM. */
enum rc card__file_set(struct card__file *file, const void *bytes, size_t len) ATT_MUST_CHECK;
/* Bytes in all files, shadow and transfer buffer. */
size_t card__used(const struct card__state *state);

/* The private keys alone, as they are before sealing. */
enum rc card__keys_write(const struct card *card, struct put *p) ATT_MUST_CHECK;
enum rc card__keys_parse(struct cur bytes, struct card__state *s) ATT_MUST_CHECK;

/* seal.c */
enum rc card__seal_derive(const uint8_t master[CARD_SEAL_KEY_LEN],
	const uint8_t iccid[IDENT_ICCID_LEN], uint8_t out[CARD_SEAL_KEY_LEN]) ATT_MUST_CHECK;
/* `out`: CARD__SEAL_OVER bytes more than `plain`. */
enum rc card__seal(const struct card *card, const uint8_t *aad, size_t aad_len,
	const uint8_t *plain, size_t len, uint8_t *out) ATT_MUST_CHECK;
/* `sealed` has at least CARD__SEAL_OVER bytes, `out` room for the others. RC_SIGNATURE: another
 * key, or changed bytes. */
enum rc card__unseal(const struct card *card, const uint8_t *aad, size_t aad_len, struct cur sealed,
	uint8_t *out) ATT_MUST_CHECK;

/* keys.c: a key in its container replaces the one before. */
enum rc card__key_generate(
	struct card__state *state, uint8_t id, enum card__alg alg) ATT_MUST_CHECK;
/* From what card__key_private gave; RC_MALFORMED, RC_UNSUPPORTED. */
enum rc card__key_from_private(struct card__state *state, uint8_t id, enum card__alg alg,
	const uint8_t *bytes, size_t len) ATT_MUST_CHECK;
enum rc card__key_from_pem(struct card__state *state, uint8_t id, enum card__alg alg,
	const void *pem, size_t len) ATT_MUST_CHECK;
enum rc card__key_from_point(struct card__state *state, uint8_t id, enum card__alg alg,
	const uint8_t point[CARD__POINT_LEN]) ATT_MUST_CHECK;
enum rc card__key_from_rsa(struct card__state *state, uint8_t id, struct cur modulus,
	struct cur exponent) ATT_MUST_CHECK;
enum rc card__key_from_secret(
	struct card__state *state, uint8_t id, const void *bytes, size_t len) ATT_MUST_CHECK;
/* The private part: a scalar of 32 bytes, an RSAPrivateKey in DER, the secret itself. */
enum rc card__key_private(const struct card__key *key, struct put *out) ATT_MUST_CHECK;
/* ECDSA over 32 bytes, r || s: what requests and attestations need. */
enum rc card__key_sign_digest(const struct card__key *key, const uint8_t digest[CARD__DIGEST_LEN],
	uint8_t sig[CARD__SIG_LEN]) ATT_MUST_CHECK;
/* `algorithm` as in tag 92: 01 PKCS#1 v1.5, 02 PSS (salt as long as the digest), 04 ECDSA. */
enum rc card__key_sign(const struct card__key *key, uint8_t algorithm,
	const struct card__digest *digest, struct put *sig) ATT_MUST_CHECK;
bool card__key_verifies(const struct card__key *key, uint8_t algorithm,
	const struct card__digest *digest, const uint8_t *sig, size_t len);
enum rc card__key_agree(const struct card__key *key, const struct card__key *peer,
	uint8_t out[CARD__SCALAR_LEN]) ATT_MUST_CHECK;
/* 34 { 49 { 86 point } }, or 34 { 49 { 81 modulus, 82 exponent } }: the public key object. */
enum rc card__key_public_write(const struct card__key *key, struct put *out) ATT_MUST_CHECK;
enum rc card__key_public_read(struct card__state *state, uint8_t id, enum card__alg alg,
	struct cur object) ATT_MUST_CHECK;
void card__key_spki(const struct card__key *key, uint8_t out[CARD__SPKI_LEN]);
enum rc card__sha256(const void *bytes, size_t len, uint8_t out[CARD__DIGEST_LEN]) ATT_MUST_CHECK;

/* csr.c: PKCS#10 by the slot's key, with the B key and, where F1 exists, the attestation. */
enum rc card__csr_write(const struct card *card, unsigned slot, struct cur owner_name,
	const uint8_t nonce[REMOTE_NONCE_LEN], struct put *out) ATT_MUST_CHECK;

/* remote.c: carries out one remote command on the state in memory. */
uint16_t card__remote(void *card, const struct remote_command *cmd, struct put *data);
