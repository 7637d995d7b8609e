/* SPDX-License-Identifier: Apache-2.0 */
/* The file `zone-keys`: which keys there are, in which state and since when. */
#include "base/compiler.h"
#include "base/str.h"
#include "ca/zonekeys__.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define HEAD	  "attestry-zone-keys 1\n"
#define LINE_MAX_ 384
#define TIMES	  "%" SCNd64 " %" SCNd64 " %" SCNd64 " %" SCNd64 " %" SCNd64 " %" SCNd64

static const char *const state_texts[CA_KEY_STATES] = { "none", "published", "ready", "active",
	"retiring", "retired", "removed" };
static const char *const phase_texts[CA_ALG_PHASES] = { "none", "signing", "published", "ds",
	"withdrawing", "removed", "cleaning" };

const char *ca_zone_key_state_text(enum ca_zone_key_state state)
{
	return (unsigned)state < CA_KEY_STATES ? state_texts[state] : "unknown";
}

const char *ca_alg_phase_text(enum ca_alg_phase phase)
{
	return (unsigned)phase < CA_ALG_PHASES ? phase_texts[phase] : "unknown";
}

static bool file_name_ok(const char *name)
{
	size_t n = strlen(name);

	if (n < 5 || strcmp(name + n - 4, ".key") != 0 || name[0] == '.')
		return false;
	return strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-.") == n;
}

/* "ksk" and "zsk" are P-256's, "ksk15" and "zsk15" Ed25519's. */
static bool kind_read(const char *text, struct ca_zone_key *k)
{
	k->pub.ksk = strncmp(text, "ksk", 3) == 0;
	if (!k->pub.ksk && strncmp(text, "zsk", 3) != 0)
		return false;
	k->pub.alg = strcmp(text + 3, "15") == 0 ? CA_ED25519 : CA_P256;
	return k->pub.alg == CA_ED25519 || text[3] == '\0';
}

/* "ksk FILE STATE HOLD T0 ... T5" */
static enum rc parse_key(struct ca_zone_key *out, const char *line, struct diag *d)
{
	struct ca_zone_key k = { 0 };
	char kind[6], state[12], hold[8];
	int n = 0;
	int got = sscanf(line, "%5s %31s %11s %7s " TIMES "%n", kind, k.file, state, hold,
		&k.times[0], &k.times[1], &k.times[2], &k.times[3], &k.times[4], &k.times[5], &n);

	for (unsigned i = CA_KEY_PUBLISHED; i < CA_KEY_REMOVED && got == 10; i++)
		if (strcmp(state, state_texts[i]) == 0)
			k.state = (enum ca_zone_key_state)i;
	k.hold = got == 10 && strcmp(hold, "standby") == 0;
	if (got != 10 || line[n] || k.state == CA_KEY_NONE || !file_name_ok(k.file) ||
		!kind_read(kind, &k) || (!k.hold && strcmp(hold, "-") != 0))
		return diag_set(d, RC_MALFORMED, "zone-keys: not a key's line: %.40s", line);
	*out = k;
	return RC_OK;
}

/* "algorithm FROM TO PHASE T1 ... T6" */
static enum rc parse_roll(struct ca_alg_roll *out, const char *line, struct diag *d)
{
	struct ca_alg_roll r = { 0 };
	unsigned from = 0, to = 0;
	char phase[12];
	int n = 0;
	int got = sscanf(line, "algorithm %3u %3u %11s " TIMES "%n", &from, &to, phase, &r.times[1],
		&r.times[2], &r.times[3], &r.times[4], &r.times[5], &r.times[6], &n);

	for (unsigned i = CA_ALG_SIGNING; i < CA_ALG_PHASES && got == 9; i++)
		if (strcmp(phase, phase_texts[i]) == 0)
			r.phase = (enum ca_alg_phase)i;
	if (got != 9 || line[n] || r.phase == CA_ALG_NONE || from == to || out->phase ||
		!ca_alg_of_number(from, &r.from) || !ca_alg_of_number(to, &r.to))
		return diag_set(d, RC_MALFORMED, "zone-keys: not an algorithm's line: %.40s", line);
	*out = r;
	return RC_OK;
}

