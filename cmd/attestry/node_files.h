/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The folder of a further node: made from another node's, keys sealed on the way. */

#include "ca/node.h"
#include "role/config.h"

/* Sets one value in a configuration file, whichever it had. */
enum rc node_conf_set(const char *conf, const char *section, const char *name, const char *value,
	struct diag *d) ATT_MUST_CHECK;
/* An absent or empty folder becomes one with a node key; `point` of it. */
enum rc node_folder_make(
	const char *to, uint8_t point[CA_POINT_LEN], struct diag *d) ATT_MUST_CHECK;
/* Configuration, certificates and sealed keys of `config` into `out`, for node `name`. */
enum rc node_bundle_write(const struct config *config, const char *out, const char *name,
	const uint8_t point[CA_POINT_LEN], struct diag *d) ATT_MUST_CHECK;
/* From there into a folder that node_folder_make made. */
enum rc node_bundle_take(
	const char *from, const char *to, const char *name, struct diag *d) ATT_MUST_CHECK;
