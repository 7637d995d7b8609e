/* SPDX-License-Identifier: Apache-2.0 */
#include "mno/gateway.h"

#include <stdlib.h>
#include <string.h>

#define COUNTER_JUMP 4096 /* past a card that has seen more than our state file remembers */
#define LATELY_MS    2000
#define PARTS_MIN    2	  /* SMS of a packet on bad air: a smaller one carries little */
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
	bool here = s->key->len > 0;

	return (struct scp80_keys){ .kvn = s->key->kvn,
		.kic = at,
		.kid = at + SCP80_KEY_MAX,
		.len = s->key->len,
		.engine = here ? NULL : mno__hsm_engine(s->gw->hsm),
		.which = s->key };
}

/* ---- what leaves, and when ---- */

/* One commit serves all that this turn of the loop brought. */
static struct leaving *leave(struct gateway *gw)
{
	struct leaving *l = calloc(1, sizeof(*l));

	if (!l) {
		fatal(gw, RC_NOMEM);
		return NULL;
	}
	*gw->leaving_end = l;
	gw->leaving_end = &l->next;
	return l;
}

static void flush_soon(struct gateway *gw)
{
	event_active(gw->flush, EV_TIMEOUT, 0);
}

void mno__flush(struct gateway *gw)
{
	struct leaving *l = gw->leaving;
	enum rc rc = mno__state_commit(gw->state, gw->d);

	gw->leaving = NULL;
	gw->leaving_end = &gw->leaving;
	if (rc != RC_OK)
		fatal(gw, rc);
	while (l) {
		struct leaving *next = l->next;

		/* What the link does not take, the SIM's timer sends anew; a result that does not
		 * fit is asked for again by the registry. */
		if (rc == RC_OK && l->len > 0 && l->sim &&
			mno__link_send(gw->link, l->sim->key->ef, l->packet, l->ud, l->len) ==
				RC_BUSY)
			mno__on_receipt(gw, l->sim->key->ef, l->packet, false);
		if (rc == RC_OK && l->result &&
			mno__api_post(gw->api, l->id, json_incref(l->result)) != RC_OK)
			json_object_del(gw->active, l->id);
		if (rc == RC_OK && l->len == 0 && !l->result)
			mno__api_kept(gw->api, l->id);
		json_decref(l->result);
		free(l);
		l = next;
	}
}

void mno__on_flush(evutil_socket_t fd, short what, void *user)
{
	(void)fd;
	(void)what;
	mno__flush(user);
}

void mno__forget_sim(struct gateway *gw, const struct sim *s)
{
	for (struct leaving *l = gw->leaving; l; l = l->next)
		if (l->sim == s)
			l->sim = NULL;
}

void mno__post(struct gateway *gw, const char *id, json_t *take_result)
{
	struct leaving *l = leave(gw);

	json_object_set_new(gw->active, id, json_true());
	if (!l) {
		json_decref(take_result);
		return;
	}
	memcpy(l->id, id, strlen(id) + 1);
	l->result = take_result;
	flush_soon(gw);
}

/* For a registry that keeps its jobs in a queue: this one is on disk here with the next commit. */
static void keep(struct gateway *gw, const char *id)
{
	struct leaving *l = *gw->config.epp.host ? leave(gw) : NULL;

	if (!l)
		return;
	memcpy(l->id, id, strlen(id) + 1);
	flush_soon(gw);
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
	s->unproven = 0;
	(void)evtimer_del(s->timer);
	mno__finish(s->gw, t);
	if (s->head && !s->gw->stop)
		step(s);
}

/* Never shorter than what receipts take at the moment (as RFC 6298 does it): where many SIMs are at
 * work at once they are slow, and sending anew makes that worse. */
static uint64_t patience_ms(const struct gateway *gw)
{
	uint64_t ms = gw->rtt_ms + 4 * gw->rtt_var_ms;

	return ms > gw->config.por_timeout_ms ? ms : gw->config.por_timeout_ms;
}

