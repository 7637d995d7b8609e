/* SPDX-License-Identifier: Apache-2.0 */
/* The trust store: a folder of files that attest_new and servers read, changed only by what is
 * signed: by the registry's login when it is made, by a trusted root, or by the anchors' own zones
 * (RFC 5011). */
#include "asp/services/internal.h"

#include "base/file.h"
#include "base/str.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define ADD_S	 (30u * 86400)
#define REMOVE_S (30u * 86400)
#define HOUR_S	 3600u
#define SOON_S	 (15u * 86400)

static void path_of(const struct attest_trust *t, const char *file, char out[4096])
{
	(void)snprintf(out, 4096, "%s/%s", t->dir, file);
}

enum rc svc__trust_write(
	const struct attest_trust *t, const char *file, const char *text, struct diag *d)
{
	char path[4096];

	path_of(t, file, path);
	return file_write_atomic(path, text, strlen(text), 0644, d);
}

/* ---- state ------------------------------------------------------------------------------------
 */

static enum rc read_anchor(const json_t *one, struct svc_anchor *out, struct diag *d)
{
	const char *word = svc__text(one, "state");
	enum rc rc = dane_anchor_read(svc__text(one, "ds"), &out->ds, d);

	out->since = json_integer_value(json_object_get(one, "since"));
	for (int i = 0; rc == RC_OK && i < SVC_STATES; i++)
		if (strcmp(word, svc__state_words[i]) == 0) {
			out->state = (enum svc_anchor_state)i;
			return RC_OK;
		}
	return rc == RC_OK ? diag_set(d, RC_MALFORMED, "trust.json: no state \"%.20s\"", word) : rc;
}

static enum rc load(struct attest_trust *t, struct diag *d)
{
	char path[4096];
	json_error_t e;
	const json_t *one;
	size_t i;
	json_t *json;
	enum rc rc = RC_OK;

	path_of(t, "trust.json", path);
	if (access(path, F_OK) != 0)
		return RC_OK;
	json = json_load_file(path, JSON_REJECT_DUPLICATES, &e);
	if (!json)
		return diag_set(d, RC_MALFORMED, "%s: %s", path, e.text);
	t->serial = (uint64_t)json_integer_value(json_object_get(json, "serial"));
	if (str_copy(t->zone, sizeof(t->zone), svc__text(json, "zone")) != RC_OK || !*t->zone)
		rc = diag_set(d, RC_MALFORMED, "%s: no zone", path);
	json_array_foreach(json_object_get(json, "anchors"), i, one)
	{
		if (rc == RC_OK && t->anchors.n == SVC_ANCHORS_MAX)
			rc = diag_set(d, RC_TOO_LARGE, "%s: too many anchors", path);
		if (rc == RC_OK)
			rc = read_anchor(one, &t->anchors.list[t->anchors.n++], d);
	}
	json_decref(json);
	return rc;
}

static enum rc save_anchors(const struct attest_trust *t, struct diag *d)
{
	char text[SVC_ANCHORS_MAX * (ATTEST_TEXT_MAX + 1) + 128], line[ATTEST_TEXT_MAX];
	json_t *list = json_array(), *json;
	size_t n = 0;
	char *dump;
	enum rc rc = RC_OK;

	n += (size_t)snprintf(text, sizeof(text), "; kept by attestry asp trust; do not edit\n");
	for (size_t i = 0; i < t->anchors.n && rc == RC_OK; i++) {
		const struct svc_anchor *a = &t->anchors.list[i];

		rc = dane_anchor_write(&a->ds, line, sizeof(line));
		if (rc != RC_OK)
			break;
		json_array_append_new(
			list, json_pack("{s:s,s:s,s:I}", "ds", line, "state",
				      svc__state_words[a->state], "since", (json_int_t)a->since));
		if (svc__anchor_counts(a))
			n += (size_t)snprintf(text + n, sizeof(text) - n, "%s\n", line);
	}
	json = json_pack("{s:i,s:s,s:I,s:o}", "version", 1, "zone", t->zone, "serial",
		(json_int_t)t->serial, "anchors", list);
	dump = rc == RC_OK ? json_dumps(json, JSON_INDENT(1)) : NULL;
	json_decref(json);
	if (!dump)
		return rc == RC_OK ? RC_NOMEM : rc;
	/* What is believed before what is remembered of it: after a crash between the two the same
	 * step happens again. */
	rc = svc__trust_write(t, "anchors.ds", text, d);
	if (rc == RC_OK)
		rc = svc__trust_write(t, "trust.json", dump, d);
	free(dump);
	return rc;
}

enum attest_error attest_trust_open(
	const char *dir, struct attest_trust **out, char error[ATTEST_TEXT_MAX])
{
	struct attest_trust *t = calloc(1, sizeof(*t));
	struct diag d = { 0 };
	struct stat st;
	enum rc rc = t ? str_copy(t->dir, sizeof(t->dir), dir) : RC_NOMEM;

	if (rc == RC_OK && (stat(dir, &st) != 0 || !S_ISDIR(st.st_mode)))
		rc = diag_set(&d, RC_RANGE, "%s: there is no such folder", dir);
	if (rc == RC_OK)
		rc = load(t, &d);
	if (rc == RC_OK)
		*out = t;
	else
		free(t);
	return svc__error(rc, &d, error);
}

