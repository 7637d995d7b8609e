/* SPDX-License-Identifier: Apache-2.0 */
#include "asp/mosquitto/plugin.h"

#include <limits.h>
#include <stdio.h>

#define TEXT_MAX 16384

/* Not synced: a broker does not wait for a disk, and what is lost is written again. */
void plugin_metrics(struct plugin *p, uint64_t now_ms)
{
	char text[TEXT_MAX], path[PATH_MAX];
	size_t len;
	FILE *out;
	bool good;

	if (!p->metrics_file || (p->metrics_ms && now_ms - p->metrics_ms < PLUGIN_METRICS_MS))
		return;
	p->metrics_ms = now_ms;
	len = attest_metrics_text(p->attest, text, sizeof(text));
	(void)snprintf(path, sizeof(path), "%s.new", p->metrics_file);
	out = fopen(path, "we");
	if (!out)
		return;
	good = fwrite(text, 1, len < sizeof(text) ? len : sizeof(text) - 1, out) > 0;
	fprintf(out,
		"# HELP attest_kicked_total Live sessions that were cut.\n"
		"# TYPE attest_kicked_total counter\nattest_kicked_total %llu\n"
		"# HELP attest_sessions Clients that were judged and are here.\n"
		"# TYPE attest_sessions gauge\nattest_sessions %zu\n",
		(unsigned long long)p->kicked, p->sessions.n);
	if (fclose(out) == 0 && good)
		(void)rename(path, p->metrics_file);
}
