/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "store/sql_node.h"

/* Every statement of the registry, once, in the SQL that SQLite and PostgreSQL share. Parameters
 * are $1, $2 ... and bound by that number, wherever they stand in the text. */

/* clang-format off */
#define ST__PROFILE_OWN \
	"p.id, p.device, p.slot, p.sponsor, p.service, p.state, p.kind, p.wipe_pending, " \
	"p.install_due, p.sequence, p.pending_job, p.attempts, p.cert, p.key_id, p.card_cert, " \
	"p.card_sequence, p.auth_salt, p.auth_sha256, p.auth_expires, p.auth_tries, p.created, " \
	"p.updated, "
#define ST__PROFILE_VIEW \
	"SELECT " ST__PROFILE_OWN \
	"d.iccid, d.eid, d.mno, d.owner, d.locked, d.stolen, d.broken, " \
	"c.id, c.profile, c.sha256, c.spki, c.state, c.not_before, c.not_after, c.service, " \
	"k.spki, k.state "
#define ST__PROFILE_JOINS \
	"LEFT JOIN certificate c ON c.id = p.cert LEFT JOIN device_key k ON k.id = p.key_id "
#define ST__PROFILE_PAGE \
	"p.state <> 4 AND ($2 = '' OR p.service = $2) AND p.device >= $3 " \
	"AND (p.device > $3 OR p.slot > $4) "
#define ST__SERVICE \
	"SELECT handle, asp, fqdn, port, url, td_url, td_sha256, publish_tlsa, created, asp_cert, " \
	"wifi_sealed FROM service "
#define ST__DEVICE \
	"SELECT d.id, d.iccid, d.eid, d.imei, d.mno, d.owner, d.locked, d.stolen, d.broken, " \
	"d.claim_salt, d.claim_sha256, d.claim_tries, d.claim_tried, d.created FROM device d "
#define ST__JOB \
	"SELECT id, profile, kind, state, iccid, slot, mno, attempt, nonce, cert, sequence, " \
	"with_cert, payload, kit, reason, result_sha256, not_after, created, closed, polled, cause FROM job "
/* Open, not acknowledged, and not behind an older one for the same slot of the same SIM. */
#define ST__JOB_QUEUED \
	"WHERE mno = $1 AND state = 1 AND polled = 0 AND NOT EXISTS (SELECT 1 FROM job o " \
	"WHERE o.profile = j.profile AND o.state = 1 AND o.id < j.id AND o.iccid = j.iccid) "
#define ST__PARTY "SELECT id, name, roles, spki, password, created FROM party "
#define ST__CERT "SELECT id, profile, sha256, spki, state, not_before, not_after, service"
#define ST__CERT_OF_OVERLAP \
	"SELECT c.id, c.profile, c.sha256, c.spki, c.state, c.not_before, c.not_after, c.service, " \
	"o.ends FROM overlap o JOIN certificate c ON c.id = o.cert "
#define ST__KEY "SELECT id, spki, device, slot, state"

