/* SPDX-License-Identifier: Apache-2.0 */
/* What devices and clients shall trust: made from what keys says of itself and the settings. */
#include "base/put.h"
#include "base/str.h"
#include "role/core_internal.h"

#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>

#define DIGEST_SHA256 2 /* RFC 4509 */

/* RFC 4034 appendix B. */
static uint32_t key_tag(const uint8_t *rdata, size_t len)
{
	uint32_t sum = 0;

	for (size_t i = 0; i < len; i++)
		sum += i & 1 ? rdata[i] : (uint32_t)rdata[i] << 8;
	sum += sum >> 16 & 0xffff;
	return sum & 0xffff;
}

/* Length octets and labels of a name without trailing dot, RFC 1035 section 3.1. */
static size_t wire_name(const char *name, uint8_t *out, size_t cap)
{
	struct put p = put_init(out, cap);

	while (*name) {
		size_t label = strcspn(name, ".");

		put_u8(&p, (uint8_t)label);
		put_bytes(&p, name, label);
		name += label + (name[label] == '.');
	}
	put_u8(&p, 0);
	return put_ok(&p) ? p.len : 0;
}

/* The DS of a KSK: RFC 4034 section 5.1.4. */
static enum rc add_anchor(struct core *core, const ProtobufCBinaryData *ksk)
{
	struct arena *a = &core->public_arena;
	Keys__Anchor *k = arena_alloc(a, sizeof(*k));
	uint8_t *digest = arena_alloc(a, STORE_SHA256);
	char hex[2 * STORE_SHA256 + 1];
	uint8_t data[256 + 512];
	size_t len = wire_name(core->options.zone, data, 256);
	size_t n = core->trust.anchor_count;
	unsigned digest_len = 0;

	if (!k || !digest)
		return RC_NOMEM;
	if (!len || ksk->len < 5 || ksk->len > 512)
		return RC_MALFORMED;
	memcpy(data + len, ksk->data, ksk->len);
	if (!EVP_Digest(data, len + ksk->len, digest, &digest_len, EVP_sha256(), NULL))
		return RC_CRYPTO;
	keys__anchor__init(k);
	k->name = (char *)(uintptr_t)core->options.zone;
	k->tag = key_tag(ksk->data, ksk->len);
	k->alg = ksk->data[3];
	k->digest_type = DIGEST_SHA256;
	k->digest = (ProtobufCBinaryData){ STORE_SHA256, digest };
	hex_write(digest, STORE_SHA256, hex);
	core->trust.anchors[n] = k;
	core->ca.trust_anchors[n] = arena_printf(a, "%s. IN DS %u %u %u %s", core->options.zone,
		k->tag, k->alg, k->digest_type, hex);
	core->trust.anchor_count = core->ca.n_trust_anchors = n + 1;
	return core->ca.trust_anchors[n] ? RC_OK : RC_NOMEM;
}

/* The KSK that signs first, then the one that will: who has both before the change needs nothing
 * at the change. */
static enum rc anchors_of(struct core *core, const Keys__Public *public)
{
	struct arena *a = &core->public_arena;
	enum rc rc;

	core->trust.anchors = arena_array(a, public->n_zone_keys + 1, sizeof(Keys__Anchor *));
	core->ca.trust_anchors = arena_array(a, public->n_zone_keys + 1, sizeof(char *));
	if (!core->trust.anchors || !core->ca.trust_anchors)
		return RC_NOMEM;
	rc = add_anchor(core, &public->ksk);
	for (size_t i = 0; rc == RC_OK && i < public->n_zone_keys; i++) {
		const Keys__ZoneKey *k = public->zone_keys[i];
		/* Active beside the first: of the algorithm that comes, or that goes. */
		bool other = k->state == KEYS__ZONE_KEY_STATE__KEY_ACTIVE &&
			     (k->rdata.len != public->ksk.len ||
				     memcmp(k->rdata.data, public->ksk.data, k->rdata.len) != 0);
		if (k->ksk && (other || k->state < KEYS__ZONE_KEY_STATE__KEY_ACTIVE))
			rc = add_anchor(core, &k->rdata);
	}
	return rc;
}

