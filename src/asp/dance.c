/* SPDX-License-Identifier: Apache-2.0 */
#include "asp/internal.h"

#include "base/str.h"

#include <stdio.h>
#include <string.h>

enum rc asp__dance_name(const char *sent, const struct asp_cert *cert, const char *zone,
	char out[ASP_NAME_TEXT], struct diag *d)
{
	char alias[ASP_NAME_TEXT];
	struct ident_owner owner;

	alias[0] = '\0'; /* a name that hides the ICCID has none */
	if (ident_owner_parse(cert->name, zone, &owner) == RC_OK &&
		str_format(alias, sizeof(alias), "%s._device.%s", owner.iccid, owner.zone) != RC_OK)
		return diag_set(d, RC_INTERNAL, "owner name does not parse");
	/* No trailing dot, draft-ietf-dance-client-auth section 3. */
	if (str_equal_nocase(sent, cert->name))
		return str_copy(out, ASP_NAME_TEXT, cert->name);
	if (alias[0] && str_equal_nocase(sent, alias))
		return str_copy(out, ASP_NAME_TEXT, alias);
	return diag_set(d, RC_DENIED, "the client's name is not that of its certificate");
}