#define ST__SQL_LIST(X) \
	X(COUNTER_GET, "SELECT value FROM counter WHERE name = $1") \
	X(COUNTER_SET, "UPDATE counter SET value = $2 WHERE name = $1") \
	X(SETTING_GET, "SELECT value FROM setting WHERE name = $1") \
	X(SETTING_PUT, "INSERT INTO setting (name, value) VALUES ($1, $2) " \
		"ON CONFLICT (name) DO UPDATE SET value = excluded.value") \
	X(PARTY_ADD, "INSERT INTO party (id, name, roles, spki, password, created) " \
		"VALUES ($1, $2, $3, $4, $5, $6)") \
	X(PARTY_GET, ST__PARTY "WHERE id = $1") \
	X(PARTY_BY_SPKI, ST__PARTY "WHERE spki = $1") \
	X(PARTY_LIST, ST__PARTY "WHERE id > $1 ORDER BY id LIMIT $2") \
	X(SERVICE_ADD, "INSERT INTO service (handle, asp, fqdn, port, url, td_url, td_sha256, " \
		"publish_tlsa, created, asp_cert, wifi_sealed) " \
		"VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)") \
	X(SERVICE_SAVE, "UPDATE service SET fqdn = $2, port = $3, url = $4, td_url = $5, " \
		"td_sha256 = $6, publish_tlsa = $7, asp_cert = $8, wifi_sealed = $9 " \
		"WHERE handle = $1") \
	X(SERVICE_DELETE, "UPDATE service SET deleted = $2, wifi_sealed = NULL, asp_cert = NULL, " \
		"publish_tlsa = 0 WHERE handle = $1") \
	X(SERVICE_TAKEN, "SELECT 1 FROM service WHERE handle = $1") \
	X(SERVICE_BOUND, "SELECT 1 FROM profile WHERE service = $1 AND state <> 4 LIMIT 1") \
	X(SERVICE_GET, ST__SERVICE "WHERE handle = $1 AND deleted = 0") \
	X(SERVICE_LIST, ST__SERVICE "WHERE handle > $1 AND deleted = 0 ORDER BY handle LIMIT $2") \
	X(SERVICE_LIST_ASP, ST__SERVICE "WHERE asp = $3 AND handle > $1 AND deleted = 0 " \
		"ORDER BY handle LIMIT $2") \
	X(PIN_DROP, "DELETE FROM service_pin WHERE service = $1") \
	X(PIN_ADD, "INSERT INTO service_pin (service, n, cert_usage, selector, matching, data) " \
		"VALUES ($1, $2, $3, $4, $5, $6)") \
	X(PIN_LIST, "SELECT cert_usage, selector, matching, data FROM service_pin " \
		"WHERE service = $1 ORDER BY n") \
	X(DEVICE_ADD, "INSERT INTO device (iccid, eid, imei, mno, owner, locked, stolen, broken, " \
		"claim_salt, claim_sha256, claim_tries, claim_tried, created) " \
		"VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, 0, 0, $11) RETURNING id") \
	X(DEVICE_BY_ICCID, ST__DEVICE "WHERE d.iccid = $1 AND d.removed = 0") \
	X(DEVICE_SAVE, "UPDATE device SET imei = $2, owner = $3, locked = $4, stolen = $5, " \
		"broken = $6, claim_tries = $7, claim_tried = $8 WHERE id = $1") \
	X(DEVICE_LIST, ST__DEVICE "WHERE d.id > $1 AND d.removed = 0 ORDER BY d.id LIMIT $2") \
	X(DEVICE_LIST_MNO, ST__DEVICE "WHERE d.mno = $3 AND d.id > $1 AND d.removed = 0 " \
		"ORDER BY d.id LIMIT $2") \
	X(DEVICE_LIST_OWNER, ST__DEVICE "WHERE d.owner = $3 AND d.id > $1 ORDER BY d.id LIMIT $2") \
	X(DEVICE_LIST_SPONSOR, ST__DEVICE "JOIN (SELECT DISTINCT device FROM profile " \
		"WHERE sponsor = $3 AND device > $1 AND state <> 4 ORDER BY device LIMIT $2) s " \
		"ON s.device = d.id ORDER BY d.id") \
	X(HISTORY_ADD, "INSERT INTO iccid_history (device, iccid, mno, since, until) " \
		"VALUES ($1, $2, $3, $4, 0) ON CONFLICT (device, iccid, since) DO UPDATE SET until = 0") \
	X(HISTORY_LIST, "SELECT iccid, mno, since, until FROM iccid_history " \
		"WHERE device = $1 ORDER BY since") \
	X(CONSENT_ADD, "INSERT INTO consent (device, asp) VALUES ($1, $2)") \
	X(CONSENT_DROP, "DELETE FROM consent WHERE device = $1 AND asp = $2") \
	X(CONSENT_DROP_ALL, "DELETE FROM consent WHERE device = $1") \
	X(CONSENT_GET, "SELECT 1 FROM consent WHERE device = $1 AND asp = $2") \
	X(CONSENT_LIST, "SELECT asp FROM consent WHERE device = $1 ORDER BY asp") \
	X(DEVICE_SLOTS, "SELECT slot FROM profile WHERE device = $1 AND state <> 4") \
	X(DEVICE_SPONSORED, "SELECT 1 FROM profile WHERE sponsor = $2 AND device = $1 " \
		"AND state <> 4 LIMIT 1") \
	X(PROFILE_ADD, "INSERT INTO profile (device, slot, sponsor, service, state, kind, " \
		"wipe_pending, install_due, sequence, pending_job, attempts, cert, key_id, card_cert, " \
		"card_sequence, auth_salt, auth_sha256, auth_expires, auth_tries, created, updated) " \
		"VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, " \
		"$18, $19, $20, $21) RETURNING id") \
	X(PROFILE_SAVE, "UPDATE profile SET state = $2, wipe_pending = $3, install_due = $4, " \
		"sequence = $5, pending_job = $6, attempts = $7, cert = $8, key_id = $9, " \
		"card_cert = $10, card_sequence = $11, updated = $12 WHERE id = $1") \
	X(PROFILE_SAVE_ALL, "UPDATE profile SET state = $2, wipe_pending = $3, install_due = $4, " \
		"sequence = $5, pending_job = $6, attempts = $7, cert = $8, key_id = $9, " \
		"card_cert = $10, card_sequence = $11, updated = $12, sponsor = $13, service = $14, " \
		"kind = $15, auth_salt = $16, auth_sha256 = $17, auth_expires = $18, " \
		"auth_tries = $19, created = $20 WHERE id = $1") \
	X(PROFILE_GET, ST__PROFILE_VIEW "FROM device d JOIN profile p ON p.device = d.id " \
		ST__PROFILE_JOINS "WHERE d.id = (SELECT id FROM device WHERE iccid = $1) " \
		"AND p.slot = $2") \
	X(PROFILE_BY_ID, ST__PROFILE_VIEW "FROM profile p JOIN device d ON p.device = d.id " \
		ST__PROFILE_JOINS "WHERE p.id = $1") \
	X(PROFILE_LIST, ST__PROFILE_VIEW "FROM profile p JOIN device d ON p.device = d.id " \
		ST__PROFILE_JOINS "WHERE $1 = '' AND " ST__PROFILE_PAGE \
		"ORDER BY p.device, p.slot LIMIT $5") \
	X(PROFILE_LIST_SPONSOR, ST__PROFILE_VIEW "FROM profile p JOIN device d ON p.device = d.id " \
		ST__PROFILE_JOINS "WHERE p.sponsor = $1 AND " ST__PROFILE_PAGE \
		"ORDER BY p.device, p.slot LIMIT $5") \
	X(PROFILE_LIST_MNO, ST__PROFILE_VIEW "FROM device d JOIN profile p ON p.device = d.id " \
		ST__PROFILE_JOINS "WHERE d.mno = $1 AND d.id >= $3 AND " ST__PROFILE_PAGE \
		"ORDER BY d.id, p.slot LIMIT $5") \
	X(PROFILE_LIST_OWNER, ST__PROFILE_VIEW "FROM device d JOIN profile p ON p.device = d.id " \
		ST__PROFILE_JOINS "WHERE d.owner = $1 AND d.id >= $3 AND " ST__PROFILE_PAGE \
		"ORDER BY d.id, p.slot LIMIT $5") \
	X(PROFILE_DUE, "SELECT id FROM profile WHERE install_due > 0 AND id > $1 " \
		"ORDER BY id LIMIT $2") \
	X(PROFILE_DUE_SERVICE, "UPDATE profile SET install_due = install_due + 1 " \
		"WHERE service = $1 AND state = 2") \
	X(PROFILE_DUE_ALL, "UPDATE profile SET install_due = install_due + 1 WHERE state = 2") \
	X(PROFILE_EXPIRED, "SELECT profile FROM certificate WHERE state = 1 AND not_after <= $1 " \
		"ORDER BY not_after LIMIT $2") \
	X(CERT_ADD, "INSERT INTO certificate (profile, sha256, spki, state, not_before, not_after, " \
		"service, der) VALUES ($1, $2, $3, $4, $5, $6, $7, $8) RETURNING id") \
	X(CERT_STATE, "UPDATE certificate SET state = $2 WHERE id = $1") \
	X(CERT_GET, ST__CERT ", der FROM certificate WHERE id = $1") \
	X(KEY_ADD, "INSERT INTO device_key (spki, device, slot, state, csr, b_point) " \
		"VALUES ($1, $2, $3, $4, $5, $6) RETURNING id") \
	X(KEY_GET, ST__KEY ", csr, b_point FROM device_key WHERE id = $1") \
	X(KEY_BY_SPKI, ST__KEY " FROM device_key WHERE spki = $1") \
	X(KEY_REVOKE, "UPDATE device_key SET state = 2 WHERE id = $1") \
	X(JOB_ADD, "INSERT INTO job (profile, kind, state, iccid, slot, mno, attempt, nonce, cert, " \
		"sequence, with_cert, payload, kit, reason, result_sha256, not_after, created, closed, " \
		"cause) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, '', NULL, " \
		"$14, $15, 0, $16) " \
		"RETURNING id") \
	X(JOB_GET, ST__JOB "WHERE id = $1") \
	X(JOB_CLOSE, "UPDATE job SET state = $2, reason = $3, cert = $4, result_sha256 = $5, " \
		"closed = $6, payload = NULL, kit = NULL WHERE id = $1") \
	X(JOB_OPEN, ST__JOB "WHERE mno = $1 AND state = 1 AND id > $2 ORDER BY id LIMIT $3") \
	X(JOB_OF_PROFILE, "SELECT id FROM job WHERE profile = $1 AND state = 1 " \
		"ORDER BY id LIMIT $2") \
	X(JOB_LAST, "SELECT id FROM job WHERE profile = $1 AND kind = $2 ORDER BY id DESC LIMIT 1") \
	X(JOB_EXPIRED, "SELECT id FROM job WHERE state = 1 AND not_after <= $1 ORDER BY id LIMIT $2") \
	X(JOB_QUEUE_HEAD, ST__JOB "j " ST__JOB_QUEUED "ORDER BY id LIMIT 1") \
	X(JOB_QUEUE_COUNT, "SELECT count(*) FROM job j " ST__JOB_QUEUED) \
	X(JOB_QUEUE_TAKE, "UPDATE job SET polled = 1 WHERE id = $2 AND mno = $1 AND state = 1 " \
		"AND polled = 0 RETURNING id") \
	X(RECEIPT_ADD, "INSERT INTO receipt (job, file, por, received) VALUES ($1, $2, $3, $4)") \
	X(RECEIPT_LIST, "SELECT file, por, received FROM receipt WHERE job = $1 ORDER BY file") \
	X(ATTEST_SET, "INSERT INTO device_attest (device, cert) VALUES ($1, $2) " \
		"ON CONFLICT (device) DO UPDATE SET cert = excluded.cert") \
	X(ATTEST_GET, "SELECT cert FROM device_attest WHERE device = $1") \
	X(ATTEST_DROP, "DELETE FROM device_attest WHERE device = $1") \
	X(KEY_PROVEN_ADD, "INSERT INTO key_attest (spki, maker, proven) VALUES ($1, $2, $3) " \
		"ON CONFLICT (spki) DO UPDATE SET maker = excluded.maker, proven = excluded.proven") \
	X(KEY_PROVEN_GET, "SELECT maker FROM key_attest WHERE spki = $1") \
	X(MOVE_GET, "SELECT move_to, auth_salt, auth_sha256, auth_expires, auth_tries " \
		"FROM device_move WHERE device = $1") \
	X(MOVE_SET, "INSERT INTO device_move (device, move_to, auth_salt, auth_sha256, " \
		"auth_expires, auth_tries) VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (device) " \
		"DO UPDATE SET move_to = excluded.move_to, auth_salt = excluded.auth_salt, " \
		"auth_sha256 = excluded.auth_sha256, auth_expires = excluded.auth_expires, " \
		"auth_tries = excluded.auth_tries") \
	X(MOVE_DROP, "DELETE FROM device_move WHERE device = $1") \
	X(MOVING_GET, "SELECT status, requester, requested, actor, act_date, iccid, new_iccid, " \
		"claim_salt, claim_sha256, attest_cert FROM device_transfer WHERE device = $1") \
	X(MOVING_SAVE, "INSERT INTO device_transfer (device, status, requester, requested, actor, " \
		"act_date, iccid, new_iccid, claim_salt, claim_sha256, attest_cert) " \
		"VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) ON CONFLICT (device) " \
		"DO UPDATE SET status = excluded.status, requester = excluded.requester, " \
		"requested = excluded.requested, actor = excluded.actor, " \
		"act_date = excluded.act_date, iccid = excluded.iccid, " \
		"new_iccid = excluded.new_iccid, claim_salt = excluded.claim_salt, " \
		"claim_sha256 = excluded.claim_sha256, attest_cert = excluded.attest_cert") \
	X(MOVING_DROP, "DELETE FROM device_transfer WHERE device = $1") \
	X(MOVING_DUE, "SELECT device FROM device_transfer WHERE status = 'pending' AND " \
		"act_date <= $1 ORDER BY act_date LIMIT $2") \
	X(DEVICE_RENAME, "UPDATE device SET iccid = $2, mno = $3, claim_salt = $4, " \
		"claim_sha256 = $5, claim_tries = 0, claim_tried = 0 WHERE id = $1") \
	X(HISTORY_CLOSE, "UPDATE iccid_history SET until = $2 WHERE device = $1 AND until = 0") \
	X(PROFILE_OF_DEVICE, "SELECT id FROM profile WHERE device = $1 AND state <> 4 " \
		"ORDER BY slot") \
	X(DEVICE_REMOVE, "UPDATE device SET removed = $2, eid = NULL, owner = NULL, " \
		"claim_salt = NULL, claim_sha256 = NULL WHERE id = $1") \
	X(DEVICE_REVIVE, "UPDATE device SET removed = 0, eid = $2, imei = $3, mno = $4, owner = $5, " \
		"locked = 0, stolen = 0, broken = 0, claim_salt = $6, claim_sha256 = $7, " \
		"claim_tries = 0, claim_tried = 0 WHERE iccid = $1 AND removed > 0 AND NOT EXISTS " \
		"(SELECT 1 FROM device x WHERE x.eid = $2) RETURNING id") \
	X(DEVICE_KNOWN, "SELECT id FROM device WHERE iccid = $1") \
	X(DEVICE_WIPES, "SELECT slot FROM profile WHERE device = $1 AND wipe_pending = 1") \
	X(FLAG_SET, "INSERT INTO device_flag (device, flag, who, since, reason) " \
		"VALUES ($1, $2, $3, $4, $5) ON CONFLICT (device, flag) DO NOTHING") \
	X(FLAG_DROP, "DELETE FROM device_flag WHERE device = $1 AND flag = $2") \
	X(FLAG_LIST, "SELECT flag, who, since, reason FROM device_flag WHERE device = $1 " \
		"ORDER BY flag") \
	X(OVERLAP_PUT, "INSERT INTO overlap (profile, cert, ends) VALUES ($1, $2, $3)") \
	X(OVERLAP_GET, ST__CERT_OF_OVERLAP "WHERE o.profile = $1") \
	X(OVERLAP_DROP, "DELETE FROM overlap WHERE profile = $1") \
	X(OVERLAP_DUE, "SELECT profile FROM overlap WHERE ends <= $1 ORDER BY ends LIMIT $2") \
	X(CARD_TRUST_PUT, "INSERT INTO card_trust (profile, iccid, root, issuing, signer, spki, " \
		"announced, ready) VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT (profile) " \
		"DO UPDATE SET iccid = $2, root = $3, issuing = $4, signer = $5, spki = $6, " \
		"announced = $7, ready = $8") \
	X(CARD_TRUST_GET, "SELECT iccid, root, issuing, signer, spki, announced, ready " \
		"FROM card_trust WHERE profile = $1") \
	X(CARD_TRUST_READY, "SELECT profile FROM card_trust WHERE ready > 0 AND ready <= $1 " \
		"AND announced = $2 ORDER BY ready LIMIT $3") \
	X(SIGNER_PROFILES, "SELECT count(*) FROM profile WHERE state IN (2, 3) AND sequence > 0") \
	X(SIGNER_KNOWN, "SELECT count(*) FROM profile p JOIN device d ON d.id = p.device " \
		"JOIN card_trust t ON t.profile = p.id AND t.iccid = d.iccid " \
		"WHERE p.state IN (2, 3) AND p.sequence > 0 AND t.announced = $1") \
	X(SIGNER_LEFT, "SELECT count(*) FROM profile p JOIN device d ON d.id = p.device " \
		"JOIN iccid_history h ON h.device = d.id AND h.iccid = d.iccid AND h.until = 0 " \
		"LEFT JOIN card_trust t ON t.profile = p.id AND t.iccid = d.iccid " \
		"WHERE p.state IN (2, 3) AND p.sequence > 0 AND " \
		"CASE WHEN t.profile IS NULL THEN h.since < $2 ELSE t.spki <> $1 END") \
	X(CERT_BY_SHA256, ST__CERT " FROM certificate WHERE sha256 = $1") \
	X(ESIM_ADD, "INSERT INTO esim_suspended (profile) VALUES ($1) ON CONFLICT (profile) DO NOTHING") \
	X(ESIM_GET, "SELECT profile FROM esim_suspended WHERE profile = $1") \
	X(ESIM_TAKE, "DELETE FROM esim_suspended WHERE profile = $1 RETURNING profile") \
	X(CHANGE_ADD, "INSERT INTO zone_change (seq, name, withdrawn, cert_sha256, spki_sha256, " \
		"not_after, records) VALUES ($1, $2, $3, $4, $5, $6, $7)") \
	X(CHANGE_FIRST, "SELECT min(seq) FROM zone_change") \
	X(CHANGE_LIST, "SELECT seq, name, withdrawn, cert_sha256, spki_sha256, not_after, records " \
		"FROM (SELECT seq, name, withdrawn, cert_sha256, spki_sha256, not_after, records, " \
		"row_number() OVER (PARTITION BY name ORDER BY seq DESC) AS newness " \
		"FROM zone_change WHERE seq > $1 AND seq <= $2) z " \
		"WHERE newness = 1 AND (withdrawn = 1 OR $3 = 0) ORDER BY seq LIMIT $4") \
	X(CHANGE_PRUNE, "DELETE FROM zone_change WHERE seq < $1 AND seq IN " \
		"(SELECT seq FROM zone_change ORDER BY seq LIMIT $2)") \
	X(ZONE_PAGE, "SELECT p.id, p.slot, d.iccid, c.sha256, c.spki, c.not_after, e.sha256 " \
		"FROM profile p JOIN device d ON d.id = p.device JOIN certificate c ON c.id = p.cert " \
		"LEFT JOIN overlap o ON o.profile = p.id LEFT JOIN certificate e ON e.id = o.cert " \
		"WHERE p.id > $1 AND p.state = 2 AND c.state = 1 ORDER BY p.id LIMIT $2") \
	X(WAIT_ADD, "INSERT INTO publish_wait (seq, party, name, operation, cl_trid, sv_trid) " \
		"VALUES ($1, $2, $3, $4, $5, $6)") \
	X(WAIT_LIST, "SELECT id, seq, party, name, operation, cl_trid, sv_trid FROM publish_wait WHERE seq <= $1 " \
		"ORDER BY id LIMIT $2") \
	X(WAIT_DROP, "DELETE FROM publish_wait WHERE id = $1") \
	X(POLL_ADD, "INSERT INTO poll (party, date, event, name, text, who, trid, ended_cl_trid, " \
		"ended_sv_trid, state, object, reason, case_id) " \
		"VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)") \
	X(POLL_HEAD, "SELECT id, date, event, name, text, who, trid, ended_cl_trid, " \
		"ended_sv_trid, state, object, reason, case_id FROM poll WHERE party = $1 " \
		"ORDER BY id LIMIT 1") \
	X(MAINTENANCE_ADD, "INSERT INTO maintenance (id, target, impact, begins, ends, emergency, " \
		"description, created) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)") \
	X(MAINTENANCE_SAVE, "UPDATE maintenance SET target = $2, impact = $3, begins = $4, " \
		"ends = $5, emergency = $6, description = $7, updated = $8, deleted = $9 " \
		"WHERE id = $1") \
	X(MAINTENANCE_GET, "SELECT id, target, impact, begins, ends, emergency, description, " \
		"created, updated, deleted FROM maintenance WHERE id = $1") \
	X(MAINTENANCE_LIST, "SELECT id, target, impact, begins, ends, emergency, description, " \
		"created, updated, deleted FROM maintenance WHERE ends > $1 AND deleted = 0 ORDER BY begins, id LIMIT $2") \
	X(LOGIN_GET, "SELECT login_failed, login_last FROM party WHERE id = $1") \
	X(LOGIN_SAVE, "UPDATE party SET login_failed = $2, login_last = $3 WHERE id = $1") \
	X(PASSWORD_SAVE, "UPDATE party SET password = $2 WHERE id = $1") \
	X(TRANSFER_GET, "SELECT status, requester, service, requested, actor, act_date " \
		"FROM transfer WHERE profile = $1") \
	X(TRANSFER_SAVE, "INSERT INTO transfer (profile, status, requester, service, requested, " \
		"actor, act_date) VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (profile) DO UPDATE " \
		"SET status = excluded.status, requester = excluded.requester, " \
		"service = excluded.service, requested = excluded.requested, " \
		"actor = excluded.actor, act_date = excluded.act_date") \
	X(TRANSFER_DROP, "DELETE FROM transfer WHERE profile = $1") \
	X(TRANSFER_DUE, "SELECT profile FROM transfer WHERE status = 'pending' AND " \
		"act_date <= $1 ORDER BY act_date LIMIT $2") \
	X(PENDING_SAVE, "INSERT INTO pending_action (profile, cl_trid, sv_trid) " \
		"VALUES ($1, $2, $3) ON CONFLICT (profile) DO UPDATE " \
		"SET cl_trid = excluded.cl_trid, sv_trid = excluded.sv_trid") \
	X(PENDING_TAKE, "DELETE FROM pending_action WHERE profile = $1 " \
		"RETURNING cl_trid, sv_trid") \
	X(POLL_COUNT, "SELECT count(*) FROM poll WHERE party = $1") \
	X(POLL_DROP, "DELETE FROM poll WHERE party = $1 AND id = $2 RETURNING id") \
	X(IDEM_GET, "SELECT request_sha256, reply, seq, expires FROM idempotency " \
		"WHERE party = $1 AND idem_key = $2") \
	X(IDEM_PUT, "INSERT INTO idempotency (party, idem_key, request_sha256, reply, seq, expires) " \
		"VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (party, idem_key) DO UPDATE SET " \
		"request_sha256 = excluded.request_sha256, reply = excluded.reply, " \
		"seq = excluded.seq, expires = excluded.expires") \
	X(IDEM_EXPIRE, "DELETE FROM idempotency WHERE (party, idem_key) IN " \
		"(SELECT party, idem_key FROM idempotency WHERE expires <= $1 LIMIT $2)") \
	X(FEED_ADD, "INSERT INTO feed (party, position, mark, seq, date, kind, name, owner_name, " \
		"service, cert_sha256) VALUES ($1, (SELECT coalesce(max(position), 0) + 1 FROM feed " \
		"WHERE party = $1), $2, $3, $4, $5, $6, $7, $8, $9) RETURNING position") \
	X(FEED_LIST, "SELECT position, mark, seq, date, kind, name, owner_name, service, " \
		"cert_sha256 FROM feed WHERE party = $1 AND position >= $2 " \
		"ORDER BY position LIMIT $3") \
	X(FEED_HEAD, "SELECT position, mark, seq, date, kind, name, owner_name, service, " \
		"cert_sha256 FROM feed WHERE party = $1 ORDER BY position DESC LIMIT 1") \
	X(FEED_PRUNE, "DELETE FROM feed WHERE (party, position) IN (SELECT f.party, f.position " \
		"FROM feed f WHERE f.date < $1 AND EXISTS (SELECT 1 FROM feed g " \
		"WHERE g.party = f.party AND g.position > f.position) ORDER BY f.date LIMIT $2)") \
	X(TD_GET, "SELECT doc FROM service_td WHERE service = $1") \
	X(TD_SET, "INSERT INTO service_td (service, doc) VALUES ($1, $2) " \
		"ON CONFLICT (service) DO UPDATE SET doc = excluded.doc") \
	X(TD_DROP, "DELETE FROM service_td WHERE service = $1") \
	X(TLSA_GET, "SELECT state, checked, why FROM service_tlsa WHERE service = $1") \
	X(TLSA_SET, "INSERT INTO service_tlsa (service, state, checked, why) VALUES ($1, $2, $3, $4) " \
		"ON CONFLICT (service) DO UPDATE SET state = excluded.state, " \
		"checked = excluded.checked, why = excluded.why") \
	X(TLSA_DUE, "SELECT s.handle FROM service s LEFT JOIN service_tlsa t ON t.service = s.handle " \
		"WHERE s.publish_tlsa = 0 AND s.deleted = 0 AND coalesce(t.checked, 0) < $1 " \
		"ORDER BY coalesce(t.checked, 0), s.handle LIMIT $2") \
	X(TLSA_COUNT, "SELECT t.state, count(*) FROM service_tlsa t JOIN service s " \
		"ON s.handle = t.service WHERE s.publish_tlsa = 0 AND s.deleted = 0 GROUP BY t.state") \
	X(MAKER_GET, "SELECT id, maker, model, confirmed FROM maker_device WHERE id = $1") \
	X(MAKER_SET, "INSERT INTO maker_device (id, maker, model, confirmed, signature) " \
		"VALUES ($1, $2, $3, $4, $5) ON CONFLICT (id) DO UPDATE SET model = excluded.model, " \
		"confirmed = excluded.confirmed, signature = excluded.signature") \
	X(COUNT_PROFILES, "SELECT p.sponsor, p.service, p.state, count(*) FROM profile p " \
		"GROUP BY p.sponsor, p.service, p.state ORDER BY p.sponsor, p.service, p.state") \
	X(COUNT_DEVICES, "SELECT d.mno, d.owner, count(*) FROM device d " \
		"GROUP BY d.mno, d.owner ORDER BY d.mno, d.owner") \
	X(COUNT_AUDIT, "SELECT party, operation, count(*) FROM audit WHERE time >= $1 AND time < $2 " \
		"AND operation <> 'epp.frame' GROUP BY party, operation ORDER BY party, operation") \
	X(FEED_POLL_GET, "SELECT party FROM feed_poll WHERE party = $1") \
	X(FEED_POLL_ADD, "INSERT INTO feed_poll (party) VALUES ($1) ON CONFLICT (party) DO NOTHING") \
	X(FEED_POLL_DROP, "DELETE FROM feed_poll WHERE party = $1") \
	X(AUDIT_ADD, "INSERT INTO audit (seq, time, party, operation, object, detail, hash, node) " \
		"VALUES ($1, $2, $3, $4, $5, $6, $7, $8)") \
	X(AUDIT_HEAD, "SELECT (SELECT max(seq) FROM audit), CASE WHEN $1 = '' THEN (SELECT hash FROM " \
		"audit WHERE node = '' ORDER BY seq DESC LIMIT 1) ELSE (SELECT hash FROM audit WHERE " \
		"node = $1 AND node <> '' ORDER BY seq DESC LIMIT 1) END") \
	X(AUDIT_LIST, "SELECT seq, time, party, operation, object, detail, hash, node FROM audit " \
		"WHERE seq > $1 ORDER BY seq LIMIT $2")
/* clang-format on */

#define ST__SQL_ENUM(id, text) ST__##id,
enum st__sql {
	ST__SQL_LIST(ST__SQL_ENUM) ST__SQL_SHARED, /* what both engines run */
	ST__BEFORE_NODE = ST__SQL_SHARED - 1,
	ST__NODE_LIST(ST__SQL_ENUM) ST__SQL_COUNT,
	/* Texts made at run time (define), one at a time each. */
	ST__FREE_1 = ST__SQL_COUNT,
	ST__FREE_2,
	ST__SLOTS
};
#undef ST__SQL_ENUM
