/* SPDX-License-Identifier: Apache-2.0 */
#include "registry/internal.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* ---- answers ---------------------------------------------------------------------------- */

static void say(struct registry_run *run, Registry__Code code, const char *field, const char *fmt,
	va_list ap)
{
	char text[DIAG_TEXT_MAX];
	char *reason;

	vsnprintf(text, sizeof(text), fmt, ap);
	reason = arena_str(run->arena, text);
	run->reply.code = code;
	run->reply.reason = reason ? reason : (char *)"out of memory";
	run->reply.field = (char *)(field ? field : "");
	run->reply.result_case = REGISTRY__REPLY__RESULT__NOT_SET;
}

enum rc reg__no(
	struct registry_run *run, Registry__Code code, const char *field, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	say(run, code, field, fmt, ap);
	va_end(ap);
	return RC_OK;
}

void registry_refuse(
	struct registry_run *run, Registry__Code code, const char *field, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	say(run, code, field, fmt, ap);
	va_end(ap);
}

enum rc reg__fail(struct registry_run *run, enum rc rc)
{
	if (rc == RC_OK)
		return RC_OK;
	reg__no(run, CODE(FAILED), "", "%s",
		rc == RC_NOMEM ? "out of memory" : "the registry's storage failed");
	return rc;
}

bool reg__has_role(const struct registry_run *run, uint32_t role_bit)
{
	return run->caller && (run->caller->roles & role_bit);
}

bool reg__is_caller(const struct registry_run *run, const char *party)
{
	return run->caller && *party && strcmp(run->caller->id, party) == 0;
}

/* ---- the one table of operations -------------------------------------------------------- */

#define ANY    (REGISTRY_API | REGISTRY_EPP)
#define ALL    (ANY | REGISTRY_PUBLIC)
#define NOBODY 0xffffffffu /* also without a party */
#define PARTY  0x7fffffffu /* any party */

struct op_row {
	Registry__Request__OpCase id;
	struct registry_op op;
	unsigned classes;
	uint32_t roles;
	reg__handler *handler;
};

#define OP(id) REGISTRY__REQUEST__OP_##id

