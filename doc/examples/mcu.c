/* SPDX-License-Identifier: Apache-2.0 */
/* A microcontroller with a modem on its serial line signs a digest on the SIM: all of libiotsafe
 * that this needs is iotsafe_core.h. The board gives uart_putc and uart_getc. */
#include "iotsafe_core.h"

/* The board's: sends one byte; receives one, or says that none came in time (-1). */
void uart_putc(unsigned char byte);
int uart_getc(unsigned timeout_ms);

enum iotsafe_error demo_sign(
	const unsigned char digest[IOTSAFE_DIGEST_LEN], unsigned char sig[IOTSAFE_SIG_LEN]);

#define LINE_MAX_LEN 560 /* "+CSIM: 516," and the digits of 258 bytes */
#define PATIENCE_MS  5000

/* One line without its end; -1 when the modem is silent. */
static int read_line(char line[LINE_MAX_LEN])
{
	int n = 0, byte;

	while ((byte = uart_getc(PATIENCE_MS)) >= 0) {
		if (byte == '\r' || byte == '\n') {
			if (n > 0)
				return n;
		} else if (n < LINE_MAX_LEN) {
			line[n++] = (char)byte;
		}
	}
	return -1;
}

static enum iotsafe_error exchange(
	void *arg, const unsigned char *apdu, size_t len, unsigned char *reply, size_t *reply_len)
{
	static char text[LINE_MAX_LEN];
	bool got = false;
	int n;

	(void)arg;
	if (iotsafe_core_at_write(apdu, len, text, sizeof(text)) == 0)
		return IOTSAFE_EINVAL;
	for (const char *at = text; *at; at++)
		uart_putc((unsigned char)*at);
	while ((n = read_line(text)) >= 0) {
		switch (iotsafe_core_at_line(text, (size_t)n, reply, reply_len)) {
		case IOTSAFE_LINE_NOISE: break;
		case IOTSAFE_LINE_CSIM: got = true; break;
		case IOTSAFE_LINE_OK:
			if (got)
				return IOTSAFE_OK;
			break;
		case IOTSAFE_LINE_ERROR: return IOTSAFE_ENOCARD;
		case IOTSAFE_LINE_BAD_CSIM: return IOTSAFE_EPROTO;
		}
	}
	return IOTSAFE_ETIMEOUT;
}

enum iotsafe_error demo_sign(
	const unsigned char digest[IOTSAFE_DIGEST_LEN], unsigned char sig[IOTSAFE_SIG_LEN])
{
	static const unsigned char key[] = { 0x01 };
	static struct iotsafe_core core;
	enum iotsafe_error e;

	core.exchange = exchange;
	e = iotsafe_core_open(&core);
	if (e == IOTSAFE_OK)
		e = iotsafe_core_sign(&core, (struct iotsafe_id){ key, sizeof(key) }, digest, sig);
	iotsafe_core_close(&core);
	return e;
}
