/* SPDX-License-Identifier: Apache-2.0 */
/* dns: answers questions from the signed zone. Its link comes from zone. */
#include "role/role.h"

#include "zone/stream.h"
#include "zone/udp.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* How often a new certificate is looked for. */
#define ROTATE_S 5

struct dns_role {
	struct role *role;
	SSL_CTX *tls;
	int zone_fd; /* our end of the link; its end means another one will come */
	struct event *zone_event;
	struct zone_db *db;
	const struct snap_board *board;
	struct snap_slot *slot;
	bool serving; /* what we read has content */
	struct snap_reader reader;
	struct snap_reader copier;
	struct spool *spool;
	struct tsig_keys *keys;
	struct peers peers;
	struct peers primary; /* of a secondary; count 0: we are the primary */
	struct zone_name zone;
	struct rrl *rrl;
	struct event *rotate;
	struct timespec cert_time, key_time;
	struct serve *serve;
	struct udp *udp;
	struct stream *tcp;
	struct stream *dot;
};

static void stop_serving(struct dns_role *r)
{
	stream_free(r->dot);
	stream_free(r->tcp);
	udp_free(r->udp);
	serve_free(r->serve);
	spool_free(r->spool);
	r->spool = NULL;
	if (r->tls)
		stream_tls_board(r->tls, NULL);
	r->dot = r->tcp = NULL;
	r->udp = NULL;
	r->serve = NULL;
	if (r->db) {
		snap_reader_fini(&r->copier);
		snap_reader_fini(&r->reader);
	}
	zone_db_close(r->db);
	snap_reader_detach(r->board, r->slot);
	r->db = NULL;
	r->serving = false;
	r->board = NULL;
	r->slot = NULL;
}

static void drop_link(struct dns_role *r)
{
	if (r->zone_event)
		event_free(r->zone_event);
	if (r->zone_fd >= 0)
		close(r->zone_fd);
	r->zone_event = NULL;
	r->zone_fd = -1;
}

/* The primary has something newer: zone has it fetched. */
static void on_notified(void *user)
{
	struct dns_role *r = user;

	if (r->zone_fd >= 0)
		(void)!send(r->zone_fd, "N", 1, MSG_DONTWAIT | MSG_NOSIGNAL);
}

static enum rc start_sockets(struct dns_role *r)
{
	const struct config *c = r->role->config;
	struct stream_limits limits = { .clients = (unsigned)c->dns.tcp_clients,
		.idle_ms = (unsigned)c->dns.tcp_idle_ms,
		.per_address = (unsigned)c->dns.tcp_per_address,
		.transfers = (unsigned)c->dns.transfers };
	struct serve_options options = { .nsid = c->dns.nsid,
		.keys = r->keys,
		.peers = &r->peers,
		.board = r->board,
		.rrl = r->rrl,
		.idle_ms = (uint32_t)c->dns.tcp_idle_ms };
	bool secondary = config_is_secondary(c);
	uint16_t udp_max = (uint16_t)c->dns.udp_max;
	int udp = role_listener(r->role, "dns-udp");
	int tcp = role_listener(r->role, "dns-tcp");
	int dot = role_listener(r->role, "dot");
	int spool = role_listener(r->role, "spool");
	enum rc rc = serve_new(&r->reader, udp_max, &r->serve);

	if (secondary) {
		options.primary = &r->primary;
		options.primary_zone = &r->zone;
		options.notified = on_notified;
		options.user = r;
	}
	if (rc == RC_OK)
		serve_setup(r->serve, &options);
	if (rc == RC_OK && spool >= 0)
		rc = spool_new(r->role->base, &r->copier, spool, &r->spool);
	if (r->tls)
		stream_tls_board(r->tls, r->board);
	if (rc == RC_OK && udp >= 0)
		rc = udp_new(r->role->base, udp, r->serve, udp_max, &r->udp);
	if (rc == RC_OK && tcp >= 0)
		rc = stream_new(r->role->base, tcp, r->serve, NULL, r->spool, &limits, &r->tcp);
	if (rc == RC_OK && dot >= 0 && r->tls)
		rc = stream_new(r->role->base, dot, r->serve, r->tls, r->spool, &limits, &r->dot);
	return rc;
}

