/* SPDX-License-Identifier: Apache-2.0 */
/* The server over real sockets: it runs in a child process, this one is the client. */
#include "../unit.h"

#include "base/clock.h"
#include "ca/init.h"
#include "http/server.h"

#include <arpa/inet.h>
#include <openssl/err.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum { BODY_MAX = 4096, PER_KEY = 3 };

static char top[] = "/tmp/test_http.XXXXXX";
static struct sockaddr_in server_addr;
static pid_t server_pid;

static const char *path_of(const char *registry, const char *file)
{
	static char path[4][256];
	static int next;
	char *out = path[next++ % 4];

	(void)snprintf(out, sizeof(path[0]), "%s/%s/%s", top, registry, file);
	return out;
}

/* ---- the child ---- */

struct child {
	struct http_server *server;
	unsigned gone;
};

static size_t body_max(void *user, const struct http_head *head)
{
	(void)user;
	(void)head;
	return BODY_MAX;
}

/* /hold is never answered; everything else tells what came and what was counted. */
static void on_request(void *user, struct http_conn *conn, const struct http_request *r)
{
	struct child *c = user;
	const struct http_counts *n = http_server_counts(c->server);
	char json[2048];
	int len;

	if (strcmp(r->head->path, "/hold") == 0)
		return;
	len = snprintf(json, sizeof(json),
		"{\"method\":\"%s\",\"path\":\"%s\",\"len\":%zu,\"sum\":%u,\"gone\":%u,\"clients\":"
		"%zu,"
		"\"failed\":%u}",
		r->head->method, r->head->path, r->body_len, r->body_len ? r->body[0] : 0u, c->gone,
		n->clients, (unsigned)n->handshakes_failed);
	http_reply(conn, 200, json, (size_t)len, NULL);
}

static void on_gone(void *user, struct http_conn *conn)
{
	struct child *c = user;

	(void)conn;
	c->gone++;
}

static void serve(int fd)
{
	struct child child = { 0 };
	struct http_handler handler = {
		.body_max = body_max, .on_request = on_request, .on_gone = on_gone, .user = &child
	};
	struct http_limits limits = { .clients = 64,
		.clients_per_key = PER_KEY,
		.idle_ms = 60000,
		.hello_ms = 400,
		.head_ms = 400,
		.body_ms = 400,
		.send_ms = 400 };
	struct log quiet = { .fd = -1 };
	struct event_base *base = event_base_new();
	struct diag d = { 0 };
	SSL_CTX *ctx = NULL;

	(void)signal(SIGPIPE, SIG_IGN);
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (tls_server_ctx(&ctx, path_of("one", "tls/https.pem"), path_of("one", "tls/https.key"),
		    path_of("one", "ca/party.pem"), &d) != RC_OK ||
		http_server_new(&child.server, base, fd, ctx, &limits, &handler, &quiet) != RC_OK) {
		fprintf(stderr, "server: %s\n", d.text);
		_exit(1);
	}
	event_base_dispatch(base);
	_exit(0);
}

static int make_registry(const char *name)
{
	char dir[256];
	struct ca_init_params p = {
		.dir = dir, .zone = "test.example", .now = clock_system()->unix_s(clock_system())
	};
	struct ca_init_result result;
	struct diag d = { 0 };

	(void)snprintf(dir, sizeof(dir), "%s/%s", top, name);
	if (ca_init(&p, &result, &d) == RC_OK)
		return 0;
	fprintf(stderr, "init: %s\n", d.text);
	return -1;
}

static int setup(void **state)
{
	socklen_t len = sizeof(server_addr);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);

	(void)state;
	(void)signal(SIGPIPE, SIG_IGN);
	if (!mkdtemp(top) || make_registry("one") < 0 || make_registry("two") < 0)
		return -1;
	server_addr = (struct sockaddr_in){ .sin_family = AF_INET,
		.sin_addr = { htonl(INADDR_LOOPBACK) } };
	if (bind(fd, (struct sockaddr *)&server_addr, sizeof(server_addr)) < 0 ||
		listen(fd, 64) < 0 || getsockname(fd, (struct sockaddr *)&server_addr, &len) < 0)
		return -1;
	server_pid = fork();
	if (server_pid == 0)
		serve(fd);
	close(fd);
	return server_pid > 0 ? 0 : -1;
}