static const struct op_row ops[] = {
	{ OP(PARTY_CREATE), { "party.create", REGISTRY_WRITE, true }, ANY, ROLE_BIT(OPERATOR),
		reg__party_create },
	{ OP(PARTY_INFO), { "party.info", REGISTRY_READ, false }, ANY, PARTY, reg__party_info },
	{ OP(PARTY_LIST), { "party.list", REGISTRY_READ, false }, ANY, ROLE_BIT(OPERATOR),
		reg__party_list },
	{ OP(SERVICE_CREATE), { "service.create", REGISTRY_WRITE, false }, ANY,
		ROLE_BIT(ASP) | ROLE_BIT(OPERATOR), reg__service_create },
	{ OP(SERVICE_UPDATE), { "service.update", REGISTRY_WRITE, false }, ANY,
		ROLE_BIT(ASP) | ROLE_BIT(OPERATOR), reg__service_update },
	{ OP(SERVICE_INFO), { "service.info", REGISTRY_READ, false }, ANY, PARTY,
		reg__service_info },
	{ OP(SERVICE_LIST), { "service.list", REGISTRY_READ, false }, ANY,
		ROLE_BIT(ASP) | ROLE_BIT(OPERATOR), reg__service_list },
	{ OP(INVENTORY_LOAD), { "inventory.load", REGISTRY_WRITE, false }, ANY, ROLE_BIT(MNO),
		reg__inventory_load },
	{ OP(DEVICE_INFO), { "device.info", REGISTRY_READ, false }, ANY, PARTY, reg__device_info },
	{ OP(DEVICE_LIST), { "device.list", REGISTRY_READ, false }, ANY, PARTY, reg__device_list },
	{ OP(DEVICE_UPDATE), { "device.update", REGISTRY_WRITE, false }, ANY,
		ROLE_BIT(MNO) | ROLE_BIT(OWNER) | ROLE_BIT(OPERATOR), reg__device_update },
	{ OP(PROFILE_REGISTER), { "profile.register", REGISTRY_WRITE, false }, ANY, ROLE_BIT(ASP),
		reg__profile_register },
	{ OP(PROFILE_INFO), { "profile.info", REGISTRY_READ, false }, ANY, PARTY,
		reg__profile_info },
	{ OP(PROFILE_LIST), { "profile.list", REGISTRY_READ, false }, ANY, PARTY,
		reg__profile_list },
	{ OP(PROFILE_ACTIVATE), { "profile.activate", REGISTRY_WRITE, true }, ANY, ROLE_BIT(ASP),
		reg__profile_activate },
	{ OP(PROFILE_DEACTIVATE), { "profile.deactivate", REGISTRY_WRITE, false }, ANY,
		ROLE_BIT(ASP) | ROLE_BIT(OWNER) | ROLE_BIT(OPERATOR), reg__profile_deactivate },
	{ OP(PROFILE_DELETE), { "profile.delete", REGISTRY_WRITE, false }, ANY,
		ROLE_BIT(ASP) | ROLE_BIT(OPERATOR), reg__profile_delete },
	{ OP(PROFILE_SET_AUTH), { "profile.auth", REGISTRY_WRITE, false }, ANY,
		ROLE_BIT(ASP) | ROLE_BIT(OWNER), reg__profile_set_auth },
	{ OP(PROFILE_TRANSFER), { "profile.transfer", REGISTRY_WRITE, true }, ANY, ROLE_BIT(ASP),
		reg__profile_transfer },
	{ OP(JOB_WAIT), { "job.wait", REGISTRY_WAIT, false }, ANY, ROLE_BIT(MNO), reg__job_wait },
	{ OP(JOB_INFO), { "job.info", REGISTRY_READ, false }, ANY, PARTY, reg__job_info },
	{ OP(JOB_RESULT), { "job.result", REGISTRY_WRITE, true }, ANY, ROLE_BIT(MNO),
		reg__job_result },
	{ OP(POLL_REQUEST), { "poll.request", REGISTRY_WAIT, false }, ANY, PARTY,
		reg__poll_request },
	{ OP(POLL_ACK), { "poll.ack", REGISTRY_WRITE, false }, ANY, PARTY, reg__poll_ack },
	{ OP(CA_INFO), { "ca.info", REGISTRY_READ, false }, ALL, NOBODY, reg__ca_info },
	{ OP(SIGNER_INFO), { "signer.info", REGISTRY_READ, false }, ANY, ROLE_BIT(OPERATOR),
		reg__signer_info },
	{ OP(HEALTH), { "health", REGISTRY_READ, false }, ALL, NOBODY, reg__health },
	{ OP(AUDIT_LIST), { "audit.list", REGISTRY_READ, false }, ANY, ROLE_BIT(OPERATOR),
		reg__audit_list },
	{ OP(SEAL_KEY), { "seal.key", REGISTRY_READ, false }, ANY, NOBODY, reg__seal_key },
	{ OP(ZONE_KEYS), { "zone.keys", REGISTRY_READ, false }, ANY, ROLE_BIT(OPERATOR),
		reg__zone_keys },
	{ OP(ZONE_KEY_ORDER), { "zone.key", REGISTRY_WRITE, false }, ANY, ROLE_BIT(OPERATOR),
		reg__zone_key_order },
	{ OP(LOGIN), { "login", REGISTRY_WRITE, true }, REGISTRY_EPP, NOBODY, reg__login },
	{ OP(CHECK), { "check", REGISTRY_READ, false }, ANY, PARTY, reg__check },
	{ OP(PROFILE_RENEW), { "profile.renew", REGISTRY_WRITE, true }, ANY, ROLE_BIT(ASP),
		reg__profile_renew },
	{ OP(PROFILE_REBIND), { "profile.rebind", REGISTRY_WRITE, true }, ANY, ROLE_BIT(ASP),
		reg__profile_rebind },
	{ OP(TRANSFER_MOVE), { "profile.transfer", REGISTRY_WRITE, true }, ANY, PARTY,
		reg__transfer_move },
	{ OP(MAINTENANCE_CREATE), { "maintenance.create", REGISTRY_WRITE, false }, ANY,
		ROLE_BIT(OPERATOR), reg__maintenance_create },
	{ OP(MAINTENANCE_INFO), { "maintenance.info", REGISTRY_READ, false }, ANY, PARTY,
		reg__maintenance_info },
	{ OP(MAINTENANCE_UPDATE), { "maintenance.update", REGISTRY_WRITE, false }, ANY,
		ROLE_BIT(OPERATOR), reg__maintenance_update },
	{ OP(MAINTENANCE_DELETE), { "maintenance.delete", REGISTRY_WRITE, false }, ANY,
		ROLE_BIT(OPERATOR), reg__maintenance_delete },
	{ OP(SERVICE_DELETE), { "service.delete", REGISTRY_WRITE, false }, ANY,
		ROLE_BIT(ASP) | ROLE_BIT(OPERATOR), reg__service_delete },
	{ OP(DEVICE_SET_AUTH), { "device.auth", REGISTRY_WRITE, false }, ANY,
		ROLE_BIT(MNO) | ROLE_BIT(OWNER), reg__device_set_auth },
	{ OP(DEVICE_TRANSFER), { "device.transfer", REGISTRY_WRITE, false }, ANY, ROLE_BIT(MNO),
		reg__device_transfer },
	{ OP(DEVICE_EVENT), { "device.event", REGISTRY_WRITE, false }, ANY, ROLE_BIT(MNO),
		reg__device_event },
	{ OP(FEED_WAIT), { "feed.wait", REGISTRY_WAIT, false }, ANY, ROLE_BIT(ASP),
		reg__feed_wait },
	{ OP(SERVICE_TD), { "service.td", REGISTRY_READ, false }, ANY, PARTY, reg__service_td },
	{ OP(MAKER_CONFIRM), { "maker.confirm", REGISTRY_WRITE, false }, ANY, ROLE_BIT(MAKER),
		reg__maker_confirm },
	{ OP(COUNT_LIST), { "count.list", REGISTRY_READ, false }, ANY, PARTY, reg__count_list },
	{ OP(INSTALL_INFO), { "install.info", REGISTRY_READ, false }, ANY, PARTY,
		reg__install_info },
	{ OP(FEED_SET), { "feed.set", REGISTRY_WRITE, false }, ANY, ROLE_BIT(ASP), reg__feed_set },
	{ OP(DEVICE_DELETE), { "device.delete", REGISTRY_WRITE, false }, ANY,
		ROLE_BIT(MNO) | ROLE_BIT(OPERATOR), reg__device_delete },
	{ OP(PROFILE_REENROL), { "profile.reenrol", REGISTRY_WRITE, true }, REGISTRY_API, NOBODY,
		reg__profile_reenrol },
	{ OP(DEVICE_MOVE), { "device.transfer", REGISTRY_WRITE, false }, ANY, PARTY,
		reg__device_move },
	{ OP(PROFILE_LOOK), { "profile.look", REGISTRY_WRITE, false }, ANY, PARTY,
		reg__profile_look },
	{ OP(DEVICE_LOOK), { "device.look", REGISTRY_WRITE, false }, ANY, PARTY, reg__device_look },
	{ OP(REFUSAL), { "refusal", REGISTRY_WRITE, false }, ANY, NOBODY, reg__refusal },
};

