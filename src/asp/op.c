/* SPDX-License-Identifier: Apache-2.0 */
#include "asp/internal.h"

#include "base/str.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

struct attest_op {
	struct attest_op *next, **prev; /* in ops->live */
	struct attest_op *next_done;	/* in ops->done */
	struct attest *attest;
	attest_done *done;
	void *user;
	struct asp_waiter waiter;
	bool judged; /* the result was clear without a look-up */
	bool ended;
	bool cancelled;
	struct asp_cert cert;
	char asked[ASP_NAME_TEXT];
	uint16_t type;
	enum rc rc;
	bool cached;
	struct asp_answer answer;
	struct attest_result result;
};

struct asp_ops {
	pthread_mutex_t lock; /* guards `done`; taken inside the worker's lock, never around it */
	int fd;
	struct attest_op *live; /* the dispatching thread's */
	struct attest_op *done; /* newest first */
};

enum rc asp__ops_new(struct asp_ops **out)
{
	struct asp_ops *ops = calloc(1, sizeof(*ops));

	if (!ops)
		return RC_NOMEM;
	ops->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (ops->fd < 0 || pthread_mutex_init(&ops->lock, NULL) != 0) {
		if (ops->fd >= 0)
			close(ops->fd);
		free(ops);
		return RC_IO;
	}
	*out = ops;
	return RC_OK;
}

/* After the worker's end: nobody else holds an operation. */
void asp__ops_free(struct asp_ops *ops)
{
	if (!ops)
		return;
	while (ops->live) {
		struct attest_op *op = ops->live;

		ops->live = op->next;
		free(op);
	}
	pthread_mutex_destroy(&ops->lock);
	close(ops->fd);
	free(ops);
}

static void complete(struct attest_op *op)
{
	struct asp_ops *ops = op->attest->ops;
	uint64_t one = 1;

	pthread_mutex_lock(&ops->lock);
	op->ended = true;
	op->next_done = ops->done;
	ops->done = op;
	pthread_mutex_unlock(&ops->lock);
	while (write(ops->fd, &one, sizeof(one)) < 0 && errno == EINTR)
		;
}

static void on_ended(struct asp_waiter *self, enum rc rc, const struct asp_answer *a, bool cached)
{
	struct attest_op *op =
		(struct attest_op *)(void *)((char *)self - offsetof(struct attest_op, waiter));

	op->rc = rc;
	op->cached = cached;
	if (a)
		op->answer = *a;
	complete(op);
}

static void unlink_op(struct attest_op *op)
{
	*op->prev = op->next;
	if (op->next)
		op->next->prev = op->prev;
}

enum attest_error attest_check_start(struct attest *attest, const unsigned char *der, size_t len,
	const char *client_name, attest_done *done, void *user, struct attest_op **out)
{
	struct asp_ops *ops = attest->ops;
	struct attest_op *op = calloc(1, sizeof(*op));

	if (!op)
		return ATTEST_ENOMEM;
	op->attest = attest;
	op->done = done;
	op->user = user;
	op->waiter.ended = on_ended;
	op->next = ops->live;
	op->prev = &ops->live;
	if (op->next)
		op->next->prev = &op->next;
	ops->live = op;
	if (out)
		*out = op;
	op->judged = asp__local(attest, der, len, client_name, &op->cert, op->asked, &op->result) !=
		     ATTEST_OK;
	op->type = asp__type(attest, client_name);
	if (op->judged)
		complete(op);
	else
		asp__worker_start(attest->worker, op->asked, op->type, &op->waiter);
	return ATTEST_SUCCESS;
}

void attest_cancel(struct attest_op *op)
{
	struct asp_ops *ops;
	bool ended;

	if (!op)
		return;
	ops = op->attest->ops;
	asp__worker_leave(op->attest->worker, &op->waiter);
	pthread_mutex_lock(&ops->lock);
	ended = op->ended;
	op->cancelled = true;
	pthread_mutex_unlock(&ops->lock);
	if (!ended) { /* and cannot end any more */
		unlink_op(op);
		free(op);
	}
}

int attest_fd(const struct attest *attest)
{
	return attest->ops->fd;
}

static struct attest_op *take_done(struct asp_ops *ops)
{
	struct attest_op *list, *oldest_first = NULL;

	pthread_mutex_lock(&ops->lock);
	list = ops->done;
	ops->done = NULL;
	pthread_mutex_unlock(&ops->lock);
	while (list) {
		struct attest_op *op = list;

		list = op->next_done;
		op->next_done = oldest_first;
		oldest_first = op;
	}
	return oldest_first;
}

size_t attest_dispatch(struct attest *attest)
{
	struct asp_ops *ops = attest->ops;
	struct attest_op *list, *next;
	uint64_t count;
	size_t n = 0;

	while (read(ops->fd, &count, sizeof(count)) < 0 && errno == EINTR)
		;
	/* A function may cancel another operation of this list: it stays linked and is passed by.
	 */
	for (list = take_done(ops); list; list = next) {
		struct attest_op *op = list;

		next = op->next_done;
		if (!op->cancelled) {
			if (!op->judged)
				(void)asp__judge(attest, op->type, op->asked, op->rc, &op->answer,
					op->cached, &op->cert, &op->result);
			asp__worker_count(attest->worker, op->result.reason);
			op->done(op, &op->result, op->user);
			n++;
		}
		unlink_op(op);
		free(op);
	}
	return n;
}
