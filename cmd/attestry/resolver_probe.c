/* SPDX-License-Identifier: Apache-2.0 */
#include "resolver_probe.h"

#include "base/cur.h"
#include "base/put.h"
#include "base/str.h"
#include "zone/name.h"
#include "zone/rec.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/evp.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#define QUERY_MAX  512
#define ANSWER_MAX 65535
#define TLS_S	   5
#define CLEAR_MS   400 /* on a port that is not meant to answer */
#define HEADER	   12
#define TYPE_SOA   6
#define SOA_FIXED  20 /* serial and four times, behind two names */

/* RD and AD set, EDNS with DO (RFC 6891, RFC 3225), behind the two octets of TCP. */
static size_t write_query(const char *name, uint16_t type, uint8_t out[QUERY_MAX])
{
	struct put p = put_init(out + 2, QUERY_MAX - 2);
	struct zone_name n;

	if (zone_name_from_text(name, &n) != RC_OK)
		return 0;
	put_u16(&p, 0x4154);
	put_u16(&p, 0x0120);
	put_u16(&p, 1);
	put_u32(&p, 0);
	put_u16(&p, 1);
	put_bytes(&p, n.wire, n.len);
	put_u16(&p, type);
	put_u16(&p, 1);
	put_u8(&p, 0);
	put_u16(&p, 41);
	put_u16(&p, 1232);
	put_u32(&p, 0x8000);
	put_u16(&p, 0);
	out[0] = (uint8_t)(p.len >> 8);
	out[1] = (uint8_t)p.len;
	return p.bad ? 0 : p.len + 2;
}

static int connect_to(const char *addr, int port, int type, long wait_ms)
{
	struct sockaddr_storage ss = { 0 };
	struct sockaddr_in *v4 = (void *)&ss;
	struct sockaddr_in6 *v6 = (void *)&ss;
	struct timeval wait = { wait_ms / 1000, wait_ms % 1000 * 1000 };
	socklen_t len;
	int fd, one = 1;

	if (inet_pton(AF_INET, addr, &v4->sin_addr) == 1) {
		v4->sin_family = AF_INET;
		v4->sin_port = htons((uint16_t)port);
		len = sizeof(*v4);
	} else if (inet_pton(AF_INET6, addr, &v6->sin6_addr) == 1) {
		v6->sin6_family = AF_INET6;
		v6->sin6_port = htons((uint16_t)port);
		len = sizeof(*v6);
	} else {
		return -1;
	}
	fd = socket(ss.ss_family, type | SOCK_CLOEXEC, 0);
	if (fd >= 0 && type == SOCK_STREAM)
		(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	if (fd >= 0 && (setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof(wait)) != 0 ||
			       setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &wait, sizeof(wait)) != 0 ||
			       connect(fd, (struct sockaddr *)&ss, len) != 0)) {
		close(fd);
		return -1;
	}
	return fd;
}

static bool is_answer(const uint8_t *m, size_t len)
{
	return len >= HEADER && m[0] == 0x41 && m[1] == 0x54 && (m[2] & 0x80);
}

