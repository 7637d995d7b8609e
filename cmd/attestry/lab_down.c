/* SPDX-License-Identifier: Apache-2.0 */
/* What is there of a lab, and its end. Both go by lab.json alone. */
#include "lab.h"
#include "lab_proc.h"
#include "base/str.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define GRACE_MS 8000

/* Ended in this order, so that nothing complains of a peer that left first. */
static const char *const order[] = { "attestry-meter", "attestry-mno", "attestry-sim", "parkoserv",
	"carparkserv", "ds-keeper", "unbound", "knot-parent", "knot", "attestryd-i", "attestryd-h",
	"attestryd-g", "attestryd-f", "attestryd-e", "attestryd-d", "attestryd-c", "attestryd-b",
	"attestryd", "postgresql" };

static json_t *load(const char *dir, char real[PATH_MAX], struct diag *d)
{
	char path[PATH_MAX];
	json_error_t err;
	json_t *doc;

	if (!realpath(dir, real) || str_format(path, sizeof(path), "%s/lab.json", real) != RC_OK) {
		diag_errno(d, RC_NOT_FOUND, "%s", dir);
		return NULL;
	}
	doc = json_load_file(path, 0, &err);
	if (!doc)
		diag_set(d, RC_NOT_FOUND, "%s: %s; is this the folder of a lab?", path, err.text);
	return doc;
}

enum rc lab_down(const char *dir, struct diag *d)
{
	char real[PATH_MAX];
	json_t *doc = load(dir, real, d);
	json_t *pids = json_object_get(doc, "pids");

	if (!doc)
		return RC_NOT_FOUND;
	for (size_t i = 0; i < ARRAY_LEN(order); i++) {
		size_t at;
		json_t *pid;
		json_array_foreach(json_object_get(pids, order[i]), at, pid)
			/* PostgreSQL's SIGTERM waits for clients. */
			lab_end(real, (pid_t)json_integer_value(pid),
				strcmp(order[i], "postgresql") == 0 ? SIGINT : SIGTERM, GRACE_MS);
	}
	json_decref(doc);
	return RC_OK;
}

enum rc lab_status(const char *dir, bool as_json, bool *all_up, struct diag *d)
{
	char real[PATH_MAX];
	json_t *doc = load(dir, real, d), *pids = json_object_get(doc, "pids"), *list;
	json_t *out = json_object();
	const char *role;

	if (!doc || !out) {
		json_decref(out);
		json_decref(doc);
		return RC_NOT_FOUND;
	}
	*all_up = json_object_size(pids) > 0;
	json_object_foreach(pids, role, list)
	{
		size_t at;
		json_t *pid;
		json_array_foreach(list, at, pid)
		{
			int id = (int)json_integer_value(pid);
			bool up = lab_alive(real, (pid_t)id);
			*all_up = *all_up && up;
			json_object_set_new(
				out, role, json_pack("{s:i, s:b}", "pid", id, "running", up));
			if (!as_json)
				printf("%-16s %-8s pid %d\n", role, up ? "running" : "ended", id);
		}
	}
	if (as_json)
		json_dumpf(out, stdout, JSON_INDENT(2));
	else
		printf("%-16s %s\n%-16s udp, tcp %lld; DoT %lld\n%-16s DoT %lld\n", "API",
			json_string_value(json_object_get(json_object_get(doc, "https"), "url")),
			"DNS",
			json_integer_value(json_object_get(json_object_get(doc, "dns"), "udp")),
			json_integer_value(json_object_get(json_object_get(doc, "dns"), "dot")),
			"resolver",
			json_integer_value(
				json_object_get(json_object_get(doc, "resolver"), "dot")));
	json_decref(out);
	json_decref(doc);
	return RC_OK;
}
