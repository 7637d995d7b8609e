/* SPDX-License-Identifier: Apache-2.0 */
/* A load of DNS questions over UDP from many client addresses and ports, in batches of system
 * calls, with a bounded number in flight, for a bounded number of questions.
 *
 *   gun PORT ZONE DEVICES exist|denied|slot COUNT SOCKETS INFLIGHT
 *
 * Each socket is bound to its own address of 127.0.0.0/8 and connected. The questions are CERT with
 * DO at random names: of devices (exist), of ICCIDs that no device has (denied), of another slot of
 * a device (slot). Prints one JSON line. */
#include "base/str.h"

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define BATCH	 64
#define QUESTION 128
#define ANSWER	 2048
#define STALL_S	 2.0
#define LIMIT_S	 60.0
#define POOL	 (1u << 17) /* questions made beforehand; the zone is far larger than a cache */

struct gun {
	uint16_t port;
	const char *zone;
	uint64_t devices;
	char mode; /* e, d, s */
	uint64_t count;
	unsigned sockets;
	unsigned inflight;
	int *fd;
	uint8_t (*pool)[QUESTION];
	uint8_t *pool_len;
	uint64_t state;
	uint64_t sent, got, wrong, lost;
	uint8_t want_rcode;
};

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static uint64_t rnd(struct gun *g)
{
	g->state ^= g->state << 13;
	g->state ^= g->state >> 7;
	g->state ^= g->state << 17;
	return g->state;
}

/* As tests/lib/zone_tool spreads them. */
static uint64_t device_number(uint64_t i, uint64_t n)
{
	uint64_t step = 1000000000ull / n;

	return (i * step + (i * 2654435761u >> 7) % step) % 1000000000ull;
}

static uint8_t *put_label(uint8_t *p, const char *text, size_t len)
{
	*p++ = (uint8_t)len;
	memcpy(p, text, len);
	return p + len;
}

static size_t make_question(struct gun *g, uint8_t *q)
{
	static const uint8_t head[] = { 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 1 };
	static const uint8_t tail[] = { 0, 0, 37, 0, 1, 0, 0, 41, 4, 208, 0, 0, 128, 0, 0, 0 };
	uint64_t number = device_number(rnd(g) % g->devices, g->devices);
	const char *at = g->zone;
	char iccid[32];
	uint8_t *p = q + sizeof(head);

	memcpy(q, head, sizeof(head));
	/* Numbers of devices are at most one in a step: the next one is nobody's. */
	if (g->mode == 'd')
		number = (number + 1) % 1000000000ull;
	snprintf(iccid, sizeof(iccid), "8912230200%09lluf", (unsigned long long)number);
	p = put_label(p, g->mode == 's' ? "2" : "1", 1);
	p = put_label(p, iccid, 20);
	while (*at) {
		size_t len = strcspn(at, ".");

		p = put_label(p, at, len);
		at += len + (at[len] == '.');
	}
	memcpy(p, tail, sizeof(tail));
	return (size_t)(p - q) + sizeof(tail);
}

static bool open_sockets(struct gun *g, int epoll)
{
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(0x7f000001) };

	to.sin_port = htons(g->port);
	for (unsigned i = 0; i < g->sockets; i++) {
		struct sockaddr_in from = { .sin_family = AF_INET };
		struct epoll_event e = { .events = EPOLLIN, .data.u32 = i };

		from.sin_addr.s_addr = htonl(0x7f010000u + i / 16 + 1);
		g->fd[i] = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
		if (g->fd[i] < 0 || bind(g->fd[i], (struct sockaddr *)&from, sizeof(from)) != 0 ||
			connect(g->fd[i], (struct sockaddr *)&to, sizeof(to)) != 0 ||
			epoll_ctl(epoll, EPOLL_CTL_ADD, g->fd[i], &e) != 0) {
			perror("gun: socket");
			return false;
		}
	}
	return true;
}

/* A burst from one socket: the generator must be cheaper than the server. */
static void shoot(struct gun *g, unsigned socket, unsigned burst)
{
	struct mmsghdr msg[BATCH] = { 0 };
	struct iovec iov[BATCH];
	int n;

	for (unsigned i = 0; i < burst; i++) {
		size_t at = rnd(g) % POOL;

		iov[i] = (struct iovec){ g->pool[at], g->pool_len[at] };
		msg[i].msg_hdr.msg_iov = &iov[i];
		msg[i].msg_hdr.msg_iovlen = 1;
	}
	n = sendmmsg(g->fd[socket], msg, burst, 0);
	if (n > 0)
		g->sent += (uint64_t)n;
}

