/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What iotsafe.h and iotsafe_core.h have in common. Needs only what a freestanding compiler
 * brings with it. */

#include <stddef.h>

enum iotsafe_error {
	IOTSAFE_OK = 0,
	IOTSAFE_EINVAL,	   /* an argument is wrong */
	IOTSAFE_ENOCARD,   /* no modem, no card, or it went away */
	IOTSAFE_ETIMEOUT,  /* modem or card did not answer in time */
	IOTSAFE_EPROTO,	   /* the answer makes no sense */
	IOTSAFE_ENOTFOUND, /* no applet, no such object */
	IOTSAFE_EDENIED,   /* the card refuses: a blocked or empty key, an unreadable file */
	IOTSAFE_ECARD,	   /* the card refuses for another reason */
	IOTSAFE_ETOOLARGE, /* the caller's buffer is too small, or an object larger than allowed */
	IOTSAFE_ECRYPTO,   /* OpenSSL refused */
	IOTSAFE_ENOMEM,
};

#define IOTSAFE_LABEL_MAX  61 /* 60 bytes and NUL */
#define IOTSAFE_ID_MAX	   20
#define IOTSAFE_AID_MAX	   16
#define IOTSAFE_POINT_LEN  65 /* 04 | x | y */
#define IOTSAFE_DIGEST_LEN 32
#define IOTSAFE_SIG_LEN	   64 /* r | s */
#define IOTSAFE_SECRET_LEN 32 /* the x coordinate that ECDH gives */
#define IOTSAFE_FILE_MAX   65535
#define IOTSAFE_APPLET_MAX 32 /* bytes of an applet's identifier */
#define IOTSAFE_SLOTS_MAX  9

enum iotsafe_type {
	IOTSAFE_PRIVATE_KEY = 0xc1,
	IOTSAFE_PUBLIC_KEY = 0xc2,
	IOTSAFE_FILE = 0xc3,
	IOTSAFE_SECRET_KEY = 0xc4,
};

/* What the card says of one object (IoT.05 v1: GET DATA). Fields that it did not send are 0. */
struct iotsafe_object {
	enum iotsafe_type type;
	unsigned char id[IOTSAFE_ID_MAX];
	size_t id_len;
	char label[IOTSAFE_LABEL_MAX]; /* control characters replaced */
	unsigned char access;	       /* 01 read, 02 update */
	unsigned char state;	       /* 01 activated or filled */
	unsigned char key_type;	       /* 13 P-256 persistent, 14 volatile ... */
	unsigned char usage;	       /* of a key, or of a file (02: X.509) */
	unsigned char functions;       /* 01 sign, 02 generate, 04 agree, 08 derive */
	size_t size;		       /* of a file */
};

/* What the applet says of itself (IoT.05 v1: GET DATA). What it did not send is 0. */
struct iotsafe_applet {
	unsigned char version; /* 10: 1.0 */
	unsigned char identifier[IOTSAFE_APPLET_MAX];
	size_t identifier_len;
	unsigned char files, private_keys, public_keys, secret_keys; /* the most that it holds */
	unsigned char sessions;
	unsigned char functions;   /* as of an object */
	unsigned short hashes;	   /* 01 SHA-256, 02 SHA-384, 04 SHA-512 */
	unsigned char signatures;  /* 01 RSA PKCS#1 v1.5, 02 RSA-PSS, 04 ECDSA */
	unsigned char agreements;  /* 01 ECDH */
	unsigned char derivations; /* 01 TLS 1.2 PRF, 02 HKDF */
};

/* What a profile's slot holds of the registry's objects. Provisioned: all three. */
struct iotsafe_slot {
	unsigned number;	   /* 1..9 */
	unsigned char key;	   /* 0 none, 1 not active (blocked, or not made yet), 2 active */
	unsigned char certificate; /* 1: there is one */
	unsigned char payload;
};

/* A container's name on the card: bytes as they are, mostly one. */
struct iotsafe_id {
	const unsigned char *at;
	size_t len; /* 1..IOTSAFE_ID_MAX */
};