/* Counters tell to which packet a receipt belongs, so every one of them counts. */
static void take_rtt(struct gateway *gw, uint64_t ms)
{
	uint64_t off = ms > gw->rtt_ms ? ms - gw->rtt_ms : gw->rtt_ms - ms;

	gw->rtt_var_ms = gw->rtt_ms ? (3 * gw->rtt_var_ms + off) / 4 : ms / 2;
	gw->rtt_ms = gw->rtt_ms ? (7 * gw->rtt_ms + ms) / 8 : ms;
}

static void arm_ms(struct sim *s, uint64_t ms)
{
	struct timeval t = { .tv_sec = (time_t)(ms / 1000),
		.tv_usec = (suseconds_t)(ms % 1000) * 1000 };

	(void)evtimer_add(s->timer, &t);
}

static void arm(struct sim *s)
{
	uint64_t ms = s->held > 0 ? s->gw->config.por_timeout_max_ms : patience_ms(s->gw);

	/* One loss is the air's; more of them are a SIM that is off. */
	for (unsigned i = 1; i < s->tries && ms < s->gw->config.por_timeout_max_ms; i++)
		ms *= 2;
	arm_ms(s, ms < s->gw->config.por_timeout_max_ms ? ms : s->gw->config.por_timeout_max_ms);
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
	enum rc rc;

	s->held = 0;
	arm(s);
	if (!take_counter(s))
		return;
	cmd.counter = s->counter;
	memcpy(cmd.tar, s->gw->config.tar, sizeof(cmd.tar));
	rc = scp80_command_write(&keys, &cmd, &p);
	if (rc == RC_UNAVAILABLE) { /* the timer tries again */
		log_write(s->gw->log, LOG_ERROR, "token-unavailable iccid=%s", s->key->iccid);
		return;
	}
	if (rc != RC_OK || concat_split(packet, p.len, s->ref++, sms, &n) != RC_OK) {
		mno__task_fail(s->head, "packet: could not be made: %s",
			rc == RC_NOT_FOUND ? "the token has no such keys" : rc_text(rc));
		finish_head(s);
		return;
	}
	s->sent_ms = s->gw->clock->monotonic_ms(s->gw->clock);
	if (s->first_counter == 0) {
		s->first_counter = s->counter;
		s->first_ms = s->sent_ms;
	}
	s->parts = n;
	/* What the centre keeps for a SIM that is off need not be sent again meanwhile. */
	s->held = s->gw->receipts ? n : 0;
	arm(s);
	for (size_t i = 0; i < n; i++) {
		struct leaving *l = leave(s->gw);

		if (!l)
			return;
		l->sim = s;
		l->packet = s->counter;
		l->len = sms[i].len;
		memcpy(l->ud, sms[i].ud, l->len);
	}
	flush_soon(s->gw);
}

/* Is the job's time over? Then it is through. */
static bool expired(struct sim *s)
{
	if (s->head->not_after == 0 || s->gw->clock->unix_s(s->gw->clock) <= s->head->not_after)
		return false;
	if (s->unproven)
		mno__task_fail(s->head,
			"expired after %u tries of a step; somebody answered for the card, not "
			"proven: %s",
			s->tries, scp80_status_text(s->unproven));
	else
		mno__task_fail(s->head, "expired after %u tries of a step", s->tries);
	finish_head(s);
	return true;
}

/* The step's commands into s->data, as many as the packet's size lets in. */
static bool make(struct sim *s, enum rc (*fill)(struct mno_task *t, struct put *p))
{
	size_t cap = scp80_capacity((unsigned)s->parts_max);
	struct put p = put_init(s->data, cap < sizeof(s->data) ? cap : sizeof(s->data));
	enum rc rc = fill(s->head, &p);

	if (rc != RC_OK) {
		mno__task_fail(s->head, "commands: %s", rc_text(rc));
		finish_head(s);
		return false;
	}
	s->data_len = p.len;
	s->first_counter = 0;
	return true;
}

/* Makes and sends the next packet of the job at the head. */
static void step(struct sim *s)
{
	s->tries = 0;
	if (!expired(s) && make(s, mno__task_next))
		transmit(s);
}

