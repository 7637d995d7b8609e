/* SPDX-License-Identifier: Apache-2.0 */
/* zone: the signed zone and its schedule. Its links come from keys, core and dns/N. */
#include "base/str.h"
#include "role/zone_internal.h"
#include "zone/check.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void peer_gone(struct zone_peer *p)
{
	if (p->event)
		event_free(p->event);
	if (p->fd >= 0)
		close(p->fd);
	p->event = NULL;
	p->fd = -1;
	/* Its memory is gone before its descriptors are: it reads nothing any more. */
	snap_writer_release(p->zone->snaps, p->slot);
}

/* A dns says on this link only that the primary sent a NOTIFY; its end means that the process
 * ended. */
static void on_peer(evutil_socket_t fd, short what, void *user)
{
	struct zone_peer *p = user;
	char buf[64];

	(void)what;
	if (read(fd, buf, sizeof(buf)) <= 0)
		peer_gone(p);
	else
		zone__follow_look(p->zone);
}

static void on_dns_link(struct role *role, const char *peer, int take_fd, void *user)
{
	struct zone_role *z = user;
	struct zone_peer *p;
	uint64_t slot;

	if (u64_read(peer + strlen("dns/"), 0, z->slots - 1, &slot) != RC_OK) {
		close(take_fd);
		return;
	}
	p = &z->peers[slot];
	if (p->fd >= 0)
		peer_gone(p);
	p->fd = take_fd;
	p->event = event_new(role->base, take_fd, EV_READ | EV_PERSIST, on_peer, p);
	if (!p->event || event_add(p->event, NULL) != 0 ||
		snap_writer_greet(z->snaps, p->slot, take_fd) != RC_OK) {
		log_write(role->log, LOG_ERROR, "greet peer=%s", peer);
		peer_gone(p);
	}
}

/* Its first content is there: who still serves what a deleted folder left comes over now. */
void zone__greet_again(struct zone_role *z)
{
	for (unsigned i = 0; i < z->slots; i++) {
		struct zone_peer *p = &z->peers[i];

		if (p->fd >= 0 && snap_writer_greet(z->snaps, p->slot, p->fd) != RC_OK)
			peer_gone(p);
	}
}

bool zone__dns_attached(const struct zone_role *z)
{
	for (unsigned i = 0; i < z->slots; i++)
		if (z->peers[i].fd >= 0 && !snap_writer_attached(z->snaps, z->peers[i].slot))
			return false;
	return true;
}

static void on_keys_link(struct role *role, const char *peer, int take_fd, void *user)
{
	(void)role;
	(void)peer;
	zone__keys_link(user, take_fd);
}

static void on_core_link(struct role *role, const char *peer, int take_fd, void *user)
{
	(void)role;
	(void)peer;
	zone__core_link(user, take_fd);
}

static void on_out_link(struct role *role, const char *peer, int take_fd, void *user)
{
	(void)role;
	(void)peer;
	zone__out_link(user, take_fd);
}

static void on_tick(evutil_socket_t fd, short what, void *user)
{
	(void)fd;
	(void)what;
	zone__tick(user);
}

static void on_soon(evutil_socket_t fd, short what, void *user)
{
	(void)fd;
	(void)what;
	zone__again(user);
}

static unsigned slots_of(const struct config *config)
{
	long cores = sysconf(_SC_NPROCESSORS_ONLN);
	long n = config->dns.workers > 0 ? (long)config->dns.workers : cores;

	return n < 1 ? 1 : n > (long)SNAP_SLOTS_MAX ? SNAP_SLOTS_MAX : (unsigned)n;
}

static enum rc open_links(struct zone_role *z)
{
	enum rc rc = role_on_link(z->role, "keys", on_keys_link, z);

	if (rc == RC_OK)
		rc = role_on_link(z->role, "core", on_core_link, z);
	if (rc == RC_OK)
		rc = role_on_link(z->role, "out", on_out_link, z);
	return rc;
}

/* A store that cannot be believed is put aside: all of it is in the database, or at the primary. */
static enum rc open_store(struct zone_role *z, struct diag *d)
{
	const struct config *c = z->role->config;
	size_t map = (size_t)c->zone.map_mib << 20;
	enum rc rc = zone_check(c->zone.folder, map, d);

	if (rc == RC_MALFORMED) {
		log_write(z->role->log, LOG_ERROR, "store_damaged why=%s action=rebuild", d->text);
		z->store_damaged = true;
		rc = zone_check_set_aside(c->zone.folder, d);
	}
	return rc == RC_OK ? zone_db_open(c->zone.folder, ZONE_DB_WRITE, map, &z->db, d) : rc;
}