/* One active key of each kind for each algorithm that there is; two only while one replaces the
 * other, and then no other key. */
static enum rc check_set(const struct ca_zone_keys *s, struct diag *d)
{
	unsigned active[CA_ALGS][2] = { { 0, 0 } };
	size_t signers = s->roll.phase ? 4 : 2;
	size_t count = 0;

	for (size_t i = 0; i < s->count; i++)
		active[s->key[i].pub.alg][s->key[i].pub.ksk] += s->key[i].state == CA_KEY_ACTIVE;
	for (unsigned a = 0; a < CA_ALGS; a++) {
		if (active[a][0] != active[a][1] || active[a][0] > 1)
			count = SIZE_MAX / 2;
		count += active[a][0] + active[a][1];
	}
	if (count != signers || (s->roll.phase && s->count != signers))
		return diag_set(d, RC_MALFORMED,
			"zone-keys: not one active KSK and one active ZSK of each algorithm");
	for (size_t i = 0; i < s->count; i++)
		if (!active[s->key[i].pub.alg][0])
			return diag_set(d, RC_MALFORMED, "zone-keys: a key of another algorithm");
	return RC_OK;
}

enum rc ca_zone_keys_parse(struct ca_zone_keys *out, const char *text, struct diag *d)
{
	struct ca_zone_keys s = { 0 };
	enum rc rc = RC_OK;

	if (strncmp(text, HEAD, strlen(HEAD)) != 0)
		return diag_set(d, RC_MALFORMED, "zone-keys: not such a file");
	text += strlen(HEAD);
	while (rc == RC_OK && *text) {
		char line[LINE_MAX_];
		size_t n = strcspn(text, "\n");

		if (n >= sizeof(line) || text[n] != '\n' || s.count == CA_ZONE_KEYS_MAX)
			return diag_set(d, RC_MALFORMED, "zone-keys: a line, or their number");
		memcpy(line, text, n);
		line[n] = '\0';
		rc = strncmp(line, "algorithm ", 10) == 0 ? parse_roll(&s.roll, line, d)
							  : parse_key(&s.key[s.count++], line, d);
		text += n + 1;
	}
	if (rc == RC_OK)
		rc = check_set(&s, d);
	if (rc == RC_OK)
		*out = s;
	return rc;
}

static const char *kind_of(const struct ca_zone_key *k)
{
	static const char *const kinds[CA_ALGS][2] = { { "zsk", "ksk" }, { "zsk15", "ksk15" } };

	return kinds[k->pub.alg][k->pub.ksk];
}

enum rc ca__zone_keys_text(const struct ca_zone_keys *s, char text[CA__ZONE_KEYS_TEXT_MAX])
{
	const struct ca_alg_roll *r = &s->roll;
	size_t n = strlen(HEAD);
	enum rc rc = str_copy(text, CA__ZONE_KEYS_TEXT_MAX, HEAD);

	if (rc == RC_OK && r->phase) {
		rc = str_format(text + n, CA__ZONE_KEYS_TEXT_MAX - n,
			"algorithm %u %u %s %" PRId64 " %" PRId64 " %" PRId64 " %" PRId64
			" %" PRId64 " %" PRId64 "\n",
			ca_alg_number(r->from), ca_alg_number(r->to), phase_texts[r->phase],
			r->times[1], r->times[2], r->times[3], r->times[4], r->times[5],
			r->times[6]);
		n += strlen(text + n);
	}
	for (size_t i = 0; rc == RC_OK && i < s->count; i++) {
		const struct ca_zone_key *k = &s->key[i];
		rc = str_format(text + n, CA__ZONE_KEYS_TEXT_MAX - n,
			"%s %s %s %s %" PRId64 " %" PRId64 " %" PRId64 " %" PRId64 " %" PRId64
			" %" PRId64 "\n",
			kind_of(k), k->file, state_texts[k->state], k->hold ? "standby" : "-",
			k->times[0], k->times[1], k->times[2], k->times[3], k->times[4],
			k->times[5]);
		n += strlen(text + n);
	}
	return rc;
}
