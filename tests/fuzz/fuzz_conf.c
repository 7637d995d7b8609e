/* SPDX-License-Identifier: Apache-2.0 */
/* A configuration file of any bytes: read or refused with a reason, everything freed. */
#include "fuzz.h"

#include "role/config.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct config config = { 0 };
	struct diag d = { 0 };
	char *text = malloc(size + 1);

	if (!text)
		return 0;
	if (size > 0)
		memcpy(text, data, size);
	text[size] = '\0';
	if (conf_read_text(config_table(), text, "/etc/attestry", &config, &d) == RC_OK)
		assert(config.registry.zone && config.registry.zone[0]);
	else
		assert(d.text[0]);
	conf_free(config_table(), &config);
	free(text);
	return 0;
}
