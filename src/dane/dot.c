/* SPDX-License-Identifier: Apache-2.0 */
#include "dane/internal.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/x509.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define DOT_PORT 853 /* RFC 7858 3.1 */

/* A socket BIO whose writes never raise SIGPIPE: we are a guest in other people's processes. */
static int bio_write(BIO *b, const char *buf, int len)
{
	const int *fd = BIO_get_data(b);
	ssize_t n = send(*fd, buf, (size_t)len, MSG_NOSIGNAL);

	BIO_clear_retry_flags(b);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		BIO_set_retry_write(b);
	return (int)n;
}

static int bio_read(BIO *b, char *buf, int len)
{
	const int *fd = BIO_get_data(b);
	ssize_t n = recv(*fd, buf, (size_t)len, 0);

	BIO_clear_retry_flags(b);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		BIO_set_retry_read(b);
	return (int)n;
}

static long bio_ctrl(BIO *b, int cmd, long num, void *ptr)
{
	(void)b;
	(void)num;
	(void)ptr;
	return cmd == BIO_CTRL_FLUSH;
}

enum rc dane__dot_init(struct dane_dot *dot, struct diag *d)
{
	memset(dot, 0, sizeof(*dot));
	dot->fd = -1;
	dot->method = BIO_meth_new(BIO_TYPE_SOURCE_SINK, "dot");
	dot->ctx = SSL_CTX_new(TLS_client_method());
	if (!dot->ctx || !dot->method || BIO_meth_set_write(dot->method, bio_write) != 1 ||
		BIO_meth_set_read(dot->method, bio_read) != 1 ||
		BIO_meth_set_ctrl(dot->method, bio_ctrl) != 1 ||
		SSL_CTX_set_min_proto_version(dot->ctx, TLS1_2_VERSION) != 1) {
		dane__dot_fini(dot);
		return diag_set(d, RC_CRYPTO, "dot: no TLS context");
	}
	/* The pin authenticates (RFC 7858 4.2): checked after the handshake, before the first
	 * byte of a question. No session is resumed, so every connection shows its key. */
	SSL_CTX_set_verify(dot->ctx, SSL_VERIFY_NONE, NULL);
	SSL_CTX_set_session_cache_mode(dot->ctx, SSL_SESS_CACHE_OFF);
	SSL_CTX_set_options(dot->ctx, SSL_OP_NO_TICKET | SSL_OP_IGNORE_UNEXPECTED_EOF);
	return RC_OK;
}

void dane__dot_close(struct dane_dot *dot)
{
	SSL_free(dot->ssl);
	dot->ssl = NULL;
	if (dot->fd >= 0)
		close(dot->fd);
	dot->fd = -1;
}

void dane__dot_fini(struct dane_dot *dot)
{
	dane__dot_close(dot);
	SSL_CTX_free(dot->ctx);
	BIO_meth_free(dot->method);
	dot->ctx = NULL;
	dot->method = NULL;
}

static enum rc wait_fd(int fd, short events, const struct clock *clock, uint64_t deadline_ms)
{
	for (;;) {
		uint64_t now = clock->monotonic_ms(clock);
		struct pollfd p = { .fd = fd, .events = events };
		int n;

		if (now >= deadline_ms)
			return RC_TIMEOUT;
		n = poll(&p, 1, (int)(deadline_ms - now));
		if (n > 0)
			return RC_OK;
		if (n < 0 && errno != EINTR)
			return RC_IO;
	}
}

/* What to do after an SSL call that returned <= 0: RC_OK means call again. */
static enum rc ssl_wait(
	struct dane_dot *dot, int ret, const struct clock *clock, uint64_t deadline_ms)
{
	switch (SSL_get_error(dot->ssl, ret)) {
	case SSL_ERROR_WANT_READ: return wait_fd(dot->fd, POLLIN, clock, deadline_ms);
	case SSL_ERROR_WANT_WRITE: return wait_fd(dot->fd, POLLOUT, clock, deadline_ms);
	default: ERR_clear_error(); return RC_CLOSED;
	}
}

