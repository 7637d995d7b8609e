/* SPDX-License-Identifier: Apache-2.0 */
/* Orders about keys that are not begun yet: written beside the zone, so that they survive this
 * process. What is begun is in keys' hands and durable there. */
#include "role/zone_internal.h"

#include <string.h>

#define NOTE "key orders"

enum { AT_VERSION, AT_ZSK, AT_KSK, AT_ALGORITHM, AT_ID, NOTE_LEN = AT_ID + 8 };
enum { GO = 1, STANDBY = 2, FAST = 4, CONFIRMED = 8 };

static void write_note(const struct zone_role *z, uint8_t out[NOTE_LEN])
{
	out[AT_VERSION] = 1;
	for (unsigned i = 0; i < 2; i++)
		out[AT_ZSK + i] = (uint8_t)((z->roll.want[i].go ? GO : 0) |
					    (z->roll.want[i].standby ? STANDBY : 0) |
					    (z->roll.want[i].fast ? FAST : 0) |
					    (z->roll.want[i].confirmed ? CONFIRMED : 0));
	out[AT_ALGORITHM] = (uint8_t)z->roll.alg.want;
	rec_put64(out + AT_ID, z->roll.order_id);
}

void zone__orders_load(struct zone_role *z)
{
	uint8_t note[NOTE_LEN];
	size_t len = sizeof(note);

	if (zone_db_note_get(z->db, NOTE, note, &len) != RC_OK || len != NOTE_LEN ||
		note[AT_VERSION] != 1)
		return;
	for (unsigned i = 0; i < 2; i++) {
		z->roll.want[i].go = note[AT_ZSK + i] & GO;
		z->roll.want[i].standby = note[AT_ZSK + i] & STANDBY;
		z->roll.want[i].fast = note[AT_ZSK + i] & FAST;
		z->roll.want[i].confirmed = note[AT_ZSK + i] & CONFIRMED;
	}
	z->roll.alg.want = note[AT_ALGORITHM];
	z->roll.order_id = rec_get64(note + AT_ID);
	memcpy(z->roll.noted, note, NOTE_LEN);
}

void zone__orders_save(struct zone_role *z)
{
	uint8_t note[NOTE_LEN];

	_Static_assert(NOTE_LEN == ZONE_NOTE_LEN, "the note's room");
	/* A rebuild has its own transaction open: the next tick is soon enough. */
	write_note(z, note);
	if (z->rebuild || memcmp(note, z->roll.noted, NOTE_LEN) == 0)
		return;
	/* Each commit is seen by all: a dns that finds one it has not heard of looks for long. */
	if (zone_db_note_put(z->db, NOTE, note, NOTE_LEN) != RC_OK ||
		snap_writer_publish(z->snaps) != RC_OK)
		log_write(z->role->log, LOG_ERROR, "key_orders not durable");
	else
		memcpy(z->roll.noted, note, NOTE_LEN);
}

uint64_t zone__orders_durable(const struct zone_role *z)
{
	return rec_get64(z->roll.noted + AT_ID);
}

size_t zone__orders_text(const struct zone_role *z, char *out[ZONE_ORDERS_MAX])
{
	static char *const texts[2][3] = { { "zsk roll", "zsk standby", "zsk emergency" },
		{ "ksk roll", "ksk standby", "ksk emergency" } };
	size_t n = 0;

	for (unsigned i = 0; i < 2; i++) {
		if (z->roll.want[i].go)
			out[n++] = texts[i][z->roll.want[i].fast ? 2 : 0];
		if (z->roll.want[i].standby)
			out[n++] = texts[i][1];
	}
	if (z->roll.alg.want)
		out[n++] = z->roll.alg.want == RR_ALG_ED25519 ? "algorithm ed25519"
							      : "algorithm ecdsap256sha256";
	return n;
}
