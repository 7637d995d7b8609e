/* SPDX-License-Identifier: Apache-2.0 */
/* keys: signs what it has itself put together. Its links come from core and zone; which of the two
 * asks says what may be asked for. */
#include "base/str.h"
#include "role/keys_internal.h"
#include "role/keys_token.h"

#include <limits.h>
#include <stdlib.h>

#define RENEW_CA_DAYS 180 /* what it signs must not outlive it: time to make the next one */

struct keys;

struct keys_link {
	struct keys *keys;
	enum keys_peer peer;
	struct link *link;
	struct keys_job *first, **last; /* in the order of their requests */
	size_t jobs;
	struct keys_link *next;
};

struct keys {
	struct role *role;
	struct ca_keyring ring;
	struct keys_zone zone;
	struct ca_issued *issued;
	struct keys_pool *pool;
	struct keys_link *links;
	enum rc rc;
	struct {
		uint64_t answered, refused;
	} count;
};

static const char *peer_name(enum keys_peer peer)
{
	return peer == KEYS_CORE ? "core" : "zone";
}

/* Unlinks it and forgets its requests: those that threads still hold end as orphans. */
static void close_link(struct keys_link *l)
{
	struct keys_link **at = &l->keys->links;

	while (*at != l)
		at = &(*at)->next;
	*at = l->next;
	link_free(l->link);
	for (struct keys_job *job = l->first; job;) {
		struct keys_job *next = job->link_next;
		job->link = NULL;
		if (job->done)
			keys_job_free(job);
		job = next;
	}
	free(l);
}

static enum rc send_reply(struct keys_link *l, struct keys_job *job)
{
	Keys__Reply reply = KEYS__REPLY__INIT;

	reply.id = job->request->id;
	if (job->rc == RC_OK)
		return job->op->send(job, &reply, l->link);
	l->keys->count.refused++;
	reply.rc = (uint32_t)job->rc;
	reply.why = job->why.text;
	return link_send(l->link, &reply.base);
}

/* Answers what is at the head of the line and done. */
static void answer(struct keys_link *l)
{
	while (l->first && l->first->done) {
		struct keys_job *job = l->first;
		l->first = job->link_next;
		if (!l->first)
			l->last = &l->first;
		if (l->jobs-- == KEYS_JOBS_MAX)
			link_pause(l->link, false);
		enum rc rc = send_reply(l, job);
		keys_job_free(job);
		l->keys->count.answered++;
		if (rc != RC_OK) {
			log_write(l->keys->role->log, LOG_WARNING, "link peer=%s why=\"%s\"",
				peer_name(l->peer), rc_text(rc));
			close_link(l);
			return;
		}
	}
}

static void on_done(struct keys_job *job, void *user)
{
	(void)user;
	job->done = true;
	if (job->link)
		answer(job->link);
	else
		keys_job_free(job);
}

static void on_drop(struct keys_job *job, void *user)
{
	(void)user;
	if (job->link)
		job->done = true; /* its link frees it */
	else
		keys_job_free(job);
}

static void on_fatal(const char *why, void *user)
{
	struct keys *k = user;

	log_write(k->role->log, LOG_ERROR, "issued_log why=\"%s\"", why);
	k->rc = RC_IO;
	role_leave(k->role);
}

/* Refusals of a whole request are answered in their turn like any other. */
static void refuse(struct keys_link *l, struct keys_job *job, enum rc rc, const char *why)
{
	log_write(l->keys->role->log, LOG_WARNING, "refused peer=%s op=%s why=\"%s\"",
		peer_name(l->peer), job->op ? job->op->name : "unknown", why);
	job->rc = diag_set(&job->why, rc, "%s", why);
	job->done = true;
	answer(l);
}

static void start(struct keys_link *l, struct keys_job *job)
{
	struct keys *k = l->keys;
	struct diag d = { 0 };

	job->op = keys_op_find(job->request->op_case);
	if (!job->op) {
		refuse(l, job, RC_UNSUPPORTED, "request: no operation that is known");
		return;
	}
	if (!(job->op->peers & l->peer)) {
		refuse(l, job, RC_DENIED, "request: not for this link");
		return;
	}
	enum rc rc = job->op->prepare(job, &d);
	if (rc != RC_OK)
		refuse(l, job, rc, d.text[0] ? d.text : rc_text(rc));
	else
		keys_pool_submit(k->pool, job);
}

