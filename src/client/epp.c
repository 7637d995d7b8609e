/* SPDX-License-Identifier: Apache-2.0 */
#include "client/epp.h"
#include "base/cur.h"
#include "base/put.h"
#include "base/secret.h"
#include "base/str.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

struct epp_client {
	SSL_CTX *ctx;
	SSL *ssl;
	int fd;
};

static enum rc tls_fail(struct diag *d, enum rc rc, const char *what)
{
	unsigned long e = ERR_peek_last_error();
	const char *why = e ? ERR_reason_error_string(e) : NULL;

	ERR_clear_error();
	return diag_set(d, rc, "%s: %s", what, why ? why : "the connection ended");
}

static enum rc dial(
	struct epp_client *c, const char *host, uint16_t port, uint32_t timeout_ms, struct diag *d)
{
	const struct addrinfo hints = { .ai_socktype = SOCK_STREAM };
	const struct timeval tv = { .tv_sec = timeout_ms / 1000,
		.tv_usec = (suseconds_t)(timeout_ms % 1000) * 1000 };
	struct addrinfo *list = NULL;
	char service[8];
	int one = 1;

	if (str_format(service, sizeof(service), "%u", port) != RC_OK ||
		getaddrinfo(host, service, &hints, &list) != 0)
		return diag_set(d, RC_UNAVAILABLE, "%s: no such host", host);
	for (const struct addrinfo *a = list; a && c->fd < 0; a = a->ai_next) {
		c->fd = socket(a->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
		if (c->fd < 0)
			continue;
		(void)setsockopt(c->fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv));
		(void)setsockopt(c->fd, SOL_SOCKET, SO_SNDTIMEO, &tv, sizeof(tv));
		(void)setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
		if (connect(c->fd, a->ai_addr, a->ai_addrlen) != 0) {
			close(c->fd);
			c->fd = -1;
		}
	}
	freeaddrinfo(list);
	return c->fd >= 0 ? RC_OK
			  : diag_errno(d, RC_UNAVAILABLE, "%s port %u", host, (unsigned)port);
}

static bool expect_host(SSL *ssl, const char *host)
{
	uint8_t addr[16];

	if (inet_pton(AF_INET, host, addr) == 1 || inet_pton(AF_INET6, host, addr) == 1)
		return X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), host) == 1;
	return SSL_set1_host(ssl, host) == 1 && SSL_set_tlsext_host_name(ssl, host) == 1;
}

static enum rc handshake(struct epp_client *c, const char *host, const char *ca, const char *cert,
	const char *key, struct diag *d)
{
	c->ctx = SSL_CTX_new(TLS_client_method());
	if (!c->ctx)
		return RC_NOMEM;
	SSL_CTX_set_verify(c->ctx, SSL_VERIFY_PEER, NULL);
	if (SSL_CTX_set_min_proto_version(c->ctx, TLS1_2_VERSION) != 1 ||
		SSL_CTX_load_verify_file(c->ctx, ca) != 1)
		return tls_fail(d, RC_IO, ca);
	if (SSL_CTX_use_certificate_chain_file(c->ctx, cert) != 1)
		return tls_fail(d, RC_IO, cert);
	if (SSL_CTX_use_PrivateKey_file(c->ctx, key, SSL_FILETYPE_PEM) != 1)
		return tls_fail(d, RC_IO, key);
	c->ssl = SSL_new(c->ctx);
	if (!c->ssl || SSL_set_fd(c->ssl, c->fd) != 1 || !expect_host(c->ssl, host))
		return RC_NOMEM;
	return SSL_connect(c->ssl) == 1 ? RC_OK : tls_fail(d, RC_AUTH, host);
}

enum rc epp_client_open(struct epp_client **out, const char *host, uint16_t port, const char *ca,
	const char *cert, const char *key, uint32_t timeout_ms, struct diag *d)
{
	struct epp_client *c = calloc(1, sizeof(*c));
	enum rc rc;

	if (!c)
		return RC_NOMEM;
	c->fd = -1;
	rc = dial(c, host, port, timeout_ms, d);
	if (rc == RC_OK)
		rc = handshake(c, host, ca, cert, key, d);
	if (rc != RC_OK) {
		epp_client_close(c);
		return rc;
	}
	*out = c;
	return RC_OK;
}

