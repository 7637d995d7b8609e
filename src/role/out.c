/* SPDX-License-Identifier: Apache-2.0 */
/* out: the one role that may open connections, so that no other needs to. For zone it asks the
 * parent's name servers for our DS (out_parent.c). */
#include "role/out_internal.h"
#include "role/role.h"

#include "proc/frame.h"

struct out {
	struct role *role;
	struct link *core; /* NULL: none */
	struct out_parent *parent;
};

static void on_message(struct link *link, const uint8_t *bytes, size_t len, void *user)
{
	struct out *out = user;

	(void)bytes;
	/* Nothing was asked, so nothing can be an answer. */
	log_write(out->role->log, LOG_WARNING, "unexpected message peer=core len=%zu", len);
	link_free(link);
	out->core = NULL;
}

static void on_closed(struct link *link, enum rc why, void *user)
{
	struct out *out = user;

	(void)why;
	link_free(link);
	out->core = NULL;
}

static void on_core(struct role *role, const char *peer, int take_fd, void *user)
{
	struct link_opts opts = { .on_message = on_message, .on_closed = on_closed, .user = user };
	struct out *out = user;

	link_free(out->core);
	out->core = NULL;
	if (link_new(role->base, take_fd, &opts, &out->core) != RC_OK)
		log_write(role->log, LOG_ERROR, "link peer=%s", peer);
}

enum rc role_out_run(struct role *role)
{
	struct out out = { .role = role };
	struct diag d = { 0 };
	enum rc rc = role_on_link(role, "core", on_core, &out);

	if (rc == RC_OK)
		rc = out_parent_new(role, &out.parent, &d);
	if (rc == RC_OK)
		rc = role_confine(role, &d);
	if (rc != RC_OK) {
		log_write(role->log, LOG_ERROR, "start why=%s", d.text);
		out_parent_free(out.parent);
		return rc;
	}
	rc = role_ready(role);
	if (rc == RC_OK)
		rc = role_loop(role);
	link_free(out.core);
	out_parent_free(out.parent);
	return rc;
}
