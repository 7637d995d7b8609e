/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Private to batch*.c. */

#include "zone/batch.h"

enum entry_what {
	ENTRY_REFRESH, /* the weakest: any other change of the name makes it needless */
	ENTRY_WITHDRAW,
	ENTRY_DEVICE,
	ENTRY_SETS,
	ENTRY_NEIGHBOUR /* not changed; its NSEC points elsewhere now */
};

struct entry {
	const uint8_t *key;
	size_t key_len;
	size_t order;
	enum entry_what what;
	const uint8_t *device; /* ENTRY_DEVICE: a record without signatures */
	struct work_set *sets; /* ENTRY_SETS */
	unsigned set_count;
	/* after prepare: */
	uint8_t *old; /* NULL: was not there */
	size_t old_len;
	uint8_t *value; /* NULL: is not there any more */
	size_t value_len;
	bool sign_all; /* content is new */
	bool nsec;     /* the NSEC must be made anew */
	bool reformed; /* a neighbour that other algorithms sign now */
};

struct entries {
	struct entry *at;
	size_t count;
	size_t cap;
};

struct batch {
	struct zone_db *db;
	struct work work;
	struct zone_state state; /* as it was */
	uint32_t serial;	 /* the new one */
	uint32_t floor;		 /* it is above this too; 0: nothing is known */
	bool infra;
	struct entries change; /* netted and sorted by prepare; [0] is the apex */
	struct entries neighbour;
	MDB_cursor *cursor; /* during prepare */
};

struct entry *batch__add(struct entries *list);
/* Values of all changed names. */
enum rc batch__resolve(struct batch *b, struct diag *d) ATT_MUST_CHECK;
/* Whose NSEC changes, and what must be signed. */
enum rc batch__chain(struct batch *b) ATT_MUST_CHECK;
