/* SPDX-License-Identifier: Apache-2.0 */
#include "iotsafe_cmd.h"

#include "base/str.h"
#include "device/record.h"
#include "device/self.h"

#include <netdb.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define LOOKUP_MS 5000
#define PIPE_STEP 4096

struct link {
	struct iotsafe *card;
	struct self self;
	struct record_pins pins;
	char host[DANE_NAME_MAX];
	SSL_CTX *ctx;
	SSL *ssl;
	int fd;
	struct diag server; /* why the server was refused */
};

/* What the zone or the payload pins decides, and nothing else. */
static int verify_server(X509_STORE_CTX *ctx, void *arg)
{
	struct link *l = arg;
	STACK_OF(X509) *chain = X509_STORE_CTX_get0_untrusted(ctx);

	if (record_server(&l->pins, chain, l->host, &l->server) == RC_OK) {
		X509_STORE_CTX_set_error(ctx, X509_V_OK);
		return 1;
	}
	X509_STORE_CTX_set_error(ctx, X509_V_ERR_DANE_NO_MATCH);
	return 0;
}

/* Payload believed, own record attested, pins known: or no connection. */
static enum rc check(const struct run *run, struct link *l, struct diag *d)
{
	static const struct payload_state none;
	struct dane *dane = NULL;
	enum record_verdict v;
	enum rc rc = self_read(l->card, run->slot, &none, (uint64_t)time(NULL), &l->self, d);

	if (rc == RC_OK)
		rc = payload_text_copy(l->self.payload.fqdn, l->host, sizeof(l->host));
	if (rc == RC_OK)
		rc = record_open(&l->self.payload, LOOKUP_MS, &dane, d);
	if (rc == RC_OK) {
		v = record_check(dane, l->self.owner, l->self.cert_sha256, d);
		if (v != RECORD_ATTESTED)
			rc = v == RECORD_CANNOT_TELL ? RC_UNAVAILABLE : RC_DENIED;
	}
	if (rc == RC_OK)
		rc = record_service(dane, &l->self.payload, &l->pins, d);
	dane_free(dane);
	return rc;
}

static int dial(const char *host, unsigned port)
{
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM }, *all = NULL;
	char service[8];
	int fd = -1;

	if (str_format(service, sizeof(service), "%u", port) != RC_OK ||
		getaddrinfo(host, service, &hints, &all) != 0)
		return -1;
	for (const struct addrinfo *a = all; a && fd < 0; a = a->ai_next) {
		fd = socket(a->ai_family, a->ai_socktype | SOCK_CLOEXEC, a->ai_protocol);
		if (fd >= 0 && connect(fd, a->ai_addr, a->ai_addrlen) != 0) {
			close(fd);
			fd = -1;
		}
	}
	freeaddrinfo(all);
	return fd;
}

static enum rc secure(const struct run *run, struct link *l, struct diag *d)
{
	enum rc rc = self_card_error(l->card, iotsafe_ssl_ctx(l->card, run->slot, &l->ctx), d);
	unsigned port = l->self.payload.port;

	if (rc != RC_OK)
		return rc;
	SSL_CTX_set_cert_verify_callback(l->ctx, verify_server, l);
	/* A session ticket is not data: reading it must not wait for some, while the user speaks.
	 */
	(void)SSL_CTX_clear_mode(l->ctx, SSL_MODE_AUTO_RETRY);
	l->fd = dial(l->host, port);
	if (l->fd < 0)
		return diag_set(d, RC_UNAVAILABLE, "%s:%u: no connection", l->host, port);
	l->ssl = SSL_new(l->ctx);
	if (!l->ssl || SSL_set_fd(l->ssl, l->fd) != 1 ||
		SSL_set_tlsext_host_name(l->ssl, l->host) != 1)
		return RC_NOMEM;
	if (SSL_connect(l->ssl) == 1)
		return RC_OK;
	if (l->server.text[0])
		return diag_set(d, RC_AUTH, "%s", l->server.text);
	const char *why = ERR_reason_error_string(ERR_peek_last_error());
	return diag_set(d, RC_AUTH, "TLS with %s: %s", l->host, why ? why : "closed");
}

static bool write_out(const unsigned char *bytes, size_t len)
{
	while (len > 0) {
		ssize_t n = write(STDOUT_FILENO, bytes, len);
		if (n <= 0)
			return false;
		bytes += n;
		len -= (size_t)n;
	}
	return true;
}

/* Both ways until the server ends; the end of standard input ends our half only. */
static bool carry(struct link *l)
{
	unsigned char buf[PIPE_STEP];
	struct pollfd p[2] = { { .fd = l->fd, .events = POLLIN },
		{ .fd = STDIN_FILENO, .events = POLLIN } };

	for (;;) {
		if (SSL_pending(l->ssl) == 0 && poll(p, 2, -1) < 0)
			return false;
		if (p[0].revents || SSL_pending(l->ssl) > 0) {
			int n = SSL_read(l->ssl, buf, sizeof(buf));
			int e = SSL_get_error(l->ssl, n);
			if (n <= 0 && e != SSL_ERROR_WANT_READ)
				return e == SSL_ERROR_ZERO_RETURN;
			if (n > 0 && !write_out(buf, (size_t)n))
				return false;
		}
		if (p[1].revents) {
			ssize_t n = read(STDIN_FILENO, buf, sizeof(buf));
			if (n > 0 && SSL_write(l->ssl, buf, (int)n) <= 0)
				return false;
			if (n <= 0) {
				p[1].fd = -1;
				(void)SSL_shutdown(l->ssl);
			}
		}
		p[0].revents = p[1].revents = 0;
	}
}

int cmd_connect(const struct run *run)
{
	struct link *l = calloc(1, sizeof(*l));
	struct diag d = { 0 };
	enum rc rc;
	int code = EXIT_CANNOT_TELL;

	if (!l || run->argc != 0) {
		free(l);
		return run->argc != 0 ? EXIT_USAGE : EXIT_CANNOT_TELL;
	}
	l->fd = -1;
	l->card = cmd_open(run);
	if (!l->card)
		goto out;
	rc = check(run, l, &d);
	if (rc == RC_OK)
		rc = secure(run, l, &d);
	if (rc == RC_OK)
		code = carry(l) ? EXIT_YES : EXIT_NO;
	else
		code = cmd_fail(run, rc == RC_UNAVAILABLE ? EXIT_CANNOT_TELL : EXIT_NO,
			d.text[0] ? d.text : rc_text(rc));
out:
	SSL_free(l->ssl);
	SSL_CTX_free(l->ctx);
	if (l->fd >= 0)
		close(l->fd);
	iotsafe_close(l->card);
	free(l);
	return code;
}
