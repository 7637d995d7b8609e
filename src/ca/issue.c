/* SPDX-License-Identifier: Apache-2.0 */
#include "ca/issue.h"
#include "base/ident.h"
#include "base/str.h"

#include <string.h>

#define DAY INT64_C(86400)
/* Clocks of `core` and `keys` are one; this only stops certificates from being post- or backdated.
 */
#define NOT_BEFORE_PAST_MAX  (2 * DAY)
#define NOT_BEFORE_AHEAD_MAX DAY

static enum rc check_dates(int64_t not_before, int64_t not_after, int64_t now, struct diag *d)
{
	if (not_before < now - NOT_BEFORE_PAST_MAX || not_before > now + NOT_BEFORE_AHEAD_MAX)
		return diag_set(d, RC_RANGE, "order: not_before: more than %d days from now",
			(int)(NOT_BEFORE_PAST_MAX / DAY));
	if (not_after <= now)
		return diag_set(d, RC_RANGE, "order: not_after: has passed");
	return RC_OK;
}

/* The one canonical spelling of an owner name of this zone. */
static enum rc check_owner_name(const char *zone, const char *name, struct diag *d)
{
	struct ident_owner owner;
	char want[IDENT_OWNER_TEXT];

	if (ident_owner_parse(name, zone, &owner) != RC_OK ||
		ident_owner_name(owner.slot, owner.iccid, zone, want) != RC_OK ||
		strcmp(want, name) != 0)
		return diag_set(d, RC_RANGE,
			"order: owner_name: not slot.iccid.zone of this zone in lower case (design "
			"1)");
	return RC_OK;
}

static enum rc check_eid(const char *eid, struct diag *d)
{
	size_t len = strlen(eid);

	if (len != 0 && (len != 32 || strspn(eid, "0123456789") != 32))
		return diag_set(d, RC_RANGE, "order: eid: 32 digits (SGP.29)");
	return RC_OK;
}

static enum rc check_order(const struct ca_authority *ca, const struct ca_device_order *order,
	int64_t now, struct diag *d)
{
	enum rc rc = check_owner_name(ca->zone, order->owner_name, d);

	if (rc == RC_OK)
		rc = check_eid(order->eid, d);
	if (rc == RC_OK && !*order->asp)
		rc = diag_set(d, RC_RANGE, "order: asp: missing");
	if (rc == RC_OK)
		rc = check_dates(order->not_before, order->not_after, now, d);
	return rc;
}

static enum rc check_csr(struct ca_crypt *x, const uint8_t *der, size_t len, const char *name,
	struct ca_csr *csr, struct diag *d)
{
	enum rc rc = ca_csr_parse(der, len, csr, d);

	if (rc != RC_OK)
		return rc;
	/* DNS names compare without case: fielded cards ask with an upper-case F. */
	if (!str_equal_nocase(csr->name, name))
		return diag_set(d, RC_CONFLICT,
			"csr: subject.CN: \"%s\" is not the name asked for, \"%s\" (formats 3)",
			csr->name, name);
	return ca_csr_verify(x, csr, d);
}

/* Binds the key, writes and signs the certificate, fills what leaves and what is logged. */
static enum rc issue(struct ca_crypt *x, const struct ca_authority *ca,
	const struct ca_issuer *issuer, struct ca_cert_spec *spec, int64_t now,
	struct ca_issued_cert *out, struct diag *d)
{
	struct ca_issued_entry *e = &out->entry;
	enum rc rc = ca_sha256(x, spec->spki, CA_SPKI_LEN, e->spki_sha256);

	if (rc == RC_OK)
		rc = ca_serial_next(spec->serial);
	if (rc == RC_OK && ca->issued)
		rc = ca_issued_bind(ca->issued, spec->profile, e->spki_sha256, spec->cn, d);
	if (rc == RC_OK)
		rc = ca_cert_write(x, issuer, spec, out->der, &out->der_len, d);
	if (rc == RC_OK)
		rc = ca_sha256(x, out->der, out->der_len, e->cert_sha256);
	if (rc == RC_OK)
		rc = str_copy(e->name, sizeof(e->name), spec->cn);
	if (rc != RC_OK)
		return rc;
	e->profile = spec->profile;
	e->issued = now;
	e->not_after = spec->not_after;
	memcpy(e->serial, spec->serial, CA_SERIAL_LEN);
	return RC_OK;
}

