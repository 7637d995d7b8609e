/* SPDX-License-Identifier: Apache-2.0 */
#include "payload/payload__.h"

#define COSE_SIGN1_TAG 18
#define COSE_ALG       1
#define COSE_KID       4
#define COSE_ES256     (-7)
#define PROTECTED_LEN  13 /* {1: -7, 4: 8 bytes} */

static const char EXTERNAL_AAD[] = "attestry-payload-1";
#define EXTERNAL_AAD_LEN (sizeof(EXTERNAL_AAD) - 1)
static const char CONTEXT[] = "Signature1";

static void put_protected(struct put *out, const uint8_t kid[PAYLOAD_KID_LEN])
{
	uint8_t buf[PROTECTED_LEN];
	struct put p = put_init(buf, sizeof(buf));

	cbor_put_map(&p, 2);
	cbor_put_uint(&p, COSE_ALG);
	cbor_put_int(&p, COSE_ES256);
	cbor_put_uint(&p, COSE_KID);
	cbor_put_bytes(&p, kid, PAYLOAD_KID_LEN);
	cbor_put_bytes(out, buf, p.len);
}

enum rc payload_sig_input(
	const uint8_t kid[PAYLOAD_KID_LEN], const uint8_t *map, size_t map_len, struct put *out)
{
	cbor_put_array(out, 4);
	cbor_put_text(out, CONTEXT, sizeof(CONTEXT) - 1);
	put_protected(out, kid);
	cbor_put_bytes(out, EXTERNAL_AAD, EXTERNAL_AAD_LEN);
	cbor_put_bytes(out, map, map_len);
	return put_ok(out) ? RC_OK : RC_TOO_LARGE;
}

enum rc payload_cose_write(const uint8_t *map, size_t map_len, const uint8_t kid[PAYLOAD_KID_LEN],
	const uint8_t sig[PAYLOAD_SIG_LEN], struct put *out)
{
	cbor_put_tag(out, COSE_SIGN1_TAG);
	cbor_put_array(out, 4);
	put_protected(out, kid);
	cbor_put_map(out, 0);
	cbor_put_bytes(out, map, map_len);
	cbor_put_bytes(out, sig, PAYLOAD_SIG_LEN);
	return put_ok(out) ? RC_OK : RC_TOO_LARGE;
}

/* Exactly {1: -7, 4: kid}: another header could carry a meaning we would overlook. */
static enum rc parse_protected(struct cur c, const uint8_t **kid, struct diag *d)
{
	struct cbor_keys keys = { 0 };
	struct cur id;

	if (cbor_map(&c) != 2 || cbor_key(&c, &keys) != COSE_ALG)
		return diag_set(
			d, RC_MALFORMED, "protected header: not {1: -7, 4: kid} (formats 2)");
	if (cbor_int(&c) != COSE_ES256)
		return diag_set(
			d, RC_UNSUPPORTED, "protected header: algorithm is not ES256 (formats 2)");
	if (cbor_key(&c, &keys) != COSE_KID)
		return diag_set(
			d, RC_MALFORMED, "protected header: not {1: -7, 4: kid} (formats 2)");
	id = cbor_bytes(&c);
	if (!cur_done(&c) || id.left != PAYLOAD_KID_LEN)
		return diag_set(d, RC_MALFORMED, "protected header: kid (formats 2)");
	*kid = id.at;
	return RC_OK;
}

enum rc payload_cose_parse(
	const uint8_t *bytes, size_t len, struct payload_cose *out, struct diag *d)
{
	struct cur c = cur_init(bytes, len), protected, map, sig;
	struct payload_cose r = { 0 };
	enum rc rc;

	if (len > PAYLOAD_MAX)
		return diag_set(d, RC_TOO_LARGE, "payload: %zu bytes, limit %d", len, PAYLOAD_MAX);
	if (cbor_tag(&c) != COSE_SIGN1_TAG || cbor_array(&c) != 4)
		return diag_set(d, RC_MALFORMED, "payload: not a COSE_Sign1 (RFC 9052 4.2)");
	protected = cbor_bytes(&c);
	if (cbor_map(&c) != 0 || c.bad)
		return diag_set(
			d, RC_MALFORMED, "payload: unprotected headers are not empty (formats 2)");
	map = cbor_bytes(&c);
	sig = cbor_bytes(&c);
	if (c.bad || sig.left != PAYLOAD_SIG_LEN)
		return diag_set(d, RC_MALFORMED,
			"payload: truncated, or not deterministic CBOR "
			"(RFC 9052 4.2)");
	if (!cur_done(&c))
		return diag_set(d, RC_MALFORMED,
			"payload: %zu bytes after the COSE object "
			"(formats 2)",
			c.left);
	rc = parse_protected(protected, &r.kid, d);
	if (rc != RC_OK)
		return rc;
	r.map = (struct payload_bytes){ .at = map.at, .len = map.left };
	r.sig = sig.at;
	*out = r;
	return RC_OK;
}

enum rc payload_parse(const uint8_t *bytes, size_t len, struct payload *out,
	struct payload_cose *cose, struct diag *d)
{
	struct payload_cose c;
	enum rc rc = payload_cose_parse(bytes, len, &c, d);

	if (rc == RC_OK)
		rc = payload_map_parse(c.map.at, c.map.len, out, d);
	if (rc == RC_OK && cose)
		*cose = c;
	return rc;
}
