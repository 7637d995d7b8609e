/* SPDX-License-Identifier: Apache-2.0 */
#include "mno/internal.h"

#include "base/str.h"

#include <stdlib.h>
#include <string.h>

#define POR_TIMEOUT_MS		2000
#define POR_TIMEOUT_MAX_MS	30000	/* a line of our own */
#define POR_TIMEOUT_MAX_SMPP_MS 3600000 /* a centre that keeps messages for a SIM that is off */
#define SMPP_WINDOW		10
#define SMPP_ENQUIRE_MS		30000
#define EPP_PORT		700 /* RFC 5734 section 7 */
#define EPP_POLL_MS		2000

static enum rc text(const json_t *doc, const char *name, char **out, struct diag *d)
{
	const char *value = json_string_value(json_object_get(doc, name));

	if (!value || !*value)
		return diag_set(d, RC_MALFORMED, "%s: missing", name);
	*out = strdup(value);
	return *out ? RC_OK : diag_set(d, RC_NOMEM, "no memory");
}

static enum rc number(
	const json_t *doc, const char *name, unsigned preset, unsigned *out, struct diag *d)
{
	const json_t *v = json_object_get(doc, name);

	*out = preset;
	if (!v)
		return RC_OK;
	if (!json_is_integer(v) || json_integer_value(v) < 10 || json_integer_value(v) > 3600000)
		return diag_set(d, RC_RANGE, "%s: not 10..3600000", name);
	*out = (unsigned)json_integer_value(v);
	return RC_OK;
}

/* Reads a key and wipes its text: jansson's memory is not locked. */
static bool key(json_t *sim, const char *name, uint8_t out[SCP80_KEY_MAX], size_t *len)
{
	json_t *v = json_object_get(sim, name);
	bool ok = json_is_string(v) &&
		  hex_read_upto(json_string_value(v), out, SCP80_KEY_MAX, len) == RC_OK &&
		  scp80_key_len_ok(*len);

	if (json_is_string(v))
		mem_wipe((char *)(uintptr_t)json_string_value(v), json_string_length(v));
	return ok;
}

static enum rc read_sim(json_t *sim, size_t i, struct mno_config *c, struct diag *d)
{
	struct mno_sim_key *s = &c->sims[i];
	const char *iccid = json_string_value(json_object_get(sim, "iccid"));
	json_int_t kvn = json_integer_value(json_object_get(sim, "kvn"));
	const char *msisdn = json_string_value(json_object_get(sim, "msisdn"));
	size_t kid_len = 0;

	s->at = i * 2 * SCP80_KEY_MAX;
	if (!iccid || ident_iccid_read(iccid, s->ef) != RC_OK ||
		ident_iccid_write(s->ef, s->iccid) != RC_OK)
		return diag_set(d, RC_MALFORMED, "sims[%zu].iccid: not an ICCID", i);
	if (kvn < 1 || kvn > 15)
		return diag_set(d, RC_RANGE, "sims[%zu].kvn: not 1..15", i);
	if (msisdn && (strspn(msisdn, "0123456789") != strlen(msisdn) || !*msisdn ||
			      str_copy(s->msisdn, sizeof(s->msisdn), msisdn) != RC_OK))
		return diag_set(d, RC_MALFORMED, "sims[%zu].msisdn: not 1 to 15 digits", i);
	s->kvn = (unsigned)kvn;
	if (c->pkcs11.module && !json_object_get(sim, "kic") && !json_object_get(sim, "kid"))
		return RC_OK;
	if (!key(sim, "kic", c->keys.bytes + s->at, &s->len) ||
		!key(sim, "kid", c->keys.bytes + s->at + SCP80_KEY_MAX, &kid_len) ||
		kid_len != s->len)
		return diag_set(d, RC_MALFORMED,
			"sims[%zu]: kic or kid is not 16, 24 or 32 bytes in hex", i);
	return RC_OK;
}

static int cmp_sim(const void *a, const void *b)
{
	const struct mno_sim_key *x = a, *y = b;

	return memcmp(x->ef, y->ef, sizeof(x->ef));
}

