/* SPDX-License-Identifier: Apache-2.0 */
#include "mno/internal.h"

#include "base/str.h"
#include "client/claim.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define ROWS_MAX 1000 /* of one request */

/* One SIM as the registry is to know it: never a key, never a claim code. *made says that the code
 * is new and is to be written down. */
static enum rc row_of(
	const json_t *sim, size_t n, bool make, json_t *rows, FILE *claims, struct diag *d)
{
	static const char *const members[] = { "eid", "owner", "imei", "attest_cert" };
	const char *text = json_string_value(json_object_get(sim, "iccid"));
	const char *claim = json_string_value(json_object_get(sim, "claim"));
	char iccid[IDENT_ICCID_TEXT], made[CLIENT_CLAIM_LEN + 1];
	uint8_t ef[IDENT_ICCID_LEN];
	json_t *row = json_object();
	enum rc rc = RC_OK;

	if (!text || ident_iccid_read(text, ef) != RC_OK || ident_iccid_write(ef, iccid) != RC_OK)
		rc = diag_set(d, RC_MALFORMED, "sims[%zu].iccid: not an ICCID", n);
	if (rc == RC_OK && json_object_set_new(row, "iccid", json_string(iccid)) != 0)
		rc = diag_set(d, RC_NOMEM, "no memory");
	for (size_t i = 0; i < ARRAY_LEN(members) && rc == RC_OK; i++)
		if (json_object_get(sim, members[i]))
			json_object_set(row, members[i], json_object_get(sim, members[i]));
	if (rc == RC_OK && !claim && make) {
		rc = client_claim_make(made);
		claim = made;
		if (rc == RC_OK && fprintf(claims, "%s,%s\n", iccid, made) < 0)
			rc = diag_errno(d, RC_IO, "claim codes");
	}
	if (rc == RC_OK && claim)
		rc = client_claim_hash(row, claim, NULL);
	mem_wipe(made, sizeof(made));
	if (rc == RC_OK && json_array_append(rows, row) != 0)
		rc = diag_set(d, RC_NOMEM, "no memory");
	json_decref(row);
	return rc;
}

/* The codes are on disk before the registry learns their hashes. */
static enum rc rows_of(const json_t *sims, const char *path, json_t *rows, struct diag *d)
{
	int fd = path ? open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600) : -1;
	FILE *claims = fd >= 0 ? fdopen(fd, "w") : NULL;
	enum rc rc = path && !claims ? diag_errno(d, RC_IO, "%s", path) : RC_OK;

	for (size_t i = 0; i < json_array_size(sims) && rc == RC_OK; i++)
		rc = row_of(json_array_get(sims, i), i, path != NULL, rows, claims, d);
	if (rc == RC_OK && claims && (fflush(claims) != 0 || fsync(fd) != 0))
		rc = diag_errno(d, RC_IO, "%s", path);
	if (claims)
		(void)fclose(claims);
	else if (fd >= 0)
		close(fd);
	return rc;
}

static enum rc load(struct client *c, const json_t *rows, size_t from, json_t *out, struct diag *d)
{
	json_t *part = json_array(), *body = json_object(), *answer = NULL, *one;
	json_int_t loaded = json_integer_value(json_object_get(out, "loaded"));
	int status = 0;
	size_t i;
	enum rc rc;

	for (i = from; i < json_array_size(rows) && i < from + ROWS_MAX; i++)
		json_array_append(part, json_array_get(rows, i));
	json_object_set_new(body, "rows", part);
	rc = client_call(c, "POST", "/v1/inventory", body, &answer, &status, d);
	if (rc == RC_OK && status >= 300) {
		client_refusal(answer, status, d);
		rc = RC_DENIED;
	}
	loaded += json_integer_value(json_object_get(answer, "loaded"));
	json_object_set_new(out, "loaded", json_integer(loaded));
	json_array_foreach(json_object_get(answer, "refused"), i, one)
	{
		size_t n = from + (size_t)json_integer_value(json_object_get(one, "row"));

		json_object_set(one, "iccid", json_object_get(json_array_get(rows, n), "iccid"));
		json_object_del(one, "row");
		json_array_append(json_object_get(out, "refused"), one);
	}
	json_decref(body);
	json_decref(answer);
	return rc;
}

enum rc mno_inventory(
	const char *config_path, const char *claims_path, json_t **out, struct diag *d)
{
	struct mno_config config = { 0 };
	struct client *c = NULL;
	json_t *sims = NULL, *rows = json_array();
	json_t *answer = json_pack("{s:i, s:[]}", "loaded", 0, "refused");
	enum rc rc = rows && answer ? mno__config_read(config_path, &config, &sims, d) : RC_NOMEM;

	if (rc == RC_OK && !config.url)
		rc = diag_set(
			d, RC_STATE, "%s: url: missing, and SIMs are loaded by HTTPS", config_path);
	if (rc == RC_OK)
		rc = client_new(&c, config.url, config.ca, config.cert, config.key, d);
	if (rc == RC_OK)
		rc = rows_of(sims, claims_path, rows, d);
	for (size_t from = 0; from < json_array_size(rows) && rc == RC_OK; from += ROWS_MAX)
		rc = load(c, rows, from, answer, d);
	if (rc == RC_OK)
		*out = json_incref(answer);
	json_decref(answer);
	json_decref(rows);
	json_decref(sims);
	client_free(c);
	mno__config_fini(&config);
	return rc;
}
