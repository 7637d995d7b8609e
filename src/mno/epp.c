/* SPDX-License-Identifier: Apache-2.0 */
#include "mno/epp.h"

#include "base/secret.h"
#include "base/str.h"
#include "client/epp.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#define TIMEOUT_MS   5000 /* nothing that is asked for here takes long */
#define CODE_REFUSED 2000
#define CODE_FAILED  2400 /* for the moment; from 2500 on the session ends as well */
#define CODE_ENDS    2500
#define CODE_NONE    1300
#define CODE_GONE    2303

static const char services[] =
	"<objURI>urn:attestry:params:xml:ns:job-1.0</objURI>"
	"<svcExtension><extURI>" EPP_CLIENT_URNS "epp:loginSec-1.0</extURI></svcExtension>";

struct mno__epp {
	struct mno_epp_config to;
	char *ca, *cert, *key;
	const struct log *log;
	struct epp_client *c; /* NULL: not connected */
	struct xml *xml;
	char *frame; /* the last answer */
};

enum rc mno__epp_new(const struct mno_config *config, const struct log *log, struct mno__epp **out,
	struct diag *d)
{
	struct mno__epp *e = calloc(1, sizeof(*e));
	unsigned long salt = 0;

	if (!e)
		return diag_set(d, RC_NOMEM, "no memory");
	e->to = config->epp;
	e->log = log;
	e->ca = strdup(config->ca);
	e->cert = strdup(config->cert);
	e->key = strdup(config->key);
	if (!e->ca || !e->cert || !e->key || getrandom(&salt, sizeof(salt), 0) < 0 ||
		xml_new(&e->xml, salt) != RC_OK) {
		mno__epp_free(e);
		return diag_set(d, RC_NOMEM, "no memory");
	}
	*out = e;
	return RC_OK;
}

static void drop(struct mno__epp *e)
{
	epp_client_close(e->c);
	e->c = NULL;
}

void mno__epp_free(struct mno__epp *e)
{
	if (!e)
		return;
	drop(e);
	xml_free(e->xml);
	free(e->frame);
	free(e->ca);
	free(e->cert);
	free(e->key);
	mem_wipe(e, sizeof(*e));
	free(e);
}

static enum rc log_in(struct mno__epp *e, struct diag *d)
{
	unsigned code;
	enum rc rc = epp_client_open(
		&e->c, e->to.host, (uint16_t)e->to.port, e->ca, e->cert, e->key, TIMEOUT_MS, d);

	if (rc == RC_OK)
		rc = epp_client_ask(e->c, "", &e->frame, d); /* the greeting */
	if (rc == RC_OK)
		rc = epp_client_login(e->c, e->to.id, e->to.password, services, &e->frame, d);
	code = rc == RC_OK ? epp_client_code(e->frame) : 0;
	if (rc == RC_OK && (code < 1000 || code >= CODE_REFUSED))
		rc = diag_set(d, RC_DENIED, "epp: the login of %s: %u", e->to.id, code);
	if (rc != RC_OK)
		drop(e);
	else
		log_write(e->log, LOG_INFO, "epp-up host=%s port=%u", e->to.host, e->to.port);
	return rc;
}

/* One exchange; a->job is the caller's. A session that is of no use any more is given up. */
static enum rc ask(struct mno__epp *e, const char *xml, struct mno__epp_answer *a, struct diag *d)
{
	enum rc rc = e->c ? RC_OK : log_in(e, d);

	if (rc == RC_OK)
		rc = epp_client_ask(e->c, xml, &e->frame, d);
	if (rc == RC_OK)
		rc = mno__epp_read(e->xml, e->frame, strlen(e->frame), a, d);
	if (rc != RC_OK || a->code >= CODE_ENDS)
		drop(e);
	if (rc == RC_OK && a->code >= CODE_FAILED) {
		json_decref(a->job);
		a->job = NULL;
		rc = diag_set(d, RC_UNAVAILABLE, "epp: %u %.200s", a->code, a->text);
	}
	return rc;
}

enum rc mno__epp_ack(struct mno__epp *e, const char *msg_id, struct diag *d)
{
	struct mno__epp_answer a = { 0 };
	char xml[256];
	enum rc rc = str_format(xml, sizeof(xml),
		"<epp xmlns=\"" EPP_CLIENT_URNS
		"epp-1.0\"><command><poll op=\"ack\" msgID=\"%s\"/></command></epp>",
		msg_id);

	if (rc == RC_OK)
		rc = ask(e, xml, &a, d);
	json_decref(a.job);
	if (rc == RC_OK && a.code >= CODE_REFUSED && a.code != CODE_GONE)
		rc = diag_set(d, RC_DENIED, "epp: message %s: %u %.200s", msg_id, a.code, a.text);
	return rc;
}

enum rc mno__epp_poll(struct mno__epp *e, char msg_id[MNO_ID_MAX + 1], json_t **job, struct diag *d)
{
	static const char xml[] = "<epp xmlns=\"" EPP_CLIENT_URNS
				  "epp-1.0\"><command><poll op=\"req\"/></command></epp>";

	for (;;) {
		struct mno__epp_answer a = { 0 };
		enum rc rc = ask(e, xml, &a, d);

		if (rc != RC_OK)
			return rc;
		if (a.job && *a.msg_id) {
			memcpy(msg_id, a.msg_id, sizeof(a.msg_id));
			*job = a.job;
			return RC_OK;
		}
		json_decref(a.job);
		if (a.code == CODE_NONE)
			return RC_NOT_FOUND;
		if (!*a.msg_id)
			return diag_set(d, RC_DENIED, "epp: poll: %u %.200s", a.code, a.text);
		/* Jobs stand behind messages; for people, these are in the log. */
		log_write(e->log, LOG_INFO, "registry-says id=%s text=\"%s\"", a.msg_id, a.text);
		rc = mno__epp_ack(e, a.msg_id, d);
		if (rc != RC_OK)
			return rc;
	}
}

enum rc mno__epp_result(struct mno__epp *e, const char *id, const json_t *result, struct diag *d)
{
	struct mno__epp_answer a = { 0 };
	char *xml = mno__epp_update(id, result);
	enum rc rc = xml ? ask(e, xml, &a, d) : diag_set(d, RC_NOMEM, "no memory");

	free(xml);
	json_decref(a.job);
	if (rc == RC_OK && a.code >= CODE_REFUSED)
		rc = diag_set(d, RC_DENIED, "%u %.200s", a.code, a.text);
	return rc;
}
