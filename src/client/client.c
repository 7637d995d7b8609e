/* SPDX-License-Identifier: Apache-2.0 */
#include "client/client.h"

#include "base/secret.h"
#include "base/str.h"

#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>

#include <curl/curl.h>

enum { KEY_BYTES = 16, CONNECT_MS = 5000, CALL_MS = 75000, RETRY_MS = 200, RETRY_AFTER_MAX_S = 5 };

struct client {
	CURL *curl;
	char *url; /* without a trailing slash */
	char error[CURL_ERROR_SIZE];
	uint32_t timeout_ms;
	unsigned tries;
	const volatile sig_atomic_t *stop; /* borrowed, may be NULL */
	char case_line[96], why_line[160]; /* headers; "" none */
};

/* The answer as it arrives. */
struct inbox {
	char *bytes;
	size_t len;
	bool too_large;
};

static size_t take_bytes(char *bytes, size_t size, size_t n, void *user)
{
	struct inbox *in = user;
	size_t len = size * n;

	if (len > CLIENT_ANSWER_MAX - in->len) {
		in->too_large = true;
		return 0;
	}
	char *grown = realloc(in->bytes, in->len + len + 1);
	if (!grown)
		return 0;
	memcpy(grown + in->len, bytes, len);
	in->bytes = grown;
	in->len += len;
	return len;
}

static int on_progress(void *user, curl_off_t a, curl_off_t b, curl_off_t e, curl_off_t f)
{
	const struct client *c = user;

	(void)a;
	(void)b;
	(void)e;
	(void)f;
	return c->stop && *c->stop;
}

/* A private key that others can read is somebody else's key too. */
static enum rc check_key_file(const char *path, struct diag *d)
{
	struct stat st;

	if (stat(path, &st) < 0)
		return diag_errno(d, RC_NOT_FOUND, "%s", path);
	if (st.st_mode & 077)
		return diag_set(d, RC_DENIED, "%s: others can read this key; chmod 600 it", path);
	return RC_OK;
}

