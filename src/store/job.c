/* SPDX-License-Identifier: Apache-2.0 */
#include "store/engine.h"

#include <string.h>

static void read_job(struct st__q *q, struct arena *a, struct store_job *j)
{
	*j = (struct store_job){ .id = st__col_int(q, 0) };
	j->profile = st__col_int(q, 1);
	j->kind = (int)st__col_int(q, 2);
	j->state = (int)st__col_int(q, 3);
	st__col_text(q, 4, j->iccid, sizeof(j->iccid));
	j->slot = (uint32_t)st__col_int(q, 5);
	st__col_text(q, 6, j->mno, sizeof(j->mno));
	j->attempt = (uint32_t)st__col_int(q, 7);
	j->has_nonce = st__col_fixed(q, 8, j->nonce, sizeof(j->nonce));
	j->cert = st__col_int(q, 9);
	j->sequence = (uint64_t)st__col_int(q, 10);
	j->with_cert = st__col_int(q, 11) != 0;
	j->payload = st__col_blob(q, 12, a);
	j->kit = st__col_blob(q, 13, a);
	st__col_text(q, 14, j->reason, sizeof(j->reason));
	j->has_result = st__col_fixed(q, 15, j->result_sha256, sizeof(j->result_sha256));
	j->not_after = st__col_int(q, 16);
	j->created = st__col_int(q, 17);
	j->closed = st__col_int(q, 18);
	j->polled = st__col_int(q, 19) != 0;
	st__col_text(q, 20, j->cause, sizeof(j->cause));
}

enum rc store_job_add(struct store *s, struct store_job *j)
{
	struct st__q q = st__start(s, ST__JOB_ADD);

	st__int(&q, j->profile);
	st__int(&q, j->kind);
	st__int(&q, j->state);
	st__text(&q, j->iccid);
	st__int(&q, j->slot);
	st__text(&q, j->mno);
	st__int(&q, j->attempt);
	st__blob(&q, j->has_nonce ? j->nonce : NULL, sizeof(j->nonce));
	st__int(&q, j->cert);
	st__int(&q, (int64_t)j->sequence);
	st__int(&q, j->with_cert);
	st__blob(&q, j->payload.len ? j->payload.bytes : NULL, j->payload.len);
	st__blob(&q, j->kit.len ? j->kit.bytes : NULL, j->kit.len);
	st__int(&q, j->not_after);
	st__int(&q, j->created);
	st__text(&q, j->cause);
	return st__run_int(&q, &j->id);
}

enum rc store_job_get(struct store *s, int64_t id, struct arena *a, struct store_job *out)
{
	struct st__q q = st__start(s, ST__JOB_GET);
	struct store_job j;
	bool found;
	enum rc rc;

	st__int(&q, id);
	found = st__row(&q);
	if (found)
		read_job(&q, a, &j);
	rc = st__end_one(&q, found);
	if (rc == RC_OK)
		*out = j;
	return rc;
}

enum rc store_job_last(struct store *s, int64_t profile, int kind, int64_t *id)
{
	struct st__q q = st__start(s, ST__JOB_LAST);

	st__int(&q, profile);
	st__int(&q, kind);
	return st__run_int(&q, id);
}

enum rc store_job_close(struct store *s, const struct store_job *j)
{
	struct st__q q = st__start(s, ST__JOB_CLOSE);

	st__int(&q, j->id);
	st__int(&q, j->state);
	st__text(&q, j->reason);
	st__int(&q, j->cert);
	st__blob(&q, j->has_result ? j->result_sha256 : NULL, sizeof(j->result_sha256));
	st__int(&q, j->closed);
	return st__run(&q);
}

enum rc store_job_open(struct store *s, const char *mno, int64_t after, size_t limit,
	struct arena *a, struct store_job **out, size_t *n)
{
	struct st__q q = st__start(s, ST__JOB_OPEN);
	struct st__list l = { 0 };

	st__text(&q, mno);
	st__int(&q, after);
	st__int(&q, (int64_t)limit);
	while (st__row(&q)) {
		struct store_job *j = st__list_add(&l, sizeof(*j), a, &q);

		if (j)
			read_job(&q, a, j);
	}
	*out = (struct store_job *)(void *)l.items;
	*n = l.n;
	return st__end(&q);
}

enum rc store_job_queue_head(
	struct store *s, const char *mno, struct arena *a, struct store_job *out, uint32_t *count)
{
	struct st__q q = st__start(s, ST__JOB_QUEUE_HEAD);
	struct store_job j = { 0 };
	int64_t n = 0;
	enum rc rc;

	st__text(&q, mno);
	if (st__row(&q))
		read_job(&q, a, &j);
	rc = st__end(&q);
	if (rc == RC_OK && !j.id)
		return RC_NOT_FOUND;
	if (rc != RC_OK)
		return rc;
	q = st__start(s, ST__JOB_QUEUE_COUNT);
	st__text(&q, mno);
	rc = st__run_int(&q, &n);
	if (rc == RC_OK) {
		*out = j;
		*count = (uint32_t)n;
	}
	return rc;
}

enum rc store_job_queue_take(struct store *s, const char *mno, int64_t id)
{
	struct st__q q = st__start(s, ST__JOB_QUEUE_TAKE);
	int64_t taken;

	st__text(&q, mno);
	st__int(&q, id);
	return st__run_int(&q, &taken);
}

enum rc store_job_of_profile(
	struct store *s, int64_t profile, int64_t *out, size_t limit, size_t *n)
{
	struct st__q q = st__start(s, ST__JOB_OF_PROFILE);

	st__int(&q, profile);
	st__int(&q, (int64_t)limit);
	return st__ids(&q, limit, out, n);
}

enum rc store_job_expired(struct store *s, int64_t now, size_t limit, int64_t *out, size_t *n)
{
	struct st__q q = st__start(s, ST__JOB_EXPIRED);

	st__int(&q, now);
	st__int(&q, (int64_t)limit);
	return st__ids(&q, limit, out, n);
}

enum rc store_receipt_add(
	struct store *s, int64_t job, const char *file, struct store_blob por, int64_t received)
{
	struct st__q q = st__start(s, ST__RECEIPT_ADD);

	st__int(&q, job);
	st__text(&q, file);
	st__blob(&q, por.bytes ? por.bytes : (const uint8_t *)"", por.len);
	st__int(&q, received);
	return st__run(&q);
}