void attest_trust_free(struct attest_trust *trust)
{
	free(trust);
}

/* ---- certificates -----------------------------------------------------------------------------
 */

static bool put_der(BIO *bio, const uint8_t *der, size_t len)
{
	const uint8_t *at = der;
	X509 *cert = d2i_X509(NULL, &at, (long)len);
	bool good = cert && at == der + len && PEM_write_bio_X509(bio, cert) == 1;

	X509_free(cert);
	ERR_clear_error();
	return good;
}

static enum rc write_certs(const struct attest_trust *t, const char *file,
	const struct svc_der *const lists[2], const size_t n[2], struct diag *d)
{
	BIO *bio = BIO_new(BIO_s_mem());
	bool good = bio;
	char *text = NULL, path[4096];
	long len;
	enum rc rc;

	for (int k = 0; k < 2; k++)
		for (size_t i = 0; good && i < n[k]; i++)
			good = put_der(bio, lists[k][i].bytes, lists[k][i].len);
	len = good ? BIO_get_mem_data(bio, &text) : 0;
	path_of(t, file, path);
	rc = len > 0 ? file_write_atomic(path, text, (size_t)len, 0644, d)
		     : diag_set(d, RC_MALFORMED, "%s: a certificate is not one", file);
	BIO_free(bio);
	return rc;
}

static enum rc load_roots(const struct attest_trust *t, STACK_OF(X509) * *out, struct diag *d)
{
	STACK_OF(X509) *list = sk_X509_new_null();
	char path[4096];
	BIO *bio;
	X509 *cert;

	path_of(t, "roots.pem", path);
	bio = BIO_new_file(path, "r");
	while (list && bio && (cert = PEM_read_bio_X509(bio, NULL, NULL, NULL)))
		if (sk_X509_push(list, cert) <= 0)
			X509_free(cert);
	BIO_free(bio);
	ERR_clear_error();
	if (!list || sk_X509_num(list) == 0) {
		sk_X509_free(list);
		return diag_set(d, RC_NOT_FOUND, "%s: holds no root", path);
	}
	*out = list;
	return RC_OK;
}

/* trust.json last, since it says that the rest is there. */
enum rc svc__trust_apply(struct attest_trust *t, const struct svc_update *u, struct diag *d)
{
	const struct svc_der *const all[2] = { u->roots, u->cas };
	const size_t roots_only[2] = { u->n_roots, 0 }, both[2] = { u->n_roots, u->n_cas };
	struct svc_anchors next = { 0 };
	char text[SVC_RESOLVERS_MAX * 513 + 1] = "";
	int64_t now = time(NULL);
	enum rc rc;

	for (size_t i = 0; i < u->n_resolvers; i++) {
		size_t at = strlen(text);

		(void)snprintf(text + at, sizeof(text) - at, "%s\n", u->resolvers[i]);
	}
	/* What was revoked stays so, whoever names it again. */
	for (size_t i = 0; i < t->anchors.n; i++)
		if (t->anchors.list[i].state == SVC_REVOKED)
			next.list[next.n++] = t->anchors.list[i];
	for (size_t i = 0; i < u->n_anchors && next.n < SVC_ANCHORS_MAX; i++) {
		bool revoked = false;

		for (size_t k = 0; k < next.n; k++)
			revoked = revoked || memcmp(&next.list[k].ds, &u->anchors[i],
						     sizeof(u->anchors[i])) == 0;
		if (!revoked)
			next.list[next.n++] = (struct svc_anchor){
				.ds = u->anchors[i], .state = SVC_VALID, .since = now
			};
	}
	rc = write_certs(t, "devices.pem", all, both, d);
	if (rc == RC_OK)
		rc = svc__trust_write(t, "resolvers", text, d);
	if (rc == RC_OK)
		rc = write_certs(t, "roots.pem", all, roots_only, d);
	if (rc != RC_OK)
		return rc;
	memcpy(t->zone, u->zone, sizeof(t->zone));
	t->serial = u->serial;
	t->anchors = next;
	return save_anchors(t, d);
}

enum attest_error attest_trust_update(
	struct attest_trust *trust, const char *text, size_t len, char error[ATTEST_TEXT_MAX])
{
	struct svc_update u = { 0 };
	STACK_OF(X509) *roots = NULL;
	struct diag d = { 0 };
	enum rc rc = *trust->zone ? load_roots(trust, &roots, &d)
				  : diag_set(&d, RC_STATE, "the store is empty: init it first");

