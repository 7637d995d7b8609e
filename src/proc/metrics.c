/* SPDX-License-Identifier: Apache-2.0 */
#include "proc/metrics.h"
#include "base/file.h"
#include "base/str.h"

#include <ctype.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* Every role's names and the supervisor's own. */
#define NAMES_MAX 128

struct usage {
	double cpu_s;
	double resident;
};

bool metrics_name_ok(const char *name)
{
	size_t n = 0;

	for (; name[n]; n++) {
		if (!islower((unsigned char)name[n]) && name[n] != '_' &&
			!(n && isdigit((unsigned char)name[n])))
			return false;
	}
	return n > 0 && n < METRIC_NAME_MAX;
}

bool metrics_of_ok(const char *of)
{
	size_t n = 0;

	for (; of[n]; n++) {
		if (!isalnum((unsigned char)of[n]) && !strchr("_-.", of[n]))
			return false;
	}
	return n < METRIC_OF_MAX;
}

/* proc(5): fields 14 and 15 are ticks, 24 pages. The second field may hold blanks and brackets. */
static struct usage usage_of(pid_t pid)
{
	unsigned long long user = 0, system = 0;
	struct usage u = { 0, 0 };
	long long resident = 0;
	char path[64], text[1024];
	const char *rest;
	ssize_t n;
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return u;
	n = read(fd, text, sizeof(text) - 1);
	close(fd);
	text[n > 0 ? n : 0] = '\0';
	rest = strrchr(text, ')');
	if (!rest ||
		sscanf(rest + 1,
			" %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %llu %llu %*d %*d %*d %*d "
			"%*d %*d %*u %*u %lld",
			&user, &system, &resident) != 3)
		return u;
	u.cpu_s = (double)(user + system) / (double)sysconf(_SC_CLK_TCK);
	u.resident = (double)resident * (double)sysconf(_SC_PAGESIZE);
	return u;
}

static bool ends_in_total(const char *name)
{
	size_t n = strlen(name);

	return n > 6 && strcmp(name + n - 6, "_total") == 0;
}

static void head(FILE *f, const char *name)
{
	fprintf(f, "# TYPE attestry_%s %s\n", name, ends_in_total(name) ? "counter" : "gauge");
}

static void sample(FILE *f, const char *name, const char *role, double value)
{
	fprintf(f, "attestry_%s{role=\"%s\"} %.15g\n", name, role, value);
}

static void write_own(FILE *f, const struct metrics_role *roles, size_t n)
{
	struct usage u[METRICS_ROLES_MAX];

	fprintf(f, "# TYPE attestry_written_seconds gauge\nattestry_written_seconds %lld\n",
		(long long)time(NULL));
	head(f, "up");
	for (size_t i = 0; i < n; i++)
		sample(f, "up", roles[i].role, roles[i].pid > 0 && roles[i].ready);
	head(f, "restarts_total");
	for (size_t i = 0; i < n; i++)
		sample(f, "restarts_total", roles[i].role, roles[i].restarts);
	for (size_t i = 0; i < n; i++)
		u[i] = roles[i].pid > 0 ? usage_of(roles[i].pid) : (struct usage){ 0, 0 };
	head(f, "cpu_seconds_total");
	for (size_t i = 0; i < n; i++)
		sample(f, "cpu_seconds_total", roles[i].role, u[i].cpu_s);
	head(f, "resident_bytes");
	for (size_t i = 0; i < n; i++)
		sample(f, "resident_bytes", roles[i].role, u[i].resident);
}

static bool listed(const char *const *names, size_t count, const char *name)
{
	for (size_t i = 0; i < count; i++) {
		if (strcmp(names[i], name) == 0)
			return true;
	}
	return false;
}

static void write_name(FILE *f, const char *name, const struct metrics_role *roles, size_t n)
{
	head(f, name);
	for (size_t i = 0; i < n; i++) {
		for (size_t k = 0; k < roles[i].count; k++) {
			const struct metric *m = &roles[i].metrics[k];

			if (strcmp(m->name, name) == 0 && m->of[0])
				fprintf(f, "attestry_%s{role=\"%s\",name=\"%s\"} %.15g\n", name,
					roles[i].role, m->of, m->value);
			else if (strcmp(m->name, name) == 0)
				sample(f, name, roles[i].role, m->value);
		}
	}
}

enum rc metrics_write(const struct metrics_role *roles, size_t n, char **out, size_t *len)
{
	const char *names[NAMES_MAX];
	size_t count = 0;
	FILE *f = n <= METRICS_ROLES_MAX ? open_memstream(out, len) : NULL;

	if (!f)
		return RC_NOMEM;
	write_own(f, roles, n);
	for (size_t i = 0; i < n; i++) {
		for (size_t k = 0; k < roles[i].count && count < NAMES_MAX; k++) {
			const char *name = roles[i].metrics[k].name;

			if (!metrics_name_ok(name) || listed(names, count, name))
				continue;
			names[count++] = name;
			write_name(f, name, roles, n);
		}
	}
	return fclose(f) == 0 ? RC_OK : RC_NOMEM;
}

static enum rc put(int fd, const char *text, size_t len)
{
	while (len) {
		ssize_t n = write(fd, text, len);

		if (n <= 0)
			return RC_IO;
		text += n;
		len -= (size_t)n;
	}
	return RC_OK;
}

enum rc metrics_save(const char *run_folder, const struct metrics_role *roles, size_t n)
{
	char path[4096], fresh[4096];
	char *text = NULL;
	size_t len = 0;
	enum rc rc = str_format(path, sizeof(path), "%s/metrics.prom", run_folder);
	int fd = -1;

	if (rc == RC_OK)
		rc = str_format(fresh, sizeof(fresh), "%s/metrics.new", run_folder);
	if (rc == RC_OK)
		rc = metrics_write(roles, n, &text, &len);
	if (rc != RC_OK)
		return rc;
	fd = open(fresh, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0644);
	rc = fd >= 0 ? put(fd, text, len) : RC_IO;
	if (fd >= 0)
		close(fd);
	if (rc == RC_OK && rename(fresh, path) != 0)
		rc = RC_IO;
	free(text);
	return rc;
}

void metrics_remove(const char *run_folder)
{
	char path[4096];

	if (str_format(path, sizeof(path), "%s/metrics.prom", run_folder) == RC_OK)
		(void)unlink(path);
}
