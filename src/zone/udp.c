/* SPDX-License-Identifier: Apache-2.0 */
#include "zone/udp.h"

#include "proc/killpoint.h"

#include <netinet/in.h>
#include <stdalign.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>

#define BATCH	    64
#define REQUEST_MAX 65535
/* Batches before the event loop gets its turn again: TCP and links must not starve. */
#define ROUNDS 8
/* Room for one IP_PKTINFO or IPV6_PKTINFO: an answer leaves from the address that was asked. */
#define CONTROL_MAX CMSG_SPACE(sizeof(struct in6_pktinfo))

struct peer {
	struct sockaddr_storage addr;
	alignas(struct cmsghdr) uint8_t control[CONTROL_MAX];
};

struct udp {
	int fd;
	bool wildcard;
	uint16_t udp_max;
	struct serve *serve;
	struct event *event;
	uint8_t *in;  /* BATCH * REQUEST_MAX; pages are touched as far as requests are long */
	uint8_t *out; /* BATCH * (udp_max + TSIG_ROOM) */
	struct peer peer[BATCH];
	struct iovec in_iov[BATCH];
	struct iovec out_iov[BATCH];
	struct mmsghdr in_msg[BATCH];
	struct mmsghdr out_msg[BATCH];
};

static void send_all(struct udp *u, unsigned count)
{
	unsigned at = 0;

	while (at < count) {
		int n = sendmmsg(u->fd, u->out_msg + at, count - at, MSG_DONTWAIT);

		/* A full send buffer or an unreachable client loses one answer: that is UDP. */
		at += n > 0 ? (unsigned)n : 1;
	}
}

/* Linux wants the interface of a reply open: routing may differ from how the question came. */
static void clear_interface(struct msghdr *m)
{
	for (struct cmsghdr *c = CMSG_FIRSTHDR(m); c; c = CMSG_NXTHDR(m, c))
		if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_PKTINFO)
			((struct in_pktinfo *)(void *)CMSG_DATA(c))->ipi_ifindex = 0;
}

static void answer_batch(struct udp *u, unsigned count)
{
	unsigned n = 0;

	/* The snapshot is taken after the requests were received: whoever asks after an
	 * acknowledgement sees what was acknowledged. */
	serve_begin(u->serve);
	kill_point("dns-in-snapshot");
	for (unsigned i = 0; i < count; i++) {
		const struct mmsghdr *in = &u->in_msg[i];
		struct mmsghdr *out = &u->out_msg[n];
		uint8_t *buf = u->out + (size_t)n * (u->udp_max + TSIG_ROOM);
		struct serve_client client = { .via = SERVE_UDP,
			.from = (const struct sockaddr *)&u->peer[i].addr };
		size_t len =
			serve_answer_to(u->serve, &client, u->in_iov[i].iov_base, in->msg_len, buf);

		if (len == 0)
			continue;
		u->out_iov[n] = (struct iovec){ buf, len };
		out->msg_hdr.msg_name = in->msg_hdr.msg_name;
		out->msg_hdr.msg_namelen = in->msg_hdr.msg_namelen;
		if (u->wildcard) {
			out->msg_hdr.msg_control = in->msg_hdr.msg_control;
			out->msg_hdr.msg_controllen = in->msg_hdr.msg_controllen;
			clear_interface(&out->msg_hdr);
		}
		n++;
	}
	serve_end(u->serve);
	send_all(u, n);
}

static void on_readable(evutil_socket_t fd, short what, void *user)
{
	struct udp *u = user;

	(void)what;
	for (int round = 0; round < ROUNDS; round++) {
		int n;

		for (int i = 0; i < BATCH; i++) {
			u->in_msg[i].msg_hdr.msg_namelen = sizeof(u->peer[i].addr);
			if (u->wildcard)
				u->in_msg[i].msg_hdr.msg_controllen = sizeof(u->peer[i].control);
		}
		n = recvmmsg(fd, u->in_msg, BATCH, MSG_DONTWAIT, NULL);
		if (n <= 0)
			return;
		answer_batch(u, (unsigned)n);
		if (n < BATCH)
			return;
	}
}

static bool is_wildcard(int fd)
{
	struct sockaddr_storage ss = { 0 };
	socklen_t len = sizeof(ss);

	if (getsockname(fd, (struct sockaddr *)&ss, &len) != 0)
		return false;
	if (ss.ss_family == AF_INET)
		return ((struct sockaddr_in *)(void *)&ss)->sin_addr.s_addr == 0;
	return IN6_IS_ADDR_UNSPECIFIED(&((struct sockaddr_in6 *)(void *)&ss)->sin6_addr);
}

static void prepare_messages(struct udp *u)
{
	int on = 1;

	u->wildcard = is_wildcard(u->fd);
	if (u->wildcard) {
		(void)setsockopt(u->fd, IPPROTO_IP, IP_PKTINFO, &on, sizeof(on));
		(void)setsockopt(u->fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, &on, sizeof(on));
	}
	for (unsigned i = 0; i < BATCH; i++) {
		struct msghdr *in = &u->in_msg[i].msg_hdr;
		struct msghdr *out = &u->out_msg[i].msg_hdr;

		u->in_iov[i] = (struct iovec){ u->in + (size_t)i * REQUEST_MAX, REQUEST_MAX };
		in->msg_iov = &u->in_iov[i];
		in->msg_iovlen = 1;
		in->msg_name = &u->peer[i].addr;
		if (u->wildcard)
			in->msg_control = u->peer[i].control;
		out->msg_iov = &u->out_iov[i];
		out->msg_iovlen = 1;
	}
}

enum rc udp_new(
	struct event_base *base, int fd, struct serve *serve, uint16_t udp_max, struct udp **out)
{
	struct udp *u = calloc(1, sizeof(*u));

	if (!u)
		return RC_NOMEM;
	u->fd = fd;
	u->serve = serve;
	u->udp_max = udp_max;
	u->in = malloc((size_t)BATCH * REQUEST_MAX);
	u->out = malloc((size_t)BATCH * (udp_max + TSIG_ROOM));
	u->event = event_new(base, fd, EV_READ | EV_PERSIST, on_readable, u);
	if (!u->in || !u->out || !u->event || event_add(u->event, NULL) != 0) {
		udp_free(u);
		return RC_NOMEM;
	}
	prepare_messages(u);
	*out = u;
	return RC_OK;
}

void udp_free(struct udp *u)
{
	if (!u)
		return;
	if (u->event)
		event_free(u->event);
	free(u->in);
	free(u->out);
	free(u);
}
