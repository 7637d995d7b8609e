/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Between the files of resolver only. */

#include "cli.h"
#include "dane/dane.h"

#define RESOLVER_KEY_DAYS 3650 /* a pin is changed by rotate, not by a date */

/* A resolver as its folder and the registry know it. */
struct resolver {
	char dir[PATH_MAX];
	char zone[DANE_NAME_MAX], name[DANE_NAME_MAX], addr[64];
	int port;
	bool registry;	 /* asked what it tells devices */
	bool told;	 /* it tells them of this one, with these pins */
	json_t *anchors; /* DS texts; NULL: not asked */
	char pin[DANE_PINS_MAX][45];
	size_t pins;
};

/* From a folder (NULL: the lab's) and, where the command line says how, the registry. An exit
 * code; what is wrong has been said. */
int resolver_open(struct cli *cli, const char *dir, struct resolver *r);
void resolver_close(struct resolver *r);
/* Looks names up as a device does: over TLS with the pins, up to the anchors. */
int resolver_dane(struct resolver *r, struct dane **out);
enum rc resolver_path(const struct resolver *r, const char *file, char out[PATH_MAX],
	struct diag *d) ATT_MUST_CHECK;
/* Looks that a check consists of. */
struct looks {
	const struct cli *cli;
	json_t *list;
	unsigned bad;
};
void look(struct looks *l, const char *what, bool ok, const char *fmt, ...) ATT_PRINTF(4, 5);

struct seen {
	uint32_t serial; /* of the zone, as it gives it; 0: not known */
	unsigned ms;	 /* for a connection and a question */
};
/* What is seen of it from outside; the folder is not looked at. */
void resolver_look_outside(struct resolver *r, struct looks *l, struct seen *seen);
void looks_begin(struct looks *l, const struct cli *cli);

int resolver_check(struct cli *cli);
int resolver_watch(struct cli *cli);
int resolver_expect(struct cli *cli);
