/* SPDX-License-Identifier: Apache-2.0 */
#include "mno/gateway.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What was under way when the gateway stopped. */
static void on_kept(void *user, const struct mno_kept *kept)
{
	struct gateway *gw = user;
	struct mno_task *t = NULL;
	struct diag d = { 0 };

	if (kept->state == MNO_JOB_DONE && kept->result) {
		mno__post(gw, kept->id, json_deep_copy(kept->result));
		return;
	}
	if (!kept->job || mno__task_new(kept->job, &t, &d) != RC_OK) {
		log_write(gw->log, LOG_WARNING, "job-lost job=%s", kept->id);
		return;
	}
	mno__task_resume(t, kept->progress);
	mno__enqueue(gw, t);
}

static void sim_free(struct sim *s)
{
	struct mno_task *t;

	if (s)
		mno__forget_sim(s->gw, s);
	while (s && (t = s->head)) {
		s->head = t->next;
		mno__task_free(t);
	}
	if (s && s->timer)
		event_free(s->timer);
	free(s);
}

static struct sim *sim_new(struct gateway *gw)
{
	struct sim *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	s->gw = gw;
	s->tail = &s->head;
	s->parts_max = SCP80_PARTS_MAX;
	s->timer = evtimer_new(gw->base, mno__on_timer, s);
	if (!s->timer) {
		free(s);
		return NULL;
	}
	return s;
}

/* Makes the SIMs those of a configuration; who was there before keeps its jobs. */
static enum rc set_sims(struct gateway *gw, struct mno_config *take_config, struct diag *d)
{
	struct sim **sims = calloc(take_config->n_sims + 1, sizeof(struct sim *)), **old = gw->sims;
	size_t n_old = gw->n_sims;

	for (size_t i = 0; sims && i < take_config->n_sims; i++) {
		sims[i] = mno__find_sim(gw, take_config->sims[i].ef);
		if (!sims[i])
			sims[i] = sim_new(gw);
		if (!sims[i]) {
			free(sims); /* on the way to the end: what was new leaks with the process */
			return diag_set(d, RC_NOMEM, "no memory for %zu SIMs", take_config->n_sims);
		}
		sims[i]->keep = true;
	}
	if (!sims)
		return diag_set(d, RC_NOMEM, "no memory");
	for (size_t i = 0; i < take_config->n_sims; i++)
		sims[i]->key = &take_config->sims[i];
	gw->sims = sims;
	gw->n_sims = take_config->n_sims;
	mno__config_fini(&gw->config);
	gw->config = *take_config;
	memset(take_config, 0, sizeof(*take_config));
	for (size_t i = 0; i < n_old; i++) {
		while (!old[i]->keep && old[i]->head) {
			struct mno_task *t = old[i]->head;

			old[i]->head = t->next;
			mno__task_fail(t, "SIM is not one of this gateway's any more");
			mno__finish(gw, t);
		}
		if (!old[i]->keep)
			sim_free(old[i]);
	}
	for (size_t i = 0; i < gw->n_sims; i++)
		gw->sims[i]->keep = false;
	free(old);
	return RC_OK;
}

static void on_stop(evutil_socket_t fd, short what, void *user)
{
	struct gateway *gw = user;

	(void)fd;
	(void)what;
	gw->stop = 1;
	event_base_loopbreak(gw->base);
}

static void on_reload(evutil_socket_t fd, short what, void *user)
{
	struct gateway *gw = user;
	struct mno_config config;
	struct diag d = { 0 };

	(void)fd;
	(void)what;
	if (mno__config_read(gw->config_path, &config, NULL, &d) != RC_OK ||
		set_sims(gw, &config, &d) != RC_OK) {
		log_write(gw->log, LOG_ERROR, "reload-failed why=\"%s\"", d.text);
		return;
	}
	log_write(gw->log, LOG_INFO, "reloaded sims=%zu", gw->n_sims);
}

/* A wrong PIN or a key that is missing is said at once, not when the first job comes. */
static enum rc open_token(struct gateway *gw, const struct mno_config *config, struct diag *d)
{
	enum rc rc = mno__hsm_new(config, &gw->hsm, d);

	for (size_t i = 0; i < config->n_sims && rc == RC_OK; i++)
		if (config->sims[i].len == 0)
			rc = mno__hsm_has(gw->hsm, &config->sims[i], d);
	return rc;
}

