/* SPDX-License-Identifier: Apache-2.0 */
/* The KSK is off-line: its pre-signed sets follow one another, new ones are looked for, and
 * somebody hears of it long before the last one ends. */
#include "role/zone_internal.h"

#define LOOK_MS	     5000u
#define SAY_AGAIN_MS 3600000u

static uint64_t mono(const struct zone_role *z)
{
	return z->role->clock->monotonic_ms(z->role->clock);
}

void zone__presigned_keys(struct zone_role *z, const Keys__Public *pub)
{
	struct zone_presigned *p = &z->roll.presigned;

	p->offline = pub->presigned != NULL;
	p->next = pub->presigned ? pub->presigned->next : 0;
	if (pub->presigned && pub->presigned->end != p->end)
		p->said_ms = 0;
	p->end = pub->presigned ? pub->presigned->end : 0;
}

static void say(struct zone_role *z)
{
	struct zone_presigned *p = &z->roll.presigned;
	int64_t left = (int64_t)p->end - z->role->clock->unix_s(z->role->clock);
	bool alarm = left < z->role->config->zone.presigned_alarm_s;

	if (alarm != p->alarm) {
		p->alarm = alarm;
		zone__say_keys(z);
	}
	if (!alarm || (p->said_ms && mono(z) - p->said_ms < SAY_AGAIN_MS))
		return;
	p->said_ms = mono(z);
	log_write(z->role->log, LOG_ERROR, "presigned_end in_s=%lld do=\"%s\"", (long long)left,
		"attestry zone offline-request");
}

void zone__presigned_tick(struct zone_role *z)
{
	struct zone_presigned *p = &z->roll.presigned;

	p->alarm = p->alarm && p->offline;
	if (!p->offline)
		return;
	say(z);
	if (mono(z) - p->looked_ms < LOOK_MS || z->asked || z->doing != DOING_NOTHING)
		return;
	p->looked_ms = mono(z);
	zone__ask_public(z);
}