static const struct op_row *row_of(const Registry__Request *request)
{
	int i = (int)request->op_case - (int)OP(PARTY_CREATE);

	/* The table stands in the order of the numbers, which have gaps near the end only. */
	if (i >= 0 && (size_t)i < ARRAY_LEN(ops) && ops[i].id == request->op_case)
		return &ops[i];
	for (size_t n = ARRAY_LEN(ops); n > 0; n--) {
		if (ops[n - 1].id == request->op_case)
			return &ops[n - 1];
	}
	return NULL;
}

const struct registry_op *registry_op(const Registry__Request *request)
{
	const struct op_row *row = row_of(request);

	return row ? &row->op : NULL;
}

void registry_run_init(struct registry_run *run, struct registry *reg, struct arena *arena,
	enum registry_class class, const struct store_party *caller, Registry__Request *request)
{
	*run = (struct registry_run){
		.reg = reg,
		.arena = arena,
		.class = class,
		.caller = caller,
		.request = request,
		.now = reg->clock->unix_s(reg->clock),
		.reply = REGISTRY__REPLY__INIT,
	};
	run->changes_end = &run->changes;
	if (request)
		run->reply.id = request->id;
}

/* ---- repeated requests ------------------------------------------------------------------ */

static bool key_ok(const char *key)
{
	size_t len = strlen(key);

	for (size_t i = 0; i < len; i++) {
		if (key[i] < '!' || key[i] > '~')
			return false;
	}
	return len <= 64;
}

