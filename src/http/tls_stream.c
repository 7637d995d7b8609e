/* SPDX-License-Identifier: Apache-2.0 */
#include "http/tls.h"

#include "base/secret.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/x509.h>

/* One record at a time, and not more than so many before others have their turn. */
enum { READ_CHUNK = 4096, READS_PER_TURN = 16 };

enum stream_state { STREAM_HANDSHAKE, STREAM_OPEN, STREAM_DEAD };

struct tls_stream {
	SSL *ssl;
	int fd;
	struct event *readable;
	struct event *writable;
	struct event *timer;
	const struct tls_events *events; /* borrowed */
	void *user;
	struct buf in;
	struct buf out;
	const char *why; /* static text; of a death that has not been told yet */
	enum stream_state state;
	bool paused;
	bool finish;	  /* close_notify after `out` */
	bool finished;	  /* and it was said */
	bool in_callback; /* on_readable is on the stack */
	bool freed;	  /* and frees when it is done */
};

static void on_readable(evutil_socket_t fd, short what, void *user);
static void on_writable(evutil_socket_t fd, short what, void *user);
static void on_timer(evutil_socket_t fd, short what, void *user);

enum rc tls_stream_new(struct tls_stream **out, struct event_base *base, SSL_CTX *ctx, int take_fd,
	const struct tls_events *events, void *user)
{
	struct tls_stream *s = calloc(1, sizeof(*s));

	if (!s) {
		close(take_fd);
		return RC_NOMEM;
	}
	s->fd = take_fd;
	s->events = events;
	s->user = user;
	s->ssl = SSL_new(ctx);
	s->readable = event_new(base, take_fd, EV_READ | EV_PERSIST, on_readable, s);
	s->writable = event_new(base, take_fd, EV_WRITE, on_writable, s);
	s->timer = event_new(base, -1, 0, on_timer, s);
	if (!s->ssl || !s->readable || !s->writable || !s->timer ||
		SSL_set_fd(s->ssl, s->fd) != 1 || event_add(s->readable, NULL) < 0) {
		tls_stream_free(s);
		return RC_NOMEM;
	}
	SSL_set_accept_state(s->ssl);
	*out = s;
	return RC_OK;
}

void tls_stream_free(struct tls_stream *s)
{
	if (!s)
		return;
	if (s->in_callback) {
		s->freed = true;
		return;
	}
	if (s->readable)
		event_free(s->readable);
	if (s->writable)
		event_free(s->writable);
	if (s->timer)
		event_free(s->timer);
	if (s->ssl) {
		/* A session that is not told is not kept; nothing is sent here. */
		SSL_set_quiet_shutdown(s->ssl, 1);
		SSL_free(s->ssl);
	}
	buf_free(&s->in);
	buf_free(&s->out);
	close(s->fd);
	free(s);
}

X509 *tls_peer(const struct tls_stream *s)
{
	return SSL_get0_peer_certificate(s->ssl);
}

X509 *tls_peer_anchor(const struct tls_stream *s)
{
	STACK_OF(X509) *chain = SSL_get0_verified_chain(s->ssl);

	return chain ? sk_X509_value(chain, sk_X509_num(chain) - 1) : NULL;
}

struct buf *tls_in(struct tls_stream *s)
{
	return &s->in;
}

/* Death is told from the loop, never from inside a caller's call. */
static void die(struct tls_stream *s, const char *why)
{
	if (s->state == STREAM_DEAD)
		return;
	s->state = STREAM_DEAD;
	s->why = why;
	event_del(s->readable);
	event_del(s->writable);
	event_active(s->timer, EV_TIMEOUT, 1);
}

static const char *why_of(int error)
{
	unsigned long e = ERR_peek_error();
	const char *text = error == SSL_ERROR_SSL && e ? ERR_reason_error_string(e) : NULL;

	ERR_clear_error();
	return text ? text : "closed by the peer";
}

/* After an operation of OpenSSL: wait for what it wants; false when the stream has died. */
static bool wait_for(struct tls_stream *s, int result)
{
	int error = SSL_get_error(s->ssl, result);

	if (error == SSL_ERROR_WANT_READ) {
		ERR_clear_error();
		return true;
	}
	if (error == SSL_ERROR_WANT_WRITE) {
		ERR_clear_error();
		if (event_add(s->writable, NULL) == 0)
			return true;
	}
	die(s, error == SSL_ERROR_ZERO_RETURN ? "closed by the peer" : why_of(error));
	return false;
}

/* SHA-256 over the DER SubjectPublicKeyInfo of the certificate that the handshake verified. */
static bool peer_key(SSL *ssl, uint8_t spki_sha256[TLS_SPKI_LEN], int64_t *not_after)
{
	X509 *cert = SSL_get0_peer_certificate(ssl);
	uint8_t *der = NULL;
	struct tm tm;
	bool ok;
	int len;

	if (!cert || SSL_get_verify_result(ssl) != X509_V_OK)
		return false;
	len = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(cert), &der);
	ok = len > 0 && ASN1_TIME_to_tm(X509_get0_notAfter(cert), &tm) == 1 &&
	     EVP_Digest(der, (size_t)len, spki_sha256, NULL, EVP_sha256(), NULL) == 1;
	OPENSSL_free(der);
	if (ok)
		*not_after = timegm(&tm);
	return ok;
}