static bool set_options(struct client *c, const char *ca, const char *cert, const char *key)
{
	CURL *e = c->curl;
	CURLcode bad = CURLE_OK;

	bad |= curl_easy_setopt(e, CURLOPT_PROTOCOLS_STR, "https");
	bad |= curl_easy_setopt(e, CURLOPT_PROXY, "");
	bad |= curl_easy_setopt(e, CURLOPT_NOSIGNAL, 1L);
	bad |= curl_easy_setopt(e, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
	bad |= curl_easy_setopt(e, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
	bad |= curl_easy_setopt(e, CURLOPT_SSL_VERIFYPEER, 1L);
	bad |= curl_easy_setopt(e, CURLOPT_SSL_VERIFYHOST, 2L);
	bad |= curl_easy_setopt(e, CURLOPT_CAINFO, ca);
	bad |= curl_easy_setopt(e, CURLOPT_CAPATH, NULL);
	bad |= curl_easy_setopt(e, CURLOPT_SSLCERT, cert);
	bad |= curl_easy_setopt(e, CURLOPT_SSLKEY, key);
	bad |= curl_easy_setopt(e, CURLOPT_TCP_KEEPALIVE, 1L);
	bad |= curl_easy_setopt(e, CURLOPT_CONNECTTIMEOUT_MS, (long)CONNECT_MS);
	bad |= curl_easy_setopt(e, CURLOPT_ERRORBUFFER, c->error);
	bad |= curl_easy_setopt(e, CURLOPT_WRITEFUNCTION, take_bytes);
	bad |= curl_easy_setopt(e, CURLOPT_NOPROGRESS, 0L);
	bad |= curl_easy_setopt(e, CURLOPT_XFERINFOFUNCTION, on_progress);
	bad |= curl_easy_setopt(e, CURLOPT_XFERINFODATA, c);
	return bad == CURLE_OK;
}

enum rc client_new(struct client **out, const char *url, const char *ca, const char *cert,
	const char *key, struct diag *d)
{
	struct client *c = NULL;
	size_t len;
	enum rc rc;

	if (!url || strncmp(url, "https://", 8) != 0)
		return diag_set(d, RC_MALFORMED, "url: must begin with https://");
	if (!ca || !cert || !key)
		return diag_set(d, RC_MALFORMED, "a CA, a certificate and a key are needed");
	rc = check_key_file(key, d);
	if (rc != RC_OK)
		return rc;
	rc = RC_NOMEM;
	c = calloc(1, sizeof(*c));
	if (!c)
		return rc;
	c->timeout_ms = CALL_MS;
	c->tries = CLIENT_TRIES;
	c->url = strdup(url);
	c->curl = curl_easy_init();
	if (!c->url || !c->curl || !set_options(c, ca, cert, key)) {
		rc = diag_set(d, RC_NOMEM, "libcurl cannot start");
		goto out;
	}
	for (len = strlen(c->url); len && c->url[len - 1] == '/'; len--)
		c->url[len - 1] = '\0';
	*out = c;
	return RC_OK;
out:
	client_free(c);
	return rc;
}

void client_free(struct client *c)
{
	if (!c)
		return;
	if (c->curl)
		curl_easy_cleanup(c->curl);
	free(c->url);
	free(c);
}

void client_set_timeout_ms(struct client *c, uint32_t timeout_ms)
{
	c->timeout_ms = timeout_ms;
}

void client_set_tries(struct client *c, unsigned tries)
{
	c->tries = tries ? tries : 1;
}

static bool visible(const char *text)
{
	for (; *text; text++)
		if ((unsigned char)*text < 0x20 || *text == 0x7f)
			return false;
	return true;
}

enum rc client_set_cause(struct client *c, const char *case_id, const char *why)
{
	if (strlen(case_id) > 64 || strlen(why) > 128)
		return RC_TOO_LARGE;
	if (!visible(case_id) || !visible(why))
		return RC_MALFORMED;
	(void)snprintf(
		c->case_line, sizeof(c->case_line), *case_id ? "Case-Id: %s" : "%s", case_id);
	(void)snprintf(c->why_line, sizeof(c->why_line), *why ? "Change-Reason: %s" : "%s", why);
	return RC_OK;
}

void client_set_stop(struct client *c, const volatile sig_atomic_t *stop)
{
	c->stop = stop;
}

static enum rc rc_of_curl(
	const struct client *c, CURLcode code, const struct inbox *in, struct diag *d)
{
	const char *why = c->error[0] ? c->error : curl_easy_strerror(code);

	if (in->too_large)
		return diag_set(d, RC_TOO_LARGE, "the answer is over %u bytes", CLIENT_ANSWER_MAX);
	if (code == CURLE_ABORTED_BY_CALLBACK)
		return diag_set(d, RC_CLOSED, "stopped");
	if (code == CURLE_OPERATION_TIMEDOUT)
		return diag_set(d, RC_TIMEOUT, "%s: %s", c->url, why);
	if (code == CURLE_SSL_CERTPROBLEM || code == CURLE_PEER_FAILED_VERIFICATION ||
		code == CURLE_SSL_CACERT_BADFILE)
		return diag_set(d, RC_AUTH, "%s: %s", c->url, why);
	if (code == CURLE_SSL_CONNECT_ERROR)
		return diag_set(d, RC_AUTH, "%s: TLS: %s", c->url, why);
	/* TLS 1.3 reports a refused client certificate only when we first read (RFC 8446
	 * section 4.4.2.4): by then libcurl calls it a receive error. */
	if (code == CURLE_RECV_ERROR && strstr(why, "alert"))
		return diag_set(
			d, RC_AUTH, "%s: the registry refused our certificate: %s", c->url, why);
	return diag_set(d, RC_UNAVAILABLE, "%s: %s", c->url, why);
}

static enum rc parse_answer(
	const struct inbox *in, long status, json_t **out, int *status_out, struct diag *d)
{
	json_error_t e;
	json_t *json = NULL;

	if (in->len) {
		json = json_loadb(in->bytes, in->len, JSON_REJECT_DUPLICATES, &e);
		if (!json)
			return diag_set(d, RC_MALFORMED, "HTTP %ld, but the answer is not JSON: %s",
				status, e.text);
	}
	*out = json;
	*status_out = (int)status;
	if (status == 503) {
		client_refusal(json, 503, d);
		return RC_UNAVAILABLE;
	}
	return RC_OK;
}

/* One try. */
static enum rc call_try(
	struct client *c, json_t **out, int *status, long *retry_after_s, struct diag *d)
{
	struct inbox in = { 0 };
	curl_off_t after = 0;
	long http = 0;
	enum rc rc;

	c->error[0] = '\0';
	if (curl_easy_setopt(c->curl, CURLOPT_WRITEDATA, &in) != CURLE_OK)
		return RC_INTERNAL;
	CURLcode code = curl_easy_perform(c->curl);
	if (code != CURLE_OK) {
		rc = rc_of_curl(c, code, &in, d);
		goto out;
	}
	curl_easy_getinfo(c->curl, CURLINFO_RESPONSE_CODE, &http);
	curl_easy_getinfo(c->curl, CURLINFO_RETRY_AFTER, &after);
	*retry_after_s = after < 0 || after > RETRY_AFTER_MAX_S ? RETRY_AFTER_MAX_S : (long)after;
	rc = parse_answer(&in, http, out, status, d);
out:
	free(in.bytes);
	return rc;
}

static bool worth_repeating(enum rc rc)
{
	return rc == RC_UNAVAILABLE || rc == RC_TIMEOUT;
}

static void pause_ms(long ms)
{
	struct timespec t = { .tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000 };

	nanosleep(&t, NULL); /* a signal may end it early: the next try comes sooner */
}

static enum rc call_tries(struct client *c, json_t **out, int *status, struct diag *d)
{
	long after_s = 0;
	json_t *answer = NULL;
	enum rc rc = RC_INTERNAL;

	for (unsigned n = 0; n < c->tries; n++) {
		if (n)
			pause_ms(after_s ? after_s * 1000 : RETRY_MS << (n - 1));
		if (c->stop && *c->stop) {
			rc = diag_set(d, RC_CLOSED, "stopped");
			break;
		}
		json_decref(answer);
		answer = NULL;
		*status = 0;
		after_s = 0;
		rc = call_try(c, &answer, status, &after_s, d);
		if (!worth_repeating(rc))
			break;
	}
	*out = answer;
	return rc;
}

static struct curl_slist *headers_for(
	const struct client *c, const char *idempotency_key, const char *type)
{
	struct curl_slist *list = NULL, *next;
	const char *lines[6] = { "Accept: application/json", "Expect:" };
	char key[96], content[96];
	size_t n = 2;

	if (type && str_format(content, sizeof(content), "Content-Type: %s", type) == RC_OK)
		lines[n++] = content;
	if (idempotency_key &&
		str_format(key, sizeof(key), "Idempotency-Key: %s", idempotency_key) == RC_OK)
		lines[n++] = key;
	if (c->case_line[0])
		lines[n++] = c->case_line;
	if (c->why_line[0])
		lines[n++] = c->why_line;
	for (size_t i = 0; i < n; i++) {
		next = curl_slist_append(list, lines[i]);
		if (!next) {
			curl_slist_free_all(list);
			return NULL;
		}
		list = next;
	}
	return list;
}

enum rc client_call_text(struct client *c, const char *method, const char *path,
	const char *idempotency_key, const char *type, const char *text, size_t len, json_t **out,
	int *status, struct diag *d)
{
	struct curl_slist *headers = NULL;
	char *url = NULL;
	CURLcode bad = CURLE_OK;
	enum rc rc = RC_NOMEM;
	size_t url_len = strlen(c->url) + strlen(path) + 1;

	*out = NULL;
	*status = 0;
	headers = headers_for(c, idempotency_key, type);
	url = malloc(url_len);
	if (!headers || !url || str_format(url, url_len, "%s%s", c->url, path) != RC_OK)
		goto out;
	bad |= curl_easy_setopt(c->curl, CURLOPT_URL, url);
	bad |= curl_easy_setopt(c->curl, CURLOPT_HTTPHEADER, headers);
	bad |= curl_easy_setopt(c->curl, CURLOPT_TIMEOUT_MS, (long)c->timeout_ms);
	/* A POST without a body still says Content-Length: 0. */
	bad |= curl_easy_setopt(c->curl, CURLOPT_HTTPGET, 1L);
	if (text || strcmp(method, "POST") == 0) {
		bad |= curl_easy_setopt(c->curl, CURLOPT_POSTFIELDS, text ? text : "");
		bad |= curl_easy_setopt(c->curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)len);
	}
	bad |= curl_easy_setopt(c->curl, CURLOPT_CUSTOMREQUEST, method);
	if (bad == CURLE_OK)
		rc = call_tries(c, out, status, d);
	else
		rc = diag_set(d, RC_INTERNAL, "libcurl refuses an option");
	(void)curl_easy_setopt(c->curl, CURLOPT_POSTFIELDS, NULL);
	(void)curl_easy_setopt(c->curl, CURLOPT_HTTPHEADER, NULL);
out:
	curl_slist_free_all(headers);
	free(url);
	return rc;
}

enum rc client_call_once(struct client *c, const char *method, const char *path,
	const char *idempotency_key, const json_t *body, json_t **out, int *status, struct diag *d)
{
	char *text = NULL;
	size_t len = 0;
	enum rc rc;

	*out = NULL;
	*status = 0;
	if (body) {
		text = json_dumps(body, JSON_COMPACT);
		if (!text)
			return diag_set(d, RC_INTERNAL, "the request cannot be written as JSON");
		len = strlen(text);
	}
	rc = client_call_text(c, method, path, idempotency_key, text ? "application/json" : NULL,
		text, len, out, status, d);
	if (text)
		mem_wipe(text, len); /* a claim code or a passphrase may be in it */
	free(text);
	return rc;
}

enum rc client_call(struct client *c, const char *method, const char *path, const json_t *body,
	json_t **out, int *status, struct diag *d)
{
	uint8_t key[KEY_BYTES];
	char hex[2 * KEY_BYTES + 1];

	*out = NULL;
	*status = 0;
	if (strcmp(method, "GET") == 0)
		return client_call_once(c, method, path, NULL, body, out, status, d);
	if (getrandom(key, sizeof(key), 0) != (ssize_t)sizeof(key))
		return diag_errno(d, RC_IO, "getrandom");
	hex_write(key, sizeof(key), hex);
	return client_call_once(c, method, path, hex, body, out, status, d);
}

void client_refusal(const json_t *answer, int status, struct diag *d)
{
	const char *reason = json_string_value(json_object_get(answer, "reason"));
	const char *field = json_string_value(json_object_get(answer, "field"));
	json_int_t code = json_integer_value(json_object_get(answer, "code"));

	(void)diag_set(d, RC_OK, "%lld %s%s%s%s", code ? (long long)code : (long long)status,
		reason ? reason : "refused without a reason", field ? " (" : "", field ? field : "",
		field ? ")" : "");
}
