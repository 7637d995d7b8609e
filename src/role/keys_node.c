/* SPDX-License-Identifier: Apache-2.0 */
/* keys: the zone's keys from node to node, and the ends of audit chains. Rare, and done at once in
 * the event loop, so that what is signed after it in a link's order is signed by the new set. */
#include "base/file.h"
#include "base/str.h"
#include "ca/keyfile.h"
#include "ca/node.h"
#include "role/keys_internal.h"

#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define VERSION_FILE "zone-keys.version"
#define NODES_MAX    32

static enum rc path_of(char out[PATH_MAX], const struct keys_zone *z, const char *file)
{
	return str_format(out, PATH_MAX, "%s/%s", z->folder, file);
}

static enum rc read_version(struct keys_zone *z, struct diag *d)
{
	char path[PATH_MAX];
	uint8_t *text = NULL;
	size_t len = 0;
	enum rc rc = path_of(path, z, VERSION_FILE);

	if (rc == RC_OK)
		rc = file_read(path, 32, &text, &len, NULL);
	if (rc == RC_NOT_FOUND)
		return RC_OK;
	if (rc == RC_OK)
		text[strcspn((const char *)text, "\n")] = '\0';
	if (rc == RC_OK)
		rc = u64_read((const char *)text, 0, INT64_MAX, &z->version);
	free(text);
	return rc == RC_OK ? rc : diag_set(d, rc, "%s: not a version", path);
}

static enum rc write_version(struct keys_zone *z, uint64_t version, struct diag *d)
{
	char path[PATH_MAX], text[32];
	enum rc rc = path_of(path, z, VERSION_FILE);

	if (rc == RC_OK)
		rc = str_format(text, sizeof(text), "%" PRIu64 "\n", version);
	if (rc == RC_OK)
		rc = file_write_atomic(path, text, strlen(text), 0600, d);
	if (rc == RC_OK)
		z->version = version;
	return rc;
}

enum rc keys_node_open(struct keys_zone *z, const char *node, struct diag *d)
{
	char path[PATH_MAX];
	enum rc rc;

	z->node = node;
	if (!*node)
		return RC_OK;
	rc = path_of(path, z, CA_NODE_KEY_FILE);
	if (rc == RC_OK)
		rc = ca_key_load(&z->node_key, path, d);
	return rc == RC_OK ? read_version(z, d) : rc;
}

/* ---- sealing --------------------------------------------------------------------------------- */

struct sealed {
	uint8_t *body[NODES_MAX];
	size_t len[NODES_MAX];
};

static enum rc seal_one(
	struct keys_job *job, const Keys__NodeInfo *n, uint8_t **body, size_t *len, struct diag *d)
{
	const Keys__SealZoneKeys *m = job->request->seal_zone_keys;
	const struct ca_key *party = &job->ring->party;
	enum rc rc = RC_MALFORMED;

	if (n->point.len == CA_POINT_LEN)
		rc = ca_node_check(
			party->point, n->name, n->point.data, n->proof.data, n->proof.len, d);
	if (rc != RC_OK) {
		log_write(job->zone->log, LOG_ERROR, "node=%s gets no keys why=\"%s\"", n->name,
			rc_text(rc));
		return RC_OK;
	}
	return ca_bundle_seal(job->zone->folder, CA_BUNDLE_ZONE, m->version, party, n->name,
		n->point.data, body, len, d);
}

static enum rc prepare_seal(struct keys_job *job, struct diag *d)
{
	const Keys__SealZoneKeys *m = job->request->seal_zone_keys;
	struct sealed *s;
	enum rc rc = RC_OK;

	if (!*job->zone->node || m->n_nodes > NODES_MAX || m->version < job->zone->version)
		return diag_set(d, RC_RANGE, "seal_zone_keys: nodes or version");
	s = calloc(1, sizeof(*s));
	if (!s)
		return RC_NOMEM;
	job->results = s;
	for (size_t i = 0; rc == RC_OK && i < m->n_nodes; i++)
		rc = seal_one(job, m->nodes[i], &s->body[i], &s->len[i], d);
	if (rc == RC_OK)
		rc = write_version(job->zone, m->version, d);
	job->count = 0;
	return rc;
}

