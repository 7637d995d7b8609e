/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Inside mno/: the gateway's live state, between its life (run.c) and its
 * traffic (gateway.c). One thread, one loop. */

#include "mno/hsm.h"

/* One card: one job at a time, the others in line. */
struct sim {
	struct gateway *gw;
	const struct mno_sim_key *key;
	bool keep; /* during a reload: still configured */
	struct mno_task *head, **tail;
	struct event *timer;
	uint64_t counter;	    /* of the packet that is out; 0: none */
	uint64_t first_counter;	    /* of the step: an answer to any of its packets will do */
	uint64_t sent_ms, first_ms; /* when the last and the first of them left */
	uint64_t next_counter, counters_left;
	unsigned tries;
	size_t parts_max; /* SMS of one packet: half as many after one that was lost */
	size_t parts;	  /* of the packet that is out */
	size_t held;	  /* of them, those that the SMS centre still keeps */
	uint8_t unproven; /* what an unprotected answer said last: for people only */
	uint8_t ref;
	size_t data_len; /* the step's commands, sent anew under a new counter each time */
	uint8_t data[SCP80_PACKET_MAX];
};

/* What leaves once the state that it rests on is on disk: an SMS to a card, a result, or word that
 * a job is kept. */
struct leaving {
	struct leaving *next;
	const struct sim *sim; /* of an SMS */
	uint64_t packet;       /* likewise: its counter */
	size_t len;	       /* likewise; 0: no SMS */
	uint8_t ud[SCP80_UD_MAX];
	char id[MNO_ID_MAX + 1];
	json_t *result; /* owned; NULL and no SMS: the job of that id is kept */
};

struct gateway {
	struct event_base *base;
	const char *config_path;
	const struct log *log;
	const struct clock *clock;
	struct mno_config config;
	struct mno_state *state;
	struct mno_link *link;
	struct mno__hsm *hsm; /* NULL: all keys are in the configuration */
	struct mno_api *api;
	struct mno_euicc *euicc; /* NULL: none */
	size_t n_sims;
	struct sim **sims;   /* sorted by EF_ICCID, as config.sims */
	json_t *active;	     /* ids of jobs in line, on their way, being posted (true), or posted
			      * lately (the time): a list may be older than what was posted */
	unsigned posted;     /* since the last sweep of those */
	struct event *flush; /* at the end of this turn of the loop */
	struct leaving *leaving, **leaving_end;
	bool receipts;		     /* the SMS centre tells when a message has arrived */
	uint64_t rtt_ms, rtt_var_ms; /* of receipts, smoothed; 0: none yet */
	volatile sig_atomic_t stop;
	enum rc rc;
	struct diag *d;
};

/* gateway.c */
struct sim *mno__find_sim(struct gateway *gw, const uint8_t ef[IDENT_ICCID_LEN]);
/* Puts a job into its SIM's line, or ends it when there is no such SIM. */
void mno__enqueue(struct gateway *gw, struct mno_task *take_task);
/* Records what came of a job, tells the registry. Frees the task. */
void mno__finish(struct gateway *gw, struct mno_task *take_task);
void mno__post(struct gateway *gw, const char *id, json_t *take_result);
/* Commits, and lets go what waited for it. */
void mno__flush(struct gateway *gw);
/* A SIM goes: nothing is on its way to it any more. */
void mno__forget_sim(struct gateway *gw, const struct sim *s);
void mno__on_flush(evutil_socket_t fd, short what, void *user);
/* Callbacks of the link, the API and a SIM's timer. */
void mno__on_link_up(void *user);
void mno__on_sms(void *user, const uint8_t iccid[IDENT_ICCID_LEN], const uint8_t *ud, size_t len);
void mno__on_receipt(
	void *user, const uint8_t iccid[IDENT_ICCID_LEN], uint64_t packet, bool delivered);
void mno__on_job(void *user, const json_t *job);
void mno__on_posted(void *user, const char *id);
void mno__on_timer(evutil_socket_t fd, short what, void *user);
