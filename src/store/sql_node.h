/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The statements of node.h, which only PostgreSQL runs. */

/* clang-format off */
#define ST__NOW_MS "(extract(epoch FROM clock_timestamp()) * 1000)::bigint"
#define ST__HEAD_COLS "h.holder, h.token, h.until_ms - " ST__NOW_MS ", h.serial, h.reserved, " \
	"h.seq, h.n, h.keys_version, (SELECT value FROM counter WHERE name = 'change') "

#define ST__NODE_LIST(X) \
	X(HEAD_GET, "SELECT " ST__HEAD_COLS "FROM zone_head h") \
	X(NODE_BEAT, "WITH b AS (UPDATE node SET seen = " ST__NOW_MS ", serial = $2, seq = $3, " \
		"wants_image = $4, skew_ms = $5 - " ST__NOW_MS ", schema_version = $6, " \
		"keys_version = $7 WHERE name = $1 RETURNING name) SELECT " ST__HEAD_COLS \
		", (SELECT count(*) FROM b), (SELECT count(*) FROM node WHERE name <> $1 AND " \
		"seen > " ST__NOW_MS " - $8 AND node.serial = h.serial), (SELECT count(*) FROM node " \
		"WHERE name <> $1 AND seen > " ST__NOW_MS " - $8 AND wants_image = 1) " \
		", (SELECT count(*) FROM node WHERE NOT EXISTS (SELECT 1 FROM node_keys k WHERE " \
		"k.node = node.name AND k.version = h.keys_version)) FROM zone_head h") \
	X(AUDIT_LAST, "SELECT seq, hash FROM audit WHERE node = $1 AND node <> '' " \
		"ORDER BY seq DESC LIMIT 1") \
	X(AUDIT_SAID, "SELECT detail FROM audit WHERE node = $1 AND node <> '' AND " \
		"operation = 'audit.head' ORDER BY seq DESC LIMIT 1") \
	X(LEASE_TAKE, "UPDATE zone_head SET holder = $1, token = CASE WHEN holder = $1 AND " \
		"token = $2 THEN token ELSE token + 1 END, until_ms = " ST__NOW_MS " + $3 " \
		"WHERE name = 'zone' AND (holder = $1 OR until_ms < " ST__NOW_MS ") " \
		"RETURNING token") \
	X(LEASE_LEAVE, "UPDATE zone_head SET until_ms = 0 WHERE holder = $1 AND token = $2") \
	X(DELTA_ADD, "WITH h AS (UPDATE zone_head SET serial = $4, reserved = $4, seq = $5, " \
		"n = n + 1, until_ms = " ST__NOW_MS " + $7 WHERE name = 'zone' AND holder = $1 " \
		"AND token = $2 AND serial = $3 RETURNING n), d AS (INSERT INTO zone_delta " \
		"(n, serial, prev, seq, token, made_ms, whole, body) SELECT n, $4, $3, $5, $2, " \
		ST__NOW_MS ", 0, $6 FROM h RETURNING n) SELECT n, pg_notify('attestry', '')::text " \
		"FROM d") \
	X(DELTA_MINE, "SELECT n FROM zone_delta WHERE serial = $1 AND prev = $2 AND token = $3") \
	X(SERIAL_RESERVE, "UPDATE zone_head SET reserved = $4 WHERE name = 'zone' AND holder = $1 " \
		"AND token = $2 AND reserved = $3 RETURNING reserved") \
	X(WHOLE_ADD, "WITH h AS (UPDATE zone_head SET serial = $3, seq = $4, n = n + 1 " \
		"WHERE name = 'zone' AND holder = $1 AND token = $2 AND reserved = $3 RETURNING n), " \
		"d AS (INSERT INTO zone_delta (n, serial, prev, seq, token, made_ms, whole, body) " \
		"SELECT n, $3, 0, $4, $2, " ST__NOW_MS ", 1, ''::bytea FROM h RETURNING n) " \
		"SELECT n, pg_notify('attestry', '')::text FROM d") \
	X(DELTA_LIST, "SELECT n, serial, prev, seq, whole, body FROM zone_delta WHERE n > $1 " \
		"ORDER BY n LIMIT $2") \
	X(DELTA_PLACE, "SELECT n FROM zone_delta WHERE serial = $1") \
	X(DELTA_PRUNE, "DELETE FROM zone_delta WHERE n <= $1") \
	X(IMAGE_ADD, "INSERT INTO zone_image (serial, part, n, seq, last, body) " \
		"VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (serial, part) DO UPDATE " \
		"SET n = excluded.n, seq = excluded.seq, last = excluded.last, body = excluded.body") \
	X(IMAGE_GET, "SELECT serial, part, n, seq, last, body FROM zone_image " \
		"WHERE serial = $1 AND part = $2") \
	X(IMAGE_FIND, "SELECT i.serial, i.part, i.n, i.seq, i.last, ''::bytea FROM zone_image i, " \
		"zone_head h WHERE i.last = 1 AND (i.n = h.n OR EXISTS (SELECT 1 FROM zone_delta d " \
		"WHERE d.n = i.n + 1)) AND NOT EXISTS (SELECT 1 FROM zone_delta d WHERE d.n > i.n " \
		"AND d.whole = 1) ORDER BY i.n DESC LIMIT 1") \
	X(IMAGE_DROP, "DELETE FROM zone_image WHERE serial <> $1") \
	X(NODE_ADD, "INSERT INTO node (name, point, proof, added, seen, serial, seq, wants_image, " \
		"skew_ms, schema_version, keys_version) VALUES ($1, $2, $3, $4, 0, 0, 0, 0, 0, 0, 0)") \
	X(NODE_LIST, "SELECT name, point, proof, added, " ST__NOW_MS " - seen, serial, seq, " \
		"wants_image, skew_ms, schema_version, keys_version FROM node ORDER BY name") \
	X(NODE_REMOVE, "WITH k AS (DELETE FROM node_keys WHERE node = $1 RETURNING node), " \
		"l AS (UPDATE zone_head SET token = token + 1, until_ms = 0 WHERE holder = $1 " \
		"RETURNING token) DELETE FROM node WHERE name = $1 RETURNING name") \
	X(NODE_KEYS_PUT, "INSERT INTO node_keys (node, version, body) VALUES ($1, $2, $3) " \
		"ON CONFLICT (node, version) DO UPDATE SET body = excluded.body") \
	X(NODE_KEYS_DONE, "WITH h AS (UPDATE zone_head SET keys_version = $3 WHERE name = 'zone' " \
		"AND holder = $1 AND token = $2 AND keys_version <= $3 RETURNING keys_version), " \
		"o AS (DELETE FROM node_keys WHERE version < $3 AND EXISTS (SELECT 1 FROM h) " \
		"RETURNING node) SELECT keys_version, pg_notify('attestry', '')::text FROM h") \
	X(NODE_KEYS_GET, "SELECT version, body FROM node_keys WHERE node = $1 " \
		"ORDER BY version DESC LIMIT 1")
/* clang-format on */