static int teardown(void **state)
{
	char *argv[] = { "rm", "-rf", top, NULL };
	int status = 0;
	pid_t pid;

	(void)state;
	/* It must still be there: no test may have brought it down. */
	int alive = waitpid(server_pid, &status, WNOHANG) == 0;
	kill(server_pid, SIGKILL);
	waitpid(server_pid, &status, 0);
	pid = fork();
	if (pid == 0)
		execvp(argv[0], argv);
	waitpid(pid, &status, 0);
	return alive ? 0 : -1;
}

/* ---- the client ---- */

struct conn {
	SSL_CTX *ctx;
	SSL *ssl;
	int fd;
};

static int connect_raw(void)
{
	struct timeval patience = { .tv_sec = 10 };
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	assert_true(fd >= 0);
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	assert_int_equal(0, connect(fd, (struct sockaddr *)&server_addr, sizeof(server_addr)));
	return fd;
}

/* A handshake with the given certificate (NULL: none); TLS 1.2 where `old`. */
static struct conn dial(const char *cert, const char *key, int old)
{
	struct conn c = { .ctx = SSL_CTX_new(TLS_client_method()), .fd = connect_raw() };

	if (cert) {
		assert_int_equal(1, SSL_CTX_use_certificate_chain_file(c.ctx, cert));
		assert_int_equal(1, SSL_CTX_use_PrivateKey_file(c.ctx, key, SSL_FILETYPE_PEM));
	}
	SSL_CTX_load_verify_locations(c.ctx, path_of("one", "ca/party.pem"), NULL);
	X509_VERIFY_PARAM_set_flags(SSL_CTX_get0_param(c.ctx), X509_V_FLAG_PARTIAL_CHAIN);
	SSL_CTX_set_verify(c.ctx, SSL_VERIFY_PEER, NULL);
	SSL_CTX_set_mode(c.ctx, SSL_MODE_AUTO_RETRY);
	if (old)
		SSL_CTX_set_max_proto_version(c.ctx, old);
	c.ssl = SSL_new(c.ctx);
	SSL_set_fd(c.ssl, c.fd);
	if (SSL_connect(c.ssl) != 1) {
		SSL_free(c.ssl);
		c.ssl = NULL;
	}
	ERR_clear_error();
	return c;
}

static struct conn dial_operator(void)
{
	return dial(path_of("one", "operator/operator.pem"),
		path_of("one", "operator/operator.key"), 0);
}

static void hang_up(struct conn *c)
{
	SSL_free(c->ssl);
	SSL_CTX_free(c->ctx);
	close(c->fd);
	ERR_clear_error();
}

static void say(struct conn *c, const char *text)
{
	assert_int_equal((int)strlen(text), SSL_write(c->ssl, text, (int)strlen(text)));
}

/* Reads until `want` was seen or the server closes; what came is in `buf`. */
static int hear(struct conn *c, const char *want, char buf[8192])
{
	size_t len = 0;

	buf[0] = '\0';
	while (len < 8191) {
		int n = SSL_read(c->ssl, buf + len, (int)(8191 - len));
		if (n <= 0)
			break;
		len += (size_t)n;
		buf[len] = '\0';
		if (want && strstr(buf, want))
			return 1;
	}
	ERR_clear_error();
	return want == NULL;
}

/* One exchange on a connection of its own that the server must end. */
static void check_refused(const char *request, const char *status)
{
	struct conn c = dial_operator();
	char buf[8192];

	assert_non_null(c.ssl);
	(void)SSL_write(c.ssl, request, (int)strlen(request));
	assert_true(hear(&c, NULL, buf));
	if (strncmp(buf + 9, status, 3) != 0)
		fail_msg("%.40s... -> %s, not %s", request, buf, status);
	assert_non_null(strstr(buf, "Connection: close\r\n"));
	assert_non_null(strstr(buf, "{\"code\":2001,\"reason\":\""));
	hang_up(&c);
}

/* ---- who may connect ---- */

