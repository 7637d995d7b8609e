/* SPDX-License-Identifier: Apache-2.0 */
/* A provider's login at the registry, and how what goes wrong there reaches the outside. */
#include "asp/services/internal.h"

#include "base/str.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum attest_error svc__error(enum rc rc, const struct diag *d, char *error)
{
	if (error)
		(void)snprintf(error, ATTEST_TEXT_MAX, "%s",
			rc == RC_OK	? ""
			: d && *d->text ? d->text
					: rc_text(rc));
	switch (rc) {
	case RC_OK: return ATTEST_SUCCESS;
	case RC_NOMEM: return ATTEST_ENOMEM;
	case RC_DENIED:
	case RC_NOT_FOUND:
	case RC_STATE:
	case RC_CONFLICT:
	case RC_EXISTS:
	case RC_REPLAY:
	case RC_EXPIRED: return ATTEST_EREFUSED;
	case RC_UNAVAILABLE:
	case RC_TIMEOUT:
	case RC_BUSY:
	case RC_CLOSED: return ATTEST_EUNREACHABLE;
	case RC_AUTH:
	case RC_SIGNATURE: return ATTEST_EUNTRUSTED;
	case RC_IO:
	case RC_CRYPTO:
	case RC_INTERNAL: return ATTEST_ESYSTEM;
	case RC_MALFORMED:
	case RC_TOO_LARGE:
	case RC_TRUNCATED:
	case RC_RANGE:
	case RC_UNSUPPORTED:
	case RC_COUNT: break;
	}
	return ATTEST_EINVAL;
}

enum attest_error attest_registry_new(
	const struct attest_login *login, struct attest_registry **out, char error[ATTEST_TEXT_MAX])
{
	struct attest_registry *r = calloc(1, sizeof(*r));
	struct diag d = { 0 };
	enum rc rc = r ? client_new(&r->client, login->url, login->ca_file, login->cert_file,
				 login->key_file, &d)
		       : RC_NOMEM;

	if (rc == RC_OK)
		*out = r;
	else
		free(r);
	return svc__error(rc, &d, error);
}

void attest_registry_free(struct attest_registry *registry)
{
	if (!registry)
		return;
	client_free(registry->client);
	free(registry);
}

enum rc svc__call(struct attest_registry *r, const char *method, const char *path,
	json_t *take_body, json_t **out, int *status, struct diag *d)
{
	json_t *answer = NULL;
	int http = 0;
	enum rc rc = client_call(r->client, method, path, take_body, &answer, &http, d);

	json_decref(take_body);
	if (rc == RC_OK && http / 100 != 2) {
		client_refusal(answer, http, d);
		rc = http == 404 ? RC_NOT_FOUND : RC_DENIED;
	}
	if (status)
		*status = http;
	if (rc == RC_OK && out)
		*out = answer;
	else
		json_decref(answer);
	return rc;
}

enum rc svc__path(
	char out[256], const char *what, const char *value, const char *end, struct diag *d)
{
	static const char plain[] =
		"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_";

	if (!value || !*value || strspn(value, plain) != strlen(value))
		return diag_set(d, RC_MALFORMED, "%s: not a name or handle",
			value && *value ? value : "(none)");
	return str_format(out, 256, "/v1/%s/%s%s", what, value, end);
}

const char *svc__text(const json_t *object, const char *member)
{
	const char *text = json_string_value(json_object_get(object, member));

	return text ? text : "";
}

void svc__copy(char *out, size_t cap, const char *text)
{
	(void)snprintf(out, cap, "%s", text);
}

char *svc__bio_text(BIO *bio)
{
	char *bytes = NULL, *text;
	long len = BIO_get_mem_data(bio, &bytes);

	text = len > 0 ? malloc((size_t)len + 1) : NULL;
	if (text) {
		memcpy(text, bytes, (size_t)len);
		text[len] = '\0';
	}
	return text;
}
