/* SPDX-License-Identifier: Apache-2.0 */
#include "mno/epp.h"

#include "base/str.h"
#include "client/epp.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define NS_EPP EPP_CLIENT_URNS "epp-1.0"
#define NS_JOB "urn:attestry:params:xml:ns:job-1.0"

/* ---- reading ---- */

static struct xml_node *child_of(const struct xml_node *node, const char *ns, const char *name)
{
	for (struct xml_node *c = node ? node->first : NULL; c; c = c->next)
		if (strcmp(c->name, name) == 0 && strcmp(c->ns, ns) == 0)
			return c;
	return NULL;
}

/* "2026-11-24T18:43:49Z"; 0 for anything else, which is no time limit. */
static int64_t time_of(const char *text)
{
	struct tm tm = { 0 };
	const char *end = strptime(text, "%Y-%m-%dT%H:%M:%SZ", &tm);

	return end && !*end ? timegm(&tm) : 0;
}

static bool set(json_t *o, const char *name, json_t *take_value)
{
	return json_object_set_new(o, name, take_value) == 0;
}

static bool set_number(json_t *o, const char *name, const char *text)
{
	uint64_t n = 0;

	return !text || (u64_read(text, 0, INT32_MAX, &n) == RC_OK &&
				set(o, name, json_integer((json_int_t)n)));
}

static bool set_files(json_t *o, const struct xml_node *node)
{
	json_t *files = json_array();

	for (node = xml_child(node, "files"); node; node = xml_next_same(node)) {
		json_t *f = json_object();

		for (const struct xml_node *c = node->first; c; c = c->next)
			(void)set(f, c->name, json_string(c->text));
		(void)json_array_append_new(files, f);
	}
	if (json_array_size(files) > 0)
		return set(o, "files", files);
	json_decref(files);
	return true;
}

/* The job's elements under the names that they have in JSON; what they hold is looked at by
 * mno__task_new, as that of every job. NULL: a number is none, or no id. */
static json_t *read_job(const struct xml_node *node)
{
	static const char *const texts[] = { "id", "kind", "iccid", "owner_name", "nonce" };
	const char *until = xml_child_text(node, "not_after");
	json_t *o = json_object();
	bool ok = o && xml_child(node, "id");

	for (size_t i = 0; i < ARRAY_LEN(texts) && ok; i++) {
		const char *text = xml_child_text(node, texts[i]);

		ok = !text || set(o, texts[i], json_string(text));
	}
	ok = ok && set_number(o, "slot", xml_child_text(node, "slot")) &&
	     set_number(o, "attempt", xml_child_text(node, "attempt")) &&
	     set(o, "not_after", json_integer(until ? time_of(until) : 0)) && set_files(o, node);
	if (ok)
		return o;
	json_decref(o);
	return NULL;
}

static void words(char out[MNO_EPP_TEXT_MAX], const char *a, const char *b)
{
	(void)snprintf(out, MNO_EPP_TEXT_MAX, "%s%s%s", a ? a : "", b ? ": " : "", b ? b : "");
}

static enum rc read_response(const struct xml_node *root, struct mno__epp_answer *a)
{
	const struct xml_node *response = child_of(root, NS_EPP, "response");
	const struct xml_node *result = child_of(response, NS_EPP, "result");
	const struct xml_node *queue = child_of(response, NS_EPP, "msgQ");
	const struct xml_node *data =
		child_of(child_of(response, NS_EPP, "resData"), NS_JOB, "infData");
	const struct xml_node *more = child_of(result, NS_EPP, "extValue");
	const char *code = result ? xml_attr(result, "code") : NULL;
	const char *id = queue ? xml_attr(queue, "id") : NULL;
	uint64_t n = 0;

	if (!code || u64_read(code, 1000, 2999, &n) != RC_OK)
		return RC_MALFORMED;
	a->code = (unsigned)n;
	if (n == 1301 && (!id || str_copy(a->msg_id, sizeof(a->msg_id), id) != RC_OK ||
				 strpbrk(id, "<>&\"'")))
		return RC_MALFORMED;
	if (*a->msg_id && xml_child_text(queue, "msg"))
		words(a->text, xml_child_text(queue, "msg"), NULL);
	else
		words(a->text, xml_child_text(result, "msg"),
			more ? xml_child_text(more, "reason") : NULL);
	if (!data)
		return RC_OK;
	a->job = read_job(data);
	return a->job ? RC_OK : RC_MALFORMED;
}

enum rc mno__epp_read(
	struct xml *x, const char *frame, size_t len, struct mno__epp_answer *out, struct diag *d)
{
	struct mno__epp_answer a = { 0 };
	struct xml_fault fault = { 0 };
	struct xml_node *root = NULL;
	enum rc rc = xml_read(x, frame, len, &root, &fault);

	if (rc == RC_MALFORMED)
		return diag_set(d, rc, "the server's frame: line %u: %s", fault.line, fault.why);
	if (rc == RC_OK)
		rc = read_response(root, &a);
	xml_clear(x);
	if (rc != RC_OK)
		return diag_set(d, rc, "the server's frame is no answer about jobs");
	*out = a;
	return RC_OK;
}

/* ---- writing ---- */

static void put_escaped(FILE *to, const char *text)
{
	for (; *text; text++) {
		switch (*text) {
		case '<': fputs("&lt;", to); break;
		case '>': fputs("&gt;", to); break;
		case '&': fputs("&amp;", to); break;
		default: /* XML has no way to write most control characters */
			(void)fputc((unsigned char)*text < 0x20 ? ' ' : *text, to);
		}
	}
}

static void put_leaf(FILE *to, const json_t *from, const char *name)
{
	const char *text = json_string_value(json_object_get(from, name));

	if (!text)
		return;
	fprintf(to, "<j:%s>", name);
	put_escaped(to, text);
	fprintf(to, "</j:%s>", name);
}

char *mno__epp_update(const char *id, const json_t *result)
{
	static const char *const leaves[] = { "status", "reason", "csr", "card_status" };
	char *text = NULL;
	size_t len = 0, i;
	json_t *one;
	FILE *to = open_memstream(&text, &len);

	if (!to)
		return NULL;
	fputs("<epp xmlns=\"" NS_EPP "\"><command><update><j:update xmlns:j=\"" NS_JOB "\"><j:id>",
		to);
	put_escaped(to, id);
	fputs("</j:id>", to);
	for (i = 0; i < ARRAY_LEN(leaves); i++)
		put_leaf(to, result, leaves[i]);
	json_array_foreach(json_object_get(result, "receipts"), i, one)
	{
		fputs("<j:receipts>", to);
		put_leaf(to, one, "id");
		put_leaf(to, one, "por");
		fputs("</j:receipts>", to);
	}
	fputs("</j:update></update></command></epp>", to);
	if (ferror(to) | (fclose(to) != 0)) {
		free(text);
		return NULL;
	}
	return text;
}