static void collect(struct gun *g, unsigned socket)
{
	static uint8_t room[BATCH][ANSWER];
	struct mmsghdr msg[BATCH] = { 0 };
	struct iovec iov[BATCH];
	int n;

	for (unsigned i = 0; i < BATCH; i++) {
		iov[i] = (struct iovec){ room[i], ANSWER };
		msg[i].msg_hdr.msg_iov = &iov[i];
		msg[i].msg_hdr.msg_iovlen = 1;
	}
	n = recvmmsg(g->fd[socket], msg, BATCH, MSG_DONTWAIT, NULL);
	for (int i = 0; i < n; i++) {
		g->got++;
		if (msg[i].msg_len < 12 || (room[i][3] & 15) != g->want_rcode)
			g->wrong++;
	}
}

static void fire(struct gun *g, int epoll)
{
	struct epoll_event ready[256];
	double start = now();
	double last = start;
	unsigned next = 0;

	while (g->got + g->lost < g->count && now() - start < LIMIT_S) {
		int n;
		uint64_t before = g->got;

		while (g->sent < g->count && g->sent - g->got - g->lost + 8 <= g->inflight) {
			shoot(g, next, 8);
			next = (next + 1) % g->sockets;
		}
		n = epoll_wait(epoll, ready, 256, 20);
		for (int i = 0; i < n; i++)
			collect(g, ready[i].data.u32);
		if (g->got > before)
			last = now();
		else if (now() - last > STALL_S) {
			g->lost = g->sent - g->got;
			last = now();
		}
	}
	printf("{\"sent\": %llu, \"answers\": %llu, \"wrong\": %llu, \"lost\": %llu, "
	       "\"seconds\": %.3f, \"sockets\": %u}\n",
		(unsigned long long)g->sent, (unsigned long long)g->got,
		(unsigned long long)g->wrong, (unsigned long long)g->lost, now() - start,
		g->sockets);
}

static bool read_args(struct gun *g, char **argv)
{
	uint64_t port, sockets, inflight;

	g->zone = argv[2];
	g->mode = argv[4][0];
	if (u64_read(argv[1], 1, 65535, &port) != RC_OK ||
		u64_read(argv[3], 1, 500000000, &g->devices) != RC_OK ||
		u64_read(argv[5], 1, 1000000000, &g->count) != RC_OK ||
		u64_read(argv[6], 1, 60000, &sockets) != RC_OK ||
		u64_read(argv[7], 8, 100000, &inflight) != RC_OK || strlen(g->zone) > 60)
		return false;
	g->port = (uint16_t)port;
	g->sockets = (unsigned)sockets;
	g->inflight = (unsigned)inflight;
	g->want_rcode = g->mode == 'e' ? 0 : 3;
	return true;
}

int main(int argc, char **argv)
{
	struct gun g = { .state = 0x9e3779b97f4a7c15ull };
	struct rlimit files;
	int epoll = epoll_create1(EPOLL_CLOEXEC);

	if (argc != 8 || !read_args(&g, argv)) {
		fprintf(stderr,
			"usage: gun PORT ZONE DEVICES exist|denied|slot COUNT SOCKETS INFLIGHT\n");
		return 2;
	}
	getrlimit(RLIMIT_NOFILE, &files);
	files.rlim_cur = files.rlim_max;
	setrlimit(RLIMIT_NOFILE, &files);
	g.fd = calloc(g.sockets, sizeof(*g.fd));
	g.pool = malloc(POOL * sizeof(*g.pool));
	g.pool_len = malloc(POOL);
	if (!g.fd || !g.pool || !g.pool_len || !open_sockets(&g, epoll))
		return 1;
	for (unsigned i = 0; i < POOL; i++)
		g.pool_len[i] = (uint8_t)make_question(&g, g.pool[i]);
	fire(&g, epoll);
	return g.got > 0 && g.wrong == 0 ? 0 : 1;
}
