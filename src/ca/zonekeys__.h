/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Between the files of zonekeys only. */

#include "ca/zonekeys.h"

#define CA__ZONE_KEYS_TEXT_MAX 8192

/* The set as its file says it. */
enum rc ca__zone_keys_text(
	const struct ca_zone_keys *s, char text[CA__ZONE_KEYS_TEXT_MAX]) ATT_MUST_CHECK;
/* A copy with one reference; NULL without memory. */
struct ca_zone_keys *ca__zone_keys_copy(const struct ca_zone_keys *keys);
/* Fills in what follows from the keys themselves. */
enum rc ca__zone_keys_finish(
	struct ca_zone_keys *s, const char *zone, struct diag *d) ATT_MUST_CHECK;
enum rc ca__zone_keys_save(
	const struct ca_zone_keys *s, const char *folder, struct diag *d) ATT_MUST_CHECK;
/* A key with a tag of its own as a new last one of the set, its file written. */
enum rc ca__zone_keys_add(struct ca_zone_keys *s, const char *folder, enum ca_alg alg,
	const struct ca_zone_key *like, struct diag *d) ATT_MUST_CHECK;
/* Takes a key out of the set. */
void ca__zone_keys_drop(struct ca_zone_keys *s, size_t i);
/* Destroys the private part that a key's file leads to. */
void ca__zone_key_destroy(const struct ca_zone_key *key, const char *folder);
