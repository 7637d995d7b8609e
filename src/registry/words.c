/* SPDX-License-Identifier: Apache-2.0 */
#include "base/ident.h"
#include "base/str.h"
#include "registry/internal.h"

#include <openssl/evp.h>
#include <string.h>

bool reg__iccid(struct registry_run *run, const char *text, char out[STORE_ICCID_MAX])
{
	uint8_t ef[IDENT_ICCID_LEN];

	_Static_assert(STORE_ICCID_MAX == IDENT_ICCID_TEXT, "one ICCID text");
	if (!*text) {
		reg__no(run, CODE(MISSING), "iccid", "an ICCID is needed");
		return false;
	}
	if (ident_iccid_read(text, ef) != RC_OK || ident_iccid_write(ef, out) != RC_OK) {
		reg__no(run, CODE(VALUE_SYNTAX), "iccid", "19 digits and f, or 20 digits");
		return false;
	}
	return true;
}

bool reg__name(
	struct registry_run *run, const char *text, uint32_t *slot, char iccid[STORE_ICCID_MAX])
{
	uint8_t ef[IDENT_ICCID_LEN];

	if (!*text) {
		reg__no(run, CODE(MISSING), "name", "a profile name is needed");
		return false;
	}
	if (text[0] < '1' || text[0] > '9' || text[1] != '.' ||
		ident_iccid_read(text + 2, ef) != RC_OK || ident_iccid_write(ef, iccid) != RC_OK) {
		reg__no(run, CODE(VALUE_SYNTAX), "name", "a profile name is <1-9>.<iccid>");
		return false;
	}
	*slot = (uint32_t)(text[0] - '0');
	return true;
}

bool reg__id(struct registry_run *run, const char *text, const char *field, int64_t *out)
{
	uint64_t v;

	if (!*text) {
		reg__no(run, CODE(MISSING), field, "an id is needed");
		return false;
	}
	if (u64_read(text, 1, INT64_MAX, &v) != RC_OK) {
		reg__no(run, CODE(VALUE_SYNTAX), field, "not an id of ours");
		return false;
	}
	*out = (int64_t)v;
	return true;
}

static bool label_char(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-';
}

bool reg__handle_ok(const char *text)
{
	size_t len = strlen(text);

	if (len < 1 || len >= STORE_HANDLE_MAX || text[0] == '-' || text[len - 1] == '-')
		return false;
	for (size_t i = 0; i < len; i++) {
		if (!label_char(text[i]))
			return false;
	}
	return true;
}

/* A host name of two labels or more, or "localhost", lower case, without trailing dot. */
bool reg__host_ok(const char *text)
{
	size_t len = strlen(text);
	size_t label = 0;

	if (len < 1 || len >= STORE_FQDN_MAX)
		return false;
	for (size_t i = 0; i <= len; i++) {
		if (i == len || text[i] == '.') {
			if (label < 1 || label > 63 || text[i - 1] == '-' || text[i - label] == '-')
				return false;
			label = 0;
		} else if (label_char(text[i]) || text[i] == '_') {
			label++;
		} else {
			return false;
		}
	}
	return true;
}

/* Printable text (UTF-8 passes), no control characters. */
bool reg__text_ok(const char *text, size_t min, size_t max)
{
	size_t len = strlen(text);

	for (size_t i = 0; i < len; i++) {
		if ((unsigned char)text[i] < 0x20 || text[i] == 0x7f)
			return false;
	}
	return len >= min && len <= max;
}

void reg__sha256(const void *a, size_t a_len, const void *b, size_t b_len, uint8_t out[32])
{
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();

	/* SHA-256 over memory fails only without memory; a hash of zeros then matches nothing. */
	memset(out, 0, 32);
	if (ctx && EVP_DigestInit_ex(ctx, EVP_sha256(), NULL) && EVP_DigestUpdate(ctx, a, a_len) &&
		(!b_len || EVP_DigestUpdate(ctx, b, b_len)))
		EVP_DigestFinal_ex(ctx, out, NULL);
	EVP_MD_CTX_free(ctx);
}

size_t reg__limit(uint32_t asked)
{
	return asked == 0 || asked > REGISTRY_LIST_MAX ? REGISTRY_LIST_MAX : asked;
}
