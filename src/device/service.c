/* SPDX-License-Identifier: Apache-2.0 */
#include "device/service.h"

#include "base/str.h"

#include <netdb.h>
#include <openssl/err.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define LOOKUP_MS 5000
#define PIPE_STEP 4096

/* What the zone or the payload pins decides, and nothing else. */
static int verify_server(X509_STORE_CTX *ctx, void *arg)
{
	const struct service *s = arg;
	SSL *ssl = X509_STORE_CTX_get_ex_data(ctx, SSL_get_ex_data_X509_STORE_CTX_idx());
	struct diag *why = ssl ? SSL_get_app_data(ssl) : NULL;

	if (record_server(&s->pins, X509_STORE_CTX_get0_untrusted(ctx), s->host, why) == RC_OK) {
		X509_STORE_CTX_set_error(ctx, X509_V_OK);
		return 1;
	}
	X509_STORE_CTX_set_error(ctx, X509_V_ERR_DANE_NO_MATCH);
	return 0;
}

static enum rc prove(struct iotsafe *card, unsigned slot, const struct payload_state *before,
	struct service *s, struct diag *d)
{
	struct dane *dane = NULL;
	enum record_verdict v;
	enum rc rc = self_read(card, slot, before, (uint64_t)time(NULL), &s->self, d);

	if (rc == RC_OK)
		rc = payload_text_copy(s->self.payload.fqdn, s->host, sizeof(s->host));
	if (rc == RC_OK)
		rc = record_open(&s->self.payload, LOOKUP_MS, &dane, d);
	if (rc == RC_OK) {
		v = record_check(dane, s->self.owner, s->self.cert_sha256, d);
		if (v != RECORD_ATTESTED)
			rc = v == RECORD_CANNOT_TELL ? RC_UNAVAILABLE : RC_DENIED;
	}
	if (rc == RC_OK)
		rc = record_service(dane, &s->self.payload, &s->pins, d);
	dane_free(dane);
	return rc;
}

enum rc service_prove(struct iotsafe *card, unsigned slot, const struct payload_state *before,
	struct service **out, struct diag *d)
{
	struct service *s = calloc(1, sizeof(*s));
	enum rc rc = s ? prove(card, slot, before, s, d) : RC_NOMEM;

	if (rc == RC_OK)
		rc = self_card_error(card, iotsafe_ssl_ctx(card, slot, &s->ctx), d);
	if (rc != RC_OK) {
		service_free(s);
		return rc;
	}
	SSL_CTX_set_cert_verify_callback(s->ctx, verify_server, s);
	/* A session ticket is not data: reading it must not wait for some, while the user speaks.
	 */
	(void)SSL_CTX_clear_mode(s->ctx, SSL_MODE_AUTO_RETRY);
	*out = s;
	return RC_OK;
}

void service_free(struct service *s)
{
	if (s)
		SSL_CTX_free(s->ctx);
	free(s);
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

enum rc service_connect(const struct service *s, SSL **ssl, int *fd, struct diag *d)
{
	unsigned port = s->self.payload.port;
	struct diag server = { 0 };
	int sock = dial(s->host, port);
	SSL *tls = sock < 0 ? NULL : SSL_new(s->ctx);
	enum rc rc = RC_NOMEM;
	const char *why;

	if (sock < 0)
		return diag_set(d, RC_UNAVAILABLE, "%s:%u: no connection", s->host, port);
	if (tls && SSL_set_app_data(tls, &server) == 1 && SSL_set_fd(tls, sock) == 1 &&
		SSL_set_tlsext_host_name(tls, s->host) == 1) {
		if (SSL_connect(tls) == 1) {
			SSL_set_app_data(tls, NULL);
			*ssl = tls;
			*fd = sock;
			return RC_OK;
		}
		why = ERR_reason_error_string(ERR_peek_last_error());
		rc = server.text[0] ? diag_set(d, RC_AUTH, "%s", server.text)
				    : diag_set(d, RC_AUTH, "TLS with %s: %s", s->host,
					      why ? why : "closed");
	}
	SSL_free(tls);
	close(sock);
	return rc;
}

static bool write_out(int fd, const unsigned char *bytes, size_t len)
{
	while (len > 0) {
		ssize_t n = write(fd, bytes, len);
		if (n <= 0)
			return false;
		bytes += n;
		len -= (size_t)n;
	}
	return true;
}

bool service_carry(SSL *ssl, int fd, int in, int out)
{
	unsigned char buf[PIPE_STEP];
	struct pollfd p[2] = { { .fd = fd, .events = POLLIN }, { .fd = in, .events = POLLIN } };

	for (;;) {
		if (SSL_pending(ssl) == 0 && poll(p, 2, -1) < 0)
			return false;
		if (p[0].revents || SSL_pending(ssl) > 0) {
			int n = SSL_read(ssl, buf, sizeof(buf));
			int e = SSL_get_error(ssl, n);
			if (n <= 0 && e != SSL_ERROR_WANT_READ)
				return e == SSL_ERROR_ZERO_RETURN;
			if (n > 0 && !write_out(out, buf, (size_t)n))
				return false;
		}
		if (p[1].revents) {
			ssize_t n = read(in, buf, sizeof(buf));
			if (n > 0 && SSL_write(ssl, buf, (int)n) <= 0)
				return false;
			if (n <= 0) {
				p[1].fd = -1;
				(void)SSL_shutdown(ssl);
			}
		}
		p[0].revents = p[1].revents = 0;
	}
}