/* True when the handshake has just ended well. */
static bool handshake(struct tls_stream *s, uint8_t spki[TLS_SPKI_LEN], int64_t *not_after)
{
	int n = SSL_do_handshake(s->ssl);

	if (n != 1) {
		(void)wait_for(s, n);
		return false;
	}
	if (!peer_key(s->ssl, spki, not_after)) {
		die(s, "no verified client certificate");
		return false;
	}
	s->state = STREAM_OPEN;
	return true;
}

static bool read_some(struct tls_stream *s)
{
	bool any = false;

	for (int i = 0; i < READS_PER_TURN; i++) {
		if (buf_reserve(&s->in, READ_CHUNK) != RC_OK) {
			die(s, "out of memory");
			return any;
		}
		int n = SSL_read(s->ssl, s->in.bytes + s->in.end, READ_CHUNK);
		if (n <= 0) {
			(void)wait_for(s, n);
			return any;
		}
		s->in.end += (size_t)n;
		any = true;
		if (!SSL_has_pending(s->ssl))
			return any; /* what comes next wakes us */
	}
	event_active(s->readable, EV_READ, 1); /* OpenSSL holds bytes that no poll shows */
	return any;
}

static void send_some(struct tls_stream *s)
{
	while (buf_len(&s->out) && s->state == STREAM_OPEN) {
		size_t len = buf_len(&s->out);
		int n = SSL_write(s->ssl, buf_at(&s->out), len > 65536 ? 65536 : (int)len);
		if (n <= 0) {
			(void)wait_for(s, n);
			return;
		}
		buf_drop(&s->out, (size_t)n);
	}
	if (s->finish && !s->finished && s->state == STREAM_OPEN) {
		s->finished = true;
		(void)SSL_shutdown(s->ssl);
		ERR_clear_error();
	}
}

static void tell_sent(struct tls_stream *s)
{
	if (s->state == STREAM_OPEN && !buf_len(&s->out) && s->events->on_sent)
		s->events->on_sent(s->user);
}

static void on_readable(evutil_socket_t fd, short what, void *user)
{
	struct tls_stream *s = user;
	uint8_t spki[TLS_SPKI_LEN];
	int64_t not_after = 0;

	(void)fd;
	(void)what;
	if (s->state == STREAM_DEAD)
		return;
	s->in_callback = true;
	if (s->state == STREAM_HANDSHAKE && handshake(s, spki, &not_after))
		s->events->on_open(s->user, spki, not_after);
	if (!s->freed && s->state == STREAM_OPEN && !s->paused && read_some(s))
		s->events->on_bytes(s->user);
	s->in_callback = false;
	if (s->freed)
		tls_stream_free(s);
}

static void on_writable(evutil_socket_t fd, short what, void *user)
{
	struct tls_stream *s = user;

	if (s->state == STREAM_HANDSHAKE) {
		on_readable(fd, what, user);
		return;
	}
	if (s->state != STREAM_OPEN)
		return;
	bool had = buf_len(&s->out) > 0;
	send_some(s);
	if (had)
		tell_sent(s);
}

static void on_timer(evutil_socket_t fd, short what, void *user)
{
	struct tls_stream *s = user;

	(void)fd;
	(void)what;
	if (s->state == STREAM_DEAD) {
		s->events->on_closed(s->user, s->why);
		return;
	}
	if (s->events->on_deadline)
		s->events->on_deadline(s->user);
	else
		die(s, "deadline");
}

void tls_pause(struct tls_stream *s, bool paused)
{
	if (s->paused == paused || s->state == STREAM_DEAD)
		return;
	s->paused = paused;
	if (paused)
		event_del(s->readable);
	else if (event_add(s->readable, NULL) < 0)
		die(s, "out of memory");
	else if (SSL_has_pending(s->ssl))
		event_active(s->readable, EV_READ, 1);
}

enum rc tls_send(struct tls_stream *s, const void *bytes, size_t len)
{
	const uint8_t *at = bytes;
	enum rc rc;

	if (s->state != STREAM_OPEN || s->finish)
		return RC_CLOSED;
	/* The usual answer leaves at once, without a copy. */
	if (!buf_len(&s->out)) {
		int n = SSL_write(s->ssl, at, len > 65536 ? 65536 : (int)len);
		if (n > 0) {
			at += n;
			len -= (size_t)n;
		} else if (!wait_for(s, n)) {
			return RC_CLOSED;
		}
	}
	if (!len)
		return RC_OK;
	rc = buf_add(&s->out, at, len);
	if (rc == RC_OK && event_add(s->writable, NULL) < 0)
		rc = RC_NOMEM;
	return rc;
}

void tls_finish(struct tls_stream *s)
{
	s->finish = true;
	send_some(s);
}

void tls_deadline(struct tls_stream *s, uint32_t ms)
{
	struct timeval tv = { .tv_sec = ms / 1000, .tv_usec = (suseconds_t)(ms % 1000) * 1000 };

	if (s->state == STREAM_DEAD)
		return;
	if (ms)
		(void)event_add(s->timer, &tv);
	else
		event_del(s->timer);
}

size_t tls_unsent(const struct tls_stream *s)
{
	return buf_len(&s->out);
}