static enum rc take_b_key(struct ca_crypt *x, const struct ca_authority *ca, const uint8_t *point,
	const char *name, struct ca_issued_cert *out, struct diag *d)
{
	enum rc rc = ca_point_sha256(x, point, out->entry.b_sha256);

	memcpy(out->b_point, point, CA_POINT_LEN);
	if (rc == RC_OK && ca->issued)
		rc = ca_issued_bind_b(ca->issued, out->entry.b_sha256, name, d);
	return rc;
}

/* Whether the key lives on the SIM. What is only recorded refuses nothing. */
static enum rc check_attestation(struct ca_crypt *x, const struct ca_authority *ca,
	const struct ca_device_order *order, const struct ca_csr *csr, int64_t now,
	struct ca_issued_cert *out, struct diag *d)
{
	static const struct ca_makers nobody;
	struct ca_attest_order wanted = { .owner_name = order->owner_name,
		.zone = ca->zone,
		.eid = order->eid,
		.nonce = order->nonce,
		.cert = order->attest_cert,
		.cert_len = order->attest_cert_len };
	struct diag why = { 0 };
	enum rc rc;

	out->maker = NULL;
	out->attest_why[0] = '\0';
	if (!order->nonce && !order->attest_require)
		return RC_OK;
	rc = ca_attest_verify(
		x, ca->makers ? ca->makers : &nobody, csr, &wanted, now, &out->maker, &why);
	if (rc == RC_OK)
		return RC_OK;
	memcpy(out->attest_why, why.text, sizeof(out->attest_why));
	return order->attest_require ? diag_set(d, RC_DENIED, "%s", why.text) : RC_OK;
}

enum rc ca_issue_device(struct ca_crypt *x, const struct ca_authority *ca,
	const struct ca_device_order *order, int64_t now, struct ca_issued_cert *out,
	struct diag *d)
{
	struct ca_csr csr;
	enum rc rc = check_order(ca, order, now, d);

	if (rc == RC_OK)
		rc = check_csr(x, order->csr, order->csr_len, order->owner_name, &csr, d);
	if (rc == RC_OK)
		rc = check_attestation(x, ca, order, &csr, now, out, d);
	if (rc != RC_OK)
		return rc;
	struct ca_cert_spec spec = {
		.profile = order->devkit ? CA_DEVICE_DEVKIT : CA_DEVICE,
		.cn = order->owner_name,
		.o = order->asp,
		.ou = order->service,
		.serial_number = order->devkit ? NULL : order->eid,
		.dns = { order->owner_name },
		.dns_count = order->devkit ? 0 : 1,
		.not_before = order->not_before,
		.not_after = order->not_after,
		.spki = csr.spki,
	};
	memset(out->entry.b_sha256, 0, sizeof(out->entry.b_sha256));
	out->has_b = csr.b_point != NULL;
	if (out->has_b)
		rc = take_b_key(x, ca, csr.b_point, order->owner_name, out, d);
	if (rc != RC_OK)
		return rc;
	return issue(x, ca, order->devkit ? &ca->devkit : &ca->issuing, &spec, now, out, d);
}

enum rc ca_issue_party(struct ca_crypt *x, const struct ca_authority *ca,
	const struct ca_party_order *order, int64_t now, struct ca_issued_cert *out, struct diag *d)
{
	struct ca_cert_spec spec = { .profile = CA_PARTY,
		.cn = order->id,
		.ra = order->ra,
		.not_before = order->not_before,
		.not_after = order->not_after };
	size_t id_len = strlen(order->id);
	struct ca_csr csr;
	enum rc rc = check_dates(order->not_before, order->not_after, now, d);

	if (rc == RC_OK && (id_len < 3 || id_len > 16))
		rc = diag_set(d, RC_RANGE, "order: id: 3 to 16 characters (RFC 5730 clIDType)");
	if (rc == RC_OK)
		rc = check_csr(x, order->csr, order->csr_len, order->id, &csr, d);
	if (rc != RC_OK)
		return rc;
	spec.spki = csr.spki;
	out->has_b = false;
	memset(out->entry.b_sha256, 0, sizeof(out->entry.b_sha256));
	return issue(x, ca, &ca->party, &spec, now, out, d);
}
