/* SPDX-License-Identifier: Apache-2.0 */
#include "../unit.h"

#include "proc/frame.h"
#include "control.pb-c.h"

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* ---- the parser ---- */

static void test_every_truncation_needs_more(void **state)
{
	static const uint8_t frame[] = { 0, 0, 0, 5, 'h', 'e', 'l', 'l', 'o' };

	(void)state;
	for (size_t cut = 0; cut < sizeof(frame); cut++) {
		struct cur c = cur_init(frame, cut), body = { 0 };
		size_t need = 0;
		assert_rc(RC_TRUNCATED, frame_next(&c, FRAME_MAX, &body, &need));
		assert_int_equal(cut < FRAME_HEADER ? FRAME_HEADER : sizeof(frame), need);
		assert_int_equal(cut, c.left);
		assert_ptr_equal(frame, c.at);
	}
}

static void test_frames_follow_each_other(void **state)
{
	static const uint8_t bytes[] = { 0, 0, 0, 1, 'a', 0, 0, 0, 2, 'b', 'c', 0 };
	struct cur c = cur_init(bytes, sizeof(bytes)), body;
	size_t need;

	(void)state;
	assert_rc(RC_OK, frame_next(&c, 2, &body, &need));
	assert_int_equal(1, body.left);
	assert_rc(RC_OK, frame_next(&c, 2, &body, &need));
	assert_int_equal(2, body.left);
	assert_memory_equal("bc", body.at, 2);
	assert_int_equal(6, need);
	assert_rc(RC_TRUNCATED, frame_next(&c, 2, &body, &need));
	assert_int_equal(1, c.left);
}

static void test_bad_lengths_are_refused(void **state)
{
	static const struct {
		uint8_t bytes[FRAME_HEADER];
		enum rc rc;
	} rows[] = {
		{ { 0, 0, 0, 0 }, RC_MALFORMED },
		{ { 0xff, 0xff, 0xff, 0xff }, RC_TOO_LARGE },
		{ { 0x01, 0x00, 0x00, 0x01 }, RC_TOO_LARGE },
		{ { 0x01, 0x00, 0x00, 0x00 }, RC_TRUNCATED },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct cur c = cur_init(rows[i].bytes, FRAME_HEADER), body;
		size_t need;
		assert_rc(rows[i].rc, frame_next(&c, FRAME_MAX, &body, &need));
	}
}

/* ---- the link ---- */

struct end {
	struct link *link;
	struct event_base *base;
	size_t messages, bytes;
	uint8_t last[64];
	bool closed, free_on_message, free_on_closed, echo, pause_on_message;
	enum rc why;
	size_t leave_after; /* messages; 0: never */
};

static void on_message(struct link *link, const uint8_t *bytes, size_t len, void *user)
{
	struct end *e = user;

	e->messages++;
	e->bytes += len;
	memcpy(e->last, bytes, len < sizeof(e->last) ? len : sizeof(e->last));
	if (e->echo)
		assert_rc(RC_OK, link_send_bytes(link, bytes, len));
	if (e->pause_on_message)
		link_pause(link, true);
	if (e->free_on_message) {
		link_free(link);
		e->link = NULL;
		assert_memory_equal(e->last, bytes, len < sizeof(e->last) ? len : sizeof(e->last));
	}
	if (e->leave_after && e->messages >= e->leave_after)
		event_base_loopbreak(e->base);
}

static void on_closed(struct link *link, enum rc why, void *user)
{
	struct end *e = user;

	assert_false(e->closed);
	assert_false(link_is_open(link));
	e->closed = true;
	e->why = why;
	if (e->free_on_closed) {
		link_free(link);
		e->link = NULL;
	}
	event_base_loopbreak(e->base);
}

struct pair {
	struct event_base *base;
	struct end a, b;
};

static void pair_open(struct pair *p, size_t max_frame, size_t max_queue)
{
	struct end *ends[2] = { &p->a, &p->b };
	int fds[2];

	*p = (struct pair){ .base = event_base_new() };
	assert_non_null(p->base);
	assert_int_equal(0, socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds));
	for (size_t i = 0; i < 2; i++) {
		struct link_opts opts = { .max_frame = max_frame,
			.max_queue = max_queue,
			.on_message = on_message,
			.on_closed = on_closed,
			.user = ends[i] };
		ends[i]->base = p->base;
		assert_rc(RC_OK, link_new(p->base, fds[i], &opts, &ends[i]->link));
	}
}

