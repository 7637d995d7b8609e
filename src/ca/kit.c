/* SPDX-License-Identifier: Apache-2.0 */
#include "ca/kit.h"
#include "ca/cert.h"

#include <stdio.h>
#include <string.h>

/* The kit's reader finds the end of file 08 by its closing brace and has no escapes: neither brace,
 * quote, backslash nor anything but printable ASCII may stand in the URL. */
static bool url_ok(const char *url)
{
	if (!*url)
		return false;
	for (const char *p = url; *p; p++)
		if (*p <= 0x20 || *p > 0x7e || strchr("{}\"\\", *p))
			return false;
	return true;
}

static enum rc write_endpoint(const char *url, uint32_t port, struct ca_kit *kit, struct diag *d)
{
	char text[CA_KIT_ENDPOINT_MAX + 1];

	if (!url_ok(url))
		return diag_set(d, RC_RANGE,
			"kit 08: url: printable ASCII without braces, quotes, backslash or space");
	if (port < 1 || port > 65535)
		return diag_set(d, RC_RANGE, "kit 08: port: %u is not 1..65535", port);
	int n = snprintf(text, sizeof(text), "{\"url\":\"%s\",\"port\":%u}", url, port);
	if (n < 0 || n > CA_KIT_ENDPOINT_MAX)
		return diag_set(d, RC_RANGE, "kit 08: url: file 08 would exceed %d bytes",
			CA_KIT_ENDPOINT_MAX);
	memcpy(kit->file08, text, (size_t)n);
	kit->file08_len = (size_t)n;
	return RC_OK;
}

static enum rc sign(struct ca_crypt *x, const struct ca_key *key, const uint8_t *bytes, size_t len,
	uint8_t sig[CA_SIG_DER_MAX], size_t *sig_len)
{
	uint8_t digest[CA_SHA256_LEN];
	enum rc rc = ca_sha256(x, bytes, len, digest);

	return rc == RC_OK ? ca_sign_der(x, key, digest, sig, sig_len) : rc;
}

enum rc ca_kit_sign(struct ca_crypt *x, const struct ca_key *devkit, const char *url, uint32_t port,
	const uint8_t *asp_cert, size_t asp_cert_len, struct ca_kit *out, struct diag *d)
{
	struct ca_kit kit = { 0 };
	struct ca_cert cert;
	enum rc rc = write_endpoint(url, port, &kit, d);

	if (rc != RC_OK)
		return rc;
	rc = ca_cert_parse(asp_cert, asp_cert_len, &cert, d);
	if (rc != RC_OK) {
		diag_prefix(d, "kit 0A");
		return rc;
	}
	rc = sign(x, devkit, kit.file08, kit.file08_len, kit.file09, &kit.file09_len);
	if (rc == RC_OK)
		rc = sign(x, devkit, cert.der, cert.der_len, kit.file0a, &kit.file0a_len);
	if (rc != RC_OK)
		return diag_set(d, rc, "kit: signing failed");
	*out = kit;
	return RC_OK;
}
