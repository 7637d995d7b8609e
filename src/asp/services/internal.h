/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Inside asp/services/: a login, and what its services share. `enum rc` ends
 * here; the outside sees attest_services.h. */

#include "attest_services.h"
#include "base/diag.h"
#include "base/rc.h"
#include "client/client.h"
#include "dane/dane.h"

#include <openssl/x509.h>
#include <stdbool.h>

struct attest_registry {
	struct client *client;
};

#define SVC_FILE_MAX 65536

/* login.c */
/* For the outside: the code, and the sentence where there is memory for it. */
enum attest_error svc__error(enum rc rc, const struct diag *d, char *error) ATT_MUST_CHECK;
/* One request; takes the body. RC_DENIED with the registry's words for what is not 2xx (and
 * RC_NOT_FOUND for 404); *status (may be NULL) tells 202 from 200. */
enum rc svc__call(struct attest_registry *r, const char *method, const char *path,
	json_t *take_body, json_t **out, int *status, struct diag *d) ATT_MUST_CHECK;
/* "/v1/<what>/<value><end>" for a value that is a name, handle or number. RC_MALFORMED. */
enum rc svc__path(char out[256], const char *what, const char *value, const char *end,
	struct diag *d) ATT_MUST_CHECK;
/* The text of a member, "" without one. Borrowed. */
const char *svc__text(const json_t *object, const char *member);
void svc__copy(char *out, size_t cap, const char *text);

/* What a memory BIO holds, as text (free()); NULL: nothing, or no memory. */
char *svc__bio_text(BIO *bio) ATT_MUST_CHECK;

/* key.c: P-256 keys, certificates and requests of the provider's own. */
enum rc svc__key_load(const char *path, EVP_PKEY **out, struct diag *d) ATT_MUST_CHECK;
/* RC_EXISTS: there is one. */
enum rc svc__key_make(const char *path, EVP_PKEY **out, struct diag *d) ATT_MUST_CHECK;
enum rc svc__key_pin(EVP_PKEY *key, uint8_t sha256[32]) ATT_MUST_CHECK;
enum rc svc__self_signed(
	EVP_PKEY *key, const char *fqdn, unsigned days, char **pem, struct diag *d) ATT_MUST_CHECK;
enum rc svc__request(
	EVP_PKEY *key, const char *fqdn, uint8_t **der, size_t *len, struct diag *d) ATT_MUST_CHECK;
/* notAfter of the first certificate of a PEM file, and whether it is for the key. */
enum rc svc__cert_look(
	const char *path, EVP_PKEY *key, int64_t *not_after, struct diag *d) ATT_MUST_CHECK;

/* est.c */
enum rc svc__est(const struct attest_ca *ca, const uint8_t *csr, size_t csr_len, bool renew,
	char **pem, struct diag *d) ATT_MUST_CHECK;
/* A certs-only PKCS#7 in base64 (RFC 7030 section 4.2.3): the certificate of `key` and then its
 * chain, up to one of `roots`, as PEM. RC_MALFORMED, RC_AUTH. */
enum rc svc__est_answer(const char *text, size_t len, EVP_PKEY *key, STACK_OF(X509) * roots,
	char **pem, struct diag *d) ATT_MUST_CHECK;
/* The certificates of such an answer. */
enum rc svc__est_certs(
	const char *text, size_t len, STACK_OF(X509) * *out, struct diag *d) ATT_MUST_CHECK;

/* anchors.c: RFC 5011, without network, files or clock. */
enum svc_anchor_state { SVC_PENDING, SVC_VALID, SVC_MISSING, SVC_REVOKED, SVC_STATES };
struct svc_anchor {
	struct dane_anchor ds; /* SHA-256, of the key without its REVOKE bit */
	enum svc_anchor_state state;
	int64_t since;
};
#define SVC_ANCHORS_MAX 16
struct svc_anchors {
	struct svc_anchor list[SVC_ANCHORS_MAX];
	size_t n;
};
extern const char *const svc__state_words[SVC_STATES];
/* What a zone's DNSKEY set showed at `now`. Returns whether the anchors that count are others. */
bool svc__anchors_follow(struct svc_anchors *a, const struct dane_keyset *seen, int64_t now,
	uint32_t add_s, uint32_t remove_s);
/* Valid or missing: believed. */
bool svc__anchor_counts(const struct svc_anchor *a);

/* update.c: the signed text. */
#define SVC_CAS_MAX	  8
#define SVC_RESOLVERS_MAX 4
struct svc_der {
	uint8_t *bytes; /* owned by the update's arena of text: see svc__update_free */
	size_t len;
};
struct svc_update {
	char zone[DANE_NAME_MAX];
	uint64_t serial;
	int64_t expires;
	struct svc_der roots[SVC_CAS_MAX], cas[SVC_CAS_MAX];
	size_t n_roots, n_cas;
	struct dane_anchor anchors[DANE_ANCHORS_MAX];
	size_t n_anchors;
	char resolvers[SVC_RESOLVERS_MAX][512]; /* "ADDR PORT NAME PIN[,PIN]" */
	size_t n_resolvers;
	size_t signed_len; /* of the text, which every signature covers */
};
/* RC_MALFORMED with the line's number. Nothing is verified. */
enum rc svc__update_read(
	const char *text, size_t len, struct svc_update *out, struct diag *d) ATT_MUST_CHECK;
void svc__update_free(struct svc_update *u);
/* One of the signatures is by one of these certificates' keys. RC_SIGNATURE. */
enum rc svc__update_verify(const char *text, size_t len, const struct svc_update *u,
	STACK_OF(X509) * roots, struct diag *d) ATT_MUST_CHECK;
/* "ADDR PORT NAME PIN[,PIN]" into a resolver. */
enum rc svc__resolver_read(
	const char *line, struct dane_resolver *out, struct diag *d) ATT_MUST_CHECK;

/* trust.c */
struct attest_trust {
	char dir[2048];
	char zone[DANE_NAME_MAX]; /* "": empty store */
	uint64_t serial;
	struct svc_anchors anchors;
};
/* A file of the folder. */
enum rc svc__trust_write(const struct attest_trust *t, const char *file, const char *text,
	struct diag *d) ATT_MUST_CHECK;
/* All of an update into the folder. */
enum rc svc__trust_apply(
	struct attest_trust *t, const struct svc_update *u, struct diag *d) ATT_MUST_CHECK;
