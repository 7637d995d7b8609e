/* SPDX-License-Identifier: Apache-2.0 */
#include "mno/gateway.h"

#include <stdlib.h>
#include <string.h>

#define COUNTER_JUMP 4096 /* past a card that has seen more than our state file remembers */
#define LATELY_MS    2000
#define SWEEP_EVERY  1000 /* results posted between sweeps of `active` */

static void step(struct sim *s);

/* The state file is the gateway's memory of what it has sent: without it, it stops. */
static void fatal(struct gateway *gw, enum rc rc)
{
	gw->rc = rc;
	gw->stop = 1;
	event_base_loopbreak(gw->base);
}

struct sim *mno__find_sim(struct gateway *gw, const uint8_t ef[IDENT_ICCID_LEN])
{
	size_t lo = 0, hi = gw->n_sims;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;
		int cmp = memcmp(gw->sims[mid]->key->ef, ef, IDENT_ICCID_LEN);

		if (cmp == 0)
			return gw->sims[mid];
		if (cmp < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return NULL;
}

static struct scp80_keys sim_keys(const struct sim *s)
{
	const uint8_t *at = s->gw->config.keys.bytes + s->key->at;

	return (struct scp80_keys){
		.kvn = s->key->kvn, .kic = at, .kid = at + SCP80_KEY_MAX, .len = s->key->len
	};
}

void mno__post(struct gateway *gw, const char *id, json_t *take_result)
{
	json_object_set_new(gw->active, id, json_true());
	if (mno__api_post(gw->api, id, take_result) != RC_OK)
		json_object_del(gw->active, id); /* the registry lists it again */
}

void mno__finish(struct gateway *gw, struct mno_task *take_task)
{
	struct mno_task *t = take_task;
	json_t *result = mno__task_result(t);
	enum rc rc = mno__state_job_done(gw->state, t->id, result, gw->d);

	log_write(gw->log, t->outcome == MNO_OK ? LOG_INFO : LOG_WARNING,
		"job-%s job=%s kind=%s iccid=%s slot=%u%s%s",
		t->outcome == MNO_OK ? "done" : "failed", t->id, mno__kind_text(t->kind), t->iccid,
		t->slot, t->outcome == MNO_OK ? "" : " why=", t->reason);
	if (rc != RC_OK) {
		json_decref(result);
		fatal(gw, rc);
	} else {
		mno__post(gw, t->id, result);
	}
	mno__task_free(t);
}

/* The head of the line is through; the next one begins. */
static void finish_head(struct sim *s)
{
	struct mno_task *t = s->head;

	s->head = t->next;
	if (!s->head)
		s->tail = &s->head;
	s->counter = 0;
	s->tries = 0;
	(void)evtimer_del(s->timer);
	mno__finish(s->gw, t);
	if (s->head && !s->gw->stop)
		step(s);
}

static void arm(struct sim *s)
{
	uint64_t ms = s->gw->config.por_timeout_ms;

	for (unsigned i = 0; i < s->tries && ms < s->gw->config.por_timeout_max_ms; i++)
		ms *= 2;
	if (ms > s->gw->config.por_timeout_max_ms)
		ms = s->gw->config.por_timeout_max_ms;
	struct timeval t = { .tv_sec = (time_t)(ms / 1000),
		.tv_usec = (suseconds_t)(ms % 1000) * 1000 };

	(void)evtimer_add(s->timer, &t);
}

/* The counters are on disk before the first of them is on the air. */
static bool take_counter(struct sim *s)
{
	if (s->counters_left == 0) {
		enum rc rc = mno__state_counters(
			s->gw->state, s->key->iccid, MNO_COUNTER_STEP, &s->next_counter, s->gw->d);

		if (rc != RC_OK) {
			fatal(s->gw, rc);
			return false;
		}
		s->counters_left = MNO_COUNTER_STEP;
	}
	s->counter = s->next_counter++;
	s->counters_left--;
	return true;
}

/* Sends the step's commands under a new counter. Lost or not sent at all: the timer tries again. */
static void transmit(struct sim *s)
{
	struct concat_sms sms[SCP80_PARTS_MAX];
	uint8_t packet[SCP80_PACKET_MAX];
	struct put p = put_init(packet, sizeof(packet));
	struct scp80_keys keys = sim_keys(s);
	struct scp80_command cmd = { .por_submit = s->gw->config.por_submit,
		.data = cur_init(s->data, s->data_len) };
	size_t n = 0;

	arm(s);
	if (!take_counter(s))
		return;
	cmd.counter = s->counter;
	memcpy(cmd.tar, s->gw->config.tar, sizeof(cmd.tar));
	if (scp80_command_write(&keys, &cmd, &p) != RC_OK ||
		concat_split(packet, p.len, s->ref++, sms, &n) != RC_OK) {
		mno__task_fail(s->head, "packet: could not be made");
		finish_head(s);
		return;
	}
	for (size_t i = 0; i < n; i++)
		if (mno__link_send(s->gw->link, s->key->ef, sms[i].ud, sms[i].len) != RC_OK)
			break;
}

/* Is the job's time over? Then it is through. */
static bool expired(struct sim *s)
{
	if (s->head->not_after == 0 || s->gw->clock->unix_s(s->gw->clock) <= s->head->not_after)
		return false;
	mno__task_fail(s->head, "expired after %u tries of a step", s->tries);
	finish_head(s);
	return true;
}

/* Makes and sends the next packet of the job at the head. */
static void step(struct sim *s)
{
	size_t cap = scp80_capacity(SCP80_PARTS_MAX);
	struct put p = put_init(s->data, cap < sizeof(s->data) ? cap : sizeof(s->data));
	enum rc rc;

	s->tries = 0;
	if (expired(s))
		return;
	rc = mno__task_next(s->head, &p);
	if (rc != RC_OK) {
		mno__task_fail(s->head, "commands: %s", rc_text(rc));
		finish_head(s);
		return;
	}
	s->data_len = p.len;
	transmit(s);
}

void mno__on_timer(evutil_socket_t fd, short what, void *user)
{
	struct sim *s = user;

	(void)fd;
	(void)what;
	if (!s->head || expired(s))
		return;
	s->tries++;
	log_write(s->gw->log, LOG_INFO, "sms-again job=%s iccid=%s try=%u", s->head->id,
		s->key->iccid, s->tries + 1);
	transmit(s);
}

void mno__on_link_up(void *user)
{
	struct gateway *gw = user;

	for (size_t i = 0; i < gw->n_sims && !gw->stop; i++)
		if (gw->sims[i]->head && gw->sims[i]->data_len > 0)
			transmit(gw->sims[i]);
}

/* A proven refusal of the packet itself. Of a counter too low: the card knows more than we do. */
static void take_status(struct sim *s, uint8_t status)
{
	if (status == SCP80_COUNTER_LOW) {
		enum rc rc = mno__state_counters(
			s->gw->state, s->key->iccid, COUNTER_JUMP, &s->next_counter, s->gw->d);

		log_write(s->gw->log, LOG_WARNING, "counter-behind iccid=%s", s->key->iccid);
		if (rc != RC_OK) {
			fatal(s->gw, rc);
			return;
		}
		s->counters_left = 0; /* the next ones lie past the jump */
		transmit(s);
		return;
	}
	mno__task_fail(s->head, "card: packet refused: %s", scp80_status_text(status));
	finish_head(s);
}

/* The decrypted response packet: RPL RHL TAR as sent, the rest in clear. */
static size_t receipt(const uint8_t *ud, size_t len, const uint8_t *plain, uint8_t out[MNO_POR_MAX])
{
	struct cur c = cur_init(ud, len);
	struct put p = put_init(out, MNO_POR_MAX);

	cur_skip(&c, 3); /* user data header 02 71 00 */
	put_bytes(&p, cur_bytes(&c, 6), c.bad ? 0 : 6);
	put_bytes(&p, plain, c.left);
	return put_ok(&p) ? p.len : 0;
}

static void take_answers(
	struct sim *s, const struct scp80_response *r, const uint8_t *por, size_t len)
{
	struct gateway *gw = s->gw;
	enum rc rc;

