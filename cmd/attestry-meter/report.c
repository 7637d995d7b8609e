/* SPDX-License-Identifier: Apache-2.0 */
#include "meter.h"

#include "base/str.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static void print_human(const char *step, const json_t *fields)
{
	const char *key;
	json_t *v;

	printf("%-10s", step);
	json_object_foreach((json_t *)(uintptr_t)fields, key, v)
	{
		char *text = json_dumps(v, JSON_ENCODE_ANY | JSON_COMPACT);
		if (json_is_string(v))
			printf(" %s=%s", key, json_string_value(v));
		else
			printf(" %s=%s", key, text ? text : "?");
		free(text);
	}
	putchar('\n');
}

void report(const struct meter *m, const char *step, json_t *fields)
{
	json_t *line;

	if (!m->opt.json) {
		print_human(step, fields);
		(void)fflush(stdout);
		json_decref(fields);
		return;
	}
	struct timespec now;
	clock_gettime(CLOCK_REALTIME, &now);
	line = json_pack("{s:s, s:f}", "step", step, "time",
		(double)now.tv_sec + (double)(now.tv_nsec / 1000000) / 1000);
	if (fields)
		json_object_update(line, fields);
	char *text = json_dumps(line, JSON_COMPACT | JSON_REAL_PRECISION(13));
	if (text)
		puts(text);
	(void)fflush(stdout);
	free(text);
	json_decref(line);
	json_decref(fields);
}

void report_new(struct meter *m, const char *step, json_t *fields)
{
	char *text = json_dumps(fields, JSON_COMPACT);
	struct said *free_one = NULL;

	for (size_t i = 0; text && i < ARRAY_LEN(m->said); i++) {
		struct said *s = &m->said[i];
		if (!s->step && !free_one)
			free_one = s;
		if (!s->step || strcmp(s->step, step) != 0)
			continue;
		if (strcmp(s->text, text) == 0) {
			free(text);
			json_decref(fields);
			return;
		}
		free_one = s;
		break;
	}
	if (free_one) {
		free(free_one->text);
		free_one->step = step;
		free_one->text = text;
		text = NULL;
	}
	free(text);
	report(m, step, fields);
}

void report_forget(struct meter *m)
{
	for (size_t i = 0; i < ARRAY_LEN(m->said); i++) {
		free(m->said[i].text);
		m->said[i] = (struct said){ 0 };
	}
	m->last_refusal[0] = '\0';
}

/* The same reason again and again is said once. */
void report_refusal(struct meter *m, const struct refusal *r)
{
	char now[sizeof(m->last_refusal)];

	(void)!str_format(
		now, sizeof(now), "%d %s %s %s", r->again, r->step, r->reason, r->why.text);
	if (strcmp(now, m->last_refusal) == 0)
		return;
	memcpy(m->last_refusal, now, sizeof(now));
	report(m, r->again ? "waiting" : "refused",
		json_pack(
			"{s:s, s:s, s:s}", "at", r->step, "reason", r->reason, "why", r->why.text));
}
