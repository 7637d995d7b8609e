/* SPDX-License-Identifier: Apache-2.0 */
/* Our DS at each of the parent's name servers, over TCP: one question per connection. All answers,
 * or what hindered them, go to zone in one message; zone decides. */
#include "base/rng.h"
#include "base/str.h"
#include "proc/frame.h"
#include "role/out_internal.h"
#include "zone/parent.h"

#include "zone.pb-c.h"

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <stdlib.h>
#include <string.h>

#define SERVERS_MAX 16u
#define WAIT_S	    5

struct server {
	struct out_parent *parent;
	const char *text;
	struct conf_addr addr;
	struct bufferevent *bev; /* NULL: not being asked */
	uint16_t id;
	bool ok;
	struct diag why;
	struct parent_ds ds;
};

struct out_parent {
	struct role *role;
	struct link *zone;
	struct zone_name name;
	struct server server[SERVERS_MAX];
	unsigned servers, waiting;
};

static void fill(Zone__ParentServer *out, struct server *s, ProtobufCBinaryData *ds)
{
	zone__parent_server__init(out);
	out->addr = (char *)(uintptr_t)s->text;
	out->ok = s->ok;
	out->why = s->why.text;
	if (!s->ok)
		return;
	for (unsigned i = 0; i < s->ds.count; i++)
		ds[i] = (ProtobufCBinaryData){ DS_LEN, s->ds.ds[i] };
	out->ds = ds;
	out->n_ds = s->ds.count;
	out->ttl = s->ds.ttl;
}

static void report(struct out_parent *p)
{
	Zone__ParentServer servers[SERVERS_MAX], *list[SERVERS_MAX];
	ProtobufCBinaryData ds[SERVERS_MAX][PARENT_DS_MAX];
	Zone__ParentDs parent = ZONE__PARENT_DS__INIT;
	Zone__FromOut m = ZONE__FROM_OUT__INIT;

	for (unsigned i = 0; i < p->servers; i++) {
		fill(&servers[i], &p->server[i], ds[i]);
		list[i] = &servers[i];
	}
	parent.servers = list;
	parent.n_servers = p->servers;
	m.op_case = ZONE__FROM_OUT__OP_PARENT_DS;
	m.parent_ds = &parent;
	if (p->zone && link_send(p->zone, &m.base) != RC_OK)
		log_write(p->role->log, LOG_WARNING, "zone is not reading");
}

static void done(struct server *s, enum rc rc)
{
	s->ok = rc == RC_OK;
	if (s->bev)
		bufferevent_free(s->bev);
	s->bev = NULL;
	if (--s->parent->waiting == 0)
		report(s->parent);
}

/* RFC 1035 section 4.2.2: two octets of length before the message. */
static void on_read(struct bufferevent *bev, void *user)
{
	struct server *s = user;
	struct evbuffer *in = bufferevent_get_input(bev);
	const uint8_t *head = evbuffer_pullup(in, 2);
	const uint8_t *all;
	size_t len;

	if (!head)
		return;
	len = (size_t)head[0] << 8 | head[1];
	if (evbuffer_get_length(in) < len + 2)
		return;
	all = evbuffer_pullup(in, (ev_ssize_t)(len + 2));
	if (!all)
		done(s, diag_set(&s->why, RC_NOMEM, "out of memory"));
	else
		done(s, parent_answer(all + 2, len, &s->parent->name, s->id, &s->ds, &s->why));
}

static void on_event(struct bufferevent *bev, short what, void *user)
{
	struct server *s = user;

	(void)bev;
	if (what & BEV_EVENT_CONNECTED)
		return;
	done(s, diag_set(&s->why, RC_UNAVAILABLE, "%s",
			what & BEV_EVENT_TIMEOUT ? "no answer in time" : "no connection"));
}