static int cmp_msisdn(const void *a, const void *b)
{
	const struct mno_sim_key *const *x = a, *const *y = b;

	return strcmp((*x)->msisdn, (*y)->msisdn);
}

/* A card's message comes with nothing but this number. */
static enum rc index_msisdns(struct mno_config *c, struct diag *d)
{
	c->by_msisdn = calloc(c->n_sims + 1, sizeof(struct mno_sim_key *));
	if (!c->by_msisdn)
		return diag_set(d, RC_NOMEM, "no memory for %zu SIMs", c->n_sims);
	for (size_t i = 0; i < c->n_sims; i++)
		if (*c->sims[i].msisdn)
			c->by_msisdn[c->n_msisdns++] = &c->sims[i];
	qsort(c->by_msisdn, c->n_msisdns, sizeof(struct mno_sim_key *), cmp_msisdn);
	for (size_t i = 1; i < c->n_msisdns; i++)
		if (cmp_msisdn(&c->by_msisdn[i - 1], &c->by_msisdn[i]) == 0)
			return diag_set(d, RC_EXISTS, "sims: msisdn %s is there twice",
				c->by_msisdn[i]->msisdn);
	return RC_OK;
}

static enum rc read_sims(const json_t *sims, struct mno_config *c, struct diag *d)
{
	size_t n = json_array_size(sims);
	enum rc rc = RC_OK;

	if (!json_is_array(sims) || n > MNO_SIMS_MAX)
		return diag_set(d, RC_MALFORMED, "sims: no list of at most %d", MNO_SIMS_MAX);
	c->sims = calloc(n + 1, sizeof(*c->sims));
	if (!c->sims || secret_new(&c->keys, (n + 1) * 2 * SCP80_KEY_MAX) != RC_OK)
		return diag_set(d, RC_NOMEM, "no memory for %zu SIMs", n);
	for (size_t i = 0; i < n && rc == RC_OK; i++)
		rc = read_sim(json_array_get(sims, i), i, c, d);
	if (rc != RC_OK)
		return rc;
	c->n_sims = n;
	qsort(c->sims, n, sizeof(*c->sims), cmp_sim);
	for (size_t i = 1; i < n; i++)
		if (cmp_sim(&c->sims[i - 1], &c->sims[i]) == 0)
			return diag_set(d, RC_EXISTS, "sims: %s is there twice", c->sims[i].iccid);
	return index_msisdns(c, d);
}

static enum rc read_tar(const json_t *doc, uint8_t tar[SCP80_TAR_LEN], struct diag *d)
{
	const char *hex = json_string_value(json_object_get(doc, "tar"));

	memcpy(tar, scp80_tar_isa, SCP80_TAR_LEN);
	if (hex && hex_read(hex, tar, SCP80_TAR_LEN) != RC_OK)
		return diag_set(d, RC_MALFORMED, "tar: not 3 bytes in hex");
	return RC_OK;
}

static enum rc read_por(const json_t *doc, bool *submit, struct diag *d)
{
	const json_t *v = json_object_get(doc, "por");
	const char *how = json_string_value(v);

	*submit = how && strcmp(how, "submit") == 0;
	if (v && !*submit && (!how || strcmp(how, "deliver-report") != 0))
		return diag_set(d, RC_RANGE, "por: deliver-report or submit");
	return RC_OK;
}

static enum rc short_text(
	const json_t *doc, const char *name, char *out, size_t cap, struct diag *d)
{
	const char *value = json_string_value(json_object_get(doc, name));

	if (!value || !*value || str_copy(out, cap, value) != RC_OK)
		return diag_set(d, RC_MALFORMED, "%s: not 1 to %zu characters", name, cap - 1);
	return RC_OK;
}

static enum rc short_number(const json_t *doc, const char *name, unsigned preset, unsigned max,
	unsigned *out, struct diag *d)
{
	const json_t *v = json_object_get(doc, name);

	*out = preset;
	if (!v && preset)
		return RC_OK;
	if (!json_is_integer(v) || json_integer_value(v) < 1 || json_integer_value(v) > max)
		return diag_set(d, RC_RANGE, "%s: not 1..%u", name, max);
	*out = (unsigned)json_integer_value(v);
	return RC_OK;
}