	(void)evtimer_del(s->timer);
	s->counter = 0;
	mno__task_answer(s->head, r->data, por, len);
	if (s->head->outcome != MNO_RUNNING) {
		finish_head(s);
		return;
	}
	rc = mno__state_job_progress(gw->state, s->head, gw->d);
	if (rc != RC_OK)
		fatal(gw, rc);
	else
		step(s);
}

/* Only a protected response to the very packet that is out counts; anybody can send the rest. */
void mno__on_sms(void *user, const uint8_t iccid[IDENT_ICCID_LEN], const uint8_t *ud, size_t len)
{
	struct gateway *gw = user;
	struct sim *s = mno__find_sim(gw, iccid);
	uint8_t plain[SCP80_UD_MAX + 16], por[MNO_POR_MAX];
	struct scp80_response r;
	struct scp80_keys keys;
	enum rc rc;

	if (!s || !s->head || s->counter == 0)
		return;
	keys = sim_keys(s);
	rc = scp80_response_read(&keys, ud, len, plain, &r);
	if (rc != RC_OK || !r.proven || r.counter != s->counter ||
		memcmp(r.tar, gw->config.tar, sizeof(r.tar)) != 0) {
		log_write(gw->log, LOG_WARNING, "response-dropped iccid=%s why=%s status=%u",
			s->key->iccid,
			rc != RC_OK ? rc_text(rc)
			: !r.proven ? "unprotected"
				    : "not-outstanding",
			rc == RC_OK ? r.status : 0U);
		return;
	}
	if (r.status != SCP80_OK)
		take_status(s, r.status);
	else
		take_answers(s, &r, por, receipt(ud, len, plain, por));
}

void mno__enqueue(struct gateway *gw, struct mno_task *take_task)
{
	struct mno_task *t = take_task;
	uint8_t ef[IDENT_ICCID_LEN];
	struct sim *s = NULL;
	bool idle;

	json_object_set_new(gw->active, t->id, json_true());
	if (t->outcome == MNO_RUNNING && ident_iccid_read(t->iccid, ef) == RC_OK)
		s = mno__find_sim(gw, ef);
	if (t->outcome == MNO_RUNNING && !s)
		mno__task_fail(t, "SIM is not one of this gateway's");
	if (!s) {
		mno__finish(gw, t);
		return;
	}
	idle = !s->head;
	*s->tail = t;
	s->tail = &t->next;
	if (idle)
		step(s);
}

/* In hand, or posted so lately that the list may be older. */
static bool in_hand(struct gateway *gw, const char *id)
{
	const json_t *v = json_object_get(gw->active, id);
	uint64_t now = gw->clock->monotonic_ms(gw->clock);

	return v && (!json_is_integer(v) || now - (uint64_t)json_integer_value(v) < LATELY_MS);
}

static void sweep(struct gateway *gw)
{
	uint64_t now = gw->clock->monotonic_ms(gw->clock);
	const char *id;
	json_t *v;
	void *next;

	json_object_foreach_safe(gw->active, next, id, v)
	{
		if (json_is_integer(v) && now - (uint64_t)json_integer_value(v) >= LATELY_MS)
			json_object_del(gw->active, id);
	}
}

/* A job that the registry lists: new, or one whose result has not reached it. */
void mno__on_job(void *user, const json_t *job)
{
	struct gateway *gw = user;
	enum mno_job_state state = MNO_JOB_OPEN;
	struct mno_task *t = NULL;
	json_t *result = NULL;
	unsigned attempt = 0;
	struct diag d = { 0 };
	enum rc rc = mno__task_new(job, &t, &d);

	if (rc != RC_OK) {
		log_write(gw->log, LOG_WARNING, "job-unusable why=\"%s\"", d.text);
		return;
	}
	if (in_hand(gw, t->id))
		goto out;
	rc = mno__state_job_find(gw->state, t->id, &state, &attempt, &result, gw->d);
	if (rc == RC_OK && state != MNO_JOB_OPEN && attempt >= t->attempt && result) {
		mno__post(gw, t->id, result); /* the registry answers a repeat as it did at first */
		result = NULL;
	} else if (rc == RC_OK || rc == RC_NOT_FOUND) {
		rc = mno__state_job_add(gw->state, t, gw->d);
		if (rc != RC_OK) {
			fatal(gw, rc);
			goto out;
		}
		log_write(gw->log, LOG_INFO, "job job=%s kind=%s iccid=%s slot=%u attempt=%u",
			t->id, mno__kind_text(t->kind), t->iccid, t->slot, t->attempt);
		mno__enqueue(gw, t);
		t = NULL;
	} else {
		fatal(gw, rc);
	}
out:
	json_decref(result);
	mno__task_free(t);
}

void mno__on_posted(void *user, const char *id)
{
	struct gateway *gw = user;
	enum rc rc = mno__state_job_posted(gw->state, id, gw->d);

	json_object_set_new(
		gw->active, id, json_integer((json_int_t)gw->clock->monotonic_ms(gw->clock)));
	if (++gw->posted % SWEEP_EVERY == 0)
		sweep(gw);
	if (rc != RC_OK)
		fatal(gw, rc);
}