static void on_message(struct link *link, const uint8_t *bytes, size_t len, void *user)
{
	struct keys_link *l = user;
	struct keys *k = l->keys;
	struct keys_job *job = calloc(1, sizeof(*job));

	(void)link;
	if (job)
		job->request = keys__request__unpack(NULL, len, bytes);
	if (!job || !job->request) {
		log_write(k->role->log, LOG_ERROR, "link peer=%s why=\"malformed request\"",
			peer_name(l->peer));
		free(job);
		close_link(l);
		return;
	}
	job->ring = &k->ring;
	job->zone = &k->zone;
	job->zone_keys = ca_zone_keys_ref(k->zone.now);
	job->now = k->role->clock->unix_s(k->role->clock);
	job->link = l;
	*l->last = job;
	l->last = &job->link_next;
	if (++l->jobs == KEYS_JOBS_MAX)
		link_pause(l->link, true);
	start(l, job);
}

static void on_closed(struct link *link, enum rc why, void *user)
{
	struct keys_link *l = user;

	(void)link;
	log_write(l->keys->role->log, LOG_INFO, "link_closed peer=%s why=\"%s\"",
		peer_name(l->peer), rc_text(why));
	close_link(l);
}

static void add_link(struct keys *k, enum keys_peer peer, int take_fd)
{
	struct keys_link *l = calloc(1, sizeof(*l));
	struct link_opts opts = { .on_message = on_message, .on_closed = on_closed, .user = l };

	/* The peer was restarted: what it asked before is answered to nobody. */
	for (struct keys_link *old = k->links, *next; old; old = next) {
		next = old->next;
		if (old->peer == peer)
			close_link(old);
	}
	if (!l || link_new(k->role->base, take_fd, &opts, &l->link) != RC_OK) {
		log_write(
			k->role->log, LOG_ERROR, "link peer=%s why=\"no memory\"", peer_name(peer));
		free(l);
		return;
	}
	l->keys = k;
	l->peer = peer;
	l->last = &l->first;
	l->next = k->links;
	k->links = l;
}

static void on_core(struct role *role, const char *peer, int take_fd, void *user)
{
	(void)role;
	(void)peer;
	add_link(user, KEYS_CORE, take_fd);
}

static void on_zone(struct role *role, const char *peer, int take_fd, void *user)
{
	(void)role;
	(void)peer;
	add_link(user, KEYS_ZONE, take_fd);
}

/* Everything that opens a file or makes a crypto context, before confinement. */
static enum rc open_all(struct keys *k, struct diag *d)
{
	const struct config *conf = k->role->config;
	struct keys_pool_opts opts = {
		.base = k->role->base,
		.threads = (unsigned)conf->keys.threads,
		.on_done = on_done,
		.on_drop = on_drop,
		.on_fatal = on_fatal,
		.user = k,
	};
	struct ca_keyring_token token;
	struct ca_crypt *x = NULL;
	char path[PATH_MAX];
	enum rc rc = ca_crypt_new(&x, d);

	if (rc == RC_OK)
		rc = config_token(conf, &token, d);
	if (rc == RC_OK)
		rc = ca_keyring_load_with(&k->ring, x, conf->keys.folder, conf->keys.ca_folder,
			conf->registry.zone, token.opts.module ? &token : NULL, d);
	ca_crypt_free(x);
	if (rc == RC_OK)
		k->zone = (struct keys_zone){ .now = ca_zone_keys_ref(k->ring.zone_keys),
			.folder = conf->keys.folder,
			.name = k->ring.authority.zone,
			.log = k->role->log };
	if (rc == RC_OK)
		rc = keys_node_open(&k->zone, conf->node.name, d);
	if (rc == RC_OK)
		rc = str_format(path, sizeof(path), "%s/issued.log", conf->keys.folder);
	if (rc == RC_OK)
		rc = ca_issued_open(&k->issued, path, d);
	if (rc != RC_OK)
		return rc;
	if (ca_issued_dropped(k->issued) > 0)
		log_write(k->role->log, LOG_WARNING, "issued_log torn_tail_dropped=%zu",
			ca_issued_dropped(k->issued));
	k->ring.authority.issued = k->issued;
	opts.issued = k->issued;
	return keys_pool_new(&k->pool, &opts, d);
}