/* Absent: in clear, as SMPP 3.4 has it. */
static enum rc read_tls(const json_t *tls, struct mno_config *c, struct diag *d)
{
	const struct {
		const char *name;
		char **to;
	} rows[] = { { "ca", &c->smpp.tls_ca }, { "cert", &c->smpp.tls_cert },
		{ "key", &c->smpp.tls_key }, { "name", &c->smpp.tls_name } };
	enum rc rc = RC_OK;

	if (!tls)
		return RC_OK;
	for (size_t i = 0; i < ARRAY_LEN(rows) && rc == RC_OK; i++)
		if (i == 0 || json_object_get(tls, rows[i].name))
			rc = text(tls, rows[i].name, rows[i].to, d);
	if (rc == RC_OK && !c->smpp.tls_cert != !c->smpp.tls_key)
		rc = diag_set(d, RC_MALFORMED, "cert and key belong together");
	if (rc != RC_OK)
		diag_prefix(d, "smpp.tls");
	return rc;
}

static enum rc read_smpp(const json_t *smpp, struct mno_config *c, struct diag *d)
{
	enum rc rc = short_text(smpp, "host", c->smpp.host, sizeof(c->smpp.host), d);

	if (rc == RC_OK)
		rc = short_text(smpp, "system_id", c->smpp.system_id, sizeof(c->smpp.system_id), d);
	if (rc == RC_OK)
		rc = short_text(smpp, "password", c->smpp.password, sizeof(c->smpp.password), d);
	if (rc == RC_OK)
		rc = short_text(smpp, "source", c->smpp.source, sizeof(c->smpp.source), d);
	if (rc == RC_OK)
		rc = short_number(smpp, "port", 2775, 65535, &c->smpp.port, d);
	if (rc == RC_OK)
		rc = short_number(smpp, "window", SMPP_WINDOW, 1000, &c->smpp.window, d);
	if (rc == RC_OK)
		rc = short_number(
			smpp, "enquire_ms", SMPP_ENQUIRE_MS, 3600000, &c->smpp.enquire_ms, d);
	if (rc != RC_OK)
		diag_prefix(d, "smpp");
	return rc == RC_OK ? read_tls(json_object_get(smpp, "tls"), c, d) : rc;
}

/* Jobs from the registry's EPP queue instead of its API. */
static enum rc read_epp(const json_t *epp, struct mno_config *c, struct diag *d)
{
	enum rc rc = short_text(epp, "host", c->epp.host, sizeof(c->epp.host), d);

	if (rc == RC_OK)
		rc = short_text(epp, "id", c->epp.id, sizeof(c->epp.id), d);
	if (rc == RC_OK)
		rc = short_text(epp, "password", c->epp.password, sizeof(c->epp.password), d);
	if (rc == RC_OK && (strpbrk(c->epp.id, "<>&\"'") || strpbrk(c->epp.password, "<>&\"'")))
		rc = diag_set(d, RC_MALFORMED, "id and password hold no markup");
	if (rc == RC_OK)
		rc = short_number(epp, "port", EPP_PORT, 65535, &c->epp.port, d);
	if (rc == RC_OK)
		rc = short_number(epp, "poll_ms", EPP_POLL_MS, 3600000, &c->epp.poll_ms, d);
	if (rc != RC_OK)
		diag_prefix(d, "epp");
	return rc;
}

/* SIMs without kic and kid have theirs in the token. */
static enum rc read_pkcs11(const json_t *p11, struct mno_config *c, struct diag *d)
{
	enum rc rc = p11 ? text(p11, "module", &c->pkcs11.module, d) : RC_OK;

	if (rc == RC_OK && p11)
		rc = text(p11, "token", &c->pkcs11.token, d);
	if (rc == RC_OK && p11)
		rc = text(p11, "pin_file", &c->pkcs11.pin_file, d);
	if (rc != RC_OK)
		diag_prefix(d, "pkcs11");
	return rc;
}

