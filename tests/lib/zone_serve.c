/* SPDX-License-Identifier: Apache-2.0 */
/* The answering code of role dns over a store that nobody writes. */
#include "zone_tool.h"

#include "zone/stream.h"
#include "zone/udp.h"
#include "zone/spool.h"

#include <arpa/inet.h>
#include <sys/socket.h>
#include <unistd.h>

#define UDP_MAX	    1232
#define SOCKET_ROOM (4 << 20)

static int bound(int type, uint16_t *port)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(a);
	int fd = socket(AF_INET, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	int room = SOCKET_ROOM;

	if (fd < 0 || bind(fd, (struct sockaddr *)&a, sizeof(a)) != 0 ||
		getsockname(fd, (struct sockaddr *)&a, &len) != 0)
		return -1;
	if (type == SOCK_STREAM && listen(fd, 128) != 0)
		return -1;
	(void)setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &room, sizeof(room));
	(void)setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &room, sizeof(room));
	*port = ntohs(a.sin_port);
	return fd;
}

int tool_udp(uint16_t *port)
{
	return bound(SOCK_DGRAM, port);
}

static void on_stdin(evutil_socket_t fd, short what, void *base)
{
	char buf[64];

	(void)what;
	if (read(fd, buf, sizeof(buf)) <= 0)
		event_base_loopbreak(base);
}

struct server {
	struct event_base *base;
	struct zone_db *db;
	struct snap_reader reader;
	struct serve *serve;
	SSL_CTX *tls;
	struct udp *udp;
	struct stream *tcp;
	struct stream *dot;
	uint16_t udp_port, tcp_port, dot_port;
};

static enum rc open_sockets(struct server *s)
{
	static const struct stream_limits limits = { .clients = 1000, .idle_ms = 10000 };
	int udp = bound(SOCK_DGRAM, &s->udp_port);
	int tcp = bound(SOCK_STREAM, &s->tcp_port);
	int dot = s->tls ? bound(SOCK_STREAM, &s->dot_port) : -1;
	enum rc rc = udp < 0 || tcp < 0 || (s->tls && dot < 0) ? RC_IO : RC_OK;

	if (rc == RC_OK)
		rc = udp_new(s->base, udp, s->serve, UDP_MAX, &s->udp);
	if (rc == RC_OK)
		rc = stream_new(s->base, tcp, s->serve, NULL, NULL, &limits, &s->tcp);
	if (rc == RC_OK && s->tls)
		rc = stream_new(s->base, dot, s->serve, s->tls, NULL, &limits, &s->dot);
	return rc;
}

enum rc tool_serve(const char *dir, const char *dot_cert, const char *dot_key)
{
	struct server s = { 0 };
	struct diag d = { 0 };
	struct event *in = NULL;
	enum rc rc = zone_db_open(dir, ZONE_DB_READ, 0, &s.db, &d);

	s.base = event_base_new();
	if (rc == RC_OK && dot_cert)
		rc = stream_tls_new(dot_cert, dot_key, &s.tls, &d);
	if (rc == RC_OK)
		rc = snap_reader_init(&s.reader, s.db, NULL, NULL);
	if (rc == RC_OK)
		rc = serve_new(&s.reader, UDP_MAX, &s.serve);
	if (rc == RC_OK)
		rc = open_sockets(&s);
	if (rc == RC_OK) {
		printf("{\"udp\": %u, \"tcp\": %u, \"dot\": %u, \"pid\": %d}\n", s.udp_port,
			s.tcp_port, s.dot_port, (int)getpid());
		fflush(stdout);
		in = event_new(s.base, 0, EV_READ | EV_PERSIST, on_stdin, s.base);
		event_add(in, NULL);
		event_base_dispatch(s.base);
	} else {
		fprintf(stderr, "%s\n", d.text);
	}
	if (in)
		event_free(in);
	stream_free(s.dot);
	stream_free(s.tcp);
	udp_free(s.udp);
	serve_free(s.serve);
	if (s.db)
		snap_reader_fini(&s.reader);
	zone_db_close(s.db);
	SSL_CTX_free(s.tls);
	event_base_free(s.base);
	return rc;
}