static void ask(struct server *s)
{
	static const struct timeval wait = { WAIT_S, 0 };
	struct event_base *base = s->parent->role->base;
	uint8_t buf[2 + PARENT_QUESTION_MAX];
	size_t len = 0;

	s->ok = false;
	s->why = (struct diag){ 0 };
	if (rng_system()->fill(rng_system(), &s->id, sizeof(s->id)) != RC_OK) {
		done(s, diag_set(&s->why, RC_CRYPTO, "no random numbers"));
		return;
	}
	parent_question(&s->parent->name, s->id, buf + 2, &len);
	buf[0] = (uint8_t)(len >> 8);
	buf[1] = (uint8_t)len;
	s->bev = bufferevent_socket_new(base, -1, BEV_OPT_CLOSE_ON_FREE | BEV_OPT_DEFER_CALLBACKS);
	if (!s->bev) {
		done(s, diag_set(&s->why, RC_NOMEM, "out of memory"));
		return;
	}
	bufferevent_setcb(s->bev, on_read, NULL, on_event, s);
	bufferevent_set_timeouts(s->bev, &wait, &wait);
	if (bufferevent_write(s->bev, buf, len + 2) != 0 ||
		bufferevent_enable(s->bev, EV_READ | EV_WRITE) != 0 ||
		bufferevent_socket_connect(
			s->bev, (struct sockaddr *)&s->addr.sa, (int)s->addr.len) != 0)
		done(s, diag_set(&s->why, RC_UNAVAILABLE, "no connection"));
}

static void on_message(struct link *link, const uint8_t *bytes, size_t len, void *user)
{
	struct out_parent *p = user;
	Zone__ToOut *m = zone__to_out__unpack(NULL, len, bytes);
	bool wanted = m && m->op_case == ZONE__TO_OUT__OP_ASK_PARENT;

	(void)link;
	if (!m)
		log_write(p->role->log, LOG_ERROR, "zone malformed_message len=%zu", len);
	else
		zone__to_out__free_unpacked(m, NULL);
	if (!wanted || p->waiting > 0)
		return;
	/* One more than there are: nothing is reported before all have been asked. */
	p->waiting = p->servers + 1;
	for (unsigned i = 0; i < p->servers; i++)
		ask(&p->server[i]);
	if (--p->waiting == 0)
		report(p);
}

static void on_closed(struct link *link, enum rc why, void *user)
{
	struct out_parent *p = user;

	(void)why;
	link_free(link);
	p->zone = NULL;
}

static void on_zone(struct role *role, const char *peer, int take_fd, void *user)
{
	struct out_parent *p = user;
	struct link_opts opts = { .on_message = on_message, .on_closed = on_closed, .user = p };

	link_free(p->zone);
	p->zone = NULL;
	if (link_new(role->base, take_fd, &opts, &p->zone) != RC_OK)
		log_write(role->log, LOG_ERROR, "link peer=%s", peer);
}

static enum rc read_servers(struct out_parent *p, struct diag *d)
{
	const struct conf_list *l = &p->role->config->parent.server;

	for (size_t i = 0; i < l->count; i++) {
		struct server *s = &p->server[p->servers];

		if (!l->items[i][0])
			continue;
		if (p->servers == SERVERS_MAX)
			return diag_set(
				d, RC_TOO_LARGE, "[parent] server: more than %u", SERVERS_MAX);
		s->parent = p;
		s->text = l->items[i];
		if (conf_addr_read(l->items[i], &s->addr) != RC_OK)
			return diag_set(d, RC_MALFORMED,
				"[parent] server: \"%s\" is not ADDRESS:PORT", l->items[i]);
		p->servers++;
	}
	return RC_OK;
}

enum rc out_parent_new(struct role *role, struct out_parent **out, struct diag *d)
{
	struct out_parent *p = calloc(1, sizeof(*p));
	enum rc rc;

	if (!p)
		return RC_NOMEM;
	p->role = role;
	rc = zone_name_from_text(role->config->registry.zone, &p->name);
	zone_name_lower(&p->name);
	if (rc == RC_OK)
		rc = read_servers(p, d);
	if (rc == RC_OK)
		rc = role_on_link(role, "zone", on_zone, p);
	if (rc != RC_OK) {
		out_parent_free(p);
		return rc;
	}
	*out = p;
	return RC_OK;
}

void out_parent_free(struct out_parent *p)
{
	if (!p)
		return;
	for (unsigned i = 0; i < p->servers; i++)
		if (p->server[i].bev)
			bufferevent_free(p->server[i].bev);
	link_free(p->zone);
	free(p);
}