static enum rc read_doc(const json_t *doc, struct mno_config *c, json_t **list, struct diag *d)
{
	const struct {
		const char *name;
		char **to;
	} texts[] = { { "ca", &c->ca }, { "cert", &c->cert }, { "key", &c->key },
		{ "state", &c->state } };
	const json_t *smpp = json_object_get(doc, "smpp"), *epp = json_object_get(doc, "epp");
	const char *sealed = json_string_value(json_object_get(doc, "sims_sealed"));
	char *sims_key = NULL;
	json_t *sims = NULL;
	enum rc rc = RC_OK;

	for (size_t i = 0; i < ARRAY_LEN(texts) && rc == RC_OK; i++)
		rc = text(doc, texts[i].name, texts[i].to, d);
	if (rc == RC_OK && epp)
		rc = read_epp(epp, c, d);
	if (rc == RC_OK && (!epp || json_object_get(doc, "url") || json_object_get(doc, "euicc")))
		rc = text(doc, "url", &c->url, d);
	if (rc == RC_OK)
		rc = smpp ? read_smpp(smpp, c, d) : text(doc, "sms", &c->sms, d);
	if (rc == RC_OK && json_object_get(doc, "euicc"))
		rc = text(doc, "euicc", &c->euicc, d);
	if (rc == RC_OK)
		rc = number(doc, "por_timeout_ms", POR_TIMEOUT_MS, &c->por_timeout_ms, d);
	if (rc == RC_OK)
		rc = number(doc, "por_timeout_max_ms",
			smpp ? POR_TIMEOUT_MAX_SMPP_MS : POR_TIMEOUT_MAX_MS, &c->por_timeout_max_ms,
			d);
	if (rc == RC_OK)
		rc = read_tar(doc, c->tar, d);
	if (rc == RC_OK)
		rc = read_por(doc, &c->por_submit, d);
	if (rc == RC_OK)
		rc = read_pkcs11(json_object_get(doc, "pkcs11"), c, d);
	if (rc == RC_OK && sealed) {
		rc = text(doc, "sims_key", &sims_key, d);
		if (rc == RC_OK)
			rc = mno__sims_unseal(sealed, sims_key, &sims, d);
	} else if (rc == RC_OK) {
		sims = json_incref(json_object_get(doc, "sims"));
	}
	if (rc == RC_OK)
		rc = read_sims(sims, c, d);
	if (rc == RC_OK && list)
		*list = json_incref(sims);
	json_decref(sims);
	free(sims_key);
	return rc;
}

enum rc mno__config_read(const char *path, struct mno_config *out, json_t **sims, struct diag *d)
{
	struct mno_config c = { 0 };
	struct secret bytes = { 0 };
	json_error_t error;
	json_t *doc = NULL;
	enum rc rc = secret_read_file(&bytes, path, MNO_CONFIG_MAX);

	if (rc != RC_OK)
		return diag_set(d, rc, "%s: %s", path,
			rc == RC_DENIED ? "others can read it; chmod 600" : rc_text(rc));
	doc = json_loadb((const char *)bytes.bytes, bytes.len, JSON_REJECT_DUPLICATES, &error);
	secret_free(&bytes);
	rc = doc ? read_doc(doc, &c, sims, d)
		 : diag_set(d, RC_MALFORMED, "line %d: not JSON", error.line);
	json_decref(doc);
	if (rc != RC_OK) {
		diag_prefix(d, path);
		mno__config_fini(&c);
		return rc;
	}
	*out = c;
	return RC_OK;
}

void mno__config_fini(struct mno_config *c)
{
	free(c->url);
	free(c->ca);
	free(c->cert);
	free(c->key);
	free(c->sms);
	free(c->euicc);
	free(c->state);
	free(c->pkcs11.module);
	free(c->pkcs11.token);
	free(c->pkcs11.pin_file);
	free(c->smpp.tls_ca);
	free(c->smpp.tls_cert);
	free(c->smpp.tls_key);
	free(c->smpp.tls_name);
	free(c->sims);
	free(c->by_msisdn);
	secret_free(&c->keys);
	mem_wipe(c, sizeof(*c));
}

enum rc mno_config_check(const char *path, struct diag *d)
{
	struct mno_config c = { 0 };
	enum rc rc = mno__config_read(path, &c, NULL, d);

	mno__config_fini(&c);
	return rc;
}
