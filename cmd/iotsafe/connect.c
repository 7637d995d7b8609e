/* SPDX-License-Identifier: Apache-2.0 */
#include "iotsafe_cmd.h"

#include "device/service.h"

#include <unistd.h>

int cmd_connect(const struct run *run)
{
	static const struct payload_state none;
	struct iotsafe *card = run->argc == 0 ? cmd_open(run) : NULL;
	struct service *s = NULL;
	struct diag d = { 0 };
	SSL *ssl = NULL;
	int fd = -1, code;
	enum rc rc;

	if (run->argc != 0)
		return EXIT_USAGE;
	if (!card)
		return EXIT_CANNOT_TELL;
	rc = service_prove(card, run->slot, &none, &s, &d);
	if (rc == RC_OK)
		rc = service_connect(s, &ssl, &fd, &d);
	if (rc == RC_OK)
		code = service_carry(ssl, fd, STDIN_FILENO, STDOUT_FILENO) ? EXIT_YES : EXIT_NO;
	else
		code = cmd_fail(run, rc == RC_UNAVAILABLE ? EXIT_CANNOT_TELL : EXIT_NO,
			d.text[0] ? d.text : rc_text(rc));
	SSL_free(ssl);
	if (fd >= 0)
		close(fd);
	service_free(s);
	iotsafe_close(card);
	return code;
}