static enum rc resolver_of(struct core *core)
{
	const struct core_resolver *r = &core->options.resolver;
	struct arena *a = &core->public_arena;
	Keys__Resolver *k = arena_alloc(a, sizeof(*k));
	Registry__Resolver *m = arena_alloc(a, sizeof(*m));
	Keys__Resolver **k_list = arena_array(a, 1, sizeof(*k_list));
	Registry__Resolver **m_list = arena_array(a, 1, sizeof(*m_list));
	ProtobufCBinaryData *pins = arena_array(a, r->pin_count, sizeof(*pins));

	if (!k || !m || !k_list || !m_list || !pins)
		return RC_NOMEM;
	if (!r->addr_len)
		return RC_OK;
	for (size_t i = 0; i < r->pin_count; i++)
		pins[i] = (ProtobufCBinaryData){ 32, (uint8_t *)(uintptr_t)r->pins[i] };
	keys__resolver__init(k);
	k->name = (char *)(uintptr_t)r->name;
	k->addr = (ProtobufCBinaryData){ r->addr_len, (uint8_t *)(uintptr_t)r->addr };
	k->port = r->port;
	k->pins = pins;
	k->n_pins = r->pin_count;
	registry__resolver__init(m);
	m->name = k->name;
	m->addr = (char *)(uintptr_t)r->addr_text;
	m->port = r->port;
	m->pins = pins;
	m->n_pins = r->pin_count;
	k_list[0] = k;
	m_list[0] = m;
	core->trust.resolvers = k_list;
	core->trust.resolver_count = 1;
	core->ca.resolvers = m_list;
	core->ca.n_resolvers = 1;
	return RC_OK;
}

static enum rc take_public(struct core *core, const Keys__Public *public)
{
	enum rc rc;

	registry__ca_data__init(&core->ca);
	memset(&core->trust, 0, sizeof(core->trust));
	core->ca.zone = (char *)(uintptr_t)core->options.zone;
	core->ca.root = public->root;
	core->ca.issuing = public->issuing;
	core->ca.devkit = public->devkit;
	core->ca.party = public->party;
	core->ca.payload_signer = public->payload_signer;
	core->ca.payload_signer_devkit = public->payload_signer_devkit;
	core->ca.payload_spki = public->payload_spki;
	core->ca.payload_next_spki = public->payload_next_spki;
	core->ca.payload_old_spki = public->payload_old_spki;
	rc = anchors_of(core, public);
	return rc == RC_OK ? resolver_of(core) : rc;
}

static enum rc publish(struct registry_run *run, void *user)
{
	enum rc rc = registry_apex(run, user);

	return rc == RC_OK ? registry_trust_changed(run) : rc;
}

static void on_public(
	struct core *core, const Keys__Reply *reply, struct arena *arena, void *user ATT_UNUSED)
{
	Keys__Public *public;
	enum rc rc = RC_UNAVAILABLE;

	if (!reply || reply->result_case != KEYS__REPLY__RESULT_PUBLIC)
		goto out;
	public = reply->public_;
	if (strcmp(public->zone, core->options.zone) != 0) {
		rc = RC_CONFLICT;
		goto out;
	}
	core->registry.trust = NULL;
	core->registry.ca = NULL;
	core->registry.seal_point = NULL;
	arena_fini(&core->public_arena);
	core->public_arena = *arena;
	*arena = arena_init(0);
	rc = take_public(core, public);
	if (rc != RC_OK)
		goto out;
	core->registry.trust = &core->trust;
	core->registry.ca = &core->ca;
	core->registry.seal_point = public->seal_point.len == 65 ? public->seal_point.data : NULL;
	core->node.keys_version = public->keys_version;
	rc = core__system(core, publish, public);
	core__install_kick(core);
	core__form_soon(core);
out:
	if (rc != RC_OK)
		log_write(core->log, LOG_ERROR, "keys' public data why=%s", rc_text(rc));
}

void core__public_ask(struct core *core)
{
	Keys__Request request = KEYS__REQUEST__INIT;
	Keys__GetPublic get = KEYS__GET_PUBLIC__INIT;

	request.op_case = KEYS__REQUEST__OP_GET_PUBLIC;
	request.get_public = &get;
	if (!core__call_keys(core, &request, on_public, NULL))
		log_write(core->log, LOG_ERROR, "keys cannot be asked");
}