static enum rc open_all(struct zone_role *z, struct diag *d)
{
	static const struct timeval second = { 1, 0 };
	struct role *role = z->role;
	enum rc rc = open_store(z, d);

	z->slots = slots_of(role->config);
	if (rc == RC_OK)
		z->db->journal_max = (size_t)role->config->zone.journal_mib << 20;
	if (rc == RC_OK)
		rc = snap_writer_new(z->db, z->slots, &z->snaps, d);
	if (rc == RC_OK)
		z->content = zone__state(z).have;
	if (rc != RC_OK)
		return rc;
	zone__orders_load(z);
	z->tick = event_new(role->base, -1, EV_PERSIST, on_tick, z);
	z->soon = event_new(role->base, -1, 0, on_soon, z);
	if (!z->tick || !z->soon || event_add(z->tick, &second) != 0)
		return RC_NOMEM;
	rc = role_on_link(role, "dns/", on_dns_link, z);
	if (rc == RC_OK)
		rc = config_is_secondary(role->config) ? zone__follow_open(z) : open_links(z);
	return rc == RC_OK ? role_confine(role, d) : rc;
}

static void store_metrics(const struct zone_role *z, struct role_metrics *m)
{
	struct zone_db_size size;
	unsigned slot;

	zone_db_size(z->db, &size);
	role_metric(m, "store_bytes", (double)size.used);
	role_metric(m, "store_bytes_max", (double)size.max);
	role_metric(m, "store_free_bytes", (double)zone__free_bytes(z));
	role_metric(m, "store_failing", z->store_failing);
	role_metric(m, "store_errors_total", (double)z->store_errors);
	role_metric(m, "store_damaged", z->store_damaged);
	role_metric(m, "snapshots_held", snap_writer_guards(z->snaps, &slot));
}

static void on_metrics(struct role_metrics *m, void *user)
{
	const struct zone_role *z = user;
	uint64_t done = 0;
	uint64_t names = 0;

	store_metrics(z, m);
	if (z->follow) {
		zone__follow_metrics(z, m);
		return;
	}
	role_metric(m, "applied_seq", (double)z->applied_seq);
	role_metric(m, "taken_seq", (double)z->taken_seq);
	role_metric(m, "soa_serial", z->serial);
	role_metric(m, "rebuilding", z->rebuild != NULL);
	if (z->rebuild)
		rebuild_progress(z->rebuild, &done, &names);
	role_metric(m, "rebuild_signed_names", (double)done);
	role_metric(m, "rebuild_names", (double)names);
	role_metric(m, "waits_for_signatures", z->asked);
	role_metric(m, "zone_has_content", z->have);
	role_metric(m, "zone_signs", zone__may_sign(z));
	role_metric(m, "signatures_late", (double)z->sweep.last.late);
	role_metric(m, "presigned_seconds_left",
		z->roll.presigned.offline ? (double)z->roll.presigned.end -
						    (double)z->role->clock->unix_s(z->role->clock)
					  : 0);
}

static void close_all(struct zone_role *z)
{
	if (z->snaps)
		for (unsigned i = 0; i < z->slots; i++)
			peer_gone(&z->peers[i]);
	zone__drop_work(z);
	zone__node_close(z);
	link_free(z->keys);
	link_free(z->core);
	link_free(z->roll.out);
	zone__follow_close(z);
	if (z->tick)
		event_free(z->tick);
	if (z->soon)
		event_free(z->soon);
	snap_writer_free(z->snaps);
	zone_db_close(z->db);
}

enum rc role_zone_run(struct role *role)
{
	struct zone_role *z = calloc(1, sizeof(*z));
	struct diag d = { 0 };
	enum rc rc;

	if (!z)
		return RC_NOMEM;
	z->role = role;
	z->node.on = role->config->node.name[0] != '\0';
	for (unsigned i = 0; i < SNAP_SLOTS_MAX; i++)
		z->peers[i] = (struct zone_peer){ .zone = z, .slot = i, .fd = -1 };
	rc = open_all(z, &d);
	role_on_metrics(role, on_metrics, z);
	if (rc == RC_OK)
		rc = role_ready(role);
	else
		log_write(role->log, LOG_ERROR, "start why=%s", d.text);
	if (rc == RC_OK)
		rc = role_loop(role);
	close_all(z);
	free(z);
	return rc;
}
