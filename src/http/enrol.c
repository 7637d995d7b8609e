/* SPDX-License-Identifier: Apache-2.0 */
#include "http/enrol.h"

#include "http/reflect.h"
#include "http/wipe.h"

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <string.h>

/* ---- the CSR ---------------------------------------------------------------------------- */

static int cn_of(const X509_NAME *name, int after)
{
	return X509_NAME_get_index_by_NID((X509_NAME *)(uintptr_t)name, NID_commonName, after);
}

static enum rc read_name(X509_REQ *req, const char *zone, struct enrol_csr *out, struct diag *d)
{
	const X509_NAME *subject = X509_REQ_get_subject_name(req);
	struct ident_owner owner;
	char cn[IDENT_OWNER_TEXT];
	const ASN1_STRING *value;
	enum rc rc;
	int len, at = cn_of(subject, -1);

	if (at < 0 || cn_of(subject, at) >= 0)
		return diag_set(d, RC_MALFORMED, "csr: subject: not one common name");
	out->bare = X509_NAME_entry_count(subject) == 1;
	value = X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, at));
	len = ASN1_STRING_length(value);
	if (len < 1 || len > IDENT_OWNER_MAX ||
		memchr(ASN1_STRING_get0_data(value), '\0', (size_t)len))
		return diag_set(
			d, RC_MALFORMED, "csr: subject: 1 to %d octets of text", IDENT_OWNER_MAX);
	(void)snprintf(cn, sizeof(cn), "%.*s", len, (const char *)ASN1_STRING_get0_data(value));
	rc = ident_owner_parse(cn, zone, &owner);
	if (rc == RC_NOT_FOUND)
		return diag_set(d, rc, "csr: subject: not a name of the zone %s", zone);
	if (rc != RC_OK)
		return diag_set(
			d, RC_MALFORMED, "csr: subject: not <slot>.<iccid>.<zone> of a SIM");
	(void)snprintf(out->name, sizeof(out->name), "%u.%s", owner.slot, owner.iccid);
	return RC_OK;
}

/* RFC 2986 section 3: the request proves that its maker has the key. */
static enum rc check_key(X509_REQ *req, struct enrol_csr *out, struct diag *d)
{
	EVP_PKEY *key = X509_REQ_get0_pubkey(req);
	char group[32] = "";
	uint8_t *spki = NULL;
	int len;
	bool ok;

	if (!key || EVP_PKEY_get_base_id(key) != EVP_PKEY_EC ||
		EVP_PKEY_get_group_name(key, group, sizeof(group), NULL) != 1 ||
		strcmp(group, SN_X9_62_prime256v1) != 0)
		return diag_set(d, RC_UNSUPPORTED, "csr: the key must be of the curve P-256");
	if (X509_REQ_verify(req, key) != 1)
		return diag_set(d, RC_SIGNATURE, "csr: not signed by its own key");
	len = i2d_X509_PUBKEY(X509_REQ_get_X509_PUBKEY(req), &spki);
	ok = len > 0 && EVP_Digest(spki, (size_t)len, out->spki_sha256, NULL, EVP_sha256(), NULL);
	OPENSSL_free(spki);
	return ok ? RC_OK : RC_NOMEM;
}

enum rc enrol_csr_read(
	const uint8_t *der, size_t len, const char *zone, struct enrol_csr *out, struct diag *d)
{
	const unsigned char *at = der;
	X509_REQ *req;
	enum rc rc;

	if (len > ENROL_CSR_MAX)
		return diag_set(d, RC_TOO_LARGE, "csr: more than %d bytes", ENROL_CSR_MAX);
	req = len ? d2i_X509_REQ(NULL, &at, (long)len) : NULL;
	if (!req || at != der + len)
		rc = diag_set(d, RC_MALFORMED, "csr: not one PKCS#10 request in DER (RFC 2986)");
	else
		rc = read_name(req, zone, out, d);
	if (rc == RC_OK)
		rc = check_key(req, out, d);
	if (rc == RC_OK) {
		memcpy(out->der, der, len);
		out->len = len;
	}
	X509_REQ_free(req);
	ERR_clear_error();
	return rc;
}

/* ---- the typed request ------------------------------------------------------------------ */

bool enrol_is_ra(const X509 *cert)
{
	EXTENDED_KEY_USAGE *eku = X509_get_ext_d2i(cert, NID_ext_key_usage, NULL, NULL);
	bool found = false;

	for (int i = 0; eku && i < sk_ASN1_OBJECT_num(eku); i++)
		found = found || OBJ_obj2nid(sk_ASN1_OBJECT_value(eku, i)) == NID_cmcRA;
	EXTENDED_KEY_USAGE_free(eku);
	ERR_clear_error();
	return found;
}

static bool set_bytes(ProtobufCBinaryData *to, const void *bytes, size_t len)
{
	to->data = wipe_malloc(len);
	if (!to->data)
		return false;
	memcpy(to->data, bytes, len);
	to->len = len;
	return true;
}

