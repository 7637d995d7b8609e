/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What a provider's server middleware does beside judging devices, under the
 * names that GSMA IoT.04 gives its services: card provisioning, credential
 * establishment and management, trust store, CA certificate request. Every
 * call blocks; a login belongs to one thread at a time. Private keys are made
 * and stay in files of mode 0600; nothing prints them. */

#include "attest.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Every function may be given memory for a sentence about what went wrong; NULL is fine. */
#define ATTEST_ERROR char error[ATTEST_TEXT_MAX]

/* ---- the login ------------------------------------------------------------------------------ */

struct attest_login {
	const char *url;       /* the registry's API, "https://host:port" */
	const char *ca_file;   /* PEM: whom to trust as its server */
	const char *cert_file; /* PEM: the provider's login */
	const char *key_file;  /* PEM, readable by nobody else */
};

struct attest_registry;
/* Connects at the first call. */
enum attest_error attest_registry_new(
	const struct attest_login *login, struct attest_registry **out, ATTEST_ERROR);
void attest_registry_free(struct attest_registry *registry);

/* ---- card provisioning service -------------------------------------------------------------- */

#define ATTEST_WORD_MAX 32

/* What is known of the applet's slot. `name` everywhere is `<slot>.<iccid>`, with or without zone.
 */
struct attest_card {
	char name[ATTEST_NAME_MAX];
	char state[ATTEST_WORD_MAX]; /* of the profile: registered, activated, deactivated */
	int current;	  /* the card has confirmed the certificate and payload that stand */
	int wipe_pending; /* it has not confirmed a block, wipe or destroy */
	int key_proven;	  /* the key was proven to live on the SIM */
	char maker[ATTEST_SERVICE_MAX]; /* who vouches for that */
	unsigned long long payload;	/* sequence of the newest payload */
	char job[ATTEST_WORD_MAX];	/* what the operator is asked for now; "" nothing */
	char job_kind[ATTEST_WORD_MAX];
	char job_state[ATTEST_WORD_MAX];
	char job_reason[ATTEST_TEXT_MAX];
};

enum attest_error attest_card_status(
	struct attest_registry *registry, const char *name, struct attest_card *out, ATTEST_ERROR);
/* Certificate and payload once more, for a card that has not confirmed them. */
enum attest_error attest_card_write(
	struct attest_registry *registry, const char *name, struct attest_card *out, ATTEST_ERROR);
/* Blocks the key on the card and takes the records back; unblock gives both back. */
enum attest_error attest_card_block(
	struct attest_registry *registry, const char *name, struct attest_card *out, ATTEST_ERROR);
enum attest_error attest_card_unblock(
	struct attest_registry *registry, const char *name, struct attest_card *out, ATTEST_ERROR);
/* Destroys the slot's keys and files, and the registration. */
enum attest_error attest_card_wipe(
	struct attest_registry *registry, const char *name, ATTEST_ERROR);

/* ---- credential establishment and management service ---------------------------------------- */

#define ATTEST_CERT_MAX 8192

/* A device's credential: its key lives on the card, its certificate is the registry's. */
struct attest_credential {
	char name[ATTEST_NAME_MAX]; /* complete owner name */
	char service[ATTEST_SERVICE_MAX];
	char state[ATTEST_WORD_MAX]; /* of the profile */
	int pending;	     /* the card makes its key: ask again, or attest_credential_wait */
	int on_card;	     /* the card has confirmed it */
	long long not_after; /* seconds since 1970; 0 without a certificate */
	unsigned char sha256[32];
	unsigned char cert[ATTEST_CERT_MAX]; /* DER */
	size_t cert_len;
};

enum attest_error attest_credential_get(struct attest_registry *registry, const char *name,
	struct attest_credential *out, ATTEST_ERROR);
/* Registers the name where it is not yet, for `service` and with the SIM's `claim` code (NULL: the
 * owner has consented), and has it certified: the card makes its key, unless a CSR (DER) is given,
 * for which the provider is then the registration authority. */
struct attest_issue {
	const char *name;
	const char *service;
	const char *claim;
	const unsigned char *csr;
	size_t csr_len;
};
enum attest_error attest_credential_issue(struct attest_registry *registry,
	const struct attest_issue *issue, struct attest_credential *out, ATTEST_ERROR);
/* Until the card has what stands, `timeout_s` at most (then ATTEST_EUNREACHABLE). */
enum attest_error attest_credential_wait(struct attest_registry *registry, const char *name,
	unsigned timeout_s, struct attest_credential *out, ATTEST_ERROR);
/* A new certificate for the same key. */
enum attest_error attest_credential_renew(struct attest_registry *registry, const char *name,
	struct attest_credential *out, ATTEST_ERROR);
/* A new key: the old one is destroyed on the card, the name registered anew and certified. The
 * device is out until that has ended; `issue` as above, without CSR. */
enum attest_error attest_credential_rotate(struct attest_registry *registry,
	const struct attest_issue *issue, struct attest_credential *out, ATTEST_ERROR);
/* Takes the records back; `for_good` destroys the key and deletes the name. */
enum attest_error attest_credential_revoke(
	struct attest_registry *registry, const char *name, int for_good, ATTEST_ERROR);

/* ---- CA certificate request service --------------------------------------------------------- */

/* A CA that speaks EST (RFC 7030), ours or anybody's. */
struct attest_ca {
	const char *url;     /* "https://host:port", or with a path: ".../.well-known/est/label" */
	const char *ca_file; /* PEM: whom to trust as its server; needed */
	const char *cert_file; /* PEM: our login at the CA, with its key; NULL: none */
	const char *key_file;
	const char *user;	   /* HTTP authentication; NULL: none */
	const char *password_file; /* mode 0600 */
};