static bool has_content(struct zone_db *db, const struct snap_board *board, struct snap_slot *slot)
{
	struct snap_reader reader;
	bool fresh, has = false;

	if (snap_reader_init(&reader, db, board, slot) != RC_OK)
		return false;
	if (snap_reader_enter(&reader, &fresh) == RC_OK) {
		has = reader.state.have;
		snap_reader_leave(&reader);
	}
	snap_reader_fini(&reader);
	return has;
}

/* zone has greeted us: everything before was of a zone process that is gone. Of a store that was
 * deleted nobody writes what we read: it is served on until the new one has content, of which zone
 * tells us by greeting us again. */
static enum rc start_serving(struct dns_role *r, struct diag *d)
{
	const struct snap_board *board;
	struct snap_slot *slot;
	struct zone_db *db = NULL;
	enum rc rc = snap_reader_attach(r->zone_fd, &board, &slot, d);

	if (rc != RC_OK)
		return rc;
	rc = zone_db_open(r->role->config->zone.folder, ZONE_DB_SERVE,
		(size_t)r->role->config->zone.map_mib << 20, &db, d);
	if (rc == RC_OK && r->serving && !has_content(db, board, slot)) {
		log_write(r->role->log, LOG_WARNING, "the zone is built anew: served as it was");
		zone_db_close(db);
		snap_reader_detach(board, slot);
		return RC_OK;
	}
	stop_serving(r);
	r->board = board;
	r->slot = slot;
	r->db = db;
	if (rc == RC_OK)
		r->serving = has_content(db, board, slot);
	if (rc == RC_OK)
		rc = snap_reader_init(&r->reader, r->db, board, slot);
	if (rc == RC_OK)
		rc = snap_reader_init_copy(&r->copier, r->db, board, slot);
	if (rc == RC_OK)
		rc = start_sockets(r);
	if (rc != RC_OK)
		stop_serving(r);
	return rc;
}

static void on_zone_readable(evutil_socket_t fd, short what, void *user)
{
	struct dns_role *r = user;
	struct diag d = { 0 };
	char byte;
	enum rc rc;

	(void)what;
	if (recv(fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) == 0) {
		/* zone is gone. Nobody writes, so the last snapshot is served on. */
		drop_link(r);
		return;
	}
	rc = start_serving(r, &d);
	if (rc == RC_BUSY)
		return;
	if (rc != RC_OK) {
		log_write(
			r->role->log, LOG_ERROR, "serve why=%s", d.text[0] ? d.text : rc_text(rc));
		drop_link(r);
	}
}

static void on_zone_link(struct role *role, const char *peer, int take_fd, void *user)
{
	struct dns_role *r = user;

	(void)peer;
	drop_link(r);
	r->zone_fd = take_fd;
	(void)evutil_make_socket_nonblocking(take_fd);
	r->zone_event = event_new(role->base, take_fd, EV_READ | EV_PERSIST, on_zone_readable, r);
	if (!r->zone_event || event_add(r->zone_event, NULL) != 0)
		drop_link(r);
}

/* ---- certificate rotation: the files are written anew in place, we notice */

static bool changed(const char *path, struct timespec *last)
{
	struct stat st;
	bool is;

	if (stat(path, &st) != 0)
		return false;
	is = st.st_mtim.tv_sec != last->tv_sec || st.st_mtim.tv_nsec != last->tv_nsec;
	*last = st.st_mtim;
	return is;
}

static void on_rotate(evutil_socket_t fd, short what, void *user)
{
	struct dns_role *r = user;
	const struct config *c = r->role->config;
	struct diag d = { 0 };
	bool cert = changed(c->dns.dot_cert, &r->cert_time);
	bool key = changed(c->dns.dot_key, &r->key_time);

	(void)fd;
	(void)what;
	if (!cert && !key)
		return;
	/* One of the two may come a moment later: then we look again. */
	if (stream_tls_rotate(r->tls, c->dns.dot_cert, c->dns.dot_key, &d) == RC_OK)
		log_write(r->role->log, LOG_INFO, "certificate loaded file=%s", c->dns.dot_cert);
	else
		log_write(r->role->log, LOG_WARNING, "certificate kept why=%s", d.text);
}

