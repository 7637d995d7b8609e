-- SPDX-License-Identifier: Apache-2.0
-- Several nodes on one database (doc/nodes.md). Only PostgreSQL has more than one.

-- Serials are 32 bits as in a SOA; times in milliseconds are the database's own.
CREATE TABLE node (
	name TEXT PRIMARY KEY,
	point BLOB NOT NULL,
	proof BLOB NOT NULL,
	added BIGINT NOT NULL,
	seen BIGINT NOT NULL,
	serial BIGINT NOT NULL,
	seq BIGINT NOT NULL,
	wants_image INTEGER NOT NULL,
	skew_ms BIGINT NOT NULL,
	schema_version INTEGER NOT NULL,
	keys_version BIGINT NOT NULL
);

-- One row: who may sign, until when, under which token, and the newest signed content.
CREATE TABLE zone_head (
	name TEXT PRIMARY KEY,
	holder TEXT NOT NULL,
	token BIGINT NOT NULL,
	until_ms BIGINT NOT NULL,
	serial BIGINT NOT NULL,
	reserved BIGINT NOT NULL,
	seq BIGINT NOT NULL,
	n BIGINT NOT NULL,
	keys_version BIGINT NOT NULL
);
INSERT INTO zone_head (name, holder, token, until_ms, serial, reserved, seq, n, keys_version)
	VALUES ('zone', '', 0, 0, 0, 0, 0, 0, 0);

-- Signed content, a row per serial in the order of n; whole = 1: an image is needed to go on.
CREATE TABLE zone_delta (
	n BIGINT PRIMARY KEY,
	serial BIGINT NOT NULL,
	prev BIGINT NOT NULL,
	seq BIGINT NOT NULL,
	token BIGINT NOT NULL,
	made_ms BIGINT NOT NULL,
	whole INTEGER NOT NULL,
	body BLOB NOT NULL
);
CREATE UNIQUE INDEX zone_delta_serial ON zone_delta (serial);

-- The whole signed zone in parts, for a node that has nothing or too little.
CREATE TABLE zone_image (
	serial BIGINT NOT NULL,
	part BIGINT NOT NULL,
	n BIGINT NOT NULL,
	seq BIGINT NOT NULL,
	last INTEGER NOT NULL,
	body BLOB NOT NULL,
	PRIMARY KEY (serial, part)
);

-- The zone's private keys, sealed to each node.
CREATE TABLE node_keys (
	node TEXT NOT NULL,
	version BIGINT NOT NULL,
	body BLOB NOT NULL,
	PRIMARY KEY (node, version)
);

-- A chain per node; '' where there are no nodes.
ALTER TABLE audit ADD COLUMN node TEXT NOT NULL DEFAULT '';
CREATE INDEX audit_node ON audit (node, seq) WHERE node <> '';