/* Sends a request (DER) and gives its certificate and the chain to the CA's root as PEM
 * (free with free()). Checked: the certificate is for the request's key, and its chain ends at a
 * certificate that the CA has named (/cacerts). `renew`: simplereenroll. ATTEST_EUNREACHABLE with
 * "later": the CA wants to look at it first; send the same again. */
enum attest_error attest_ca_request(const struct attest_ca *ca, const unsigned char *csr,
	size_t csr_len, int renew, char **pem, ATTEST_ERROR);

/* ---- the provider's own server credentials -------------------------------------------------- */

/* A folder: server.key, server.pem, and next.key, next.pem while a key is being replaced. */
struct attest_server_options {
	const char *dir;
	unsigned days;		    /* 0: 365; for a certificate that signs itself */
	const struct attest_ca *ca; /* NULL: the certificate signs itself; TLSA 3 1 1 vouches */
	unsigned wait_s; /* before the old key may go; 0: 600; see attest_server_finish */
};

struct attest_server {
	char fqdn[ATTEST_NAME_MAX];
	unsigned port;
	char pin[2 * 32 + 1];  /* SHA-256 of its SubjectPublicKeyInfo: TLSA 3 1 1 */
	char next[2 * 32 + 1]; /* "" unless a key is being replaced */
	int pinned;	       /* the service names it to devices */
	int next_pinned;
	int in_our_zone; /* the registry publishes the TLSA; otherwise it is the provider's to do */
	long long not_after;
	unsigned long long behind; /* live devices that have not confirmed the newest payload */
};

/* Makes key and certificate where there is none, and has the service name the key's pin. */
enum attest_error attest_server_issue(struct attest_registry *registry, const char *service,
	const struct attest_server_options *options, struct attest_server *out, ATTEST_ERROR);
/* A new certificate for the same key: the pin stays. */
enum attest_error attest_server_renew(struct attest_registry *registry, const char *service,
	const struct attest_server_options *options, struct attest_server *out, ATTEST_ERROR);
/* Makes the next key; both pins are named from now on. */
enum attest_error attest_server_rotate(struct attest_registry *registry, const char *service,
	const struct attest_server_options *options, struct attest_server *out, ATTEST_ERROR);
/* The next key takes the place of the old one, whose pin goes: once every live device has confirmed
 * the new pin and wait_s have passed. ATTEST_EREFUSED before. Then restart the server. */
enum attest_error attest_server_finish(struct attest_registry *registry, const char *service,
	const struct attest_server_options *options, struct attest_server *out, ATTEST_ERROR);
/* The key is in wrong hands: the next one (made now if there is none) takes its place at once.
 * Devices cannot connect until they have the new payload. */
enum attest_error attest_server_revoke(struct attest_registry *registry, const char *service,
	const struct attest_server_options *options, struct attest_server *out, ATTEST_ERROR);
enum attest_error attest_server_show(struct attest_registry *registry, const char *service,
	const struct attest_server_options *options, struct attest_server *out, ATTEST_ERROR);

/* ---- trust store service -------------------------------------------------------------------- */

/* A folder: roots.pem, devices.pem (for ca_file), anchors.ds (for anchor_file), resolvers, pins,
 * and trust.json, which holds what each anchor is waiting for. Every file changes atomically. */
struct attest_trust;
enum attest_error attest_trust_open(const char *dir, struct attest_trust **out, ATTEST_ERROR);
void attest_trust_free(struct attest_trust *trust);
/* The beginning: what the registry says over the login's TLS. Refused where there is one already:
 * from then on only signatures change it. */
enum attest_error attest_trust_init(
	struct attest_trust *trust, struct attest_registry *registry, ATTEST_ERROR);
/* A trust update signed by a root that is in the store (doc/provider.md): newer than the last one
 * (ATTEST_EREFUSED) and not expired; replaces roots, CAs, resolvers and anchors. */
enum attest_error attest_trust_update(
	struct attest_trust *trust, const char *text, size_t len, ATTEST_ERROR);

struct attest_5011 {
	unsigned
		add_s; /* a new key is trusted after so long; 0: 30 days (RFC 5011 section 2.4.1) */
	unsigned remove_s;   /* a revoked key is forgotten after; 0: 30 days */
	unsigned timeout_ms; /* 0: 5,000 */
};
/* Looks at the DNSKEY sets of the anchors' zones through the store's resolvers and follows them as
 * RFC 5011 says. *changed: the anchors that count are others now, so whoever uses anchors.ds is to
 * be restarted. `next_s` (may be NULL): look again after so long. */
enum attest_error attest_trust_follow(struct attest_trust *trust, const struct attest_5011 *how,
	int *changed, unsigned *next_s, ATTEST_ERROR);
/* The pins of the provider's own services, as the registry tells devices, into `pins`. */
enum attest_error attest_trust_pins(
	struct attest_trust *trust, struct attest_registry *registry, ATTEST_ERROR);

struct attest_anchor {
	char ds[ATTEST_TEXT_MAX];    /* "zone DS tag algorithm type HEX" */
	char state[ATTEST_WORD_MAX]; /* valid, missing (still trusted); pending, revoked (not) */
	long long since;
};
size_t attest_trust_anchors(
	const struct attest_trust *trust, struct attest_anchor *out, size_t cap);
unsigned long long attest_trust_serial(const struct attest_trust *trust);

#ifdef __cplusplus
}
#endif
