/* SPDX-License-Identifier: Apache-2.0 */

/* A TLS or DTLS server behind libattest's verify hook, and a client that names
 * itself, for the end-to-end tests:
 *   attest_server CERT KEY KEY=VALUE... [mode=tls|dtls] [hold=1] [dance=0|1|2] [allow=SUFFIX]
 * prints "port N", then a line of JSON per connection, and greets who is attested.
 *   attest_server client PORT CERT KEY NAME|- [max12]
 * prints what it was greeted with. */

#include "attest.h"
#include "attest_args.h"
#include "attest_ssl.h"
#include "base/str.h"

#include <arpa/inet.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

struct server {
	struct attest *attest;
	SSL_CTX *ctx;
	int fd;
	int dtls;
	struct attest_ssl_options opt;
};

static int allow(const char *name, void *user)
{
	const char *suffix = user;
	size_t n = strlen(name), s = strlen(suffix);

	return n >= s && strcmp(name + n - s, suffix) == 0;
}

static void take_option(struct server *s, char *word)
{
	if (strcmp(word, "mode=dtls") == 0)
		s->dtls = 1;
	else if (strcmp(word, "hold=1") == 0)
		s->opt.hold = 1;
	else if (strncmp(word, "dance=", 6) == 0)
		s->opt.dance = (enum attest_dance)(word[6] - '0');
	else if (strncmp(word, "allow=", 6) == 0) {
		s->opt.allow = allow;
		s->opt.user = word + 6;
	}
}

static int listen_at(struct server *s)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(a);

	s->fd = socket(AF_INET, s->dtls ? SOCK_DGRAM : SOCK_STREAM, 0);
	if (s->fd < 0 || bind(s->fd, (struct sockaddr *)&a, len) != 0 ||
		(!s->dtls && listen(s->fd, 64) != 0) ||
		getsockname(s->fd, (struct sockaddr *)&a, &len) != 0)
		return -1;
	printf("port %u\n", ntohs(a.sin_port));
	fflush(stdout);
	return 0;
}

/* One peer at a time is enough for DTLS here: the socket is connected to it and then let go. */
static SSL *next_peer(struct server *s, int *fd)
{
	struct sockaddr_in from;
	socklen_t len = sizeof(from);
	SSL *ssl = SSL_new(s->ctx);
	char one;

	if (!s->dtls) {
		*fd = accept(s->fd, NULL, NULL);
		SSL_set_fd(ssl, *fd);
		return ssl;
	}
	if (recvfrom(s->fd, &one, 1, MSG_PEEK, (struct sockaddr *)&from, &len) < 0 ||
		connect(s->fd, (struct sockaddr *)&from, len) != 0)
		exit(2);
	*fd = s->fd;
	SSL_set_bio(ssl, BIO_new_dgram(s->fd, BIO_NOCLOSE), NULL);
	SSL_set_bio(ssl, SSL_get_rbio(ssl), SSL_get_rbio(ssl));
	BIO_ctrl(SSL_get_rbio(ssl), BIO_CTRL_DGRAM_SET_CONNECTED, 0, &from);
	return ssl;
}

static void verdict(struct attest_op *op, const struct attest_result *r, void *user)
{
	(void)op;
	*(struct attest_result *)user = *r;
}

static enum attest_reason held(struct server *s, SSL *ssl)
{
	struct attest_result r = { .reason = ATTEST_CANNOT_TELL };
	struct pollfd fd = { .fd = attest_fd(s->attest), .events = POLLIN };

	if (attest_ssl_start(s->attest, ssl, verdict, &r, NULL) == ATTEST_SUCCESS)
		while (poll(&fd, 1, 20000) > 0 && attest_dispatch(s->attest) == 0)
			;
	return r.reason;
}

static void serve_one(struct server *s)
{
	int fd = -1, shaken;
	SSL *ssl = next_peer(s, &fd);
	const struct attest_result *r;
	struct sockaddr none = { .sa_family = AF_UNSPEC };
	enum attest_reason reason;

	shaken = SSL_accept(ssl) == 1;
	r = attest_ssl_result(s->attest, ssl);
	reason = r->reason;
	if (shaken && s->opt.hold)
		reason = held(s, ssl);
	if (shaken && reason == ATTEST_OK) {
		char text[512];
		int n = snprintf(text, sizeof(text), "hello %s\n", r->name);

		SSL_write(ssl, text, n);
	}
	printf("{\"shaken\":%d,\"reason\":\"%s\",\"client\":\"%s\",\"version\":\"%s\"}\n", shaken,
		attest_reason_text(reason), attest_ssl_client_name(s->attest, ssl),
		SSL_get_version(ssl));
	fflush(stdout);
	SSL_shutdown(ssl);
	SSL_free(ssl);
	ERR_clear_error();
	if (!s->dtls)
		close(fd);
	else
		(void)connect(s->fd, &none, sizeof(none));
}

static int client(char **argv, int argc)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	uint64_t port = 0;
	char text[512];
	int n, fd = socket(AF_INET, SOCK_STREAM, 0);
	SSL *ssl;

	if (u64_read(argv[2], 1, 65535, &port) != RC_OK)
		return 2;
	a.sin_port = htons((uint16_t)port);
	if (strcmp(argv[3], "-") != 0 &&
		(SSL_CTX_use_certificate_file(ctx, argv[3], SSL_FILETYPE_PEM) != 1 ||
			SSL_CTX_use_PrivateKey_file(ctx, argv[4], SSL_FILETYPE_PEM) != 1))
		return 2;
	if (strcmp(argv[5], "-") != 0 && attest_dance_client(ctx, argv[5]) != ATTEST_SUCCESS)
		return 3;
	if (argc > 6)
		SSL_CTX_set_max_proto_version(ctx, TLS1_2_VERSION);
	ssl = SSL_new(ctx);
	if (connect(fd, (struct sockaddr *)&a, sizeof(a)) != 0)
		return 2;
	SSL_set_fd(ssl, fd);
	if (SSL_connect(ssl) == 1 && (n = SSL_read(ssl, text, sizeof(text))) > 0)
		fwrite(text, 1, (size_t)n, stdout);
	else
		printf("refused: %s\n", ERR_reason_error_string(ERR_peek_last_error()));
	SSL_free(ssl);
	SSL_CTX_free(ctx);
	close(fd);
	return 0;
}

int main(int argc, char **argv)
{
	struct server s = { 0 };
	enum attest_error e;

	signal(SIGPIPE, SIG_IGN);
	if (argc > 5 && strcmp(argv[1], "client") == 0)
		return client(argv, argc);
	for (int i = 3; i < argc; i++)
		take_option(&s, argv[i]);
	s.attest = attest_args(argc, argv);
	s.ctx = SSL_CTX_new(s.dtls ? DTLS_server_method() : TLS_server_method());
	if (!s.attest || argc < 3 ||
		SSL_CTX_use_certificate_file(s.ctx, argv[1], SSL_FILETYPE_PEM) != 1 ||
		SSL_CTX_use_PrivateKey_file(s.ctx, argv[2], SSL_FILETYPE_PEM) != 1)
		return 2;
	e = attest_ssl_ctx(s.attest, s.ctx, &s.opt);
	if (e != ATTEST_SUCCESS) {
		printf("error %d\n", (int)e);
		return 1;
	}
	if (listen_at(&s) != 0)
		return 2;
	for (;;)
		serve_one(&s);
}
