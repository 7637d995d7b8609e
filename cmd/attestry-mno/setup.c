/* SPDX-License-Identifier: Apache-2.0 */
#include "setup.h"

#include "base/file.h"
#include "base/secret.h"
#include "base/str.h"
#include "ca/cert.h"
#include "ca/csr.h"
#include "ca/keyfile.h"
#include "client/client.h"
#include "mno/mno.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define JSON_MAX (256u << 20) /* a million SIMs with their keys */
#define PEM_MAX	 (1u << 20)

struct names {
	char key[PATH_MAX], csr[PATH_MAX], cert[PATH_MAX], ca[PATH_MAX], config[PATH_MAX],
		state[PATH_MAX];
};

static enum rc name_files(const char *dir, struct names *n, struct diag *d)
{
	const struct {
		char *to;
		const char *name;
	} rows[] = { { n->key, "mno.key" }, { n->csr, "mno.csr" }, { n->cert, "mno.pem" },
		{ n->ca, "registry-ca.pem" }, { n->config, "mno.json" }, { n->state, "state.db" } };
	char full[PATH_MAX];

	if (mkdir(dir, 0700) != 0 && errno != EEXIST)
		return diag_errno(d, RC_IO, "%s", dir);
	if (!realpath(dir, full))
		return diag_errno(d, RC_IO, "%s", dir);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		if (str_format(rows[i].to, PATH_MAX, "%s/%s", full, rows[i].name) != RC_OK)
			return diag_set(d, RC_RANGE, "%s: path too long", dir);
	return RC_OK;
}

/* The key and a request that it has signed; both stay as they are once they are there. */
static enum rc make_key(
	const char *id, const struct names *n, uint8_t *csr, size_t *len, struct diag *d)
{
	char pem[CA_PEM_LEN(CA_CSR_MAX)];
	struct ca_crypt *x = NULL;
	struct ca_key key = { 0 };
	enum rc rc = ca_crypt_new(&x, d);

	if (rc != RC_OK)
		return rc;
	rc = ca_key_load(&key, n->key, d);
	if (rc == RC_NOT_FOUND) {
		rc = ca_key_new(&key, d);
		if (rc == RC_OK)
			rc = ca_key_store(&key, n->key, d);
	}
	if (rc == RC_OK)
		rc = ca_csr_write(x, &key, id, NULL, csr, len, d);
	if (rc == RC_OK)
		rc = ca_pem_write("CERTIFICATE REQUEST", csr, *len, pem, sizeof(pem));
	if (rc == RC_OK)
		rc = file_write_atomic(n->csr, pem, strlen(pem), 0644, d);
	if (rc == RC_OK)
		printf("key           %s\nrequest       %s\n", n->key, n->csr);
	ca_key_free(&key);
	ca_crypt_free(x);
	return rc;
}

/* Whom we trust as the registry: as given, and told so that a person can compare. */
static enum rc keep_ca(const struct setup *s, const struct names *n, struct diag *d)
{
	uint8_t der[CA_CERT_MAX], hash[CA_SHA256_LEN], *text = NULL;
	char hex[2 * CA_SHA256_LEN + 1];
	struct ca_crypt *x = NULL;
	size_t len = 0, text_len = 0;
	enum rc rc = ca_pem_load(s->ca, "CERTIFICATE", der, sizeof(der), &len, d);

	if (rc == RC_OK)
		rc = file_read(s->ca, PEM_MAX, &text, &text_len, d);
	if (rc == RC_OK)
		rc = file_write_atomic(n->ca, text, text_len, 0644, d);
	if (rc == RC_OK)
		rc = ca_crypt_new(&x, d);
	if (rc == RC_OK)
		rc = ca_sha256(x, der, len, hash);
	if (rc == RC_OK) {
		hex_write(hash, sizeof(hash), hex);
		printf("registry's CA %s\n  SHA-256     %s\n", n->ca, hex);
	}
	ca_crypt_free(x);
	free(text);
	return rc;
}

/* One call; what is not 2xx is an error that says why. */
static enum rc call(struct client *c, const char *method, const char *path, const json_t *body,
	json_t **out, struct diag *d)
{
	int status = 0;
	enum rc rc = client_call(c, method, path, body, out, &status, d);

	if (rc == RC_OK && status >= 300) {
		client_refusal(*out, status, d);
		rc = RC_DENIED;
	}
	if (rc != RC_OK)
		diag_prefix(d, path);
	return rc;
}