/* Over the operation alone: the session it came by does not make it another request. */
static enum rc request_hash(struct registry_run *run, uint8_t out[STORE_SHA256])
{
	Registry__Request bare = *run->request;
	uint8_t *bytes;
	size_t len;

	bare.id = 0;
	bare.peer = (char *)protobuf_c_empty_string;
	bare.idempotency_key = (char *)protobuf_c_empty_string;
	bare.sv_trid = (char *)protobuf_c_empty_string;
	bare.cl_trid = (char *)protobuf_c_empty_string;
	bare.frame = (char *)protobuf_c_empty_string;
	bare.case_id = (char *)protobuf_c_empty_string;
	bare.why = (char *)protobuf_c_empty_string;
	bare.spki_sha256 = (ProtobufCBinaryData){ 0, NULL };
	len = registry__request__get_packed_size(&bare);
	bytes = arena_alloc(run->arena, len);
	if (!bytes)
		return RC_NOMEM;
	registry__request__pack(&bare, bytes);
	reg__sha256(bytes, len, NULL, 0, out);
	return RC_OK;
}

static void *from_arena(void *user, size_t len)
{
	return arena_alloc(user, len);
}

static void not_freed(void *user ATT_UNUSED, void *p ATT_UNUSED)
{
}

/* Answers a repeat as the first was. *seen false: it is none. */
static enum rc repeat(struct registry_run *run, const uint8_t hash[STORE_SHA256], bool *seen)
{
	ProtobufCAllocator alloc = { from_arena, not_freed, run->arena };
	struct store_idem first;
	Registry__Reply *reply;
	enum rc rc = store_idem_get(run->reg->store, run->caller->id, run->request->idempotency_key,
		run->arena, &first);

	*seen = rc == RC_OK && first.expires > run->now;
	if (rc != RC_OK || !*seen)
		return rc == RC_NOT_FOUND ? RC_OK : rc;
	if (memcmp(first.request_sha256, hash, STORE_SHA256) != 0)
		return reg__no(run, CODE(POLICY), "Idempotency-Key",
			"this key was used for another request");
	if (run->request->op_case == OP(PROFILE_SET_AUTH) ||
		run->request->op_case == OP(DEVICE_SET_AUTH))
		return reg__no(run, CODE(POLICY), "Idempotency-Key",
			"the code was shown once; ask for a new one");
	reply = registry__reply__unpack(&alloc, first.reply.len, first.reply.bytes);
	if (!reply)
		return RC_INTERNAL;
	reply->id = run->request->id;
	run->reply = *reply;
	/* The first answer may have been "pending"; this one waits for the same change. */
	run->uses_zone = first.seq > 0;
	run->change_seq = first.seq;
	return RC_OK;
}

static enum rc remember(struct registry_run *run, const uint8_t hash[STORE_SHA256])
{
	struct store_idem first = { .seq = run->uses_zone ? run->change_seq : 0,
		.expires = run->now + run->reg->settings.idem_ttl_s };
	Registry__Reply bare = run->reply;
	uint8_t *bytes;

