/* SPDX-License-Identifier: Apache-2.0 */
/* Commands without a network: what is asked of core, what is said of its answer. */
#include "../unit.h"

#include "epp/internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define P "urn:attestry:params:xml:ns:profile-1.0"
#define COMMAND(inner) \
	"<epp xmlns=\"" EPP_URI "\"><command>" inner "<clTRID>C-1</clTRID></command></epp>"
#define PROFILE(verb, inner) \
	COMMAND("<" verb "><p:" verb " xmlns:p=\"" P "\">" inner "</p:" verb "></" verb ">")
#define NAME "<p:name>1.8912230200031010008f</p:name>"

struct world {
	struct epp_server server;
	struct epp_session session;
	struct out sink;
	Registry__Request__OpCase asked;
	char name[64], code[80];
	bool refuse; /* core is not there */
};

static bool ask(void *user, struct epp_session *s, Registry__Request *r)
{
	struct world *w = user;

	(void)s;
	w->asked = r->op_case;
	if (r->op_case == REGISTRY__REQUEST__OP_PROFILE_INFO)
		(void)snprintf(w->name, sizeof(w->name), "%s", r->profile_info->name);
	if (r->op_case == REGISTRY__REQUEST__OP_PROFILE_TRANSFER)
		(void)snprintf(w->code, sizeof(w->code), "%s", r->profile_transfer->code);
	return !w->refuse;
}

static void gone(void *user, struct epp_session *s)
{
	(void)user;
	(void)s;
}

static int set_up(void **state)
{
	struct world *w = calloc(1, sizeof(*w));

	if (!w)
		return -1;
	w->server = (struct epp_server){ .o = { .limits = { .logins = 3, .clients_per_key = 9 },
						 .handler = { .ask = ask, .gone = gone, .user = w },
						 .clock = clock_system(),
						 .rng = rng_system(),
						 .server_id = "unit" },
		.trid_prefix = "unit-" };
	w->session = (struct epp_session){ .server = &w->server,
		.state = SESSION_OPEN,
		.logged_in = true,
		.services = (1u << NS_COUNT) - 1,
		.sink = &w->sink };
	*state = w;
	return 0;
}

static int tear_down(void **state)
{
	struct world *w = *state;

	epp__command_free(w->session.cmd);
	if (w->server.spare) {
		xml_free(w->server.spare->xml);
		free(w->server.spare);
	}
	out_free(&w->sink);
	free(w);
	return 0;
}

/* Sends an instance; the text of what came back, "" while core is asked. */
static const char *say(struct world *w, const char *xml)
{
	out_free(&w->sink);
	w->asked = REGISTRY__REQUEST__OP__NOT_SET;
	epp__frame(&w->session, (const uint8_t *)xml, strlen(xml));
	out_bytes(&w->sink, "", 1);
	return w->sink.bytes;
}

static const char *core_says(struct world *w, const Registry__Reply *reply)
{
	out_free(&w->sink);
	epp_reply(&w->session, reply);
	out_bytes(&w->sink, "", 1);
	return w->sink.bytes;
}

static void test_a_question_and_its_answer(void **state)
{
	struct world *w = *state;
	Registry__Reply reply = REGISTRY__REPLY__INIT;
	Registry__ProfileData data = REGISTRY__PROFILE_DATA__INIT;
	Registry__Profile p = REGISTRY__PROFILE__INIT;
	const char *text;

	assert_string_equal("", say(w, PROFILE("info", NAME)));
	assert_int_equal(REGISTRY__REQUEST__OP_PROFILE_INFO, w->asked);
	assert_string_equal("1.8912230200031010008f", w->name);
	assert_int_equal(SESSION_BUSY, w->session.state);
	p.name = (char *)(uintptr_t) "1.8912230200031010008f";
	p.device = (char *)(uintptr_t) "D7-IOT";
	p.sponsor = (char *)(uintptr_t) "a<b&c";
	p.state = REGISTRY__PROFILE_STATE__STATE_ACTIVATED;
	data.profile = &p;
	reply.code = REGISTRY__CODE__CODE_OK;
	reply.result_case = REGISTRY__REPLY__RESULT_PROFILE;
	reply.profile = &data;
	text = core_says(w, &reply);
	assert_non_null(strstr(text, "<result code=\"1000\">"));
	assert_non_null(strstr(text, "a&lt;b&amp;c"));
	assert_non_null(strstr(text, "<clTRID>C-1</clTRID><svTRID>unit-1</svTRID>"));
	assert_int_equal(SESSION_OPEN, w->session.state);
}