static enum rc tcp_connect(struct dane_dot *dot, const struct dane_resolver *r,
	const struct clock *clock, uint64_t deadline_ms)
{
	uint16_t port = htons(r->port ? r->port : DOT_PORT);
	struct sockaddr_in6 a6 = { .sin6_family = AF_INET6, .sin6_port = port };
	struct sockaddr_in a4 = { .sin_family = AF_INET, .sin_port = port };
	bool v4 = r->addr_len == 4;
	int one = 1, err = 0, n;
	socklen_t err_len = sizeof(err);
	enum rc rc;

	memcpy(&a6.sin6_addr, r->addr, sizeof(r->addr));
	memcpy(&a4.sin_addr, r->addr, sizeof(a4.sin_addr));
	dot->fd = socket(v4 ? AF_INET : AF_INET6, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (dot->fd < 0)
		return RC_IO;
	(void)setsockopt(dot->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	n = v4 ? connect(dot->fd, (struct sockaddr *)&a4, sizeof(a4))
	       : connect(dot->fd, (struct sockaddr *)&a6, sizeof(a6));
	if (n == 0)
		return RC_OK;
	if (errno != EINPROGRESS)
		return RC_UNAVAILABLE;
	rc = wait_fd(dot->fd, POLLOUT, clock, deadline_ms);
	if (rc == RC_OK && (getsockopt(dot->fd, SOL_SOCKET, SO_ERROR, &err, &err_len) != 0 || err))
		rc = RC_UNAVAILABLE;
	return rc;
}

static bool pinned(SSL *ssl, const struct dane_resolver *r)
{
	X509 *cert = SSL_get0_peer_certificate(ssl);
	uint8_t *spki = NULL, digest[32];
	int len = cert ? i2d_X509_PUBKEY(X509_get_X509_PUBKEY(cert), &spki) : -1;
	bool found = false;

	if (len > 0 && EVP_Digest(spki, (size_t)len, digest, NULL, EVP_sha256(), NULL) == 1)
		for (size_t i = 0; i < r->n_pins; i++)
			found = found || memcmp(digest, r->pins[i], sizeof(digest)) == 0;
	OPENSSL_free(spki);
	return found;
}

static enum rc start_tls(struct dane_dot *dot, const struct dane_resolver *r,
	const struct clock *clock, uint64_t deadline_ms, struct diag *d)
{
	BIO *bio = BIO_new(dot->method);
	int n;

	dot->ssl = SSL_new(dot->ctx);
	if (!dot->ssl || !bio) {
		BIO_free(bio);
		return diag_set(d, RC_NOMEM, "resolver: no memory");
	}
	BIO_set_data(bio, &dot->fd);
	BIO_set_init(bio, 1);
	SSL_set_bio(dot->ssl, bio, bio);
	if (r->name[0] && SSL_set_tlsext_host_name(dot->ssl, r->name) != 1)
		return diag_set(d, RC_CRYPTO, "resolver: name not usable");
	while ((n = SSL_connect(dot->ssl)) != 1) {
		enum rc rc = ssl_wait(dot, n, clock, deadline_ms);

		if (rc != RC_OK)
			return diag_set(d, rc == RC_CLOSED ? RC_UNAVAILABLE : rc,
				"resolver: no TLS handshake");
	}
	if (!pinned(dot->ssl, r))
		return diag_set(d, RC_DENIED, "resolver: its key is not one of the pins");
	return RC_OK;
}

static enum rc open_to(struct dane_dot *dot, const struct dane_resolver *r, size_t index,
	const struct clock *clock, uint64_t deadline_ms, struct diag *d)
{
	enum rc rc;

	dane__dot_close(dot);
	rc = tcp_connect(dot, r, clock, deadline_ms);
	if (rc != RC_OK)
		diag_set(d, rc, "resolver: no connection");
	else
		rc = start_tls(dot, r, clock, deadline_ms, d);
	if (rc != RC_OK)
		dane__dot_close(dot);
	dot->resolver = index;
	return rc;
}

static enum rc read_all(struct dane_dot *dot, uint8_t *buf, size_t len, const struct clock *clock,
	uint64_t deadline_ms)
{
	size_t at = 0;

	while (at < len) {
		int n = SSL_read(dot->ssl, buf + at, (int)(len - at));

		if (n > 0) {
			at += (size_t)n;
			continue;
		}
		enum rc rc = ssl_wait(dot, n, clock, deadline_ms);

		if (rc != RC_OK)
			return rc;
	}
	return RC_OK;
}

/* Length and message in one write (RFC 7766 8). */
static enum rc write_frame(struct dane_dot *dot, const uint8_t *ask, size_t len,
	const struct clock *clock, uint64_t deadline_ms)
{
	uint8_t frame[1024];
	struct put p = put_init(frame, sizeof(frame));
	int n;

	put_u16(&p, (uint16_t)len);
	put_bytes(&p, ask, len);
	if (!put_ok(&p))
		return RC_TOO_LARGE;
	while ((n = SSL_write(dot->ssl, frame, (int)p.len)) <= 0) {
		enum rc rc = ssl_wait(dot, n, clock, deadline_ms);

		if (rc != RC_OK)
			return rc;
	}
	return RC_OK;
}

static enum rc exchange_once(struct dane_dot *dot, const struct clock *clock, uint64_t deadline_ms,
	const uint8_t *ask, size_t ask_len, uint8_t **answer, size_t *answer_len)
{
	uint8_t head[2], *buf = NULL;
	size_t len = 0;
	enum rc rc = write_frame(dot, ask, ask_len, clock, deadline_ms);

	if (rc == RC_OK)
		rc = read_all(dot, head, sizeof(head), clock, deadline_ms);
	if (rc == RC_OK) {
		len = (size_t)head[0] << 8 | head[1];
		buf = malloc(len + 1);
		rc = buf ? read_all(dot, buf, len, clock, deadline_ms) : RC_NOMEM;
	}
	if (rc != RC_OK) {
		free(buf);
		dane__dot_close(
			dot); /* an answer that comes late must not meet the next question */
		return rc;
	}
	*answer = buf;
	*answer_len = len;
	return RC_OK;
}

enum rc dane__dot_exchange(struct dane_dot *dot, const struct dane_resolver *r, size_t index,
	const struct clock *clock, uint64_t deadline_ms, const uint8_t *ask, size_t ask_len,
	uint8_t **answer, size_t *answer_len, struct diag *d)
{
	bool reused = dot->ssl && dot->resolver == index;
	enum rc rc = reused ? RC_OK : open_to(dot, r, index, clock, deadline_ms, d);

	if (rc != RC_OK)
		return rc;
	rc = exchange_once(dot, clock, deadline_ms, ask, ask_len, answer, answer_len);
	if (rc == RC_CLOSED && reused) { /* the resolver had closed an idle connection */
		rc = open_to(dot, r, index, clock, deadline_ms, d);
		if (rc != RC_OK)
			return rc;
		rc = exchange_once(dot, clock, deadline_ms, ask, ask_len, answer, answer_len);
	}
	if (rc != RC_OK)
		diag_set(d, rc, "resolver: no answer: %s", rc_text(rc));
	return rc;
}