static enum rc send_sealed(struct keys_job *job, Keys__Reply *reply, struct link *link)
{
	struct sealed *s = job->results;
	Keys__SealedZoneKeys out = KEYS__SEALED_ZONE_KEYS__INIT;
	ProtobufCBinaryData list[NODES_MAX];
	enum rc rc;

	out.n_bodies = job->request->seal_zone_keys->n_nodes;
	for (size_t i = 0; i < out.n_bodies; i++)
		list[i] = (ProtobufCBinaryData){ s->len[i], s->body[i] };
	out.bodies = list;
	reply->result_case = KEYS__REPLY__RESULT_SEALED_ZONE_KEYS;
	reply->sealed_zone_keys = &out;
	rc = link_send(link, &reply->base);
	for (size_t i = 0; i < out.n_bodies; i++)
		free(s->body[i]);
	return rc;
}

/* ---- opening --------------------------------------------------------------------------------- */

static enum rc prepare_open(struct keys_job *job, struct diag *d)
{
	const Keys__OpenZoneKeys *m = job->request->open_zone_keys;
	struct keys_zone *z = job->zone;
	struct ca_zone_keys *next = NULL;
	uint64_t version = z->version;
	enum rc rc;

	if (!*z->node)
		return diag_set(d, RC_DENIED, "open_zone_keys: this is no node");
	rc = ca_bundle_open(z->folder, CA_BUNDLE_ZONE, &z->node_key, job->ring->party.point,
		z->node, z->version, m->body.data, m->body.len, &version, d);
	if (rc == RC_OK)
		rc = ca_zone_keys_load_with(&next, z->folder, z->name, &z->now->token, d);
	if (rc == RC_OK)
		rc = write_version(z, version, d);
	if (rc != RC_OK) {
		ca_zone_keys_unref(next);
		return rc;
	}
	log_write(z->log, LOG_INFO, "zone_keys taken version=%" PRIu64 " ksk=%u zsk=%u", version,
		next->zone.ksk_tag, next->zone.zsk_tag);
	ca_zone_keys_unref(z->now);
	z->now = next;
	ca_zone_keys_unref(job->zone_keys);
	job->zone_keys = ca_zone_keys_ref(next);
	job->count = 0;
	return RC_OK;
}

/* ---- audit heads ------------------------------------------------------------------------------
 */

static enum rc prepare_head(struct keys_job *job, struct diag *d)
{
	const Keys__SignHead *m = job->request->sign_head;
	enum rc rc;

	if (!*job->zone->node || m->hash.len != CA_SHA256_LEN)
		return diag_set(d, RC_MALFORMED, "sign_head: a hash of %d bytes", CA_SHA256_LEN);
	job->results = malloc(64);
	if (!job->results)
		return RC_NOMEM;
	rc = ca_node_sign_head(
		&job->zone->node_key, job->zone->node, m->seq, m->hash.data, job->results, d);
	job->count = 0;
	return rc;
}

static enum rc send_head(struct keys_job *job, Keys__Reply *reply, struct link *link)
{
	Keys__SignedHead out = KEYS__SIGNED_HEAD__INIT;

	out.signature = (ProtobufCBinaryData){ 64, job->results };
	reply->result_case = KEYS__REPLY__RESULT_SIGNED_HEAD;
	reply->signed_head = &out;
	return link_send(link, &reply->base);
}

const struct keys_op keys_op_seal_zone_keys = { .which = KEYS__REQUEST__OP_SEAL_ZONE_KEYS,
	.name = "seal_zone_keys",
	.peers = KEYS_CORE,
	.prepare = prepare_seal,
	.send = send_sealed };

const struct keys_op keys_op_open_zone_keys = { .which = KEYS__REQUEST__OP_OPEN_ZONE_KEYS,
	.name = "open_zone_keys",
	.peers = KEYS_CORE,
	.prepare = prepare_open,
	.send = keys_send_public };

const struct keys_op keys_op_sign_head = { .which = KEYS__REQUEST__OP_SIGN_HEAD,
	.name = "sign_head",
	.peers = KEYS_CORE,
	.prepare = prepare_head,
	.send = send_head };
