/* SPDX-License-Identifier: Apache-2.0 */
#include "mno/epp.h"
#include "../unit.h"

#include <stdlib.h>
#include <string.h>

#define HEAD "<epp xmlns=\"urn:ietf:params:xml:ns:epp-1.0\"><response>"
#define TAIL "<trID><clTRID>a-1</clTRID><svTRID>b-2</svTRID></trID></response></epp>"
#define JOB_HEAD                                                                                \
	HEAD "<result code=\"1301\"><msg>ack to dequeue</msg></result>"                         \
	     "<msgQ count=\"2\" id=\"J17\"><qDate>2026-11-23T18:43:49Z</qDate><msg>a job</msg>" \
	     "</msgQ><resData><j:infData xmlns:j=\"urn:attestry:params:xml:ns:job-1.0\">"
#define JOB_TAIL "</j:infData></resData>" TAIL

static struct xml *reader;

static enum rc get(const char *frame, size_t len, struct mno__epp_answer *a)
{
	struct diag d = { 0 };
	enum rc rc = mno__epp_read(reader, frame, len, a, &d);

	assert_true(rc == RC_OK || *d.text);
	return rc;
}

static const char *text_of(const json_t *o, const char *name)
{
	return json_string_value(json_object_get(o, name));
}

/* What the registry says by EPP is what it says by GET /v1/jobs: the gateway's reader takes it. */
static void a_job_is_the_one_of_json(void **state)
{
	static const char frame[] = JOB_HEAD
		"<j:id>17</j:id><j:kind>install</j:kind><j:state>open</j:state>"
		"<j:iccid>8912230200031010008f</j:iccid><j:slot>1</j:slot>"
		"<j:not_after>2026-11-24T18:43:49Z</j:not_after><j:attempt>2</j:attempt>"
		"<j:files><j:id>02</j:id>"
		"<j:sha256>ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb</"
		"j:sha256>"
		"<j:data>YQ==</j:data></j:files>" JOB_TAIL;
	struct mno__epp_answer a = { 0 };
	struct mno_task *t = NULL;
	struct diag d = { 0 };

	(void)state;
	assert_rc(RC_OK, get(frame, sizeof(frame) - 1, &a));
	assert_int_equal(1301, a.code);
	assert_string_equal("J17", a.msg_id);
	assert_string_equal("17", text_of(a.job, "id"));
	assert_rc(RC_OK, mno__task_new(a.job, &t, &d));
	assert_int_equal(MNO_RUNNING, t->outcome);
	assert_int_equal(MNO_INSTALL, t->kind);
	assert_int_equal(1795545829, t->not_after);
	assert_int_equal(2, t->attempt);
	assert_int_equal(1, t->n_files);
	assert_int_equal(1, t->files[0].len);
	mno__task_free(t);
	json_decref(a.job);
	for (size_t cut = 0; cut < sizeof(frame) - 1; cut++)
		assert_rc(RC_MALFORMED, get(frame, cut, &a));
}

static void other_answers(void **state)
{
	static const char empty[] =
		HEAD "<result code=\"1300\"><msg>no messages</msg></result>" TAIL;
	static const char message[] = HEAD
		"<result code=\"1301\"><msg>ack</msg></result><msgQ count=\"1\" id=\"9\"><qDate>"
		"2026-11-23T18:43:49Z</qDate><msg>job 4: superseded</msg></msgQ>" TAIL;
	static const char refused[] =
		HEAD "<result "
		     "code=\"2304\"><msg>status</msg><extValue><value><x/></value><reason>the job "
		     "has another result</reason></extValue></result>" TAIL;
	struct mno__epp_answer a = { 0 };

	(void)state;
	assert_rc(RC_OK, get(empty, sizeof(empty) - 1, &a));
	assert_true(a.code == 1300 && !*a.msg_id && !a.job);
	assert_rc(RC_OK, get(message, sizeof(message) - 1, &a));
	assert_true(a.code == 1301 && !a.job);
	assert_string_equal("9", a.msg_id);
	assert_string_equal("job 4: superseded", a.text);
	assert_rc(RC_OK, get(refused, sizeof(refused) - 1, &a));
	assert_int_equal(2304, a.code);
	assert_string_equal("status: the job has another result", a.text);
}

static void nonsense_is_refused(void **state)
{
	static const char *const rows[] = {
		"",
		"<epp/>",
		HEAD TAIL,
		HEAD "<result code=\"x\"/>" TAIL,
		HEAD "<result code=\"3000\"/>" TAIL,
		HEAD "<result code=\"1301\"/>" TAIL,
		HEAD "<result code=\"1301\"/><msgQ count=\"1\" id='a\"b'/>" TAIL,
		JOB_HEAD JOB_TAIL,
		JOB_HEAD "<j:id>1</j:id><j:slot>-1</j:slot>" JOB_TAIL,
		JOB_HEAD "<j:id>1</j:id><j:attempt>99999999999</j:attempt>" JOB_TAIL,
		"<!DOCTYPE epp [<!ENTITY a 'b'>]>" HEAD "<result code=\"1000\"/>" TAIL,
	};
	struct mno__epp_answer a = { 0 };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		assert_rc(RC_MALFORMED, get(rows[i], strlen(rows[i]), &a));
	assert_null(a.job);
}

static void results_are_written(void **state)
{
	json_t *result = json_pack("{s:s, s:s, s:[{s:s, s:s}]}", "status", "failed", "reason",
		"a < b & c\n", "receipts", "id", "0D", "por", "AA==");
	char *xml = mno__epp_update("17", result);

	(void)state;
	assert_non_null(xml);
	assert_non_null(strstr(xml,
		"<j:id>17</j:id><j:status>failed</j:status><j:reason>a &lt; b &amp; c </j:reason>"
		"<j:receipts><j:id>0D</j:id><j:por>AA==</j:por></j:receipts></j:update>"));
	free(xml);
	json_decref(result);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(a_job_is_the_one_of_json),
		cmocka_unit_test(other_answers), cmocka_unit_test(nonsense_is_refused),
		cmocka_unit_test(results_are_written) };
	int failed;

	if (xml_new(&reader, 1) != RC_OK)
		return 1;
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	xml_free(reader);
	return failed;
}