static uint64_t now_ms(void)
{
	struct timespec t = { 0 };

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

static bool read_all(SSL *ssl, uint8_t *out, size_t len)
{
	size_t have = 0, n;

	while (have < len && SSL_read_ex(ssl, out + have, len - have, &n) == 1)
		have += n;
	return have == len;
}

static bool take_cert(const SSL *ssl, struct probe *out)
{
	X509 *cert = SSL_get0_peer_certificate(ssl);
	unsigned char *der = NULL;
	int len = cert ? i2d_X509_PUBKEY(X509_get_X509_PUBKEY(cert), &der) : -1;
	bool ok = len > 0 && EVP_Digest(der, (size_t)len, out->spki, NULL, EVP_sha256(), NULL) == 1;
	struct tm tm;

	OPENSSL_free(der);
	if (!ok || ASN1_TIME_to_tm(X509_get0_notAfter(cert), &tm) != 1)
		return false;
	out->not_after = (long long)timegm(&tm);
	return str_copy(out->tls, sizeof(out->tls), SSL_get_version(ssl)) == RC_OK;
}

static void skip_name(struct cur *c)
{
	uint8_t len;

	while ((len = cur_u8(c)) != 0 && len < 0xc0)
		(void)cur_bytes(c, len);
	if (len >= 0xc0)
		(void)cur_u8(c);
}

/* The serial of the first answer that is a SOA record; its names are not read. */
static uint32_t serial_of(const uint8_t *m, size_t len)
{
	struct cur c = cur_init(m, len);
	unsigned questions, answers;

	(void)cur_u32(&c);
	questions = cur_u16(&c);
	answers = cur_u16(&c);
	(void)cur_u32(&c);
	for (; questions > 0 && !c.bad; questions--) {
		skip_name(&c);
		(void)cur_u32(&c);
	}
	for (; answers > 0 && !c.bad; answers--) {
		unsigned type, rdlen;
		const uint8_t *rdata;

		skip_name(&c);
		type = cur_u16(&c);
		(void)cur_u16(&c);
		(void)cur_u32(&c);
		rdlen = cur_u16(&c);
		rdata = cur_bytes(&c, rdlen);
		if (!c.bad && type == TYPE_SOA && rdlen > SOA_FIXED)
			return rec_get32(rdata + rdlen - SOA_FIXED);
	}
	return 0;
}

static enum rc ask(SSL *ssl, const uint8_t *query, size_t len, struct probe *out, struct diag *d)
{
	uint8_t head[2], answer[ANSWER_MAX];
	size_t n, size;

	if (SSL_write_ex(ssl, query, len, &n) != 1 || !read_all(ssl, head, 2))
		return diag_set(d, RC_UNAVAILABLE, "TLS stands, and the question is not answered");
	size = (size_t)(head[0] << 8 | head[1]);
	if (!read_all(ssl, answer, size) || !is_answer(answer, size))
		return diag_set(d, RC_UNAVAILABLE, "TLS stands, and what comes is no answer");
	out->rcode = answer[3] & 0x0f;
	out->validated = answer[3] & 0x20;
	out->serial = serial_of(answer, size);
	return RC_OK;
}

enum rc probe_tls(const char *addr, int port, const char *tls_name, const char *name, uint16_t type,
	struct probe *out, struct diag *d)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
	SSL *ssl = ctx ? SSL_new(ctx) : NULL;
	uint8_t query[QUERY_MAX];
	size_t len = write_query(name, type, query);
	uint64_t begun = now_ms();
	int fd = -1;
	enum rc rc = ssl && len ? RC_OK : RC_NOMEM;

	memset(out, 0, sizeof(*out));
	if (rc == RC_OK)
		fd = connect_to(addr, port, SOCK_STREAM, TLS_S * 1000);
	if (rc == RC_OK && fd < 0)
		rc = diag_set(d, RC_UNAVAILABLE, "%s port %d: %s", addr, port, strerror(errno));
	/* Whose key it is, is looked at, not asked a CA. */
	if (rc == RC_OK &&
		(SSL_set_fd(ssl, fd) != 1 ||
			(tls_name && *tls_name && SSL_set_tlsext_host_name(ssl, tls_name) != 1) ||
			SSL_connect(ssl) != 1 || !take_cert(ssl, out)))
		rc = diag_set(d, RC_UNAVAILABLE, "%s port %d: no TLS there", addr, port);
	if (rc == RC_OK)
		rc = ask(ssl, query, len, out, d);
	out->ms = (unsigned)(now_ms() - begun);
	SSL_free(ssl);
	SSL_CTX_free(ctx);
	if (fd >= 0)
		close(fd);
	return rc;
}

bool probe_answers_clear(const char *addr, int port, bool tcp)
{
	uint8_t query[QUERY_MAX], answer[ANSWER_MAX];
	size_t len = write_query(".", 2, query), skip = tcp ? 0 : 2;
	int fd = connect_to(addr, port, tcp ? SOCK_STREAM : SOCK_DGRAM, CLEAR_MS);
	ssize_t n = -1;

	if (fd < 0)
		return false;
	if (len && send(fd, query + skip, len - skip, MSG_NOSIGNAL) > 0)
		n = recv(fd, answer, sizeof(answer), 0);
	close(fd);
	return n > 2 && (tcp ? is_answer(answer + 2, (size_t)n - 2) : is_answer(answer, (size_t)n));
}