static void pair_close(struct pair *p)
{
	link_free(p->a.link);
	link_free(p->b.link);
	event_base_free(p->base);
}

/* A raw end, to write what a link would not. */
static int half_open(struct pair *p)
{
	struct link_opts opts = { .on_message = on_message, .on_closed = on_closed, .user = &p->a };
	int fds[2];

	*p = (struct pair){ .base = event_base_new() };
	assert_non_null(p->base);
	assert_int_equal(0, socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds));
	p->a.base = p->base;
	assert_rc(RC_OK, link_new(p->base, fds[0], &opts, &p->a.link));
	return fds[1];
}

static void test_messages_arrive_in_order_both_ways(void **state)
{
	enum { N = 20000 };
	struct pair p;

	(void)state;
	pair_open(&p, 0, 0);
	p.b.echo = true;
	p.a.leave_after = N;
	for (uint32_t i = 0; i < N; i++)
		assert_rc(RC_OK, link_send_bytes(p.a.link, &i, sizeof(i)));
	assert_true(event_base_dispatch(p.base) >= 0);
	uint32_t last;
	memcpy(&last, p.a.last, sizeof(last));
	assert_int_equal(N - 1, last);
	assert_int_equal(N, p.a.messages);
	assert_int_equal(N * sizeof(last), p.b.bytes);
	pair_close(&p);
}

static void test_largest_frame_passes_and_larger_does_not(void **state)
{
	struct pair p;
	uint8_t *big = calloc(1, FRAME_MAX + 1);

	(void)state;
	assert_non_null(big);
	pair_open(&p, 0, 0);
	p.b.leave_after = 2;
	assert_rc(RC_TOO_LARGE, link_send_bytes(p.a.link, big, FRAME_MAX + 1));
	assert_rc(RC_MALFORMED, link_send_bytes(p.a.link, big, 0));
	assert_rc(RC_OK, link_send_bytes(p.a.link, big, FRAME_MAX));
	assert_rc(RC_OK, link_send_bytes(p.a.link, big, 1));
	event_base_dispatch(p.base);
	assert_int_equal(FRAME_MAX + 1, p.b.bytes);
	pair_close(&p);
	free(big);
}

static void test_protobuf_is_packed_in_place(void **state)
{
	Control__Ping ping = CONTROL__PING__INIT;
	Control__ToRole msg = CONTROL__TO_ROLE__INIT;
	Control__ToRole *got;
	struct pair p;

	(void)state;
	pair_open(&p, 0, 0);
	p.b.leave_after = 1;
	ping.n = 77;
	msg.op_case = CONTROL__TO_ROLE__OP_PING;
	msg.ping = &ping;
	assert_rc(RC_OK, link_send(p.a.link, &msg.base));
	event_base_dispatch(p.base);
	got = control__to_role__unpack(NULL, p.b.bytes, p.b.last);
	assert_non_null(got);
	assert_int_equal(77, got->ping->n);
	control__to_role__free_unpacked(got, NULL);
	pair_close(&p);
}

static void test_queue_is_bounded(void **state)
{
	struct pair p;
	uint8_t kilo[1024] = { 0 };
	enum rc rc = RC_OK;
	size_t sent = 0;

	(void)state;
	pair_open(&p, sizeof(kilo), 64 * 1024);
	link_pause(p.b.link, true);
	for (; sent < 100000 && rc == RC_OK; sent += rc == RC_OK) {
		rc = link_send_bytes(p.a.link, kilo, sizeof(kilo));
		link_flush(p.a.link);
	}
	assert_rc(RC_BUSY, rc);
	assert_true(link_queued(p.a.link) <= 64 * 1024);
	assert_true(link_is_open(p.a.link));
	/* The peer reads again: all that was taken arrives. */
	p.b.leave_after = sent;
	link_pause(p.b.link, false);
	event_base_dispatch(p.base);
	assert_int_equal(sent, p.b.messages);
	assert_int_equal(0, link_queued(p.a.link));
	pair_close(&p);
}

