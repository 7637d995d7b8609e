/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Between the files of the PKCS#11 module only. A card is a slot, the applet on it the token; keys
 * and certificates are its objects. Nothing is written to the card except the peer's public key of
 * a key agreement, no PIN exists, and a private key has no value that could be read.
 *
 * One lock is held in every call (p11__enter): a card does one thing at a time, and no object can
 * go away under a caller's feet. */

#include "iotsafe.h"

#include <openssl/evp.h>
#include <p11-kit/pkcs11.h>
#include <stdbool.h>
#include <stdint.h>

#define P11_TOKENS_MAX	 8
#define P11_SESSIONS_MAX 1024
/* Of a card: nine slots of 14 keys and files hold fewer. Of a key there are two objects. */
#define P11_CARD_MAX	512
#define P11_OBJECTS_MAX 1024
#define P11_CERT_MAX	4096
#define P11_POINT_LEN	(IOTSAFE_POINT_LEN + 2) /* DER OCTET STRING */
#define P11_SPKI_LEN	91
/* What is known of a card is asked for again after this: a certificate may come over the air. */
#define P11_RELOAD_MS 30000
/* A card that is not there, or was there a moment ago, is not asked again at once. */
#define P11_PROBE_MS 1000

struct p11_bytes {
	uint8_t *at; /* owned; NULL: none */
	size_t len;
};

struct p11_id {
	uint8_t at[IOTSAFE_ID_MAX + 1]; /* one more: see token.c, join */
	size_t len;
};

struct p11_object {
	struct p11_object *next;
	CK_OBJECT_HANDLE handle;
	CK_OBJECT_CLASS class;
	CK_SESSION_HANDLE session; /* that made it; 0: on the token */
	struct p11_id container;   /* on the card */
	struct p11_id id;	   /* CKA_ID, the same for key pair and certificate */
	char label[IOTSAFE_LABEL_MAX];
	bool can_sign, can_derive;
	bool is_ca;
	bool is_of_key;			    /* a certificate whose key is on the card */
	uint8_t point[P11_POINT_LEN];	    /* keys: CKA_EC_POINT */
	uint8_t spki[P11_SPKI_LEN];	    /* keys, and certificates of P-256 */
	struct p11_bytes value;		    /* certificate: DER */
	struct p11_bytes subject;	    /* also of a key that has a certificate */
	struct p11_bytes issuer;	    /* certificate */
	struct p11_bytes serial;	    /* certificate: DER INTEGER */
	size_t file_size;		    /* data: as the card stated it */
	uint8_t secret[IOTSAFE_SECRET_LEN]; /* derived key; wiped in free */
	size_t secret_len;
};

struct p11_token {
	char card[256];		 /* how iotsafe_open wants it */
	struct iotsafe *iotsafe; /* NULL: not there */
	char iccid[IOTSAFE_ICCID_TEXT];
	struct p11_object *objects;
	struct p11_id peer; /* a container that takes a peer's key; len 0: none is listed */
	bool loaded;
	uint64_t loaded_ms;
	uint64_t probed_ms; /* 0: never */
	bool logged_in;
};

enum p11_operation { P11_IDLE, P11_SIGN, P11_VERIFY };

struct p11_session {
	struct p11_session *next;
	CK_SESSION_HANDLE handle;
	struct p11_token *token;
	CK_FLAGS flags;
	bool finding;
	CK_OBJECT_HANDLE *found; /* P11_OBJECTS_MAX of them while finding */
	size_t found_len, found_at;
	enum p11_operation operation;
	CK_OBJECT_HANDLE key;
	EVP_MD_CTX *md; /* NULL: the caller hashes */
	uint8_t data[EVP_MAX_MD_SIZE];
	size_t data_len;
};

struct p11 {
	OSSL_LIB_CTX *libctx; /* our own: the program's may be set up to come back to us */
	struct p11_token tokens[P11_TOKENS_MAX];
	size_t tokens_len;
	struct p11_session *sessions;
	size_t sessions_len;
	CK_ULONG next_handle; /* of sessions and objects; never given out twice */
};

/* Takes the lock; NULL (and no lock) before C_Initialize, after C_Finalize, and in a child that
 * has not called C_Initialize itself. */
struct p11 *p11__enter(void);
/* Gives the lock back; returns `rv`. */
CK_RV p11__leave(CK_RV rv);

static inline struct iotsafe_id p11__container(const struct p11_object *o)
{
	return (struct iotsafe_id){ o->container.at, o->container.len };
}

/* token.c: the card is there, and is the same as before; CKR_TOKEN_NOT_PRESENT otherwise. */
CK_RV p11__token_probe(struct p11 *p, struct p11_token *t);
/* Its objects, read when never read or read too long ago. */
CK_RV p11__token_load(struct p11 *p, struct p11_token *t);
/* The card went away: sessions and objects go too. */
void p11__token_gone(struct p11 *p, struct p11_token *t);
/* What a failed call on the card means; on a lost card the token is gone. */
CK_RV p11__error(struct p11 *p, struct p11_token *t, enum iotsafe_error e);
struct p11_token *p11__token(struct p11 *p, CK_SLOT_ID slot);
CK_SLOT_ID p11__slot_of(const struct p11 *p, const struct p11_token *t);

/* session.c */
struct p11_session *p11__session(struct p11 *p, CK_SESSION_HANDLE handle);
void p11__sessions_close(struct p11 *p, const struct p11_token *t);
void p11__operation_end(struct p11_session *s);

/* object.c: the object of this handle that the session may see, or NULL. */
struct p11_object *p11__object(const struct p11_session *s, CK_OBJECT_HANDLE handle);
void p11__objects_free(struct p11_object *list);
/* Frees the session objects of one session. */
void p11__objects_of_session(struct p11_token *t, CK_SESSION_HANDLE handle);

/* attribute.c: a value, borrowed from the object or standing in `own`. */
struct p11_value {
	const void *at;
	CK_ULONG len;
	union {
		CK_BBOOL flag;
		CK_ULONG number;
		CK_MECHANISM_TYPE list[4];
	} own;
};
/* CKR_OK, CKR_ATTRIBUTE_SENSITIVE, CKR_ATTRIBUTE_TYPE_INVALID. `v` must stay where it is. */
CK_RV p11__attribute(const struct p11_object *o, CK_ATTRIBUTE_TYPE type, struct p11_value *v);
bool p11__matches(const struct p11_object *o, const CK_ATTRIBUTE *templ, CK_ULONG count);

/* mechanism.c */
struct p11_mechanism {
	CK_MECHANISM_TYPE type;
	CK_FLAGS flags;
	const char *digest; /* NULL: the caller hashes */
};
const struct p11_mechanism *p11__mechanism(CK_MECHANISM_TYPE type);