/* RFC 9038: out of resData into the result. */
static void test_what_the_login_did_not_name_moves(void **state)
{
	struct world *w = *state;
	Registry__Reply reply = REGISTRY__REPLY__INIT;
	Registry__CheckData data = REGISTRY__CHECK_DATA__INIT;
	const char *text;

	(void)say(w, PROFILE("check", NAME));
	w->session.services = 1u << NS_UNHANDLED;
	reply.code = REGISTRY__CODE__CODE_OK;
	reply.result_case = REGISTRY__REPLY__RESULT_CHECK;
	reply.check = &data;
	text = core_says(w, &reply);
	assert_null(strstr(text, "<resData>"));
	assert_non_null(strstr(text, "<extValue><value><o:chkData"));
	assert_non_null(strstr(text, P " not in login services</reason>"));
}

static void test_core_that_does_not_answer(void **state)
{
	struct world *w = *state;

	w->refuse = true;
	assert_non_null(strstr(say(w, PROFILE("info", NAME)), "code=\"2400\""));
	w->refuse = false;
	(void)say(w, PROFILE("info", NAME));
	assert_non_null(strstr(core_says(w, NULL), "code=\"2400\""));
	assert_int_equal(SESSION_OPEN, w->session.state);
}

static void test_a_refusal_names_the_element(void **state)
{
	struct world *w = *state;
	Registry__Reply reply = REGISTRY__REPLY__INIT;
	const char *text;

	(void)say(w, PROFILE("info", NAME));
	reply.code = REGISTRY__CODE__CODE_NOT_FOUND;
	reply.field = (char *)(uintptr_t) "name";
	reply.reason = (char *)(uintptr_t) "no such profile";
	text = core_says(w, &reply);
	assert_non_null(
		strstr(text, "<value><x:name xmlns:x=\"" P "\">1.8912230200031010008f</x:name>"));
	assert_non_null(strstr(text, "no such profile</reason>"));
}

static void test_secrets_come_back_nowhere(void **state)
{
	struct world *w = *state;
	Registry__Reply reply = REGISTRY__REPLY__INIT;

	(void)say(
		w, COMMAND("<transfer op=\"request\"><p:transfer xmlns:p=\"" P "\">" NAME
			   "<p:service>s</p:service><p:authInfo><p:pw>hush-hush</p:pw></p:authInfo>"
			   "</p:transfer></transfer>"));
	assert_string_equal("hush-hush", w->code);
	reply.code = REGISTRY__CODE__CODE_BAD_AUTHINFO;
	reply.field = (char *)(uintptr_t) "authInfo";
	assert_null(strstr(core_says(w, &reply), "hush"));
}

static void test_every_truncation_is_a_syntax_error(void **state)
{
	static const char text[] = PROFILE("info", NAME);
	struct world *w = *state;
	char cut[sizeof(text)];

	for (size_t n = 0; n < sizeof(text) - 1; n++) {
		memcpy(cut, text, n);
		cut[n] = '\0';
		assert_non_null(strstr(say(w, cut), "code=\"2001\""));
		assert_int_equal(REGISTRY__REQUEST__OP__NOT_SET, w->asked);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_a_question_and_its_answer, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			test_what_the_login_did_not_name_moves, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_core_that_does_not_answer, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			test_a_refusal_names_the_element, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_secrets_come_back_nowhere, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			test_every_truncation_is_a_syntax_error, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