static int is_served(struct conn *c)
{
	char buf[8192];

	/* TLS 1.3 tells a client of a refused certificate only when it reads. */
	if (!c->ssl || SSL_write(c->ssl, "GET /x HTTP/1.1\r\nHost: a\r\n\r\n", 28) <= 0)
		return 0;
	return hear(c, "\"path\":\"/x\"", buf);
}

static void test_only_the_party_ca_lets_in(void **state)
{
	static const struct {
		const char *registry, *cert, *key;
		int old, ok;
	} cases[] = {
		{ "one", "operator/operator.pem", "operator/operator.key", 0, 1 },
		{ "one", "operator/operator.pem", "operator/operator.key", TLS1_2_VERSION, 1 },
		{ "one", NULL, NULL, 0, 0 },
		{ "one", NULL, NULL, TLS1_2_VERSION, 0 },
		{ "two", "operator/operator.pem", "operator/operator.key", 0, 0 },
		/* from the right CA, but a server's certificate */
		{ "one", "tls/dot.pem", "tls/dot.key", 0, 0 },
		{ "one", "operator/operator.pem", "operator/operator.key", TLS1_1_VERSION, 0 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct conn c =
			dial(cases[i].cert ? path_of(cases[i].registry, cases[i].cert) : NULL,
				cases[i].cert ? path_of(cases[i].registry, cases[i].key) : NULL,
				cases[i].old);
		if (is_served(&c) != cases[i].ok)
			fail_msg("case %zu", i);
		if (c.ssl)
			assert_int_equal(0, SSL_session_reused(c.ssl));
		hang_up(&c);
	}
}

/* ---- requests ---- */

static void test_one_connection_many_requests(void **state)
{
	struct conn c = dial_operator();
	char buf[8192];

	(void)state;
	assert_non_null(c.ssl);
	for (int i = 0; i < 50; i++) {
		say(&c, "GET /a HTTP/1.1\r\nHost: a\r\n\r\n");
		assert_true(hear(&c, "\"path\":\"/a\"", buf));
		assert_non_null(strstr(buf, "HTTP/1.1 200 OK\r\n"));
		assert_non_null(strstr(buf, "Cache-Control: no-store\r\n"));
	}
	/* pipelined, with a body in between and an old client's empty line */
	say(&c, "POST /b HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nxyz\r\nGET /c HTTP/1.1\r\n"
		"Host: a\r\n\r\nHEAD /d HTTP/1.1\r\nHost: a\r\n\r\nGET /e HTTP/1.1\r\nHost: "
		"a\r\n\r\n");
	assert_true(hear(&c, "\"path\":\"/e\"", buf));
	assert_non_null(strstr(buf, "\"path\":\"/b\",\"len\":3,\"sum\":120"));
	assert_non_null(strstr(buf, "\"path\":\"/c\""));
	assert_null(strstr(buf, "\"path\":\"/d\"")); /* HEAD has no body */
	hang_up(&c);
}

static void test_chunked_and_continue(void **state)
{
	struct conn c = dial_operator();
	char buf[8192];

	(void)state;
	say(&c, "POST /b HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n"
		"Expect: 100-continue\r\n\r\n");
	assert_true(hear(&c, "HTTP/1.1 100 Continue\r\n\r\n", buf));
	say(&c, "2\r\nab\r\n3\r\n");
	say(&c, "cde\r\n0\r\n\r\n");
	assert_true(hear(&c, "\"len\":5,\"sum\":97", buf));
	say(&c, "POST /b HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nExpect: 100-continue\r\n\r\n");
	assert_true(hear(&c, "HTTP/1.1 100 Continue\r\n\r\n", buf));
	say(&c, "a");
	assert_true(hear(&c, "\"len\":1,\"sum\":97", buf));
	hang_up(&c);
}

static void test_close_is_kept(void **state)
{
	struct conn c = dial_operator();
	char buf[8192];

	(void)state;
	say(&c, "GET /a HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\nGET /b HTTP/1.1\r\nHost: "
		"a\r\n\r\n");
	assert_true(hear(&c, NULL, buf));
	assert_non_null(strstr(buf, "Connection: close\r\n"));
	assert_null(strstr(buf, "/b"));
	hang_up(&c);
}

static void test_what_is_refused(void **state)
{
	char big[9000];

	(void)state;
	check_refused("nonsense\r\n\r\n", "400");
	check_refused("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: "
		      "chunked\r\n\r\n0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n",
		"400");
	check_refused("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4097\r\n\r\n", "413");
	check_refused(
		"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1001\r\nx", "413");
	check_refused(
		"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n", "400");
	check_refused("GET / HTTP/3.0\r\nHost: a\r\n\r\n", "505");
	memset(big, 'a', sizeof(big) - 1);
	big[sizeof(big) - 1] = '\0';
	check_refused(big, "431");
	/* slow: a head, then a body that does not come */
	check_refused("GET / HTTP/1.1\r\n", "408");
	check_refused("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nx", "408");
}

/* ---- connections ---- */

/* What the server counts, asked over a connection of its own. */
static unsigned count_of(const char *member)
{
	struct conn c = dial_operator();
	char buf[8192];
	unsigned n = 0;
	const char *at;

	say(&c, "GET /n HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
	assert_true(hear(&c, NULL, buf));
	at = strstr(buf, member);
	assert_non_null(at);
	assert_int_equal(1, sscanf(at + strlen(member), "\":%u", &n));
	hang_up(&c);
	return n;
}

static void wait_for_count(const char *member, unsigned want)
{
	unsigned n = 0;

	for (int i = 0; i < 100 && (n = count_of(member)) != want; i++)
		poll(NULL, 0, 20);
	assert_int_equal(want, n);
}

static void test_limit_per_key(void **state)
{
	struct conn c[PER_KEY];
	char buf[8192];

	(void)state;
	wait_for_count("clients", 1);
	for (size_t i = 0; i < PER_KEY; i++) {
		c[i] = dial_operator();
		say(&c[i], "GET /a HTTP/1.1\r\nHost: a\r\n\r\n");
		assert_true(hear(&c[i], "\"/a\"", buf));
	}
	check_refused("GET /a HTTP/1.1\r\nHost: a\r\n\r\n", "429");
	for (size_t i = 0; i < PER_KEY; i++)
		hang_up(&c[i]);
	wait_for_count("clients", 1);
}

static void test_a_client_that_leaves_is_forgotten(void **state)
{
	unsigned before = count_of("gone");
	struct conn c = dial_operator();

	(void)state;
	say(&c, "GET /hold HTTP/1.1\r\nHost: a\r\n\r\n");
	hang_up(&c);
	wait_for_count("gone", before + 1);
	wait_for_count("clients", 1);
}

/* Bytes that are no TLS, half a handshake and silence: each ends, none stays. */
static void test_what_is_no_tls_ends(void **state)
{
	unsigned before = count_of("failed");
	unsigned seed = 20261123;
	char noise[512];
	int fd[8];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(fd); i++) {
		fd[i] = connect_raw();
		for (size_t n = 0; n < sizeof(noise); n++) {
			seed = seed * 1103515245 + 12345;
			noise[n] = (char)(seed >> 16);
		}
		if (i % 4 == 1)
			memcpy(noise, "GET / HTTP/1.1\r\n\r\n", 18);
		if (i % 4 == 2)
			memcpy(noise, "\x16\x03\x01\x01\xf0\x01\x00\x01\xec\x03\x03", 11);
		if (i % 4 != 3)
			(void)send(fd[i], noise, i % 4 == 2 ? 20 : sizeof(noise), MSG_NOSIGNAL);
	}
	for (size_t i = 0; i < ARRAY_LEN(fd); i++) {
		while (recv(fd[i], noise, sizeof(noise), 0) > 0)
			;
		close(fd[i]);
	}
	wait_for_count("clients", 1);
	assert_int_equal(before + ARRAY_LEN(fd), count_of("failed"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_only_the_party_ca_lets_in),
		cmocka_unit_test(test_one_connection_many_requests),
		cmocka_unit_test(test_chunked_and_continue),
		cmocka_unit_test(test_close_is_kept),
		cmocka_unit_test(test_what_is_refused),
		cmocka_unit_test(test_limit_per_key),
		cmocka_unit_test(test_a_client_that_leaves_is_forgotten),
		cmocka_unit_test(test_what_is_no_tls_ends),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