void epp_client_close(struct epp_client *c)
{
	if (!c)
		return;
	if (c->ssl && SSL_is_init_finished(c->ssl))
		(void)SSL_shutdown(c->ssl);
	SSL_free(c->ssl);
	SSL_CTX_free(c->ctx);
	if (c->fd >= 0)
		close(c->fd);
	free(c);
}

enum rc epp_client_send(struct epp_client *c, const char *xml, size_t len, struct diag *d)
{
	struct put p;
	uint8_t *frame;
	size_t sent = 0;
	enum rc rc;

	if (!len || len > EPP_CLIENT_FRAME_MAX - 4)
		return diag_set(
			d, RC_TOO_LARGE, "a frame holds 1 to %u octets", EPP_CLIENT_FRAME_MAX - 4);
	frame = malloc(len + 4);
	if (!frame)
		return RC_NOMEM;
	p = put_init(frame, len + 4);
	put_u32(&p, (uint32_t)len + 4);
	put_bytes(&p, xml, len);
	rc = SSL_write_ex(c->ssl, frame, len + 4, &sent) == 1 ? RC_OK
							      : tls_fail(d, RC_CLOSED, "sending");
	free(frame);
	return rc;
}

static enum rc read_all(struct epp_client *c, void *out, size_t len, struct diag *d)
{
	size_t got = 0, n;

	while (got < len) {
		if (SSL_read_ex(c->ssl, (char *)out + got, len - got, &n) != 1)
			return tls_fail(d, RC_CLOSED, "reading");
		got += n;
	}
	return RC_OK;
}

enum rc epp_client_read(struct epp_client *c, char **out, size_t *len, struct diag *d)
{
	uint8_t head[4];
	struct cur cur;
	uint32_t total;
	char *text;
	enum rc rc = read_all(c, head, sizeof(head), d);

	if (rc != RC_OK)
		return rc;
	cur = cur_init(head, sizeof(head));
	total = cur_u32(&cur);
	if (total <= 4 || total > EPP_CLIENT_FRAME_MAX)
		return diag_set(d, RC_MALFORMED, "the server sent a frame of %u octets", total);
	text = calloc(1, total - 3);
	if (!text)
		return RC_NOMEM;
	rc = read_all(c, text, total - 4, d);
	if (rc != RC_OK) {
		free(text);
		return rc;
	}
	*out = text;
	*len = total - 4;
	return RC_OK;
}

enum rc epp_client_ask(struct epp_client *c, const char *xml, char **answer, struct diag *d)
{
	size_t len;
	enum rc rc = *xml ? epp_client_send(c, xml, strlen(xml), d) : RC_OK;

	free(*answer);
	*answer = NULL;
	return rc == RC_OK ? epp_client_read(c, answer, &len, d) : rc;
}

enum rc epp_client_login(struct epp_client *c, const char *id, const char *password,
	const char *services, char **answer, struct diag *d)
{
	bool longer = strlen(password) > 16;
	char *xml = NULL;
	enum rc rc;
	int n = asprintf(&xml,
		"<epp xmlns=\"" EPP_CLIENT_URNS
		"epp-1.0\"><command><login><clID>%s</clID><pw>%s</pw><options>"
		"<version>1.0</version><lang>en</lang></options><svcs>%s</svcs></login>%s%s%s"
		"</command></epp>",
		id, longer ? "[LOGIN-SECURITY]" : password, services,
		longer ? "<extension><l:loginSec xmlns:l=\"" EPP_CLIENT_URNS
			 "epp:loginSec-1.0\"><l:pw>"
		       : "",
		longer ? password : "", longer ? "</l:pw></l:loginSec></extension>" : "");

	if (n < 0)
		return RC_NOMEM;
	rc = epp_client_ask(c, xml, answer, d);
	mem_wipe(xml, (size_t)n);
	free(xml);
	return rc;
}

unsigned epp_client_code(const char *xml)
{
	static const char mark[] = "<result code=\"";
	const char *at = strstr(xml, mark);
	uint64_t code = 0;
	char digits[5] = "";

	if (at)
		memcpy(digits, at + sizeof(mark) - 1, strnlen(at + sizeof(mark) - 1, 4));
	return at && u64_read(digits, 1000, 2999, &code) == RC_OK ? (unsigned)code : 0;
}