static void test_pause_between_two_messages_of_one_read(void **state)
{
	struct pair p;

	(void)state;
	pair_open(&p, 0, 0);
	p.b.pause_on_message = true;
	p.b.leave_after = 1;
	assert_rc(RC_OK, link_send_bytes(p.a.link, "one", 3));
	assert_rc(RC_OK, link_send_bytes(p.a.link, "two", 3));
	event_base_dispatch(p.base);
	assert_int_equal(1, p.b.messages);
	/* The end is told only after what came before it. */
	link_free(p.a.link);
	p.a.link = NULL;
	p.b.pause_on_message = false;
	p.b.leave_after = 0;
	link_pause(p.b.link, false);
	event_base_dispatch(p.base);
	assert_int_equal(2, p.b.messages);
	assert_memory_equal("two", p.b.last, 3);
	assert_true(p.b.closed);
	pair_close(&p);
}

static void test_free_inside_both_callbacks(void **state)
{
	struct pair p;

	(void)state;
	pair_open(&p, 0, 0);
	p.b.free_on_message = true;
	p.a.free_on_closed = true;
	assert_rc(RC_OK, link_send_bytes(p.a.link, "bye", 3));
	assert_rc(RC_OK, link_send_bytes(p.a.link, "never read", 10));
	event_base_dispatch(p.base);
	assert_int_equal(1, p.b.messages);
	assert_null(p.b.link);
	assert_true(p.a.closed);
	assert_null(p.a.link);
	pair_close(&p);
}

static void test_send_to_a_dead_peer(void **state)
{
	struct pair p;

	(void)state;
	pair_open(&p, 0, 0);
	link_free(p.b.link);
	p.b.link = NULL;
	assert_rc(RC_OK, link_send_bytes(p.a.link, "x", 1));
	link_flush(p.a.link);
	assert_rc(RC_CLOSED, link_send_bytes(p.a.link, "x", 1));
	assert_false(p.a.closed); /* told from the loop, not from here */
	event_base_dispatch(p.base);
	assert_true(p.a.closed);
	assert_rc(RC_CLOSED, p.a.why);
	pair_close(&p);
}

static void test_bad_frame_ends_the_link(void **state)
{
	static const struct {
		uint8_t bytes[16];
		size_t len, messages;
		enum rc why;
	} rows[] = {
		{ { 0xff, 0xff, 0xff, 0xff }, 4, 0, RC_TOO_LARGE },
		{ { 0, 0, 0, 0 }, 4, 0, RC_MALFORMED },
		{ { 0, 0, 0, 1, 'a', 0, 0, 0, 0, 0, 0, 0, 1, 'b' }, 14, 1, RC_MALFORMED },
		{ { 0, 0, 0, 9, 'c', 'u', 't' }, 7, 0, RC_CLOSED },
		{ { 0 }, 0, 0, RC_CLOSED },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct pair p;
		int raw = half_open(&p);
		assert_int_equal(rows[i].len, write(raw, rows[i].bytes, rows[i].len));
		if (rows[i].why == RC_CLOSED)
			assert_int_equal(0, shutdown(raw, SHUT_WR));
		event_base_dispatch(p.base);
		assert_true(p.a.closed);
		assert_rc(rows[i].why, p.a.why);
		assert_int_equal(rows[i].messages, p.a.messages);
		close(raw);
		pair_close(&p);
	}
}

static void test_byte_by_byte(void **state)
{
	static const uint8_t frame[] = { 0, 0, 0, 3, 'a', 'b', 'c' };
	struct pair p;
	int raw = half_open(&p);

	(void)state;
	p.a.leave_after = 1;
	for (size_t i = 0; i < sizeof(frame); i++) {
		assert_int_equal(0, p.a.messages);
		assert_int_equal(1, write(raw, frame + i, 1));
		event_base_loop(p.base, EVLOOP_NONBLOCK);
	}
	assert_int_equal(1, p.a.messages);
	close(raw);
	pair_close(&p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_truncation_needs_more),
		cmocka_unit_test(test_frames_follow_each_other),
		cmocka_unit_test(test_bad_lengths_are_refused),
		cmocka_unit_test(test_messages_arrive_in_order_both_ways),
		cmocka_unit_test(test_largest_frame_passes_and_larger_does_not),
		cmocka_unit_test(test_protobuf_is_packed_in_place),
		cmocka_unit_test(test_queue_is_bounded),
		cmocka_unit_test(test_pause_between_two_messages_of_one_read),
		cmocka_unit_test(test_free_inside_both_callbacks),
		cmocka_unit_test(test_send_to_a_dead_peer),
		cmocka_unit_test(test_bad_frame_ends_the_link),
		cmocka_unit_test(test_byte_by_byte),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