	if (rc == RC_OK)
		rc = svc__update_read(text, len, &u, &d);
	if (rc == RC_OK)
		rc = svc__update_verify(text, len, &u, roots, &d);
	if (rc == RC_OK && strcmp(u.zone, trust->zone) != 0)
		rc = diag_set(
			&d, RC_DENIED, "trust update: of zone %s, not %s", u.zone, trust->zone);
	if (rc == RC_OK && u.serial <= trust->serial)
		rc = diag_set(&d, RC_REPLAY,
			"trust update: serial %llu is not above %llu: an old one",
			(unsigned long long)u.serial, (unsigned long long)trust->serial);
	if (rc == RC_OK && u.expires < time(NULL))
		rc = diag_set(&d, RC_EXPIRED, "trust update: has expired");
	if (rc == RC_OK)
		rc = svc__trust_apply(trust, &u, &d);
	sk_X509_pop_free(roots, X509_free);
	svc__update_free(&u);
	return svc__error(rc, &d, error);
}

/* ---- RFC 5011 ---------------------------------------------------------------------------------
 */

static enum rc open_dane(
	const struct attest_trust *t, unsigned timeout_ms, struct dane **out, struct diag *d)
{
	struct dane_anchor anchors[DANE_ANCHORS_MAX];
	struct dane_resolver resolvers[SVC_RESOLVERS_MAX] = { 0 };
	struct dane_options opt = {
		.anchors = anchors, .resolvers = resolvers, .timeout_ms = timeout_ms
	};
	char path[4096], *rest, *line;
	uint8_t *text = NULL;
	size_t len = 0;
	enum rc rc;

	for (size_t i = 0; i < t->anchors.n && opt.n_anchors < DANE_ANCHORS_MAX; i++)
		if (svc__anchor_counts(&t->anchors.list[i]))
			anchors[opt.n_anchors++] = t->anchors.list[i].ds;
	if (!opt.n_anchors)
		return diag_set(
			d, RC_STATE, "every anchor has been revoked: a signed update is needed");
	path_of(t, "resolvers", path);
	rc = file_read(path, SVC_FILE_MAX, &text, &len, d);
	rest = (char *)text;
	while (rc == RC_OK && (line = strsep(&rest, "\n")) && opt.n_resolvers < SVC_RESOLVERS_MAX)
		if (*line)
			rc = svc__resolver_read(line, &resolvers[opt.n_resolvers++], d);
	free(text);
	return rc == RC_OK ? dane_new(&opt, out, d) : rc;
}

/* Section 2.3: half the TTL or half the signature's life, an hour at least, 15 days at most. */
static unsigned next_look(const struct dane_keyset *seen)
{
	uint32_t s = seen->proved ? (seen->ttl_s < seen->sig_s ? seen->ttl_s : seen->sig_s) / 2 : 0;

	return s < HOUR_S ? HOUR_S : s > SOON_S ? SOON_S : s;
}

static bool done_before(const struct svc_anchors *a, size_t i)
{
	for (size_t k = 0; k < i; k++)
		if (strcmp(a->list[k].ds.name, a->list[i].ds.name) == 0)
			return true;
	return false;
}

enum attest_error attest_trust_follow(struct attest_trust *trust, const struct attest_5011 *how,
	int *changed, unsigned *next_s, char error[ATTEST_TEXT_MAX])
{
	struct svc_anchors was = trust->anchors;
	struct dane *dane = NULL;
	struct diag d = { 0 };
	unsigned next = SOON_S;
	enum rc rc = *trust->zone ? open_dane(trust, how->timeout_ms, &dane, &d)
				  : diag_set(&d, RC_STATE, "the store is empty: init it first");

	*changed = 0;
	for (size_t i = 0; i < was.n && rc == RC_OK; i++) {
		struct dane_keyset seen;
		unsigned look;

		if (done_before(&was, i))
			continue;
		rc = dane_keyset(dane, was.list[i].ds.name, &seen, &d);
		if (rc != RC_OK)
			break;
		if (svc__anchors_follow(&trust->anchors, &seen, time(NULL),
			    how->add_s ? how->add_s : ADD_S,
			    how->remove_s ? how->remove_s : REMOVE_S))
			*changed = 1;
		else if (!seen.proved)
			rc = diag_set(&d, RC_SIGNATURE,
				"%s: no anchor's key has signed its keys: nothing is believed",
				was.list[i].ds.name);
		look = next_look(&seen);
		next = look < next ? look : next;
	}
	dane_free(dane);
	if (rc == RC_OK || *changed) {
		enum rc saved = save_anchors(trust, &d);

		rc = rc == RC_OK ? saved : rc;
	}
	if (next_s)
		*next_s = rc == RC_OK ? next : HOUR_S;
	return svc__error(rc, &d, error);
}

/* ---- showing ----------------------------------------------------------------------------------
 */

size_t attest_trust_anchors(const struct attest_trust *trust, struct attest_anchor *out, size_t cap)
{
	for (size_t i = 0; i < trust->anchors.n && i < cap; i++) {
		const struct svc_anchor *a = &trust->anchors.list[i];

		memset(&out[i], 0, sizeof(out[i]));
		if (dane_anchor_write(&a->ds, out[i].ds, sizeof(out[i].ds)) != RC_OK)
			out[i].ds[0] = '\0';
		svc__copy(out[i].state, sizeof(out[i].state), svc__state_words[a->state]);
		out[i].since = a->since;
	}
	return trust->anchors.n;
}

unsigned long long attest_trust_serial(const struct attest_trust *trust)
{
	return trust->serial;
}
