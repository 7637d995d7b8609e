/* SPDX-License-Identifier: Apache-2.0 */
#include "base/diag.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

enum rc diag_set(struct diag *d, enum rc rc, const char *fmt, ...)
{
	va_list ap;

	if (!d)
		return rc;
	va_start(ap, fmt);
	(void)vsnprintf(d->text, sizeof(d->text), fmt, ap);
	va_end(ap);
	return rc;
}

void diag_prefix(struct diag *d, const char *prefix)
{
	char old[DIAG_TEXT_MAX];

	if (!d)
		return;
	memcpy(old, d->text, sizeof(old));
	/* A cut is what the contract says of a text that is too long. */
	int n = snprintf(d->text, sizeof(d->text), "%s: ", prefix);
	if (n > 0 && (size_t)n < sizeof(d->text))
		(void)snprintf(d->text + n, sizeof(d->text) - (size_t)n, "%s", old);
}

enum rc diag_errno(struct diag *d, enum rc rc, const char *fmt, ...)
{
	int saved = errno;
	va_list ap;

	if (!d)
		return rc;
	va_start(ap, fmt);
	int n = vsnprintf(d->text, sizeof(d->text), fmt, ap);
	va_end(ap);
	if (n > 0 && (size_t)n < sizeof(d->text))
		(void)snprintf(d->text + n, sizeof(d->text) - (size_t)n, ": %s", strerror(saved));
	return rc;
}