static void say_serving(const struct keys *k)
{
	int64_t now = k->role->clock->unix_s(k->role->clock);
	long long days = (long long)(k->ring.authority.issuing.not_after - now) / 86400;

	log_write(k->role->log, days < RENEW_CA_DAYS ? LOG_WARNING : LOG_INFO,
		"serving zone=%s ksk=%u zsk=%u issued=%llu issuing_ca_days_left=%lld "
		"card_makers=%zu",
		k->ring.authority.zone, k->ring.zone.ksk_tag, k->ring.zone.zsk_tag,
		(unsigned long long)ca_issued_count(k->issued), days, k->ring.makers.count);
}

static double seconds_left(const struct keys *k, const struct ca_issuer *issuer)
{
	return (double)(issuer->not_after - k->role->clock->unix_s(k->role->clock));
}

/* Since the active key of a kind began to sign. */
static double key_age(const struct keys *k, bool ksk)
{
	const struct ca_zone_keys *s = k->zone.now;

	for (size_t i = 0; i < s->count; i++)
		if (s->key[i].pub.ksk == ksk && s->key[i].state == CA_KEY_ACTIVE)
			return (double)(k->role->clock->unix_s(k->role->clock) -
					s->key[i].times[CA_KEY_ACTIVE]);
	return 0;
}

static void on_metrics(struct role_metrics *m, void *user)
{
	const struct keys *k = user;

	role_metric(m, "answered_total", (double)k->count.answered);
	role_metric(m, "refused_links_total", (double)k->count.refused);
	role_metric(m, "issued_total", (double)ca_issued_count(k->issued));
	role_metric(m, "issuing_ca_seconds_left", seconds_left(k, &k->ring.authority.issuing));
	role_metric(m, "party_ca_seconds_left", seconds_left(k, &k->ring.authority.party));
	role_metric(m, "ksk_age_seconds", key_age(k, true));
	role_metric(m, "zsk_age_seconds", key_age(k, false));
}

static enum rc serve(struct keys *k, struct diag *d)
{
	struct role *role = k->role;
	enum rc rc = open_all(k, d);

	if (rc == RC_OK)
		rc = role_on_link(role, "core", on_core, k);
	if (rc == RC_OK)
		rc = role_on_link(role, "zone", on_zone, k);
	if (rc == RC_OK)
		rc = role_confine(role, d);
	if (rc == RC_OK)
		rc = keys_pool_start(k->pool, d);
	if (rc != RC_OK)
		return rc;
	say_serving(k);
	role_on_metrics(role, on_metrics, k);
	rc = role_ready(role);
	if (rc == RC_OK)
		rc = role_loop(role);
	return k->rc != RC_OK ? k->rc : rc;
}

enum rc role_keys_run(struct role *role)
{
	struct keys *k = calloc(1, sizeof(*k));
	struct diag d = { 0 };
	enum rc rc;

	if (!k)
		return RC_NOMEM;
	k->role = role;
	rc = serve(k, &d);
	if (rc != RC_OK && rc != RC_CLOSED)
		log_write(
			role->log, LOG_ERROR, "start why=\"%s\"", d.text[0] ? d.text : rc_text(rc));
	keys_pool_free(k->pool);
	while (k->links)
		close_link(k->links);
	ca_issued_close(k->issued);
	ca_zone_keys_unref(k->zone.now);
	k->zone.now = NULL;
	ca_key_free(&k->zone.node_key);
	ca_keyring_free(&k->ring);
	free(k);
	return rc;
}