/* One part lost loses the packet: on bad air shorter ones get through sooner. */
void mno__on_timer(evutil_socket_t fd, short what, void *user)
{
	struct sim *s = user;
	enum rc rc;

	(void)fd;
	(void)what;
	if (!s->head || expired(s))
		return;
	s->tries++;
	rc = mno__state_job_tries(s->gw->state, s->head->id, s->tries + 1, s->gw->d);
	if (rc != RC_OK) {
		fatal(s->gw, rc);
		return;
	}
	log_write(s->gw->log, LOG_INFO, "sms-again job=%s iccid=%s try=%u parts=%zu", s->head->id,
		s->key->iccid, s->tries + 1, s->parts);
	if (s->parts > PARTS_MIN && s->head->kind == MNO_INSTALL) {
		s->parts_max = s->parts / 2 > PARTS_MIN ? s->parts / 2 : PARTS_MIN;
		if (!make(s, mno__task_anew))
			return;
	}
	transmit(s);
}

void mno__on_link_up(void *user)
{
	struct gateway *gw = user;

	for (size_t i = 0; i < gw->n_sims && !gw->stop; i++)
		if (gw->sims[i]->head && gw->sims[i]->data_len > 0)
			transmit(gw->sims[i]);
}

/* All of it has arrived: the card's own receipt is due now. Some of it never will: the next try
 * comes as if nobody had answered. */
void mno__on_receipt(
	void *user, const uint8_t iccid[IDENT_ICCID_LEN], uint64_t packet, bool delivered)
{
	struct gateway *gw = user;
	struct sim *s = mno__find_sim(gw, iccid);

	gw->receipts |= delivered;
	if (!delivered)
		log_write(gw->log, LOG_WARNING, "sms-undelivered iccid=%s",
			s ? s->key->iccid : "unknown");
	if (!s || !s->head || s->counter != packet || s->held == 0)
		return;
	s->held = delivered ? s->held - 1 : 0;
	if (s->held == 0 && delivered)
		arm_ms(s, patience_ms(gw));
	else if (s->held == 0)
		arm(s);
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
	take_rtt(gw, gw->clock->monotonic_ms(gw->clock) -
			     (r->counter == s->counter ? s->sent_ms : s->first_ms));
	s->counter = 0;
	if (s->tries == 0 && s->parts_max < SCP80_PARTS_MAX)
		s->parts_max =
			s->parts_max * 2 < SCP80_PARTS_MAX ? s->parts_max * 2 : SCP80_PARTS_MAX;
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
	flush_soon(gw);
}

/* Does it answer what is out? Packets of one step say the same, so that an answer to an earlier one
 * is as good; but a second MAKE CSR makes another CSR, and only the last one is on the card. */
static bool outstanding(const struct sim *s, uint64_t counter)
{
	bool makes_csr = s->head->kind == MNO_KEYGEN && s->head->csr_len == 0;

	return counter == s->counter ||
	       (!makes_csr && counter >= s->first_counter && counter < s->counter);
}

/* Only a protected response to a packet that is out counts; anybody can send the rest. */
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
	if (rc != RC_OK || !r.proven || !outstanding(s, r.counter) ||
		memcmp(r.tar, gw->config.tar, sizeof(r.tar)) != 0) {
		log_write(gw->log, LOG_WARNING, "response-dropped iccid=%s why=%s status=%u",
			s->key->iccid,
			rc != RC_OK ? rc_text(rc)
			: !r.proven ? "unprotected"
				    : "not-outstanding",
			rc == RC_OK ? r.status : 0U);
		if (rc == RC_OK && !r.proven)
			s->unproven = r.status;
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
	if (s && *gw->config.smpp.host && !*s->key->msisdn)
		mno__task_fail(t, "SIM has no msisdn here: the SMS centre cannot reach it");
	if (!s || t->outcome != MNO_RUNNING) {
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
	keep(gw, t->id);
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

	flush_soon(gw);
	json_object_set_new(
		gw->active, id, json_integer((json_int_t)gw->clock->monotonic_ms(gw->clock)));
	if (++gw->posted % SWEEP_EVERY == 0)
		sweep(gw);
	if (rc != RC_OK)
		fatal(gw, rc);
}