static bool set_text(ProtobufCMessage *msg, const char *field, const char *text)
{
	struct reflect_fault unused;

	return reflect_set_text(msg, field, text, &unused) == RC_OK;
}

Registry__Request *enrol_envelope(const struct enrol_client *client)
{
	Registry__Request *q = (Registry__Request *)reflect_new(&registry__request__descriptor);
	uint8_t sha256[ENROL_SPKI_LEN];
	unsigned len = 0;
	bool ok = q && set_bytes(&q->spki_sha256, client->spki_sha256, ENROL_SPKI_LEN) &&
		  set_text(&q->base, "peer", client->peer);

	if (ok && client->device)
		ok = X509_digest(client->cert, EVP_sha256(), sha256, &len) == 1 &&
		     set_bytes(&q->cert_sha256, sha256, sizeof(sha256));
	if (ok)
		return q;
	reflect_free(q ? &q->base : NULL);
	return NULL;
}

static bool fill_result(Registry__Request *q, const struct enrol_csr *csr)
{
	q->job_result = (Registry__JobResult *)reflect_new(&registry__job_result__descriptor);
	if (!q->job_result)
		return false;
	q->op_case = REGISTRY__REQUEST__OP_JOB_RESULT;
	return set_text(&q->job_result->base, "name", csr->name) &&
	       set_text(&q->job_result->base, "status", "ok") &&
	       set_bytes(&q->job_result->csr, csr->der, csr->len);
}

static bool fill_reenrol(Registry__Request *q, const struct enrol_csr *csr)
{
	q->profile_reenrol =
		(Registry__ProfileReenrol *)reflect_new(&registry__profile_reenrol__descriptor);
	if (!q->profile_reenrol)
		return false;
	q->op_case = REGISTRY__REQUEST__OP_PROFILE_REENROL;
	return set_text(&q->profile_reenrol->base, "name", csr->name);
}

/* RFC 7030 section 4.2.2: the request of a renewal has the subject of the certificate. */
static bool same_subject(const struct enrol_client *client, const struct enrol_csr *csr)
{
	const unsigned char *at = csr->der;
	X509_REQ *req = d2i_X509_REQ(NULL, &at, (long)csr->len);
	bool same = req && X509_NAME_cmp(X509_REQ_get_subject_name(req),
				   X509_get_subject_name(client->cert)) == 0;

	X509_REQ_free(req);
	return same;
}

enum rc enrol_request(const struct enrol_client *client, const struct enrol_csr *csr,
	Registry__Request **out, struct diag *d)
{
	Registry__Request *q;

	if (!csr->bare && !(client->device && same_subject(client, csr)))
		return diag_set(d, RC_MALFORMED, "csr: subject: one common name and nothing else%s",
			client->device ? ", or that of the certificate that is renewed" : "");
	if (client->device && memcmp(csr->spki_sha256, client->spki_sha256, ENROL_SPKI_LEN) != 0)
		return diag_set(d, RC_DENIED,
			"csr: a device renews the certificate of the key that it has come with; a "
			"new key is made by a job");
	if (!client->device && !enrol_is_ra(client->cert))
		return diag_set(d, RC_DENIED,
			"the client certificate lacks id-kp-cmcRA: only an operator passes on what "
			"others have signed (RFC 7030 section 3.7)");
	q = enrol_envelope(client);
	if (!q)
		return RC_NOMEM;
	if (client->device ? fill_reenrol(q, csr) : fill_result(q, csr)) {
		*out = q;
		return RC_OK;
	}
	reflect_free(&q->base);
	return RC_NOMEM;
}

Registry__Request *enrol_refusal(const struct enrol_client *client, const char *operation,
	const char *object, const char *reason)
{
	Registry__Request *q = enrol_envelope(client);

	if (!q)
		return NULL;
	q->refusal = (Registry__Refusal *)reflect_new(&registry__refusal__descriptor);
	q->op_case = q->refusal ? REGISTRY__REQUEST__OP_REFUSAL : REGISTRY__REQUEST__OP__NOT_SET;
	if (q->refusal && set_text(&q->refusal->base, "operation", operation) &&
		set_text(&q->refusal->base, "object", object) &&
		set_text(&q->refusal->base, "reason", reason))
		return q;
	reflect_free(&q->base);
	return NULL;
}

const ProtobufCBinaryData *enrol_certificate(const Registry__Reply *reply)
{
	const ProtobufCBinaryData *der = NULL;

	if (reply->code != REGISTRY__CODE__CODE_OK)
		return NULL;
	if (reply->result_case == REGISTRY__REPLY__RESULT_JOB)
		der = &reply->job->certificate;
	else if (reply->result_case == REGISTRY__REPLY__RESULT_PROFILE && reply->profile->profile &&
		 reply->profile->profile->certificate)
		der = &reply->profile->profile->certificate->der;
	return der && der->len ? der : NULL;
}