static enum rc open_tls(struct dns_role *r, struct diag *d)
{
	static const struct timeval every = { ROTATE_S, 0 };
	const struct config *c = r->role->config;
	enum rc rc = stream_tls_new(c->dns.dot_cert, c->dns.dot_key, &r->tls, d);

	if (rc != RC_OK)
		return rc;
	(void)changed(c->dns.dot_cert, &r->cert_time);
	(void)changed(c->dns.dot_key, &r->key_time);
	r->rotate = event_new(r->role->base, -1, EV_PERSIST, on_rotate, r);
	return r->rotate && event_add(r->rotate, &every) == 0 ? RC_OK : RC_NOMEM;
}

/* Of whom a NOTIFY is heard: from this address, whatever port. */
static enum rc read_primary(struct dns_role *r, struct diag *d)
{
	const struct config *c = r->role->config;
	struct peer_secondary *p = &r->primary.secondary[0];
	enum rc rc = zone_name_from_text(c->registry.zone, &r->zone);

	p->addr = c->primary.addr.sa;
	p->addr_len = c->primary.addr.len;
	p->key = c->primary.key[0] ? tsig_key_find(r->keys, c->primary.key) : NULL;
	r->primary.count = 1;
	if (rc == RC_OK && c->primary.key[0] && !p->key)
		rc = diag_set(d, RC_NOT_FOUND, "[primary] key: %s is not in the keys' file",
			c->primary.key);
	return rc;
}

static void on_metrics(struct role_metrics *m, void *user)
{
	const struct dns_role *r = user;
	const struct serve_counts *c = r->serve ? serve_counts(r->serve) : NULL;

	role_metric(m, "dns_serving", r->serving);
	role_metric(m, "dns_tcp_clients", stream_clients(r->tcp));
	role_metric(m, "dns_tls_clients", stream_clients(r->dot));
	if (!c)
		return;
	role_metric(m, "dns_answers_total", (double)c->answers);
	role_metric(m, "dns_limited_total", (double)c->limited);
	role_metric(m, "dns_good_cookies_total", (double)c->good_cookies);
	role_metric(m, "dns_bad_tsig_total", (double)c->bad_tsig);
	role_metric(m, "dns_transfers_total", (double)c->transfers);
	role_metric(m, "dns_transfers_refused_total", (double)c->transfers_refused);
}

static enum rc open_all(struct dns_role *r, struct diag *d)
{
	const struct config *c = r->role->config;
	enum rc rc = RC_OK;

	if (c->dns.dot.len > 0)
		rc = open_tls(r, d);
	if (rc == RC_OK && c->dns.transfer_keys[0])
		rc = tsig_keys_read(c->dns.transfer_keys, &r->keys, d);
	if (rc == RC_OK)
		rc = peers_read((const char *const *)c->dns.secondary.items, c->dns.secondary.count,
			r->keys, true, &r->peers, d);
	if (rc == RC_OK && config_is_secondary(c))
		rc = read_primary(r, d);
	if (rc == RC_OK && c->dns.rrl_rate > 0)
		rc = rrl_new((uint32_t)c->dns.rrl_rate, (uint32_t)c->dns.rrl_slip, &r->rrl);
	if (rc == RC_OK)
		rc = role_on_link(r->role, "zone", on_zone_link, r);
	return rc == RC_OK ? role_confine(r->role, d) : rc;
}

enum rc role_dns_run(struct role *role)
{
	struct dns_role *r = calloc(1, sizeof(*r));
	struct diag d = { 0 };
	enum rc rc;

	if (!r)
		return RC_NOMEM;
	r->role = role;
	r->zone_fd = -1;
	rc = open_all(r, &d);
	role_on_metrics(role, on_metrics, r);
	if (rc == RC_OK)
		rc = role_ready(role);
	else
		log_write(role->log, LOG_ERROR, "start why=%s", d.text);
	if (rc == RC_OK)
		rc = role_loop(role);
	stop_serving(r);
	drop_link(r);
	if (r->rotate)
		event_free(r->rotate);
	SSL_CTX_free(r->tls);
	rrl_free(r->rrl);
	tsig_keys_free(r->keys);
	free(r);
	return rc;
}