/* The registry's operator is at hand: the party is made, its certificate taken. */
static enum rc enrol(const struct setup *s, const struct names *n, const uint8_t *csr, size_t len,
	struct diag *d)
{
	char b64[B64_LEN(CA_CSR_MAX)], pem[CA_PEM_LEN(CA_CERT_MAX)];
	uint8_t der[CA_CERT_MAX];
	struct client *c = NULL;
	json_t *body = NULL, *answer = NULL;
	const char *text;
	enum rc rc = client_new(&c, s->url, n->ca, s->operator_cert, s->operator_key, d);

	b64_write(csr, len, b64);
	if (rc == RC_OK) {
		body = json_pack("{s:s, s:s, s:[s], s:s}", "id", s->id, "name", s->id, "roles",
			"mno", "csr", b64);
		rc = body ? call(c, "POST", "/v1/parties", body, &answer, d) : RC_NOMEM;
	}
	text = json_string_value(json_object_get(answer, "certificate"));
	if (rc == RC_OK && (!text || b64_read(text, strlen(text), der, sizeof(der), &len) != RC_OK))
		rc = diag_set(d, RC_MALFORMED, "POST /v1/parties: no certificate in the answer");
	if (rc == RC_OK)
		rc = ca_pem_write("CERTIFICATE", der, len, pem, sizeof(pem));
	if (rc == RC_OK)
		rc = file_write_atomic(n->cert, pem, strlen(pem), 0644, d);
	json_decref(body);
	json_decref(answer);
	client_free(c);
	return rc;
}

/* There, of our key; or made now; or somebody must bring it. */
static enum rc take_cert(const struct setup *s, const struct names *n, const uint8_t *csr,
	size_t csr_len, bool *waiting, struct diag *d)
{
	uint8_t der[CA_CERT_MAX];
	struct ca_cert cert;
	struct ca_key key = { 0 };
	size_t len = 0;
	enum rc rc = RC_OK;

	*waiting = access(n->cert, F_OK) != 0 && !s->operator_cert;
	if (*waiting) {
		printf("waiting       the registry's operator signs the request:\n"
		       "                attestry party add %s --role mno --csr %s\n"
		       "              put the certificate into %s and run this command again\n",
			s->id, n->csr, n->cert);
		return RC_OK;
	}
	if (access(n->cert, F_OK) != 0)
		rc = enrol(s, n, csr, csr_len, d);
	if (rc == RC_OK)
		rc = ca_pem_load(n->cert, "CERTIFICATE", der, sizeof(der), &len, d);
	if (rc == RC_OK)
		rc = ca_cert_parse(der, len, &cert, d);
	if (rc == RC_OK)
		rc = ca_key_load(&key, n->key, d);
	if (rc == RC_OK && (!cert.point || memcmp(cert.point, key.point, CA_POINT_LEN) != 0))
		rc = diag_set(d, RC_CONFLICT, "%s is of another key than %s", n->cert, n->key);
	if (rc == RC_OK)
		printf("certificate   %s\n", n->cert);
	ca_key_free(&key);
	return rc;
}

/* Mutual TLS as this party, which must be an operator; then what SIMs are to carry. */
static enum rc connect_once(const struct setup *s, const struct names *n, struct diag *d)
{
	struct client *c = NULL;
	json_t *me = NULL, *ca = NULL, *role;
	const char *id;
	bool mno = false;
	size_t i;
	enum rc rc = client_new(&c, s->url, n->ca, n->cert, n->key, d);

	if (rc == RC_OK)
		rc = call(c, "GET", "/v1/party", NULL, &me, d);
	if (rc == RC_OK)
		rc = call(c, "GET", "/v1/ca", NULL, &ca, d);
	if (rc == RC_OK) {
		const json_t *party = json_object_get(me, "party");

		id = json_string_value(json_object_get(party, "id"));
		json_array_foreach(json_object_get(party, "roles"), i, role) mno |=
			json_is_string(role) && strcmp(json_string_value(role), "mno") == 0;
		if (!id || strcmp(id, s->id) != 0 || !mno)
			rc = diag_set(d, RC_DENIED, "the registry knows this key as %s, %s",
				id ? id : "nobody",
				mno ? "which is another party" : "which is no operator");
		else
			printf("connected     %s as %s\n", s->url, id);
	}
	if (rc == RC_OK)
		rc = setup_card(s->dir, ca, d);
	json_decref(me);
	json_decref(ca);
	client_free(c);
	return rc;
}