static enum rc start(struct gateway *gw)
{
	struct mno_link_calls link_calls = {
		.up = mno__on_link_up, .sms = mno__on_sms, .receipt = mno__on_receipt, .user = gw
	};
	struct mno_api_calls api_calls = {
		.job = mno__on_job, .posted = mno__on_posted, .user = gw
	};
	struct mno_config config;
	enum rc rc = mno__config_read(gw->config_path, &config, NULL, gw->d);

	if (rc == RC_OK && config.pkcs11.module)
		rc = open_token(gw, &config, gw->d);
	if (rc == RC_OK)
		rc = set_sims(gw, &config, gw->d);
	if (rc == RC_OK)
		rc = mno__state_open(gw->config.state, &gw->state, gw->d);
	if (rc == RC_OK)
		rc = *gw->config.smpp.host ? mno__link_new_smpp(gw->base, &gw->config, &link_calls,
						     gw->log, &gw->link, gw->d)
					   : mno__link_new(gw->base, gw->config.sms, &link_calls,
						     gw->log, &gw->link);
	if (rc == RC_OK)
		rc = mno__api_new(
			gw->base, &gw->config, &gw->stop, &api_calls, gw->log, &gw->api, gw->d);
	if (rc == RC_OK && gw->config.euicc)
		rc = mno__euicc_new(&gw->config, &gw->stop, gw->log, &gw->euicc, gw->d);
	if (rc == RC_OK)
		rc = mno__state_each(gw->state, on_kept, gw, gw->d);
	return rc;
}

/* Signals arrive in the loop. */
struct signals {
	struct event *events[3];
};

static enum rc take_signals(struct gateway *gw, struct signals *out)
{
	const struct {
		int number;
		event_callback_fn call;
	} rows[] = { { SIGTERM, on_stop }, { SIGINT, on_stop }, { SIGHUP, on_reload } };

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		out->events[i] = evsignal_new(gw->base, rows[i].number, rows[i].call, gw);
		if (!out->events[i] || event_add(out->events[i], NULL) != 0)
			return diag_set(gw->d, RC_NOMEM, "no memory");
	}
	return RC_OK;
}

static void stop(struct gateway *gw, struct signals *signals)
{
	gw->stop = 1;
	if (gw->state && gw->rc == RC_OK)
		gw->rc = mno__state_commit(gw->state, gw->d);
	mno__euicc_free(gw->euicc);
	mno__api_free(gw->api);
	mno__link_free(gw->link);
	for (size_t i = 0; i < gw->n_sims; i++)
		sim_free(gw->sims[i]);
	free(gw->sims);
	while (gw->leaving) {
		struct leaving *l = gw->leaving;

		gw->leaving = l->next;
		json_decref(l->result);
		free(l);
	}
	if (gw->flush)
		event_free(gw->flush);
	for (size_t i = 0; i < ARRAY_LEN(signals->events); i++)
		if (signals->events[i])
			event_free(signals->events[i]);
	mno__hsm_free(gw->hsm);
	mno__state_close(gw->state);
	mno__config_fini(&gw->config);
	json_decref(gw->active);
	if (gw->base)
		event_base_free(gw->base);
}

enum rc mno_run(const char *config_path, const struct log *log, struct diag *d)
{
	struct gateway gw = { .base = event_base_new(),
		.config_path = config_path,
		.log = log,
		.clock = clock_system(),
		.active = json_object(),
		.d = d };
	struct signals signals = { 0 };

	gw.leaving_end = &gw.leaving;
	gw.flush = gw.base ? evtimer_new(gw.base, mno__on_flush, &gw) : NULL;
	gw.rc = gw.flush && gw.active ? start(&gw) : diag_set(d, RC_NOMEM, "no memory");
	if (gw.rc == RC_OK)
		gw.rc = take_signals(&gw, &signals);
	if (gw.rc == RC_OK) {
		log_write(log, LOG_INFO, "ready sims=%zu", gw.n_sims);
		(void)puts("ready");
		(void)fflush(stdout);
		if (event_base_dispatch(gw.base) < 0)
			gw.rc = diag_set(d, RC_INTERNAL, "event loop failed");
	}
	stop(&gw, &signals);
	return gw.rc;
}
