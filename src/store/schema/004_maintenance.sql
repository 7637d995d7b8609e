-- SPDX-License-Identifier: Apache-2.0
-- Maintenance that the operator has announced (RFC 9167).

CREATE TABLE maintenance (
	id TEXT PRIMARY KEY,
	target TEXT NOT NULL,
	impact TEXT NOT NULL,
	begins BIGINT NOT NULL,
	ends BIGINT NOT NULL,
	emergency INTEGER NOT NULL,
	description TEXT NOT NULL,
	created BIGINT NOT NULL
);