/* JSON of a file that only its owner can read. */
static enum rc private_json(const char *path, json_t **out, struct diag *d)
{
	struct secret bytes = { 0 };
	json_error_t error;
	enum rc rc = secret_read_file(&bytes, path, JSON_MAX);

	if (rc != RC_OK)
		return diag_set(d, rc, "%s: %s", path,
			rc == RC_DENIED ? "others can read it; chmod 600" : rc_text(rc));
	*out = json_loadb((const char *)bytes.bytes, bytes.len, JSON_REJECT_DUPLICATES, &error);
	secret_free(&bytes);
	return *out ? RC_OK : diag_set(d, RC_MALFORMED, "%s: line %d: not JSON", path, error.line);
}

static enum rc add_transport(const struct setup *s, json_t *doc, struct diag *d)
{
	json_t *smpp = NULL;
	enum rc rc = RC_OK;

	if (s->smpp) {
		rc = private_json(s->smpp, &smpp, d);
		if (rc == RC_OK && json_object_set_new(doc, "smpp", smpp) != 0)
			rc = RC_NOMEM;
		(void)json_object_del(doc, "sms");
	} else if (s->sms) {
		(void)json_object_del(doc, "smpp");
		rc = json_object_set_new(doc, "sms", json_string(s->sms)) == 0 ? RC_OK : RC_NOMEM;
	}
	if (rc == RC_OK && s->epp) {
		json_t *epp = NULL;

		rc = private_json(s->epp, &epp, d);
		if (rc == RC_OK && json_object_set_new(doc, "epp", epp) != 0)
			rc = RC_NOMEM;
	}
	if (rc == RC_OK && !json_object_get(doc, "sms") && !json_object_get(doc, "smpp"))
		rc = diag_set(d, RC_RANGE, "--sms SOCKET or --smpp FILE is needed");
	return rc;
}

/* What was in it and is not ours to set stays. */
static enum rc write_config(const struct setup *s, const struct names *n, struct diag *d)
{
	json_t *doc = NULL, *sims = NULL;
	char *text = NULL;
	enum rc rc = access(n->config, F_OK) == 0 ? private_json(n->config, &doc, d) : RC_OK;

	if (!doc && rc == RC_OK)
		doc = json_pack("{s:[]}", "sims");
	if (rc == RC_OK &&
		(!doc || json_object_update_new(doc,
				 json_pack("{s:s, s:s, s:s, s:s, s:s}", "url", s->url, "ca", n->ca,
					 "cert", n->cert, "key", n->key, "state", n->state)) != 0))
		rc = diag_set(d, RC_NOMEM, "no memory");
	if (rc == RC_OK)
		rc = add_transport(s, doc, d);
	if (rc == RC_OK && s->sims) {
		rc = private_json(s->sims, &sims, d);
		if (rc == RC_OK)
			json_object_set(doc, "sims",
				json_is_object(sims) ? json_object_get(sims, "sims") : sims);
	}
	if (rc == RC_OK) {
		text = json_dumps(doc, JSON_INDENT(1));
		rc = text ? file_write_atomic(n->config, text, strlen(text), 0600, d) : RC_NOMEM;
	}
	if (rc == RC_OK)
		rc = mno_config_check(n->config, d);
	if (rc == RC_OK)
		printf("configuration %s, %zu SIMs\nready         attestry-mno --config %s\n",
			n->config, json_array_size(json_object_get(doc, "sims")), n->config);
	if (text)
		mem_wipe(text, strlen(text));
	free(text);
	json_decref(sims);
	json_decref(doc);
	return rc;
}

enum rc setup_run(const struct setup *s, bool *waiting, struct diag *d)
{
	uint8_t csr[CA_CSR_MAX];
	struct names *n = calloc(1, sizeof(*n));
	size_t len = 0;

	*waiting = false;
	enum rc rc = n ? name_files(s->dir, n, d) : diag_set(d, RC_NOMEM, "no memory");

	if (rc == RC_OK)
		rc = make_key(s->id, n, csr, &len, d);
	if (rc == RC_OK)
		rc = keep_ca(s, n, d);
	if (rc == RC_OK)
		rc = take_cert(s, n, csr, len, waiting, d);
	if (rc == RC_OK && !*waiting)
		rc = connect_once(s, n, d);
	if (rc == RC_OK && !*waiting)
		rc = write_config(s, n, d);
	free(n);
	return rc;
}