	bare.id = 0;
	if (bare.result_case == REGISTRY__REPLY__RESULT_AUTH)
		bare.result_case = REGISTRY__REPLY__RESULT__NOT_SET; /* never in clear on disk */
	first.reply.len = registry__reply__get_packed_size(&bare);
	bytes = arena_alloc(run->arena, first.reply.len);
	if (!bytes)
		return RC_NOMEM;
	registry__reply__pack(&bare, bytes);
	first.reply.bytes = bytes;
	memcpy(first.request_sha256, hash, STORE_SHA256);
	return store_idem_put(
		run->reg->store, run->caller->id, run->request->idempotency_key, &first);
}

/* ---- doing it --------------------------------------------------------------------------- */

static enum rc admit(struct registry_run *run, const struct op_row *row)
{
	if (!row)
		return reg__no(run, CODE(UNKNOWN_COMMAND), "", "no such operation");
	if (!(row->classes & run->class))
		return reg__no(run, CODE(USE), "", "not through this door");
	if (run->request->cert_sha256.len && row->id != OP(PROFILE_REENROL) &&
		row->id != OP(CA_INFO) && row->id != OP(REFUSAL))
		return reg__no(run, CODE(AUTHORIZATION), "",
			"a device's certificate renews itself and nothing else");
	if (row->roles == NOBODY)
		return RC_OK;
	if (!run->caller)
		return reg__no(run, CODE(AUTHENTICATION), "",
			"the client certificate belongs to no party");
	if (!(run->caller->roles & row->roles))
		return reg__no(run, CODE(AUTHORIZATION), "", "not for a party in your role");
	if (!reg__text_ok(run->request->case_id, 0, 64))
		return reg__no(run, CODE(VALUE_SYNTAX), "Case-Id", "at most 64 bytes of text");
	if (!reg__text_ok(run->request->why, 0, 128))
		return reg__no(
			run, CODE(VALUE_SYNTAX), "Change-Reason", "at most 128 bytes of text");
	if (!key_ok(run->request->idempotency_key))
		return reg__no(run, CODE(VALUE_SYNTAX), "Idempotency-Key",
			"1 to 64 visible ASCII characters");
	return RC_OK;
}

/* EPP: the command as it came, beside what it did. */
static enum rc keep_frame(struct registry_run *run)
{
	struct store_audit row = { .time = run->now,
		.party = run->caller ? run->caller->id : "",
		.operation = "epp.frame",
		.object = run->request->sv_trid,
		.detail = run->request->frame };

	if (!*run->request->frame || run->request->op_case == OP(REFUSAL))
		return RC_OK;
	if (reg__refused(run)) {
		row.operation = "epp.refused";
		row.detail = arena_printf(run->arena, "%d %s: %s", (int)run->reply.code,
			run->reply.reason, run->request->frame);
	}
	return row.detail ? store_audit_add(run->reg->store, &row) : RC_NOMEM;
}

enum rc reg__keep_refused(struct registry_run *run)
{
	return run->caller ? keep_frame(run) : RC_OK;
}

enum rc registry_execute(struct registry_run *run)
{
	const struct op_row *row = row_of(run->request);
	bool keyed = *run->request->idempotency_key && row && run->caller &&
		     row->op.kind == REGISTRY_WRITE;
	uint8_t hash[STORE_SHA256];
	bool seen = false;
	enum rc rc = admit(run, row);

	if (reg__refused(run))
		return rc;
	if (keyed) {
		rc = request_hash(run, hash);
		if (rc == RC_OK)
			rc = repeat(run, hash, &seen);
		if (rc != RC_OK || seen)
			return reg__fail(run, rc);
	}
	rc = row->handler(run);
	if (rc == RC_OK && run->arena->failed)
		rc = RC_NOMEM;
	if (rc != RC_OK)
		return reg__fail(run, rc);
	if (!run->planning && !run->again && (!reg__refused(run) || run->keep))
		rc = keep_frame(run);
	if (rc == RC_OK && keyed && !run->planning && !run->again && !reg__refused(run))
		rc = remember(run, hash);
	return reg__fail(run, rc);
}
